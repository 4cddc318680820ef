"""The fused step as a function of tensors: ``phiforge::step``, and its transpose ``phiforge::step_adjoint``.

A phase is linear in what it reads, with the coefficients of its row. So each operator is the derivative of the other, in
every order, and nothing but the row is kept between forward and backward: one kernel a step each way.

    step(values, row, solver, phase) -> what the phase makes          values: what it reads, as the tables of its source say
    step_adjoint(gradients, row, solver, phase) -> gradients of what it reads

Tensors are of one shape [B, *S], one dtype and one device; row: [K] for all samples, or [K, B, 1, ..]. float32 and float64
of the CPU take the kernels of ``step_cuda.cu``; everything else, and a row whose own gradient is wanted, the torch step.
Transforms of torch.func go through :func:`linear` (an operator alone takes the torch step inside grad and jvp there).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from struct import pack
from typing import Any

import torch
from torch.autograd import forward_ad

Tensors = Sequence[torch.Tensor]
X, RAW, Z, M = 0, 1, 2, 3
"""Places of a phase: x, the network's output, normals, entry j of the memory at M + j."""
NAMES = ("step", "step_adjoint")
_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
_TYPES = (torch.Tensor, torch.nn.Parameter)


@dataclass(frozen=True, slots=True)
class Phase:
    """reads, makes: the places of what a phase reads and makes. after: where x' lies afterwards, then the memory.

    named, kept: entries of the memory that it finds, and leaves in front of those that it does not name. step: the torch
    step. kernels: by (transposed, dtype).
    """

    reads: tuple[int, ...]
    makes: tuple[int, ...]
    after: tuple[int, ...]
    named: int
    kept: int
    step: Callable[..., Any]
    kernels: dict[tuple[bool, torch.dtype], Callable[[bytes], None]]


_PHASES: dict[tuple[str, str], Phase] = {}


def register(step: Any, library: ctypes.CDLL) -> dict[str, Callable[..., Any]]:
    """The functional steps of a generated package, by phase: (x, raw, m, row) -> (x', m'), new tensors; behind the row
    the normals, where the phase draws.

    A row as a tuple of numbers, and a state of another device, take the torch step.
    """
    solver = step.__name__.rpartition(".")[0]
    for name, function in step.STEPS.items():
        reads, makes = (_listed(getattr(library, f"{name}_{side}"), M + step.RING) for side in ("load", "store"))
        after = _listed(getattr(library, f"{name}_after"), 1 + library.ring())
        kernels = {
            (transposed, dtype): _typed(getattr(library, f"{name}_{way}_{suffix}"))
            for transposed, way in ((False, "forward"), (True, "adjoint"))
            for dtype, suffix in _SUFFIX.items()
        }
        _PHASES[solver, name] = Phase(reads, makes, after, step.NEEDS[name], step.KEEPS[name], function, kernels)
    return {name: _functional(solver, name) for name in step.STEPS}


def _listed(function: Callable[[int], int], most: int) -> tuple[int, ...]:
    return tuple(place for place in map(function, range(most)) if place >= 0)


def _typed(function: Any) -> Any:
    function.argtypes, function.restype = (ctypes.c_char_p,), None
    return function


def _phase(solver: str, name: str) -> Phase:
    """A graph that another process has compiled may name a solver that is not here yet."""
    if (solver, name) not in _PHASES:
        from runtime.native import native_steps

        native_steps(import_module(f"{solver}.step_torch"))
    return _PHASES[solver, name]


def _functional(solver: str, name: str) -> Callable[..., Any]:
    """The step of a phase on tensors: what is kept and not made is passed on."""
    phase = _PHASES[solver, name]
    reads, named, count = phase.reads, phase.named, len(phase.makes)
    # Where x' and the entries that are kept stand among what is made, then what is given.
    left = [phase.makes.index(p) if p in phase.makes else count + p for p in phase.after[: 1 + phase.kept]]

    def stepped(x: torch.Tensor, raw: torch.Tensor, m: tuple[torch.Tensor, ...], row: Any, *z: torch.Tensor) -> Any:
        if not isinstance(row, torch.Tensor):
            return phase.step(x, raw, m, row, *z)
        if not x.is_cpu or x.dtype not in _SUFFIX:
            return phase.step(x, raw, m, row.unbind(0), *z)
        given = (x, raw if raw.dtype == x.dtype else raw.to(x.dtype), *(z or (x,)), *m)
        values = (*linear([given[place] for place in reads], row, solver, name), *given)
        new, *kept = [values[i] for i in left]
        return new, (*kept, *m[named:])

    return stepped


def linear(
    values: Tensors, row: torch.Tensor, solver: str, phase: str, transposed: bool = False
) -> Sequence[torch.Tensor]:
    """The operator, or its transpose, under any transform."""
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active() and _followed(row):
        return _expressed(values, row, solver, phase, transposed)
    return _constant(values, row, solver, phase, transposed)


def _constant(values: Tensors, row: torch.Tensor, solver: str, phase: str, transposed: bool) -> Sequence[torch.Tensor]:
    """The same with a row that nobody differentiates, whatever torch.func has wrapped it in."""
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return _Transformed.apply(row, solver, phase, transposed, *values)
    return _OPERATORS[transposed](values, row, solver, phase)


# The operators


def _computed(values: Tensors, row: torch.Tensor, solver: str, name: str, transposed: bool) -> list[torch.Tensor]:
    """The kernel, in the order in which the first value lies in memory; what lies otherwise is copied."""
    phase, first = _phase(solver, name), values[0]
    kernel = phase.kernels.get((transposed, first.dtype))
    if kernel is None or any(type(v) not in _TYPES for v in (*values, row)):
        return _expressed(values, row, solver, name, transposed)
    _check(values, phase.makes if transposed else phase.reads)
    if row.dim() != 1 or row.dtype is not first.dtype or not row.is_contiguous():
        row = row.to(first.dtype).reshape(len(row), -1).contiguous()
    samples = row.numel() // max(len(row), 1)
    if samples != 1 and samples != (first.shape[0] if first.dim() else 1):
        raise ValueError(f"row: got {samples} samples; allowed: 1, or the batch of {tuple(first.shape)}")
    out = [torch.empty_like(first) for _ in (phase.reads if transposed else phase.makes)]
    if all(v.is_contiguous() for v in (*values, out[0])):
        _run(kernel, values, row, samples, out)
        return out
    strides = first.stride()
    order = sorted(range(first.dim()), key=lambda d: (samples == 1 or d > 0, -strides[d]))
    turned = [v.permute(order).contiguous() for v in values]
    places = [o.permute(order) for o in out]
    dense = [p if p.is_contiguous() else torch.empty_like(p, memory_format=torch.contiguous_format) for p in places]
    _run(kernel, turned, row, samples, dense)
    for place, found in zip(places, dense):
        if place is not found:
            place.copy_(found)
    return out


def _run(kernel: Callable[[bytes], None], values: Tensors, row: torch.Tensor, samples: int, out: Tensors) -> None:
    """On tensors without gaps."""
    pointers = [t.data_ptr() for t in (row, *values, *out)]
    kernel(pack(f"@{2 + len(pointers)}q", values[0].numel() // max(samples, 1), samples, *pointers))


def _check(values: Tensors, places: Sequence[int]) -> None:
    """ValueError or TypeError where they are not what the phase takes."""
    first = values[0]
    if len(values) != len(places):
        raise ValueError(f"the fused step: got {len(values)} tensors; allowed: {len(places)}")
    if any(v.shape != first.shape for v in values):
        raise ValueError(f"the fused step: got shapes {[tuple(v.shape) for v in values]}; allowed: one and the same")
    if any(v.dtype != first.dtype or v.device != first.device for v in values):
        raise TypeError(f"the fused step: got {[v.dtype for v in values]}; allowed: one dtype, on one device")


def _expressed(values: Tensors, row: torch.Tensor, solver: str, name: str, transposed: bool) -> list[torch.Tensor]:
    """The same as an expression of torch, any device and dtype: the torch step, or the sums of its transposed matrix."""
    phase, row = _phase(solver, name), row.to(values[0].dtype)
    if not transposed:
        made = _taken(phase, values, row)
        return [new.clone() if any(new is v for v in values) else new for new in made]
    units = torch.eye(len(phase.reads), dtype=values[0].dtype, device=values[0].device)
    columns = _taken(phase, [u.reshape(-1, *(1,) * values[0].dim()) for u in units], row)  # [reads, B or 1, 1, ..]
    return [sum(column[i] * g for column, g in zip(columns, values)) for i in range(len(units))]  # type: ignore[misc]


def _taken(phase: Phase, values: Tensors, row: torch.Tensor) -> list[torch.Tensor]:
    """What the torch step makes of these values; what it does not read may be anything."""
    cells = dict(zip(phase.reads, values))
    x, raw, z, *memory = (cells.get(place, values[0]) for place in range(M + phase.named))
    new, left = phase.step(x, raw, tuple(memory), row.unbind(0), *((z,) if Z in phase.reads else ()))
    found = dict(zip(phase.after, (new, *left)))
    return [found[place] for place in phase.makes]


# Their derivatives


class _Linear(torch.autograd.Function):
    """One of the operators; its derivatives are the other one, and itself."""

    @staticmethod
    def forward(ctx: Any, row: torch.Tensor, solver: str, phase: str, transposed: bool, *values: torch.Tensor) -> Any:
        _keep(ctx, row, solver, phase, transposed)
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(_OPERATORS[transposed](values, row, solver, phase))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (row,) = ctx.saved_tensors
        return (None,) * 4 + tuple(_constant(gradients, row, ctx.solver, ctx.phase, not ctx.transposed))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (row,) = ctx.saved_tensors
        return tuple(_constant(tangents[4:], row, ctx.solver, ctx.phase, ctx.transposed))


class _Transformed(_Linear):
    """The same for torch.func, which asks for a context of its own and a rule for vmap."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return tuple(_constant(arguments[4:], *arguments[:4]))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _keep(ctx, *inputs[:4])

    @staticmethod
    def vmap(info: Any, dims: Any, *arguments: Any) -> Any:
        rule = _mapped(partial(_constant, transposed=arguments[3]))
        out, places = rule(info, (dims[4:], dims[0]), arguments[4:], *arguments[:3])
        return tuple(out), tuple(places)


def _keep(ctx: Any, row: torch.Tensor, solver: str, phase: str, transposed: bool) -> None:
    """For the derivative: the row, and no value."""
    ctx.solver, ctx.phase, ctx.transposed = solver, phase, transposed
    ctx.save_for_backward(row)
    ctx.save_for_forward(row)


def _mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of vmap: the mapped dimension is one more of a sample; where rows differ, it becomes one with the batch."""

    def rule(info: Any, dims: Any, values: Tensors, row: torch.Tensor, solver: str, phase: str) -> Any:
        size, (places, own, *_) = info.batch_size, dims
        given = [v.expand(size, *v.shape) if d is None else v.movedim(d, 0) for v, d in zip(values, places)]
        shape = given[0].shape
        rows = row.expand(size, *row.shape) if own is None else row.movedim(own, 0)  # [size, K] or [size, K, B, 1, ..]
        each = rows.numel() > size * rows.shape[1]
        if each:
            given = [v.flatten(0, 1) for v in given]
        if each or own is not None:
            row = rows.transpose(0, 1).reshape(rows.shape[1], -1, *(1,) * (given[0].dim() - 1))
        out = [o.reshape(shape) for o in function(given, row, solver, phase)]
        return out, [0] * len(out)

    return rule


def _followed(row: torch.Tensor) -> bool:
    """Whether somebody differentiates the coefficients."""
    while torch._C._functorch.is_functorch_wrapped_tensor(row):
        if torch._C._functorch.is_gradtrackingtensor(row):
            return True
        row = torch._C._functorch.get_unwrapped(row)
    dual = forward_ad._current_level >= 0 and forward_ad.unpack_dual(row).tangent is not None
    return dual or (torch.is_grad_enabled() and row.requires_grad)


def _autograd(values: Tensors, row: torch.Tensor, solver: str, phase: str, transposed: bool) -> Sequence[torch.Tensor]:
    """The operator where somebody may differentiate."""
    if torch._C._are_functorch_transforms_active() or _followed(row):
        return _expressed(values, row, solver, phase, transposed)
    followed = torch.is_grad_enabled() and any(v.requires_grad for v in values)
    if followed or forward_ad._current_level >= 0:
        return list(_Linear.apply(row, solver, phase, transposed, *values))
    with torch._C._AutoDispatchBelowAutograd():
        return _OPERATORS[transposed](values, row, solver, phase)


def _fake(values: Tensors, row: torch.Tensor, solver: str, name: str, transposed: bool) -> list[torch.Tensor]:
    """Shapes alone."""
    phase = _phase(solver, name)
    _check(values, phase.makes if transposed else phase.reads)
    return [torch.empty_like(values[0]) for _ in (phase.reads if transposed else phase.makes)]


_LIBRARY = torch.library.Library("phiforge", "FRAGMENT")
for _name in NAMES:
    _LIBRARY.define(f"{_name}(Tensor[] values, Tensor row, str solver, str phase) -> Tensor[]")
_OPERATORS = tuple(getattr(torch.ops.phiforge, name).default for name in NAMES)
for _name, _operator, _way in zip(NAMES, _OPERATORS, (False, True)):
    _LIBRARY.impl(_name, partial(_computed, transposed=_way), "CPU")
    _LIBRARY.impl(_name, partial(_expressed, transposed=_way), "CompositeExplicitAutograd")
    _LIBRARY.impl(_name, partial(_expressed, transposed=_way), "Batched")  # is_grads_batched of torch.autograd.grad
    _LIBRARY.impl(_name, partial(_autograd, transposed=_way), "Autograd")
    torch.library.register_fake(f"phiforge::{_name}", partial(_fake, transposed=_way), lib=_LIBRARY)
    torch.library.register_vmap(f"phiforge::{_name}", _mapped(_operator), lib=_LIBRARY)

__all__ = ["linear", "register"]
