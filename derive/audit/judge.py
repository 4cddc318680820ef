"""The audit of a sampler: probed rows -> moments -> order; jets and a measurement on a network; digits, ends, cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from derive.audit import side
from derive.audit.exact import DIGITS, GAP
from derive.audit.finding import Audit, Claim, Grid, Wrong, joined, not_run
from derive.audit.guard import thrown, words
from derive.audit.jets import jet_order
from derive.audit.leading import text
from derive.audit.measured import harmless, measured, plain
from derive.audit.moments import Moment, exact_moment, moment, right
from derive.audit.probe import LEVELS, Weights
from derive.audit.rows import Rows, coarse, rows_of
from derive.audit.sampler import Sampler, Unusable
from derive.errors import DeriveError
from derive.measure.order import OrderFit

CAP = 512
"""Steps of the longest measured run."""
EQUAL = (Fraction(1),)
RATIOS = ", r_j = h_(n-1-j)/h_n"


def audit_sampler(sampler: Sampler, beside: bool = True) -> Audit:
    """The audit. ``beside``: with digits, values that are not finite, and cost."""
    try:
        seen = _seen(sampler)
    except DeriveError:
        raise
    except (Exception, SystemExit) as error:  # foreign code: whatever it throws is a finding
        return _thrown(sampler, error)
    rows, jet, fit, own = seen.rows, seen.jet, seen.fit, seen.own
    main, shown = rows.main, seen.shown
    order, because = _order(rows, fit, jet)
    claims = [Claim("order", sampler.claimed, order, because, sampler.source)]
    claims.append(Claim("order of a whole run", None, max(min(rows.whole, order), 0), _ends(rows, order)))
    if seen.equal is not None:
        claims.append(Claim("order on equal steps of lambda", None, seen.equal, "by the moments"))
    holds = claims[0].holds
    failures, notes = _beside(sampler) if beside else ([], [])
    failures = [*_not_finite(fit, own), *failures]
    tables = [_moments(rows, shown), _measured(fit, own)]
    if not holds:
        tables.insert(1, _weights(shown))
    wrong = tuple(_wrong(rows, shown, sampler.claimed)) if sampler.claimed is not None and not holds else ()
    data = {
        "order": order,
        "claimed": sampler.claimed,
        "integrand": rows.integrand,
        "orders_by_step": rows.orders,
        "exact": rows.exact,
        "moment_ratios": [_law(rows, m) for m in main.moments[: main.values]],
        "order_by_jets": jet,
        "measured_order": fit.order,
        "measured_estimate": _rounded(fit.order_estimate),
        "measured_own": _rounded(own.order_estimate),
    }
    what = f"{sampler.what}; its rows combine the {rows.integrand} prediction"
    what += f", drift with K = {float(rows.rate):.3g}" if abs(rows.rate - 1) > 1e-6 else ""
    return Audit(
        sampler.target, what, _how(rows, jet), tuple(claims), wrong, tuple(failures),
        (*sampler.notes, *notes), tuple(tables), data,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """All that runs of the sampler show. equal: order on equal steps, None where the claim holds."""

    rows: Rows
    jet: int | None
    fit: OrderFit
    own: OrderFit
    shown: Weights
    equal: int | None


def _seen(sampler: Sampler) -> Seen:
    rows = rows_of(sampler)
    jet = _jets(sampler, rows)
    fit = measured(sampler, float(rows.rate), harmless, CAP)
    own = measured(sampler, float(rows.rate), plain, CAP)
    if _branches(rows, jet, fit, sampler.claimed):
        floats = rows_of(sampler, refused="a branch for small steps")
        rows, jet = (floats, None) if floats.main.order >= (sampler.claimed or 0) else (rows, jet)
    holds = Claim("order", sampler.claimed, _order(rows, fit, jet)[0]).holds
    equal = None if holds else rows_of(sampler, (EQUAL,)).main.order
    return Seen(rows, jet, fit, own, coarse(sampler, rows), equal)


def _rounded(estimate: float) -> float | None:
    """None where no two errors gave an exponent."""
    return round(estimate, 3) if math.isfinite(estimate) else None


def _not_finite(*fits: OrderFit) -> list[str]:
    """Measured runs whose end is no number."""
    counts = sorted({line.steps for fit in fits for line in fit.table if not math.isfinite(line.error)})
    return [f"{joined([str(n) for n in counts])} measured steps: the state is not finite"] if counts else []


def _branches(rows: Rows, jet: int | None, fit: Any, claimed: int | None) -> bool:
    """Whether infinitesimal steps alone miss the claim: code may have another formula for these, as 1 + z/2 for phi_1."""
    if not rows.exact or claimed is None:
        return False
    found = rows.main.order if jet is None else min(rows.main.order, jet)
    return found < claimed and fit.order_estimate > claimed - 0.3


def _jets(sampler: Sampler, rows: Rows) -> int | None:
    """The order by jets, where the code runs on exact numbers from end to end."""
    if not rows.exact:
        return None
    try:
        return jet_order(sampler, rows.rate)
    except (Exception, SystemExit):  # foreign code on numbers that are no floats; the measurement remains
        return None


def _how(rows: Rows, jet: int | None) -> str:
    """Which way was used."""
    if rows.exact:
        how = f"exact numbers through the code ({DIGITS} digits, steps of 10^-{GAP}): leading terms of the residuals were read "
        how += f"off, on {len(rows.middles)} patterns of uneven steps" + (
            "" if jet is None else "; jets on a polynomial network"
        )
    else:
        how = f"float64, since exact numbers stop at {rows.refused}: residuals of the moments on {LEVELS} grids, steps halved, "
        how += f"on {len(rows.middles)} patterns of uneven steps"
    return f"{how}; measured on a tanh network, up to {CAP} steps"


def _thrown(sampler: Sampler, error: BaseException) -> Audit:
    """The audit of a sampler that does not run, or shows nothing."""
    how = "one run on an uneven grid"
    if isinstance(error, Unusable):
        return not_run(
            sampler.target, sampler.what, how, sampler.claimed, f"a run {error}", f"it {error}", sampler.source
        )
    text = f"a run throws {thrown(error)}"
    return not_run(sampler.target, sampler.what, how, sampler.claimed, text, source=sampler.source)


def _order(rows: Rows, fit: Any, jet: int | None) -> tuple[int, str]:
    """By the moments, and no more than by jets or as measured: conditions of coupled networks are seen there only.

    More only where both see more: errors of one step after the other may cancel in their sum.
    """
    order = rows.main.order
    if jet is not None and fit.order is not None and min(jet, fit.order) > order:
        together = min(jet, fit.order)
        return (
            together,
            f"the errors of neighbouring steps cancel; of one step alone the order is {order}: {_reason(rows)}",
        )
    if order <= 0:
        return 0, f"{_reason(rows)}: no convergence"
    if fit.order is not None and fit.order < order and (jet is None or jet >= order):
        return max(fit.order, 0), f"measured {fit.order_estimate:.2f}; the moments alone would allow {order}"
    if jet is not None and jet < order:
        return jet, f"the error of a step is O(h^{jet + 1}) by jets; the moments alone would allow {order}"
    return order, _reason(rows) or "no moment fails"


def _law(rows: Rows, m: Moment) -> str:
    """The limit of got/exact: a fraction, a function of the step ratios, or a number of the main row."""
    if m.exponent != 0:
        return m.factor
    found = rows.law(m)
    return m.factor if found is None else text(found)


def _residual(rows: Rows, m: Moment) -> str:
    """The leading term of mt_k - m_k."""
    if m.exponent is None:
        return "0"
    found = rows.law(m) if m.exponent else None
    return text(found, m.exponent) if found else f"O(h^{m.exponent})" if m.exponent else "O(1)"


def _reason(rows: Rows) -> str:
    main, limiting = rows.main, rows.main.limiting
    if limiting is None:
        return ""
    count, k = main.values, limiting.k
    if k >= count and all(m.exponent is None for m in main.moments[:count]):
        return (
            f"{count} values reproduce moments 0 to {count - 1} only"
            if count > 1
            else "one value reproduces moment 0 only"
        )
    if limiting.exponent is not None and limiting.exponent < 0:
        found = rows.law(limiting)
        return f"moment {k} diverges like {text(found, limiting.exponent) if found else f'h^{limiting.exponent}'}"
    if k >= count:
        return f"moment {k} is the first that {count} value{'s do' if count > 1 else ' does'} not reproduce"
    if limiting.exponent:
        return f"moment {k} is off by {_residual(rows, limiting)}"
    law = _law(rows, limiting)
    return f"moment {k} is {law} of the exact one" + (RATIOS if "r0" in law else "")


def _wrong(rows: Rows, shown: Weights, claimed: int) -> list[Wrong]:
    """Moments below the claim that are off, then the weights of the row that is exact on the same values."""
    main, out = rows.main, []
    for m in main.moments[:claimed]:
        if m.order is not None and m.order < claimed:
            right_one = float(m.exact[-1])
            why = f"{_law(rows, m)} of the exact one" if m.exponent == 0 else f"residual {_residual(rows, m)}"
            where = (
                f"moment {m.k} of the row as h -> 0" if rows.exact else f"moment {m.k} at h = {main.levels[-1].h:.4g}"
            )
            out.append(Wrong(where, _limit(rows, m), f"1/{m.k + 1}" if rows.exact else f"{right_one:.8g}", why))
    if main.values >= claimed:
        theta, weight, exact = max(right(shown), key=lambda entry: abs(entry[1] - entry[2]))
        if abs(weight - exact) > 1e-9 * abs(exact):
            where = f"weight at theta = {theta:.4g}, h = {shown.h:.4g}"
            out.append(Wrong(where, f"{weight:.10g}", f"{exact:.10g}", "interpolatory on the same values"))
    return out


def _limit(rows: Rows, m: Moment) -> str:
    """mt_k as h -> 0, whose exact value is 1/(k + 1)."""
    if not rows.exact:
        return f"{m.got[-1]:.8g}"
    if m.exponent is None or m.exponent > 0:
        return f"1/{m.k + 1} + {_residual(rows, m)}"
    found = rows.law(m)
    if m.exponent < 0:
        return _residual(rows, m)
    return f"{float(m.got[-1]):.6g}" if found is None else text(found / (m.k + 1))


def _ends(rows: Rows, order: int) -> str:
    first, last = rows.orders[0], rows.orders[-1]
    if rows.whole >= order:
        return "start and last steps cost nothing"
    who = [f"the first step has order {first}"] if first + 1 < order else []
    who += [f"the last step has order {last}"] if last + 1 < order else []
    return " and ".join(who) or "steps near the ends have lower order"


def _moments(rows: Rows, shown: Weights) -> Grid:
    main = rows.main
    count = max(main.values, main.order) + 1
    cells = [
        (
            str(m.k),
            _law(rows, m),
            _residual(rows, m),
            f"{moment(m.k, shown):.10g}",
            f"{exact_moment(m.k, shown.z):.10g}",
        )
        for m in main.moments[:count]
    ]
    head = ("k", "got/exact, h -> 0", "residual", f"got at h = {shown.h:.3g}", "exact")
    return Grid(f"moments of step {shown.step + 1}, theta in units of its length", head, tuple(cells))


def _weights(shown: Weights) -> Grid:
    rows = [(f"{t:.6g}", f"{got:.10g}", f"{exact:.10g}") for t, got, exact in right(shown)]
    return Grid(f"weights at h = {shown.h:.3g}, in units of C h", ("theta", "got", "interpolatory"), tuple(rows))


def _measured(fit: Any, own: Any) -> Grid:
    by_steps = {line.steps: line for line in own.table}
    rows = []
    for line in fit.table:
        other = by_steps.get(line.steps)
        cells = [str(line.steps), _error(line.error), _exponent(line.p)]
        cells += [_error(other.error), _exponent(other.p)] if other else ["", ""]
        rows.append(tuple(cells))
    head = ("N", "error", "order", "error, own start and end", "order")
    return Grid("measured on a nonlinear, non-autonomous network, uneven steps", head, tuple(rows))


def _error(value: float) -> str:
    return f"{value:.2e}" if math.isfinite(value) else "not finite"


def _exponent(p: float | None) -> str:
    return "-" if p is None else f"{p:.2f}"


def _beside(sampler: Any) -> tuple[list[str], list[str]]:
    """(failures, notes)."""
    failures: list[str] = []
    notes = _digits(sampler)
    if hasattr(sampler, "whole_run"):
        failures += [
            f"{n} step{'s' * (n > 1)} on its own grid: {what}" for n, what in side.not_finite(sampler.whole_run)
        ]
        notes += [
            f"{n} step{'s' * (n > 1)} on its own grid: {what}"
            for n, what in side.not_finite(sampler.whole_run, side.EXTREMES)
        ]
    if hasattr(sampler, "device_run"):
        cost = side.traffic(sampler.device_run)
        if cost:
            notes.append(
                f"a step on a GPU, network excluded: {cost['launches']:.3g} launches, {cost['syncs']:.3g} syncs, "
                f"{cost['bytes_per_element']:.3g} bytes an element (counted without one)"
            )
    return failures, notes


def _digits(sampler: Sampler) -> list[str]:
    try:
        place, found = side.digits(sampler)
    except (Exception, SystemExit) as error:
        return [f"not run in float32: {words(error)[:80]}"]
    shown = ", ".join(f"{e:.1e} at h = {h:.2g}" for h, e in found)
    head = f"float32, error of the response to a constant network about lambda = {place:g}"
    return [f"{head}: {shown} ({side.lost(found):.1f} of {side.DIGITS} digits lost)"]


def summary(audits: Sequence[Audit]) -> Grid:
    """A line an audit."""
    rows = []
    for a in audits:
        c = a.claims[0]
        claimed = "-" if c.claimed is None else str(c.claimed)
        rows.append((a.target, a.verdict, claimed, str(c.found), c.because))
    return Grid("audits", ("target", "verdict", "claimed", "found", "because"), tuple(rows))


__all__ = ["audit_sampler", "summary"]
