"""The output gate: nothing is written that has not been read back, by Python's own grammar, as what was meant.

It works on bytes, because a file can mean something else than the text that was meant for it. Every Python file is
parsed; it may hold imports from a short list, definitions, assignments of literals, exact numbers or names, and at
module level no call but ``load``, ``real`` and ``sqrt``.
Every number is then read back: constants and tables equal the intended values bit for bit, every expression equals the
intended one, and no int is divided by an int; the steps do to exact numbers what the program says, those in C++ and in
Triton too. What fails is our bug, so it raises :class:`InternalError`.
"""

from __future__ import annotations

import ast
import builtins
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import templates
from derive.backends import cuda as cuda_backend
from derive.backends import torch as torch_backend
from derive.backends import triton as triton_backend
from derive.backends._coefficients import FILE, SOURCES
from derive.backends._kernel import buffers
from derive.backends._kernel_steps import check_kernels, code_lines
from derive.backends._steps import check_steps
from derive.backends._triton_steps import check_phases
from derive.backends.printer import REAL_NAMES, int_quotient, same_value, table_names
from derive.errors import InternalError
from derive.program.coefficients import Assign, CoefficientModule, Function
from derive.schedules import Table
from derive.store import is_edited, is_ours

MODULES: Mapping[str, str | None] = {"math": None, "torch": None}
"""What may be imported as a whole, and under which name; by ``step_triton.py`` triton alone (its reader sees to it)."""

MEMBERS: Mapping[str, frozenset[str]] = {
    "typing": frozenset({"NamedTuple"}),
    "runtime": frozenset({"load"}),
    "runtime.real": REAL_NAMES,
    **{module: frozenset({name}) for name, module in SOURCES.items()},
}
"""What may be taken from where; and from the package itself its other modules."""

_STATEMENTS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.Expr)
_NODES = (
    ast.Module, ast.Import, ast.ImportFrom, ast.alias, ast.FunctionDef, ast.ClassDef, ast.AnnAssign, ast.arguments,
    ast.arg, ast.Assign, ast.Return, ast.Expr, ast.Tuple, ast.Dict, ast.Constant, ast.Name, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Starred, ast.operator,
    ast.unaryop, ast.expr_context,
)  # fmt: skip
_FORBIDDEN = frozenset(
    {
        "eval",
        "exec",
        "compile",
        "open",
        "getattr",
        "setattr",
        "delattr",
        "globals",
        "locals",
        "vars",
        "input",
        "breakpoint",
    }
)


def check(files: Mapping[str, bytes], derived: Any) -> None:
    """Raises :class:`InternalError` unless every file is what was meant."""
    for name, data in files.items():
        if not is_ours(name, data) or is_edited(name, data):
            raise InternalError(f"{name}: the seal does not fit")
        if name == triton_backend.FILE:
            check_phases(name, data, derived.program, buffers(derived.program))
        elif name.endswith(".py"):
            tree = check_python(name, data)
            if name == torch_backend.FILE:
                check_steps(name, tree, derived.program, torch_backend.buffers(derived.program))
        elif name == cuda_backend.FILE:
            check_kernels(
                name, data.decode("ascii", "replace"), derived.program, buffers(derived.program), cuda_frame()
            )
        elif name.endswith(".json"):
            json.loads(data)
    check_values(files[FILE], derived.module)


@functools.cache
def cuda_frame() -> tuple[str, ...]:
    """The lines of code that the template of the C++ step has for every method."""
    text = Path(templates.__path__[0], cuda_backend.TEMPLATE).read_text("utf-8")
    return tuple(line for line in code_lines(text) if not line.startswith(("{%", "{{")))


def check_python(name: str, data: bytes) -> ast.Module:
    """Only the Python that our templates write. Returns the tree."""
    if not data.isascii() or b"\r" in data or b"\0" in data:
        raise InternalError(f"{name}: not plain ASCII")
    try:
        tree = ast.parse(data, filename=name)
    except (SyntaxError, ValueError) as error:
        raise InternalError(f"{name}: not Python: {error}") from error
    for statement in tree.body:
        if not isinstance(statement, _STATEMENTS):
            _fail(name, statement, f"{type(statement).__name__} at module level")
        if isinstance(statement, (ast.Assign, ast.Expr)):
            _check_level(name, statement)
    for node in ast.walk(tree):
        _check_node(name, node)
    for function in _functions(tree).values():
        _check_scope(name, function, tree)
    return tree


def _check_level(name: str, statement: ast.Assign | ast.Expr) -> None:
    """At module level: docstrings, literals, exact numbers, names and tuples; ``load(...)`` in the package alone."""
    value = statement.value
    if isinstance(statement, ast.Expr):
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            _fail(name, statement, "an expression at module level")
        return
    loads = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "load"
    if loads and name == "__init__.py":
        return
    allowed = (ast.Constant, ast.Tuple, ast.Dict, ast.Name, ast.UnaryOp, ast.USub, ast.BinOp, ast.operator, ast.Load)
    for node in ast.walk(value):
        number = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("real", "sqrt")
        if not number and not isinstance(node, allowed):
            _fail(name, node, f"{type(node).__name__} in an assignment at module level")


def _check_node(name: str, node: ast.AST) -> None:
    if not isinstance(node, _NODES):
        _fail(name, node, type(node).__name__)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        _check_import(name, node)
    if isinstance(node, ast.FunctionDef) and (node.decorator_list or node.args.defaults or node.args.kwonlyargs):
        _fail(name, node, "a decorator or default")
    if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
        _fail(name, node, f"the attribute {node.attr!a}")
    if isinstance(node, ast.Name) and (node.id in _FORBIDDEN or (node.id.startswith("__") and node.id != "__path__")):
        _fail(name, node, f"the name {node.id!a}")
    if isinstance(node, ast.BinOp) and int_quotient(node):
        _fail(name, node, f"an int divided by an int: {ast.unparse(node)}")


def _check_import(name: str, node: ast.Import | ast.ImportFrom) -> None:
    for alias in node.names:
        if isinstance(node, ast.Import):
            good = alias.name in MODULES and alias.asname == MODULES[alias.name]
        elif node.level:
            good = node.level == 1 and node.module is None and alias.asname is None and alias.name != "*"
        else:
            good = alias.name in MEMBERS.get(node.module or "", ()) and alias.asname is None
        if not good:
            _fail(name, node, f"an import: {ast.unparse(node)}")


def _check_scope(name: str, function: ast.FunctionDef, tree: ast.Module) -> None:
    """Every name is an argument, assigned before, or of the module; none hides what the function calls."""
    outer = _module_names(tree)
    local = {a.arg for a in function.args.args}
    called = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    for statement in function.body:
        loaded = [n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
        for node in loaded:
            if node.id not in local and node.id not in outer:
                _fail(name, node, f"the unknown name {node.id!a} in {function.name}")
        local |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if hidden := sorted(called & local):
        _fail(name, function, f"{function.name} calls what it also assigns: {hidden}")


def _module_names(tree: ast.Module) -> set[str]:
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if shadowed := sorted(found & set(dir(builtins))):
        raise InternalError(f"generated names that hide builtins: {shadowed}")
    return found


def check_values(data: bytes, module: CoefficientModule) -> None:
    """Every constant, table, expression and tuple of coefficients.py is the intended one."""
    tree = ast.parse(data)
    assigned = {
        n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    meant: dict[str, Any] = {name: value for name, value, _ in module.constants}
    for key, table in module.tables.items():
        pair = (table.knots, table.values) if table.kind == "linear" else (table.values,)
        meant |= {name: tuple(map(float, values)) for name, values in zip(table_names(key, table), pair, strict=True)}
    for name, value in meant.items():
        if name not in assigned or not _same_literal(ast.literal_eval(assigned.pop(name)), value):
            raise InternalError(f"{FILE}: {name} does not read back as {ascii(value)[:60]}")
    for name, members in module.tuples.items():
        written = assigned.pop(name, None)
        if written is None or _named(written) != members:
            raise InternalError(f"{FILE}: {name} is not {members}")
    for name, numbers in module.numbers.items():
        written = assigned.pop(name, None)
        if written is None or not _same_numbers(written, numbers):
            raise InternalError(f"{FILE}: {name} is not {numbers}")
    if assigned:
        raise InternalError(f"{FILE}: values that nobody meant: {sorted(assigned)}")
    _check_functions(tree, module)


def _same_numbers(written: ast.expr, meant: Any) -> bool:
    """Nested tuples of exact numbers."""
    if not isinstance(meant, tuple):
        return same_value(written, meant)
    inside = written.elts if isinstance(written, ast.Tuple) else ()
    return len(inside) == len(meant) and all(map(_same_numbers, inside, meant))


def _named(written: ast.expr) -> Any:
    """Nested tuples of names as they are written."""
    return tuple(map(_named, written.elts)) if isinstance(written, ast.Tuple) else ast.unparse(written)


def _same_literal(a: Any, b: Any) -> bool:
    """Equal with the same types, floats bit for bit."""
    if type(a) is not type(b) and not (isinstance(a, dict) and isinstance(b, Mapping)):
        return False
    if isinstance(b, Mapping):
        return list(a) == list(b) and all(_same_literal(a[k], b[k]) for k in b)
    if isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same_literal, a, b))
    return a.hex() == b.hex() if isinstance(b, float) else a == b


def _check_functions(tree: ast.Module, module: CoefficientModule) -> None:
    written = _functions(tree)
    written.pop("node", None)
    if list(written) != [f.name for f in module.functions]:
        raise InternalError(f"{FILE}: its functions are not those of the module")
    for function in module.functions:
        _check_function(written[function.name], function, module.tables)


def _check_function(written: ast.FunctionDef, meant: Function, tables: Mapping[str, Table]) -> None:
    body = [s for s in written.body if not isinstance(s, ast.Expr)]
    *assigns, last = body
    if [a.arg for a in written.args.args] != list(meant.args) or len(assigns) != len(meant.body):
        raise InternalError(f"{FILE}: {meant.name} has other arguments or another length")
    for statement, assign in zip(assigns, meant.body, strict=True):
        if not isinstance(statement, ast.Assign) or not _same_assign(statement, assign, tables):
            raise InternalError(f"{FILE}: {meant.name}: {ast.unparse(statement)[:80]} is not what was meant")
    value = last.value if isinstance(last, ast.Return) else None
    single = len(meant.returns) == 1 and meant.bare
    values: Sequence[ast.expr | None] = [value] if single else value.elts if isinstance(value, ast.Tuple) else []
    if len(values) != len(meant.returns):
        raise InternalError(f"{FILE}: {meant.name} returns another number of values")
    for got, want in zip(values, meant.returns, strict=True):
        if got is None or not same_value(got, want, tables):
            raise InternalError(f"{FILE}: {meant.name} returns {ast.unparse(got)[:80] if got else None}, meant {want}")


def _same_assign(statement: ast.Assign, meant: Assign, tables: Mapping[str, Table]) -> bool:
    target = statement.targets[0]
    names = [ast.unparse(e) for e in target.elts] if isinstance(target, ast.Tuple) else [ast.unparse(target)]
    if names != list(meant.targets):
        return False
    if not meant.call:
        return meant.value is not None and same_value(statement.value, meant.value, tables)
    call = statement.value
    if not (isinstance(call, ast.Call) and ast.unparse(call.func) == meant.call and len(call.args) == len(meant.args)):
        return False
    return all(
        ast.unparse(got) == want if isinstance(want, str) else same_value(got, want, tables)
        for got, want in zip(call.args, meant.args, strict=True)
    )


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _fail(name: str, node: ast.AST, what: str) -> None:
    raise InternalError(f"{name}:{getattr(node, 'lineno', 0)}: the output gate refuses {what}")
