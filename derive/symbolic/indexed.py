r"""Curves that are given at integer training steps 0 .. N-1, continued to real time in [-1, N-1].

Time is the index; t = -1 is exact data: alpha_bar(-1) = 1 is the empty product, and a noise level falls to 0 there.
The continuation is, with q a Chebyshev series where the table is an analytic function of the index,

    log alpha_bar(t) = (t + 1) q(t)       sigma^2(t) = (t + 1) e^{q(t)}

and otherwise straight lines between the rows of log alpha_bar or of sigma^2 (0 at -1). Coefficients and rows are
floats and, being exact rationals, the definition from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import log, log1p
from typing import Any

import sympy as sp

from derive.symbolic.alphabet import t, tabulated
from derive.symbolic.chebyshev import CONTEXT, fit, sampled

NAME = "q"


def curve() -> sp.Expr:
    """The table's curve as a function of t."""
    return tabulated(sp.Symbol(NAME), t)


def products(betas: Iterable[Any]) -> list[Any]:
    """alpha_bar(i) = prod_{j <= i} (1 - beta_j) at 160 bits."""
    out, bar = [], CONTEXT.mpf(1)
    for beta in betas:
        bar *= 1 - beta
        out.append(bar)
    return out


class OnDemand(Sequence[Any]):
    """Rows that are computed when they are asked for: a fit looks at few of them."""

    def __init__(self, length: int, row: Callable[[int], Any]) -> None:
        self.length, self.row = length, row

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: Any) -> Any:
        return self.row(i)


def alpha_bar_series(bars: Sequence[Any], tolerance: float) -> tuple[tuple[float, ...], float]:
    """Chebyshev coefficients of q on [-1, N-1], and the worst error of log alpha_bar over all rows.

    tolerance: the error that the caller will accept; the series is chopped well below it. The error is relative
    where |log alpha_bar| > 1 and absolute (a relative error of alpha_bar) elsewhere; it is measured in float64 and
    not meaningful below 1e-15.
    """
    high = len(bars) - 1
    q = OnDemand(len(bars), lambda i: CONTEXT.log(bars[i]) / (i + 1))
    series = fit(q, -1, high, tolerance / (50 * len(bars)))
    worst = 0.0
    for i, value in enumerate(sampled(series, len(bars), -1, high)):
        exact = log(float(bars[i])) if bars[i] < 0.5 else log1p(float(bars[i] - 1))
        worst = max(worst, abs((i + 1) * value - exact) / max(1.0, abs(exact)))
    return series, worst


def sigma_series(sigmas: Sequence[Any], tolerance: float) -> tuple[tuple[float, ...], float]:
    """Chebyshev coefficients of q = log(sigma^2/(t+1)) on [-1, N-1], and the worst relative error of a sigma."""
    high = len(sigmas) - 1
    series = fit(OnDemand(len(sigmas), lambda i: CONTEXT.log(sigmas[i] ** 2 / (i + 1))), -1, high, tolerance / 50)
    fitted = sampled(series, len(sigmas), -1, high)
    return series, max(abs(q / 2 - log(float(x)) + log(i + 1) / 2) for i, (q, x) in enumerate(zip(fitted, sigmas)))
