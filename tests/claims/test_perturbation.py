"""No coefficient may be off by one part in 1e9: every column of every row, and every literal, is tried.

A wrong constant that changes a result by 1e-9 passes every convergence test and every comparison of images. The check
that runs on each generation compares what ``coefficients.py`` computes with the tableau to half a unit in the last
place, so it must object to each of these mutants.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive.check import ULPS, compare_literals
from tests.claims.shipped import NAMES, Shipped, imported, shipped

FACTOR = 1 + 1e-9
LIMITS = ("TO_SIGMA_ZERO", "FROM_SIGMA_ZERO", "TO_ALPHA_ZERO", "FROM_ALPHA_ZERO")


def objection(solver: Shipped, module: Any) -> str | None:
    """Why the module is not what the spec says; None if nothing is found."""
    try:
        wrong = compare_literals(module, solver.derived)
        return wrong[0] if wrong else next((e.where for e in solver.trial(module).entries() if not e.ulp <= ULPS), None)
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        return str(error)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shipped_passes(name: str) -> None:
    solver = shipped(name)
    entries = list(solver.trial().entries())
    assert not compare_literals(solver.coefficients, solver.derived)
    assert [e for e in entries if not e.ulp <= ULPS] == []
    assert len(entries) >= 4 * len(solver.coefficients.COLUMNS)


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a memory: mutants of one row share the values of all others."""
    known: dict[tuple, Any] = {}

    def row(*args: Any) -> Any:
        if args not in known:
            known[args] = function(*args)
        return known[args]

    return row


def columns_off(module: Any) -> Iterator[tuple[str, Any]]:
    """The module once for each column of each of its functions that return rows, with that column off."""
    base = dict(vars(module))
    rows = {f.__name__: remembered(f) for name in ("ROWS", *LIMITS) for f in base[name]}
    rows["denoised"] = remembered(base["denoised"])
    for function in rows:
        width = 2 if function == "denoised" else len(base["COLUMNS"])
        for j in range(width):

            def off(*args: Any, f: Any = rows[function], j: int = j) -> tuple:
                return tuple(v * FACTOR if i == j else v for i, v in enumerate(f(*args)))

            table = {**rows, function: off}
            tuples = {name: tuple(table[f.__name__] for f in base[name]) for name in ("ROWS", *LIMITS)}
            yield f"{function}[{j}]", SimpleNamespace(**{**base, **table, **tuples})


def always_zero(module: Any, what: str) -> bool:
    """Whether the entry is written as the number 0, which no factor changes."""
    function, j = what.rstrip("]").split("[")
    tree = ast.parse(Path(module.__file__).read_text())
    body = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function).body
    value = body[-1].value  # type: ignore[attr-defined]
    entry = value.elts[int(j)]
    return isinstance(entry, ast.Constant) and entry.value == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_column_of_every_row_is_checked(name: str) -> None:
    solver = shipped(name)
    found = {what: objection(solver, module) for what, module in columns_off(solver.coefficients)}
    missed = [what for what, why in found.items() if why is None and not always_zero(solver.coefficients, what)]
    assert len(found) >= 4
    assert missed == []


def powers_of_one(tree: ast.Module) -> list[ast.expr]:
    """Exponents of ``s.alpha`` where the function alpha returns exactly one: 1 to any power is 1."""
    bodies = {n.name: n.body[-1] for n in tree.body if isinstance(n, ast.FunctionDef)}
    if ast.unparse(bodies["alpha"]) != "return real(1)":
        return []
    powers = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow)]
    return [n.right for n in powers if isinstance(n.left, ast.Attribute) and n.left.attr == "alpha"]


def literals_off(path: Path) -> Iterator[tuple[str, str]]:
    """The source once for each number in it, with that number off: times 1 + 1e-9, a zero by 1e-9."""
    tree = ast.parse(path.read_text())
    places = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) in (int, float)]
    idle = powers_of_one(tree)
    for place in (n for n in places if n not in idle):
        kept = place.value
        place.value = kept * FACTOR if kept else 1e-9
        yield f"line {place.lineno}, column {place.col_offset}: {kept}", ast.unparse(tree)
        place.value = kept


@pytest.mark.parametrize("name", NAMES)
def test_every_literal_is_checked(name: str, tmp_path: Path) -> None:
    solver = shipped(name)
    missed, tried = [], 0
    for what, source in literals_off(solver.folder / "coefficients.py"):
        tried += 1
        mutant = tmp_path / f"mutant_{tried}.py"
        mutant.write_text(source)
        if objection(solver, imported(mutant)) is None:
            missed.append(what)
    assert tried > 10
    assert missed == []
