"""The emitted embedded pair, sample by sample: every number that a step from one point takes, in float64. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import LimitError
from runtime.fed import fed, smooth
from runtime.itinerary import point as grid_point
from runtime.near import Near, near, settled
from runtime.real import real

LAST = 1e-9
"""A rest of the interval below this part of the step is not left over."""
INSIDE = 1 - real(2) ** -100
"""Where in a step that reaches an end of the domain dx/dchi is read, if its formula is not determined at the end itself."""


@dataclass(slots=True)
class Point:
    """A place on a sample's way: a float, and the grid point there in the arithmetics that have asked for it."""

    time: float
    nodes: dict[Arithmetic, Any] = field(default_factory=dict)

    def node(self, numbers: Arithmetic) -> Any:
        if numbers not in self.nodes:
            self.nodes[numbers] = numbers.node(self.time)
        return self.nodes[numbers]


@dataclass(frozen=True, slots=True)
class Trial:
    """One step that is tried: its end and length, and every number that it takes, in float64.

    rows: (a, b0, d1..) per call; calls: (time, cx, cr, cin) of each stage and of the end; error: weights on F0, K1, ..
    and the value at the end; speed: |q| of dx/dchi = p x + q F at the last of these values.
    """

    end: Point
    span: float
    last: bool
    rows: tuple[tuple[float, ...], ...]
    calls: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]
    speed: float


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic:
    """The pair's module in some numbers; node: the grid point at a time; rounded: numbers added in one place, as floats."""

    code: Any
    node: Callable[[float], Any]
    rounded: Callable[[Sequence[Any]], tuple[float, ...]]


class Pair:
    """The emitted pair, sample by sample: what a step from one point takes.

    In float64 with error bounds (:mod:`runtime.near`) where they show that all of it is right, else in 320 bits.
    """

    def __init__(self, code: Any) -> None:
        self.wide = Arithmetic(code, lambda time: grid_point(code, real(time)), _finite)
        self.ladder = [self.wide]
        if (light := near(code)) is not None:
            self.ladder.insert(0, Arithmetic(light, lambda time: light.node(Near(time)), settled))
        self.columns = [code.COLUMNS.index("b0")]
        self.columns += [i for i, name in enumerate(code.COLUMNS) if name.startswith("d")]
        self.order = int(code.EMBEDDED_ORDER) + 1
        self.scales = hasattr(code, "scaled")
        self.smooth = smooth(code)

    def trial(self, start: Point, step: float, end: Point, reuses: bool) -> Trial:
        """A step of the length ``step``, or up to ``end``. LimitError.

        reuses: the value at the end of a step is computed with it, and is the first of the next.
        """
        for numbers in self.ladder:
            try:
                return self._trial(numbers, start, step, end, reuses)
            except (ArithmeticError, ValueError):
                continue
        at = f"t = {start.time!r}"
        what = f"a coefficient of the step that starts at {at} is not finite; allowed: ends inside the domain"
        raise LimitError(f"span: {what}")

    def _trial(self, numbers: Arithmetic, start: Point, step: float, end: Point, reuses: bool) -> Trial:
        code, rounded, s = numbers.code, numbers.rounded, start.node(numbers)
        part = step / abs(float(code.span(s, end.node(numbers))))
        last = part >= 1 - LAST
        point = end if last else Point(float(code.inner(s, end.node(numbers), part).t))
        t = point.node(numbers)
        u = (s, *(code.inner(s, t, c) for c in code.ABSCISSAE[-1][1:]))
        h = (code.span(s, t),)
        found = [f(s, t, h, u) for f in code.ROWS[-1]]
        rows = tuple((*rounded(row[:1]), *rounded([row[i] for i in self.columns])) for row in found)
        inner = [c not in (0, 1) for c in code.ABSCISSAE[-1][1:]]
        called = zip((*u[1:], *([t] if reuses else [])), (*inner, False))
        calls = tuple(self._call(numbers, node, between) for node, between in called)
        error = rounded(code.ERROR[0](s, t, h, (*u, t)))
        speed = abs(self.slope(numbers, t if reuses else u[-1], s)[1])
        return Trial(point, rounded(h)[0], last, rows, calls, error, speed)

    def reuses(self, start: Point, end: Point) -> bool:
        """Whether the error estimate reads the value at the end of the step (first same as last)."""
        s, t = (point.node(self.wide) for point in (start, end))
        middle = self.wide.code.inner(s, t, real(1) / 2)
        return self.trial(start, abs(float(self.wide.code.span(s, middle))), end, False).error[-1] != 0

    def call(self, point: Point) -> tuple[float, ...]:
        """(time, cx, cr, cin): what the network is fed, F = cx x + cr raw, and the factor of its input."""
        for numbers in self.ladder[:-1]:
            with suppress(ArithmeticError, ValueError):
                return self._call(numbers, point.node(numbers))
        return self._call(self.wide, point.node(self.wide))

    def _call(self, numbers: Arithmetic, node: Any, inner: bool = False) -> tuple[float, ...]:
        code, rounded = numbers.code, numbers.rounded
        scale = rounded((code.scaled(node),)) if self.scales else (1.0,)
        if self.smooth:
            (time,) = rounded((code.time(node.t),))
        else:  # cut or looked up: of a float, so that both arithmetics fall on the same side of a jump
            time = fed(self.wide.code, real(float(node.t)), inner)
        return (time, *rounded(code.integrand(node)), *scale)

    def slope(self, numbers: Arithmetic, node: Any, other: Any) -> tuple[float, float]:
        """(p, q) of dx/dchi = p x + q F at ``node``, an end of a step whose other end is ``other``."""
        if numbers is not self.wide:
            p, q = numbers.rounded(numbers.code.slope(node.t))
            return p, q
        for inside in (False, True):
            try:
                time = self.wide.code.inner(other, node, INSIDE).t if inside else node.t
                p, q = map(float, self.wide.code.slope(time))
                if math.isfinite(p) and math.isfinite(q):
                    return p, q
            except (ArithmeticError, ValueError):
                continue
        return math.nan, math.nan


def _finite(values: Sequence[Any]) -> tuple[float, ...]:
    out = tuple(map(float, values))
    if not all(map(math.isfinite, out)):
        raise ArithmeticError("a number that is not finite")
    return out


__all__ = ["Arithmetic", "Pair", "Point", "Trial"]
