"""Tensors that say they are on ``cuda:0`` and compute on the host: what code would do on a GPU, seen without one.

Values are real, so control flow is the real one. Under :func:`watched`, tensors asked for on a CUDA device are of this
kind, and an observer is told of every aten operation that concerns one. To PyTorch's own C++ they are host tensors, since
a build without CUDA has no guard for others. So where a device is asked for, or left, is seen one level up, in the call
from Python: ``to``, ``cpu``, ``cuda``, ``tolist``, ``device=``, ``new_*``, ``*_like``. A function of torch that is
written in Python hides such calls of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("cuda:0")
COPIES = ("aten::copy_", "aten::_to_copy")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
"""Operations that take tensors of both sides."""
_MADE_OF_DATA = ("tensor", "as_tensor", "asarray", "new_tensor")


class DeviceTensor(torch.Tensor):
    """A strided tensor that says it is on cuda:0; ``on_host``: the tensor that it computes with."""

    on_host: torch.Tensor

    @staticmethod
    def __new__(cls, on_host: torch.Tensor, requires_grad: bool = False) -> DeviceTensor:
        if on_host.layout is not torch.strided:
            raise NotImplementedError(f"a tensor of layout {on_host.layout}; allowed: torch.strided")
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            on_host.size(),
            strides=on_host.stride(),
            storage_offset=on_host.storage_offset(),
            dtype=on_host.dtype,
            device=on_host.device,
            requires_grad=requires_grad,
        )
        made.on_host = on_host
        return made

    device = property(lambda self: DEVICE)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def get_device(self) -> int:
        return 0

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    __array__ = numpy

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype}, {DEVICE})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _executed(func, args, kwargs or {}, None)


def placed(x: torch.Tensor) -> DeviceTensor:
    """A copy of ``x`` on the device; nobody is told."""
    return DeviceTensor(x.detach().clone(), x.requires_grad)


@dataclass(frozen=True, slots=True)
class Done:
    """One operation that was given, wrote to or made a tensor of the device.

    given: all its tensors. written: those that it writes to, each with whether it is there for the result alone
    (``out=``). out: what it gave, in host tensors. on_device: whether that belongs on the device.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    given: tuple[torch.Tensor, ...]
    written: tuple[tuple[torch.Tensor, bool], ...]
    out: Any
    on_device: bool

    @property
    def name(self) -> str:
        """``aten::add_``."""
        return self.func._schema.name


def _written(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[tuple[torch.Tensor, bool]]:
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            yield from ((t, argument.is_out) for t in tree_leaves(value) if isinstance(t, torch.Tensor))


@contextmanager
def watched(observer: Callable[[Done], None]) -> Iterator[None]:
    """Tell the observer of every operation of the block on the device. RuntimeError inside another such block."""
    if any(isinstance(mode, _Operations) for mode in _active()):
        raise RuntimeError("operations are watched already; allowed: one block at a time")
    operations = _Operations(observer)
    with operations, _Devices(operations):
        yield


def _active() -> list[Any]:
    return torch.utils._python_dispatch._get_current_dispatch_mode_stack()


class _Operations(TorchDispatchMode):
    """Every aten operation, with what the call from Python that it belongs to says of devices.

    wanted: where it wants its result, if it says so. inside: whether it was given a tensor of the device, so that what
    it makes by itself is there as well.
    """

    def __init__(self, observer: Callable[[Done], None]) -> None:
        super().__init__()
        self.observer = observer
        self.wanted: bool | None = None
        self.inside = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _executed(func, args, kwargs or {}, self)

    @contextmanager
    def called(self, wanted: bool | None, inside: bool) -> Iterator[None]:
        before = self.wanted, self.inside
        self.wanted, self.inside = wanted, inside
        try:
            yield
        finally:
            self.wanted, self.inside = before


class _Devices(TorchFunctionMode):
    """Calls from Python that name a device, or inherit one."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self.operations = operations

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        own = bool(args) and isinstance(args[0], DeviceTensor)
        if name in ("to", "cpu", "cuda"):
            return self._moved(func, name, args, kwargs)
        if name == "tolist" and own:
            return self._crossed(args[0], False).tolist()
        wanted = None
        if func is not torch.device and kwargs.get("device") is not None:
            wanted = _is_ours(kwargs["device"])
        elif name.endswith("_like") or name.startswith("new_"):
            wanted = own
        if wanted:
            kwargs.pop("device", None)
        if name in _MADE_OF_DATA:
            made = func(*args, **kwargs)
            return self._crossed(made, True) if wanted else made
        inside = any(isinstance(t, DeviceTensor) for t in tree_leaves((args, kwargs)))
        with self.operations.called(wanted, inside):
            return func(*args, **kwargs)

    def _moved(self, func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """``to``, ``cpu``, ``cuda``."""
        tensor, *rest = args
        here = isinstance(tensor, DeviceTensor)
        if name == "to":
            there, options = _destination(here, rest, kwargs)
        else:
            there = name == "cuda"
            waits = rest[1] if there and rest[1:] else kwargs.get("non_blocking", False)
            options = {"non_blocking": waits}
        if here != there:
            options.pop("copy", None)
            return self._crossed(tensor, there, **options)
        return torch.Tensor.to(tensor, **{"dtype": tensor.dtype, **options}) if here else func(*args, **kwargs)

    def _crossed(self, tensor: torch.Tensor, there: bool, **options: Any) -> Any:
        if isinstance(tensor, DeviceTensor) == there:
            return tensor
        with self.operations.called(there, False):
            return torch.ops.aten._to_copy.default(tensor, **options)


def _is_ours(device: Any) -> bool:
    return isinstance(device, int) or torch.device(device).type == DEVICE.type


def _destination(here: bool, rest: Sequence[Any], kwargs: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """(whether ``tensor.to(*rest, **kwargs)`` is on the device, its other options)."""
    kwargs = dict(kwargs)
    options: dict[str, Any] = {"copy": kwargs.pop("copy")} if "copy" in kwargs else {}
    other = rest[0] if rest and isinstance(rest[0], torch.Tensor) else kwargs.pop("other", None)
    if other is not None:
        waits = rest[1] if len(rest) > 1 else kwargs.pop("non_blocking", False)
        return isinstance(other, DeviceTensor), {**options, "dtype": other.dtype, "non_blocking": waits}
    device, dtype, waits, layout = torch._C._nn._parse_to(*rest, **kwargs)  # type: ignore[attr-defined]
    options |= {"non_blocking": waits}
    options |= {"dtype": dtype} if dtype is not None else {}
    options |= {"memory_format": layout} if layout is not None else {}
    return (here if device is None else _is_ours(device)), options


def _executed(func: Any, args: Any, kwargs: dict[str, Any], mode: _Operations | None) -> Any:
    """The operation on host values; what it gives is on the device if that is wanted or, if nobody said, where its
    tensors are."""
    given = tuple(t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor))
    ours = [t for t in given if isinstance(t, DeviceTensor)]
    wanted = mode.wanted if mode else None
    if not ours and not (wanted or (mode and mode.inside and not given)):
        return func(*args, **kwargs)
    name = func._schema.name
    written = tuple(_written(func, args, kwargs))
    _check_devices(name, given, [t for t, _ in written])
    out = func(*tree_map_only(DeviceTensor, _host, args), **tree_map_only(DeviceTensor, _host, kwargs))
    on_device = isinstance(args[0], DeviceTensor) if name == "aten::copy_" else wanted is not False
    if mode is not None:
        mode.observer(Done(func, args, kwargs, given, written, out, on_device))
    if on_device:
        out = tree_map_only(torch.Tensor, lambda t: _wrapped(t, ours), out)
    made = return_and_correct_aliasing(func, args, kwargs, out)
    if any(t.shape != t.on_host.shape or t.stride() != t.on_host.stride() for t in ours):
        raise NotImplementedError(f"{func}: changes the shape of a tensor in place")
    return made


def _host(tensor: DeviceTensor) -> torch.Tensor:
    return tensor.on_host


def _wrapped(values: torch.Tensor, given: Sequence[DeviceTensor]) -> DeviceTensor:
    """A view of a tensor that was made outside of inference mode is no inference tensor either."""
    bases = [t for t in given if storage(t.on_host) == storage(values)]
    inference = bases[0].is_inference() if bases else torch.is_inference_mode_enabled()
    with torch.inference_mode(inference):
        return DeviceTensor(values)


def storage(tensor: torch.Tensor) -> int:
    """The same number for tensors over the same memory."""
    return tensor.untyped_storage()._cdata


def _check_devices(name: str, given: Sequence[torch.Tensor], written: Sequence[torch.Tensor]) -> None:
    """RuntimeError where a GPU would refuse host tensors; it takes numbers (0-d) to read, and in copies and as indices."""
    hosts = [t for t in given if not isinstance(t, DeviceTensor)]
    if name in COPIES or len(hosts) == len(given):
        return
    for tensor in hosts:
        index = name in INDEXED and tensor is not given[0]
        if any(tensor is w for w in written) or (tensor.dim() and not index):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")


__all__ = ["COPIES", "DEVICE", "INDEXED", "DeviceTensor", "Done", "placed", "storage", "watched"]
