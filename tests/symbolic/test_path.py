"""What is a noise schedule: ends by exact substitution, the inside by Sturm's theorem or by 255 points."""

from __future__ import annotations

import pytest
import sympy as sp

from derive.symbolic.alphabet import t
from derive.symbolic.path import CHECKED, PROVED, check_path

ONE, HALF, THIRD = sp.Integer(1), sp.Rational(1, 2), sp.Rational(1, 3)
HIDDEN_ZERO = sp.sqrt(5 + 2 * sp.sqrt(6)) - sp.sqrt(2) - sp.sqrt(3)


def check(alpha, sigma, noise=1, data=0):
    return check_path(alpha, sigma, sp.Rational(noise), sp.Rational(data))


@pytest.mark.parametrize(
    ("alpha", "sigma", "noise", "data", "want"),
    [
        (1 - t, t, 1, 0, ("alpha_zero", "sigma_zero", PROVED)),
        (ONE, t, 80, 0, ("regular", "sigma_zero", PROVED)),
        (ONE, t, 80, THIRD, ("regular", "regular", PROVED)),
        (t, 1 - t, 0, 1, ("alpha_zero", "sigma_zero", PROVED)),
        (sp.cos(sp.pi * t / 2), sp.sin(sp.pi * t / 2), 1, 0, ("alpha_zero", "sigma_zero", CHECKED)),
        (sp.exp(-t), sp.exp(t), 1, 0, ("regular", "regular", CHECKED)),
        (sp.sqrt(2) - sp.sqrt(2) * t, t, 1, 0, ("alpha_zero", "sigma_zero", CHECKED)),
        (ONE, 1 + t**16, 1, 0, ("regular", "regular", PROVED)),
        (ONE, 1 + t + t**17, 1, 0, ("regular", "regular", CHECKED)),
        (1 / (1 + t) ** 16, ONE, 1, 0, ("regular", "regular", PROVED)),
        (ONE, 1 + (t - THIRD) ** 3, 1, 0, ("regular", "regular", PROVED)),
        (ONE, t + HIDDEN_ZERO, 1, 0, ("regular", "sigma_zero", CHECKED)),
        (ONE, t + HIDDEN_ZERO + sp.Integer(10) ** -20, 1, 0, ("regular", "regular", CHECKED)),
    ],
    ids=str,
)
def test_paths_and_how_they_were_checked(alpha, sigma, noise, data, want):
    assert check(alpha, sigma, noise, data) == want


@pytest.mark.parametrize(
    ("alpha", "sigma", "noise", "data", "message"),
    [
        (1 - t, t, HALF, HALF, r"t is \[1/2, 1/2\]"),
        (1 - t, t, 0, 1, "sigma is 0 at the noise end t = 0"),
        (t, 1 + t, 1, 0, "alpha is 0 at the data end t = 0"),
        (1 / t, ONE, 1, 0, "alpha is not finite at the data end t = 0"),
        (ONE, sp.log(t) + 5, 1, 0, "sigma is not finite at the data end t = 0"),
        (ONE, sp.sqrt(t - HALF), 1, 0, "sigma is complex at the data end t = 0"),
        (t - 2, t, 1, 0, "alpha is -1 at t = 1; allowed: above 0"),
        (ONE, t - 3, 1, 0, "sigma is -2 at t = 1; allowed: above 0"),
        ((t - THIRD) ** 2, ONE, 1, 0, r"alpha has a zero inside \(0, 1\)"),
        (ONE, (t - THIRD) ** 2, 1, 0, r"sigma has a zero inside \(0, 1\)"),
        (1 / (t - THIRD) ** 2, ONE, 0, 1, r"alpha has a pole inside \(0, 1\)"),
        (ONE, 1 / (t - THIRD) ** 2, 1, 0, r"sigma has a pole inside \(0, 1\)"),
        (1 + t, 2 + 2 * t, 1, 0, "alpha/sigma is constant"),
        (ONE, 1 + (t - THIRD) ** 2, 1, 0, r"turns around inside \(0, 1\)"),
        (ONE, 1 + (t - THIRD) ** 4, 1, 0, r"turns around inside \(0, 1\)"),
        (ONE, 1 + t, 0, 1, r"does not rise from noise \(t = 0\) to data \(t = 1\)"),
        (sp.exp(t), sp.exp(t), 1, 0, "does not rise before t = 0.992188"),
        (ONE, sp.exp(sp.sin(12 * t)), 1, 0, "does not rise"),
        (ONE, sp.exp(t) - sp.Rational(4, 3) * sp.exp(-((8 * t - 4) ** 2)), 1, 0, "sigma is -?0.[0-9]+ at t = 0.[0-9]+|does not rise"),
        (sp.exp(-t) + 1 / (t - HALF) ** 2, ONE, 1, 0, "alpha is not finite at t = 0.5"),
        (ONE, sp.exp(t) * sp.sqrt((t - THIRD) * (t - 2 * THIRD)), 1, 0, "sigma is complex at t = 0.664062"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_a_schedule_is_refused_with_its_place(alpha, sigma, noise, data, message):
    with pytest.raises(ValueError, match=message):
        check(alpha, sigma, noise, data)


@pytest.mark.parametrize(
    ("index", "sign", "place"), [(1, -1, "0.0078125"), (254, 1, "0.992188"), (255, 1, "0.996094"), (128, 1, "0.5")]
)
def test_every_point_inside_is_looked_at(index, sign, place):
    """A needle of width 1/256 at one point of the grid of 257 is seen, at the first and at the last one too."""
    needle = sp.exp(-50 * (256 * t - index) ** 2)
    with pytest.raises(ValueError, match=f"does not rise before t = {place},"):
        check(ONE, 2 - t + sign * needle, 0, 1)


def test_a_turn_at_an_end_is_no_turn_inside():
    """d(sigma/alpha)/dt may vanish at an end: roots are counted in the open interval."""
    assert check(ONE, 1 + t**2, 1, 0)[2] == PROVED
    assert check(ONE, 2 - (1 - t) ** 2, 1, 0)[2] == PROVED
    assert check(ONE, 1 + t**2 * (3 - 2 * t), 1, 0)[2] == PROVED


def test_the_report_says_how_many_points():
    assert CHECKED.endswith("checked at 257 points") and "Sturm" in PROVED
