"""Samplers, steps and modules that do not run to the end, or end in no number: what is said of them."""

from __future__ import annotations

import json
import math

import pytest

from derive import cli
from derive.audit.adapters import adapted
from derive.audit.judge import audit_sampler
from derive.audit.samplers import KDiffusion
from derive.measure.order import fit_order
from tests.audit import foreign_torch


def audited(name):
    return audit_sampler(KDiffusion(name, getattr(foreign_torch, f"sample_{name}"), {}, 2), beside=False)


def test_an_end_that_is_no_number_is_no_error_of_zero():
    found = audited("long_runs_lost_2m")
    assert found.data["order"] == 2 and not found.holds
    assert found.failures == ("128, 256 and 512 measured steps: the state is not finite",)
    cells = {row[0]: row for row in found.tables[1].rows}
    assert cells["128"][1] == cells["512"][3] == "not finite" and cells["128"][2] == "-" and "e-" in cells["64"][1]
    assert "NaN" not in json.dumps(found.as_dict())


def test_an_error_that_is_not_finite_gives_no_exponent():
    for lost in (math.nan, math.inf):
        fit = fit_order(lambda n, lost=lost: lost if n == 64 else n**-2.0, 1024)
        assert [line.p for line in fit.table[:4]] == [None, None, None, 2.0] and fit.order == 2
        assert repr(fit.table[1].error) == repr(lost)


NO_RUN = {
    "without_network_2m": "a run never calls the network",
    "without_network_shown_2m": "a run never calls the network",
    "without_state_2m": "a run returns no state",
    "without_any_2m": "a run returns no state",
    "hidden_2m": "a run shows 0 final states on a grid of 25 points",
    "leaves_2m": "a run throws SystemExit: bye",
    "long_runs_throw_2m": "a run throws AssertionError: too long",
}


@pytest.mark.parametrize("name", NO_RUN)
def test_what_does_not_run_says_why(name):
    found = audited(name)
    assert found.failures == (NO_RUN[name],) and found.claims[0].found is None and not found.holds
    throws = "throws" in NO_RUN[name]
    assert found.claims[0].because == ("it does not run" if throws else NO_RUN[name].replace("a run", "it"))


def test_a_step_that_throws_is_a_finding():
    found = adapted("tests.audit.foreign_torch:step_leaves", {}, 2)
    assert found.failures == ("a step throws SystemExit: 3",) and not found.holds


MODULES = {
    "x = = 1": "SyntaxError: invalid syntax",
    "raise RuntimeError('no\\nGPU')": "RuntimeError: no GPU",
    "raise SystemExit('bye')": "SystemExit: bye",
    "import no_such_module_anywhere": "No module named 'no_such_module_anywhere'",
    "open('no such file')": "FileNotFoundError: [Errno 2] No such file or directory: 'no such file'",
}


@pytest.mark.parametrize(("place", "source"), list(enumerate(MODULES)))
def test_a_module_that_fails_on_import_is_a_line(place, source, tmp_path, monkeypatch, capsys):
    name = f"broken_module_{place}"
    (tmp_path / f"{name}.py").write_text(source + "\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["audit", f"{name}:x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith(f"audit: '{name}': cannot be imported: {MODULES[source]}")


@pytest.mark.parametrize("target", [":x", ".x:y", "..:y"])
def test_a_name_that_is_no_module_is_a_line(target, capsys):
    assert cli.main(["audit", target]) == 2
    assert "cannot be imported" in capsys.readouterr().err
