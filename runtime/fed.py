"""What a network is fed for the time, where that is no smooth function of it: whole numbers, and places in a table.

``INPUT`` of a generated module says which. A place in the table of training steps is found between the two rows around a
noise level, on a straight line in log sigma/alpha (``level_index``) or in sigma/alpha (``sigma_index``). ``INNER_INPUT``,
where there is one, is that of the stages between grid points.
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


def fed(code: Any, t: Any, inner: bool = False) -> float:
    """The network's time at a time of the schedule; ``time_scale`` multiplies a time before it is cut, a place after it.

    inner: between grid points.
    """
    base, whole = _parts(_kinds(code)[inner])
    value = _place(code, t, base) if base in _SCALES else float(code.time(t))
    value = _WHOLE[whole](value) if whole else value
    return float(code.time(real(value))) if base in _SCALES else value


def smooth(code: Any) -> bool:
    """Whether the network's time is ``code.time`` alone."""
    return all(not whole and base not in _SCALES for base, whole in map(_parts, _kinds(code)))


def _kinds(code: Any) -> tuple[str, str]:
    """The inputs at grid points and between them."""
    return str(code.INPUT), str(getattr(code, "INNER_INPUT", code.INPUT))


def _parts(kind: str) -> tuple[str, str]:
    """What is looked up, and how that is made whole ("": not)."""
    base, _, whole = kind.rpartition("_")
    return (base, whole) if whole in _WHOLE else (kind, "")


_SCALES: Mapping[str, Callable[[Any], Any]] = {"level_index": log, "sigma_index": lambda rho: rho}


def _place(code: Any, t: Any, base: str) -> float:
    low = min(max(math.floor(float(t)), 0), int(code.DOMAIN[0]) - 1)
    if abs(float(t) - round(float(t))) < _NEARLY:
        return float(round(float(t)))
    scale = _SCALES[base]
    first, last, here = (scale(code.rho(real(at))) for at in (low, low + 1, t))
    return min(max(low + float((here - first) / (last - first)), 0.0), float(code.DOMAIN[0]))


__all__ = ["fed", "smooth"]
