"""The page about noise: its blocks are executed, and print what it shows."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from runtime.brownian import Brownian
from tests.docs.blocks import execute

PAGE = Path(__file__).resolve().parents[2] / "docs" / "noise.md"


def test_the_blocks_run_and_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, names = execute(PAGE, tmp_path)
    assert text == PAGE.read_text("utf-8")
    assert torch.allclose(names["unit"], names["one"] / math.sqrt(0.2), rtol=1e-12, atol=0)


def test_the_figures_of_the_lattice() -> None:
    """Of any interval: the quantum, |W| whose sums are exact, a tick of the deepest level, float32's unit."""
    for length in (1e-9, 0.5, 1.0, 1.99, 2.0, 3.0, 6400.0):
        path, root = Brownian(0, (0.0, length), levels=48), math.sqrt(length)
        assert 2.0**-44 < path.quantum / root <= 2.0**-43
        assert 2.0**53 * path.quantum >= 2.0**9 * root
        assert math.sqrt(path.tick) / path.quantum >= 2.0**19
        assert (path.quantum * 2**24) ** 2 / 6 <= 6.1e-13 * length


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", re.sub(r"\s+", " ", PAGE.read_text("utf-8")))
    assert links and all((PAGE.parent / link).exists() for link in links)
