"""docs/compare.md and docs/report.md say what is true: their commands run and print what is printed there.

``python -m pytest tests/report/test_docs.py --update`` rewrites the screens and the plot.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from derive.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
NUMBER = re.compile(r"\d+\.\d+e[+-]\d+|-?\d+\.\d+")


def screen(page, name):
    """(command, output) of a section between markers."""
    text = (DOCS / page).read_text()
    body = re.search(
        rf"<!-- {name} -->\n```console\n\$ python -m derive (.*?)\n(.*?)```\n<!-- /{name} -->", text, re.DOTALL
    )
    assert body, f"docs/{page} has no section {name}"
    return body.group(1), body.group(2)


def rewrite(page, name, command, output):
    text = (DOCS / page).read_text()
    new = f"<!-- {name} -->\n```console\n$ python -m derive {command}\n{output}```\n<!-- /{name} -->"
    (DOCS / page).write_text(re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: new, text, flags=re.DOTALL))


def same(found, written):
    """Equal words; numbers to 5 percent, since they are measured."""
    assert NUMBER.sub("#", found).split() == NUMBER.sub("#", written).split()
    pairs = zip(map(float, NUMBER.findall(found)), map(float, NUMBER.findall(written)), strict=True)
    for a, b in pairs:
        assert a == pytest.approx(b, rel=0.05, abs=0.02)


@pytest.mark.parametrize(
    "page, name, picture", [("compare.md", "compare", "compare.svg"), ("report.md", "report", None)]
)
def test_the_screen_is_what_the_command_prints(page, name, picture, update, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command, written = screen(page, name)
    assert main(command.split()) == 0
    found = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"
    if update:
        rewrite(page, name, command, found)
        if picture:
            shutil.copy(tmp_path / picture, DOCS / picture)
    else:
        same(found, written)


@pytest.mark.parametrize("page", ["compare.md", "report.md"])
def test_links_and_pictures_are_there(page):
    text = (DOCS / page).read_text()
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert pictures and all(len(words) > 20 and (DOCS / file).exists() for words, file in pictures)
    for _, file in pictures:
        if file.endswith(".svg"):
            ElementTree.parse(DOCS / file)


def test_every_section_of_the_page_is_in_the_table():
    """A new section is explained."""
    from importlib import import_module

    from derive.lookup import names

    text = (DOCS / "report.md").read_text().lower()
    told = {"law": "what a budget buys", "sources": "references", "error_constant": "error constant"}
    for name in names("derive.report"):
        assert import_module(f"derive.report.{name}").PLACE > 0
        assert told.get(name, name) in text
