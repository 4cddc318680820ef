"""From time nodes to the coefficient table: one row of Reals per step, rounded once to float64. No torch here.

Order of step i of n (0-based; k = STEPS; j history nodes before the first):

* start ``ramp``: min(k, i + 1 + j); ``exact``: k, which takes j >= k - 1 history nodes;
* final ``lower_order``: also at most n - i;
* a node whose chart chi is infinite (lambda at alpha = 0) does not count as history;
* a step that touches an end with sigma = 0 or alpha = 0 takes its row from the limits that were derived for that end.

Cost O(N) rows. ``coefficients`` is a generated ``coefficients`` module throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import LimitError
from runtime.real import Real, inf, real

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tabulated:
    """One grid, by step: the row, its order, the network's time, and (dx, dr) of x0 = dx x + dr raw at its start."""

    rows: tuple[Row, ...]
    orders: tuple[int, ...]
    times: Row
    denoised: tuple[tuple[float, float], ...]
    history: tuple[tuple[float, float], ...]
    """(cx, cr) of the integrand cx x + cr raw at each history node."""


def tabulate(coefficients: Any, nodes: Sequence[float], history: int, inversion: bool) -> Tabulated:
    """The table of one grid. ``nodes``: checked times, ``history`` of them before the first step."""
    grid = _Grid(coefficients, nodes, inversion)
    count = len(nodes) - 1 - history
    orders = grid.orders(history, count)
    rows = [grid.row(history + i, order, i, count) for i, order in enumerate(orders)]
    if coefficients.FINAL == "denoise" and not inversion and not grid.at_sigma_zero(len(nodes) - 1):
        rows.append(grid.denoise_row(count))
        orders.append(1)
    starts = range(history, history + len(rows))
    past = map(grid.evaluated, range(history))
    return Tabulated(
        tuple(rows),
        tuple(orders),
        tuple(map(grid.time, starts)),
        tuple(map(grid.denoised, starts)),
        tuple((values["cx"], values["cr"]) for values in past),
    )


class _Grid:
    """The nodes of one grid, the chart steps between them, and the rows they give."""

    def __init__(self, coefficients: Any, nodes: Sequence[float], inversion: bool) -> None:
        self.c, self.times, self.inversion = coefficients, tuple(nodes), inversion
        self.nodes = [coefficients.node(real(t)) for t in nodes]
        self.spans = [self.span(i, i + 1) for i in range(len(nodes) - 1)]

    def span(self, i: int, j: int) -> Real:
        """Chart step from node i to node j; infinite where the chart is, or where it is beyond 320 bits."""
        if not (self.charted(i) and self.charted(j)):
            return inf
        try:
            return self.c.span(self.nodes[i], self.nodes[j])
        except (ArithmeticError, ValueError):
            return inf

    def at_sigma_zero(self, i: int) -> bool:
        return self.c.DATA_END == "sigma_zero" and self.times[i] == self.c.DOMAIN[1]

    def at_alpha_zero(self, i: int) -> bool:
        return self.c.NOISE_END == "alpha_zero" and self.times[i] == self.c.DOMAIN[0]

    def charted(self, i: int) -> bool:
        """Is chi finite at node i?"""
        finite = self.c.CHART_FINITE
        return not (self.at_sigma_zero(i) and not finite["sigma_zero"]) and not (
            self.at_alpha_zero(i) and not finite["alpha_zero"]
        )

    def orders(self, history: int, count: int) -> list[int]:
        """Order of each step, by the rules of the module docstring."""
        k, out, run = self.c.STEPS, [], 0
        for j in range(history + count):
            run = run + 1 if self.charted(j) else 0
            order = min(k, max(run, 1))
            if self.c.FINAL == "lower_order":
                order = min(order, history + count - j)
            out.append(order)
        return out[history:]

    def row(self, j: int, order: int, i: int, count: int) -> Row:
        """Row of the step from node j: regular, or the limit at the end that the step touches."""
        s, t = self.nodes[j], self.nodes[j + 1]
        h = tuple(self.spans[j - m] for m in range(order))
        where = f"step {i} of {count} (t = {self.times[j]!r} to {self.times[j + 1]!r})"
        limits = self._limits(j)
        tables = [rows for _, rows in limits] or [self.c.ROWS]
        functions = [rows[order - 1] for rows in tables if order <= len(rows)]
        for function in functions:
            row = _finite(function, s, t, h)
            if row is not None:
                return row
        raise LimitError(f"{where}: {self._why(limits, order)}")

    def _limits(self, j: int) -> list[tuple[str, tuple]]:
        """The derived limits that apply to the step from node j, with what each is about."""
        c, found = self.c, []
        if self.at_sigma_zero(j + 1):
            found.append(("ends at sigma = 0", c.TO_SIGMA_ZERO))
        if self.at_alpha_zero(j):
            found.append(("starts at alpha = 0", c.FROM_ALPHA_ZERO))
        if self.at_sigma_zero(j):
            found.append(("starts at sigma = 0", c.FROM_SIGMA_ZERO))
        if self.at_alpha_zero(j + 1):
            found.append(("ends at alpha = 0", c.TO_ALPHA_ZERO))
        return found

    def _why(self, limits: list[tuple[str, tuple]], order: int) -> str:
        if not limits:
            return "a coefficient is not finite in float64; take nodes that are further apart or away from the ends"
        what = " and ".join(text for text, _ in limits)
        most = min(len(rows) for _, rows in limits)
        if order <= most:
            return (
                f"the step {what}; a coefficient of its limit is not finite in float64; move the nodes next to the end"
            )
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

    def time(self, j: int) -> float:
        """What the network is fed at node j."""
        value = _number(lambda: self.c.time(real(self.times[j])))
        if not math.isfinite(value):
            raise LimitError(
                f"the network's time ({self.c.INPUT}) is infinite at t = {self.times[j]!r}; leave that end out of the "
                "grid"
            )
        return value

    def denoised(self, j: int) -> tuple[float, float]:
        """(dx, dr) at node j; NaN where the prediction says nothing about the data (noise at alpha = 0)."""
        try:
            dx, dr = map(float, self.c.denoised(self.nodes[j]))
        except (ArithmeticError, ValueError):
            return math.nan, math.nan
        return dx, dr

    def evaluated(self, j: int) -> dict[str, float]:
        """What belongs to an evaluation at node j: cx, cr and, where there is one, cin, by column.

        Read from a first-order row that starts there: forwards, from the last node backwards.
        """
        values = {"cx": 0.0, "cr": 1.0}
        if not {"cx", "cin"} & {*self.c.COLUMNS}:
            return values
        forwards = j + 1 < len(self.nodes)
        other = j + 1 if forwards else j - 1
        limits = [rows[0] for _, rows in self._limits(j) if rows] if forwards else []
        for function in (*limits, self.c.ROWS[0]):
            row = _finite(function, self.nodes[j], self.nodes[other], (self.span(j, other),))
            if row is not None:
                return values | dict(zip(self.c.COLUMNS, row))
        raise LimitError(f"the integrand is not finite at t = {self.times[j]!r}; take history from other nodes")

    def denoise_row(self, count: int) -> Row:
        """x' = dx x + dr raw at the last node, written as a row of order 1: a = dx - b0 cx, b0 = dr/cr."""
        last = len(self.nodes) - 1
        dx, dr = map(real, self.denoised(last))
        values: dict[str, Any] = {**self.evaluated(last)}
        b0 = dr / real(values["cr"])
        values |= dict.fromkeys((c for c in self.c.COLUMNS if c not in ("cx", "cr", "cin")), 0)
        values |= {"a": dx - b0 * values["cx"], "b0": b0}
        row = tuple(float(values[name]) for name in self.c.COLUMNS)
        if not all(map(math.isfinite, row)):
            raise LimitError(f"the final denoising after step {count} is not finite at t = {self.times[-1]!r}")
        return row


def _number(f: Any) -> float:
    try:
        return float(f())
    except (ArithmeticError, ValueError):
        return math.nan


def _finite(function: Any, s: Any, t: Any, h: tuple) -> Row | None:
    """The row rounded to float64, or None where an entry has no finite value."""
    try:
        row = tuple(float(v) for v in function(s, t, h))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    return row if all(map(math.isfinite, row)) else None
