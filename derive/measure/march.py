r"""A generated solver executed in any arithmetic: its coefficients un-rounded, its own functional steps, any network.

``coefficients.py`` works on whatever numbers it is given and ``step_torch.STEPS[phase](x, raw, m, c)`` is pure
arithmetic, so a trajectory can be run in 320 bits (:mod:`derive.measure.order`), on jets over F_p
(:mod:`derive.analysis.jet_module`) or in float64. A state is a tuple of numbers; steps act on each component alone.

What is run is what the runtime runs: the calls of the network are those of :mod:`runtime.itinerary`. With ``warm`` the
history is exact. A predictor-corrector finds its state one step ago beside the integrands; one that has no phase to
enter with a history begins in the middle of its run: at the exact state, as if it had been predicted there. A table of
decisions runs as a longer one of its shape (:mod:`derive.measure.table`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

from derive.measure.table import parts, stretched
from runtime.itinerary import Visit, call_nodes, kept, visits

Vector = tuple[Any, ...]
Memory = tuple[Vector, ...]
Network = Callable[[Vector, Any], Vector]
"""(state, grid point) -> what the network returns there."""
Exact = Callable[[Any], Vector]
"""Grid point -> the state there."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A generated solver: its coefficients (a module, or the same functions on other numbers) and steps by phase."""

    code: Any
    steps: Mapping[str, Callable[..., tuple[Any, tuple[Any, ...]]]]

    @property
    def draws(self) -> tuple[str, ...]:
        """The phases that take normals."""
        return tuple(name for name, step in self.steps.items() if step.__code__.co_argcount > 4)

    def drift(self, time: Any) -> Any:
        """1 + tau^2 at a time: dw/drho = (1 + tau^2) eps without the noise."""
        return 1 + self.code.share(time) if hasattr(self.code, "share") else 1

    def kept(self) -> Emitted:
        """The same without lower orders on the last steps; a table without what stands behind its body."""
        if self.table:
            before, body, _ = parts(self.table, self.back)
            return self.changed(FINAL="keep", TABLE=(*before, *body))
        return self.changed(FINAL="keep")

    @property
    def table(self) -> tuple[int, ...]:
        """The place in ROWS of every grid step's rows, where the steps are fixed in advance."""
        return getattr(self.code, "TABLE", ())

    @property
    def body(self) -> tuple[int, ...]:
        """What of it a longer table repeats."""
        return parts(self.table, self.back)[1] if self.table else ()

    @property
    def back(self) -> tuple[int, ...]:
        """How many steps ago the rows of a table start."""
        return getattr(self.code, "BACK", ())

    def visits(self, points: Sequence[Any], history: int = 0) -> list[Visit]:
        """The calls of the network along the points."""
        code = self.code
        if self.table:
            code = self.changed(TABLE=stretched(self.table, len(points) - 1 - history, self.back)).code
        return visits(code, points, history=history)

    def based(self, x: Vector, row: Sequence[Any]) -> Vector:
        """What a predictor-corrector keeps of the state that a step began with: itself, of an SDE a x."""
        if not self.draws:
            return x
        a = row[self.code.COLUMNS.index("a")]
        return tuple(a * value for value in x)

    def ramped(self) -> Emitted:
        """The same with rows of order 1, 2, .. at the start instead of a starter."""
        return self.changed(BEGIN=())

    def lowered(self, order: int) -> Emitted:
        """Its scheme of lower ``order`` as a method of its own."""
        code = self.code
        phase = f"start_{order + 1 if code.CORRECTORS else order}"
        parts = {name: getattr(code, name)[:order] for name in ("ROWS", "CORRECTORS", "ABSCISSAE")}
        lower = self.changed(**parts, STEPS=min(order, code.STEPS), BEGIN=(), FINAL="keep")
        steps = {name: step for name, step in self.steps.items() if name != "enter"}  # that of the full order
        return Emitted(lower.code, {**steps, "main": steps.get(phase, steps["main"])})

    def changed(self, **names: Any) -> Emitted:
        """Some of the coefficients' names replaced."""
        return Emitted(SimpleNamespace(**{**vars(self.code), **names}), self.steps)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a run begins: the calls to come, the state that the first one evaluates, what is in memory, the grid step."""

    calls: tuple[Visit, ...]
    x: Vector
    memory: Memory = ()


def emitted(solver: ModuleType | Emitted) -> Emitted:
    """A ``coefficients`` module with the steps of the ``step_torch`` module beside it."""
    if isinstance(solver, Emitted):
        return solver
    steps = import_module(f"{solver.__name__.rpartition('.')[0]}.step_torch").STEPS
    return Emitted(solver, steps)


def cold(solver: Emitted, points: Sequence[Any], exact: Exact) -> Departure:
    """From the first point, with the solver's own start."""
    return Departure(tuple(solver.visits(points)), exact(points[0]))


def warm(solver: Emitted, points: Sequence[Any], exact: Exact, network: Network) -> Departure:
    """With an exact history: the first points of the grid are used up by it."""
    code, k = solver.code, solver.code.STEPS
    given = bool(solver.table) and code.START == "exact"
    enters = not code.CORRECTORS or (k > 1 and "enter" in solver.steps) or given
    first = k - 1 if enters else k
    if solver.table:
        before, body, after = parts(solver.table, solver.back)
        if not code.CORRECTORS:
            solver = solver.changed(TABLE=(*body, *after))
        elif not given:
            first = max(k, len(before) + 1)
    values = integrands(solver, points[: first + 1], exact, network)
    if enters:
        calls = solver.visits(points, first)
        return Departure(tuple(calls), exact(points[first]), values)
    visits = solver.visits(points)
    (before,) = (call.row for call in visits if call.step == first - 1)
    base = solver.based(exact(points[first - 1]), before)
    calls = [call for call in visits if call.step >= first]
    return Departure(tuple(calls), exact(points[first]), (base, *values))


def integrands(solver: Emitted, points: Sequence[Any], exact: Exact, network: Network) -> tuple[Vector, ...]:
    """What a history keeps of all points but the last, newest first: F as the solver forms it from the network's output,
    in every integrand that it keeps."""
    code = solver.code
    found: list[Vector] = []
    for point, following in pairwise(points):
        x = exact(point)
        raw = network(x, point)
        row = dict(zip(code.COLUMNS, _first_row(code, point, following))) if any(kept(code)) else {}
        found = [*(_converted(columns, row, x, raw) for columns in kept(code)), *found]
    return tuple(found)


def _converted(columns: Sequence[str], row: Mapping[str, Any], x: Vector, raw: Vector) -> Vector:
    """cx x + cr raw, or without columns what the network returned."""
    if not columns:
        return raw
    cx, cr = (row[name] for name in columns)
    return tuple(cx * s + cr * r for s, r in zip(x, raw, strict=True))


def _first_row(code: Any, s: Any, t: Any) -> tuple[Any, ...]:
    """A row of a step that calls the network at s."""
    args: tuple[Any, ...] = (s, t, (code.span(s, t),) * code.STEPS)
    if callable(code.ROWS[0]):
        return tuple(code.ROWS[0](*args))
    return tuple(code.ROWS[0][0](*args, tuple(call_nodes(code, s, t, code.ABSCISSAE[0]))))


def march(solver: Emitted, departure: Departure, network: Network) -> Iterator[tuple[Vector, Memory]]:
    """After each call: the next state to evaluate, and what is in memory."""
    x, memory = departure.x, departure.memory
    for call in departure.calls:
        drawn = call.phase in solver.draws
        x, memory = advance(solver.steps[call.phase], x, network(x, call.node), memory, call.row, drawn)
        yield x, memory


def advance(
    step: Callable[..., tuple[Any, tuple[Any, ...]]],
    x: Vector,
    raw: Vector,
    memory: Memory,
    row: Sequence[Any],
    drawn: bool = False,
) -> tuple[Vector, Memory]:
    """One functional step, component by component; where it draws normals, they are 0: what is run is the drift."""
    normals = (0,) if drawn else ()
    done = [
        step(value, output, tuple(entry[i] for entry in memory), row, *normals)
        for i, (value, output) in enumerate(zip(x, raw, strict=True))
    ]
    return tuple(new for new, _ in done), tuple(zip(*(kept for _, kept in done), strict=True))


def finish(solver: Emitted, departure: Departure, network: Network) -> Vector:
    """The state at the last grid point."""
    ((x, _),) = deque(march(solver, departure, network), maxlen=1)
    return x


__all__ = [
    "Departure", "Emitted", "advance", "cold", "emitted", "finish", "integrands", "march", "warm",
]  # fmt: skip
