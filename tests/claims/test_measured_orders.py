"""The order that every shipped solver claims is the order that it shows, neither less nor more.

Measured on the emitted coefficients, on a grid of unequal steps (a periodic rough pattern; smooth grids hide defects),
with a coupled non-linear network. An exponent from two grids is not an order: published three-step solvers show 1.04,
1.69, 1.87 on their way to 2. What counts is the Richardson estimate, once two of them agree.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import pytest

from derive.errors import SpecError
from derive.measure.march import Emitted
from derive.measure.order import OrderFit, measured_global_order, measured_order
from tests.claims.memory import remembering
from tests.claims.shipped import FOLDER, NAMES, shipped, spec_text, written

CLOSE = 0.05
CLAIMS = {n: json.loads((FOLDER / n / "claims.json").read_text()) for n in NAMES}
TABLES = [n for n in NAMES if "TABLE = " in (FOLDER / n / "coefficients.py").read_text()]
"""Their grid steps are fixed in advance."""
ORDERED = [n for n in NAMES if n not in TABLES and "law" not in CLAIMS[n]]
"""Solvers with an order, and as many steps as there are."""
LONG = 5
"""Network calls a step from which a measurement takes long."""
MOVING = [n for n in NAMES if "= propagated(weight, drift" in (FOLDER / n / "coefficients.py").read_text()]
"""The kernel has no closed form, because tau moves: every coefficient is an integral in 320 bits."""
MEASURED = [
    pytest.param(n, marks=pytest.mark.slow) if CLAIMS[n]["evaluations_per_step"] >= LONG or n in MOVING else n
    for n in ORDERED
]
STARTED = [n for n in ORDERED if CLAIMS[n]["history"] or CLAIMS[n]["final"] == "lower_order"]
"""Solvers for which start and end are something else than the method."""
THREE_STEPS = [n for n in ORDERED if CLAIMS[n]["history"] >= 2]
PUBLISHED_3M = "steps: 3, integrand: {integrand}, variable: lambda, weights: {{moments: {{2: phi3}}}}, final: keep"
"""The three-step solvers of the papers: the second difference has the weight phi_3 where 2 phi_3 is due."""


def assert_shows(fit: OrderFit, order: int) -> None:
    assert fit.decided, f"\n{fit}"
    assert fit.order == order and abs(fit.order_estimate - order) < CLOSE, f"claimed {order}, measured\n{fit}"


@lru_cache(maxsize=2)
def emitted(name: str) -> Emitted:
    """The solver's code with a memory: solves on one grid, however they start, have the same points and rows."""
    code = shipped(name).emitted
    return code.changed(**remembering(code.code))


@pytest.mark.parametrize("name", MEASURED)
def test_order_from_exact_start_is_the_claimed_one_and_no_higher(name: str) -> None:
    assert_shows(measured_order(emitted(name), cap=4096), CLAIMS[name]["order"])


@pytest.mark.parametrize("name", STARTED)
def test_global_order_with_its_own_start_and_last_steps(name: str) -> None:
    solver, claims = shipped(name), CLAIMS[name]
    assert (claims["start"], claims["final"]) == (solver.coefficients.START, solver.coefficients.FINAL)
    assert_shows(measured_global_order(emitted(name), cap=4096), claims["global_order"])


def test_a_method_of_one_step_has_no_other_order_than_its_own() -> None:
    rest = [n for n in NAMES if n not in STARTED and n not in TABLES]
    assert rest and all(CLAIMS[n]["global_order"] == CLAIMS[n]["order"] for n in rest)


@pytest.mark.parametrize("name", THREE_STEPS)
def test_a_ramp_costs_all_but_one_order_more_than_its_first_row(name: str) -> None:
    claims = CLAIMS[name]
    order = min(claims["order"], min(claims["row_orders"]) + 1)
    assert_shows(measured_order(emitted(name), "ramp", cap=4096), order)


@pytest.mark.parametrize(("integrand", "seed"), [("data", 1), ("noise", 0)])
def test_published_three_step_solvers_that_look_like_order_3_have_order_2(
    integrand: str, seed: int, tmp_path: Path
) -> None:
    method = PUBLISHED_3M.format(integrand=integrand)
    text = spec_text("published_3m", "kind: vp_linear", "kind: noise", method, "claims: {order: 2}\n")
    solver = written(text, tmp_path)
    assert_shows(measured_order(solver.emitted), 2)
    fit = measured_order(solver.emitted, grid="lambda", seed=seed)
    raw = [line.p for line in fit.table if line.p is not None]
    assert raw[0] > 2.9, f"the trap is gone: two coarse grids no longer say 3\n{fit}"
    assert_shows(fit, 2)
    with pytest.raises(SpecError, match="3"):
        written(text.replace("order: 2", "order: 3"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["lambda", "time"])
@pytest.mark.parametrize("name", ORDERED)
def test_order_on_smooth_grids_and_with_another_network(name: str, grid: str) -> None:
    solver = shipped(name)
    fit = measured_order(solver.emitted, grid=grid, seed=1)
    assert fit.order is None or fit.order >= CLAIMS[name]["order"], f"\n{fit}"
    assert fit.order_estimate > CLAIMS[name]["order"] - CLOSE, f"\n{fit}"
