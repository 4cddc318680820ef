"""Noise schedules: one file each. ``x_t = alpha(t) x0 + sigma(t) eps``; everything else is derived.

The folder is the registry: ``schedules/<kind>.py`` exports ``PARAMETERS`` (what a spec may say), ``REFERENCE`` (the
paper and the equation) and ``build(**parameters) -> Schedule``; its docstring's first line is what ``list`` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import sympy as sp

from derive.symbolic import alphabet as ab
from derive.symbolic.alphabet import expm1
from derive.symbolic.differences import difference, is_small_rational, log_difference
from derive.symbolic.evaluate import evaluate, mpmath_algebra

End = Literal["regular", "sigma_zero", "alpha_zero"]


@dataclass(frozen=True, slots=True)
class Table:
    """A curve given by data, as a function of one variable on ``[low, high]``.

    ``kind = "chebyshev"``: ``values`` are the Chebyshev coefficients c_0.. on ``[low, high]``;
    ``kind = "linear"``: ``knots`` rise and ``values`` are joined by straight lines.
    Values are Python floats and *are* the definition (every float is an exact rational).
    """

    kind: Literal["chebyshev", "linear"]
    low: float
    high: float
    values: tuple[float, ...]
    knots: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A noise schedule on the time interval from ``noise`` (start of sampling) to ``data`` (end of sampling).

    All expressions are in the symbols of :mod:`derive.symbolic.alphabet` and free of cancellation when evaluated as
    written (``expm1``, ``log1p`` and factored forms; never ``exp(x) - 1``).

    log_alpha, alpha, sigma: functions of ``t``.
    rho: ``sigma/alpha`` as a function of ``t``, finite at a sigma = 0 end.
    dlambda: ``lambda(t) - lambda(s)`` as a function of ``t`` and ``s``, accurate for ``t`` next to ``s``.
    dlog_alpha: ``log alpha(t) - log alpha(s)`` likewise.
    noise_end, data_end: what happens there: regular, alpha = 0, or sigma = 0.
    invariant: alpha as a function of ``rho`` if the schedule has one (VP: 1/sqrt(1+rho^2), VE: 1, flow: 1/(1+rho)).
    t_of_rho: ``t`` as an elementary function of ``rho`` where there is one (edm, flow), else None.
    inverse: ``t`` as a function of ``rho`` where it is elementary in another way, only used to place stages, else None.
    index_steps: number of discrete training steps if ``t`` is a table index, else None.
    warp: a map of [0, 1] onto itself in ``u`` (0 at the data, 1 at the noise) that default time grids go through
        (flow shift), else None.
    """

    kind: str
    log_alpha: sp.Expr
    alpha: sp.Expr
    sigma: sp.Expr
    rho: sp.Expr
    dlambda: sp.Expr
    dlog_alpha: sp.Expr
    noise: sp.Rational
    data: sp.Rational
    noise_end: End
    data_end: End
    invariant: sp.Expr | None = None
    t_of_rho: sp.Expr | None = None
    inverse: sp.Expr | None = None
    index_steps: int | None = None
    warp: sp.Expr | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


PRESERVING = 1 / sp.sqrt(1 + ab.rho**2)
"""alpha as a function of rho where alpha^2 + sigma^2 = 1."""


def rational(value: int | Fraction) -> sp.Rational:
    """An exact parameter as a SymPy rational."""
    return sp.Rational(value.numerator, value.denominator)


def preserving(
    kind: str, log_alpha: sp.Expr, noise: sp.Rational, data: sp.Rational, noise_end: End, data_end: End, **more: Any
) -> Schedule:
    """The variance-preserving schedule of a = ``log_alpha``: sigma^2 = -expm1(2a), rho^2 = expm1(-2a)."""
    rho = sp.sqrt(expm1(-2 * log_alpha))
    return Schedule(
        kind=kind,
        log_alpha=log_alpha,
        alpha=sp.exp(log_alpha),
        sigma=sp.sqrt(-expm1(2 * log_alpha)),
        rho=rho,
        dlambda=-log_difference(rho),
        dlog_alpha=difference(log_alpha),
        noise=noise,
        data=data,
        noise_end=noise_end,
        data_end=data_end,
        invariant=PRESERVING,
        **more,
    )


def at_schedule(expr: sp.Expr, schedule: Schedule) -> sp.Expr:
    """``expr`` in the alphabet as a function of ``t`` alone: everything else is replaced by the schedule's.

    A rational expression is reduced first, with sigma' = (sigma^2)'/(2 sigma) where sigma' is infinite at the data end,
    so that what only looks singular at sigma = 0 or alpha = 0 is finite there.
    """
    slope = sp.diff(schedule.sigma, ab.t)
    square = sp.Symbol("_sigma_squared_slope", real=True)
    path = (ab.alpha, ab.sigma, ab.rho, ab.dalpha, ab.dsigma)
    if expr.is_rational_function(*path) and expr.has(*path):
        steep = expr.has(ab.dsigma) and _infinite_at_data(slope, schedule)
        regular = {ab.dsigma: square / (2 * ab.sigma)} if steep else {}
        expr = sp.cancel(expr.subs({ab.rho: ab.sigma / ab.alpha, **regular}))
    if schedule.invariant == PRESERVING:
        expr = expr.subs(ab.alpha**2 + ab.sigma**2, 1)
    values = {
        ab.lam: -sp.log(schedule.rho),
        ab.rho: schedule.rho,
        ab.alpha: schedule.alpha,
        ab.sigma: schedule.sigma,
        ab.dalpha: sp.diff(schedule.alpha, ab.t),
        ab.dsigma: slope,
        ab.drho: sp.diff(schedule.rho, ab.t),
        square: sp.diff(schedule.sigma**2, ab.t),
    }
    expr = expr.xreplace({k: v for k, v in values.items() if k in expr.free_symbols})
    return sp.cancel(expr) if is_small_rational(expr) else expr


def _infinite_at_data(expr: sp.Expr, schedule: Schedule) -> bool:
    algebra = mpmath_algebra(320)
    try:
        value = evaluate(expr, {ab.t: algebra.number(schedule.data)}, algebra, schedule.tables)
    except ZeroDivisionError:
        return True
    return not algebra.context.isfinite(value)
