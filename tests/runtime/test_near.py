"""runtime.near: bounds that hold, against 320 bits; what float64 does not determine is told; rows of the shipped pairs."""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime import real as wide
from runtime.near import _FUNCTIONS, GOOD, Near, Uncertain, near, near_number, settled

PAIRS = ["dpm_solver_12", "dpm_solver_23", "dpmpp_23", "flow_bs3", "flow_dopri5", "flow_tsit5"]
FUNCTIONS = sorted(set(_FUNCTIONS) - {"phis", "real"})
values = st.floats(-5, 5).filter(lambda v: abs(v) > 1e-6)
errors = st.sampled_from([0.0, 1e-16, 1e-12, 1e-7])
sides = st.sampled_from([-1, 0, 1])


def holds(found: Near, exact: Any) -> bool:
    return abs(wide.real(found.v) - exact) <= wide.real(found.e) * (1 + wide.real("1e-10"))


def tight(found: Near, exact: Any, spread: float) -> bool:
    """Of exact arguments the bound is a few units; of others it is near ``spread``, what they may change."""
    return found.e <= 20 * 2.0**-53 * abs(float(exact)) + 1.1 * spread + 1e-299


@given(st.sampled_from("+-*/"), values, values, errors, errors, sides, sides)
def test_arithmetic(sign: str, a: float, b: float, ea: float, eb: float, i: int, j: int) -> None:
    function = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign]
    found = function(Near(a, ea), Near(b, eb))
    exact = function(wide.real(a) + i * wide.real(ea), wide.real(b) + j * wide.real(eb))
    assert holds(found, exact)
    spread = {"+": ea + eb, "-": ea + eb, "*": abs(b) * ea + abs(a) * eb + ea * eb}
    limit = spread.get(sign, (ea + abs(a / b) * eb) / (abs(b) - eb))
    assert tight(found, function(wide.real(a), wide.real(b)), limit)


@given(
    st.sampled_from([operator.add, operator.sub, operator.mul, operator.truediv]), values, errors,
    st.sampled_from([3, -7, 199, 2**60 + 1, 0.1, Fraction(1, 3), wide.real("1/7")]), st.booleans(), sides,
)  # fmt: skip
def test_arithmetic_with_other_numbers(function: Any, a: float, e: float, other: Any, first: bool, side: int) -> None:
    exact, number = wide.real(a) + side * wide.real(e), wide.real(other)
    if first:
        assert holds(function(other, Near(a, e)), function(number, exact))
    else:
        assert holds(function(Near(a, e), other), function(exact, number))


@given(values, errors, st.integers(1, 8), sides)
def test_powers_and_signs(a: float, e: float, power: int, side: int) -> None:
    exact = wide.real(a) + side * wide.real(e)
    assert holds(Near(a, e) ** power, exact**power)
    assert holds(-Near(a, e), -exact)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(values, errors, sides)
def test_functions(name: str, a: float, e: float, side: int) -> None:
    if name in ("log", "sqrt"):
        a = abs(a)
    assume(name != "log1p" or a > -0.999)
    function = getattr(wide, name)
    found = _FUNCTIONS[name](Near(a, e))
    assert holds(found, function(wide.real(a) + side * wide.real(e)))
    steps = [abs(float(function(wide.real(a) + s * wide.real(e)) - function(wide.real(a)))) for s in (-1, 1)]
    if name in (
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
    ):  # of the others the derivative is only bounded by 1, or by cosh
        assert tight(found, function(wide.real(a)), max(steps))


@given(st.integers(1, 8), st.floats(-30, 30), errors, sides)
def test_phis(n: int, z: float, e: float, side: int) -> None:
    for found, exact in zip(_FUNCTIONS["phis"](n, Near(z, e)), wide.phis(n, wide.real(z) + side * wide.real(e))):
        assert holds(found, exact)


@pytest.mark.parametrize("z", [0.0, 1e-12, -1e-5, 1e-3, -0.3, 1.0, -1.0, 1.5, -4.0])
def test_phis_are_as_good_as_their_recurrence(z: float) -> None:
    found = _FUNCTIONS["phis"](3, z)
    assert all(
        holds(p, q) and p.e <= 100 * 2.0**-53 * abs(float(q)) for p, q in zip(found, wide.phis(3, z), strict=True)
    )


def test_what_may_be_zero_or_has_no_logarithm():
    for bad in (
        lambda: 1 / Near(1e-20, 1e-18),
        lambda: Near(1.0) / Near(0.0),
        lambda: _FUNCTIONS["log"](Near(1e-20, 1e-18)),
        lambda: _FUNCTIONS["log1p"](Near(-1 + 1e-9, 1e-8)),
        lambda: _FUNCTIONS["sqrt"](Near(1e-20, 1e-18)),
        lambda: Near(2.0) ** -1,
        lambda: Near(2.0) ** 0.5,
    ):
        with pytest.raises(Uncertain):
            bad()
    assert _FUNCTIONS["sqrt"](0).v == 0
    with pytest.raises(ValueError):
        _FUNCTIONS["sqrt"](Near(-1.0))


def test_numbers_that_are_exact_have_no_error():
    for x in (3, 0.1, Fraction(3, 8), wide.real(2), 2**53):
        assert near_number(x).e == 0
    for x in (2**53 + 1, Fraction(1, 3), wide.real("0.1")):
        assert 0 < near_number(x).e <= 1.01 * 2.0**-53 * float(x)
    assert repr(near_number(2)) == "Near(2.0, 0.0)" and float(Near(0.5, 1.0)) == 0.5


def test_what_is_settled():
    assert settled((Near(1.0, GOOD / 2), 0, 2)) == (1.0, 0.0, 2.0)
    assert settled((Near(1e-30, GOOD / 4), Near(1.0))) == (1e-30, 1.0)  # small beside what it is added to
    assert settled((0, 0)) == (0.0, 0.0)
    for bad in (Near(1.0, 1e-9), Near(math.nan, math.nan), Near(math.inf, math.inf), Near(0.0, 1e-3)):
        with pytest.raises(Uncertain):
            settled((0.5, bad))


@pytest.mark.parametrize("name", PAIRS)
def test_rows_of_the_pairs(name: str) -> None:
    """At grid points that are floats: within ``GOOD`` by their own bounds, and in fact within 2e-15 of their row."""
    code = import_module(f"generated.{name}").solver._coefficients
    light = near(code)
    assert light is not None
    for s, t in ((0.6, 0.55), (0.31, 0.3099), (0.06, 0.0599999), (0.2, 0.35)):
        a, b = light.node(Near(s)), light.node(Near(t))
        u = (a, *(light.inner(a, b, c) for c in light.ABSCISSAE[-1][1:]))
        exact = [code.node(wide.real(float(node.t))) for node in (a, b, *u)]
        h, meant = (light.span(a, b),), (code.span(*exact[:2]),)
        for f, g in zip((*light.ROWS[-1], *light.ERROR), (*code.ROWS[-1], *code.ERROR), strict=True):
            ends = (a, b, h, u if f.__name__ != "error" else (*u, b))
            row = f(*ends)
            other = g(*exact[:2], meant, tuple(exact[2:]) if f.__name__ != "error" else (*exact[2:], exact[1]))
            for part in (slice(0, 1), slice(1, None)) if f.__name__ != "error" else (slice(None),):
                numbers = settled(row[part])
                size = max(map(abs, numbers))
                assert all(abs(wide.real(v) - w) <= 2e-15 * size for v, w in zip(numbers, other[part], strict=True))
        assert float(abs(wide.real(float(light.inner(a, b, 0.25).t)) - code.inner(*exact[:2], 0.25).t)) < 1e-15


def test_the_module_itself_is_as_it_was():
    code = import_module("generated.dpm_solver_12").solver._coefficients
    near(code)
    assert type(code.node(wide.real(0.5)).alpha) is wide.Real
    assert code.rho.__globals__ is vars(code)


def test_code_that_needs_more_than_these_functions_stays_wide():
    code = SimpleNamespace(__name__="made", chebyshev=wide.chebyshev, node=lambda t: t)
    assert near(code) is None
