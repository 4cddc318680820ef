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


class Block(NamedTuple):
    """What a phase is given: the buffers, the row of its step, and which elements are this block's.

    slots: where the slot of every buffer is written; row: the coefficients; first: the first element, a multiple of 64
    in a block that is full; i: elements behind it; inside: which of them there are, None for all.
    net, twin: where the network reads x' times ``scale``; None where it does not, as ``low`` is where nothing is lost.
    """

    state: Any
    low: Any
    raw: Any
    net: Any
    twin: Any
    slots: Any
    row: Any
    scale: Any
    stride: Any
    first: Any
    i: Any
    inside: Any


@triton.jit
def coefficient(block, column):
    """A number of the row."""
    return tl.load(block.row + column)


@triton.jit
def load_raw(block):
    """The network's output."""
    return _load(block, block.raw + block.first)


@triton.jit
def load(block, slot):
    """An integrand."""
    return _load(block, block.state + _place(block, slot))


@triton.jit
def load_state(block, slot):
    """A state: with what its type has lost."""
    place = _place(block, slot)
    value = _load(block, block.state + place)
    if block.low is not None:
        value += _load(block, block.low + place)
    return value


@triton.jit
def store(block, slot, value):
    """An integrand."""
    _store(block, block.state + _place(block, slot), value)


@triton.jit
def store_state(block, slot, value):
    """A state, and what its type loses."""
    place = _place(block, slot)
    _store(block, block.state + place, value)
    if block.low is not None:
        high = value.to(block.state.dtype.element_ty).to(value.dtype)
        _store(block, block.low + place, value - high)


@triton.jit
def store_next(block, slot, value):
    """x', and what the network reads of it."""
    store_state(block, slot, value)
    if block.net is not None:
        _store(block, block.net + block.first, value * block.scale)
    if block.twin is not None:
        _store(block, block.twin + block.first, value * block.scale)


@triton.jit
def _place(block, slot):
    """The block's first element in the buffer."""
    return tl.multiple_of(tl.load(block.slots + slot).to(tl.int64) * block.stride, 64) + block.first


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

    Arguments: those of :class:`runtime.engines.Buffers`; twin: the second copy of net; n: elements of a sample; ``blocks``
    blocks take a sample. After the last step nothing is done. Full blocks begin at multiples of 64 elements, so all of
    their accesses are of 16 bytes; ends of a sample are taken by THREADS elements at a time.
    """
    now = tl.load(counter)
    if now < tl.load(counter + 2):
        sample = tl.program_id(0) // blocks
        begin = sample.to(tl.int64) * n
        end = begin + n
        first = tl.multiple_of(begin // 64 * 64 + (tl.program_id(0) % blocks).to(tl.int64) * BLOCK, 64)
        orders = order + now * (2 + RING)
        number = tl.load(orders)
        row = table + (sample.to(tl.int64) * rows + now) * COLUMNS
        scale = None
        if net is not None:
            scale = tl.load(scales + sample.to(tl.int64) * (rows + 1) + now + 1)
        every, some = tl.arange(0, BLOCK), tl.arange(0, THREADS)
        if (first >= begin) & (first + BLOCK <= end):
            PHASES(number, Block(state, low, raw, net, twin, orders + 1, row, scale, stride, first, every, None))
        else:
            stop = min(first + BLOCK, end)
            for j in tl.range(max(first, begin), stop, THREADS, num_stages=1):
                inside = j + some < stop
                PHASES(number, Block(state, low, raw, net, twin, orders + 1, row, scale, stride, j, some, inside))
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


__all__ = ["Block", "coefficient", "load", "load_raw", "load_state", "step", "store", "store_next", "store_state"]
