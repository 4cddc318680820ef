r"""Moments where the integrating factor has no closed form: the propagator comes from a Chebyshev series of the drift.

.. math:: \Phi(t, u) = \exp\int_u^t A, \qquad \mu_k = \int_s^t \Phi(t, u)\,B(u)\,\theta(u)^k\,du

A is expanded once per step in y = sqrt|u - data| (where the square root of a schedule's data end is smooth) and integrated
term by term, so that each of the quadrature's nodes costs one Clenshaw sum instead of a quadrature of its own. The series
is accepted when its last eighth is below 2^-90 of its largest coefficient; the number of terms depends on the arguments only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from runtime.quadrature import Curve, QuadratureError, integral, moments
from runtime.real import Real, cos, exp, pi, real, sqrt

NEGLIGIBLE = real(2) ** -90
_TERMS = (24, 48, 96, 192)


def propagated(
    speed: Curve, drift: Curve, chart: Curve, s: Any, t: Any, count: int, data: Any, knots: Sequence[float] = ()
) -> tuple[Real, ...]:
    """(Phi(t, s), mu_0, .., mu_{count-1}) of the step from time ``s`` to ``t``.

    speed, drift: B(u) and A(u) of x' = A x + B F, functions of a Real time; the others as in
    :func:`runtime.quadrature.moments`. Raises QuadratureError if A is not smooth between the knots.
    """
    s, t, data = real(s), real(t), real(data)
    if not count:
        return (exp(integral(drift, s, t, data, knots)),)
    carry = propagator(drift, s, t, data, knots)
    return carry(s), *moments(lambda u: carry(u) * speed(u), chart, s, t, count, data, knots)


def propagator(drift: Curve, s: Real, t: Real, data: Real, knots: Sequence[float] = ()) -> Curve:
    """``u -> exp(int_u^t A)`` for u between s and t."""
    side = 1 if s + t > 2 * data else -1
    low, high = min(s, t), max(s, t)
    inner = sorted((real(k) for k in knots if low < k < high), reverse=s > t)
    ends = [sqrt(side * (u - data)) for u in (s, *inner, t)]

    def slope(y: Real) -> Real:
        return 2 * side * y * drift(data + side * y * y)

    pieces = [(a, b, _integrated(slope, a, b)) for a, b in itertools.pairwise(ends)]
    after = [real(0)]
    for _, _, whole in pieces[:0:-1]:
        after.append(after[-1] + whole(real(-1)))
    after.reverse()

    def carry(u: Any) -> Real:
        y = sqrt(side * (real(u) - data))
        for (a, b, rest), later in zip(pieces, after, strict=True):
            if min(a, b) <= y <= max(a, b):
                return exp(rest((2 * y - a - b) / (b - a)) + later)
        raise ValueError(f"time {float(u)!r} is outside the step from {float(s)!r} to {float(t)!r}")

    return carry


def _integrated(f: Curve, a: Real, b: Real) -> Callable[[Real], Real]:
    """``x -> int_x^1`` of f over [a, b] mapped to [-1, 1]."""
    middle, half = (a + b) / 2, (b - a) / 2
    for n in _TERMS:
        values = [f(middle + half * x) for x in _nodes(n)]
        c = [2 * sum((v * w for v, w in zip(values, row)), start=real(0)) / n for row in _cosines(n)]
        if max(map(abs, c[-n // 8 :])) <= NEGLIGIBLE * max(map(abs, c)):
            break
    else:
        raise QuadratureError(f"the drift is not smooth between y = {float(a)!r} and {float(b)!r}")
    series = [real(0)] + [half * (c[k - 1] - (c[k + 1] if k + 1 < n else 0)) / (2 * k) for k in range(1, n)]
    end = _clenshaw(series, real(1))
    return lambda x: end - _clenshaw(series, x)


def _clenshaw(c: list[Real], x: Real) -> Real:
    """sum_k c_k T_k(x)."""
    later, last = real(0), real(0)
    for value in c[:0:-1]:
        later, last = 2 * x * later - last + value, later
    return x * later - last + c[0]


@cache
def _nodes(n: int) -> tuple[Real, ...]:
    """Chebyshev points of the first kind."""
    return tuple(cos(pi * (2 * j + 1) / (2 * n)) for j in range(n))


@cache
def _cosines(n: int) -> tuple[tuple[Real, ...], ...]:
    """T_k at the points: row k."""
    table = [cos(pi * m / (2 * n)) for m in range(4 * n)]
    return tuple(tuple(table[k * (2 * j + 1) % (4 * n)] for j in range(n)) for k in range(n))


__all__ = ["propagated", "propagator"]
