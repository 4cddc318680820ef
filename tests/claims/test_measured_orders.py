"""The order that every shipped solver claims is the order that it shows, neither less nor more.

Measured on the emitted coefficients, on a grid of unequal steps (a periodic rough pattern; smooth grids hide defects),
with a coupled non-linear network. An exponent from two grids is not an order: published three-step solvers show 1.04,
1.69, 1.87 on their way to 2. What counts is the Richardson estimate, once two of them agree.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from derive.errors import SpecError
from derive.measure.order import OrderFit, measured_global_order, measured_order
from tests.claims.shipped import FOLDER, NAMES, shipped, spec_text, written

CLOSE = 0.05
THREE_STEPS = [n for n in NAMES if len(json.loads((FOLDER / n / "claims.json").read_text())["row_orders"]) >= 3]
PUBLISHED_3M = "steps: 3, integrand: {integrand}, variable: lambda, weights: {{moments: {{2: phi3}}}}, final: keep"
"""The three-step solvers of the papers: the second difference has the weight phi_3 where 2 phi_3 is due."""


def assert_shows(fit: OrderFit, order: int) -> None:
    assert fit.decided, f"\n{fit}"
    assert fit.order == order and abs(fit.order_estimate - order) < CLOSE, f"claimed {order}, measured\n{fit}"


@pytest.mark.parametrize("name", NAMES)
def test_order_from_exact_start_is_the_claimed_one_and_no_higher(name: str) -> None:
    solver = shipped(name)
    assert_shows(measured_order(solver.coefficients), solver.claims["order"])


@pytest.mark.parametrize("name", NAMES)
def test_global_order_with_its_own_start_and_last_steps(name: str) -> None:
    solver = shipped(name)
    claims = solver.claims
    assert (claims["start"], claims["final"]) == (solver.coefficients.START, solver.coefficients.FINAL)
    assert_shows(measured_global_order(solver.coefficients), claims["global_order"])


@pytest.mark.parametrize("name", THREE_STEPS)
def test_a_ramp_of_orders_1_2_3_has_global_order_2(name: str) -> None:
    assert_shows(measured_order(shipped(name).coefficients, "ramp"), 2)


@pytest.mark.parametrize(("integrand", "seed"), [("data", 1), ("noise", 0)])
def test_published_three_step_solvers_that_look_like_order_3_have_order_2(
    integrand: str, seed: int, tmp_path: Path
) -> None:
    method = PUBLISHED_3M.format(integrand=integrand)
    text = spec_text("published_3m", "kind: vp_linear", "kind: noise", method, "claims: {order: 2}\n")
    solver = written(text, tmp_path)
    assert_shows(measured_order(solver.coefficients), 2)
    fit = measured_order(solver.coefficients, grid="lambda", seed=seed)
    raw = [line.p for line in fit.table if line.p is not None]
    assert raw[0] > 2.9, f"the trap is gone: two coarse grids no longer say 3\n{fit}"
    assert_shows(fit, 2)
    with pytest.raises(SpecError, match="3"):
        written(text.replace("order: 2", "order: 3"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["lambda", "time"])
@pytest.mark.parametrize("name", NAMES)
def test_order_on_smooth_grids_and_with_another_network(name: str, grid: str) -> None:
    solver = shipped(name)
    fit = measured_order(solver.coefficients, grid=grid, seed=1)
    assert fit.order is None or fit.order >= solver.claims["order"], f"\n{fit}"
    assert fit.order_estimate > solver.claims["order"] - CLOSE, f"\n{fit}"
