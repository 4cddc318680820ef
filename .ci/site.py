"""What mkdocs.yml hooks into the build of the site.

Formulas become MathML, which browsers draw themselves: a page needs no script and nothing from the network. A page of the
navigation that is not written yet is left out, and so is a section without pages; the files of ``docs/audit`` are added.
What is wide is marked for site.css: a table scrolls, what a command prints wraps, a formula breaks at its gaps.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

FORMULA = re.compile(r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.DOTALL)
TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
SCREEN = re.compile(r'<div class="highlight">(<pre>.*?<code>)(.*?)(?=</code></pre>)', re.DOTALL)
NUMBER = re.compile(r"<(pre|code|math)\b.*?</\1>|<[^>]+>|(?P<number>\d+(?:\.\d+)?e-\d+)", re.DOTALL)
SAID = re.compile(r"^\$ python -m derive (new-solver|explain|verify|audit) ", re.MULTILINE)


def written(nav: list[Any], docs: Path) -> list[Any]:
    """The entries of a navigation whose files exist: a page, ``{title: page}`` or ``{title: entries}``."""
    kept: list[Any] = []
    for entry in nav:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else ("", entry)
        if isinstance(value, list):
            below = written(value, docs)
            kept += [{title: below}] if below else []
        elif (docs / value).is_file():
            kept.append(entry)
            if value == "audit.md":
                kept += [f"audit/{page.name}" for page in sorted((docs / "audit").glob("*.md"))]
    return kept


def mathml(page: str, where: str) -> str:
    """The page with its formulas as MathML. PluginError with the formula that is not understood."""

    def drawn(found: re.Match[str]) -> str:
        tex = html.unescape(found[2]).strip()
        kind = "block" if found[1] == "div" else "inline"
        try:
            formula = " ".join(convert(part.strip(), display=kind) for part in tex.split(r"\qquad"))
        except Exception as error:
            raise PluginError(f"{where}: {tex!r} is not a formula: {error!r}") from error
        return f'<{found[1]} class="formula">{formula}</{found[1]}>'

    return FORMULA.sub(drawn, page)


def screens(page: str) -> str:
    """The page with what commands print marked, line by line: sentences may wrap, other lines (figures) on wide screens."""

    def marked(found: re.Match[str]) -> str:
        text = html.unescape(re.sub(r"<[^>]+>", "", found[2]))
        if '<span class="' in found[2] and not text.startswith("$ "):
            return found[0]  # code
        lines = "".join(f'<span class="line">{line}</span>' for line in found[2].splitlines(keepends=True))
        return f'<div class="highlight {"said" if SAID.search(text) else "shown"}">{found[1]}{lines}'

    return SCREEN.sub(marked, page)


def numbers(page: str) -> str:
    """The page with numbers like 1e-12 kept on a line, outside of code and formulas."""
    return NUMBER.sub(lambda m: f'<span class="number">{m[0]}</span>' if m["number"] else m[0], page)


def on_config(config: Any) -> Any:
    """Called by mkdocs with its configuration."""
    config["nav"] = written(config["nav"], Path(config["docs_dir"]))
    return config


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Called by mkdocs with the body of every page. The tables of audits need the place of the table of contents."""
    if page.file.src_path.startswith("audit/"):
        page.meta["hide"] = ["toc"]
    content = TABLE.sub(lambda table: f'<div class="wide">{table[0]}</div>', content)
    return numbers(mathml(screens(content), page.file.src_path))
