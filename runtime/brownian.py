"""Brownian paths without a state: functions of (seed, sample, element, time), the same for any steps, batch and device.

W is a Brownian motion on a clock, W(s, t) its increment, of variance t - s, Z(s, t) the integral of W(s, u) over u
from s to t: a virtual Brownian tree (Gaines and Lyons 1997) on pairs, whose law is that of Foster, Lyons and Oberhauser
(2020, DOI 10.1137/19M1261912). A node is a dyadic part of the interval, of length h, and holds two integers:
w = W and g = 2 Z / h - W, which are independent, of variances h and h / 3. Its halves have

    w1 = w / 2 + 3 g / 4 + e,  w2 = w - w1,  g1 + g2 = r = 2 g - (w1 - w2),  g1 = r / 2 + d,

e and d independent normals of variances h / 16 and h / 12: numbers of :mod:`runtime.philox` whose draw and stream say
which node it is. Everything is rounded to the lattice of a quantum, 2^-44 to 2^-43 sqrt(interval), before it is used,
so sums are exact in int64 and in float64. A time within one of the 2^levels ticks is one more node with unequal parts.

``brownian.h`` and ``brownian_triton.py`` are the same algorithm for fused steps, and give the same integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from runtime import philox

LEVELS = 48
"""The most levels that there are."""
STREAM = 1 << 30
"""Of the counter's stream: set for all noise of paths; SECOND for d; the lower bits are the node's upper ones."""
SECOND = 1 << 29
_SHIFT = 14
"""A number of 2^-24 times a scale is this many bits, and one for every two levels, to the left of the lattice."""
_COARSE = {torch.float64: 0, torch.float32: 24}
"""What is left out of W so that its sums are exact."""
_WORD = (1 << 32) - 1
_MOST = 1 << 21
"""Numbers that are drawn at once."""

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Point:
    """A time: ticks from the start, and where in the tick (0: at its start), with what the tick's last node needs.

    x = part w + bulge g + width n,  y = pull (g - (x - part w)) + spread n', rounded to quanta: (w, g) of the first part.
    """

    tick: int
    part: float
    bulge: float
    width: float
    pull: float
    spread: float


@dataclass(frozen=True, slots=True)
class _Walk:
    """From a node towards a time: its nodes, and which of them the sum takes its near half of. Then: the rest."""

    nodes: list[int]
    taken: list[bool]
    whole: bool
    point: Point | None
    length: float


class Brownian:
    """A path for every element of every sample. interval: of the clock; levels: 2^levels ticks, up to 48.

    The law is exact where no two times that are used lie in one tick. seed: 64 bits, an int or an int64 tensor.
    dtype: in which sums are exact; float32 rounds W to multiples of 2^-20 to 2^-19 sqrt(interval), float64 of 2^24
    times less. ValueError, TypeError: what is out of range.
    """

    def __init__(
        self,
        seed: int | torch.Tensor,
        interval: tuple[float, float] = (0.0, 1.0),
        levels: int = 32,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        start, stop = interval
        if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
            raise ValueError(f"interval: got {interval}; allowed: a start before its end")
        if not 0 <= levels <= LEVELS:
            raise ValueError(f"levels: got {levels}; allowed: 0 to {LEVELS}")
        if dtype not in _COARSE:
            raise TypeError(f"dtype: got {dtype}; allowed: float64, float32")
        if not isinstance(seed, torch.Tensor) and not -(1 << 63) <= seed < 1 << 64:
            raise ValueError(f"seed: got {seed}; allowed: 64 bits")
        self.seed, self.interval, self.levels, self.dtype = seed, (start, stop), levels, dtype
        self._start, self._length = Fraction(start), Fraction(stop) - Fraction(start)
        self.quantum = 2.0 ** (-(-math.frexp(float(self._length))[1] // 2) - 44)
        self.tick = float(self._length / 2**levels)
        variance = self._length / Fraction(self.quantum) ** 2
        self.scales = tuple(_root(variance / (d << p << 20)) for d in (16, 12) for p in (0, 1))
        """Deviations of e at even and at odd levels, and of d, in 2^10 quanta, without a factor 2^-(level // 2)."""

    def increment(self, a: float, b: float, like: torch.Tensor, samples: int | torch.Tensor = 0) -> torch.Tensor:
        """W(a, b) as ``like`` [B, ...], of variance b - a. samples: index of the first, or of each, an int64 tensor [B].

        ValueError: times outside of the interval, not in order, or in one tick.
        """
        return self._exact(a, b, like, samples)[0].to(like.dtype)

    def normals(self, a: float, b: float, like: torch.Tensor, samples: int | torch.Tensor = 0) -> torch.Tensor:
        """W(a, b) / sqrt(b - a)."""
        return (self._exact(a, b, like, samples)[0] / math.sqrt(b - a)).to(like.dtype)

    def joint(self, a: float, b: float, like: torch.Tensor, samples: int | torch.Tensor = 0) -> Pair:
        """(W(a, b), Z(a, b)) as ``like``; Z(a, c) = Z(a, b) + Z(b, c) + (c - b) W(a, b) up to rounding."""
        w, area = self._exact(a, b, like, samples)
        return w.to(like.dtype), (area * (self.quantum * self.tick)).to(like.dtype)

    def nodes(self, a: float, b: float) -> int:
        """How many nodes W(a, b) takes; each draws two numbers of every element."""
        return len(self._route(self.point(a), self.point(b))[1])

    def point(self, t: float) -> Point:
        """The tick of a time, by exact arithmetic."""
        if not self.interval[0] <= t <= self.interval[1]:
            raise ValueError(f"time: got {t}; allowed: {self.interval[0]} to {self.interval[1]}")
        ticks = (Fraction(t) - self._start) * 2**self.levels / self._length
        part = float(ticks - math.floor(ticks))
        tick, part = (math.floor(ticks), part) if part < 1 else (math.floor(ticks) + 1, 0.0)
        rest, middle = 1 - part, 1 - 3 * part * (1 - part)
        step = math.sqrt(self.tick) / self.quantum
        width, spread = math.sqrt(part * rest * middle), math.sqrt(part * rest**3 / (3 * middle))
        return Point(tick, part, 3 * part * rest, width * step, part * part / middle, spread * step)

    def quanta(
        self, a: float, b: float, like: torch.Tensor, samples: int | torch.Tensor = 0
    ) -> tuple[torch.Tensor, ...]:
        """W of (start, a) and of (start, b) in quanta, int64, and Z(a, b) in quanta times ticks, float64."""
        seed = None if isinstance(self.seed, torch.Tensor) else self.seed - (1 << 64) * (self.seed >> 63 == 1)
        tensors = [value if isinstance(value, torch.Tensor) else None for value in (self.seed, samples)]
        first = 0 if isinstance(samples, torch.Tensor) else samples
        times = [*map(float, self.interval), float(a), float(b)]
        found = torch.ops.phiforge.brownian(like, [seed or 0, first, self.levels], tensors, times)
        return found[0][0], found[0][1], found[1]

    def _quanta(
        self, a: float, b: float, like: torch.Tensor, samples: int | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        s, t = self.point(a), self.point(b)
        common, nodes, walks = self._route(s, t)
        draws = self._draws(nodes, like.shape, like.device, samples)
        e, d = next(draws)
        piece, base = (_scaled(e, self.scales[0], _SHIFT - 2), _scaled(d, self.scales[2], _SHIFT - 1)), e * 0
        for level in range(common):
            left, right = self._halves(piece, level, draws)
            later = s.tick >> self.levels - level - 1 & 1
            base, piece = (base + left[0], right) if later else (base, left)
        if not walks:
            return base, base + piece[0], self._area(piece, common)
        if len(walks) == 1:
            w, z = self._along(piece, common, walks[0], draws, s.part > 0)
            return (base + piece[0] - w, base + piece[0], z) if s.part else (base, base + w, z)
        left, right = self._halves(piece, common, draws)
        w0, z0 = self._along(left, common + 1, walks[0], draws, True)
        w1, z1 = self._along(right, common + 1, walks[1], draws, False)
        middle = base + left[0]
        return middle - w0, middle + w1, (z0 + z1) + w0.double() * walks[1].length

    def _exact(self, a: float, b: float, like: torch.Tensor, samples: int | torch.Tensor) -> Pair:
        """W(a, b) in the type of sums, Z(a, b) in quanta times ticks."""
        first, last, area = self.quanta(a, b, like, samples)
        bits = _COARSE[self.dtype]
        half = 1 << bits >> 1
        number = (last + half >> bits) - (first + half >> bits)
        return number.to(self.dtype) * (self.quantum * (1 << bits)), area

    def _route(self, s: Point, t: Point) -> tuple[int, list[int], tuple[_Walk, ...]]:
        """(level of the least node that holds both times, nodes in the order of their use, ways from its middle)."""
        last = t.tick if t.part else t.tick - 1
        size = (s.tick ^ last).bit_length() if s.tick <= last else 0
        common, at = self.levels - size, s.tick >> size
        path = [0, *(1 << k | s.tick >> self.levels - k for k in range(common))]
        if not (s.part or t.part) and s.tick == at << size and t.tick == at + 1 << size:
            return common, path, ()
        if not size and s.tick <= last and not (s.part and t.part):
            walk = self._walk(common, at, 0, s if s.part else t, s.part > 0)
            return common, [*path, *walk.nodes], (walk,)
        if not size:
            raise ValueError(
                f"times: got both in tick {s.tick} of {self.tick:.3g}; allowed: a before b, or more levels"
            )
        middle = 2 * at + 1 << size - 1
        before = self._walk(common + 1, 2 * at, middle - s.tick - (s.part > 0), s, True)
        after = self._walk(common + 1, 2 * at + 1, t.tick - middle, t, False)
        return common, [*path, 1 << common | at, *before.nodes, *after.nodes], (before, after)

    def _walk(self, level: int, at: int, full: int, point: Point, back: bool) -> _Walk:
        """From a node's start, or back from its end, over ``full`` ticks and the part of one to a point."""
        length = full + (1 - point.part if back and point.part else point.part)
        nodes, taken, whole = [], [], full == 1 << self.levels - level
        while not whole and (full or point.part):
            nodes.append(1 << level | at)
            if level == self.levels:
                break
            level += 1
            taken.append(full >> self.levels - level > 0)
            at = 2 * at + (back ^ taken[-1])
            full -= taken[-1] << self.levels - level
        return _Walk(nodes, taken, whole, point if point.part else None, length)

    def _along(self, piece: Pair, level: int, walk: _Walk, draws: Iterator[Pair], back: bool) -> Pair:
        """The sum of a walk's pieces: W in quanta, Z in quanta times ticks."""
        if walk.whole:
            return piece[0], self._area(piece, level)
        total, length = (piece[0] * 0, piece[0].double() * 0), 0.0
        for taken in walk.taken:
            near, piece = self._halves(piece, level, draws)[:: -1 if back else 1]
            level += 1
            if not taken:
                near, piece = piece, near
            else:
                size = 2.0 ** (self.levels - level)
                total = _joined(total, length, (near[0], self._area(near, level)), size, back)
                length += size
        if walk.point:
            p, w, z = walk.point, *self._inner(piece, walk.point, draws)
            if back:
                rest = 1 - p.part
                w, z = piece[0] - w, (self._area(piece, self.levels) - z) - w.double() * rest
            total = _joined(total, length, (w, z), p.part, back)
        return total

    def _halves(self, piece: Pair, level: int, draws: Iterator[Pair]) -> tuple[Pair, Pair]:
        """A node's halves."""
        (w, g), (e, d), odd, shift = piece, next(draws), level % 2, _SHIFT + level // 2
        w1 = (2 * w + 3 * g + 2 >> 2) + _scaled(e, self.scales[odd], shift)
        w2 = w - w1
        r = 2 * g - (w1 - w2)
        g1 = (r >> 1) + _scaled(d, self.scales[2 + odd], shift)
        return (w1, g1), (w2, r - g1)

    def _inner(self, piece: Pair, p: Point, draws: Iterator[Pair]) -> Pair:
        """W and Z of a tick's first part."""
        w, g = (number.double() for number in piece)
        e, d = (number.double() * 2.0**-24 for number in next(draws))
        x = _whole((w * p.part + g * p.bulge) + e * p.width)
        y = _whole((g - (x.double() - w * p.part)) * p.pull + d * p.spread)
        return x, (x + y).double() * (0.5 * p.part)

    def _area(self, piece: Pair, level: int) -> torch.Tensor:
        """Z of a node, in quanta times ticks."""
        return (piece[0] + piece[1]).double() * (0.5 * 2.0 ** (self.levels - level))

    def _draws(
        self, nodes: Sequence[int], shape: torch.Size, device: torch.device, samples: int | torch.Tensor
    ) -> Iterator[Pair]:
        """For each node the numbers of e and d, in units of 2^-24, int64 of the shape."""
        if not shape:
            raise ValueError("like: got shape (); allowed: [B, ...], a batch first")
        batch, size = shape[0], math.prod(shape[1:])
        group = torch.arange(-(-size // 4), device=device)
        index = torch.as_tensor(samples, device=device)
        if index.ndim and index.shape != shape[:1]:
            raise ValueError(f"samples: got shape {tuple(index.shape)}; allowed: one number, or [{batch}]")
        sample = (index if index.ndim else torch.arange(batch, device=device) + index)[:, None] & _WORD
        most = max(1, _MOST // max(1, 2 * batch * size))
        for start in range(0, len(nodes), most):
            heap = torch.tensor(nodes[start : start + most], device=device)[:, None, None]
            kinds = torch.tensor([STREAM, STREAM | SECOND], device=device)[:, None, None, None]
            at = philox.counter(group, sample, heap & _WORD, heap >> 32 | kinds)
            four = philox._four(at, self.seed, torch.float32)
            found = _whole(four.reshape(2, len(heap), batch, -1)[..., :size] * 2.0**24)
            yield from zip(*found.reshape(2, len(heap), *shape))


def _joined(total: Pair, length: float, piece: Pair, size: float, back: bool) -> Pair:
    """A sum and the next piece: W adds up; Z, too, with the later part times W of the one before."""
    (w, z), (u, v) = total, piece
    return w + u, (z + v) + (u.double() * length if back else w.double() * size)


def _scaled(number: torch.Tensor, scale: int, shift: int) -> torch.Tensor:
    """A product, rounded."""
    return number * scale + (1 << shift - 1) >> shift


def _whole(number: torch.Tensor) -> torch.Tensor:
    """To the nearest integer, a half away from zero."""
    return (number + torch.where(number < 0, -0.5, 0.5)).to(torch.int64)


def _root(square: Fraction) -> int:
    """The integer next to a square root."""
    return math.isqrt(4 * square.numerator // square.denominator) + 1 >> 1


def _brownian(
    like: torch.Tensor, numbers: Sequence[int], tensors: Sequence[torch.Tensor | None], times: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """numbers: seed, sample, levels, the first two also as tensors; times: the interval, a, b. One operator: see philox."""
    seed, samples = (n if tensor is None else tensor for n, tensor in zip(numbers, tensors))
    start, stop, a, b = times
    first, last, area = Brownian(seed, (start, stop), numbers[2])._quanta(a, b, like, samples)
    return torch.stack((first, last)), area


def _fake(like: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return like.new_empty((2, *like.shape), dtype=torch.int64), like.new_empty(like.shape, dtype=torch.float64)


_LIBRARY = torch.library.Library("phiforge", "FRAGMENT")
_LIBRARY.define("brownian(Tensor like, int[] numbers, Tensor?[] tensors, float[] times) -> (Tensor, Tensor)")
_LIBRARY.impl("brownian", _brownian, "CompositeExplicitAutograd")
torch.library.register_fake("phiforge::brownian", _fake, lib=_LIBRARY)

__all__ = ["Brownian", "Point"]
