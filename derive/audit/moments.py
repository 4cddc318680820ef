r"""Where a row stands in the moment family: which moments it reproduces, by which factor the others are off, its order.

    mt_k = sum_j w_j theta_j^k   against   m_k = k! phi_{k+1}(z),   order p <=> mt_k - m_k = O(h^{p-k}) for all k < p

The same row is probed on grids whose steps are halved with all ratios kept, so every residual is c h^e with an exponent
that two levels show and three confirm; a residual of rounding size on all levels vanishes. Where the code runs on exact
numbers (:mod:`derive.audit.exact`), one grid shows c and e themselves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from derive.audit.leading import Term, fraction, leading
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
    """mt_k beside m_k over the levels, as ``residual`` ~ c h^exponent (None: vanishes); ratio: mt_k/m_k for h -> 0.

    term, limit: c h^exponent and the ratio as they were read off exact numbers, where the row was run on these.
    """

    k: int
    got: tuple[float, ...]
    exact: tuple[float, ...]
    exponent: int | None
    ratio: float
    term: Term | None = None
    limit: Fraction | None = None

    @property
    def order(self) -> int | None:
        """The highest order of the row that this moment allows."""
        return None if self.exponent is None else self.k + self.exponent

    @property
    def factor(self) -> str:
        """The ratio as a fraction, where it is one."""
        if self.limit is not None:
            return str(self.limit)
        if self.term is not None or abs(self.ratio) > 1e6:
            return f"{self.ratio:.6g}" if self.exponent == 0 else "diverges"
        near = Fraction(self.ratio).limit_denominator(48)
        return str(near) if abs(float(near) - self.ratio) < 2e-3 else f"{self.ratio:.4g}"


@dataclass(frozen=True, slots=True)
class RowFound:
    """One row, judged: ``order`` and the moments; ``levels`` are on grids of one shape, the last one as h -> 0."""

    levels: tuple[Weights, ...]
    moments: tuple[Moment, ...]

    @property
    def order(self) -> int:
        return min((m.order for m in self.moments if m.order is not None), default=MOMENTS)

    @property
    def limiting(self) -> Moment | None:
        """The first moment that stops the order."""
        return next((m for m in self.moments if m.order == self.order), None)

    @property
    def values(self) -> int:
        """How many values it combines."""
        return len(self.levels[-1].nodes)


def exact_moment(k: int, z: Any) -> Any:
    """int_0^1 exp(z (1 - theta)) theta^k dtheta = k! phi_{k+1}(z), of a float or an mpf."""
    found = mpmath.hyp1f1(1, k + 2, z) / (k + 1)
    return found if isinstance(z, mpmath.mpf) else float(found)


def interpolatory(nodes: Sequence[float], z: float) -> list[float]:
    """The weights on ``nodes`` that reproduce the first moments."""
    matrix = np.array([[theta**k for theta in nodes] for k in range(len(nodes))])
    return list(np.linalg.solve(matrix, [exact_moment(k, z) for k in range(len(nodes))]))


def right(row: Weights) -> list[tuple[float, float, float]]:
    """(theta, weight, exact weight): beside the row that reproduces as many moments as it has values."""
    return list(zip(row.nodes, row.weights, interpolatory(row.nodes, row.z)))


def judged(levels: Sequence[Weights]) -> RowFound:
    """The same row in float64 on grids of one shape, coarse to fine."""
    return RowFound(tuple(levels), tuple(_moment(k, levels) for k in range(MOMENTS)))


def judged_exactly(row: Weights) -> RowFound:
    """A row of exact numbers at h = 10^-GAP. Inexact where its residuals are not those of an exact computation."""
    return RowFound((row,), tuple(_exactly(k, row) for k in range(MOMENTS)))


def _exactly(k: int, row: Weights) -> Moment:
    got, exact = moment(k, row), exact_moment(k, row.z)
    term = leading(got - exact, row.h)
    limit = fraction(got / exact) if abs(got) < 1e9 else None
    return Moment(k, (got,), (exact,), term.exponent if term else None, float(got / exact), term, limit)


def moment(k: int, row: Weights) -> Any:
    """mt_k."""
    return sum(w * theta**k for theta, w in zip(row.nodes, row.weights))


def _moment(k: int, levels: Sequence[Weights]) -> Moment:
    got = tuple(moment(k, row) for row in levels)
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


__all__ = [
    "Moment", "RowFound", "exact_moment", "exponent", "interpolatory", "judged", "judged_exactly", "moment", "right",
]  # fmt: skip
