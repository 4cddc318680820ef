"""Variance exploding (Song et al. 2021): alpha = 1, sigma = sigma_min (sigma_max/sigma_min)^t, from t = 1 to t = 0."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Number, Parameters
from derive.schedules import Schedule, rational
from derive.symbolic.alphabet import rho, s, t

REFERENCE = "arXiv:2011.13456 (Eq. 30)"

PARAMETERS: Parameters = {
    "sigma_min": Number(default=Fraction(1, 100), low=Fraction(0), low_open=True, doc="noise level at t = 0"),
    "sigma_max": Number(default=Fraction(50), low=Fraction(0), low_open=True, doc="noise level at t = 1"),
}


def build(sigma_min: Fraction = Fraction(1, 100), sigma_max: Fraction = Fraction(50)) -> Schedule:
    """The geometric path. ValueError unless sigma_max > sigma_min > 0."""
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"sigma_min is {sigma_min} and sigma_max {sigma_max}; allowed: 0 < sigma_min < sigma_max")
    low, rate = rational(sigma_min), sp.log(rational(sigma_max / sigma_min))
    sigma = low * sp.exp(t * rate)
    return Schedule(
        kind="ve",
        log_alpha=sp.Integer(0),
        alpha=sp.Integer(1),
        sigma=sigma,
        rho=sigma,
        dlambda=(s - t) * rate,
        dlog_alpha=sp.Integer(0),
        noise=sp.Integer(1),
        data=sp.Integer(0),
        noise_end="regular",
        data_end="regular",
        invariant=sp.Integer(1),
        t_of_rho=sp.log(rho / low) / rate,
    )
