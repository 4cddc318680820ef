"""The measurement decides what is known by proof, and refuses what it cannot know."""

from __future__ import annotations

from fractions import Fraction

import pytest

from derive.measure.order import (
    GRIDS,
    exact_solution,
    fit_order,
    measured_global_order,
    measured_order,
)
from derive.measure.problems import TanhNetwork
from derive.measure.reference import gbs
from runtime.real import exp, real

from .hand_written import module, row, solver


@pytest.mark.parametrize("grid", tuple(GRIDS))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_exact_start_shows_the_number_of_steps(steps: int, grid: str) -> None:
    fit = measured_order(solver(module(steps)), grid=grid)
    assert fit.order == steps, str(fit)
    assert abs(fit.order_estimate - steps) < 0.05


@pytest.mark.parametrize("steps", [2, 3])
def test_ramp_start_is_of_order_two(steps: int) -> None:
    fit = measured_global_order(solver(module(steps)))
    assert fit.order == 2, str(fit)


def test_low_order_last_steps_are_of_order_two() -> None:
    fit = measured_order(solver(module(3, final="lower_order")), final="own")
    assert fit.order == 2, str(fit)


@pytest.mark.parametrize("grid", ["lambda", "rough"])
def test_published_three_step_solver_is_of_order_two(grid: str) -> None:
    """Half the second-difference term: order 2 by proof, although its error is five times smaller than that of 2M."""
    fit = measured_order(solver(module(3, Fraction(1, 2))), grid=grid)
    assert fit.order == 2, str(fit)


def test_a_weight_off_by_1e_minus_6_is_seen() -> None:
    good = module(3)

    def bent(s: object, t: object, h: tuple) -> tuple:
        c = list(row(s, t, h, 3, Fraction(1)))
        c[2] *= 1 + real("1/1000000")
        return tuple(c)

    fit = measured_order(solver(good).changed(ROWS=(good.ROWS[0], good.ROWS[1], bent)), cap=1024)
    assert fit.order != 3, str(fit)


def test_a_wrong_conversion_is_seen() -> None:
    good = module(2)

    def bent(s: object, t: object, h: tuple) -> tuple:
        c = row(s, t, h, 2, Fraction(1))
        return (*c[:-1], c[-1] * (1 + real("1/100")))

    fit = measured_order(solver(good).changed(ROWS=(good.ROWS[0], bent)), cap=512)
    assert fit.order != 2, str(fit)


def test_raw_exponents_are_not_accepted() -> None:
    """e = h^2 (1 - 14 h): p_N starts far below 2, and a plateau of p_N at a wrong value must not be decided."""
    fit = fit_order(lambda n: real(Fraction(1, n**2) - Fraction(14, n**3)), 4096)
    assert fit.table[1].p is not None and fit.table[1].p < 1.6
    assert fit.order == 2


def test_fractional_orders_stay_undecided() -> None:
    fit = fit_order(lambda n: n**-1.5, 4096)
    assert not fit.decided and fit.order is None
    assert abs(fit.order_estimate - 1.5) < 1e-6
    assert "undecided" in str(fit)


def test_error_that_does_not_shrink_is_order_zero_or_undecided() -> None:
    assert fit_order(lambda n: 1.0, 512).order == 0
    assert not fit_order(lambda n: 0.0, 512).decided


def test_table_is_readable() -> None:
    text = str(measured_order(solver(module(1))))
    assert text.splitlines()[0] == "order 1"
    assert text.splitlines()[2].split()[0] == "32"


def test_exact_solution_agrees_with_a_finer_one() -> None:
    """Twice the steps and two more columns: the oracle against itself."""
    net = TanhNetwork.random(0)
    start, end = exp(real(1)), exp(real(-1))
    fine = gbs(net, net.initial, start, end, 100, 14)
    for a, b in zip(exact_solution(0, end), fine, strict=True):
        assert abs(a - b) < 1e-38
