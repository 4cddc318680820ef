"""What every fused step has in common in Triton: its loads and stores, and the row that says what a call does.

``step_triton.py`` of a solver holds its phases alone, written with the functions below, and ``step`` is the kernel of all
solvers. Slots: 0 the state's, 1 + j that of entry j of the memory. Storage: float32, float64; float16 and bfloat16, with
arithmetic in float32, where a state is two numbers: its value, which the network reads, and the low part that it has lost.

Imported when a kernel is asked for, never before: it needs triton.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from runtime import philox_triton


class Noise(NamedTuple):
    """Which normals a block takes: the seed, its sample and the draw; where the sample and the block begin."""

    seed: Any
    sample: Any
    draw: Any
    begin: Any
    first: Any


class Block(NamedTuple):
    """What a phase is given: the buffers, the row of its step, and which elements are this block's.

    places: where a slot begins; row: the coefficients; i: the elements, from a multiple of 64 on in a full block; inside:
    which of them there are, None for all.
    net, twin: where the network reads x' times ``scale``; None where it does not, as ``low`` is where nothing is lost.
    other: the second half of a pair, None without guidance; guide: (g, dx, dr, 1/dr) of the call; limits: (bound, factor) of
    the sample, None where x0 has no bound. Where all three are None the network's output is taken as it is.
    noise: a ``Noise``, None where no phase draws.
    """

    state: Any
    low: Any
    raw: Any
    other: Any
    guide: Any
    limits: Any
    net: Any
    twin: Any
    places: Any
    row: Any
    scale: Any
    i: Any
    inside: Any
    noise: Any


@triton.jit
def coefficient(block, column):
    """A number of the row."""
    return tl.load(block.row + column)


@triton.jit
def load_raw(block):
    """The network's output, projected as :mod:`runtime.projection` says; the last that a phase loads.

    A load stays before a barrier, so all are in flight when the first is waited for. Data take longer than the threads of a
    block to meet.
    """
    raw = _load(block, block.raw)
    if block.other is not None:
        other = _load(block, block.other)
    if block.limits is not None:
        x = load_state(block, 0)
    if block.inside is None:
        tl.debug_barrier()
    if block.other is not None:
        raw = guided(block, raw, other)
    if block.limits is not None:
        x0 = estimate(block, raw, x)
        s, factor, inverse = tl.load(block.limits), tl.load(block.limits + 1), tl.load(block.guide + 3)
        within = tl.where(x0 < -s, -s, tl.where(x0 > s, s, x0))
        raw = raw + inverse * (within * factor - x0)
    return raw


@triton.jit
def guided(block, raw, other):
    """Of a pair: u + g (c - u)."""
    return raw + tl.load(block.guide) * (other - raw)


@triton.jit
def estimate(block, raw, x):
    """x0."""
    return tl.load(block.guide + 1) * x + tl.load(block.guide + 2) * raw


@triton.jit
def load(block, slot):
    """An integrand."""
    return _load(block, block.state + block.places[slot])


@triton.jit
def load_state(block, slot):
    """A state: with what its type has lost."""
    place = block.places[slot]
    value = _load(block, block.state + place)
    if block.low is not None:
        value += _load(block, block.low + place)
    return value


@triton.jit
def normals(block):
    """Standard normals, made in registers: of a full block those of the elements that a thread has, 2, 4 or 8, at once."""
    noise = block.noise
    kind: tl.constexpr = block.row.dtype.element_ty
    COUNT: tl.constexpr = block.i.shape[0]
    if block.inside is not None:
        return philox_triton.normal(noise.seed, noise.sample, block.i - noise.begin, noise.draw, 0, kind)
    elif kind == tl.float64:
        pair = (noise.first - noise.begin) // 2 + tl.arange(0, COUNT // 2)
        return philox_triton.pairs(noise.seed, noise.sample, pair, noise.draw, 0, kind)
    elif block.low is not None:
        eight = (noise.first - noise.begin) // 8 + tl.arange(0, COUNT // 8)
        return philox_triton.eights(noise.seed, noise.sample, eight, noise.draw, 0, kind)
    else:
        group = (noise.first - noise.begin) // 4 + tl.arange(0, COUNT // 4)
        return philox_triton.block(noise.seed, noise.sample, group, noise.draw, 0, kind)


@triton.jit
def store(block, slot, value):
    """An integrand."""
    _store(block, block.state + block.places[slot], value)


@triton.jit
def store_state(block, slot, value):
    """A state, and what its type loses."""
    place = block.places[slot]
    _store(block, block.state + place, value)
    if block.low is not None:
        high = value.to(block.state.dtype.element_ty).to(value.dtype)
        _store(block, block.low + place, value - high)


@triton.jit
def store_next(block, slot, value):
    """x', and what the network reads of it."""
    store_state(block, slot, value)
    if block.net is not None:
        _store(block, block.net, value * block.scale)
    if block.twin is not None:
        _store(block, block.twin, value * block.scale)


@triton.jit
def _places(slots, stride, RING: tl.constexpr):
    """Where the slots begin. All are read before a phase is: so the addresses of its loads are known together, and no store
    waits until the slot of the next is read, which it might have changed.
    """
    places = (_place(slots, stride),)
    for j in tl.static_range(RING):
        places = places + (_place(slots + 1 + j, stride),)  # type: ignore[assignment]
    return places


@triton.jit
def _place(slot, stride):
    """Slots are not negative: a product with a number without a sign is fewer instructions."""
    return tl.multiple_of(tl.load(slot).to(tl.uint32).to(tl.int64) * stride, 64)


@triton.jit
def _load(block, place):
    """In the type of the coefficients. Not read again before the next call, so the cache may drop it first."""
    value = tl.load(place + block.i, block.inside, eviction_policy="evict_first")
    return value.to(block.row.dtype.element_ty)


@triton.jit
def _store(block, place, value):
    tl.store(place + block.i, value.to(place.dtype.element_ty), block.inside)


@triton.jit(do_not_specialize=["n", "stride", "rows", "batch", "blocks"])
def step(
    state,
    low,
    raw,
    order,
    table,
    counter,
    times,
    t,
    net,
    twin,
    scales,
    noise,
    other,
    guide,
    limits,
    n: tl.int64,
    stride: tl.int64,
    rows: tl.int64,
    batch: tl.int64,
    blocks: tl.int32,
    PHASES: tl.constexpr,
    RING: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    THREADS: tl.constexpr,
):
    """One call: the step that the counter says, with the phase, the slots and the coefficients of its row.

    Arguments: those of :class:`runtime.engines.Buffers`; twin: the second copy of net; other: the second half of raw; n:
    elements of a sample; ``blocks`` blocks take a sample. After the last step nothing is done. Full blocks begin at
    multiples of 64 elements, so all of their accesses are of 16 bytes; ends of a sample are taken by THREADS elements at a
    time.
    """
    now = tl.load(counter)
    if now < tl.load(counter + 2):
        sample = tl.program_id(0) // blocks
        begin = sample.to(tl.int64) * n
        end = begin + n
        first = tl.multiple_of(begin // 64 * 64 + (tl.program_id(0) % blocks).to(tl.int64) * BLOCK, 64)
        orders = order + now * (2 + RING)
        number, places = tl.load(orders), _places(orders + 1, stride, RING)
        row = table + (sample.to(tl.int64) * rows + now) * COLUMNS
        scale = None
        if net is not None:
            scale = tl.load(scales + sample.to(tl.int64) * (rows + 1) + now + 1)
        if guide is not None:
            guide += (sample.to(tl.int64) * rows + now) * 4
        if limits is not None:
            limits += sample.to(tl.int64) * 2
        whole = (first >= begin) & (first + BLOCK <= end)
        drawn = None
        if noise is not None:
            drawn = Noise(tl.load(noise), tl.load(noise + 1) + sample, now, begin, first)
            whole &= begin % 8 == 0
        every, some = tl.arange(0, BLOCK), tl.arange(0, THREADS)
        if whole:
            PHASES(
                number,
                Block(
                    state, low, raw, other, guide, limits, net, twin, places, row, scale, first + every, None, drawn
                ),
            )  # fmt: skip
        else:
            stop = min(first + BLOCK, end)
            for j in tl.range(max(first, begin), stop, THREADS, num_stages=1):
                inside = j + some < stop
                PHASES(
                    number,
                    Block(
                        state, low, raw, other, guide, limits, net, twin, places, row, scale, j + some, inside, drawn
                    ),
                )  # fmt: skip
        _finish(counter, now, times, t, batch, THREADS)


@triton.jit
def _finish(counter, now, times, t, batch, THREADS: tl.constexpr):
    """The last block to finish moves the counter on and writes the network's next times."""
    tl.debug_barrier()  # every thread of the block has read the step
    if tl.atomic_add(counter + 1, 1) == tl.num_programs(0) - 1:
        i = tl.arange(0, THREADS)
        for j in tl.range(0, batch, THREADS, num_stages=1):
            inside = j + i < batch
            tl.store(t + j + i, tl.load(times + (now + 1) * batch + j + i, inside), inside)
        tl.store(counter + 1, 0)
        tl.store(counter, now + 1)


DIGIT: tl.constexpr = tl.constexpr(8)
"""Bits that a pass of ``select`` finds: a warp counts them by as many ballots."""
BINS: tl.constexpr = tl.constexpr(1 << 8)


@triton.jit(do_not_specialize=["n", "stride", "rows"])
def select(
    state,
    low,
    raw,
    order,
    counter,
    other,
    guide,
    limits,
    rule,
    n: tl.int64,
    stride: tl.int64,
    rows: tl.int64,
    RING: tl.constexpr,
    BLOCK: tl.constexpr,
    THREADS: tl.constexpr,
):
    """The dynamic threshold of every sample, before the step: limits = (s, 1/s), s = min(max(q, 1), most).

    q lies ``fraction`` of the way from the k-th smallest |x0| to the next; rule: (k, fraction, most). A block takes a
    sample. Numbers that are not negative order as their bits do, so both are found digit by digit from the highest: in a
    histogram of a digit over the numbers that begin as the k-th does. Nothing is sorted, and nothing kept.
    """
    REAL: tl.constexpr = guide.dtype.element_ty
    BITS: tl.constexpr = REAL.primitive_bitwidth
    INT: tl.constexpr = tl.int64 if BITS == 64 else tl.int32
    MOST: tl.constexpr = (1 << (BITS - 1)) - 1
    now = tl.load(counter)
    if (now < tl.load(counter + 2)) & (n > 0):
        sample = tl.program_id(0).to(tl.int64)
        begin = sample * n
        end = begin + n
        places, row = _places(order + now * (2 + RING) + 1, stride, 0), guide + (sample * rows + now) * 4
        every, some, bins = tl.arange(0, BLOCK), tl.arange(0, THREADS), tl.arange(0, BINS)
        k = tl.load(rule).to(tl.int32)
        rank, digit, inside = k, k, k
        prefix = k.to(INT) * 0
        above = prefix
        count = tl.full((BINS,), 0, tl.int32)
        for done in tl.range(DIGIT, BITS + 1, DIGIT, num_stages=1):
            shift = BITS - done
            count = tl.full((BINS,), 0, tl.int32)
            least, least_some = tl.full((BLOCK,), MOST, INT), tl.full((THREADS,), MOST, INT)
            for at in tl.range(begin // 64 * 64, end, BLOCK, num_stages=1):
                first = tl.multiple_of(at, 64)
                if (first >= begin) & (first + BLOCK <= end):
                    block = Block(
                        state, low, raw, other, row, limits, None, None, places, row, None, first + every, None, None
                    )  # fmt: skip
                    found, least = _digits(_size(block), prefix, shift, least)
                    count += found
                else:
                    stop = min(first + BLOCK, end)
                    for j in tl.range(max(first, begin), stop, THREADS, num_stages=1):
                        there = j + some < stop
                        block = Block(
                            state, low, raw, other, row, limits, None, None, places, row, None, j + some, there, None
                        )  # fmt: skip
                        found, least_some = _digits(tl.where(there, _size(block), -1), prefix, shift, least_some)
                        count += found
            above = min(tl.min(least), tl.min(least_some))
            digit = tl.sum((tl.cumsum(count) <= rank).to(tl.int32))
            rank -= tl.sum(tl.where(bins < digit, count, 0))
            inside = tl.sum(tl.where(bins == digit, count, 0))
            prefix = (prefix << DIGIT) | digit
        later = tl.min(tl.where((bins > digit) & (count > 0), bins, BINS))
        following = tl.where(later < BINS, prefix - digit + later, above)
        following = tl.where((rank + 1 < inside) | (k + 1 >= n), prefix, following)
        smaller = prefix.to(REAL, bitcast=True)
        q = smaller + tl.load(rule + 1).to(REAL) * (following.to(REAL, bitcast=True) - smaller)
        most = tl.load(rule + 2).to(REAL)
        s = tl.where(q < 1, 1.0, tl.where(q > most, most, q)).to(REAL)
        tl.store(limits + 2 * sample, s)
        tl.store(limits + 2 * sample + 1, _inverse(s))


@triton.jit
def _size(block):
    """The bits of |x0|."""
    x, raw = load_state(block, 0), _load(block, block.raw)
    if block.other is not None:
        raw = guided(block, raw, _load(block, block.other))
    x0 = estimate(block, raw, x)
    if x0.dtype == tl.float64:
        return x0.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF
    else:
        return x0.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def _digits(bits, prefix, shift, least):
    """How often each digit follows the prefix, and the least bits that begin with more than it; -1 is no number."""
    head = bits >> shift >> DIGIT
    digit = (bits >> shift & (BINS - 1)).to(tl.int32)
    return tl.histogram(digit, BINS, mask=head == prefix), tl.minimum(least, tl.where(head > prefix, bits, least))


@triton.jit
def _inverse(s):
    """1/s, rounded to nearest."""
    if s.dtype == tl.float64:
        return 1.0 / s
    else:
        return tl.div_rn(1.0, s)


__all__ = [
    "Block", "coefficient", "estimate", "guided", "load", "load_raw", "load_state", "normals", "select", "step",
    "store", "store_next", "store_state",
]  # fmt: skip
