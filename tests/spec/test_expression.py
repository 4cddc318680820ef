"""The expression language: what it means, what it keeps exact, and that no text does anything but parse or be refused."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import example, given
from hypothesis import strategies as st

from derive.errors import SpecError
from derive.exact import decimal, number_text
from derive.expression import FUNCTIONS, ExpressionError, normal_text, parse_expression, parse_number
from derive.symbolic.alphabet import expm1, lam, log1p, rho, t
from tests.spec.audit import watched

NAMES = {"t": t, "lambda": lam, "rho": rho}


def parse(text: str) -> sp.Expr:
    return parse_expression(text, NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", sp.Rational(1, 10)), ("1e-4", sp.Rational(1, 10000)), (".5", sp.Rational(1, 2)), ("2.", sp.Integer(2)),
        ("1/3", sp.Rational(1, 3)), ("007", sp.Integer(7)), ("1 - 2 - 3", sp.Integer(-4)), ("8/4/2", sp.Integer(1)),
        ("2**3**2", sp.Integer(512)), ("-2**2", sp.Integer(-4)), ("2**-1", sp.Rational(1, 2)), ("--1", sp.Integer(1)),
        ("-t**2", -(t**2)), ("(-t)**2", t**2), ("2*t**2/4", t**2 / 2), ("1 - -t", 1 + t), ("+t", t),
        ("cos(pi*t/2)", sp.cos(sp.pi * t / 2)), ("e**t", sp.exp(t)), ("exp(1)", sp.E), ("sqrt(2)", sp.sqrt(2)),
        ("t**(1/2)", sp.sqrt(t)), ("expm1(t)", expm1(t)), ("log1p(-t)", log1p(-t)), ("lambda*rho", lam * rho),
        ("tan(pi/2 - t)", 1 / sp.tan(t)), ("(1/50)*(4000)**t", 4000**t / 50), ("\tt\n+ 1", t + 1),
        ("atan(rho)", sp.atan(rho)), ("sinh(t) + cosh(t) + tanh(t)", sp.sinh(t) + sp.cosh(t) + sp.tanh(t)),
    ],
)  # fmt: skip
def test_meaning(text: str, value: sp.Expr) -> None:
    assert parse(text) == value


def test_numbers_are_never_floats() -> None:
    assert not parse("0.1*t + 1e-3*exp(-2.5*t)").atoms(sp.Float)


def test_names_of_the_caller_come_first() -> None:
    assert parse_expression("e + pi", {"e": t}) == t + sp.pi


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("1 + tt", 5, "unknown name 'tt'"), ("t + (2", 5, "without its ')'"), ("t^2", 2, "**"), ("exp(exp(10))", 1, "too large"),
        ("1/(t - t)", 3, "division by zero"), ("x" * 3000, 1, "3000 characters"), ("t + \u03b1", 5, "U+03B1"),
    ],
)  # fmt: skip
def test_faults_carry_the_column(text: str, column: int, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.column == column
    assert words in caught.value.message
    assert str(caught.value) == f"column {column}: {caught.value.message}"


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> tuple[str, sp.Expr]:
    """A fully bracketed text and the expression that SymPy's own operators build from the same tree."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(
            st.sampled_from([("t", t), ("rho", rho), ("pi", sp.pi), ("3", sp.Integer(3)), ("0.25", sp.Rational(1, 4))])
        )
    kind = draw(st.sampled_from(["+", "-", "*", "neg", "**2", "exp", "cos", "sqrt1"]))
    text, value = draw(trees(depth - 1))
    if kind in ("neg", "**2", "exp", "cos", "sqrt1"):
        return {
            "neg": (f"(-({text}))", -value), "**2": (f"({text})**2", value**2), "exp": (f"exp(-({text})**2)", sp.exp(-(value**2))),
            "cos": (f"cos({text})", sp.cos(value)), "sqrt1": (f"sqrt(1 + ({text})**2)", sp.sqrt(1 + value**2)),
        }[kind]  # fmt: skip
    right, other = draw(trees(depth - 1))
    built = {"+": value + other, "-": value - other, "*": value * other}[kind]
    return f"({text}) {kind} ({right})", built


@given(trees())
def test_agrees_with_sympy_operators(tree: tuple[str, sp.Expr]) -> None:
    text, value = tree
    try:
        found = parse(text)
    except ExpressionError as error:
        assert any(words in error.message for words in ("large", "degree", "Abs", "finite", "up to"))  # noqa: PT017
        return
    assert found == value
    assert parse(normal_text(text)) == value
    assert normal_text(normal_text(text)) == normal_text(text)


_fragments = st.sampled_from([
    "t", "rho", "lambda", "pi", "e", "1", "0", "2.5", "1e9", "10**9", "9**9", "(", ")", "((", "))", "+", "-", "*", "/", "**", ",", " ",
    *(f"{name}(" for name in FUNCTIONS), "__import__", ".", "'", '"', "[", "=", ":", "\n", "\u03b1", "0x1", "1_0", "if", "lambda:",
    "**64", "**-64", "1/0", "log(0)", "tan(pi/2)", "exp(exp(", "1e300", "1e-300", "sqrt(-1)", "#", "\\", "{", ";",
])  # fmt: skip


@given(st.one_of(st.lists(_fragments, max_size=30).map("".join), st.text(max_size=80)))
@example("1/0.")
@example("00.*t")
@example("sin(exp(10**9))")
@example("sin(exp(t+10**9*pi-t))")
@example("(" * 2000)
@example("-" * 2000)
@example("**".join(["2"] * 600))
@example("9" * 2000)
@example("((t**64)**64)**64")
@example("atan(tan(1e14))")
@example("cos(pi/12345678901234567890)")
@example("(10**150+7)**(1/64)")
@example("\x00")
@example("\ud800")
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    start = time.perf_counter()
    with watched() as seen:
        try:
            value = parse(text)
        except SpecError:
            value = sp.Integer(0)
    assert time.perf_counter() - start < 2
    assert seen == []
    assert not value.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I, sp.Float)
    assert value.free_symbols <= set(NAMES.values())
    assert {type(part) for part in value.atoms(sp.Function)} <= {
        sp.exp, sp.log, sp.sin, sp.cos, sp.tan, sp.atan, sp.sinh, sp.cosh, sp.tanh, expm1, log1p
    }  # fmt: skip


@given(st.fractions(), st.integers(-250, 250))
def test_number_text_reads_back(value: Fraction, power: int) -> None:
    scaled = (
        value * Fraction(10) ** power if value.denominator in (1, 2, 4, 5, 8, 10) and abs(value) < 10**20 else value
    )
    if max(abs(scaled.numerator), scaled.denominator) < 10**150 or scaled != value:
        assert parse_number(number_text(scaled)) == scaled


@pytest.mark.parametrize(
    "text", ["", "x", "1/0", "1/2/3", "0.5/2", "1e400", "nan", "inf", "1_0", "0x1", "9" * 200, "/", "1/"]
)
def test_not_a_number(text: str) -> None:
    with pytest.raises(SpecError):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("-0", 0), ("12", 12), ("+7", 7), ("1.0", Fraction(1)), ("1e3", Fraction(1000)), ("-.5", Fraction(-1, 2)),
     (".", None), ("e5", None), ("01", None), ("1e", None), ("", None), ("-", None), ("1 ", None), ("\u0663", None)],
)  # fmt: skip
def test_decimal(text: str, value: int | Fraction | None) -> None:
    found = decimal(text)
    assert found == value
    assert type(found) is type(value)
