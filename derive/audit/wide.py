"""Foreign code in float64 and without noise: what asks for float32 gets float64, and random numbers are zeros.

Code that casts its states to float32 hides an error constant behind its rounding. Under :class:`Wide` calls of torch from
Python are changed on their way in; tables made by NumPy are not seen, and adapters replace those.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from derive.audit.exact import DRAWS, Exact, Exactly

NARROW = (torch.float32, torch.float16, torch.bfloat16)


class Wide(TorchFunctionMode):
    """A context: ``with Wide(): ...``; ``Wide(False)`` leaves types as they are and has no noise either."""

    def __init__(self, widen: bool = True) -> None:
        super().__init__()
        self.widen = widen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if self.widen:
            if name in ("float", "half", "bfloat16") and args and isinstance(args[0], torch.Tensor):
                return args[0].to(torch.float64)
            args = tuple(torch.float64 if a in NARROW else a for a in args) if name in ("to", "type") else args
            if kwargs.get("dtype") in NARROW:
                kwargs["dtype"] = torch.float64
        out = func(*args, **kwargs)
        if name in DRAWS and isinstance(out, torch.Tensor):
            out.zero_()
        return out


def arithmetic(x: torch.Tensor) -> AbstractContextManager[object]:
    """How foreign code is run on a state: exactly, in float64, or as it is."""
    return Exactly() if isinstance(x, Exact) else Wide(x.dtype == torch.float64)


__all__ = ["Wide", "arithmetic"]
