r"""PFGM++: the process of EDM with heavy tails. D extra dimensions of radius r = sigma sqrt(D); D = 1 is PFGM, D -> inf EDM.

    p(x | y) ~ (|x - y|^2 + r^2)^{-(N + D)/2},   x = y + R v,   R = r sqrt(B/(1 - B)),   B ~ Beta(N/2, D/2),   |v| = 1

(arXiv:2302.04265, sections 3 and 4). B/(1 - B) is a ratio of chi-squares and R v with the one of N degrees is a normal
vector, so x = y + sigma z / sqrt(chi^2_D / D): Student's t with D degrees of freedom. In sigma the ODE is that of EDM,
dx/dsigma = (x - E[y | x])/sigma: every solver of the schedule ``edm`` takes it; prior and training differ, and are here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from runtime import checks
from runtime.errors import ShapeError

CHUNK = 1 << 24
"""Numbers that the differences of :meth:`Pfgmpp.posterior_mean` may take at once."""


@dataclass(frozen=True, slots=True)
class Pfgmpp:
    """The process with D = ``dimensions`` extra dimensions: a number above 0, or infinity (EDM)."""

    dimensions: float

    def __post_init__(self) -> None:
        given = self.dimensions
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
            raise ValueError(f"dimensions: got {given!r}; allowed: a number above 0, math.inf among them")

    def radius(self, sigma: float) -> float:
        """r = sigma sqrt(D)."""
        return sigma * math.sqrt(self.dimensions)

    def perturbed(self, y: Tensor, sigma: Any, generator: torch.Generator | None = None) -> Tensor:
        """x of training: y [B, *S] at the levels sigma, a number or [B], each above 0. A new tensor like y."""
        y = checks.sample(y, "y")
        levels = _levels(sigma, y)
        z = torch.randn(y.shape, dtype=torch.float64, device=y.device, generator=generator)
        scale = levels / self._narrow(len(y), y.device, generator)
        return (y + scale.reshape(-1, *(1,) * (y.dim() - 1)) * z).to(y.dtype)

    def prior(
        self,
        shape: tuple[int, ...],
        sigma_max: float,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: Any = None,
    ) -> Tensor:
        """x_T of a solve, [B, *S]: the norm is sigma_max sqrt(D) sqrt(B/(1 - B)), the direction uniform."""
        return self.perturbed(torch.zeros(shape, dtype=dtype, device=device), sigma_max, generator)

    def _narrow(self, batch: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
        """sqrt(chi^2_D / D) of every sample, [B]."""
        if math.isinf(self.dimensions):
            return torch.ones(batch, dtype=torch.float64, device=device)
        half = torch.full((batch,), self.dimensions / 2, dtype=torch.float64, device=device)
        return torch.sqrt(torch._standard_gamma(half, generator=generator) / half)

    def posterior_mean(self, x: Tensor, sigma: Any, data: Tensor) -> Tensor:
        """E[y | x] of equally likely ``data`` [M, *S], like x [B, *S]. sigma: a number or [B], each above 0.

        The weights are exp(-(N + D)/2 log1p(|x - y|^2 / r^2)), normalised in logarithms, in float64: no D is too large.
        """
        if x.dim() < 1 or data.dim() != x.dim() or data.shape[1:] != x.shape[1:] or not len(data):
            raise ShapeError(
                f"data: got shape {tuple(data.shape)} for x of shape {tuple(x.shape)}; allowed: [M, *S], M > 0"
            )
        levels = _levels(sigma, x)
        points, given = (v.to(x.device, torch.float64).reshape(len(v), -1) for v in (data, x))
        rows = max(1, CHUNK // max(1, points.numel()))
        parts = zip(given.split(rows), levels.split(rows))
        means = [self._weights(part, level, points) @ points for part, level in parts]
        return torch.cat(means).reshape(x.shape).to(x.dtype) if means else x.clone()

    def _weights(self, x: Tensor, sigma: Tensor, data: Tensor) -> Tensor:
        """The probability of every y, [B, M]. x: [B, N]; sigma: [B]; data: [M, N]."""
        square = (x[:, None] - data).square().sum(-1) / sigma[:, None] ** 2
        if math.isinf(self.dimensions):
            return torch.softmax(-square / 2, 1)
        exponent = (x.shape[1] + self.dimensions) / 2
        return torch.softmax(-exponent * torch.log1p(square / self.dimensions), 1)

    def denoiser(self, data: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The network that is exact for this data set: (x, sigma) -> E[y | x], for solvers that take data."""
        return lambda x, sigma: self.posterior_mean(x, sigma, data)


def _levels(sigma: Any, x: Tensor) -> Tensor:
    """The noise level of every sample, [B], float64."""
    levels = torch.as_tensor(sigma, dtype=torch.float64, device=x.device)
    if not x.dim() or levels.shape not in ((), x.shape[:1]):
        got = f"sigma: got shape {tuple(levels.shape)} for a sample of shape {tuple(x.shape)}"
        raise ShapeError(f"{got}; allowed: a number or [B], for [B, ...]")
    if not bool((levels > 0).all()):
        raise ValueError(f"sigma: got {float(levels.min())!r}; allowed: above 0")
    return levels.expand(len(x))


__all__ = ["Pfgmpp"]
