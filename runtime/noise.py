"""Where a stochastic solver's normals come from: a function of the network's call and of what they are to be like.

Without a word from the caller they are those of :mod:`runtime.philox`, with a seed drawn from torch's generator: functions
of (seed, sample, element, call), the same for every batch, device and backend. A caller may give a seed, tensors, or a
function of his own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from runtime import checks, philox

Source = Callable[[int, torch.Tensor], torch.Tensor]
"""(call of the network, tensor) -> independent standard normals of the tensor's shape, dtype and device."""


@dataclass(frozen=True, slots=True)
class Philox:
    """Counter-based normals. seed: 64 bits; first: the number of the batch's first sample, of all that this seed makes.

    Sample k of ``Philox(seed)`` is sample 0 of ``Philox(seed, first=k)``.
    """

    seed: int
    first: int = 0

    def __call__(self, call: int, like: torch.Tensor) -> torch.Tensor:
        """[B, *S], or 0-d: that of a batch of one."""
        shape = tuple(like.shape) or (1,)
        found = philox.normals(self.seed, self.first, shape, call, like.dtype, like.device)
        return found if like.dim() else found[0]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The normals of one call, not yet made: a fused step makes them in registers. Fields: those of :class:`Philox`, and
    the number of the call.
    """

    seed: int
    first: int
    call: int

    def __call__(self, like: torch.Tensor) -> torch.Tensor:
        """As a tensor of that shape, dtype and device."""
        return Philox(self.seed, self.first)(self.call, like)

    def numbers(self, like: torch.Tensor) -> tuple[int, int, int, int]:
        """What a kernel is told: seed (64 bits with a sign), first, call, and how many elements of ``like`` are a sample."""
        each = like[0].numel() if like.dim() and len(like) else like.numel()
        return signed(self.seed), self.first, self.call, max(each, 1)


@dataclass(frozen=True, slots=True)
class Given:
    """The caller's tensors: one for each call that draws, in their order."""

    tensors: Sequence[torch.Tensor]
    places: tuple[int | None, ...]
    """By call, which of them."""

    def __call__(self, call: int, like: torch.Tensor) -> torch.Tensor:
        place = self.places[call]
        assert place is not None
        return checks.same_shape(self.tensors[place], like, f"noise[{place}]").to(like.device, like.dtype)


def source(
    draws: Sequence[bool], noise: Any = None, seed: int | None = None, generator: torch.Generator | None = None
) -> Source | None:
    """Where the normals of a solve come from; None where no call draws.

    draws: by call, whether it does. noise: a function (call, like) -> normals; a sequence of tensors [B, *S], or one
    [K, B, *S], one for each call that draws; None. seed: of :class:`Philox`; generator: where one is drawn from. TypeError,
    ValueError: two of them are given, noise of another number, noise for a solver that draws none.
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: got {type(generator).__name__}; allowed: torch.Generator or None")
    if seed is not None and (checks.integer(seed) is None or not -(1 << 63) <= seed < 1 << 64):
        raise ValueError(f"seed: got {seed!r}; allowed: an integer of 64 bits")
    if not any(draws):
        if noise is not None:
            raise TypeError(f"noise: got {type(noise).__name__}; this solver is deterministic and draws none")
        return None
    if sum(given is not None for given in (noise, seed, generator)) > 1:
        raise TypeError("got more than one of noise, seed, generator; allowed: one of them says what the noise is")
    if noise is None:
        return Philox(drawn(generator) if seed is None else seed)
    if isinstance(noise, Philox):
        return noise
    if callable(noise):
        return _checked(noise)
    if not isinstance(noise, Iterable):
        raise TypeError(f"noise: got {type(noise).__name__}; allowed: a function (call, like), or tensors")
    tensors = [noise] if isinstance(noise, torch.Tensor) and not noise.dim() else list(noise)
    count = sum(draws)
    if len(tensors) != count or not all(isinstance(t, torch.Tensor) for t in tensors):
        raise ValueError(f"noise: got {len(tensors)} entries; allowed: {count} tensors, one for each call that draws")
    places, place = [], 0
    for does in draws:
        places.append(place if does else None)
        place += does
    return Given(tensors, tuple(places))


def counter_based(draws: Sequence[bool], seed: int | None = None, first: int = 0) -> Philox | None:
    """The normals of a seed, None: of one from torch's generator; None where no call draws. first: as in :class:`Philox`."""
    if checks.integer(first) is None or not 0 <= first < 1 << 32:
        raise ValueError(f"first: got {first!r}; allowed: the number of a sample, below 2^32")
    found = source(draws, seed=seed)
    return Philox(found.seed, first) if isinstance(found, Philox) else None


def drawn(generator: torch.Generator | None = None) -> int:
    """A seed from the generator (None: torch's own)."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(1 << 62, (), generator=generator, device=device))


def signed(seed: int) -> int:
    """The same 64 bits as int64 has them."""
    return seed - (1 << 64) if seed >= 1 << 63 else seed


def _checked(function: Callable[[int, torch.Tensor], Any]) -> Source:
    def normals(call: int, like: torch.Tensor) -> torch.Tensor:
        found = function(call, like)
        return checks.same_shape(found, like, f"noise of call {call}").to(like.device, like.dtype)

    return normals


__all__ = ["Drawn", "Given", "Philox", "Source", "counter_based", "drawn", "signed", "source"]
