r"""Exponential schemes with noise as linear steps: what :mod:`derive.measure.stochastic` measures.

With y = w (integrand X0, rate -(1 + T); or the whole drift, rate 0) or y = x/sigma (integrand E, rate 1), the weights
b_j, a_ij of a :class:`derive.symbolic.forms.Step`, z = rate h and C = (1 + T) h for X0, -(1 + T) h for E, h for the drift,

    y_{n+1} = e^z y_n + C sum_j b_j(z) F_j + xi,      xi = int e^{rate (t - u)} g_y(u) dW over the step,

and stages likewise to their abscissa, with the noise of the same path up to there (coherent), with an independent one of
the same variance, or without any. Other variances are in :data:`VARIANCES`. :func:`iterated` gives the kernel of the
second Wiener integral of the exponential Ito-Taylor step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from sympy import QQ

from derive.measure.stochastic import Kernel, Line, LinearStep, Noise
from derive.symbolic.forms import Form, Step
from runtime.real import Real, exp, phis, real, sqrt

Kind = Literal["data", "noise", "drift"]
StageNoise = Literal["coherent", "independent", "none"]
Rows = Callable[[tuple[Any, ...]], Step]
"""The step at given ratios of earlier step sizes to the one after them."""
HISTORY = 5


def _eta(stochasticity: Real, s: Real, t: Real) -> Real:
    return stochasticity * (exp(-2 * t) - exp(-2 * t - 2 * (t - s)))


def _left(stochasticity: Real, s: Real, t: Real) -> Real:
    return 2 * stochasticity * (t - s) * exp(-2 * s)


def _large(stochasticity: Real, s: Real, t: Real) -> Real:
    share = exp(-2 * s) / (1 + exp(-2 * s))
    fall = 1 - exp(-2 * (t - s))
    return exp(-2 * s) * fall * (1 - share * fall)


VARIANCES: Mapping[str, Callable[[Real, Real, Real], Real]] = {
    "eta": _eta,
    "left": _left,
    "large": _large,
}
"""Var xi that is not that of the kernel, in w, given T and the ends: DDIM with eta^2 = T; g^2 h at the start of the step (for E
in units of sigma); beta of the step in ancestral sampling of a variance preserving process (T = 1)."""


@dataclass(frozen=True)
class Noisy:
    """A :data:`derive.measure.stochastic.Scheme` from rows. corrected: the stage is the prediction of a PEC scheme."""

    rows: Rows
    stochasticity: Fraction
    kind: Kind = "data"
    variance: str = "exact"
    stages: StageNoise = "coherent"
    corrected: bool = False

    def __call__(self, grid: Sequence[Fraction], n: int) -> LinearStep:
        """Raises KeyError for an unknown variance."""
        sizes = [grid[n - j + 1] - grid[n - j] for j in range(min(n, HISTORY) + 1)]
        ratios = [
            QQ(size.numerator, size.denominator) / QQ(sizes[0].numerator, sizes[0].denominator) for size in sizes[1:]
        ]
        step, h = self.rows((*ratios, *[QQ(1)] * (HISTORY - len(ratios)))), real(sizes[0])
        s, t = real(grid[n]), real(grid[n + 1])
        found = []
        for i, row in enumerate((*step.a, step.b)):
            end = step.thetas[step.known + i] if i < len(step.a) else QQ(1)
            found.append(self._line(step, row, s, s + h * _number(end), _number(end), i, last=i == len(step.a), h=h))
        found[-1] = Line(t, found[-1].states, found[-1].values, found[-1].noises)
        return LinearStep(found, 0 if self.corrected else -1)

    def _line(
        self, step: Step, row: Sequence[Form], s: Real, t: Real, c: Real, place: int, *, last: bool, h: Real
    ) -> Line:
        rate, strength = _number(step.rate), 1 + real(self.stochasticity)
        factor = exp(rate * c * h)
        total = {"data": strength, "noise": -strength, "drift": real(1)}[self.kind] * h
        if self.kind == "noise":
            factor, total, rate = factor * exp(s - t), total * exp(-t), rate - 1
        weights = [_value(step, form, h) for form in row]
        if self.variance == "eta":
            factor = exp(s - t) * sqrt(1 - real(self.stochasticity) * (1 - exp(2 * (s - t))))
            total = (1 - factor) / sum(weights)
        values = {}
        for j, weight in enumerate(weights):
            if row[j]:
                values[-j if j < step.known else j - step.known + 1] = total * weight
        return Line(t, {0: factor}, values, self._noises(rate, s, t, place, last or self.corrected))

    def _noises(self, rate: Real, s: Real, t: Real, place: int, last: bool) -> list[tuple[Real, Noise]]:
        if not self.stochasticity or (self.stages == "none" and not last):
            return []
        path = f"stage {place}" if self.stages == "independent" and not last else ""
        T, size = real(self.stochasticity), real(1)
        if self.variance != "exact":
            own = 2 * T * exp(-2 * t) * (t - s) * phis(1, 2 * (rate + 1) * (t - s))[0]
            frame = exp(-2 * (t - s)) if self.kind == "noise" and self.variance == "left" else real(1)
            size = sqrt(frame * VARIANCES[self.variance](T, s, t) / own)
        return [(size, Noise(exponential(rate, t), s, t, path))]


def exponential(rate: Real, end: Real) -> Kernel:
    """u -> e^{rate (end - u)}."""
    return lambda u: exp(rate * (end - u))


def iterated(strength: Real, end: Real) -> Kernel:
    """u -> int_u^end K e^{-K (end - r)} dr = 1 - e^{-K (end - u)}: the kernel of xi_1, beside xi_0's e^{-K (end - u)}."""
    return lambda u: 1 - exp(-strength * (end - u))


def pair_covariance(stochasticity: Real, s: Real, t: Real) -> tuple[Real, Real, Real]:
    """(C00, C01, C11) of xi_0 and xi_1 over a step, in closed form."""
    T, h = stochasticity, t - s
    straight, square, mixed = (phis(1, z)[0] for z in (2 * h, -2 * T * h, (1 - T) * h))
    scale = 2 * T * exp(-2 * t) * h
    return scale * square, scale * (mixed - square), scale * (straight - 2 * mixed + square)


def _number(q: Any) -> Real:
    return real(int(q.numerator)) / int(q.denominator)


def _value(step: Step, form: Form, h: Real) -> Real:
    z = _number(step.rate) * h

    def at(k: int, c: Any) -> Real:
        return exp(z * _number(c)) if not k else phis(k, z * _number(c))[k - 1]

    return real(form.value(at, _number))


def cached(rows: Rows) -> Rows:
    """Rows that remember the ratios they have met."""
    return lru_cache(maxsize=256)(rows)


__all__ = ["VARIANCES", "Noisy", "Rows", "StageNoise", "cached", "exponential", "iterated", "pair_covariance"]
