"""EDM (Karras et al. 2022): alpha = 1, sigma = t, from sigma_max to sigma_min; sigma_min = 0 ends at exact data."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Number, Parameters
from derive.schedules import Schedule, rational
from derive.symbolic.alphabet import rho, t
from derive.symbolic.differences import log_difference

REFERENCE = "arXiv:2206.00364 (Eq. 4, Table 1)"

PARAMETERS: Parameters = {
    "sigma_max": Number(default=Fraction(80), low=Fraction(0), low_open=True, doc="noise level where sampling starts"),
    "sigma_min": Number(default=Fraction(1, 500), low=Fraction(0), doc="noise level where it ends; 0 is exact data"),
}


def build(sigma_max: Fraction = Fraction(80), sigma_min: Fraction = Fraction(1, 500)) -> Schedule:
    """The schedule in which time is the noise level. ValueError unless sigma_max > sigma_min >= 0."""
    if not 0 <= sigma_min < sigma_max:
        raise ValueError(f"sigma_min is {sigma_min} and sigma_max {sigma_max}; allowed: 0 <= sigma_min < sigma_max")
    return Schedule(
        kind="edm",
        log_alpha=sp.Integer(0),
        alpha=sp.Integer(1),
        sigma=t,
        rho=t,
        dlambda=-log_difference(t),
        dlog_alpha=sp.Integer(0),
        noise=rational(sigma_max),
        data=rational(sigma_min),
        noise_end="regular",
        data_end="sigma_zero" if sigma_min == 0 else "regular",
        invariant=sp.Integer(1),
        t_of_rho=rho,
    )
