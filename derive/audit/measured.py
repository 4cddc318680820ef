r"""The order of a sampler, measured: a network that is not a toy, own start and end, and with these made harmless.

The network is the tanh layer of :mod:`derive.measure.problems` in float64: with w = x/alpha, rho = sigma/alpha the exact
solution obeys dw/drho = K E(w, rho), K = 1 for the probability flow, 1 + tau^2 for the drift of a stochastic sampler. Two
grids of uneven steps over lambda in [-1, 1]: plain, which shows what the sampler's first and last steps cost, and one
whose first and last four steps have the length of a step squared, which shows the order of the steps between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from derive.audit.sampler import Sampler, kept
from derive.measure.order import PATTERN, OrderFit, fit_order
from derive.measure.problems import TanhNetwork
from derive.measure.reference import dop853

LAMBDA = (-1.0, 1.0)
ENDS = 4
"""Steps at either end that are made short."""
NEAR = 0.12
"""Two Richardson exponents agree to this with each other and with a whole number: errors are those of float64."""


@lru_cache(maxsize=4)
def _layers(seed: int) -> tuple[np.ndarray, ...]:
    net = TanhNetwork.random(seed)
    parts = (net.inner, net.drift, net.shift, net.outer, net.offset, net.initial)
    return tuple(
        np.array([[float(v) for v in row] if isinstance(row, tuple) else float(row) for row in part]) for part in parts
    )


def noise(w: np.ndarray, rho: float, seed: int = 0) -> np.ndarray:
    """eps at w, shape [2]."""
    inner, drift, shift, outer, offset, _ = _layers(seed)
    return outer @ np.tanh(inner @ w + drift * rho + shift) + offset


def data(x: torch.Tensor, alpha: float, sigma: float, seed: int = 0) -> torch.Tensor:
    """The data prediction, shape [1, 2]."""
    w, rho = x.detach().reshape(-1).double().numpy() / alpha, sigma / alpha
    return torch.as_tensor(w - rho * noise(w, rho, seed), dtype=x.dtype).reshape(x.shape)


@lru_cache(maxsize=16)
def _exact(rate: float, start: float, end: float, seed: int) -> tuple[float, ...]:
    initial = _layers(seed)[-1]
    return tuple(dop853(lambda rho, w: rate * noise(w, rho, seed), initial, math.exp(-start), math.exp(-end)))


def plain(n: int) -> list[float]:
    """Uneven steps over LAMBDA."""
    return _spread(np.resize(PATTERN, n))


def harmless(n: int) -> list[float]:
    """The same, with ``ENDS`` short steps at either end."""
    sizes = np.resize(PATTERN, n).astype(float)
    for i in range(ENDS):
        sizes[i] = sizes[-1 - i] = 2.0 / n
    return _spread(sizes)


def _spread(sizes: np.ndarray) -> list[float]:
    u = np.concatenate([[0.0], np.cumsum(sizes)])
    return [float(v) for v in LAMBDA[0] + (LAMBDA[1] - LAMBDA[0]) * u / u[-1]]


def error(sampler: Sampler, lams: Sequence[float], rate: float, seed: int = 0) -> float:
    """|w - exact| at the end of a run."""
    states: list[torch.Tensor] = []
    alpha, _ = sampler.scales(lams[0])
    x = torch.as_tensor(alpha * _layers(seed)[-1]).reshape(1, 2)
    sampler.run(lambda y, a, s: data(y, a, s, seed), x, lams, kept(states))
    w = states[-1].reshape(-1).double().numpy() / sampler.scales(lams[-1])[0]
    return float(np.linalg.norm(w - np.array(_exact(rate, lams[0], lams[-1], seed))))


def measured(sampler: Sampler, rate: float, shape: Callable[[int], list[float]], cap: int = 256) -> OrderFit:
    """The fit over N = 16, 32, .., cap steps; an error below 1e-13 is 0, one that is not finite remains so."""

    def found(n: int) -> Any:
        value = error(sampler, shape(n), rate)
        return 0.0 if value <= 1e-13 else value  # not a number remains one

    return fit_order(found, cap, first=16, tolerance=NEAR)


__all__ = ["data", "error", "harmless", "measured", "noise", "plain"]
