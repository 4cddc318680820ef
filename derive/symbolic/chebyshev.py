r"""A curve known at the integers as a Chebyshev series: the analytic function behind a published table.

log alpha_bar of the published tables is analytic in the index, so its interpolant in a few nodes converges
geometrically (Trefethen, Approximation Theory and Practice, Thm. 8.2) and reproduces all other rows; lambda is not
and does not. Nodes are the Chebyshev points rounded to integers ("mock Chebyshev"), which keeps the Lebesgue
constant small while count <= 2 sqrt(length). The arithmetic is mpmath's at a fixed precision and each coefficient
is rounded once: the same bytes on every host.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

from mpmath.ctx_mp import MPContext

from derive.symbolic.evaluate import clenshaw

BITS = 160
MAX_COUNT = 33
"""Coefficients at most; nodes in the fit."""

CONTEXT = MPContext()
CONTEXT.prec = BITS


def mock_nodes(length: int, low: int, high: int) -> list[int]:
    """Distinct indices 0 .. length-1 next to the Chebyshev points of [low, high], rising.

    At most 33, half the rows, and 2 sqrt(length) of them.
    """
    count = min(MAX_COUNT, max(2, isqrt(4 * length)), max(2, length // 2))
    points = (low + (high - low) * (1 - CONTEXT.cospi(CONTEXT.mpf(2 * k + 1) / (2 * count))) / 2 for k in range(count))
    return sorted({min(max(int(CONTEXT.nint(p)), 0), length - 1) for p in points} | {0, length - 1})


def coefficients(nodes: Sequence[int], values: Sequence[Any], low: int, high: int) -> list[Any]:
    """Chebyshev coefficients on [low, high] of the polynomial through (nodes, values): Newton, then a cosine sum."""
    divided = [CONTEXT.mpf(v) for v in values]
    count = len(nodes)
    for level in range(1, count):
        for i in range(count - 1, level - 1, -1):
            divided[i] = (divided[i] - divided[i - 1]) / (nodes[i] - nodes[i - level])
    cosines = [CONTEXT.cospi(CONTEXT.mpf(m) / (2 * count)) for m in range(4 * count)]
    samples = []
    for k in range(count):
        x = low + (high - low) * (1 + cosines[2 * k + 1]) / 2
        total = divided[-1]
        for i in range(count - 2, -1, -1):
            total = total * (x - nodes[i]) + divided[i]
        samples.append(total)
    series = []
    for j in range(count):
        terms = (v * cosines[(2 * k + 1) * j % (4 * count)] for k, v in enumerate(samples))
        series.append(sum(terms, start=CONTEXT.mpf(0)) * (1 if j == 0 else 2) / count)
    return series


def chop(series: Sequence[Any], tolerance: float) -> tuple[float, ...]:
    """The shortest head whose tail sums to at most ``tolerance`` (absolute), each coefficient rounded to float64."""
    tail, keep = CONTEXT.mpf(0), len(series)
    while keep > 1 and tail + abs(series[keep - 1]) <= tolerance:
        tail += abs(series[keep - 1])
        keep -= 1
    return tuple(float(c) for c in series[:keep])


def fit(values: Sequence[Any], low: int, high: int, tolerance: float) -> tuple[float, ...]:
    """Chebyshev coefficients on [low, high] of the curve with ``values`` at 0, 1, ..: chopped at ``tolerance``.

    Only the values at :func:`mock_nodes` are used; whether the others are reproduced is for the caller to check.
    """
    nodes = mock_nodes(len(values), low, high)
    return chop(coefficients(nodes, [values[n] for n in nodes], low, high), tolerance)


def sampled(series: Sequence[float], length: int, low: int, high: int) -> list[float]:
    """The series at 0 .. length-1 in float64 (error about 1e-16 of the largest coefficient)."""
    return [clenshaw(series, (2.0 * i - low - high) / (high - low)) for i in range(length)]
