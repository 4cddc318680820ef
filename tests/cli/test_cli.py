"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive import cli, pipeline
from derive.errors import ClaimError, Fault, FileSystemError, InternalError, RefusedError, SpecError

ROOT = Path(__file__).parents[2]
SPEC = """\
name: tiny_ddim
problem:
  kind: diffusion
  schedule: flow
  prediction: velocity
method:
  family: exponential_multistep
  steps: 1
  integrand: velocity
  variable: t
references: ["arXiv:2210.02747"]
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec in an empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"python -m derive {verb}" in text.split("examples:")[1]
    assert all(option in text for option in ("--json", "--quiet", "--debug"))


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_example_parses(verb: str) -> None:
    for example in cli.VERBS[verb].examples:
        assert cli._parse(example.split(" > ")[0].split()).verb == verb


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "no verb"),
        (["nwe-solver"], "did you mean 'new-solver'?"),
        (["new-solver"], "new-solver: the following arguments are required: SPEC.yaml"),
        (["list", "scheduls"], "invalid choice: 'scheduls'"),
        (["explain", "x", "--stop", "emit"], "invalid choice: 'emit'"),
        (["list", "--jsno"], "unrecognized arguments: --jsno"),
        (["--force"], "VERB"),
        (["verify", "no_such_solver"], "no generated solver: got 'no_such_solver'"),
        (["cite", "\u202e"], "got '\\u202e'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.isascii()
    assert part in captured.err


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "new_solver", fail)


FAILURES = [
    (SpecError(Fault("got 7", "method.steps", "s.yaml", 9, 10)), 2, ["s.yaml:9:10: method.steps: got 7"]),
    (SpecError(*(Fault(f"wrong {i}") for i in range(5))), 2, ["wrong 0", "wrong 1", "wrong 2", "(and 2 more)"]),
    (ClaimError(Fault("order 3 is not provable")), 2, ["order 3 is not provable"]),
    (RefusedError("edited"), 1, ["edited"]),
    (FileSystemError("full"), 3, ["full"]),
    (OSError(28, "No space left on device", "x"), 3, ["x: No space left on device"]),
    (InternalError("bad"), 4, ["internal error: bad; please report this with the spec"]),
    (ZeroDivisionError("a\nb"), 4, ["internal error: ZeroDivisionError: 'a\\nb'; please report this with the spec"]),
    (RecursionError(), 4, ["internal error: RecursionError: ''; please report this with the spec"]),
    (KeyboardInterrupt(), 130, ["interrupted"]),
]


@pytest.mark.parametrize(("error", "code", "lines"), FAILURES, ids=lambda x: type(x).__name__)
def test_failures_have_their_code_and_lines(
    error: BaseException,
    code: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _failing(monkeypatch, error)
    assert cli.main(["new-solver", "s.yaml"]) == code
    captured = capsys.readouterr()
    assert captured.err.splitlines() == lines
    assert captured.out == ""
    assert cli.main(["new-solver", "s.yaml", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"ok": False, "exit_code": code, "faults": lines}


def test_a_traceback_only_with_debug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _failing(monkeypatch, ZeroDivisionError("oh"))
    cli.main(["new-solver", "s.yaml"])
    assert "Traceback" not in capsys.readouterr().err
    assert cli.main(["new-solver", "s.yaml", "--debug"]) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("section", cli.SECTIONS)
def test_list_has_a_line_for_everything(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", section, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)[section]
    assert cli.main(["list", section]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == section
    assert len(lines) == 1 + max(1, len(entries))
    assert all(entry["name"] and entry["summary"] for entry in entries)
    if section in ("schedules", "parameterizations", "families", "problems"):
        assert entries and all("arXiv" in entry["reference"] or "doi" in entry["reference"] for entry in entries)


def test_the_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "method" in schema["properties"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "backends", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("stop", cli.STOPS)
def test_explain_prints_every_stop(spec: Path, stop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(spec), "--stop", stop]) == 0
    text = capsys.readouterr().out
    mark = {
        "resolve": "flow",
        "pose": "velocity",
        "derive": "order 1",
        "prove": "order 1",
        "lower": "program tiny_ddim",
    }
    assert mark[stop] in text


def test_explain_as_json_and_latex(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(spec), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"ok", "name", *cli.STOPS}
    assert cli.main(["explain", str(spec), "--latex"]) == 0
    assert "$$" in capsys.readouterr().out


def test_cite_gives_bibtex_of_all_sources(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cite", str(spec)]) == 0
    text = capsys.readouterr().out
    assert text.count("@") == text.count("\n}\n") >= 3
    assert "@misc{lipman2022flow,\n  author = {Lipman, Yaron" in text
    assert "doi = {10.1017/S0962492910000048}" in text


def test_a_bad_spec_writes_nothing(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(SPEC.replace("steps: 1", "steps: 99").replace("variable:", "varible:"))
    assert cli.main(["new-solver", str(spec)]) == 2
    assert "spec.yaml:8:" in capsys.readouterr().err
    assert [path.name for path in spec.parent.iterdir()] == ["spec.yaml"]


def test_a_missing_spec_is_the_file_systems_fault(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new-solver", "nowhere.yaml"]) == 3
    assert "nowhere.yaml" in capsys.readouterr().err


def _result(folder: Path, ok: bool) -> Any:
    folder.mkdir(parents=True)
    (folder / "coefficients.py").write_text("")
    derived = SimpleNamespace(
        spec=SimpleNamespace(name=folder.name),
        tableau="the tableau",
        proof="order 2\nstiff order 2",
        claims={"order": 2},
    )
    return SimpleNamespace(
        derived=derived, folder=folder, written=("coefficients.py",), checked={"ok": ok, "lines": ["measured"]}
    )


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_the_screen_of_new_solver(
    ok: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _result(Path("generated") / "a_solver", ok)
    seen: list[Any] = []
    monkeypatch.setattr(pipeline, "new_solver", lambda *args: seen.append(args) or result)
    assert cli.main(["new-solver", "s.yaml", "--backend", "torch", "--force"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the tableau" and "order 2" in lines and "measured" in lines
    assert lines[-1] == "next: python -m derive verify a_solver"
    assert seen == [("s.yaml", "generated", ("torch",), True)]


def test_verify_reports_what_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "generated" / "a_solver").mkdir(parents=True)
    (tmp_path / "generated" / "a_solver" / "spec.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    found = SimpleNamespace(ok=False, lines=("differs: coefficients.py:9",))
    monkeypatch.setattr(pipeline, "verify", lambda folder: found)
    assert cli.main(["verify", "a_solver"]) == 1
    assert capsys.readouterr().out.splitlines() == ["a_solver: does not hold", "  differs: coefficients.py:9"]
    assert cli.main(["verify", "generated/a_solver", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


def test_it_runs_as_a_module_and_survives_a_closed_pipe() -> None:
    """``python -m derive list | head -1`` ends without a traceback."""
    command = f"{sys.executable} -m derive list schedules | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "schedules\n"
    assert done.stderr == ""


@pytest.mark.slow
def test_from_spec_to_verified_solver(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """new-solver, verify, regenerate --check; an edit is seen and refused; --force keeps the original."""
    assert cli.main(["new-solver", "spec.yaml"]) == 0
    folder = spec.parent / "generated" / "tiny_ddim"
    assert cli.main(["verify", "tiny_ddim"]) == 0
    assert cli.main(["regenerate", "--check", "-o", "generated"]) == 0
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    edited = folder / "coefficients.py"
    edited.write_bytes(first["coefficients.py"].replace(b"STEPS = 1", b"STEPS = 2"))
    capsys.readouterr()
    assert cli.main(["regenerate", "--check", "-o", "generated"]) == 1
    assert "coefficients.py" in capsys.readouterr().out
    assert cli.main(["verify", "tiny_ddim"]) == 1
    assert cli.main(["new-solver", "spec.yaml"]) == 1
    assert "edited by hand" in capsys.readouterr().err
    assert cli.main(["new-solver", "spec.yaml", "--force"]) == 0
    assert edited.read_bytes() == first["coefficients.py"]
    assert b"STEPS = 2" in (folder / "coefficients.py.orig").read_bytes()
