"""Whole training steps that the network is fed where levels lie between them: what single precision makes of them.

diffusers has its table of noise levels in float32 and looks a level up in it; the place is cut off or rounded. Of flows it
cuts off 1000 sigma, computed in float64. What is whole in exact arithmetic, as the first place always is, may come out one
below. So the numbers are made as they are there, and compared with the exact ones, which a spec's sampler takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from derive.imports.clock import shift
from derive.imports.schedules import cosine, lambdas, refuse_levels, truncates, zero_snr
from derive.imports.settings import Settings
from runtime.grids import beta_quantile

_NEARLY = 2.0**-30
"""A place so close to a whole one is that one, in :mod:`runtime.fed`."""


def differing(settings: Settings, chosen: str) -> list[int]:
    """The steps, from 0, at which diffusers feeds another training step than the exact one."""
    exact = [-value for value in lambdas(settings)]
    here = _fed(settings, [_place(level, exact) for level in _levels(settings, chosen, exact)])
    there = _fed(settings, _places(settings, chosen))
    return [i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b]


def written_out(settings: Settings) -> list[float]:
    """The times of a flow's grid as diffusers has them, where others than the exact ones reach the network; else none."""
    if settings.kind.startswith("FlowMatch"):
        return []
    total, there = settings["num_train_timesteps"], _sigmas(settings)
    differ = [math.floor(total * a) != math.floor(total * b) for a, b in zip(_exact(settings), there, strict=True)]
    if settings.kind != "DEISMultistepScheduler":
        there = [*there, 0.0]
    return there if any(differ) else []


def _sigmas(settings: Settings) -> list[float]:
    """Levels by the operations of diffusers."""
    import numpy as np

    least, steps = 1 / settings["num_train_timesteps"], settings.steps
    s = shift(settings)
    if settings.kind != "UniPCMultistepScheduler":
        u = 1.0 - np.linspace(1, least, steps + 1)
        return [float(v) for v in np.flip(s * u / (1 + (s - 1) * u))[:-1]]
    u = (
        np.linspace(1, 1 / steps, steps)
        if settings.asked.sigmas == "pipeline"
        else np.linspace(1, least, steps + 1)[:-1]
    )
    u = s / (s + (1 / u - 1)) if settings["use_dynamic_shifting"] else s * u / (1 + (s - 1) * u)
    if settings["shift_terminal"]:
        u = 1 - (1 - u) / ((1 - u)[-1] / (1 - settings["shift_terminal"]))
    if abs(u[0] - 1) < _LEAST:
        u[0] -= _LEAST
    return [float(v) for v in u]


_LEAST = 1e-6


def _exact(settings: Settings) -> list[float]:
    """The same levels, each rounded once."""
    least, steps = Fraction(1, settings["num_train_timesteps"]), settings.steps
    unipc = settings.kind == "UniPCMultistepScheduler"
    last = Fraction(0) if settings.asked.sigmas == "pipeline" or not unipc else least
    first = 1 if unipc else 1 - least
    s = Fraction(repr(shift(settings)))
    u = [first + (last - first) * Fraction(i, steps) for i in range(steps)]
    t = [s * v / (1 + (s - 1) * v) for v in u]
    if settings.get("shift_terminal"):
        factor = (1 - Fraction(repr(settings["shift_terminal"]))) / (1 - t[-1])
        t = [1 - (1 - v) * factor for v in t]
    return [0.999999 if unipc and i == 0 else float(v) for i, v in enumerate(t)]


def _fed(settings: Settings, places: list[float]) -> list[int]:
    if truncates(settings):
        return [math.floor(place) for place in places]
    return [round(place) for place in places]


def _levels(settings: Settings, chosen: str, table: list[float]) -> list[float]:
    """log sigma/alpha of every level, the first and the last exactly those of the table."""
    low, high, steps = table[0], table[-1], settings.steps
    inner = [LEVELS[chosen](high, low, i / (steps - 1)) for i in range(1, steps - 1)]
    return [high, *inner, *([low] if steps > 1 else [])]


def _karras(high: float, low: float, share: float) -> float:
    a, b = math.exp(high / 7), math.exp(low / 7)
    return 7 * math.log(a + share * (b - a))


def _beta(high: float, low: float, share: float) -> float:
    a, b = math.exp(low), math.exp(high)
    return math.log(a + (b - a) * beta_quantile(1 - share, 0.6, 0.6))


def _even(high: float, low: float, share: float) -> float:
    return high + share * (low - high)


LEVELS: Mapping[str, Callable[[float, float, float], float]] = {
    "use_karras_sigmas": _karras, "use_beta_sigmas": _beta, "use_exponential_sigmas": _even, "use_lu_lambdas": _even,
}  # fmt: skip
"""log sigma/alpha at a share of the way from the first level to the last."""


def _place(level: float, table: list[float]) -> float:
    """Between two rows on a straight line in log sigma/alpha; whole where it nearly is."""
    row = max(sum(entry <= level for entry in table) - 1, 0)
    if row >= len(table) - 1:
        return float(len(table) - 1)
    place = row + (level - table[row]) / (table[row + 1] - table[row])
    return float(round(place)) if abs(place - round(place)) < _NEARLY else place


def _places(settings: Settings, chosen: str) -> list[float]:
    """The places as diffusers computes them: a table in float32, the levels in float64."""
    import numpy as np

    bars = _bars(settings)
    if not (bool((bars.diff() < 0).all()) and bars[-1] > 0 and bars[0] < 1):
        refuse_levels(settings, f"beside {chosen} (alpha_bar falls from below 1 to above 0 in single precision)")
    sigmas = np.asarray(((1 - bars) / bars) ** 0.5)
    table, low, high = np.log(sigmas), sigmas[0].item(), sigmas[-1].item()
    ramp = np.linspace(0, 1, settings.steps)
    a, b = high ** (1 / 7), low ** (1 / 7)
    first, last = table[-1].item(), table[0].item()
    made = {
        "use_karras_sigmas": lambda: (a + ramp * (b - a)) ** 7,
        "use_exponential_sigmas": lambda: np.exp(np.linspace(math.log(high), math.log(low), settings.steps)),
        "use_beta_sigmas": lambda: np.array([low + beta_quantile(v, 0.6, 0.6) * (high - low) for v in 1 - ramp]),
        "use_lu_lambdas": lambda: np.exp(first + ramp * (last - first)),
    }
    return [_looked_up(np, sigma, table) for sigma in made[chosen]()]


def _looked_up(np: Any, sigma: Any, table: Any) -> float:
    """``_sigma_to_t`` of diffusers."""
    level = np.log(np.maximum(sigma, 1e-10))
    row = int(np.cumsum(level - table >= 0).argmax().clip(max=len(table) - 2))
    first, last = table[row], table[row + 1]
    share = np.clip((first - level) / (first - last), 0, 1)
    return float((1 - share) * row + share * (row + 1))


def _bars(settings: Settings) -> Any:
    """alpha_bar in float32, by the operations of diffusers."""
    import torch

    steps, given = settings["num_train_timesteps"], settings["trained_betas"]
    first, last = settings["beta_start"], settings["beta_end"]
    if given is not None:
        betas = torch.tensor(given, dtype=torch.float32)
    elif settings["beta_schedule"] == "linear":
        betas = torch.linspace(first, last, steps, dtype=torch.float32)
    elif settings["beta_schedule"] == "scaled_linear":
        betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float32) ** 2
    else:
        betas = torch.tensor(cosine(steps, float, math), dtype=torch.float32)
    rescaled = bool(settings.get("rescale_betas_zero_snr"))
    bars = torch.cumprod(1.0 - (_rescaled(betas) if rescaled else betas), dim=0)
    if rescaled:
        bars[-1] = 2**-24
    return bars


def _rescaled(betas: Any) -> Any:
    """Betas whose last alpha_bar is 0, by the operations of diffusers."""
    import torch

    roots = torch.cumprod(1.0 - betas, dim=0).sqrt()
    bars = zero_snr(roots, roots[0], roots[-1])
    return 1 - torch.cat([bars[0:1], bars[1:] / bars[:-1]])


__all__ = ["differing", "written_out"]
