"""Noise schedules: one file each. ``x_t = alpha(t) x0 + sigma(t) eps``; everything else is derived.

The folder is the registry: ``schedules/<kind>.py`` exports ``PARAMETERS`` (what a spec may say), ``REFERENCE`` (the
paper and the equation) and ``build(**parameters) -> Schedule``; its docstring's first line is what ``list`` prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Mapping

import sympy as sp

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
    index_steps: number of discrete training steps if ``t`` is a table index, else None.
    warp: a map of [0, 1] onto itself (noise at 0... data at 1) that default time grids go through (flow shift), in ``u``.
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
    index_steps: int | None = None
    warp: sp.Expr | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
