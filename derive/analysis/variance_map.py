r"""Variance and bias of a stochastic scheme on Gaussian data, for every tau and step size: what a (tau, h) map shows.

Data N(0, c^2) have Var w = c^2 + e^{-2 lambda}, w = x/alpha, for every T = tau^2, so a run of N equal steps over
``lambdas`` can be judged at its end for all T at once: variance over the exact one, and mean (from the exact mean path)
over the exact one, less 1. Both come from the recursion of second moments, double precision, an array over tau; history
starts from the exact law. At T = 1 the mean of x0 given the start is constant, so there the mean has no bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.analysis.phi_arrays import phis
from derive.analysis.recurrence import highest_phi, on_arrays
from derive.symbolic.forms import Step

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class VarianceMap:
    """``ratio[i, j]``, ``bias[i, j]`` at tau[i], h[j]: variance and mean at the end, over the exact ones (bias: less 1)."""

    tau: Array
    h: Array
    ratio: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class GaussianRun:
    """A scheme on Gaussian data. step: at equal steps; its weights are functions of z = -(1 + T) h (data), h (noise).

    scale: c; lambdas: (noise end, data end); stages: noise of stages, coherent or none; corrected: the stage is the
    prediction of a PEC scheme.
    """

    step: Step
    integrand: Literal["data", "noise"] = "data"
    scale: float = 0.6
    lambdas: tuple[float, float] = (-2.0, 2.0)
    stages: Literal["coherent", "none"] = "coherent"
    corrected: bool = False

    def __call__(self, tau: ArrayLike, steps: int) -> tuple[Array, Array]:
        """(ratio, bias) after ``steps`` equal steps, each of tau's shape [n]."""
        T = np.square(np.atleast_1d(np.asarray(tau, float)))
        h = (self.lambdas[1] - self.lambdas[0]) / steps
        places = self.lambdas[0] + h * np.arange(1 - self.step.known, steps + 1)
        at = self.step.known - 1
        # variables: w, then the states behind F_0, F_-1, ..
        path = [places[at], *(places[at - j] for j in range(self.step.known))]
        law = np.stack([np.stack([self._exact(T, s, t) for t in path], -1) for s in path], -2)
        mean = np.stack([self._transition(T, places[at], s) ** -1 for s in path], -1)
        z = -(1 + T) * h if self.integrand == "data" else np.full_like(T, h)
        weigh = on_arrays(z, highest=max(highest_phi(self.step), 1))
        weights = [[np.broadcast_to(weigh(form), T.shape) for form in row] for row in (*self.step.a, self.step.b)]
        common = self._common(T, [c * h for c in self._ends])
        for n in range(steps):
            moves, noise = self._step(T, places[at + n - np.arange(self.step.known)], h, weights, common)
            law = moves @ law @ np.swapaxes(moves, -1, -2) + noise
            mean = (moves @ mean[..., None])[..., 0]
        end = self._transition(T, places[-1], places[at])
        return law[:, 0, 0] / self._variance(places[-1]), mean[:, 0] / end - 1

    def _variance(self, lam: Any) -> Any:
        return self.scale**2 + np.exp(-2 * lam)

    def _transition(self, T: Array, t: float, s: float) -> Array:
        return (self._variance(t) / self._variance(s)) ** ((1 + T) / 2)

    def _exact(self, T: Array, s: float, t: float) -> Array:
        early, late = min(s, t), max(s, t)
        return self._transition(T, late, early) * self._variance(early)

    def _share(self, lam: float) -> float:
        """F over w."""
        kappa = self.scale**2 / self._variance(lam)
        return float(kappa if self.integrand == "data" else (1 - kappa) * np.exp(lam))

    @property
    def _ends(self) -> list[float]:
        """Where stages and the output lie, in units of the step."""
        return [*map(float, self.step.thetas[self.step.known :]), 1.0]

    def _step(
        self, T: Array, past: Array, h: float, weights: Sequence[Sequence[NDArray]], common: Array
    ) -> tuple[Array, Array]:
        """The matrix and the noise of one step from past[0]; past: places of the known values, newest first."""
        s, known, step, ends = float(past[0]), self.step.known, self.step, self._ends
        width = 1 + known
        rows, noises, values = [], [], []
        for j in range(known):
            values.append(np.eye(width)[1 + j] * self._share(float(past[j])) * np.ones((len(T), 1)))
        sources: list[NDArray] = [np.zeros((len(T), len(step.a) + 1)) for _ in range(known)]
        for i, (row, c) in enumerate(zip(weights, ends, strict=True)):
            end = s + c * h
            factor, total = np.exp(-(1 + T) * c * h), (1 + T) * h
            if self.integrand == "noise":
                factor, total = np.ones_like(T), -(1 + T) * h * np.exp(-end)
            line, source = factor[:, None] * np.eye(width)[0], np.zeros((len(T), len(step.a) + 1))
            for number, value, made in zip(row, values, sources):
                weight = (total * number)[:, None]
                line, source = line + weight * value, source + weight * made
            if c == 1.0 or self.stages == "coherent":
                source = source + np.eye(len(step.a) + 1)[i]
            rows.append(line)
            noises.append(source)
            values.append(line * self._share(end))
            sources.append(source * self._share(end))
        kept = 0 if self.corrected else -1
        moves = np.zeros((len(T), width, width))
        made = np.zeros((len(T), width, len(ends)))
        moves[:, 0], made[:, 0] = rows[-1], noises[-1]
        moves[:, 1], made[:, 1] = rows[kept], noises[kept]
        for j in range(1, known):
            moves[:, 1 + j, j] = 1
        return moves, made @ (common * np.exp(-2 * s)) @ np.swapaxes(made, -1, -2)

    def _common(self, T: Array, lengths: Sequence[float]) -> Array:
        """Cov(xi_i, xi_j), xi_i = int_0^{l_i} e^{r (l_i - u)} g dW; r = -(1 + T) for data, 0 in w for noise."""
        rate = -(1 + T) if self.integrand == "data" else np.zeros_like(T)
        out = np.empty((len(T), len(lengths), len(lengths)))
        for i, a in enumerate(lengths):
            for j, b in enumerate(lengths):
                m = min(a, b)
                whole = phis(1, 2 * (rate + 1) * m)[1]
                out[:, i, j] = 2 * T * np.exp(rate * (a + b - 2 * m) - 2 * m) * m * whole
        return out


def variance_map(run: GaussianRun, tau: ArrayLike, steps: Sequence[int]) -> VarianceMap:
    """The map over tau and the numbers of steps, each a column of its own h."""
    taus = np.atleast_1d(np.asarray(tau, float))
    columns = [run(taus, n) for n in steps]
    length = run.lambdas[1] - run.lambdas[0]
    ratio, bias = (np.stack([column[k] for column in columns], 1) for k in (0, 1))
    return VarianceMap(taus, np.asarray([length / n for n in steps]), ratio, bias)


__all__ = ["GaussianRun", "VarianceMap", "variance_map"]
