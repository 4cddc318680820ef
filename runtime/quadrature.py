r"""Moments of a weight on one step, to 2^-80: for the kernels that have no closed form.

.. math:: \mu_k = \int_s^t w(u)\,\theta(u)^k\,du, \qquad \theta(u) = \frac{\chi(u) - \chi(s)}{\chi(t) - \chi(s)}

At the data end a schedule behaves like a function of :math:`\sqrt{|u - t_{data}|}` (sigma of a VP schedule), which
spoils any rule in ``u``; in ``y = sqrt|u - data|`` the integrand is analytic and Gauss-Legendre converges geometrically
(u = data -+ y^2, du = -+ 2 y dy).  A rule of n points is accepted when it agrees with the rule of 2n points to 2^-80 of
the integral of |w|; the result is that of 2n points, whose error is about the square of the difference.  A panel that
does not converge with 64 points is bisected.  The result depends on the arguments only; nothing is shared between calls
but the table of nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from runtime.real import PRECISION, Real, cos, pi, real, sqrt

AGREEMENT = real(2) ** -80
"""Relative agreement of the n and the 2n point rules that is asked for."""
_RULES = (8, 16, 32, 64)
_DEEPEST = 200
_MOST = 60_000
Curve = Callable[[Real], Real]


class QuadratureError(ArithmeticError):
    """The integrand is not smooth enough (a jump, or a singularity that is not the square root at the data end)."""


@cache
def gauss_legendre(n: int) -> tuple[tuple[Real, Real], ...]:
    """Nodes and weights on [-1, 1], n points, to about 2^-310: Newton on P_n from the Tricomi estimate."""
    out = []
    for i in range(n // 2):
        x = cos(pi * (4 * i + 3) / (4 * n + 2)) * (1 - real(n - 1) / (8 * n**3))
        while True:
            value, slope = _legendre(n, x)
            step = value / slope
            x -= step
            if abs(step) < real(2) ** -(PRECISION // 2 + 8):  # quadratic convergence: the error now is the square
                break
        slope = _legendre(n, x)[1]
        weight = 2 / ((1 - x * x) * slope * slope)
        out += [(-x, weight), (x, weight)]
    if n % 2:
        out.append((real(0), 2 / _legendre(n, real(0))[1] ** 2))
    return tuple(sorted(out))


def _legendre(n: int, x: Real) -> tuple[Real, Real]:
    """P_n(x) and P_n'(x)."""
    before, value = real(1), x
    for k in range(2, n + 1):
        before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
    return value, n * (x * value - before) / (x * x - 1)


def moments(
    weight: Curve, chart: Curve, s: Any, t: Any, count: int, data: Any, knots: Sequence[float] = ()
) -> tuple[Real, ...]:
    """(mu_0, .., mu_{count-1}) of the step from time ``s`` to ``t``.

    weight, chart: functions of a Real time, smooth on the open step (a square-root singularity at ``data`` is fine).
    data: the data end of the schedule's interval; s and t lie on one side of it.
    knots: times at which a derivative jumps (a table joined by straight lines): panels end there.
    Raises QuadratureError if the rules do not come to agree. Relative error of mu_k below 2^-80 of mu_0.
    """
    s, t = real(s), real(t)
    if count == 1:  # the chart does not matter, and may be infinite at an end
        return _integrate(lambda u: [weight(u)], s, t, 1, real(data), knots)
    start = chart(s)
    width = chart(t) - start

    def integrand(u: Real) -> list[Real]:
        theta = (chart(u) - start) / width
        values = [weight(u)]
        for _ in range(count - 1):
            values.append(values[-1] * theta)
        return values

    return _integrate(integrand, s, t, count, real(data), knots)


def integral(f: Curve, s: Any, t: Any, data: Any, knots: Sequence[float] = ()) -> Real:
    """The integral of ``f`` from ``s`` to ``t``; arguments as in :func:`moments`."""
    return _integrate(lambda u: [f(u)], real(s), real(t), 1, real(data), knots)[0]


def _integrate(
    f: Callable[[Real], list[Real]], s: Real, t: Real, count: int, data: Real, knots: Sequence[float]
) -> tuple[Real, ...]:
    """Vector-valued adaptive rule in y = sqrt|u - data|."""
    if (s - data) * (t - data) < 0:
        raise ValueError(f"the data end {float(data)!r} lies inside the step from {float(s)!r} to {float(t)!r}")
    side = 1 if s + t > 2 * data else -1
    low, high = min(s, t), max(s, t)
    inner = sorted((real(k) for k in knots if low < k < high), reverse=s > t)
    ends = [sqrt(side * (u - data)) for u in (s, *inner, t)]
    total, size, used = [real(0)] * count, real(0), 0

    def rule(a: Real, b: Real, n: int) -> tuple[list[Real], Real]:
        middle, half = (a + b) / 2, (b - a) / 2
        sums, absolute = [real(0)] * count, real(0)
        for node, w in gauss_legendre(n):
            y = middle + half * node
            factor = w * y
            values = [factor * v for v in f(data + side * y * y)]
            sums = [p + q for p, q in zip(sums, values)]
            absolute += abs(values[0])
        scale = 2 * side * half
        return [scale * v for v in sums], abs(scale * absolute)

    panels = [(a, b, 0) for a, b in itertools.pairwise(ends)][::-1]
    while panels:
        a, b, depth = panels.pop()
        coarse, _ = rule(a, b, _RULES[0])
        for n in _RULES[1:]:
            fine, absolute = rule(a, b, n)
            used += n
            if _agree(coarse, fine, max(absolute, size)):
                total = [p + q for p, q in zip(total, fine)]
                size += absolute
                break
            coarse = fine
        else:
            if depth >= _DEEPEST or used > _MOST:
                raise QuadratureError(f"no convergence on the step from t = {float(s)!r} to {float(t)!r}")
            middle = (a + b) / 2
            panels += [(middle, b, depth + 1), (a, middle, depth + 1)]
    return tuple(total)


def _agree(coarse: list[Real], fine: list[Real], size: Real) -> bool:
    """Every component to 2^-80 of the integral of |w|. NaN never agrees."""
    return all(abs(p - q) <= AGREEMENT * size for p, q in zip(coarse, fine))


__all__ = ["AGREEMENT", "QuadratureError", "gauss_legendre", "integral", "moments"]
