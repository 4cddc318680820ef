"""The one walk over expressions and its wide arithmetic, against mpmath's own functions and exact rationals."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from derive.schedules import Table
from derive.symbolic.alphabet import expm1, log1p, phi, rho, s, t, tabulated, tabulated_slope
from derive.symbolic.differences import difference, is_small_rational, log_difference
from derive.symbolic.evaluate import FUNCTIONS, Mpmath, clenshaw, derivative_coefficients, evaluate, mpmath_algebra

REAL = mpmath_algebra(320)
WIDE = mpmath_algebra(1600)
MP = WIDE.context
CURVE = tabulated(sp.Symbol("q"), t)
SLOPE = tabulated_slope(sp.Symbol("q"), t)


def relative(got, exact) -> float:
    return abs(got - exact) / abs(exact)


class Rationals:
    """Exact rational arithmetic: an algebra without functions."""

    number = staticmethod(Fraction)

    def pi(self):
        raise TypeError("pi is irrational")

    def add(self, *values):
        return sum(values, Fraction(0))

    def mul(self, *values):
        out = Fraction(1)
        for v in values:
            out *= v
        return out

    def pow(self, base, exponent):
        return base**exponent


@given(st.fractions(max_denominator=50), st.fractions(max_denominator=50))
def test_any_algebra_will_do(x, y):
    """In exact rationals, an expression has the value that Python's fractions give."""
    expr = (t**3 - 2 * s / 7 + t * s) * (s**2 + sp.Rational(3, 5)) ** -1
    assert evaluate(expr, {t: x, s: y}, Rationals()) == (x**3 - 2 * y / 7 + x * y) / (y**2 + Fraction(3, 5))


@pytest.mark.parametrize("function", sorted(FUNCTIONS, key=str), ids=str)
@pytest.mark.parametrize("argument", ["1/3", "2/7", "9/10"])
def test_functions_against_higher_precision(function, argument):
    """Every function of the language at 320 bits against 1600 bits, and against mpmath's value of the same name."""
    point = sp.Rational(argument) + (1 if function is sp.acosh else 0)
    expr = function(t)
    exact = evaluate(expr, {t: WIDE.number(point)}, WIDE)
    got = evaluate(expr, {t: REAL.number(point)}, REAL)
    assert relative(got, exact) < MP.mpf(2) ** -312
    assert exact == getattr(MP, FUNCTIONS[function])(MP.mpf(point.p) / point.q)


@pytest.mark.parametrize("power", [1, 20, 60, 90])
def test_small_arguments_keep_all_digits(power):
    """expm1, log1p and phi next to 0 at 320 bits, against plain formulas at 1600 bits."""
    tiny = Fraction(-7, 3 * 10**power)
    x, wide = REAL.number(tiny), WIDE.number(tiny)
    assert relative(evaluate(expm1(t), {t: x}, REAL), MP.exp(wide) - 1) < MP.mpf(2) ** -310
    assert relative(evaluate(log1p(t), {t: x}, REAL), MP.log(1 + wide)) < MP.mpf(2) ** -310
    for k in range(1, 5):
        naive = MP.exp(wide)
        for i in range(k):
            naive = (naive - MP.mpf(1) / factorial(i)) / wide
        assert relative(evaluate(phi(k, t), {t: x}, REAL), naive) < MP.mpf(2) ** -310


@pytest.mark.parametrize("z", ["-40", "-1", "-0.999", "0.5", "1", "1.001", "17", "300"])
@pytest.mark.parametrize("k", [0, 1, 2, 5, 8])
def test_phi_on_both_sides_of_its_switch(z, k):
    """phi_k at 320 bits against its series sum z^j/(j+k)! at 1600 bits."""
    number = Fraction(z)
    wide, series, term = WIDE.number(number), MP.mpf(0), 1 / MP.factorial(k)
    for j in range(1, 2401):
        series += term
        term *= wide / (j + k)
    assert relative(evaluate(phi(k, t), {t: REAL.number(number)}, REAL), series) < MP.mpf(2) ** -310


def test_phi_at_zero():
    for k in range(4):
        assert abs(evaluate(phi(k, t), {t: REAL.number(0)}, REAL) * factorial(k) - 1) < 1e-90


def test_chebyshev_table_and_its_slope_are_polynomials():
    """sum c_k T_k((2t - low - high)/(high - low)) and its derivative, exactly."""
    table = Table("chebyshev", -1.0, 9.0, (0.5, -0.25, 0.125, 2.0))
    x = (t - 4) / 5
    polynomial = sum(sp.Rational(c) * sp.chebyshevt(k, x) for k, c in enumerate(table.values))
    for time in (Fraction(-1), Fraction(1, 3), Fraction(9)):
        at = {t: REAL.number(time)}
        for node, expr in ((CURVE, polynomial), (SLOPE, sp.diff(polynomial, t))):
            exact = expr.subs(t, sp.Rational(time.numerator, time.denominator))
            assert abs(evaluate(node, at, REAL, {"q": table}) - REAL.number(exact)) < 1e-90
    constant = Table("chebyshev", 0.0, 1.0, (0.75,))
    assert evaluate(SLOPE, {t: REAL.number(Fraction(1, 3))}, REAL, {"q": constant}) == 0


def test_linear_table_and_its_slope():
    table = Table("linear", -1.0, 1.0, (0.0, 1.0, 5.0), (-1.0, 0.0, 1.0))
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    for time, height, slope in ((-1, 0, 1), (-half, half, 1), (0, 1, 4), (quarter, 2, 4), (1, 5, 4)):
        at = {t: REAL.number(time)}
        assert evaluate(CURVE, at, REAL, {"q": table}) == REAL.number(height)
        assert evaluate(SLOPE, at, REAL, {"q": table}) == slope


def test_the_derivative_of_a_table_is_its_slope():
    assert sp.diff(CURVE**2, t) == 2 * CURVE * SLOPE
    assert sp.diff(expm1(2 * t), t) == 2 * sp.exp(2 * t)
    assert sp.diff(log1p(-t), t) == -1 / (1 - t)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(KeyError, match="no value for the symbol rho"):
        evaluate(rho + 1, {}, REAL)
    with pytest.raises(KeyError):
        evaluate(CURVE, {t: REAL.number(1)}, REAL)
    with pytest.raises(TypeError, match="Abs cannot be evaluated"):
        evaluate(sp.Abs(t), {t: REAL.number(1)}, REAL)
    with pytest.raises(TypeError, match="Rationals has no sin"):
        evaluate(sp.sin(t), {t: Fraction(1)}, Rationals())
    assert not hasattr(REAL, "quad")


def test_constants_powers_and_precision():
    assert relative(evaluate(sp.pi * sp.E, {}, REAL), MP.pi * MP.e) < MP.mpf(2) ** -316
    assert relative(evaluate(t ** sp.Rational(2, 3), {t: REAL.number(5)}, REAL), MP.cbrt(25)) < MP.mpf(2) ** -316
    assert relative(evaluate(2**t, {t: REAL.number(Fraction(1, 3))}, REAL), MP.cbrt(2)) < MP.mpf(2) ** -312
    assert Mpmath(53).number(Fraction(1, 3)) == 1 / 3
    assert REAL.bits == 320


SHAPES = [
    t**2 / 3 + t, sp.exp(-(t**2)), expm1(t), sp.log(1 + t), log1p(t), sp.sin(t), sp.cos(t), sp.tan(t),
    sp.sqrt(1 + t**2), (1 + t) ** 3, (2 + sp.sin(t)) ** -2, sp.exp(t) * sp.sin(t), sp.Integer(3) ** t, (1 + sp.exp(t)) ** 2, t / (1 + t),
    sp.exp(sp.sin(t)) + sp.log(2 + sp.cos(t)), sp.Rational(7, 2) * sp.exp(t), (2 + sp.sin(t)) ** sp.Rational(1, 3),
    1 / sp.sqrt(2 + sp.sin(t)), 1 / (2 + sp.sin(t)), (2 + sp.sin(t)) ** 8, (2 + sp.sin(t)) ** t, sp.atan(t),
]  # fmt: skip


@pytest.mark.parametrize("expr", SHAPES, ids=str)
@pytest.mark.parametrize("gap", ["1/3", "1/1000000000000"])
def test_factored_differences_are_the_differences(expr, gap):
    """f(t) - f(s) and log f(t)/f(s) against plain differences at 1600 bits."""
    before = Fraction(3, 7)
    at = {s: WIDE.number(before), t: WIDE.number(before + Fraction(gap))}
    late, early = evaluate(expr, at, WIDE), evaluate(expr.subs(t, s), at, WIDE)
    assert relative(evaluate(difference(expr), at, WIDE), late - early) < MP.mpf(2) ** -1400
    assert relative(evaluate(log_difference(expr), at, WIDE), MP.log(late / early)) < MP.mpf(2) ** -1400


def test_differences_of_constants_are_zero():
    assert difference(sp.Integer(3)) == 0
    assert log_difference(sp.pi) == 0


PLAIN = {(2 + sp.sin(t)) ** sp.Rational(1, 3), (2 + sp.sin(t)) ** t, sp.atan(t)}
"""What has no rule: a plain difference."""


@pytest.mark.parametrize("expr", [f for f in SHAPES if f not in PLAIN], ids=str)
def test_factored_differences_keep_their_digits(expr):
    """At 320 bits, t - s = 1e-60: a plain difference would keep 120 bits, these keep 290."""
    before = REAL.number(Fraction(3, 7))
    here = {s: before, t: before + REAL.number(Fraction(1, 10**60))}
    wide = {symbol: WIDE.number(x) for symbol, x in here.items()}
    late, early = evaluate(expr, wide, WIDE), evaluate(expr.subs(t, s), wide, WIDE)
    assert relative(evaluate(difference(expr), here, REAL), late - early) < MP.mpf(2) ** -290
    assert relative(evaluate(log_difference(expr), here, REAL), MP.log(late / early)) < MP.mpf(2) ** -290


@pytest.mark.parametrize(("degree", "small"), [(1, True), (24, True), (25, False)])
def test_degrees_that_exact_algebra_handles(degree, small):
    """The bound counts a power by its exponent, a product by its sum, a polynomial by its largest term."""
    half = degree // 2
    shapes = (
        t**degree, t**-degree, t**half * (1 + t) ** (degree - half), 3 + t + (t + s) ** degree / 7,
        t**half + 1 / (1 + t) ** (degree - half), (t**degree + 1) * sp.sqrt(2), rho * t**degree,
    )  # fmt: skip
    for expr in shapes:
        assert is_small_rational(expr) is small, expr
    for expr in (sp.sin(t), sp.sqrt(t), sp.exp(t) + t, t ** sp.Symbol("n")):
        assert is_small_rational(expr) is False
    assert is_small_rational(rho) is True


def test_rational_functions_are_factored():
    """(t - s) is a factor of the difference, the denominators are products: no cancellation is left."""
    assert sp.expand(difference(t**3)) == t**3 - s**3
    assert difference(t**3).subs(t, s) == 0 and difference(t**3).is_Mul
    found = log_difference((1 + t) / (2 - t))
    assert isinstance(found, log1p) and found.args[0].is_Mul and found.args[0].subs(t, s) == 0


@pytest.mark.parametrize("exponent", ["3/4", "-2/3", "1/2", "-1/2", "5/2", "7", "-3", "-1/5"])
def test_rational_powers(exponent):
    power = sp.Rational(exponent)
    exact = MP.exp(MP.log(5) * power.p / power.q)
    assert relative(evaluate(t**power, {t: REAL.number(5)}, REAL), exact) < MP.mpf(2) ** -314


def test_a_polygon_goes_on_beyond_its_ends():
    """At and past the ends the first and the last piece are continued."""
    table = Table("linear", -1.0, 1.0, (0.0, 1.0, 5.0), (-1.0, 0.0, 1.0))
    for time, height, slope in ((-2, -1, 1), (-1, 0, 1), (1, 5, 4), (2, 9, 4)):
        at = {t: REAL.number(time)}
        assert evaluate(CURVE, at, REAL, {"q": table}) == height
        assert evaluate(SLOPE, at, REAL, {"q": table}) == slope


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7), st.fractions(-1, 1, max_denominator=9))
def test_chebyshev_sums_and_their_derivatives(series, x):
    """Clenshaw's sum against SymPy's T_k, in exact rationals."""
    y = sp.Symbol("y")
    polynomial = sum((c * sp.chebyshevt(k, y) for k, c in enumerate(series)), start=sp.Integer(0))
    at = {y: sp.Rational(x.numerator, x.denominator)}
    assert clenshaw(series, x) == Fraction(str(polynomial.subs(at)))
    slopes = derivative_coefficients([Fraction(c) for c in series])
    assert len(slopes) == max(len(series) - 1, 1)
    assert clenshaw(slopes, x) == Fraction(str(sp.diff(polynomial, y).subs(at)))


def test_equal_subexpressions_are_computed_once():
    calls = []

    class Counting(Rationals):
        def pow(self, base, exponent):
            calls.append(exponent)
            return base**exponent

    square = (1 + t) ** 2
    assert evaluate(square + 3 * square * s, {t: Fraction(2), s: Fraction(1)}, Counting()) == 36
    assert calls == [2]


def test_numbers_of_every_kind_are_exact():
    assert REAL.number(Fraction(1, 3)) * 3 == 1 and REAL.number(sp.Rational(-2, 4)) == -0.5
    assert REAL.number(7) == 7 and REAL.number(0.1) == REAL.number(Fraction(0.1).numerator) / 2**55
    assert relative(REAL.number(sp.Rational(1, 3)), MP.mpf(1) / 3) < MP.mpf(2) ** -319
    assert mpmath_algebra().context.prec == 320
    assert REAL.context.prec == 320
