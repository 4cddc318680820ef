r"""What every audited sampler is adapted to: a run over given half log SNRs, with the network in our hands.

A network is asked as network(x, alpha, sigma) and answers with the data prediction; the adapter turns that into whatever
its library wants. ``accept(x)`` hears of every state that is final at a grid point, in order, N + 1 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from derive.audit.exact import Exact, entries, exp, log, sqrt

Network = Callable[[torch.Tensor, float, float], torch.Tensor]
Accept = Callable[[torch.Tensor], None]


class Unusable(RuntimeError):
    """A run that ends and shows nothing; its message says what it does instead."""


class Sampler(Protocol):
    """A solver of somebody else. State: [1, n] of the dtype that it is given, or exact where the grid is of mpf."""

    target: str
    claimed: int | None
    source: str

    @property
    def what(self) -> str:
        """What it is, in a line."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed in order to audit it."""

    def scales(self, lam: float) -> tuple[float, float]:
        """(alpha, sigma) at lambda = log(alpha/sigma)."""

    def run(self, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        """From lams[0] to lams[-1]."""


def variance_preserving(lam: float) -> tuple[float, float]:
    return 1 / sqrt(1 + exp(-2 * lam)), 1 / sqrt(1 + exp(2 * lam))


def variance_exploding(lam: float) -> tuple[float, float]:
    return 1.0, exp(-lam)


def straight(lam: float) -> tuple[float, float]:
    """Flow matching: alpha = 1 - t, sigma = t."""
    return 1 / (1 + exp(-lam)), 1 / (1 + exp(lam))


PATHS: dict[str, Callable[[float], tuple[float, float]]] = {
    "variance preserving": variance_preserving,
    "variance exploding": variance_exploding,
    "flow": straight,
}


def kept(states: list[torch.Tensor]) -> Accept:
    """An ``accept`` that adds copies to ``states``: code may change its state in place afterwards."""

    def accept(x: torch.Tensor) -> None:
        states.append(state(x).detach().clone())

    return accept


def state(x: object) -> torch.Tensor:
    """x. Unusable if it is no tensor."""
    if not isinstance(x, torch.Tensor):
        raise Unusable("returns no state" if x is None else f"returns a {type(x).__name__} for a state")
    return x


@dataclass
class Recorder:
    """Calls and accepted states of one run: what a run on basis vectors shows.

    integrand: what the basis vectors are values of (:data:`INTEGRANDS`); exact: numbers of many digits instead of floats.
    """

    integrand: str
    width: int
    exact: bool = False
    at: list[float] = field(default_factory=list)
    states: list[torch.Tensor] = field(default_factory=list)

    def network(self, x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        self.at.append(log(alpha / sigma))
        if len(self.at) >= self.width:
            raise RuntimeError(f"more than {self.width - 1} network calls")
        unit = torch.zeros_like(x)
        unit[..., len(self.at)] = 1
        return INTEGRANDS[self.integrand].data(x, unit, alpha, sigma)

    def accept(self, x: torch.Tensor) -> None:
        kept(self.states)(state(x).reshape(-1))

    @property
    def start(self) -> torch.Tensor:
        x = torch.zeros(1, self.width, dtype=torch.float64)
        x[0, 0] = 1
        return Exact(entries(x)) if self.exact else x


@dataclass(frozen=True, slots=True)
class Integrand:
    """What a step combines: the data prediction from its value; Phi and the prefactor C of its rows; the sign of z.

    x_t = Phi x_s + C h sum_j w_j F_j, with the kernel exp(z (1 - theta)), z = sign h.
    """

    data: Callable[[Any, Any, float, float], Any]
    ratio: Callable[[tuple[float, float], tuple[float, float]], float]
    prefactor: Callable[[tuple[float, float]], float]
    sign: int


INTEGRANDS: dict[str, Integrand] = {
    "data": Integrand(lambda x, f, a, s: f, lambda u, v: v[1] / u[1], lambda v: v[0], -1),
    "noise": Integrand(lambda x, f, a, s: (x - s * f) / a, lambda u, v: v[0] / u[0], lambda v: -v[1], 1),
}

__all__ = ["INTEGRANDS", "PATHS", "Accept", "Integrand", "Network", "Recorder", "Sampler", "Unusable", "kept", "state"]
