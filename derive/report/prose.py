"""The Markdown of derivations as HTML: headings, paragraphs, lists, code, bold, and formulas as MathML.

Only what :mod:`derive.derivation` writes is known; everything else is text, and all text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from derive.report.tex import TexError, mathml

_INLINE = re.compile(r"\$([^$]+)\$|`([^`]+)`|\*\*(.+?)\*\*")


_PUNCTUATION = re.compile(r"[.,;:!?)]+(?=\s|$)")
LONG = 60
"""Characters of LaTeX above which a formula may need a line of its own on a phone."""


def _kept(rendered: str, mark: str, long: bool) -> str:
    """A formula with the punctuation behind it, which does not begin a line."""
    if long:
        return f'<span class="long">{rendered}{mark}</span>'
    return f'<span class="kept">{rendered}{mark}</span>' if mark else rendered


def formula(tex: str, display: bool = False) -> str:
    """A formula, rendered; as its source where it is beyond the dialect."""
    try:
        return mathml(tex, display)
    except TexError:
        return f"<code>{escape(tex)}</code>"


def inline(text: str) -> str:
    """One paragraph's inside."""
    out, at = [], 0
    for found in _INLINE.finditer(text):
        tex, code, bold = found.groups()
        out.append(escape(text[at : found.start()]))
        if tex is not None:
            mark = _PUNCTUATION.match(text, found.end())
            out.append(_kept(formula(tex), mark[0] if mark else "", len(tex) > LONG))
            at = mark.end() if mark else found.end()
            continue
        out.append(f"<code>{escape(code)}</code>" if code is not None else f"<strong>{inline(bold)}</strong>")
        at = found.end()
    return "".join(out) + escape(text[at:])


def html(lines: Iterable[str]) -> str:
    """Blocks between empty lines: display formulas, lists, headings of level 3, paragraphs."""
    return "\n".join(_block(block) for block in _blocks(lines))


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in (line for part in lines for line in part.splitlines() or [""]):
        if not line.strip():
            blocks.append([])
        elif line.startswith("- ") and blocks[-1] and not blocks[-1][0].startswith("- "):
            blocks.append([line])
        else:
            blocks[-1].append(line)
    return [block for block in blocks if block]


def _block(block: list[str]) -> str:
    text = "\n".join(block).strip()
    if text.startswith("$$") and text.endswith("$$"):
        return f'<div class="formula" tabindex="0">{formula(text.strip("$").strip(), True)}</div>'
    if text.startswith("#"):
        return f"<h3>{inline(text.lstrip('# '))}</h3>"
    if text.startswith("- "):
        items = re.split(r"\n?^- ", text, flags=re.MULTILINE)[1:]
        return "<ul>" + "".join(f"<li>{inline(' '.join(item.split()))}</li>" for item in items) + "</ul>"
    return f"<p>{inline(' '.join(text.split()))}</p>"


def sections(lines: Iterable[str]) -> dict[str, list[str]]:
    """Heading of level 2 -> the lines below it."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line.startswith("## "):
            current = found.setdefault(line[3:].strip(), [])
        else:
            current.append(line)
    return found
