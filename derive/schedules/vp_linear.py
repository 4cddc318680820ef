"""Variance preserving, beta linear: continuous time (Song et al. 2021), or with ``steps`` the DDPM table.

Continuous: log alpha = -t ((beta_end - beta_start) t/4 + beta_start/2), betas are rates (0.1 and 20).
Table: alpha_bar(i) = prod_{j <= i} (1 - beta_j) with beta_j linear from beta_start to beta_end, betas are per step
(0.0001 and 0.02); time is the table index. Rates of 1 or more with ``steps`` are divided by it, which is how the
two are one schedule.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import sympy as sp

from derive.parameters import Integer, Number, Parameters
from derive.schedules import Schedule, preserving, rational
from derive.schedules.table import LONGEST, from_alpha_bars
from derive.symbolic.alphabet import log1p, rho, t
from derive.symbolic.chebyshev import CONTEXT
from derive.symbolic.indexed import products

REFERENCE = "arXiv:2011.13456 (Eq. 32); table: arXiv:2006.11239 (Sec. 4)"

PARAMETERS: Parameters = {
    "beta_start": Number(
        default=Fraction(1, 10), low=Fraction(0), low_open=True, doc="beta at the data end: a rate, or per step"
    ),
    "beta_end": Number(
        default=Fraction(20), low=Fraction(0), low_open=True, high=Fraction(1000), doc="beta at the noise end"
    ),
    "steps": Integer(default=0, low=0, high=LONGEST, doc="number of training steps; 0: continuous time"),
}


def build(beta_start: Fraction = Fraction(1, 10), beta_end: Fraction = Fraction(20), steps: int = 0) -> Schedule:
    """The continuous schedule, or with ``steps`` the one through the DDPM table.

    Raises ValueError unless 0 < beta_start <= beta_end (per step: < 1).
    """
    if not 0 < beta_start <= beta_end:
        raise ValueError(f"beta_start is {beta_start} and beta_end {beta_end}; allowed: 0 < beta_start <= beta_end")
    if steps:
        return _table(beta_start, beta_end, steps)
    low, high = rational(beta_start), rational(beta_end)
    log_alpha = sp.factor_terms(-t * (t * (high - low) / 4 + low / 2))  # one quotient: -t (199 t + 2)/40
    schedule = preserving("vp_linear", log_alpha, sp.Integer(1), sp.Integer(0), "regular", "sigma_zero")
    level = log1p(rho**2)  # -2 log alpha = t^2 (high - low)/2 + t low, solved for t without cancellation
    return replace(schedule, inverse=2 * level / (low + sp.sqrt(low**2 + 2 * (high - low) * level)))


def _table(beta_start: Fraction, beta_end: Fraction, steps: int) -> Schedule:
    if not 2 <= steps <= LONGEST:
        raise ValueError(f"steps is {steps}; allowed: 2 to {LONGEST}, or 0 for continuous time")
    scale = steps if beta_end >= 1 else 1
    first, last = beta_start / scale, beta_end / scale
    if last >= 1:
        raise ValueError(f"beta_end is {beta_end} for {steps} steps; allowed: less than 1 per step")
    low, high = (CONTEXT.mpf(b.numerator) / b.denominator for b in (first, last))
    return from_alpha_bars("vp_linear", products(low + (high - low) * j / (steps - 1) for j in range(steps)), 2e-14)
