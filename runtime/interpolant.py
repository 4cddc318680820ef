r"""Two-sided stochastic interpolants: x_t = a(t) x0 + b(t) x1 + gamma(t) z between two data sets, t from 0 to 1.

    v   = E[a' x0 + b' x1 | x_t]        velocity
    eta = E[z | x_t]                    denoiser,     s = -eta/gamma   score
    b   = v + gamma' eta = v - gamma gamma' s         drift:  dx = b dt has the law of x_t at every t
    dx  = (b + eps s) dt + sqrt(2 eps) dW             has it too, for any eps(t) >= 0;
    dx  = (b - eps s) dt + sqrt(2 eps) dW             from t = 1 to 0, dt < 0

(arXiv:2303.08797, sections 2 and 4). gamma' of the Brownian gamma = sqrt(t (1 - t)) is infinite at both ends; gamma gamma'
= (1 - 2 t)/2 is not, and it is all that the conversions take. One-sided interpolants are the schedule ``interpolant``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from runtime import checks

Field = Callable[[Tensor, Tensor], Tensor]


class Weights(NamedTuple):
    """a, b, gamma, their slopes, and gamma gamma'; float64 tensors of the shape of t. dgamma is infinite where it is."""

    a: Tensor
    b: Tensor
    gamma: Tensor
    da: Tensor
    db: Tensor
    dgamma: Tensor
    product: Tensor


def _brownian(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    gamma, product = torch.sqrt(t * (1 - t)), (1 - 2 * t) / 2
    return gamma, product / gamma, product


def _quadratic(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    gamma, slope = t * (1 - t), 1 - 2 * t
    return gamma, slope, gamma * slope


def _sine_squared(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sine = torch.sin(math.pi * torch.minimum(t, 1 - t))  # exactly 0 at both ends
    gamma, slope = sine**2, 2 * math.pi * sine * torch.cos(math.pi * t)
    return gamma, slope, gamma * slope


def _zero(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return (torch.zeros_like(t),) * 3


GAMMAS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "brownian": _brownian, "quadratic": _quadratic, "sine_squared": _sine_squared, "zero": _zero,
}  # fmt: skip
"""By name: t -> (gamma, gamma', gamma gamma')."""


def _linear(t: Tensor, gamma: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    one = torch.ones_like(t)
    return 1 - t, t, -one, one


def _trig(t: Tensor, gamma: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """On the circle that gamma leaves: a^2 + b^2 + gamma^2 = 1."""
    radius, half = torch.sqrt(1 - gamma**2), math.pi / 2
    cosine, sine, slope = torch.sin(half * (1 - t)), torch.sin(half * t), -product / radius
    return radius * cosine, radius * sine, slope * cosine - half * radius * sine, slope * sine + half * radius * cosine


def _encoding_decoding(t: Tensor, gamma: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x0 until t = 1/2, x1 from there: between them only gamma z."""
    first, zero = t <= 0.5, torch.zeros_like(t)
    weight, slope = torch.cos(math.pi * t) ** 2, -math.pi * torch.sin(2 * math.pi * t)
    return (
        torch.where(first, weight, zero), torch.where(first, zero, weight),
        torch.where(first, slope, zero), torch.where(first, zero, slope),
    )  # fmt: skip


def _mirror(t: Tensor, gamma: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_t = x1 + gamma z: from the data back to the data."""
    zero = torch.zeros_like(t)
    return zero, torch.ones_like(t), zero, zero


PATHS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]] = {
    "linear": _linear, "trig": _trig, "encoding_decoding": _encoding_decoding, "mirror": _mirror,
}  # fmt: skip
"""By name: (t, gamma, gamma gamma') -> (a, b, a', b')."""


@dataclass(frozen=True, slots=True)
class Interpolant:
    """One of :data:`PATHS` and one of :data:`GAMMAS`. ValueError for a pair that is singular inside (0, 1).

    Times are numbers, or tensors 0-d or [B] from 0 to 1; all others are [B, *S] of one floating dtype, which is kept.
    """

    path: str = "linear"
    gamma: str = "brownian"

    def __post_init__(self) -> None:
        checks.choice("path", self.path, PATHS)
        checks.choice("gamma", self.gamma, GAMMAS)
        if self.gamma == "zero" and self.path in ("encoding_decoding", "mirror"):
            raise ValueError(
                f"gamma: got 'zero' with path {self.path!r}, whose noise carries it; allowed: another gamma"
            )
        if (self.path, self.gamma) == ("trig", "sine_squared"):
            raise ValueError(
                "gamma: got 'sine_squared' with path 'trig', which has a kink where gamma = 1; allowed: another"
            )

    def weights(self, t: Any) -> Weights:
        """All weights at t. ValueError outside 0 to 1."""
        time = torch.as_tensor(t, dtype=torch.float64)
        if not bool(((time >= 0) & (time <= 1)).all()):
            raise ValueError(f"t: got {time.min().item()!r} to {time.max().item()!r}; allowed: 0.0 to 1.0")
        gamma, dgamma, product = GAMMAS[self.gamma](time)
        a, b, da, db = PATHS[self.path](time, gamma, product)
        return Weights(a, b, gamma, da, db, dgamma, product)

    # Training

    def at(self, t: Any, x0: Tensor, x1: Tensor, z: Tensor) -> Tensor:
        """x_t."""
        w = self.weights(t)
        return _like(w.a, x0) * x0 + _like(w.b, x0) * x1 + _like(w.gamma, x0) * z

    def velocity_target(self, t: Any, x0: Tensor, x1: Tensor) -> Tensor:
        """a' x0 + b' x1, whose conditional mean is v; z is the target of eta."""
        w = self.weights(t)
        return _like(w.da, x0) * x0 + _like(w.db, x0) * x1

    def drift_target(self, t: Any, x0: Tensor, x1: Tensor, z: Tensor) -> Tensor:
        """a' x0 + b' x1 + gamma' z, whose conditional mean is b. Infinite where gamma' is: train v and eta for those."""
        return self.velocity_target(t, x0, x1) + _like(self.weights(t).dgamma, z) * z

    # Conversions

    def score(self, t: Any, eta: Tensor) -> Tensor:
        """s = -eta/gamma; infinite where gamma = 0. ValueError for gamma zero, which says nothing about it."""
        self._noisy("score")
        return -eta / _like(self.weights(t).gamma, eta)

    def denoiser(self, t: Any, score: Tensor) -> Tensor:
        """eta = -gamma s."""
        return -_like(self.weights(t).gamma, score) * score

    def drift(self, t: Any, velocity: Tensor, score: Tensor) -> Tensor:
        """b = v - gamma gamma' s: finite at both ends."""
        return velocity - _like(self.weights(t).product, score) * score

    def velocity(self, t: Any, drift: Tensor, score: Tensor) -> Tensor:
        """v = b + gamma gamma' s."""
        return drift + _like(self.weights(t).product, score) * score

    def forward(self, drift: Tensor, score: Tensor, eps: float) -> Tensor:
        """b + eps s: the drift of the SDE from t = 0 to 1, whose noise is sqrt(2 eps) dW. ValueError if eps < 0."""
        return drift + self._strength(eps) * score

    def backward(self, drift: Tensor, score: Tensor, eps: float) -> Tensor:
        """b - eps s: that of the SDE from t = 1 to 0."""
        return drift - self._strength(eps) * score

    # Sampling

    @staticmethod
    def network(drift: Field, score: Field | None = None, strength: float = 0.5) -> Field:
        """The network of a solver of the flow schedule that takes velocities: ``sample`` goes from x0 to x1.

        drift, score: b(x, t) and s(x, t); time runs from 1 to 0 for the solver. Without a score: the ODE, by a deterministic
        solver (``generated.flow_rk4``; direction="inversion" goes from x1 to x0), and a solver of the schedule
        ``interpolant`` takes the drift as it is. With one: the SDE of eps(t) = strength (1 - t), by a solver with
        tau = sqrt(strength alpha) (``generated.flow_stochastic_heun``: 1/2). Its own SDE has the drift
        (1 + strength (1 - t)) raw + strength x, in its time; what is returned makes that -(b + eps s).
        """
        if score is None:
            return lambda x, t: -drift(x, 1 - t)
        if not (isinstance(strength, (int, float)) and math.isfinite(strength) and strength > 0):
            raise ValueError(f"strength: got {strength!r}; allowed: a finite number above 0")

        def network(x: Tensor, t: Tensor) -> Tensor:
            rest = _like(strength * t, x)
            forward = drift(x, 1 - t) + rest * score(x, 1 - t)
            return -(forward + strength * x) / (1 + strength - rest)

        return network

    def _noisy(self, what: str) -> None:
        if self.gamma == "zero":
            raise ValueError(f"{what}: gamma is 'zero', so there is no z to estimate; allowed: another gamma")

    def _strength(self, eps: float) -> float:
        self._noisy("eps")
        if not (isinstance(eps, (int, float)) and math.isfinite(eps) and eps >= 0):
            raise ValueError(f"eps: got {eps!r}; allowed: a finite number from 0")
        return float(eps)


def _like(weight: Tensor, x: Tensor) -> Tensor:
    """The weight in x's dtype and place: 0-d, or [B, 1, .., 1]."""
    weight = weight.to(x)
    return weight if weight.dim() == 0 else weight.reshape(-1, *(1,) * (x.dim() - 1))


__all__ = ["GAMMAS", "PATHS", "Interpolant", "Weights"]
