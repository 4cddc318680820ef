r"""What a solve with steps chosen by the error returns, and its dense output: the cubic in the method's variable

    x(chi_n + u h) = (1 + 2u)(1 - u)^2 x_n + u^2 (3 - 2u) x_{n+1} + h u (1 - u) ((1 - u) x'_n - u x'_{n+1}),

through both ends of a step with their slopes x' = dx/dchi, error O(h^4) (Hairer, Norsett, Wanner I, II.6).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from runtime.real import real


@dataclass(frozen=True, slots=True)
class Segment:
    """One accepted step of one sample: variable, state and slope at both ends (dense output)."""

    chi: tuple[float, float]
    x: tuple[torch.Tensor, torch.Tensor]
    slope: tuple[torch.Tensor, torch.Tensor]

    def at(self, chi: float) -> torch.Tensor:
        """The cubic through both ends with their slopes."""
        (a, b), (x0, x1), (d0, d1) = self.chi, self.x, self.slope
        h = b - a
        u = (chi - a) / h
        return (1 + 2 * u) * (1 - u) ** 2 * x0 + u * u * (3 - 2 * u) * x1 + h * u * (1 - u) * ((1 - u) * d0 - u * d1)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """What ``solver.adaptive`` returns.

    x: [B, *S] in x_T's dtype, the sample. accepted, rejected, evaluations: int64 [B] on the host, what each sample cost;
    a step of order 1 at an end of the domain counts as accepted. error: [B], the sum over accepted steps of
    rms(x - x_low); stiffness: [B], the largest |q| |F_b - F_a| / |x_b - x_a| over the last two values of each step,
    dx/dchi = p x + q F. Both are differentiable. times: for each sample the nodes of its accepted steps.
    """

    x: torch.Tensor
    accepted: torch.Tensor
    rejected: torch.Tensor
    evaluations: torch.Tensor
    error: torch.Tensor
    stiffness: torch.Tensor
    times: tuple[tuple[float, ...], ...]
    _dense: tuple[tuple[Segment, ...], ...] | None = None
    _chart: Callable[[Any], Any] | None = None

    def at(self, t: float) -> torch.Tensor:
        """[B, *S], the samples at time ``t`` inside the interval: cubic Hermite in the variable, error O(h^4).

        ValueError outside of it, in a step of order 1 at its end, or without ``dense=True``.
        """
        if self._dense is None or self._chart is None:
            raise ValueError("at(): dense output was not kept; allowed: solver.adaptive(.., dense=True)")
        try:
            chi = float(self._chart(real(t)))
        except (ArithmeticError, ValueError):
            chi = math.nan
        return torch.stack([_segment(segments, chi, t).at(chi) for segments in self._dense]).to(self.x.dtype)


def _segment(segments: Sequence[Segment], chi: float, t: float) -> Segment:
    first, last = segments[0].chi[0], segments[-1].chi[1]
    side = 1 if last > first else -1
    if not min(first, last) <= chi <= max(first, last):
        raise ValueError(f"at(): t = {t!r} is outside the interval that the pair integrated")
    k = bisect_left([side * s.chi[1] for s in segments], side * chi)
    return segments[min(k, len(segments) - 1)]


__all__ = ["Adaptive", "Segment"]
