"""More solvers written by hand, each with something the sample package lacks; and schedules for the grids."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

from runtime.api import Solver
from runtime.real import Real, exp, expm1, linear, log, real, sqrt
from tests.runtime import sample_solver


def variant(step: Any = sample_solver.step_torch, **changes: Any) -> Solver:
    """The sample solver with some of its module's constants changed."""
    module = SimpleNamespace(**{**vars(sample_solver.coefficients), **changes})
    return Solver("variant", "nowhere", module, step)


# Flow matching, velocity prediction, Adams-Bashforth in t: both ends finite; the integrand is what the network returns


class FlowNode(NamedTuple):
    t: Real
    alpha: Real
    sigma: Real


def _euler(s: FlowNode, t: FlowNode, h: tuple) -> tuple:
    return 1, h[0], 0


def _two(s: FlowNode, t: FlowNode, h: tuple) -> tuple:
    return 1, h[0] * (1 + h[0] / (2 * h[1])), -h[0] * h[0] / (2 * h[1])


def flow(**changes: Any) -> Solver:
    """x' = x + (t - s) v, then Adams-Bashforth 2 on uneven steps."""
    limits = (_euler, _two)
    module = SimpleNamespace(
        SCHEMA=2, STEPS=2, COLUMNS=("a", "b0", "b1"), DOMAIN=(1.0, 0.0), NOISE_END="alpha_zero", DATA_END="sigma_zero",
        CHART_FINITE={"alpha_zero": True, "sigma_zero": True}, START="ramp", FINAL="keep", INPUT="index", GRID={},
        WARP=None, node=lambda t: FlowNode(t, 1 - t, t), chart=lambda t: t, span=lambda s, t: t.t - s.t,
        denoised=lambda s: (1, -s.t), time=lambda t: 1000 * t, alpha=lambda t: 1 - t, sigma=lambda t: t,
        rho=lambda t: t / (1 - t), log_alpha=lambda t: log(1 - t), ROWS=limits, TO_SIGMA_ZERO=limits,
        FROM_SIGMA_ZERO=limits, FROM_ALPHA_ZERO=limits, TO_ALPHA_ZERO=limits,
        ABSCISSAE=((0,), (0,)), BEGIN=(), BEGIN_ABSCISSAE=(), CORRECTORS=(),
    )  # fmt: skip
    module.__dict__.update(changes)
    step = SimpleNamespace(
        STEPS={"start_1": _one, "main": _both}, STEPS_={"start_1": _one_, "main": _both_}, RING=2,
        NEEDS={"start_1": 0, "main": 1}, KEEPS={"start_1": 1, "main": 1},
    )  # fmt: skip
    return Solver("flow", "nowhere", module, step)


def _one(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return c[0] * x + c[1] * raw, (raw,)


def _both(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return c[0] * x + c[1] * raw + c[2] * m[0], (raw,)


def _one_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    m0 = m[-1].copy_(raw)
    x.mul_(c[0]).addcmul_(m0, c[1])
    return x, (m0, *m[:-1])


def _both_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    m0 = m[-1].copy_(raw)
    x.mul_(c[0]).addcmul_(m0, c[1]).addcmul_(m[0], c[2])
    return x, (m0, *m[:-1])


# DDIM in place: x and raw are read after x was written, no buffer of its own


def ddim() -> Solver:
    """x' = a x + b0 eps: arXiv:2010.02502 eq. 12 on the sample's schedule."""
    c = sample_solver.coefficients

    def row(s: Any, t: Any, h: tuple) -> tuple:
        return t.alpha / s.alpha, t.sigma - t.alpha / s.alpha * s.sigma

    module = SimpleNamespace(
        **{
            **vars(c),
            "STEPS": 1,
            "COLUMNS": ("a", "b0"),
            "ROWS": (row,),
            "TO_SIGMA_ZERO": (row,),
            "ABSCISSAE": ((0,),),
        },
    )

    def in_place(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
        x.mul_(c[0]).addcmul_(raw, c[1])
        return x, m

    steps = SimpleNamespace(
        STEPS={"main": lambda x, raw, m, c: (c[0] * x + c[1] * raw, ())}, STEPS_={"main": in_place}, RING=0,
        NEEDS={"main": 0}, KEEPS={"main": 0},
    )  # fmt: skip
    return Solver("ddim", "nowhere", module, steps)


# Stable Diffusion's discrete schedule, as a polygon of log alpha_bar through the table


def scaled_linear(steps: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012) -> SimpleNamespace:
    """A ``coefficients`` module as far as the grids look at it."""
    values, total = [0.0], real(0)
    for i in range(steps):
        beta = (sqrt(beta_start) + (sqrt(beta_end) - sqrt(beta_start)) * i / (steps - 1)) ** 2
        total += log(1 - beta)
        values.append(float(total))
    knots = tuple(float(i) for i in range(-1, steps))

    def log_alpha(t: Real) -> Real:
        return linear(knots, values, t) / 2

    return SimpleNamespace(
        DOMAIN=(float(steps - 1), -1.0), NOISE_END="regular", DATA_END="sigma_zero", WARP=None, log_alpha=log_alpha,
        alpha=lambda t: exp(log_alpha(t)), sigma=lambda t: sqrt(-expm1(2 * log_alpha(t))),
        rho=lambda t: sqrt(expm1(-2 * log_alpha(t))),
    )  # fmt: skip


def edm(sigma_max: float = 80.0, sigma_min: float = 0.0) -> SimpleNamespace:
    """alpha = 1, sigma = t."""
    return SimpleNamespace(
        DOMAIN=(sigma_max, sigma_min), NOISE_END="regular", DATA_END="regular" if sigma_min else "sigma_zero",
        WARP=None,
        alpha=lambda t: real(1), sigma=lambda t: t, rho=lambda t: t,
    )  # fmt: skip
