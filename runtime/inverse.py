r"""The time at which a monotone chart has a given value: where the stages of a step call the network.

Inverse interpolation: the polynomial in the chart's value through the last five points, taken at the target. Its error
is about the product of theirs, so the correct digits double: ten evaluations from an interval to 2^-300. A bracket is
kept; where the polynomial leaves it or gains too little (kinks, steep ends), the bracket is halved and the interpolation
begins anew from its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from runtime.real import Real, real

_POINTS = 5
_CLOSE = real(2) ** -330
"""The estimated error of an interpolated time, as a share of the whole interval, at which it need not be evaluated."""
_MOST = 4096


def solve_for(chart: Callable[[Real], Real], target: Real, low: Real, high: Real) -> Real:
    """t between ``low`` and ``high`` (in either order) with chart(t) = target, to 2^-300 of their distance.

    chart: monotone and finite there. ValueError where the target lies outside chart(low) .. chart(high).
    """
    a, b = real(low), real(high)
    fa, fb = chart(a) - target, chart(b) - target
    if fa == 0 or fb == 0:
        return a if fa == 0 else b
    if (fa > 0) == (fb > 0):
        raise ValueError(f"no time between {float(a)!r} and {float(b)!r} where the variable is {float(target)!r}")
    whole = width = abs(b - a)
    best, halve = min(abs(fa), abs(fb)), False
    known = [(a, fa), (b, fb)]
    for _ in range(_MOST):
        used = known[-_POINTS:]
        t = _interpolated(used)
        inside = min(a, b) <= t <= max(a, b)
        if inside and prod((abs(t - at) / width for at, _ in used), start=width) <= _CLOSE * whole:
            return t
        if halve or not inside:
            t, known, width = (a + b) / 2, [(a, fa), (b, fb)], abs(b - a)
            if width <= _CLOSE * whole or t in (a, b):
                return t
        f = chart(t) - target
        if f == 0:
            return t
        if (f > 0) == (fa > 0):
            a, fa = t, f
        else:
            b, fb = t, f
        known.append((t, f))
        halve, best = 2 * abs(f) > best and not halve, min(best, abs(f))
    raise ArithmeticError(f"the variable does not reach {float(target)!r} between {float(low)!r} and {float(high)!r}")


def _interpolated(points: Sequence[tuple[Real, Real]]) -> Real:
    """Neville's scheme for t as a polynomial in f, at f = 0."""
    values = [t for t, _ in points]
    levels = [f for _, f in points]
    for k in range(1, len(points)):
        for i in range(len(points) - k):
            gap = levels[i + k] - levels[i]
            if gap == 0:
                return (points[-1][0] + points[-2][0]) / 2
            values[i] = (levels[i + k] * values[i] - levels[i] * values[i + 1]) / gap
    return values[0]


__all__ = ["solve_for"]
