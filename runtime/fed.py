"""What a network is fed for the time, where that is no smooth function of it: whole numbers, and places in a table.

``INPUT`` of a generated module says which. A place in the table of training steps is found between the two rows around a
noise level, on a straight line in log sigma/alpha (``level_index``) or in sigma/alpha (``sigma_index``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from runtime.real import log, real

_WHOLE: Mapping[str, Callable[[float], float]] = {
    "rounded": lambda value: float(round(value)),
    "truncated": lambda value: float(math.floor(value)),
}
_NEARLY = 2.0**-30
"""A place so close to a row is the row."""


def fed(code: Any, t: Any) -> float:
    """The network's time at a time of the schedule."""
    kind = str(code.INPUT)
    place, _, whole = kind.rpartition("_")
    whole = whole if whole in _WHOLE else ""
    base = (place if whole else kind) or "time"
    value = _place(code, t, base) if base in _SCALES else float(code.time(t))
    return _WHOLE[whole](value) if whole else value


_SCALES: Mapping[str, Callable[[Any], Any]] = {"level_index": log, "sigma_index": lambda rho: rho}


def _place(code: Any, t: Any, base: str) -> float:
    low = min(max(math.floor(float(t)), 0), int(code.DOMAIN[0]) - 1)
    if abs(float(t) - round(float(t))) < _NEARLY:
        return float(round(float(t)))
    scale = _SCALES[base]
    first, last, here = (scale(code.rho(real(at))) for at in (low, low + 1, t))
    return min(max(low + float((here - first) / (last - first)), 0.0), float(code.DOMAIN[0]))


__all__ = ["fed"]
