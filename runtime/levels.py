"""Numbers of the schedule along a plan, computed in wide arithmetic and rounded once: at its nodes, and at its calls.

A table is a float64 tensor [rows, K], of grids per sample [rows, K, B], as ``plan.placed`` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch

from runtime.itinerary import point, visits
from runtime.plan import Plan
from runtime.real import Real, real
from runtime.tabulate import end_at

Numbers = Callable[[Any, Real], tuple[Any, ...]]
"""(coefficients, time) -> what a row of the table has."""
_BESIDE = real("1e-40")
"""How far from an end of the domain, in parts of it, a limit is read: an error of its square root at most."""


def of_nodes(code: Any, plan: Plan, numbers: Numbers) -> torch.Tensor:
    """A row for each node from the first step's start on."""
    return _stacked(plan, [[_floats(numbers(code, real(t))) for t in g[plan.history :]] for g in _grids(plan)])


def of_steps(code: Any, plan: Plan, numbers: Callable[[Any, Real, Real], tuple[Any, ...]]) -> torch.Tensor:
    """A row for each grid step, of its two times."""
    grids = [[real(t) for t in g[plan.history :]] for g in _grids(plan)]
    return _stacked(plan, [[_floats(numbers(code, *ends)) for ends in pairwise(g)] for g in grids])


def of_calls(code: Any, plan: Plan, numbers: Numbers) -> torch.Tensor:
    """A row for each call of the network, those at stages included. ValueError for a plan with a history or a denoising."""
    if plan.history or plan.places[-1] == plan.grid_steps:
        raise ValueError(f"plan: got {plan.history} history nodes or a final denoising; allowed: neither")
    made = []
    for nodes in _grids(plan):
        first, last = (end_at(code, t) for t in (nodes[0], nodes[-1]))
        calls = visits(code, [point(code, real(t)) for t in nodes], first=first, last=last, attempt=_row)
        made.append([_floats(numbers(code, call.node.t)) for call in calls])
    return _stacked(plan, made)


def inside(code: Any, t: Real) -> Real:
    """The time, or one so close to an end of the domain that what is finite there has its limit."""
    a, b = map(real, code.DOMAIN)
    return a + (b - a) * _BESIDE if t == a else b + (a - b) * _BESIDE if t == b else t


def score(code: Any, t: Real) -> tuple[Real, Real]:
    """(sx, sr): the score is sx x + sr raw, for sigma > 0."""
    at = inside(code, t)
    alpha, sigma = code.alpha(at), code.sigma(at)
    dx, dr = code.denoised(point(code, at))
    return (alpha * dx - 1) / (sigma * sigma), alpha * dr / (sigma * sigma)


def _floats(row: Sequence[Any]) -> tuple[float, ...]:
    return tuple(map(float, row))


def _row(function: Any, *args: Any) -> tuple | None:
    try:
        return tuple(function(*args))
    except (ArithmeticError, ValueError):
        return None


def _grids(plan: Plan) -> list[tuple[float, ...]]:
    """The distinct grids, in the order of ``plan.grids``."""
    return [plan.nodes] if plan.samples is None else list(dict.fromkeys(plan.nodes))


def _stacked(plan: Plan, tables: Sequence[Any]) -> torch.Tensor:
    made = [torch.tensor(table, dtype=torch.float64) for table in tables]
    return made[0] if plan.samples is None else torch.stack([made[k] for k in plan.which], -1)


__all__ = ["inside", "of_calls", "of_nodes", "of_steps", "score"]
