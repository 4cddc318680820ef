"""Elementary functions on jets over F_p: the algebra with which formulas and emitted code become series.

Transcendental constants. A jet with a non-zero constant term has ``exp(c + f) = exp(c) exp(f)``, and ``exp(c)`` has no
value in F_p. :class:`JetAlgebra` draws a random residue for it once per constant (so that ``exp(c) exp(-c) = 1``,
``exp(2c) = exp(c)^2``, ``log(exp(c)) = c`` and ``sin^2 + cos^2 = 1`` hold: exactly what a generic transcendental number
satisfies). Identities that mix several such constants (``exp(a) exp(b) = exp(a + b)``) are not known to it; a false
answer is then possible only in the direction of refusing a true identity.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from operator import mul
from typing import TYPE_CHECKING

from derive.symbolic.evaluate import clenshaw, derivative_coefficients
from derive.symbolic.jets import INVERSE, SIZE, Jet, P, Scalar, square_root

if TYPE_CHECKING:
    from derive.schedules import Table


def _exp_tail(f: Jet) -> list[int]:
    """exp of the part of f without its constant term, by y' = f' y."""
    terms = f.precision
    g = [k * x % P for k, x in enumerate(f.dense())]
    y = [1]
    for k in range(1, terms):
        y.append(sum(map(mul, g[1:], y[::-1])) % P * INVERSE[k] % P)
    return y


def _sincos_tail(f: Jet) -> tuple[list[int], list[int]]:
    g = [k * x % P for k, x in enumerate(f.dense())]
    s, c = [0], [1]
    for k in range(1, f.precision):
        ds, dc = sum(map(mul, g[1:], c[::-1])), sum(map(mul, g[1:], s[::-1]))
        s.append(ds % P * INVERSE[k] % P)
        c.append(-dc % P * INVERSE[k] % P)
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
        if not 2 <= terms < SIZE:
            raise ValueError(f"terms is {terms}; allowed are 2 to {SIZE - 1}")
        self.terms = terms
        self.random = random.Random(f"jet constants {seed}")
        self._exp: dict[int, int] = {0: 1}
        self._log: dict[int, int] = {1: 0}
        self._circle: dict[int, tuple[int, int]] = {0: (0, 1)}
        self._angle: dict[int, int] = {0: 0}
        self._pi = self._draw()

    # -- constants ---------------------------------------------------------------------------------------------

    def _draw(self) -> int:
        """Any residue: one that happens to be special has probability 1e-18."""
        return self.random.randrange(P)

    def _learn_exp(self, c: int, power4: int) -> None:
        """exp(c) = power4^4, together with the exponentials of c m/4 for |m| <= 32 that are not known yet."""
        quarter = c * INVERSE[4] % P
        for m in _QUARTERS:
            key, value = quarter * m % P, pow(power4, m, P)
            if key not in self._exp:
                self._exp[key] = value
                self._log.setdefault(value, key)

    def exp_constant(self, c: int) -> int:
        if c not in self._exp:
            root = self._draw()
            self._learn_exp(c, root * root % P)  # a square, so that half powers exist
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
        return self.number(self._pi)

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
        for i in range(k):
            factor = factor * INVERSE[i + 1] % P
        power = Jet.constant(1, z.precision)
        for j in range(z.precision):
            out = out + power * factor
            factor = factor * INVERSE[j + 1 + k] % P
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
