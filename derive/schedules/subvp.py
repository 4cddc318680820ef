"""Sub-variance-preserving (Song et al. 2021): alpha of the linear VP schedule, sigma = 1 - alpha^2, t from 1 to 0."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Number, Parameters
from derive.schedules import Schedule, rational
from derive.symbolic.alphabet import expm1, rho, t
from derive.symbolic.differences import difference, log_difference

REFERENCE = "arXiv:2011.13456 (Eq. 29)"

PARAMETERS: Parameters = {
    "beta_start": Number(default=Fraction(1, 10), low=Fraction(0), low_open=True, doc="rate of beta at t = 0"),
    "beta_end": Number(
        default=Fraction(20), low=Fraction(0), low_open=True, high=Fraction(1000), doc="rate of beta at t = 1"
    ),
}


def build(beta_start: Fraction = Fraction(1, 10), beta_end: Fraction = Fraction(20)) -> Schedule:
    """The continuous schedule. ValueError unless 0 < beta_start <= beta_end."""
    if not 0 < beta_start <= beta_end:
        raise ValueError(f"beta_start is {beta_start} and beta_end {beta_end}; allowed: 0 < beta_start <= beta_end")
    low, high = rational(beta_start), rational(beta_end)
    log_alpha = -t * (t * (high - low) / 4 + low / 2)
    noise_level = -expm1(2 * log_alpha) * sp.exp(-log_alpha)
    return Schedule(
        kind="subvp",
        log_alpha=log_alpha,
        alpha=sp.exp(log_alpha),
        sigma=-expm1(2 * log_alpha),
        rho=noise_level,
        dlambda=-log_difference(noise_level),
        dlog_alpha=difference(log_alpha),
        noise=sp.Integer(1),
        data=sp.Integer(0),
        noise_end="regular",
        data_end="sigma_zero",
        invariant=2 / (rho + sp.sqrt(rho**2 + 4)),
    )
