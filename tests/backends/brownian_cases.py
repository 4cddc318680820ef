"""Paths and pairs of times that the backends are compared on."""

from __future__ import annotations

import torch

from runtime.brownian import Brownian, Point

PATHS = ((-3, (0.0, 1.0), 12), (2**64 - 1, (-0.3, 6400.7), 48), (2**35, (1e-3, 1.1e-3), 33), (5, (0.0, 2.0), 0))
"""Seed, interval, levels."""
TICKS = (
    (0, 1), (0, 0.5), (0.5, 1), (0.25, 0.5), (0, 0.75), (0.125, 1), (1 / 3, 2 / 3), (0.1, 0.3), (0.5, 0.5 + 1e-9),
    (0.5 - 2.0**-12, 0.5), (0.5 - 2.0**-12, 0.5 + 2.0**-12), (0, 1e-12), (1 - 2.0**-44, 1), (3 / 7, 3 / 7 + 1e-7),
    (0.2, 0.5), (0.5, 0.9), (5 * 2.0**-12, 5.5 * 2.0**-12), (5.5 * 2.0**-12, 6 * 2.0**-12),
)  # fmt: skip
"""Pairs of times, in parts of the interval."""


def pairs(path: Brownian) -> list[tuple[float, float]]:
    """Those that are not in one tick."""
    start, stop = path.interval
    found = []
    for parts in TICKS:
        a, b = (stop if part == 1 else start + part * (stop - start) for part in parts)
        s, t = path.point(a), path.point(b)
        if a < b and (s.tick < t.tick or not s.part) and not (s.tick == t.tick and s.part):
            found.append((a, b))
    return found


def integers(path: Brownian, s: Point, t: Point) -> torch.Tensor:
    """levels, scales and ticks, int64."""
    return torch.tensor([path.levels, *path.scales, s.tick, t.tick])


def numbers(s: Point, t: Point) -> torch.Tensor:
    """What else points hold, float64."""
    return torch.tensor([n for p in (s, t) for n in (p.part, p.bulge, p.width, p.pull, p.spread)], dtype=torch.float64)
