r"""Rationals with square roots, exactly: sum_n q_n sqrt(n) over square-free n.

Square roots of distinct square-free integers are linearly independent over Q, so equal numbers have equal terms, and a
number is zero exactly when it has none. A number without roots is an element of ``QQ``; :class:`Surd` only has others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isqrt
from typing import Any

import sympy as sp
from sympy import QQ

MAX_RADICAND = 10**4
"""Radicands are split into primes."""

Rational = type(QQ(1))


def rational(value: Any) -> Any:
    """An int, Fraction or element of ``QQ`` as an element of ``QQ``."""
    return value if isinstance(value, Rational) else QQ(int(value.numerator), int(value.denominator))


def _is_rational(value: Any) -> bool:
    return isinstance(value, (int, Fraction, Rational)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Surd:
    """``sum q sqrt(n)`` as ((n, q), ..): n square-free and rising, q not zero, at least one n above 1."""

    terms: tuple[tuple[int, Any], ...]

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Surd) and not _is_rational(other):
            return NotImplemented
        total = dict(self.terms)
        for n, q in _terms(other):
            total[n] = total.get(n, QQ(0)) + q
        return number(total)

    __radd__ = __add__

    def __neg__(self) -> Surd:
        return Surd(tuple((n, -q) for n, q in self.terms))

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Surd) and not _is_rational(other):
            return NotImplemented
        total: dict[int, Any] = {}
        for m, p in self.terms:
            for n, q in _terms(other):
                common = gcd(m, n)
                root = m * n // common**2
                total[root] = total.get(root, QQ(0)) + p * q * common
        return number(total)

    __rmul__ = __mul__

    def inverse(self) -> Any:
        """1/x: (u - v)/(u^2 - v^2), v the terms whose root contains one chosen prime; u^2 - v^2 does not contain it."""
        prime = min(p for n, _ in self.terms if n > 1 for p in sp.primefactors(n))
        flipped = number({n: -q if n % prime == 0 else q for n, q in self.terms})
        norm = self * flipped
        return flipped * (norm.inverse() if isinstance(norm, Surd) else 1 / norm)

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, Surd):
            return self * other.inverse()
        return self * (1 / rational(other)) if _is_rational(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Any:
        return self.inverse() * other

    def __pow__(self, exponent: int) -> Any:
        out: Any = QQ(1)
        for _ in range(abs(exponent)):
            out = self * out
        return out if exponent >= 0 else 1 / out

    def __abs__(self) -> Surd:
        return self if sign(self) > 0 else -self

    def __lt__(self, other: Any) -> bool:
        return sign(self - other) < 0

    def __gt__(self, other: Any) -> bool:
        return sign(self - other) > 0

    def __float__(self) -> float:
        return float(approximation(self, 40))

    def as_expr(self) -> sp.Expr:
        """As SymPy writes it."""
        return sp.Add(*(sp.Rational(int(q.numerator), int(q.denominator)) * sp.sqrt(n) for n, q in self.terms))

    def __str__(self) -> str:
        return number_words(self)


def _terms(value: Any) -> tuple[tuple[int, Any], ...]:
    return value.terms if isinstance(value, Surd) else ((1, rational(value)),)


def number(terms: Mapping[int, Any]) -> Any:
    """``sum q sqrt(n)``: a :class:`Surd`, or an element of ``QQ`` if no root is left. n: square-free."""
    left = tuple(sorted((n, q) for n, q in terms.items() if q))
    if not left:
        return QQ(0)
    return left[0][1] if len(left) == 1 and left[0][0] == 1 else Surd(left)


def square_root(value: Any) -> Any:
    """sqrt of a rational that is not negative. Raises ValueError where numerator times denominator is too large."""
    value = rational(value)
    if value < 0:
        raise ValueError("a root of a negative number is not a real number")
    p, q = int(value.numerator), int(value.denominator)
    whole = isqrt(p * q)
    if whole**2 == p * q:
        return QQ(whole, q)
    if p * q > MAX_RADICAND:
        raise ValueError(f"the root of {p}/{q}; allowed: numerator times denominator up to {MAX_RADICAND}")
    outside, inside = 1, 1
    for prime, power in sp.factorint(p * q).items():
        outside *= prime ** (power // 2)
        inside *= prime ** (power % 2)
    return number({inside: QQ(outside, q)})


def approximation(value: Any, digits: int) -> Fraction:
    """``value`` with an error below sum |q_n| 10^-digits."""
    total, scale = Fraction(0), 10**digits
    for n, q in _terms(value):
        total += Fraction(int(q.numerator), int(q.denominator)) * Fraction(isqrt(n * scale**2), scale)
    return total


def sign(value: Any) -> int:
    """-1, 0 or 1, decided exactly."""
    if not isinstance(value, Surd):
        return (value > 0) - (value < 0)
    digits, bound = 20, sum(abs(Fraction(int(q.numerator), int(q.denominator))) for _, q in value.terms)
    while abs(approximation(value, digits)) <= bound / 10**digits:
        digits *= 2
    return 1 if approximation(value, digits) > 0 else -1


def number_words(value: Any) -> str:
    """``1/2``, ``sqrt(6)/10``, ``2/5 - sqrt(6)/10``: text that reads back as the same number."""
    out = ""
    for n, q in _terms(value):
        p, bottom = int(q.numerator), int(q.denominator)
        head = str(abs(p)) if n == 1 else (f"sqrt({n})" if abs(p) == 1 else f"{abs(p)}*sqrt({n})")
        text = head if bottom == 1 else f"{head}/{bottom}"
        joined = f" {'-' if p < 0 else '+'} {text}" if out else f"{'-' if p < 0 else ''}{text}"
        out += joined
    return out


__all__ = ["Surd", "approximation", "number", "number_words", "rational", "sign", "square_root"]
