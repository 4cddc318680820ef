"""Half-precision states of the loop: two numbers an element, with the error that these have and no more.

The bound is followed call by call, as the interpreter runs: what was wrong before, times the sizes of the coefficients;
plus a rounding of float32 for every operation; plus what storing loses: of an integrand half an eps of the type, of a
state the square of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from derive.backends._kernel import STATES
from derive.program.interpret import run_phase
from derive.program.ir import Program
from tests.backends.loops import ENGINES, NEEDS_COMPILER, OTHERS, network, noise, plan_of, solver_of, state_of
from tests.backends.sources import OFTEN, program_of

KINDS = [
    pytest.param("cpu", torch.bfloat16, marks=NEEDS_COMPILER),
    ("torch", torch.bfloat16),
    ("torch", torch.float16),
]
SINGLE = 2.0**-24
"""Half an eps of float32."""


def unit(kind: torch.dtype) -> float:
    """Half an eps."""
    return torch.finfo(kind).eps / 2


def least(kind: torch.dtype) -> float:
    """Half the spacing of the smallest numbers."""
    return torch.finfo(kind).tiny * unit(kind)


def stored(size: np.ndarray, kind: torch.dtype, state: bool) -> np.ndarray:
    """What is lost at most."""
    return size * unit(kind) ** (1 + state) + least(kind)


def bounded(
    program: Program, plan: Any, x: torch.Tensor, raws: Sequence[torch.Tensor], kind: torch.dtype
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per call (x' in float64, how far a half-precision state may be from it)."""
    value, kept = x.double().numpy(), []
    wrong, wrongs = stored(np.abs(value), kind, True), []
    for name, row, raw in zip(plan.phases, plan.table.tolist(), raws, strict=True):
        phase, numbers = program.phase(name), dict(zip(plan.columns, row, strict=True))
        large, raw = {column: abs(number) for column, number in numbers.items()}, raw.double().numpy()
        size, sizes = run_phase(
            phase, large, np.abs(value) + wrong, [np.abs(k) + w for k, w in zip(kept, wrongs)], lambda _, r=raw: abs(r)
        )
        value, kept = run_phase(phase, numbers, value, kept, lambda _, r=raw: r)
        wrong, wrongs = run_phase(phase, large, wrong, wrongs, lambda _, r=raw: 0 * r)
        rounded = SINGLE * sum(
            2 * len(line.terms) for line in phase.lines
        )  # the coefficient's, the product's, the sum's
        wrong = wrong + rounded * size
        wrong = wrong + stored(np.abs(value) + wrong, kind, True)
        made = {line.out for line in phase.lines} | {"raw"}
        names = [*phase.keep.values, *[""] * len(kept)]
        for j, (name, of) in enumerate(zip(names, sizes)):
            wrongs[j] = wrongs[j] + (rounded if name in made else 2 * SINGLE) * of
            if name in made:
                wrongs[j] = wrongs[j] + stored(np.abs(kept[j]) + wrongs[j], kind, name in STATES)
        yield value, wrong


def outputs(plan: Any, x: torch.Tensor, count: int = 99) -> list[torch.Tensor]:
    """Outputs of a network, of x's type."""
    return [noise(x.shape, x.dtype, i % count) for i in range(plan.steps)]


@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=str)
@pytest.mark.parametrize("name", OFTEN)
def test_the_error_of_every_call(name: str, engine: str, kind: torch.dtype) -> None:
    solver, x = solver_of(name), noise((3, 17), kind)
    plan = plan_of(solver, 20)
    loop, raws = solver.loop(plan, x, backend=engine), outputs(plan, x)
    for raw, (want, wrong) in zip(raws, bounded(program_of(name), plan, x, raws, kind)):
        loop.step(raw)
        assert np.all(np.abs(state_of(loop).numpy() - want) <= wrong)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine"), OTHERS)
def test_so_it_is_for_every_solver(name: str, engine: str) -> None:
    for kind in (torch.float16, torch.bfloat16) if engine == "torch" else (torch.bfloat16,):
        test_the_error_of_every_call(name, engine, kind)


@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=str)
def test_small_steps_add_up(engine: str, kind: torch.dtype) -> None:
    """A thousand steps, each below half a spacing of the type; without the low parts most of them are lost."""
    solver, x = solver_of("ddim"), noise((4, 16), kind)
    plan = plan_of(solver, 1000)
    raws = outputs(plan, x, 7)
    *_, (want, wrong) = bounded(program_of("ddim"), plan, x, raws, kind)
    whole, high = (solver.loop(plan, x, backend=engine) for _ in range(2))
    for raw in raws:
        whole.step(raw)
        high.step(raw)
        high.low.zero_()
    assert np.all(np.abs(state_of(whole).numpy() - want) <= wrong)
    assert np.abs(state_of(high).numpy() - want).max() > 5 * wrong.max()


@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=str)
def test_a_float32_state_in_two_halves(engine: str, kind: torch.dtype) -> None:
    """Value and low part: 16 bits of bfloat16, 22 of float16, or its smallest numbers."""
    solver = solver_of("ddim")
    scales = torch.logspace(-30, 4, 35)[:, None]
    x = torch.cat([noise((35, 9), torch.float32) * scales, torch.zeros(1, 9)])
    loop = solver.loop(plan_of(solver, 3), x, backend=engine, storage=kind)
    assert loop.x.dtype == kind and loop.t.dtype == torch.float32 == loop.result().dtype
    assert torch.equal(loop.x, x.to(kind))
    lost = (state_of(loop) - x.double()).abs()
    assert torch.all(lost <= torch.from_numpy(stored(x.double().abs().numpy(), kind, True)))
    assert not torch.equal(state_of(loop), loop.x.double())


@pytest.mark.parametrize(("engine", "kind"), KINDS, ids=str)
def test_what_the_network_reads_and_what_is_returned(engine: str, kind: torch.dtype) -> None:
    solver, u = solver_of("edm_heun"), unit(kind)
    plan = plan_of(solver, 6)
    for dtype in (kind, torch.float32):
        loop = solver.loop(plan, noise((3, 8), dtype), backend=engine, storage=kind)
        for i in range(plan.steps):
            want = state_of(loop) * plan.input_scale(i)
            assert torch.all((loop.x.double() - want).abs() <= (u + 2 * u * u) * want.abs() + least(kind))
            loop.step(network(loop.x, loop.t))
        assert loop.result().dtype == dtype
        assert torch.equal(loop.result(), state_of(loop).float().to(dtype))
        assert torch.equal(loop.result(torch.float64), state_of(loop).float().double())


@pytest.mark.parametrize("engine", ENGINES)
def test_closer_to_float64_than_a_solve_in_half_precision(engine: str) -> None:
    """A smooth network whose output is rounded to bfloat16, in all three: 50 steps."""
    solver, x = solver_of("dpmpp_2m"), noise((8, 64), torch.bfloat16)
    plan = plan_of(solver, 50)

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x.double()).bfloat16()

    exact = solver.sample(model, x.double(), plan=plan)
    loop = solver.loop(plan, x, backend=engine, storage=torch.bfloat16)
    high = solver.loop(plan, x, backend=engine, storage=torch.bfloat16)
    for _ in range(plan.steps):
        loop.step(model(loop.x, loop.t))
        high.step(model(high.x, high.t))
        high.low.zero_()
    gap, without = ((state_of(one) - exact).norm() for one in (loop, high))
    assert 5 * gap < without
