"""Solvers with stages, correctors and starters, written by hand, executed by the march and measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from derive.measure.march import Emitted, cold, finish, integrands, march, warm
from derive.measure.order import measured_global_order, measured_order, problem, time_of_lambda
from runtime.real import real
from tests.runtime.hand_staged import ab3, dpmpp_2s, unipc_2

SOLVERS = {"dpmpp_2s": dpmpp_2s, "unipc_2": unipc_2, "unipc_2 without enter": lambda: unipc_2(enter=False), "ab3": ab3}
ORDERS = {"dpmpp_2s": 2, "unipc_2": 3, "unipc_2 without enter": 3, "ab3": 3}


def made(solver: Any) -> Emitted:
    return Emitted(solver.coefficients, solver._step.STEPS)


@pytest.mark.parametrize("name", SOLVERS)
def test_orders_from_an_exact_history(name: str) -> None:
    fit = measured_order(made(SOLVERS[name]()), cap=1024)
    assert fit.order == ORDERS[name], str(fit)


@pytest.mark.parametrize(
    ("solver", "order"),
    [(dpmpp_2s(FINAL="keep"), 2), (unipc_2(FINAL="keep"), 3), (unipc_2(starter=True, FINAL="keep"), 3), (ab3(), 3)],
    ids=["stages", "ramp", "starter", "midpoint start"],
)
def test_orders_with_their_own_start(solver: Any, order: int) -> None:
    fit = measured_global_order(made(solver), cap=1024)
    assert abs(fit.order_estimate - order) < 0.05, str(fit)


def test_a_ramp_in_place_of_a_starter_costs_order() -> None:
    assert measured_order(made(ab3()), "ramp", cap=1024).order == 2


def test_a_stage_that_is_evaluated_elsewhere_is_seen() -> None:
    good = dpmpp_2s(FINAL="keep")
    wrong = made(good).changed(ABSCISSAE=((0,), (0, real("51/100"))))
    fit = measured_order(wrong, cap=512)
    assert fit.order != 2, str(fit)


def test_a_corrector_of_lower_order_is_seen() -> None:
    first, _ = unipc_2(FINAL="keep").coefficients.CORRECTORS
    wrong = made(unipc_2(FINAL="keep")).changed(CORRECTORS=(first, first))
    assert measured_order(wrong, cap=1024).order == 2


@pytest.mark.parametrize("name", SOLVERS)
def test_the_march_in_float64_is_the_runtime(name: str) -> None:
    """The same calls, rows rounded, on NumPy arrays: what ``sample`` does on tensors."""
    solver = SOLVERS[name]()
    emitted = made(solver)
    nodes = [float(t) for t in time_of_lambda(emitted)(np.linspace(0, 1, 8))]
    plan = solver.plan(nodes=nodes)
    rows = plan.table.tolist()
    code = emitted.code
    points = [code.node(real(t)) for t in nodes]
    departure = cold(emitted, points, lambda point: (np.array([0.3, -1.2]),))
    assert [call.phase for call in departure.calls] == list(plan.phases)
    for call, row in zip(departure.calls, rows, strict=True):
        assert [float(v) for v in call.row] == row

    def network(x: tuple, point: Any) -> tuple:
        return (x[0] / (1 + x[0] ** 2) + float(point.t),)

    rounded = [
        SimpleNamespace(step=c.step, phase=c.phase, node=c.node, row=tuple(map(float, c.row))) for c in departure.calls
    ]
    run = SimpleNamespace(calls=rounded, x=departure.x, memory=())
    got = finish(emitted, run, network)[0]  # type: ignore[arg-type]
    times = iter(departure.calls)

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x / (1 + x**2) + float(next(times).node.t)

    want = solver.sample(model, torch.tensor([[0.3, -1.2]], dtype=torch.float64), plan=plan)[0].numpy()
    assert np.allclose(got, want, rtol=1e-13, atol=0)


def test_the_memory_of_a_warm_start_is_the_history() -> None:
    emitted = made(unipc_2(enter=False)).kept()
    nodes = [0.7, 0.6, 0.52, 0.4, 0.33]
    points = [emitted.code.node(real(t)) for t in nodes]
    network, exact = problem(emitted, 0)
    departure = warm(emitted, points, exact, network)
    assert [call.phase for call in departure.calls] == ["main", "main"]
    values = integrands(emitted, points[:3], exact, network)
    assert departure.x == exact(points[2]) and departure.memory == (exact(points[1]), *values)
    states = [m[0] for _, m in march(emitted, departure, network)]
    corrected, point = states[0], points[2]
    assert max(abs(a - b) for a, b in zip(corrected, exact(point), strict=True)) < 1e-2
