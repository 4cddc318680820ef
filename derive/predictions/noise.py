"""The noise eps that was mixed in: N = eps."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Parameters
from derive.predictions import COMMON, Prediction, prediction
from derive.symbolic.alphabet import alpha

REFERENCE = "arXiv:2006.11239 (Eq. 11)"

PARAMETERS: Parameters = {**COMMON}


def build(**common: Any) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    return prediction("noise", sp.Integer(0), sp.Integer(1), alpha, **common)
