"""The page about stochastic solvers: its blocks are executed, and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import execute

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stochastic.md"


def test_the_blocks_run_and_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    text, names = execute(PAGE, tmp_path)
    assert text == PAGE.read_text("utf-8")
    assert names["claims"]["weak_order"] == 2 and bool((names["mean"] != names["whole"]).all())


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", PAGE.read_text("utf-8"))
    assert links and all((PAGE.parent / link).exists() for link in links)
