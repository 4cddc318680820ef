"""Curves at integer steps: the series is the one the rows were made of, and a row off the curve is reported."""

from __future__ import annotations

import pytest
import sympy as sp

from derive.symbolic.alphabet import t, tabulated
from derive.symbolic.chebyshev import CONTEXT, mock_nodes
from derive.symbolic.indexed import OnDemand, alpha_bar_series, curve, products, sigma_series

COUNT = 40


def q(i):
    """A cubic in the index: its Chebyshev series on [-1, 39] has four terms."""
    x = (CONTEXT.mpf(i) - 19) / 20
    return -CONTEXT.mpf(1) / 8 - x / 16 + (2 * x**2 - 1) / 64 + (4 * x**3 - 3 * x) / 128


SERIES = (-1 / 8, -1 / 16, 1 / 64, 1 / 128)


def bars(factor=None):
    rows = [CONTEXT.exp((i + 1) * q(i)) for i in range(COUNT)]
    for i, f in (factor or {}).items():
        rows[i] *= f
    return rows


def test_the_curve_is_a_table_of_the_time():
    assert curve() == tabulated(sp.Symbol("q"), t)


def test_products_of_one_minus_beta():
    assert products([CONTEXT.mpf("0.5"), CONTEXT.mpf("0.25"), 0]) == [0.5, 0.375, 0.375]


def test_rows_on_demand():
    asked = []
    rows = OnDemand(5, lambda i: asked.append(i) or 10 * i)
    assert len(rows) == 5 and rows[3] == 30 and asked == [3]


def test_log_alpha_bar_is_t_plus_one_times_q():
    series, worst = alpha_bar_series(bars(), 1e-13)
    assert series == pytest.approx(SERIES, abs=1e-16) and len(series) == 4
    assert worst < 1e-14


@pytest.mark.parametrize(("row", "relative"), [(1, False), (2, False), (30, True), (37, True)])
def test_an_error_of_log_alpha_bar_is_absolute_near_one_and_relative_far_away(row, relative):
    """A row that the fit does not use is moved by 0.01: that much is reported, over max(1, |log alpha_bar|)."""
    if row in mock_nodes(COUNT, -1, COUNT - 1):
        row += 1
    assert row not in mock_nodes(COUNT, -1, COUNT - 1)
    _, worst = alpha_bar_series(bars({row: CONTEXT.exp(CONTEXT.mpf("0.01"))}), 1e-13)
    size = abs((row + 1) * q(row) + CONTEXT.mpf("0.01"))
    assert (size > 1) == relative
    assert worst == pytest.approx(0.01 / float(max(1, size)), rel=1e-10)


def test_sigma_squared_is_t_plus_one_times_exp_q():
    sigmas = [CONTEXT.sqrt((i + 1) * CONTEXT.exp(q(i))) for i in range(COUNT)]
    series, worst = sigma_series(sigmas, 1e-13)
    assert series == pytest.approx(SERIES, abs=1e-16) and len(series) == 4
    assert worst < 1e-14
    free = next(i for i in range(20, COUNT) if i not in mock_nodes(COUNT, -1, COUNT - 1))
    sigmas[free] *= CONTEXT.exp(CONTEXT.mpf("0.01"))
    assert sigma_series(sigmas, 1e-13)[1] == pytest.approx(0.01, rel=1e-10)


def test_terms_far_below_the_tolerance_are_left_out():
    assert len(alpha_bar_series(bars(), 1e-13)[0]) == 4
    assert len(alpha_bar_series(bars(), 50 * COUNT / 128 * (1 + 5e-10))[0]) == 3
    assert len(alpha_bar_series(bars(), 50 * COUNT / 128 * (1 - 5e-10))[0]) == 4
    sigmas = [CONTEXT.sqrt((i + 1) * CONTEXT.exp(q(i))) for i in range(COUNT)]
    assert (
        len(sigma_series(sigmas, 50 / 128 * (1 + 5e-10))[0]) == 3
        and len(sigma_series(sigmas, 50 / 128 * (1 - 5e-10))[0]) == 4
    )
