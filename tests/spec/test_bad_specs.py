"""Every wrong spec of the catalogue: exit code, place, key path, words; no side effect, no delay, no bare exception."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from derive.errors import DeriveError, FileSystemError, SpecError
from derive.spec import read_spec, read_spec_text, schema
from tests.spec.audit import watched
from tests.spec.bad_specs import CASES, GOOD, BadSpec, edited

READ = [case for case in CASES if case.stage == "read"]
RESOLVE = [case for case in CASES if case.stage == "resolve"]


@pytest.fixture(scope="module", autouse=True)
def _everything_loaded() -> None:
    schema()
    read_spec_text(GOOD)


def refusal(path: Path, read: object = read_spec) -> DeriveError:
    with pytest.raises(DeriveError) as caught:
        read(path)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name[:60])
def test_refused_by_the_reader(case: BadSpec, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    start = time.perf_counter()
    with watched() as seen:
        error = refusal(path)
    assert time.perf_counter() - start < 5
    assert seen == []
    assert sorted(tmp_path.rglob("*")) == before
    assert_reported(case, error, path)


def assert_reported(case: BadSpec, error: DeriveError, path: Path) -> None:
    assert error.exit_code == case.exit_code
    if isinstance(error, FileSystemError):
        assert all(words in str(error) for words in case.contains), str(error)
        assert str(error).startswith(str(path))
        return
    assert isinstance(error, SpecError)
    wanted = f"{path}:{case.line}:{case.column}: " + (f"{case.key}: " if case.key else "")
    lines = str(error).splitlines()
    assert len(lines) == len(error.faults)
    assert any(line.startswith(wanted) and all(words in line for words in case.contains) for line in lines), str(error)
    assert all(re.match(rf"{re.escape(str(path))}:[1-9]\d*:[1-9]\d*: ", line) for line in lines)
    assert str(error).replace(str(path), "").isascii()
    assert max(len(line) - len(str(path)) for line in lines) < 1000


@pytest.mark.parametrize("case", RESOLVE, ids=lambda case: case.name)
def test_well_formed_for_the_reader(case: BadSpec, tmp_path: Path) -> None:
    spec = read_spec(case.write(tmp_path))
    fault = spec.fault(case.key, "x")
    assert (fault.line, fault.column, fault.key, fault.file) == (
        case.line,
        case.column,
        case.key,
        str(tmp_path / "spec.yaml"),
    )


def test_names_are_unique_and_there_are_many() -> None:
    assert max(Counter(case.name for case in CASES).values()) == 1
    assert len(READ) > 500
    assert len(RESOLVE) >= 25


def test_the_catalogue_edits_a_good_spec() -> None:
    assert read_spec_text(GOOD).name == "my_dpmpp_2m"
    assert read_spec_text(edited(9, "  steps: 3")).method.parameters["steps"] == 3


def test_every_fault_at_once_in_the_order_of_the_file() -> None:
    text = (
        GOOD.replace("my_dpmpp_2m", "lambda")
        .replace("steps: 2\n", "steps: yes\n")
        .replace("ramp", "rump")
        .replace("[torch]", "[x, 3]")
    )
    with pytest.raises(SpecError) as caught:
        read_spec_text(text)
    assert [fault.key for fault in caught.value.faults] == [
        "name",
        "method.steps",
        "method.start",
        "backends[0]",
        "backends[1]",
    ]
    assert [fault.line for fault in caught.value.faults] == [1, 9, 13, 17, 17]


def test_a_fault_is_said_once() -> None:
    with pytest.raises(SpecError) as caught:
        read_spec_text(edited(9, "  steps: 1_0"))
    assert len(caught.value.faults) == 1


def test_characters_of_devices_are_never_waited_for() -> None:
    assert "not a regular file" in str(refusal(Path("/dev/zero")))
    assert "not a regular file" in str(refusal(Path("/dev/null")))


def test_a_link_out_of_the_folder_is_no_table(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.json").write_text("[0.9, 0.5]")
    (inside / "a.json").symlink_to(tmp_path / "secret.json")
    (inside / "spec.yaml").write_text(edited(5, "  schedule: {kind: table, alphas_cumprod: a.json}"))
    assert "in or below the folder" in str(refusal(inside / "spec.yaml"))


def test_a_path_with_odd_characters_is_shown_escaped(tmp_path: Path) -> None:
    message = str(refusal(tmp_path / "a\nb\x1b[0m.yaml"))
    assert "\n" not in message
    assert "\x1b" not in message
    assert r"a\nb\x1b[0m.yaml" in message
