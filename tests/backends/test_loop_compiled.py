"""The loop's body is one graph for every step and schedule, and its operator keeps the contract of ``torch.library``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tests.backends.loops import BOTH, ENGINES, NEEDS_COMPILER, network, noise, plan_of, solver_of
from tests.backends.test_loop_projected import OTHERS, model_of
from tests.projections import WAYS

STEPS = (1, 7, 50)
SOME = [
    *(pytest.param(name, "cpu", marks=NEEDS_COMPILER) for name in ("dpmpp_2m", "edm_heun", "unipc_2")),
    *((name, "torch") for name in ("ddim", "exprk5s8", "flow_dopri5", "pndm_plms4", "usf_switch_10")),
]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """No test finds what another one has compiled."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def plans(solver: Any) -> list[Any]:
    """1, 7 and 50 steps of the solver's own grid, and 7 and 12 of another."""
    table = getattr(solver.coefficients, "TABLE", ())
    first, last = solver.domain
    ends = [first + (last - first) * part for part in (0.1, 0.95)]
    counts = [len(table)] if table else [7, 12]
    others = [[ends[0] + (ends[1] - ends[0]) * (k / n) ** 1.5 for k in range(n + 1)] for n in counts]
    own = [plan_of(solver)] if table else [plan_of(solver, steps) for steps in STEPS]
    return [*own, *(solver.plan(nodes=nodes) for nodes in others)]


def gated(name: str, engine: str, backend: str) -> None:
    """One graph for all plans, and the values of the loop that is not compiled."""
    solver, x = solver_of(name), noise((2, 6), torch.float32)
    every = plans(solver)
    loop = solver.loop(max(every, key=lambda plan: plan.steps), x, backend=engine)  # with room for all
    graphs = CompileCounterWithBackend(backend)

    @torch.compile(fullgraph=True, backend=graphs)
    def body() -> None:
        loop.step(network(loop.x, loop.t))

    for plan in every:
        want = solver.loop(plan, x, backend=engine).solved(network)
        loop.restart(plan, x)
        for _ in range(plan.steps):
            body()
        torch.testing.assert_close(loop.result(), want, rtol=0, atol=0)
        assert graphs.frame_count == 1, plan
    with pytest.raises(RuntimeError, match="steps are taken"):
        body()


@pytest.mark.parametrize(("name", "engine"), SOME)
def test_one_graph_for_every_step_and_schedule(name: str, engine: str) -> None:
    gated(name, engine, "aot_eager")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", WAYS)
def test_so_it_is_with_guidance_and_bounds(way: str, engine: str) -> None:
    """Other numbers of them need no other graph."""
    solver, x, model = solver_of("unipc_2"), noise((2, 6), torch.float32), model_of(WAYS[way])
    loop = solver.loop(plan_of(solver, 7), x, backend=engine, **WAYS[way])
    graphs = CompileCounterWithBackend("aot_eager")
    body = torch.compile(lambda: loop.step(model(loop.x, loop.t)), fullgraph=True, backend=graphs)
    for steps, options in ((7, WAYS[way]), (3, OTHERS[way])):
        plan = plan_of(solver, steps)
        loop.restart(plan, x, **options)
        for _ in range(steps):
            body()
        assert torch.equal(loop.result(), solver.loop(plan, x, backend=engine, **options).solved(model))
        assert graphs.frame_count == 1
    loop.restart(plan_of(solver, 3), x)
    arguments = (*loop.buffers(noise(loop.x.shape, torch.float32, 4)), loop.engine.key)
    assert {*torch.library.opcheck(torch.ops.phiforge.advance, arguments).values()} == {"SUCCESS"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine"), BOTH)
def test_so_it_is_for_every_solver(name: str, engine: str) -> None:
    gated(name, engine, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_inductor_makes_the_same(engine: str) -> None:
    """Its network may round otherwise, so one that is exact: a halving."""
    solver, x = solver_of("unipc_2"), noise((2, 6), torch.float32)
    plan = plan_of(solver, 7)
    loop = solver.loop(plan, x, backend=engine)

    @torch.compile(fullgraph=True)
    def body() -> None:
        loop.step(loop.x / 2)

    for _ in range(7):
        body()
    assert torch.equal(loop.result(), solver.loop(plan, x, backend=engine).solved(lambda x, t: x / 2))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", [lambda x, t: x, lambda x, t: network(x, t).bfloat16().mT.contiguous().mT])
def test_outputs_that_are_no_plain_tensor(model: Any, engine: str) -> None:
    """The state itself; another type in another layout."""
    solver, x = solver_of("unipc_2"), noise((2, 6), torch.float32)
    plan = plan_of(solver, 4)
    loop = solver.loop(plan, x, backend=engine)
    body = torch.compile(lambda: loop.step(model(loop.x, loop.t)), fullgraph=True, backend="aot_eager")
    for _ in range(plan.steps):
        body()
    assert torch.equal(loop.result(), solver.loop(plan, x, backend=engine).solved(model))


KINDS = [
    *(pytest.param("cpu", k, marks=NEEDS_COMPILER) for k in (torch.float32, torch.float64, torch.bfloat16)),
    *(("torch", k) for k in (torch.float32, torch.float64, torch.float16, torch.bfloat16)),
]


@pytest.mark.parametrize(("engine", "dtype"), KINDS, ids=str)
def test_the_operator_changes_what_it_says(engine: str, dtype: torch.dtype) -> None:
    check_operator("edm_heun", engine, dtype)


@pytest.mark.parametrize(("engine", "dtype"), KINDS[::3], ids=str)
def test_so_it_does_without_a_buffer_of_the_network(engine: str, dtype: torch.dtype) -> None:
    check_operator("dpmpp_2m", engine, dtype)


def check_operator(name: str, engine: str, dtype: torch.dtype) -> None:
    solver, x = solver_of(name), noise((3, 5), dtype)
    loop = solver.loop(plan_of(solver, 4), x, backend=engine)
    assert (loop.low is None) == (dtype in (torch.float32, torch.float64))
    arguments = (*loop.buffers(noise((3, 5), dtype, 4)), loop.engine.key)
    found = torch.library.opcheck(torch.ops.phiforge.advance, arguments)
    assert set(found.values()) == {"SUCCESS"}
