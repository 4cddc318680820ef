"""The pages of the site are executed, block by block, and the navigation of mkdocs.yml and the files agree.

``python -m pytest tests/docs --update`` rewrites what is printed in them.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from importlib import import_module
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


CHECKED = {
    "README.md": {
        "bash": (1, "readme.test_readme.test_the_commands_are_the_first_block"),
        "": (1, "docs.test_site.test_the_pipeline_is_that_of_the_readme"),
        "yaml": (1, "readme.test_readme.test_spec"),
        "console": (2, "readme.test_readme.test_screen"),
        "python": (1, "readme.test_readme.test_code_of_the_readme_runs"),
    },
    "docs/adapters.md": {"python": (3, "docs.test_adapters.test_the_examples_run")},
    "docs/adaptive.md": {"python": (1, "docs.test_adaptive.test_the_example_runs")},
    "docs/audit.md": {"console": (1, "docs.test_audit.test_the_screen_is_what_the_command_prints")},
    "docs/backends.md": {
        "python": (4, "docs.test_backends.test_the_examples_run"),
        "cpp": (1, "docs.test_backends.test_the_phase_is_the_generated_one"),
        "py": (1, "docs.test_backends.test_the_phase_is_the_generated_one"),
    },
    "docs/benchmarks.md": {"bash": (3, "docs.test_benchmarks.test_the_script_understands_its_options")},
    "docs/compare.md": {"console": (1, "report.test_docs.test_the_screen_is_what_the_command_prints")},
    "docs/consistency.md": {
        "python": (3, "docs.test_consistency.test_the_blocks_run_and_print_what_is_shown"),
        "text": (3, "docs.test_consistency.test_the_blocks_run_and_print_what_is_shown"),
    },
    "docs/density.md": {
        "python": (4, "docs.test_density.test_the_blocks_run_and_print_what_is_shown"),
        "text": (3, "docs.test_density.test_the_blocks_run_and_print_what_is_shown"),
    },
    "docs/gradients.md": {"python": (1, "docs.test_gradients.test_the_example_runs")},
    "docs/guidance.md": {"python": (2, "docs.test_guidance.test_the_examples_run")},
    "docs/import_config.md": {
        "bash": (1, "docs.test_import_config.test_the_commands_run_and_give_the_spec"),
        "json": (1, "docs.test_import_config.test_the_commands_run_and_give_the_spec"),
        "yaml": (1, "docs.test_import_config.test_the_commands_run_and_give_the_spec"),
        "text": (1, "docs.test_import_config.test_the_name_map_is_what_the_command_prints"),
    },
    "docs/ito.md": {
        "python": (4, "docs.test_ito.test_the_blocks_run_and_print_what_is_shown"),
        "text": (4, "docs.test_ito.test_the_blocks_run_and_print_what_is_shown"),
    },
    "docs/noise.md": {
        "python": (5, "docs.test_noise.test_the_blocks_run_and_print_what_is_shown"),
        "text": (5, "docs.test_noise.test_the_blocks_run_and_print_what_is_shown"),
    },
    "docs/processes.md": {
        "yaml": (2, "docs.test_processes.test_the_blocks_run_and_print_what_is_shown"),
        "python": (4, "docs.test_processes.test_the_blocks_run_and_print_what_is_shown"),
        "text": (4, "docs.test_processes.test_the_blocks_run_and_print_what_is_shown"),
    },
    "docs/stochastic.md": {
        "yaml": (1, "docs.test_stochastic.test_the_blocks_run_and_print_what_is_shown"),
        "python": (4, "docs.test_stochastic.test_the_blocks_run_and_print_what_is_shown"),
        "text": (4, "docs.test_stochastic.test_the_blocks_run_and_print_what_is_shown"),
    },
    "docs/report.md": {"console": (1, "report.test_docs.test_the_screen_is_what_the_command_prints")},
    "docs/traffic.md": {"python": (1, "docs.test_traffic.test_the_example_prints_what_it_says")},
}
"""The blocks that are not executed here: by language, how many, and the test that runs them or compares them."""
PAGES = ["README.md", *sorted(page.relative_to(ROOT).as_posix() for page in DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_every_page_has_its_test(page):
    text = (ROOT / page).read_text("utf-8")
    found = Counter(block.kind for block in blocks(text))
    assert found.total() * 2 == len(re.findall(r"^ *```", text, re.MULTILINE)), "a fence that is not seen as a block"
    name = page.removeprefix("docs/")
    if name in EXECUTED:
        return  # the test above
    if name.startswith("families/"):
        assert set(found) == {"yaml", "console"} and found["yaml"] == found["console"]  # test_pages.py
        return
    assert dict(found) == {kind: count for kind, (count, _) in CHECKED.get(page, {}).items()}
    for _, test in CHECKED.get(page, {}).values():
        module, _, function = test.rpartition(".")
        assert callable(getattr(import_module(f"tests.{module}"), function))


def lines_of_code(page: str) -> list[str]:
    return [
        line for b in blocks((ROOT / page).read_text("utf-8")) if b.kind == "python" for line in b.body.splitlines()
    ]


@pytest.mark.parametrize("page", PAGES)
def test_code_fits_into_its_column(page):
    """Of a laptop: 95 signs. On a phone it scrolls."""
    assert [line for line in lines_of_code(page) if len(line) > 95] == []
