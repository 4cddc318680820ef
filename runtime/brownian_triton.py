"""Brownian paths in Triton: the functions of ``brownian.h`` for kernels, and the same integers.

:mod:`runtime.brownian` says what they are. Kernels are compiled as :mod:`runtime.philox_triton` says. Times are scalars,
the same for a block: their float64 numbers are loaded, since an argument of a kernel would be float32.

Imported when a kernel is asked for, never before: it needs triton.
"""

from __future__ import annotations

import triton
import triton.language as tl

from runtime.philox_triton import block, normal

STREAM: tl.constexpr = tl.constexpr(1 << 30)
SECOND: tl.constexpr = tl.constexpr(1 << 29)
SHIFT: tl.constexpr = tl.constexpr(14)


@triton.jit
def increment(
    seed, sample, at, levels, e0, e1, d0, d1, s, s0, s1, s2, s3, s4, t, t0, t1, t2, t3, t4, GROUPS: tl.constexpr
):
    """W up to the first time and up to the last, in quanta, int64; Z between them, in quanta times ticks, float64.

    at: elements of the sample, or groups of four that follow one another (GROUPS). levels, e0 .. d1: Brownian's, int64.
    s, s0 .. s4: Brownian.point of the first time, int64 and float64; t, t0 .. t4: of the last.
    """
    last = t - (t0 == 0).to(tl.int64)
    height = levels * 0
    differ = s ^ last
    while differ > 0:
        differ = differ >> 1
        height += 1
    common = levels - height
    node = s >> height
    w = _scaled(_drawn(seed, sample, at, levels * 0, 0, GROUPS), e0, SHIFT - 2)
    g = _scaled(_drawn(seed, sample, at, levels * 0, SECOND, GROUPS), d0, SHIFT - 1)
    base = w * 0
    for level in range(common):
        later = (s >> (levels - level - 1)) & 1
        w, g, u, _v = _halved(seed, sample, at, level, s >> (levels - level), later, w, g, e0, e1, d0, d1, GROUPS)
        base += u * later
    start, ticks = node << height, _one(height) << height
    whole = (s == start) & (s0 == 0) & (t == start + ticks) & (t0 == 0)
    inside = (height == 0) & (s0 > 0)
    # one part: all of the node, or a tick's first or last; else two, from the middle
    one = whole | (height == 0)
    w1, g1, w2, g2 = w, g, w, g
    if not one:
        w1, g1, w2, g2 = _halved(seed, sample, at, common, node, levels * 0, w, g, e0, e1, d0, d1, GROUPS)
    below = common + 1 - one.to(tl.int64)
    half = tl.where(one, 0, ticks >> 1)
    back = tl.where(one, 0, start + half - s - (s0 > 0).to(tl.int64))
    x, zx = _along(
        seed, sample, at, levels, below, tl.where(one, node, 2 * node), back, s0, s1, s2, s3, s4, w1, g1, e0, e1, d0, d1,
        1, GROUPS,
    )  # fmt: skip
    full = tl.where(one, tl.where(whole, ticks, 0), t - start - half)
    y, zy = _along(
        seed, sample, at, levels, below, tl.where(one, node, 2 * node + 1), full, t0, t1, t2, t3, t4, w2, g2, e0, e1, d0,
        d1, 0, GROUPS,
    )  # fmt: skip
    length = full.to(tl.float64) + t0
    two = (zx + zy) + x.to(tl.float64) * length
    area = tl.where(one, tl.where(inside, zx, zy), two)
    first = tl.where(one, tl.where(inside, w - x, 0), w1 - x)
    second = tl.where(one, tl.where(inside, w, y), w1 + y)
    return base + first, base + second, area


@triton.jit
def _along(
    seed, sample, at, levels, level, node, full, part, bulge, width, pull, spread, w, g, e0, e1, d0, d1,
    BACK: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """W and Z from a node's start, or back from its end, over ``full`` ticks and the part of one to the point."""
    total = w * 0
    z = total.to(tl.float64)
    length = part * 0
    if full == _one(levels) << (levels - level):
        total = w
        z = _area(w, g, full.to(tl.float64))
        full = full * 0
    while (level < levels) & ((full > 0) | (part > 0)):
        half = _one(levels) << (levels - level - 1)
        taken = (full >= half).to(tl.int64)
        w, g, u, v = _halved(seed, sample, at, level, node, taken ^ BACK, w, g, e0, e1, d0, d1, GROUPS)
        level += 1
        node = 2 * node + (taken ^ BACK)
        ticks = half.to(tl.float64)
        first = u if BACK else total
        joined = (z + _area(u, v, ticks)) + first.to(tl.float64) * (length if BACK else ticks)
        z = tl.where(taken > 0, joined, z)
        total += u * taken
        length += ticks * taken.to(tl.float64)
        full -= half * taken
    if part > 0:
        heap = (_one(levels) << level) | node
        n = _drawn(seed, sample, at, heap, 0, GROUPS).to(tl.float64) * 2.0**-24
        m = _drawn(seed, sample, at, heap, SECOND, GROUPS).to(tl.float64) * 2.0**-24
        wide, deep = w.to(tl.float64), g.to(tl.float64)
        x = _whole((wide * part + deep * bulge) + n * width)
        y = _whole((deep - (x.to(tl.float64) - wide * part)) * pull + m * spread)
        here = _area(x, y, part)
        if BACK:
            here = (_area(w, g, part * 0 + 1) - here) - x.to(tl.float64) * (1 - part)
            x = w - x
            z = (z + here) + x.to(tl.float64) * length
        else:
            z = (z + here) + total.to(tl.float64) * part
        total += x
    return total, z


@triton.jit
def _halved(seed, sample, at, level, node, later, w, g, e0, e1, d0, d1, GROUPS: tl.constexpr):
    """(w, g) of a node's first half and of its second, or the other way round (later: 1)."""
    heap = (_one(node) << level) | node
    odd, shift = level & 1, SHIFT + (level >> 1)
    e = _scaled(_drawn(seed, sample, at, heap, 0, GROUPS), tl.where(odd > 0, e1, e0), shift)
    d = _scaled(_drawn(seed, sample, at, heap, SECOND, GROUPS), tl.where(odd > 0, d1, d0), shift)
    w1 = ((2 * w + 3 * g + 2) >> 2) + e
    w2 = w - w1
    r = 2 * g - (w1 - w2)
    g1 = (r >> 1) + d
    g2 = r - g1
    swap = later > 0
    return tl.where(swap, w2, w1), tl.where(swap, g2, g1), tl.where(swap, w1, w2), tl.where(swap, g1, g2)


@triton.jit
def _drawn(seed, sample, at, heap, KIND: tl.constexpr, GROUPS: tl.constexpr):
    """The numbers of a node, in units of 2^-24, int64."""
    stream = (heap >> 32) | STREAM | KIND
    if GROUPS:
        n = block(seed, sample, at, heap, stream, tl.float32)
    else:
        n = normal(seed, sample, at, heap, stream, tl.float32)
    return _whole(n * 16777216.0)


@triton.jit
def _whole(number):
    """To the nearest integer, a half away from zero."""
    return (number + tl.where(number < 0, -0.5, 0.5).to(number.dtype)).to(tl.int64)


@triton.jit
def _scaled(number, scale, shift):
    """A product, rounded."""
    return (number * scale + (_one(scale) << (shift - 1))) >> shift


@triton.jit
def _area(w, g, ticks):
    """Z of a node, in quanta times ticks."""
    return (w + g).to(tl.float64) * (0.5 * ticks)


@triton.jit
def _one(like):
    """1, int64."""
    return like * 0 + 1


__all__ = ["increment"]
