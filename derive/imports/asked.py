"""What a pipeline passes to ``set_timesteps`` beside the number of steps, as options of the command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from derive.errors import Fault, SpecError, show

_MOST = 10**9
_LOUDEST = 100.0
LEAST_SHIFT, MOST_SHIFT = 1e-6, 1000.0
"""Of the clock of a flow."""
_PIXELS = 16
"""Side of a token: an autoencoder of 8 x 8 pixels, patches of 2 x 2 (Stable Diffusion 3, Flux)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """mu: of a dynamic shift. tokens: the size of the picture, from which it follows, instead; said: the option that gave it.

    sigmas: "scheduler", the class's own levels of a flow, or "pipeline", 1 - i/N before the shift, which those of Flux and
    others pass. gamma: of TCD, what its pipelines pass as eta. tau: of SA-Solver, what
    tau_func returns at every training step.
    """

    mu: float | None = None
    tokens: int | None = None
    sigmas: str = "scheduler"
    said: tuple[str, str] = ("--sequence-length", "")
    gamma: float | None = None
    tau: float | None = None


def asked(
    mu: float | None,
    image_size: str | None,
    sequence_length: int | None,
    sigmas: str,
    gamma: float | None = None,
    tau: float | None = None,
) -> Asked:
    """The options; SpecError for a wrong value, or for two that say the same."""
    given = {"--mu": mu, "--image-size": image_size, "--sequence-length": sequence_length}
    said = [option for option, value in given.items() if value is not None]
    if len(said) > 1:
        refuse(said[1], f"got {given[said[1]]} beside {said[0]}; allowed: one of {', '.join(given)}")
    if mu is not None and not math.isfinite(mu):
        refuse("--mu", f"got {mu}; allowed: a finite number")
    if sequence_length is not None and not 1 <= sequence_length <= _MOST:
        refuse("--sequence-length", f"got {sequence_length}; allowed: 1 to {_MOST}")
    if gamma is not None and not 0 <= gamma <= 1:
        refuse("--gamma", f"got {gamma}; allowed: 0 to 1")
    if tau is not None and not 0 <= tau <= _LOUDEST:
        refuse("--tau", f"got {tau}; allowed: 0 to {_LOUDEST:g}")
    if image_size is not None:
        return Asked(mu, _tokens(image_size), sigmas, ("--image-size", image_size), gamma, tau)
    return Asked(mu, sequence_length, sigmas, gamma=gamma, tau=tau)


def _tokens(size: str) -> int:
    """Tokens of WxH pixels."""
    sides = size.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and len(side) < 6 for side in sides):
        refuse("--image-size", f"got {show(size)}; allowed: WxH, like 1024x768")
    tokens = (int(sides[0]) // _PIXELS) * (int(sides[1]) // _PIXELS)
    if not tokens:
        refuse("--image-size", f"got {show(size)}; allowed: both from {_PIXELS}")
    return tokens


def refuse(option: str, message: str) -> NoReturn:
    """SpecError that names an option of the command."""
    raise SpecError(Fault(message, f"import-config: {option}"))


__all__ = ["LEAST_SHIFT", "MOST_SHIFT", "Asked", "asked", "refuse"]
