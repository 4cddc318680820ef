"""The page about gradients: its example is executed, and its table is what the schedule says.

``python -m pytest tests/docs --update`` rewrites the table.
"""

import re
import runpy
from pathlib import Path

import torch

from runtime.revolve import evaluations, schedule

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gradients.md"
SHOWN = re.compile(r"<!-- calls -->\n.*?<!-- /calls -->", re.DOTALL)
SNAPSHOTS = (1, 2, 4, 8, 16, 32)


def table() -> str:
    """Calls for a sample and its gradient: those of the sample, and the actions of the schedule carried out."""
    lines = ["| calls of the sample | " + " | ".join(f"s = {s}" for s in SNAPSHOTS) + " |", "|--:" * 7 + "|"]
    for steps in (10, 20, 50, 100, 1000):
        row = []
        for snapshots in SNAPSHOTS:
            backward, reversing = 0, False
            for action in schedule(steps, snapshots):
                reversing |= action.name == "reverse"
                backward += (action.stop - action.step) * reversing
            assert steps + backward == evaluations(steps, snapshots)
            row.append(f"{(steps + backward) / steps:.1f}")
        lines.append(f"| {steps} | " + " | ".join(row) + " |")
    return "<!-- calls -->\n" + "\n".join(lines) + "\n<!-- /calls -->"


def test_the_example_runs(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text(example, "utf-8")
    names = runpy.run_path(str(tmp_path / "example.py"))
    recomputed = [p.grad.clone() for p in names["network"].parameters()]
    names["network"].zero_grad()
    names["dpmpp_2m"].solver.sample(names["model"], names["x_T"], steps=50).square().mean().backward()
    for found, wanted in zip(recomputed, (p.grad for p in names["network"].parameters()), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_the_table_is_that_of_the_schedule(update):
    text = PAGE.read_text("utf-8")
    if update:
        PAGE.write_text(SHOWN.sub(lambda _: table(), text), "utf-8")
        return
    assert SHOWN.findall(text) == [table()], "run python -m pytest tests/docs --update"
