"""Weak and strong orders without samples: the published statements, and that every defect is seen."""

from __future__ import annotations

from fractions import Fraction

import pytest

from derive.measure.stochastic import LinearSDE, Noise, Scheme, gram, moments
from derive.measure.stochastic_orders import StochasticOrders, measured_order, measured_orders, rough, uniform
from derive.measure.stochastic_steps import exponential, iterated, pair_covariance
from runtime.real import phis, real, sin
from tests.measure.stochastic_schemes import (
    ddim_eta,
    euler_maruyama,
    exact,
    ito_taylor,
    sa_corrected,
    sa_solver,
    seeds2,
)

HALF, ONE = Fraction(1, 2), Fraction(1)
CLOSE = 0.05


def problem(stochasticity: Fraction) -> LinearSDE:
    return LinearSDE(Fraction(3, 5), stochasticity, sin)


def orders(scheme: Scheme, sde: LinearSDE, **more) -> StochasticOrders:
    return measured_orders(sde, scheme, tolerance=CLOSE, **{"first": 8, **more})


def check(found: StochasticOrders, weak: float, strong: float) -> None:
    assert found.decided
    assert found.weak == pytest.approx(weak, abs=CLOSE)
    assert found.strong == pytest.approx(strong, abs=CLOSE)


@pytest.mark.parametrize("stochasticity", [HALF, ONE, Fraction(2)])
def test_the_exact_solution_has_the_exact_law(stochasticity):
    """c^2 + e^{-2 lambda} after every step, on the exact path."""
    sde = LinearSDE(Fraction(3, 5), stochasticity)
    for at in moments(sde, exact(sde), rough(16)):
        assert abs(at.ratio - 1) < 1e-60
        assert abs(at.mean - at.exact_mean) < 1e-60
        assert abs(at.distance) < 1e-60


@pytest.mark.parametrize("stochasticity", [HALF, ONE, Fraction(2)])
def test_closed_covariances_are_the_integrals(stochasticity):
    s, t, strength = real("0.3"), real("0.8"), 1 + real(stochasticity)
    sde = LinearSDE(stochasticity=stochasticity)
    found = gram([Noise(exponential(-strength, t), s, t), Noise(iterated(strength, t), s, t)], sde.intensity)
    for got, closed in zip(
        (found[0][0], found[0][1], found[1][1]), pair_covariance(real(stochasticity), s, t), strict=True
    ):
        assert abs(got - closed) < 1e-50


def test_noises_of_parts_of_a_step_are_joint():
    """E[W(0, 1/2) W(0, 1)] is the common part; another path shares nothing."""
    t, middle = real(1), real("0.5")
    noises = [
        Noise(lambda u: real(1), t * 0, t),
        Noise(lambda u: real(1), t * 0, middle),
        Noise(lambda u: real(1), t * 0, t, "b"),
    ]
    found = gram(noises, lambda u: real(1))
    assert abs(found[0][1] - middle) < 1e-60 and abs(found[0][0] - 1) < 1e-60
    assert found[0][2] == 0 and abs(found[2][2] - 1) < 1e-60


@pytest.mark.parametrize("steps, weak", [(1, 1), (2, 2), pytest.param(3, 2, marks=pytest.mark.slow)])
def test_sa_solver(steps, weak):
    check(orders(sa_solver(steps, ONE), problem(ONE), known=steps), weak, 1)


OVERRIDES = {"midpoint": lambda z: phis(1, z)[0] / 2, "practical": lambda z: real("0.5")}


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["lambda", "rough"])
@pytest.mark.parametrize("stochasticity", [HALF, ONE])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_sa_solver_everywhere(steps, stochasticity, grid):
    check(orders(sa_solver(steps, stochasticity), problem(stochasticity), known=steps, grid=grid), min(steps, 2), 1)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_corrector_does_not_pass_the_barrier(steps):
    check(orders(sa_corrected(steps, ONE), problem(ONE), known=steps), 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("second", OVERRIDES.values(), ids=OVERRIDES)
def test_variants_of_2m(second):
    check(orders(sa_solver(2, ONE, second=second), problem(ONE), known=2), 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_without_noise_the_orders_are_those_of_the_ode(steps):
    check(orders(sa_solver(steps, Fraction(0)), problem(Fraction(0)), known=steps), steps, steps)


@pytest.mark.parametrize("stage, weak", [pytest.param("", 2, marks=pytest.mark.slow), ("another", 1)])
def test_seeds_needs_coherent_stages(stage, weak):
    check(orders(seeds2(ONE, stage), problem(ONE), kind="noise"), weak, 1)


def test_ito_taylor_is_above_strong_order_one():
    """On the linear problem; without xi_1 it is not."""
    sde = LinearSDE(stochasticity=HALF)
    check(orders(ito_taylor(sde), sde), 2, 2)
    check(orders(ito_taylor(sde, real(0)), sde), 1, 1)


def test_ddim_eta_and_euler_maruyama():
    check(orders(ddim_eta(Fraction(3, 4)), problem(Fraction(9, 16))), 1, 1)
    check(orders(euler_maruyama(problem(ONE)), problem(ONE), kind="drift"), 1, 1)


DEFECTS = {
    "a weight": ({"weight": real("1.1")}, True, True),
    "the size of the noise": ({"noise": real("1.1")}, True, True),
    "another path": ({"path": "b"}, False, True),
}


@pytest.mark.parametrize("defect, weak, strong", DEFECTS.values(), ids=DEFECTS)
def test_defects_are_seen(defect, weak, strong):
    """An error that stays has order 0: another path leaves the law as it is."""
    found = orders(sa_solver(2, HALF, **defect), problem(HALF), known=2, cap=64)
    assert (found.weak < 1) == weak
    assert (found.strong < 0.5) == strong


@pytest.mark.parametrize("factor, order", [pytest.param(Fraction(1), 3, marks=pytest.mark.slow), (Fraction(1, 2), 2)])
def test_a_third_order_term_of_half_size_is_seen(factor, order):
    """The published 3M rows have half of the second moment: the mean has order 2 only."""

    scheme = sa_solver(3, HALF, third=real(factor))
    found = measured_order(problem(HALF), scheme, lambda m: m.mean - m.exact_mean, known=3, first=8, tolerance=CLOSE)
    assert found is not None and found.decided
    assert found.order_estimate == pytest.approx(order, abs=CLOSE)


def test_grids_end_where_they_should():
    assert uniform(4)[-1] == rough(16)[-1] == 1
    sizes = {b - a for a, b in zip(rough(16), rough(16)[1:])}
    assert len(sizes) == 8


def test_values_from_before_the_start_are_refused():
    sa = sa_solver(2, ONE)
    with pytest.raises(ValueError, match="the value -1 does not exist at this step"):
        moments(problem(ONE), lambda grid, n: sa([Fraction(-2), *grid], n + 1), uniform(4))
