"""The fused step of the CPU against a memcpy of its bytes, and against the torch step in place. One thread.

The yardstick of a step that reads r and writes w streams of n elements is a memcpy of (r + w)/2 such streams: the same
bytes. Every time is the least of many, taken by turns in one process, so that other jobs disturb all alike. The buffers
of a step are those of a solve, and so is its row of coefficients.

    python benchmarks/step_time.py [--json]
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import RESULTS
from runtime import native

SOLVERS = {"ddim": (2, 1), "dpmpp_2m": (3, 2), "unipc_2": (5, 3)}
"""(reads, writes) of the step that a solve repeats, as ``claims.json`` has them."""
SIZES = (1 << 10, 1 << 16, 1 << 20, 1 << 22)


def least(runs: list[Callable[[], object]], elements: int) -> list[float]:
    """The least time of each, by turns."""
    inner = max(1, (1 << 16) // elements)
    found = [float("inf")] * len(runs)
    for _ in range(60 if elements > 1 << 18 else 200):
        for i, run in enumerate(runs):
            began = time.perf_counter()
            for _ in range(inner):
                run()
            found[i] = min(found[i], (time.perf_counter() - began) / inner)
    return found


def stepping(solver: Any, elements: int) -> Callable[[], object]:
    """The step in place of ``main``, on memory that goes round as in a solve."""
    step, x = solver._step, torch.randn(elements)
    main, row = step.STEPS_["main"], solver._rows(solver.plan(steps=20), x)[7]
    raw, memory = torch.randn(elements), tuple(torch.randn(elements) for _ in range(step.RING))
    held = [x, memory]

    def once() -> None:
        held[0], held[1] = main(held[0], raw, held[1], row)

    return once


def copying(elements: int) -> Callable[[], object]:
    """memcpy of one stream: one read and one write."""
    there, here = torch.zeros(elements), torch.ones(elements)
    ends, size = (there.data_ptr(), here.data_ptr()), 4 * elements
    copied = ctypes.memmove
    return lambda: (there, here) and copied(*ends, size)


def measure(name: str, elements: int) -> dict[str, Any]:
    """Times in microseconds, and their ratios."""
    solver = importlib.import_module(f"generated.{name}").solver
    streams = SOLVERS[name]
    runs = [copying(elements), stepping(solver.fused(), elements), stepping(solver, elements)]
    copied, fused, in_place = least(runs, elements)
    floor = copied * sum(streams) / 2
    return {
        "solver": name,
        "elements": elements,
        "floor_us": round(1e6 * floor, 3),
        "fused_us": round(1e6 * fused, 3),
        "torch_us": round(1e6 * in_place, 3),
        "fused_over_floor": round(fused / floor, 2),
        "torch_over_fused": round(in_place / fused, 2),
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
            "what": "float32, one thread, least of many; load: other jobs that ran meanwhile, 0 on a quiet machine",
            "machine": machine | {"python": platform.python_version(), "torch": torch.__version__},
            "figures": figures,
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "step_time.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
