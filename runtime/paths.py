r"""One Brownian path for solves of any number of steps.

The noise of a step from s to t is G(t) int_s^t (g/G) dW: an increment of one martingale, and that is a Brownian motion W on
the clock

    q(t) = int (g/G)^2 du,     spread(s, t)^2 = G(t)^2 (q(t) - q(s)),

so a path of :mod:`runtime.brownian` on q gives N and 2N steps, and the stages in between, the same noise: their difference
is the strong error. The clock is read off the solver's own functions, from the middle of its domain.

    path = Path(solver, solver.plan(steps=80), seed=0)
    fine = solver.sample(model, x_T, plan=path.plan, noise=path.of(path.plan))
    plan = solver.plan(steps=40)
    coarse = solver.sample(model, x_T, plan=plan, noise=path.of(plan))
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch

from runtime.brownian import LEVELS, Brownian
from runtime.itinerary import call_nodes
from runtime.noise import Source
from runtime.plan import Plan
from runtime.real import Real, real


class Path:
    """The path of a seed on the clock of a stochastic solver, between the times of a plan.

    plan: of the finest solve; others may use what lies between its ends. samples: number of the first sample of the batch.
    levels: 2^levels ticks (default: as many as keep the plan's times apart). ValueError: the solver draws nothing or
    is that of a consistency model, grids per sample, times closer than the ticks.
    """

    def __init__(self, solver: Any, plan: Plan, seed: int, samples: int = 0, levels: int | None = None) -> None:
        self.plan, self.samples, self._code = plan, samples, solver.coefficients
        if any(plan.draws) and not hasattr(self._code, "share"):
            raise ValueError(f"plan: {solver.name} makes its noise anew in every step; allowed: a solver of an SDE")
        clocks = self._clocks(plan)
        known = sorted({q for pair in clocks for q in pair if math.isfinite(q)})
        if len(known) < 2:
            raise ValueError(f"plan: {solver.name} draws no noise on it; allowed: steps of a stochastic solver")
        length = known[-1] - known[0]
        gap = min(b - a for a, b in pairwise(known))
        levels = min(math.ceil(math.log2(length / gap)) + 1, LEVELS) if levels is None else levels
        self.brownian = Brownian(seed, (known[0], known[-1]), levels)

    def of(self, plan: Plan) -> Source:
        """The normals of a solve with this plan, for ``sample(noise=)``. ValueError: times outside of the path's."""
        clocks = self._clocks(plan)
        first, last = self.brownian.interval
        for i, (a, b) in enumerate(clocks):
            if plan.draws[i] and math.isfinite(b) and not first <= a < b <= last:
                raise ValueError(f"plan: call {i} is not between the times of the path; allowed: those of {self.plan}")

        def normals(call: int, like: torch.Tensor) -> torch.Tensor:
            a, b = clocks[call]
            if not math.isfinite(b):  # a step into sigma = 0, whose noise vanishes
                return torch.zeros_like(like)
            found = self.brownian.normals(a, b, like if like.dim() else like[None], self.samples)
            return found if like.dim() else found[0]

        return normals

    def _clocks(self, plan: Plan) -> list[tuple[float, float]]:
        """By call, the clock where its noise begins and where it ends."""
        if plan.samples is not None:
            raise ValueError("plan: got a grid per sample; allowed: one grid for all")
        code = self._code
        out: list[tuple[float, float]] = []
        for n in range(plan.grid_steps):
            calls = [i for i, place in enumerate(plan.places) if place == n]
            s, t = plan.nodes[plan.history + n], plan.nodes[plan.history + n + 1]
            times = [s]
            if len(calls) > 1:
                begins = plan.phases[calls[0]].startswith("begin")
                abscissae = code.BEGIN_ABSCISSAE if begins else code.ABSCISSAE[plan.orders[calls[0]] - 1]
                nodes = call_nodes(code, code.node(real(s)), code.node(real(t)), abscissae)
                times += [node.t for node in nodes[1:]]
            found = [self._clock(x) for x in (*times, t)]
            out += pairwise(found)
        out += [(math.inf, math.inf)] * (plan.steps - len(out))  # a final denoising
        return out

    def _clock(self, time: Any) -> float:
        return _clock(self._code, real(time))


@lru_cache(maxsize=65536)
def _clock(code: Any, time: Real) -> float:
    """q at a time, 0 in the middle of the domain, in units of G there; infinite where G vanishes."""
    first, last = map(real, code.DOMAIN)
    middle = code.node((first + last) / 2)
    if time == middle.t:
        return 0.0
    before = (time - middle.t) * (last - first) < 0
    s, t = (code.node(time), middle) if before else (middle, code.node(time))
    row = dict(zip(code.COLUMNS, _row(code, s, t, float(time))))
    kept, spread = real(row["a"]), real(row["s"])
    if before:
        return -float(spread**2)
    return math.inf if kept == 0 else float((spread / kept) ** 2)


def _row(code: Any, s: Any, t: Any, time: float) -> tuple[Any, ...]:
    """A row of order 1 from s to t, one of which may be an end of the domain."""
    rows = code.ROWS
    if time == code.DOMAIN[0] and code.NOISE_END == "alpha_zero":
        rows = code.FROM_ALPHA_ZERO or rows
    if time == code.DOMAIN[1] and code.DATA_END == "sigma_zero":
        rows = code.TO_SIGMA_ZERO or rows
    entry = rows[0]
    touches = rows is not code.ROWS
    step = (real(1) if touches else code.span(s, t),) * max(code.STEPS, 1)
    if callable(entry):
        return tuple(entry(s, t, step))
    nodes = tuple(call_nodes(code, s, t, code.ABSCISSAE[0]))
    values = dict(zip(code.COLUMNS, entry[-1](s, t, step, nodes)))
    return tuple({**values, "s": code.spread(s, t)}[name] for name in code.COLUMNS)


__all__ = ["Path"]
