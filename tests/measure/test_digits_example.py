"""The example draws digits: its picture is a valid PNG of images that are next to real ones."""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from derive.measure.problems import digits

SOLVER = "tests.runtime.sample_solver"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_example", ROOT / "examples" / "digits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_samples_are_digits_and_more_steps_come_closer(example: ModuleType) -> None:
    def gap(steps: int, dtype: torch.dtype) -> float:
        images = example.sample(SOLVER, steps, 32, 0, dtype, None)
        assert images.dtype == dtype and images.shape == (32, 1, 8, 8)
        return torch.cdist(images.reshape(32, -1).double(), digits().points).amin(1).median().item()

    assert gap(4, torch.float64) > gap(8, torch.float64) > 10 * gap(20, torch.float32)


def test_different_noise_gives_different_digits(example: ModuleType) -> None:
    images = example.sample(SOLVER, 20, 40, 1, torch.float64, None).reshape(40, -1)
    nearest = torch.cdist(images, digits().points).argmin(1)
    assert len(set(nearest.tolist())) > 30


def test_command_writes_a_png(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.png"
    assert example.main([SOLVER, "--steps", "6", "--count", "5", "--columns", "4", "--out", str(out)]) == 0
    body = out.read_bytes()
    assert body[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(body[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == ((4 * 9 + 1) * 6, (2 * 9 + 1) * 6)
    start = body.index(b"IDAT") + 4
    size = int.from_bytes(body[start - 8 : start - 4], "big")
    assert len(zlib.decompress(body[start : start + size])) == height * (width + 1)
    assert "5 digits, 6 steps" in capsys.readouterr().out
