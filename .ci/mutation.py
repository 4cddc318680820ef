#!/usr/bin/env python
"""Do the tests see a wrong coefficient? Changes the code in one place at a time and runs the tests that reach it.

    python .ci/mutation.py                                     every mutant
    python .ci/mutation.py --sample 200 --seed 1               a stratified sample
    python .ci/mutation.py --modules runtime/real.py derive/symbolic --only symbolic analysis     on these folders of tests
    python .ci/mutation.py --log mutants.log                   and later, with the same log: what survived and has no reason

The tree is copied; the checkout is never written to. A first run of the tests records which functions each test calls. A
mutant is tried on the tests that call its function: first those that found its neighbours, then the fastest, of the folder
of tests that mirrors its module and of the others by turns; --budget ends a trial after so many seconds of tests, and what
is then alive counts as a survivor. A survivor with a written reason in .ci/mutation_survivors.toml is an equivalent mutant: it
counts neither way; --recheck tries those again that the log knows, and names those that a test kills. Exit 1 below the
gate.

The tests are collected once, in one process, and every mutant is a fork of it in which the changed function gets its new
code (mutation_fork.py), so a mutant costs what its tests cost. Where that is not the same as a changed file (module level,
default arguments, functions that are called while modules or tests are imported), the fork is of a process that has
imported foreign packages alone, and the file is changed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutants import sites
from mutation_fork import Coverage, Files, Mutant, collected

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    "derive/symbolic", "derive/families", "derive/analysis", "derive/tableau.py", "derive/tableau_text.py",
    "derive/program/rows.py", "derive/program/ends.py",
    "runtime/real.py", "runtime/quadrature.py", "runtime/propagator.py", "runtime/inverse.py", "runtime/grids.py",
    "runtime/itinerary.py", "runtime/tabulate.py", "runtime/planning.py", "runtime/plan.py",
)  # fmt: skip
COPIED = ("derive", "runtime", "templates", "generated", "tests", "examples", "docs", "pyproject.toml", "README.md")
NOT_TESTS = ("architecture", "benchmarks", "readme", "docs", "__pycache__")
"""Rules about the text of the code, timings, and pages that run commands in processes of their own."""
FOREIGN = (
    "torch", "sympy", "mpmath", "numpy", "pytest", "_pytest.assertion.rewrite", "hypothesis", "jinja2", "yaml", "gmpy2",
    "sympy.polys.rings", "hypothesis.strategies", "hypothesis.extra.pytestplugin", "_hypothesis_pytestplugin",
)  # fmt: skip
SURVIVORS = Path(__file__).parent / "mutation_survivors.toml"


def copy_tree(target: Path) -> Path:
    """The tree without caches at ``target``."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif source.exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
    return target


def targets(chosen: list[str]) -> list[str]:
    """Files to mutate, relative to the root."""
    paths = [ROOT / name for name in chosen or TARGETS]
    files = [f for p in paths for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p] if p.exists() else [])]
    return [f.relative_to(ROOT).as_posix() for f in files if "__pycache__" not in f.parts]


def choose(files: list[str], sample: int | None, seed: int) -> list[Mutant]:
    """All mutants, or ``sample`` of them: from each file in proportion, at least five."""
    everything = {
        f: numbered([Mutant(f, i, s) for i, s in enumerate(sites((ROOT / f).read_text(encoding="utf-8")))])
        for f in files
    }
    total = sum(map(len, everything.values()))
    if sample is None or sample >= total:
        return [m for mutants in everything.values() for m in mutants]
    source = random.Random(seed)
    chosen = []
    for mutants in everything.values():
        count = min(len(mutants), max(5, round(sample * len(mutants) / total)))
        chosen += sorted(source.sample(mutants, count), key=lambda m: m.index)
    return chosen


class Reasons:
    """The written reasons: of one change in a function, or, without operator and change, of a line of source."""

    def __init__(self) -> None:
        entries = (
            tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("equivalent", []) if SURVIVORS.exists() else []
        )
        self.by_function: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
        for entry in entries:
            if not entry.get("reason", "").strip() or not entry.keys() & {"change", "within"}:
                raise SystemExit(f"{SURVIVORS.name}: an entry without a reason, or of a whole function: {entry}")
            self.by_function[entry["file"], entry["function"]].append(entry)

    def explain(self, mutant: Mutant) -> bool:
        function, operator, change = mutant.site.key
        own = {"operator": operator, "change": change, "within": mutant.site.within}
        return any(
            all(entry.get(name, value) == value for name, value in own.items())
            for entry in self.by_function[mutant.file, function]
        )


def summary(outcome: dict[Mutant, str], gate: float) -> bool:
    """Prints the rate per module and the survivors; whether the gate holds."""
    by_file: dict[str, list[str]] = defaultdict(list)
    for mutant, result in outcome.items():
        by_file[mutant.file].append(result)
    print(f"\n{'module':<44}{'mutants':>8}{'killed':>8}{'equiv.':>8}{'rate':>8}")
    rows = [*sorted(by_file.items()), ("all", [r for results in by_file.values() for r in results])]
    rate = 100.0
    for name, results in rows:
        equivalent, alive = results.count("equivalent"), results.count("survived")
        counted = len(results) - equivalent
        rate = 100.0 * (counted - alive) / counted if counted else 100.0
        print(f"{name:<44}{len(results):>8}{counted - alive:>8}{equivalent:>8}{rate:>7.1f}%")
    survivors = sorted((m for m, r in outcome.items() if r == "survived"), key=lambda m: (m.file, m.site.line))
    if survivors:
        print("\nsurvivors:", *survivors, sep="\n  ")
    return rate >= gate


class Log:
    """Outcomes on disk, one JSON line each: an interrupted run goes on, and later ones try what survived."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        self.known = {tuple(entry[:-2]): entry[-1] for entry in map(json.loads, lines)}

    def before(self, mutant: Mutant) -> str | None:
        return self.known.get(self._key(mutant))

    def write(self, mutant: Mutant, outcome: str, by: str) -> None:
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*self._key(mutant), by, outcome]) + "\n")

    @staticmethod
    def _key(mutant: Mutant) -> tuple[str | int, ...]:
        return (mutant.file, *mutant.site.key, mutant.site.within, mutant.nth)


def numbered(mutants: list[Mutant]) -> list[Mutant]:
    """Equal changes of equal lines of one function are told apart by their number."""
    seen: dict[tuple[str, ...], int] = defaultdict(int)
    out = []
    for mutant in mutants:
        key = (mutant.file, *mutant.site.key, mutant.site.within)
        out.append(mutant._replace(nth=seen[key]))
        seen[key] += 1
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="how many mutants (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", nargs="+", default=[], help="files or folders instead of the default ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gate", type=float, default=95.0, help="per cent that must be killed")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests that one mutant may cost")
    parser.add_argument("--log", type=Path, help="outcomes are added here; what it calls killed is not tried again")
    parser.add_argument("--again", action="store_true", help="only what the log calls alive and no reason explains")
    parser.add_argument("--recheck", action="store_true", help="try the explained ones too, and name the killed ones")
    parser.add_argument("--only", nargs="+", default=[], help="folders of tests that are run", metavar="FOLDER")
    parser.add_argument("--without", nargs="+", default=[], help="folders of tests that are not run", metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    options = parser.parse_args()
    mutants = choose(targets(options.modules), options.sample, options.seed)
    if options.list:
        print("\n".join(map(str, mutants)))
        return 0
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir()}
    folders = (set(options.only) or folders - set(NOT_TESTS)) - set(options.without)
    os.environ |= {"HYPOTHESIS_PROFILE": "mutation", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    for name in FOREIGN:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"not installed: {name}")
    importlib.import_module("torch").set_num_threads(1)
    gc.collect()
    gc.freeze()  # a child's collector leaves the pages that it shares alone
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    began, reasons, log = time.monotonic(), Reasons(), Log(options.log)
    outcome: dict[Mutant, str] = {}
    waiting = []
    for mutant in mutants:
        before, reason = log.before(mutant), reasons.explain(mutant)
        if before in ("killed", "timeout"):
            outcome[mutant] = "killed"
        elif reason and before and not options.recheck:
            outcome[mutant] = "equivalent"
        elif before or not options.again:
            waiting.append(mutant)

    def report(mutant: Mutant, result: str, by: str = "") -> None:
        reason = reasons.explain(mutant)
        outcome[mutant] = "equivalent" if reason and result == "survived" else result
        log.write(mutant, result, by)
        if outcome[mutant] != "killed" or (reason and options.recheck):
            what = f"explained, but killed by {by}" if result == "killed" else outcome[mutant]
            print(f"[{len(outcome)}/{len(mutants)}, {time.monotonic() - began:.0f} s] {what}: {mutant}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        tree = copy_tree(place / "tree0")
        tests = [f"tests/{f}" for f in sorted(folders)]
        coverage = Coverage(place, options.log.with_suffix(".coverage") if options.log else None)
        try:
            rest = collected(tree, tests, waiting, coverage, options.jobs, options.budget, report)
            print(f"[{time.monotonic() - began:.0f} s] {len(rest)} mutants by a changed file", flush=True)
            trees = [tree, *(shutil.copytree(tree, place / f"tree{j}") for j in range(1, options.jobs))]
            Files(trees, coverage, options.budget, report).run(rest)
        except KeyboardInterrupt:
            print(f"interrupted: {len(mutants) - len(outcome)} mutants not tried")
    if coverage.failed:
        print("these fail without a mutant and are left out:", *sorted(coverage.failed), sep="\n  ")
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0 if summary(outcome, options.gate) and not coverage.failed else 1


if __name__ == "__main__":
    sys.exit(main())
