"""Jets are a field with calculus: identities of real analysis hold coefficient by coefficient modulo 2^61 - 1."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import factorial

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from derive.schedules import Table
from derive.symbolic import alphabet as ab
from derive.symbolic.evaluate import evaluate
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, NotAResidue, P, PrecisionError, residue, square_root

TERMS = 12
residues = st.integers(0, P - 1)
series = st.lists(residues, min_size=TERMS, max_size=TERMS).map(lambda c: Jet(0, c))
units = st.tuples(st.integers(1, P - 1), st.lists(residues, min_size=TERMS - 1, max_size=TERMS - 1)).map(
    lambda c: Jet(0, [c[0], *c[1]])
)
small = st.tuples(st.integers(1, P - 1), st.lists(residues, min_size=TERMS - 2, max_size=TERMS - 2)).map(
    lambda c: Jet(1, [c[0], *c[1]])
)


@given(series, series, series)
def test_ring_laws(a: Jet, b: Jet, c: Jet) -> None:
    assert (a + b) * c == a * c + b * c
    assert a * b == b * a
    assert a - a == 0 and (a - a).precision == a.precision


@given(series, units)
def test_division_inverts_multiplication(a: Jet, b: Jet) -> None:
    assert a / b * b == a
    assert (1 / b) * b == 1


@given(series, small)
def test_division_by_h_costs_one_power(a: Jet, b: Jet) -> None:
    product = a * b
    assert product / b == a
    known = min(len(a.c), len(b.c))
    assert (product / b).precision == a.valuation + known
    assert (a / b).precision == a.valuation - 1 + known


@given(small)
def test_elementary_functions(f: Jet) -> None:
    algebra = JetAlgebra(TERMS)
    e = algebra.exp(f)
    assert algebra.log(e) == f
    assert algebra.expm1(f) == e - 1
    assert algebra.log1p(algebra.expm1(f)) == f
    assert e.derivative() == e * f.derivative()
    s, c = algebra.sincos(f)
    assert s * s + c * c == 1
    assert algebra.atan(algebra.tan(f)) == f
    assert algebra.asin(s) == f
    assert algebra.asinh(algebra.sinh(f)) == f
    assert algebra.atanh(algebra.tanh(f)) == f
    assert algebra.cosh(f) ** 2 - algebra.sinh(f) ** 2 == 1


@given(small)
def test_phi_functions(z: Jet) -> None:
    algebra = JetAlgebra(TERMS)
    phis = algebra.phis(3, z)
    assert z * phis[0] == algebra.expm1(z)
    for k, (lower, upper) in enumerate(pairwise(phis), start=1):
        assert z * upper == lower - Fraction(1, factorial(k))


@given(units)
def test_powers(f: Jet) -> None:
    square = f * f
    assert square ** Fraction(1, 2) in (f, -f)
    assert f**3 == f * f * f
    assert f**-2 * square == 1
    assert (square * square) ** Fraction(3, 2) == square**3


@given(small)
def test_reversion_and_composition(f: Jet) -> None:
    h = Jet.variable(TERMS)
    assert f.compose(f.inverse()) == h
    assert f.inverse().compose(f) == h


@given(series, residues)
def test_substitution_and_calculus(f: Jet, c: int) -> None:
    assert f.integral().derivative() == f
    assert f.at(c) == f.compose(Jet.variable(TERMS, 0, c)) if c else f.at(c) == f[0]


@given(st.integers(1, P - 1), st.integers(1, P - 1))
def test_constants_are_consistent(c: int, d: int) -> None:
    algebra = JetAlgebra(4)
    e, number = algebra.exp_constant, algebra.number
    assert e(c) * e(-c % P) % P == 1
    assert e(2 * c % P) == e(c) ** 2 % P
    assert algebra.log_constant(e(c)) == c
    s, k = algebra.circle_constant(d)
    assert (s * s + k * k) % P == 1
    assert algebra.tan(algebra.atan(algebra.tan(number(d)))) == algebra.tan(number(d))
    assert algebra.exp(algebra.log(number(d))) == d


def test_rationals_and_floats_are_exact() -> None:
    assert residue(Fraction(1, 3)) * 3 % P == 1
    assert residue(0.5) * 2 % P == 1
    assert Jet.constant(1, 5) * 0.1 == Fraction(0.1)
    assert Jet.constant(1, 5) * 0.1 != Fraction(1, 10)


def test_what_is_unknown_is_refused() -> None:
    zero = Jet.constant(0, 5)
    with pytest.raises(PrecisionError):
        1 / zero
    with pytest.raises(PrecisionError):
        zero[5]
    assert zero[4] == 0
    with pytest.raises(NotAResidue):
        Jet.variable(5) ** Fraction(1, 2)
    non_square = next(c for c in range(2, 100) if pow(c, (P - 1) // 2, P) != 1)
    with pytest.raises(NotAResidue):
        square_root(non_square)
    algebra = JetAlgebra(5)
    for name in ("exp", "sin", "atan"):
        with pytest.raises(ValueError, match="pole"):
            getattr(algebra, name)(1 / Jet.variable(5))
    with pytest.raises(ValueError, match="zero"):
        algebra.log(Jet.variable(5))
    with pytest.raises(ValueError, match="pole"):
        (1 / Jet.variable(5)).integral()


def test_sympy_expressions_evaluate_to_their_taylor_series() -> None:
    t = ab.t
    expression = sp.exp(-t) * sp.sqrt(1 + t) * sp.cos(2 * t) / (1 - t / 3) + ab.expm1(t) * ab.log1p(t) + sp.atan(t)
    found = evaluate(expression, {t: Jet.variable(8)}, JetAlgebra(8))
    plain = expression.replace(ab.expm1, lambda x: sp.exp(x) - 1).replace(ab.log1p, lambda x: sp.log(1 + x))
    taylor = sp.series(plain, t, 0, 8).removeO()
    for k in range(8):
        value = sp.Rational(taylor.coeff(t, k))
        assert found[k] == residue(Fraction(int(value.p), int(value.q)))


def test_chebyshev_tables_are_series() -> None:
    """T_0 + 2 T_1 + 3 T_2 on [0, 4] at t = 1 + h, and its slope."""
    algebra, table = JetAlgebra(6), Table("chebyshev", 0.0, 4.0, (1.0, 2.0, 3.0))
    t = Jet.variable(6, 1)
    x = (t - 2) / 2
    want = 1 + 2 * x + 3 * (2 * x * x - 1)
    assert algebra.tabulated(table, t) == want
    assert algebra.tabulated_slope(table, t) == want.derivative()
    with pytest.raises(TypeError, match="not smooth"):
        algebra.tabulated(Table("linear", 0.0, 4.0, (1.0, 2.0), (0.0, 4.0)), t)
