"""Rectified flow and flow matching: alpha = 1 - t, sigma = t, from t = 1 (pure noise) to t = 0 (exact data).

A ``shift`` other than 1 (Stable Diffusion 3, Flux) does not change the path: default time grids go through
t = shift u / (1 + (shift - 1) u), which is lambda moved by -log(shift). Both ends are finite limits, never
evaluations.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Number, Parameters
from derive.schedules import Schedule, rational
from derive.symbolic.alphabet import log1p, rho, t, u
from derive.symbolic.differences import log_difference

REFERENCE = "arXiv:2209.03003 (Eq. 1); shift: arXiv:2403.03206 (Eq. 23)"

PARAMETERS: Parameters = {
    "shift": Number(
        default=Fraction(1), low=Fraction(0), low_open=True, high=Fraction(1000), doc="time shift of default grids"
    ),
}


def build(shift: Fraction = Fraction(1)) -> Schedule:
    """The straight path; ``shift`` only warps default time grids. ValueError if it is not positive."""
    if shift <= 0:
        raise ValueError(f"shift is {shift}; allowed: above 0")
    factor = rational(shift)
    path = t / (1 - t)
    return Schedule(
        kind="flow",
        log_alpha=log1p(-t),
        alpha=1 - t,
        sigma=t,
        rho=path,
        dlambda=-log_difference(path),
        dlog_alpha=log_difference(1 - t),
        noise=sp.Integer(1),
        data=sp.Integer(0),
        noise_end="alpha_zero",
        data_end="sigma_zero",
        invariant=1 / (1 + rho),
        t_of_rho=rho / (1 + rho),
        warp=None if shift == 1 else factor * u / (1 + (factor - 1) * u),
    )
