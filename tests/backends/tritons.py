"""Steps in Triton: their text, as modules, interpreted on a CPU, and one call of one phase on buffers of a test's own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import triton.language as tl
from triton.runtime.interpreter import InterpretedFunction, TensorHandle

from derive import emit
from derive.backends import triton
from derive.program.interpret import run_phase
from derive.program.ir import Phase, Program
from derive.program.memory import flow
from runtime import philox
from runtime.engines import HALVES, Buffers
from runtime.triton_loop import Triton
from tests.claims.shipped import DETERMINISTIC, FOLDER

SHIPPED = tuple(name for name in DETERMINISTIC if (FOLDER / name / triton.FILE).is_file())
RUNTIME = ("runtime.brownian_triton", "runtime.fused_step_triton", "runtime.philox_triton")


def text_of(program: Program) -> str:
    """``step_triton.py`` with a short docstring."""
    doc = triton.comment("A step.")
    return emit.environment().get_template(triton.TEMPLATE).render(doc=doc, **triton.context(program))


@contextmanager
def interpreting() -> Iterator[None]:
    """Triton interprets what is imported and launched inside; it decides so where a function is decorated.

    Everything else in this process, what was imported before and what comes after, is compiled as ever. A call of one
    function by another does not prepare triton.language once more, as triton's own would: that takes five times as long
    as the call, and the launch has done it. A hint that a number is a multiple of another has to be true: on a GPU an access
    of 16 bytes that is not aligned is an error.
    """

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setattr(TensorHandle, "set_attr", _hinted)
        patch.setattr(InterpretedFunction, "__call__", lambda self, *a, **k: self.rewrite()(*a, **k))
        for name in ("cumsum", "min", "sum"):  # triton's own, decorated when it was imported
            patch.setattr(tl, name, InterpretedFunction(getattr(tl, name).fn))
        # up to triton 3.7 min asks for this first, and no launch has prepared it; only integers are reduced here
        patch.setattr(tl.core, "_promote_bfloat16_to_float32", lambda number, **_: number, raising=False)
        before = {name: sys.modules[name] for name in _kernels()}
        for name in before:
            _place(name, None)
        try:
            yield
        finally:
            for name in _kernels():
                _place(name, before.get(name))
            for name, module in before.items():
                _place(name, module)


def _hinted(number: TensorHandle, hint: str, values: list[int]) -> None:
    if hint == "tt.divisibility" and np.any(number.data % values[0]):
        raise ValueError(f"{number.data} is said to be a multiple of {values[0]}")


def _kernels() -> list[str]:
    """Modules of kernels that are imported."""
    return [name for name in sys.modules if name in RUNTIME or name.endswith(".step_triton")]


def _place(name: str, module: ModuleType | None) -> None:
    """The module under its name and in its package; None: neither."""
    package, _, last = name.rpartition(".")
    parent = sys.modules.get(package)
    if module is not None:
        sys.modules[name] = module
    else:
        del sys.modules[name]
    if parent is not None:
        vars(parent).pop(last, None)
        vars(parent).update({last: module} if module else {})


def module_of(text: str, folder: Path, name: str) -> ModuleType:
    """The text as a module, in a file: triton reads the source of what it compiles."""
    package = folder / name
    package.mkdir(exist_ok=True)
    file = package / triton.FILE
    file.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(f"{name}.step_triton", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def engine_of(text: str, folder: Path, name: str) -> Triton:
    """The engine of a text that no package ships."""
    module_of(text, folder, name)
    return Triton(name, SimpleNamespace(__name__=f"{name}.step_torch"))


@dataclass(frozen=True)
class Case:
    """One call: ``samples`` samples of ``size`` elements, ``found`` values in the memory, ``copies`` of the network's input."""

    phase: Phase
    number: int
    found: int
    size: int
    samples: int = 1
    copies: int = 0


def cases(program: Program, *shapes: tuple[int, int, int]) -> Iterator[Case]:
    """Every phase with every memory that it can find; shapes: (size, samples, copies)."""
    for number, phase in enumerate(program.phases):
        for found in sorted({len(memory) for memory in flow(program).entries[phase.name]}):
            for size, samples, copies in shapes:
                yield Case(phase, number, found, size, samples, copies)


ROWS, NOW = 4, 2
"""Rows of the tables, and the step that is taken."""
SEED, FIRST = -(1 << 62) + 5, 7
"""What a phase that draws finds: the seed, and the number of the first sample."""


def given(
    case: Case, ring: int, columns: int, dtype: torch.dtype, device: str, highest: int
) -> tuple[Buffers, list[int]]:
    """Random buffers around a call, and the slots that its row names: those of x and of the memory's entries."""
    draw = torch.Generator().manual_seed(case.size + 7 * case.found + 31 * case.number)
    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    total, stride = case.size * case.samples, -(-case.size * case.samples // 64) * 64

    def random(*shape: int, kind: torch.dtype = arithmetic) -> torch.Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(kind).to(device)

    state = random(1 + ring, stride, kind=dtype)
    low = (state[: 1 + highest].float() * random(1 + highest, stride) / 512).to(dtype) if dtype in HALVES else None
    slots = torch.randperm(1 + ring, generator=draw).tolist() if highest == ring else [*range(1 + ring)]
    order = torch.zeros(ROWS + 1, 2 + ring, dtype=torch.int32)
    order[NOW] = torch.tensor([case.number, *slots])
    net = random(case.copies, total, kind=dtype) if case.copies else None
    scales = random(case.samples, ROWS + 1) if case.copies else None
    counter = torch.tensor([NOW, 0, ROWS], device=device)
    times = random(ROWS + 1, 3)
    table = random(case.samples, ROWS, columns)
    raw = random(total, kind=dtype)
    noise = torch.tensor([SEED, FIRST], device=device) if case.phase.draws else None
    return Buffers(
        state, low, raw, order.to(device), table, counter, times, times[NOW].clone(), net, scales, noise
    ), slots


def numbers(buffers: Buffers, slot: int, total: int, state: bool) -> np.ndarray:
    """What a slot holds, a state with its low part, in float64."""
    value = buffers.state[slot, :total].double()
    if state and buffers.low is not None:
        value = value + buffers.low[slot, :total].double()
    return value.cpu().numpy()


def expected(
    case: Case, buffers: Buffers, slots: Sequence[int], columns: Sequence[str], states: frozenset[str], sizes: bool
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(x', what is kept) by the interpreter of programs, sample after sample; sizes: of absolute values throughout."""
    total = case.size * case.samples
    shape = case.samples, case.size
    roles = [*case.phase.memory, *(None for _ in range(case.found - len(case.phase.memory)))]
    x = numbers(buffers, slots[0], total, True).reshape(shape)
    past = [numbers(buffers, slot, total, role in states).reshape(shape) for slot, role in zip(slots[1:], roles)]
    drawn = [None] * case.samples
    if case.phase.draws:
        arithmetic = buffers.table.dtype
        normals = philox.normals(SEED, FIRST, shape, NOW, arithmetic).double().numpy()
        drawn = [*(np.abs(normals) if sizes else normals)]
    raw, table = buffers.raw.double().cpu().numpy().reshape(shape), buffers.table.double().cpu().numpy()
    made = []
    for k in range(case.samples):
        values = [x[k], raw[k], *(p[k] for p in past)]
        row = dict(zip(columns, table[k, NOW].tolist(), strict=True))
        if sizes:
            values, row = [*map(np.abs, values)], {name: abs(value) for name, value in row.items()}
        made.append(run_phase(case.phase, row, values[0], values[2:], lambda _, raw=values[1]: raw, drawn[k]))
    new = np.concatenate([one for one, _ in made])
    kept = [np.concatenate(parts) for parts in zip(*(left for _, left in made))]
    return new, kept


def gaps(
    engine: Triton, program: Program, case: Case, dtype: torch.dtype, device: str = "cpu"
) -> dict[str, list[float]]:
    """How far one call is from the interpreter, over the sizes of what each element is a sum of: for values that are
    states, for integrands, and for what the network reads; in float16 over 1/8 at least, as its numbers end at 2^-24.
    Asserts that nothing else is touched.
    """
    states = frozenset(("x", "x'", "xc", "y", "yn"))
    buffers, slots = given(case, engine.ring, len(program.columns), dtype, device, engine.highest)
    total = case.size * case.samples
    new, kept = expected(case, buffers, slots, program.columns, states, False)
    size, kept_sizes = expected(case, buffers, slots, program.columns, states, True)
    before = Buffers(*(None if b is None else b.clone() for b in buffers))
    engine.prepared(buffers)(buffers.raw)
    after = [slots[place] for place in engine.after[case.phase.name]]
    found: dict[str, list[float]] = {"state": [], "integrand": [], "net": []}

    least = 1 / 8 if dtype == torch.float16 else 1e-30

    def add(kind: str, got: np.ndarray, want: np.ndarray, large: np.ndarray) -> None:
        found[kind].append(float(np.max(np.abs(got - want) / np.maximum(large, least), initial=0)))

    add("state", numbers(buffers, after[0], total, True), new, size)
    roles = [*case.phase.keep.values, *(None for _ in kept)]
    for slot, role, want, large in zip(after[1:], roles, kept, kept_sizes):
        add("state" if role in states else "integrand", numbers(buffers, slot, total, role in states), want, large)
    if buffers.net is not None and buffers.scales is not None:
        scale = buffers.scales[:, NOW + 1].double().cpu().numpy().repeat(case.size)
        for copy in buffers.net:
            add("net", copy.double().cpu().numpy(), new * scale, size * np.abs(scale))
    assert buffers.counter.tolist() == [NOW + 1, 0, ROWS]
    assert torch.equal(buffers.t, buffers.times[NOW + 1])
    for got, was in zip(buffers, before, strict=True):
        if got is not None and got is not buffers.net and got is not buffers.counter and got is not buffers.t:
            changed = got is buffers.state or got is buffers.low
            assert torch.equal(*((v[:, total:] if changed else v) for v in (got, was)))
    return found
