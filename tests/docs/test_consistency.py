"""The page about consistency models: its blocks are executed, and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import execute

PAGE = Path(__file__).resolve().parents[2] / "docs" / "consistency.md"


def test_the_blocks_run_and_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, names = execute(PAGE, tmp_path)
    assert text == PAGE.read_text("utf-8")
    assert 0.99914 < names["path"](0)[0] ** 2 < 0.99916


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", re.sub(r"\s+", " ", PAGE.read_text("utf-8")))
    assert links and all((PAGE.parent / link).exists() for link in links)
