"""The audit of a sampler: probed rows -> moments -> order; measured on a network; digits, ends and cost beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from derive.audit import side
from derive.audit.finding import Audit, Claim, Grid, Wrong
from derive.audit.measured import harmless, measured, plain
from derive.audit.moments import RowFound, judged
from derive.audit.probe import LEVELS, grid, integrand_of, probe
from derive.audit.sampler import Sampler
from derive.errors import DeriveError

HOW = (
    "basis vectors as network outputs give every weight in float64; residuals of the moments on {levels} uneven grids, "
    "steps halved, give their exponents; measured on a tanh network, up to {cap} steps"
)
CAP = 512


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of the probing runs, judged."""

    integrand: str
    found: tuple[RowFound, ...]

    @property
    def middle(self) -> tuple[RowFound, ...]:
        count = len(self.found)
        return self.found[(3 * count) // 8 : (3 * count) // 4]

    @property
    def main(self) -> RowFound:
        """The row of lowest order in the middle; of such the one with most values."""
        return min(self.middle, key=lambda row: (row.order, -len(row.levels[0].nodes)))

    @property
    def orders(self) -> tuple[int, ...]:
        return tuple(row.order for row in self.found)

    @property
    def whole(self) -> int:
        """min over the rows at the ends of order + 1, and the order of the middle: the order of a whole run."""
        count = len(self.found)
        ends = (*self.orders[: (3 * count) // 8], *self.orders[(3 * count) // 4 :])
        return min((self.main.order, *(order + 1 for order in ends)))

    @property
    def rate(self) -> float:
        row = self.main.levels[0]
        return abs(row.z) / row.h


def rows_of(sampler: Sampler) -> Rows:
    """The sampler's rows on grids of one shape, from the coarsest to the finest."""
    integrand = integrand_of(sampler, grid(0))
    runs = [probe(sampler, integrand, grid(level)).rows for level in range(LEVELS)]
    return Rows(integrand, tuple(judged([rows[n] for rows in runs]) for n in range(len(runs[0]))))


def _equal(sampler: Sampler, rows: Rows) -> int:
    """The order of the same step where all steps are equal: constant weights have theirs there only."""
    runs = [probe(sampler, rows.integrand, grid(level, pattern=(1.0,))).rows for level in range(LEVELS)]
    found = tuple(judged([run[n] for run in runs]) for n in range(len(runs[0])))
    return Rows(rows.integrand, found).main.order


def audit_sampler(sampler: Sampler, beside: bool = True) -> Audit:
    """The audit. ``beside``: with digits, values that are not finite, and cost."""
    try:
        rows = rows_of(sampler)
    except DeriveError:
        raise
    except Exception as error:  # foreign code: whatever it throws is a finding
        return _thrown(sampler, error)
    main = rows.main
    fit = measured(sampler, rows.rate, harmless, CAP)
    own = measured(sampler, rows.rate, plain, CAP)
    order, because = _order(main, fit)
    claims = [Claim("order", sampler.claimed, order, because, sampler.source)]
    claims.append(Claim("order of a whole run", None, min(rows.whole, order), _ends(rows, order)))
    if not claims[0].holds:
        claims.append(Claim("order on equal steps of lambda", None, _equal(sampler, rows), "by the moments"))
    holds = claims[0].holds
    failures, notes = _beside(sampler) if beside else ([], [])
    tables = [_moments(main), _measured(fit, own)]
    if not holds:
        tables.insert(1, _weights(main))
    wrong = tuple(_wrong(main, sampler.claimed)) if sampler.claimed is not None and not holds else ()
    data = {
        "order": order,
        "claimed": sampler.claimed,
        "integrand": rows.integrand,
        "orders_by_step": rows.orders,
        "moment_ratios": [m.factor for m in main.moments[: len(main.levels[0].nodes)]],
        "measured_order": fit.order,
        "measured_estimate": round(fit.order_estimate, 3),
        "measured_own": round(own.order_estimate, 3),
    }
    what = f"{sampler.what}; its rows combine the {rows.integrand} prediction"
    what += f", drift with K = {rows.rate:.3g}" if abs(rows.rate - 1) > 1e-6 else ""
    return Audit(
        sampler.target, what, HOW.format(levels=LEVELS, cap=CAP), tuple(claims), wrong, tuple(failures),
        (*sampler.notes, *notes), tuple(tables), data,
    )  # fmt: skip


def _thrown(sampler: Sampler, error: Exception) -> Audit:
    """The audit of a sampler that does not run."""
    text = f"a run throws {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    claim = Claim("order", sampler.claimed, None, "it does not run", sampler.source)
    data = {"order": None, "claimed": sampler.claimed}
    return Audit(sampler.target, sampler.what, "one run on an uneven grid", (claim,), failures=(text,), data=data)


def _order(main: RowFound, fit: Any) -> tuple[int, str]:
    """By the moments, and no more than what was measured: conditions of coupled networks are seen there only."""
    order, limiting = main.order, main.limiting
    because = _reason(main)
    if fit.order is not None and fit.order < order:
        return fit.order, f"measured {fit.order_estimate:.2f}; the moments alone would allow {order}"
    if limiting is None:
        return order, "no moment fails"
    return order, because


def _reason(main: RowFound) -> str:
    limiting = main.limiting
    if limiting is None:
        return ""
    count = len(main.levels[0].nodes)
    if limiting.k >= count and all(m.exponent is None for m in main.moments[:count]):
        return (
            f"{count} values reproduce moments 0 to {count - 1} only"
            if count > 1
            else "one value reproduces moment 0 only"
        )
    if limiting.exponent is not None and limiting.exponent < 0:
        return f"moment {limiting.k} diverges like h^{limiting.exponent}"
    if limiting.k >= count:
        return f"moment {limiting.k} is the first that {count} value{'s do' if count > 1 else ' does'} not reproduce"
    if limiting.exponent:
        return f"moment {limiting.k} is off by O(h^{limiting.exponent})"
    return f"moment {limiting.k} is {limiting.factor} of the exact one"


def _wrong(main: RowFound, claimed: int) -> list[Wrong]:
    """Moments below the claim that are off, then the weights of the row that is exact on the same values."""
    out = []
    for m in main.moments[:claimed]:
        if m.order is not None and m.order < claimed:
            got = f"{m.got[-1]:.8g}"
            why = f"{m.factor} of the exact one" if m.exponent == 0 else f"residual O(h^{m.exponent})"
            out.append(Wrong(f"moment {m.k} of the row at h = {main.levels[-1].h:.4g}", got, f"{m.exact[-1]:.8g}", why))
    if len(main.levels[0].nodes) >= claimed:
        theta, weight, exact = max(main.right(), key=lambda entry: abs(entry[1] - entry[2]))
        if abs(weight - exact) > 1e-9 * abs(exact):
            where = f"weight at theta = {theta:.4g}, h = {main.levels[0].h:.4g}"
            out.append(Wrong(where, f"{weight:.10g}", f"{exact:.10g}", "interpolatory on the same values"))
    return out


def _ends(rows: Rows, order: int) -> str:
    first, last = rows.orders[0], rows.orders[-1]
    if rows.whole >= order:
        return "start and last steps cost nothing"
    who = [f"the first step has order {first}"] if first + 1 < order else []
    who += [f"the last step has order {last}"] if last + 1 < order else []
    return " and ".join(who) or "steps near the ends have lower order"


def _moments(main: RowFound) -> Grid:
    count = max(len(main.levels[0].nodes), main.order) + 1
    rows = [
        (
            str(m.k),
            m.factor,
            "0" if m.exponent is None else f"O(h^{m.exponent})",
            f"{m.got[0]:.10g}",
            f"{m.exact[0]:.10g}",
        )
        for m in main.moments[:count]
    ]
    head = ("k", "got/exact, h -> 0", "residual", f"got at h = {main.levels[0].h:.3g}", "exact")
    return Grid(f"moments of step {main.levels[0].step + 1}, theta in units of its length", head, tuple(rows))


def _weights(main: RowFound) -> Grid:
    rows = [(f"{t:.6g}", f"{got:.10g}", f"{exact:.10g}") for t, got, exact in main.right()]
    return Grid(
        f"weights at h = {main.levels[0].h:.3g}, in units of C h", ("theta", "got", "interpolatory"), tuple(rows)
    )


def _measured(fit: Any, own: Any) -> Grid:
    by_steps = {line.steps: line for line in own.table}
    rows = []
    for line in fit.table:
        other = by_steps.get(line.steps)
        cells = [str(line.steps), f"{line.error:.2e}", _exponent(line.p)]
        cells += [f"{other.error:.2e}", _exponent(other.p)] if other else ["", ""]
        rows.append(tuple(cells))
    head = ("N", "error", "order", "error, own start and end", "order")
    return Grid("measured on a nonlinear, non-autonomous network, uneven steps", head, tuple(rows))


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
        found = side.digits(sampler)
    except (RuntimeError, ValueError, TypeError) as error:
        return [f"not run in float32: {str(error)[:80]}"]
    shown = ", ".join(f"{e:.1e} at h = {h:.2g}" for h, e in found)
    return [
        f"float32, error of the response to a constant network: {shown} ({side.lost(found):.1f} of 7.2 digits lost)"
    ]


def summary(audits: Sequence[Audit]) -> Grid:
    """A line an audit."""
    rows = []
    for a in audits:
        c = a.claims[0]
        claimed = "-" if c.claimed is None else str(c.claimed)
        rows.append((a.target, a.verdict, claimed, str(c.found), c.because))
    return Grid("audits", ("target", "verdict", "claimed", "found", "because"), tuple(rows))


__all__ = ["Rows", "audit_sampler", "rows_of", "summary"]
