"""A solver whose time is the noise level: what libraries that fix sigmas, and no schedule, can drive.

A step reads its nodes through alpha, sigma and the method's variable only. Where these are functions of sigma/alpha, as
they are of lambda, rho, sigma or an angle, the clock of the schedule is a matter of choice, and a solver takes

    vp    alpha^2 + sigma^2 = 1    t = sigma/alpha
    ve    alpha = 1                t = sigma
    flow  alpha + sigma = 1        t = sigma

so that the sigmas of a caller are its nodes, bit for bit, whatever schedule it was generated for. A solver whose variable
is the time of its own schedule keeps that schedule: its nodes are the times at which sigma/alpha has the caller's values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from runtime.api import Solver
from runtime.grids import time_of
from runtime.inverse import solve_for
from runtime.itinerary import kept, point
from runtime.plan import Plan
from runtime.real import Real, expm1, log, log1p, real, sqrt
from runtime.rebind import rebound

WIDEST = 1e8
"""The largest sigma/alpha of a clock without an end."""
_EQUAL = real(2) ** -200
_MANY = range(15, 0, -1)


def _vp(t: Any) -> Real:
    return 1 / sqrt(1 + real(t) ** 2)


def _cube(t: Any) -> Real:
    return 1 / sqrt(1 + real(t) ** 2) ** 3


_CURVES: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "vp": {
        "log_alpha": lambda t: -log1p(real(t) ** 2) / 2,
        "alpha": _vp,
        "sigma": lambda t: t * _vp(t),
        "rho": real,
        "dlambda": lambda t, s: log(real(s)) - log(real(t)),
        "dalpha": lambda t: -t * _cube(t),
        "dsigma": _cube,
        "drho": lambda t: real(1),
    },
    "ve": {
        "log_alpha": lambda t: real(0),
        "alpha": lambda t: real(1),
        "sigma": real,
        "rho": real,
        "dlambda": lambda t, s: log(real(s)) - log(real(t)),
        "dalpha": lambda t: real(0),
        "dsigma": lambda t: real(1),
        "drho": lambda t: real(1),
    },
    "flow": {
        "log_alpha": lambda t: log1p(-t),
        "alpha": lambda t: 1 - real(t),
        "sigma": real,
        "rho": lambda t: t / (1 - real(t)),
        "dlambda": lambda t, s: log1p(-t) - log(real(t)) - log1p(-s) + log(real(s)),
        "dalpha": lambda t: real(-1),
        "dsigma": lambda t: real(1),
        "drho": lambda t: 1 / (1 - real(t)) ** 2,
    },
}
"""By kind of schedule, what a generated ``coefficients`` module calls its curves, on the clock above."""


@dataclass(frozen=True, slots=True)
class Timed:
    """solver: on the clock of ``kind``, or (``own``) on the one it was generated with.

    jump: the same, ending with its estimate of the data; ``jumps``: whether it has to where the grid ends at sigma = 0,
    since the method's last step has no limit there. data: whether the integrand is the data. of: the kind that was asked for.
    eta: how much noise its steps add, as DDIM counts it: 0 none, 1 the reverse SDE; None where that is not one number.
    """

    solver: Solver
    jump: Solver
    jumps: bool
    kind: str
    own: bool
    data: bool
    of: str | None
    eta: float | None = 0.0

    def __reduce__(self) -> tuple:
        return _again, (self.solver._module, self.of)

    def plan(self, rhos: Sequence[float], sigmas: Sequence[float] | None = None, jumps: bool = False) -> Plan:
        """The plan of these sigma/alpha; ``sigmas``: the same levels on the solver's clock, taken bit for bit.

        jumps: whether a last step to sigma = 0 is to be the estimate of the data, with no call of the network there.
        ValueError where the solver does not reach one, or has no step between two.
        """
        return _planned(self, tuple(rhos), None if sigmas is None else tuple(sigmas), jumps)

    def _plan(self, rhos: Sequence[float], sigmas: Sequence[float] | None, jumps: bool) -> Plan:
        nodes = self._nodes(rhos, sigmas)
        if not (jumps or self.jumps) or nodes[-1] != self.solver.domain[1]:
            return self.solver.plan(nodes=nodes)
        if len(nodes) > 2:
            return self.jump.plan(nodes=nodes[:-1])
        return self._estimate(nodes)

    def _estimate(self, nodes: tuple[float, ...]) -> Plan:
        """The plan of one call at the first node, which ends with the data: x0 = dx x + dr raw = a x + b0 (cx x + cr raw)."""
        inside = (nodes[0] + self.solver.domain[1]) / 2
        plan = self.jump.plan(nodes=(nodes[0], inside))  # whose first call is at the node, whose last is the estimate
        (grid,) = plan.grids
        first = dict(zip(plan.columns, grid.rows[0]))
        dx, dr = grid.denoised[0]
        cx, cr = first.get("cx", 0.0), first.get("cr", 1.0)
        a, b0 = (0.0, 1.0) if self.data else (dx - dr / cr * cx, dr / cr)
        values = dict.fromkeys(plan.columns, 0.0) | {"a": a, "b0": b0, "cx": cx, "cr": cr, "cin": first.get("cin", 1.0)}
        ends = {name: getattr(grid, name)[-1:] for name in ("orders", "phases")}
        here = {name: getattr(grid, name)[:1] for name in ("times", "denoised")}
        row = tuple(values[name] for name in plan.columns)
        return replace(
            plan, nodes=nodes, **ends, places=(0,), memory=plan.memory[-2:],
            grids=(replace(grid, rows=(row,), places=(0,), **ends, **here),), _cache={},
        )  # fmt: skip

    def _nodes(self, rhos: Sequence[float], sigmas: Sequence[float] | None) -> tuple[float, ...]:
        if self.own:
            return tuple(self._time(rho) for rho in rhos)
        if sigmas is None:
            sigmas = [level(rho, self.kind) for rho in rhos]
        for sigma in sigmas:
            if not 0 <= sigma <= self.solver.domain[0]:
                raise ValueError(self._out_of_reach(sigma))
        return tuple(map(float, sigmas))

    def rho(self, t: float) -> float:
        """sigma/alpha at a time of the solver."""
        code = self.solver.coefficients
        if t == code.DOMAIN[1] and code.DATA_END == "sigma_zero":
            return 0.0
        if t == code.DOMAIN[0] and code.NOISE_END == "alpha_zero":
            return math.inf
        return float(code.rho(real(t)))

    def _time(self, rho: float) -> float:
        code = self.solver.coefficients
        if rho == 0 and code.DATA_END == "sigma_zero":
            return float(code.DOMAIN[1])
        for time in code.DOMAIN:  # tables in float32 are off by so much at their ends
            if math.isclose(self.rho(time), rho, rel_tol=1e-6):
                return float(time)
        try:
            return time_of(code, "lambda", -math.log(rho))
        except ValueError:
            raise ValueError(self._out_of_reach(rho)) from None

    def _out_of_reach(self, value: float) -> str:
        low, high = sorted(map(self.rho, self.solver.domain)) if self.own else (0.0, self.solver.domain[0])
        what = "sigma" if self.kind == "flow" and not self.own else "sigma/alpha"
        advice = "; the sample begins at alpha = 0: take a solver of a flow, or one of data in lambda" * (
            value == math.inf
        )
        return f"{self.solver.name}: got {what} = {value!r}; allowed: {low!r} to {high!r}{advice}"


@lru_cache(maxsize=64)
def _planned(on: Timed, rhos: tuple[float, ...], sigmas: tuple[float, ...] | None, jumps: bool) -> Plan:
    """Plans are immutable, and a pipeline asks for the same one picture after picture."""
    return on._plan(rhos, sigmas, jumps)


def weights(rho: float, kind: str) -> tuple[float, float]:
    """(alpha, sigma) of a kind of schedule at sigma/alpha = rho; rho may be infinite for a flow."""
    if kind == "ve":
        return 1.0, rho
    if rho == math.inf:
        return 0.0, 1.0
    alpha = 1 / math.hypot(1.0, rho) if kind == "vp" else 1 / (1 + rho)
    return alpha, rho * alpha


def scale(rho: float, to: str, of: str) -> float:
    """x with the weights of kind ``to`` over x with those of kind ``of``, at one noise level."""
    (alpha, sigma), (other_alpha, other) = weights(rho, to), weights(rho, of)
    return alpha / other_alpha if rho < 1 else sigma / other


def level(rho: float, kind: str) -> float:
    """What the clock of a kind of schedule shows at sigma/alpha = rho."""
    return (1.0 if rho == math.inf else rho / (1 + rho)) if kind == "flow" else rho


def rho_of(sigma: float, kind: str) -> float:
    """sigma/alpha at what the clock of a kind of schedule shows: infinite at sigma = 1 of a flow."""
    if kind != "flow":
        return float(sigma)
    return math.inf if sigma >= 1 else float(real(sigma) / (1 - real(sigma)))


@lru_cache(maxsize=256)
def timed(solver: Solver, of: str | None = None) -> Timed:
    """The solver on the clock of its kind of schedule, or, where the method allows it, of that of a network ``of``.

    An exponential method in lambda whose integrand is the data is the same on every schedule: asked for a flow, it also
    begins at alpha = 0, with a step of order 1. ValueError if a schedule is of none of the three kinds.
    """
    code = solver.coefficients
    samples = [point(code, time) for time in _interior(code)]
    kind = _kind(samples, solver.name)
    moved = of == "flow" and kind != "flow" and _moves(code, samples)
    kind = "flow" if moved else kind
    curves = dict(_CURVES[kind])
    there = rebound(code, lambda number: number, curves)
    many = [point(code, time) for time in _interior(code, _MANY)]
    if not all(_same(f(node.t), g(_clock(node, kind))) for f, g in _of_time(code, there) for node in many):
        return _timed(solver, {}, kind, True, of)
    names: dict[str, Any] = {"DOMAIN": (1.0 if kind == "flow" else WIDEST, 0.0), "DATA_END": "sigma_zero"}
    names |= {"NOISE_END": "alpha_zero" if kind == "flow" else "regular", "GRID": {}, "WARP": None, **curves}
    if hasattr(code, "inner"):
        names["inner"] = _inner(there)
    if moved:
        names["FROM_ALPHA_ZERO"] = (_leaving(code.COLUMNS, _eta(code, samples)),)
    return _timed(solver, names, kind, False, of)


def _timed(solver: Solver, names: dict[str, Any], kind: str, own: bool, of: str | None) -> Timed:
    code = solver.coefficients
    names = {"time": lambda t: t, "INPUT": "time", "INNER_INPUT": "time", **names}
    keeps = code.FINAL == "keep" and not getattr(code, "TABLE", ())
    ends = bool(code.TO_SIGMA_ZERO) and not (keeps and len(code.TO_SIGMA_ZERO) < len(code.ROWS))
    jump = _with(solver, {**names, "FINAL": "denoise", "DATA_END": "regular"})
    samples = [point(code, time) for time in _interior(code)]
    return Timed(
        _with(solver, names), jump, not ends, kind, own, _of_data(code, _interior(code)), of, _eta(code, samples)
    )


def _with(solver: Solver, names: dict[str, Any]) -> Solver:
    coefficients: Any = rebound(solver.coefficients, lambda number: number, names)
    return Solver(solver.name, solver._module, coefficients, solver._step)


def _again(module: str, of: str | None) -> Timed:
    return timed(import_module(module).solver, of)


def _clock(node: Any, kind: str) -> Real:
    """What the clock of a kind of schedule shows at the noise level of a node."""
    rho = node.sigma / node.alpha
    return rho / (1 + rho) if kind == "flow" else rho


def _of_time(code: Any, there: Any) -> list[tuple[Callable[..., Any], Callable[..., Any]]]:
    """What is a function of time and has to be the same at one noise level: the variable, the share of the noise, and where
    a step goes before its noise."""
    named = [(getattr(code, name), getattr(there, name)) for name in ("chart", "share") if hasattr(code, name)]
    if not hasattr(code, "segment"):
        return named
    return [*named, (lambda t: code.rho(code.segment(t)), lambda t: there.rho(there.segment(t)))]


def _eta(code: Any, nodes: Sequence[Any]) -> float | None:
    """s/(sigma_t sqrt(1 - e^{-2h})) of a step, where it is one number: DDIM's eta, 1 of the reverse SDE; 0 without noise."""
    if not hasattr(code, "spread"):
        return 0.0
    etas = []
    for s, t in itertools.combinations(nodes, 2):
        etas.append(code.spread(s, t) / (t.sigma * sqrt(-expm1(-2 * code.dlambda(t.t, s.t)))))
    return float(etas[0]) if all(_same(eta, etas[0]) for eta in etas) else None


def _first_order(code: Any, s: Any, t: Any) -> dict[str, Any] | None:
    """The row of a step of order 1 from s to t, by column."""
    row = code.ROWS[0]
    return dict(zip(code.COLUMNS, row(s, t, (code.span(s, t),) * code.STEPS))) if callable(row) else None


def _of_data(code: Any, times: Sequence[Real]) -> bool:
    """Whether the integrand, and nothing else that a history keeps, is the data."""
    s, t = (code.node(time) for time in times[:2])
    row = _first_order(code, s, t)
    if row is None or kept(code) != (("cx", "cr"),):
        return False
    return all(_same(row[name], value) for name, value in zip(("cx", "cr"), code.denoised(s)))


def _moves(code: Any, nodes: Sequence[Any]) -> bool:
    """Whether the steps are right on any schedule: made of the data, and exact for data that stay as they are.

    Of a step with noise the variance as well: a^2 sigma_s^2 + s^2 = sigma_t^2. How much of it there is at alpha = 0 is
    known where it is eta.
    """
    eta = _eta(code, nodes)
    there = rebound(code, lambda number: number, _CURVES["flow"])
    s, t = (there.node(_clock(node, "flow")) for node in nodes[:2])
    row = _first_order(there, s, t)
    return (
        row is not None
        and eta is not None
        and _of_data(code, [node.t for node in nodes])
        and _same(row["b0"], t.alpha - s.alpha * row["a"])
        and _same((row["a"] * s.sigma) ** 2 + real(row.get("s", 0)) ** 2, t.sigma**2)
        and _same(code.chart(nodes[0].t), -log(nodes[0].sigma / nodes[0].alpha))
    )


def _leaving(columns: Sequence[str], eta: float | None) -> Callable[..., tuple]:
    """x' = sqrt(1 - eta^2) (sigma'/sigma) x + alpha' x0 + eta sigma' z, the step of order 1 from alpha = 0; what makes x0
    there is the network's to say."""
    noise = real(eta or 0)
    rest = sqrt(1 - noise**2)

    def limit(s: Any, t: Any, h: Any) -> tuple:
        values = {"a": rest * t.sigma / s.sigma, "b0": t.alpha, "cr": 1, "s": noise * t.sigma}
        return tuple(values.get(name, 0) for name in columns)

    return limit


def _inner(there: Any) -> Callable[..., Any]:
    """The node at a fraction of a step in the variable, by inverse interpolation."""

    def inner(s: Any, t: Any, c: Any) -> Any:
        start = there.chart(s.t)
        target = start + c * (there.chart(t.t) - start)
        return there.node(solve_for(there.chart, target, s.t, t.t))

    return inner


def _interior(code: Any, shares: Sequence[int] = (13, 8, 3)) -> list[Real]:
    """Times inside the domain at sixteenths of it, from noise to data."""
    noise, data = map(real, code.DOMAIN)
    return [data + (noise - data) * share / 16 for share in shares]


def _kind(nodes: Sequence[Any], name: str) -> str:
    """vp, ve or flow."""
    sums = {
        "vp": [n.alpha**2 + n.sigma**2 for n in nodes],
        "ve": [n.alpha for n in nodes],
        "flow": [n.alpha + n.sigma for n in nodes],
    }
    for kind, values in sums.items():
        if all(_same(value, real(1)) for value in values):
            return kind
    raise ValueError(
        f"{name}: its schedule has neither alpha^2 + sigma^2 = 1, nor alpha = 1, nor alpha + sigma = 1; allowed: these"
    )


def _same(a: Real, b: Real) -> bool:
    return abs(a - b) <= _EQUAL * max(abs(a), abs(b))


__all__ = ["Timed", "level", "rho_of", "scale", "timed", "weights"]
