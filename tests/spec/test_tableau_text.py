"""Coefficients as text: what is read, what is printed, what is refused and where."""

from __future__ import annotations

import time

import mpmath as mp
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from sympy import QQ

from derive.expression import ExpressionError
from derive.symbolic.forms import Form, collect, constant, phi
from derive.symbolic.surds import number, rational, square_root
from derive.tableau_text import entry_text, parse_entry

rationals = st.fractions(min_value=-9, max_value=9, max_denominator=40).map(rational)
numbers = st.dictionaries(st.sampled_from([1, 2, 5, 6]), rationals, max_size=3).map(number)
stretches = rationals | numbers.map(lambda c: c / 8)
keys = st.tuples(st.integers(0, 9), stretches)
forms = st.dictionaries(keys, numbers, max_size=5).map(lambda terms: collect(terms.items()))


@given(forms)
def test_printing_reads_back_as_the_same_form(form):
    text = entry_text(form)
    assert parse_entry(text) == form
    assert entry_text(parse_entry(text)) == text


def test_a_number_with_roots_is_one_term_in_brackets():
    silver = 1 + square_root(2)
    assert entry_text(phi(1) + constant(silver)) == "phi1(z) + (1 + sqrt(2))"
    assert entry_text(constant(silver) - phi(1, QQ(1, 2), silver)) == "1 + sqrt(2) + (-1 - sqrt(2))*phi1(z/2)"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("phi1(z) - 3*phi2(z) + 4*phi3(z)", phi(1) + phi(2, QQ(1), QQ(-3)) + phi(3, QQ(1), QQ(4))),
        ("exp(z/2)/3", phi(0, QQ(1, 2), QQ(1, 3))),
        ("phi0(z)", phi(0)),
        ("2*phi2(2*z/3)*2/9", phi(2, QQ(2, 3), QQ(4, 9))),
        ("(phi1(z) + 1)/2 - 1/2", phi(1, QQ(1), QQ(1, 2))),
        ("-(2/3)**2*phi1(z - z/4)", phi(1, QQ(3, 4), QQ(-4, 9))),
        ("(4 - sqrt(6))/10", constant(QQ(2, 5) - square_root(6) / 10)),
        (" 1e-3 ", constant(QQ(1, 1000))),
        ("1e6", constant(QQ(10**6))),
        ("phi1(16*z)", phi(1, QQ(16))),
        ("3*7**0", constant(QQ(3))),
        ("2**16", constant(QQ(65536))),
        ("phi1(z) - phi1(z)", Form()),
        ("0", Form()),
    ],
)
def test_what_entries_say(text, form):
    assert not parse_entry(text) - form


def test_values_are_those_of_the_text():
    form = parse_entry("sqrt(2)*phi1(sqrt(2)*z/2) - exp(z)/2 + 1/4")
    z, root = mp.mpf("0.3"), mp.sqrt(2)
    got = form.value(lambda k, c: mp.hyp1f1(1, k + 1, float(c) * z) / mp.factorial(k), lambda q: mp.mpf(float(q)))
    assert abs(got - (root * mp.expm1(root * z / 2) / (root * z / 2) - mp.exp(z) / 2 + mp.mpf(1) / 4)) < 1e-14


BAD = {
    "": (1, "got nothing"),
    "z": (1, "argument of phi1"),
    "1 + z": (5, "argument of phi1"),
    "2*z": (1, "argument of phi1"),
    "phi1": (1, "without its argument"),
    "phi1(2)": (6, "a multiple of z, such as z/2"),
    "phi1(0*z)": (6, "a multiple of z"),
    "phi1(z + 1)": (6, "argument of phi1"),
    "phi1(phi1(z))": (6, "a multiple of z"),
    "phi1(17*z)": (1, "above 16*z"),
    "phi10(z)": (1, "allowed phi0 to phi9"),
    "phi01(z)": (1, "allowed phi0 to phi9"),
    "phi1234(z)": (1, "unknown name"),
    "phi1(z)*phi2(z)": (9, "a product of functions"),
    "phi1(z)**2": (10, "powers are those of numbers"),
    "phi1(z)/z": (9, "a quotient by z"),
    "1/phi1(z)": (3, "a quotient by z"),
    "1/0": (3, "division by zero"),
    "1/(sqrt(2) - sqrt(2))": (4, "division by zero"),
    "2**17": (4, "exponents 0 to 16"),
    "2**-1": (4, "exponents 0 to 16"),
    "2**0.5": (4, "exponents 0 to 16"),
    "9**9**9": (5, "got '**'"),
    "1e400": (1, "exponents -300 to 300"),
    "1e7": (1, "a coefficient above 1000000"),
    "(9999999999999999e280)**16": (2, "bits"),
    "sqrt(-1)": (6, "negative"),
    "sqrt(sqrt(2))": (6, "of a rational number only"),
    "sqrt(z)": (6, "of a rational number only"),
    "sqrt(1000003)": (6, "allowed: numerator times denominator"),
    "sin(z)": (1, "unknown name 'sin'"),
    "alpha": (1, "unknown name 'alpha'"),
    "1 + sqr(2)": (5, "exp(z/2); did you mean 'sqrt'?"),
    "phi1(z": (5, "a '(' without its ')'"),
    "phi1(z))": (8, "got ')'"),
    "1 2": (3, "got '2'"),
    "1 +": (4, "got the end"),
    "phi1[z]": (5, "brackets are ( )"),
    "z^2": (2, "a power is written **"),
    "\u03c61(z)": (1, "U+03C6"),
    "1,2": (2, "got ','"),
    "__import__('os').system('x')": (12, "got"),
    "().__class__": (3, "got '.'"),
    "()": (2, "got ')'"),
    "exec(z)": (1, "unknown name 'exec'"),
    "lambda: 0": (7, "got ':'"),
    "1 if z else 2": (3, "got 'if'"),
    "nan": (1, "unknown name"),
    "(" * 50 + "1" + ")" * 50: (41, "nested deeper"),
    "-" * 50 + "1": (42, "nested deeper"),
    "1" * 2001: (1, "allowed at most 2000"),
    "+".join(["1"] * 600): (1, "numbers, names and signs"),
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_refusals_have_a_column(text):
    column, words = BAD[text]
    started = time.perf_counter()
    with pytest.raises(ExpressionError) as refused:
        parse_entry(text)
    assert words in refused.value.message
    assert refused.value.column == column
    assert "\n" not in refused.value.message
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("text", ["phi1(z)", "z", "exp(z)", "exp(1)", "pi"])
def test_numbers_only_where_functions_have_no_meaning(text):
    with pytest.raises(ExpressionError, match=r"allowed: numbers and sqrt\(n\)"):
        parse_entry(text, functions=False)
    assert parse_entry("sqrt(6)/10", functions=False) == constant(square_root(6) / 10)


def test_long_products_of_long_numbers_are_bounded():
    started = time.perf_counter()
    with pytest.raises(ExpressionError, match="bits"):
        parse_entry("*".join(["9999999999999999999999999999999999999999"] * 45))
    with pytest.raises(ExpressionError, match=r"above|bits"):
        parse_entry("phi1(z)" + "*9999999999999999999999999999999999999999" * 45)
    with pytest.raises(ExpressionError, match=r"above|bits|roots"):
        parse_entry(
            "*".join(["(1/7 + sqrt(2)/3 + sqrt(3)/5 + sqrt(5)/11 + sqrt(7)/13)**16*(1 + sqrt(11)/17)**16"] * 12)
        )
    with pytest.raises(ExpressionError, match="more than 16 different roots"):
        parse_entry("*".join(f"(1 + sqrt({sp.prime(i)}))" for i in range(1, 99)))
    with pytest.raises(ExpressionError, match="more than 16 different roots"):
        parse_entry("1/(" + " + ".join(f"sqrt({sp.prime(i)})" for i in range(1, 99)) + ")")
    worst = "*".join(f"(1 + sqrt({sp.prime(1229 - i)})/97)" for i in range(4))
    assert 0 < float(parse_entry(f"1/({worst})").series(1)[0]) < 1
    assert time.perf_counter() - started < 5


@given(st.text(alphabet="phi0123456789z()+-*/. exsqrtp,^_'\n\t", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        form = parse_entry(text)
    except ExpressionError:
        return
    assert parse_entry(entry_text(form)) == form
