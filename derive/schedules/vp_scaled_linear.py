"""Stable Diffusion's table: sqrt(beta_j) linear from sqrt(beta_start) to sqrt(beta_end); time is the table index.

alpha_bar(i) = prod_{j <= i} (1 - beta_j), i = 0 .. steps-1, continued analytically to real time in [-1, steps-1];
t = -1 is exact data. The defaults are those of Stable Diffusion 1 and 2.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Sequence

import sympy as sp

from derive.parameters import Integer, Number, Parameters
from derive.schedules import Schedule, Table, preserving
from derive.symbolic.alphabet import t
from derive.symbolic.chebyshev import CONTEXT
from derive.symbolic.indexed import NAME, analytic, curve, products

REFERENCE = "arXiv:2112.10752 (Sec. 4; code: beta_schedule linear, squared)"

MAX_STEPS = 4096
MIN_STEPS = 16
REPRODUCED = 2e-14
"""Largest accepted relative error of log alpha_bar over the rows of a table that is given by a formula."""

PARAMETERS: Parameters = {
    "beta_start": Number(
        default=Fraction(85, 100000), low=Fraction(0), low_open=True, high=Fraction(1), high_open=True,
        doc="beta of the first training step",
    ),
    "beta_end": Number(
        default=Fraction(12, 1000), low=Fraction(0), low_open=True, high=Fraction(1), high_open=True,
        doc="beta of the last training step",
    ),
    "steps": Integer(default=1000, low=MIN_STEPS, high=MAX_STEPS, doc="number of training steps"),
}  # fmt: skip


def build(
    beta_start: Fraction = Fraction(85, 100000), beta_end: Fraction = Fraction(12, 1000), steps: int = 1000
) -> Schedule:
    """The schedule through the table. ValueError unless 0 < beta_start <= beta_end < 1 and 16 <= steps <= 4096."""
    if not 0 < beta_start <= beta_end < 1:
        raise ValueError(f"beta_start is {beta_start} and beta_end {beta_end}; allowed: 0 < beta_start <= beta_end < 1")
    low, high = (CONTEXT.sqrt(CONTEXT.mpf(b.numerator) / b.denominator) for b in (beta_start, beta_end))
    return from_betas("vp_scaled_linear", [(low + (high - low) * j / max(steps - 1, 1)) ** 2 for j in range(steps)])


def from_betas(kind: str, betas: Sequence[Any]) -> Schedule:
    """The variance-preserving schedule through alpha_bar(i) = prod (1 - beta_j), analytic in the index."""
    steps = len(betas)
    if not MIN_STEPS <= steps <= MAX_STEPS:
        raise ValueError(f"steps is {steps}; allowed: {MIN_STEPS} to {MAX_STEPS}")
    series, worst = analytic(products(betas))
    if worst > REPRODUCED:
        raise ValueError(f"a smooth curve misses the table by {worst:.1e}; allowed: {REPRODUCED:.0e}; write it as a table")
    return preserving(
        kind,
        (t + 1) * curve() / 2,
        sp.Integer(steps - 1),
        sp.Integer(-1),
        "regular",
        "sigma_zero",
        index_steps=steps,
        tables={NAME: Table("chebyshev", -1.0, float(steps - 1), series)},
    )
