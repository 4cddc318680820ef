"""Every shipped solver against the formulas of its paper, written here a second time, in float64 and by other means.

Nothing of the generator is used: schedules, conversions, weights and the order of each step are typed from the papers;
weights that have no formula are integrated by SciPy or by NumPy's polynomials. A solver is found in the generated folder,
its reference by the integrand and the variable that its spec names. Grids are uneven, the network is not linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import atan2, exp, expm1, log, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial
from scipy.integrate import quad

from derive.spec import read_spec
from tests.claims.shipped import DETERMINISTIC, Shipped, shipped, spec_of, spec_text, written

BOUND = 1e-12
Array = np.ndarray


class Point(NamedTuple):
    """A grid point: time, alpha, sigma."""

    t: float
    alpha: float
    sigma: float

    @property
    def lam(self) -> float:
        return log(self.alpha / self.sigma)

    @property
    def rho(self) -> float:
        return self.sigma / self.alpha


# Schedules, as their papers print them


def vp_linear(t: float) -> Point:
    """arXiv:2011.13456, Eq. 33: alpha = exp(-t^2 (beta_1 - beta_0)/4 - t beta_0/2), betas 0.1 and 20."""
    half = -0.25 * t * t * 19.9 - 0.05 * t
    return Point(t, exp(half), sqrt(-expm1(2 * half)))


@cache
def stable_diffusion() -> Array:
    """alpha_bar of the 1000 steps: betas are squares of a line between the roots of 0.00085 and 0.012."""
    betas = np.linspace(np.longdouble("0.00085") ** 0.5, np.longdouble("0.012") ** 0.5, 1000, dtype=np.longdouble) ** 2
    return np.cumprod(1 - betas)


def vp_scaled_linear(t: float) -> Point:
    bar = stable_diffusion()[int(t)]
    return Point(t, float(np.sqrt(bar)), float(np.sqrt(1 - bar)))


def flow(t: float) -> Point:
    return Point(t, 1 - t, t)


def edm(t: float) -> Point:
    return Point(t, 1.0, t)


UNIT = [0.93, 0.87, 0.7, 0.62, 0.45, 0.38, 0.22, 0.11, 0.04]
SCHEDULES: dict[str, tuple[Callable[[float], Point], list[float]]] = {
    "vp_linear": (vp_linear, UNIT),
    "flow": (flow, UNIT),
    "edm": (edm, [70.0, 41.0, 29.0, 11.0, 6.5, 2.0, 0.9, 0.15, 0.03]),
    "vp_scaled_linear": (vp_scaled_linear, [970.0, 881.0, 700.0, 633.0, 420.0, 333.0, 207.0, 90.0, 21.0]),
}


# What networks return, as (x0, eps)


def edm_pair(x: Array, raw: Array, p: Point) -> tuple[Array, Array]:
    """arXiv:2206.00364, Table 1: D = c_skip x + c_out F with sigma_data = 1/2."""
    data = 0.25 / (p.sigma**2 + 0.25) * x + p.sigma * 0.5 / sqrt(p.sigma**2 + 0.25) * raw
    return data, (x - data) / p.sigma


PAIRS: dict[str, Callable[[Array, Array, Point], tuple[Array, Array]]] = {
    "noise": lambda x, raw, p: ((x - p.sigma * raw) / p.alpha, raw),
    "data": lambda x, raw, p: (raw, (x - p.alpha * raw) / p.sigma),
    "v": lambda x, raw, p: (p.alpha * x - p.sigma * raw, p.sigma * x + p.alpha * raw),
    "velocity": lambda x, raw, p: (x - p.t * raw, x + (1 - p.t) * raw),
    "edm": edm_pair,
}
INTEGRANDS: dict[str, Callable[[Array, Array, Point], Array]] = {
    "data": lambda x0, eps, p: x0,
    "noise": lambda x0, eps, p: eps,
    "v": lambda x0, eps, p: p.alpha * eps - p.sigma * x0,
    "velocity": lambda x0, eps, p: eps - x0,
}


# Steps: (x, integrands newest first, points: end, start, history) -> x at the end


def divided(f: Sequence[Array], points: Sequence[Point]) -> tuple[Array, Array]:
    """D1 and D2 of the multistep DPM-Solvers, as the reference implementation names them."""
    h, before, earlier = (points[j].lam - points[j + 1].lam for j in range(3)) if len(f) == 3 else (
        points[0].lam - points[1].lam, points[1].lam - points[2].lam, None
    )  # fmt: skip
    r0 = before / h
    first = (f[0] - f[1]) / r0
    if earlier is None:
        return first, 0 * first
    r1 = earlier / h
    second = (f[1] - f[2]) / r1
    return first + r0 / (r0 + r1) * (first - second), (first - second) / (r0 + r1)


def dpm_solver_plus_plus(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """arXiv:2211.01095, multistep, data prediction; the factor 2 of D2 is missing in published code."""
    end, start = points[:2]
    h = end.lam - start.lam
    out = end.sigma / start.sigma * x - end.alpha * expm1(-h) * f[0]
    if len(f) > 1:
        first, second = divided(f, points)
        out = out + end.alpha * (expm1(-h) / h + 1) * first - 2 * end.alpha * ((expm1(-h) + h) / h**2 - 0.5) * second
    return out


def midpoint(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """arXiv:2211.01095, Algorithm 2: D = (1 + 1/(2r)) x0 - 1/(2r) x0_before."""
    end, start = points[:2]
    h = end.lam - start.lam
    d = f[0]
    if len(f) > 1:
        r = (start.lam - points[2].lam) / h
        d = (1 + 1 / (2 * r)) * f[0] - 1 / (2 * r) * f[1]
    return end.sigma / start.sigma * x - end.alpha * expm1(-h) * d


def dpm_solver(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """arXiv:2206.00927, multistep, noise prediction; order 1 as DDIM writes it (arXiv:2010.02502, Eq. 12, eta = 0)."""
    end, start = points[:2]
    h = end.lam - start.lam
    if len(f) == 1:
        return end.alpha * (x - start.sigma * f[0]) / start.alpha + end.sigma * f[0]
    first, second = divided(f, points)
    out = end.alpha / start.alpha * x - end.sigma * expm1(h) * f[0] - end.sigma * (expm1(h) / h - 1) * first
    return out - 2 * end.sigma * ((expm1(h) - h) / h**2 - 0.5) * second


def lagrange(nodes: Sequence[float], j: int) -> Polynomial:
    """The polynomial that is 1 at node j and 0 at the others."""
    out = Polynomial([1.0])
    for i, node in enumerate(nodes):
        if i != j:
            out = out * Polynomial([-node, 1.0]) / (nodes[j] - node)
    return out


def adams(values: Sequence[float]) -> list[float]:
    """Weights of variable-step Adams-Bashforth: values of the variable at end, start, history."""
    end, *nodes = (v - values[1] for v in values)
    return [float(lagrange(nodes, j).integ()(end)) for j in range(len(nodes))]


def in_rho(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """arXiv:2204.13902 (rho-AB) and the LMS sampler of arXiv:2206.00364: y = x/alpha, dy/drho = eps."""
    weights = adams([p.rho for p in points[: len(f) + 1]])
    return points[0].alpha * (x / points[1].alpha + sum(w * v for w, v in zip(weights, f)))


def in_time(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """dx/dt = velocity; of two steps, x + h (v + h/(2 h_before) (v - v_before))."""
    if len(f) == 2:
        h, before = points[0].t - points[1].t, points[1].t - points[2].t
        return x + h * (f[0] + h / (2 * before) * (f[0] - f[1]))
    return x + sum(w * v for w, v in zip(adams([p.t for p in points[: len(f) + 1]]), f))


def in_angle(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """x = cos(angle) x0 + sin(angle) eps, so dx/dangle = v."""
    return x + sum(w * v for w, v in zip(adams([atan2(p.sigma, p.alpha) for p in points[: len(f) + 1]]), f))


def deis_t(x: Array, f: Sequence[Array], points: Sequence[Point]) -> Array:
    """arXiv:2204.13902, Eq. 15: C_j = int Psi(t, u) beta(u)/(2 sigma(u)) l_j(u) du, Psi = alpha(t)/alpha(u)."""
    end, start = points[:2]

    def rate(u: float) -> float:
        p = vp_linear(u)
        return end.alpha / p.alpha * (0.1 + 19.9 * u) / (2 * p.sigma)

    nodes = [p.t for p in points[1 : len(f) + 1]]
    basis = [lagrange(nodes, j) for j in range(len(f))]
    c = [quad(lambda u, b=b: rate(u) * b(u), start.t, end.t, epsabs=0, epsrel=1e-13)[0] for b in basis]
    return end.alpha / start.alpha * x + sum(w * v for w, v in zip(c, f))


Step = Callable[[Array, Sequence[Array], Sequence[Point]], Array]
STEPS: dict[tuple[str, str], Step] = {
    ("data", "lambda"): dpm_solver_plus_plus,
    ("noise", "lambda"): dpm_solver,
    ("noise", "rho"): in_rho,
    ("noise", "t"): deis_t,
    ("velocity", "t"): in_time,
    ("v", "angle"): in_angle,
}


# Whole solves


@dataclass(frozen=True)
class Published:
    """A solver as its paper has it: everything from the spec's words and the tables above."""

    point: Callable[[float], Point]
    times: list[float]
    pair: Callable[[Array, Array, Point], tuple[Array, Array]]
    integrand: Callable[[Array, Array, Point], Array]
    step: Step
    steps: int
    lower: bool
    fed: Callable[[Point], float]
    scaled: bool

    def solve(self, x: Array) -> Array:
        points = [self.point(t) for t in self.times]
        count, history = len(points) - 1, []
        for i in range(count):
            p = points[i]
            raw = network((x / sqrt(0.25 + p.sigma**2)) if self.scaled else x, self.fed(p))
            history = [self.integrand(*self.pair(x, raw, p), p), *history][: self.steps]
            order = min(len(history), count - i) if self.lower else len(history)
            x = self.step(x, history[:order], points[i + 1 :: -1])
        return x


def network(x: Any, t: Any) -> Any:
    """The same operations in NumPy and torch, moderate whatever the time is measured in."""
    return x / (1 + x * x) + 0.25 * x / (1 + 1e-3 * t * t) + 0.125


def published(path: Path) -> Published:
    spec = read_spec(path)
    method, prediction = spec.method.parameters, spec.problem.prediction
    schedule, integrand = spec.problem.schedule, method["integrand"].kind
    point, times = SCHEDULES[schedule.kind]
    variable, weights = str(method["variable"]), method["weights"]
    scale = float(prediction.parameters["time_scale"])
    noisy = prediction.parameters["input"] == "c_noise"
    return Published(
        point, times, PAIRS[prediction.kind], INTEGRANDS[integrand],
        midpoint if weights == "midpoint" else STEPS[integrand, variable], method["steps"],
        method["final"] == "lower_order", lambda p: scale * (log(p.sigma) / 4 if noisy else p.t),
        prediction.parameters["input_scale"] == "edm",
    )  # fmt: skip


def assert_as_published(solver: Shipped) -> None:
    paper = published(solver.folder / "spec.yaml")
    unit = torch.randn((5, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    x = unit * paper.point(paper.times[0]).sigma
    got = solver.solver.sample(lambda x, t: network(x, t.reshape(-1, 1)), x, nodes=paper.times).numpy()
    want = paper.solve(x.numpy())
    assert np.abs(got - want).max() <= BOUND * np.abs(want).max()


def is_multistep(name: str) -> bool:
    """Whether rows of the tables above say everything about it: rows of the exact or the midpoint kind, from a ramp."""
    method = spec_of(name).method
    known = method.family == "exponential_multistep" and method.parameters["start"] == "ramp"
    return known and method.parameters["weights"] in ("exact", "midpoint")


MULTISTEP = [name for name in DETERMINISTIC if is_multistep(name)]


@pytest.mark.parametrize("name", MULTISTEP)
def test_shipped_solvers_are_the_published_ones(name: str) -> None:
    assert_as_published(shipped(name))


@pytest.mark.parametrize("schedule", ["kind: vp_linear", "kind: flow", "kind: vp_scaled_linear", "kind: edm"])
@pytest.mark.parametrize("method", [
    "steps: 1, integrand: noise, variable: lambda", "steps: 2, integrand: data, variable: lambda, weights: midpoint",
    "steps: 3, integrand: data, variable: lambda", "steps: 3, integrand: noise, variable: lambda",
    "steps: 4, integrand: noise, variable: rho, final: keep",
])  # fmt: skip
def test_the_same_formulas_on_every_schedule(method: str, schedule: str, tmp_path: Path) -> None:
    assert_as_published(written(spec_text("another", schedule, "kind: data", method), tmp_path))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_adams_bashforth_of_any_order(order: int, tmp_path: Path) -> None:
    method = f"steps: {order}, integrand: velocity, variable: t, final: keep"
    assert_as_published(written(spec_text("adams", "kind: flow", "kind: velocity", method), tmp_path))


def test_the_references_differ_from_each_other() -> None:
    """They are not one formula under several names: on one step with history, all results are apart."""
    points = [vp_linear(t) for t in (0.3, 0.4, 0.55, 0.6)]
    random = np.random.default_rng(1)
    x, *f = random.standard_normal((4, 3))
    found = [step(x, f, points) for step in (*STEPS.values(), midpoint)]
    assert all(np.abs(a - b).max() > 1e-3 for i, a in enumerate(found) for b in found[:i])
