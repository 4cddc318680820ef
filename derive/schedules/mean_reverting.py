"""Mean reverting (Luo et al. 2023): dx = theta (mu - x) dt + g dW, g^2 = 2 theta sigma_inf^2, t from 1 to 0.

x - mu = alpha (x0 - mu) + sigma eps with alpha = exp(-int theta) and sigma = sigma_inf sqrt(1 - alpha^2): a
variance-preserving path of the stationary scale sigma_inf. The mean mu is an argument of ``solver.sample``, not of the
schedule. The rate theta(t) is constant, or rises as 1 - cos^2(c (t + s))/cos^2(c s), c = pi/(2 (1 + s)); it is scaled
so that alpha(1) = ``end``. With w = c t, cos^2(c s) - cos^2(c (t + s)) = sin(w) sin(w + 2 c s), whose integral is
(cos(2 c s) (2 w - sin 2 w) + 2 sin(2 c s) sin^2 w)/(4 c).
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Choice, Number, Parameters
from derive.schedules import Schedule, rational
from derive.symbolic.alphabet import expm1, rho, t
from derive.symbolic.differences import difference, log_difference

REFERENCE = "arXiv:2301.11699 (Sec. 3); arXiv:2502.07856 (Sec. 3)"

PARAMETERS: Parameters = {
    "sigma_inf": Number(default=Fraction(1), low=Fraction(0), low_open=True, doc="the stationary standard deviation"),
    "theta": Choice(default="constant", options=("constant", "cosine"), doc="how the rate depends on time"),
    "end": Number(
        default=Fraction(1, 200), low=Fraction(0), low_open=True, high=Fraction(1), high_open=True,
        doc="alpha where sampling starts: what is left of x0 - mu there",
    ),
    "offset": Number(default=Fraction(1, 125), low=Fraction(0), high=Fraction(1), doc="s of the cosine"),
}  # fmt: skip


def build(
    sigma_inf: Fraction = Fraction(1),
    theta: str = "constant",
    end: Fraction = Fraction(1, 200),
    offset: Fraction = Fraction(1, 125),
) -> Schedule:
    """The schedule of x - mu. ValueError unless sigma_inf > 0, 0 < end < 1 and 0 <= offset <= 1."""
    if sigma_inf <= 0:
        raise ValueError(f"sigma_inf is {sigma_inf}; allowed: above 0")
    if not 0 < end < 1:
        raise ValueError(f"end is {end}; allowed: above 0 and below 1")
    if not 0 <= offset <= 1:
        raise ValueError(f"offset is {offset}; allowed: 0 to 1")
    scale, area = rational(sigma_inf), t if theta == "constant" else _cosine_area(rational(offset))
    log_alpha = sp.log(rational(end)) * area / area.subs(t, 1)
    level = scale * sp.sqrt(expm1(-2 * log_alpha))
    return Schedule(
        kind="mean_reverting",
        log_alpha=log_alpha,
        alpha=sp.exp(log_alpha),
        sigma=scale * sp.sqrt(-expm1(2 * log_alpha)),
        rho=level,
        dlambda=-log_difference(level),
        dlog_alpha=difference(log_alpha),
        noise=sp.Integer(1),
        data=sp.Integer(0),
        noise_end="regular",
        data_end="sigma_zero",
        invariant=1 / sp.sqrt(1 + rho**2 / scale**2),
    )


def _cosine_area(s: sp.Rational) -> sp.Expr:
    """int_0^t theta up to a factor."""
    c = sp.pi / (2 * (1 + s))
    w = c * t
    return sp.cos(2 * c * s) * (2 * w - sp.sin(2 * w)) + 2 * sp.sin(2 * c * s) * sp.sin(w) ** 2
