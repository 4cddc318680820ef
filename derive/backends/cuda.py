"""C++17 and CUDA from one source: per phase what one element of the state does (``step_cuda.cu``).

A C++ compiler makes the fused step of the CPU from it, nvcc the kernels of the GPU. A phase is a struct: which buffers
are loaded and stored, where everything lies afterwards, and the lines between on registers. Loops, vectors of 16 bytes
and the coefficient table are in ``runtime/fused_step.h``, for every method. Values are called as in ``step_torch.py``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from derive.backends._kernel import RAW, STATES, Kernel, M, X, Z, buffers, kernels
from derive.backends._layout import INDENT, WIDTH, statement
from derive.backends.torch import formula_lines, value_name
from derive.errors import InternalError
from derive.program.ir import Line, Phase, Program

FILE = "step_cuda.cu"
TEMPLATE = "cuda/step.cu.jinja"
ARRAYS = ("v", "c", "w", "g", "d")
"""What an element reads, its coefficients, what it writes; the gradients that its adjoint reads, and that it writes."""

INNER = INDENT * 2
_PLACES = {X: "X", RAW: "RAW", Z: "Z"}


def context(program: Program) -> dict[str, Any]:
    """What the template lays out: the numbers of buffers and columns, a struct per phase, and their names."""
    return {
        "sizes": [
            f"constexpr int COLUMNS = {len(program.columns)};  // {', '.join(program.columns)}",
            f"constexpr int RING = {buffers(program)};  // buffers of the memory",
        ],
        "phases": [_struct(kernel, program.columns) for kernel in kernels(program)],
        "exports": [f"EXPORT({phase.name})" for phase in program.phases],
        "loop": _loop([phase.name for phase in program.phases]),
    }


def comment(text: str) -> list[str]:
    """The text as a comment."""
    lines = [f"// {line}".rstrip() for line in text.splitlines()]
    if any(line.endswith("\\") or "??/" in line for line in lines):
        raise InternalError("a comment must end with its line")
    return lines


def about(program: Program) -> str:
    """What a reader of the phases has to know."""
    return (
        f"Buffers: X the state, RAW the network's output, {_drawn(program)}M + j the entry j of the memory, free ones last. "
        "v: what an "
        "element loads, in the order of load; c: its row of coefficients; w: what it stores, in the order of store. "
        "after: the buffer of x', then of every entry of the memory. Every element is loaded before it is stored, so a "
        "buffer may be both. STATES, NEW_STATES: which loads and stores are states, the first is the lowest bit. "
        "adjoint: from the gradients g of what is stored to those of what is loaded, d; later_v is the part of g_v that "
        "comes from later phases."
    )


def _drawn(program: Program) -> str:
    return "Z independent standard normals, " if any(phase.draws for phase in program.phases) else ""


def numbers(kernel: Kernel) -> dict[str, str]:
    """How many streams, and as bits which of them are states: they have a low part where storage is half a float."""
    return {
        "LOADS": str(len(kernel.loads)),
        "STORES": str(len(kernel.stores)),
        "STATES": _bits(value for value, _ in kernel.loads),
        "NEW_STATES": _bits(value for value, _ in kernel.stores),
    }


def _bits(values: Iterable[str]) -> str:
    """The first value is the lowest bit."""
    return f"0b{''.join(str(int(value in STATES)) for value in reversed([*values]))}"


def _loop(names: Sequence[str]) -> list[str]:
    """All phases, in the order of their numbers."""
    structs = [f"phase_{name}" for name in names]
    flat = f"LOOP(All<{', '.join(structs)}>)"
    if len(flat) <= WIDTH:
        return [flat]
    return ["LOOP(All<", *(f"{INDENT}{struct}," for struct in structs[:-1]), f"{INDENT}{structs[-1]}>)"]


def _struct(kernel: Kernel, columns: Sequence[str]) -> list[str]:
    """One phase."""
    tables = {
        "load": [home for _, home in kernel.loads],
        "store": [home for _, home in kernel.stores],
        "after": kernel.after,
    }
    return [
        *_heading(kernel.body.phase),
        f"struct phase_{kernel.name} {{",
        f"{INDENT}enum {{ {', '.join(f'{name} = {value}' for name, value in numbers(kernel).items())} }};",
        *(line for name, homes in tables.items() for line in _table(name, homes)),
        *_element(kernel, columns),
        *_adjoint(kernel, columns),
        "};",
    ]


def _element(kernel: Kernel, columns: Sequence[str]) -> list[str]:
    """From what is loaded to what is stored."""
    return [
        f"{INDENT}template <class R> static BOTH void element(const R* v, const R* c, R* w) {{",
        *(f"{INNER}const R {value_name(value)} = v[{i}];" for i, (value, _) in enumerate(kernel.loads)),
        *_columns(kernel, columns),
        *(text for line in kernel.lines for text in _line(line)),
        *(f"{INNER}w[{i}] = {_local(value)};" for i, (value, _) in enumerate(kernel.stores)),
        f"{INDENT}}}",
    ]


def _adjoint(kernel: Kernel, columns: Sequence[str]) -> list[str]:
    """From the gradients of what is stored to those of what is loaded."""
    made = kernel.adjoint
    lines = {line.out: line for line in made.lines}
    return [
        f"{INDENT}template <class R> static BOTH void adjoint(const R* g, const R* c, R* d) {{",
        *(f"{INNER}const R {_local(name)} = g[{i}];" for i, name in enumerate(made.given)),
        *_columns(kernel, columns),
        *(text for line in made.lines if line.out not in made.wanted for text in _line(line)),
        *(text for i, name in enumerate(made.wanted) for text in _gradient(i, name, lines.get(name))),
        f"{INDENT}}}",
    ]


def _columns(kernel: Kernel, columns: Sequence[str]) -> list[str]:
    """The coefficients that the phase's lines read."""
    used = {c for line in kernel.lines for c, _ in line.terms}
    return [f"{INNER}const R {name} = c[{i}];" for i, name in enumerate(columns) if name in used]


def _gradient(place: int, name: str, line: Line | None) -> list[str]:
    """``d[0] = a * g_x_new + cx * g_m0;``; a gradient without a line was given."""
    text = statement(f"d[{place}] = ", _total(line) if line else _local(name), INNER)
    return [*text[:-1], text[-1] + ";"]


def _heading(phase: Phase) -> list[str]:
    """Its formulas, as a comment."""
    flat = f"{phase.name}: {', '.join(formula_lines(phase))}"
    lines = [flat] if len(flat) + 3 <= WIDTH else textwrap.wrap(flat, WIDTH - 3, break_long_words=False)
    return comment("\n".join(lines))


def _table(name: str, homes: Sequence[int]) -> list[str]:
    places = ", ".join(_PLACES.get(home, f"M + {home - M}") for home in homes)
    return [
        f"{INDENT}static BOTH constexpr int {name}(int j) {{",
        f"{INDENT * 2}constexpr int at[] = {{{places}}};",
        f"{INDENT * 2}return at[j];",
        f"{INDENT}}}",
    ]


def _line(line: Line) -> list[str]:
    """``const R m0 = cx * x + cr * raw;``"""
    name = _local(line.out)
    if name in ARRAYS or any(c in ARRAYS for c, _ in line.terms):
        raise InternalError(f"a value that hides an array: {line}")
    text = statement(f"const R {name} = ", _total(line), INNER)
    return [*text[:-1], text[-1] + ";"]


def _total(line: Line) -> str:
    return " + ".join(f"{c} * {_local(v)}" if c else _local(v) for c, v in line.terms)


def _local(value: str) -> str:
    """A value's name: ``m[1]`` -> ``m1``, ``x'`` -> ``x_new``; of a gradient ``g_m[1]`` -> ``g_m1``."""
    kind, mark, of = value.partition("_") if value.startswith(("g_", "later_")) else ("", "", value)
    return kind + mark + ("x_new" if of == "x'" else value_name(of))
