"""A spec's default grid is one that a solve can begin on; a spec whose grid is not is refused with the step and the reason."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive import emit, pipeline
from derive.check import unplanned
from derive.errors import SpecError
from derive.spec import read_spec_text
from runtime.errors import LimitError
from tests.claims.shipped import NAMES

SPEC = """\
name: at_alpha_zero
problem: {kind: diffusion, schedule: {kind: flow}, prediction: noise}
method: {family: exponential_multistep, steps: 2, integrand: noise, variable: lambda}
grid: {kind: uniform, steps: 20, variable: t}
"""


@pytest.mark.parametrize("name", NAMES)
def test_shipped(name: str) -> None:
    assert unplanned(import_module(f"generated.{name}").solver) == ""


def solver(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **changes: str) -> Any:
    text = SPEC.replace("at_alpha_zero", name)
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / name).mkdir()
    for file, content in emit.render(pipeline.derive(read_spec_text(text))).items():
        (folder / name / file).write_bytes(content)
    monkeypatch.syspath_prepend(folder)
    return import_module(name).solver


def test_a_step_without_coefficients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "step 0 of 20 (t = 1.0 to 0.95): the step starts at alpha = 0"
    assert unplanned(solver(tmp_path, monkeypatch, "with_steps")).startswith(reason)
    assert unplanned(solver(tmp_path, monkeypatch, "without", **{"steps: 20, ": ""})).startswith(reason)
    assert unplanned(solver(tmp_path, monkeypatch, "inside", **{"variable: t}": "variable: t, t_start: 0.9}"})) == ""


def test_what_is_not_certain_is_not_refused() -> None:
    def made(grid: dict[str, Any], error: ValueError) -> Any:
        def plan(**_: Any) -> None:
            raise error

        return SimpleNamespace(_coefficients=SimpleNamespace(GRID=grid, STEPS=1, START="ramp"), plan=plan)

    assert unplanned(made({}, LimitError("no grid"))) == ""
    assert unplanned(made({"kind": "karras"}, ValueError("20 steps are too many"))) == ""
    assert unplanned(made({"kind": "karras"}, LimitError("no limit"))) == "no limit"
    assert unplanned(made({"kind": "karras", "steps": 3}, ValueError("too many"))) == "too many"


def test_the_spec_is_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    monkeypatch.setattr(pipeline, "check", lambda files, name: {"ok": True, "lines": [], "grid": "the reason"})
    with pytest.raises(SpecError, match=r"spec.yaml:4:7: grid: no solve can begin on it: the reason"):
        pipeline.new_solver(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
