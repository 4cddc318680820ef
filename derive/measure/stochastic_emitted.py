r"""Weak and strong orders of a generated stochastic solver, by its own steps: executed on linear forms, without samples.

On the linear problem of :mod:`derive.measure.stochastic` a functional step is linear in the state, the memory, the
network's output and the normal that it draws. So it is run on linear forms in these, with the solver's un-rounded
coefficients, and gives the recursion of the joint second moments of the exact solution, the state and the memory.

The normal of a call from u to v is that of the path of the exact solution: the integral of e^{-rate (v - u')} g dW over
[u, v], scaled to variance 1, with the rate 1 + T of a solver in x0 (T in the middle, where it moves) and 0 of others. T is
the module's ``share``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from derive.measure.march import Emitted, emitted
from derive.measure.order import GRIDS, time_of_lambda
from derive.measure.stochastic import ONE, ZERO, Joint, Kernel, LinearSDE, Moments, Noise, gram, read
from derive.measure.stochastic_orders import StochasticOrders, fitted, weak_error
from runtime.real import Real, exp, log, real, sin, sqrt

Number = Any


class Affine:
    """``sum terms[v] v``: what a step is run on. Supports + - with its kind, * and / with numbers."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[str, Real]) -> None:
        self.terms = terms

    def __add__(self, other: Affine | Number) -> Affine:
        if not isinstance(other, Affine):
            other = Affine({"one": real(other)})
        return Affine({v: self.terms.get(v, ZERO) + other.terms.get(v, ZERO) for v in (*self.terms, *other.terms)})

    __radd__ = __add__

    def __neg__(self) -> Affine:
        return self * -ONE

    def __sub__(self, other: Affine | Number) -> Affine:
        return self + -other

    def __rsub__(self, other: Affine | Number) -> Affine:
        return -self + other

    def __mul__(self, factor: Number) -> Affine:
        return Affine({v: p * factor for v, p in self.terms.items()})

    __rmul__ = __mul__

    def __truediv__(self, factor: Number) -> Affine:
        return self * (ONE / factor)


@dataclass(frozen=True, slots=True)
class _Interval:
    """lambda at both ends of a call, and the alphas there."""

    s: Real
    t: Real
    start: Real
    end: Real


def stochasticity(solver: Emitted) -> Fraction | Kernel:
    """T of the module: a number, or where it moves a function of lambda."""
    code = solver.code
    if not solver.draws:
        return Fraction(0)
    ends = [real(t) for t in code.DOMAIN]
    inside = [ends[0] + (ends[1] - ends[0]) * part / 7 for part in (2, 3, 4)]
    found = {float(code.share(t)) for t in inside}
    return Fraction(str(found.pop())) if len(found) == 1 else _moving(solver)


def _moving(solver: Emitted) -> Kernel:
    """T at lambda, by the secant rule on lambda(t) from the interpolated inverse."""
    code, to_time = solver.code, time_of_lambda(solver)
    low, high = (-log(code.rho(real(float(t)))) for t in to_time(np.array([0.0, 1.0])))

    def share(lam: Real) -> Real:
        a = real(float(to_time(np.array(float((lam - low) / (high - low))))))
        b, miss = a * (1 + real(2) ** -30), lam + log(code.rho(a))
        for _ in range(20):
            other = lam + log(code.rho(b))
            if other == miss:
                break
            a, b, miss = b, b - other * (b - a) / (other - miss), other
            if abs(b - a) < abs(a) * real(2) ** -150:
                break
        return code.share(b)

    return share


def emitted_moments(solver: Emitted, problem: LinearSDE, nodes: Sequence[float], integrand: str) -> Moments:
    """The law at the last node, of a run from the exact law at the first with the solver's own start and end."""
    code = solver.code
    points = [code.node(real(t)) for t in nodes]
    calls = solver.visits(points)
    places = [*(call.node for call in calls), points[-1]]
    first = _lam(code, places[0])
    variance = problem.variance(first)
    law = [[ONE, ZERO, ZERO, ZERO], *([ZERO, *[variance] * 3] for _ in range(3))]
    joint, known = Joint(["one", "start", "exact", "x"], law), 0
    scale = {"x": points[0].alpha}
    joint = joint.moved({v: {v: scale.get(v, ONE)} for v in joint.names})
    for call, following in zip(calls, places[1:], strict=True):
        interval = _Interval(_lam(code, call.node), _lam(code, following), call.node.alpha, following.alpha)
        joint, known = _call(solver, problem, joint, known, call, interval, integrand)
    end = places[-1].alpha
    forms = {v: {v: ONE} for v in ("one", "start", "exact")} | {"w 0": {"x": 1 / end}}
    return read(problem, joint.moved(forms), _lam(code, points[-1]))


def _lam(code: Any, point: Any) -> Real:
    return -log(code.rho(point.t))


def _call(
    solver: Emitted, problem: LinearSDE, joint: Joint, known: int, call: Any, at: _Interval, integrand: str
) -> tuple[Joint, int]:
    """One call of the network and the step that follows it; ``known``: entries of the memory."""
    dx, dr = solver.code.denoised(call.node)
    share, shift = problem.value("data")(at.s)
    raw = {"x": (share / at.start - dx) / dr, "one": shift / dr}
    drawn = call.phase in solver.draws
    normal = [Affine({"noise 1": ONE})] if drawn else []
    memory = tuple(Affine({f"m {i}": ONE}) for i in range(known))
    new, kept = solver.steps[call.phase](Affine({"x": ONE}), Affine(raw), memory, call.row, *normal)
    noises = [Noise(lambda u: problem.transition(at.t, u), at.s, at.t)] if at.t > at.s else []
    if drawn:
        noises.append(_normal(problem, at, integrand))
    if at.t < at.s or (drawn and len(noises) < 2):
        raise ValueError("a call that leads back in time has no path")
    exact = {"exact": problem.transition(at.t, at.s), "one": problem.forced(at.t, at.s) if noises else ZERO}
    forms: dict[str, Mapping[str, Real]] = {"one": {"one": ONE}, "start": {"start": ONE}}
    forms["exact"] = exact | ({"noise 0": ONE} if noises else {})
    forms |= {"x": new.terms} | {f"m {i}": entry.terms for i, entry in enumerate(kept)}
    return joint.with_noises(gram(noises, problem.intensity)).moved(forms), len(kept)


def _normal(problem: LinearSDE, at: _Interval, integrand: str) -> Noise:
    """The normal of a call, on the exact solution's path."""
    rate = 1 + problem.share((at.s + at.t) / 2) if integrand == "data" else ZERO
    plain = Noise(lambda u: exp(-rate * (at.t - u)), at.s, at.t)
    size = 1 / sqrt(gram([plain], problem.intensity)[0][0])
    return Noise(lambda u: size * plain.kernel(u), at.s, at.t)


def measured_emitted(
    solver: ModuleType | Emitted,
    integrand: str,
    *,
    grid: str = "rough",
    first: int = 8,
    cap: int = 512,
    tolerance: float = 0.05,
    scale: Fraction = Fraction(3, 5),
    forcing: Callable[[Real], Real] | None = sin,
    share: Fraction | Kernel | None = None,
) -> StochasticOrders:
    """Weak and strong order of the solver as it is, on N = first, 2 first, .. steps; grid: a name of ``order.GRIDS``.

    integrand: data, noise, or another; share: T as a function of lambda, where that is known (else it is the module's).
    """
    chosen = emitted(solver)
    to_time = time_of_lambda(chosen)
    problem = LinearSDE(scale, stochasticity(chosen) if share is None else share, forcing)

    @cache
    def at(n: int) -> Moments:
        return emitted_moments(chosen, problem, [float(t) for t in GRIDS[grid](to_time, n)], integrand)

    return StochasticOrders(*(fitted(at, error, first, cap, tolerance) for error in (weak_error, lambda m: m.distance)))


__all__ = ["Affine", "emitted_moments", "measured_emitted", "stochasticity"]
