"""Normals in the Triton step, in Triton's own interpreter: those of the program, and the bits of the C++ source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from runtime.loop import Loop
from runtime.triton_loop import THREADS
from tests.backends.loops import NEEDS_COMPILER, network, noise, plan_of, solver_of
from tests.backends.sources import DRAWING, program_of
from tests.backends.test_triton import BOUNDS, assert_close, engine
from tests.backends.tritons import cases, engine_of, interpreting, text_of

OFTEN = ("dpmpp_sde", "sa_solver_3")
EACH = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in DRAWING]
SEED = 0x9E3779B97F4A7C15


@pytest.fixture(scope="module", autouse=True)
def interpreted() -> Iterator[None]:
    with interpreting():
        yield


@pytest.mark.parametrize("name", EACH)
def test_every_phase_with_every_memory(name: str) -> None:
    """The types in turn; samples that begin at multiples of 8, and between."""
    took, program = engine(name), program_of(name)
    for i, case in enumerate(cases(program, (77, 1, 0), (45, 2, 1), (64, 3, 0))):
        assert_close(took, program, case, (torch.float64, *BOUNDS)[i % 5])


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("odd", [0, 3], ids=["whole groups", "groups in two samples"])
def test_full_blocks_and_what_is_left(odd: int, dtype: torch.dtype) -> None:
    took, program = engine("dpmpp_sde"), program_of("dpmpp_sde")
    *_, case = cases(program, (16 * THREADS // dtype.itemsize + 72 + odd, 2, 1))
    assert_close(took, program, case, dtype)


def looped(name: str, x: torch.Tensor, first: int = 0) -> torch.Tensor:
    solver = solver_of(name)
    loop = Loop(solver, plan_of(solver, 3), x, None, None, engine(name), None, SEED, first)
    return loop.solved(network)


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", EACH)
def test_the_bits_of_the_cpu(name: str, dtype: torch.dtype) -> None:
    solver = solver_of(name)
    for shape in ((3, 11), (2, 1500), (2, 4099)):
        x = noise(shape, dtype)
        other = solver.loop(plan_of(solver, 3), x, backend="cpu", seed=SEED)
        assert torch.equal(looped(name, x), other.solved(network))


@pytest.mark.parametrize("name", EACH)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    x = noise((8, 5, 7), torch.float32)
    whole = looped(name, x)
    for k in (0, 5, 7):
        assert torch.equal(whole[k : k + 1], looped(name, x[k : k + 1], k))


@pytest.mark.parametrize(("old", "new"), [(r"s \* z", "s * x"), (r"normals\(block\)", "load_raw(block)")])
def test_another_formula_is_seen(old: str, new: str, tmp_path: Path) -> None:
    program = program_of("sa_solver_3")
    text, count = re.subn(old, new, text_of(program))
    assert count
    took: Any = engine_of(text.replace(", normals", "") if "raw" in new else text, tmp_path, "spoilt_sa")
    *_, case = cases(program, (20, 1, 0))
    with pytest.raises(AssertionError):
        assert_close(took, program, case, torch.float64)
