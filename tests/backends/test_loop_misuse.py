"""What a loop does not take, and the sentence that says so; nothing has moved then."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from runtime import engines, native
from runtime.errors import DeviceError, ShapeError
from tests.backends.loops import ENGINES, network, noise, plan_of, solver_of


@pytest.mark.parametrize("engine", ENGINES)
def test_after_the_last_step(engine: str) -> None:
    solver, x = solver_of("ddim"), noise((2, 3))
    loop = solver.loop(plan_of(solver, 3), x, backend=engine)
    want = loop.solved(network)
    with pytest.raises(RuntimeError, match="all of its 3 steps are taken"):
        loop.step(x)
    assert torch.equal(loop.result(), want)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        (torch.zeros(3, 2), ShapeError, r"returned shape \(3, 2\) for x of shape \(2, 3\)"),
        (torch.zeros(2, 6), ShapeError, "twice the channels"),
        (torch.zeros(2, 3, device="meta"), DeviceError, "a tensor on meta for x on cpu"),
        (torch.zeros(2, 3, dtype=torch.int64), TypeError, "dtype torch.int64"),
        (None, TypeError, "missing return"),
        ((torch.zeros(2, 3),), TypeError, r"model\(x, t\)\[0\]"),
    ],
)
def test_what_is_no_output_of_the_network(raw: Any, error: Any, message: str, engine: str) -> None:
    loop = solver_of("ddim").loop(plan_of(solver_of("ddim")), noise((2, 3), torch.float32), backend=engine)
    with pytest.raises(error, match=message):
        loop.step(raw)
    assert int(loop.counter[0]) == 0


def test_a_loop_without_the_source_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_ENGINES", {})
    monkeypatch.setattr(native, "SOURCE", "step_of_another_language.cu")
    solver, x = solver_of("ddim"), noise((2, 3))
    with pytest.raises(ValueError, match="add cuda to the spec's backends"):
        solver.loop(plan_of(solver), x, backend="cpu")
    assert solver.loop(plan_of(solver), x).engine.key.endswith("torch")


def test_what_cannot_be_begun_again() -> None:
    solver, x = solver_of("ddim"), noise((2, 3))
    plan = plan_of(solver)
    loop = solver.loop(plan, x)
    grids = solver.plan(nodes=[[0.9, 0.5], [0.8, 0.4]])
    for args, message in (
        ((plan, x[:1]), r"x_T: got \(1, 3\).*allowed: \(2, 3\)"),
        ((plan, x.float()), "got .* of torch.float32 on cpu; allowed: .* of torch.float64"),
        ((plan, x.to("meta")), "on meta; allowed: .* on cpu"),
        ((plan_of(solver_of("dpmpp_2m")), x), "made by solver 'dpmpp_2m'"),
        ((grids, x), "got 1 calls of the network, 2 samples; allowed: .* one grid for all"),
    ):
        with pytest.raises(ValueError, match=message):
            loop.restart(*args)
    with pytest.raises(ValueError, match=r"one grid for all samples; allowed: .* 2: make a new loop"):
        solver.loop(grids, x).restart(plan, x)
    with pytest.raises(TypeError, match=r"what solver\.plan"):
        loop.restart(7, x)
    with pytest.raises(ValueError, match="backend: got 'gpu'; allowed on cpu: cpu, torch"):
        solver.loop(plan, x, backend="gpu")
    with pytest.raises(ValueError, match=r"storage: got torch\.int32; allowed: float32, float64, float16, bfloat16"):
        solver.loop(plan, x, storage=torch.int32)
    with pytest.raises(ValueError, match=r"got torch\.float16; allowed with backend 'cpu': float32, float64, bfloat16"):
        solver.loop(plan, x, backend="cpu", storage=torch.float16)
    assert solver.loop(plan, x.half()).engine.key.endswith("torch")
