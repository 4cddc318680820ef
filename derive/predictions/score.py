"""The score of the noised data: N = -eps/sigma."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.parameters import Parameters
from derive.predictions import COMMON, Prediction, prediction
from derive.symbolic.alphabet import alpha, sigma

REFERENCE = "arXiv:2011.13456 (Eq. 7)"

PARAMETERS: Parameters = {**COMMON}


def build(**common: Any) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    return prediction("score", sp.Integer(0), -1 / sigma, alpha, **common)
