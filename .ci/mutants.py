"""Small wrong changes to a module, one at a time, as a developer might make them.

A mutant is (file, site, operator): ``sites(source)`` lists them in a fixed order, ``apply(source, index)`` writes the
changed module. What cannot change a number or a decision by construction is left alone: annotations and aliases of
types, ``if TYPE_CHECKING``, imports, docstrings, the text of messages, ``__str__`` and ``__repr__``, decorators (cache
sizes, options of dataclasses) and ``strict`` of ``zip``. Whether an error is raised is a decision: a raise is dropped.

The operator ``scale`` multiplies by 1 + 1e-9 in exact integers: a convergence test misses a coefficient that is wrong by
that much, an order condition does not.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Change = Callable[[ast.AST], ast.AST | None]
"""A copy of the node in, the changed node out; None: does not apply."""


@dataclass(frozen=True, slots=True)
class Site:
    """One mutant: what changes where. ``function`` is the qualified name; ``key`` survives shifts of lines."""

    line: int
    operator: str
    function: str
    before: str
    after: str
    within: str
    """The first source line of the statement: tells equal changes in one function apart."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.function, self.operator, f"{self.before} -> {self.after}"

    def __str__(self) -> str:
        return f"{self.line}: {self.operator} in {self.function}: {self.before} -> {self.after}    # {self.within}"


ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
SWAPPED = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
SYMMETRIC = {"max", "min", "gcd", "isinstance", "issubclass", "getattr", "hasattr", "super", "field"}
NUMBERS = {"Rational", "Fraction", "real", "QQ"}


def arithmetic(node: ast.AST) -> ast.AST | None:
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC and not _text(node):
        node.op = ARITHMETIC[type(node.op)]()
        return node
    return None


def comparison(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
        node.ops = [SWAPPED[type(node.ops[0])]()]
        return node
    return None


def boundary(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in BOUNDARY:
        node.ops[0] = BOUNDARY[type(node.ops[0])]()
        return node
    return None


def constant(step: int) -> Change:
    def change(node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return ast.Constant(node.value + step)
        return None

    return change


def scale(node: ast.AST) -> ast.AST | None:
    number = isinstance(node, ast.Constant) and type(node.value) is float and node.value
    made = isinstance(node, ast.Call) and _called(node) in NUMBERS and getattr(node.args[0], "value", 1) != 0
    product = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)) and not _text(node)
    if number or made or product:
        return ast.BinOp(ast.BinOp(node, ast.Mult(), ast.Constant(10**9 + 1)), ast.Div(), ast.Constant(10**9))
    return None


def boolean(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return ast.Constant(not node.value)
    return None


def condition(node: ast.AST) -> ast.AST | None:
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, ast.Compare):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return node
    if isinstance(node, ast.comprehension) and node.ifs:
        node.ifs = [ast.UnaryOp(ast.Not(), node.ifs[0]), *node.ifs[1:]]
        return node
    return None


def unary(node: ast.AST) -> ast.AST | None:
    return node.operand if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd) else None


def statement(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return None  # a docstring
    if isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete)):
        return ast.Pass()
    if isinstance(node, (ast.Break, ast.Continue)):
        return ast.Pass()
    return None


def arguments(node: ast.AST) -> ast.AST | None:
    if not isinstance(node, ast.Call) or len(node.args) < 2 or _called(node) in SYMMETRIC:
        return None
    first, second = node.args[:2]
    if any(isinstance(a, (ast.Starred, ast.GeneratorExp)) for a in (first, second)) or ast.dump(first) == ast.dump(
        second
    ):
        return None
    node.args[:2] = [second, first]
    return node


def returned(node: ast.AST) -> ast.AST | None:
    if not isinstance(node, ast.Return) or node.value is None or isinstance(node.value, ast.Constant):
        return None
    if isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
        node.value.elts = [*node.value.elts[1:], node.value.elts[0]]
    elif isinstance(node.value, ast.BinOp) and not _text(node.value):
        node.value = ast.UnaryOp(ast.USub(), node.value)
    else:
        node.value = ast.Constant(None)
    return node


OPERATORS: dict[str, Change] = {
    "arithmetic": arithmetic,
    "comparison": comparison,
    "boundary": boundary,
    "plus1": constant(1),
    "minus1": constant(-1),
    "scale": scale,
    "boolean": boolean,
    "condition": condition,
    "unary": unary,
    "drop": statement,
    "arguments": arguments,
    "return": returned,
}


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _text(node: ast.AST) -> bool:
    """Whether text is in the operands: ``+`` and ``%`` mean something else there."""
    return any(map(_is_text, ast.walk(node)))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params"}
SKIPPED_NODES = (ast.Import, ast.ImportFrom, ast.JoinedStr, ast.Raise, ast.Assert)
"""Nothing inside a message changes a number; a raise is dropped as a whole."""


def _nodes(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str, ast.AST, str, int | None]]:
    """(node, function, parent, field, index) of everything that may change, in source order."""
    for name, value in ast.iter_fields(tree):
        if name in SKIPPED_FIELDS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST):
                continue
            inside = (
                f"{function}.{child.name}".strip(".") if hasattr(child, "name") and hasattr(child, "body") else function
            )
            if not isinstance(child, (ast.Import, ast.ImportFrom)) and not _ignored(child):
                yield child, inside, tree, name, index
            if not isinstance(child, SKIPPED_NODES) and not _ignored(child):
                yield from _nodes(child, inside)


def _ignored(node: ast.AST) -> bool:
    """What cannot change a number or a decision by construction (module docstring)."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
        return node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__str__", "__repr__")
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    if isinstance(node, ast.IfExp):
        return all(map(_is_text, (node.body, node.orelse)))
    names = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
    alias = (
        bool(names)
        and isinstance(node.value, (ast.Subscript, ast.BinOp))
        and names[0][0].isupper()
        and not names[0].isupper()
    )
    return alias or names == ["__all__"]


def _mutants(tree: ast.Module, lines: list[str]) -> Iterator[tuple[Site, ast.AST, str, int | None, ast.AST]]:
    for node, function, parent, name, index in _nodes(tree):
        for operator, change in OPERATORS.items():
            changed = change(copy.deepcopy(node))
            if changed is None:
                continue
            before, after = _shown(node), _shown(ast.fix_missing_locations(ast.copy_location(changed, node)))
            if before != after:
                line = getattr(node, "lineno", getattr(parent, "lineno", 0))
                within = lines[line - 1].strip()
                yield Site(line, operator, function or "<module>", before, after, within), parent, name, index, changed


def _shown(node: ast.AST) -> str:
    """One line: of a compound statement its head."""
    if isinstance(node, (ast.If, ast.While)):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


def sites(source: str) -> list[Site]:
    """Every mutant of the module, in a fixed order."""
    return [site for site, *_ in _mutants(ast.parse(source), source.splitlines())]


def trees(source: str) -> Iterator[tuple[int, ast.Module]]:
    """(index, the module with that mutant in it); the tree is changed back when the next one is asked for."""
    tree = ast.parse(source)
    for index, (_, parent, name, position, changed) in enumerate(_mutants(tree, source.splitlines())):
        if position is None:
            before = getattr(parent, name)
            setattr(parent, name, changed)
        else:
            before = getattr(parent, name)[position]
            getattr(parent, name)[position] = changed
        yield index, ast.fix_missing_locations(tree)
        if position is None:
            setattr(parent, name, before)
        else:
            getattr(parent, name)[position] = before


def apply(source: str, wanted: int) -> str:
    """The module with mutant ``wanted`` of :func:`sites` in it."""
    for index, tree in trees(source):
        if index == wanted:
            return ast.unparse(tree) + "\n"
    raise IndexError(wanted)
