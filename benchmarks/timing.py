"""How the benchmarks measure: CPU time of this process, so other jobs do not count, and the least of several runs.

Figures are ratios: to a budget, or to the other way of doing the same thing in the same process. An absolute time says
more about the machine than about the code.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """``seconds`` against ``reference`` seconds: the budget, or the other way. ``least``: the ratio asked for."""

    name: str
    seconds: float
    reference: float
    least: float
    what: str

    @property
    def ratio(self) -> float:
        """How many times faster than the reference."""
        return self.reference / self.seconds

    @property
    def holds(self) -> bool:
        return self.ratio >= self.least

    def __str__(self) -> str:
        mark = "ok  " if self.holds else "FAIL"
        return (
            f"{mark} {self.name:<44} {self.ratio:>9.1f} x  {self.what} (asked: {self.least:g} x; {self.seconds:.2e} s)"
        )


def cpu_seconds(run: Callable[[], object], repeat: int, before: Callable[[], object] = lambda: None) -> float:
    """The least CPU time of ``run`` over ``repeat`` runs; ``before`` is called first and not counted."""
    least = float("inf")
    for _ in range(repeat):
        before()
        began = time.process_time()
        run()
        least = min(least, time.process_time() - began)
    return least


def fresh_seconds(setup: str, timed: str, repeat: int = 3) -> float:
    """The least CPU time of the statements ``timed`` over ``repeat`` new processes that have run ``setup``."""
    code = f"import time\n{setup}\nbegan = time.process_time()\n{timed}\nprint(time.process_time() - began)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PYTHONPATH": str(ROOT)}
    times = []
    for _ in range(repeat):
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise RuntimeError(run.stderr[-2000:])
        times.append(float(run.stdout.splitlines()[-1]))
    return min(times)


def main(name: str, measure: Callable[[], list[Figure]], description: str) -> int:
    """Prints the figures, writes ``benchmarks/results/<name>.json`` with ``--json``; exit 1 if one does not hold."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help=f"write benchmarks/results/{name}.json")
    options = parser.parse_args()
    figures = measure()
    print(*figures, sep="\n")
    if options.json:
        RESULTS.mkdir(exist_ok=True)
        report = {
            "machine": {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()},
            "figures": [asdict(f) | {"ratio": f.ratio, "holds": f.holds} for f in figures],
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(f.holds for f in figures) else 1
