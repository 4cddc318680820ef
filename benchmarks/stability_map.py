r"""Drawing a stability region by the root condition against drawing it by eigenvalues.

A 512 x 512 window of w = b h at z = a h = -1/2 for the noise rows of 2 to 6 steps: the vectorised Schur-Cohn recursion
has a budget of one second; batched ``numpy.linalg.eigvals`` of the companion matrices is the other way. Both must say the
same about every point of a coarser grid.

    python benchmarks/stability_map.py [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from sympy import QQ

from benchmarks.timing import Figure, cpu_seconds, main
from derive.analysis.recurrence import arithmetic, characteristic
from derive.analysis.root_condition import largest_root, schur_cohn
from derive.symbolic.forms import Step
from derive.tableau import Kernel, Scheme, multistep_row

POINTS, Z = 512, -0.5
STEPS = range(2, 7)
BUDGET = 1.0


def method(steps: int) -> Step:
    """The exponential row of the noise prediction on a uniform grid."""
    return Scheme((), multistep_row(steps, Kernel(QQ(1)))).step([QQ(1)] * steps, QQ(1))


def window(points: int) -> np.ndarray:
    """w on a square around the stable part."""
    return np.linspace(-2, 1, points) + 1j * np.linspace(-1.5, 1.5, points)[:, None]


def by_recursion(steps: int, points: int = POINTS) -> np.ndarray:
    """Stable points by Schur-Cohn."""
    step = method(steps)
    return schur_cohn(characteristic(step, arithmetic(step, Z), window(points)))


def by_eigenvalues(steps: int, points: int = POINTS) -> np.ndarray:
    """Stable points by companion matrices."""
    step = method(steps)
    return largest_root(characteristic(step, arithmetic(step, Z), window(points))) < 1


def disagreements(steps: int, points: int = 129) -> int:
    """Points about which the two ways differ."""
    return int((by_recursion(steps, points) != by_eigenvalues(steps, points)).sum())


def measure() -> list[Figure]:
    """Each number of steps against the budget; the largest against eigenvalues."""
    wrong = {k: d for k in STEPS if (d := disagreements(k))}
    if wrong:
        raise RuntimeError(f"points on which recursion and eigenvalues differ, by steps: {wrong}")
    figures = [
        Figure(
            f"{POINTS} x {POINTS} points, {k} steps",
            cpu_seconds(lambda k=k: by_recursion(k), 3),
            BUDGET,
            1,
            "in budget",
        )  # type: ignore[misc]
        for k in STEPS
    ]
    slow = cpu_seconds(lambda: by_eigenvalues(STEPS[-1]), 1)
    return [*figures, Figure("6 steps against eigenvalues", figures[-1].seconds, slow, 4, "faster than eigvals")]


if __name__ == "__main__":
    sys.exit(main("stability_map", measure, __doc__ or ""))
