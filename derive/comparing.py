"""The verb ``compare``: names -> solvers -> runs -> a table, a plot, CSV.

Everything that can be wrong on the command line is found before the first run, and files are written last, each in one
piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.errors import Fault, FileSystemError, SpecError, near_miss, show
from derive.places import solver_folder
from derive.store import replace

MOST_CALLS = 10_000
SUFFIXES = (".svg", ".png", ".pdf")
NEEDS = {"digits": "sklearn"}
"""Problems that need a package which this one does not depend on."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for, checked."""

    folders: tuple[Path, ...]
    problems: tuple[str, ...]
    budgets: tuple[int, ...]
    grid: str | None
    plot: Path | None
    csv: Path | None


def request(
    names: Sequence[str], problems: Sequence[str], nfe: str | None, grid: str | None, plot: str | None, csv: str | None
) -> Request:
    """The request, or SpecError with every fault in it."""
    faults: list[Fault] = []

    def checked(check: Callable[..., Any], *values: Any) -> Any:
        try:
            return check(*values)
        except SpecError as error:
            faults.extend(error.faults)
            return None

    folders = [checked(solver_folder, name) for name in dict.fromkeys(names)]
    found = Request(
        tuple(dict.fromkeys(filter(None, folders))),
        checked(_problems, problems) or (),
        checked(_budgets, nfe) or (),
        checked(_grid, grid),
        checked(_file, plot, "-o", SUFFIXES),
        checked(_file, csv, "--csv", (".csv",)),
    )
    if faults:
        raise SpecError(*faults)
    for path in filter(None, (found.plot, found.csv)):
        if not path.parent.is_dir():
            raise FileSystemError(f"{path.parent}: no such folder")
    return found


def _problems(given: Sequence[str]) -> tuple[str, ...]:
    from derive.measure.compare import STUDIES

    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in STUDIES:
            known = ", ".join(STUDIES)
            raise _wrong("--problem", f"got {show(word)}; allowed: {known}" + near_miss(word, STUDIES))
    asked = tuple(dict.fromkeys(words))
    missing = {name: package for name, package in NEEDS.items() if not _installed(package)}
    for name in asked:
        if name in missing:
            raise _wrong("--problem", f"{name} needs the package {missing[name]}, which is not installed")
    return asked or tuple(name for name in STUDIES if name not in missing)


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _budgets(text: str | None) -> tuple[int, ...]:
    from derive.measure.compare import BUDGETS

    if text is None:
        return BUDGETS
    words = [word.strip() for word in text.split(",")]
    wrong = [w for w in words if not (w.isascii() and w.isdigit() and len(w) < 6 and 0 < int(w) <= MOST_CALLS)]
    if wrong:
        raise _wrong(
            "--nfe", f"got {show(wrong[0])}; allowed: whole numbers from 1 to {MOST_CALLS}, commas between them"
        )
    return tuple(sorted({int(word) for word in words}))


def _grid(name: str | None) -> str | None:
    from runtime.grids import GRIDS

    if name is not None and name not in GRIDS:
        raise _wrong("--grid", f"got {show(name)}; allowed: {', '.join(sorted(GRIDS))}" + near_miss(name, GRIDS))
    return name


def _file(name: str | None, option: str, suffixes: Sequence[str]) -> Path | None:
    if name is None:
        return None
    if Path(name).suffix.lower() not in suffixes:
        raise _wrong(option, f"got {show(name)}; allowed: a file name that ends in {', '.join(suffixes)}")
    return Path(name)


def _wrong(option: str, message: str) -> SpecError:
    return SpecError(Fault(message, f"compare: {option}"))


def compare(asked: Request, watched: Callable[[Iterator[Any], int], Iterator[Any]]) -> tuple[list[str], dict[str, Any]]:
    """(lines for people, data for --json); ``watched(points, total)`` passes the runs through, with or without a bar."""
    from derive.installed import load_solver
    from derive.measure.compare import Comparison, Contender, measure

    contenders = []
    for folder in asked.folders:
        package = load_solver(folder)
        contenders.append(Contender(folder.name, package.solver, package.CLAIMS))
    total = len(contenders) * len(asked.problems) * len(asked.budgets)
    runs = measure(contenders, asked.problems, asked.budgets, asked.grid)
    found = Comparison(tuple(watched(runs, total)))
    if not any(p.error is not None for p in found.points):
        raise SpecError(
            *(Fault(f"{p.solver}: {p.why}", "compare") for p in {p.solver: p for p in found.points}.values())
        )
    written = _written(asked, found)
    lines = found.lines() + ([f"written: {', '.join(written)}"] if written else [])
    return lines, {**found.as_dict(), "written": written}


def _written(asked: Request, found: Any) -> list[str]:
    files: dict[Path, bytes] = {}
    if asked.csv is not None:
        files[asked.csv] = found.csv().encode()
    if asked.plot is not None:
        files[asked.plot] = _plotted(found, asked.plot.suffix.lower().removeprefix("."))
    for path, data in files.items():
        replace(path, data)
    return [str(path) for path in files]


def _plotted(found: Any, kind: str) -> bytes:
    if not _installed("matplotlib"):
        raise FileSystemError("a plot needs the package matplotlib, which is not installed; --csv writes the numbers")
    from derive.report.error_curves import draw
    from derive.report.figures import saved

    return saved(draw(found), kind)


__all__ = ["Request", "compare", "request"]
