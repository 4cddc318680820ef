"""State: the sample, the past integrands, and who owns their memory.

Owned: ``x`` and a ring of STEPS buffers belong to the solve; each step overwrites them (no allocation) and returns a
new State over the same memory. A State that has been stepped from is stale and says so instead of showing the next
sample.
Not owned: somebody differentiates or maps; each step makes new tensors and every State stays valid.
"""

from __future__ import annotations

import torch

from runtime.errors import StaleStateError


def differentiated(*tensors: torch.Tensor) -> bool:
    """Does somebody follow these tensors: reverse mode, forward mode, or a transform of torch.func (vmap, jvp)?"""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return True
    forward = torch.autograd.forward_ad._current_level >= 0  # a dual tensor's tangent is lost in a buffer
    return forward or torch._C._functorch.peek_interpreter_stack() is not None


class State:
    """What ``solver.init`` and ``solver.step`` return. Treat as immutable.

    x: [B, *S], float32 or float64. Of an owned state it is the solve's own buffer: valid until the next step; clone it
    to keep it, do not write to it.
    """

    __slots__ = ("_clock", "_tick", "_x", "filled", "owned", "past")

    def __init__(
        self, x: torch.Tensor, past: tuple[torch.Tensor, ...], filled: int, owned: bool, clock: list[int]
    ) -> None:
        self._x, self.past, self.filled, self.owned = x, past, filled, owned
        self._clock, self._tick = clock, clock[0]

    @property
    def x(self) -> torch.Tensor:
        """The sample at the current node."""
        self.check()
        return self._x

    def check(self) -> None:
        """StaleStateError if a later step has overwritten this state's buffers."""
        if self._tick != self._clock[0]:
            raise StaleStateError(
                "this State was already stepped from and its buffers hold a later sample; use the State that step() "
                "returned (clone state.x to keep a sample)"
            )

    def stepped(self, past: tuple[torch.Tensor, ...], filled: int) -> State:
        """The state after an in-place step; this one becomes stale."""
        self._clock[0] += 1
        return State(self._x, past, filled, True, self._clock)

    def __repr__(self) -> str:
        stale = "" if self._tick == self._clock[0] else ", stale"
        return f"State(x: {tuple(self._x.shape)} {self._x.dtype} on {self._x.device}, {self.filled} past{stale})"
