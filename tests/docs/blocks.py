"""Execution of a page: its blocks one after the other, in one folder and one namespace, as a reader would.

    ```yaml title="x.yaml"     is written to that file
    ```python                  is executed (title="x.py": written to that file); what it prints is the next ```text
    ```console                 lines after "$ python -m derive" are run; what they print follows

Words have to be equal, numbers with a point equal to 5 percent: they are measured.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from derive.cli import main

BLOCK = re.compile(
    r"^```(?P<kind>[a-z]*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")
COMMAND = "$ python -m derive "
STEADY = re.compile(r"within [\d.e-]+ of(?= the interpreter)")
"""A figure that differs between machines: rounding errors of a step."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its file name or "", its text, and where the text lies in the page."""

    kind: str
    title: str
    body: str
    start: int
    stop: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = BLOCK.finditer(text)
    return [Block(m["kind"], m["title"] or "", m["body"], m.start("body"), m.end("body")) for m in found]


def execute(page: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """(the page with the outputs that its blocks have now, the names that its Python has defined). Runs in ``folder``."""
    text = page.read_text("utf-8")
    names: dict[str, Any] = {}
    printed, parts, done = "", [], 0
    for block in blocks(text):
        new = block.body
        if block.title:
            (folder / block.title).write_text(block.body, "utf-8")
        elif block.kind == "python":
            names, printed = _python(block.body, folder, names)
        elif block.kind == "text":
            new, printed = printed, ""
        elif block.kind == "console":
            new = _console(block.body)
        parts += [text[done : block.start], new]
        done = block.stop
    assert not printed, f"{page.name}: prints what no text block shows: {printed}"
    return "".join([*parts, text[done:]]), names


def _python(code: str, folder: Path, names: dict[str, Any]) -> tuple[dict[str, Any], str]:
    out = io.StringIO()
    script = folder / "_block.py"
    script.write_text(code, "utf-8")
    with contextlib.redirect_stdout(out):
        names = runpy.run_path(str(script), init_globals=names)
    return {name: value for name, value in names.items() if not name.startswith("__")}, out.getvalue()


def _console(body: str) -> str:
    shown = []
    for line in body.splitlines():
        if line.startswith("$"):
            assert line.startswith(COMMAND), f"not a command of this project: {line}"
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = main(line.removeprefix(COMMAND).split())
            assert code in (0, 2), f"{line}\n{out.getvalue()}"
            shown += [line, *(STEADY.sub("within 1e-13 of", row.rstrip()) for row in out.getvalue().splitlines())]
    return "\n".join(shown) + "\n"


def agree(page: Path, now: str, update: bool) -> None:
    """The page is what its blocks print; with ``update`` it is made so."""
    if update:
        page.write_text(now, "utf-8")
        return
    then = page.read_text("utf-8")
    assert NUMBER.sub("#", now).split() == NUMBER.sub("#", then).split(), "run python -m pytest tests/docs --update"
    for a, b in zip(map(float, NUMBER.findall(now)), map(float, NUMBER.findall(then)), strict=True):
        assert a == pytest.approx(b, rel=0.05, abs=1e-9)
