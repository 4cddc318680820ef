"""How a mutant meets the tests: forks of a process that has collected them, or of a bare one after the file is changed.

:func:`collected` collects all tests once in a child process, records which functions each test calls, and forks that child
for every mutant: the changed function's code objects are put into the live functions, all caches are emptied, and the
tests run until one fails. That is the same as a changed file where only the code of functions differs and nothing has
called them yet: what module level, default arguments or an import has used goes to :class:`Files`, which changes the file
in a copy of the tree and runs pytest in a fork that has imported no module of the tree.
"""

from __future__ import annotations

import ast
import functools
import gc
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from mutants import Site, apply, trees

MEMORY = 16 << 30
PYTEST = ("-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:unraisableexception", "-p", "no:logging")
CALLED = "*"
"""In place of a file of tests: called by a module of the tree while it was imported."""


class Mutant(NamedTuple):
    """Mutant ``index`` of ``file`` (relative to the root), the ``nth`` among equal ones of one function."""

    file: str
    index: int
    site: Site
    nth: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.site}"


Report = Callable[[Mutant, str, str], None]


@dataclass(slots=True)
class Coverage:
    """Of the tests as they are: seconds of each, the tests that call each function, which fail, what imports call."""

    place: Path
    path: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, set[str]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    imported: dict[str, set[str]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    killers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        """What an earlier run has left at ``path``; tests whose file has changed since are recorded anew."""
        if self.path and self.path.exists():
            self.seconds, reached, self.digests = json.loads(self.path.read_text(encoding="utf-8"))
            self.reached = {key: set(tests) for key, tests in reached.items()}

    def save(self) -> None:
        if self.path:
            reached = {key: sorted(tests) for key, tests in self.reached.items()}
            seconds = {test: time for test, time in self.seconds.items() if test not in self.failed}
            self.path.write_text(json.dumps([seconds, reached, self.digests]), encoding="utf-8")

    def forget(self, tree: Path, names: set[str]) -> set[str]:
        """Leaves what is known of tests in ``names`` whose file is as it was; returns the other names."""
        files = {name.partition("::")[0] for name in names}
        now = {file: sha256((tree / file).read_bytes()).hexdigest() for file in files}
        known = {
            t
            for t in names & self.seconds.keys()
            if self.digests.get(t.partition("::")[0]) == now[t.partition("::")[0]]
        }
        self.seconds = {test: seconds for test, seconds in self.seconds.items() if test in known}
        self.reached = {key: tests & known for key, tests in self.reached.items()}
        self.digests = now
        return names - known

    def _keys(self, mutant: Mutant, table: dict[str, set[str]]) -> Iterator[str]:
        function = mutant.site.function
        for key in table:
            file, _, name = key.partition("::")
            if file == mutant.file and (function == "<module>" or name == function or name.startswith(function + ".")):
                yield key

    def of(self, mutant: Mutant, budget: float) -> list[str]:
        """Tests for a mutant, those that found its neighbours first, as many as ``budget`` seconds allow: cheap ones first,
        of the folder that mirrors its module and of the others by turns."""
        calling: set[str] = set().union(*(self.reached[key] for key in self._keys(mutant, self.reached)))
        if not calling:
            calling = {t for key, tests in self.reached.items() if key.startswith(mutant.file + "::") for t in tests}
        path = Path(mutant.file)
        mirror = f"tests/{path.parent.name}/"
        own = f"{mirror}test_{path.stem.lstrip('_')}.py::"
        owned = {t for t in self.seconds if t.startswith(own)}
        files = {t.partition("::")[0] for t in calling}
        beside = {
            t for t in self.seconds if t.partition("::")[0] in files
        } - calling  # they may share what one computed
        killers = [t for k in (f"{path}::{mutant.site.function}", f"{path}") for t in reversed(self.killers[k][-6:])]
        near, far = (
            [t for t in sorted(calling, key=self._cost) if t.startswith(mirror) == own] for own in (True, False)
        )
        mixed = [t for pair in zip_longest(near, far) for t in pair if t]
        stated = sorted(owned, key=self._cost)  # what a module states is read, perhaps not called
        first = [stated, mixed] if mutant.site.function == "<module>" else [mixed, stated]
        parts = [killers, *first, sorted(beside, key=self._cost)]
        spent, chosen = 0.0, {}
        for test in (t for part in parts for t in part):
            if test not in chosen and test not in self.failed and (not chosen or spent + self.seconds[test] <= budget):
                chosen[test] = None
                spent += self.seconds[test]
        return list(chosen)

    def _cost(self, test: str) -> tuple[float, str]:
        return self.seconds[test], test

    def blocked(self, mutant: Mutant) -> set[str]:
        """Files of tests that have called the mutant's function when they were imported; ``CALLED``: modules have."""
        return set().union(*(self.imported[key] for key in self._keys(mutant, self.imported)))

    def found(self, mutant: Mutant, test: str) -> None:
        """``test`` has killed it."""
        self.killers[f"{mutant.file}::{mutant.site.function}"].append(test)
        self.killers[mutant.file].append(test)


def _enter(tree: Path, log: Path) -> None:
    """A forked child: in ``tree``, quiet, with the tree's packages first."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(tree)
    root = Path(__file__).resolve().parent.parent
    sys.path[:] = [str(tree), *(p for p in sys.path if Path(p or ".").resolve() != root)]
    os.environ["PYTHONPATH"] = str(tree)


def _fork(body: Callable[[], int]) -> int:
    """The process id of a child that runs ``body`` and exits with what it returns."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            status = body()
        finally:
            os._exit(status)
    return pid


def _stop(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _poll(pid: int, end: float) -> int | None:
    """The exit status of ``pid``, negative for a signal; -SIGKILL after ``end``; None while it runs."""
    done, raw = os.waitpid(pid, os.WNOHANG)
    if done:
        return os.waitstatus_to_exitcode(raw)
    if time.monotonic() > end:
        _stop(pid)
        return -signal.SIGKILL
    return None


def _outcome(status: int) -> str:
    return "timeout" if status in (-signal.SIGXCPU, -signal.SIGKILL) else "killed"


def _limit(seconds: float) -> float:
    """Sets the processor time of this process; tests that take ``seconds`` may take five times as long."""
    most = int(15 + 5 * seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    return most


# --- forks of a process that has collected the tests


def collected(
    tree: Path, tests: list[str], mutants: list[Mutant], coverage: Coverage, jobs: int, budget: float, report: Report
) -> list[tuple[Mutant, list[str]]]:
    """Tries ``mutants``; returns those that need a changed file, each with its tests."""
    reading, writing = os.pipe()

    def body() -> int:
        os.close(reading)
        _enter(tree, coverage.place / "log")
        import pytest

        plugin = _Collected(tree, mutants, coverage, jobs, budget, writing)
        sys.settrace(plugin.importing)
        return int(pytest.main([*PYTEST, "--rootdir", str(tree), "-c", "pyproject.toml", *tests], plugins=[plugin]))

    pid = _fork(body)
    os.close(writing)
    rest = []
    ended = False
    try:
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                match json.loads(line):
                    case ["coverage", seconds, reached, failed, imported, digests]:
                        coverage.seconds, coverage.failed, coverage.digests = seconds, set(failed), digests
                        coverage.reached = {k: set(v) for k, v in reached.items()}
                        coverage.imported = {k: set(v) for k, v in imported.items()}
                        coverage.save()
                        total = sum(seconds.values())
                        print(f"{len(seconds)} tests, {total:.0f} s; {len(mutants)} mutants to try", flush=True)
                    case ["rest", index, chosen]:
                        rest.append((mutants[index], chosen))
                    case ["end"]:
                        ended = True
                    case [outcome, index, by]:
                        report(mutants[index], outcome, by)
    except KeyboardInterrupt:
        _stop(pid)
        raise
    os.waitpid(pid, 0)
    if not ended:
        raise SystemExit("the tests do not run:\n" + (coverage.place / "log").read_text()[-3000:])
    return rest


class _Collected:
    """A pytest plugin whose loop over the tests is the loop over the mutants."""

    def __init__(
        self, tree: Path, mutants: list[Mutant], coverage: Coverage, jobs: int, budget: float, writing: int
    ) -> None:
        self.tree, self.mutants, self.coverage, self.jobs, self.budget = tree, mutants, coverage, jobs, budget
        self.writing = writing
        self.prefix = str(tree) + os.sep
        self.keys: dict[CodeType, str] = {}
        self.seen: dict[str, set[str]] = defaultdict(set)
        self.current = ""

    def send(self, *message: object) -> None:
        os.write(self.writing, (json.dumps(message) + "\n").encode())

    def _key(self, code: CodeType) -> str:
        """``file::qualified name`` of a function of the tree, "" for others."""
        key = self.keys.get(code)
        if key is None:
            file = code.co_filename
            inside = file.startswith(self.prefix) and file[len(self.prefix) :].startswith(("derive/", "runtime/"))
            name = code.co_qualname.replace(".<locals>", "")
            for made in ("<listcomp>", "<genexpr>", "<lambda>", "<dictcomp>", "<setcomp>"):
                name = name.replace("." + made, "")
            key = self.keys[code] = f"{file[len(self.prefix) :]}::{name}" if inside else ""
        return key

    def importing(self, frame: Any, event: str, argument: object) -> None:
        key = self._key(frame.f_code)
        if key and frame.f_code.co_name != "<module>":
            self.seen[key].add(self._source(frame))

    def _source(self, frame: Any) -> str:
        while (frame := frame.f_back) is not None:
            file, name = frame.f_code.co_filename, frame.f_code.co_name
            if file.startswith(self.prefix):
                path = file[len(self.prefix) :]
                if path.startswith("tests/") and not path.endswith("conftest.py"):
                    return path if Path(path).name.startswith("test_") else CALLED
                if name == "<module>":
                    return CALLED
        return CALLED

    def calling(self, frame: Any, event: str, argument: object) -> None:
        key = self._key(frame.f_code)
        if key:
            self.seen[key].add(self.current)

    def pytest_runtestloop(self, session: Any) -> bool:
        sys.settrace(None)
        self.coverage.imported = {k: set(v) for k, v in self.seen.items()}
        self.items = {item.nodeid: item for item in session.items}
        self.caches = [c for c in gc.get_objects() if isinstance(c, functools._lru_cache_wrapper) and self._own(c)]
        self.functions: dict[tuple[str, str], list[FunctionType]] = defaultdict(list)
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(self.prefix):
                code = thing.__code__
                self.functions[code.co_filename[len(self.prefix) :], code.co_qualname].append(thing)
        for cache in self.caches:
            cache.cache_clear()
        gc.collect()
        gc.freeze()
        self._record()
        self._try()
        self.send("end")
        return True

    def _own(self, cache: Any) -> bool:
        code = getattr(getattr(cache, "__wrapped__", None), "__code__", None)
        return code is not None and code.co_filename.startswith(self.prefix)

    def _record(self) -> None:
        """The tests of which nothing is known, once, unchanged, in ``jobs`` forks."""
        by_file: dict[str, list[Any]] = defaultdict(list)
        for name in sorted(self.coverage.forget(self.tree, set(self.items))):
            by_file[name.partition("::")[0]].append(self.items[name])
        groups = [list(by_file.values())[j :: self.jobs] for j in range(self.jobs)]

        def body(j: int) -> int:
            self.seen = defaultdict(set)
            seconds, failed = {}, []
            items = [item for group in groups[j] for item in group]
            for item, after in zip(items, [*items[1:], None]):
                began, self.current = time.perf_counter(), item.nodeid
                sys.settrace(self.calling)
                reports = self._run(item, after)
                sys.settrace(None)
                seconds[item.nodeid] = time.perf_counter() - began
                if any(r.failed for r in reports):
                    failed.append(item.nodeid)
            reached = {k: sorted(v) for k, v in self.seen.items()}
            (self.coverage.place / f"coverage{j}.json").write_text(json.dumps([seconds, reached, failed]))
            return 0

        for pid in [_fork(functools.partial(body, j)) for j in range(self.jobs)]:
            os.waitpid(pid, 0)
        coverage = self.coverage
        for j in range(self.jobs):
            seconds, reached, failed = json.loads((coverage.place / f"coverage{j}.json").read_text())
            coverage.seconds |= seconds
            coverage.failed |= set(failed)
            for key, tests in reached.items():
                coverage.reached.setdefault(key, set()).update(tests)
        tables = [{k: sorted(v) for k, v in t.items()} for t in (coverage.reached, coverage.imported)]
        self.send("coverage", coverage.seconds, tables[0], sorted(coverage.failed), tables[1], coverage.digests)

    @staticmethod
    def _run(item: Any, after: Any) -> list[Any]:
        from _pytest.runner import runtestprotocol

        item._initrequest()
        return runtestprotocol(item, log=False, nextitem=after)

    def _try(self) -> None:
        running: dict[int, tuple[int, list[str], list[str], float]] = {}
        waiting = self._prepared()
        more = True
        while more or running:
            while more and len(running) < self.jobs:
                step = next(waiting, None)
                if step is None:
                    more = False
                else:
                    index, swaps, tests, later = step
                    end = time.monotonic() + 60 + 20 * sum(self.coverage.seconds[t] for t in tests)
                    running[self._begin(index, swaps, tests)] = (index, tests, later, end)
            for pid, (index, _, later, end) in list(running.items()):
                status = _poll(pid, end)
                if status is None:
                    continue
                del running[pid]
                shutil.rmtree(self.coverage.place / f"tmp{index}", ignore_errors=True)
                by = self.coverage.place / f"by{index}"
                test = by.read_text() if by.exists() else ""
                by.unlink(missing_ok=True)
                if test:
                    self.coverage.found(self.mutants[index], test)
                alive = status == 0 or (status > 0 and not test)  # no test has failed
                if alive and later:
                    self.send("rest", index, later)
                else:
                    self.send("survived" if alive else _outcome(status), index, test)
            time.sleep(0.002)

    def _prepared(self) -> Iterator[tuple[int, list[tuple[FunctionType, CodeType]], list[str], list[str]]]:
        """(index, functions and their new code, tests, tests that need a changed file) of what can be tried by a fork."""
        by_file: dict[str, dict[int, int]] = defaultdict(dict)
        for place, mutant in enumerate(self.mutants):
            by_file[mutant.file][mutant.index] = place
        for file, wanted in by_file.items():
            source = (self.tree / file).read_text(encoding="utf-8")
            name = str(self.tree / file)
            plain = _parts(compile(ast.parse(source), name, "exec"))
            for number, tree in trees(source):
                if number not in wanted:
                    continue
                place = wanted[number]
                mutant = self.mutants[place]
                tests = self.coverage.of(mutant, self.budget)
                blocked = self.coverage.blocked(mutant)
                swaps = None if CALLED in blocked else self._swaps(file, plain, compile(tree, name, "exec"))
                now = [t for t in tests if t.partition("::")[0] not in blocked] if swaps else []
                later = [t for t in tests if t not in now]
                if swaps and now:
                    yield place, swaps, now, later
                else:
                    self.send("rest", place, tests)

    def _swaps(
        self, file: str, plain: dict[str, CodeType], code: CodeType
    ) -> list[tuple[FunctionType, CodeType]] | None:
        """Live functions whose code differs; None where something else than code of functions does."""
        parts = _parts(code)
        if parts.keys() != plain.keys() or "" in parts:
            return None
        out = []
        for name, new in parts.items():
            if _skeleton(new) == _skeleton(plain[name]):
                continue
            live = self.functions.get((file, name), [])
            if not new.co_flags & 2 or not live or any(f.__code__.co_freevars != new.co_freevars for f in live):
                return None  # 2: a function's code; else module or class level
            out += [(f, new) for f in live]
        return out or None

    def _begin(self, index: int, swaps: list[tuple[FunctionType, CodeType]], tests: list[str]) -> int:
        def body() -> int:
            os.setsid()
            _limit(sum(self.coverage.seconds[t] for t in tests))
            for function, code in swaps:
                function.__code__ = code
            items = [self.items[t] for t in tests]
            factory = items[0].config._tmp_path_factory
            factory._given_basetemp, factory._basetemp = None, self.coverage.place / f"tmp{index}"
            factory._basetemp.mkdir()
            for item, after in zip(items, [*items[1:], None]):
                if any(r.failed for r in self._run(item, after)):
                    (self.coverage.place / f"by{index}").write_text(item.nodeid)
                    return 1
            return 0

        return _fork(body)


def _parts(code: CodeType, inside: str = "") -> dict[str, CodeType]:
    """The code of module, classes and outermost functions by qualified name; two of one name give the key ""."""
    out = {inside or "<module>": code}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            made = {constant.co_qualname: constant} if constant.co_flags & 2 else _parts(constant, constant.co_qualname)
            out |= {"": code} if made.keys() & out.keys() else made
    return out


def _skeleton(code: CodeType) -> tuple[Any, ...]:
    """What decides what code does; at module or class level without the code of functions, which are parts themselves."""
    nested = bool(code.co_flags & 2)
    constants = tuple(
        (_skeleton(c) if nested else None) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts
    )
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable, constants


# --- forks of a bare process, after the file is changed


@dataclass(slots=True)
class _Slot:
    """One copy of the tree and the mutant that is being tried in it."""

    tree: Path
    mutant: Mutant | None = None
    pid: int = 0
    ahead: list[list[str]] = field(default_factory=list)
    by_folder: bool = False
    end: float = 0.0


class Files:
    """Tries mutants in ``trees``, one in each at a time."""

    def __init__(self, trees: list[Path], coverage: Coverage, budget: float, report: Report) -> None:
        self.slots = [_Slot(tree) for tree in trees]
        self.coverage, self.budget, self.report = coverage, budget, report

    def run(self, mutants: list[tuple[Mutant, list[str]]]) -> None:
        waiting = mutants[::-1]
        try:
            while waiting or any(slot.mutant for slot in self.slots):
                for slot in self.slots:
                    if slot.mutant is None and waiting:
                        self._begin(slot, *waiting.pop())
                    elif slot.mutant is not None:
                        self._look(slot, slot.mutant)
                time.sleep(0.005)
        finally:
            for slot in self.slots:
                if slot.mutant is not None:
                    _stop(slot.pid)

    def _begin(self, slot: _Slot, mutant: Mutant, tests: list[str]) -> None:
        path = slot.tree / mutant.file
        source = path.read_text(encoding="utf-8")
        path.rename(path.with_suffix(".original"))
        path.write_text(apply(source, mutant.index), encoding="utf-8")
        mirror = f"tests/{Path(mutant.file).parent.name}/"
        near = [t for t in tests if t.startswith(mirror)]
        killers = [t for t in self.coverage.killers[mutant.file][-3:] if t in tests]
        parts = [list(dict.fromkeys(killers)), near, [t for t in tests if t not in near]]
        slot.mutant, slot.ahead, slot.by_folder = mutant, [part for part in parts if part] or [[]], False
        self._start(slot)

    def _start(self, slot: _Slot) -> None:
        tests = slot.ahead.pop(0)
        seconds = sum(self.coverage.seconds.get(t, 0.0) for t in tests)
        slot.end = time.monotonic() + 60 + 20 * seconds
        tree, log = slot.tree, slot.tree / "log"

        def body() -> int:
            _enter(tree, log)
            _limit(seconds)
            import pytest

            skip = [f"--deselect={t}" for t in sorted(self.coverage.failed)]
            chosen = tests or ["--collect-only"]
            return int(
                pytest.main(
                    [*PYTEST, "--rootdir", str(tree), "-c", "pyproject.toml", "-x", *skip, *chosen], [_Names(log)]
                )
            )

        slot.pid = _fork(body)

    def _look(self, slot: _Slot, mutant: Mutant) -> None:
        status = _poll(slot.pid, slot.end)
        if status is None:
            return
        if status == 4 and not slot.by_folder:  # a test's name depends on the mutant: run the files, not the names
            slot.ahead, slot.by_folder = [sorted({t.partition("::")[0] for part in slot.ahead for t in part})], True
            self._start(slot)
        elif status in (0, 5) and slot.ahead:
            self._start(slot)
        else:
            path = slot.tree / mutant.file
            path.with_suffix(".original").replace(path)  # with its time: its compiled form is valid again
            slot.mutant = None
            by = slot.tree / "log.by"
            test = by.read_text() if by.exists() else ""
            by.unlink(missing_ok=True)
            if test:
                self.coverage.found(mutant, test)
            self.report(mutant, "survived" if status in (0, 5) else _outcome(status), test)


class _Names:
    """A pytest plugin: writes the name of the test that fails."""

    def __init__(self, log: Path) -> None:
        self.path = log.with_suffix(".by")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.path.write_text(report.nodeid)
