"""Targets that throw anything: one line each, exit code 2 as they are set up and 1 as they run, and no internal error."""

from __future__ import annotations

import json

import pytest

from derive import cli
from derive.audit.guard import Thrown, blamed, tamed, thrown
from derive.errors import SpecError
from tests.audit import foreign_rude

HERE = "tests.audit.foreign_rude"
SAID = {
    "key": "KeyError: 'solver_order'",
    "assertion": "AssertionError",
    "memory": "MemoryError: no room",
    "recursion": "RecursionError: too deep",
    "stop": "StopIteration",
    "exit": "SystemExit: bye",
    "file": "FileNotFoundError: [Errno 2] No such file or directory: 'weights.pt'",
    "module": "ModuleNotFoundError: No module named 'scipy'",
    "gone": "Gone: away",
    "mute": "Mute",
    "lines": "ValueError: two lines",
    "closed": "GeneratorExit",
}
SET_UP = {
    "Bare": "AttributeError: 'Bare' object has no attribute 'config'",
    "Empty": "TypeError: 'int' object is not iterable",
    "Hidden": "Gone: set_timesteps",
    "Hidden.x": "Gone: x",
    "orderless": "Gone: away",
    "sample_nameless": "KeyError: 'solver_order'",
    "ROWS": "Gone: away",
    "HALF": "KeyError: 'solver_order'",
    "FLAT": "TypeError: 'float' object is not iterable",
    "UNREAL": "NotImplementedError: Cannot copy out of meta tensor; no data!",
    "lazy": "RuntimeError: Failed to import tests.audit.lazy because of the following error: no GPU",
    "lazy.x": "RuntimeError: Failed to import tests.audit.lazy because of the following error: no GPU",
}
STEPS = {
    "step_rude": "throws Gone: away",
    "step_mute": "throws Mute",
    "step_linear": "throws Gone: away",
    "step_none": "returns no state",
    "step_scalar": "returns a float for a state",
    "step_short": "returns a state of 1 entries for one of 3",
    "step_nan": "returns a state that is not finite",
}


def ran(capsys, name, **config):
    """(exit code, JSON) of one command; what is on stderr is its faults."""
    words = [word for key, value in config.items() for word in ("--config", f"{key}={value}")]
    code = cli.main(["audit", f"{HERE}:{name}", *words, "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err.splitlines() == found.get("faults", [])
    return code, found


def test_the_table_of_exceptions_is_all_of_them():
    assert list(SAID) == list(foreign_rude.THROWN)


@pytest.mark.parametrize("what", SAID)
def test_a_constructor_that_throws_is_a_line(what, capsys):
    code, found = ran(capsys, "Base", where="constructor", what=what)
    line = f"audit: {HERE}:Base: as it is set up it throws {SAID[what]}"
    assert code == 2 and found["faults"] == [
        "audit: --config: Base refuses its configuration: two lines" if what == "lines" else line
    ]


@pytest.mark.parametrize("where", ["config", "alpha"])
@pytest.mark.parametrize("what", ["key", "gone", "mute", "module"])
def test_an_attribute_that_throws_is_a_line(where, what, capsys):
    code, found = ran(capsys, "Base", where=where, what=what)
    assert code == 2 and found["faults"] == [f"audit: {HERE}:Base: as it is set up it throws {SAID[what]}"]


@pytest.mark.parametrize("name", SET_UP)
def test_a_target_that_throws_as_it_is_looked_at_is_a_line(name, capsys):
    code, found = ran(capsys, name)
    assert code == 2 and found["faults"] == [f"audit: {HERE}:{name}: as it is set up it throws {SET_UP[name]}"]


@pytest.mark.parametrize("where", ["set_timesteps", "begin", "step"])
@pytest.mark.parametrize("what", ["key", "gone", "mute", "closed"])
def test_a_scheduler_that_throws_as_it_runs_is_a_finding(where, what, capsys):
    code, found = ran(capsys, "Base", where=where, what=what)
    assert code == 1 and found["failures"] == [f"a run throws {SAID[what]}"]


@pytest.mark.parametrize("what", SAID)
def test_a_sampler_that_throws_is_a_finding(what, capsys):
    code, found = ran(capsys, "sample_rude_2m", what=what)
    assert code == 1 and found["failures"] == [f"a run throws {SAID[what]}"]


def test_a_state_that_is_none_is_a_finding(capsys):
    code, found = ran(capsys, "sample_pair_2m")
    assert code == 1 and found["failures"] == ["a run returns a tuple for a state"]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_does_not_step_is_a_finding(name, capsys):
    code, found = ran(capsys, name)
    assert code == 1 and found["failures"] == [f"a step {STEPS[name]}"]


def test_an_order_in_words_is_none(capsys):
    code, found = ran(capsys, "step_words")
    assert code == 0 and found["claimed"] is None and found["order"] == 1


@pytest.mark.parametrize("what", ["gone", "mute"])
def test_a_sampler_that_runs_a_few_times_only_is_a_finding(what, capsys, monkeypatch):
    """After the probing, as it is measured."""
    monkeypatch.setattr(foreign_rude, "COUNT", [0])
    code, found = ran(capsys, "sample_tired_2m", runs=11, what=what)
    assert code == 1 and found["failures"] == [f"a run throws {SAID[what]}"]


def test_what_is_fine_is_as_claimed(capsys):
    code, found = ran(capsys, "Base")
    assert code == 0 and found["order"] == found["claimed"] == 1


@pytest.mark.parametrize("guard", [tamed, lambda: blamed("x", "it")])
def test_the_interrupt_of_the_user_passes(guard):
    with pytest.raises(KeyboardInterrupt), guard():
        raise KeyboardInterrupt


def test_a_fault_of_ours_is_not_reworded():
    fault = SpecError()
    with pytest.raises(SpecError) as caught, blamed("x", "it"):
        raise fault
    assert caught.value is fault


def test_what_was_thrown_is_named_once():
    with pytest.raises(Thrown) as caught, tamed():
        raise foreign_rude.Gone("away")
    assert thrown(caught.value) == "Gone: away" and isinstance(caught.value, RuntimeError)
