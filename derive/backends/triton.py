"""Triton: per phase one function, what an element of a block does (``step_triton.py``).

Loads, coefficients, the sums of products in registers, stores: the kernels of :mod:`derive.backends._kernel`, so the same
as in C++ and CUDA. The kernel around them, which reads from a row on the device what a call does, is
``runtime/fused_step_triton.py``, for every method. Values are called as in ``step_torch.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from derive.backends._coefficients import constant, docstring
from derive.backends._kernel import RAW, STATES, Kernel, M, X, Z, buffers, kernels
from derive.backends._layout import INDENT, WIDTH, statement
from derive.backends.torch import formula_lines, formulas, value_name
from derive.errors import InternalError
from derive.program.ir import Line, Phase, Program

FILE = "step_triton.py"
TEMPLATE = "triton/step.py.jinja"
SOURCE = "runtime.fused_step_triton"
HELPERS = ("coefficient", "load", "load_raw", "load_state", "normals", "store", "store_next", "store_state")
"""What phases are written with."""
TAKEN = frozenset((*HELPERS, "block", "number", "phases", "tl", "triton"))
"""Names that neither a phase nor a value may have."""


def context(program: Program) -> dict[str, Any]:
    """What the template lays out: a function per phase, the chain that chooses one by its number, and the tables."""
    made = kernels(program)
    phases = [_function(kernel, program.columns) for kernel in made]
    used = {name for lines in phases for name in HELPERS if any(f"{name}(block" in line for line in lines)}
    return {
        "imports": _imports(sorted(used)),
        "phases": phases,
        "chain": [
            line
            for number, kernel in enumerate(made)
            for line in (f"{INDENT}if number == {number}:", f"{INDENT * 2}{kernel.name}(block)")
        ],
        "tables": [
            *constant("COLUMNS", len(program.columns), ", ".join(program.columns)),
            *constant("RING", buffers(program), "entries of the memory"),
            *constant("HIGHEST", highest(made), "the last slot that can hold a state"),
            *constant("WORDS", words(made), "streams of a phase, at most; with low parts"),
            *constant("AFTER", after(made), "the slot of x', then of every entry of the memory"),
        ],
    }


def comment(text: str) -> list[str]:
    """The text as the module's docstring."""
    return docstring(text)


def about(program: Program) -> str:
    """What a reader of the phases has to know."""
    drawn = any(phase.draws for phase in program.phases)
    return (
        "A phase does this to every element of a block: all is loaded, then computed, then stored. Slots: 0 the state's, "
        "1 + j that of entry j of the memory, free ones last; coefficient: a column of the row. A state of half "
        "precision is loaded and stored with its low part, and x' is written for the network as well: store_next."
        f"{' normals: standard ones, made in registers.' * drawn}"
    )


def slot(home: int) -> int:
    """The slot of a buffer of the memory or of the state."""
    if home in (RAW, Z):
        raise InternalError("the network's output and normals have no slot")
    return 0 if home == X else home - M + 1


def after(made: Sequence[Kernel]) -> dict[str, tuple[int, ...]]:
    """By phase, where x' lies afterwards, then every entry of the memory."""
    return {kernel.name: tuple(map(slot, kernel.after)) for kernel in made}


def highest(made: Sequence[Kernel]) -> int:
    """The last slot that can hold a state: 0 where the state never moves and no other is kept."""
    fixed = all(kernel.after[0] == X for kernel in made)
    kept = any(value in STATES and home != X for kernel in made for value, home in kernel.stores)
    return 0 if fixed and not kept else max(len(kernel.after) for kernel in made) - 1


def words(made: Sequence[Kernel]) -> tuple[int, int]:
    """Streams that a phase loads and stores, at most: of full precision, and where a state is two numbers."""
    streams = [[value for value, home in (*kernel.loads, *kernel.stores) if home != Z] for kernel in made]
    return max(map(len, streams)), max(len(values) + sum(v in STATES for v in values) for values in streams)


def _imports(names: Sequence[str]) -> list[str]:
    flat = f"from {SOURCE} import {', '.join(names)}"
    return [flat] if len(flat) <= WIDTH else [f"from {SOURCE} import (", *(f"{INDENT}{name}," for name in names), ")"]


def _function(kernel: Kernel, columns: Sequence[str]) -> list[str]:
    """One phase, without its decorator."""
    phase = kernel.body.phase
    _check_names([phase.name, *columns, *(value_name(v) for v, _ in (*kernel.loads, *kernel.stores))], phase)
    return [
        f"def {phase.name}(block):",
        *_doc(phase),
        *(f"{INDENT}{value_name(value)} = {_loaded(value, home)}" for value, home in _last(kernel.loads)),
        *(f"{INDENT}{name} = coefficient(block, {i})" for i, name in enumerate(columns) if name in phase.coefficients),
        *(text for line in kernel.lines for text in _line(line)),
        *_stored(kernel),
    ]


def _check_names(names: Sequence[str], phase: Phase) -> None:
    if hidden := sorted(TAKEN & set(names)):
        raise InternalError(f"phase {phase.name}: names that the step itself uses: {hidden}")


def _doc(phase: Phase) -> list[str]:
    """Its formulas on one line, or one line each."""
    flat = f"{formulas(phase)}."
    return docstring(flat if len(flat) + len(INDENT) + 6 <= WIDTH else ",\n".join(formula_lines(phase)) + ".", INDENT)


def _last(loads: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The network's output after everything else: what is done to it begins when all loads have. Then what is drawn."""
    return sorted(loads, key=lambda load: (load[1] == Z, load[1] == RAW))


def _loaded(value: str, home: int) -> str:
    if home == RAW:
        return "load_raw(block)"
    if home == Z:
        return "normals(block)"
    return f"{'load_state' if value in STATES else 'load'}(block, {slot(home)})"


def _stored(kernel: Kernel) -> Iterator[str]:
    for value, home in kernel.stores:
        name = "store_next" if value == "x'" else "store_state" if value in STATES else "store"
        yield f"{INDENT}{name}(block, {slot(home)}, {_local(value)})"


def _line(line: Line) -> list[str]:
    """``m0 = cx * x + cr * raw``."""
    total = " + ".join(f"{c} * {value_name(v)}" if c else value_name(v) for c, v in line.terms)
    return statement(f"{_local(line.out)} = ", total, INDENT)


def _local(value: str) -> str:
    return "x_new" if value == "x'" else value_name(value)
