"""What people read: the screen of new-solver, LaTeX by stop, the lines of ``list``, files that a spec names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derive import catalogue, cli, listing, pipeline
from derive.errors import InternalError
from derive.spec import read_spec

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "sd15_dpmpp_2m.yaml"


def said(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What a command prints on stdout."""
    assert cli.main(arguments) == code
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def derived() -> pipeline.Derived:
    return pipeline.derive(read_spec(EXAMPLE))


# --- explain --latex --stop ---


def test_latex_of_a_stop(
    derived: pipeline.Derived, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "derive", lambda spec: derived)
    text = {stop: said(["explain", str(EXAMPLE), "--latex", "--stop", stop], capsys) for stop in cli.LATEX_STOPS}
    assert text["derive"] == derived.tableau.latex() + "\n"
    assert text["pose"].startswith("## The problem\n") and r"\dot x = A x + B F" in text["pose"]
    assert text["prove"].startswith("## The proof\n") and "- Order **2**" in text["prove"]
    assert all(text[stop].count("## ") == 1 for stop in ("pose", "prove"))
    whole = said(["explain", str(EXAMPLE), "--latex"], capsys)
    assert whole.splitlines() == "\n".join(derived.derivation).splitlines()
    assert all(part.strip() in whole for part in text.values())


@pytest.mark.parametrize("stop", ["resolve", "lower"])
def test_a_stop_without_latex_is_refused(stop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(EXAMPLE), "--latex", "--stop", stop]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"explain: --stop: got '{stop}'; allowed with --latex: pose, derive, prove\n"
    assert captured.out == ""


# --- the screen of new-solver ---


def _screen(derived: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    folder.mkdir()
    made = SimpleNamespace(derived=derived, folder=folder, written=(), checked={"ok": True, "lines": []})
    monkeypatch.setattr(pipeline, "new_solver", lambda *_: made)
    return said(["new-solver", "s.yaml"], capsys).splitlines()


def test_the_screen_of_the_example_is_not_cut(
    derived: pipeline.Derived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _screen(derived, tmp_path / "a", monkeypatch, capsys)
    whole = [*str(derived.tableau).splitlines(), "", *str(derived.proof).splitlines()]
    assert lines[: len(whole)] == whole


def test_long_lines_of_the_screen_are_cut_but_not_its_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = "o" * cli.WIDTH
    long = SimpleNamespace(
        spec=SimpleNamespace(name="a"), tableau=f"head\n{'x' * 3000}\n{fits}", proof="p" * 161, claims={}
    )
    folder = tmp_path / ("f" * 200)
    lines = _screen(long, folder, monkeypatch, capsys)
    mark = " ... (see derivation.md)"
    assert lines[0] == "head" and lines[2] == fits
    assert lines[1] == "x" * (cli.WIDTH - len(mark)) + mark
    assert lines[4] == "p" * (cli.WIDTH - len(mark)) + mark
    assert lines[-1] == f"next: python -m derive verify {folder}"


def test_a_report_of_many_lines_is_one_line_with_separators(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise InternalError("fails its own check; nothing is written\n  order   2\n\nrow 3 differs")

    monkeypatch.setattr(pipeline, "new_solver", fail)
    assert cli.main(["new-solver", "s.yaml"]) == 4
    report = "fails its own check; nothing is written; order 2; row 3 differs"
    assert capsys.readouterr().err == f"internal error: {report}; please report this with the spec\n"


# --- list ---


@pytest.mark.parametrize("section", cli.SECTIONS)
def test_list_is_in_plain_words(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "`" not in said(["list", section], capsys)


def test_markup_of_docstrings_becomes_words() -> None:
    def documented() -> None:
        """As in :func:`karras` and :mod:`~derive.spec`, ``N - 1`` of them.

        More.
        """

    assert listing._first_line(documented) == "As in karras and derive.spec, N - 1 of them."


def test_the_problems_to_measure_on_are_listed_without_torch() -> None:
    code = "import sys; from derive.cli import main; main(['list', 'problems', '--json']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    entries = {entry["name"]: entry["summary"] for entry in json.loads(done.stdout)["problems"]}
    assert entries.keys() >= {"diffusion", "gaussian", "mixture", "digits"}
    assert "hand-written digits" in entries["digits"] and entries["gaussian"].startswith("(to measure on) x0 ~ N(")


def test_solvers_are_listed_with_what_is_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    good, bad = tmp_path / "generated" / "good", tmp_path / "generated" / "bad"
    for folder in (good, bad):
        folder.mkdir(parents=True)
        for file in ("spec.yaml", "claims.json"):
            shutil.copy(ROOT / "generated" / "sd15_dpmpp_2m" / file, folder)
    (bad / "claims.json").write_text("[]")
    found = {e["name"]: e for e in json.loads(said(["list", "solvers", "--json"], capsys))["solvers"]}
    assert found["good"]["summary"] == catalogue.entry(good).summary
    assert found["good"]["summary"].startswith("order 2 (global 2), leading error 5/12 F'': DPM-Solver++(2M)")
    assert "2211.01095" in found["good"]["reference"]
    assert found["bad"]["summary"].endswith("cannot be read; try: python -m derive verify bad")
    (bad / "spec.yaml").write_text("name: 7\n")
    assert "bad                    its spec.yaml or claims.json cannot be read" in said(["list", "solvers"], capsys)


def test_a_description_of_many_lines_or_none_is_one_line() -> None:
    claims = {"order": 2, "global_order": 1, "error_constant": {"leading": "1/2 F'"}}
    words = [catalogue.Entry("a", text, "flow", "v", "v in t", claims).summary for text in ("two\n lines\n", "")]
    assert words == ["order 2 (global 1), leading error 1/2 F': two lines", "order 2 (global 1), leading error 1/2 F'"]


# --- a table in a file ---

TABLE = """\
name: tabled
problem: {kind: diffusion, schedule: {kind: table, %s: a.json}, prediction: noise}
method: {family: exponential_multistep, steps: 1, integrand: noise, variable: rho}
"""


@pytest.mark.parametrize(
    ("name", "rows"), [("alphas_cumprod", "[0.75, 0.5, 0.125]"), ("sigmas", "[0.5, 1.0, 2.5]")], ids=str
)
def test_a_table_file_is_a_list_or_an_object_with_the_matching_key(name: str, rows: str, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(TABLE % name)
    (tmp_path / "a.json").write_text(rows)
    plain = read_spec(spec)
    (tmp_path / "a.json").write_text(f'{{"{name}": {rows}}}')
    assert read_spec(spec) == plain


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ('{"sigmas": [0.75, 0.5]}', "an object with the key 'sigmas'"),
        ('{"alphas_cumprod": [0.75, 0.5], "beta": 1}', "an object with the keys 'alphas_cumprod', 'beta'"),
        ('{"a": 1, "b": 2, "c": 3, "d": 4}', "an object with the keys 'a', 'b', 'c', ..."),
        ('{"alphas_cumprod": [0.75, 0.5], "alphas_cumprod": [1]}', "the keys 'alphas_cumprod', 'alphas_cumprod'"),
        ('{"alphas_cumprod": 0.5}', "the number 0.5"),
        ("{}", "an empty object"),
        ("true", "true"),
        ("null", "null"),
        ('"0.5"', "'0.5'"),
        ("[0.75, [0.5]]", "a list whose item 1 is not a number"),
    ],
)
def test_any_other_table_file_is_named_for_what_it_is(
    content: str, got: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text(TABLE % "alphas_cumprod")
    (tmp_path / "a.json").write_text(content)
    assert cli.main(["explain", str(tmp_path / "s.yaml")]) == 2
    error = capsys.readouterr().err
    assert "s.yaml:2:" in error and "problem.schedule.alphas_cumprod: 'a.json' is not a JSON list of numbers" in error
    assert f"{got}; allowed: a list of numbers, or an object with the one key alphas_cumprod" in error


# --- what is installed ---


def test_nothing_is_installed_that_is_not_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in (*asked, *pinned) if line.startswith("mutmut")]
