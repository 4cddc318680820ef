"""The loop on fixed buffers is the solver: against the interpreter call by call, and against ``sample``, on every engine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from derive.program.ir import Program
from tests.backends.loops import (
    BOTH,
    ENGINES,
    NEEDS_COMPILER,
    interpreted,
    network,
    noise,
    plan_of,
    solver_of,
    state_of,
)
from tests.backends.sources import OFTEN, program_of
from tests.claims.test_step_matches_interpreter import relative

SHAPES = ((), (1,), (7,), (3, 5), (2, 3, 5, 7), (257, 3), (4099,))
EMPTY = ((0,), (0, 3), (2, 0, 4))
SOLVERS = ("dpmpp_2m", "edm_heun", "unipc_2")
"""One that stays in place, one with an input scale and stages, one that moves its state every step."""


def assert_interpreted(program: Program, loop: Any, plan: Any, x: torch.Tensor) -> None:
    """Call by call, with outputs of the network at random; the memory is the interpreter's own, since x_T.

    A call rounds a value once for each of its products and sums, so its error, over the sizes of what it is a sum of, is
    at most half an eps for each of them.
    """
    raws = [noise(x.shape, x.dtype, seed) for seed in range(plan.steps)]
    rounded = 0
    for i, (want, size) in enumerate(interpreted(program, plan, plan.table.to(x.dtype), x, raws)):
        loop.step(raws[i])
        rounded += sum(2 * len(line.terms) - 1 for line in program.phase(plan.phases[i]).lines)
        bound = rounded * torch.finfo(x.dtype).eps / 2
        assert relative(state_of(loop), want, size) <= bound < (1e-13 if x.dtype == torch.float64 else 1e-4), i


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("name", "engine"), BOTH)
def test_every_call_is_the_interpreter(name: str, engine: str, dtype: torch.dtype) -> None:
    solver, x = solver_of(name), noise((3, 11), dtype)
    plan = plan_of(solver)
    assert_interpreted(program_of(name), solver.loop(plan, x, backend=engine), plan, x)


@pytest.mark.parametrize(("name", "engine"), BOTH)
def test_a_solve_is_that_of_sample(name: str, engine: str) -> None:
    solver, x = solver_of(name), noise((3, 11))
    plan = plan_of(solver)
    loop = solver.loop(plan, x, backend=engine)
    assert relative(loop.solved(network), solver.sample(network, x, plan=plan).numpy()) <= 1e-13


def changed(loop: Any, what: str) -> None:
    """One number of the third call's row, or of the third time, is another."""
    if what == "coefficient":
        loop.table[0, 2, 0] *= 1 + 1e-6
    elif what == "phase":
        loop.order[2, 0] = (loop.order[2, 0] + 1) % len(loop.engine.numbers)
    elif what == "slot of x":
        loop.order[2, 1:3] = loop.order[2, 1:3].flip(0)
    elif what == "slot of the memory":
        loop.order[2, 2:4] = loop.order[2, 2:4].flip(0)
    elif what == "time":
        loop.times[2] += 1e-6
    elif what == "input scale":
        loop.scales[0, 2] *= 1 + 1e-6


@NEEDS_COMPILER
@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("unipc_2", w) for w in ("coefficient", "phase", "slot of x", "slot of the memory", "time", "input scale")),
        ("edm_heun", "input scale"),
        ("dpmpp_2m", "phase"),
        ("dpmpp_2m", "time"),
    ],
)
def test_a_wrong_number_in_a_row_is_seen(name: str, what: str) -> None:
    solver, x = solver_of(name), noise((3, 11))
    plan = plan_of(solver)
    loop, want = solver.loop(plan, x, backend="cpu"), solver.sample(network, x, plan=plan).numpy()
    changed(loop, what)
    assert relative(loop.solved(network), want) > 1e-9


# Sizes, layouts, types


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SOLVERS)
def test_every_size(name: str, engine: str) -> None:
    solver = solver_of(name)
    plan = plan_of(solver, 5)
    for shape in SHAPES:
        x = noise(shape)
        loop = solver.loop(plan, x, backend=engine)
        assert loop.x.shape == x.shape and loop.t.shape == x.shape[:1]
        assert relative(loop.solved(network), solver.sample(network, x, plan=plan).numpy()) <= 1e-13, shape


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["edm_heun", "flow_ssprk3"])
def test_a_state_that_no_cache_holds_is_made_as_a_small_one(name: str, dtype: torch.dtype) -> None:
    """It is written past the caches, piece by piece: the same bits, in two samples of odd sizes."""
    solver, size = solver_of(name), 3_000_011
    plan = plan_of(solver, 2)
    x = noise((2, size), dtype)
    whole = solver.loop(plan, x, backend="cpu").solved(lambda x, t: torch.tanh(x) * 0.7)
    for cut in (slice(0, 700), slice(2_000_000, 2_000_300), slice(size - 700, size)):
        part = solver.loop(plan, x[:, cut], backend="cpu").solved(lambda x, t: torch.tanh(x) * 0.7)
        assert torch.equal(whole[:, cut], part)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_an_empty_sample_takes_its_steps(shape: tuple[int, ...], engine: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        loop = solver_of("unipc_2").loop(plan_of(solver_of("unipc_2"), 4), noise(shape, dtype), backend=engine)
        assert loop.solved(network).shape == shape
        assert int(loop.counter[0]) == 4


def in_another_layout(raw: torch.Tensor, way: str) -> torch.Tensor:
    """The same numbers, laid out or marked otherwise."""
    if way == "channels last":
        return raw.to(memory_format=torch.channels_last)
    if way == "gaps":
        return torch.stack([raw, raw], -1)[..., 0]
    if way == "turned":
        return raw.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    if way == "negative":
        return torch._neg_view(-raw)
    if way == "gradient":
        return raw.clone().requires_grad_()
    return torch.nn.Parameter(raw)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", ["channels last", "gaps", "turned", "negative", "gradient", "parameter"])
def test_layouts_of_noise_and_network(way: str, engine: str) -> None:
    solver, x = solver_of("edm_heun"), noise((2, 3, 4, 5))
    plan = plan_of(solver, 4)
    want = solver.loop(plan, x, backend=engine).solved(network)
    loop = solver.loop(plan, in_another_layout(x, way), backend=engine)
    got = loop.solved(lambda x, t: in_another_layout(network(x, t), way))
    assert torch.equal(got, want)
    assert not got.requires_grad


@pytest.mark.parametrize("engine", ENGINES)
def test_inference_mode_and_its_tensors(engine: str) -> None:
    """A loop that is made inside is good for use outside, and the other way round."""
    solver = solver_of("unipc_2")
    plan = plan_of(solver, 5)
    want = solver.sample(network, noise((2, 3)), plan=plan).numpy()
    with torch.inference_mode():
        x = noise((2, 3))
        loop = solver.loop(plan, x, backend=engine)
        assert relative(loop.solved(network), want) <= 1e-13
    loop.restart(plan, x)
    for _ in range(2):
        loop.step(network(loop.x, loop.t))
    with torch.inference_mode():
        assert relative(loop.solved(network), want) <= 1e-13


def test_an_expanded_output_of_the_network() -> None:
    solver, x = solver_of("dpmpp_2m"), noise((4, 6))
    plan = plan_of(solver, 4)
    got = solver.loop(plan, x).solved(lambda x, t: network(x, t)[:1].expand(4, 6))
    assert relative(got, solver.sample(lambda x, t: network(x, t)[:1].repeat(4, 1), x, plan=plan).numpy()) <= 1e-13


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_of_another_type(engine: str) -> None:
    solver, x = solver_of("unipc_2"), noise((3, 8), torch.float32)
    plan = plan_of(solver, 6)
    model = lambda x, t: network(x, t).bfloat16()  # noqa: E731
    got = solver.loop(plan, x, backend=engine).solved(model)
    assert got.dtype == torch.float32
    assert relative(got, solver.sample(model, x, plan=plan).double().numpy()) <= 2e-6
    wide = solver.loop(plan, x, backend=engine, storage=torch.float64)
    assert wide.x.dtype == wide.t.dtype == torch.float64
    assert relative(wide.solved(network), solver.sample(network, x.double(), plan=plan).numpy()) <= 1e-7
    assert wide.result().dtype == torch.float32


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OFTEN)
def test_a_model_that_returns_what_it_was_given(name: str, engine: str) -> None:
    """x itself, or a view of it, is overwritten while it is read."""
    solver, x = solver_of(name), noise((3, 4))
    plan = plan_of(solver, 5)
    want = solver.sample(lambda x, t: x.clone(), x, plan=plan).numpy()
    for model in (lambda x, t: x, lambda x, t: x.view(4, 3).view(3, 4), lambda x, t: x.T.contiguous().T):
        assert relative(solver.loop(plan, x, backend=engine).solved(model), want) <= 1e-13


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["flow_ab3", *(pytest.param(n, marks=pytest.mark.slow) for n in ("pndm_plms4", "ipndm_4"))]
)
def test_a_kept_output_that_is_the_state(name: str, engine: str) -> None:
    """Methods on the network's own output keep it: a copy, not a view of the state."""
    solver, x = solver_of(name), noise((3, 4))
    plan = plan_of(solver, 6)
    want = solver.sample(lambda x, t: x.clone(), x, plan=plan).numpy()
    assert relative(solver.loop(plan, x, backend=engine).solved(lambda x, t: x), want) <= 1e-13


# Schedules


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OFTEN)
def test_a_grid_for_every_sample(name: str, engine: str) -> None:
    solver = solver_of(name)
    first, last = solver.domain
    parts = torch.tensor([[0.95, 0.5, 0.3, 0.2], [0.8, 0.7, 0.3, 0.1], [0.9, 0.5, 0.35, 0.3]], dtype=torch.float64)
    grids, x = first + (1 - parts) * (last - first), noise((3, 2, 5))
    plan = solver.plan(nodes=grids)
    want = solver.sample(network, x, plan=plan)
    assert relative(solver.loop(plan, x, backend=engine).solved(network), want.numpy()) <= 1e-13
    for dtype in (torch.float64, torch.bfloat16):
        x, raws = x.to(dtype), [noise(x.shape, dtype, seed) for seed in range(plan.steps)]
        loop = solver.loop(plan, x, backend=engine)
        alone = [solver.loop(solver.plan(nodes=grid), x[b : b + 1], backend=engine) for b, grid in enumerate(grids)]
        for raw in raws:
            loop.step(raw)
            for b, one in enumerate(alone):
                one.step(raw[b : b + 1])
            for part in (state_of, lambda one: one.x, lambda one: one.t):
                assert torch.equal(part(loop), torch.cat([part(one) for one in alone]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m"])
def test_history(name: str, engine: str) -> None:
    """Values of the integrand before the first step, or the pairs that they follow from."""
    solver, x = solver_of(name), noise((3, 4))
    plan = plan_of(solver, 5, history=2)
    pairs = [(noise((3, 4), seed=i), noise((3, 4), seed=i + 9)) for i in range(2)]
    values = [noise((3, 4), seed=i + 20) for i in range(2)]
    for history in (pairs, values):
        want = solver.sample(network, x, plan=plan, history=history).numpy()
        loop = solver.loop(plan, x, history, backend=engine)
        assert relative(loop.solved(network), want) <= 1e-13
        loop.restart(plan, x, history)
        assert relative(loop.solved(network), want) <= 1e-13
    with pytest.raises(ValueError, match="history: got 0 values; the plan has 2"):
        loop.restart(plan, x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OFTEN)
def test_restarts_in_the_same_buffers(name: str, engine: str, dtype: torch.dtype) -> None:
    """Other noise, grid and number of steps, after a whole solve and after a half: bit for bit as a new loop."""
    solver, x = solver_of(name), noise((3, 7), dtype)
    first, second = plan_of(solver, 9), plan_of(solver, 4, grid="uniform")
    assert first.nodes[1] != second.nodes[1]
    loop = solver.loop(first, x, backend=engine)
    places = [b.data_ptr() for b in loop.buffers(loop.x) if b is not None]
    want = loop.solved(network)
    for plan, start, stop in ((second, x * 2, 2), (second, x * 3, 4), (first, x, 9)):
        loop.restart(plan, start)
        fresh = solver.loop(plan, start, backend=engine)
        for _ in range(min(stop, loop.steps)):
            assert torch.equal(loop.x, fresh.x) and torch.equal(loop.t, fresh.t)
            for one in (loop, fresh):
                one.step(network(one.x, one.t))
    assert torch.equal(loop.solved(network), want)
    assert places == [b.data_ptr() for b in loop.buffers(loop.x) if b is not None]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_restart_with_history_keeps_nothing_of_the_solve_before(engine: str) -> None:
    solver, x = solver_of("dpmpp_3m"), noise((3, 7), torch.bfloat16)
    plan, history = plan_of(solver, 4, history=2), [noise((3, 7), torch.bfloat16, seed) for seed in (5, 6)]
    loop = solver.loop(plan, x, history, backend=engine)
    want = loop.solved(network)
    loop.restart(plan, x, history)
    assert torch.equal(loop.solved(network), want)


@pytest.mark.parametrize("engine", ENGINES)
def test_more_steps_than_the_usual_room(engine: str) -> None:
    solver, x = solver_of("dpmpp_2m"), noise((2, 3))
    short, long = plan_of(solver, 10), plan_of(solver, 300)
    loop = solver.loop(long, x, backend=engine)
    assert relative(loop.solved(network), solver.sample(network, x, plan=long).numpy()) <= 1e-13
    loop.restart(short, x)
    assert relative(loop.solved(network), solver.sample(network, x, plan=short).numpy()) <= 1e-13
    with pytest.raises(ValueError, match=r"got 300 calls of the network.*up to 256.*make a new loop"):
        solver.loop(short, x, backend=engine).restart(long, x)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_network_reads_the_scaled_state_and_its_time(engine: str) -> None:
    solver, x = solver_of("edm_heun"), noise((3, 5))
    plan = plan_of(solver, 4)
    loop = solver.loop(plan, x, backend=engine)
    assert plan.input_scale(0) != 1
    for i in range(plan.steps):
        assert loop.t.tolist() == [plan.time(i)] * 3
        assert torch.equal(loop.x, (state_of(loop) * plan.input_scale(i)))
        loop.step(network(loop.x, loop.t))
    assert torch.equal(loop.x, loop.result())


# What a step costs


class Counted(TorchDispatchMode):
    """Every operation of torch that is carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", OFTEN)
def test_a_step_calls_nothing_of_torch(name: str, dtype: torch.dtype) -> None:
    """No operation of torch: nothing is allocated, and no number is read from a tensor. x and t are views."""
    solver, x, raw = solver_of(name), noise((3, 33), dtype), noise((3, 33), dtype, 4)
    loop = solver.loop(plan_of(solver), x, backend="cpu")
    with torch.no_grad(), Counted() as counted:
        for _ in range(loop.steps):
            loop.step(raw)
    assert not counted.names
    with Counted() as counted:
        assert loop.x.data_ptr() == loop.x.data_ptr() and loop.t is loop.t
    assert set(counted.names) <= {"aten.select.int", "aten.slice.Tensor", "aten.view.default"}
