"""The raw network F of EDM, whose preconditioning D = c_skip x + c_out F makes a denoiser of it.

With x/alpha = x0 + rho eps, c_skip = sd^2/(rho^2 + sd^2), c_out = rho sd/sqrt(rho^2 + sd^2) and D = x0,
F = (x0 - c_skip x/alpha)/c_out = ((sigma/sd) x0 - sd alpha eps)/sqrt((alpha sd)^2 + sigma^2): v of the rescaled data.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy as sp

from derive.parameters import Parameters
from derive.predictions import COMMON, Prediction, prediction, spread_squared
from derive.symbolic.alphabet import alpha, sigma

REFERENCE = "arXiv:2206.00364 (Eq. 7, Table 1)"

PARAMETERS: Parameters = {**COMMON}


def build(sigma_data: Fraction = Fraction(1, 2), **common: Any) -> Prediction:
    """F for data of standard deviation ``sigma_data``; ``common``: what the network is fed (:data:`COMMON`)."""
    width = sp.Rational(sigma_data.numerator, sigma_data.denominator)
    spread = sp.sqrt(spread_squared(sigma_data))
    c0, c1 = sigma / (width * spread), -width * alpha / spread
    return prediction("edm", c0, c1, spread, sigma_data=sigma_data, **common)
