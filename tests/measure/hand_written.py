"""Coefficient modules written by hand after the generated files' contract: VP-linear, data in lambda, 1 to 3 steps."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

from derive.measure.march import Emitted
from runtime.real import Real, exp, expm1, log, log1p, phis, real, sqrt

SLOPE, BASE = real("199/10"), real("1/10")


class Node(NamedTuple):
    """A grid point."""

    t: Real
    alpha: Real
    sigma: Real


def log_alpha(t: Real) -> Real:
    return -t * (t * SLOPE + 2 * BASE) / 4


def alpha(t: Real) -> Real:
    return exp(log_alpha(t))


def sigma(t: Real) -> Real:
    return sqrt(-expm1(2 * log_alpha(t)))


def rho(t: Real) -> Real:
    return sigma(t) / alpha(t)


def node(t: Real) -> Node:
    return Node(t, alpha(t), sigma(t))


def span(s: Node, t: Node) -> Real:
    dl = log_alpha(t.t) - log_alpha(s.t)
    return dl - log1p(-exp(2 * log_alpha(s.t)) * expm1(2 * dl) / -expm1(2 * log_alpha(s.t))) / 2


def denoised(s: Node) -> tuple[Real, Real]:
    return 1 / s.alpha, -s.sigma / s.alpha


def row(s: Node, t: Node, h: tuple[Real, ...], steps: int, second: Fraction) -> tuple[Any, ...]:
    """Newton form: M_0 = phi1, M_1 = phi2, M_2 = 2 phi3 + r0 phi2; ``second`` multiplies the phi3 part (1 is exact)."""
    order = len(h)
    p1, p2, p3 = phis(3, -h[0])
    c = t.alpha * h[0]
    b = [c * p1, 0, 0]
    if order > 1:
        r0 = h[1] / h[0]
        b[0] += c * p2 / r0
        b[1] -= c * p2 / r0
    if order > 2:
        r1 = h[2] / h[0]
        m2 = c * (2 * p3 * second.numerator / second.denominator + r0 * p2)
        b[0] += m2 / (r0 * (r0 + r1))
        b[1] -= m2 / (r0 * r1)
        b[2] += m2 / (r1 * (r0 + r1))
    return (t.sigma / s.sigma, *b[:steps], 1 / s.alpha, -s.sigma / s.alpha)


def module(steps: int, second: Fraction = Fraction(1), start: str = "ramp", final: str = "keep") -> SimpleNamespace:
    """A stand-in for ``generated.<name>.coefficients``; ``second`` = 1/2 is the published three-step solver."""
    return SimpleNamespace(
        STEPS=steps,
        COLUMNS=("a", *(f"b{j}" for j in range(steps)), "cx", "cr"),
        DOMAIN=(1.0, 0.0),
        NOISE_END="regular",
        DATA_END="sigma_zero",
        CHART_FINITE={"alpha_zero": False, "sigma_zero": False},
        INPUT="time",
        time=lambda t: t,
        START=start,
        FINAL=final,
        ROWS=tuple(lambda s, t, h: row(s, t, h, steps, second) for _ in range(steps)),
        ABSCISSAE=((0,),) * steps,
        CORRECTORS=(),
        BEGIN=(),
        log_alpha=log_alpha,
        alpha=alpha,
        sigma=sigma,
        rho=rho,
        node=node,
        span=span,
        denoised=denoised,
        chart=lambda t: log(alpha(t) / sigma(t)),
    )


def step(x: Any, raw: Any, m: tuple[Any, ...], c: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """x' = a x + b0 m0 + b1 m1 + ..: as many values as the row and the memory have."""
    a, *b, cx, cr = c
    values = (cx * x + cr * raw, *m)
    return sum((w * v for w, v in zip(b, values)), a * x), values[: len(b) - 1]


def solver(code: SimpleNamespace) -> Emitted:
    """The coefficients with their steps."""
    return Emitted(code, {**{f"start_{k}": step for k in range(1, code.STEPS)}, "main": step})
