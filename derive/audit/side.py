"""Beside the order: digits in float32, values that are not finite, and what a step costs on a GPU (counted without one)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from derive.audit.guard import thrown, words
from derive.audit.probe import grid
from derive.audit.sampler import Sampler, Unusable, kept, state
from derive.measure.device import placed
from derive.measure.traffic import counted

SIZES = (0, 2, 4, 6)
"""Halvings of the probing grid at which float32 is compared with float64."""
PLACES = (0.0, -1.5, 2.0)
"""Half log SNRs about which it is: polynomials of lambda itself lose nothing near 0."""
DIGITS = 7.2
"""Of a float32."""
COUNTS = (5, 10, 20, 50)
"""Numbers of steps whose result has to be finite."""
EXTREMES = (1, 2, 1000)
"""Numbers of steps that are tried as well: what happens there is said, and no fault of the method."""


def digits(sampler: Sampler) -> tuple[float, list[tuple[float, float]]]:
    """(place, (h, relative error in float32 of a step's response to a constant network) by size) where most is lost."""
    found = [(place, [_gap(sampler, place, level) for level in SIZES]) for place in PLACES]
    return max(found, key=lambda entry: lost(entry[1]))


def _gap(sampler: Sampler, place: float, level: int) -> tuple[float, float]:
    """(h, mean of the steps in the middle)."""
    lams = [place + lam for lam in grid(level)]
    wide, narrow = (_responses(sampler, lams, kind) for kind in (torch.float64, torch.float32))
    gaps = [abs(n - w) / abs(w) for n, w in zip(narrow, wide)][len(wide) // 3 : -len(wide) // 3]
    return (lams[-1] - lams[0]) / (len(lams) - 1), sum(gaps) / len(gaps)


def _responses(sampler: Sampler, lams: Sequence[float], dtype: torch.dtype) -> list[float]:
    """What each step adds for x0 = 1, x = 0 at the start: the sum of the weights up to there."""
    states: list[torch.Tensor] = []
    sampler.run(lambda x, a, s: torch.ones_like(x), torch.zeros(1, 2, dtype=dtype), lams, kept(states))
    return [float(x.reshape(-1)[0]) for x in states[1:]]


def not_finite(run: Callable[[int], torch.Tensor], counts: Sequence[int] = COUNTS) -> list[tuple[int, str]]:
    """(steps, what came out) where a run on the target's own grid is not finite or throws."""
    out = []
    for n in counts:
        try:
            x = state(run(n))
        except Unusable as error:
            out.append((n, words(error)))
            continue
        except (Exception, SystemExit) as error:  # foreign code: whatever it throws
            out.append((n, thrown(error)[:100]))
            continue
        if not bool(torch.isfinite(x).all()):
            bad = int((~torch.isfinite(x)).sum())
            out.append((n, f"{bad} of {x.numel()} entries are not finite"))
    return out


def traffic(run: Callable[[torch.Tensor, int], Any]) -> dict[str, float] | None:
    """Launches, bytes and syncs a step of ``run(x, steps)``, from the difference of 12 and 8 steps; None if not countable."""
    try:
        short, long = (_counted(run, n) for n in (8, 12))
    except (Exception, SystemExit):
        return None
    names = ("launches", "syncs")
    return {name: (getattr(long, name) - getattr(short, name)) / 4 for name in names} | {
        "bytes_per_element": (long.moved - short.moved) / 4 / 4096
    }


def _counted(run: Callable[[torch.Tensor, int], Any], n: int) -> Any:
    x = placed(torch.ones(1, 4096))
    with torch.no_grad(), counted(x.numel()) as counter:
        run(x, n)
    return counter.traffic


def lost(found: Sequence[tuple[float, float]]) -> float:
    """Decimal digits of float32's seven that are lost at the smallest h; all of them where no number came out."""
    worst = max(found[-1][1], 2**-24)
    return max(0.0, DIGITS + min(0.0, math.log10(worst))) if math.isfinite(worst) else DIGITS


__all__ = ["COUNTS", "DIGITS", "EXTREMES", "digits", "lost", "not_finite", "traffic"]
