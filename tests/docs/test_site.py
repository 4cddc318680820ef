"""The pages of the site are executed, block by block, and the navigation of mkdocs.yml and the files agree.

``python -m pytest tests/docs --update`` rewrites what is printed in them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import agree, blocks, execute

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXECUTED = [
    "index.md", "tutorial.md", "theory.md", "howto/schedule.md", "howto/method.md", "howto/network.md", "howto/deploy.md",
]  # fmt: skip


@pytest.mark.parametrize("name", EXECUTED)
def test_the_blocks_of_the_page_run_and_print_what_it_says(name, update, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    now, _ = execute(DOCS / name, tmp_path)
    for module in set(sys.modules) - before:
        if module.startswith("generated."):
            del sys.modules[module]
    agree(DOCS / name, now, update)


def pages(nav: list) -> list[str]:
    """The files of a navigation, in order."""
    found: list[str] = []
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += pages(value) if isinstance(value, list) else [value]
    return found


def test_the_navigation_and_the_files_agree():
    """A file that nobody can reach, or an entry without its file, is a fault. Pages below audit/ are added by the build."""
    wanted = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    there = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert len(wanted) == len(set(wanted))
    assert {page for page in there if not page.startswith("audit/")} <= set(wanted)
    assert set(wanted) <= there


def test_the_pipeline_is_that_of_the_readme():
    picture = re.search(r"## The pipeline\n\n(```\n.*?```)\n", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    shown = re.search(
        r"<!-- pipeline -->\n(.*?)\n<!-- /pipeline -->", (DOCS / "index.md").read_text("utf-8"), re.DOTALL
    )
    assert picture and shown and picture[1] == shown[1]


@pytest.mark.parametrize("name", EXECUTED)
def test_every_block_is_executed_or_output(name):
    """A block without a language, or in one that nothing runs, would not be looked at by anybody."""
    for block in blocks((DOCS / name).read_text("utf-8")):
        picture = name == "index.md" and block.kind == "" and "spec.yaml" in block.body
        assert picture or block.title or block.kind in {"python", "text", "console"}, block


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: p.relative_to(DOCS).as_posix())
def test_python_and_commands_of_every_page_are_run_by_a_test(page):
    """Pages are executed here, or by the test that bears their name; figures are theirs to compare."""
    if not re.search(r"^```(python|console|yaml)", page.read_text("utf-8"), re.MULTILINE):
        return
    name = page.relative_to(DOCS).as_posix()
    others = "".join(file.read_text("utf-8") for folder in ("docs", "report", "adapters", "audit", "backends", "spec")
                     for file in (ROOT / "tests" / folder).glob("test_*.py") if file.name != Path(__file__).name)  # fmt: skip
    assert name in EXECUTED or name.startswith("families/") or f'"{page.name}"' in others, (
        f"{name} is executed by no test"
    )
