"""The alphabet: assumptions that simplification relies on, and functions that stay as they are written."""

from __future__ import annotations

import pytest
import sympy as sp

from derive.symbolic import alphabet as ab


@pytest.mark.parametrize("name", ["t", "s", "u", "lam", "dalpha", "dsigma", "drho", "h", "z", "theta"])
def test_real_symbols_leave_logarithms(name):
    """log(exp(x)) = x and |x|^2 = x^2 hold for real x only."""
    x = getattr(ab, name)
    assert sp.log(sp.exp(x)) == x
    assert sp.Abs(x) ** 2 == x**2
    assert sp.sqrt(x**2) == sp.Abs(x) != x


@pytest.mark.parametrize("name", ["alpha", "sigma", "rho"])
def test_positive_symbols_leave_roots_and_logarithms(name):
    x = getattr(ab, name)
    assert sp.sqrt(x**2) == x and sp.expand_log(sp.log(x**2)) == 2 * sp.log(x)


@pytest.mark.parametrize("function", [ab.expm1, ab.log1p], ids=str)
def test_only_zero_is_evaluated(function):
    assert function(0) == 0 and function(ab.t - ab.t) == 0
    for x in (sp.Integer(1), sp.Rational(-1, 3), ab.t):
        assert isinstance(function(x), function) and function(x).args == (x,)


@pytest.mark.parametrize(
    ("function", "count"), [(ab.expm1, 1), (ab.log1p, 1), (ab.phi, 2), (ab.tabulated, 2), (ab.tabulated_slope, 2)]
)
def test_functions_take_as_many_arguments_as_they_have(function, count):
    assert function(*[ab.t] * count).args == (ab.t,) * count
    for wrong in (count - 1, count + 1):
        with pytest.raises(TypeError):
            function(*[ab.t] * wrong)


def test_derivatives_are_those_of_the_plain_formulas():
    g = ab.t**3 / 2 + ab.t
    assert sp.simplify(sp.diff(ab.expm1(g), ab.t) - sp.diff(sp.exp(g) - 1, ab.t)) == 0
    assert sp.simplify(sp.diff(ab.log1p(g), ab.t) - sp.diff(sp.log(1 + g), ab.t)) == 0
    q = sp.Symbol("q")
    assert sp.diff(ab.tabulated(q, ab.t**2), ab.t) == 2 * ab.t * ab.tabulated_slope(q, ab.t**2)
