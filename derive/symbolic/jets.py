"""Truncated Laurent series over the prime field F_p, p = 2^61 - 1: the arithmetic of the randomised order proof.

A jet ``h^v (c_0 + c_1 h + ... + c_{n-1} h^{n-1}) + O(h^{v+n})`` has its coefficients in F_p. An identity between real
series whose coefficients are rational functions of the data (random rationals and constants such as ``exp(c)``) is
mapped to an identity in F_p; a *non*-identity of degree d survives the random substitution with probability at least
1 - d/p (Schwartz-Zippel), so a valuation read off a jet is certain as an upper bound and wrong as a lower bound with
probability about 1e-16. The absolute precision O(h^{v+n}) is carried along: division by h costs exactly what it costs.

Transcendental constants. A jet with a non-zero constant term has ``exp(c + f) = exp(c) exp(f)``, and ``exp(c)`` has no
value in F_p. :class:`JetAlgebra` draws a random residue for it once per constant (so that ``exp(c) exp(-c) = 1``,
``exp(2c) = exp(c)^2``, ``log(exp(c)) = c`` and ``sin^2 + cos^2 = 1`` hold: exactly what a generic transcendental number
satisfies). Identities that mix several such constants (``exp(a) exp(b) = exp(a + b)``) are not known to it; a false
answer is then possible only in the direction of refusing a true identity.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from operator import mul
from typing import TYPE_CHECKING

from derive.symbolic.evaluate import clenshaw, derivative_coefficients

if TYPE_CHECKING:
    from derive.schedules import Table

P = (1 << 61) - 1
"""The modulus; p = 3 (mod 4), so a square root is one power."""

_SIZE = 64
_INVERSE = [0, 1]
for _i in range(2, _SIZE):
    _INVERSE.append((P - P // _i) * _INVERSE[P % _i] % P)

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
    root = pow(c, (P + 1) // 4, P)
    if root * root % P != c % P:
        raise NotAResidue(f"{c} is not a square modulo 2^61 - 1")
    return root


def _product(a: Sequence[int], b: Sequence[int], n: int) -> list[int]:
    back = list(b[n - 1 :: -1]) if n <= len(b) else list(b[::-1])
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
        """``value + O(h^terms)``."""
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
        drop = self.precision - precision
        if drop <= 0:
            return self
        return Jet(self.valuation, self.c[: max(len(self.c) - drop, 0)]) if drop < len(self.c) else Jet(precision, ())

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
        return Jet(self.valuation, [P - x if x else 0 for x in self.c])

    def __add__(self, other: Jet | Scalar) -> Jet:
        if not isinstance(other, Jet):
            if not isinstance(other, (int, float, Fraction)):
                return NotImplemented
            if self.precision <= 0 or not other:
                return self
            other = Jet.constant(other, self.precision)
        start, stop = min(self.valuation, other.valuation), min(self.precision, other.precision)
        if start >= stop:
            return Jet(stop, ())
        a, b = self.dense(start), other.dense(start)
        return Jet(start, [(x + y) % P for x, y in zip(a, b, strict=False)][: stop - start])

    __radd__ = __add__

    def __sub__(self, other: Jet | Scalar) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Scalar) -> Jet:
        return -self + other

    def __mul__(self, other: Jet | Scalar) -> Jet:
        if isinstance(other, Jet):
            n = min(len(self.c), len(other.c))
            return Jet(self.valuation + other.valuation, _product(self.c, other.c, n) if n else ())
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
        return Jet(self.valuation - other.valuation, _quotient(self.c, other.c, n) if n else ())

    def __rtruediv__(self, other: Scalar) -> Jet:
        return Jet.constant(other, max(len(self.c), 1)) / self

    def __pow__(self, exponent: Scalar) -> Jet:
        """Powers with denominators 1, 2, 4, ..; a root needs a leading coefficient that is a square in F_p."""
        q = Fraction(exponent)
        if not q:
            return Jet.constant(1, max(self.precision, 1))
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
            y.append(s * over % P * _INVERSE[k] % P)
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
        return Jet(v + 1, [x * _INVERSE[v + i + 1] % P for i, x in enumerate(self.c)])

    def at(self, c: Scalar) -> Jet:
        """``f(c h)`` for a constant c: the value at a node that is c steps away from the base point."""
        r = residue(c)
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
            out.append(power[n - 1] * _INVERSE[n] % P)
        return Jet(1, out)


def _exp_tail(f: Jet) -> list[int]:
    """exp of the part of f without its constant term, by y' = f' y."""
    terms = f.precision
    g = [k * x % P for k, x in enumerate(f.dense())]
    y = [1]
    for k in range(1, terms):
        y.append(sum(map(mul, g[1 : k + 1], y[::-1])) % P * _INVERSE[k] % P)
    return y


def _sincos_tail(f: Jet) -> tuple[list[int], list[int]]:
    g = [k * x % P for k, x in enumerate(f.dense())]
    s, c = [0], [1]
    for k in range(1, f.precision):
        ds, dc = sum(map(mul, g[1 : k + 1], c[::-1])), sum(map(mul, g[1 : k + 1], s[::-1]))
        s.append(ds % P * _INVERSE[k] % P)
        c.append(-dc % P * _INVERSE[k] % P)
    return s, c


def _smooth(table: Table) -> tuple[tuple[float, ...], float, float]:
    if table.kind != "chebyshev":
        raise TypeError(f"a table of kind {table.kind} is not smooth: no series")
    return table.values, table.low, table.high


_QUARTERS = range(-32, 33)


class JetAlgebra:
    """Elementary functions on jets, with one random residue per transcendental constant (module docstring).

    terms: number of coefficients that constants are given; seed: of the residues.
    """

    def __init__(self, terms: int, seed: int = 0) -> None:
        if not 2 <= terms < _SIZE:
            raise ValueError(f"terms is {terms}; allowed are 2 to {_SIZE - 1}")
        self.terms = terms
        self.random = random.Random(f"jet constants {seed}")
        self._exp: dict[int, int] = {0: 1}
        self._log: dict[int, int] = {1: 0}
        self._circle: dict[int, tuple[int, int]] = {0: (0, 1)}
        self._angle: dict[int, int] = {0: 0}

    # -- constants ---------------------------------------------------------------------------------------------

    def _draw(self) -> int:
        return self.random.randrange(2, P - 1)

    def _learn_exp(self, c: int, power4: int) -> None:
        """exp(c) = power4^4, together with the exponentials of c m/4 for |m| <= 32 that are not known yet."""
        quarter = c * _INVERSE[4] % P
        for m in _QUARTERS:
            key, value = quarter * m % P, pow(power4, m, P)
            if key not in self._exp:
                self._exp[key] = value
                self._log.setdefault(value, key)

    def exp_constant(self, c: int) -> int:
        if c not in self._exp:
            root = self._draw()
            self._learn_exp(c, root * root % P)   # a square, so that half powers exist
        return self._exp[c]

    def log_constant(self, y: int) -> int:
        if y not in self._log:
            c = self._draw()
            self._log[y], self._exp[c] = c, y
            self._log.setdefault(pow(y, -1, P), -c % P)
            self._log.setdefault(y * y % P, 2 * c % P)
            self._exp.setdefault(-c % P, pow(y, -1, P))
            self._exp.setdefault(2 * c % P, y * y % P)
        return self._log[y]

    def circle_constant(self, c: int) -> tuple[int, int]:
        """(sin c, cos c): a random point on the unit circle; -c is its mirror image."""
        if c not in self._circle:
            u = self._draw()
            over = pow(1 + u * u, -1, P)
            self._learn_circle(c, 2 * u * over % P, (1 - u * u) * over % P)
        return self._circle[c]

    def _learn_circle(self, c: int, s: int, k: int) -> None:
        self._circle[c], self._circle[-c % P] = (s, k), (-s % P, k)
        self._circle.setdefault(2 * c % P, (2 * s * k % P, (k * k - s * s) % P))
        tangent = s * pow(k, -1, P) % P
        self._angle.setdefault(tangent, c)
        self._angle.setdefault(-tangent % P, -c % P)

    def atan_constant(self, y: int) -> int:
        if y not in self._angle:
            k = pow(square_root((1 + y * y) % P), -1, P)
            self._learn_circle(self._draw(), y * k % P, k)
        return self._angle[y]

    # -- the interface of the evaluator ------------------------------------------------------------------------

    def number(self, value: Scalar) -> Jet:
        """An exact number as a jet."""
        return Jet.constant(value, self.terms)

    def pi(self) -> Jet:
        """A random residue: pi is transcendental."""
        return self.number(self.exp_constant(residue(Fraction(355, 113))))

    def add(self, *values: Jet) -> Jet:
        out = values[0]
        for v in values[1:]:
            out = out + v
        return out

    def mul(self, *values: Jet) -> Jet:
        out = values[0]
        for v in values[1:]:
            out = out * v
        return out

    def pow(self, base: Jet, exponent: Scalar) -> Jet:
        return base**exponent

    def sqrt(self, f: Jet) -> Jet:
        return f ** Fraction(1, 2)

    def exp(self, f: Jet) -> Jet:
        self._regular(f, "exp")
        return Jet(0, _exp_tail(f)) * self.exp_constant(f[0]) if f.precision > 0 else f

    def expm1(self, f: Jet) -> Jet:
        return self.exp(f) - 1

    def log(self, f: Jet) -> Jet:
        self._unit(f, "log")
        return (f.derivative() / f).integral() + self.log_constant(f[0])

    def log1p(self, f: Jet) -> Jet:
        return self.log(f + 1)

    def sin(self, f: Jet) -> Jet:
        return self.sincos(f)[0]

    def cos(self, f: Jet) -> Jet:
        return self.sincos(f)[1]

    def tan(self, f: Jet) -> Jet:
        s, c = self.sincos(f)
        return s / c

    def sincos(self, f: Jet) -> tuple[Jet, Jet]:
        self._regular(f, "sin")
        s0, c0 = self.circle_constant(f[0])
        s, c = (Jet(0, x) for x in _sincos_tail(f))
        return s * c0 + c * s0, c * c0 - s * s0

    def atan(self, f: Jet) -> Jet:
        self._regular(f, "atan")
        return (f.derivative() / (f * f + 1)).integral() + self.atan_constant(f[0])

    def asin(self, f: Jet) -> Jet:
        return self.atan(f / self.sqrt(1 - f * f))

    def acos(self, f: Jet) -> Jet:
        return self.pi() / 2 - self.asin(f)

    def sinh(self, f: Jet) -> Jet:
        e = self.exp(f)
        return (e - 1 / e) / 2

    def cosh(self, f: Jet) -> Jet:
        e = self.exp(f)
        return (e + 1 / e) / 2

    def tanh(self, f: Jet) -> Jet:
        e = self.exp(f * 2)
        return (e - 1) / (e + 1)

    def asinh(self, f: Jet) -> Jet:
        return self.log(f + self.sqrt(f * f + 1))

    def acosh(self, f: Jet) -> Jet:
        return self.log(f + self.sqrt(f * f - 1))

    def atanh(self, f: Jet) -> Jet:
        return self.log((1 + f) / (1 - f)) / 2

    def chebyshev(self, coefficients: Sequence[float], low: float, high: float, t: Jet) -> Jet:
        """``sum c_k T_k`` on [low, high] at a jet; the floats are exact rationals."""
        x = (t * 2 - Fraction(low) - Fraction(high)) / (Fraction(high) - Fraction(low))
        return clenshaw([self.number(c) for c in coefficients], x)

    def chebyshev_slope(self, coefficients: Sequence[float], low: float, high: float, t: Jet) -> Jet:
        """d/dt of :meth:`chebyshev`."""
        x = (t * 2 - Fraction(low) - Fraction(high)) / (Fraction(high) - Fraction(low))
        slope = derivative_coefficients([self.number(c) for c in coefficients])
        return clenshaw(slope, x) * 2 / (Fraction(high) - Fraction(low))

    def tabulated(self, table: Table, t: Jet) -> Jet:
        """A smooth table at a jet. A polygon has no order: TypeError."""
        return self.chebyshev(*_smooth(table), t)

    def tabulated_slope(self, table: Table, t: Jet) -> Jet:
        """d/dt of :meth:`tabulated`."""
        return self.chebyshev_slope(*_smooth(table), t)

    def phi(self, k: int, z: Jet) -> Jet:
        """phi_k of a jet without constant term: sum z^j/(j+k)!."""
        if z.valuation < 1:
            raise ValueError("phi of a jet with a constant term")
        out, factor = Jet.constant(0, z.precision), 1
        for i in range(1, k + 1):
            factor = factor * _INVERSE[i] % P
        power = Jet.constant(1, z.precision)
        for j in range(z.precision):
            out = out + power * factor
            factor = factor * _INVERSE[j + 1 + k] % P
            power = (power * z).truncated(z.precision)
        return out

    def phis(self, n: int, z: Jet) -> tuple[Jet, ...]:
        """(phi_1(z), .., phi_n(z))."""
        return tuple(self.phi(k, z) for k in range(1, n + 1))

    @staticmethod
    def _regular(f: Jet, name: str) -> None:
        if f.valuation < 0:
            raise ValueError(f"{name} of a jet with a pole")

    @staticmethod
    def _unit(f: Jet, name: str) -> None:
        if f.valuation != 0 or not f.c:
            raise ValueError(f"{name} of a jet whose constant term is zero")
