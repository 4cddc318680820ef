"""The clean data x0 (a denoiser): N = x0."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Parameters
from derive.predictions import COMMON, Prediction, prediction
from derive.symbolic.alphabet import sigma

REFERENCE = "arXiv:2206.00364 (Eq. 2); arXiv:2211.01095 (Eq. 6)"

PARAMETERS: Parameters = {**COMMON}


def build(**common: Any) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    return prediction("data", sp.Integer(1), sp.Integer(0), sigma, **common)
