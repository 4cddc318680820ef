"""The example of the page about adaptive steps is executed."""

import re
import runpy
from pathlib import Path

import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adaptive.md"


def test_the_example_runs(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text(example, "utf-8")
    names = runpy.run_path(str(tmp_path / "example.py"))
    found, x = names["found"], names["x"]
    assert found.x.shape == found.at(0.5).shape == x.shape
    assert found.accepted.shape == found.error.shape == found.stiffness.shape == x.shape[:1]
    assert torch.equal(found.at(found.times[0][-1]), found.x)
    assert all(times[0] == 1.0 and times[-1] == 0.0 for times in found.times)
