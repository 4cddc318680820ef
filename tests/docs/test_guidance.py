"""The page about guidance: its examples are executed, and its table of streams is that of the kernels.

``python -m pytest tests/docs --update`` rewrites the table. That machine code moves these streams and no others is
looked at in tests/backends/test_nvcc.py.
"""

import re
import runpy
import warnings
from pathlib import Path

import pytest
import torch

from derive.backends._kernel import kernels
from tests.backends.sources import program_of
from tests.backends.test_nvcc import more

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guidance.md"
SHOWN = re.compile(r"<!-- streams -->\n.*?<!-- /streams -->", re.DOTALL)
SOLVERS = {
    "dpmpp_2m": "DPM-Solver++ 2M",
    "unipc_2": "UniPC-2",
    "edm_heun": "EDM Heun, second call",
    "flow_ssprk3": "flow, SSPRK3, last call",
}


def table() -> str:
    """Reads + writes: without a projection, bounded, with guidance, with both; what a threshold reads besides."""
    lines = [
        "| step | plain | clip | guidance | both | a threshold |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, title in SOLVERS.items():
        program = program_of(name)
        kernel = kernels(program)[-1]
        moved = "cin" in program.columns or any(one.after[0] for one in kernels(program))
        cells = [
            f"{len(kernel.loads) + more(kernel, False, pair, bounds)} + {len(kernel.stores) + (2 if pair else moved)}"
            for pair, bounds in ((False, False), (False, True), (True, False), (True, True))
        ]
        lines.append(f"| {title} | {' | '.join(cells)} | 3 x 2 / 3 x 3 |")
    return "<!-- streams -->\n" + "\n".join(lines) + "\n<!-- /streams -->"


def test_the_table_is_that_of_the_kernels(update: bool) -> None:
    text = PAGE.read_text("utf-8")
    if update:
        PAGE.write_text(SHOWN.sub(lambda _: table(), text), "utf-8")
        return
    assert SHOWN.findall(text) == [table()], "run python -m pytest tests/docs --update"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text("".join(examples), "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        names = runpy.run_path(str(tmp_path / "example.py"))
    samples, changing = names["samples"], names["changing"]
    assert samples.shape == changing.shape == (8, 256)
    assert float(samples.abs().max()) <= 1 + 1e-4 and float(changing.abs().max()) <= 1 + 1e-4
    assert float((samples - changing).abs().max()) > 0.01
    assert torch.allclose(names["looped"], samples, rtol=1e-3, atol=1e-4)
    assert float((names["weaker"] - names["looped"]).abs().max()) > 0.01
