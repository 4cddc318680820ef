"""Rationals with square roots: a field, decided exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from sympy import QQ

from derive.symbolic.surds import Surd, approximation, number, number_words, rational, sign, square_root

rationals = st.fractions(min_value=-50, max_value=50, max_denominator=30).map(rational)
surds = st.dictionaries(st.sampled_from([1, 2, 3, 5, 6, 10, 15, 30]), rationals, max_size=4).map(number)


@given(surds, surds, surds)
def test_a_field(x, y, w):
    assert x + y == y + x
    assert (x + y) + w == x + (y + w)
    assert x * y == y * x
    assert (x * y) * w == x * (y * w)
    assert x * (y + w) == x * y + x * w
    assert x - x == 0
    if x:
        assert x * (1 / x) == 1
        assert (y / x) * x == y


@given(surds, surds)
def test_equal_numbers_are_equal_objects(x, y):
    same = (x + y) - y
    assert same == x
    assert hash(same) == hash(x)
    assert isinstance(x, Surd) == (number_words(x).count("sqrt") > 0)
    assert bool(x) == (sign(x) != 0)


@given(surds)
def test_sympy_agrees(x):
    expr = x.as_expr() if isinstance(x, Surd) else sp.Rational(int(x.numerator), int(x.denominator))
    assert abs(float(approximation(x, 30)) - float(expr)) <= 1e-12 * max(1, abs(float(expr)))
    assert abs(float(x) - float(expr)) <= 1e-12 * max(1, abs(float(expr)))


def test_signs_of_close_numbers():
    """sqrt(2) against its convergents: differences down to 1e-300 have a sign."""
    p, q = 1, 1
    for n in range(400):
        assert sign(square_root(2) - QQ(p, q)) == (1 if n % 2 == 0 else -1)
        p, q = p + 2 * q, p + q
    assert sign(square_root(2) * square_root(2) - 2) == 0


def test_order_and_size():
    root = square_root(QQ(2))
    assert abs(1 - root) == root - 1 and abs(root - 1) == root - 1
    assert root - 1 > QQ(2, 5) > root - QQ(11, 10) and not root < QQ(7, 5) and QQ(3, 2) > root


def test_roots_are_reduced():
    assert square_root(8) == square_root(2) * 2
    assert square_root(12) == square_root(3) * 2 and square_root(12).terms == ((3, QQ(2)),)
    assert square_root(Fraction(1, 1200)).terms == ((3, QQ(1, 60)),)
    assert square_root(Fraction(9, 4)) == QQ(3, 2)
    assert square_root(Fraction(1, 2)) == square_root(2) / 2
    assert not isinstance(square_root(10**40), Surd)
    with pytest.raises(ValueError, match="negative"):
        square_root(-1)
    with pytest.raises(ValueError, match="allowed: numerator times denominator up to"):
        square_root(10**7 + 1)


def test_mixed_arithmetic():
    root = square_root(3)
    for other in (2, Fraction(2), QQ(2)):
        assert root + other - other == root == other + root - other
        assert (other * root) / other == root
        assert other - root == -(root - other)
        assert (other / root) * root == 2
    assert root**2 == 3
    assert root**-2 == QQ(1, 3)
    assert str(QQ(2, 5) - root / 10) == "2/5 - sqrt(3)/10"
    for operation in (lambda: root + "1", lambda: root * 0.5, lambda: root / "2"):
        with pytest.raises(TypeError):
            operation()
