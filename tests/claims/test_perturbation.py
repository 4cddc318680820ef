"""No coefficient may be off by one part in 1e9: every column of every row, and every literal, is tried.

A wrong constant that changes a result by 1e-9 passes every convergence test and every comparison of images. The check
that runs on each generation compares what ``coefficients.py`` computes with the tableau to half a unit in the last
place, so it must object to each of these mutants.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive.check import ULPS, compare_literals
from tests.claims.memory import TUPLES, named, remembered, replaced
from tests.claims.shipped import FOLDER, NAMES, Shipped, imported, shipped

FACTOR = 1 + 1e-9
LONG = 5
"""Network calls a step from which trying every number takes long."""


def calls_a_step(name: str) -> int:
    """Network calls of one step."""
    return json.loads((FOLDER / name / "claims.json").read_text())["evaluations_per_step"]


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


def columns_off(module: Any, zeros: set[str]) -> Iterator[tuple[str, Any]]:
    """The module once for each column of each of its functions that return rows, with that column off.

    zeros: what was always zero, which no factor changes, is added here while the modules are used.
    """
    base = dict(vars(module))
    rows = {f.__name__: remembered(f) for name in TUPLES for f in named(base[name])}
    rows |= {name: remembered(base[name]) for name in ("denoised", "slope", "integrand") if name in base}
    shared = {name: remembered(base[name]) for name in ("node", "span", "inner", "time") if name in base}
    for function, row in rows.items():
        for j in range(width(module, function)):
            values: list[Any] = []

            @wraps(row)
            def off(*args: Any, f: Any = row, j: int = j, values: list[Any] = values) -> tuple:
                values.append(f(*args)[j])
                return tuple(v * FACTOR if i == j else v for i, v in enumerate(f(*args)))

            table = {**shared, **rows, function: off}
            tuples = {name: replaced(base[name], table) for name in TUPLES}
            yield f"{function}[{j}]", SimpleNamespace(**{**base, **table, **tuples})
            if values and not any(values):
                zeros.add(f"{function}[{j}]")


def width(module: Any, function: str) -> int:
    """How many numbers the function returns."""
    return len(written_value(module, function).elts)


def written_value(module: Any, function: str) -> Any:
    """The expression that the function returns, as it is written."""
    tree = ast.parse(Path(module.__file__).read_text())
    body = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function).body
    return body[-1].value  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_every_column_of_every_row_is_checked(name: str) -> None:
    solver = shipped(name)
    zeros: set[str] = set()
    found = {what: objection(solver, module) for what, module in columns_off(solver.coefficients, zeros)}
    missed = [what for what, why in found.items() if why is None and what not in zeros]
    assert len(found) >= 4
    assert missed == []


def powers_of_one(tree: ast.Module) -> list[ast.expr]:
    """Exponents of ``s.alpha`` where the function alpha returns exactly one: 1 to any power is 1."""
    bodies = {n.name: n.body[-1] for n in tree.body if isinstance(n, ast.FunctionDef)}
    if ast.unparse(bodies["alpha"]) != "return real(1)":
        return []
    powers = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow)]
    return [n.right for n in powers if isinstance(n.left, ast.Attribute) and n.left.attr == "alpha"]


@cache
def first_written() -> dict[str, str]:
    """Each distinct top-level statement of the shipped coefficients, and the first solver that has it."""
    owners: dict[str, str] = {}
    for name in NAMES:
        for statement in ast.parse((FOLDER / name / "coefficients.py").read_text()).body:
            owners.setdefault(ast.unparse(statement), name)
    return owners


def ends_of_quadrature(tree: ast.Module) -> list[ast.expr]:
    """Where the integrals are told that the data end lies: it makes them fast, not right."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    place = {"moments": 5, "propagated": 6, "integral": 3}
    found = [n.args[place[n.func.id]] for n in calls if n.func.id in place and len(n.args) > place[n.func.id]]
    return [n.operand if isinstance(n, ast.UnaryOp) else n for n in found]


def own_numbers(path: Path) -> list[tuple[ast.stmt, ast.Constant]]:
    """The numbers that no solver before this one has in the same words, each with the top-level statement it is in."""
    tree = ast.parse(path.read_text())
    own = [n for n in tree.body if first_written().get(ast.unparse(n), path.parent.name) == path.parent.name]
    idle = powers_of_one(tree) + ends_of_quadrature(tree)
    inside = [(top, n) for top in own for n in ast.walk(top) if isinstance(n, ast.Constant) and n not in idle]
    return [(top, n) for top, n in inside if type(n.value) in (int, float)]


def literals_off(path: Path) -> Iterator[tuple[str, str]]:
    """The source once for each of its own numbers, with that number off: times 1 + 1e-9, a zero by 1e-9."""
    lines = path.read_text().splitlines()
    for top, place in own_numbers(path):
        kept = place.value
        place.value = kept * FACTOR if kept else 1e-9  # type: ignore[operator]
        source = [*lines[: top.lineno - 1], ast.unparse(top), *lines[top.end_lineno :], ""]
        yield f"line {place.lineno}, column {place.col_offset}: {kept!r}", "\n".join(source)
        place.value = kept


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if calls_a_step(n) >= LONG else n for n in NAMES]
)
def test_every_literal_is_checked(name: str, tmp_path: Path) -> None:
    solver = shipped(name)
    missed = []
    for i, (what, source) in enumerate(literals_off(solver.folder / "coefficients.py")):
        mutant = tmp_path / f"mutant_{i}.py"
        mutant.write_text(source)
        try:
            module = imported(mutant)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            continue
        if objection(solver, module) is None:
            missed.append(what)
    assert missed == []


def test_most_solvers_have_numbers_of_their_own() -> None:
    counts = [len(own_numbers(FOLDER / name / "coefficients.py")) for name in NAMES]
    assert sum(map(bool, counts)) > len(NAMES) / 2 and sum(counts) > 300
