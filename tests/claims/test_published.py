"""One-step, predictor-corrector and PLMS solvers against the formulas of their papers, typed again, in float64.

Each reference is written as its paper has it (Cox and Matthews' rational functions of e^{ch}, UniPC's B(h) and its linear
system, SciPy's own tables of Dormand-Prince and Bogacki-Shampine), on other variables than the generator uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import exp, expm1, factorial, log1p, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import RK23, RK45

from derive.spec import read_spec
from tests.claims.shipped import FOLDER, NAMES, Shipped, shipped
from tests.claims.test_differential import PAIRS, Array, Point, adams, edm, flow, in_rho, network, vp_linear
from tests.claims.test_differential import vp_scaled_linear as table

BOUND = 1e-11
Evaluate = Callable[[Array, Point], Array]
"""(state, grid point) -> the integrand there."""
Reference = Callable[[Array, Sequence[Point], Evaluate], Array]


# Where a value of lambda or rho is reached


def vp_at(lam: float) -> Point:
    """arXiv:2206.00927, App. D.4: t(lambda) of the linear schedule with betas 0.1 and 20."""
    grown = 2 * log1p(exp(-2 * lam))
    return vp_linear(grown / (sqrt(0.01 + 19.9 * grown) + 0.1))


# DPM-Solver, DPM-Solver++: arXiv:2206.00927 (Alg. 1, 2), arXiv:2211.01095 (Alg. 1)


def ddim(x: Array, e: Array, s: Point, t: Point) -> Array:
    return t.alpha / s.alpha * x - t.sigma * expm1(t.lam - s.lam) * e


def first(x: Array, m: Array, s: Point, t: Point) -> Array:
    return t.sigma / s.sigma * x - t.alpha * expm1(s.lam - t.lam) * m


def noise_2s(x: Array, s: Point, t: Point, f: Evaluate) -> Array:
    h, r = t.lam - s.lam, 0.5
    middle, e = vp_at(s.lam + r * h), f(x, s)
    e1 = f(ddim(x, e, s, middle), middle)
    return ddim(x, e, s, t) - t.sigma / r * (expm1(h) / h - 1) * (e1 - e)


def data_2s(x: Array, s: Point, t: Point, f: Evaluate, midpoint: bool = False) -> Array:
    h, r = t.lam - s.lam, 0.5
    middle, m = vp_at(s.lam + r * h), f(x, s)
    change = f(first(x, m, s, middle), middle) - m
    second = -0.5 * expm1(-h) if midpoint else expm1(-h) / h + 1
    return first(x, m, s, t) + t.alpha / r * second * change


def noise_3s(x: Array, s: Point, t: Point, f: Evaluate) -> Array:
    h, e = t.lam - s.lam, f(x, s)
    one, two = vp_at(s.lam + h / 3), vp_at(s.lam + 2 * h / 3)
    change = f(ddim(x, e, s, one), one) - e
    x2 = ddim(x, e, s, two) - two.sigma * 2 * (expm1(2 * h / 3) / (2 * h / 3) - 1) * change
    return ddim(x, e, s, t) - t.sigma * 1.5 * (expm1(h) / h - 1) * (f(x2, two) - e)


def data_3s(x: Array, s: Point, t: Point, f: Evaluate) -> Array:
    h, m = t.lam - s.lam, f(x, s)
    one, two = vp_at(s.lam + h / 3), vp_at(s.lam + 2 * h / 3)
    change = f(first(x, m, s, one), one) - m
    x2 = first(x, m, s, two) + two.alpha * 2 * (expm1(-2 * h / 3) / (2 * h / 3) + 1) * change
    return first(x, m, s, t) + t.alpha * 1.5 * (expm1(-h) / h + 1) * (f(x2, two) - m)


# Exponential Runge-Kutta on w = x/alpha: dw/dlambda = c w + X0, c = -1


def etd(u: Array, n: Callable[[Array, float], Array], h: float, order: int) -> Array:
    """Cox, Matthews 2002, Eq. 22, 23-25, 26-29; n(u, theta) = N at fraction theta of the step."""
    c = -1.0
    z, full, half = c * h, exp(c * h), exp(c * h / 2)
    start = n(u, 0)
    if order == 2:
        a = full * u + start * (full - 1) / c
        return a + (n(a, 1) - start) * (full - 1 - z) / (h * c * c)
    a = half * u + (half - 1) / c * start
    at_a = n(a, 0.5)
    first_weight = -4 - z + full * (4 - 3 * z + z * z)
    middle_weight = 2 + z + full * (z - 2)
    last_weight = -4 - 3 * z - z * z + full * (4 - z)
    if order == 3:
        b = full * u + (full - 1) / c * (2 * at_a - start)
        total = start * first_weight + 4 * at_a * middle_weight + n(b, 1) * last_weight
    else:
        b = half * u + (half - 1) / c * at_a
        at_b = n(b, 0.5)
        end = half * a + (half - 1) / c * (2 * at_b - start)
        total = start * first_weight + 2 * (at_a + at_b) * middle_weight + n(end, 1) * last_weight
    return full * u + total / (h * h * c**3)


def krogstad(u: Array, n: Callable[[Array, float], Array], h: float) -> Array:
    """doi:10.1016/j.jcp.2004.08.006, Eq. 51 and 52."""
    p, q = phis(-h), phis(-h / 2)
    full, half, k1 = exp(-h), exp(-h / 2), n(u, 0)
    k2 = n(half * u + h / 2 * q[0] * k1, 0.5)
    k3 = n(half * u + h * ((q[0] / 2 - q[1]) * k1 + q[1] * k2), 0.5)
    k4 = n(full * u + h * ((p[0] - 2 * p[1]) * k1 + 2 * p[1] * k3), 1)
    weights = (p[0] - 3 * p[1] + 4 * p[2], 2 * p[1] - 4 * p[2], 4 * p[2] - p[1])
    return full * u + h * (weights[0] * k1 + weights[1] * (k2 + k3) + weights[2] * k4)


def phis(z: float) -> list[float]:
    """phi_1, phi_2, phi_3 by their series."""
    return [sum(z**n / factorial(n + k) for n in range(30)) for k in (1, 2, 3)]


def lawson(u: Array, n: Callable[[Array, float], Array], h: float) -> Array:
    """Lawson 1967: the classical fourth-order method for v = e^{-c theta h} u."""

    def slope(v: Array, theta: float) -> Array:
        return exp(theta * h) * n(exp(-theta * h) * v, theta)

    k1 = slope(u, 0)
    k2 = slope(u + h / 2 * k1, 0.5)
    k3 = slope(u + h / 2 * k2, 0.5)
    k4 = slope(u + h * k3, 1)
    return exp(-h) * (u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


def on_w(step: Callable[..., Array], x: Array, s: Point, t: Point, f: Evaluate) -> Array:
    """A step of w = x/alpha in lambda."""
    h = t.lam - s.lam

    def value(w: Array, theta: float) -> Array:
        point = t if theta == 1 else vp_at(s.lam + theta * h)
        return f(point.alpha * w, point)

    return t.alpha * step(x / s.alpha, value, h)


# Runge-Kutta of textbooks: Hairer, Norsett, Wanner 1993, Tables II.1.1 and II.1.2; SciPy's embedded pairs

TEXTBOOK: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]], Sequence[float]]] = {
    "midpoint": ([0, 1 / 2], [[], [1 / 2]], [0, 1]),
    "heun2": ([0, 1], [[], [1]], [1 / 2, 1 / 2]),
    "ralston2": ([0, 2 / 3], [[], [2 / 3]], [1 / 4, 3 / 4]),
    "kutta3": ([0, 1 / 2, 1], [[], [1 / 2], [-1, 2]], [1 / 6, 2 / 3, 1 / 6]),
    "ssprk3": ([0, 1, 1 / 2], [[], [1], [1 / 4, 1 / 4]], [1 / 6, 1 / 6, 2 / 3]),
    "rk4": ([0, 1 / 2, 1 / 2, 1], [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
    "bogacki_shampine32": (RK23.C, RK23.A, RK23.B),
    "dormand_prince54": (RK45.C, RK45.A, RK45.B),
}


def runge_kutta(name: str, y: Array, start: float, end: float, slope: Callable[[Array, float], Array]) -> Array:
    c, a, b = TEXTBOOK[name]
    h, k = end - start, []
    for abscissa, row in zip(c, a, strict=True):
        k.append(slope(y + h * sum((w * v for w, v in zip(row, k)), 0 * y), start + abscissa * h))
    return y + h * sum(w * v for w, v in zip(b, k, strict=True))


def in_velocity(name: str, x: Array, s: Point, t: Point, f: Evaluate) -> Array:
    return runge_kutta(name, x, s.t, t.t, lambda x, time: f(x, flow(time)))


def in_noise(name: str, at: Callable[[float], Point], x: Array, s: Point, t: Point, f: Evaluate) -> Array:
    """y = x/alpha, dy/drho = eps (Heun's method of arXiv:2206.00364, Alg. 1; rho-RK of arXiv:2204.13902)."""

    def slope(y: Array, rho: float) -> Array:
        point = t if rho == t.rho else at(rho)
        return f(point.alpha * y, point)

    return t.alpha * runge_kutta(name, x / s.alpha, s.rho, t.rho, slope)


# UniPC: arXiv:2302.04867, Alg. 5-8, and the update of its reference implementation


def unified(
    x: Array, values: Sequence[Array], points: Sequence[Point], end: Point, noise: bool, new: Array | None
) -> Array:
    """UniP (``new`` is None) or UniC with bh2; values, points: newest first."""
    s = points[0]
    h = end.lam - s.lam
    hh = h if noise else -h
    base = end.alpha / s.alpha * x - end.sigma * expm1(hh) * values[0] if noise else (
        end.sigma / s.sigma * x - end.alpha * expm1(hh) * values[0]
    )  # fmt: skip
    ratios = [(p.lam - s.lam) / h for p in points[1 : len(values)]]
    changes = [(v - values[0]) / r for v, r in zip(values[1:], ratios)]
    if new is not None:
        ratios, changes = [*ratios, 1.0], [*changes, new - values[0]]
    if not changes:
        return base
    scale, b, phi = expm1(hh), [], expm1(hh) / hh - 1
    for i in range(1, len(changes) + 1):
        b.append(phi * factorial(i) / scale)
        phi = phi / hh - 1 / factorial(i + 1)
    weights = [0.5] if len(changes) == 1 else np.linalg.solve(np.vander(ratios, increasing=True).T, b)
    size = end.sigma if noise else end.alpha
    return base - size * scale * sum(w * d for w, d in zip(weights, changes))


def unipc(steps: int, noise: bool, mode: str, lower: bool, x: Array, points: Sequence[Point], f: Evaluate) -> Array:
    """mode: UniP (no corrector), PEC, PECE."""
    values: list[Array] = []
    count, y, before = len(points) - 1, x, []
    for i in range(count):
        value = f(x, points[i])
        if mode == "PEC" and i:
            x = unified(y, before[: order(i - 1, steps, count, lower)], points[i - 1 :: -1], points[i], noise, value)
        values = [value, *values][:steps]
        k = order(i, steps, count, lower)
        ahead = unified(x, values[:k], points[i::-1], points[i + 1], noise, None)
        if mode == "PECE":
            ahead = unified(x, values[:k], points[i::-1], points[i + 1], noise, f(ahead, points[i + 1]))
        y, before, x = x, values, ahead
    return x


def order(i: int, steps: int, count: int, lower: bool) -> int:
    return min(steps, i + 1, count - i) if lower else min(steps, i + 1)


# PNDM: arXiv:2202.09778, Eq. 9 (PLMS), 12 (pseudo Runge-Kutta); iPNDM starts with lower orders

UNIFORM = {
    1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}  # fmt: skip


def linear(steps: int, lower: bool, pseudo: bool, x: Array, points: Sequence[Point], f: Evaluate) -> Array:
    history: list[Array] = []
    count = len(points) - 1
    for i in range(count):
        s, t = points[i], points[i + 1]
        history = [f(x, s), *history][:steps]
        if pseudo and len(history) < steps:
            mean = (pseudo_heun if steps == 2 else pseudo_rk4)(x, history[0], s, t, f)
        else:
            k = order(i, steps, count, lower)
            mean = sum(w * e for w, e in zip(UNIFORM[k], history))
        x = ddim(x, mean, s, t)
    return x


def pseudo_rk4(x: Array, e1: Array, s: Point, t: Point, f: Evaluate) -> Array:
    middle = table((s.t + t.t) / 2)
    e2 = f(ddim(x, e1, s, middle), middle)
    e3 = f(ddim(x, e2, s, middle), middle)
    e4 = f(ddim(x, e3, s, t), t)
    return (e1 + 2 * e2 + 2 * e3 + e4) / 6


def pseudo_heun(x: Array, e1: Array, s: Point, t: Point, f: Evaluate) -> Array:
    return (e1 + f(ddim(x, e1, s, t), t)) / 2


def variable_adams(x: Array, points: Sequence[Point], f: Evaluate) -> Array:
    """LMS of k-diffusion, iPNDM with variable steps: Adams-Bashforth of y = x/alpha in rho, orders 1, 2, 3, 4, 4, .."""
    history: list[Array] = []
    for i in range(len(points) - 1):
        history = [f(x, points[i]), *history][:4]
        x = in_rho(x, history, points[i + 1 :: -1])
    return x


# The shipped solvers


def each_step(step: Callable[..., Array], euler: Callable[..., Array] | None = None) -> Reference:
    """A one-step method; ``euler``: what the last step is instead."""

    def solve(x: Array, points: Sequence[Point], f: Evaluate) -> Array:
        for i in range(len(points) - 1):
            s, t = points[i], points[i + 1]
            x = euler(x, f(x, s), s, t) if euler and i == len(points) - 2 else step(x, s, t, f)
        return x

    return solve


def vp_of_rho(rho: float) -> Point:
    return vp_at(-float(np.log(rho)))


REFERENCES: dict[str, Reference] = {
    "dpm_2s": each_step(noise_2s, ddim), "dpm_solver_12": each_step(noise_2s, ddim),
    "dpm_3s": each_step(noise_3s, ddim), "dpm_solver_23": each_step(noise_3s, ddim),
    "dpmpp_2s": each_step(data_2s, first), "dpmpp_2s_midpoint": each_step(partial(data_2s, midpoint=True), first),
    "dpmpp_3s": each_step(data_3s, first), "dpmpp_23": each_step(data_3s, first),
    "etd2rk": each_step(partial(on_w, partial(etd, order=2))),
    "etd3rk": each_step(partial(on_w, partial(etd, order=3))),
    "etdrk4": each_step(partial(on_w, partial(etd, order=4))),
    "krogstad": each_step(partial(on_w, krogstad)), "lawson4": each_step(partial(on_w, lawson)),
    "edm_heun": each_step(partial(in_noise, "heun2", edm), ddim),
    "edm_ralston": each_step(partial(in_noise, "ralston2", edm)),
    "vp_rho_heun": each_step(partial(in_noise, "heun2", vp_of_rho)),
    "flow_midpoint": each_step(partial(in_velocity, "midpoint")),
    "flow_heun": each_step(partial(in_velocity, "heun2")),
    "flow_kutta3": each_step(partial(in_velocity, "kutta3")),
    "flow_ssprk3": each_step(partial(in_velocity, "ssprk3")),
    "flow_rk4": each_step(partial(in_velocity, "rk4")),
    "flow_bs3": each_step(partial(in_velocity, "bogacki_shampine32")),
    "flow_dopri5": each_step(partial(in_velocity, "dormand_prince54")),
    "unip_2": partial(unipc, 2, True, "UniP", True), "unipc_1": partial(unipc, 1, False, "PEC", True),
    "unipc_2": partial(unipc, 2, False, "PEC", True), "sd15_unipc_2": partial(unipc, 2, False, "PEC", True),
    "unipc_3": partial(unipc, 3, False, "PEC", True), "unipc_3_noise": partial(unipc, 3, True, "PEC", True),
    "unipc_2_pece": partial(unipc, 2, False, "PECE", False),
    "ipndm_4": partial(linear, 4, True, False), "pndm_plms4": partial(linear, 4, False, True),
    "s_pndm": partial(linear, 2, False, True), "lms_4": variable_adams, "ipndm_v4": variable_adams,
}  # fmt: skip
UNTYPED = {
    "res_2s", "res_3s", "strehmel_weiner", "ho5", "exprk5s8", "flow_tsit5",  # their orders characterise these tables
    "dpm_4m_singlestep", "dpmpp_3m_singlestep", "unipc_3_singlestep",  # multistep rows with a start of our own
}  # fmt: skip
UNIT = [0.93, 0.87, 0.7, 0.62, 0.45, 0.38, 0.22, 0.11, 0.04]
PLACES: dict[str, tuple[Callable[[float], Point], list[float]]] = {
    "vp_linear": (vp_linear, UNIT),
    "flow": (flow, UNIT),
    "edm": (edm, [70.0, 41.0, 29.0, 11.0, 6.5, 2.0, 0.9, 0.15, 0.03]),
    "vp_scaled_linear": (table, [970.0, 880.0, 700.0, 632.0, 420.0, 332.0, 206.0, 90.0, 20.0]),
}
INTEGRANDS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "data": lambda x0, eps, raw: x0, "noise": lambda x0, eps, raw: eps, "velocity": lambda x0, eps, raw: eps - x0,
}  # fmt: skip


def integrand(solver: Shipped) -> Evaluate:
    """What the method combines, from a network that returns the solver's prediction."""
    spec = read_spec(solver.folder / "spec.yaml")
    prediction, kind = spec.problem.prediction, spec.method.parameters["integrand"].kind
    noisy, scaled = prediction.parameters["input"] == "c_noise", prediction.parameters["input_scale"] == "edm"

    def value(x: Array, p: Point) -> Array:
        time = float(np.log(p.sigma)) / 4 if noisy else p.t
        raw = network(x / sqrt(0.25 + p.sigma**2) if scaled else x, time)
        return INTEGRANDS[kind](*PAIRS[prediction.kind](x, raw, p), raw)

    return value


@pytest.mark.parametrize("name", [n for n in NAMES if n in REFERENCES])
def test_shipped_solvers_are_the_published_ones(name: str) -> None:
    solver = shipped(name)
    place, times = PLACES[solver.derived.schedule.kind]
    points = [place(t) for t in times]
    unit = torch.randn((5, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    x = unit * points[0].sigma
    got = solver.solver.sample(lambda x, t: network(x, t.reshape(-1, 1)), x, nodes=times).numpy()
    want = REFERENCES[name](x.numpy(), points, integrand(solver))
    assert np.abs(got - want).max() <= BOUND * np.abs(want).max()


def test_every_shipped_solver_is_compared_with_something() -> None:
    """With a reference here, as a multistep row, by the tests of tables of decisions, or of what has noise."""
    from tests.claims.test_differential import MULTISTEP

    read = {n: (FOLDER / n / "coefficients.py").read_text() for n in NAMES}
    elsewhere = {n for n, text in read.items() if "TABLE = " in text or "def spread(" in text}
    assert {*NAMES} - elsewhere <= {*REFERENCES, *UNTYPED, *MULTISTEP}


def test_the_references_differ_from_each_other() -> None:
    """They are not one formula under several names: on one grid all results are apart."""
    random = np.random.default_rng(1)
    x = random.standard_normal((2, 3))
    points = [vp_linear(t) for t in UNIT]
    found: dict[str, Any] = {}
    for name in (
        "etd2rk",
        "etd3rk",
        "etdrk4",
        "krogstad",
        "lawson4",
        "dpmpp_2s",
        "dpmpp_2s_midpoint",
        "dpmpp_3s",
        "unipc_2",
        "unipc_3",
    ):
        found[name] = REFERENCES[name](x, points, lambda x, p: network(x, p.t))
    values = list(found.values())
    assert all(np.abs(a - b).max() > 1e-9 for i, a in enumerate(values) for b in values[:i])
    assert adams([0.0, 1.0, 2.0]) == pytest.approx([-1.5, 0.5])
