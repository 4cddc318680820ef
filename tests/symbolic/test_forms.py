"""Linear forms in phi functions: arithmetic, expansion, text and LaTeX, against the functions and by hand."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import QQ, Rational, Symbol, sqrt

from derive.symbolic.forms import ONE, ZERO, Form, Step, as_expr, collect, constant, exact_moments, interpolatory, phi
from derive.symbolic.surds import square_root

HALF = QQ(1, 2)
MP = mpmath.MPContext()
MP.dps = 60
numbers = st.fractions(-5, 5, max_denominator=7).map(lambda f: QQ(f.numerator, f.denominator))
forms = st.lists(
    st.tuples(st.tuples(st.integers(0, 4), st.sampled_from([ZERO, HALF, ONE, QQ(-2)])), numbers), max_size=6
)


def number(q) -> mpmath.mpf:
    return MP.mpf(int(q.numerator)) / int(q.denominator)


def value(form: Form, z: str) -> mpmath.mpf:
    """phi_k(x) = 1F1(1; k + 1; x)/k!, DLMF 13.6: nothing of the module's own."""
    return form.value(
        lambda k, c: (
            MP.hyp1f1(1, k + 1, number(c) * MP.mpf(Fraction(z).numerator) / Fraction(z).denominator) / MP.factorial(k)
        ),
        number,
    )


@given(forms, forms, numbers)
def test_sums_and_multiples(a, b, q):
    f, g = collect(a), collect(b)
    for z in ("-1.75", "0.5"):
        x, y = value(f, z), value(g, z)
        for form, want in (
            (f + g, x + y),
            (f - g, x - y),
            (-f, -x),
            (f * q, x * number(q)),
            (f + g * q, x + y * number(q)),
        ):
            assert abs(value(form, z) - want) < MP.mpf(10) ** -50
    assert not f - f and bool(f) == bool(f.terms)
    assert len({key for key, _ in f.terms}) == len(f.terms) and all(amount for _, amount in f.terms)


@given(forms, st.sampled_from([ONE, HALF, QQ(-3), ZERO]))
def test_stretching_is_substitution(a, c):
    f = collect(a)
    assert abs(value(f.stretched(c), "2") - value(f, str(2 * Fraction(int(c.numerator), int(c.denominator))))) < 1e-50


@given(forms)
def test_series_are_those_of_the_functions(a):
    f = collect(a)
    found = f.series(7)
    for n in range(7):
        want = sum(
            (q * (c**n if n else ONE) * QQ(1, factorial(n + k)) for (k, c), q in f.terms if c or not n), start=ZERO
        )
        assert found[n] == want
    assert f.series(1) == found[:1] == (f.at_zero,) and f.series(0) == ()


def test_constants_have_one_key():
    """phi_k(0) = 1/k!."""
    assert phi(3, ZERO) == constant(QQ(1, 6)) and phi(0, ZERO, QQ(2)) == constant(QQ(2))
    assert collect([((2, ZERO), QQ(2)), ((0, ZERO), QQ(-1))]) == Form()
    assert not constant(ZERO) and constant(ONE).terms == (((0, ZERO), ONE),)
    assert phi(2).terms == (((2, ONE), ONE),)


def test_text():
    assert str(Form()) == "0" and str(constant(ONE)) == "1" and str(constant(QQ(3))) == "(3)*1"
    assert str(phi(1) + phi(2, HALF, QQ(-3))) == "phi1(z) + (-3)*phi2(1/2*z)"
    assert str(phi(0) + phi(0, HALF)) == "exp(z) + exp(1/2*z)"
    most = 10**60 - 1
    assert str(constant(QQ(most))) == f"({most})*1" and str(constant(QQ(-most - 1))) == "(-1e+60..)*1"
    assert str(constant(QQ(1, most))) == f"(1/{most})*1" and str(constant(QQ(1, most + 1))) == "(1e-60..)*1"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Form(), "0"), (constant(ONE), "1"), (constant(QQ(5)), "5"), (phi(1), r"\varphi_{1}(z)"),
        (phi(1) - phi(2) * 3, r"\varphi_{1}(z) - 3\,\varphi_{2}(z)"),
        (phi(2, HALF, QQ(4)) + constant(ONE), r"4\,\varphi_{2}(\tfrac{1}{2} z) + 1"),
        (phi(0, HALF, QQ(-2, 3)), r"-\tfrac{2}{3}\,e^{\tfrac{1}{2} z}"), (phi(0), "e^{z}"),
        (constant(ONE) + phi(1, QQ(2)), r"1 + \varphi_{1}(2 z)"), (constant(QQ(-1, 2)), r"-\tfrac{1}{2}"),
        (phi(1, ONE, square_root(QQ(2))), r"\sqrt{2}\,\varphi_{1}(z)"),
    ],
    ids=str,
)  # fmt: skip
def test_latex(form, text):
    assert form.latex() == text


def test_exact_moments_are_integrals():
    """int_0^e e^{z (e - theta)} theta^k dtheta at z = 0.7 by quadrature."""
    for end in (ONE, HALF):
        found = exact_moments(end, 4)
        assert len(found) == 4 and found[0] == phi(1, end, end)
        for k, form in enumerate(found):
            top = number(end)
            want = MP.quad(lambda u, k=k, top=top: MP.exp(MP.mpf("0.7") * (top - u)) * u**k, [0, top])
            assert abs(value(form, "0.7") - want) < MP.mpf(10) ** -50


def test_interpolatory_weights_reproduce_their_moments():
    thetas = (ZERO, QQ(-3, 2), ONE, HALF)
    moments = exact_moments(ONE, 4)
    weights = interpolatory(thetas, moments)
    for k in range(4):
        total = sum((w * (theta**k if k else ONE) for w, theta in zip(weights, thetas)), start=Form())
        assert total - moments[k] == Form()
    assert interpolatory((QQ(7),), moments) == (moments[0],)


def test_explicit_steps_use_earlier_values_only():
    zero, one = Form(), phi(1)
    assert Step((ZERO, HALF, ONE), 1, ((one, zero, zero), (one, one, zero)), (one, one, one)).explicit
    assert not Step((ZERO, HALF, ONE), 1, ((one, one, zero), (one, one, zero)), (one, one, one)).explicit
    assert not Step((ZERO, HALF, ONE), 1, ((one, zero, zero), (one, zero, one)), (one, one, one)).explicit
    assert not Step((ZERO, QQ(-1), ONE), 2, ((one, one, one),), (one, one, one)).explicit
    assert Step((ZERO, QQ(-1), ONE), 2, ((one, one, zero),), (one, one, one)).explicit


def test_exact_numbers_as_sympy_writes_them():
    h = Symbol("h")
    assert as_expr(h / 3) == h / 3
    assert as_expr(QQ(-7, 3)) == Rational(-7, 3) and as_expr(5) == 5
    assert as_expr(square_root(12) / 5 + 1) == 2 * sqrt(3) / 5 + 1


def test_a_phi_function_at_zero_is_one_over_its_factorial():
    for k, inverse in enumerate((1, 1, 2, 6, 24)):
        assert phi(k, ZERO).value(lambda k, c: None, number) == MP.mpf(1) / inverse
