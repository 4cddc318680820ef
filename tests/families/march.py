"""Runs a tableau on w' = q w + F(w, t), whose solution is known, in floats: what the global order rules say is measured.

Independent of lowering and runtime: weights come from :meth:`Scheme.step`, phi functions from their series.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from math import factorial, log2
from typing import Any

import numpy as np
from sympy import QQ

from derive.symbolic.forms import Form
from derive.tableau import Scheme, Tableau

PATTERN = (QQ(1), QQ(3, 2), QQ(2, 3), QQ(5, 4))
"""Periodic step lengths: unequal at every refinement."""
COUPLING = np.array([[0.7, -0.4], [0.5, 0.9]])


def solution(t: float) -> np.ndarray:
    return np.array([np.sin(1.3 * t) + 0.5, np.cos(t) * np.exp(-0.3 * t)])


def slope(t: float) -> np.ndarray:
    decay = np.exp(-0.3 * t)
    return np.array([1.3 * np.cos(1.3 * t), -decay * (np.sin(t) + 0.3 * np.cos(t))])


class Problem:
    """F(w, t) = w*' - q w* + G(w - w*), G nonlinear with a Jacobian that does not vanish."""

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def __call__(self, w: np.ndarray, t: float) -> np.ndarray:
        gap = COUPLING @ (w - solution(t))
        return slope(t) - self.rate * solution(t) + np.sin(gap * (1 + 0.5 * np.cos(t))) + gap**2


def value(form: Form, z: float) -> float:
    def phi(k: int, c: Any) -> float:
        return sum((z * float(c)) ** n / factorial(n + k) for n in range(24))

    return form.value(phi, float)


class March:
    """One run over ``count`` steps of [0, 2]; ``error`` at the end."""

    def __init__(self, tableau: Tableau, count: int, pattern: tuple[Any, ...] = PATTERN) -> None:
        self.tableau, self.rate = tableau, int(tableau.kernel.rate)
        self.f = Problem(self.rate)
        depth = tableau.steps
        lengths = [pattern[i % len(pattern)] for i in range(-depth, count)]
        unit = 2.0 / float(sum(lengths[depth:], QQ(0)))
        self.lengths, self.unit, self.depth = lengths, unit, depth
        before = [-float(sum(lengths[depth - j : depth], QQ(0))) * unit for j in range(1, depth)]
        self.times = [0.0, *accumulate(float(r) * unit for r in lengths[depth:])]
        self.past = [self.f(solution(t), t) for t in before] if tableau.start == "exact" else []
        self.run(count)

    def run(self, count: int) -> None:
        x, pending = solution(0.0), None
        for i in range(count):
            t, h = self.times[i], self.times[i + 1] - self.times[i]
            scheme = self.scheme(i, count)
            newest = self.f(x, t)
            if pending is not None:
                base, length, weights, known = pending
                x = (
                    np.exp(self.rate * length) * base
                    + length * combine(weights[:-1], known)
                    + length * weights[-1] * newest
                )
            values = [newest, *self.past]
            x, pending = self.step(scheme, i, x, t, h, values)
            self.past = values[: self.depth - 1]
        self.error = float(np.abs(x - solution(self.times[-1])).max())

    def scheme(self, i: int, count: int) -> Scheme:
        tableau, k = self.tableau, len(self.tableau.schemes)
        if tableau.starter is not None and i < tableau.steps - 1:
            return tableau.starter
        order = k if tableau.start != "ramp" else min(k, i + 1)
        return tableau.schemes[(min(order, count - i) if tableau.final == "lower_order" else order) - 1]

    def step(self, scheme: Scheme, i: int, x: Any, t: float, h: float, values: list[Any]) -> tuple[Any, Any]:
        newest = self.lengths[self.depth + i]
        ratios = tuple(self.lengths[self.depth + i - 1 - j] / newest for j in range(scheme.past))
        thetas, rows, output = table(scheme, ratios, self.rate, h)
        known = values[: scheme.past + 1]
        if scheme.corrector is not None:
            base = x
            x = np.exp(self.rate * h) * base + h * combine(rows[0], known)
            return x, (base, h, output, known)
        for theta, row in zip(thetas[scheme.past + 1 :], rows, strict=True):
            stage = np.exp(self.rate * theta * h) * x + h * combine(row, known)
            known = [*known, self.f(stage, t + theta * h)]
        return np.exp(self.rate * h) * x + h * combine(output, known), None


def combine(weights: Any, values: list[Any]) -> Any:
    return sum((w * v for w, v in zip(weights, values) if w), start=np.zeros(2))


@cache
def _forms(scheme: Scheme, ratios: tuple[Any, ...], rate: int) -> Any:
    return scheme.step((*ratios, *[QQ(1)] * 8), QQ(rate))


def table(
    scheme: Scheme, ratios: tuple[Any, ...], rate: int, h: float
) -> tuple[list[float], list[list[float]], list[float]]:
    step = _forms(scheme, ratios, rate)
    numbers = [[value(w, rate * h) for w in row] for row in (*step.a, step.b)]
    return [float(theta) for theta in step.thetas], numbers[:-1], numbers[-1]


def measured(tableau: Tableau, count: int, pattern: tuple[Any, ...] = PATTERN) -> float:
    """log2 of the ratio of errors at ``count`` and twice as many steps, extrapolated once."""
    errors = [March(tableau, count * m, pattern).error for m in (1, 2, 4)]
    first, second = log2(errors[0] / errors[1]), log2(errors[1] / errors[2])
    return 2 * second - first


__all__ = ["PATTERN", "March", "measured"]
