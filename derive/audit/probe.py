r"""Black-box probing: basis vectors as network outputs make the coefficients of a sampler visible as its states.

With x_0 = e_0 and the j-th output e_j the state is the vector of its own coefficients, so the row of a step is

    X_{n+1} - Phi X_n = C h sum_j w_j e_j,      theta_j = (lambda_j - lambda_n)/h.

Which integrand F a method combines shows by itself: only with that one do the rows have few entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
import torch

from derive.audit.exact import DIGITS, log
from derive.audit.sampler import INTEGRANDS, Recorder, Sampler, Unusable

STEPS = 24
PATTERN = (1.0, 0.7, 1.3, 0.85, 1.15, 0.6, 1.4, 0.9, 1.25)
"""Relative step sizes, repeated: the same ratios at every size."""
LENGTH = 0.32
LEVELS = 5
EMPTY = 1e-11
"""Of the largest weight of a row: what is smaller is rounding; among exact numbers, 10^-(DIGITS/2)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One step: h, the rate of z = sign rate h, and (theta, weight) of the values that it reads, weight in units of C h.

    carried: |X_{n+1}[0] - Phi X_n[0]| relative, how far the state is not carried by Phi.
    """

    step: int
    h: float
    z: float
    nodes: tuple[float, ...]
    weights: tuple[float, ...]
    carried: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Probed:
    """The rows of one run, and how often it asked; dense: the largest number of values that a row reads."""

    integrand: str
    rows: tuple[Weights, ...]
    calls: int

    @property
    def dense(self) -> int:
        return max(len(row.nodes) for row in self.rows)


def grid(level: int, steps: int = STEPS, pattern: Sequence[float] = PATTERN) -> list[float]:
    """Half log SNRs: steps of a pattern around 0, halved with every level."""
    sizes = [LENGTH * pattern[i % len(pattern)] * 2.0**-level for i in range(steps)]
    lams = [0.0]
    for size in sizes:
        lams.append(lams[-1] + size)
    return [lam - lams[steps // 2] for lam in lams]


def probe(sampler: Sampler, integrand: str, lams: Sequence[float], calls: int | None = None) -> Probed:
    """The rows of a run over ``lams``. Unusable if there is no state at every grid point, or no call.

    calls: how many there will be, if that is known (8 a step at most).
    """
    recorder = Recorder(integrand, 8 * len(lams) if calls is None else calls + 2, isinstance(lams[0], mpmath.mpf))
    sampler.run(recorder.network, recorder.start, lams, recorder.accept)
    if not recorder.at:
        raise Unusable("never calls the network")
    states = recorder.states
    ends = _ends(sampler, states, lams)
    rows = tuple(_row(sampler, recorder, integrand, n, ends) for n in range(len(ends) - 1))
    return Probed(integrand, rows, len(recorder.at))


def _ends(sampler: Sampler, states: Sequence[torch.Tensor], lams: Sequence[float]) -> list[tuple[float, torch.Tensor]]:
    """(lambda, state) of every state that is final."""
    if len(states) == len(lams):
        return list(zip(lams, states))
    groups = getattr(sampler, "grid_points", [])
    if not groups or len(groups) != len(states):
        raise Unusable(f"shows {len(states)} final states on a grid of {len(lams)} points")
    return [(lams[i], state) for i, state in zip(groups, states)]


def _row(
    sampler: Sampler, recorder: Recorder, integrand: str, n: int, ends: Sequence[tuple[float, torch.Tensor]]
) -> Weights:
    kind = INTEGRANDS[integrand]
    (lam, x), (to, y) = ends[n], ends[n + 1]
    here, there = sampler.scales(lam), sampler.scales(to)
    h, plain = to - lam, kind.ratio(here, there)
    carried = (y[0] / x[0]).item()
    rate = _rate(log(plain / carried) / h) if integrand == "data" and carried > 0 else 1.0
    difference = y - carried * x
    scale = kind.prefactor(there) * h * rate
    found = [(recorder.at[j - 1], difference[j].item() / scale) for j in range(1, len(recorder.at) + 1)]
    largest = max((abs(w) for _, w in found), default=0.0)
    empty = mpmath.mpf(10) ** -(DIGITS // 2) if recorder.exact else EMPTY
    used = [((at - lam) / h, w) for at, w in found if abs(w) > empty * max(largest, 1e-300)]
    merged: dict[float, float] = {}
    for theta, w in used:
        key = next((k for k in (0.0, 1.0, *merged) if abs(k - theta) < 1e-8), theta)
        merged[key] = merged.get(key, 0.0) + w
    nodes = sorted(merged, reverse=True)
    gap = abs(carried / plain - 1)
    return Weights(n, h, kind.sign * rate * h, tuple(nodes), tuple(merged[k] for k in nodes), gap, there[0])


def _rate(decay: float) -> float:
    """1 + tau^2 of a stochastic sampler without its noise, from what it carries the state with."""
    rate = 1 + decay
    near = round(float(rate))
    return near if abs(rate - near) < 1e-6 else rate


def integrand_of(sampler: Sampler, lams: Sequence[float]) -> Probed:
    """The run on the integrand whose rows read the fewest values; the data prediction where there is no difference."""
    found = {name: probe(sampler, name, lams) for name in INTEGRANDS}
    return found[min(found, key=lambda name: (found[name].dense, name))]


__all__ = ["LEVELS", "STEPS", "Probed", "Weights", "grid", "integrand_of", "probe"]
