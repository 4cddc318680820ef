r"""All rows of a sampler, judged: in exact numbers where its code runs on these, else in float64, on three patterns of steps.

A coefficient that is right for one sequence of step ratios only fails on another. Exact grids after the first start and end
far away (lambda = -1 and 1), so that a coefficient that depends on where the run began is seen as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp
import torch

from derive.audit import leading
from derive.audit.exact import DIGITS, GAP, Exactly, Inexact, number
from derive.audit.guard import words
from derive.audit.moments import Moment, RowFound, judged, judged_exactly
from derive.audit.probe import LEVELS, STEPS, Weights, grid, integrand_of, probe
from derive.audit.sampler import Sampler

Pattern = tuple[Fraction, ...]


def _tenths(*values: int) -> Pattern:
    return tuple(Fraction(value, 20) for value in values)


PATTERNS = (
    _tenths(20, 14, 26, 17, 23, 12, 28, 18, 25),
    _tenths(20, 33, 15, 24, 11, 21, 30),
    _tenths(20, 13, 9, 22, 35, 16, 27, 19, 12, 31, 14),
)
WHOLE = 1e-3
CENTRES = ("1/2", "-1/3")
"""Where the steps of an exact grid are, in lambda, after the first one: about 0."""


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of one run on the first pattern, and those of the middle of a run on each pattern.

    refused: why exact numbers were not used, "" where they were.
    """

    integrand: str
    first: tuple[RowFound, ...]
    middles: tuple[tuple[RowFound, ...], ...]
    refused: str = ""

    @property
    def exact(self) -> bool:
        return not self.refused

    @property
    def middle(self) -> tuple[RowFound, ...]:
        """Of all patterns."""
        return tuple(row for rows in self.middles for row in rows)

    @property
    def main(self) -> RowFound:
        """The row of lowest order in the middle; of such the one with most values."""
        return min(self.middle, key=lambda row: (row.order, -row.values))

    @property
    def pattern(self) -> Pattern:
        """On which the main row was found."""
        main = self.main
        return next(p for p, rows in zip(PATTERNS, self.middles) if any(row is main for row in rows))

    @property
    def orders(self) -> tuple[int, ...]:
        """By step: the lowest of all patterns in the middle, of the first one near the ends."""
        found = [row.order for row in self.first]
        for row in self.middle:
            n = row.levels[0].step
            found[n] = min(found[n], row.order) if n < len(found) else row.order
        return tuple(found)

    @property
    def whole(self) -> int:
        """min over the rows at the ends of order + 1, and the order of the middle: the order of a whole run."""
        inside = _inside(len(self.first))
        ends = [row.order for n, row in enumerate(self.first) if n not in inside]
        return min((self.main.order, *(order + 1 for order in ends)))

    @property
    def rate(self) -> Any:
        """K; a whole number where the state is carried as with one up to what a step leaves."""
        row = self.main.levels[-1]
        with mpmath.workdps(DIGITS):
            rate = abs(row.z) / row.h
        near = round(float(rate))
        return near if abs(rate - near) < WHOLE else rate

    def law(self, m: Moment) -> sp.Expr | None:
        """Of the main row's moment m: the limit of got/exact (exponent 0), else the coefficient of its residual, as a
        function of the step ratios over all rows in the middle that combine as many values. None: not exact, or no law."""
        main = self.main
        if not self.exact or m.exponent is None:
            return None
        with mpmath.workdps(DIGITS):
            return _law(self, main, m.k, m.exponent)


@lru_cache(maxsize=64)
def _law(rows: Rows, main: RowFound, k: int, exponent: int) -> sp.Expr | None:
    width = len(leading.ratios(main.levels[-1].nodes) or ())
    samples = []
    for row in rows.middle:
        at = leading.ratios(row.levels[-1].nodes)
        value = _value(row.moments[k], exponent)
        if row.values == main.values and value is not None and at is not None and len(at) == width:
            samples.append((at, value))
        elif row.values == main.values:
            return None
    return leading.law(samples)


def _value(m: Moment, exponent: int) -> Fraction | None:
    if exponent == 0:
        return m.limit
    if m.term is None or m.term.exponent > exponent:
        return Fraction(0)
    return m.term.fraction if m.term.exponent == exponent else None


def _inside(count: int) -> range:
    """Steps that are neither near the start nor near the end."""
    return range((3 * count) // 8, (3 * count) // 4)


def rows_of(sampler: Sampler, patterns: Sequence[Pattern] = PATTERNS, refused: str = "") -> Rows:
    """The sampler's rows: exact if its code allows, else on five grids of each pattern. refused: why not exact."""
    seen = integrand_of(sampler, grid(0))
    integrand = seen.integrand
    if refused:
        return _levels(sampler, integrand, patterns, refused)
    try:
        with Exactly(), torch.no_grad():
            return _exact(sampler, integrand, patterns, seen.calls)
    except (Exception, SystemExit) as error:  # foreign code: on numbers that are no floats it may throw anything
        refused = words(error) if isinstance(error, Inexact) else f"{type(error).__name__} on exact numbers"
    return _levels(sampler, integrand, patterns, refused)


def _levels(sampler: Sampler, integrand: str, patterns: Sequence[Pattern], refused: str) -> Rows:
    found = [_floats(sampler, integrand, p) for p in patterns]
    middles = tuple(tuple(rows[n] for n in _inside(len(rows))) for rows in found)
    return Rows(integrand, found[0], middles, " ".join(refused.split())[:100])


def _exact(sampler: Sampler, integrand: str, patterns: Sequence[Pattern], calls: int) -> Rows:
    first = tuple(judged_exactly(row) for row in probe(sampler, integrand, exact_grid(patterns[0]), calls).rows)
    middles = [tuple(first[n] for n in _inside(len(first)))]
    for pattern, centre in zip(patterns[1:], CENTRES):
        rows = probe(sampler, integrand, exact_grid(pattern, Fraction(centre), far=True), calls).rows
        middles.append(tuple(judged_exactly(rows[n]) for n in _inside(len(rows))))
    return Rows(integrand, first, tuple(middles))


def _floats(sampler: Sampler, integrand: str, pattern: Pattern) -> tuple[RowFound, ...]:
    sizes = [float(size) for size in pattern]
    runs = [probe(sampler, integrand, grid(level, pattern=sizes)).rows for level in range(LEVELS)]
    return tuple(judged([rows[n] for rows in runs]) for n in range(len(runs[0])))


def exact_grid(pattern: Pattern, centre: Fraction = Fraction(0), far: bool = False) -> list[Any]:
    """STEPS steps of a pattern, times h = 10^-GAP; far: the first and the last point are at -1 and 1."""
    h, lams = mpmath.mpf(10) ** -GAP, [mpmath.mpf(0)]
    for i in range(STEPS):
        lams.append(lams[-1] + h * number(pattern[i % len(pattern)]))
    middle = lams[STEPS // 2]
    out = [lam - middle + number(centre) for lam in lams]
    return [mpmath.mpf(-1), *out[1:-1], mpmath.mpf(1)] if far else out


def coarse(sampler: Sampler, rows: Rows) -> Weights:
    """The main row on a grid of steps that can be read, in float64."""
    main = rows.main.levels[0]
    return (
        main
        if not rows.exact
        else probe(sampler, rows.integrand, grid(0, pattern=[float(s) for s in rows.pattern])).rows[main.step]
    )


__all__ = ["PATTERNS", "Rows", "coarse", "exact_grid", "rows_of"]
