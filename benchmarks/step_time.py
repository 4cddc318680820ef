"""The fused step of the CPU against a memcpy of its bytes, and against the torch step in place. One thread.

What is timed is a step of the grid with all its calls of the network, which returns a fixed tensor. The yardstick of a
step that reads r and writes w streams of n elements is a memcpy of (r + w)/2 such streams, in as many buffers as the step
has, each to the next: the same bytes in the same memory. Every time is the least of many, taken by turns in one process,
so that other jobs disturb all alike. The buffers of a step are those of a solve, and so are its rows of coefficients.

    python benchmarks/step_time.py [--json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rivals import Copy
from benchmarks.timing import RESULTS
from runtime import native

SOLVERS = (
    "ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2", "unipc_3", "dpmpp_2s", "flow_heun", "flow_rk4", "etdrk4", "exprk5s8",
)  # fmt: skip
SIZES = (1 << 10, 1 << 16, 1 << 20, 1 << 22)


def taken(runs: list[Callable[[], object]], elements: int) -> list[list[float]]:
    """The times of each, by turns."""
    inner = max(1, (1 << 16) // elements)
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(60 if elements > 1 << 18 else 100):
        for times, run in zip(found, runs):
            began = time.perf_counter()
            for _ in range(inner):
                run()
            times.append((time.perf_counter() - began) / inner)
    return found


def ratio(one: list[float], other: list[float]) -> float:
    """The median over the turns: the two of a turn are disturbed alike."""
    return round(statistics.median(a / b for a, b in zip(one, other)), 2)


def calls(plan: Any) -> range:
    """Those of a step in the middle of a solve, when the history is full."""
    ends = [i for i, phase in enumerate(plan.phases) if phase == "main"]
    return range(ends[6] + 1, ends[7] + 1)


def stepping(solver: Any, plan: Any, elements: int) -> Callable[[], object]:
    """A step of the grid in place, on memory that goes round as in a solve."""
    step, x = solver._step, torch.randn(elements)
    rows = solver._rows(plan, x)
    phases = [(step.STEPS_[plan.phases[i]], rows[i]) for i in calls(plan)]
    raw, memory = torch.randn(elements), tuple(torch.randn(elements) for _ in range(step.RING))
    held = [x, memory]

    def once() -> None:
        for phase, row in phases:
            held[0], held[1] = phase(held[0], raw, held[1], row)

    return once


def moved(solver: Any, plan: Any) -> int:
    """Streams that the fused step reads and writes, as its library says."""
    library = native._library(solver._step, gpu=False)
    phases = [plan.phases[i] for i in calls(plan)]
    return sum(len(native.named(getattr(library, f"{phase}_{way}"))) for phase in phases for way in ("load", "store"))


def measure(name: str, elements: int) -> dict[str, Any]:
    """Times of a call of the network in microseconds, and their ratios."""
    solver = importlib.import_module(f"generated.{name}").solver
    plan, fused = solver.plan(steps=12), solver.fused()
    streams, number = moved(solver, plan), len(calls(plan))
    steps = [stepping(fused, plan, elements), stepping(solver, plan, elements)]
    x = torch.zeros(elements)
    copy = Copy(streams, solver._step.RING + 2, x)
    copied, took, in_place = taken([lambda: copy.step(x), *steps], elements)
    return {
        "solver": name,
        "elements": elements,
        "streams": round(streams / number, 2),
        "floor_us": round(1e6 * min(copied) / number, 3),
        "fused_us": round(1e6 * min(took) / number, 3),
        "torch_us": round(1e6 * min(in_place) / number, 3),
        "fused_over_floor": ratio(took, copied),
        "torch_over_fused": ratio(in_place, took),
    }


def main() -> int:
    """Prints a line per solver and size, writes ``benchmarks/results/step_time.json`` with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/step_time.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'solver':<10}{'elements':>10}{'floor us':>12}{'fused us':>12}{'torch us':>12}{'fused/floor':>13}{'torch/fused':>13}"
    )
    figures = []
    for name in SOLVERS:
        for elements in SIZES:
            found = measure(name, elements)
            figures.append(found)
            values = [
                found[key] for key in ("floor_us", "fused_us", "torch_us", "fused_over_floor", "torch_over_fused")
            ]
            print(f"{name:<10}{elements:>10}" + "".join(f"{v:>{w}.2f}" for v, w in zip(values, (12, 12, 12, 13, 13))))
    if options.json:
        compiler = native._version(native._compiler()).splitlines()[0]
        load = round(os.getloadavg()[0], 1)
        machine = {"processor": platform.machine(), "cores": os.cpu_count(), "compiler": compiler, "load": load}
        report = {
            "what": "float32, one thread; times: least of many; ratios: median of turns; load: other jobs meanwhile",
            "machine": machine | {"python": platform.python_version(), "torch": torch.__version__},
            "figures": figures,
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "step_time.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
