"""The whole catalogue of wrong specs through ``new-solver``: exit code, one line a fault, no traceback, nothing written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from derive.cli import SHOWN_FAULTS, main
from derive.pipeline import derive
from derive.spec import read_spec_text
from tests.spec.audit import watched
from tests.spec.bad_specs import CASES, GOOD, BadSpec


@pytest.fixture(scope="module", autouse=True)
def _everything_loaded() -> None:
    derive(read_spec_text(GOOD))


def test_the_catalogue_is_large():
    assert len({case.name for case in CASES}) == len(CASES) >= 150


OFTEN = {case.name for case in (*CASES[::8], *(case for case in CASES if case.stage != "read"))}
"""Every eighth that the reader refuses, and all that come further; what the reader says, its own tests know of each."""
EACH = [pytest.param(c, marks=() if c.name in OFTEN else pytest.mark.slow, id=c.name[:60]) for c in CASES]


@pytest.mark.parametrize("case", EACH)
def test_refused_by_the_command(case: BadSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = case.write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    start = time.perf_counter()
    with watched() as seen:
        code = main(["new-solver", str(path), "-o", str(tmp_path / "out")])
    elapsed = time.perf_counter() - start
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert code == case.exit_code, captured.err
    assert elapsed < 5
    assert captured.out == ""
    assert 1 <= len(lines) <= SHOWN_FAULTS + 1
    assert "Traceback" not in captured.err and captured.err.isascii()
    assert seen == []
    assert sorted(tmp_path.rglob("*")) == before
