"""Any linear quantity, written out: N = c0 x0 + c1 eps with ``x0: c0`` and ``eps: c1`` as formulas of the path."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Expression, Parameters
from derive.predictions import COMMON, Prediction, integrating_factor, planar, prediction
from derive.symbolic.alphabet import alpha, sigma

REFERENCE = "arXiv:2011.13456 (Eq. 13) with a linear change of the network's output"

NAMES = ("t", "alpha", "sigma", "lambda", "rho")

PARAMETERS: Parameters = {
    "x0": Expression(names=NAMES, doc="the coefficient of x0"),
    "eps": Expression(names=NAMES, doc="the coefficient of eps"),
    **COMMON,
}


def build(x0: sp.Expr, eps: sp.Expr, **common: Any) -> Prediction:
    """The quantity x0 * X0 + eps * E, with its integrating factor where it has an elementary one.

    Raises ValueError if it is proportional to x = alpha X0 + sigma E, which says nothing about X0 and E.
    """
    if sp.cancel(planar(alpha * eps - sigma * x0)) == 0:
        raise ValueError("x0 and eps are proportional to alpha and sigma; allowed: alpha*eps - sigma*x0 other than 0")
    return prediction("linear", x0, eps, integrating_factor(x0, eps), **common)
