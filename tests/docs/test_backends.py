"""The page about backends: its examples are executed, one after the other, and the phases that it shows are the generated ones.

``python -m pytest tests/docs --update`` rewrites them.
"""

import re
import runpy
import warnings
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "backends.md"


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path / "cache"))
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text("".join(examples), "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no compiler: the torch step is taken
        names = runpy.run_path(str(tmp_path / "example.py"))
    assert torch.allclose(names["samples"], names["plain"], rtol=1e-4, atol=1e-5)
    assert names["x"].grad.abs().max() > 0 and names["largest"] < 1e-5
    assert torch.allclose(names["looped"], names["plain"], rtol=1e-4, atol=1e-5)
    assert names["other"].shape == names["looped"].shape and not torch.equal(names["other"], names["looped"])


@pytest.mark.parametrize(
    ("mark", "language", "file", "start", "stop"),
    [
        ("phase", "cpp", "step_cuda.cu", "// main: ", "};\n\n"),
        ("triton", "py", "step_triton.py", "@triton.jit\ndef main", "\n\n\n"),
    ],
)
def test_the_phase_is_the_generated_one(mark, language, file, start, stop, update):
    source = (ROOT / "generated" / "dpmpp_2m" / file).read_text("utf-8")
    phase = source[source.index(start) :].partition(stop)[0] + stop.rstrip("\n") + "\n"
    shown = f"<!-- {mark} -->\n```{language}\n{phase}```\n<!-- /{mark} -->"
    place = re.compile(rf"<!-- {mark} -->\n.*?<!-- /{mark} -->", re.DOTALL)
    text = PAGE.read_text("utf-8")
    if update:
        PAGE.write_text(place.sub(lambda _: shown, text), "utf-8")
        return
    assert place.findall(text) == [shown], "run python -m pytest tests/docs --update"
