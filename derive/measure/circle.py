r"""Exact flows of mixtures on the circle: one smooth variable for every schedule, from alpha = 0 to sigma = 0.

With u = x/sqrt(alpha^2 + sigma^2) and the angle phi = atan2(sigma, alpha), u = cos(phi) x0 + sin(phi) eps and

    du/dphi = cos(phi) E - sin(phi) D,      D = E[x0 | u],   E = E[eps | u],

whatever alpha(t) and sigma(t) are. For x0 ~ sum_k w_k N(m_k, s_k^2 I) the posterior shares r_k and v_k = cos^2 s_k^2 +
sin^2 give D = sum r_k (m_k + cos s_k^2 (u - cos m_k)/v_k) and E = sin sum r_k (u - cos m_k)/v_k: no difference of large
numbers and no division by sin(phi), so phi = 0 is an ordinary point. That takes scales s_k > 0: the flow of bare points
ends in one of them whatever solver is used, so a data set is compared on with a little noise, :class:`Blurred`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.measure.problems import Empirical, Gaussian, Mixture, Problem
from derive.measure.reference import dop853

TOLERANCE = 1e-13
TOGETHER = 256
"""Numbers that are integrated together: few, so that one hard sample does not shorten the steps of many."""
Level = tuple[float, float]
"""(alpha, sigma)."""


@dataclass(frozen=True, slots=True)
class Clouds:
    """A mixture as arrays: weights [K], means [K, d], scales [K]."""

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray

    def shares(self, phi: float, u: np.ndarray) -> np.ndarray:
        """Posterior shares [B, K] at u [B, d]."""
        cos, sin = math.cos(phi), math.sin(phi)
        spread = (cos * self.scales) ** 2 + sin**2
        gap = (u**2).sum(1)[:, None] - 2 * cos * (u @ self.means.T) + cos**2 * (self.means**2).sum(1)
        logs = np.log(self.weights) - self.means.shape[1] / 2 * np.log(spread) - gap / (2 * spread)
        shares = np.exp(logs - logs.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def slope(self, phi: float, flat: np.ndarray) -> np.ndarray:
        """du/dphi for u [B, d], given and returned as one vector."""
        cos, sin = math.cos(phi), math.sin(phi)
        u = flat.reshape(-1, self.means.shape[1])
        shares = self.shares(phi, u)
        share = shares / ((cos * self.scales) ** 2 + sin**2)
        wide = share * self.scales**2
        noise = sin * (u * share.sum(1, keepdims=True) - cos * (share @ self.means))
        data = shares @ self.means + cos * (u * wide.sum(1, keepdims=True) - cos * (wide @ self.means))
        return (cos * noise - sin * data).ravel()

    def flow(self, u: np.ndarray, start: float, end: float, tolerance: float = TOLERANCE) -> np.ndarray:
        """u(end) from u(start), [B, d], angles in radians."""
        chunk = max(TOGETHER // u.shape[1], 1)
        parts = [u[i : i + chunk] for i in range(0, len(u), chunk)]
        return np.concatenate([dop853(self.slope, p.ravel(), start, end, tolerance).reshape(p.shape) for p in parts])


@dataclass(frozen=True, slots=True)
class Blurred(Problem):
    """x0 uniform on the points of a data set, plus noise N(0, scale^2 I)."""

    points: Empirical
    scale: float

    def data(self, x: Any, alpha: Any, sigma: Any) -> Any:
        """P + alpha scale^2 (x - alpha P)/v: v = alpha^2 scale^2 + sigma^2, P the mean of the points at (alpha, sqrt v)."""
        spread = (alpha * self.scale) ** 2 + sigma**2
        point = self.points.data(x, alpha, math.sqrt(spread))
        return point + (x - alpha * point) * (alpha * self.scale**2 / spread)


def clouds(problem: Mixture | Blurred) -> Clouds:
    """The arrays of a mixture."""
    if isinstance(problem, Mixture):
        parts = (problem.weights, problem.means, problem.scales)
        return Clouds(*(np.array(part, dtype=np.float64) for part in parts))
    points = problem.points.points.numpy()
    count = len(points)
    return Clouds(np.full(count, 1 / count), points, np.full(count, problem.scale))


def exact_flow(problem: Problem, x: Any, start: Level, end: Level, tolerance: float = TOLERANCE) -> Any:
    """The solution at ``end`` of the probability flow from x (float64 [B, d]) at ``start``; levels are (alpha, sigma)."""
    if isinstance(problem, Gaussian):
        return problem.flow(x, start, end)
    if not isinstance(problem, (Mixture, Blurred)):
        raise TypeError(f"no exact flow is known for {type(problem).__name__}")
    (a, s), (b, r) = start, end
    u = clouds(problem).flow(x.numpy() / math.hypot(a, s), math.atan2(s, a), math.atan2(r, b), tolerance)
    return x.new_tensor(u * math.hypot(b, r))


__all__ = ["Blurred", "Clouds", "Level", "clouds", "exact_flow"]
