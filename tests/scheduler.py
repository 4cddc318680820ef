"""Which worker runs which test: those of one file (or several) in one, in ``claims`` those of one shipped solver.

What they share (a derivation, its oracle, rows in 320 bits, fixtures) is computed once, where dealing the tests out one
by one computes it in every worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xdist.scheduler.loadscope import LoadScopeScheduling

NAMES = {spec.parent.name for spec in Path(__file__).parents[1].glob("generated/*/spec.yaml")}

TOGETHER = ("tests/architecture/", "tests/backends/test_loop", "tests/backends/test_oper")
"""Files that read the same tree, or build the same native steps."""


class BySolver(LoadScopeScheduling):
    """The queue of files and solvers, in the order in which they are collected."""

    def __init__(self, config: Any, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        test, _, parameters = nodeid.partition("[")
        solvers = NAMES.intersection(parameters.rstrip("]").split("-")) if "claims/" in test else ()
        file = test.partition("::")[0]
        together = (group for group in TOGETHER if file.startswith(group))
        return min(solvers, default=next(together, file))
