#!/usr/bin/env python
"""Do the tests see a wrong coefficient? Changes the code in one place at a time and runs the tests that reach it.

    python .ci/mutation.py                                     every mutant
    python .ci/mutation.py --sample 200 --seed 1               a stratified sample
    python .ci/mutation.py --modules runtime/real.py derive/symbolic
    python .ci/mutation.py --modules derive/symbolic/jets.py --only symbolic analysis     on these folders of tests

The tree is copied; the checkout is never written to. Foreign packages are imported once, tests and modules are compiled
once, and every mutant is a forked child, so a mutant costs what its tests cost. A first run of the tests records which
functions each test calls; a mutant is tried on the tests that call its function, fastest first: those in the folder of
tests that mirrors its module, then the others, and, unless --quick is given, on all tests. A survivor with a written
reason in .ci/mutation_survivors.toml is an equivalent mutant; it counts neither way. Exit 1 below the gate.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutants import Site, apply, sites

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    "derive/symbolic", "derive/families", "derive/analysis", "derive/tableau.py", "derive/tableau_text.py",
    "derive/program/rows.py", "derive/program/ends.py",
    "runtime/real.py", "runtime/quadrature.py", "runtime/propagator.py", "runtime/inverse.py", "runtime/grids.py",
    "runtime/itinerary.py", "runtime/tabulate.py", "runtime/planning.py", "runtime/plan.py",
)  # fmt: skip
COPIED = ("derive", "runtime", "templates", "generated", "tests", "examples", "pyproject.toml", "README.md")
NOT_TESTS = ("architecture", "benchmarks", "__pycache__")
"""Rules about the text of the code, and timings: they say nothing about a number."""
FOREIGN = (
    "torch",
    "sympy",
    "mpmath",
    "numpy",
    "pytest",
    "_pytest.assertion.rewrite",
    "hypothesis",
    "jinja2",
    "yaml",
    "gmpy2",
    "sympy.polys.rings",
    "hypothesis.strategies",
    "hypothesis.extra.pytestplugin",
    "_hypothesis_pytestplugin",
)
SURVIVORS = Path(__file__).parent / "mutation_survivors.toml"
MEMORY = 16 << 30


@dataclass(frozen=True, slots=True)
class Mutant:
    """Mutant ``index`` of ``file`` (relative to the root)."""

    file: str
    index: int
    site: Site

    def __str__(self) -> str:
        return f"{self.file}:{self.site}"


@dataclass(slots=True)
class Coverage:
    """From the first run: seconds of each test, the tests that call each function, and tests that fail as it is."""

    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, set[str]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def of(self, mutant: Mutant) -> list[str]:
        """Tests that call the mutant's function (for code outside functions: any in the file), fastest first."""
        function = mutant.site.function
        found: set[str] = set()
        for key, tests in self.reached.items():
            file, _, name = key.partition("::")
            if file == mutant.file and (function == "<module>" or name == function or name.startswith(function + ".")):
                found |= tests
        if not found:
            found = {t for key, tests in self.reached.items() if key.startswith(mutant.file + "::") for t in tests}
        own = f"tests/{Path(mutant.file).parent.name}/test_{Path(mutant.file).stem}.py::"
        found |= {t for t in self.seconds if t.startswith(own)}  # what a module states is read, not called
        return sorted(found - self.failed, key=lambda t: (self.seconds.get(t, 0.0), t))

    def stages(self, mutant: Mutant) -> list[list[str]]:
        """:meth:`of` in two parts: the folder of tests that mirrors the module, then the others."""
        tests, mirror = self.of(mutant), f"tests/{Path(mutant.file).parent.name}/"
        near = [t for t in tests if t.startswith(mirror)]
        return [part for part in (near, [t for t in tests if not t.startswith(mirror)]) if part] or [[]]


class Recorder:
    """A pytest plugin: which functions of the targets does each test call, and how long does it take."""

    def __init__(self, root: Path) -> None:
        self.prefix = str(root) + os.sep
        self.keys: dict[object, str] = {}
        self.current = "collection"
        self.reached: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def trace(self, frame, event, argument):
        code = frame.f_code
        key = self.keys.get(code)
        if key is None:
            file = code.co_filename
            inside = file.startswith(self.prefix) and file[len(self.prefix) :].startswith(("derive/", "runtime/"))
            name = code.co_qualname.replace(".<locals>", "")
            for made in ("<listcomp>", "<genexpr>", "<lambda>", "<dictcomp>", "<setcomp>"):
                name = name.replace("." + made, "")
            key = self.keys[code] = f"{file[len(self.prefix) :]}::{name}" if inside else ""
        if key:
            self.reached[key].add(self.current)

    def pytest_runtest_logstart(self, nodeid, location):
        self.current = nodeid
        sys.settrace(self.trace)

    def pytest_runtest_logfinish(self, nodeid, location):
        sys.settrace(None)
        self.current = "collection"

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)


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


def child(tree: Path, arguments: list[str], plugins: list[object], seconds: float, log: Path) -> int:
    """Forks; the child runs pytest in ``tree`` and exits with its status. Returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
        os.environ["PYTHONPATH"] = str(tree)
        sys.dont_write_bytecode = not plugins  # the first run compiles what all others load
        import pytest

        common = [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-p",
            "no:unraisableexception",
            "--rootdir",
            str(tree),
            "-c",
            str(tree / "pyproject.toml"),
        ]
        status = int(pytest.main([*common, *arguments], plugins=plugins))
        for plugin in plugins:
            if isinstance(plugin, Recorder):
                report = {"seconds": plugin.seconds, "failed": sorted(plugin.failed), "reached": {
                    k: sorted(v) for k, v in plugin.reached.items()}}  # fmt: skip
                (tree / "coverage.json").write_text(json.dumps(report))
    finally:
        os._exit(status)


def wait(pid: int, seconds: float) -> int | None:
    """The exit status, negative for a signal; None after ``seconds`` of wall time: it is killed."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
    except KeyboardInterrupt:
        stop(pid)
        raise
    stop(pid)
    return None


def stop(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_folders(tree: Path, skipped: tuple[str, ...]) -> list[str]:
    return sorted(f"tests/{p.name}" for p in (tree / "tests").iterdir() if p.is_dir() and p.name not in skipped)


def record(tree: Path, skipped: tuple[str, ...]) -> Coverage:
    """Runs all fast tests once, unchanged."""
    pid = child(
        tree, ["--continue-on-collection-errors", *test_folders(tree, skipped)], [Recorder(tree)], 3000, tree / "log"
    )
    if wait(pid, 3000) is None or not (tree / "coverage.json").exists():
        raise SystemExit("the tests do not run:\n" + (tree / "log").read_text()[-3000:])
    report = json.loads((tree / "coverage.json").read_text())
    reached = {k: {t for t in v if t != "collection"} for k, v in report["reached"].items()}
    return Coverage(report["seconds"], reached, set(report["failed"]))


@dataclass(slots=True)
class Slot:
    """One copy of the tree and the mutant that is being tried in it."""

    tree: Path
    mutant: Mutant | None = None
    pid: int = 0
    ahead: list[list[str]] = field(default_factory=list)
    by_folder: bool = False
    end: float = 0.0


class Runner:
    """Tries mutants, ``jobs`` at a time; ``outcome`` maps each to killed, timeout or survived."""

    def __init__(self, trees: list[Path], coverage: Coverage, skipped: tuple[str, ...], thorough: bool) -> None:
        self.slots = [Slot(tree) for tree in trees]
        self.coverage = coverage
        self.folders = test_folders(trees[0], skipped)
        self.thorough = thorough
        self.outcome: dict[Mutant, str] = {}

    def run(self, mutants: list[Mutant], report) -> None:
        waiting = mutants[::-1]
        while waiting or any(slot.mutant for slot in self.slots):
            for slot in self.slots:
                if slot.mutant is None and waiting:
                    self._begin(slot, waiting.pop())
                elif slot.mutant is not None:
                    self._poll(slot, report)
            time.sleep(0.005)

    def close(self) -> None:
        """Stops what runs."""
        for slot in self.slots:
            if slot.mutant is not None:
                stop(slot.pid)

    def _begin(self, slot: Slot, mutant: Mutant) -> None:
        path = slot.tree / mutant.file
        source = path.read_text(encoding="utf-8")
        path.rename(path.with_suffix(".original"))
        path.write_text(apply(source, mutant.index), encoding="utf-8")
        slot.mutant, slot.ahead, slot.by_folder = mutant, self.coverage.stages(mutant), False
        if self.thorough:
            slot.ahead.append(sorted(set(self.coverage.seconds) - self.coverage.failed))
        self._start(slot)

    def _start(self, slot: Slot) -> None:
        tests = slot.ahead.pop(0)
        seconds = 15 + 5 * sum(self.coverage.seconds.get(t, 0.0) for t in tests)
        skip = [f"--deselect={t}" for t in sorted(self.coverage.failed)]
        slot.end = time.monotonic() + 4 * seconds
        slot.pid = child(slot.tree, ["-x", *skip, *(tests or ["--collect-only"])], [], seconds, slot.tree / "log")

    def _poll(self, slot: Slot, report) -> None:
        done, raw = os.waitpid(slot.pid, os.WNOHANG)
        if not done:
            if time.monotonic() > slot.end:
                stop(slot.pid)
                self._finish(slot, "timeout", report)
            return
        status = os.waitstatus_to_exitcode(raw)
        if status == 4 and not slot.by_folder:  # a test's name depends on the mutant: run the files, not the names
            slot.ahead, slot.by_folder = [self.folders], True
            self._start(slot)
        elif status in (0, 5) and slot.ahead:
            self._start(slot)
        elif status in (0, 5):
            self._finish(slot, "survived", report)
        else:
            self._finish(slot, "timeout" if status in (-signal.SIGXCPU, -signal.SIGKILL) else "killed", report)

    def _finish(self, slot: Slot, outcome: str, report) -> None:
        mutant = slot.mutant
        assert mutant is not None
        path = slot.tree / mutant.file
        path.with_suffix(".original").replace(path)  # with its time: its compiled form is valid again
        slot.mutant = None
        self.outcome[mutant] = outcome
        report(mutant, outcome)


def targets(chosen: list[str]) -> list[str]:
    """Files to mutate, relative to the root."""
    paths = [ROOT / name for name in chosen or TARGETS]
    files = [f for p in paths for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p] if p.exists() else [])]
    return [f.relative_to(ROOT).as_posix() for f in files if "__pycache__" not in f.parts]


def choose(files: list[str], sample: int | None, seed: int) -> list[Mutant]:
    """All mutants, or ``sample`` of them: from each file in proportion, at least five."""
    everything = {
        f: [Mutant(f, i, s) for i, s in enumerate(sites((ROOT / f).read_text(encoding="utf-8")))] for f in files
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


def explained() -> set[tuple[str, str, str, str, str]]:
    """(file, function, operator, change, within) of the equivalent mutants with a written reason; "": any line."""
    if not SURVIVORS.exists():
        return set()
    entries = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("equivalent", [])
    for entry in entries:
        if not entry.get("reason", "").strip():
            raise SystemExit(f"{SURVIVORS.name}: an entry without a reason: {entry}")
    return {(e["file"], e["function"], e["operator"], e["change"], e.get("within", "")) for e in entries}


def summary(outcome: dict[Mutant, str], gate: float) -> bool:
    """Prints the rate per module and the survivors; whether the gate holds."""
    known = explained()
    by_file: dict[str, list[str]] = defaultdict(list)
    survivors = []
    for mutant, result in outcome.items():
        key = (mutant.file, *mutant.site.key)
        if result == "survived" and ((*key, "") in known or (*key, mutant.site.within) in known):
            result = "equivalent"
        by_file[mutant.file].append(result)
        if result == "survived":
            survivors.append(mutant)
    print(f"\n{'module':<44}{'mutants':>8}{'killed':>8}{'equiv.':>8}{'rate':>8}")
    rows = [*sorted(by_file.items()), ("all", [r for results in by_file.values() for r in results])]
    rate = 100.0
    for name, results in rows:
        equivalent, alive = results.count("equivalent"), results.count("survived")
        counted = len(results) - equivalent
        rate = 100.0 * (counted - alive) / counted if counted else 100.0
        print(f"{name:<44}{len(results):>8}{counted - alive:>8}{equivalent:>8}{rate:>7.1f}%")
    if survivors:
        print("\nsurvivors:")
        for mutant in sorted(survivors, key=lambda m: (m.file, m.site.line)):
            print(f"  {mutant}")
    return rate >= gate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="how many mutants (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", nargs="+", default=[], help="files or folders instead of the default ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gate", type=float, default=95.0, help="per cent that must be killed")
    parser.add_argument("--quick", action="store_true", help="only the tests that call the changed function")
    parser.add_argument("--only", nargs="+", default=[], help="folders of tests that are run", metavar="FOLDER")
    parser.add_argument("--without", nargs="+", default=[], help="folders of tests that are not run", metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    options = parser.parse_args()
    folders = {p.name for p in (ROOT / "tests").iterdir()}
    skipped = (*NOT_TESTS, *options.without, *(folders - set(options.only) if options.only else ()))
    mutants = choose(targets(options.modules), options.sample, options.seed)
    if options.list:
        print("\n".join(map(str, mutants)))
        return 0
    os.environ |= {
        "HYPOTHESIS_PROFILE": "mutation",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    sys.dont_write_bytecode = True
    for name in FOREIGN:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"not installed: {name}")
    gc.collect()
    gc.freeze()  # a child's collector leaves the pages that it shares alone
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trees = [Path(folder).resolve() / f"tree{j}" for j in range(options.jobs)]
        copy_tree(trees[0])
        coverage = record(trees[0], skipped)
        for tree in trees[1:]:
            shutil.copytree(trees[0], tree)
        print(
            f"{len(coverage.seconds)} tests, {sum(coverage.seconds.values()):.0f} s; {len(mutants)} mutants", flush=True
        )
        if coverage.failed:
            print("these fail without a mutant and are left out:", *sorted(coverage.failed), sep="\n  ")
        runner = Runner(trees, coverage, skipped, thorough=not options.quick)
        count = 0

        def report(mutant: Mutant, outcome: str) -> None:
            nonlocal count
            count += 1
            if outcome != "killed":
                print(f"[{count}/{len(mutants)}, {time.monotonic() - began:.0f} s] {outcome}: {mutant}", flush=True)

        try:
            runner.run(mutants, report)
        except KeyboardInterrupt:
            print(f"interrupted: {len(mutants) - count} mutants not tried")
            runner.close()
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0 if summary(runner.outcome, options.gate) and not coverage.failed else 1


if __name__ == "__main__":
    sys.exit(main())
