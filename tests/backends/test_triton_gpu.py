"""The Triton step on a GPU: the values that the tests on a CPU ask for, many blocks, and a captured solve."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from runtime.graph import captured
from runtime.triton_loop import THREADS, Triton
from tests.backends.loops import network, plan_of, solver_of
from tests.backends.sources import program_of
from tests.backends.test_triton import BOUNDS, THESE
from tests.backends.tritons import cases, gaps

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("name", THESE)
def test_every_phase_with_every_memory(name: str, dtype: torch.dtype) -> None:
    took, program = Triton(name, solver_of(name)._step), program_of(name)
    block = 16 * THREADS // dtype.itemsize
    for case in cases(program, (77, 1, 0), (2 * block + 77, 1, 2), (block + 60, 3, 1), (0, 1, 1)):
        for kind, found in gaps(took, program, case, dtype, "cuda").items():
            assert max(found, default=0) <= BOUNDS[dtype][kind], (case, kind)


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2", "edm_heun"])
def test_a_captured_step_serves_whole_solves(name: str) -> None:
    """Thousands of blocks a step: the last of them moves the counter on, step after step, schedule after schedule."""
    solver = solver_of(name)
    x = torch.randn(4, 1 << 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to("cuda")
    loop = solver.loop(plan_of(solver, 20), x, backend="triton")
    replay = captured(lambda: loop.step(network(loop.x, loop.t)), lambda: network(loop.x, loop.t))
    for steps in (20, 7):
        plan = plan_of(solver, steps)
        loop.restart(plan, x)
        for _ in range(loop.steps):
            replay()
        want = solver.loop(plan, x, backend="torch").solved(network)
        assert float((loop.result() - want).abs().max() / want.abs().max()) <= 1e-12
        assert loop.counter.tolist() == [loop.steps, 0, loop.steps]
