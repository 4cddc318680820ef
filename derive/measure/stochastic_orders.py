"""The order of a stochastic scheme on the linear problem of :mod:`derive.measure.stochastic`: Richardson exponents of exact errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from derive.measure.order import PATTERN, OrderFit, fit_order
from derive.measure.stochastic import LinearSDE, Moments, Scheme, moments
from runtime.real import Real

LAMBDA = (Fraction(-1), Fraction(1))
"""The range of lambda over which orders are measured."""
EXACT = 1e-50
"""Errors below are rounding: the scheme is exact there."""


def uniform(n: int) -> tuple[Fraction, ...]:
    """n equal steps over LAMBDA."""
    return tuple(LAMBDA[0] + (LAMBDA[1] - LAMBDA[0]) * Fraction(i, n) for i in range(n + 1))


def rough(n: int) -> tuple[Fraction, ...]:
    """n steps over LAMBDA whose sizes repeat a pattern: their ratios stay as they are when n grows by a factor."""
    sizes = [Fraction(str(PATTERN[i % len(PATTERN)])) for i in range(n)]
    unit, out = (LAMBDA[1] - LAMBDA[0]) / sum(sizes), [LAMBDA[0]]
    for size in sizes:
        out.append(out[-1] + size * unit)
    return tuple(out)


GRIDS: dict[str, Callable[[int], tuple[Fraction, ...]]] = {"lambda": uniform, "rough": rough}


@dataclass(frozen=True, slots=True)
class StochasticOrders:
    """Fits of errors at the end of the grid (None: exact): of mean and variance together, and of the square distance."""

    moments: OrderFit | None
    distance: OrderFit | None
    """Of the mean square: twice the strong order."""

    @property
    def weak(self) -> float:
        """Of the sum of the errors of mean and variance: the lower order (inf: both exact)."""
        return float("inf") if self.moments is None else self.moments.order_estimate

    @property
    def strong(self) -> float:
        """Half the order of the mean square distance."""
        return float("inf") if self.distance is None else self.distance.order_estimate / 2

    @property
    def decided(self) -> bool:
        """Whether both fits are."""
        return all(fit.decided for fit in (self.moments, self.distance) if fit is not None)


def weak_error(m: Moments) -> Real:
    """Errors of mean and variance, added."""
    return abs(m.mean - m.exact_mean) + abs(m.variance - m.exact_variance)


def measured_orders(
    problem: LinearSDE, scheme: Scheme, *, cap: int = 1024, first: int = 16, **how: Any
) -> StochasticOrders:
    """Weak and strong order at lambda = 1; arguments as in :func:`measured_order`."""
    at = _last(problem, scheme, how)
    fits = (fitted(at, error, first, cap, how.get("tolerance", 0.02)) for error in (weak_error, lambda m: m.distance))
    return StochasticOrders(*fits)


def measured_order(
    problem: LinearSDE,
    scheme: Scheme,
    error: Callable[[Moments], Real],
    *,
    cap: int = 1024,
    first: int = 16,
    **how: Any,
) -> OrderFit | None:
    """The order of one error by Richardson exponents over N = first, 2 first, .. (:func:`derive.measure.order.fit_order`).

    how: grid, a name of :data:`GRIDS` (default rough); tolerance: by how much two exponents, and the last of them and an
    integer, may differ; known, kind, earlier as in :func:`moments`. None: there is no error.
    """
    return fitted(_last(problem, scheme, how), error, first, cap, how.get("tolerance", 0.02))


def _last(problem: LinearSDE, scheme: Scheme, how: Mapping[str, Any]) -> Callable[[int], Moments]:
    rest = {key: value for key, value in how.items() if key not in ("grid", "tolerance")}
    return cache(lambda n: moments(problem, scheme, GRIDS[how.get("grid", "rough")](n), **rest)[-1])


def fitted(
    at: Callable[[int], Moments], error: Callable[[Moments], Real], first: int, cap: int, tolerance: float
) -> OrderFit | None:
    if abs(error(at(first))) < EXACT:
        return None
    return fit_order(lambda n: abs(error(at(n))), cap, first, tolerance)


__all__ = [
    "GRIDS", "StochasticOrders", "fitted", "measured_order", "measured_orders", "rough", "uniform", "weak_error",
]  # fmt: skip
