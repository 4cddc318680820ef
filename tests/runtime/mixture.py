"""A mixture of three normals on a line, as data of any schedule: its log-density, score and networks in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([-1.0, 0.6, 1.8], dtype=torch.float64)
SCALES = torch.tensor([0.35, 0.25, 0.4], dtype=torch.float64)
Levels = Callable[[Tensor], tuple[Tensor, Tensor]]


def vp(t: Any) -> tuple[Tensor, Tensor]:
    """alpha, sigma of ``vp_linear`` with its defaults."""
    t = torch.as_tensor(t, dtype=torch.float64)
    log_alpha = -t * (19.9 * t + 0.2) / 4
    return torch.exp(log_alpha), torch.sqrt(-torch.expm1(2 * log_alpha))


def flow(t: Any) -> tuple[Tensor, Tensor]:
    """alpha, sigma of flow matching."""
    t = torch.as_tensor(t, dtype=torch.float64)
    return 1 - t, t


def log_density(x: Tensor, alpha: Any, sigma: Any) -> Tensor:
    """Of alpha x0 + sigma eps at numbers x of any shape."""
    return torch.logsumexp(_parts(x, alpha, sigma)[0], -1)


def score(x: Tensor, alpha: Any, sigma: Any) -> Tensor:
    """d log q / dx."""
    logs, gaps, widths = _parts(x, alpha, sigma)
    return -(torch.softmax(logs, -1) * gaps / widths).sum(-1)


def curvature(x: Tensor, alpha: Any, sigma: Any) -> Tensor:
    """d^2 log q / dx^2."""
    logs, gaps, widths = _parts(x, alpha, sigma)
    shares, slopes = torch.softmax(logs, -1), gaps / widths
    return (shares * (slopes**2 - 1 / widths)).sum(-1) - (shares * slopes).sum(-1) ** 2


def _parts(x: Tensor, alpha: Any, sigma: Any) -> tuple[Tensor, Tensor, Tensor]:
    alpha, sigma = (torch.as_tensor(v, dtype=torch.float64)[..., None] for v in (alpha, sigma))
    widths = alpha**2 * SCALES**2 + sigma**2
    gaps = x[..., None] - alpha * MEANS
    logs = WEIGHTS.log() - (2 * math.pi * widths).log() / 2 - gaps**2 / (2 * widths)
    return logs, gaps, widths


def network(kind: str, levels: Levels) -> Callable[[Tensor, Tensor], Tensor]:
    """Every element of x [B, ...] by itself; kind: noise, score, v, velocity (of flow)."""

    def model(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (v.reshape(-1, *(1,) * (x.dim() - 1)) for v in levels(t))
        s = score(x, alpha, sigma)
        noise, data = -sigma * s, (x + sigma**2 * s) / alpha
        made = {"noise": noise, "score": s, "v": alpha * noise - sigma * data, "velocity": noise - data}
        return made[kind]

    return model


def velocity(x: Tensor, t: Tensor) -> Tensor:
    """eps - x0 of flow matching; finite at t = 0 and at t = 1."""
    alpha, sigma = (v.reshape(-1, *(1,) * (x.dim() - 1)) for v in flow(t))
    logs, gaps, widths = _parts(x, alpha, sigma)
    a, s = alpha[..., None], sigma[..., None]
    each = s * gaps / widths - (MEANS + a * SCALES**2 * gaps / widths)
    return (torch.softmax(logs, -1) * each).sum(-1)
