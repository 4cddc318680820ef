r"""The path of least kinetic energy between noise and data: a straight line in the right polar coordinates.

With x_t = a x1 + m z, E|x1|^2 = d, (a, m) = r (sin theta, cos theta) and lambda(s) = E|E[x1 | x]|^2/d at s = a/m, the
velocity field of the path has the kinetic energy (arXiv:2306.06626, Thm. 3.1)

    int r'^2 + r^2 gamma(theta) theta'^2 dt,   gamma(theta) = 1 - (1 - lambda(tan theta))/cos^2 theta >= 0,

which in phi = int_0^theta sqrt(gamma) is that of a curve in the plane with polar coordinates (r, phi). From (1, 0) to
(1, Phi), Phi = phi(pi/2) <= pi/2, the minimum is the straight line

    r^2 = 1 - b t (1 - t),   phi = atan2(t sin Phi, 1 - t + t cos Phi),   b = 4 sin^2(Phi/2), the energy,

so the boundary-value problem is one integral and its inverse. sqrt(gamma) is a Chebyshev series in theta.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from derive.symbolic.alphabet import s
from derive.symbolic.chebyshev import CONTEXT, chop
from derive.symbolic.evaluate import clenshaw, derivative_coefficients, evaluate, mpmath_algebra

ALGEBRA = mpmath_algebra(CONTEXT.prec)
COUNTS = (16, 32, 64, 128, 256, 512)
RESOLVED = 1e-28
"""Size of the last tenth of a series, as a part of its largest term or of 1, at which no longer one is tried."""
SPEED, FITTED = 1e-17, 1e-14
"""What that may be where the longest is reached: of sqrt(gamma), and of the curve that is emitted."""
NEGLIGIBLE = 1e-17
"""What the emitted series leaves out."""
VANISHES = 1e-10
"""sqrt(gamma) at an end below this part of its largest value is 0; and so is its slope."""
ROUNDING = 2.0**-150
"""Of lambda."""
NEWTON = 5


@dataclass(frozen=True, slots=True)
class Geodesic:
    """b: the energy. powers: (p0, p1) with tan(theta) = t^p0 / (1 - t)^p1 e^g. g: Chebyshev coefficients of g on [0, 1].

    Their variable is :func:`variable`: t, or what makes a curve smooth that begins or ends as a root.
    """

    b: float
    powers: tuple[sp.Rational, sp.Rational]
    g: tuple[float, ...]


def variable(powers: tuple[sp.Rational, sp.Rational], t: sp.Expr) -> sp.Expr:
    """t, sqrt(t), 1 - sqrt(1 - t), or tan(asin(sqrt(t))/2), from 0 to 1: for neither, p0, p1, both equal to 1/2."""
    first, last = (power != 1 for power in powers)
    if first and last:
        return sp.sqrt(t) / (1 + sp.sqrt(1 - t))
    return sp.sqrt(t) if first else 1 - sp.sqrt(1 - t) if last else t


def _time(powers: tuple[sp.Rational, sp.Rational], w: Any) -> tuple[Any, Any]:
    """t and 1 - t at a value of the variable."""
    first, last = (power != 1 for power in powers)
    if first and last:
        return (2 * w / (1 + w**2)) ** 2, ((1 - w**2) / (1 + w**2)) ** 2
    if first:
        return w**2, 1 - w**2
    return (w * (2 - w), (1 - w) ** 2) if last else (w, 1 - w)


@lru_cache(maxsize=16)
def geodesic(separation: sp.Expr) -> Geodesic:
    """The path for lambda(s) = ``separation``.

    Raises ValueError (one line) where lambda is not from s^2/(1 + s^2) to 1, where gamma vanishes inside or faster than
    with the square of the distance to an end, or where it is not smooth enough for a series of 512 terms.
    """
    half = CONTEXT.pi / 4
    speed = _series(lambda theta: _speed(separation, theta), half, SPEED)
    powers = (_power(speed, -1), _power(speed, 1))
    arc = _integral(speed, half)
    whole = clenshaw(arc, CONTEXT.mpf(1))
    sine, cosine = CONTEXT.sin(whole), CONTEXT.cos(whole)
    invert = _Inverse(arc, speed, half)
    p0, p1 = (CONTEXT.mpf(int(p.p)) / int(p.q) for p in powers)

    def curve(w: Any) -> Any:
        t, rest = _time(powers, w)
        theta = invert(CONTEXT.atan2(t * sine, rest + t * cosine))
        return CONTEXT.log(CONTEXT.tan(theta)) - p0 * CONTEXT.log(t) + p1 * CONTEXT.log(rest)

    g = _series(curve, CONTEXT.mpf(1) / 2, FITTED)
    return Geodesic(float(4 * CONTEXT.sin(whole / 2) ** 2), powers, chop(g, NEGLIGIBLE))


def _speed(separation: sp.Expr, theta: Any) -> Any:
    """sqrt(gamma(theta)) inside (0, pi/2)."""
    at = CONTEXT.tan(theta)
    try:
        known = evaluate(separation, {s: at}, ALGEBRA)
    except (ZeroDivisionError, ValueError, TypeError):
        raise ValueError(f"separation is not finite at s = {float(at):.4g}; allowed: finite") from None
    gamma = 1 - (1 - known) * (1 + at**2)
    real = CONTEXT.isfinite(known) and CONTEXT.im(known) == 0
    if not (real and known <= 1 and gamma >= -ROUNDING * (1 + at**2)):
        allowed = "from s^2/(1 + s^2) to 1, as E|E[x1|x]|^2/E|x1|^2 is"
        raise ValueError(f"separation is {CONTEXT.nstr(known, 6)} at s = {float(at):.4g}; allowed: {allowed}")
    return CONTEXT.sqrt(max(gamma, CONTEXT.mpf(0)))


def _series(curve: Callable[[Any], Any], half: Any, accepted: float) -> list[Any]:
    """Chebyshev coefficients of a curve on [0, 2 half], at the first of COUNTS that resolves it."""
    for count in COUNTS:
        cosines = [CONTEXT.cospi(CONTEXT.mpf(m) / (2 * count)) for m in range(4 * count)]
        samples = [curve(half * (1 + cosines[2 * k + 1])) for k in range(count)]
        series = [
            sum((v * cosines[(2 * k + 1) * j % (4 * count)] for k, v in enumerate(samples)), CONTEXT.mpf(0))
            * (1 if j == 0 else 2) / count
            for j in range(count)
        ]  # fmt: skip
        tail = max(map(abs, series[-(count // 10) :])) / max(1, *map(abs, series))
        if tail <= RESOLVED:
            return series
    if tail > accepted:
        message = f"separation gives a path that {count} terms leave {float(tail):.1e} of"
        raise ValueError(f"{message}; allowed: smooth, and above s^2/(1 + s^2) inside")
    return series


def _power(speed: Sequence[Any], end: int) -> sp.Rational:
    """How tan(theta) grows with t at an end: 1, or 1/2 where sqrt(gamma) has a simple zero."""
    largest = max(map(abs, speed))
    if largest > VANISHES and abs(clenshaw(speed, CONTEXT.mpf(end))) > VANISHES * largest:
        return sp.Integer(1)
    if largest <= VANISHES or abs(clenshaw(derivative_coefficients([*speed]), CONTEXT.mpf(end))) <= VANISHES * largest:
        where = "s = 0" if end < 0 else "infinite s"
        raise ValueError(
            f"separation is too close to s^2/(1 + s^2) at {where}; allowed: apart by more than s^4/(1 + s^2)^2"
        )
    return sp.Rational(1, 2)


def _integral(speed: Sequence[Any], half: Any) -> list[Any]:
    """The series of int_0^theta."""
    c = [*speed, CONTEXT.mpf(0), CONTEXT.mpf(0)]
    rising = [half * ((2 if k == 1 else 1) * c[k - 1] - c[k + 1]) / (2 * k) for k in range(1, len(speed) + 1)]
    return [-sum((v * (-1) ** k for k, v in enumerate(rising, 1)), CONTEXT.mpf(0)), *rising]


class _Inverse:
    """theta of phi: by halving in float64, then Newton's method in full precision."""

    def __init__(self, arc: Sequence[Any], speed: Sequence[Any], half: Any) -> None:
        self.arc, self.speed, self.half = arc, speed, half
        self.coarse = [float(c) for c in arc]

    def __call__(self, phi: Any) -> Any:
        low, high, wanted = -1.0, 1.0, float(phi)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if clenshaw(self.coarse, middle) < wanted else (low, middle)
        x = CONTEXT.mpf(low + high) / 2
        for _ in range(NEWTON):
            x -= (clenshaw(self.arc, x) - phi) / (clenshaw(self.speed, x) * self.half)
            x = min(max(x, CONTEXT.mpf(-1) + CONTEXT.eps), CONTEXT.mpf(1) - CONTEXT.eps)
        return self.half * (1 + x)
