"""What the tests of the loop share: its engines, networks, and the interpreter's account of the same solve."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from derive.program.interpret import run_phase
from derive.program.ir import Program
from runtime import native
from tests.backends.sources import FUSED, OFTEN
from tests.claims.shipped import DETERMINISTIC, STEPS

COMPILES = any(map(shutil.which, native.COMPILERS))
NEEDS_COMPILER = pytest.mark.skipif(not COMPILES, reason="no C++ compiler")
ENGINES = [pytest.param("cpu", marks=NEEDS_COMPILER), "torch"]
FEWER = {*DETERMINISTIC} - {*OFTEN}
OTHERS = [
    *(pytest.param(name, "cpu", marks=(NEEDS_COMPILER, pytest.mark.slow)) for name in FUSED if name not in OFTEN),
    *(pytest.param(*solver.values, "torch", marks=solver.marks) for solver in STEPS if solver.values[0] in FEWER),
]
BOTH = [
    *(pytest.param(name, "cpu", marks=NEEDS_COMPILER) for name in OFTEN),
    *((name, "torch") for name in OFTEN),
    *OTHERS,
]
"""Every solver without noise on every engine that it has on a CPU."""


def solver_of(name: str) -> Any:
    return importlib.import_module(f"generated.{name}").solver


def plan_of(solver: Any, steps: int = 9, **options: Any) -> Any:
    """A plan of so many steps, or of the solver's table."""
    return solver.plan(steps=None if getattr(solver.coefficients, "TABLE", ()) else steps, **options)


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Not linear, and of the time too, whatever that is: an index, a logarithm."""
    factor = 1 + 1 / (1 + t * t).reshape(t.shape + (1,) * (x.dim() - t.dim()))
    return torch.tanh(x) * factor.to(x.dtype)


def noise(shape: Sequence[int], dtype: torch.dtype = torch.float64, seed: int = 3) -> torch.Tensor:
    return torch.randn(tuple(shape), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def state_of(loop: Any) -> torch.Tensor:
    """Where the state is now: value and low part, in float64."""
    slot = int(loop.order[int(loop.counter[0]), 1])
    high, low = loop.state[slot, : loop.elements], loop._low(slot)
    return (high.double() + (0 if low is None else low.double())).view(loop.shape)


def interpreted(
    program: Program,
    plan: Any,
    table: torch.Tensor,
    x: torch.Tensor,
    raws: Sequence[torch.Tensor],
    normals: Sequence[torch.Tensor] = (),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per call (x', the sum of the sizes of all products that it is made of, since x_T); memory is the interpreter's own.

    table: [steps, K], the rows as the loop has them. normals: of every call, where the solver draws.
    """
    value, kept = x.double().numpy(), []
    size, sizes = np.abs(value), []
    drawn = [z.double().numpy() for z in normals] or [None] * plan.steps
    for name, row, raw, z in zip(plan.phases, table.double().tolist(), raws, drawn, strict=True):
        phase, numbers = program.phase(name), dict(zip(plan.columns, row, strict=True))
        large = {column: abs(number) for column, number in numbers.items()}
        raw = raw.double().numpy()
        value, kept = run_phase(phase, numbers, value, kept, lambda _, raw=raw: raw, z)
        drawn_sizes = None if z is None else np.abs(z)
        size, sizes = run_phase(phase, large, size, sizes, lambda _, raw=raw: np.abs(raw), drawn_sizes)
        yield value, size
