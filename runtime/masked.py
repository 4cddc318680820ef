r"""Noise in a part of the sample, and steps taken more than once: two drivers over the steps of generated solvers.

    x' = (1 - m) x'_calm + m x'_noisy     one call of the network, two solvers on the same nodes, m in [0, 1]

(DiffEditor, arXiv:2402.02583: regional SDE guidance): where m = 0 the sample is that of the one solver, where m = 1 that of
the other, bit for bit if m is so everywhere. Time travel goes back from the end of a step to its start and takes it again:

    noise:      x = (alpha/alpha') x' + sigma sqrt(1 - (rho'/rho)^2) z,  rho = sigma/alpha      the forward kernel, exact in law
    inversion:  one step of a deterministic solver from data to noise, which follows the ODE   (RePaint has the first,
                arXiv:2201.09865, DiffEditor the second)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from runtime import checks, levels
from runtime.noise import Source, source
from runtime.plan import Plan
from runtime.real import Real, sqrt
from runtime.solve import Model
from runtime.state import State

Mask = torch.Tensor | Callable[[int], torch.Tensor]
WAYS = ("noise", "inversion")


def sample(
    calm: Any,
    noisy: Any,
    model: Model,
    x_T: torch.Tensor,
    mask: Mask,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    noise: Any = None,
    callback: Callable[..., Any] | None = None,
    **options: Any,
) -> torch.Tensor:
    """Solve with one solver where mask is 0, with the other where it is 1; without a graph for gradients.

    steps, grid, nodes, options: of the nodes, as in ``calm.plan``. mask: numbers 0 to 1 that broadcast to x_T [B, *S], or a
    function of the grid step that returns them. seed, generator, noise: as in ``solver.sample``; where both solvers draw
    normals, they are the same. callback(i, t, x): before call i, with the x it is made at.
    ValueError: the solvers take several calls a step, or differ in schedule, prediction or what the network is fed.
    """
    checks.sample(x_T)
    plan = calm.plan(steps, grid, nodes, **options)
    other = noisy.plan(nodes=plan.nodes)
    _alike(plan, other)
    draws = tuple(a or b for a, b in zip(plan.draws, other.draws, strict=True))
    normals = source(draws, noise, seed, generator)
    with torch.no_grad():
        own, new = calm.init(plan, x_T), noisy.init(other, x_T)
        times = plan.times(own.x, x_T.shape[0] if x_T.dim() else 1)
        times = times if x_T.dim() else times[:, 0]
        for i in range(plan.steps):
            if callback:
                callback(i, plan.time(i), own.x.clone())
            share = _share(mask(plan.places[i]) if callable(mask) else mask, own.x)
            raw = _output(model, plan, i, own.x, times[i], x_T.dtype)
            z = normals(i, own.x) if normals else None
            own = calm.step(plan, i, own, raw, z if plan.draws[i] else None)
            new = noisy.step(other, i, new, raw, z if other.draws[i] else None)
            x = _blended(own.x, new.x, share)
            own, new = _at(own, x), _at(new, x)
        return own.x.to(x_T.dtype)


def _alike(plan: Plan, other: Plan) -> None:
    """ValueError unless one call of the network serves both steps."""
    for one in (plan, other):
        if one.steps != one.grid_steps:
            raise ValueError(f"{one.solver}: {one.steps} calls in {one.grid_steps} steps; allowed: one call a step")
    fed = all(
        torch.equal(torch.as_tensor(ask(plan, i)), torch.as_tensor(ask(other, i)))
        for ask in (Plan.time, Plan.input_scale)
        for i in range(plan.steps)
    )
    if not (fed and torch.equal(plan.estimates.nan_to_num(), other.estimates.nan_to_num())):
        raise ValueError(
            f"{plan.solver} and {other.solver} ask the network for different things; allowed: solvers of one schedule, "
            "prediction and input"
        )


def _blended(calm: torch.Tensor, noisy: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """(1 - m) calm + m noisy; one of them itself where m is 0 or 1."""
    return torch.where(share == 0, calm, torch.where(share == 1, noisy, (1 - share) * calm + share * noisy))


def _share(mask: Any, x: torch.Tensor) -> torch.Tensor:
    mask = mask.to(x.dtype) if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool else mask
    mask = checks.sample(mask, "mask").to(x.device, x.dtype)
    try:
        mask = mask.expand(x.shape)
    except RuntimeError:
        raise checks.ShapeError(
            f"mask: got shape {tuple(mask.shape)}; allowed: what broadcasts to {tuple(x.shape)}"
        ) from None
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError("mask: got numbers outside of 0 to 1")
    return mask


def _output(model: Model, plan: Plan, i: int, x: torch.Tensor, t: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    seen = x * plan.coefficients(x)[i][plan.columns.index("cin")] if "cin" in plan.columns else x
    return checks.model_output(model(seen.to(dtype, copy=True), t), x)


def _at(state: State, x: torch.Tensor) -> State:
    """The state with another sample, in tensors of its own."""
    past = tuple(p.clone() for p in state.past[: state.filled])
    return State(x.clone(), past, state.filled, False, [0], state.index)


def travel(
    solver: Any,
    model: Model,
    x_T: torch.Tensor,
    repeats: int | Sequence[int],
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    way: str = "noise",
    back: Any = None,
    seed: int | None = None,
    noise: Source | None = None,
    **options: Any,
) -> torch.Tensor:
    """Solve with grid steps that are taken ``repeats`` times each (one number, or one for each step); no graph.

    Between two times, x goes back to the step's start: by ``way`` "noise" or "inversion", the latter with a step of ``back``
    (None: the solver itself), which calls the network at the step's end. Past values stay those of before the step. The
    last repetition goes on to the next step. Repeats of 1 are ``solver.sample``, bit for bit.
    seed, noise: of all normals, noise as a function (number, like); of repetition r of call i the number is
    i + 2 r plan.steps, of the way back after it i + (2 r + 1) plan.steps.
    ValueError: the way back of a stochastic solver by inversion, without another; TypeError: noise in tensors.
    """
    checks.sample(x_T)
    checks.choice("way", way, WAYS)
    if noise is not None and not callable(noise):
        raise TypeError(f"noise: got {type(noise).__name__}; allowed: a function (number, like), or a seed")
    plan = solver.plan(steps, grid, nodes, **options)
    if plan.samples is not None:
        raise ValueError("nodes: got a grid per sample; allowed: one grid for all")
    times = (repeats,) * plan.grid_steps if isinstance(repeats, int) else tuple(repeats)
    if len(times) != plan.grid_steps or not all(checks.integer(n) is not None and n >= 1 for n in times):
        raise ValueError(
            f"repeats: got {repeats!r}; allowed: an integer from 1, or one for each of {plan.grid_steps} steps"
        )
    run = _Travel(solver, plan, model, x_T.dtype, back or solver, way == "inversion")
    run.normals = source((True,), noise, seed)
    with torch.no_grad():
        state = solver.init(plan, x_T)
        for n, count in enumerate(times):
            state = run.step(state, n, count)
        return state.x.to(x_T.dtype)


class _Travel:
    """The loop."""

    def __init__(self, solver: Any, plan: Plan, model: Model, dtype: torch.dtype, back: Any, inverts: bool) -> None:
        self.solver, self.plan, self.model, self.dtype, self.back, self.inverts = (
            solver,
            plan,
            model,
            dtype,
            back,
            inverts,
        )
        self.normals: Source | None = None
        self.rows = levels.of_steps(solver.coefficients, plan, _forward)
        """Of every step (alpha/alpha', sigma sqrt(1 - (rho'/rho)^2))."""
        self.calls = [[i for i in range(plan.steps) if plan.places[i] == n] for n in range(plan.grid_steps)]

    def step(self, state: State, n: int, count: int) -> State:
        """Grid step ``n``, ``count`` times."""
        for r in range(count):
            before = _at(state, state.x) if r + 1 < count else None
            for i in self.calls[n]:
                state = self.call(state, i, i + 2 * r * self.plan.steps)
            if before is not None:
                state = _at(before, self.rewound(state.x, n, self.calls[n][0] + (2 * r + 1) * self.plan.steps))
        if n + 1 == self.plan.grid_steps:
            for i in range(self.calls[n][-1] + 1, self.plan.steps):  # a final denoising
                state = self.call(state, i, i)
        return state

    def call(self, state: State, i: int, number: int) -> State:
        """One call of the network and its step."""
        raw = self.raw(self.plan, i, state.x)
        assert self.normals is not None
        return self.solver.step(self.plan, i, state, raw, self.normals(number, state.x) if self.plan.draws[i] else None)

    def raw(self, plan: Plan, i: int, x: torch.Tensor) -> torch.Tensor:
        times = plan.times(x, x.shape[0] if x.dim() else 1)[i]
        return _output(self.model, plan, i, x, times if x.dim() else times[0], self.dtype)

    def rewound(self, x: torch.Tensor, n: int, number: int) -> torch.Tensor:
        """x at the start of step ``n``, from x at its end."""
        if not self.inverts:
            scale, width = self.rows[n].to(x.device, x.dtype).unbind(0)
            assert self.normals is not None
            return scale * x + width * self.normals(number, x)
        first = self.plan.history + n
        plan = self.back.plan(nodes=(self.plan.nodes[first + 1], self.plan.nodes[first]), direction="inversion")
        state = self.back.init(plan, x)
        for i in range(plan.steps):
            state = self.back.step(plan, i, state, self.raw(plan, i, state.x))
        return state.x


def _forward(code: Any, s: Real, t: Real) -> tuple[Real, Real]:
    """From time t back to s, where there is more noise."""
    a, b, p, q = code.alpha(s), code.alpha(t), code.sigma(s), code.sigma(t)
    scale = a / b
    return scale, sqrt((p - scale * q) * (p + scale * q))


__all__ = ["sample", "travel"]
