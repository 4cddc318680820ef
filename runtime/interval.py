"""The interval of a solve whose steps the error chooses, and the part of it that the embedded pair can integrate.

A pair needs the variable, its rows, the integrand and the network's time finite at both ends. Where the domain ends at
alpha = 0 or sigma = 0 and they are not, a step of order 1 to or from there is a limit that the solver has, and the pair
does the rest.
"""

from __future__ import annotations

import math
from typing import Any

from runtime.errors import LimitError
from runtime.fed import smooth
from runtime.grids import GRIDS
from runtime.itinerary import point
from runtime.real import real
from runtime.tabulate import end_at


def default(code: Any) -> tuple[float, ...]:
    """The nodes of the default grid. ValueError if the spec has none."""
    options = dict(code.GRID)
    kind, steps = options.pop("kind", "uniform"), options.pop("steps", None)
    if steps is None:
        raise ValueError("span: not given, and the spec has no default grid; allowed: (t_start, t_end)")
    return tuple(map(float, GRIDS[kind](code, steps, **options)))


def checked(ends: Any, domain: tuple[float, float]) -> tuple[float, float]:
    """span: two different times in the domain, in either direction. TypeError, ValueError."""
    listed = ends if isinstance(ends, (tuple, list)) else None
    if (
        listed is None
        or len(listed) != 2
        or any(isinstance(t, (bool, str)) or not hasattr(t, "__float__") for t in listed)
    ):
        raise TypeError(f"span: got {ends!r}; allowed: (t_start, t_end), two numbers")
    start, end = map(float, listed)
    for t in (start, end):
        if not min(domain) <= t <= max(domain):
            raise ValueError(f"span: got {t!r}; allowed: {min(domain)!r} to {max(domain)!r}")
    if start == end:
        raise ValueError(f"span: starts and ends at {start!r}; allowed: two different times")
    return start, end


def inside(code: Any, times: tuple[float, ...]) -> tuple[float, ...]:
    """The times without an end of the domain at which the pair itself cannot start or arrive.

    LimitError if nothing is left between them, or no limit of order 1 leads there.
    """
    low, high = 0, len(times)
    first, last = end_at(code, times[0]), end_at(code, times[-1])
    leaving = getattr(code, f"FROM_{first.upper()}") if first else code.ROWS
    arriving = getattr(code, f"TO_{last.upper()}") if last else code.ROWS
    if first and not (code.CHART_FINITE[first] and len(leaving) == len(code.ROWS)):
        low = 1
    if last and not (
        code.CHART_FINITE[last] and len(arriving) == len(code.ROWS) and _converts(code, point(code, real(times[-1])))
    ):
        high -= 1
    for t, wanted, there in ((times[0], low, leaving), (times[-1], high < len(times), arriving)):
        if wanted and (high - low < 2 or not there):
            what = f"a step that the error chooses cannot touch t = {t!r}: the variable or the integrand is not finite"
            raise LimitError(f"span: {what}; allowed: ends inside the domain")
    return times[low:high]


def limit(code: Any, time: float, leaving: bool) -> Any:
    """The row function of the step of order 1 that leaves, or arrives at, the end of the domain at ``time``."""
    return getattr(code, f"{'FROM' if leaving else 'TO'}_{str(end_at(code, time)).upper()}")[0]


def _converts(code: Any, node: Any) -> bool:
    """Can the network be asked there (log sigma is no time), and is F a finite combination of x and its output?"""
    try:
        told = (code.time(node.t),) if smooth(code) else ()
        return all(math.isfinite(float(c)) for c in (*told, *code.integrand(node)))
    except (ArithmeticError, ValueError):
        return False


__all__ = ["checked", "default", "inside", "limit"]
