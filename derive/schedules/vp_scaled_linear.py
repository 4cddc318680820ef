"""Stable Diffusion's table: sqrt(beta_j) linear from sqrt(beta_start) to sqrt(beta_end); time is the table index.

alpha_bar(i) = prod_{j <= i} (1 - beta_j), i = 0 .. steps-1, continued analytically to real time in [-1, steps-1];
t = -1 is exact data. The defaults are those of Stable Diffusion 1 and 2.
"""

from __future__ import annotations

from fractions import Fraction

from derive.parameters import Integer, Number, Parameters
from derive.schedules import Schedule
from derive.schedules.table import LONGEST, from_alpha_bars
from derive.symbolic.chebyshev import CONTEXT
from derive.symbolic.indexed import products

REFERENCE = "arXiv:2112.10752 (Sec. 4; code: beta_schedule linear, squared)"

PARAMETERS: Parameters = {
    "beta_start": Number(
        default=Fraction(85, 100000), low=Fraction(0), low_open=True, high=Fraction(1), high_open=True,
        doc="beta of the first training step",
    ),
    "beta_end": Number(
        default=Fraction(12, 1000), low=Fraction(0), low_open=True, high=Fraction(1), high_open=True,
        doc="beta of the last training step",
    ),
    "steps": Integer(default=1000, low=2, high=LONGEST, doc="number of training steps"),
}  # fmt: skip


def build(
    beta_start: Fraction = Fraction(85, 100000), beta_end: Fraction = Fraction(12, 1000), steps: int = 1000
) -> Schedule:
    """The schedule through the table. ValueError unless 0 < beta_start <= beta_end < 1 and 2 <= steps <= 4096."""
    if not 0 < beta_start <= beta_end < 1:
        raise ValueError(f"beta_start is {beta_start} and beta_end {beta_end}; allowed: 0 < start <= end < 1")
    if not 2 <= steps <= LONGEST:
        raise ValueError(f"steps is {steps}; allowed: 2 to {LONGEST}")
    low, high = (CONTEXT.sqrt(CONTEXT.mpf(b.numerator) / b.denominator) for b in (beta_start, beta_end))
    return from_alpha_bars(
        "vp_scaled_linear", products((low + (high - low) * j / (steps - 1)) ** 2 for j in range(steps)), 2e-14
    )
