"""Engines: who takes the step of a :class:`runtime.loop.Loop`, and the operator under which compilers see it.

An engine knows the phases by number, how many slots the memory has, and where everything lies after a phase; ``run``
takes one step. ``phiforge::advance`` is the same as an operator that changes its arguments in place: no step and no
schedule is a constant in it, so one graph serves all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch

from runtime import philox
from runtime.errors import NoCompilerError
from runtime.projection import limit, taken

HALVES = (torch.float16, torch.bfloat16)
STORAGE = (torch.float32, torch.float64, *HALVES)
_KINDS = {"cpu": (torch.float32, torch.float64, torch.bfloat16)}
"""By backend, the storage types that not all have: C++ compilers have no float16 in common."""
_ENGINES: dict[str, Engine] = {}
"""By key, for the operator: a graph holds the key."""


class Buffers(NamedTuple):
    """What a step works on, as ``Run`` of the header says; the arguments of ``phiforge::advance``.

    state [1 + ring, stride] and raw of the storage type, low [.., stride] of half precision; order [rows + 1, 2 + ring]
    int32; table [samples, rows, columns], times [rows + 1, batch], t [batch], scales [samples, rows + 1] float32, or
    float64 with a float64 state; counter [3] int64: the step, a ticket, the number of steps; net [copies, samples x n].
    Of a solver that draws every sample has its table, and noise [2] int64 is (seed, number of the first sample).
    Where the network's output is projected (:mod:`runtime.projection`): guide [samples, rows, 4], the (g, dx, dr, 1/dr) of
    every call; limits [samples, 2], (bound, factor) where x0 is bounded; rule [3] float64, (k, fraction, most) where a step
    first finds the bounds. With guidance net has two copies, and raw two halves.
    """

    state: torch.Tensor
    low: torch.Tensor | None
    raw: torch.Tensor
    order: torch.Tensor
    table: torch.Tensor
    counter: torch.Tensor
    times: torch.Tensor
    t: torch.Tensor
    net: torch.Tensor | None
    scales: torch.Tensor | None
    noise: torch.Tensor | None = None
    guide: torch.Tensor | None = None
    limits: torch.Tensor | None = None
    rule: torch.Tensor | None = None

    @property
    def paired(self) -> bool:
        """Whether raw is that of a pair: unconditional, then conditional."""
        return self.guide is not None and self.net is not None and len(self.net) == 2

    @property
    def size(self) -> int:
        """Elements of a sample."""
        return self.raw.numel() // (len(self.table) * (1 + self.paired))


class Engine(Protocol):
    """numbers: by phase, its number. ring: slots besides the first. after: by phase, the place (0: x, 1 + j: entry j of
    the memory) where x' lies, then where every entry does. highest: the last slot that can hold a state.
    """

    key: str
    numbers: dict[str, int]
    ring: int
    after: dict[str, tuple[int, ...]]
    highest: int

    def prepared(self, buffers: Buffers) -> Callable[[torch.Tensor], None]:
        """The step on these buffers, as a function of raw."""

    def take(self, buffers: Buffers) -> None:
        """One step."""


class Torch:
    """The torch step on slots: anywhere, without a compiler. It reads the counter, allocates, and keeps low parts of all
    that it stores.
    """

    def __init__(self, key: str, step: Any) -> None:
        self.key, self._steps = key, step.STEPS
        self.numbers = {phase: number for number, phase in enumerate(step.STEPS)}
        self.ring = step.RING
        self.after = dict.fromkeys(step.STEPS, tuple(range(1 + step.RING)))
        self.highest = step.RING
        self._needs, self._keeps, self._draws = step.NEEDS, step.KEEPS, getattr(step, "DRAWS", ())

    def prepared(self, buffers: Buffers) -> Callable[[torch.Tensor], None]:
        """The step on these buffers, as a function of raw."""
        return lambda raw: self.take(buffers._replace(raw=raw))

    def take(self, buffers: Buffers) -> None:
        """One step."""
        state, low, raw, order, table, counter, times, t, net, scales, *_ = buffers
        now = checked(counter)
        phase = list(self.numbers)[int(order[now, 0])]
        each = len(table), buffers.size
        count = each[0] * each[1]
        slots = state[:, :count].to(table.dtype, copy=True)
        if low is not None:
            slots += low[:, :count]
        x, *memory = slots.view(len(slots), *each)
        row = [c[:, None] for c in table[:, now].unbind(1)]
        raw = raw.to(table.dtype, copy=True)  # it may lie in these buffers, as x itself does
        raw = raw.view(1 + buffers.paired, *each)
        z = (_normals(buffers, now, x),) if phase in self._draws else ()
        new, left = self._steps[phase](x, _projected(buffers, now, x, raw), tuple(memory), row, *z)
        for slot, value in enumerate((new, *left[: self.ring])):
            put(state[slot, :count], None if low is None else low[slot, :count], value.reshape(-1))
        if net is not None and scales is not None:
            net.copy_((new * scales[:, now + 1, None]).reshape(-1))
        t.copy_(times[now + 1].view(t.shape))
        counter[0] += 1


def _normals(buffers: Buffers, now: int, x: torch.Tensor) -> torch.Tensor:
    """Those of the call, like x, [samples, n]."""
    assert buffers.noise is not None
    seed, first = buffers.noise.unbind()
    return philox.normals(seed, first, x.shape, now, x.dtype, x.device)


def _projected(buffers: Buffers, now: int, x: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
    """What the step takes of the network's output. x: [samples, n]; raw: [1 or 2, samples, n]."""
    if buffers.guide is None:
        return raw[0]
    row = [v[:, None] for v in buffers.guide[:, now].unbind(1)]
    if buffers.limits is None or x.numel() == 0:
        return taken(row, x, raw.unbind(), None)
    return taken(row, x, raw.unbind(), partial(_bounded, buffers.limits, buffers.rule))


def _bounded(limits: torch.Tensor, rule: torch.Tensor | None, x0: torch.Tensor) -> torch.Tensor:
    """x0', [samples, n]; with a rule the limits are those of x0."""
    if rule is not None:
        s = limit(x0.abs(), rule.tolist())
        limits.copy_(torch.stack([s, 1 / s], 1))
    s, factor = (v[:, None] for v in limits.unbind(1))
    return x0.clamp(-s, s) * factor


def put(high: torch.Tensor, low: torch.Tensor | None, value: torch.Tensor) -> None:
    """The value, and where there is room for it what its type loses."""
    high.copy_(value)
    if low is not None:
        low.copy_(value - high)


def checked(counter: torch.Tensor) -> int:
    """The step that comes; RuntimeError after the last one."""
    now, _, steps = counter.tolist()
    if now >= steps:
        raise RuntimeError(f"loop: all of its {steps} steps are taken; restart() begins again")
    return now


def advance(buffers: Buffers, key: str) -> None:
    """The operator ``phiforge::advance``: one step of the engine with this key."""
    torch.ops.phiforge.advance(*buffers, key)


def _take(*arguments: Any) -> None:
    _ENGINES[arguments[-1]].take(Buffers(*arguments[:-1]))


_LIBRARY = torch.library.Library("phiforge", "FRAGMENT")
_LIBRARY.define(
    "advance(Tensor(a!) state, Tensor(b!)? low, Tensor raw, Tensor order, Tensor table, Tensor(c!) counter, "
    "Tensor times, Tensor(d!) t, Tensor(e!)? net, Tensor? scales, Tensor? noise, Tensor? guide, Tensor(f!)? limits, "
    "Tensor? rule, str engine) -> ()"
)
_LIBRARY.impl("advance", _take, "CompositeExplicitAutograd")
torch.library.register_fake("phiforge::advance", lambda *arguments: None, lib=_LIBRARY)


def engine(
    solver: Any, backend: str | None, device: torch.device, storage: torch.dtype, projected: bool = False
) -> Engine:
    """The engine of a backend ("cpu", "cuda", "triton", "torch"); None: the fastest that there is for device and storage.

    projected: whether the network's output is, before the step takes it.
    ValueError where the solver, the device or the backend does not have it; NoCompilerError where it cannot be built.
    """
    if storage not in STORAGE:
        raise ValueError(f"storage: got {storage}; allowed: {_listed(STORAGE)}")
    allowed = ("cuda", "triton", "torch") if device.type == "cuda" else ("cpu", "torch")
    if backend is not None and backend not in allowed:
        raise ValueError(f"backend: got {backend!r}; allowed on {device}: {', '.join(allowed)}, or None")
    for name in (backend,) if backend else allowed:
        key = f"{solver._module} {name}" + " projected" * projected
        kinds = _KINDS.get(name, STORAGE)
        try:
            if storage not in kinds:
                raise ValueError(f"storage: got {storage}; allowed with backend {name!r}: {_listed(kinds)}")
            if key not in _ENGINES:
                _ENGINES[key] = _made(key, name, solver, projected)
            return _ENGINES[key]
        except (NoCompilerError, ValueError, ImportError):
            if backend:
                raise
    raise AssertionError("the torch step is always there")


def _listed(kinds: tuple[torch.dtype, ...]) -> str:
    return ", ".join(str(kind).removeprefix("torch.") for kind in kinds)


def _made(key: str, name: str, solver: Any, projected: bool) -> Engine:
    if name == "torch":
        return Torch(key, solver._step)
    if name == "triton":
        from runtime.triton_loop import Triton

        return Triton(key, solver._step)
    from runtime.native import Native

    return Native(key, solver._step, name == "cuda", projected)


__all__ = ["HALVES", "STORAGE", "Buffers", "Engine", "advance", "engine"]
