r"""The order of a solver, measured: its own code at 320 bits, a network that is not a toy, and a decision rule.

The network is eps(x, t) = E(x/alpha, rho) with E a random tanh layer on two components and on rho. With w = x/alpha the
exact solution obeys dw/drho = E(w, rho): non-linear, non-autonomous, coupled, and the same for every schedule,
prediction and variable, so one extrapolated reference serves all. What the network returns is formed from (x0, eps) by
the solver's own ``denoised`` row, so a conversion cx, cr that does not match it shows as a wrong order.

Protocol. N = 32, 64, .. steps over lambda in [-1, 1]; e_N the error at the end; p_N = log2(e_N/e_2N) is *not* accepted
as it is (an error term may change sign: published three-step solvers show 1.04, 1.69, 1.87 on their way to 2). One
Richardson step on the exponents, p_R = 2 p_2N - p_N, removes the O(1/N) part; decided when two consecutive p_R agree to
0.02 and lie within 0.02 of an integer. Grids: uniform in lambda, uniform in t, and a periodic rough pattern (smooth
grids hide defects that need unequal steps; random grids have no error expansion). A solver with a low-order start
converges to its global order. N counts grid steps, whatever a step costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import exp as float_exp
from math import isfinite, log, log2
from types import ModuleType
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from derive.measure.march import Emitted, Exact, Network, cold, emitted, finish, warm
from derive.measure.problems import TanhNetwork, Vector
from derive.measure.reference import gbs
from runtime.real import Real, exp, real, sqrt

PATTERN = (1.0, 0.55, 1.7, 0.8, 1.25, 0.6, 1.5, 0.9)
"""Relative step sizes of the rough grid, repeated."""
LAMBDA = (-1.0, 1.0)
"""The range of lambda over which orders are measured."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: steps, error, p_N and p_R (None where not available yet)."""

    steps: int
    error: float
    p: float | None
    richardson: float | None


@dataclass(frozen=True, slots=True)
class OrderFit:
    """The outcome: the best estimate, the table behind it, and whether the decision rule was satisfied."""

    order_estimate: float
    table: tuple[Line, ...]
    decided: bool

    @property
    def order(self) -> int | None:
        """The order as an integer if decided, else None."""
        return round(self.order_estimate) if self.decided else None

    def __str__(self) -> str:
        def cell(p: float | None) -> str:
            return f"{p:8.3f}" if p is not None else "       -"

        head = f"order {self.order}" if self.decided else f"undecided, last estimate {self.order_estimate:.3f}"
        lines = [f"{x.steps:6d}  {x.error:9.2e}  {cell(x.p)}  {cell(x.richardson)}" for x in self.table]
        return "\n".join([head, "     N      error       p_N       p_R", *lines])


# -- the test problem ------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _network(seed: int) -> TanhNetwork:
    return TanhNetwork.random(seed)


@lru_cache(maxsize=64)
def _solution_on_lattice(seed: int, index: int) -> Vector:
    """w at lambda = LAMBDA[0] + index/16, from w = initial at LAMBDA[0]: order 24, one step per 1/32 of lambda."""
    net = _network(seed)
    if index == 0:
        return net.initial
    left = _solution_on_lattice(seed, index - 1)
    low, high = (exp(-(real(LAMBDA[0]) + real(Fraction(i, 16)))) for i in (index - 1, index))
    return gbs(net, left, low, high, 2)


@lru_cache(maxsize=1024)  # grids of any number of steps have the same ends, and so have solvers of one schedule
def exact_solution(seed: int, rho: Real) -> Vector:
    """w(rho) of the test problem to about 1e-45; initial value at lambda = LAMBDA[0]."""
    index = max(round((-log(float(rho)) - LAMBDA[0]) * 16), 0)
    base = exp(-(real(LAMBDA[0]) + real(Fraction(index, 16))))
    return gbs(_network(seed), _solution_on_lattice(seed, index), base, rho, 1)


# -- grids -----------------------------------------------------------------------------------------------------


def time_of_lambda(solver: Emitted, degree: int = 24) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth map from u in [0, 1] (uniform in lambda, noise to data) to times, by interpolation of the inverse.

    The part of LAMBDA that the schedule reaches is used; ends of the time interval are avoided.
    """
    noise, data = map(float, solver.code.DOMAIN)
    inner = [noise + (data - noise) * f for f in (1e-6, 1 - 1e-6)]
    low, high = (-_log_rho(solver, t) for t in inner)
    low, high = max(low, LAMBDA[0]), min(high, LAMBDA[1])
    points = chebyshev.chebpts1(degree + 1)
    times = [_invert(solver, inner, low + (high - low) * (1 + x) / 2) for x in points]
    coefficients = chebyshev.chebfit(points, times, degree)
    return lambda u: chebyshev.chebval(2 * np.asarray(u) - 1, coefficients)


def _rho(solver: Emitted, t: float) -> float:
    return float(solver.code.rho(real(t)))


def _log_rho(solver: Emitted, t: float) -> float:
    value = _rho(solver, t)
    return log(value) if value > 0 else -700.0


def _invert(solver: Emitted, ends: Sequence[float], lam: float) -> float:
    """t with lambda(t) = lam by the Illinois rule; lambda rises from ends[0] to ends[1]."""
    (a, b), goal = ends, float_exp(-lam)
    fa, fb = (_rho(solver, t) - goal for t in (a, b))
    if not isfinite(fa):
        fa = 1e6
    for _ in range(200):
        t = b - fb * (b - a) / (fb - fa) if fb != fa else (a + b) / 2
        f = _rho(solver, t) - goal
        if abs(f) < 1e-14 * goal or abs(b - a) <= 1e-15 * max(abs(a), abs(b)):
            break
        if f * fb < 0:
            a, fa = b, fb
        else:
            fa /= 2
        b, fb = t, f
    return t


def _uniform_lambda(to_time: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    return to_time(np.linspace(0, 1, n + 1))


def _uniform_t(to_time: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    ends = to_time(np.array([0.0, 1.0]))
    return np.linspace(ends[0], ends[1], n + 1)


def _rough(to_time: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    u = np.concatenate([[0.0], np.cumsum(np.resize(PATTERN, n))])
    return to_time(u / u[-1])


GRIDS: dict[str, Callable[[Callable[[np.ndarray], np.ndarray], int], np.ndarray]] = {
    "lambda": _uniform_lambda,
    "time": _uniform_t,
    "rough": _rough,
}


# -- the measurement -------------------------------------------------------------------------------------------


def solve(solver: Emitted, nodes: Sequence[float], start: str = "own", seed: int = 0) -> tuple[Vector, Vector]:
    """(numerical, exact) w at the last node; ``start``: as in :func:`measured_order`."""
    network, exact = problem(solver, seed)
    points = [solver.code.node(real(t)) for t in nodes]
    if start == "exact":
        departure = warm(solver, points, exact, network)
    else:
        departure = cold(solver.ramped() if start == "ramp" else solver, points, exact)
    found = finish(solver, departure, network)
    alpha = points[-1].alpha
    return tuple(v / alpha for v in found), exact_solution(seed, solver.code.rho(points[-1].t))


def problem(solver: Emitted, seed: int) -> tuple[Network, Exact]:
    """The network's raw output, recovered from x0 by the solver's ``denoised``, and the exact states.

    Of an SDE the drift alone is solved, dw/drho = (1 + tau^2) eps: with eps = E/(1 + tau^2) its solution is that of the ODE.
    """
    net = _network(seed)

    def network(x: Vector, point: Any) -> Vector:
        rho = solver.code.rho(point.t)
        w = tuple(v / point.alpha for v in x)
        dx, dr = solver.code.denoised(point)
        slope = (e / solver.drift(point.t) for e in net(w, rho))
        return tuple((v - rho * e - dx * s) / dr for v, e, s in zip(w, slope, x, strict=True))

    def exact(point: Any) -> Vector:
        return tuple(point.alpha * w for w in exact_solution(seed, solver.code.rho(point.t)))

    return network, exact


def fit_order(error: Callable[[int], Any], cap: int, first: int = 32, tolerance: float = 0.02) -> OrderFit:
    """The protocol on a function N -> error: double N until two Richardson exponents agree near an integer.

    An error that is 0 or not finite is in the table and gives no exponent.
    """
    table: list[Line] = []
    n, coarse = first, None
    while n <= cap:
        fine = error(n)
        p = log2(float(coarse / fine)) if _usable(coarse) and _usable(fine) else None
        before = table[-1].p if table else None
        table.append(Line(n, float(fine), p, None if p is None or before is None else 2 * p - before))
        if _settled(table[-2:], tolerance):
            return OrderFit(table[-1].richardson or 0.0, tuple(table), True)
        n, coarse = 2 * n, fine
    found = [q for q in (table[-1].richardson, table[-1].p) if q is not None]
    return OrderFit(found[0] if found else float("nan"), tuple(table), False)


def _usable(error: Any) -> bool:
    """Whether an exponent can be taken of it: known, not 0, finite."""
    return bool(error) and isfinite(float(error))


def _settled(last: Sequence[Line], tolerance: float) -> bool:
    """The last two Richardson exponents agree, and the last one is next to an integer."""
    known = [line.richardson for line in last if line.richardson is not None]
    return len(known) == 2 and max(abs(known[1] - known[0]), abs(known[1] - round(known[1]))) < tolerance


def measured_order(
    solver: ModuleType | Emitted,
    start: str = "exact",
    *,
    final: str = "keep",
    grid: str = "rough",
    cap: int = 2048,
    seed: int = 0,
) -> OrderFit:
    """The order of the method. ``start``: "exact" (history from the exact solution), "own" (as the solver starts by
    itself), "ramp" (rows of order 1, 2, .., k); final: "keep" (last steps like all others) or "own".

    solver: an imported ``coefficients.py`` with its ``step_torch.py`` beside it, or an :class:`Emitted`. grid: a name of
    :data:`GRIDS`. cap: largest N.
    """
    chosen = emitted(solver)
    if final == "keep":
        chosen = chosen.kept()
    to_time = time_of_lambda(chosen)

    def error(n: int) -> Real:
        nodes = [float(t) for t in GRIDS[grid](to_time, n)]
        found, exact = solve(chosen, nodes, start, seed)
        return sqrt(sum((a - b) ** 2 for a, b in zip(found, exact, strict=True)))

    return fit_order(error, cap)


def measured_global_order(
    solver: ModuleType | Emitted, *, grid: str = "rough", cap: int = 2048, seed: int = 0
) -> OrderFit:
    """The order with the solver's own start and last-step rule.

    ``final: denoise`` is not a step of the differential equation and is left out.
    """
    chosen = emitted(solver)
    start = "exact" if chosen.code.START == "exact" else "own"
    final = "own" if chosen.code.FINAL == "lower_order" or chosen.table else "keep"
    return measured_order(chosen, start, final=final, grid=grid, cap=cap, seed=seed)


__all__ = [
    "GRIDS", "Emitted", "Line", "OrderFit", "exact_solution", "fit_order", "measured_global_order", "measured_order",
    "problem", "solve", "time_of_lambda",
]  # fmt: skip
