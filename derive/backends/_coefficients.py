"""A :class:`CoefficientModule` as the blocks of ``coefficients.py``: constants, tables, nodes, functions, rows.

Every backend shares this one file: the host computes the rows in Real arithmetic, the device only combines tensors.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import Any

from derive.backends._layout import INDENT, WIDTH, sequence, statement
from derive.backends.printer import Printer, symbol_name, table_names
from derive.errors import InternalError
from derive.program.coefficients import Assign, CoefficientModule, Function, Rows, flat

FILE = "coefficients.py"
TEMPLATE = "coefficients.py.jinja"
SOURCES = {"moments": "runtime.quadrature", "propagated": "runtime.propagator", "solve_for": "runtime.inverse"}
"""Calls that integrate or solve, and where they come from; the others are of ``runtime.real`` or of the module itself."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Imports:
    """``from module import names``."""

    module: str
    names: tuple[str, ...]


def context(module: CoefficientModule) -> dict[str, Any]:
    """What the template of ``coefficients.py`` lays out: lists of finished lines, and names."""
    printer = Printer(("node", *(f.name for f in module.functions)), module.tables)
    quadrature: set[str] = set()
    columns = next((value for name, value, _ in module.constants if name == "COLUMNS"), ())
    functions = [
        _function(f, printer, quadrature, columns if "h" in f.args and f.name != "error" else ())
        for f in module.functions
    ]
    _check_names(module)
    for values in module.numbers.values():
        _numbers(values, printer)  # what it needs is imported too
    imports = [Imports(SOURCES[name], (name,)) for name in sorted(quadrature, key=SOURCES.__getitem__)]
    imports.append(Imports("runtime.real", tuple(sorted(printer.used | {"Real"}))))
    return {
        "imports": [_import(i) for i in imports],
        "constants": [line for name, value, note in module.constants for line in constant(name, value, note)],
        "tables": [line for name in sorted(module.tables) for line in _table(name, module)],
        "fields": [name for name, _ in module.node],
        "node": _node(module),
        "functions": functions,
        "tuples": [
            *(_names(name, members) for name, members in module.tuples.items()),
            *(f"{_identifier(name)} = {_numbers(values, printer)}" for name, values in module.numbers.items()),
        ],
    }


def constant(name: str, value: Any, note: str = "") -> list[str]:
    """``NAME = literal  # note``."""
    tail = f"  # {note}" if note else ""
    flat = f"{_identifier(name)} = {literal(value)}"
    if len(flat + tail) <= WIDTH:
        return [flat + tail]
    head = [f"# {note}"] if note else []
    if isinstance(value, tuple) and len(flat) > WIDTH:
        return [*head, f"{name} = (", *(f"{INDENT}{literal(v)}," for v in value), ")"]
    if isinstance(value, dict) and len(flat) > WIDTH:
        return [*head, f"{name} = {{", *(f"{INDENT}{literal(k)}: {literal(v)}," for k, v in value.items()), "}"]
    return [*head, flat]


def literal(value: Any) -> str:
    """The Python literal of None, bool, int, float, str, or a tuple or dict of such; floats round-trip exactly."""
    if value is None or type(value) in (bool, int):
        return repr(value)
    if type(value) is float and value - value == 0:
        return repr(value)
    if type(value) is str and value.isascii() and value.isprintable():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    if type(value) is tuple:
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    raise InternalError(f"not a literal: {ascii(value)[:60]}")


def _identifier(name: str) -> str:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InternalError(f"not a name: {name!a}")
    return name


def _check_names(module: CoefficientModule) -> None:
    known = {f.name for f in module.functions}
    wanted = {name for members in module.tuples.values() for name in flat(members)}
    wanted |= {function for _, function in module.node}
    if missing := sorted(wanted - known):
        raise InternalError(f"the coefficient module names functions that it does not hold: {missing}")


def _import(imports: Imports) -> str:
    return f"from {imports.module} import {', '.join(imports.names)}"


def _names(name: str, members: Rows) -> str:
    return f"{_identifier(name)} = {names_text(members)}"


def _numbers(values: Any, printer: Printer) -> str:
    """``(0, real(1) / 3)``: exact numbers and tuples of them."""
    if not isinstance(values, tuple):
        return printer(values, integer=True)
    return f"({', '.join(_numbers(v, printer) for v in values)}{',' if len(values) == 1 else ''})"


def names_text(members: Rows | str) -> str:
    """``(a, (b, c))``: names and tuples of names."""
    if isinstance(members, str):
        return _identifier(members)
    return f"({', '.join(map(names_text, members))}{',' if len(members) == 1 else ''})"


def _table(name: str, module: CoefficientModule) -> list[str]:
    table = module.tables[name]
    data = (table.knots, table.values) if table.kind == "linear" else (table.values,)
    lines: list[str] = []
    for target, values in zip(table_names(name, table), data, strict=True):
        numbers = [literal(float(v)) for v in values]
        flat = f"{target} = ({', '.join(numbers)},)"
        lines += [flat] if len(flat) <= WIDTH and len(numbers) > 1 else _wrapped(target, numbers)
    return lines


def _wrapped(target: str, numbers: list[str]) -> list[str]:
    """A table's data, as many numbers to a line as fit: the formatter is told to leave it."""
    lines, line = [], INDENT
    for number in numbers:
        if len(line + number) + 2 > WIDTH:
            lines.append(line.rstrip())
            line = INDENT
        line += number + ", "
    return ["# fmt: off", f"{target} = (", *lines, line.rstrip(), ")", "# fmt: on"]


def _node(module: CoefficientModule) -> list[str]:
    fields = ["t", *(f"{_identifier(function)}(t)" for _, function in module.node)]
    return sequence("return Node", [f"({', '.join(fields)})"], INDENT)


def _function(f: Function, printer: Printer, quadrature: set[str], columns: tuple[str, ...]) -> list[str]:
    """``def name(args):`` and its body."""
    lines = [f"def {_identifier(f.name)}({', '.join(map(_identifier, f.args))}):"]
    lines += docstring(f.doc, INDENT)
    for assign in f.body:
        lines += _assign(assign, printer, quadrature)
    if len(f.returns) == 1 and f.bare:
        return [*lines, *statement("return ", printer(f.returns[0]), INDENT)]
    items = [printer(value, integer=True) for value in f.returns]
    if len(items) == 1:
        return [*lines, *statement("return ", f"({items[0]},)", INDENT)]
    return [*lines, *sequence("return ", items, INDENT, columns if len(columns) == len(items) else ())]


def _assign(assign: Assign, printer: Printer, quadrature: set[str]) -> list[str]:
    targets = ", ".join(map(_identifier, assign.targets))
    if not assign.call:
        if assign.value is None or len(assign.targets) != 1:
            raise InternalError(f"an assignment without a value: {targets}")
        return statement(f"{targets} = ", printer(assign.value), INDENT, assign.comment)
    if assign.call in SOURCES:
        quadrature.add(assign.call)
    elif assign.call not in printer.functions:
        printer.need(assign.call)
    alone = len(assign.targets) == 1 and assign.call in {"phis", "moments", "propagated"}
    arguments = ", ".join(_argument(a, printer) for a in assign.args)
    head = f"({targets},) = " if alone else f"{targets} = "
    return statement(head, f"{_identifier(assign.call)}({arguments})", INDENT, assign.comment)


def _argument(argument: Any, printer: Printer) -> str:
    if isinstance(argument, str):
        return symbol_name(argument)
    return printer(argument, integer=True)


def docstring(text: str, indent: str = "") -> list[str]:
    """A docstring's lines; the text is ASCII without quotes or backslashes that could end it."""
    if not text:
        return []
    if not text.replace("\n", "").isascii() or not text.replace("\n", "").isprintable():
        raise InternalError(f"a docstring must be printable ASCII: {ascii(text)[:60]}")
    if '"""' in text or "\\" in text or text.endswith('"'):
        raise InternalError(f"a docstring must not end early: {ascii(text)[:60]}")
    first, *rest = text.splitlines()
    if not rest and len(indent + first) + 6 <= WIDTH:
        return [f'{indent}"""{first}"""']
    return [f'{indent}"""{first}', *(indent + line if line else "" for line in rest), f'{indent}"""']
