"""The Triton step is the program: values against the interpreter of programs, in Triton's own interpreter on a CPU.

Bounds: over the sum of the sizes of what an element is a sum of. In half precision a state is stored as two numbers and
an integrand as one. To bfloat16, of 8 bits, triton's interpreter cuts where a GPU rounds to nearest: less than 2^-7 of a
value is lost, and twice less than 2^-14. To float16, of 11 bits, both round: 2^-11 and twice 2^-22; it has no number below
2^-24, so what is smaller than 1/8 is measured as if it were 1/8.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from runtime import engines, triton_loop
from runtime.loop import Loop
from runtime.triton_loop import THREADS, Triton
from tests.backends.loops import NEEDS_COMPILER, network, plan_of, solver_of
from tests.backends.sources import program_of
from tests.backends.tritons import (
    NOW,
    SHIPPED,
    Case,
    cases,
    engine_of,
    gaps,
    given,
    interpreting,
    text_of,
)
from tests.claims.shipped import different
from tests.claims.test_step_matches_interpreter import relative
from tests.program.methods import program as made_by_hand

THESE = different(SHIPPED)
FEW = ("dpmpp_2m", "edm_heun", "dpm_3s", "sd15_unipc_2", "usf_unipc_switch_8")
FLOAT = 2e-7
BOUNDS: dict[torch.dtype, dict[str, float]] = {
    torch.float64: dict.fromkeys(("state", "integrand", "net"), 1e-13),
    torch.float32: {"state": FLOAT, "integrand": FLOAT, "net": FLOAT + 2**-24},
    torch.bfloat16: {"state": 2**-14 + FLOAT, "integrand": 2**-7 + FLOAT, "net": 2**-7 + FLOAT},
    torch.float16: {"state": 2**-22 + FLOAT, "integrand": 2**-11 + FLOAT, "net": 2**-11 + FLOAT},
}
BLOCK = 16 * THREADS // 4
"""Elements of a block in float32."""


@pytest.fixture(scope="module", autouse=True)
def interpreted() -> Iterator[None]:
    with interpreting():
        yield


def engine(name: str) -> Triton:
    return Triton(name, solver_of(name)._step)


def assert_close(engine: Triton, program: Any, case: Case, dtype: torch.dtype) -> None:
    for kind, found in gaps(engine, program, case, dtype).items():
        assert max(found, default=0) <= BOUNDS[dtype][kind], (case, dtype, kind)


# One call


@pytest.mark.parametrize("name", THESE)
def test_every_phase_with_every_memory(name: str) -> None:
    """One block in part, of an odd size, and every other time a row per sample; the types in turn, float64 twice as often."""
    took, program = engine(name), program_of(name)
    for i, case in enumerate(cases(program, (77, 1, 0), (45, 2, 1))):
        if i % 2 == i // 2 % 2:
            assert_close(took, program, case, (torch.float64, *BOUNDS)[i // 2 % 5])


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2"])
def test_full_blocks_and_what_is_left(name: str, dtype: torch.dtype) -> None:
    took, program = engine(name), program_of(name)
    block = 16 * THREADS // dtype.itemsize
    for case in list(cases(program, (2 * block + 77, 1, 2)))[-1:]:
        assert_close(took, program, case, dtype)


SIZES = (0, 1, 2, 63, 64, 65, THREADS - 1, THREADS, THREADS + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK)


def test_sizes_around_those_of_a_block() -> None:
    took, program = engine("dpmpp_2m"), program_of("dpmpp_2m")
    for size in SIZES:
        *_, case = cases(program, (size, 1, 1))
        assert_close(took, program, case, torch.float32)


@pytest.mark.parametrize(
    ("size", "samples"), [(5, 7), (64, 3), (100, 3), (BLOCK - 1, 3), (BLOCK, 2), (BLOCK + 60, 3), (0, 3), (1, 9)]
)
def test_a_row_per_sample(size: int, samples: int) -> None:
    """Samples begin between the blocks: neighbours share cache lines, and no element is taken twice or by another row."""
    took, program = engine("unipc_2"), program_of("unipc_2")
    *_, case = cases(program, (size, samples, 1))
    assert_close(took, program, case, torch.float32)


@pytest.mark.parametrize("name", ["ab4", "etdrk3", "pec3", "begun4", "general", "wide"])
def test_programs_of_every_shape(name: str, tmp_path: Path) -> None:
    program = made_by_hand(name)
    took = engine_of(text_of(program), tmp_path, f"{name}_made")
    for case in cases(program, (33, 1, 1)):
        assert_close(took, program, case, torch.float64)


@pytest.mark.parametrize("column", ["a", "b0", "b1", "ca", "cb0", "cb1", "cb2", "cx", "cr"])
def test_another_coefficient_is_seen(column: str, monkeypatch: pytest.MonkeyPatch) -> None:
    took, program = engine("unipc_2"), program_of("unipc_2")
    *_, case = cases(program, (20, 1, 0))
    place, prepared = program.columns.index(column), took.prepared

    def spoilt(buffers: engines.Buffers) -> Any:
        buffers.table[0, NOW, place] *= 1 + 1e-6
        return prepared(buffers)

    monkeypatch.setattr(took, "prepared", spoilt)
    with pytest.raises(AssertionError):
        assert_close(took, program, case, torch.float64)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"ca \* y \+", "ca * x +"),
        (r"cx \* x \+", "cx * x + cx * x +"),
        (r"load_state\(block, 1\)", "load_state(block, 0)"),
        (r"store_state\(block, 1, xc\)", "store_state(block, 1, x_new)"),
        (r"store\(block, 3, m0\)", "store(block, 2, m0)"),
        (r"coefficient\(block, 6\)", "coefficient(block, 5)"),
    ],
)
def test_another_formula_is_seen(old: str, new: str, tmp_path: Path) -> None:
    """Even without the gate that refuses the text."""
    program = program_of("unipc_2")
    text, count = re.subn(old, new, text_of(program))
    assert count
    took = engine_of(text, tmp_path, "spoilt_unipc")
    *_, case = cases(program, (20, 1, 0))
    with pytest.raises(AssertionError):
        assert_close(took, program, case, torch.float64)


def test_states_are_stored_as_two_numbers() -> None:
    """A bfloat16 state without its low part misses the bound that it has to keep."""
    took, program = engine("unipc_2"), program_of("unipc_2")
    *_, case = cases(program, (500, 1, 0))
    found = gaps(took, program, case, torch.bfloat16)
    assert max(found["state"]) < 2**-13 < 2**-9 < max(found["integrand"])


# Whole solves


@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in THESE])
def test_whole_solves(name: str) -> None:
    """Start-up, main steps, stages and correctors, one call after another: the counter says which."""
    solver = solver_of(name)
    plan = plan_of(solver, 4)
    x = torch.randn((3, 11), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    loop = Loop(solver, plan, x, None, None, engine(name))
    assert relative(loop.solved(network), solver.sample(network, x, plan=plan).numpy()) <= 1e-12
    assert loop.counter.tolist() == [loop.steps, 0, loop.steps]
    with pytest.raises(RuntimeError, match="all of its"):
        loop.step(x)


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2"])
def test_the_bits_of_the_cpu(name: str, dtype: torch.dtype) -> None:
    """Every product and sum is rounded by itself, in one order."""
    solver = solver_of(name)
    plan = solver.plan(steps=6)
    x = torch.randn((3, 11), dtype=torch.float64, generator=torch.Generator().manual_seed(5)).to(dtype)
    loops = Loop(solver, plan, x, None, None, engine(name)), solver.loop(plan, x, backend="cpu")
    assert torch.equal(*(loop.solved(network) for loop in loops))


def test_an_empty_batch_takes_its_steps() -> None:
    solver = solver_of("unipc_2")
    loop = Loop(solver, solver.plan(steps=3), torch.zeros(0, 4), None, None, engine("unipc_2"))
    assert loop.solved(network).shape == (0, 4)
    assert loop.counter.tolist() == [3, 0, 3]


def test_a_launch_after_the_last_step_does_nothing() -> None:
    """As a graph that is replayed once too often; on the host the engine itself refuses. And nothing is done to prepare."""
    took, program = engine("ddim"), program_of("ddim")
    *_, case = cases(program, (9, 1, 1))
    buffers, _ = given(case, took.ring, len(program.columns), torch.float32, "cpu", took.highest)
    before = [b if b is None else b.clone() for b in buffers]
    took.prepared(buffers)
    assert all(b is None or torch.equal(a, b) for a, b in zip(buffers, before, strict=True))
    buffers.counter[0] = buffers.counter[2]
    before = [None if b is None else b.clone() for b in buffers]
    with pytest.raises(RuntimeError, match="all of its"):
        took.take(buffers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_loop, "checked", lambda counter: 0)
        took.take(buffers)
    assert all(b is None or torch.equal(a, b) for a, b in zip(buffers, before, strict=True))


def test_the_operator_takes_the_same_step() -> None:
    solver, x = solver_of("dpmpp_2m"), torch.randn(3, 5, dtype=torch.float64)
    took, plan = engine("dpmpp_2m"), solver.plan(steps=4)
    loops = [Loop(solver, plan, x, None, None, took) for _ in range(2)]
    raw = torch.randn(3, 5, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(engines._ENGINES, took.key, took)
        engines.advance(loops[0].buffers(raw), took.key)
    loops[1].step(raw)
    assert torch.equal(loops[0].state, loops[1].state)


# Without


def test_a_solver_without_the_file_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="add triton to the spec's backends"):
        Triton("key", SimpleNamespace(__name__="runtime.step_torch"))


def test_a_missing_triton_is_no_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'triton'", name="triton")

    monkeypatch.setattr(triton_loop, "import_module", missing)
    with pytest.raises(ImportError, match="triton"):
        engine("ddim")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    import triton

    step = SimpleNamespace(step=object.__new__(triton.JITFunction), select=None)
    monkeypatch.setitem(importlib.import_module("sys").modules, "runtime.fused_step_triton", step)
    with pytest.raises(engines.NoCompilerError, match="triton"):
        triton_loop._kernels()
