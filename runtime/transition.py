"""The law of one stochastic step: what reinforcement learning asks of a sampler.

Given what it finds, call ``i`` of a stochastic solver leaves x' ~ N(mean, std^2 I) with std a number of the plan, so its
density is closed, whatever the method: a multistep row, a stage, the prediction of a predictor-corrector. The densities of
the calls, added up, are that of the whole path given where it began (arXiv:2305.13301, Sec. 4.3, for the DDPM step).
"""

from __future__ import annotations

import math
from typing import Any

import torch

from runtime import checks
from runtime.plan import Plan
from runtime.state import State


def deviations(solver: Any, plan: Plan) -> torch.Tensor:
    """Float64 [steps], per-sample grids [steps, B]: the standard deviation that each call adds to an element of x; 0 where
    it draws nothing."""
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    table = plan.table
    out = torch.zeros(table.shape[:1] + table.shape[2:], dtype=torch.float64)
    for i, phase in enumerate(plan.phases):
        if plan.draws[i]:
            found = (zero,) * plan.memory[i]
            new, _ = solver._step.STEPS[phase](zero, zero, found, tuple(table[i].unbind(0)), one)
            out[i] = new.abs()
    return out


def transition(solver: Any, plan: Plan, i: int, state: State, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, std) of the state's x after call ``i``, given ``raw = model(state.x, plan.time(i))``; the state stays as it is.

    mean: [B, *S] of the state's dtype, differentiable in raw and in what the state holds. std: 0-d, per-sample grids
    [B, 1, ..]; 0 where the call draws nothing, or ends where sigma = 0. ValueError, as ``solver.step``.
    """
    solver._own(plan)
    plan.check_index(i)
    state.check_next(i)
    x = state.x
    raw = checks.model_output(raw, x)
    normals = (torch.zeros_like(x),) if plan.draws[i] else ()
    row = plan.coefficients(x)[i]
    mean, _ = solver._step.STEPS[plan.phases[i]](x, raw, state.past[: plan.memory[i]], row, *normals)
    (std,) = plan.placed(lambda: deviations(solver, plan)[i][None, None], x)[0]
    return mean, std


def log_prob(solver: Any, plan: Plan, i: int, state: State, raw: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """[B] (0-d for a 0-d x), float64 for a float64 state, else float32: log p(x' = new | what call ``i`` finds), over all
    elements of a sample.

    new: [B, *S], the x of a state after the call, of this path or of another; differentiable in it, too. ValueError where
    the call adds no noise: such a step has no density.
    """
    mean, std = transition(solver, plan, i, state, raw)
    if not bool((std > 0).all()):
        raise ValueError(f"log_prob: call {i} of {solver.name} adds no noise, so its step has no density")
    gap = (checks.same_shape(new, mean, "new").to(mean.dtype) - mean) / std
    each = gap.square() / -2 - std.log() - math.log(2 * math.pi) / 2
    each = each.expand_as(mean)
    return each.flatten(1).sum(1) if each.dim() > 1 else each


__all__ = ["deviations", "log_prob", "transition"]
