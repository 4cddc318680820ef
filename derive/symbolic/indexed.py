r"""Schedules that are given at integer training steps: alpha_bar(i), i = 0 .. N-1, continued to real time.

Time is the index, from N-1 (noise) to -1 (exact data: alpha_bar(-1) = 1 is the empty product). The definition of the
continuous schedule is

    log alpha_bar(t) = (t + 1) q(t),   q a Chebyshev series      (the table is analytic), or
    log alpha_bar(t) = straight lines between the rows, 0 at -1  (it is not: kinks),

whose coefficients are floats and, being exact rationals, the definition from there on.
"""

from __future__ import annotations

from math import log, log1p
from typing import Any, Iterable, Sequence

import sympy as sp

from derive.symbolic.alphabet import t, tabulated
from derive.symbolic.chebyshev import CONTEXT, fit, sampled

NAME = "q"


def curve(name: str = NAME) -> sp.Expr:
    """``tabulated(name, t)``."""
    return tabulated(sp.Symbol(name), t)


def products(betas: Iterable[Any]) -> list[Any]:
    """alpha_bar(i) = prod_{j <= i} (1 - beta_j) at 160 bits."""
    out, bar = [], CONTEXT.mpf(1)
    for beta in betas:
        bar *= 1 - beta
        out.append(bar)
    return out


class LogCurve(Sequence[Any]):
    """q(i) = log(alpha_bar(i))/(i + 1), taking only the few logarithms that are asked for."""

    def __init__(self, bars: Sequence[Any]) -> None:
        self.bars = bars

    def __len__(self) -> int:
        return len(self.bars)

    def __getitem__(self, i: Any) -> Any:
        return CONTEXT.log(self.bars[i]) / (i + 1)


def analytic(bars: Sequence[Any], tolerance: float = 1e-14) -> tuple[tuple[float, ...], float]:
    """Chebyshev coefficients of q on [-1, N-1], and the worst error of log alpha_bar over all rows.

    tolerance: of q, relative to its least absolute value. The error is relative where |log alpha_bar| > 1 and absolute
    (a relative error of alpha_bar) elsewhere; it is measured in float64 and not meaningful below 1e-15.
    """
    high = len(bars) - 1
    q = LogCurve(bars)
    series = fit(q, -1, high, float(min(abs(q[0]), abs(q[high]))) * tolerance / 8)
    worst = 0.0
    for i, value in enumerate(sampled(series, len(bars), -1, high)):
        exact = float_log(bars[i])
        worst = max(worst, abs((i + 1) * value - exact) / max(1.0, abs(exact)))
    return series, worst


def float_log(x: Any) -> float:
    """log(x) of a 160-bit x in (0, 1], to the last bits of a float64 also where x is next to 1."""
    return log(float(x)) if x < 0.5 else log1p(float(x - 1))
