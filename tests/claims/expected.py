"""What a solve must do, call by call, from the tableau: phases, times, and rows of the oracle rounded to float64.

Nothing of the runtime and no emitted number is used, so a wrong order at the start or at the end, a wrong limit, a stage
in a wrong place or a corrector of another step shows as another result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from derive.program.phases import begin_names, names
from derive.tableau import Scheme, multistep_row
from tests.claims.shipped import Shipped

TINY = 1e-20
"""What is zero in a limit may be this part of the row's largest entry just before the end."""


class Call(NamedTuple):
    """One call of the network: the phase that follows, where it is made, the row."""

    phase: str
    time: Any
    row: dict[str, float]


@dataclass(frozen=True)
class Step:
    """A grid step: the scheme, names of its phases, its place among the method's schemes (1, 2, ..), whether it is one of
    them as it stands (and not a limit)."""

    scheme: Scheme
    phases: tuple[str, ...]
    place: int
    regular: bool


class Solve:
    """The grid steps of one solve over ``nodes``; history is made on the way."""

    def __init__(self, solver: Shipped, nodes: Sequence[float]) -> None:
        self.solver, self.nodes = solver, list(nodes)
        self.tableau, self.problem = solver.derived.tableau, solver.derived.problem
        schedule = solver.derived.schedule
        ends = {float(schedule.noise): schedule.noise_end, float(schedule.data): schedule.data_end}
        self.ends = {i: ends[t] for i, t in enumerate(nodes) if ends.get(t, "regular") != "regular"}
        self.count = len(nodes) - 1

    def calls(self) -> list[Call]:
        out: list[Call] = []
        before: Step | None = None
        for i, step in enumerate(self.steps()):
            rows = self.rows(step.scheme, i)
            if self.tableau.corrects and before is not None and len(step.phases) == 1 and not before.phases[1:]:
                rows[0] |= self.corrector(before, i - 1, out[-1].row)
            times = self.times(i)
            places = [self.solver.oracle.place(c, times) for c in step.scheme.abscissae]
            out += [Call(*one) for one in zip(step.phases, places, rows, strict=True)]
            before = step
        columns = self.solver.coefficients.COLUMNS
        return [c._replace(row={name: c.row.get(name, 0.0) for name in columns}) for c in out]

    def steps(self) -> list[Step]:
        out: list[Step] = []
        run = 0
        for i in range(self.count):
            run = run + 1 if self.charted(i) else 0
            out.append(self.step(i, run, out[-1] if out else None))
        return out

    def step(self, i: int, run: int, before: Step | None) -> Step:
        tableau = self.tableau
        if tableau.table:
            place = tableau.table[i] + 1
            return Step(tableau.schemes[place - 1], self.phases(place, before), place, self.whole(i))
        last = tableau.final == "lower_order" and i == self.count - 1
        if tableau.starter and 0 < run < tableau.steps and not last and self.plain(i):
            return Step(tableau.starter, begin_names(tableau), len(tableau.schemes), True)
        place = len(tableau.schemes) if run >= tableau.steps else max(run, 1)
        if tableau.final == "lower_order" and (last or tableau.steps > 1):
            place = min(place, self.count - i)
        if i == 0 and 0 in self.ends:
            place = min(place, max(1, len(getattr(self.solver.coefficients, f"FROM_{self.ends[0].upper()}"))))
        scheme = tableau.schemes[place - 1]
        if scheme.stages and place == 1 and not self.plain(i):
            return Step(Scheme((), multistep_row(1, tableau.kernel)), ("start_1",), 1, False)
        return Step(scheme, self.phases(place, before), place, self.whole(i))

    def phases(self, place: int, before: Step | None) -> tuple[str, ...]:
        if not self.tableau.corrects:
            return names(place - 1, self.tableau)
        if self.tableau.table:
            return (f"step_{before.place if before else 0}_{place}",)
        if before is None or before.phases[1:]:
            return ("enter" if place > 1 else "start_1",)
        return ("main" if before.place == len(self.tableau.schemes) else f"start_{before.place + 1}",)

    def charted(self, i: int) -> bool:
        """Whether the method's variable is finite at node i."""
        return i not in self.ends or self.problem.finite[self.ends[i]]

    def whole(self, i: int) -> bool:
        """Whether step i is a step like any other."""
        return self.plain(i) and self.charted(i) and self.charted(i + 1)

    def plain(self, i: int) -> bool:
        """Whether the rows of step i are those of any other step: at an end, where nothing is infinite there."""
        exponential = self.problem.kernel.closed and self.problem.kernel.rate != 0
        return all(
            self.problem.finite[end] and not exponential and not self.problem.vanishes[end]
            for j, end in self.ends.items()
            if j in (i, i + 1)
        )

    def times(self, i: int) -> list[float]:
        """End, start and history of step i."""
        return self.nodes[i + 1 :: -1]

    def rows(self, scheme: Scheme, i: int) -> list[dict[str, float]]:
        oracle = self.solver.oracle
        return [rounded(row) for row in oracle.calls(scheme, oracle.inside(self.times(i)))]

    def corrector(self, step: Step, i: int, row: dict[str, float]) -> dict[str, float]:
        """The corrector of step i; of one that touched an end, what makes its prediction again."""
        if not step.regular:
            again = {f"cb{int(name[1:]) + 1}": value for name, value in row.items() if name.startswith("b")}
            return {"ca": row["a"], **again}
        assert step.scheme.corrector is not None
        return rounded(self.solver.oracle.corrector(step.scheme.corrector, self.times(i)))


def rounded(row: dict[str, Any]) -> dict[str, float]:
    """To float64; what is negligible in a row at an end is zero."""
    size = max(map(abs, row.values()))
    return {name: 0.0 if abs(value) < TINY * size else float(value) for name, value in row.items()}


def calls(solver: Shipped, nodes: Sequence[float]) -> list[Call]:
    """Every call of a solve over ``nodes``, a final denoising left out."""
    return Solve(solver, nodes).calls()
