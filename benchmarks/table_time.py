"""What a user waits for: the coefficient table, the derivation, the import.

The table of 50 steps at order 3, every entry computed with 96 digits and rounded once; stops 1 to 6 of ``new-solver``
for an example (read, resolve, pose, derive, prove, lower), first call in a process; import of the runtime with one
solver beyond torch.

    python benchmarks/table_time.py [--json]
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import ROOT, Figure, cpu_seconds, fresh_seconds, main

TABLE, DERIVE, IMPORT = 0.030, 0.3, 0.2
"""Budgets in seconds of CPU time."""
THIRD_ORDER = "dpmpp_3m"
EXAMPLE = ROOT / "examples" / "sd15_dpmpp_2m.yaml"


def table_seconds(name: str = THIRD_ORDER, steps: int = 50) -> float:
    """The least time of a plan; every run has another number of steps, so nothing is remembered."""
    solver = importlib.import_module(f"generated.{name}").solver
    counts = iter(range(steps, steps + 100))
    return cpu_seconds(lambda: solver.plan(steps=next(counts)), 7)


def derive_seconds(spec: Path = EXAMPLE, repeat: int = 3) -> float:
    """Stops 1 to 6, first call in a new process, the least of so many; imports not counted."""
    return fresh_seconds(
        "import derive.schedules.vp_scaled_linear, derive.predictions.noise, derive.predictions.data\n"
        "import derive.families.exponential_multistep, derive.problems.diffusion, runtime.grids\n"
        "from derive.pipeline import derive\nfrom derive.spec import read_spec",
        f"derive(read_spec({str(spec)!r}))",
        repeat,
    )


def import_seconds(name: str = THIRD_ORDER) -> float:
    """The runtime and one solver in a new process that has imported torch."""
    return fresh_seconds("import torch", f"import generated.{name}")


def measure() -> list[Figure]:
    """Each time against its budget."""
    return [
        Figure("table, 50 steps, order 3", table_seconds(), TABLE, 1, "inside its budget"),
        Figure("stops 1 to 6 of new-solver", derive_seconds(), DERIVE, 1, "inside its budget"),
        Figure("import beyond torch", import_seconds(), IMPORT, 1, "inside its budget"),
    ]


if __name__ == "__main__":
    sys.exit(main("table_time", measure, __doc__ or ""))
