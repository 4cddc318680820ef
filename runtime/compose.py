r"""Several networks, one solve: SuperDiff's superpositions (arXiv:2412.17762), for the steps of any generated solver.

    raw = sum_k kappa_k raw_k,   sum_k kappa_k = 1, a row of weights for every sample and step

* :class:`Or`: kappa = softmax(bias + T log q_k), log q_k what the log-density of model k has grown along the path;
* :class:`And`: kappa such that the step to come changes all log q_k by the same amount;
* :class:`Average`: kappa as given.

log q_k is accumulated as in :mod:`runtime.ito`: by Ito's rule, which takes divergences where the solver is not the reverse
SDE itself. A step of one call is affine in raw, noise included, so with sum kappa = 1 the state after it is
sum kappa_k x'_k of the trial steps x'_k = step(raw_k), and the increment of log q_j is affine in it but for a part that all
models share: And is a linear system of one equation for every model but one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from runtime import checks, divergence, levels
from runtime.ito import PathDensity
from runtime.noise import source
from runtime.plan import Plan
from runtime.solve import Model
from runtime.state import State

_ROUNDED = 1e-14
"""Differences of increments below this part of the increments are rounding errors."""


class Rule(Protocol):
    """follows: whether log q is accumulated. ahead: whether the weights depend on the step to come."""

    follows: bool
    ahead: bool

    def weights(self, log_q: torch.Tensor, trials: torch.Tensor | None) -> torch.Tensor:
        """kappa, float64 [B, M] with sums 1. log_q: [B, M]; trials: [B, M, M], increments of model j (rows) to x'_k."""


@dataclass(frozen=True, slots=True)
class Average:
    """Fixed weights: M numbers with sum 1."""

    fixed: tuple[float, ...]
    follows = False
    ahead = False

    def weights(self, log_q: torch.Tensor, trials: torch.Tensor | None) -> torch.Tensor:
        """[B, M], the same in every row."""
        if len(self.fixed) != log_q.shape[1] or not abs(sum(self.fixed) - 1) < 1e-9:
            raise ValueError(f"average: got {self.fixed}; allowed: {log_q.shape[1]} numbers with sum 1")
        return log_q.new_tensor(self.fixed).expand_as(log_q)


@dataclass(frozen=True, slots=True)
class Or:
    """Samples of one model or another: softmax(bias + temperature log q). bias: M numbers, of which -inf
    leaves a model out, or None for zeros.

    temperature: from 0; infinity: those whose log q is largest, shared by the softmax of bias.
    """

    temperature: float = 1.0
    bias: tuple[float, ...] | None = None
    follows = True
    ahead = False

    def weights(self, log_q: torch.Tensor, trials: torch.Tensor | None) -> torch.Tensor:
        """[B, M], from 0 to 1."""
        if not self.temperature >= 0 or (self.bias is not None and len(self.bias) != log_q.shape[1]):
            raise ValueError(
                f"or: got temperature {self.temperature}, bias {self.bias}; allowed: from 0, {log_q.shape[1]} numbers"
            )
        bias = log_q.new_zeros(log_q.shape[1]) if self.bias is None else log_q.new_tensor(self.bias)
        if self.temperature == math.inf:
            log_q = torch.where(bias == -math.inf, -math.inf, log_q)
            largest = log_q == log_q.max(1, keepdim=True).values
            return torch.softmax(torch.where(largest, bias, -math.inf), 1)
        return torch.softmax(bias + self.temperature * log_q, 1)


@dataclass(frozen=True, slots=True)
class And:
    """Samples that all models find equally likely: the increments of all log q_k over a step are equal.

    Where the models cannot be told apart, or the equations contradict each other, the least change of equal weights.
    Weights grow without bound where scores are nearly dependent, as with more models than elements: ridge > 0 holds them
    back (gaps^2 + ridge |change of weights|^2 is least), and increments are then only nearly equal.
    """

    ridge: float = 0.0
    follows = True
    ahead = True

    def weights(self, log_q: torch.Tensor, trials: torch.Tensor | None) -> torch.Tensor:
        """[B, M], of any sign."""
        assert trials is not None
        models = log_q.shape[1]
        even = log_q.new_full((models,), 1 / models)
        if models == 1:
            return even.expand_as(log_q)
        changes = _zero_sum(models, log_q)
        gaps = trials[:, 1:] - trials[:, :1]
        system, wanted = gaps @ changes, (gaps @ even)[..., None]
        if self.ridge > 0:
            held = math.sqrt(self.ridge) * torch.eye(models - 1, dtype=log_q.dtype, device=log_q.device)
            system = torch.cat([system, held.expand_as(system)], 1)
            wanted = torch.cat([wanted, torch.zeros_like(wanted)], 1)
        size = _ROUNDED * trials.abs().amax((1, 2))
        solved = torch.linalg.pinv(system, atol=size, rtol=torch.full_like(size, 1e-13)) @ wanted
        return even - (changes @ solved)[..., 0]


def _zero_sum(models: int, like: torch.Tensor) -> torch.Tensor:
    """[M, M - 1]: an orthonormal basis of weights with sum 0."""
    full = torch.cat([like.new_ones(models, 1), torch.eye(models, dtype=like.dtype, device=like.device)[:, 1:]], 1)
    return torch.linalg.qr(full).Q[:, 1:]


@dataclass(frozen=True, slots=True)
class Superposed:
    """x: the samples, as x_T. kappa: float64 [N, B, M]. increments of log q: float64 [N, B, M], or None."""

    x: torch.Tensor
    kappa: torch.Tensor
    increments: torch.Tensor | None

    @property
    def log_q(self) -> torch.Tensor | None:
        """[B, M]: the log-density of every model at the end less that at the start."""
        return None if self.increments is None else self.increments.sum(0)


def superpose(
    solver: Any,
    models: Sequence[Model],
    x_T: torch.Tensor,
    rule: Rule,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    plan: Plan | None = None,
    tau: float | None = None,
    spread: float | None = 1.0,
    kind: str = "exact",
    probes: int = 1,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    noise: Any = None,
    **options: Any,
) -> Superposed:
    """One sample x_T [B, *S] under several networks of the solver's prediction; without a graph for gradients.

    steps, grid, nodes, options: as in ``solver.plan``, or ``plan=``. seed, generator, noise: as in ``solver.sample``.
    tau: the stochasticity of the solver (None: 1 if it draws normals, else 0); where it is not 1, log q asks for the
    divergences of all networks: ``kind``, ``probes`` and a seed for signs as in :func:`runtime.density.log_likelihood`.
    spread: as in :class:`runtime.ito.PathDensity`. Weights are chosen at the first call of a step and kept for its stages.
    ValueError: And with a solver of several calls a step; And or Or with a grid that begins at alpha = 0.
    """
    checks.sample(x_T)
    checks.choice("kind", kind, ("exact", "hutchinson"))
    if plan is not None and any(given is not None for given in (steps, grid, nodes)):
        raise TypeError("a plan is given, so steps, grid and nodes cannot be")
    plan = solver.plan(steps, grid, nodes, **options) if plan is None else plan
    if rule.ahead and plan.steps != plan.grid_steps:
        raise ValueError(f"plan: {plan.steps} calls in {plan.grid_steps} steps; allowed here: one call a step")
    normals = source(plan.draws, noise, seed, generator)
    tau = (1.0 if any(plan.draws) else 0.0) if tau is None else tau
    with torch.no_grad():
        run = _Run(
            solver, plan, list(models), rule, PathDensity(solver, plan, "ito", spread, tau) if rule.follows else None
        )
        run.probes = divergence.signs(seed or 0, x_T.shape, probes, x_T.device) if kind == "hutchinson" else None
        return run.solved(x_T, normals)


class _Run:
    """The loop."""

    def __init__(self, solver: Any, plan: Plan, models: list[Model], rule: Rule, density: PathDensity | None) -> None:
        if not models:
            raise ValueError("models: got none; allowed: one or more networks")
        self.solver, self.plan, self.models, self.rule, self.density = solver, plan, models, rule, density
        self.probes: torch.Tensor | None = None
        self.scores = levels.of_steps(solver.coefficients, plan, lambda code, s, t: levels.score(code, s))

    def solved(self, x_T: torch.Tensor, normals: Any) -> Superposed:
        plan, kappas, increments = self.plan, [], []
        state = self.solver.init(plan, x_T)
        times = plan.times(state.x, x_T.shape[0])
        log_q = torch.zeros(x_T.shape[0], len(self.models), dtype=torch.float64, device=x_T.device)
        kappa, start, local = log_q, state.x, None
        for i in range(plan.steps):
            first = i == 0 or plan.closes(i - 1)
            z = normals(i, state.x) if normals and plan.draws[i] else None
            raws, divergences = self._outputs(state.x, times[i], i, x_T.dtype, first)
            if first:
                start = state.x.to(torch.float64, copy=True)
                local = self._local(plan.places[i], start, raws, divergences)
                trials = self._trials(i, state, start, raws, local, z) if self.rule.ahead else None
                kappa = self.rule.weights(log_q, trials)
                kappas.append(kappa)
            raw = sum(_column(kappa[:, k], r) * r for k, r in enumerate(raws))
            state = self.solver.step(plan, i, state, raw, z)
            if plan.closes(i) and self.density is not None:
                increments.append(self._increments(plan.places[i], start, state.x.double(), local))
                log_q = log_q + increments[-1]
        return Superposed(state.x.to(x_T.dtype), torch.stack(kappas), torch.stack(increments) if increments else None)

    def _outputs(self, x: torch.Tensor, t: torch.Tensor, i: int, dtype: torch.dtype, first: bool) -> tuple[list, list]:
        """The networks' outputs, in the state's type, and their divergences [B] where log q asks for them."""
        scale = self.plan.coefficients(x)[i][self.plan.columns.index("cin")] if "cin" in self.plan.columns else None
        raws, divergences = [], []
        wanted = first and self.density is not None and self.density.divergences(self.plan.places[i])
        for model in self.models:

            def field(state: torch.Tensor, model: Model = model) -> torch.Tensor:
                seen = state if scale is None else state * scale
                return checks.model_output(model(seen.to(dtype), t), x).to(x.dtype)

            if not wanted:
                raws.append(field(x))
                continue
            at = x.clone()
            found = (
                divergence.exact(field, at) if self.probes is None else divergence.hutchinson(field, at, self.probes)
            )
            raws.append(found[0])
            divergences.append(found[1].double().mean(0))
        return raws, divergences

    def _local(self, n: int, x: torch.Tensor, raws: list, divergences: list) -> list[tuple]:
        """(score, its divergence or None) of every model at the start of step ``n``, float64."""
        sx, sr = (v.to(x.device) for v in self.scores[n].reshape(2, -1).unbind(0))
        size = x[0].numel()
        scores = [_column(sx, x) * x + _column(sr, x) * raw.double() for raw in raws]
        if not divergences:
            return [(score, None) for score in scores]
        return [(score, sx * size + sr * d) for score, d in zip(scores, divergences, strict=True)]

    def _increments(self, n: int, x: torch.Tensor, y: torch.Tensor, local: Any) -> torch.Tensor:
        assert self.density is not None
        return torch.stack([self.density.increment(n, x, y, *one) for one in local], 1)

    def _trials(self, i: int, state: State, x: torch.Tensor, raws: list, local: list, z: Any) -> torch.Tensor:
        """[B, M, M]: by model j the increment to the state after a step with the output of model k alone."""
        past = tuple(p.clone() for p in state.past[: state.filled])
        own = State(state.x.clone(), past, state.filled, False, [0], state.index)
        ends = [self.solver.step(self.plan, i, own, raw, z).x.double() for raw in raws]
        return torch.stack([self._increments(self.plan.places[i], x, y, local) for y in ends], 2)


def _column(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[B] or [1] -> a factor of [B, *S] in its type."""
    return value.to(like.dtype).reshape(-1, *(1,) * (like.dim() - 1))


__all__ = ["And", "Average", "Or", "Rule", "Superposed", "superpose"]
