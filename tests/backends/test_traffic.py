"""What a step moves, counted: torch steps in place as planned, programs and kernels at the floor of their linear map.

A phase is a linear map from the state, the network's output and the memory to the next state and what is kept. Whatever
computes it has to read every value that something stored depends on, and to store the next state and every kept value
that is not there already: the floor. A term of a sum in place costs three streams (the sum twice, the value), the first
one two. One stream is one tensor as large as the state. Normals are made in registers: the floor of a step that draws is
that of the same step without noise, and the kernel moves no more. The torch step reads them as one more tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from derive.backends._kernel import Z, kernels
from derive.check import uneven_nodes
from derive.measure.traffic import Traffic, counted, placed, summed
from derive.pipeline import derive
from derive.program.interpret import run_phase
from derive.program.ir import Combine, Evaluate, Keep, Line, Phase, Program
from derive.program.memory import flow
from derive.program.passes import streams
from derive.spec import read_spec
from runtime.api import Solver
from tests.backends.sources import program_of
from tests.claims.shipped import DETERMINISTIC, FOLDER, STEPS

SHAPE = (2, 96)
SIZE = 2 * 96
every_solver = pytest.mark.parametrize("name", STEPS)

# The floor


@dataclass(frozen=True)
class Floor:
    """Streams that have to be read and written, and kept values that are the network's output, already somewhere."""

    reads: int
    writes: int
    outputs: int

    @property
    def streams(self) -> int:
        return self.reads + self.writes


OUTPUT = 1
"""The column of the network's output."""
Row = Mapping[str, float]
Taken = dict[str, list[tuple[Row, int]]]
"""By phase, the rows that it is called with and how many values it finds."""


def linear_map(phase: Phase, row: Row, found: int) -> np.ndarray:
    """The rows of x' and of what is kept over the columns x, raw, memory, normals; what cancels is zero (to rounding,
    1e-11)."""
    axes = np.eye(3 + found)
    made, sizes = (
        np.array([new, *left])
        for new, left in (
            run_phase(phase, numbers, axes[0], list(axes[2:-1]), lambda _: axes[1], axes[-1])
            for numbers in (row, {name: abs(value) for name, value in row.items()})
        )
    )
    return np.where(np.abs(made) > 1e-11 * sizes, made, 0.0)


def floor(phase: Phase, taken: list[tuple[Row, int]]) -> Floor:
    """What no execution of the phase can do without, over all the rows that it is called with."""
    reads: set[int] = set()
    stored: set[int] = set()
    outputs: set[int] = set()
    for row, found in taken:
        for place, values in enumerate(linear_map(phase, row, found)):
            read = np.nonzero(values)[0].tolist()
            if place and len(read) == 1 and values[read[0]] == 1:  # it is there already
                outputs |= {place} if read == [OUTPUT] else set()
            else:
                stored.add(place)
                reads |= {*read} - {2 + found}
    return Floor(len(reads), len(stored), len(outputs))


@cache
def taken(name: str) -> Taken:
    """The rows of a solve on uneven nodes; of phases that it does not take, one of random numbers."""
    program, solver = program_of(name), import_module(f"generated.{name}").solver
    steps = len(getattr(solver.coefficients, "TABLE", ())) or 9
    plan = solver.plan(nodes=uneven_nodes(solver.coefficients, steps + 1))
    found: Taken = {phase.name: [] for phase in program.phases}
    for phase, row, memory in zip(plan.phases, plan.table.tolist(), plan.memory):
        found[phase].append((dict(zip(plan.columns, row, strict=True)), memory))
    entries, draw = flow(program).entries, np.random.default_rng(3)
    for phase, calls in found.items():
        if not calls:
            row = dict(zip(program.columns, draw.uniform(1, 2, len(program.columns)).tolist(), strict=True))
            calls += [(row, len(memory)) for memory in entries[phase]]
    return found


COPIED = ("usf_switch_10", "usf_unipc_switch_8")
"""Of several integrands that they keep one is the network's output: their programs name the copy."""


@every_solver
def test_a_program_is_one_kernel_a_call_at_the_floor(name: str) -> None:
    for phase in program_of(name).phases:
        least = floor(phase, taken(name)[phase.name])
        assert phase.kernels == phase.evaluations == 1
        assert streams(phase) == (least.reads, least.writes + least.outputs * (name in COPIED)), phase


@every_solver
def test_a_kernel_moves_the_floor_and_the_copy_of_an_output_that_is_kept(name: str) -> None:
    program = program_of(name)
    for kernel, phase in zip(kernels(program), program.phases, strict=True):
        least = floor(phase, taken(name)[phase.name])
        loads = [home for _, home in kernel.loads if home != Z]
        assert (len(loads), len(kernel.stores)) == (least.reads, least.writes + least.outputs), phase
        assert len(kernel.loads) - len(loads) == phase.draws


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3_noise", "flow_rk4"])
def test_these_are_the_programs_that_are_derived(name: str) -> None:
    assert derive(read_spec(FOLDER / name / "spec.yaml")).program == program_of(name)


EVALUATE = Evaluate("raw", "x", "n")
STEP = Line("x'", (("a", "x"), ("b0", "raw"), ("b1", "m[1]")))
WASTE = {
    "nothing": ((STEP,), Keep(("m[1]",), 1), True, (3, 1)),
    "a value that is not used": ((Line("k1", (("a", "m[2]"),)), STEP), Keep(("m[1]",), 1), False, (3, 1)),
    "a copy": ((Line("k1", ((None, "m[1]"),)), STEP), Keep(("k1",), 1), False, (3, 1)),
    "two that cancel": (
        (Line("k1", (("a", "x"), ("b0", "m[2]"))), Line("x'", ((None, "k1"), ("minus", "m[2]")))), Keep((), 0), False,
        (1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("waste", WASTE)
def test_a_program_above_its_floor_is_seen(waste: str) -> None:
    lines, keep, least_is_moved, want = WASTE[waste]
    phase = Phase("main", ("m[1]", "m[2]"), (EVALUATE, Combine(lines), keep))
    row = {"a": 1.5, "b0": 0.7, "b1": -0.3, "minus": -0.7}
    least = floor(phase, [(row, 2)])
    assert (least.reads, least.writes) == want
    assert (streams(phase) == want) is least_is_moved


# Steps in place


@dataclass(frozen=True)
class Planned:
    """launches, streams, and numbers read from the row."""

    launches: int
    streams: int
    numbers: int

    def bytes(self, x: torch.Tensor, samples: int = 1) -> int:
        """samples: numbers for each sample."""
        return self.streams * x.nbytes + self.numbers * samples * x.element_size()


def planned(phase: Phase) -> Planned:
    """A launch per term; a kept output of the network is copied; a sum that begins in the buffer of its first term, as it
    is, has one launch less."""
    lines = list(phase.lines)
    terms = [term for line in lines for term in line.terms]
    copies = "raw" in phase.keep.values
    taken = sum(begun(phase, lines, i) for i in range(len(lines)))
    moved = 3 * len(terms) - len(lines) + 2 * copies - 2 * taken
    return Planned(len(terms) + copies - taken, moved, sum(coefficient is not None for coefficient, _ in terms))


def begun(phase: Phase, lines: list[Line], i: int) -> bool:
    """Whether the first value that dies in the line has no coefficient: its buffer is the sum's, with nothing to do."""
    buffers = {"x", *phase.memory, *(line.out for line in lines[:i])}
    later = {v for line in lines[i + 1 :] for _, v in line.terms} | {*phase.keep.values}
    done = [coefficient for coefficient, v in lines[i].terms if v in buffers - later]
    return bool(done) and done[0] is None


def on_device(dtype: torch.dtype, count: int) -> list[Any]:
    return [placed(torch.randn(SHAPE, dtype=dtype)) for _ in range(count)]


def in_place(step: Any, program: Program, dtype: torch.dtype = torch.float32) -> Iterator[tuple[Phase, Traffic]]:
    """Every phase with every memory that it can find."""
    row = tuple(placed(torch.tensor(0.5, dtype=dtype)) for _ in program.columns)
    for phase in program.phases:
        for _ in {len(memory) for memory in flow(program).entries[phase.name]}:
            x, raw, *ring = on_device(dtype, 2 + step.RING)
            normals = on_device(dtype, phase.draws)
            with counted(x.numel()) as counter:
                step.STEPS_[phase.name](x, raw, tuple(ring), row, *normals)
            yield phase, counter.traffic


def assert_as_planned(phase: Phase, traffic: Traffic, x: torch.Tensor, samples: int = 1) -> None:
    want = planned(phase)
    assert (traffic.syncs, traffic.allocations, traffic.small) == (0, 0, 0), traffic.where
    assert (traffic.launches, traffic.moved) == (want.launches, want.bytes(x, samples)), traffic.where


@every_solver
def test_every_phase_in_place_moves_what_is_planned(name: str) -> None:
    step = import_module(f"generated.{name}.step_torch")
    (x,) = on_device(torch.float32, 1)
    for phase, traffic in in_place(step, program_of(name)):
        assert_as_planned(phase, traffic, x)


def steps_of(solver: Solver, plan: Any, dtype: torch.dtype = torch.float32) -> Iterator[tuple[int, Any, Traffic]]:
    """Every call of a plan as ``sample`` makes it: its number, the state it starts from, what ``step`` does."""
    with counted(SIZE) as counter:
        (x,) = on_device(dtype, 1)
        state = solver.init(plan, x)
        for i in range(plan.steps):
            raw, *normals = on_device(dtype, 1 + plan.draws[i])
            counter.restart()
            with torch.no_grad():
                state = solver.step(plan, i, state, raw, *normals)
            yield i, x, counter.traffic


def assert_steps_as_planned(solver: Solver, program: Program, plan: Any, dtype: torch.dtype = torch.float32) -> None:
    """The first call takes the memory of the solve, a copy of the state and the buffers; around others there is nothing."""
    for i, x, traffic in steps_of(solver, plan, dtype):
        own, around = split(traffic)
        taken = solver._step.RING + 1 if i == 0 else 0
        assert (around.allocations, around.written, around.syncs) == (taken, taken * x.nbytes, 0), around.where
        assert_as_planned(program.phase(plan.phases[i]), own, x, plan.samples or 1)


def split(traffic: Traffic) -> tuple[Traffic, Traffic]:
    """What the generated step does, and what is done around it."""
    inside = {op.place: "/step_torch.py:" in op.place for op in traffic.where}
    own, around = ([op for op in traffic.where if inside[op.place] is wanted] for wanted in (True, False))
    return summed(own), summed(around)


@every_solver
def test_every_step_of_a_solve_moves_what_is_planned(name: str) -> None:
    """Start-up, steady state and the last steps, through ``solver.step``."""
    solver = import_module(f"generated.{name}").solver
    steps = len(getattr(solver.coefficients, "TABLE", ())) or 7
    plan = solver.plan(nodes=uneven_nodes(solver.coefficients, steps + 1))
    assert_steps_as_planned(solver, program_of(name), plan)


def test_double_precision_and_a_grid_per_sample() -> None:
    solver = import_module("generated.dpmpp_2m").solver
    nodes = uneven_nodes(solver.coefficients, 5)
    grids = [nodes, [*nodes[:2], *nodes[3:], nodes[-1] / 2]]
    assert_steps_as_planned(solver, program_of("dpmpp_2m"), solver.plan(nodes=grids))
    assert_steps_as_planned(solver, program_of("dpmpp_2m"), solver.plan(nodes=nodes), torch.float64)


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3", "edm_heun", "flow_rk4"])
def test_a_solve_waits_for_its_table_and_its_times_alone(name: str) -> None:
    """Two copies from the host before the first call, however many there are; the checks of both ends look once each."""
    solver = import_module(f"generated.{name}").solver

    def syncs(steps: int, **options: Any) -> int:
        with torch.no_grad(), counted() as counter:
            x = placed(torch.ones(SHAPE))
            solver.sample(lambda x, t: x * 0.5, x, nodes=uneven_nodes(solver.coefficients, steps + 1), **options)
            return counter.traffic.syncs

    assert syncs(4, check="off") == syncs(7, check="off") == 2
    assert syncs(4) == syncs(7) == 4


ABOVE = {
    "unipc_3": Fraction(30, 9),
    "unipc_3_singlestep": Fraction(30, 9),
    "usf_unipc_10": Fraction(30, 9),
    "unipc_3_noise": Fraction(27, 7),
    "usf_unipc_switch_8": Fraction(13, 4),
}
"""Two sums over nearly the same values: what a kernel reads once, they read twice."""


def test_steps_in_place_move_less_than_three_times_the_floor() -> None:
    """Of a step in steady state, all its calls together."""
    ratios = {}
    for name in DETERMINISTIC:
        program = program_of(name)
        moved = sum(planned(phase).streams for phase in program.repeated)
        least = sum(floor(phase, taken(name)[phase.name]).streams for phase in program.repeated)
        ratios[name] = Fraction(moved, least)
    assert ratios["dpmpp_2m"] == Fraction(13, 5)
    assert {name: ratio for name, ratio in ratios.items() if ratio > 3} == ABOVE


def spoilt(change: Callable[..., Any]) -> SimpleNamespace:
    """The steps of a solver with ``change`` in front of one."""
    step = import_module("generated.dpmpp_2m.step_torch")

    def main(x: Any, raw: Any, m: Any, c: Any) -> Any:
        return step.STEPS_["main"](*change(x, raw, m, c))

    return SimpleNamespace(RING=step.RING, STEPS_={**step.STEPS_, "main": main})


@pytest.mark.parametrize(
    "change",
    [
        lambda x, raw, m, c: (x, raw.clone(), m, c),
        lambda x, raw, m, c: (x.add_(0), raw, m, c),
        lambda x, raw, m, c: (x, raw, m, (c[0].item(), *c[1:])),
        lambda x, raw, m, c: (x, raw, m, (c[0] + 0, *c[1:])),
        lambda x, raw, m, c: (x, raw, m, (*c[:4], c[4].expand_as(x).contiguous())),
    ],
    ids=["a copy", "another pass", "a number read", "a number computed", "a full row"],
)
def test_a_step_that_does_more_is_seen(change: Callable[..., Any]) -> None:
    (x,) = on_device(torch.float32, 1)
    last = [one for one in in_place(spoilt(change), program_of("dpmpp_2m")) if one[0].name == "main"]
    for phase, traffic in last:
        with pytest.raises(AssertionError):
            assert_as_planned(phase, traffic, x)
    assert last
