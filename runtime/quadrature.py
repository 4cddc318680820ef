r"""Moments of a weight on one step, to 2^-72 and beyond: for the kernels that have no closed form.

.. math:: \mu_k = \int_s^t w(u)\,\theta(u)^k\,du, \qquad \theta(u) = \frac{\chi(u) - \chi(s)}{\chi(t) - \chi(s)}

At the data end a schedule behaves like a function of :math:`\sqrt{|u - t_{data}|}` (sigma of a VP schedule), which
spoils any rule in ``u``; in ``y = sqrt|u - data|`` the integrand is analytic and Gauss-Legendre converges geometrically
(u = data -+ y^2, du = -+ 2 y dy).  A rule is accepted when the next finer one agrees with it; the result is that of the
finer one.  Of the Gauss rules of n and n + 1 points the first is wrong by about the coefficient 2n of the integrand's
Legendre series, the second by the coefficient 2n + 2.  A panel that does not converge with 64 points is bisected.

The agreement asked for is 2^-(60 + 4 count) of the integral of |w|: the weights of ``count`` nodes are combinations of
the moments that may be larger than their sum by a power of the step ratios, so more nodes ask for more digits.  The
result depends on the arguments only; nothing is shared between calls but the table of nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from runtime.real import Real, cos, pi, real, sqrt, total

_BITS, _BITS_PER_NODE = 60, 4
_INTEGRAL_BITS = 80
"""A single integral may stand in an exponent: its error counts absolutely."""
_RULES = (7, 8, 10, 12, 16, 24, 32, 64)
_SPLITS = 200
"""Panels that may be bisected in one call."""
_NEWTON = 6
"""Newton steps from the estimate cos(pi (4i + 3)/(4n + 2)): its error of less than 1/n^2 squares each time."""
Curve = Callable[[Real], Real]


class QuadratureError(ArithmeticError):
    """The integrand is not smooth enough (a jump, or a singularity that is not the square root at the data end)."""


@cache
def gauss_legendre(n: int) -> tuple[tuple[Real, Real], ...]:
    """Nodes and weights on [-1, 1], n points, to about 2^-310: Newton on P_n."""
    out = []
    for i in range(n // 2):
        x = cos(pi * (4 * i + 3) / (4 * n + 2))
        for _ in range(_NEWTON):
            value, slope = _legendre(n, x)
            x -= value / slope
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
    Raises QuadratureError if the rules do not come to agree. Error of mu_k below :func:`agreement` of the integral of |w|.
    """
    s, t, data = real(s), real(t), real(data)
    if count == 1:  # the chart does not matter, and may be infinite at an end
        return _integrate(weight, _identity, s, t, 1, data, knots, agreement(1))
    start = chart(s)
    scale = 1 / (chart(t) - start)
    return _integrate(weight, lambda u: (chart(u) - start) * scale, s, t, count, data, knots, agreement(count))


def agreement(count: int) -> Real:
    """Relative agreement of two successive rules that is asked for, ``count`` moments."""
    return real(2) ** -(_BITS + _BITS_PER_NODE * count)


def integral(f: Curve, s: Any, t: Any, data: Any, knots: Sequence[float] = ()) -> Real:
    """The integral of ``f`` from ``s`` to ``t``, to 2^-80 of that of |f|; arguments as in :func:`moments`."""
    (value,) = _integrate(f, _identity, real(s), real(t), 1, real(data), knots, real(2) ** -_INTEGRAL_BITS)
    return value


def _identity(u: Real) -> Real:
    return u


def _integrate(
    weight: Curve, theta: Curve, s: Real, t: Real, count: int, data: Real, knots: Sequence[float], tolerance: Real
) -> tuple[Real, ...]:
    """Integrals of weight theta^k, k < count: the adaptive rule in y = sqrt|u - data|."""
    if (s - data) * (t - data) < 0:
        raise ValueError(f"the data end {float(data)!r} lies inside the step from {float(s)!r} to {float(t)!r}")
    low, high = min(s, t), max(s, t)
    side = 1 if high > data else -1
    inner = sorted((real(k) for k in knots if low < k < high), reverse=s > t)
    ends = [sqrt(side * (u - data)) for u in (s, *inner, t)]
    sums, size, splits = [real(0)] * count, real(0), 0

    def rule(a: Real, b: Real, n: int) -> tuple[list[Real], list[Real]]:
        """The n point rule on [a, b]; the values of the weight in it."""
        middle, half = (a + b) / 2, (b - a) / 2
        values, ratios = [], []
        for node, w in gauss_legendre(n):
            y = middle + half * node
            u = data + y * y if side > 0 else data - y * y
            values.append(w * y * weight(u))
            ratios.append(theta(u) if count > 1 else u)
        scale, powers, out = 2 * side * half, values, [total(values)]
        for _ in range(1, count):
            powers = [v * r for v, r in zip(powers, ratios)]
            out.append(total(powers))
        return [scale * v for v in out], [scale * v for v in values]

    panels = list(itertools.pairwise(ends))[::-1]
    while panels:
        a, b = panels.pop()
        coarse, _ = rule(a, b, _RULES[0])
        for n in _RULES[1:]:
            fine, values = rule(a, b, n)
            absolute = total([abs(v) for v in values])
            if _agree(coarse, fine, tolerance * max(absolute, size)):
                sums = [p + q for p, q in zip(sums, fine)]
                size += absolute
                break
            coarse = fine
        else:
            splits += 1
            if splits == _SPLITS:
                raise QuadratureError(f"no convergence on the step from t = {float(s)!r} to {float(t)!r}")
            middle = (a + b) / 2
            panels += [(middle, b), (a, middle)]
    return tuple(sums)


def _agree(coarse: list[Real], fine: list[Real], bound: Real) -> bool:
    """Every component to ``bound``. NaN never agrees."""
    return all(abs(p - q) <= bound for p, q in zip(coarse, fine))


__all__ = ["QuadratureError", "agreement", "gauss_legendre", "integral", "moments"]
