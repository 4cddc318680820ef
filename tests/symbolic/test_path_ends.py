"""Exactly zero, not finite, too large: decisions about the ends of a path that no float can make."""

from __future__ import annotations

import pytest
import sympy as sp

from derive.symbolic.alphabet import t
from derive.symbolic.path import LARGEST, _is_zero, _number, _positive, _roots, check_path

ONE = sp.Integer(1)
LOGARITHMS = sp.log(2) + sp.log(3) - sp.log(6)
"""Zero, which SymPy's own rules leave open."""


def check(alpha, sigma, noise=1, data=0):
    return check_path(alpha, sigma, sp.Rational(noise), sp.Rational(data))


def test_zero_is_decided_by_algebra_where_the_rules_are_silent():
    assert LOGARITHMS.is_zero is None
    assert _is_zero(LOGARITHMS) is True and _is_zero(sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1) is True
    for power in (10, 30, 50):
        assert _is_zero(LOGARITHMS + sp.Rational(1, 10**power)) is False
        assert _is_zero(LOGARITHMS - sp.Rational(1, 10**power)) is False
    assert check(ONE, t + LOGARITHMS)[1] == "sigma_zero"
    assert check(ONE, t + LOGARITHMS + sp.Rational(1, 10**30))[1] == "regular"


def test_the_screen_in_front_of_the_algebraic_test(monkeypatch):
    """Of what the rules leave open, algebra (it may take minutes) is asked below 2^-180 only, and has the last word."""
    monkeypatch.setattr(sp.Add, "is_zero", None)
    assert _is_zero(LOGARITHMS + sp.Rational(1, 10**58)) is False
    assert _is_zero(LOGARITHMS) is True
    monkeypatch.setattr(sp.Expr, "equals", lambda *_, **__: pytest.fail("algebra is asked"))
    for value in (sp.log(5), sp.Rational(1, 10**53), -sp.Rational(1, 10**30)):
        assert _is_zero(LOGARITHMS + value) is False


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (2 + sp.atanh(t - 1), "sigma is not finite at the data end t = 0"),
        (2 + sp.atanh(1 - t), "sigma is not finite at the data end t = 0"),
        (1 / t, "sigma is not finite at the data end t = 0"),
        (sp.acos(sp.Rational(3, 2) - t), "sigma is complex at t = 0"),
    ],
    ids=str,
)
def test_ends_that_are_not_finite_or_not_real(sigma, message):
    with pytest.raises(ValueError, match=message):
        check(ONE, sigma)


def test_numbers_must_be_finite():
    """The logarithm of zero, a pole and a root of a negative number, each told as what it is."""
    with pytest.raises(ValueError, match=r"sigma is not finite at t = 0\.5; allowed: finite"):
        _number(sp.log(t), "sigma", 0.5, at=0)
    with pytest.raises(ValueError, match="alpha is not finite at t = 2; allowed: finite"):
        _number(1 / t, "alpha", 2, at=0)
    with pytest.raises(ValueError, match="alpha is complex at t = 3; allowed: real"):
        _number(sp.sqrt(t), "alpha", 3, at=-1)
    assert _number(sp.log(t), "sigma", 1, at=1) == 0


def test_bounds_of_what_is_positive():
    for value in (0, -1, -(10**-40)):
        with pytest.raises(ValueError, match="allowed: above 0"):
            _positive("alpha", value, 0)
    with pytest.raises(ValueError, match="alpha is above 1e150 at t = 0; allowed: what fits a float64, squared"):
        _positive("alpha", LARGEST + 1, 0)
    assert LARGEST == 10**150
    _positive("alpha", LARGEST, 0)
    _positive("alpha", 10**-150, 0)
    with pytest.raises(ValueError, match="sigma is above 1e150 at t = 1"):
        check(ONE, sp.Integer(10) ** 151 * t)
    assert check(ONE, sp.Integer(10) ** 150 * t)[1] == "sigma_zero"


def test_roots_inside_an_open_interval():
    half = sp.Rational(1, 2)
    for f, count in (
        (sp.Integer(7), 0), (t, 0), (t - 1, 0), (t - half, 1), (t * (t - half) * (t - 1), 1), ((t - half) ** 4, 1),
        (t**2 + 1, 0), ((t - half) * (3 * t - 1) * (t - 2), 2), (t * (1 - t), 0), (2 * t + 1, 0),
    ):  # fmt: skip
        assert _roots(f, sp.Integer(0), sp.Integer(1)) == count, f
