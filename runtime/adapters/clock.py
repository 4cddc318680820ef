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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from runtime.api import Solver
from runtime.grids import time_of
from runtime.inverse import solve_for
from runtime.itinerary import point
from runtime.real import Real, log, log1p, real, sqrt
from runtime.rebind import rebound

WIDEST = 1e8
"""The largest sigma/alpha of a clock without an end."""
_EQUAL = real(2) ** -200


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
    """solver: on the clock of ``kind``, or (``own``) on the one it was generated with. coefficients: before that."""

    solver: Solver
    kind: str
    own: bool

    def __reduce__(self) -> tuple:
        return _again, (self.solver._module,)

    def ends(self, nodes: Sequence[float]) -> tuple[float, ...]:
        """The nodes without a last 0 where the solver has no step into sigma = 0: it ends with its estimate of the data."""
        jumps = self.solver.coefficients.FINAL == "denoise" and nodes[-1] == self.solver.domain[1]
        return tuple(nodes[:-1] if jumps and len(nodes) > 2 else nodes)

    def nodes(self, rhos: Sequence[float], sigmas: Sequence[float] | None = None) -> tuple[float, ...]:
        """Times of the solver at these sigma/alpha; ``sigmas``: the same levels on its clock, taken bit for bit.

        ValueError where the solver does not reach one.
        """
        if self.own:
            return self.ends([self._time(rho) for rho in rhos])
        if sigmas is None:
            sigmas = [level(rho, self.kind) for rho in rhos]
        for sigma in sigmas:
            if not 0 <= sigma <= self.solver.domain[0]:
                raise ValueError(self._out_of_reach(sigma))
        return self.ends([float(sigma) for sigma in sigmas])

    def rho(self, t: float) -> float:
        """sigma/alpha at a time of the solver."""
        code = self.solver.coefficients
        if t == code.DOMAIN[1] and code.DATA_END == "sigma_zero":
            return 0.0
        if t == code.DOMAIN[0] and code.NOISE_END == "alpha_zero":
            return math.inf
        return float(code.rho(real(t)))

    def weights(self, rho: float) -> tuple[float, float]:
        """(alpha, sigma) at a noise level: the solver's sample is alpha x0 + sigma eps."""
        return weights(rho, self.kind)

    def _time(self, rho: float) -> float:
        code = self.solver.coefficients
        if rho == 0 and code.DATA_END == "sigma_zero":
            return float(code.DOMAIN[1])
        try:
            return time_of(code, "lambda", -math.log(rho))
        except ValueError:
            raise ValueError(self._out_of_reach(rho)) from None

    def _out_of_reach(self, value: float) -> str:
        low, high = sorted(map(self.rho, self.solver.domain)) if self.own else (0.0, self.solver.domain[0])
        what = "sigma" if self.kind == "flow" and not self.own else "sigma/alpha"
        advice = "; the sample begins at alpha = 0: take a solver of a flow" if value == math.inf else ""
        return f"{self.solver.name}: got {what} = {value!r}; allowed: {low!r} to {high!r}{advice}"


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
def timed(solver: Solver) -> Timed:
    """The solver on the clock of its kind of schedule. ValueError if its schedule is of none of the three kinds."""
    code = solver.coefficients
    samples = [point(code, time) for time in _interior(code)]
    kind = _kind(samples, solver.name)
    curves = dict(_CURVES[kind])
    there = rebound(code, lambda number: number, curves)
    clocks = [node.sigma / node.alpha if kind == "vp" else node.sigma for node in samples]
    if not all(_same(code.chart(node.t), there.chart(t)) for node, t in zip(samples, clocks)):
        return Timed(_with(solver, _ending(code, {})), kind, True)
    widest = 1.0 if kind == "flow" else WIDEST
    names: dict[str, Any] = {"DOMAIN": (widest, 0.0), "DATA_END": "sigma_zero", "GRID": {}, "WARP": None, **curves}
    names |= {"NOISE_END": "alpha_zero" if kind == "flow" else "regular", "time": lambda t: t}
    if hasattr(code, "inner"):
        names["inner"] = _inner(there)
    return Timed(_with(solver, _ending(code, names)), kind, False)


def _with(solver: Solver, coefficients: Any) -> Solver:
    return Solver(solver.name, solver._module, coefficients, solver._step)


def _again(module: str) -> Timed:
    return timed(import_module(module).solver)


def _ending(code: Any, names: dict[str, Any]) -> SimpleNamespace:
    """The module with these names, ending with the estimate of the data where the method's last step has no limit."""
    names = {"time": lambda t: t, **names}
    keeps = code.FINAL == "keep" and not getattr(code, "TABLE", ())
    if not code.TO_SIGMA_ZERO or (keeps and len(code.TO_SIGMA_ZERO) < len(code.ROWS)):
        names |= {"FINAL": "denoise", "DATA_END": "regular"}
    return rebound(code, lambda number: number, names)


def _inner(there: Any) -> Callable[..., Any]:
    """The node at a fraction of a step in the variable, by inverse interpolation."""

    def inner(s: Any, t: Any, c: Any) -> Any:
        start = there.chart(s.t)
        target = start + c * (there.chart(t.t) - start)
        return there.node(solve_for(there.chart, target, s.t, t.t))

    return inner


def _interior(code: Any) -> list[Real]:
    """Three times inside the domain."""
    noise, data = map(real, code.DOMAIN)
    return [data + (noise - data) * share / 16 for share in (3, 8, 13)]


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
