"""Steps that draw: normals in registers, the same in every engine, batch, graph and gradient.

Against the interpreter of programs with the normals of :mod:`runtime.philox`. A call rounds once for each of its products
and sums; the arithmetic of the engines is the same, so their states are the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from runtime import native
from runtime.noise import Philox
from tests.backends.loops import ENGINES, NEEDS_COMPILER, interpreted, network, noise, plan_of, solver_of, state_of
from tests.backends.sources import DRAWING, program_of
from tests.claims.test_step_matches_interpreter import relative

OFTEN = ("dpmpp_sde", "sa_solver_3")
"""Stages; a corrector and several steps. The others are slow tests."""
EACH = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in DRAWING]
SHAPES = ((), (1,), (7,), (3, 5), (2, 3, 5, 7), (257, 3), (2, 4099), (3, 1024))
SEED = 0x9E3779B97F4A7C15
"""Of 64 bits, the highest set."""
every_solver = pytest.mark.parametrize("name", EACH)
engines = pytest.mark.parametrize("engine", ENGINES)


def normals_of(plan: Any, x: torch.Tensor, first: int = 0) -> list[torch.Tensor]:
    return [Philox(SEED, first)(i, x) for i in range(plan.steps)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@engines
@every_solver
def test_every_call_is_the_interpreter(name: str, engine: str, dtype: torch.dtype) -> None:
    solver, x, program = solver_of(name), noise((3, 11), dtype), program_of(name)
    plan = plan_of(solver)
    loop = solver.loop(plan, x, backend=engine, seed=SEED, first=4)
    raws, normals = [noise(x.shape, dtype, seed) for seed in range(plan.steps)], normals_of(plan, x, 4)
    rounded = 0
    for i, (want, size) in enumerate(interpreted(program, plan, plan.table.to(dtype), x, raws, normals)):
        loop.step(raws[i])
        rounded += sum(2 * len(line.terms) - 1 for line in program.phase(plan.phases[i]).lines)
        assert relative(state_of(loop), want, size) <= rounded * torch.finfo(dtype).eps / 2, i


def changed(loop: Any, what: str) -> None:
    if what == "seed":
        loop.noise[0] += 1
    elif what == "sample":
        loop.noise[1] += 1
    else:
        loop.table[0, 2, loop.plan.columns.index("s")] *= 1 + 1e-6


@engines
@pytest.mark.parametrize("what", ["seed", "sample", "deviation"])
def test_another_number_is_seen(what: str, engine: str) -> None:
    solver, x = solver_of("sa_solver_3"), noise((3, 11))
    plan = plan_of(solver)
    loop = solver.loop(plan, x, backend=engine, seed=3)
    loop.plan = plan
    changed(loop, what)
    assert relative(loop.solved(network), solver.sample(network, x, plan=plan, seed=3).numpy()) > 1e-9


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@every_solver
def test_engines_and_steps_give_the_same(name: str, dtype: torch.dtype) -> None:
    """Loops in C++ and torch and the fused step the same bits, the torch step to rounding; of every size."""
    solver = solver_of(name)
    plan = plan_of(solver, 3)
    for shape in SHAPES:
        x = noise(shape, dtype)
        sizes, log = logged()
        plain = solver.sample(network, x, plan=plan, seed=SEED, callback=log).double()
        loops = [solver.loop(plan, x, backend=engine, seed=SEED).solved(network) for engine in ("cpu", "torch")]
        fused = solver.fused()
        steps = [
            fused.sample(network, x, plan=plan, seed=SEED),
            fused.sample(network, x, plan=plan, noise=list_of(plan, x)),
        ]
        for other in (loops[1], *steps):
            assert torch.equal(loops[0], other), shape
        gap = float((loops[0].double() - plain).abs().max()) if plain.numel() else 0.0
        assert gap <= 64 * torch.finfo(dtype).eps * max(sizes, default=1.0), shape


def logged() -> tuple[list[float], Any]:
    """The sizes of the numbers that are rounded, by a callback: a sum of one element may cancel."""
    sizes: list[float] = []

    def log(i: int, t: Any, x: torch.Tensor, data: torch.Tensor) -> None:
        sizes.extend(float(v.abs().max()) for v in (x, data) if v.numel())

    return sizes, log


def list_of(plan: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Of the calls that draw."""
    return [z for z, draws in zip(normals_of(plan, x), plan.draws, strict=True) if draws]


@pytest.mark.parametrize("engine", [*ENGINES, pytest.param("fused", marks=NEEDS_COMPILER), "step"])
@every_solver
def test_a_sample_does_not_depend_on_its_batch(name: str, engine: str) -> None:
    """Sample 5 of 8 and alone, 35 elements each: it begins in the middle of a group of four."""
    solver, x = solver_of(name), noise((8, 5, 7), torch.float32)
    plan = plan_of(solver, 4)

    def solved(x: torch.Tensor, first: int) -> torch.Tensor:
        if engine in ("fused", "step"):
            chosen = solver.fused() if engine == "fused" else solver
            return chosen.sample(network, x, plan=plan, noise=Philox(SEED, first))
        return solver.loop(plan, x, backend=engine, seed=SEED, first=first).solved(network)

    whole = solved(x, 0)
    for k in (0, 5, 7):
        assert torch.equal(whole[k : k + 1], solved(x[k : k + 1], k))


@engines
@pytest.mark.parametrize("name", OFTEN)
def test_a_loop_begins_again_with_another_seed(name: str, engine: str) -> None:
    solver, x = solver_of(name), noise((2, 9))
    plan = plan_of(solver, 4)
    loop, want = solver.loop(plan, x, backend=engine, seed=1), {}
    want[1] = loop.solved(network)
    for seed in (2, 1):
        loop.restart(plan, x, seed=seed)
        found = loop.solved(network)
        assert torch.equal(found, want.setdefault(seed, found))
    assert not torch.equal(want[1], want[2])
    torch.manual_seed(0)
    drawn = []
    for _ in range(2):
        loop.restart(plan, x)
        drawn.append(loop.solved(network))
    assert not torch.equal(*drawn), "without a seed one is drawn"


@engines
def test_guidance_and_bounds_leave_the_normals_as_they_are(engine: str) -> None:
    solver, x = solver_of("dpmpp_sde"), noise((3, 10))
    plan = plan_of(solver, 5)
    for way in ({"clip": 1.0}, {"threshold": (0.9, 3.0)}, {"guidance": 2.5, "clip": 1.5}):
        model = (lambda x, t: network(x, t) * (1 + torch.arange(len(x))[:, None] / 7)) if "guidance" in way else network
        found = solver.loop(plan, x, backend=engine, seed=5, **way).solved(model)
        assert relative(found, solver.sample(model, x, plan=plan, seed=5, **way).numpy()) <= 1e-12


@NEEDS_COMPILER
def test_a_grid_per_sample() -> None:
    solver, x = solver_of("dpmpp_sde"), noise((2, 35))
    nodes = [[1.0, 0.7, 0.3, 0.05], [0.9, 0.5, 0.2, 0.01]]
    plan = solver.plan(nodes=nodes)
    want = solver.sample(network, x, plan=plan, seed=5)
    for other in (solver.loop(plan, x, seed=5).solved(network), solver.fused().sample(network, x, plan=plan, seed=5)):
        assert relative(other, want.numpy()) <= 1e-13
    alone = solver.sample(network, x[1:], plan=solver.plan(nodes=nodes[1]), noise=Philox(5, 1))
    assert relative(want[1:], alone.numpy()) <= 1e-13


@NEEDS_COMPILER
def test_other_layouts_have_the_normals_of_their_elements() -> None:
    solver, x = solver_of("sa_solver_3"), noise((4, 6, 5)).transpose(1, 2)
    want = solver.sample(network, x.contiguous(), steps=4, seed=7)
    assert relative(solver.fused().sample(network, x, steps=4, seed=7), want.numpy()) <= 1e-13


@NEEDS_COMPILER
@pytest.mark.slow
def test_a_state_that_no_cache_holds() -> None:
    """Written past the caches, a piece at a time."""
    solver, x = solver_of("sa_solver_3"), noise((2, 3_000_011), torch.float32)
    plan = plan_of(solver, 2)
    whole, other = (
        solver.loop(plan, x, backend=e, seed=3).solved(lambda x, t: torch.tanh(x) * 0.7) for e in ("cpu", "torch")
    )
    assert torch.equal(whole, other)


# Compiled


@pytest.fixture
def forget() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@engines
@pytest.mark.parametrize("name", OFTEN)
def test_one_graph_for_every_seed(name: str, engine: str, forget: None) -> None:
    solver, x = solver_of(name), noise((2, 6), torch.float32)
    loop = solver.loop(plan_of(solver, 7), x, backend=engine, seed=1)
    graphs = CompileCounterWithBackend("aot_eager")
    body = torch.compile(lambda: loop.step(network(loop.x, loop.t)), fullgraph=True, backend=graphs)
    for seed, steps in ((1, 7), (SEED, 3)):
        plan = plan_of(solver, steps)
        loop.restart(plan, x, seed=seed)
        for _ in range(plan.steps):
            body()
        assert torch.equal(loop.result(), solver.loop(plan, x, backend=engine, seed=seed).solved(network))
        assert graphs.frame_count == 1
    loop.restart(plan, x, seed=1)
    arguments = (*loop.buffers(noise((2, 6), torch.float32, 4)), loop.engine.key)
    assert {*torch.library.opcheck(torch.ops.phiforge.advance, arguments).values()} == {"SUCCESS"}


# Gradients


@NEEDS_COMPILER
@every_solver
def test_the_gradient_is_that_of_the_same_path(name: str) -> None:
    """The torch step by autograd, the fused operators, and states computed again with two snapshots."""
    solver, start = solver_of(name), noise((3, 5))
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def gradients(chosen: Any, **options: Any) -> tuple[torch.Tensor, ...]:
        x = start.clone().requires_grad_()
        out = chosen.sample(lambda x, t: network(x, t) * weight, x, plan=plan_of(solver, 5), seed=SEED, **options)
        return out.detach(), *torch.autograd.grad(out.sin().sum(), (x, weight))

    want = gradients(solver)
    again = {"gradient": "recomputed", "snapshots": 2, "parameters": [weight]}
    for found in (gradients(solver, **again), gradients(solver.fused()), gradients(solver.fused(), **again)):
        for ours, theirs in zip(found, want, strict=True):
            assert relative(ours, theirs.numpy()) <= 1e-12


# Misuse


@NEEDS_COMPILER
def test_what_does_not_fit_is_refused() -> None:
    solver, x = solver_of("dpmpp_sde"), noise((2, 3))
    plan = plan_of(solver, 3)
    for chosen in (solver, solver.fused()):
        with pytest.raises(ValueError, match="draws normals"):
            chosen.step(plan, 0, chosen.init(plan, x), x)
        with pytest.raises(ValueError, match="z"):
            chosen.step(plan, 0, chosen.init(plan, x), x, x[:1])
    with pytest.raises(ValueError, match="first"):
        solver.loop(plan, x, first=-1)
    with pytest.raises(ValueError, match="seed"):
        solver.loop(plan, x, seed=1 << 64)
    with pytest.raises(ValueError, match="noise cannot be given"):
        solver.sample(network, x, plan=plan, graph=True, noise=list_of(plan, x))


def test_a_library_is_built_again_where_its_noise_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_compile", lambda compiler, flags, source, library: library.touch())
    monkeypatch.setattr(native, "_compiler", lambda gpu=False: "c++")
    monkeypatch.setattr(native, "_version", lambda compiler: "1")
    monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path / "cache"))
    source, other = tmp_path / native.SOURCE, tmp_path / "philox.h"
    source.write_text("int x;", "utf-8")
    other.write_bytes(native.NOISE.read_bytes() + b"\n")
    first = native.build(source)
    assert native.build(source) == first
    monkeypatch.setattr(native, "NOISE", other)
    assert native.build(source) != first
