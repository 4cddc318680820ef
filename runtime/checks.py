"""What a caller may pass, and the sentence he gets when he passes something else: got, allowed, remedy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Real as RealNumber
from operator import index
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import torch

from runtime.errors import DeviceError, NonFiniteError, ShapeError

MODES = ("end", "step", "off")
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
HOOKS = ("before_eval", "after_step")
GRADIENTS = ("stored", "recomputed")


def choice(name: str, value: Any, allowed: Iterable[str]) -> None:
    """ValueError with the allowed words and the near miss."""
    allowed = list(allowed)
    if value not in allowed:
        close = get_close_matches(str(value), allowed, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name}: got {value!r}; allowed: {', '.join(allowed)}{hint}")


def count(name: str, value: Any, least: int) -> int:
    """``value`` as an int (Python's or NumPy's) of at least ``least``."""
    number = integer(value)
    if number is None:
        raise TypeError(f"{name}: got {type(value).__name__}; allowed: int of at least {least}")
    if number < least:
        raise ValueError(f"{name}: got {number}; allowed: at least {least}")
    return number


def integer(value: Any) -> int | None:
    """``value`` as an int if it is one (not a bool, not a float, not a tensor), else None."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, torch.Tensor)) or not hasattr(value, "__index__"):
        return None
    return index(value)


def option(name: str, value: Any, hint: Any) -> Any:
    """A grid option as its annotation wants it: bool, int, float, a word of a Literal, or one of these or None."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return None
    kind = next(k for k in kinds if k is not NoneType)
    words = get_args(kind)
    number = isinstance(value, RealNumber) and not isinstance(value, bool)
    if words and isinstance(value, str):
        choice(name, value, words)
        return value
    if kind is float and number:
        return float(value)
    if kind is int and integer(value) is not None:
        return integer(value)
    if kind is bool and isinstance(value, bool):
        return value
    allowed = ", ".join(words) or {float: "a real number", int: "an int", bool: "True, False"}[kind]
    raise TypeError(
        f"{name}: got {value!r} ({type(value).__name__}); allowed: {allowed}" + ", None" * (NoneType in kinds)
    )


# Time nodes


def node_list(nodes: Any) -> list[Any]:
    """A list of numbers, or a list of B lists of them (per-sample), from a sequence, tensor or array."""
    listable = hasattr(nodes, "tolist") or isinstance(nodes, Sequence)
    if isinstance(nodes, (str, bytes)) or not listable:
        raise TypeError(f"nodes: got {type(nodes).__name__}; allowed: a sequence of numbers, or [B, N+1] of them")
    listed = nodes.tolist() if hasattr(nodes, "tolist") else [n.tolist() if hasattr(n, "tolist") else n for n in nodes]
    return listed if isinstance(listed, list) else [listed]


def times(nodes: Sequence[Any], domain: tuple[float, float], inversion: bool, sample: str = "") -> tuple[float, ...]:
    """Strictly monotone times inside ``domain`` = (noise, data), from noise to data (inversion: the other way)."""
    where = f"nodes{sample}"
    if len(nodes) < 2:
        raise ValueError(f"{where}: got {len(nodes)}; allowed: at least 2 times (one step)")
    low, high = min(domain), max(domain)
    out = []
    for k, t in enumerate(nodes):
        if isinstance(t, bool) or not isinstance(t, RealNumber):
            raise TypeError(f"{where}[{k}]: got {type(t).__name__}; allowed: a real number")
        t = float(t)
        if math.isnan(t) or not low <= t <= high:
            raise ValueError(f"{where}[{k}]: got {t!r}; allowed: {low!r} to {high!r}")
        out.append(t)
    sign = (1 if domain[1] > domain[0] else -1) * (-1 if inversion else 1)
    pairs = list(itertools.pairwise(out))
    wrong = [k for k, (a, b) in enumerate(pairs) if not (b - a) * sign > 0]
    if not wrong:
        return tuple(out)
    k = wrong[0]
    a, b = pairs[k]
    if a == b:
        raise ValueError(f"{where}[{k}] and [{k + 1}] are both {a!r}; a step of length zero is never meaningful")
    if len(wrong) == len(pairs):
        hint = (
            "an inversion runs from data to noise; leave direction out to sample"
            if inversion
            else "sampling runs from noise to data: reverse the list, or pass direction='inversion' to encode an image"
        )
        raise ValueError(f"{where}: run from {out[0]!r} to {out[-1]!r}; {hint}")
    order = "rise" if sign > 0 else "fall"
    raise ValueError(f"{where}[{k}] = {a!r} and [{k + 1}] = {b!r} are not in order; times have to {order} strictly")


# Tensors


def sample(x: Any, name: str = "x_T") -> torch.Tensor:
    """A dense floating tensor (any shape [B, *S], 0-d allowed)."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: got {type(x).__name__}; allowed: a torch.Tensor [B, ...] of floating dtype")
    if x.layout is not torch.strided or x.is_nested:
        got = "a nested tensor" if x.is_nested else f"layout {x.layout}"
        raise TypeError(f"{name}: got {got}; allowed: layout torch.strided (dense), e.g. {name}.to_dense()")
    if x.dtype not in DTYPES:
        raise TypeError(f"{name}: got dtype {x.dtype}; allowed: {', '.join(str(d)[6:] for d in DTYPES)}")
    return x


def finite_input(x: torch.Tensor, name: str = "x_T") -> None:
    """ValueError if x has NaN or infinity (one device synchronisation)."""
    if x.device.type != "meta" and not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name}: {bad} of {x.numel()} entries are NaN or infinite")


def mean(given: Any, x: torch.Tensor) -> torch.Tensor:
    """A tensor that broadcasts to x, in x's shape and the dtype of its state. The only argument that is ever broadcast."""
    given = sample(given, "mean")
    if given.device != x.device:
        raise DeviceError(f"mean: got a tensor on {given.device} for x_T on {x.device}")
    try:
        full = given.expand(x.shape)
    except RuntimeError:
        got = f"mean: got shape {tuple(given.shape)} for x_T of shape {tuple(x.shape)}"
        raise ShapeError(f"{got}; allowed: a shape that broadcasts to it") from None
    return full.to(x.dtype if x.dtype == torch.float64 else torch.float32)


def capturable(x: torch.Tensor, given: dict[str, Any], check: str) -> None:
    """What ``graph=True`` needs: x on a GPU, nobody who looks in between, no gradient."""
    for name, value in given.items():
        if value:
            raise ValueError(f"graph=True replays the whole solve, so {name} cannot be given; allowed: graph=False")
    if check == "step":
        raise ValueError("graph=True replays the whole solve; check: got 'step'; allowed: 'end', 'off'")
    if x.device.type != "cuda":
        raise DeviceError(f"graph=True needs x_T on a CUDA device; got {x.device}")
    if torch.is_grad_enabled() and x.requires_grad:
        raise ValueError("graph=True follows no gradient; allowed: x_T.detach(), or graph=False")


def model_output(raw: Any, x: torch.Tensor) -> torch.Tensor:
    """What the network returned: a floating tensor of exactly x's shape, on x's device, cast to x's dtype."""
    if not isinstance(raw, torch.Tensor):
        raise TypeError(f"model(x, t) has to return a torch.Tensor of x's shape; got {_what(raw)}")
    if raw.shape != x.shape:
        channels = raw.dim() == x.dim() > 1 and raw.shape[1] == 2 * x.shape[1] and raw.shape[2:] == x.shape[2:]
        hint = "; twice the channels: a learned variance? pass out[:, :out.shape[1] // 2]" if channels else ""
        raise ShapeError(f"the model returned shape {tuple(raw.shape)} for x of shape {tuple(x.shape)}{hint}")
    if raw.device != x.device:
        raise DeviceError(f"the model returned a tensor on {raw.device} for x on {x.device}")
    if raw.dtype != x.dtype:
        if not raw.is_floating_point():
            raise TypeError(f"the model returned dtype {raw.dtype}; allowed: a floating dtype")
        raw = raw.to(x.dtype)
    return raw


def _what(raw: Any) -> str:
    kind = type(raw).__name__
    if raw is None:
        return "None (a missing return?)"
    if hasattr(raw, "sample"):
        return f"{kind}; wrap the model: lambda x, t: model(x, t).sample"
    if isinstance(raw, (tuple, list)):
        return f"{kind}; wrap the model: lambda x, t: model(x, t)[0]"
    if hasattr(raw, "__array__"):
        return f"{kind}; wrap the model: lambda x, t: torch.as_tensor(model(x, t), device=x.device)"
    return kind


def same_shape(value: Any, x: torch.Tensor, name: str) -> torch.Tensor:
    """A hook's or the caller's tensor in place of x: floating, same shape and device; cast to x's dtype."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} has to give a torch.Tensor of x's shape; got {type(value).__name__}")
    if value.shape != x.shape:
        raise ShapeError(f"{name} gave shape {tuple(value.shape)} for x of shape {tuple(x.shape)}")
    if value.device != x.device:
        raise DeviceError(f"{name} gave a tensor on {value.device} for x on {x.device}")
    if not value.is_floating_point():
        raise TypeError(f"{name} gave dtype {value.dtype}; allowed: a floating dtype")
    return value if value.dtype == x.dtype else value.to(x.dtype)


def finite(x: torch.Tensor, what: str, hint: str = "") -> None:
    """NonFiniteError with the count (one device synchronisation)."""
    if x.device.type != "meta" and not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).sum())
        raise NonFiniteError(f"{what}: {bad} of {x.numel()} entries are NaN or infinite{hint}")


def gradient(kind: Any, snapshots: Any, parameters: Any) -> None:
    """ValueError unless a word of GRADIENTS, or where "stored" is given what is for "recomputed"."""
    choice("gradient", kind, GRADIENTS)
    for name, value in (("snapshots", snapshots), ("parameters", parameters)):
        if kind == "stored" and value is not None:
            raise ValueError(f"{name}: given, but gradient='stored' has no use for it; allowed: gradient='recomputed'")


def hooks(given: Any) -> dict[str, Any]:
    """A mapping of hook name to callable."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"hooks: got {type(given).__name__}; allowed: a mapping with the keys {', '.join(HOOKS)}")
    for name, function in given.items():
        choice("hooks", name, HOOKS)
        function_or_none(f"hooks[{name!r}]", function)
    return {k: v for k, v in given.items() if v is not None}


def function_or_none(name: str, value: Any) -> None:
    """TypeError unless callable or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: got {type(value).__name__}; allowed: a callable or None")
