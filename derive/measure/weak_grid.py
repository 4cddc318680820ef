r"""Weak order on a non-linear scalar SDE without samples: E[f(y_N)] by a backward recursion on a grid.

    dy = (q y + N(t, y)) dt + g dW,      u_N = f,   u_n(y) = E u_{n+1}(step(y, xi)),

the expectation by Gauss-Hermite points in the step's independent normals, u_{n+1} between grid points by local polynomials
of degree 11. A two-step scheme has u_n(y_n, y_{n-1}), of which only the first argument is interpolated: the second of
u_{n+1} is y_n, a grid point. N, f are entire and g is small, so a grid on [-4, 4] with spacing 1/10 is exact to 1e-12 at
the start; what lies outside is taken from the edge. Orders need no exact solution: E_N - E_{2N} falls like h^p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
REACH, SPACING, DEGREE = 4.0, 0.1, 11


@dataclass(frozen=True, slots=True)
class ScalarSDE:
    """rate q, drift N(t, y), noise g, on [0, 1] from ``start`` (a point of the grid); observable f."""

    rate: float = -1.0
    noise: float = 0.5
    start: float = 0.4

    def drift(self, t: float, y: Array) -> Array:
        """N(t, y): its second derivative does not vanish."""
        return 1.2 * np.sin(y + t + 0.7)

    def observable(self, y: Array) -> Array:
        """f(y)."""
        return np.sin(1.3 * y + 0.2) + np.cos(y)


OneStep = Callable[[float, float, Array, Sequence[Array]], Array]
"""(t, h, y, normals) -> y at t + h; arrays broadcast."""
TwoStep = Callable[[float, float, Array, Array, Sequence[Array]], Array]
"""(t, h, y, y before, normals)."""


def grid() -> Array:
    """The grid points."""
    return np.arange(round(-REACH / SPACING), round(REACH / SPACING) + 1, dtype=np.float64) * SPACING


def normals(dimension: int, points: int) -> tuple[list[Array], Array]:
    """Gauss-Hermite points of ``dimension`` independent normals, each [points^dimension], and weights."""
    x, w = np.polynomial.hermite_e.hermegauss(points)
    w = w / w.sum()
    mesh = np.meshgrid(*[x] * dimension, indexing="ij")
    weights = np.ones(points**dimension)
    for axis in np.meshgrid(*[w] * dimension, indexing="ij"):
        weights = weights * axis.ravel()
    return [m.ravel() for m in mesh], weights


def between(values: Array, y: Array) -> Array:
    """``values`` [..., M] on the grid at points y [..., any]: leading axes belong together."""
    place = np.clip((y + REACH) / SPACING, 0.0, values.shape[-1] - 1.0)
    first = np.clip(np.floor(place).astype(np.int64) - DEGREE // 2, 0, values.shape[-1] - DEGREE - 1)
    x = place - first
    differences = [x - k for k in range(DEGREE + 1)]
    left, right = [np.ones_like(x)], [np.ones_like(x)]
    for k in range(DEGREE):
        left.append(left[-1] * differences[k])
        right.append(right[-1] * differences[DEGREE - k])
    factorials = np.cumprod([1.0, *range(1, DEGREE + 1)])
    flat, at = values.reshape(-1, values.shape[-1]), first.reshape(values.size // values.shape[-1], -1)
    total = np.zeros(at.shape)
    for k in range(DEGREE + 1):
        sign = (-1.0) ** (DEGREE - k)
        weight = sign * left[k] * right[DEGREE - k] / (factorials[k] * factorials[DEGREE - k])
        total += weight.reshape(at.shape) * np.take_along_axis(flat, at + k, axis=1)
    return total.reshape(y.shape)


def expectation(problem: ScalarSDE, step: OneStep, n: int, *, dimension: int = 1, points: int = 24) -> float:
    """E f(y_n) after n steps of a one-step scheme with ``dimension`` normals a step."""
    y, (xi, weights) = grid(), normals(dimension, points)
    u = problem.observable(y)
    for k in reversed(range(n)):
        reached = step(k / n, 1 / n, y[:, None], [x[None, :] for x in xi])
        u = between(u[None, :], reached[None])[0] @ weights
    return float(between(u[None, :], np.array([[problem.start]]))[0, 0])


def expectation_two_step(problem: ScalarSDE, step: TwoStep, first: OneStep, n: int, *, points: int = 24) -> float:
    """The same for a scheme that reads y_{n-1}; ``first``: the first step, one normal each."""
    y, (xi, weights) = grid(), normals(1, points)
    u = np.repeat(problem.observable(y)[:, None], len(y), axis=1)
    for k in reversed(range(1, n)):
        reached = step(k / n, 1 / n, y[:, None, None], y[None, :, None], [xi[0][None, None, :]])
        u = between(u.T, reached) @ weights
    reached = first(0.0, 1 / n, np.array([[problem.start]]), [xi[0][None, :]])
    own = between(u, np.full((len(y), 1), problem.start))[:, 0]
    return float(between(own[None, :], reached)[0] @ weights)


def weak_order(value: Callable[[int], float], first: int = 8, doublings: int = 4) -> float:
    """By differences: the last Richardson exponent of E_N - E_{2N}, N = first, 2 first, .."""
    found = [value(first * 2**i) for i in range(doublings + 1)]
    gaps = [abs(a - b) for a, b in pairwise(found)]
    p = [log2(a / b) for a, b in pairwise(gaps)]
    return 2 * p[-1] - p[-2]


__all__ = ["OneStep", "ScalarSDE", "TwoStep", "expectation", "expectation_two_step", "grid", "weak_order"]
