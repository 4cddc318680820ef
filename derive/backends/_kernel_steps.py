"""``step_cuda.cu`` read back: its phases, taken by their grammar, do to exact numbers what the program says.

A phase is a struct of three tables, of an element (loads, coefficients, sums of products, stores) and of its adjoint. Sums
are read as those of ``step_torch.py`` are (:mod:`derive.backends._steps`); buffers are cells, all loaded before one is
stored. Every phase is read with every memory that it can find. The adjoint has to be the transpose of the element, entry by
entry. What is no phase must be the template's own text, line by line.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import Any

from derive.backends._kernel import RAW, STATES, M, X, Z
from derive.backends._steps import Meant, Unread, meant, value_of, visits
from derive.backends.cuda import ARRAYS
from derive.errors import InternalError
from derive.program.ir import Phase, Program

_PHASE = re.compile(
    r"struct phase_(?P<name>[a-z][a-z0-9_]*) \{\n    enum \{ LOADS = (?P<loads>[0-9]+), STORES = (?P<stores>[0-9]+), "
    r"STATES = 0b(?P<states>[01]+), NEW_STATES = 0b(?P<new_states>[01]+) \};\n"
    r"(?P<tables>(?:    static BOTH constexpr int [a-z]+\(int j\) \{\n        constexpr int at\[\] = \{[XRAWMZ0-9+, ]+\};\n"
    r"        return at\[j\];\n    \}\n){3})"
    r"    template <class R> static BOTH void element\(const R\* v, const R\* c, R\* w\) \{\n"
    r"(?P<lines>(?:        [^\n{}#]*\n)+)    \}\n"
    r"    template <class R> static BOTH void adjoint\(const R\* g, const R\* c, R\* d\) \{\n"
    r"(?P<adjoint>(?:        [^\n{}#]*\n)+)    \}\n\};\n"
)
_TABLE = re.compile(r"int ([a-z]+)\(int j\) \{\n +constexpr int at\[\] = \{([^}]*)\};")
_PLACE = re.compile(r"(X|RAW|Z)|M \+ ([0-9]+)")
_NAMED = {"X": X, "RAW": RAW, "Z": Z}
_STATEMENT = re.compile(
    r"(?:const R (?P<name>[a-z][a-z0-9_]*)|(?P<array>[wd])\[(?P<place>[0-9]+)\]) = (?P<value>[a-z0-9_ +*()\[\]\n]+)"
)
_EXPORT = re.compile(r"EXPORT\(([a-z][a-z0-9_]*)\)")
_LOOP = re.compile(r"LOOP\(All<\n?( *phase_[a-z][a-z0-9_]*(?:,\n? +phase_[a-z][a-z0-9_]*)*)>\)\n")
_SIZE = re.compile(r"constexpr int (COLUMNS|RING) = ([0-9]+);")


Statements = tuple[tuple[str, ast.expr], ...]


@dataclass(frozen=True, slots=True)
class Struct:
    """A phase as it is written: its tables, which loads and stores are states, the statements of its element and of its
    adjoint.
    """

    tables: dict[str, tuple[int, ...]]
    states: tuple[tuple[bool, ...], tuple[bool, ...]]
    statements: Statements
    adjoint: Statements


def check_kernels(name: str, text: str, program: Program, ring: int, frame: Sequence[str]) -> None:
    """Raises InternalError unless every phase does what the program says, and all else is ``frame``, the template's."""
    if not text.isascii() or "\r" in text or "\0" in text or "??/" in text:
        raise InternalError(f"{name}: not plain ASCII")
    names = [phase.name for phase in program.phases]
    try:
        structs = {m["name"]: _struct(m) for m in _PHASE.finditer(text)}
        if list(structs) != names or len(_PHASE.findall(text)) != len(names):
            raise Unread("its phases are not those of the program")
        loops = [re.findall(r"phase_([a-z0-9_]+)", m[1]) for m in _LOOP.finditer(text)]
        if loops != [names]:
            raise Unread("its loop does not number the phases as the program does")
        sizes, exports, rest = _outside(_LOOP.sub("", _PHASE.sub("", text)))
        if exports != names or sizes != {"COLUMNS": len(program.columns), "RING": ring}:
            raise Unread("its sizes or exports are not those of the program")
        if rest != list(frame):
            raise Unread("a line that is neither a phase's nor the template's")
        for phase, count in visits(program):
            _check(structs[phase.name], phase, meant(phase, program.columns, count, ring))
    except (Unread, AttributeError, LookupError, TypeError, ValueError, SyntaxError) as error:
        raise InternalError(f"{name}: {error}") from error


def code_lines(text: str) -> list[str]:
    """Lines that are not empty and not comments; a line of a comment that would go on is none."""
    return [line for line in text.splitlines() if line and (not line.startswith("//") or line.endswith("\\"))]


def _outside(text: str) -> tuple[dict[str, int], list[str], list[str]]:
    """(sizes, exports, all other lines of code)."""
    sizes: dict[str, int] = {}
    exports, rest = [], []
    for line in code_lines(text):
        size, export = _SIZE.match(line), _EXPORT.fullmatch(line)
        plain = not line.endswith("\\") and line.partition("//")[0].strip()
        if size and size[1] not in sizes and plain == size[0]:
            sizes[size[1]] = int(size[2])
        elif export:
            exports.append(export[1])
        else:
            rest.append(line)
    return sizes, exports, rest


def _struct(match: re.Match[str]) -> Struct:
    tables = {name: tuple(map(_place, places.split(", "))) for name, places in _TABLE.findall(match["tables"])}
    if [*tables] != ["load", "store", "after"]:
        raise Unread("other tables than load, store, after")
    if (int(match["loads"]), int(match["stores"])) != (len(tables["load"]), len(tables["store"])):
        raise Unread("it loads or stores another number of streams than its tables name")
    states = _bits(match["states"]), _bits(match["new_states"])
    return Struct(tables, states, tuple(_statements(match["lines"])), tuple(_statements(match["adjoint"])))


def _bits(text: str) -> tuple[bool, ...]:
    """The lowest first."""
    return tuple(bit == "1" for bit in reversed(text))


def _place(text: str) -> int:
    match = _PLACE.fullmatch(text)
    if not match:
        raise Unread(f"no buffer: {text}")
    return _NAMED[match[1]] if match[1] else M + int(match[2])


def _statements(lines: str) -> Iterator[tuple[str, ast.expr]]:
    """(name or place, value) of every statement; a value is Python's as much as C's."""
    *statements, end = lines.split(";\n")
    if end:
        raise Unread("a statement without its end")
    for statement in statements:
        match = _STATEMENT.fullmatch(statement.strip())
        if not match:
            raise Unread(f"a statement that is never written: {statement.strip()}")
        yield match["name"] or f"{match['array']}[{match['place']}]", ast.parse(f"({match['value']})", mode="eval").body


def _check(struct: Struct, phase: Phase, want: Meant) -> None:
    """The phase on these numbers: all is loaded, then computed, then stored."""
    cells = [want.x, want.raw, want.z, *want.found]
    if struct.tables["load"].count(Z) != phase.draws:
        raise Unread("it takes normals where none are drawn, or none where they are")
    loaded = tuple(cells[place] for place in struct.tables["load"])
    out = _executed(struct.statements, {"v": loaded, "c": want.row}, "w", len(struct.tables["store"]))
    for place, value in zip(struct.tables["store"], out, strict=True):
        cells[place] = value
    new, *memory = struct.tables["after"]
    if len({*struct.tables["store"]}) < len(out) or cells[RAW : Z + 1] != [want.raw, want.z]:
        raise Unread("it stores twice to a buffer, or to the network's output or the normals")
    if sorted((new, *memory)) != [X, *range(M, len(cells))]:
        raise Unread("it does not give back the buffers that it was given")
    if (cells[new], tuple(cells[place] for place in memory[: len(want.left)])) != (want.new, want.left):
        raise Unread("it does not leave what the program says")
    found = {want.x, *(value for value, role in zip(want.found, phase.memory, strict=False) if role in STATES)}
    left = {want.new, *(value for value, role in zip(want.left, phase.keep.values, strict=False) if role in STATES)}
    if struct.states != (tuple(v in found for v in loaded), tuple(v in left for v in out)):
        raise Unread("it does not say which values are states")
    _check_adjoint(struct, want.row)


def _check_adjoint(struct: Struct, row: tuple[Fraction, ...]) -> None:
    """The adjoint on random gradients g against <g, A e> for every unit vector e, A being the element."""
    reads, writes = len(struct.tables["load"]), len(struct.tables["store"])
    draw = random.Random(f"{reads} {writes}")
    gradients = tuple(Fraction(draw.randrange(2**100)) for _ in range(writes))
    found = _executed(struct.adjoint, {"g": gradients, "c": row}, "d", reads)
    for i, gradient in enumerate(found):
        unit = tuple(Fraction(i == j) for j in range(reads))
        column = _executed(struct.statements, {"v": unit, "c": row}, "w", writes)
        if gradient != sum(map(mul, gradients, column)):
            raise Unread(f"its adjoint is not the transpose of its element: d[{i}]")


def _executed(statements: Statements, given: dict[str, Any], array: str, count: int) -> list[Any]:
    """What the statements write to ``array``, which has to be all of it, in order and once."""
    env, out = dict(given), dict[str, Any]()
    for name, value in statements:
        if name in env or name in out or name in ARRAYS:
            raise Unread(f"{name} is written twice")
        (out if name.endswith("]") else env)[name] = value_of(value, env)
    if [*out] != [f"{array}[{i}]" for i in range(count)]:
        raise Unread("not every store has its value")
    return [*out.values()]


__all__ = ["check_kernels", "code_lines"]
