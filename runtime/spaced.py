"""Time grids of pipelines: training steps and clocks, spaced as schedulers of public libraries space them.

Functions like those of :mod:`runtime.grids`, which lists them: N + 1 floats from the noise end to the data end.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from runtime.real import real

Nodes = tuple[float, ...]


def spaced(
    schedule: Any,
    steps: int,
    *,
    spacing: Literal["linspace", "leading", "trailing"] = "linspace",
    points: Literal["inner", "all"] = "inner",
    steps_offset: int = 0,
    used: int | None = None,
    rounded: bool = True,
    final_zero: bool = True,
) -> Nodes:
    """Whole training steps, then sigma = 0 (arXiv:2305.08891 table 2); without it, index 0.

    linspace and leading: of N + 1 steps from 0 the upper N ("inner": DPM-Solver, UniPC, DEIS), or N of N ("all": DDIM,
    Euler). rounded: of a linspace; else its places between the steps, where sigma/alpha is on a straight line, as times of
    the schedule. used: only so many training steps from the data end on (a clipped lambda).
    """
    noise, data = schedule.DOMAIN
    if data != -1 or noise != int(noise):
        raise ValueError(f"grid 'spaced' is for discrete schedules (times T-1..-1); here: {noise!r} to {data!r}")
    total = int(noise) + 1
    count = total if used is None else used
    if not 1 <= count <= total:
        raise ValueError(f"used: got {used}; allowed: 1 to {total}, the steps of the table")
    if spacing == "trailing" and count != total:
        raise ValueError("used: allowed with linspace and leading only")
    last = (-1.0,) if final_zero else (0.0,)
    if not rounded and spacing == "linspace":
        return (*_between(schedule, steps, count, points == "inner"), *last)
    return (*map(float, _indices(spacing, points, steps, count, steps_offset)), *last)


def _indices(spacing: str, points: str, steps: int, count: int, offset: int) -> list[int]:
    """N training steps, falling."""
    if spacing == "trailing":
        return [round(count - i * (count / steps)) - 1 for i in range(steps)]
    parts, low = (steps + 1, 1) if points == "inner" else (steps, 0)
    if spacing == "leading":
        return [i * (count // parts) + offset for i in reversed(range(low, parts))]
    gaps = max(parts - 1, 1)
    if parts == 1:
        return [0]
    return [round(i * ((count - 1) / gaps)) for i in reversed(range(low, parts))]


def _between(schedule: Any, steps: int, count: int, inner: bool) -> list[float]:
    """linspace(count - 1, 0, steps), inner: of one more without the last, as times: sigma/alpha is on straight lines."""
    from runtime.grids import time_of

    out = []
    for i in reversed(range(inner, steps + inner)):
        place = real(count - 1) * i / max(steps + inner - 1, 1)
        low = int(place)
        if place == low:
            out.append(float(low))
            continue
        a, b = (schedule.rho(real(at)) for at in (low, low + 1))
        out.append(time_of(schedule, "rho", float(a + (b - a) * (place - low)), float(low + 1), float(low)))
    return out


def origin(
    schedule: Any, steps: int, *, origin_steps: int = 50, strength: float = 1.0, final_zero: bool = True
) -> Nodes:
    """N of the training steps ``(T // origin_steps) k - 1`` that a model was distilled on, then sigma = 0, or index 0.

    They begin at the last of the first ``int(origin_steps * strength)`` of them and go down evenly (arXiv:2310.04378, Sec.
    4.3; the floors are those of diffusers' LCMScheduler and TCDScheduler).
    """
    noise, data = schedule.DOMAIN
    if data != -1 or noise != int(noise):
        raise ValueError(f"grid 'origin' is for discrete schedules (times T-1..-1); here: {noise!r} to {data!r}")
    total = int(noise) + 1
    if not 1 <= origin_steps <= total:
        raise ValueError(f"origin_steps: got {origin_steps}; allowed: 1 to {total}, the steps of the table")
    if not 0 < strength <= 1:
        raise ValueError(f"strength: got {strength!r}; allowed: above 0, up to 1")
    count = int(origin_steps * strength)
    if steps > count:
        raise ValueError(
            f"steps: got {steps}; allowed: up to {count}, the training steps that the model was distilled on"
        )
    stride = total // origin_steps
    places = [(count - math.floor(i * (count / steps))) * stride - 1 for i in range(steps)]
    if places[-1] == 0 and not final_zero:
        raise ValueError("final_zero: got False for a grid that ends at index 0 by itself; allowed: fewer steps")
    return (*map(float, places), -1.0 if final_zero else 0.0)


def spread(
    schedule: Any,
    steps: int,
    *,
    alpha: float = 0.6,
    beta: float = 0.6,
    variable: Literal["rho", "sigma"] = "rho",
    t_start: float | None = None,
    t_end: float | None = None,
    final_zero: bool = True,
) -> Nodes:
    """sigma/alpha or sigma at the quantiles of Beta(alpha, beta), between two times; then, with final_zero, sigma = 0.

    t_start, t_end: those times; default: the noise end, and index 0 of a table.
    """
    from runtime.grids import beta_quantile, time_of

    noise, data = schedule.DOMAIN
    if t_end is None and data != -1:
        raise ValueError(f"grid 'spread' ends at t_end: give it on a schedule from {noise!r} to {data!r}")
    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha, beta: got {alpha!r}, {beta!r}; allowed: above 0")
    first, last = float(noise if t_start is None else t_start), float(t_end or 0.0)
    high, low = (float(getattr(schedule, variable)(real(t))) for t in (first, last))
    count = steps if final_zero else steps + 1
    inner = [low + (high - low) * beta_quantile(1 - i / (count - 1), alpha, beta) for i in range(1, count - 1)]
    nodes = [first, *(time_of(schedule, variable, v, first, last) for v in inner)]
    return (*nodes, *([last] if count > 1 else []), *([float(data)] if final_zero else []))


def clocked(
    schedule: Any,
    steps: int,
    *,
    points: Literal["inner", "all"] = "all",
    u_start: float = 1.0,
    u_end: float = 0.0,
    t_start: float | None = None,
    t_last: float | None = None,
) -> Nodes:
    """Clock readings equidistant from u_start to u_end, 1 the noise end and 0 the data end, then the data end.

    points: N of them ("all"), or N of N + 1, the last left out ("inner"). t_start: a time in the place of the first.
    t_last: the last time before the data end, with which those before it are stretched, the noise end kept.
    The schedule's warp (the flow "shift", arXiv:2403.03206 eq. 23) is applied once.
    """
    if not 0 <= u_end < u_start <= 1:
        raise ValueError(f"u_start, u_end: got {u_start!r}, {u_end!r}; allowed: 0 <= u_end < u_start <= 1")
    noise, data = map(real, schedule.DOMAIN)
    first, width = real(u_start), real(u_end) - real(u_start)
    gaps = steps if points == "inner" else max(steps - 1, 1)
    warp = None if schedule.WARP is None else getattr(schedule, schedule.WARP)
    shares = [first + width * i / gaps for i in range(steps)]
    places = [data + (noise - data) * (warp(u) if warp else u) for u in shares]
    if t_last is not None:
        if steps == 1:
            raise ValueError("t_last: allowed for 2 or more steps")
        factor = (noise - real(t_last)) / (noise - places[-1])
        places = [noise - (noise - t) * factor for t in places]
    nodes = [float(t) for t in places]
    return (*([t_start] if t_start is not None else nodes[:1]), *nodes[1:], float(data))


__all__ = ["clocked", "origin", "spaced", "spread"]
