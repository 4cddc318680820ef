"""State: the sample, what the next step finds, and who owns their memory.

past: past integrands, newest first; in the middle of a step with stages, and between the steps of a
predictor-corrector, before them the state at the step's start and the integrands of the stages, as the phases say.
Owned: ``x`` and a ring of RING buffers belong to the solve; each step overwrites them (no allocation; which of them
holds x may change) and returns a new State over the same memory. A State that has been stepped from is stale and says
so instead of showing the next sample.
Not owned: somebody differentiates or maps; each step makes new tensors and every State stays valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from runtime.errors import StaleStateError


def differentiated(*tensors: torch.Tensor) -> bool:
    """Does somebody follow these tensors: reverse mode, forward mode, or a transform of torch.func (vmap, jvp)?"""
    return (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)) or transformed()


def transformed() -> bool:
    """Forward mode, or a transform of torch.func?"""
    forward = torch.autograd.forward_ad._current_level >= 0  # a dual tensor's tangent is lost in a buffer
    return forward or torch._C._functorch.peek_interpreter_stack() is not None


def tensors_in(history: Sequence[Any] | None) -> list[torch.Tensor]:
    """The tensors of a history, whose values are integrands or pairs (x, raw)."""
    values = [value if isinstance(value, (tuple, list)) else (value,) for value in history or ()]
    return [tensor for value in values for tensor in value if isinstance(tensor, torch.Tensor)]


class State:
    """What ``solver.init`` and ``solver.step`` return. Treat as immutable.

    x: what the network is to evaluate next (at a stage, the stage's), and after the last call the result.
    [B, *S], float32 or float64. Of an owned state it is the solve's own buffer: valid until the next step; clone it
    to keep it, do not write to it. index: the step that comes next, 0 after ``init``.
    """

    __slots__ = ("_clock", "_tick", "_x", "filled", "index", "owned", "past")

    def __init__(
        self,
        x: torch.Tensor,
        past: tuple[torch.Tensor, ...],
        filled: int,
        owned: bool,
        clock: list[int],
        index: int = 0,
    ) -> None:
        self._x, self.past, self.filled, self.owned, self.index = x, past, filled, owned, index
        self._clock, self._tick = clock, clock[0]

    @property
    def x(self) -> torch.Tensor:
        """What the network evaluates next: the sample at the current node or stage."""
        self.check()
        return self._x

    def check(self) -> None:
        """StaleStateError if a later step has overwritten this state's buffers."""
        if self._tick != self._clock[0]:
            raise StaleStateError(
                "this State was already stepped from and its buffers hold a later sample; use the State that step() "
                "returned (clone state.x to keep a sample)"
            )

    def check_next(self, i: int) -> None:
        """StaleStateError if stale, ValueError unless ``i`` is the step that comes next."""
        self.check()
        if i != self.index:
            raise ValueError(
                f"step index: got {i}; this state expects {self.index}: take steps in order, each once (to begin in the "
                "middle, plan with nodes= from there and init() with that plan)"
            )

    def stepped(self, x: torch.Tensor, past: tuple[torch.Tensor, ...], filled: int) -> State:
        """The state after an in-place step; this one becomes stale."""
        self._clock[0] += 1
        return State(x, past, filled, True, self._clock, self.index + 1)

    def __repr__(self) -> str:
        stale = "" if self._tick == self._clock[0] else ", stale"
        x = f"{tuple(self._x.shape)} {self._x.dtype} on {self._x.device}"
        return f"State(x: {x}, {self.filled} past, next step {self.index}{stale})"
