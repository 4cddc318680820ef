"""The page about other libraries: its examples are executed, those for diffusers where it is installed."""

import json
import re
import runpy
from pathlib import Path

import pytest

from benchmarks import published
from benchmarks.rivals import installed
from runtime.adapters.peers import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adapters.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["diffusers", "noise", "kdiffusion"])
def test_the_examples_run(example, tmp_path, monkeypatch):
    if example.startswith("# with diffusers") and installed("diffusers") is None:
        pytest.skip("diffusers is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(example, "utf-8")
    names = runpy.run_path(str(tmp_path / "example.py"))
    if "again" in names:
        assert names["again"].config.solver == "unipc_3" and names["x"].isfinite().all()
    elif "ends" in names:
        assert len(names["ends"]) == 2 and all(end.isfinite().all() for end in names["ends"])
    else:
        assert names["seeded"].isfinite().all() and not names["seeded"].equal(names["drawn"])
        assert names["x0"].shape == names["noise"].shape and names["x0"].abs().max() < names["noise"].abs().max()


def test_the_table_names_what_there_is():
    """Solvers that are shipped, with the order and the calls of their claims; classes whose grid can be followed."""
    lines = [line.split("|")[1:-1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert len(lines) == 16
    for solvers, theirs, _, orders, calls in lines:
        for solver, order in zip(re.findall(r"`(\w+)`", solvers), orders.split(","), strict=True):
            claims = json.loads((ROOT / "generated" / solver / "claims.json").read_text("utf-8"))
            assert claims["order"] == int(order), solver
            assert claims["evaluations_per_step"] == int(calls), solver
        assert {*re.findall(r"`(\w+Scheduler)`", theirs)} <= {*SCHEDULES}


def test_the_errors_of_order_3_are_what_is_measured(update):
    """The table, column by column, of what is installed; two digits, so to 6 in a hundred."""
    made = published.lines()
    text = PAGE.read_text("utf-8")
    block = re.search(r"<!-- published -->\n(.*?)<!-- /published -->", text, re.DOTALL)
    assert block
    if update:
        assert len(published.columns()) == 5, "needs diffusers"
        PAGE.write_text(
            text.replace(block[0], "\n".join(["<!-- published -->", *made, "<!-- /published -->"])), "utf-8"
        )
        return
    said = block[1].splitlines()
    assert len(said) == len(made) and said[0].startswith(made[0])
    for line, again in zip(said[2:], made[2:]):
        cells, numbers = (row.split("|")[1:-1] for row in (line, again))
        assert cells[:2] == numbers[:2]
        assert [float(cell) for cell in cells[2:]][: len(numbers) - 2] == pytest.approx(
            [float(n) for n in numbers[2:]], rel=0.06
        )
