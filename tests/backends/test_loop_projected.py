"""The loop with guidance, clip and dynamic threshold: against ``sample``, and the engines against one another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from derive.backends._kernel import STATES
from runtime import native
from runtime.errors import ShapeError
from tests.backends.loops import ENGINES, NEEDS_COMPILER, network, noise, plan_of, solver_of, state_of
from tests.backends.sources import OFTEN, program_of
from tests.backends.test_loop import Counted
from tests.projections import WAYS

SOLVERS = ("dpmpp_2m", "flow_ssprk3", "unipc_2")
"""One that stays in place, one whose stages do without x, one that moves its state every step."""
BUILT = [
    *(pytest.param(name, "cpu", marks=NEEDS_COMPILER) for name in SOLVERS),
    *(pytest.param(n, "cpu", marks=(NEEDS_COMPILER, pytest.mark.slow)) for n in OFTEN if n not in SOLVERS),
    *((name, "torch") for name in OFTEN),
]
OTHERS = {
    "guidance": {"guidance": 0.5},
    "clip": {"clip": 0.7},
    "threshold": {"threshold": (0.5, 1.2)},
    "guidance and clip": {"guidance": [1.0, 4.0, 2.0], "clip": 0.2},
    "guidance and threshold": {"guidance": 2, "threshold": (0.97, 1.1)},
}
every_way = pytest.mark.parametrize("way", WAYS)


def doubled(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 2 * network(x, t)


def paired(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Half of the network's input is without, half with the condition."""
    u, c = x.chunk(2)
    return torch.cat([doubled(u, t[: len(u)]), doubled(c, t[len(u) :]) + 0.3 * torch.cos(2 * c)])


def model_of(options: dict[str, Any]) -> Any:
    return paired if "guidance" in options else doubled


def close(got: torch.Tensor, want: torch.Tensor, bound: float) -> bool:
    return float((got.double() - want.double()).abs().max()) <= bound * float(want.abs().max())


@every_way
@pytest.mark.parametrize(("name", "engine"), BUILT)
def test_a_solve_is_that_of_sample(name: str, engine: str, way: str) -> None:
    """In float64; in float32 as far from that as ``sample`` is, about, since guidance makes roundings large."""
    solver, x, options = solver_of(name), 2 * noise((3, 11)), WAYS[way]
    plan, model = plan_of(solver, 5), model_of(WAYS[way])
    want = solver.sample(model, x, plan=plan, **options)
    assert close(solver.loop(plan, x, backend=engine, **options).solved(model), want, 1e-13)
    assert not close(want, solver.sample(doubled, x, plan=plan), 1e-3)
    known = float((solver.sample(model, x.float(), plan=plan, **options) - want).abs().max())
    found = solver.loop(plan, x.float(), backend=engine, **options).solved(model)
    assert float((found - want).abs().max()) <= 4 * known + 1e-6


def copied(one: Any, two: Any, memory: tuple[str, ...]) -> None:
    """The buffers of one loop into those of another; the torch step has low parts of all values, the C++ one of states.

    memory: the values that the coming phase finds.
    """
    rows = (loop.order[int(loop.counter[0]), 1:].tolist() for loop in (one, two))
    for value, a, b in zip(("x", *memory), *rows):
        two.state[b] = one.state[a]
        if two.low is not None:
            two.low[b] = one.low[a] if value in STATES else 0


@NEEDS_COMPILER
@every_way
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", SOLVERS)
def test_engines_agree(name: str, dtype: torch.dtype, way: str) -> None:
    """Call by call from the same buffers, bit for bit: the state, what the network reads, the limits."""
    solver, x, options = solver_of(name), 2 * noise((3, 5, 7), dtype), WAYS[way]
    plan = plan_of(solver, 6)
    one, two = (solver.loop(plan, x, backend=engine, **options) for engine in ("cpu", "torch"))
    for seed in range(plan.steps):
        raw = noise(one.x.shape, dtype, seed)
        copied(one, two, program_of(name).phase(plan.phases[seed]).memory)
        one.step(raw)
        two.step(raw)
        assert torch.equal(state_of(one), state_of(two)) and torch.equal(one.x, two.x), seed
        assert one.limits is None or torch.equal(one.limits, two.limits)


@pytest.mark.parametrize("engine", ENGINES)
@every_way
def test_every_size(way: str, engine: str) -> None:
    """At the noise end x0 is a difference of numbers 150 times as large."""
    solver, options = solver_of("unipc_2"), WAYS[way]
    plan, model = plan_of(solver, 3), model_of(options)
    for shape in ((1,), (7,), (1, 1), (3, 5), (2, 3, 5, 7), (257, 3), (2, 4099)):
        x = 2 * noise(shape)
        loop = solver.loop(plan, x, backend=engine, **options)
        assert (
            loop.x.shape == (shape[0] * (1 + ("guidance" in options)), *shape[1:]) and loop.t.shape == loop.x.shape[:1]
        )
        assert close(loop.solved(model), solver.sample(model, x, plan=plan, **options), 1e-12), shape
    for shape in ((0,), (0, 3), (2, 0, 4)):
        loop = solver.loop(plan, noise(shape), backend=engine, **options)
        assert loop.solved(model).shape == shape
        assert int(loop.counter[0]) == 3


@NEEDS_COMPILER
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2"])
def test_a_state_that_no_cache_holds(name: str) -> None:
    """Pieces of it are written past the caches."""
    solver, x, options = solver_of(name), 2 * noise((2, 500_000)), {"guidance": 3.0, "threshold": (0.99, 2.0)}
    plan = plan_of(solver, 3)
    one, two = (solver.loop(plan, x, backend=engine, **options) for engine in ("cpu", "torch"))
    raw = torch.cat([x / 3, x.flip(1) / 2])
    for _ in range(2):
        one.step(raw)
        two.step(raw)
    assert torch.equal(state_of(one), state_of(two)) and torch.equal(one.x, two.x)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [{"clip": 0.5}, {"guidance": 2.0, "threshold": (0.8, 1.6)}], ids=str)
def test_a_grid_for_every_sample(options: dict[str, Any], engine: str) -> None:
    solver, x = solver_of("unipc_2"), 2 * noise((3, 2, 5))
    plan, model = solver.plan(nodes=[[1.0, 0.7, 0.4], [0.9, 0.5, 0.2], [0.95, 0.6, 0.1]]), model_of(options)
    found = solver.loop(plan, x, backend=engine, **options).solved(model)
    assert close(found, solver.sample(model, x, plan=plan, **options), 1e-13)


@pytest.mark.parametrize("engine", ["torch", pytest.param("cpu", marks=(NEEDS_COMPILER, pytest.mark.slow))])
def test_the_network_reads_a_pair(engine: str) -> None:
    """Both halves the scaled state, both times."""
    solver, x = solver_of("edm_heun"), noise((3, 5))
    plan = plan_of(solver, 4)
    loop = solver.loop(plan, x, backend=engine, guidance=2.0)
    place = loop.x.data_ptr()
    for i in range(plan.steps):
        assert loop.t.tolist() == [plan.time(i)] * 6
        assert torch.equal(loop.x, torch.cat([state_of(loop) * plan.input_scale(i)] * 2))
        assert loop.x.data_ptr() == place
        loop.step(paired(loop.x, loop.t))
    assert loop.result().shape == (3, 5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [{"guidance": 3.0, "clip": 0.5}, {"threshold": (0.8, 1.6)}], ids=str)
@pytest.mark.parametrize("name", SOLVERS)
def test_a_model_that_returns_what_it_was_given(name: str, options: dict[str, Any], engine: str) -> None:
    """The network's input is overwritten while it is read."""
    solver, x = solver_of(name), 2 * noise((3, 4))
    plan = plan_of(solver, 5)
    want = solver.sample(lambda x, t: x.clone(), x, plan=plan, **options)
    assert close(solver.loop(plan, x, backend=engine, **options).solved(lambda x, t: x), want, 1e-13)


# The limit of a threshold


def limits(engine: str, sizes: torch.Tensor, quantile: float, most: float = 1e9) -> torch.Tensor:
    """What the engine finds for samples whose |x0| are these; x0 = dr raw at x = 0, with dr = -1."""
    solver = solver_of("dpmpp_2m")
    plan = plan_of(solver, 3)
    loop = solver.loop(plan, torch.zeros_like(sizes), backend=engine, threshold=(quantile, most))
    loop.guide[:, 0] = torch.tensor([1.0, 1.0, -1.0, -1.0])
    loop.step(sizes)
    return loop.limits


def kinds(count: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Samples [4, count] of many kinds."""
    x = 50 * noise((4, count), dtype, count)
    tied = x.round()
    return {
        "noise": x,
        "ties": tied,
        "equal": torch.full_like(x, 7.5),
        "zeros": torch.where(x > 0, 0.0, x),
        "large and small": x * 10.0 ** (6 * noise((4, count), dtype, 1)),
        "neighbours": torch.full_like(x, 3.0) * (1 + torch.finfo(dtype).eps * tied.abs()),
        "one above": torch.cat([torch.full_like(x[:, 1:], 2.0), torch.full_like(x[:, :1], 4000.0)], 1),
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_limit_is_exact(dtype: torch.dtype, engine: str) -> None:
    """Two order statistics from a sort, and what lies between them, bit for bit."""
    for count in (1, 2, 3, 64, 1000):
        for kind, x in kinds(count, dtype).items():
            ordered = x.abs().sort(1).values
            for quantile in (0.0, 0.5, 0.9, 0.995, 1.0):
                place = quantile * (count - 1)
                k = min(int(place), count - 1)
                low, high = ordered[:, k], ordered[:, min(k + 1, count - 1)]
                s = (low + (place - k) * (high - low)).clamp(1, 1e9)
                want = torch.stack([s, 1 / s], 1)
                assert torch.equal(limits(engine, x, quantile), want), (count, kind, quantile)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_finite_is_left_so(engine: str) -> None:
    x = noise((2, 8))
    x[0, 3], x[1, :] = float("inf"), float("nan")
    found = limits(engine, 1 + x.abs(), 0.5)
    assert found[0].isfinite().all() and found[1].isnan().all()
    for options in ({"clip": 0.5}, {"threshold": (0.5, 2.0)}, {"guidance": 2.0}):
        solver = solver_of("dpmpp_2m")
        loop = solver.loop(plan_of(solver, 3), torch.ones(2, 8), backend=engine, **options)
        raw = torch.zeros(loop.x.shape)
        raw[1, 2] = float("nan")
        loop.step(raw)
        assert loop.result()[1, 2].isnan() and loop.result()[0].isfinite().all()


# Numbers in tables


@pytest.mark.parametrize("engine", ENGINES)
@every_way
def test_other_numbers_in_the_same_buffers(way: str, engine: str) -> None:
    solver, x = solver_of("unipc_2"), 2 * noise((3, 7))
    plan, other, model = plan_of(solver, 6), plan_of(solver, 3), model_of(WAYS[way])
    loop = solver.loop(plan, x, backend=engine, **WAYS[way])
    places = [b.data_ptr() for b in loop.buffers(loop.x) if b is not None]
    want = loop.solved(model)
    loop.restart(other, x, **OTHERS[way])
    assert torch.equal(loop.solved(model), solver.loop(other, x, backend=engine, **OTHERS[way]).solved(model))
    loop.restart(plan, x, **WAYS[way])
    assert torch.equal(loop.solved(model), want)
    loop.restart(plan, x)
    assert torch.equal(loop.solved(model), want)
    assert places == [b.data_ptr() for b in loop.buffers(loop.x) if b is not None]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", range(6))
def test_a_wrong_number_in_a_row_is_seen(what: int, engine: str) -> None:
    """g, dx, dr, 1/dr; the bound, the factor."""
    solver, x, options = solver_of("unipc_2"), 2 * noise((3, 11)), {"guidance": 3, "clip": 30}
    one, two = (solver.loop(plan_of(solver, 5), x, backend=engine, **options) for _ in range(2))
    if what < 4:
        one.guide[0, 1, what] *= 1 + 1e-6
    else:
        one.limits[0, what - 4] *= 1 + 1e-6
    for call in range(2):
        for loop in (one, two):
            loop.step(noise((6, 11), seed=call))
        assert close(state_of(one), state_of(two), 1e-9) == (call == 0 and what < 4)


@NEEDS_COMPILER
@every_way
def test_a_step_calls_nothing_of_torch(way: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        loop = solver_of("unipc_2").loop(
            plan_of(solver_of("unipc_2")), noise((3, 33), dtype), backend="cpu", **WAYS[way]
        )
        raw = noise(loop.x.shape, dtype, 4)
        with torch.no_grad(), Counted() as counted:
            for _ in range(loop.steps):
                loop.step(raw)
        assert not counted.names
        with pytest.raises(RuntimeError, match="steps are taken"):
            loop.step(raw)


@NEEDS_COMPILER
def test_a_second_library_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[bool] = []
    made = native.build
    monkeypatch.setattr(native, "build", lambda *arguments: built.append(arguments[2]) or made(*arguments))
    monkeypatch.setattr("runtime.engines._ENGINES", {})
    solver, x = solver_of("dpmpp_2m"), noise((2, 3))
    solver.loop(plan_of(solver), x, backend="cpu")
    assert built == [False]
    solver.loop(plan_of(solver), x, backend="cpu", clip=1.0)
    assert built == [False, True]


def test_misuse() -> None:
    solver, x = solver_of("dpmpp_2m"), noise((2, 3))
    plan = plan_of(solver, 4)
    loop = solver.loop(plan, x, backend="torch", guidance=2.0, clip=1.0)
    with pytest.raises(ShapeError, match=r"returned shape \(2, 3\) for x of shape \(4, 3\)"):
        loop.step(x)
    for options in ({"guidance": 2.0}, {"clip": 1.0}, {"guidance": 2.0, "threshold": (0.9, 1.5)}):
        with pytest.raises(ValueError, match=r"what the loop was made with, Projection\(.*\), with other numbers"):
            loop.restart(plan, x, **options)
    with pytest.raises(ValueError, match="guidance: got 3 numbers; allowed: one, or 4, one for each call"):
        loop.restart(plan, x, guidance=[1, 2, 3], clip=1.0)
    with pytest.raises(ValueError, match="allowed: what the loop was made with"):
        solver.loop(plan, x, backend="torch").restart(plan, x, clip=1.0)
    with pytest.raises(ShapeError, match="guidance: x_T is 0-d"):
        solver.loop(plan, x[0, 0], backend="torch", guidance=1.0)
    with pytest.raises(ValueError, match="clip and threshold: got both"):
        solver.loop(plan, x, clip=1.0, threshold=(0.9, 2.0))
    assert int(loop.counter[0]) == 0
