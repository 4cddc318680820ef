"""The page about SDEs of one's own, churn and Langevin steps: its blocks are executed, and its table is what is proved."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from derive.analysis.ito_taylor import prove
from runtime.sde import METHODS
from tests.docs.blocks import execute

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ito.md"
ROW = re.compile(r"^\| `(\w+)`[^|]*\| (\w+) \| (\d) \| ([\d/]+) \| (\d) \|$", re.MULTILINE)


def test_the_blocks_run_and_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, names = execute(PAGE, tmp_path)
    assert text == PAGE.read_text("utf-8")
    assert names["kept"].shape == (8, 3)


def test_the_table_is_what_is_proved() -> None:
    rows = ROW.findall(PAGE.read_text("utf-8"))
    assert {name for name, *_ in rows} == set(METHODS) and len(rows) == 6
    for name, noise, weak, strong, calls in rows:
        found = prove(METHODS[name], additive=noise == "additive")
        assert (found.weak, found.strong) == (int(weak), Fraction(strong)), name
        assert len(METHODS[name].times) == int(calls)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", re.sub(r"\s+", " ", PAGE.read_text("utf-8")))
    assert links and all((PAGE.parent / link).exists() for link in links)
