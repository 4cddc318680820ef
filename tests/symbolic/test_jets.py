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
from derive.symbolic.jets import INVERSE, SIZE, Jet, NotAResidue, P, PrecisionError, residue, square_root

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


def test_tables_and_limits() -> None:
    """k (1/k) = 1 modulo p for every k that a jet of the longest kind divides by."""
    assert len(INVERSE) == SIZE == 64 and INVERSE[0] == 0
    assert all(k * INVERSE[k] % P == 1 for k in range(1, 64))
    for terms in (1, 64):
        with pytest.raises(ValueError, match="allowed are 2 to 63"):
            JetAlgebra(terms)
    assert JetAlgebra(2).number(3) == 3 and JetAlgebra(63).pi().precision == 63


@given(st.integers(1, P - 1))
def test_square_roots_are_squares_themselves(c: int) -> None:
    root = square_root(c * c % P)
    assert root in (c, P - c)
    assert square_root(root) ** 2 % P == root


@given(st.integers(-4, 4), st.lists(residues, max_size=8), st.integers(-8, 14))
def test_what_is_known_of_a_jet(valuation: int, known: list[int], precision: int) -> None:
    """Truncation keeps the coefficients below min(precision, old precision) and claims nothing else."""
    f = Jet(valuation, known)
    dense = {valuation + i: x for i, x in enumerate(known)}
    assert f.precision == valuation + len(known)
    cut = f.truncated(precision)
    assert cut.precision == min(precision, f.precision)
    assert all(cut[k] == dense.get(k, 0) for k in range(-9, cut.precision))
    assert cut.valuation == min([k for k, x in dense.items() if x and k < precision], default=cut.precision)


@given(st.integers(-3, 3), st.lists(residues, max_size=6), st.integers(-3, 3), st.lists(residues, max_size=6))
def test_precisions_of_sums_and_products(v: int, a: list[int], w: int, b: list[int]) -> None:
    """Sums are known where both are; products to the smaller relative precision; coefficients by hand."""
    f, g = Jet(v, a), Jet(w, b)
    total, product = f + g, f * g
    assert total.precision == min(f.precision, g.precision)
    assert all(total[k] == (f[k] + g[k]) % P for k in range(-9, total.precision))
    assert product.precision == f.valuation + g.valuation + min(len(f.c), len(g.c))
    for k in range(-9, product.precision):
        assert product[k] == sum(f[i] * g[k - i] for i in range(f.valuation, k - g.valuation + 1)) % P
    shifted = f + Fraction(7, 3)
    assert shifted.precision == f.precision
    assert all(shifted[k] == (f[k] + residue(Fraction(7, 3)) * (k == 0)) % P for k in range(-9, f.precision))
    assert f - g == f + (-1) * g and 2 - f == -(f - 2) and (f == f + 0)
    assert all((-f)[k] == -f[k] % P for k in range(-9, f.precision))


def test_products_and_quotients_of_unequal_lengths() -> None:
    """(1 + h + ..)(1 - h) known to three of five terms, and back."""
    long, short = Jet(0, [1, 1, 1, 1, 1]), Jet(-1, [1, P - 1, 0])
    product = long * short
    assert product == short * long and product.precision == 2
    assert [product[k] for k in range(-1, 2)] == [1, 0, 0]
    assert (product / short).precision == 3 and [(product / short)[k] for k in range(3)] == [1, 1, 1]
    assert (3 / short).precision == 4 and (3 / short) * short == 3


@pytest.mark.parametrize("exponent", [0, 1, 2, 5, -1, -3])
def test_whole_powers_are_repeated_products(exponent: int) -> None:
    f = Jet(2, [3, 1, 4, 1, 5])
    want = Jet.constant(1, 7)
    for _ in range(abs(exponent)):
        want = want * f if exponent > 0 else want / f
    assert f**exponent == want and (f**exponent).precision == (2 * exponent + 5 if exponent else 7)


def test_powers_of_what_is_not_known() -> None:
    unknown = Jet(3, ())
    assert (unknown**2).precision == 6 and (unknown**1).precision == 3
    assert unknown**0 == 1
    for exponent in (-1, Fraction(1, 2)):
        with pytest.raises(PrecisionError):
            unknown**exponent
    with pytest.raises(PrecisionError):
        5 / unknown
    for exponent in (Fraction(1, 3), Fraction(1, 6)):
        with pytest.raises(NotAResidue, match="powers of two"):
            Jet(0, [16, 1, 1]) ** exponent
    fourth = Jet(4, [16, 1, 1]) ** Fraction(3, 4)
    assert fourth.valuation == 3 and fourth**4 == Jet(4, [16, 1, 1]) ** 3


def test_values_at_nodes() -> None:
    """f(c h): coefficients times c^k; at 0 the constant term, which a pole does not have."""
    f = Jet(-1, [2, 3, 5])
    assert [f.at(7)[k] * 7 % P for k in range(-1, 2)] == [2, 3 * 7, 5 * 49]
    assert Jet(0, [4, 3, 5]).at(0) == 4 and Jet(0, [4, 3, 5]).at(0).precision == 3
    assert Jet(1, [3, 5]).at(0).is_zero
    assert Jet(0, ()).at(0).precision == 0
    with pytest.raises(ValueError, match="pole"):
        f.at(0)


def test_calculus_of_single_powers() -> None:
    assert [Jet(-2, [1, 0, 1, 1, 1]).derivative()[k] for k in range(-3, 2)] == [P - 2, 0, 0, 1, 2]
    assert [(2 * 3 * Jet(0, [1, 1, 1]).integral())[k] for k in range(4)] == [0, 6, 3, 2]
    with pytest.raises(ValueError, match="pole"):
        Jet(-1, [1, 1]).integral()


def test_composition_and_reversion_know_their_precision() -> None:
    f, g = Jet(1, [1, 2, 3, 4]), Jet(2, [1, 1, 1])
    assert f.compose(g).precision == 5 and [f.compose(g)[k] for k in range(5)] == [0, 0, 1, 1, 3]
    assert Jet(0, [1, 1]).compose(Jet(1, [1, 1, 1, 1])).precision == 2
    assert f.inverse().precision == 5 and [f.inverse()[k] for k in range(1, 5)] == [1, P - 2, 5, P - 14]
    for outer, inner in ((Jet(-1, [1, 1]), g), (f, Jet(0, [1, 1])), (Jet(-1, [1, 1]), Jet(0, [1, 1]))):
        with pytest.raises(ValueError, match="composition"):
            outer.compose(inner)
    for other in (Jet(0, [1, 1]), Jet(2, [1, 1])):
        with pytest.raises(ValueError, match="valuation 1"):
            other.inverse()


def test_other_operands_are_not_numbers() -> None:
    f = Jet(0, [1, 2])
    for operation in (lambda: f + "1", lambda: f * "1"):
        with pytest.raises(TypeError):
            operation()
    assert f != "1" and f != Jet(0, [1, 3]) and Jet.constant(2, 3) == 2 and Jet.constant(2, 3) != 3


def test_variables_start_and_slope() -> None:
    f = Jet.variable(5, Fraction(1, 2), 3)
    assert f.precision == 5 and [f[k] for k in range(5)] == [residue(0.5), 3, 0, 0, 0]
    assert Jet.variable(4) == Jet(1, [1, 0, 0]) and Jet.variable(4).valuation == 1


def test_known_constants_and_their_relations() -> None:
    """What a transcendental constant satisfies: exp on c m/4 for |m| <= 32, log of 1/y and y^2, doubled angles."""
    algebra = JetAlgebra(4, seed=3)
    assert algebra.exp_constant(0) == 1 and algebra.log_constant(1) == 0
    assert algebra.circle_constant(0) == (0, 1) and algebra.atan_constant(0) == 0
    e = algebra.exp_constant
    base = e(12)
    for m in (-32, -31, -7, -1, 1, 2, 5, 31, 32):
        assert e(3 * m % P) ** 4 % P == pow(base, m, P)
        assert algebra.log_constant(e(3 * m % P)) == 3 * m % P
    assert e(3 * 33) != pow(e(3), 33, P), "33 quarters are one too many: a constant of its own"
    y = 12345
    c = algebra.log_constant(y)
    assert e(c) == y and e(-c % P) * y % P == 1 and e(2 * c % P) == y * y % P
    assert algebra.log_constant(pow(y, -1, P)) == -c % P and algebra.log_constant(y * y % P) == 2 * c % P
    s, k = algebra.circle_constant(77)
    assert (s * s + k * k) % P == 1 and s and k
    assert algebra.circle_constant(P - 77) == (P - s, k)
    assert algebra.circle_constant(154) == (2 * s * k % P, (k * k - s * s) % P)
    tangent = s * pow(k, -1, P) % P
    assert algebra.atan_constant(tangent) == 77 and algebra.atan_constant(P - tangent) == P - 77


def test_seeds_draw_different_constants() -> None:
    assert JetAlgebra(3, 1).exp_constant(5) == JetAlgebra(3, 1).exp_constant(5)
    assert len({JetAlgebra(3, seed).exp_constant(5) for seed in (0, 1, 2)}) == 3
    assert JetAlgebra(3).exp_constant(5) == JetAlgebra(3, 0).exp_constant(5)


@given(small, st.integers(1, P - 1), st.integers(0, 5))
def test_functions_at_constants_that_are_not_zero(f: Jet, c: int, seed: int) -> None:
    """Each inverse function undoes its function at c + f, and derivatives are those of analysis."""
    algebra, g = JetAlgebra(TERMS, seed), f + c
    e = algebra.exp(g)
    assert algebra.log(e) == g and e.derivative() == e * g.derivative()
    assert algebra.exp(-g) * e == 1 and algebra.exp(g * 2) == e * e
    s, k = algebra.sincos(g)
    assert (algebra.sin(g), algebra.cos(g)) == (s, k)
    assert s * s + k * k == 1 and s.derivative() == k * g.derivative() and k.derivative() == -s * g.derivative()
    assert algebra.tan(g) == s / k and algebra.atan(s / k) == g
    double, twice = algebra.sincos(g * 2), 2 * s * k
    assert double == (twice, k * k - s * s)
    assert algebra.sinh(g) + algebra.cosh(g) == e and algebra.tanh(g) == algebra.sinh(g) / algebra.cosh(g)
    assert algebra.cosh(g) - algebra.sinh(g) == 1 / e
    assert algebra.log1p(g - 1) == algebra.log(g) and algebra.expm1(g) == e - 1
    assert algebra.phis(3, f) == tuple(algebra.phi(j, f) for j in (1, 2, 3)) and algebra.phi(0, f) == algebra.exp(f)


@given(small)
def test_inverse_functions_have_their_derivatives(f: Jet) -> None:
    algebra, slope = JetAlgebra(TERMS), f.derivative()
    root = algebra.sqrt(1 - f * f)
    assert root * root == 1 - f * f and algebra.sqrt(1 + f) ** 2 == 1 + f
    assert algebra.asin(f).derivative() * root == slope
    assert algebra.acos(f) + algebra.asin(f) == algebra.pi() / 2
    assert algebra.atan(f).derivative() * (1 + f * f) == slope
    assert algebra.atanh(f).derivative() * (1 - f * f) == slope
    assert algebra.asinh(f).derivative() ** 2 * (1 + f * f) == slope**2
    far = f + Fraction(5, 3)  # (5/3)^2 - 1 = (4/3)^2 has a root
    assert algebra.acosh(far).derivative() ** 2 * (far * far - 1) == slope**2


def test_numbers_sums_and_products_of_an_algebra() -> None:
    algebra = JetAlgebra(4)
    a, b, c = Jet(0, [2, 3, 5, 7]), Jet.variable(4), algebra.number(Fraction(1, 3))
    assert c.precision == 4 and c * 3 == 1
    assert algebra.add(a) == a and algebra.add(a, b, c) == a + b + c
    assert algebra.mul(a) == a and algebra.mul(a, b, c) == a * b * c
    assert algebra.pow(a * a, Fraction(1, 2)) ** 2 == a * a and algebra.pi() == algebra.pi()


def test_functions_of_what_is_not_known() -> None:
    algebra, bounded = JetAlgebra(5), Jet(0, ())
    assert algebra.exp(bounded).precision == 0
    for jet in (bounded, Jet.variable(5), 1 / Jet.variable(5), Jet(2, ())):
        with pytest.raises(ValueError, match="zero"):
            algebra.log(jet)
    with pytest.raises(ValueError, match="constant term"):
        algebra.phi(1, Jet.constant(1, 5))
    assert algebra.phi(2, Jet.variable(5)).precision == 5


def test_tables_between_other_ends() -> None:
    """T_1 and T_3 = 4x^3 - 3x with x = (2t - low - high)/(high - low), low = -1, high = 9."""
    algebra, table = JetAlgebra(6), Table("chebyshev", -1.0, 9.0, (0.0, 2.0, 0.0, 1.0))
    t = Jet.variable(6, 2)
    x = (t - 4) / 5
    want = 2 * x + 4 * x * x * x - 3 * x
    assert algebra.tabulated(table, t) == algebra.chebyshev(table.values, -1.0, 9.0, t) == want
    assert algebra.tabulated_slope(table, t) == algebra.chebyshev_slope(table.values, -1.0, 9.0, t) == want.derivative()
