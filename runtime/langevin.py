r"""Langevin steps: x' = x + eps score(x) + sqrt(2 eps) z, alone, and as the corrector of predictor-corrector samplers.

The corrector of score SDE (arXiv:2011.13456, app. G, algorithms 4 and 5) takes eps = 2 a (snr |z|/|score|)^2 at every node, with
a = 1 for VE and alpha_i = 1 - beta_i of the table for VP. The predictor is any solver: its step leads to a node, and the
corrector moves the sample there at its noise level, by the score that the network's output says there. What a multistep
method keeps from earlier nodes stays as it is.

With a fixed eps on data N(0, v) the law is exact: variance v_k -> (1 - eps/v)^2 v_k + 2 eps, which ends at v/(1 - eps/(2 v)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from runtime import checks, levels
from runtime.fed import fed
from runtime.noise import Philox, Source, drawn
from runtime.plan import Plan
from runtime.real import real
from runtime.solve import Model

ORDERS = ("predictor", "corrector")
Score = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Langevin:
    """Steps of one size rule. snr: as above, of each sample's own norms; eps: instead, a fixed step size, times a.

    steps: at each node. scale: a, a number or one for each node of the plan. batch_mean: norms are means over the batch, as
    in the paper's code, so that a sample depends on the others. ValueError: both of snr and eps, or neither; negative numbers.
    """

    snr: float | None = None
    eps: float | None = None
    steps: int = 1
    scale: float | Sequence[float] = 1.0
    batch_mean: bool = False

    def __post_init__(self) -> None:
        if (self.snr is None) == (self.eps is None):
            raise ValueError(f"got snr={self.snr!r}, eps={self.eps!r}; allowed: one of them")
        for name, value in (("snr", self.snr), ("eps", self.eps)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: got {value!r}; allowed: a finite number from 0")
        checks.count("steps", self.steps, 0)

    def size(self, score: torch.Tensor, z: torch.Tensor, node: int = 0) -> torch.Tensor:
        """eps, [B, 1, ..] like the score, or 0-d where it is one for all."""
        a = self.scale if isinstance(self.scale, (int, float)) else self.scale[node]
        if self.eps is not None:
            return score.new_tensor(a * self.eps)
        up, down = (v.flatten(1).norm(dim=1) for v in (z, score))
        if self.batch_mean:
            up, down = up.mean(), down.mean()
        found = 2 * a * (self.snr * up / down) ** 2
        return found if self.batch_mean else found.reshape(-1, *(1,) * (score.dim() - 1))

    def step(self, x: torch.Tensor, score: torch.Tensor, z: torch.Tensor, node: int = 0) -> torch.Tensor:
        """One step from x [B, *S]; z: standard normals."""
        eps = self.size(score, z, node)
        return x + eps * score + torch.sqrt(2 * eps) * z


def sample(
    score: Score,
    x: torch.Tensor,
    langevin: Langevin,
    *,
    seed: int | None = None,
    noise: Source | None = None,
    callback: Callable[[int, torch.Tensor], Any] | None = None,
) -> torch.Tensor:
    """``langevin.steps`` steps with a score of one level: [B, *S] -> [B, *S]. noise: (step, like) -> normals; else of a seed."""
    checks.sample(x, "x")
    normals = _normals(seed, noise)
    for k in range(langevin.steps):
        x = langevin.step(x, score(x), normals(k, x))
        if callback:
            callback(k, x)
    return x


class Corrector:
    """The Langevin steps at the nodes of a plan. Call ``number`` of its noise is ``plan.steps + node * steps + k``."""

    def __init__(
        self, solver: Any, plan: Plan, model: Model, langevin: Langevin, normals: Source, dtype: torch.dtype
    ) -> None:
        if plan.samples is not None or plan.history or plan.direction != "sampling":
            raise ValueError("plan: got a grid per sample, a history or an inversion; allowed: one grid, to the data")
        if not isinstance(langevin.scale, (int, float)) and len(langevin.scale) != len(plan.nodes):
            raise ValueError(
                f"scale: got {len(langevin.scale)} numbers; allowed: one, or one for each of {len(plan.nodes)} nodes"
            )
        self.solver, self.plan, self.model, self.langevin = solver, plan, model, langevin
        self.normals, self.dtype = normals, dtype
        self._known: dict[int, tuple[float, float, float, float] | None] = {}

    def __call__(self, node: int, x: torch.Tensor) -> torch.Tensor:
        """All steps at a node; x itself where sigma = 0 there, as the score is infinite."""
        found = self._numbers(node)
        if found is None:
            return x
        time, scale, own, raw = found
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        t = torch.full((x.shape[0],), time, dtype=dtype, device=x.device)
        for k in range(self.langevin.steps):
            seen = (x * scale).to(self.dtype)
            score = own * x + raw * checks.model_output(self.model(seen, t), x).to(x.dtype)
            z = self.normals(self.plan.steps + node * self.langevin.steps + k, x)
            x = self.langevin.step(x, score, z, node)
        return x

    def after_step(self, x: torch.Tensor, i: int, t: Any) -> torch.Tensor:
        """The hook of ``solver.sample``: at the node where grid step ``i`` ends. x of a final denoising is left alone."""
        return self(i + 1, x) if i < self.plan.grid_steps else x

    def _numbers(self, node: int) -> tuple[float, float, float, float] | None:
        """(the network's time, c_in, sx, sr) at a node: the score is sx x + sr raw. None: sigma = 0."""
        if node not in self._known:
            nodes, code, t = self.plan.nodes, self.solver.coefficients, self.plan.nodes[node]
            if float(code.sigma(real(t))) == 0:
                self._known[node] = None
            else:
                after = nodes[node + 1] if node + 1 < len(nodes) else (t + code.DOMAIN[1]) / 2
                scale = self._input_scale(t, after) if "cin" in self.plan.columns else 1.0
                own, raw = map(float, levels.score(code, real(t)))
                self._known[node] = (fed(code, real(t)), scale, own, raw)
        return self._known[node]

    def _input_scale(self, t: float, after: float) -> float:
        """c_in at a time, read off a step from there; at the schedule's end, from the number next to it."""
        pair = [t, after] if t != after else [math.nextafter(t, self.solver.domain[0]), t]
        return float(self.solver.plan(nodes=pair).input_scale(0))


def predictor_corrector(
    solver: Any,
    model: Model,
    x_T: torch.Tensor,
    langevin: Langevin,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    first: str = "predictor",
    seed: int | None = None,
    noise: Source | None = None,
    callback: Callable[..., Any] | None = None,
    check: str = "end",
    **options: Any,
) -> torch.Tensor:
    """Solve with a corrector at the nodes; ``langevin.steps`` = 0: the solver's own samples.

    first: "predictor", the paper's order: a step, then the corrector where it ends, at nodes 1 .. N; "corrector", that of
    the paper's code: at nodes 0 .. N - 1, before each step. None is taken where sigma = 0. steps, grid, nodes, options: of
    the nodes, as in ``solver.plan``. seed: of both, whose draws differ; noise: instead, (call, like) -> normals, calls of
    the corrector from ``plan.steps`` on. callback, check: as in ``solver.sample``.
    """
    checks.choice("first", first, ORDERS)
    checks.sample(x_T, "x_T")
    if x_T.dim() == 0:
        raise ValueError("x_T: got shape (); allowed: [B, ...], a batch first")
    plan = solver.plan(steps, grid, nodes, **options)
    normals = _normals(seed, noise)
    corrector = Corrector(solver, plan, model, langevin, normals, x_T.dtype)
    last = plan.grid_steps - (first == "corrector")

    def after(x: torch.Tensor, i: int, t: Any) -> torch.Tensor:
        return corrector.after_step(x, i, t) if i < last else x

    if first == "corrector" and langevin.steps:
        x_T = corrector(0, solver.init(plan, x_T).x.clone()).to(x_T.dtype)
    own = normals if any(plan.draws) else None
    hooks = {"after_step": after} if langevin.steps else None
    return solver.sample(model, x_T, plan=plan, noise=own, hooks=hooks, callback=callback, check=check)


def annealed(
    solver: Any,
    model: Model,
    x_T: torch.Tensor,
    langevin: Langevin,
    steps: int | None = None,
    grid: str | None = None,
    nodes: Any = None,
    *,
    seed: int | None = None,
    noise: Source | None = None,
    **options: Any,
) -> torch.Tensor:
    """Langevin steps at every node with sigma > 0, one level after the other, without a predictor; VE schedules.

    Annealed Langevin dynamics (arXiv:1907.05600, algorithm 1, which writes eps for twice of ours) has ``eps`` and
    ``scale`` = sigma_i^2/sigma_L^2, L the last level. solver: its schedule, prediction and grids are taken, its steps are not.
    """
    checks.sample(x_T, "x_T")
    plan = solver.plan(steps, grid, nodes, **options)
    corrector = Corrector(solver, plan, model, langevin, _normals(seed, noise), x_T.dtype)
    x = solver.init(plan, x_T).x.clone()
    for node in range(len(plan.nodes)):
        x = corrector(node, x)
    return x.to(x_T.dtype)


def _normals(seed: int | None, noise: Source | None) -> Source:
    if seed is not None and noise is not None:
        raise TypeError("got both of noise and seed; allowed: one of them says what the noise is")
    if noise is not None and not callable(noise):
        raise TypeError(f"noise: got {type(noise).__name__}; allowed: a function (call, like) -> normals, or None")
    return noise or Philox(drawn() if seed is None else seed)


__all__ = ["Corrector", "Langevin", "annealed", "predictor_corrector", "sample"]
