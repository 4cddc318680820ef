"""Truncated Laurent series over the prime field F_p, p = 2^61 - 1: the arithmetic of the randomised order proof.

A jet ``h^v (c_0 + c_1 h + ... + c_{n-1} h^{n-1}) + O(h^{v+n})`` has its coefficients in F_p. An identity between real
series whose coefficients are rational functions of the data (random rationals and constants such as ``exp(c)``) is
mapped to an identity in F_p; a *non*-identity of degree d survives the random substitution with probability at least
1 - d/p (Schwartz-Zippel), so a valuation read off a jet is certain as an upper bound and wrong as a lower bound with
probability about 1e-16. The absolute precision O(h^{v+n}) is carried along: division by h costs exactly what it costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from operator import mul

P = (1 << 61) - 1
"""The modulus; p = 3 (mod 4), so a square root is one power."""

SIZE = 64
"""Most terms of a jet, and one more than the largest integer in :data:`INVERSE`."""
INVERSE = [0, 1]
for _i in range(2, SIZE):
    INVERSE.append((P - P // _i) * INVERSE[P % _i] % P)

Scalar = int | float | Fraction
"""Exact numbers: a float is the binary rational that it stores."""


class PrecisionError(ArithmeticError):
    """A leading coefficient is not known to the truncation order: work with longer jets."""


class NotAResidue(ArithmeticError):
    """A constant has no square root in F_p: draw other constants (or another base time) and run again."""


def residue(x: Scalar) -> int:
    """The image of an exact number in F_p."""
    if isinstance(x, int):
        return x % P
    exact = Fraction(x)
    return exact.numerator * pow(exact.denominator, -1, P) % P


def square_root(c: int) -> int:
    """The root ``r^2 = c`` that is itself a square (the choice is then multiplicative); NotAResidue without one."""
    root = pow(c, P // 4 + 1, P)  # (P + 1)/4
    if root * root % P != c % P:
        raise NotAResidue(f"{c} is not a square modulo 2^61 - 1")
    return root


def _product(a: Sequence[int], b: Sequence[int], n: int) -> list[int]:
    back = b[:n][::-1]
    return [sum(map(mul, a, back[n - 1 - k :])) % P for k in range(n)]


def _quotient(a: Sequence[int], b: Sequence[int], n: int) -> list[int]:
    """``a/b`` to n terms; b[0] is not zero."""
    lead = pow(b[0], -1, P)
    tail = [x * lead % P for x in b[1:n]]
    out: list[int] = []
    for k in range(n):
        out.append((a[k] * lead - sum(map(mul, tail, out[::-1]))) % P)
    return out


class Jet:
    """``h^valuation (c[0] + c[1] h + ...) + O(h^precision)``; immutable, and c[0] != 0 unless c is empty."""

    __slots__ = ("c", "valuation")

    def __init__(self, valuation: int, coefficients: Iterable[int]) -> None:
        c = tuple(coefficients)
        skip = 0
        for x in c:
            if x:
                break
            skip += 1
        self.valuation = valuation + skip
        self.c = c[skip:] if skip else c

    # -- construction and reading ------------------------------------------------------------------------------

    @staticmethod
    def constant(value: Scalar, terms: int) -> Jet:
        """``value + O(h^terms)``, and at least the value."""
        return Jet(0, [residue(value)] + [0] * (terms - 1))

    @staticmethod
    def variable(terms: int, start: Scalar = 0, slope: Scalar = 1) -> Jet:
        """``start + slope h + O(h^terms)``."""
        return Jet(0, [residue(start), residue(slope)] + [0] * (terms - 2))

    @property
    def precision(self) -> int:
        """The power of h from which on nothing is known."""
        return self.valuation + len(self.c)

    @property
    def is_zero(self) -> bool:
        """Every known coefficient is zero."""
        return not self.c

    def __getitem__(self, k: int) -> int:
        """Coefficient of ``h^k``."""
        if k >= self.precision:
            raise PrecisionError(f"coefficient {k} of a jet known to O(h^{self.precision})")
        return self.c[k - self.valuation] if k >= self.valuation else 0

    def dense(self, start: int = 0) -> list[int]:
        """Coefficients from ``h^start`` (not above the valuation) up to the precision."""
        return [0] * (self.valuation - start) + list(self.c)

    def truncated(self, precision: int) -> Jet:
        """The same jet, known to ``O(h^precision)`` at most."""
        stop = min(precision, self.precision)
        return Jet(min(self.valuation, stop), self.c[: max(stop - self.valuation, 0)])

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.c[:3])) + (", .." if len(self.c) > 3 else "")
        return f"Jet(h^{self.valuation} * [{shown}] + O(h^{self.precision}))"

    def __eq__(self, other: object) -> bool:
        """Equal to the common precision."""
        if not isinstance(other, (Jet, int, float, Fraction)):
            return NotImplemented
        return (self - other).is_zero

    __hash__ = None  # type: ignore[assignment]

    # -- field operations --------------------------------------------------------------------------------------

    def __neg__(self) -> Jet:
        return Jet(self.valuation, [-x % P for x in self.c])

    def __add__(self, other: Jet | Scalar) -> Jet:
        if not isinstance(other, Jet):
            if not isinstance(other, (int, float, Fraction)):
                return NotImplemented
            other = Jet.constant(other, self.precision)
        start = min(self.valuation, other.valuation)
        both = zip(self.dense(start), other.dense(start), strict=False)
        return Jet(start, [(x + y) % P for x, y in both])

    __radd__ = __add__

    def __sub__(self, other: Jet | Scalar) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Scalar) -> Jet:
        return -self + other

    def __mul__(self, other: Jet | Scalar) -> Jet:
        if isinstance(other, Jet):
            n = min(len(self.c), len(other.c))
            return Jet(self.valuation + other.valuation, _product(self.c, other.c, n))
        if not isinstance(other, (int, float, Fraction)):
            return NotImplemented
        r = residue(other)
        return Jet(self.valuation, [x * r % P for x in self.c])

    __rmul__ = __mul__

    def __truediv__(self, other: Jet | Scalar) -> Jet:
        if not isinstance(other, Jet):
            return self * pow(residue(other), -1, P)
        if not other.c:
            raise PrecisionError(f"division by a jet that is zero to O(h^{other.precision})")
        n = min(len(self.c), len(other.c))
        return Jet(self.valuation - other.valuation, _quotient(self.c, other.c, n))

    def __rtruediv__(self, other: Scalar) -> Jet:
        return Jet.constant(other, len(self.c)) / self

    def __pow__(self, exponent: Scalar) -> Jet:
        """Powers with denominators 1, 2, 4, ..; a root needs a leading coefficient that is a square in F_p."""
        q = Fraction(exponent)
        if not q:
            return Jet.constant(1, self.precision)
        shift = self.valuation * q
        if not self.c and q > 0 and q.denominator == 1:
            return Jet(int(shift), ())
        if not self.c:
            raise PrecisionError(f"power {q} of a jet that is zero to O(h^{self.precision})")
        if shift.denominator != 1:
            raise NotAResidue(f"a jet of valuation {self.valuation} has no power {q}")
        lead, twos = self.c[0], q.denominator
        while twos > 1:
            if twos % 2:
                raise NotAResidue(f"power {q} of a jet: only denominators that are powers of two")
            lead, twos = square_root(lead), twos // 2
        return Jet(int(shift), self._power_tail(pow(lead, q.numerator, P), residue(q)))

    def _power_tail(self, lead: int, r: int) -> list[int]:
        """``y = f^r`` by ``f y' = r f' y``: k f_0 y_k = sum_i (r i - k + i) f_i y_{k-i}."""
        f, y, over = self.c, [lead], pow(self.c[0], -1, P)
        for k in range(1, len(f)):
            s = sum((r * i - k + i) * f[i] % P * y[k - i] for i in range(1, k + 1))
            y.append(s * over % P * INVERSE[k] % P)
        return y

    # -- calculus ----------------------------------------------------------------------------------------------

    def derivative(self) -> Jet:
        """d/dh."""
        return Jet(self.valuation - 1, [(self.valuation + i) * x % P for i, x in enumerate(self.c)])

    def integral(self) -> Jet:
        """The antiderivative that vanishes at h = 0; there must be no 1/h term and no pole."""
        if self.valuation < 0:
            raise ValueError("integral of a jet with a pole")
        v = self.valuation
        return Jet(v + 1, [x * INVERSE[v + i + 1] % P for i, x in enumerate(self.c)])

    def at(self, c: Scalar) -> Jet:
        """``f(c h)`` for a constant c: the value at a node that is c steps away from the base point."""
        r = residue(c)
        if not r and self.valuation < 0:
            raise ValueError("the value at 0 of a jet with a pole")
        if not r:
            return Jet.constant(self[0], self.precision) if self.precision > 0 else self
        factor, out = pow(r, self.valuation, P), []
        for x in self.c:
            out.append(x * factor % P)
            factor = factor * r % P
        return Jet(self.valuation, out)

    def compose(self, inner: Jet) -> Jet:
        """``f(g(h))`` for a power series f and g of positive valuation."""
        if self.valuation < 0 or inner.valuation < 1:
            raise ValueError("composition needs a power series and an inner jet without constant term")
        stop = min(inner.precision, self.precision * inner.valuation)
        out = Jet(stop, ())
        for x in reversed(self.dense()):
            out = (out * inner).truncated(stop) + x
        return out.truncated(stop)

    def inverse(self) -> Jet:
        """The series reversion g, f(g(h)) = h, by Lagrange: [h^n] g = 1/n [h^{n-1}] (h/f)^n; f has valuation 1."""
        if self.valuation != 1:
            raise ValueError("only a jet of valuation 1 has a compositional inverse")
        base = Jet.constant(1, len(self.c)) / Jet(0, self.c)
        power, out = base, [base[0]]
        for n in range(2, len(self.c) + 1):
            power = power * base
            out.append(power[n - 1] * INVERSE[n] % P)
        return Jet(1, out)
