"""From time nodes to the coefficient table: one row of Reals per network call, rounded once to float64. No torch here.

Which calls there are, and with which rows, is :mod:`runtime.itinerary`; here are the ends of the domain, what the
network is fed, the estimate of the data at each call, and the final denoising. ``coefficients`` is a generated
``coefficients`` module throughout. Cost O(N) rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import LimitError
from runtime.fed import fed
from runtime.itinerary import Route, Visit, call_nodes, kept, point, span, visits
from runtime.real import Real, real
from runtime.rebind import rebound

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tabulated:
    """One grid, by network call: row, order, phase, grid step, network's time, and (dx, dr) of x0 = dx x + dr raw there."""

    rows: tuple[Row, ...]
    orders: tuple[int, ...]
    phases: tuple[str, ...]
    places: tuple[int, ...]
    times: Row
    denoised: tuple[tuple[float, float], ...]
    history: tuple[Row, ...]
    """(cx, cr) of the integrand cx x + cr raw at each history node; of several that are kept one pair after the other."""
    alphas: Row
    """alpha at the node where the grid step of each call ends."""


def tabulate(coefficients: Any, nodes: Sequence[float], history: int, inversion: bool) -> Tabulated:
    """The table of one grid. ``nodes``: checked times, ``history`` of them before the first step."""
    grid = _Grid(coefficients, nodes, history)
    calls = visits(coefficients, grid.points, history=history, first=grid.first, last=grid.last, attempt=_rounded)
    if _denoises(coefficients, grid.route, inversion):
        calls.append(grid.denoising())
    return Tabulated(
        tuple(v.row for v in calls),
        tuple(v.order for v in calls),
        tuple(v.phase for v in calls),
        tuple(v.step for v in calls),
        tuple(grid.time(v.node.t) for v in calls),
        tuple(grid.denoised(v.node) for v in calls),
        tuple(map(grid.kept, range(history))),
        tuple(grid.alpha(v.step) for v in calls),
    )


def cost(coefficients: Any, nodes: Sequence[float], history: int, inversion: bool) -> int:
    """How many network calls a solve over these nodes takes; no coefficient is computed."""
    route = _route(coefficients, nodes, history)
    return sum(len(leg.phases) for leg in route.legs()) + _denoises(coefficients, route, inversion)


def _route(coefficients: Any, times: Sequence[float], history: int) -> Route:
    first, last = (end_at(coefficients, t) for t in (times[0], times[-1]))
    return Route(coefficients, len(times) - 1 - history, history, first, last)


def end_at(coefficients: Any, time: float) -> str | None:
    """sigma_zero or alpha_zero if that is what lies at this time."""
    for at, what, end in zip(
        coefficients.DOMAIN, (coefficients.NOISE_END, coefficients.DATA_END), ("alpha_zero", "sigma_zero")
    ):
        if time == at and what == end:
            return end
    return None


def _denoises(coefficients: Any, route: Route, inversion: bool) -> bool:
    return coefficients.FINAL == "denoise" and not inversion and route.last != "sigma_zero"


class _Grid:
    """The points of one grid, and what belongs to a call of the network at each."""

    def __init__(self, coefficients: Any, times: Sequence[float], history: int) -> None:
        self.c, self.times, self.marks = coefficients, tuple(times), frozenset(times)
        self.route = _route(coefficients, times, history)
        self.first, self.last = self.route.first, self.route.last
        self.points = [point(coefficients, real(t)) for t in times]

    def time(self, t: Real) -> float:
        """What the network is fed at time t."""
        value = _number(lambda: fed(self.c, t, float(t) not in self.marks))
        if not math.isfinite(value):
            raise LimitError(
                f"the network's time ({self.c.INPUT}) is infinite at t = {float(t)!r}; leave that end out of the grid"
            )
        return value

    def denoised(self, node: Any) -> tuple[float, float]:
        """(dx, dr) at a point; NaN where the prediction says nothing about the data (noise at alpha = 0)."""
        try:
            dx, dr = map(float, self.c.denoised(node))
        except (ArithmeticError, ValueError):
            return math.nan, math.nan
        return dx, dr

    def alpha(self, step: int) -> float:
        """alpha at the end of a grid step; of a final denoising, at the last node."""
        end = min(self.route.history + step + 1, len(self.times) - 1)
        return float(self.c.alpha(real(self.times[end])))

    def evaluated(self, j: int) -> dict[str, float]:
        """What belongs to an evaluation at node j: cx, cr and, where there is one, cin, by column.

        Read from a first-order row that starts there: forwards, from the last node backwards.
        """
        values = {"cx": 0.0, "cr": 1.0}
        if not any(kept(self.c)) and "cin" not in self.c.COLUMNS:
            return values
        forwards = j + 1 < len(self.points)
        other = j + 1 if forwards else j - 1
        limits = [rows[0] for _, rows in self.route.limits(j) if rows and rows[0]] if forwards else []
        s, t = self.points[j], self.points[other]
        step = span(self.route, self.points, j, other)
        if not forwards and not self.route.charted(other):  # alpha = 0 there: any time before j serves
            t = point(self.c, (real(self.times[j]) + real(self.times[other])) / 2)
            step = self.c.span(s, t)
        h = (step,) * self.c.STEPS
        code = self.c if forwards or not hasattr(self.c, "spread") else rebound(self.c, _same, {"spread": _none})
        for entry in (*limits, code.ROWS[0]):
            if callable(entry):
                row = _rounded(entry, s, t, h)
            else:
                row = _rounded(entry[0], s, t, h, tuple(call_nodes(self.c, s, t, self.c.ABSCISSAE[0])))
            if row is not None:
                return values | dict(zip(self.c.COLUMNS, row))
        raise LimitError(f"the integrand is not finite at t = {self.times[j]!r}; take history from other nodes")

    def kept(self, j: int) -> Row:
        """(cx, cr) of every value that a history keeps of node j."""
        values = self.evaluated(j)
        return tuple(v for columns in kept(self.c) for v in ((values[n] for n in columns) if columns else (0.0, 1.0)))

    def denoising(self) -> Visit:
        """x' = dx x + dr raw at the last node, written as a row of order 1: a = dx - b0 cx, b0 = dr/cr."""
        last = len(self.points) - 1
        dx, dr = map(real, self.denoised(self.points[last]))
        values: dict[str, Any] = {**self.evaluated(last)}
        b0 = dr / real(values["cr"])
        values |= dict.fromkeys((c for c in self.c.COLUMNS if c not in ("cx", "cr", "cin")), 0)
        values |= {"a": dx - b0 * values["cx"], "b0": b0}
        row = tuple(float(values[name]) for name in self.c.COLUMNS)
        if not all(map(math.isfinite, row)):
            raise LimitError(
                f"the final denoising after step {self.route.count} is not finite at t = {self.times[-1]!r}"
            )
        alone = len(self.c.ROWS) == 1 and callable(self.c.ROWS[0]) and not self.c.CORRECTORS
        return Visit(self.route.count, 1, "main" if alone else "start_1", self.points[last], row)


def _same(number: Real) -> Real:
    return number


def _none(s: Any, t: Any) -> Real:
    """The noise of a step backwards, which has none: what a row says of its start does not hang on it."""
    return real(0)


def _number(f: Any) -> float:
    try:
        return float(f())
    except (ArithmeticError, ValueError):
        return math.nan


def _rounded(function: Any, *args: Any) -> Row | None:
    """The row rounded to float64, or None where an entry has no finite value."""
    try:
        row = tuple(float(v) for v in function(*args))
    except (ArithmeticError, ValueError):  # a quadrature does not converge next to an end where the kernel is infinite
        return None
    return row if all(map(math.isfinite, row)) else None


__all__ = ["Row", "Tabulated", "Visit", "cost", "tabulate", "visits"]
