"""A schedule given as a table by training step: ``alphas_cumprod`` (variance preserving) or ``sigmas`` (alpha = 1).

Time is the table index i = 0 .. N-1 and t = -1 is exact data. Where one analytic curve reproduces every row to
1e-12 it is the schedule (log alpha_bar and log(sigma^2/(t+1)) are analytic in the published tables, lambda is not);
otherwise the rows of log alpha_bar or sigma^2 are joined by straight lines, which have kinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from derive.parameters import Numbers, Parameters
from derive.schedules import Schedule, Table, preserving
from derive.symbolic.alphabet import t
from derive.symbolic.chebyshev import CONTEXT
from derive.symbolic.differences import log_difference
from derive.symbolic.indexed import NAME, alpha_bar_series, curve, sigma_series

REFERENCE = "arXiv:2006.11239 (Eq. 4); diffusers: alphas_cumprod; k-diffusion: sigmas"

LONGEST = 4096
REPRODUCED = 1e-12
"""Largest relative error of alpha_bar or sigma over the rows for which a smooth curve is the table."""
KINKS = "kinks: no smooth curve reproduces the table, its rows are joined by straight lines; order drops across them"

PARAMETERS: Parameters = {
    "alphas_cumprod": Numbers(
        default=None, shortest=2, longest=LONGEST, low=Fraction(0), high=Fraction(1), file=True,
        doc="alpha_bar by training step, falling, between 0 and 1",
    ),
    "sigmas": Numbers(
        default=None, shortest=2, longest=LONGEST, low=Fraction(0), file=True, doc="noise level by step, rising"
    ),
}  # fmt: skip


def build(alphas_cumprod: Sequence[Fraction] | None = None, sigmas: Sequence[Fraction] | None = None) -> Schedule:
    """The schedule through the rows of exactly one of the two tables.

    Raises ValueError that names the first row which is out of range or not strictly monotone.
    """
    if (alphas_cumprod is None) == (sigmas is None):
        got = "neither" if sigmas is None else "both"
        raise ValueError(f"got {got} of alphas_cumprod and sigmas; allowed: exactly one of them")
    if alphas_cumprod is not None:
        _check("alphas_cumprod", alphas_cumprod, falling=True)
        return from_alpha_bars("table", [_wide(a) for a in alphas_cumprod], REPRODUCED)
    assert sigmas is not None
    _check("sigmas", sigmas, falling=False)
    return _from_sigmas([_wide(x) for x in sigmas])


def _wide(value: Fraction) -> Any:
    return CONTEXT.mpf(value.numerator) / value.denominator


def _check(name: str, rows: Sequence[Fraction], falling: bool) -> None:
    """Length, range and strict monotony; the message names the first offending row."""
    if not 2 <= len(rows) <= LONGEST:
        raise ValueError(f"{name} has {len(rows)} rows; allowed: 2 to {LONGEST}")
    for i, value in enumerate(rows):
        if value <= 0 or (falling and value >= 1):
            remedy = "; for zero terminal SNR write a tiny last value such as 6e-8" if falling and value == 0 else ""
            allowed = "above 0 and below 1" if falling else "above 0"
            raise ValueError(f"{name}[{i}] is {float(value)!r}; allowed: {allowed}{remedy}")
    for i in range(1, len(rows)):
        if not (rows[i] < rows[i - 1] if falling else rows[i] > rows[i - 1]):
            raise ValueError(
                f"{name}[{i}] is {float(rows[i])!r} after {float(rows[i - 1])!r}; "
                f"allowed: strictly {'falling' if falling else 'rising'} from data to noise"
            )


def from_alpha_bars(kind: str, bars: Sequence[Any], tolerance: float) -> Schedule:
    """The variance-preserving schedule through alpha_bar(i): an analytic curve if it reproduces them, else a polygon.

    bars: 160-bit numbers, strictly falling in (0, 1). tolerance: on log alpha_bar, see :func:`alpha_bar_series`.
    """
    series, worst = alpha_bar_series(bars, tolerance)
    if worst <= tolerance:
        return _indexed_preserving(kind, (t + 1) * curve() / 2, _smooth(series, len(bars)), ())
    polygon = _polygon([CONTEXT.mpf(0), *(CONTEXT.log(bar) for bar in bars)])
    return _indexed_preserving(kind, curve() / 2, polygon, (KINKS,))


def _indexed_preserving(kind: str, log_alpha: sp.Expr, table: Table, notes: tuple[str, ...]) -> Schedule:
    last = int(table.high)
    return preserving(
        kind, log_alpha, sp.Integer(last), sp.Integer(-1), "regular", "sigma_zero",
        index_steps=last + 1, tables={NAME: table}, notes=notes,
    )  # fmt: skip


def _from_sigmas(sigmas: Sequence[Any]) -> Schedule:
    series, worst = sigma_series(sigmas, REPRODUCED)
    smooth = worst <= REPRODUCED
    table = _smooth(series, len(sigmas)) if smooth else _polygon([CONTEXT.mpf(0), *(x**2 for x in sigmas)])
    sigma = sp.sqrt(t + 1) * sp.exp(curve() / 2) if smooth else sp.sqrt(curve())
    return Schedule(
        kind="table",
        log_alpha=sp.Integer(0),
        alpha=sp.Integer(1),
        sigma=sigma,
        rho=sigma,
        dlambda=-log_difference(sigma),
        dlog_alpha=sp.Integer(0),
        noise=sp.Integer(len(sigmas) - 1),
        data=sp.Integer(-1),
        noise_end="regular",
        data_end="sigma_zero",
        invariant=sp.Integer(1),
        index_steps=len(sigmas),
        tables={NAME: table},
        notes=() if smooth else (KINKS,),
    )


def _smooth(series: tuple[float, ...], length: int) -> Table:
    return Table("chebyshev", -1.0, float(length - 1), series)


def _polygon(values: Sequence[Any]) -> Table:
    """Straight lines through ``values`` at -1, 0, 1, ..; each value rounded once."""
    knots = tuple(float(i) for i in range(-1, len(values) - 1))
    return Table("linear", knots[0], knots[-1], tuple(float(v) for v in values), knots)
