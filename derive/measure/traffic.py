"""What PyTorch code costs on a GPU, counted without one: launches, bytes, allocations, syncs.

    x = placed(torch.randn(8, 4096))            # says it is on cuda:0
    with counted(x.numel()) as counter:
        y = 0.5 * x + 2
    counter.traffic                             # 2 launches, 4 x.nbytes moved, 2 allocations, no sync

Counted, per aten operation on tensors of :mod:`derive.measure.device`:

* a launch where it writes device memory: a copy from the host is one, a view and an uninitialised tensor are none;
* bytes of every tensor it reads and writes, each once; broadcast dimensions once; of lookups what they take;
* an allocation for every tensor it gives on the device that is neither an argument nor a view of one;
* a sync where the host waits: for a value (``item``, ``bool``, an index on the device), for a size that depends on values
  (``nonzero``, masks), for a check of linalg, for copies to the host, for blocking copies of pageable memory from it.

It is a lower bound: a sort or a solve has several kernels, and workspaces are not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch.utils._pytree import tree_leaves

from derive.measure import device
from derive.measure.device import DeviceTensor, Done, placed, storage, watched

_WAITS = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_linalg_check_errors",
    "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::bincount",
}  # fmt: skip
_FILLS = {
    "aten::copy_", "aten::fill_", "aten::zero_", "aten::normal_", "aten::uniform_", "aten::random_",
    "aten::bernoulli_", "aten::exponential_", "aten::log_normal_", "aten::cauchy_", "aten::geometric_",
}  # fmt: skip
"""In place, and what was there before is not read."""
_LOOKUPS = {"aten::index", "aten::index_select", "aten::gather", "aten::embedding", "aten::take", "aten::masked_select"}
"""Read no more than they write."""
_PLACED = {"aten::index_put_", "aten::_index_put_impl_", "aten::index_copy_", "aten::scatter_"}
"""Write no more than they read."""
_SKIPPED = (__file__, device.__file__, os.path.dirname(torch.__file__) + os.sep)


@dataclass(frozen=True, slots=True)
class Op:
    """One operation on the device, with the ``file:line`` of the code outside of torch that it comes from.

    launches: 0 or 1; small: 1 if it is one on nothing as large as the state. read, written: bytes.
    """

    name: str
    place: str
    launches: int
    small: int
    read: int
    written: int
    allocations: int
    syncs: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What code did: launches (``small`` of them on nothing as large as the state), bytes, allocations, syncs.

    where: every operation but views, in order.
    """

    launches: int
    small: int
    read: int
    written: int
    allocations: int
    syncs: int
    where: tuple[Op, ...]

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


def summed(ops: Iterable[Op]) -> Traffic:
    """The traffic of some operations, such as those of one file."""
    where = tuple(ops)
    names = ("launches", "small", "read", "written", "allocations", "syncs")
    return Traffic(**{name: sum(getattr(op, name) for op in where) for name in names}, where=where)


class Counter:
    """``traffic`` of the block so far; ``restart`` forgets it. elements: of a tensor as large as the state."""

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self._ops: list[Op] = []

    @property
    def traffic(self) -> Traffic:
        return summed(self._ops)

    def restart(self) -> None:
        """Forget what was counted."""
        self._ops.clear()

    def add(self, done: Done) -> None:
        """Count an operation; a view costs nothing."""
        op = _counted(done, self.elements)
        if op.launches or op.read or op.allocations or op.syncs:
            self._ops.append(op)


@contextmanager
def counted(elements: int = 1) -> Iterator[Counter]:
    """Count what the block does; a launch is small if no tensor it touches has ``elements`` elements.

    RuntimeError inside another such block: there, take the difference of two ``traffic``, or ``restart``.
    """
    counter = Counter(elements)
    with watched(counter.add):
        yield counter


def _counted(done: Done, elements: int) -> Op:
    name = done.name
    known = {storage(_host(t)) for t in done.given}
    results = [t for t in tree_leaves(done.out) if isinstance(t, torch.Tensor)]
    fresh = [t for t in results if storage(t) not in known] if done.on_device else []
    alone = name in _FILLS or name in _PLACED
    changed = () if torch.Tag.inplace_view in done.func.tags else done.written
    unread = [t for t, out in changed if out or alone]
    writes = [t.on_host for t, _ in changed if isinstance(t, DeviceTensor)]
    writes += [] if "empty" in name else fresh
    reads = [t.on_host for t in done.given if isinstance(t, DeviceTensor) and not any(t is u for u in unread)]
    if _only_looks(done, bool(results), bool(writes)):
        reads = []
    read, written = _bytes(reads), _bytes(writes)
    if name in _LOOKUPS:
        read = min(read, written + _bytes(reads[1:]))
    if name in _PLACED:
        written = min(written, max((_bytes([t]) for t in reads), default=written))
    launches = int(any(t.numel() for t in writes))
    small = launches * (max((t.numel() for t in (*reads, *writes)), default=0) < elements)
    title = name.removeprefix("aten::")
    return Op(title, _place(), launches, int(small), read, written, len(fresh), int(_waits(done)))


def _only_looks(done: Done, gives: bool, writes: bool) -> bool:
    """Whether it reads shapes alone: a view, or a new tensor like another."""
    made_like = done.name.endswith("_like") or done.name.startswith("aten::new_")
    return made_like or (gives and not writes and done.on_device)


def _host(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.on_host if isinstance(tensor, DeviceTensor) else tensor


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Of every tensor once; what a broadcast repeats is there once."""
    found = {
        (t.data_ptr(), t.size(), t.stride(), t.dtype): t.element_size()
        * prod(n for n, stride in zip(t.size(), t.stride(), strict=True) if stride or not n)
        for t in tensors
    }
    return sum(found.values())


def _waits(done: Done) -> bool:
    """Whether the host waits for the device."""
    name, given = done.name, done.given
    if name in device.COPIES:
        return _copy_waits(given, done.on_device, done.kwargs.get("non_blocking", False) or True in done.args[2:3])
    if name in device.INDEXED:
        return _index_waits(given[1:] if name == "aten::index" else given[1:-1], name != "aten::index" and given[-1])
    return name in _WAITS or (name == "aten::repeat_interleave" and done.kwargs.get("output_size") is None)


def _copy_waits(given: Sequence[torch.Tensor], to_device: bool, free: bool) -> bool:
    """Copies to the host wait unless they are free to run on (``non_blocking``) into pinned memory; from it, if either."""
    from_device = isinstance(given[-1], DeviceTensor)
    if (from_device and to_device) or not given[-1].numel():
        return False
    pinned = not isinstance(given[0], DeviceTensor) and given[0].is_pinned()
    if from_device:
        return not (pinned and free)
    return not (given[-1].is_pinned() or free)


def _index_waits(indices: Sequence[torch.Tensor], value: torch.Tensor | bool) -> bool:
    """Indices of the host are copied; a mask is counted, unless one number is put wherever it holds."""
    masks = any(t.dtype in (torch.bool, torch.uint8) for t in indices)
    one = isinstance(value, torch.Tensor) and value.numel() == 1
    return (masks and not one) or any(not isinstance(t, DeviceTensor) for t in indices)


def _place() -> str:
    """The line outside of torch and of this module that is being executed."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    path = frame.f_code.co_filename.replace(os.sep, "/").split("/")
    return f"{'/'.join(path[-2:])}:{frame.f_lineno}"


__all__ = ["Counter", "Op", "Traffic", "counted", "placed", "summed"]
