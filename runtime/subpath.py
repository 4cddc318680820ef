r"""The states between two noise levels on which sub-path consistency models are trained (SPLAM, arXiv:2404.13903).

From x_s a teacher's step leads to x_e. Between them, for g in [0, 1],

    x_g = g x_s + (1 - g) (alpha_s/alpha_e) x_e,   sigma_g^2 = (sigma_e alpha_s/alpha_e)^2 + g^2 (sigma_s^2 - (sigma_e alpha_s/alpha_e)^2)

g = 1 is x_s, g = 0 is x_e scaled to alpha_s. Where x_s is x_e with more noise, x_g is alpha_s x0 plus noise of variance
sigma_g^2. Along the ODE it is not: sigma_g is no straight line in g, so inside the sub-path x_g leaves the trajectory by O(h),
at g = 0 by the O(h^2) of the teacher's step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from runtime import checks
from runtime.grids import time_of
from runtime.real import real


@dataclass(frozen=True, slots=True)
class SubPath:
    """From (alpha_s, sigma_s), the noisier end, to (alpha_e, sigma_e). ValueError: they are not in that order."""

    alpha_s: float
    sigma_s: float
    alpha_e: float
    sigma_e: float

    def __post_init__(self) -> None:
        if not (min(self.alpha_s, self.alpha_e) > 0 and self.sigma_e >= 0 and self.noise(0) < self.sigma_s):
            raise ValueError(
                f"got (alpha, sigma) ({self.alpha_s}, {self.sigma_s}) to ({self.alpha_e}, {self.sigma_e}); "
                "allowed: alpha above 0, sigma/alpha that falls"
            )

    @classmethod
    def between(cls, schedule: Any, start: float, end: float) -> SubPath:
        """Between two times of a schedule (a generated ``coefficients`` module)."""
        points = [schedule.node(real(t)) for t in (start, end)]
        return cls(*(float(v) for p in points for v in (p.alpha, p.sigma)))

    @property
    def scale(self) -> float:
        """alpha_s/alpha_e."""
        return self.alpha_s / self.alpha_e

    def noise(self, g: float) -> float:
        """sigma_g; alpha is alpha_s for every g. ValueError: g outside [0, 1]."""
        self._check(g)
        return math.hypot(g * self.sigma_s, math.sqrt((1 - g) * (1 + g)) * self.scale * self.sigma_e)

    def state(self, x_s: torch.Tensor, x_e: torch.Tensor, g: float) -> torch.Tensor:
        """x_g, of the shape [B, *S] of both."""
        self._check(g)
        checks.same_shape(x_e, x_s, "x_e")
        return g * x_s + (1 - g) * self.scale * x_e

    def time(self, schedule: Any, g: float) -> float:
        """The time of the schedule with sigma/alpha = sigma_g/alpha_s: x_g times alpha(t)/alpha_s is a state of its path."""
        return time_of(schedule, "rho", self.noise(g) / self.alpha_s)

    @staticmethod
    def _check(g: float) -> None:
        if not 0 <= g <= 1:
            raise ValueError(f"g: got {g!r}; allowed: 0 to 1")


__all__ = ["SubPath"]
