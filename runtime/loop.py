"""Loop: the body of a solve on fixed buffers, the same for every step, every schedule and every number of steps.

    loop = solver.loop(plan, x_T)
    for _ in range(loop.steps):
        loop.step(model(loop.x, loop.t))
    x_0 = loop.result()

What a call does (its phase, where its values lie, its coefficients, the network's next time) is read from a row on the
device, chosen by a counter on the device that the step itself moves on. So ``model`` and ``step`` compile into one graph
under ``torch.compile(fullgraph=True)`` and are captured once as a CUDA graph, and :meth:`Loop.restart` brings another
schedule into the same buffers, or other noise: the seed of a stochastic solver lies on the device, and the step makes its
normals itself. Nothing is allocated in a step, and no number travels to the host.

Half-precision states (float16, bfloat16) are two numbers an element, the value that the network reads and the low part
that it has lost, together 16 (bfloat16) or 22 bits; integrands of the past are one. Arithmetic is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from runtime import checks, engines
from runtime.noise import counter_based, signed
from runtime.plan import Plan
from runtime.projection import Projection, projection

ALIGNED = 64
"""A slot begins at a multiple of so many elements: 16 bytes for every type, and whole cache lines."""
ROOM = 256
"""Rows that are always there, so that solves of few and of more steps have tables of one shape."""


class Loop:
    """What ``solver.loop`` returns; one solve at a time, not to be shared by threads.

    steps: how often ``step`` is called. x: what the network reads, [B, *S] of the storage type, c_in x where the
    prediction asks for it; t: [B] (0-d for a 0-d x), the network's time (float64 for a float64 state, else float32).
    Both lie at fixed addresses and are overwritten by each step. dtype: of the caller's x_T, in which ``result`` is
    returned. A batch of 0 is one more size: steps are counted, and nothing is computed.
    projection: what happens to the network's output (:mod:`runtime.projection`). With guidance x, t and what ``step`` takes
    are pairs, [2B, *S] and [2B], unconditional first.
    """

    def __init__(
        self,
        solver: Any,
        plan: Plan,
        x_T: torch.Tensor,
        history: Sequence[Any] | None,
        storage: torch.dtype | None,
        engine: engines.Engine,
        projected: Projection | None = None,
        seed: int | None = None,
        first: int = 0,
    ) -> None:
        storage = storage or x_T.dtype
        self.solver, self.dtype, self.shape, self.engine = solver, x_T.dtype, tuple(x_T.shape), engine
        self.projection = projected or Projection()
        self.projection.check(x_T)
        self.samples = plan.samples or 1
        self.arithmetic = torch.float64 if storage == torch.float64 else torch.float32
        self.elements = x_T.numel()
        self._rows = _room(plan.steps)
        stride = -(-self.elements // ALIGNED) * ALIGNED
        columns, batch = len(plan.columns), x_T.shape[0] if x_T.dim() else 1
        moved = "cin" in plan.columns or any(places[0] for places in engine.after.values())
        copies = 2 if self.projection.pairs else int(moved)
        drawing = bool(getattr(solver._step, "DRAWS", ()))
        apart = drawing or self.projection.threshold  # each has its own normals, its own threshold
        parts = max(batch, 1) if apart else self.samples
        fed = (copies * batch, *x_T.shape[1:]) if self.projection.pairs else self.shape

        def new(*shape: int, dtype: torch.dtype = self.arithmetic) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=x_T.device)

        with torch.inference_mode(False), torch.no_grad():
            self.state = new(1 + engine.ring, stride, dtype=storage)
            self.low = new(1 + engine.highest, stride, dtype=storage) if storage in engines.HALVES else None
            self.order = new(self._rows + 1, 2 + engine.ring, dtype=torch.int32)
            self.table = new(parts, self._rows, columns)
            self.counter = new(3, dtype=torch.int64)
            self.times = new(self._rows + 1, *(fed[:1] or (1,)))
            self.t = new(*fed[:1])
            self.net = new(copies, self.elements, dtype=storage) if copies else None
            self.scales = new(parts, self._rows + 1) if copies else None
            self.noise = new(2, dtype=torch.int64) if drawing else None
            self.guide = new(parts, self._rows, 4) if projected else None
            self.limits = new(parts, 2) if self.projection.clips else None
            self.rule = new(3, dtype=torch.float64) if self.projection.threshold else None
            self._fed = fed
            self._take = engine.prepared(self.buffers(self.x))
            self.restart(plan, x_T, history, seed=seed, first=first)

    def holds(self, plan: Plan) -> bool:
        """Whether the plan fits into the tables."""
        return plan.steps <= self._rows and (plan.samples or 1) == self.samples

    def restart(
        self,
        plan: Plan,
        x_T: torch.Tensor,
        history: Sequence[Any] | None = None,
        *,
        guidance: float | Sequence[float] | None = None,
        clip: float | None = None,
        threshold: tuple[float, float] | None = None,
        keep_noise: bool = False,
        seed: int | None = None,
        first: int = 0,
    ) -> None:
        """Begin again, with this plan and this noise, in the same buffers; what was compiled or captured stays valid.

        history: as in ``solver.init``. guidance, clip, threshold, keep_noise: others for what the loop was made with; where
        none is given, those that it has. seed, first: as in ``solver.loop``.
        ValueError if they do not fit: another shape, dtype or solver, more rows, or grids per sample of another number.
        """
        self.solver._own(plan)
        checks.sample(x_T)
        given, own = (tuple(x_T.shape), x_T.dtype, x_T.device), (self.shape, self.dtype, self.state.device)
        if given != own:
            got, allowed = ("{} of {} on {}".format(*what) for what in (given, own))
            raise ValueError(f"x_T: got {got}; allowed: {allowed}, as the loop was made")
        if not self.holds(plan):
            raise ValueError(
                f"plan: got {plan.steps} calls of the network, {plan.samples or 'one grid for all'} samples; allowed: up "
                f"to {self._rows}, {self.samples if self.samples > 1 else 'one grid for all'}: make a new loop"
            )
        wanted = projection(guidance, clip, threshold, keep_noise) or self.projection
        if wanted.kind != self.projection.kind:
            raise ValueError(
                f"got {wanted}; allowed: what the loop was made with, {self.projection}, with other numbers"
            )
        guide, normals = wanted.rows(plan), counter_based(plan.draws, seed, first)
        past = self.solver.init(plan, x_T.detach(), history).past
        steps, rows = plan.steps, _order(plan, self.engine)
        with torch.inference_mode(False), torch.no_grad():
            table = plan.table.reshape(steps, len(plan.columns), self.samples).permute(2, 0, 1)
            self.table[:, :steps].copy_(table)
            self.order[: steps + 1].copy_(torch.tensor(rows, dtype=torch.int32))
            times = plan.times(self.table, x_T.shape[0] if x_T.dim() else 1)
            times = torch.cat([times, times], 1) if wanted.pairs else times
            self.times[:steps].copy_(times)
            self.times[steps].copy_(times[-1])
            self.counter.copy_(torch.tensor([0, 0, steps]))
            self.t.copy_(times[0].view(self.t.shape))
            if self.noise is not None and normals is not None:
                self.noise.copy_(torch.tensor([signed(normals.seed), normals.first]))
            self._put(0, x_T.detach())
            for slot, value in enumerate(past, 1):
                self._put(slot, value)
            if self.scales is not None and self.net is not None:
                self.scales.fill_(1)
                if "cin" in plan.columns:
                    self.scales[:, :steps].copy_(table[:, :, plan.columns.index("cin")])
                scale = self.scales[:, 0].reshape(-1, *(1,) * (x_T.dim() - 1)) if x_T.dim() else self.scales[0, 0]
                self.net.view(len(self.net), *self.shape).copy_(x_T.detach().to(self.arithmetic) * scale)
            self._guide(wanted, guide.reshape(steps, 4, self.samples).permute(2, 0, 1))
        self.projection, self.steps, self._last = wanted, steps, rows[-1][1]

    def _guide(self, wanted: Projection, rows: torch.Tensor) -> None:
        """The numbers of the projection. rows: [samples, steps, 4]."""
        if self.guide is not None:
            self.guide[:, : rows.shape[1]].copy_(rows)
        if self.limits is not None:
            self.limits.copy_(torch.tensor([wanted.clip or 1.0, 1.0], dtype=torch.float64))
        if self.rule is not None:
            self.rule.copy_(torch.tensor(wanted.rule(self.elements // len(self.table)), dtype=torch.float64))

    def _put(self, slot: int, x: torch.Tensor) -> None:
        """x into a slot, and what its type loses into the low part."""
        engines.put(self.state[slot, : self.elements], self._low(slot), x.to(self.arithmetic).reshape(-1))

    def _low(self, slot: int) -> torch.Tensor | None:
        """The low part of a slot, where there is one."""
        return None if self.low is None or slot >= len(self.low) else self.low[slot, : self.elements]

    @property
    def x(self) -> torch.Tensor:
        """What the network reads before the next step."""
        return (self.state[0, : self.elements] if self.net is None else self.net).view(self._fed)

    def step(self, raw: torch.Tensor) -> None:
        """Take the network's output at (x, t). raw: x's shape, any floating dtype. RuntimeError after the last step."""
        if torch.compiler.is_compiling():
            engines.advance(self.buffers(self._fitted(raw)), self.engine.key)
        else:
            self._take(raw if self._fits(raw) else self._fitted(raw).resolve_neg())

    def _fitted(self, raw: torch.Tensor) -> torch.Tensor:
        """The network's output as engines take it: of the storage type, without gaps."""
        return checks.model_output(raw, self.x).detach().to(self.state.dtype).contiguous()

    def _fits(self, raw: torch.Tensor) -> bool:
        """Whether it is so already."""
        if type(raw) is not torch.Tensor or raw.dtype is not self.state.dtype or raw.shape != self._fed:
            return False
        return raw.is_contiguous() and raw.device == self.state.device and not raw.is_neg() and not raw.requires_grad

    def solved(self, model: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """All steps that are left, with this network, and the result."""
        for _ in range(self.steps - int(self.counter[0])):
            self.step(model(self.x, self.t))
        return self.result()

    def buffers(self, raw: torch.Tensor) -> engines.Buffers:
        """What the engine works on."""
        return engines.Buffers(
            self.state, self.low, raw, self.order, self.table, self.counter, self.times, self.t, self.net, self.scales,
            self.noise, self.guide, self.limits, self.rule,
        )  # fmt: skip

    def result(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The sample at the end, a new tensor of x_T's shape and device; of x_T's dtype, or another one."""
        x, low = self.state[self._last, : self.elements], self._low(self._last)
        if low is not None:
            x = x.to(self.arithmetic) + low
        return x.to(dtype or self.dtype, copy=True).view(self.shape)


def _room(steps: int) -> int:
    """Rows of a table with place for so many steps: a power of two."""
    return max(ROOM, 1 << (steps - 1).bit_length())


def _order(plan: Plan, engine: engines.Engine) -> list[list[int]]:
    """Per call, and once after the last: the number of its phase, the slot of x, those of the memory's entries."""
    homes = list(range(1 + engine.ring))
    rows = []
    for phase in plan.phases:
        rows.append([engine.numbers[phase], *homes])
        homes = [homes[place] for place in engine.after[phase]]
    return [*rows, [0, *homes]]


__all__ = ["Loop"]
