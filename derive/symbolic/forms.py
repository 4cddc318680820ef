r"""Linear forms in phi functions: what a weight of an exponential Runge-Kutta row is, exactly.

.. math:: w(z) = \sum_i q_i\,\varphi_{k_i}(c_i z), \qquad \varphi_k(z) = \sum_n z^n/(n+k)!

Distinct pairs (k, c), c != 0, give linearly independent functions, so a form is zero exactly when it has no terms:
equality of tableaux is decided, not measured. The constant 1 is the pair (0, 0); (-1, c) is 1/(c z), which no row has but one
that was published with it. Numbers q and c are elements of any
exact field of characteristic 0 (rationals, rationals with radicals, rational functions of free parameters) with the
operators ``+ - * /``; a term's key holds c itself, so c must hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

from sympy import QQ, Expr, Rational, latex

Key = tuple[int, Any]
ZERO, ONE = QQ(0), QQ(1)
LONG = 10**60
"""A rational number with more than 60 digits above or below is shown as a decimal."""


@dataclass(frozen=True, slots=True)
class Form:
    """``sum q phi_k(c z)`` as a tuple of ((k, c), q) without zeros, one term per key, in order of first appearance."""

    terms: tuple[tuple[Key, Any], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Form) -> Form:
        return collect([*self.terms, *other.terms])

    def __neg__(self) -> Form:
        return self * -1

    def __sub__(self, other: Form) -> Form:
        return self + -other

    def __mul__(self, factor: Any) -> Form:
        return collect((key, q * factor) for key, q in self.terms)

    def stretched(self, c: Any) -> Form:
        """The form of c z."""
        return collect(((k, own * c), q) for (k, own), q in self.terms)

    @property
    def at_zero(self) -> Any:
        """The value at z = 0, where phi_k is 1/k!. ValueError at a pole."""
        if any(k < 0 for (k, _), _ in self.terms):
            raise ValueError(f"{self} has a pole at z = 0")
        return sum((q * QQ(1, factorial(k)) for (k, _), q in self.terms), start=ZERO)

    def series(self, count: int) -> tuple[Any, ...]:
        """Coefficients of z^0 .. z^{count-1}."""
        out: list[Any] = [ZERO] * count
        for (k, c), q in self.terms:
            power = q
            for n in range(count):
                if n:
                    power = power * c
                if not power:
                    break
                out[n] = out[n] + power * QQ(1, factorial(n + k))
        return tuple(out)

    def value(self, phi: Callable[[int, Any], Any], number: Callable[[Any], Any]) -> Any:
        """The value, given ``phi(k, c)`` = phi_k(c z) for c != 0 and ``number`` from the exact field."""
        total: Any = 0
        for (k, c), q in self.terms:
            total = total + (number(q) * phi(k, c) if c else number(q))
        return total

    def __str__(self) -> str:
        parts = []
        for (k, c), q in self.terms:
            argument = "z" if c == 1 else f"{shown(c)}*z"
            function = (
                "1" if not c else f"phi{k}({argument})" if k > 0 else f"1/({argument})" if k else f"exp({argument})"
            )
            parts.append(function if q == 1 else f"({shown(q)})*{function}")
        return " + ".join(parts) or "0"

    def latex(self) -> str:
        """``\\varphi_1(z) - 3\\,\\varphi_2(z)``."""
        parts = []
        for (k, c), q in self.terms:
            argument = "z" if c == 1 else f"{_tex(c)} z"
            function = "" if not c else rf"\varphi_{{{k}}}({argument})" if k > 0 else rf"e^{{{argument}}}"
            function = rf"\tfrac{{1}}{{{argument}}}" if k < 0 else function
            number = _tex(q)
            parts.append(function if number == "1" and function else rf"{number}\,{function}".removesuffix(r"\,"))
        return " + ".join(parts).replace("+ -", "- ") or "0"


def is_long(number: Any) -> bool:
    """Whether a number is rational with more digits than anyone reads."""
    rational = hasattr(number, "numerator") and not callable(number.numerator)
    return rational and max(abs(number.numerator), number.denominator) >= LONG


def shown(number: Any) -> str:
    """An exact number as text; a long one as a decimal, with dots that say so."""
    return f"{float(number):.12g}.." if is_long(number) else str(number)


def as_expr(number: Any) -> Expr:
    """An exact number (int, rational, surd, SymPy's own) as SymPy writes it."""
    if isinstance(number, Expr):
        return number
    if hasattr(number, "numerator") and not callable(number.numerator):
        return Rational(int(number.numerator), int(number.denominator))
    return number.as_expr()


def _tex(number: Any) -> str:
    """An exact number in LaTeX; a long one as a decimal with dots."""
    if is_long(number):
        return rf"{float(number):.12g}\ldots"
    if hasattr(number, "numerator") and not callable(number.numerator):
        if number.denominator == 1:
            return str(number.numerator)
        sign = "-" if number.numerator < 0 else ""
        return rf"{sign}\tfrac{{{abs(number.numerator)}}}{{{number.denominator}}}"
    return str(latex(number.as_expr()))


def collect(terms: Iterable[tuple[Key, Any]]) -> Form:
    """The form with these terms; equal keys are added. phi_k(0) is a number, so every c = 0 belongs to the key (0, 0)."""
    total: dict[Key, Any] = {}
    for (k, c), q in terms:
        key, amount = ((k, c), q) if c else ((0, ZERO), q * QQ(1, factorial(k)))
        total[key] = total[key] + amount if key in total else amount
    return Form(tuple((key, q) for key, q in total.items() if q))


def phi(k: int, c: Any = ONE, q: Any = ONE) -> Form:
    """``q phi_k(c z)``."""
    return collect([((k, c), q)])


def constant(q: Any) -> Form:
    """The number ``q``."""
    return collect([((0, ZERO), q)])


@dataclass(frozen=True, slots=True)
class Step:
    r"""One step of an exponential general linear method at fixed step ratios: what the proof engines read.

    Values of the integrand F sit at abscissae ``thetas`` (units of the step, 0 = t_n, 1 = t_{n+1}): first ``known``
    values that the step is given (t_n itself if ``fresh`` is False or evaluated at x_n, and older ones: theta <= 0),
    then one per stage. With z = q h for the kernel e^{q h (1 - theta)} and N the integrand,

        X_i     = e^{c_i z} x_n + h sum_j a[i][j](z) N_j,       i-th stage, c_i = thetas[known + i]
        x_{n+1} = e^z x_n       + h sum_j b[j](z) N_j.

    Every row has one weight per value (zero Form: not used); explicit rows only use earlier values.
    embedded: the lower-order output of an adaptive pair, with the abscissa-1 value of x_{n+1} allowed as last weight.
    rate: q of the kernel (0: every weight is its value at z = 0).
    """

    thetas: tuple[Any, ...]
    known: int
    a: tuple[tuple[Form, ...], ...]
    b: tuple[Form, ...]
    rate: Any = ZERO
    embedded: tuple[Form, ...] | None = None

    @property
    def explicit(self) -> bool:
        """Whether each stage uses only values that come before it."""
        return all(not w for i, row in enumerate(self.a) for w in row[self.known + i :])


def interpolatory(thetas: Sequence[Any], moments: Sequence[Form]) -> tuple[Form, ...]:
    """The solution of V w = m on distinct numbers ``thetas``: w_j = sum_k [theta^k] prod_{i != j} (theta - theta_i) m_k / .."""
    out = []
    for j, node in enumerate(thetas):
        polynomial: list[Any] = [ONE]
        scale: Any = ONE
        for i, other in enumerate(thetas):
            if i != j:
                shifted = [ZERO, *polynomial]
                polynomial = [u - other * v for u, v in zip(shifted, [*polynomial, ZERO])]
                scale = scale * (node - other)
        weight = Form()
        for coefficient, moment in zip(polynomial, moments):
            weight = weight + moment * (coefficient / scale)
        out.append(weight)
    return tuple(out)


def exact_moments(end: Any, count: int) -> tuple[Form, ...]:
    """int_0^end e^{z (end - theta)} theta^k dtheta = k! end^{k+1} phi_{k+1}(end z), k < count."""
    out, power = [], end
    for k in range(count):
        out.append(phi(k + 1, end, power * factorial(k)))
        power = power * end
    return tuple(out)


__all__ = ["Form", "Key", "Step", "collect", "constant", "exact_moments", "interpolatory", "is_long", "phi", "shown"]
