"""A solve on the noise levels of a caller, for a network as the caller has it.

The caller's network was trained on x_net = alpha x0 + sigma eps with its own alpha, reads ``c_in x_net`` and returns some
prediction ``out``; the solver has x with other weights of the same noise level and takes ``raw``. All of it is linear,

    x_net = g x,    x0 = ex x_net + eo out = dx x + dr raw    =>    raw = px x + pr out,

px = (ex g - dx)/dr, pr = eo/dr. What the solver makes of raw first is its integrand cx x + cr raw, so px and pr go into
its coefficients, (cx + cr px) x + cr pr out, and the step costs what it did. A solver that takes raw as it is has it made
for it. Where px = 0 and pr = 1, as for a solver of the network's own prediction, nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from runtime.adapters.clock import Timed, rho_of, scale, weights
from runtime.errors import LimitError
from runtime.itinerary import kept
from runtime.noise import Source
from runtime.plan import Plan
from runtime.state import State, differentiated
from runtime.tabulate import Tabulated

Pair = tuple[float, float]


def _noise(alpha: float, sigma: float) -> Pair:
    return (1 / alpha, -sigma / alpha) if alpha else (math.nan, math.nan)


PREDICTIONS: Mapping[str, Callable[[float, float], Pair]] = {
    "epsilon": _noise,
    "sample": lambda alpha, sigma: (0.0, 1.0),
    "v_prediction": lambda alpha, sigma: (alpha, -sigma),
    "flow_prediction": lambda alpha, sigma: (1.0, -sigma),
}
"""(ex, eo) of x0 = ex x_net + eo out, by diffusers' name of the prediction."""


@dataclass(frozen=True, slots=True)
class Network:
    """kind: vp, ve or flow. prediction: a name in PREDICTIONS. sigma_data: None, or that of EDM's preconditioning."""

    kind: str = "vp"
    prediction: str = "epsilon"
    sigma_data: float | None = None

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction_type: got {self.prediction!r}; allowed: {', '.join(PREDICTIONS)}")
        wanted = {"v_prediction": ("vp",), "flow_prediction": ("flow",)}.get(self.prediction)
        if wanted and self.kind not in wanted and self.sigma_data is None:
            raise ValueError(
                f"prediction_type: got {self.prediction!r} for a {self.kind} network; allowed: one that is {wanted[0]}"
            )

    def input_scale(self, rho: float) -> float:
        """c_in: the network reads c_in x_net."""
        return 1.0 if self.sigma_data is None else 1 / math.hypot(rho, self.sigma_data)

    def data(self, rho: float) -> Pair:
        """(ex, eo) of x0 = ex x_net + eo out at a noise level."""
        alpha, sigma = weights(rho, self.kind)
        if self.sigma_data is None:
            return PREDICTIONS[self.prediction](alpha, sigma)
        if self.prediction not in ("epsilon", "v_prediction"):
            raise ValueError(f"prediction_type: got {self.prediction!r}; allowed with EDM's preconditioning: epsilon")
        data, total = self.sigma_data, math.hypot(rho, self.sigma_data)
        sign = 1 if self.prediction == "epsilon" else -1
        return (data / total) ** 2, sign * rho * data / total


class Course:
    """The calls of one solve, and its state.

    sigmas: what the caller has of the noise levels, the steps' ends, falling: sigma of a flow, else sigma/alpha. They are
    those of ``network.kind``. levels: the same at every call of the network. scales: x_net = scale x at every call and at
    the end. The state keeps x in float32 or float64.
    ValueError (LimitError where a coefficient is infinite): what the solver cannot begin, end or reach.
    """

    def __init__(self, timed: Timed, sigmas: Sequence[float], network: Network) -> None:
        self.timed, self.network = timed, network
        rhos = [rho_of(sigma, network.kind) for sigma in sigmas]
        alike = (timed.kind == "flow") == (network.kind == "flow")
        levels = sigmas if alike else None
        plan = timed.plan(rhos, levels)
        if 0.0 in map(timed.rho, plan.grids[0].times) and not self._says_all(plan):
            plan = timed.plan(rhos, levels, jumps=True)
        self.first, self.last = rhos[0], rhos[-1]
        places = _places(plan, rhos[:-1])
        self.rhos = [timed.rho(t) if k is None else rhos[k] for t, k in zip(plan.grids[0].times, places)]
        self.places = places
        self.scales = [scale(rho, network.kind, timed.kind) for rho in (*self.rhos, rhos[-1])]
        self.data = [network.data(rho) for rho in self.rhos]
        for i, pair in enumerate(self.data):
            if not all(map(math.isfinite, pair)):
                raise LimitError(
                    f"call {i} at sigma/alpha = {self.rhos[i]!r}: a prediction of kind {network.prediction} says nothing "
                    f"there of the data; leave that level out"
                )
        self.plan, self._before = self._fitted(plan)
        self.state: State | None = None

    @property
    def calls(self) -> int:
        """How often the network is called."""
        return self.plan.steps

    def draws(self, i: int) -> bool:
        """Whether the step of call ``i`` takes normals."""
        return self.plan.draws[i]

    def step(self, i: int, out: torch.Tensor, x: torch.Tensor, z: torch.Tensor | Source | None = None) -> torch.Tensor:
        """x_net after call ``i`` of the network, which returned ``out`` at x_net = x; a new tensor of x's type.

        x may be another than the call before returned (an inpainted one, say): the state takes it over. z: where the step
        draws, independent standard normals of x's shape, or what makes them.
        """
        solver, dtype = self.timed.solver, x.dtype
        if self.scales[i] != 1.0:
            x = x.to(torch.promote_types(dtype, torch.float32)) / self.scales[i]
        self.state = solver.init(self.plan, x) if i == 0 or self.state is None else _replaced(self.state, x)
        if self._before is not None:
            px, pr = self._before[i]
            out = px * self.state.x + pr * out.to(self.state.x.dtype)
        self.state = solver.step(self.plan, i, self.state, out, z)
        if self.scales[i + 1] != 1.0:
            return (self.state.x * self.scales[i + 1]).to(dtype)
        return self.state.x.to(dtype, copy=True)

    def denoised(self, i: int, out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The data that the network believes in at call ``i``; x: x_net."""
        ex, eo = self.data[i]
        return ex * x + eo * out

    def output(self, i: int, data: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What a network returns that believes in these data at call ``i``."""
        ex, eo = self.data[i]
        return (data - ex * x) / eo

    def _says_all(self, plan: Plan) -> bool:
        """Does the network at sigma = 0, where it is called last, say what the solver takes?"""
        (dx, dr), (ex, eo) = plan.grids[0].denoised[-1], self.network.data(0.0)
        return self.timed.data or (_same(ex, dx) and _same(eo, dr))

    def _fitted(self, plan: Plan) -> tuple[Plan, list[Pair] | None]:
        """The plan whose integrands are made of x and out, or (px, pr) of what is to be done before every step."""
        if self.timed.data:
            return _refit(plan, [(ex * g, eo) for (ex, eo), g in zip(self.data, self.scales)]), None
        (grid,) = plan.grids
        pairs = [self._conversion(i, grid) for i in range(plan.steps)]
        if all(pair == (0.0, 1.0) for pair in pairs):
            return plan, None
        if kept(self.timed.solver.coefficients) != (("cx", "cr"),):
            return plan, pairs
        x, r = (plan.columns.index(name) for name in ("cx", "cr"))
        return _refit(plan, [(row[x] + row[r] * px, row[r] * pr) for row, (px, pr) in zip(grid.rows, pairs)]), None

    def _conversion(self, i: int, grid: Tabulated) -> Pair:
        """(px, pr) of raw = px x + pr out."""
        (dx, dr), (ex, eo), g = grid.denoised[i], self.data[i], self.scales[i]
        if _same(ex * g, dx) and _same(eo, dr):
            return 0.0, 1.0
        pair = ((ex * g - dx) / dr, eo / dr) if dr else (math.nan, math.nan)
        if not all(map(math.isfinite, pair)):
            raise LimitError(
                f"call {i} at sigma/alpha = {self.rhos[i]!r}: a prediction of kind {self.network.prediction} says "
                f"nothing there of what {self.timed.solver.name} takes; leave that level out"
            )
        return pair


def _places(plan: Plan, rhos: Sequence[float]) -> list[int | None]:
    """By call, the grid point that it is made at, None inside a step."""
    nodes = {t: k for k, t in enumerate(plan.nodes)}
    found = [nodes.get(t, len(rhos)) for t in plan.grids[0].times]
    return [k if k < len(rhos) else None for k in found]


def _refit(plan: Plan, pairs: Sequence[Pair]) -> Plan:
    """The plan with these (cx, cr), by call."""
    (grid,) = plan.grids
    x, r = (plan.columns.index(name) for name in ("cx", "cr"))
    rows = [list(row) for row in grid.rows]
    for row, pair in zip(rows, pairs):
        row[x], row[r] = pair
    return replace(plan, grids=(replace(grid, rows=tuple(map(tuple, rows))),), _cache={})


def _replaced(state: State, x: torch.Tensor) -> State:
    """The state with x in its buffer; where somebody differentiates, x itself."""
    new = x.to(state.x.dtype)
    if state.owned and not differentiated(new):
        state.x.copy_(new)
        return state
    return State(new, state.past[: state.filled], state.filled, False, [0], state.index)


def _same(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=1e-14)


__all__ = ["PREDICTIONS", "Course", "Network"]
