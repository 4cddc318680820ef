r"""Numbers in float64 that bound their own error, for rows of which there are very many.

``Near(v, e)``: the exact value lies in [v - e, v + e]. Every operation adds what it rounds (running error analysis: Higham,
Accuracy and Stability of Numerical Algorithms, 3.3), so a result says how good it is, whatever formula it came from: an
operation takes 0.3 us, of 320 bits 1 to 10 us. :func:`near` rebinds a generated ``coefficients`` module to these numbers;
:func:`settled` rounds a result that is as good as ``GOOD``, and raises ``Uncertain`` for one that is not: then 320 bits do it.

Bounds are computed in float64 too: their own rounding, below 1e-12 of them after a thousand operations, is left out. The C
library's functions are taken to be right to two units in the last place (glibc, macOS and the UCRT state less than one).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from runtime.rebind import functions, rebound

_U = 2.0**-53 * (1 + 1e-6)
_LIBRARY = 4 * _U
_TINY = 1e-300
"""More than what is lost where a result underflows."""
_EXACT = 2**53
GOOD = 2.0**-45
"""What is good enough (3e-14), of the largest of the numbers that are added in one place."""


class Uncertain(ArithmeticError):
    """The error bound of a number is too large."""


class Near:
    """A float and a bound of its error."""

    __slots__ = ("e", "v")

    def __init__(self, v: float, e: float = 0.0) -> None:
        self.v, self.e = v, e

    def __float__(self) -> float:
        return self.v

    def __repr__(self) -> str:
        return f"Near({self.v!r}, {self.e!r})"

    def __neg__(self) -> Near:
        return Near(-self.v, self.e)

    def __add__(self, other: Any) -> Near:
        if other.__class__ is not Near:
            other = near_number(other)
        v = self.v + other.v
        return Near(v, self.e + other.e + _U * abs(v))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Near:
        if other.__class__ is not Near:
            other = near_number(other)
        v = self.v - other.v
        return Near(v, self.e + other.e + _U * abs(v))

    def __rsub__(self, other: Any) -> Near:
        return near_number(other) - self

    def __mul__(self, other: Any) -> Near:
        a = self.v
        if other.__class__ is int and -_EXACT <= other <= _EXACT:
            v = a * other
            return Near(v, self.e * abs(other) + _U * abs(v) + _TINY)
        if other.__class__ is not Near:
            other = near_number(other)
        b = other.v
        v = a * b
        return Near(v, self.e * (abs(b) + other.e) + other.e * abs(a) + _U * abs(v) + _TINY)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Near:
        if other.__class__ is int and 0 < other <= _EXACT:
            v = self.v / other
            return Near(v, self.e / other + _U * abs(v) + _TINY)
        if other.__class__ is not Near:
            other = near_number(other)
        b = abs(other.v)
        if not other.e < b:
            raise Uncertain("a divisor may be zero")
        v = self.v / other.v
        return Near(v, (self.e + other.e * abs(v)) / (b - other.e) + _U * abs(v) + _TINY)

    def __rtruediv__(self, other: Any) -> Near:
        return near_number(other) / self

    def __pow__(self, power: int) -> Near:
        if type(power) is not int or not 1 <= power <= 8:
            raise Uncertain(f"the power {power!r}")
        out = self
        for _ in range(power - 1):
            out = out * self
        return out


def near_number(x: Any) -> Near:
    """An int, float, Fraction or Real; exact ones have no error."""
    if x.__class__ is Near:
        return x
    if x.__class__ is int and -_EXACT <= x <= _EXACT:
        return Near(float(x))
    v = float(x)
    return Near(v, 0.0 if v == x else _U * abs(v) + _TINY)


def _lifted(function: Callable[[float], float], slope: Callable[[float, float], float], x: Any) -> Near:
    """function(x); slope(v, e): an upper bound of its derivative on [v - e, v + e]."""
    x = near_number(x)
    v = function(x.v)
    return Near(v, x.e * slope(x.v, x.e) * (1 + 4 * _U) + _LIBRARY * abs(v) + _TINY)


def _reciprocal(least: float) -> float:
    if not least > 0:
        raise Uncertain("a logarithm or root next to 0")
    return 1 / least


_TERMS = 18
_INVERSE = [near_number(Fraction(1, math.factorial(k))) for k in range(12)]


def phis(n: int, z: Any) -> tuple[Near, ...]:
    r"""(phi_1(z), .., phi_n(z)). |z| <= 1: phi_n by its series, the others downwards, phi_k = z phi_{k+1} + 1/k!; else upwards.

    Of the series: |phi_n|, |phi_n'| <= phi_n(|z|) <= e^{|z|}/n!; 18 terms leave 1e-17 of it, Horner's rounding is below 8 units.
    """
    z = near_number(z)
    if abs(z.v) > 1:
        phi = _lifted(math.expm1, lambda v, e: math.exp(v + e), z) / z
        out = [phi]
        for k in range(1, n):
            phi = (phi - _INVERSE[k]) / z
            out.append(phi)
        return tuple(out)
    x, total = z.v, 1.0
    for j in range(n + _TERMS, n, -1):
        total = 1.0 + x / j * total
    size = math.exp(abs(x) + z.e) * _INVERSE[n].v
    phi = Near(total * _INVERSE[n].v, (8 * _U + z.e) * size)
    out = [phi]
    for k in range(n - 1, 0, -1):
        phi = z * phi + _INVERSE[k]
        out.append(phi)
    return tuple(reversed(out))


def _wide(v: float, e: float) -> float:
    return math.cosh(abs(v) + e)


def _one(v: float, e: float) -> float:
    return 1.0


def _grown(v: float, e: float) -> float:
    return math.exp(v + e)


_FUNCTIONS: dict[str, Callable] = {
    "exp": partial(_lifted, math.exp, _grown), "expm1": partial(_lifted, math.expm1, _grown),
    "log": partial(_lifted, math.log, lambda v, e: _reciprocal(v - e)),
    "log1p": partial(_lifted, math.log1p, lambda v, e: _reciprocal((1 + v) * (1 - _U) - e)),
    "sin": partial(_lifted, math.sin, _one), "cos": partial(_lifted, math.cos, _one),
    "atan": partial(_lifted, math.atan, _one), "tanh": partial(_lifted, math.tanh, _one),
    "sinh": partial(_lifted, math.sinh, _wide), "cosh": partial(_lifted, math.cosh, _wide),
    "sqrt": partial(_lifted, math.sqrt, lambda v, e: _reciprocal(2 * math.sqrt(max(v - e, 0.0))) if e else 0.0),
    "phis": phis, "real": near_number,
}  # fmt: skip


def near(code: Any) -> SimpleNamespace | None:
    """The module in these numbers, its grid points at times that are floats; None if it needs more than they have.

    A grid point found by ``inner`` is at the float next to it, where the network is called: its schedule is exact there.
    """
    missing = [f for f in functions(tuple(vars(code).values())) if f.__module__.startswith("runtime.")]
    if any(f.__name__ not in _FUNCTIONS for f in missing):
        return None
    found = rebound(code, near_number, _FUNCTIONS | {"pi": Near(math.pi, _U * math.pi)})
    bindings, node = found.node.__globals__, found.node
    for name in _REPEATED & bindings.keys():
        bindings[name] = lru_cache(16)(bindings[name])
    bindings["node"] = found.node = lambda t: node(Near(*settled((t,))))
    return found


_REPEATED = {"alpha", "sigma", "rho", "dlambda"}
"""What the functions of one step ask for again and again, of the same numbers (the same objects: Near has no equality)."""


def settled(values: Iterable[Any]) -> tuple[float, ...]:
    """Numbers that are added in one place as floats; Uncertain unless all are as good as ``GOOD`` of the largest."""
    out = []
    largest = bound = 0.0
    for x in values:
        if x.__class__ is not Near:
            x = near_number(x)
        out.append(x.v)
        largest, bound = max(largest, abs(x.v)), bound + x.e
    if not bound <= GOOD * largest + _TINY / GOOD < math.inf:
        raise Uncertain("coefficients that float64 does not determine")
    return tuple(out)


__all__ = ["GOOD", "Near", "Uncertain", "near", "near_number", "phis", "settled"]
