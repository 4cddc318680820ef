"""The calls of the network along a grid: which phase, at which point, with which coefficients; in any arithmetic.

How a grid step is taken is decided by counting, without a number (:func:`legs`); k = STEPS, ``run`` = nodes up to the
step's start that count as history, those whose variable chi is finite (an infinite one starts the count anew):

* run >= k: the method itself, ``ROWS[-1]``; before that the starter ``BEGIN``, else the row of order ``run``;
* final ``lower_order``: the last step is of order 1, of a multistep method the one before of order 2, and so on;
* a step that leaves an end of the domain (sigma = 0, alpha = 0) is of the highest order that has a limit there.

A solver with a table of decisions counts nothing: ``TABLE`` has the place in ROWS of every grid step, and what the table
asks for and the grid does not have (a value, a limit) is an error that names the entry.

A predictor-corrector (PEC) writes the state at a node anew once the value there is known, in the call that starts the
next step: that call's row holds the corrector of the step before it and the predictor of its own. A step that touched
an end has no corrector: its prediction is taken again, from the values that it was made of.

The numbers come from ``code`` alone (a generated ``coefficients`` module, or one whose functions work on other numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from runtime.errors import LimitError
from runtime.real import inf

Attempt = Callable[..., tuple | None]
_SAID = {"sigma_zero": "sigma = 0", "alpha_zero": "alpha = 0"}


@dataclass(frozen=True, slots=True)
class Visit:
    """One call of the network: in grid step ``step``, at the point ``node``, followed by ``phase`` with ``row``.

    order: place of the step's rows in ROWS, counted from 1; of a starter's steps, that of the method. In a table, too,
    places are counted from 1, in order of first use.
    """

    step: int
    order: int
    phase: str
    node: Any
    row: tuple


@dataclass(frozen=True, slots=True)
class Leg:
    """How one grid step is taken: a phase and a row function per call.

    choices: row functions, the first that are finite are taken. corrects: order of the step before, if this step's
    first call corrects it (0: no). regular: whether the rows are the method's own rather than the limits of an end.
    """

    step: int
    order: int
    phases: tuple[str, ...]
    choices: tuple[tuple[Callable, ...], ...]
    abscissae: tuple
    spans: int
    corrects: int = 0
    regular: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """``count`` grid steps after ``history`` more; first, last: the end of the domain, sigma_zero or alpha_zero, or None."""

    code: Any
    count: int
    history: int = 0
    first: str | None = None
    last: str | None = None

    @property
    def total(self) -> int:
        return self.history + self.count

    def charted(self, i: int) -> bool:
        """Is chi finite at node i, counted from the first history node?"""
        ends = (self.first if i == 0 else None, self.last if i == self.total else None)
        return all(end is None or self.code.CHART_FINITE[end] for end in ends)

    def limits(self, i: int) -> list[tuple[str, tuple]]:
        """The derived limits that apply to the step from node i, with what each is about."""
        found = []
        if i + 1 == self.total and self.last:
            found.append((f"ends at {_SAID[self.last]}", getattr(self.code, f"TO_{self.last.upper()}")))
        if i == 0 and self.first:
            found.append((f"starts at {_SAID[self.first]}", getattr(self.code, f"FROM_{self.first.upper()}")))
        return found

    def legs(self) -> list[Leg]:
        """How each grid step is taken. No coefficient is computed."""
        out: list[Leg] = []
        run = 0
        for i in range(self.total):
            run = run + 1 if self.charted(i) else 0
            if i >= self.history:
                out.append(self._leg(i, run, out[-1] if out else None))
        return out

    @property
    def table(self) -> tuple[int, ...]:
        """The place in ROWS of every grid step's rows, of a solver whose steps are fixed in advance."""
        return getattr(self.code, "TABLE", ())

    def _leg(self, i: int, run: int, before: Leg | None) -> Leg:
        if self.table:
            return self._entry(i, run, before)
        code, limits = self.code, self.limits(i)
        plain = all(rows and rows[0] is code.ROWS[0] for _, rows in limits)
        last = code.FINAL == "lower_order" and i + 1 == self.total
        if code.BEGIN and plain and 0 < run < code.STEPS and not last:
            names = tuple(f"begin_{c}" for c in range(1, len(code.BEGIN) + 1))
            return Leg(i - self.history, len(code.ROWS), names, (code.BEGIN,), code.BEGIN_ABSCISSAE, 1)
        order = self._order(i, run)
        own = _calls(code.ROWS[order - 1])
        tables = [rows for _, rows in limits] or [code.ROWS]
        choices = tuple(_calls(rows[order - 1]) for rows in tables if order <= len(rows))
        choices = tuple(c for c in choices if len(c) == len(choices[0]))
        phases, corrects = self._phases(order, choices[0] if choices else own, before)
        regular = self.charted(i) and self.charted(i + 1) and all(c == own for c in choices)
        abscissae = code.ABSCISSAE[order - 1] if len(phases) > 1 else (0,)
        return Leg(
            i - self.history,
            order,
            phases,
            choices,
            abscissae,
            min(order, code.STEPS),
            corrects,
            regular and bool(choices),
        )

    def _entry(self, i: int, run: int, before: Leg | None) -> Leg:
        """A step as the table has it: no choices where it reads more values than there are, or has no limit."""
        code, limits = self.code, self.limits(i)
        step = i - self.history
        k = self.table[step]
        own, reads = _calls(code.ROWS[k]), code.READS[k]
        tables = [rows for _, rows in limits] or [code.ROWS]
        choices = tuple(_calls(rows[k]) for rows in tables if rows and rows[k])
        q = before.order if before and code.CORRECTORS else 0
        phases = tuple(f.__name__ for f in own) if len(own) > 1 else (f"step_{k + 1}",)
        if code.CORRECTORS:
            phases = (f"step_{q}_{k + 1}",)
        enough = reads <= max(run, 1) and len(choices) == len(tables)
        regular = self.charted(i) and self.charted(i + 1) and all(c == own for c in choices)
        return Leg(step, k + 1, phases, choices if enough else (), code.ABSCISSAE[k], reads, q, regular and enough)

    def _order(self, i: int, run: int) -> int:
        code = self.code
        order, left = (len(code.ROWS) if run >= code.STEPS else max(run, 1)), self.total - i
        if code.FINAL == "lower_order":
            order = min(order, left) if code.STEPS > 1 or left == 1 else order
        if i == 0 and self.first:
            order = min(order, max(len(getattr(code, f"FROM_{self.first.upper()}")), 1))
        return order

    def _phases(self, order: int, functions: tuple, before: Leg | None) -> tuple[tuple[str, ...], int]:
        """Phase of each call of a step of the method, and the order of the step that the first one corrects."""
        code = self.code
        if len(functions) > 1:
            return tuple(f.__name__ for f in functions), 0
        if code.CORRECTORS:
            if before is None or before.phases[0] == "begin_1":
                return ("enter" if order > 1 else "start_1",), 0
            q = before.order
            return ("main" if q == len(code.CORRECTORS) else f"start_{q + 1}",), q
        top = order == len(code.ROWS) and callable(code.ROWS[-1])
        return ("main" if top else f"start_{order}",), 0


def visits(
    code: Any,
    points: Sequence[Any],
    *,
    history: int = 0,
    first: str | None = None,
    last: str | None = None,
    attempt: Attempt | None = None,
) -> list[Visit]:
    """Every call of the network along ``points`` (objects that ``code.node`` returned), ``history`` of them before the
    first step.

    first, last: the end of the domain at which the first and last point lie (:class:`Route`). attempt(function, *args):
    the row, or None where it has no finite value; default: the function's own, as it is.
    """
    route = Route(code, len(points) - 1 - history, history, first, last)
    return _Walk(route, points, attempt or (lambda function, *args: tuple(function(*args)))).visits()


class _Walk:
    """A route with the numbers of its points."""

    def __init__(self, route: Route, points: Sequence[Any], attempt: Attempt) -> None:
        self.route, self.code, self.points, self.attempt = route, route.code, points, attempt
        self.spans = [span(route, points, i, i + 1) for i in range(len(points) - 1)]
        columns = self.code.COLUMNS
        self.place = {name: columns.index(name) for name in columns}

    def visits(self) -> list[Visit]:
        out: list[Visit] = []
        before = None
        for leg in self.route.legs():
            nodes = self.nodes(leg)
            rows = self.rows(leg, nodes)
            if leg.corrects:
                assert before is not None
                rows[0] = self.merged(rows[0], self.corrector(before, out[-1].row))
            out += [Visit(leg.step, leg.order, *each) for each in zip(leg.phases, nodes, rows, strict=True)]
            before = leg
        return out

    def nodes(self, leg: Leg) -> list[Any]:
        """Where the network is called in this step."""
        i = leg.step + self.route.history
        if leg.choices:
            with suppress(OverflowError, ValueError, ZeroDivisionError):
                return call_nodes(self.code, self.points[i], self.points[i + 1], leg.abscissae)
        raise self.error(leg)

    def rows(self, leg: Leg, nodes: list[Any]) -> list[tuple]:
        i = leg.step + self.route.history
        s, t = self.points[i], self.points[i + 1]
        args: tuple = (s, t, tuple(self.spans[i - m] for m in range(leg.spans)))
        if len(nodes) > 1:
            args = (*args, tuple(nodes))
        for functions in leg.choices:
            rows = [self.attempt(function, *args) for function in functions]
            if all(row is not None for row in rows):
                return rows  # type: ignore[return-value]
        raise self.error(leg)

    def corrector(self, leg: Leg, row: tuple) -> dict[str, Any]:
        """The corrector of a step that was taken with ``row``; where it has none, what makes its prediction again."""
        i = leg.step + self.route.history
        if not leg.regular:
            names = [n for n in self.place if n[0] == "b"]
            again = {f"cb{int(n[1:]) + 1}": row[self.place[n]] for n in names if f"cb{int(n[1:]) + 1}" in self.place}
            return {"ca": row[self.place["a"]], "cb0": 0, **again}
        h = tuple(self.spans[i - m] for m in range(leg.spans))
        values = self.attempt(self.code.CORRECTORS[leg.order - 1], self.points[i], self.points[i + 1], h)
        if values is None:
            raise self.error(leg)
        return dict(zip(("ca", *(f"cb{j}" for j in range(len(values)))), values))

    def merged(self, row: tuple, values: dict[str, Any]) -> tuple:
        out = list(row)
        for name, value in values.items():
            if name in self.place:  # of an SDE the base of the step carries a x and the noise: there is no ca
                out[self.place[name]] = value
        return tuple(out)

    def error(self, leg: Leg) -> LimitError:
        """A step that has no finite coefficients: which, why, and what to do."""
        i = leg.step + self.route.history
        s, t = (float(self.points[j].t) for j in (i, i + 1))
        where = f"step {leg.step} of {self.route.count} (t = {s!r} to {t!r})"
        limits = self.route.limits(i)
        if self.route.table:
            return LimitError(f"{where}: {_why_entry(limits, leg, self.finite(i))}")
        return LimitError(f"{where}: {_why(limits, leg.order)}")

    def finite(self, i: int) -> int:
        """How many nodes up to i have a finite variable, one after the other."""
        gaps = [j for j in range(i + 1) if not self.route.charted(j)]
        return i - (gaps[-1] if gaps else -1)


def point(code: Any, time: Any) -> Any:
    """The grid point at a time; what is infinite there (a slope of the schedule, at an end) is inf."""
    try:
        return code.node(time)
    except (ArithmeticError, ValueError):
        return code.Node(*(time if name == "t" else _value(getattr(code, name), time) for name in code.Node._fields))


def _value(curve: Callable, time: Any) -> Any:
    try:
        return curve(time)
    except (ArithmeticError, ValueError):
        return inf


def call_nodes(code: Any, s: Any, t: Any, abscissae: Sequence[Any]) -> list[Any]:
    """Where a step from s to t calls the network: at fractions of the variable, each computed once."""
    places: dict[Any, Any] = {0: s, 1: t}
    for c in abscissae:
        if c not in places:
            places[c] = code.inner(s, t, c)
    return [places[c] for c in abscissae]


def span(route: Route, points: Sequence[Any], i: int, j: int) -> Any:
    """Step of chi from node i to node j; infinite where chi is, or where it is beyond 320 bits."""
    if not (route.charted(i) and route.charted(j)):
        return inf
    try:
        return route.code.span(points[i], points[j])
    except (OverflowError, ValueError, ZeroDivisionError):
        return inf


def kept(code: Any) -> tuple[tuple[str, ...], ...]:
    """What a history keeps of each grid point: of every value the columns (cx, cr) that make it of state and output; () is
    the output itself."""
    return getattr(code, "KEPT", (("cx", "cr") if "cx" in code.COLUMNS else (),))


def _calls(entry: Any) -> tuple[Callable, ...]:
    """The row functions of a step: one per call of the network."""
    return (entry,) if callable(entry) else entry


def _why_entry(limits: list[tuple[str, tuple]], leg: Leg, known: int) -> str:
    """The same of a step of a table."""
    entry = f"entry {leg.step} of the solver's table"
    if leg.choices:
        return f"{entry}: {_why([], 1)}"
    if leg.spans > max(known, 1):
        return (
            f"{entry} reads back over {leg.spans} grid points, and {known} there {'has' if known == 1 else 'have'} a finite "
            f"variable; allowed: order 1 to {max(known, 1)}, nodes 0 to {max(known, 1) - 1}"
        )
    what = " and ".join(text for text, _ in limits)
    if not all(any(rows) for _, rows in limits):
        return f"{entry}: {_why([(text, ()) for text, rows in limits if not any(rows)], 1)}"
    return (
        f"{entry} {what}, where only a step of one value has a finite limit; make it {{order: 1}} without an implicit "
        "corrector, or leave that end out of the grid"
    )


def _why(limits: list[tuple[str, tuple]], order: int) -> str:
    if not limits:
        return "a coefficient is not finite in float64; take nodes that are further apart or away from the ends"
    what = " and ".join(text for text, _ in limits)
    most = min(len(rows) for _, rows in limits)
    if order <= most:
        return f"the step {what}; a coefficient of its limit is not finite in float64; move the nodes next to the end"
    if most == 0:
        remedy = {
            "ends at sigma = 0": "end the grid before it (t_end=.., final_zero=False)",
            "starts at alpha = 0": "start the grid after it (t_start=..), or use a prediction that says something "
            "about the data there (data, v, velocity)",
            "starts at sigma = 0": "start the grid after it (t_end=.., final_zero=False)",
        }
        advice = "; ".join(remedy.get(text, "leave that end out of the grid") for text, _ in limits)
        return f"the step {what}, where the solver's coefficients have no finite limit; {advice}"
    return (
        f"the step {what}, where a row of order {order} has no finite limit (highest: {most}); generate the solver "
        "with final: lower_order or in a variable that is finite there (rho, t), or end the grid before it"
    )


__all__ = ["Leg", "Route", "Visit", "call_nodes", "kept", "point", "span", "visits"]
