"""The whole drift of the reverse-time SDE with noise tau: N = alpha' x0 + (sigma' - tau^2 sigma lambda') eps."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Expression, Parameters
from derive.predictions import COMMON, Prediction, planar, prediction
from derive.symbolic.alphabet import alpha, dalpha, dsigma, sigma

ONE = sp.Integer(1)

REFERENCE = "arXiv:2011.13456 (Eq. 6); arXiv:2303.08797 (Eq. 2.29)"

PARAMETERS: Parameters = {
    "tau": Expression(
        default=ONE,
        names=("t", "lambda", "alpha", "sigma", "rho"),
        doc="the noise of the SDE, as the problem's tau: 0 is the velocity",
    ),
    **COMMON,
}


def build(tau: sp.Expr = ONE, **common: Any) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    share = planar(tau) ** 2
    slope = (sigma * dalpha - alpha * dsigma) / alpha
    return prediction("drift", dalpha, sp.cancel(dsigma - share * slope), None if share else ONE, **common)
