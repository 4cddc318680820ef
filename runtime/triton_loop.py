"""The engine of a GPU in Triton: ``step_triton.py`` of a solver, compiled by triton at its first launch.

One launch a step (:mod:`runtime.fused_step_triton`), the same for every step and schedule; with a dynamic threshold one
more before it, which finds the bounds. A thread takes 16 bytes of every stream at once; sizes are no constants of the
compiled kernel, so one serves all shapes. Products and sums are rounded by themselves (no fused multiply-add), as by the
other engines: the kernel waits for memory, and all give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from subprocess import SubprocessError
from typing import Any

import torch

from runtime.engines import Buffers, checked
from runtime.errors import NoCompilerError

WARPS = 8
THREADS = 32 * WARPS
"""Of a block. Its elements: 16 bytes for every thread."""
SELECTING = 1024
"""Threads of the block that finds the threshold of a sample; half of them where an element has two bytes."""
ALIGNED = 64
"""Full blocks begin at a multiple of so many elements."""


def options(words: int, projected: bool = False, drawing: bool = False) -> dict[str, Any]:
    """How a kernel is compiled that moves so many streams; projected: with guidance or a bound; drawing: with normals.

    Without a number of registers ptxas saves them, and in half precision waits for one load before it begins the next. With
    64, four blocks share a multiprocessor, and all loads are in flight at once; of more streams with 80. Nothing is spilled.
    A projected step may have 16 more, one that draws 32 more where it moves more than 8 streams.
    """
    registers = (64 if words <= 10 else 80) + 16 * projected + 32 * (drawing and words > 8)
    return {"num_warps": WARPS, "maxnreg": registers, "enable_fp_fusion": False}


def selecting(size: int) -> int:
    """Threads that find a threshold, of elements of so many bytes. Of half precision a thread has 8 numbers: 64 registers,
    the most that 1024 threads may have, do not hold them.
    """
    return SELECTING if size > 2 else SELECTING // 2


def selection(size: int) -> dict[str, Any]:
    """How that kernel is compiled."""
    return {"num_warps": selecting(size) // 32, "enable_fp_fusion": False}


def more(paired: bool, bounded: bool, low: bool) -> int:
    """Streams that a projection loads besides, at most: the other half of a pair, and x where a phase does without."""
    return paired + bounded * (1 + low)


class Triton:
    """The engine (:mod:`runtime.engines`); ValueError if the solver has no ``step_triton.py``, ImportError without triton,
    NoCompilerError if triton finds no GPU, or no C compiler for its link to the driver.
    """

    def __init__(self, key: str, step: Any) -> None:
        package = step.__name__.rpartition(".")[0]
        try:
            self._module = import_module(f"{package}.step_triton")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.step_triton":
                raise
            name = package.rpartition(".")[2]
            raise ValueError(f"{name}: no step_triton.py; add triton to the spec's backends and regenerate") from error
        self.key, (self._step, self._select) = key, _kernels()
        self.after: dict[str, tuple[int, ...]] = dict(self._module.AFTER)
        self.numbers = {phase: number for number, phase in enumerate(self.after)}
        self.ring: int = self._module.RING
        self.highest: int = self._module.HIGHEST

    def prepared(self, buffers: Buffers) -> Callable[[torch.Tensor], None]:
        """The step on these buffers (raw says its size), as a function of raw. On a GPU; on a CPU triton has to interpret
        (TRITON_INTERPRET=1 before it is imported).
        """
        idle = buffers._replace(counter=torch.zeros_like(buffers.counter))
        self._launch(idle)(buffers.raw)  # of no steps it takes none: it is compiled and loaded; steps can be captured
        return self._launch(buffers)

    def take(self, buffers: Buffers) -> None:
        """One step."""
        self._launch(buffers)(buffers.raw.resolve_neg().contiguous())

    def _launch(self, buffers: Buffers) -> Callable[[torch.Tensor], None]:
        """The kernels on these buffers, as a function of raw."""
        state, low, _, order, table, counter, times, t, net, scales, noise, guide, limits, rule = buffers
        samples, rows, _ = table.shape
        size, total, paired = buffers.size, buffers.size * samples, buffers.paired
        wide = 16 // state.element_size()
        blocks = _blocks(size, samples, THREADS * wide)
        net, twin = (None, None) if net is None else (net[0], net[1] if len(net) > 1 else None)
        step, select = self._step[(blocks * samples,)], self._select[(samples,)]
        sizes = (size, state.shape[1], rows, t.numel(), blocks)
        constants = {
            "PHASES": self._module.phases,
            "RING": self.ring,
            "COLUMNS": self._module.COLUMNS,
            "BLOCK": THREADS * wide,
            "THREADS": THREADS,
        }
        many, selected = selecting(state.element_size()), selection(state.element_size())
        bounded = {"RING": self.ring, "BLOCK": many * wide, "THREADS": many, **selected}
        how = options(
            self._module.WORDS[low is not None] + more(paired, limits is not None, low is not None),
            guide is not None,
            noise is not None,
        )

        def launch(raw: torch.Tensor) -> None:
            other = raw.view(-1)[total:] if paired else None
            if rule is not None:
                select(state, low, raw, order, counter, other, guide, limits, rule, *sizes[:3], **bounded)
            step(
                state, low, raw, order, table, counter, times, t, net, twin, scales, noise, other, guide, limits, *sizes,
                **constants, **how,
            )  # fmt: skip

        def on_device(raw: torch.Tensor) -> None:
            with torch.cuda.device(state.device):
                launch(raw)

        def on_host(raw: torch.Tensor) -> None:
            if counter[2]:
                checked(counter)
            launch(raw)

        return on_device if state.is_cuda else on_host


def _kernels() -> tuple[Any, Any]:
    """The kernels of all solvers: the step, and what finds dynamic thresholds before it."""
    import triton

    from runtime.fused_step_triton import select, step

    if isinstance(step, triton.JITFunction):  # not interpreted: triton builds its link to the driver, once
        try:
            triton.runtime.driver.active.get_current_device()
        except (RuntimeError, OSError, SubprocessError) as error:
            raise NoCompilerError(f"triton: {error}") from error
    return step, select


def _blocks(size: int, samples: int, block: int) -> int:
    """Blocks of a sample: they begin at the last multiple of ALIGNED elements before it."""
    before = ALIGNED - 1 if samples > 1 and size % ALIGNED else 0
    return max(1, -(-(size + before) // block))


__all__ = ["Triton"]
