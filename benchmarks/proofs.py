r"""How long the proofs of one-step methods take: all order conditions at once, none given up early.

A step of five stages with rational weights at every place, all 8340 bicoloured trees of up to eight vertices; and the
stiff conditions to order 5 of the eight-stage method of Luan and Ostermann and of Krogstad's four stages.

    python benchmarks/proofs.py [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sympy import QQ

from benchmarks.timing import Figure, cpu_seconds, main
from derive.analysis import stiff, trees
from derive.families.tableaux import load
from derive.symbolic.forms import Form, Step, phi
from derive.symbolic.rooted import grove

TREES, EIGHT_STAGES, FOUR_STAGES = 2.0, 5.0, 0.2
"""Budgets in seconds."""


def full_step() -> Step:
    """Five stages, no zero weight, two phi functions in each: nothing cancels and nothing is skipped."""
    c = tuple(QQ(i, 7) for i in (0, 1, 2, 3, 5))
    rows = [
        [phi(1, end, QQ(2 + i + j, 11 + i)) + phi(2, end, QQ(3, 5 + j)) for j in range(i)] + [Form()] * (5 - i)
        for i, end in enumerate(c)
    ]
    output = [phi(1, QQ(1), QQ(2, 7 + i)) + phi(2, QQ(1), QQ(i + 1, 13)) for i in range(5)]
    return Step(c, 1, tuple(map(tuple, rows[1:])), tuple(output), QQ(1))


def published(name: str) -> Step:
    """An exponential tableau of the project."""
    found = load("exponential", name)
    rows = [(*row, *[Form()] * (len(found.c) - len(row))) for row in found.a[1:]]
    return Step(tuple(c.series(1)[0] for c in found.c), 1, tuple(rows), found.b, QQ(1))


def tree_seconds() -> float:
    """All trees up to order 8, with the growing of the trees themselves."""
    step = full_step()
    return cpu_seconds(lambda: sum(count for count, _ in trees.failures(step, 8)), 3, grove.cache_clear)


def stiff_seconds(name: str) -> float:
    """All stiff conditions up to order 5."""
    step = published(name)
    return cpu_seconds(lambda: list(stiff.conditions(step)), 3)


def measure() -> list[Figure]:
    return [
        Figure("8340 trees, 5 stages", tree_seconds(), TREES, 1, "the budget"),
        Figure("stiff conditions to order 5, 8 stages", stiff_seconds("exprk5s8"), EIGHT_STAGES, 1, "the budget"),
        Figure("stiff conditions to order 5, 4 stages", stiff_seconds("krogstad"), FOUR_STAGES, 1, "the budget"),
    ]


if __name__ == "__main__":
    raise SystemExit(main("proofs", measure, __doc__ or ""))
