"""One walk over SymPy expressions, generic in the arithmetic.

An expression means the same everywhere: the interpreter (mpmath), the schedule checks (mpmath at 30 digits) and the
order proofs (jets over F_p) evaluate the same tree with the same walk and differ only in the :class:`Algebra` they
bring. Nothing is printed and parsed back, and no number passes through a decimal string.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from math import factorial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import sympy as sp
from mpmath.ctx_mp import MPContext

from derive.symbolic import alphabet

if TYPE_CHECKING:
    from derive.schedules import Table

N = TypeVar("N")


class Algebra(Protocol[N]):
    """The arithmetic of one number type. A function of :data:`FUNCTIONS` that it lacks is a TypeError."""

    def number(self, value: int | Fraction) -> N:
        """An exact rational."""

    def pi(self) -> N:
        """The constant."""

    def add(self, *values: N) -> N:
        """The sum of one or more values."""

    def mul(self, *values: N) -> N:
        """The product of one or more values."""

    def pow(self, base: N, exponent: int | Fraction) -> N:
        """A power with a rational exponent; 1/2 is the square root."""

    def exp(self, x: N) -> N:
        """The exponential; log and the other :data:`FUNCTIONS` likewise."""

    def log(self, x: N) -> N:
        """The natural logarithm."""


FUNCTIONS: Mapping[type, str] = {
    sp.exp: "exp", sp.log: "log", sp.sin: "sin", sp.cos: "cos", sp.tan: "tan", sp.asin: "asin", sp.acos: "acos",
    sp.atan: "atan", sp.sinh: "sinh", sp.cosh: "cosh", sp.tanh: "tanh", sp.asinh: "asinh", sp.acosh: "acosh",
    sp.atanh: "atanh", alphabet.expm1: "expm1", alphabet.log1p: "log1p",
}  # fmt: skip
"""Functions of one argument and the method of the algebra that evaluates each."""


def evaluate(
    expr: sp.Expr,
    values: Mapping[sp.Symbol, N],
    algebra: Algebra[N],
    tables: Mapping[str, Table] | None = None,
) -> N:
    """The value of ``expr`` with ``values`` for its symbols; equal subexpressions are computed once.

    tables: the data that ``tabulated(name, t)`` refers to.
    Raises KeyError for a symbol or table without a value and TypeError for a node that the algebra has no meaning for.
    """
    return _Walk(values, algebra, tables or {}).value(expr)


class _Walk(Generic[N]):
    """One evaluation: the algebra, the values and what is already known."""

    def __init__(self, values: Mapping[sp.Symbol, N], algebra: Any, tables: Mapping[str, Table]) -> None:
        self.algebra = algebra
        self.tables = tables
        self.known: dict[sp.Expr, N] = dict(values)

    def value(self, node: sp.Expr) -> N:
        found = self.known.get(node)
        if found is None:
            found = self.known[node] = self._compute(node)
        return found

    def _compute(self, node: sp.Expr) -> N:
        if node.is_Rational:
            return self.algebra.number(_exact(node))
        if node is sp.pi:
            return self.algebra.pi()
        if node.is_Symbol:
            raise KeyError(f"no value for the symbol {node}")
        if node.is_Add:
            return self.algebra.add(*map(self.value, node.args))
        if node.is_Mul:
            return self.algebra.mul(*map(self.value, node.args))
        if node is sp.E:
            return self.algebra.exp(self.algebra.number(1))
        if node.is_Pow:
            return self._power(*node.args)
        return self._function(node)

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> N:
        if exponent.is_Rational:
            return self.algebra.pow(self.value(base), _exact(exponent))
        return self.algebra.exp(self.algebra.mul(self.value(exponent), self.algebra.log(self.value(base))))

    def _function(self, node: sp.Expr) -> N:
        name = FUNCTIONS.get(node.func)
        if name is not None:
            method = getattr(self.algebra, name, None)
            if method is None:
                raise TypeError(f"{type(self.algebra).__name__} has no {name}")
            return method(self.value(node.args[0]))
        if node.func is alphabet.phi and node.args[0].is_Integer:
            return self.algebra.phi(int(node.args[0]), self.value(node.args[1]))
        if node.func in (alphabet.tabulated, alphabet.tabulated_slope):
            table = self.tables[str(node.args[0])]
            method = getattr(self.algebra, node.func.__name__)
            return method(table, self.value(node.args[1]))
        raise TypeError(f"{node.func.__name__} cannot be evaluated")


def _exact(node: sp.Rational) -> int | Fraction:
    return int(node) if node.is_Integer else Fraction(int(node.p), int(node.q))


_GUARD = 64
"""Extra bits inside phi: its recurrence loses about log2(k!) of them for |z| >= 1."""


class Mpmath:
    """Real numbers of ``bits`` bits in a private mpmath context; every function to about the last bit.

    Not for threads: mpmath's own functions widen the precision of the context while they run.
    """

    def __init__(self, bits: int) -> None:
        self.context = MPContext()
        self.context.prec = bits
        self.bits = bits

    def number(self, value: Any) -> Any:
        """int, float (exact), Fraction, SymPy rational or mpf."""
        if isinstance(value, Fraction):
            return self.context.mpf(value.numerator) / value.denominator
        if isinstance(value, sp.Rational):
            return self.context.mpf(int(value.p)) / int(value.q)
        return self.context.mpf(value)

    def pi(self) -> Any:
        return +self.context.pi

    def add(self, *values: Any) -> Any:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def mul(self, *values: Any) -> Any:
        product = values[0]
        for value in values[1:]:
            product = product * value
        return product

    def pow(self, base: Any, exponent: int | Fraction) -> Any:
        if isinstance(exponent, int):
            return base**exponent
        root = self.context.sqrt(base) if exponent.denominator == 2 else self.context.root(base, exponent.denominator)
        return root**exponent.numerator

    def phi(self, k: int, z: Any) -> Any:
        """phi_k(z) with phi_k(0) = 1/k!: its series for |z| < 1, else the recurrence with guard bits."""
        context = self.context
        context.prec = self.bits + _GUARD
        try:
            value = self._phi_series(k, z) if abs(z) < 1 else self._phi_recurrence(k, z)
        finally:
            context.prec = self.bits
        return +value

    def _phi_series(self, k: int, z: Any) -> Any:
        total = term = self.context.mpf(1) / factorial(k)
        i = 0
        while abs(term) > abs(total) * self.context.eps:
            i += 1
            term = term * z / (i + k)
            total += term
        return total

    def _phi_recurrence(self, k: int, z: Any) -> Any:
        value = self.context.exp(z)
        for i in range(k):
            value = (value - self.context.mpf(1) / factorial(i)) / z
        return value

    def tabulated(self, table: Table, t: Any) -> Any:
        """The curve of ``table`` at t, Chebyshev by Clenshaw or straight lines."""
        if table.kind == "chebyshev":
            return clenshaw(table.values, self._unit(table, t))
        i = self._piece(table, t)
        return table.values[i] + (t - table.knots[i]) * self._slope(table, i)

    def tabulated_slope(self, table: Table, t: Any) -> Any:
        """d/dt of the curve; at a knot, the slope of the piece that begins there."""
        if table.kind == "linear":
            return self._slope(table, self._piece(table, t))
        coefficients = derivative_coefficients([self.number(c) for c in table.values])
        width = self.number(table.high) - self.number(table.low)
        return clenshaw(coefficients, self._unit(table, t)) * 2 / width

    def _unit(self, table: Table, t: Any) -> Any:
        low, high = self.number(table.low), self.number(table.high)
        return (2 * self.number(t) - low - high) / (high - low)

    def _piece(self, table: Table, t: Any) -> int:
        return min(max(bisect_right(table.knots, t) - 1, 0), len(table.knots) - 2)

    def _slope(self, table: Table, i: int) -> Any:
        rise = self.number(table.values[i + 1]) - self.number(table.values[i])
        return rise / (self.number(table.knots[i + 1]) - self.number(table.knots[i]))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _METHODS:
            raise AttributeError(name)
        return getattr(self.context, name)


_METHODS = frozenset(FUNCTIONS.values()) | {"sqrt"}


def clenshaw(coefficients: Any, x: Any) -> Any:
    """``sum_k c_k T_k(x)`` for x in [-1, 1], in the arithmetic of ``x``."""
    after = later = x * 0
    for c in reversed(coefficients[1:]):
        after, later = 2 * x * after - later + c, after
    return x * after - later + coefficients[0]


def derivative_coefficients(coefficients: list[Any]) -> list[Any]:
    """Chebyshev coefficients of d/dx: c'_{k-1} = c'_{k+1} + 2 k c_k, the first halved."""
    count = len(coefficients)
    slopes = [coefficients[0] * 0] * (count + 1)
    for k in range(count - 1, 0, -1):
        slopes[k - 1] = slopes[k + 1] + 2 * k * coefficients[k]
    slopes[0] = slopes[0] / 2
    return slopes[: max(count - 1, 1)]


@cache
def mpmath_algebra(bits: int = 320) -> Mpmath:
    """The shared :class:`Mpmath` of ``bits`` bits."""
    return Mpmath(bits)
