"""Functional steps: those of solvers that ship a source, and of sources that a test builds; how they are compared."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from derive.program.memory import flow
from runtime import native, operators
from tests.backends.sources import program_of

OPS = (torch.ops.phiforge.step.default, torch.ops.phiforge.step_adjoint.default)


def solver_of(name: str) -> Any:
    return importlib.import_module(f"generated.{name}").solver


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x) * (1 + t.reshape(-1, *(1,) * (x.dim() - 1)) / 7)


def steps_of(name: str) -> dict[str, Callable[..., Any]]:
    """The functional steps, by phase."""
    return solver_of(name).fused()._step.STEPS


@cache
def built(name: str, text: str, folder: Path, key: str = "") -> dict[str, Callable[..., Any]]:
    source = folder / (key or f"generated.{name}") / native.SOURCE
    source.parent.mkdir()
    source.write_text(text, "utf-8")
    step = importlib.import_module(f"generated.{name}.step_torch")
    tables = {word: getattr(step, word) for word in ("STEPS", "RING", "NEEDS", "KEEPS")}
    library = ctypes.CDLL(str(native.build(source)))
    return operators.register(SimpleNamespace(__name__=f"{key or f'generated.{name}'}.step_torch", **tables), library)


def drawn(count: int, shape: Sequence[int], follow: bool = False, dtype: torch.dtype = torch.float64) -> Any:
    return [torch.randn(tuple(shape), dtype=dtype).requires_grad_(follow) for _ in range(count)]


def flat(step: Callable[..., Any], row: Any) -> Callable[..., tuple[torch.Tensor, ...]]:
    """The step as a function of (x, raw, memory..) to all that it leaves."""

    def function(x: torch.Tensor, raw: torch.Tensor, *memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
        new, left = step(x, raw, memory, row)
        return (new, *left)

    return function


def size(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """A number that depends on every element of all of them, otherwise on each."""
    return torch.stack([(i + 1) * v.sin().sum() for i, v in enumerate(values)]).sum()


def phases_of(name: str) -> list[tuple[str, int]]:
    """Every phase with every number of values that it can find."""
    entries = flow(program_of(name)).entries
    return [(phase, count) for phase, found in entries.items() for count in sorted({len(m) for m in found})]


def check_close(found: Any, wanted: Any, bound: float) -> None:
    """Relative to the largest of what is wanted."""
    found, wanted = ([v] if isinstance(v, torch.Tensor) else list(v) for v in (found, wanted))
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() <= bound * b.abs().max(), (a - b).abs().max()
