"""Planning: from what the caller asked for (steps, evaluations, a grid's name, times) to a Plan.

What a State has to keep between two calls follows backwards from the last one, which leaves nothing: a phase reads its
first NEEDS entries and leaves KEEPS; what is alive beyond those is carried behind them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, get_type_hints

from runtime import checks
from runtime.grids import GRIDS
from runtime.itinerary import kept
from runtime.plan import Plan
from runtime.tabulate import Tabulated, cost, tabulate

MOST_STEPS = 1_000_000
_ONE_CALL = re.compile(r"start_\d+|main")
"""Phases that follow each other by how many past values they read: a weight of zero makes one do the work of another."""


def planned(
    name: str,
    coefficients: Any,
    step: Any,
    wanted: dict[str, Any],
    history: Any,
    direction: Any,
    options: dict[str, Any],
) -> Plan:
    """``Solver.plan``; ``wanted``: steps, nfe, grid and nodes."""
    checks.choice("direction", direction, ("sampling", "inversion"))
    history = checks.count("history", history, 0)
    inversion = direction == "inversion"
    if inversion and getattr(step, "DRAWS", ()):
        raise ValueError(f"direction: {name} is stochastic, and its steps have no inverse; allowed: sampling")
    k = coefficients.STEPS
    if coefficients.START == "exact" and history < k - 1:
        raise ValueError(
            f"history: got {history}; allowed: at least {k - 1}, since this solver starts exactly: give the values "
            f"at the {k - 1} nodes before the first step, or generate it with start: ramp"
        )
    nodes = wanted.pop("nodes")
    if nodes is not None:
        extra = [key for key, value in wanted.items() if value is not None] + list(options)
        if extra:
            raise TypeError(f"plan(): nodes are given, so {', '.join(extra)} cannot be")
    else:
        nodes = _nodes(coefficients, wanted, history, inversion, options)
    return _tabulated(name, coefficients, step, checks.node_list(nodes), history, direction)


def _nodes(
    coefficients: Any, wanted: dict[str, Any], history: int, inversion: bool, options: dict[str, Any]
) -> tuple[float, ...]:
    """The named grid, in the direction of time."""
    steps, nfe, name = (wanted[key] for key in ("steps", "nfe", "grid"))
    if steps is not None and nfe is not None:
        raise TypeError("plan(): give steps (of the grid) or nfe (evaluations of the network), not both")
    default = dict(coefficients.GRID)
    kind, usual = default.pop("kind", "uniform"), default.pop("steps", None)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"grid: got {type(name).__name__}; allowed: {', '.join(GRIDS)}; times go to nodes=")
    name = kind if name is None else name
    checks.choice("grid", name, GRIDS)
    known = list(inspect.signature(GRIDS[name]).parameters)[2:]
    for option in options:
        checks.choice(f"option of grid {name!r}", option, known)
    hints = get_type_hints(GRIDS[name])
    given = {option: checks.option(option, value, hints[option]) for option, value in options.items()}
    merged = {**(default if name == kind else {}), **given}

    def grid(n: int) -> tuple[float, ...]:
        nodes = GRIDS[name](coefficients, n + history, **merged)
        return nodes[::-1] if inversion else nodes

    if nfe is not None:
        return _affordable(coefficients, grid, _limited("nfe", nfe), history, inversion)
    table = getattr(coefficients, "TABLE", ())
    if table:
        usual = len(table)
        _entries(coefficients, steps if steps is None else _limited("steps", steps), "steps")
    steps = usual if steps is None else steps
    if steps is None:
        raise ValueError("steps: not given, and the spec has no default; allowed: at least 1")
    return grid(_limited("steps", steps))


def _entries(coefficients: Any, steps: int | None, name: str, got: int | None = None) -> None:
    """A solver with a table takes as many grid steps as it has entries; ``got``: what the caller counted instead."""
    count = len(getattr(coefficients, "TABLE", ()))
    if count and steps not in (None, count):
        shown = steps if got is None else f"{got}, which are {steps} steps"
        raise ValueError(f"{name}: got {shown}; this solver's table has {count} entries")


def _limited(name: str, value: Any) -> int:
    value = checks.count(name, value, 1)
    if value > MOST_STEPS:
        raise ValueError(f"{name}: got {value}; allowed: 1 to {MOST_STEPS}")
    return value


def _affordable(coefficients: Any, grid: Any, nfe: int, history: int, inversion: bool) -> tuple[float, ...]:
    """The grid of the most steps that take at most ``nfe`` evaluations."""
    if table := getattr(coefficients, "TABLE", ()):
        nodes = grid(len(table))
        price = cost(coefficients, nodes, history, inversion)
        if price > nfe:
            raise ValueError(f"nfe: got {nfe}; this solver's table has {len(table)} entries that take {price}")
        return nodes
    entry = coefficients.ROWS[-1]
    each = 1 if callable(entry) else len(entry)
    price = 0
    for n in range(min(nfe, nfe // each + each + coefficients.STEPS), 0, -1):  # the first and last steps may cost less
        try:
            nodes = grid(n)
        except ValueError:
            if n > nfe // each:  # more than the grid has, and perhaps more than was asked for
                continue
            raise
        price = cost(coefficients, nodes, history, inversion)
        if price <= nfe:
            return nodes
    raise ValueError(f"nfe: got {nfe}; allowed: at least {price}, the evaluations of a single step")


def _tabulated(name: str, coefficients: Any, step: Any, nodes: list[Any], history: int, direction: str) -> Plan:
    domain, inversion = coefficients.DOMAIN, direction == "inversion"
    batched = bool(nodes) and isinstance(nodes[0], (list, tuple))
    if batched:
        if any(not isinstance(row, (list, tuple)) or len(row) != len(nodes[0]) for row in nodes):
            raise ValueError("nodes: per-sample grids have to be [B, N+1], every row of one length")
        given = tuple(checks.times(row, domain, inversion, f"[{b}]") for b, row in enumerate(nodes))
    else:
        given = (checks.times(nodes, domain, inversion),)
    if len(given[0]) < history + 2:
        raise ValueError(f"nodes: got {len(given[0])}; allowed: at least {history + 2} ({history} of history)")
    _entries(coefficients, len(given[0]) - 1 - history, "nodes", len(given[0]))
    distinct = {row: k for k, row in enumerate(dict.fromkeys(given))}
    grids = tuple(tabulate(coefficients, row, history, inversion) for row in distinct)
    phases = _common(grids, step)
    drawing = getattr(step, "DRAWS", ())
    return Plan(
        solver=name,
        nodes=given if batched else given[0],
        history=history,
        direction=direction,
        columns=tuple(coefficients.COLUMNS),
        orders=tuple(map(max, zip(*(g.orders for g in grids)))),
        phases=phases,
        places=grids[0].places,
        memory=_memory(step, phases, history, len(kept(coefficients))),
        samples=len(given) if batched else None,
        grids=grids,
        which=tuple(distinct[row] for row in given),
        draws=tuple(phase in drawing for phase in phases),
    )


def _common(grids: Sequence[Tabulated], step: Any) -> tuple[str, ...]:
    """The phases of all samples: where they differ in how many past values they read, the one that reads the most."""
    if any(g.places != grids[0].places for g in grids):
        raise ValueError(
            "nodes: the grids need different numbers of evaluations at their ends; begin and end them alike"
        )
    out = []
    for i, names in enumerate(zip(*(g.phases for g in grids))):
        if len({*names}) > 1 and not all(map(_ONE_CALL.fullmatch, names)):
            raise ValueError(
                f"nodes: the grids take evaluation {i} differently ({', '.join(sorted({*names}))}); begin and end them alike"
            )
        out.append(max(names, key=lambda n: step.NEEDS.get(n, 0)))
    return tuple(out)


def _memory(step: Any, phases: Sequence[str], history: int, width: int) -> tuple[int, ...]:
    """How many entries of the memory are alive before each call and after the last; ``width``: of each history node."""
    alive = [0]
    for phase in reversed(phases):
        if phase == "enter" and phase not in step.STEPS:
            raise ValueError(
                f"history: got {history}; allowed: 0, since this solver corrects its steps and has no phase {phase!r} "
                "that begins with given values"
            )
        alive.append(step.NEEDS[phase] + max(alive[-1] - step.KEEPS[phase], 0))
    if alive[-1] > history * width:
        read = -(-alive[-1] // width)
        raise ValueError(f"history: got {history}; allowed: 0 or at least {read}, what the first step reads")
    return tuple(alive[::-1])


__all__ = ["MOST_STEPS", "planned"]
