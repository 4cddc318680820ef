"""The page about benchmarks: what it tells to type exists and is understood. The measurements themselves take minutes.

``tests/benchmarks`` runs what the scripts do, on little.
"""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCKS = [block for block in blocks(PAGE.read_text("utf-8")) if block.kind == "bash"]
LINES = [line for block in BLOCKS for line in block.body.splitlines()]


class Understood(Exception):
    """Raised where a script would begin to measure."""


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python ")])
def test_the_script_understands_its_options(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, script, *options = shlex.split(line)
    module = import_module(script.removesuffix(".py").replace("/", "."))
    parse = argparse.ArgumentParser.parse_args

    def parsed(self: argparse.ArgumentParser, *_: Any) -> argparse.Namespace:
        raise Understood(parse(self, options))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    with pytest.raises(Understood) as found:
        module.main()
    assert "json" not in line or found.value.args[0].json


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith("python ")])
def test_what_is_installed_is_known_here(line: str) -> None:
    """An extra of this project, or a package whose version constraints.txt fixes."""
    words = shlex.split(line)
    assert words[:4] == ["pip", "install", "-c", "constraints.txt"]
    pinned = {
        row.partition("==")[0].strip().lower() for row in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words[4:]:
        extra = re.fullmatch(r"\.\[(\w+)\]", word)
        assert word in ("-e", "--no-deps") or (extra[1] in extras if extra else word in pinned), word


def test_every_script_is_in_the_table() -> None:
    """A script is a file with a ``main``; the others are read by them."""
    scripts = {f.name for f in (ROOT / "benchmarks").glob("*.py") if '__name__ == "__main__"' in f.read_text("utf-8")}
    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
        for name in re.findall(r"`(\w+\.py)`", row)
    }
    assert scripts == told
