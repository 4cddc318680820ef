"""The velocity dx/dt of the path itself: N = alpha' x0 + sigma' eps (flow matching)."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Parameters
from derive.predictions import COMMON, Prediction, prediction
from derive.symbolic.alphabet import dalpha, dsigma

REFERENCE = "arXiv:2210.02747 (Eq. 8); arXiv:2209.03003 (Eq. 1)"

PARAMETERS: Parameters = {**COMMON}


def build(**common: Any) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    return prediction("velocity", dalpha, dsigma, sp.Integer(1), **common)
