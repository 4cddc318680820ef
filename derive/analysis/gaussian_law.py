r"""Exact distributions of samples: linear steps on Gaussian data N(0, c^2) give Gaussian samples of computable width.

The optimal network is linear, x0 = c^2 alpha/(c^2 alpha^2 + sigma^2) x and eps = sigma/(..) x, so a run is one number: the
factor by which it multiplies its start. With the exact start of standard deviation s_0 = sqrt(c^2 alpha_0^2 + sigma_0^2),

    W2(sample, data) = sqrt(d) |factor s_0 - c_end|,    c_end = sqrt(c^2 alpha^2 + sigma^2) at the last node.

DDIM obeys a cosine law: s_num/s_exact = prod_i cos(theta_{i+1} - theta_i), theta = atan2(c alpha, sigma), on any path.
Everything works on floats, mpmath numbers and Reals alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import mpmath


def exact_std(c: Any, alpha: Any, sigma: Any) -> Any:
    """sqrt(c^2 alpha^2 + sigma^2)."""
    return mpmath.hypot(c * alpha, sigma)


def network_gain(c: Any, alpha: Any, sigma: Any, c0: Any, c1: Any) -> Any:
    """g with N = g x for the optimal network that returns N = c0 x0 + c1 eps."""
    return (c0 * c * c * alpha + c1 * sigma) / (c * c * alpha * alpha + sigma * sigma)


def run_factor(rows: Sequence[Mapping[str, Any]], gains: Sequence[Any]) -> Any:
    """What a multistep run multiplies its start by.

    rows: one per step, {a, b0, b1, .. [, cx, cr]}; missing cx, cr: the network returns the integrand itself. gains: g of
    :func:`network_gain` at the node each step starts from.
    """
    x: Any = 1
    past: list[Any] = []
    for row, gain in zip(rows, gains, strict=True):
        raw = gain * x
        past = [row["cx"] * x + row["cr"] * raw if "cr" in row else raw, *past]
        weights = (row.get(f"b{j}", 0) for j in range(len(past)))
        x = row["a"] * x + sum(b * m for b, m in zip(weights, past))
    return x


def w2(
    rows: Sequence[Mapping[str, Any]],
    curve: Sequence[tuple[Any, Any]],
    c: Any,
    prediction: Sequence[tuple[Any, Any]],
    dimension: int = 1,
) -> Any:
    """Wasserstein-2 distance between the samples and the exact marginal at the last node.

    curve: (alpha, sigma) at the len(rows) + 1 nodes; prediction: (c0, c1) of what the network returns, at each node.
    """
    gains = [network_gain(c, *point, *pair) for point, pair in zip(curve[:-1], prediction)]
    std = abs(run_factor(rows, gains)) * exact_std(c, *curve[0])
    return mpmath.sqrt(dimension) * abs(std - exact_std(c, *curve[-1]))


def ddim_ratio(curve: Sequence[tuple[Any, Any]], c: Any) -> Any:
    """s_num/s_exact of DDIM on these nodes, by the cosine law."""
    angles = [mpmath.atan2(c * alpha, sigma) for alpha, sigma in curve]
    return mpmath.fprod(mpmath.cos(b - a) for a, b in pairwise(angles))


__all__ = ["ddim_ratio", "exact_std", "network_gain", "run_factor", "w2"]
