r"""Leading terms of exact residuals, and what they are as functions of the step ratios r_j = h_{n-1-j}/h_n.

On a grid whose steps are c_n h with rational c_n and h = 10^-GAP, a residual is c h^e + O(h^{e+1}); e and c are read off,
and c is a fraction if one with at most MOST digits below its bar is that close. Fractions seen at many ratios determine
the rational function they are values of: N(r) - c D(r) = 0 is linear in the coefficients of N and D, and has more samples
than unknowns, so a solution is a proof for that degree up to chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import mpmath
import sympy as sp
from sympy.polys.matrices import DomainMatrix

from derive.audit.exact import DIGITS, GAP, Inexact

VANISHES = 10
"""Residuals below h^VANISHES are zero: DIGITS/GAP = 16 less what divisions by h take."""
MOST = 12
DEGREES = {1: 4, 2: 3, 3: 2}
"""Largest degree that is tried, by the number of ratios."""


@dataclass(frozen=True, slots=True)
class Term:
    """c h^exponent; fraction: c, where it is one."""

    exponent: int
    value: float
    fraction: Fraction | None


def leading(residual: Any, h: Any) -> Term | None:
    """The leading term in h = c_n 10^-GAP, None for zero. Inexact where a float of the code stands between two powers."""
    size = abs(residual)
    if size < mpmath.mpf(10) ** (-VANISHES * GAP):
        return None
    exponent = int(mpmath.nint(-mpmath.log10(size) / GAP))
    value = residual / h**exponent
    if not 1e-9 < abs(value) < 1e9:
        raise Inexact("a rounded constant in the code")
    return Term(exponent, float(value), fraction(value))


def fraction(value: Any) -> Fraction | None:
    """The fraction that a limit is: up to MOST digits below the bar, met to all digits but a few of GAP."""
    scaled = Fraction(int(mpmath.nint(value * mpmath.mpf(10) ** DIGITS)), 10**DIGITS)
    near = scaled.limit_denominator(10**MOST)
    return near if abs(near - scaled) < Fraction(1, 10 ** (GAP - 8)) * max(Fraction(1), abs(near)) else None


def ratios(nodes: Sequence[Any]) -> tuple[Fraction, ...] | None:
    """r_0, r_1, .. of a row with values at ``nodes`` (theta, any order); None where they are no fractions."""
    past = [fraction(theta) for theta in sorted(nodes, reverse=True) if theta <= 0]
    if None in past:
        return None
    return tuple(a - b for a, b in itertools.pairwise([theta for theta in past if theta is not None]))


def law(samples: Sequence[tuple[tuple[Fraction, ...], Fraction]]) -> sp.Expr | None:
    """The rational function of lowest degree through all samples (ratios, value); None if there is none."""
    values = {value for _, value in samples}
    if len(values) == 1:
        (value,) = values
        return sp.Rational(value.numerator, value.denominator)
    unique = list(dict(samples).items())
    width = len(unique[0][0])
    for degree in range(1, DEGREES.get(width, 0) + 1):
        found = _through(unique, width, degree)
        if found is not None:
            return found
    return None


def _through(samples: Sequence[tuple[tuple[Fraction, ...], Fraction]], width: int, degree: int) -> sp.Expr | None:
    powers = [p for p in itertools.product(range(degree + 1), repeat=width) if sum(p) <= degree]
    if len(samples) < 2 * len(powers) + 2:
        return None
    rows = []
    for at, value in samples:
        terms = [prod((r**n for r, n in zip(at, p)), start=Fraction(1)) for p in powers]
        rows.append([sp.QQ(t.numerator, t.denominator) for t in (*terms, *(-value * t for t in terms))])
    null = DomainMatrix(rows, (len(rows), 2 * len(powers)), sp.QQ).nullspace().to_Matrix()
    if null.rows != 1:
        return None
    symbols = sp.symbols(f"r0:{width}")
    basis = [sp.prod([s**n for s, n in zip(symbols, p)]) for p in powers]
    top, bottom = (sum(c * b for c, b in zip(part, basis)) for part in (null[: len(powers)], null[len(powers) :]))
    return sp.factor(top / bottom) if bottom else None


def text(expression: sp.Expr, power: int = 0) -> str:
    """``expression h^power`` as the screen shows it: ``-h/12``, ``(r0 + 3)/(3*(r0 + 1))``."""
    return str(sp.factor(expression) * sp.Symbol("h") ** power).replace("**", "^")


__all__ = ["Term", "fraction", "law", "leading", "ratios", "text"]
