"""Docstrings of this project as Markdown: what mkdocstrings shows on the pages of the reference.

A line that begins with names and a colon becomes an item of a list, roles become code, and a ``*`` of a formula is no emphasis.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ITEM = re.compile(r"^((?:[a-z][A-Za-z_]*|x_T)(?:\([^)]*\))?(?:, [a-z][A-Za-z_]*|, x_T)*): ")
ROLE = re.compile(r":[a-z]+:`~?([^`]*)`")
CODE = re.compile(r"(`+[^`]+`+)")
LATER = re.compile(r"(?<=\.)\s(?=((?:[A-Za-z_]\w*)(?:, [A-Za-z_]\w*)*): )")
"""Where an item begins in the middle of a line."""


def markdown(text: str, known: set[str]) -> str:
    """The docstring as Markdown; indented blocks stay code. known: the names that begin an item wherever they stand."""
    text = LATER.sub(lambda found: "\n" if set(found[1].split(", ")) <= known else found[0], text)
    lines: list[str] = []
    inside = False  # an item of a list
    for line in ROLE.sub(r"`\1`", text).splitlines():
        code = line.startswith("    ") and not inside
        if not line.strip():
            inside = False
        elif not code:
            item = ITEM.match(line)
            ended = inside and bool(lines) and lines[-1].rstrip().endswith(".") and re.match(r"[A-Z`]", line)
            if item or ended:
                lines.append("")
            names = item[1].split(", ") if item else []
            said = f"* {', '.join(f'`{name}`' for name in names)}: {line[item.end() :]}" if item else line
            inside = bool(item) or (inside and not ended)
            line = _plain(said) if item else ("  " if inside else "") + _plain(line)
        lines.append(line)
    return "\n".join(lines)


def _plain(line: str) -> str:
    """Stars and underscores outside of code are what they are."""
    bullet, line = (line[:2], line[2:]) if line.startswith("* ") else ("", line)
    parts = CODE.split(line)
    kept = [p if p.startswith("`") else re.sub(r"([*_{\[])", r"\\\1", p.replace("<", "&lt;")) for p in parts]
    return bullet + "".join(kept)


class Plain(griffe.Extension):
    """Applied by mkdocstrings to every object that it loads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            known = {p.name for p in obj.parameters} if isinstance(obj, griffe.Function) else set(obj.members)
            obj.docstring.value = markdown(obj.docstring.value, known)
