"""The page about densities: its blocks are executed, and its table is what Ito's rule and the trapezoidal rule show.

``python -m pytest tests/docs --update`` rewrites the outputs and the table.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.docs.blocks import NUMBER, agree, execute
from tests.runtime.test_ito import COUNTS, errors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "density.md"
SHOWN = re.compile(r"<!-- errors -->\n.*?<!-- /errors -->", re.DOTALL)
RULES = {
    "Ito, n = alpha": {"spread": None},
    "Ito, c = 1": {"spread": 1.0},
    "trapezoidal, c = 1": {"spread": 1.0, "rule": "trapezoid"},
}


def table() -> str:
    lines = ["| steps | " + " | ".join(RULES) + " |", "|--:" * (1 + len(RULES)) + "|"]
    for n in COUNTS:
        lines.append(f"| {n} | " + " | ".join(f"{errors(n, **rule)[0]:.3f}" for rule in RULES.values()) + " |")
    return "<!-- errors -->\n" + "\n".join(lines) + "\n<!-- /errors -->"


def test_the_blocks_run_and_print_what_is_shown(tmp_path: Path, update: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    now, names = execute(PAGE, tmp_path)
    agree(PAGE, now, update)
    assert names["bits"].shape == (16,) and names["log_q"].shape == (101, 1000)
    assert names["samples"].mean().item() == pytest.approx(1.0, abs=0.03)
    half = names["edited"].shape[1] // 2
    assert torch.equal(
        names["edited"][:, half:],
        names["ddim"].solver.sample(names["network"], names["x_T"][:4], 20, **names["grid"])[:, half:],
    )
    assert names["again"].shape == names["either"].x.shape == names["mean"].x.shape == (4, 8)


def test_the_table_is_what_is_measured(update: bool) -> None:
    text = PAGE.read_text("utf-8")
    if update:
        PAGE.write_text(SHOWN.sub(lambda _: table(), text), "utf-8")
        return
    (shown,) = SHOWN.findall(text)
    now = table()
    assert NUMBER.sub("#", shown) == NUMBER.sub("#", now), "run python -m pytest tests/docs --update"
    for a, b in zip(map(float, NUMBER.findall(shown)), map(float, NUMBER.findall(now)), strict=True):
        assert a == pytest.approx(b, rel=0.05)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", PAGE.read_text("utf-8"))
    assert links and all((PAGE.parent / link).exists() for link in links)
