r"""EDM's churn: before a deterministic step the noise level is raised by fresh noise, and the step begins there.

    gamma = min(S_churn/N, sqrt(2) - 1) where S_tmin <= rho <= S_tmax, else 0;    rho = sigma/alpha, N grid steps
    rho_hat = (1 + gamma) rho,   x_hat = (alpha_hat/alpha) x + S_noise sqrt(sigma_hat^2 - (alpha_hat/alpha)^2 sigma^2) z

and then the solver's own step from (x_hat, t_hat) to the next node: arXiv:2206.00364, algorithm 2, where alpha = 1 and rho = t.
The step is that of any solver that keeps nothing from one step to the next, on any schedule. A churned step has as many
calls of the network as it had: 2 N - 1 for Heun's method with N steps to sigma = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from runtime import checks
from runtime.grids import log_rho, time_of
from runtime.noise import source
from runtime.plan import Plan
from runtime.real import real, sqrt
from runtime.solve import Model, Options, Turn


@dataclass(frozen=True, slots=True)
class Churn:
    """S_churn, S_tmin, S_tmax, S_noise; the bounds are of rho = sigma/alpha. ValueError: a negative number, bounds not in order."""

    amount: float = 0.0
    low: float = 0.0
    high: float = math.inf
    noise: float = 1.0

    def __post_init__(self) -> None:
        fine = all(v >= 0 for v in (self.amount, self.low, self.noise)) and self.low <= self.high
        if not (fine and math.isfinite(self.amount) and math.isfinite(self.noise)):
            raise ValueError(f"churn: got {self}; allowed: finite numbers from 0, low <= high")

    def gamma(self, steps: int, rho: float) -> float:
        """By how much rho is raised, in parts of it."""
        inside = self.low <= rho <= self.high and math.isfinite(rho)
        return min(self.amount / steps, math.sqrt(2) - 1) if inside else 0.0


@dataclass(frozen=True, slots=True)
class Raised:
    """A step's start: time t_hat, and x_hat = kept x + added z. churned: whether t_hat is another time than t."""

    time: float
    kept: float
    added: float
    churned: bool = True


def raised(code: Any, churn: Churn, nodes: tuple[float, ...]) -> list[Raised]:
    """Of every step between nodes. ValueError: a level above the schedule's."""
    out = []
    for n, t in enumerate(nodes[:-1]):
        rho = math.exp(log_rho(code, t))
        gamma = churn.gamma(len(nodes) - 1, rho)
        if not gamma:
            out.append(Raised(t, 1.0, 0.0, False))
            continue
        try:
            time = time_of(code, "rho", (1 + gamma) * rho, code.DOMAIN[0], t)
        except ValueError as error:
            error.add_note(f"churn at node {n} asks for it; allowed: high= below the first levels, or a wider schedule")
            raise
        old, new = real(t), real(time)
        kept = code.alpha(new) / code.alpha(old)
        added = sqrt(code.sigma(new) ** 2 - (kept * code.sigma(old)) ** 2) * real(churn.noise)
        out.append(Raised(time, float(kept), float(added)))
    return out


def sample(
    solver: Any,
    model: Model,
    x_T: torch.Tensor,
    churn: Churn,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    noise: Any = None,
    callback: Callable[[int, float, torch.Tensor], Any] | None = None,
    check: str = "end",
    **options: Any,
) -> torch.Tensor:
    """Solve with churn; without any, the solver's own samples bit for bit.

    steps, grid, nodes, options: of the nodes, as in ``solver.plan``. seed, generator, noise: as in ``solver.sample``, a
    draw for each step that is churned. callback(n, t_hat, x_hat): before step n. ValueError: a solver that draws noise of
    its own or keeps values from step to step, grids per sample.
    """
    checks.sample(x_T, "x_T")
    plan = solver.plan(steps, grid, nodes, **options)
    _single(plan)
    starts = raised(solver.coefficients, churn, plan.nodes)
    normals = source([start.added > 0 for start in starts], noise, seed, generator)
    if callback is None and not any(start.churned for start in starts):
        return solver.sample(model, x_T, plan=plan, check=check)
    x = solver.init(plan, x_T).x
    for n, start in enumerate(starts):
        if start.churned:
            x = start.kept * x
        if start.added:
            assert normals is not None
            x = x + start.added * normals(n, x)
        if callback:
            callback(n, start.time, x.clone())
        x = _stepped(solver, solver.plan(nodes=[start.time, *plan.nodes[n + 1 : n + 3]]), x, model, x_T.dtype, check)
    if check != "off":
        checks.finite(x, "the sample at the end")
    return x.to(x_T.dtype)


def _stepped(solver: Any, plan: Plan, x: torch.Tensor, model: Model, dtype: torch.dtype, check: str) -> torch.Tensor:
    """The first step of a plan of two, which a method may end otherwise; all of a plan of one."""
    state = solver.init(plan, x)
    turn = Turn(solver, plan, state.x, model, dtype, Options(check=check))
    for i in range(plan.steps):
        state = turn(state, i)
        if plan.grid_steps == 2 and plan.closes(i):
            break
    return state.x.clone()


def _single(plan: Plan) -> None:
    if plan.samples is not None:
        raise ValueError("nodes: got a grid per sample; allowed: one grid for all")
    if any(plan.draws):
        raise ValueError(f"{plan.solver} draws noise of its own; allowed: a deterministic solver")
    if plan.direction != "sampling":
        raise ValueError(f"direction: got {plan.direction!r}; allowed: 'sampling'")
    if any(plan.memory[i + 1] for i, _ in enumerate(pairwise(plan.memory)) if plan.closes(i)):
        raise ValueError(f"{plan.solver} keeps values from step to step; allowed: one-step methods")


__all__ = ["Churn", "Raised", "raised", "sample"]
