"""Fits in mock Chebyshev nodes: polynomials come back exactly, the tail is chopped at its sum."""

from __future__ import annotations

from fractions import Fraction
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.symbolic.chebyshev import CONTEXT, chop, coefficients, fit, mock_nodes, sampled


@pytest.mark.parametrize(
    ("length", "count"),
    [(2, 2), (3, 2), (4, 2), (6, 3), (10, 5), (16, 8), (17, 8), (22, 9), (100, 20), (101, 20), (256, 32), (272, 32), (274, 33),
     (1000, 33), (4000, 33)],
)  # fmt: skip
def test_nodes_are_integers_next_to_chebyshev_points(length, count):
    """The smallest of 33, half the rows and 2 sqrt(length); first and last row are always among them."""
    low, high = -1, length - 1
    points = [low + (high - low) * (1 - cos((2 * k + 1) * pi / (2 * count))) / 2 for k in range(count)]
    want = {min(max(round(p), 0), length - 1) for p in points} | {0, length - 1}
    assert mock_nodes(length, low, high) == sorted(want)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=9), st.integers(-3, 3), st.integers(1, 40))
def test_polynomials_come_back(series, low, width):
    """sum c_k T_k through len(c) or more nodes gives c, to 40 digits; T_k by its recurrence in exact rationals."""
    nodes = list(range(low, low + len(series) + 2))
    values = []
    for node in nodes:
        x = Fraction(2 * (node - low), width) - 1
        before, now, total = Fraction(1), x, Fraction(series[0])
        for c in series[1:]:
            total += c * now
            before, now = now, 2 * x * now - before
        values.append(CONTEXT.mpf(total.numerator) / total.denominator)
    found = coefficients(nodes, values, low, low + width)
    assert len(found) == len(nodes)
    scale = 1 + max(abs(v) for v in values)
    for got, want in zip(found, [*series, 0, 0], strict=True):
        assert abs(got - want) < scale * CONTEXT.mpf(10) ** -36


def test_the_tail_is_chopped_at_its_sum():
    series = [CONTEXT.mpf(c) for c in (1, 0.5, -0.25, 0.125)]
    assert chop(series, 0.375) == (1.0, 0.5)
    assert chop(series, 0.3749) == (1.0, 0.5, -0.25)
    assert chop(series, 0.125) == (1.0, 0.5, -0.25) and chop(series, 0.1249) == (1.0, 0.5, -0.25, 0.125)
    assert chop(series, 0.875) == chop(series, 99) == (1.0,)
    assert chop([CONTEXT.mpf(1) / 3], 1) == (1 / 3,)


def test_a_fit_reproduces_rows_it_never_saw():
    """x^2 on [-1, 9] from all ten rows: (x = 4 + 5 y) 16 + 40 y + 25 y^2 = 28.5 T_0 + 40 T_1 + 12.5 T_2."""
    series = fit([i**2 for i in range(10)], -1, 9, 1e-12)
    assert series == (28.5, 40.0, 12.5)
    assert sampled(series, 10, -1, 9) == pytest.approx([i**2 for i in range(10)], abs=1e-13)
    assert len(sampled(series, 4, -1, 9)) == 4
    rough = fit([1 + 1e-6 * i**2 for i in range(10)], -1, 9, 1e-3)
    assert len(rough) == 1
