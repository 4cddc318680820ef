r"""The density along the probability-flow ODE, by any deterministic solver: as one more coordinate of its state.

    x' = (n'/n) x + n theta' v,   v = cos(theta) eps - sin(theta) x0,   n = sqrt(alpha^2 + sigma^2), theta = atan(sigma/alpha)
    d log p / dt = -div x'   is   dq/dtheta = n div v,   q = -log p - dim log n

so z = n q obeys the equation of a coordinate of x, with the v-prediction dq/dtheta. With v = vx x + vr raw, as the
prediction has it, the network's output for z is

    raw_z = n div raw + (vx/vr) n (dim - q).

The pair (x, z) is a solution of a diffusion problem on the same schedule with the prediction (raw, raw_z), and the solver
acts on each coordinate alone: the order that is proved for x is that of the density. (Chen et al., arXiv:1806.07366;
Song et al., arXiv:2011.13456, app. D.2.) The formula is regular at sigma = 0 and at alpha = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from runtime import checks, divergence, levels
from runtime.itinerary import point
from runtime.plan import Plan
from runtime.real import Real, sqrt
from runtime.solve import Model

Prior = Callable[[torch.Tensor], torch.Tensor]
KINDS = ("exact", "hutchinson")


@dataclass(frozen=True, slots=True)
class Density:
    """log_prob: float64 [B], at the data end. x: where the solve ended, [B, *S], float64. probes: log_prob by each, [K, B].

    dim: elements of a sample.
    """

    log_prob: torch.Tensor
    x: torch.Tensor
    probes: torch.Tensor
    dim: int

    @property
    def error(self) -> torch.Tensor:
        """The standard error of log_prob as an average over probes [B]; NaN of one probe, which may be exact."""
        return self.probes.std(0) / math.sqrt(len(self.probes))

    def bits_per_dim(self, levels: int = 256, low: float = -1.0, high: float = 1.0) -> torch.Tensor:
        """[B], of data of ``levels`` values that were dequantised uniformly and scaled to low .. high.

        -log2(p)/dim + log2(levels/(high - low)): 7 is added for bytes in -1 .. 1, 8 for bytes in 0 .. 1.
        """
        if not (isinstance(levels, int) and levels > 0 and high > low):
            raise ValueError(
                f"levels, low, high: got {levels!r}, {low!r}, {high!r}; allowed: low < high, levels from 1"
            )
        return -self.log_prob / (self.dim * math.log(2)) + math.log2(levels / (high - low))


def log_likelihood(
    solver: Any,
    model: Model,
    x: torch.Tensor,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    plan: Plan | None = None,
    divergence: str = "exact",
    probes: int = 1,
    seed: int = 0,
    sample0: int = 0,
    prior: float | Prior | None = None,
    **options: Any,
) -> Density:
    """log p of data under the probability flow: the solve from data to noise, and the prior there.

    x: [B, *S], B >= 1, taken as a sample at the first node. The state is float64, the network gets x's dtype.
    steps, grid, nodes, options: as in ``solver.plan``, in direction "inversion"; or ``plan=`` itself. A solver without a
    limit at sigma = 0 begins at a time before it (t_end=.., final_zero=False), and the density is that of x there.
    divergence: "exact", as many products with the Jacobian as a sample has elements, or "hutchinson", one for each of
    ``probes``, whose signs are the same for all calls: functions of (seed, sample0 + b, element, probe).
    prior: the log-density at the noise end, ``prior(x [B, *S]) -> [B]``, or a deviation; None: N(0, I) of a variance
    preserving schedule, else N(0, sigma^2 I). Differentiable where gradients are enabled.
    ValueError, TypeError: what is not allowed; ShapeError: of model or prior.
    """
    plan = _planned(solver, plan, (steps, grid, nodes), "inversion", options)
    flow = Flow(solver, plan, model, divergence, probes, seed, sample0)
    end, gained = flow(x)
    found = log_prior(prior, end, flow.ends[1]) - gained
    return Density(found.mean(0), end, found, x[0].numel())


def sample(
    solver: Any,
    model: Model,
    x_T: torch.Tensor,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    plan: Plan | None = None,
    divergence: str = "exact",
    probes: int = 1,
    seed: int = 0,
    sample0: int = 0,
    prior: float | Prior | None = None,
    **options: Any,
) -> Density:
    """Samples with their log p, by the solve from noise to data; arguments as in :func:`log_likelihood`.

    ``x`` of what is returned are the samples. The last node has sigma > 0: at sigma = 0 the density is not that of a flow.
    """
    plan = _planned(solver, plan, (steps, grid, nodes), "sampling", options)
    flow = Flow(solver, plan, model, divergence, probes, seed, sample0)
    end, gained = flow(x_T)
    found = log_prior(prior, x_T.double(), flow.ends[0]) + gained
    return Density(found.mean(0), end, found, x_T[0].numel())


def _planned(solver: Any, plan: Plan | None, wanted: tuple, direction: str, options: dict[str, Any]) -> Plan:
    steps, grid, nodes = wanted
    if plan is not None:
        if any(given is not None for given in wanted) or options:
            raise TypeError("a plan is given, so steps, grid, nodes and grid options cannot be")
        if plan.direction != direction:
            raise ValueError(f"plan: got direction {plan.direction!r}; allowed: {direction!r}")
        return plan
    return solver.plan(steps, grid, nodes, direction=direction, **options)


def log_prior(prior: float | Prior | None, x: torch.Tensor, ends: Sequence[torch.Tensor]) -> torch.Tensor:
    """[B]: a normal's log-density at x [B, *S]; ends: alpha and sigma there, float64 [] or per-sample [B]."""
    if callable(prior):
        value = prior(x)
        if not isinstance(value, torch.Tensor) or value.shape != x.shape[:1]:
            shown = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise checks.ShapeError(f"prior: returned {shown}; allowed: a tensor of shape {tuple(x.shape[:1])}")
        return value.double()
    if prior is not None and not (isinstance(prior, (int, float)) and 0 < prior < math.inf):
        raise ValueError(f"prior: got {prior!r}; allowed: None, a deviation above 0, or a function x -> log-density")
    alpha, sigma = ends
    preserving = (alpha * alpha + sigma * sigma - 1).abs() < 1e-9
    width = torch.where(preserving, 1.0, sigma) if prior is None else torch.full_like(sigma, prior)
    flat = x.reshape(x.shape[0], -1)
    return -((flat / width.reshape(-1, 1)) ** 2).sum(1) / 2 - flat.shape[1] * (width.log() + math.log(2 * math.pi) / 2)


class Flow:
    """(x, log p) along a plan of a deterministic solver, in either direction.

    ends: (alpha, sigma) at the first and the last node, float64 [] or, of a grid per sample, [B].
    """

    def __init__(
        self,
        solver: Any,
        plan: Plan,
        model: Model,
        kind: str = "exact",
        probes: int = 1,
        seed: int = 0,
        sample0: int = 0,
    ) -> None:
        checks.choice("divergence", kind, KINDS)
        if any(plan.draws):
            raise ValueError(f"plan: {solver.name} is stochastic; allowed: a deterministic solver, or runtime.ito")
        self.solver, self.plan, self.model, self.kind, self.seed, self.sample0 = (
            solver,
            plan,
            model,
            kind,
            seed,
            sample0,
        )
        self.probes = checks.count("probes", probes, 1)
        self.rows = levels.of_calls(solver.coefficients, plan, _coupling)
        """Of every call (n, vx/vr), float64 [steps, 2] or [steps, 2, B]."""
        nodes = levels.of_nodes(solver.coefficients, plan, _ends)
        self.ends = nodes[0].unbind(0), nodes[-1].unbind(0)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(x at the last node, float64; log p there less log p at the first, by each probe [K, B])."""
        checks.sample(x, "x")
        if x.dim() == 0 or x.numel() == 0:
            raise ValueError(f"x: got shape {tuple(x.shape)}; allowed: [B, ...], not empty")
        plan, batch, size = self.plan, x.shape[0], x[0].numel()
        own = x.double().reshape(batch, size)
        signs = None
        if self.kind == "hutchinson":
            signs = divergence.signs(self.seed, x.shape, self.probes, x.device, self.sample0)
        count = 1 if signs is None else self.probes
        state = self.solver.init(plan, torch.cat([own, own.new_zeros(batch, count)], 1))
        times = plan.times(x, batch)
        rows = plan.placed(lambda: self.rows, own)
        for i in range(plan.steps):
            n, ratio = rows[i]
            scale = torch.as_tensor(plan.input_scale(i), dtype=own.dtype, device=own.device).reshape(-1, 1)
            at, z = state.x[:, :size], state.x[:, size:]
            raw, div = self._evaluated(at, times[i], scale, x, signs)
            state = self.solver.step(plan, i, state, torch.cat([raw, n * div + ratio * (n * size - z)], 1))
        (a, s), (b, r) = self.ends
        start, end = ((p * p + q * q).sqrt().to(x.device) for p, q in ((a, s), (b, r)))
        gained = -(state.x[:, size:].T / end) - size * (end / start).log()
        return state.x[:, :size].reshape(x.shape).clone(), gained

    def _evaluated(
        self, at: torch.Tensor, t: torch.Tensor, scale: torch.Tensor, x: torch.Tensor, signs: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's output [B, size] and its divergences with respect to the state [B, K], float64."""

        def field(state: torch.Tensor) -> torch.Tensor:
            seen = (state * scale).reshape(x.shape)
            return checks.model_output(self.model(seen.to(x.dtype), t), x).to(state.dtype).reshape(state.shape)

        at = at.clone()
        if signs is None:
            raw, div = divergence.exact(field, at)
        else:
            raw, div = divergence.hutchinson(field, at, signs.reshape(len(signs), *at.shape))
        return raw, div.T


def _ends(code: Any, t: Real) -> tuple[Real, Real]:
    return code.alpha(t), code.sigma(t)


def _coupling(code: Any, t: Real) -> tuple[Real, Real]:
    """(n, vx/vr) at a time; at an end of the domain their limits."""
    at = levels.inside(code, t)
    alpha, sigma = code.alpha(at), code.sigma(at)
    dx, dr = code.denoised(point(code, at))
    n = sqrt(alpha * alpha + sigma * sigma)
    return n, (dx - alpha / (n * n)) / dr


__all__ = ["Density", "Flow", "log_likelihood", "log_prior", "sample"]
