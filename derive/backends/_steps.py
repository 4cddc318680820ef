"""``step_torch.py`` read back: its text, taken by its grammar, does to exact numbers what the program says.

The functions hold nothing but sums of products, and in place the few tensor operations of the torch backend, so a
reader of that much executes them on fractions, buffers being cells. Every phase is read with every memory it can find.
The numbers are large random integers: two different sums of products agree on them with a chance below 1e-30.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from derive.errors import InternalError
from derive.program.ir import Phase, Program
from derive.program.memory import flow

Env = dict[str, Any]


class Unread(Exception):
    """What the torch backend never writes."""


@dataclass(eq=False, slots=True)
class Cell:
    """A buffer."""

    value: Fraction

    def mul_(self, factor: Fraction) -> Cell:
        self.value *= factor
        return self

    def add_(self, other: Cell) -> Cell:
        self.value += other.value
        return self

    def addcmul_(self, other: Cell, factor: Fraction) -> Cell:
        self.value += other.value * factor
        return self

    def copy_(self, other: Cell) -> Cell:
        self.value = other.value
        return self


METHODS: Mapping[str, Callable[..., Cell]] = {
    "mul_": Cell.mul_,
    "add_": Cell.add_,
    "addcmul_": Cell.addcmul_,
    "copy_": Cell.copy_,
}


def check_steps(name: str, tree: ast.Module, program: Program, ring: int) -> None:
    """Raises InternalError unless both forms of every phase do what the program says with ``ring`` buffers, and the
    tables are the program's."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    tables = {
        n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    names = [phase.name for phase in program.phases]
    drawn = tuple(phase.name for phase in program.phases if phase.draws)
    wanted: dict[str, Any] = {
        "STEPS": {n: n for n in names},
        "STEPS_": {n: f"{n}_" for n in names},
        "RING": ring,
        "NEEDS": {phase.name: len(phase.memory) for phase in program.phases},
        "KEEPS": {phase.name: len(phase.keep.values) for phase in program.phases},
        **({"DRAWS": drawn} if drawn else {}),
    }
    if {key: _table(node) for key, node in tables.items()} != wanted:
        raise InternalError(f"{name}: its tables are not those of the program")
    if set(functions) != {*names, *(f"{n}_" for n in names)}:
        raise InternalError(f"{name}: its functions are not those of the program")
    for phase, count in visits(program):
        try:
            _check_phase(functions, phase, program.columns, count, ring)
        except (Unread, AttributeError, LookupError, TypeError, ValueError) as error:
            raise InternalError(f"{name}: {phase.name} with {count} values in memory: {error}") from error


def _table(node: ast.expr) -> Any:
    """A literal, or a dict of names."""
    if isinstance(node, ast.Dict) and all(isinstance(value, ast.Name) for value in node.values):
        return {ast.literal_eval(k): ast.unparse(v) for k, v in zip(node.keys, node.values, strict=True) if k}
    return ast.literal_eval(node)


def visits(program: Program) -> Iterator[tuple[Phase, int]]:
    """Every phase with every length of the memory that it can find."""
    entries = flow(program).entries
    return ((p, count) for p in program.phases for count in sorted({len(m) for m in entries[p.name]}))


@dataclass(frozen=True, slots=True)
class Meant:
    """A phase on random numbers: what it is given (``found``: the memory and its free buffers) and what it leaves."""

    x: Fraction
    raw: Fraction
    z: Fraction
    found: tuple[Fraction, ...]
    row: tuple[Fraction, ...]
    new: Fraction
    left: tuple[Fraction, ...]


def meant(phase: Phase, columns: Sequence[str], count: int, ring: int) -> Meant:
    """What the program says of the phase with ``count`` values in a memory of ``ring`` buffers."""
    draw = random.Random(f"{phase.name} {count}")
    numbers = [Fraction(draw.randrange(2**100)) for _ in range(3 + ring + len(columns))]
    x, raw, *found = numbers[: 2 + ring]
    row = dict(zip(columns, numbers[2 + ring : -1], strict=True))
    values = {"x": x, "raw": raw, "z": numbers[-1], **dict(zip(phase.memory, found[:count], strict=False))}
    for line in phase.lines:
        values[line.out] = sum((row[c] if c else Fraction(1)) * values[v] for c, v in line.terms)  # type: ignore[assignment]
    left = [*(values[v] for v in phase.keep.values), *found[len(phase.memory) : count]][: phase.keep.most]
    return Meant(x, raw, numbers[-1], tuple(found), tuple(row.values()), values["x'"], tuple(left))


def _check_phase(
    functions: Mapping[str, ast.FunctionDef], phase: Phase, columns: Sequence[str], count: int, ring: int
) -> None:
    want = meant(phase, columns, count, ring)
    drawn = (want.z,) if phase.draws else ()
    given = (want.x, want.raw, want.found[:count], want.row, *drawn)
    if _executed(functions[phase.name], *given) != (want.new, want.left):
        raise Unread("the function does not return what the program says")
    cells = [Cell(value) for value in (want.x, want.raw, *want.found)]
    normals = tuple(map(Cell, drawn))
    new, memory = _executed(functions[phase.name + "_"], cells[0], cells[1], tuple(cells[2:]), want.row, *normals)
    if (new.value, tuple(cell.value for cell in memory[: len(want.left)])) != (want.new, want.left):
        raise Unread("the function in place does not leave what the program says")
    if {id(cell) for cell in (new, *memory)} != {id(cell) for cell in cells} - {id(cells[1])} or len(memory) != ring:
        raise Unread("the function in place does not give back the buffers that it was given")
    if cells[1].value != want.raw or [cell.value for cell in normals] != [*drawn]:
        raise Unread("the function in place writes to the network's output, or to the normals")


def _executed(function: ast.FunctionDef, x: Any, raw: Any, m: tuple[Any, ...], c: tuple[Fraction, ...], *z: Any) -> Any:
    """What the function returns."""
    env: Env = dict(zip(("x", "raw", "m", "c", "z"), (x, raw, m, c, *z)))
    if ast.unparse(function.args) != ", ".join(env):
        raise Unread(f"other arguments than {', '.join(env)}")
    for statement in function.body:
        if isinstance(statement, ast.Return) and statement is function.body[-1] and statement.value is not None:
            return value_of(statement.value, env)
        if isinstance(statement, ast.Assign):
            _assign(statement.targets[0], value_of(statement.value, env), env)
        elif not isinstance(statement, ast.Expr):
            raise Unread(f"a statement that is never written: {ast.unparse(statement)}")
        elif not isinstance(statement.value, ast.Constant):
            value_of(statement.value, env)
    raise Unread("no return")


def _assign(target: ast.expr, value: Any, env: Env) -> None:
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    values = value if isinstance(target, ast.Tuple) else (value,)
    for name, one in zip(names, values, strict=True):
        if not isinstance(name, ast.Name):
            raise Unread(f"an assignment to {ast.unparse(name)}")
        env[name.id] = one


def value_of(node: ast.expr, env: Env) -> Any:
    """What an expression of sums and products, and of tensor operations in place, is worth."""
    if isinstance(node, ast.Name):
        return env[node.id]
    if isinstance(node, ast.Tuple):
        parts = [value_of(e.value, env) if isinstance(e, ast.Starred) else (value_of(e, env),) for e in node.elts]
        return tuple(one for part in parts for one in part)
    if isinstance(node, ast.Subscript):
        return value_of(node.value, env)[_index(node.slice)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        left, right = value_of(node.left, env), value_of(node.right, env)
        return left + right if isinstance(node.op, ast.Add) else left * right
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _called(node, node.func, env)
    raise Unread(f"an expression that is never written: {ast.unparse(node)}")


def _called(node: ast.Call, function: ast.Attribute, env: Env) -> Cell:
    """``torch.mul(v, c, out=buffer)`` or a method in place."""
    arguments = [value_of(argument, env) for argument in node.args]
    if ast.unparse(function) == "torch.mul":
        (out,) = node.keywords
        cell: Cell = value_of(out.value, env)
        cell.value = arguments[0].value * arguments[1]
        return cell
    if node.keywords:
        raise Unread(f"keywords in {ast.unparse(node)}")
    return METHODS[function.attr](value_of(function.value, env), *arguments)


def _index(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        return slice(*(None if bound is None else ast.literal_eval(bound) for bound in (node.lower, node.upper)))
    return ast.literal_eval(node)


__all__ = ["Meant", "Unread", "check_steps", "meant", "value_of", "visits"]
