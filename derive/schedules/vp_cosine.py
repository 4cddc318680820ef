"""Cosine schedule (Nichol and Dhariwal 2021): alpha_bar = cos^2(theta_t)/cos^2(theta_0), t from 1 (alpha = 0) to 0.

theta_t = (t + s)/(1 + s) pi/2. Written with k = pi/(2(1+s)) so that both ends are exact zeros and nothing cancels:
alpha = sin(k(1-t))/sin(k), and sigma^2 = 1 - alpha^2 = sin(kt) sin(k(t+2s))/sin^2(k).
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Number, Parameters
from derive.schedules import PRESERVING, Schedule, rational
from derive.symbolic.alphabet import t
from derive.symbolic.differences import log_difference

REFERENCE = "arXiv:2102.09672 (Eq. 17)"

PARAMETERS: Parameters = {
    "offset": Number(default=Fraction(1, 125), low=Fraction(0), high=Fraction(1), doc="s: slope of sigma at t = 0"),
}


def build(offset: Fraction = Fraction(1, 125)) -> Schedule:
    """The continuous schedule. ValueError unless 0 <= offset <= 1."""
    if not 0 <= offset <= 1:
        raise ValueError(f"offset is {offset}; allowed: 0 to 1")
    shift = rational(offset)
    k = sp.pi / (2 * (1 + shift))
    alpha = sp.sin(k * (1 - t)) / sp.sin(k)
    root = sp.sqrt(sp.sin(k * t)) * sp.sqrt(sp.sin(k * (t + 2 * shift)))
    rho = root / sp.sin(k * (1 - t))
    return Schedule(
        kind="vp_cosine",
        log_alpha=sp.log(alpha),
        alpha=alpha,
        sigma=root / sp.sin(k),
        rho=rho,
        dlambda=-log_difference(rho),
        dlog_alpha=log_difference(alpha),
        noise=sp.Integer(1),
        data=sp.Integer(0),
        noise_end="alpha_zero",
        data_end="sigma_zero",
        invariant=PRESERVING,
    )
