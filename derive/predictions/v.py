"""v = alpha eps - sigma x0 (progressive distillation)."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Parameters
from derive.predictions import COMMON, Prediction, prediction
from derive.symbolic.alphabet import alpha, sigma

REFERENCE = "arXiv:2202.00512 (Sec. 4)"

PARAMETERS: Parameters = {**COMMON}


def build(**common: Any) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    return prediction("v", -sigma, alpha, sp.sqrt(alpha**2 + sigma**2), **common)
