"""Long lines are broken where the project's formatter breaks them, and mean the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from derive.backends._layout import sequence, statement

SUM = " + ".join(f"c{i} * (p{i} - r{i} / q{i})" for i in range(12))
PRODUCT = " * ".join(f"sqrt(a{i} + b{i})" for i in range(14))
NESTED = f"exp({SUM}) / (1 + {PRODUCT})"


@pytest.mark.parametrize("text", [SUM, PRODUCT, NESTED, f"phis(3, {SUM})", "a" * 150], ids=lambda t: t[:20])
def test_a_broken_statement_means_the_same(text: str) -> None:
    lines = statement("x = ", text, "    ", "why")
    tree = ast.parse("def f():\n" + "\n".join(lines))
    assert ast.dump(tree.body[0].body[0].value) == ast.dump(ast.parse(text, mode="eval").body)
    assert max(map(len, lines)) <= 120 or " " not in text


def test_a_short_statement_stays_on_its_line() -> None:
    assert statement("x = ", "a + b", "    ", "why") == ["    x = a + b  # why"]
    assert sequence("return ", ["a", "b"], "    ") == ["    return a, b"]


def test_a_long_row_names_its_columns() -> None:
    lines = sequence("return ", ["1", SUM, "0"], "    ", ("a", "b0", "b1"))
    assert lines[0] == "    return (" and lines[1] == "        1,  # a" and lines[-2] == "        0,  # b1"
    value = ast.parse("def f():\n" + "\n".join(lines)).body[0].body[0].value
    assert [ast.unparse(e) for e in value.elts] == [ast.unparse(ast.parse(t)) for t in ("1", SUM, "0")]


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
@pytest.mark.parametrize("text", [SUM, PRODUCT, f"phis(3, {SUM})"], ids=["sum", "product", "call"])
def test_the_formatter_agrees(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("\n".join(statement("x = ", text, "")) + "\n")
    run = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "--diff", str(path)]
    assert subprocess.run(run, capture_output=True, text=True, check=False).stdout == ""
