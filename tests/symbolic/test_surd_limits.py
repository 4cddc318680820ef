"""Signs of rationals next to zero, the largest radicand, inverses of many roots."""

from __future__ import annotations

from fractions import Fraction

import pytest
from sympy import QQ

from derive.symbolic.surds import MAX_RADICAND, Surd, approximation, number, number_words, sign, square_root


@pytest.mark.parametrize("size", [QQ(1, 10**9), QQ(1, 2), QQ(1), QQ(3, 2), QQ(7)])
def test_signs_of_rationals(size):
    assert (sign(size), sign(-size), sign(size - size)) == (1, -1, 0)
    assert (sign(size * square_root(2)), sign(-size * square_root(2))) == (1, -1)


def test_radicands_up_to_ten_thousand():
    assert MAX_RADICAND == 10**4
    assert square_root(9998) * square_root(9998) == 9998
    assert square_root(QQ(99, 101)) * 101 == square_root(9999)
    assert square_root(10**30) == 10**15 and square_root(QQ(10**8, 9)) == QQ(10**4, 3)
    for value in (10001, 10002, 11**4 - 1, QQ(2, 5001)):
        with pytest.raises(ValueError, match=r"allowed: numerator times denominator up to 10000"):
            square_root(value)
    with pytest.raises(ValueError, match="a root of a negative number is not a real number"):
        square_root(QQ(-1, 4))
    assert square_root(0) == 0


@pytest.mark.parametrize("digits", [0, 3, 40])
def test_approximations_are_as_close_as_they_say(digits):
    x = square_root(2) * QQ(3, 7) - square_root(30) * 5 + QQ(1, 3)
    exact = approximation(x, 80)
    bound = (Fraction(3, 7) + 5 + Fraction(1, 3)) / 10**digits
    assert abs(approximation(x, digits) - exact) < bound
    assert approximation(QQ(1, 3), digits) == Fraction(1, 3)


def test_inverses_of_many_roots():
    x = number({1: QQ(1), 2: QQ(-1, 3), 3: QQ(2), 6: QQ(5), 30: QQ(1, 7)})
    assert isinstance(x, Surd) and x * (1 / x) == 1 and x * x.inverse() == 1
    assert (x**3) * (x**-3) == 1 and x**0 == 1 and x**1 == x and x**-1 == 1 / x and x**2 == x * x
    assert 2 / x == x.inverse() * 2 and x / 2 == x * QQ(1, 2) and 5 - x == -(x - 5)
    assert number_words(x) == "1 - sqrt(2)/3 + 2*sqrt(3) + 5*sqrt(6) + sqrt(30)/7"
