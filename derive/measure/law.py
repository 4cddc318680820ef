r"""A step of a consistency model, executed: its own code at 320 bits, with the exact flow map as the network.

On the non-linear problem of :mod:`derive.measure.order` the network says, at s, the x0 for which x_u is the exact state. The
step without its noise has to be (alpha_t/alpha_u) x_u, and what it adds N(0, sigma_t^2 - (alpha_t sigma_u/alpha_u)^2); where
u is sigma = 0, alpha_t x0 for any x0. Nothing here depends on the number of steps, so the bound is that of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any

from derive.measure.march import Emitted, advance, emitted
from derive.measure.order import GRIDS, exact_solution, problem, time_of_lambda
from runtime.real import Real, real

STEPS = 8
SEED = 0
BOUND = 1e-30
"""Of what is exact in 320 bits; the reference solution is good to about 1e-45."""


def law_verdict(solver: Emitted) -> tuple[bool, str]:
    """Whether steps keep the law, and with the exact flow map as network are exact."""
    error = law_error(solver)
    return (
        error < BOUND,
        f"mean, variance and path of steps by the exact flow map of a nonlinear problem to {error:.1e}",
    )


def law_error(solver: ModuleType | Emitted, grid: str = "rough") -> float:
    """The largest residual of mean, variance and path over the steps of a grid, relative to 1."""
    chosen = emitted(solver)
    times = GRIDS[grid](time_of_lambda(chosen), STEPS)
    points = [chosen.code.node(real(float(t))) for t in times]
    return max(float(abs(r)) for s, t in pairwise(points) for r in _residuals(chosen, s, t))


def _residuals(solver: Emitted, s: Any, t: Any) -> Iterator[Real]:
    code = solver.code
    values = code.ROWS[0](s, t, (code.span(s, t),))
    row = dict(zip(code.COLUMNS, values, strict=True))
    yield row["a"] * s.alpha + row["b0"] - t.alpha
    yield (row["a"] * s.sigma) ** 2 + row["s"] ** 2 - t.sigma**2
    _, exact = problem(solver, SEED)
    x = exact(s)
    u = code.node(code.segment(t.t)) if hasattr(code, "segment") else None
    x0 = _said(x, s, u)
    dx, dr = code.denoised(s)
    raw = tuple((d - dx * v) / dr for d, v in zip(x0, x, strict=True))
    found, _ = advance(solver.steps["main"], x, raw, (), values, True)
    if u is None:
        yield from (v - t.alpha * d for v, d in zip(found, x0, strict=True))
        return
    up = t.alpha / u.alpha
    yield row["s"] ** 2 - (t.sigma**2 - (up * u.sigma) ** 2)
    arrived = exact_solution(SEED, code.rho(u.t))
    yield from (v - t.alpha * w for v, w in zip(found, arrived, strict=True))


def _said(x: Sequence[Real], s: Any, u: Any) -> tuple[Real, ...]:
    """x0 with x_u = alpha_u x0 + sigma_u eps and x = alpha x0 + sigma eps; any where u is sigma = 0."""
    if u is None:
        return tuple(v / (1 + v * v) for v in x)
    arrived = exact_solution(SEED, u.sigma / u.alpha)
    rho_s, rho_u = s.sigma / s.alpha, u.sigma / u.alpha
    pairs = zip(x, arrived, strict=True)
    return tuple((rho_s * w - rho_u * v / s.alpha) / (rho_s - rho_u) for v, w in pairs)


__all__ = ["law_error", "law_verdict"]
