"""A state in two bfloat16 numbers loses next to nothing of a solve; in one, far more than the network does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import half_precision
from benchmarks.rivals import installed


def test_two_numbers_are_nearly_a_float32_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "SAMPLES", 512)
    found = half_precision.errors("dpmpp_2m", 25, tmp_path)
    ours, plain, best = (found[name] for name in ("two numbers", "plain", "float32"))
    assert ours["own"] < plain["own"] / 10
    assert ours["all"] == pytest.approx(best["all"], rel=0.05)
    assert best["own"] < ours["own"] < 2**-9
    if installed("diffusers"):
        assert found["smaller"]["own"] > half_precision.ASKED["dpmpp_2m", 25]
