"""``step_triton.py`` read back: its phases, taken by their grammar, do to exact numbers what the program says.

A phase loads, names coefficients, forms sums of products and stores. Its sums are read as those of ``step_torch.py`` are
(:mod:`derive.backends._steps`); slots are cells, all loaded before one is stored. Every phase is read with every memory
that it can find. What is no phase is written here once more, and must be the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from derive.backends._kernel import STATES
from derive.backends._steps import Meant, Unread, meant, value_of, visits
from derive.backends.triton import HELPERS, SOURCE, TAKEN
from derive.errors import InternalError
from derive.program.ir import Phase, Program

_IMPORTS = ("import triton", "import triton.language as tl")
_TABLES = ("COLUMNS", "RING", "HIGHEST", "WORDS", "AFTER")
_STATES = {"load_state": True, "load": False, "store_next": True, "store_state": True, "store": False}
"""What says of a slot whether it holds a state."""


@dataclass(slots=True)
class Seen:
    """What a phase does, in order: (slot, value, whether it is said to be a state).

    new: the slot of x'; raws: how often the network's output is loaded; drawn: how often normals are.
    """

    loads: list[tuple[int, Fraction, bool]] = field(default_factory=list)
    stores: list[tuple[int, Fraction, bool]] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    raws: int = 0
    drawn: int = 0


def check_phases(name: str, data: bytes, program: Program, ring: int) -> None:
    """Raises InternalError unless every phase does what the program says, and there is nothing else."""
    try:
        if not data.isascii() or b"\r" in data or b"\0" in data:
            raise Unread("not plain ASCII")
        tree = ast.parse(data, filename=name)
        functions, tables = _taken_apart(tree, [phase.name for phase in program.phases])
        if (tables["COLUMNS"], tables["RING"]) != (len(program.columns), ring):
            raise Unread("its sizes are not those of the program")
        if [*tables["AFTER"]] != [*functions]:
            raise Unread("its table of slots does not number the phases as the program does")
        words = []
        for phase, count in visits(program):
            want = meant(phase, program.columns, count, ring)
            words.append(_check(functions[phase.name], phase, want, tables["AFTER"][phase.name]))
        if tables["HIGHEST"] != _highest(functions, tables["AFTER"]):
            raise Unread("its states lie in other slots than it says")
        if tables["WORDS"] != tuple(map(max, zip(*words, strict=True))):
            raise Unread("its phases load and store another number of streams than it says")
    except (Unread, AttributeError, LookupError, TypeError, ValueError, SyntaxError) as error:
        raise InternalError(f"{name}: {error}") from error


def _taken_apart(tree: ast.Module, names: list[str]) -> tuple[dict[str, ast.FunctionDef], dict[str, Any]]:
    """(the functions of the phases, the tables); all else is as it is always written."""
    docstring, *imports = tree.body[:4]
    count = len(names)
    functions, chain, tables = tree.body[4 : 4 + count], tree.body[4 + count], tree.body[5 + count :]
    if not _is_text(docstring):
        raise Unread("no docstring in front")
    helpers = [alias.name for alias in getattr(imports[-1], "names", ())]
    if not set(helpers) <= set(HELPERS) or len(set(helpers)) < len(helpers):
        raise Unread("an import of something else than the functions that phases are written with")
    written = [*_IMPORTS, f"from {SOURCE} import {', '.join(helpers)}"]
    if list(map(ast.unparse, imports)) != written:
        raise Unread("other imports than triton and the functions that phases are written with")
    if [_name(function) for function in functions] != names:
        raise Unread("its phases are not those of the program")
    if {ast.unparse(call.func) for function in functions for call in _calls(function)} != set(helpers):
        raise Unread("it imports other functions than it calls")
    if _name(chain) != "phases" or _lines(chain, "number, block") != [
        f"if number == {i}:\n    {name}(block)" for i, name in enumerate(names)
    ]:
        raise Unread("its chain does not number the phases as the program does")
    if [_name(table) for table in tables] != [*_TABLES]:
        raise Unread(f"other tables than {', '.join(_TABLES)}")
    found = {_name(table): ast.literal_eval(table.value) for table in tables if isinstance(table, ast.Assign)}
    return {function.name: function for function in functions if isinstance(function, ast.FunctionDef)}, found


def _name(node: ast.stmt) -> str:
    """Of a function, or of the one name that is assigned."""
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    raise Unread(f"a statement that is never written: {ast.unparse(node)[:60]}")


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _body(function: ast.stmt, arguments: str) -> list[ast.stmt]:
    """The statements behind the docstring of a function of triton with these arguments."""
    if not isinstance(function, ast.FunctionDef) or function.returns or getattr(function, "type_params", None):
        raise Unread("no function where one is written")
    if list(map(ast.unparse, function.decorator_list)) != ["triton.jit"] or ast.unparse(function.args) != arguments:
        raise Unread(f"{function.name}: another decorator than triton.jit, or other arguments than {arguments}")
    if not _is_text(function.body[0]):
        raise Unread(f"{function.name}: no docstring")
    return function.body[1:]


def _lines(function: ast.stmt, arguments: str) -> list[str]:
    return list(map(ast.unparse, _body(function, arguments)))


def _check(function: ast.FunctionDef, phase: Phase, want: Meant, after: tuple[int, ...]) -> tuple[int, int]:
    """The phase on these numbers: all is loaded, then computed, then stored. Returns its streams, without and with low
    parts.
    """
    cells = [want.x, *want.found]
    seen = _executed(function, cells, want)
    for place, value, _ in seen.stores:
        cells[place] = value
    new, *memory = after
    if seen.drawn != phase.draws:
        raise Unread(f"{phase.name} draws another number of normals than the program")
    if len({place for place, _, _ in seen.stores}) < len(seen.stores) or seen.new != [new]:
        raise Unread(f"{phase.name} stores twice to a slot, or the network reads something else than x'")
    if repr(sorted(after)) != repr([*range(len(cells))]):
        raise Unread(f"{phase.name} does not give back the slots that it was given")
    if (cells[new], tuple(cells[place] for place in memory[: len(want.left)])) != (want.new, want.left):
        raise Unread(f"{phase.name} does not leave what the program says")
    found = {want.x, *(value for value, role in zip(want.found, phase.memory, strict=False) if role in STATES)}
    left = {want.new, *(value for value, role in zip(want.left, phase.keep.values, strict=False) if role in STATES)}
    for said, states in ((seen.loads, found), (seen.stores, left)):
        if any(state != (value in states) for _, value, state in said):
            raise Unread(f"{phase.name} does not say which values are states")
    streams = [*seen.loads, *seen.stores]
    count = len(streams) + seen.raws
    return count, count + sum(state for _, _, state in streams)


def _executed(function: ast.FunctionDef, cells: list[Fraction], want: Meant) -> Seen:
    """Its statements, one after another: names are given once, and nothing is named behind the first store."""
    seen, env = Seen(), dict[str, Any]()
    for statement in _body(function, "block"):
        if isinstance(statement, ast.Expr):
            _store(statement.value, env, seen)
            continue
        name = _name(statement)
        if name in env or name in TAKEN or name == function.name or seen.stores:
            raise Unread(f"{name} is written twice, behind a store, or hides what is called")
        assert isinstance(statement, ast.Assign)
        env[name] = _value(statement.value, env, cells, want, seen)
    return seen


def _value(node: ast.expr, env: Mapping[str, Any], cells: list[Fraction], want: Meant, seen: Seen) -> Fraction:
    if not isinstance(node, ast.Call):
        return value_of(_plain(node), dict(env))
    name, arguments = _call(node)
    if name == "load_raw" and not arguments:
        seen.raws += 1
        return want.raw
    if name == "normals" and not arguments:
        seen.drawn += 1
        return want.z
    (place,) = map(_number, arguments)
    if name == "coefficient":
        return want.row[place]
    if name not in ("load", "load_state"):
        raise Unread(f"a value of {name}")
    if seen.raws:
        raise Unread("a load behind that of the network's output, which waits for what is loaded")
    seen.loads.append((place, cells[place], _STATES[name]))
    return cells[place]


def _plain(node: ast.expr) -> ast.expr:
    """The expression, if it is made of names, sums and products."""
    kinds = (ast.Name, ast.Load, ast.BinOp, ast.Add, ast.Mult)
    if any(not isinstance(part, kinds) for part in ast.walk(node)):
        raise Unread(f"an expression that is never written: {ast.unparse(node)}")
    return node


def _store(node: ast.expr, env: Mapping[str, Any], seen: Seen) -> None:
    name, arguments = _call(node)
    place, value = arguments
    if name not in ("store", "store_state", "store_next") or not isinstance(value, ast.Name):
        raise Unread(f"a statement that is never written: {ast.unparse(node)}")
    seen.stores.append((_number(place), env[value.id], _STATES[name]))
    if name == "store_next":
        seen.new.append(_number(place))


def _call(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """(the function, its arguments behind the block)."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
        raise Unread(f"an expression that is never written: {ast.unparse(node)}")
    block, *arguments = node.args
    if ast.unparse(block) != "block":
        raise Unread(f"another block in {ast.unparse(node)}")
    return node.func.id, arguments


def _number(node: ast.expr) -> int:
    """The number of a slot or of a column; one from the end is never written."""
    value = ast.literal_eval(node)
    if type(value) is not int or value < 0:
        raise Unread(f"no number of a slot or of a column: {value}")
    return value


def _calls(function: ast.stmt) -> Iterator[ast.Call]:
    """In its body, not in its decorators."""
    return (
        node
        for statement in getattr(function, "body", ())
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    )


def _highest(functions: Mapping[str, ast.FunctionDef], after: Mapping[str, tuple[int, ...]]) -> int:
    """The last slot that can hold a state: 0 where all states are stored to 0 and the state never moves."""
    calls = [call for function in functions.values() for call in _calls(function)]
    stored = {_number(call.args[1]) for call in calls if ast.unparse(call.func) in ("store_next", "store_state")}
    moves = any(places[0] for places in after.values())
    return max(len(places) for places in after.values()) - 1 if moves or stored - {0} else 0


__all__ = ["check_phases"]
