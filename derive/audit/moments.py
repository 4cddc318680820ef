r"""Where a row stands in the moment family: which moments it reproduces, by which factor the others are off, its order.

    mt_k = sum_j w_j theta_j^k   against   m_k = k! phi_{k+1}(z),   order p <=> mt_k - m_k = O(h^{p-k}) for all k < p

The same row is probed on grids whose steps are halved with all ratios kept, so every residual is c h^e with an exponent
that two levels show and three confirm; a residual of rounding size on all levels vanishes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from derive.audit.probe import Weights

MOMENTS = 7
NOISE = 2e-10
"""Residuals below this, in units of m_0, are rounding: weights come from differences that lose five digits."""
CONFIRMED = 0.25
"""How far an exponent may be from a whole number."""
AGREED = 0.35
"""How far two exponents one after the other may be apart, to be those of one power."""


@dataclass(frozen=True, slots=True)
class Moment:
    """mt_k beside m_k over the levels, as ``residual`` ~ c h^exponent (None: vanishes); ratio: mt_k/m_k for h -> 0."""

    k: int
    got: tuple[float, ...]
    exact: tuple[float, ...]
    exponent: int | None
    ratio: float

    @property
    def order(self) -> int | None:
        """The highest order of the row that this moment allows."""
        return None if self.exponent is None else self.k + self.exponent

    @property
    def factor(self) -> str:
        """The ratio as a fraction, where it is one."""
        near = Fraction(self.ratio).limit_denominator(48)
        return str(near) if abs(float(near) - self.ratio) < 2e-3 else f"{self.ratio:.4g}"


@dataclass(frozen=True, slots=True)
class RowFound:
    """One row, judged: ``order`` and the moments; the finest level's weights are beside the exact ones."""

    levels: tuple[Weights, ...]
    moments: tuple[Moment, ...]

    @property
    def order(self) -> int:
        return min((m.order for m in self.moments if m.order is not None), default=MOMENTS)

    @property
    def limiting(self) -> Moment | None:
        """The first moment that stops the order."""
        return next((m for m in self.moments if m.order == self.order), None)

    def right(self) -> list[tuple[float, float, float]]:
        """(theta, weight, exact weight) on the coarsest level: the row that reproduces as many moments as it has values."""
        row = self.levels[0]
        exact = interpolatory(row.nodes, row.z)
        return list(zip(row.nodes, row.weights, exact))


def phi(k: int, z: float) -> float:
    """phi_k(z) for |z| of order one: its series."""
    total, term = 0.0, 1.0 / math.factorial(k)
    for n in range(1, 80):
        total, term = total + term, term * z / (n + k)
    return total


def exact_moment(k: int, z: float) -> float:
    """int_0^1 exp(z (1 - theta)) theta^k dtheta = k! phi_{k+1}(z)."""
    return math.factorial(k) * phi(k + 1, z)


def interpolatory(nodes: Sequence[float], z: float) -> list[float]:
    """The weights on ``nodes`` that reproduce the first moments."""
    matrix = np.array([[theta**k for theta in nodes] for k in range(len(nodes))])
    return list(np.linalg.solve(matrix, [exact_moment(k, z) for k in range(len(nodes))]))


def judged(levels: Sequence[Weights]) -> RowFound:
    """The same row on grids of one shape, coarse to fine."""
    return RowFound(tuple(levels), tuple(_moment(k, levels) for k in range(MOMENTS)))


def _moment(k: int, levels: Sequence[Weights]) -> Moment:
    got = tuple(sum(w * theta**k for theta, w in zip(row.nodes, row.weights)) for row in levels)
    exact = tuple(exact_moment(k, row.z) for row in levels)
    residuals = [g - m for g, m in zip(got, exact)]
    ratio = _extrapolated([g / m for g, m in zip(got, exact)][:4])
    return Moment(k, got, exact, exponent(residuals, _noise(k, levels)), ratio)


def _noise(k: int, levels: Sequence[Weights]) -> float:
    """Rounding of a moment: weights of both signs at large theta cancel."""
    row = levels[-1]
    return NOISE * max(1.0, sum(abs(w * theta**k) for theta, w in zip(row.nodes, row.weights)))


def exponent(residuals: Sequence[float], noise: float) -> int | None:
    """e of c h^e, h halved from one to the next; None if all is rounding; the last two that are clear of it decide."""
    clear = []
    for value in residuals:
        if abs(value) <= noise:
            break
        clear.append(value)
    if len(clear) < 2:
        return None
    slopes = [math.log2(abs(a / b)) for a, b in itertools.pairwise(clear)]
    best = 2 * slopes[-1] - slopes[-2] if len(slopes) > 1 and abs(clear[-1]) > 100 * noise else slopes[-1]
    if len(slopes) > 1 and abs(slopes[-1] - slopes[-2]) < AGREED and abs(best - round(best)) < CONFIRMED:
        return round(best)
    if len(slopes) > 2 and max(slopes[-3:]) < -0.6:
        return round(slopes[-1])
    if abs(_extrapolated(clear[-4:])) > 0.3 * abs(clear[-1]):
        return 0  # a limit that is not zero, whatever signs the coarse levels have
    return max(round(slopes[-1]), 0)


def _extrapolated(values: Sequence[float]) -> float:
    """The limit of a smooth sequence in h, h halved: Neville to h = 0."""
    row = list(values)
    for depth in range(1, len(row)):
        row = [(2**depth * b - a) / (2**depth - 1) for a, b in itertools.pairwise(row)]
    return row[0]


__all__ = ["Moment", "RowFound", "exact_moment", "exponent", "interpolatory", "judged", "phi"]
