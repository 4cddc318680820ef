"""What may happen to the network's output before the step takes it: guidance, a clip, a dynamic threshold.

    raw  = u + g (c - u)              guidance (arXiv:2207.12598): c with, u without the condition, g = 1 is c
    x0   = dx x + dr raw              the estimate of the data
    x0'  = clip(x0, -s, s) f          a clip: s = bound, f = 1
    raw' = raw + (x0' - x0) / dr      a threshold: s = min(max(quantile of |x0|, 1), most) of the sample, f = 1/s

With keep_noise the step takes x0' beside the noise of raw, not beside the one that belongs to x0': alpha' x0' + sigma' eps,
the step of raw' = raw + alpha'/(b0 cr) (x0' - x0) where it is one call, a x + b0 (cx x + cr raw) (diffusers' DDIM).
The threshold is that of Imagen (arXiv:2205.11487, section 2.3). An element that is not changed keeps its raw bit for bit,
and where x0 does not depend on raw (sigma = 0), or is not known (noise at alpha = 0), all do. Each product and sum is
rounded by itself, in this order, by every engine. Nothing is sorted: a quantile is two selections and what lies between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real as RealNumber
from typing import Any

import torch

from runtime.errors import ShapeError
from runtime.plan import Plan

LEAST = 1.0
"""A dynamic threshold is never below the range of the data."""


@dataclass(frozen=True, slots=True)
class Projection:
    """guidance: g, or one for each call of the network. clip: the bound. threshold: (quantile, most). None: there is none.

    keep_noise: the bounded data goes beside the network's own noise.
    """

    guidance: float | tuple[float, ...] | None = None
    clip: float | None = None
    threshold: tuple[float, float] | None = None
    keep_noise: bool = False

    @property
    def pairs(self) -> bool:
        """Whether the network is called on pairs: [2B, *S], unconditional first."""
        return self.guidance is not None

    @property
    def clips(self) -> bool:
        """Whether x0 is bounded."""
        return self.clip is not None or self.threshold is not None

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """What there is: what a captured step depends on; the numbers it reads."""
        return self.pairs, self.clip is not None, self.threshold is not None

    def rows(self, plan: Plan) -> torch.Tensor:
        """Float64 [steps, 4], per-sample [steps, 4, B]: (g, dx, dr, 1/dr) of every call; g = 1 without guidance.

        With keep_noise alpha'/(b0 cr) for 1/dr. (0, 0, 0) for the last three where x0 says nothing about raw. ValueError if
        there is not one g for each call, and for keep_noise of a method whose step is more than one call.
        """
        given = self.guidance if isinstance(self.guidance, tuple) else (self.guidance,) * plan.steps
        if len(given) != plan.steps:
            raise ValueError(f"guidance: got {len(given)} numbers; allowed: one, or {plan.steps}, one for each call")
        dx, dr = plan.estimates.unbind(1)
        inverse = _turned(plan) if self.keep_noise else 1 / dr
        known = torch.isfinite(dx) & torch.isfinite(inverse.float())
        scales = torch.tensor([1.0 if g is None else g for g in given], dtype=torch.float64)
        scales = scales.reshape(-1, *(1,) * (dx.dim() - 1)).expand_as(dx)
        return torch.stack([scales, *(torch.where(known, v, 0) for v in (dx, dr, inverse))], 1)

    def rule(self, count: int) -> tuple[float, float, float]:
        """(k, fraction, most) of samples with ``count`` elements: the quantile lies so far behind the k-th, from 0."""
        if self.threshold is None or count == 0:
            return 0.0, 0.0, LEAST
        quantile, most = self.threshold
        place = quantile * (count - 1)
        k = min(math.floor(place), count - 1)
        return float(k), place - k, most

    def check(self, x: torch.Tensor) -> None:
        """ShapeError where x has no batch to make pairs of."""
        if self.pairs and x.dim() == 0:
            raise ShapeError("guidance: x_T is 0-d; allowed: [B, ...], of which the network gets [2B, ...]")


class Projected:
    """A projection along a plan, on tensors that autograd may follow. x: a tensor like the state's, which is x - mean."""

    def __init__(self, projection: Projection, plan: Plan, x: torch.Tensor, mean: torch.Tensor | None = None) -> None:
        projection.check(x)
        self.projection, self.mean = projection, mean
        self._rows = plan.placed(lambda: projection.rows(plan), x)
        self.shown: torch.Tensor | None = None
        """x0' of the last call beside which the noise was kept."""

    def __call__(self, i: int, x: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        """What the step takes of call ``i``. x: [B, *S], where the network was asked; raw: [B, *S], of pairs [2B, *S]."""
        outputs = raw.chunk(2) if self.projection.pairs else (raw,)
        return taken(self._rows[i], x, outputs, self._seen if self.projection.clips else None)

    def _seen(self, x0: torch.Tensor) -> torch.Tensor:
        if self.mean is None:
            inside = self._bounded(x0)
        else:  # what is not changed stays as it is, bit for bit
            inside = torch.where((bounded := self._bounded(data := x0 + self.mean)) == data, x0, bounded - self.mean)
        self.shown = inside if self.projection.keep_noise else None
        return inside

    def _bounded(self, x0: torch.Tensor) -> torch.Tensor:
        """x0'."""
        if self.projection.clip is not None:
            return x0.clamp(-self.projection.clip, self.projection.clip)
        sizes = x0.abs().reshape(x0.shape[0] if x0.dim() else 1, -1)
        s = limit(sizes, self.projection.rule(sizes.shape[1])).reshape(x0.shape[:1] + (1,) * (x0.dim() - 1))
        return x0.clamp(-s, s) * (1 / s)


def _turned(plan: Plan) -> torch.Tensor:
    """alpha'/(b0 cr) of every call: what x0 adds to raw where the step is to add alpha' as much to x."""
    names = plan.columns
    if any(plan.draws):
        raise ValueError("keep_noise: got a method that adds noise; allowed: one without, like ddim")
    if plan.steps != plan.grid_steps or any(plan.memory) or not {"a", "b0", "cx", "cr", "cin"}.issuperset(names):
        raise ValueError("keep_noise: got a method with stages or earlier values; allowed: one call a step, like ddim")
    table = plan.table
    return plan.alphas / (table[:, names.index("b0")] * (table[:, names.index("cr")] if "cr" in names else 1))


def taken(
    row: Iterable[torch.Tensor],
    x: torch.Tensor,
    outputs: Sequence[torch.Tensor],
    bounded: Callable[[torch.Tensor], torch.Tensor] | None,
) -> torch.Tensor:
    """raw'. row: g, dx, dr, 1/dr, that broadcast to x; outputs: (raw,) or (u, c), each like x; bounded: x0 -> x0'."""
    g, dx, dr, inverse = row
    raw = outputs[0] if len(outputs) == 1 else outputs[0] + g * (outputs[1] - outputs[0])
    if bounded is None:
        return raw
    x0 = dx * x + dr * raw
    return raw + inverse * (bounded(x0) - x0)


def limit(sizes: torch.Tensor, rule: Sequence[float]) -> torch.Tensor:
    """The dynamic threshold of every sample, [B]. sizes: |x0|, [B, n], n >= 1."""
    k, fraction, most = rule
    low, high = (sizes.kthvalue(min(int(k) + i, sizes.shape[1]), dim=1).values for i in (1, 2))
    return (low + fraction * (high - low)).clamp(LEAST, most)


# What a caller may pass


def projection(
    guidance: Any = None, clip: Any = None, threshold: Any = None, keep_noise: Any = False
) -> Projection | None:
    """The projection that is wanted; None: none. TypeError or ValueError: the message has what is allowed."""
    if clip is not None and threshold is not None:
        raise ValueError("clip and threshold: got both; allowed: one of them")
    if not isinstance(keep_noise, bool):
        raise TypeError(f"keep_noise: got {keep_noise!r}; allowed: True, False")
    if keep_noise and clip is None and threshold is None:
        raise ValueError("keep_noise: got True; allowed with clip or threshold")
    if guidance is None and clip is None and threshold is None:
        return None
    return Projection(_scales(guidance), _bound(clip), _threshold(threshold), keep_noise)


def _scales(guidance: Any) -> float | tuple[float, ...] | None:
    """A number, or one for each call of the network."""
    if guidance is None:
        return None
    listed = guidance.tolist() if hasattr(guidance, "tolist") else guidance
    if isinstance(listed, Sequence) and not isinstance(listed, (str, bytes)):
        return tuple(_number(f"guidance[{i}]", g, "a finite number") for i, g in enumerate(listed))
    return _number("guidance", listed, "a finite number, or one for each call of the network")


def _bound(clip: Any) -> float | None:
    allowed = "a finite bound above 0"
    bound = None if clip is None else _number("clip", clip, allowed)
    if bound is not None and bound <= 0:
        raise ValueError(f"clip: got {clip!r}; allowed: {allowed}")
    return bound


def _threshold(threshold: Any) -> tuple[float, float] | None:
    """(quantile, most)."""
    if threshold is None:
        return None
    if not isinstance(threshold, Sequence) or isinstance(threshold, (str, bytes)) or len(threshold) != 2:
        raise TypeError(f"threshold: got {threshold!r}; allowed: a pair (quantile, most), e.g. (0.995, 1.5)")
    quantile = _number("threshold: quantile", threshold[0], "a number from 0 to 1")
    most = _number("threshold: most", threshold[1], "a number from 1, or infinity", math.inf)
    if not 0 <= quantile <= 1:
        raise ValueError(f"threshold: quantile: got {quantile!r}; allowed: a number from 0 to 1")
    if most < LEAST:
        raise ValueError(f"threshold: most: got {most!r}; allowed: a number from 1, or infinity")
    return quantile, most


def _number(name: str, value: Any, allowed: str, largest: float = math.nan) -> float:
    """A finite real number, or ``largest``."""
    if isinstance(value, bool) or not isinstance(value, RealNumber):
        raise TypeError(f"{name}: got {value!r} ({type(value).__name__}); allowed: {allowed}")
    number = float(value)
    if not math.isfinite(number) and number != largest:
        raise ValueError(f"{name}: got {value!r}; allowed: {allowed}")
    return number


__all__ = ["Projected", "Projection", "limit", "projection", "taken"]
