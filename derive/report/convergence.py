"""Measured convergence: the error of the solver's own coefficients at 320 bits, with the slope that was proved."""

from __future__ import annotations

from html import escape

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from derive.report.figures import MUTED, figure, series, styled
from derive.report.material import Material, Section, paragraph, picture, table

PLACE = 70


def build(material: Material) -> Section | None:
    if not material.orders:
        return None
    orders = "; ".join(
        f"{label}: proved {proved}, measured {fit.order_estimate:.3f}"
        for label, (fit, proved) in material.orders.items()
    )
    caption = (
        "Error at the end on a nonlinear, non-autonomous, coupled problem in 320-bit arithmetic, on a rough periodic pattern "
        "of steps. Dashed: the proved slope through the last point. "
    )
    if material.derived.problem.noise is not None:
        caption += (
            "The mean of each step, without noise: what the noise does to the orders is in the section about it. "
        )
    if material.derived.tableau.table:
        caption += "Longer tables of this one's shape: the steps that it repeats, more often. "
    made = picture(
        _drawn(material),
        "convergence",
        "Measured convergence",
        f"Error against the number of steps. {orders}.",
        escape(caption),
    )
    return Section("convergence", "Convergence, measured", made + _table(material))


def _drawn(material: Material) -> Figure:
    with styled():
        made = figure(5.0, 3.6)
        panel = made.subplots()
        steps: list[int] = []
        for number, (label, (fit, proved)) in enumerate(material.orders.items()):
            n, errors = [line.steps for line in fit.table], [line.error for line in fit.table]
            panel.loglog(n, errors, label=label, **series(number))
            anchor = 0.6 * errors[-1]
            panel.loglog(
                n, [anchor * (n[-1] / m) ** proved for m in n], "--", color=series(number)["color"], lw=1, alpha=0.7
            )
            middle = n[len(n) // 2]
            panel.annotate(f"slope {proved}", (middle, anchor * (n[-1] / middle) ** proved), (-5, -3), textcoords="offset points",
                           color=MUTED, fontsize=8.5, va="top", ha="right")  # fmt: skip
            steps = max(steps, n, key=len)
        panel.set_xticks(steps, [str(n) for n in steps])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xlabel("steps")
        panel.set_ylabel("error")
        panel.legend()
    return made


def _table(material: Material) -> str:
    parts = []
    for label, (fit, proved) in material.orders.items():
        rows = [(str(line.steps), f"{line.error:.2e}", _number(line.p), _number(line.richardson)) for line in fit.table]
        verdict = "decided" if fit.decided else "not decided: the exponents have not settled"
        head = ("steps", "error", "order", "extrapolated")
        parts.append(table(head, rows, f"{label}: proved {proved}, measured {fit.order_estimate:.3f} ({verdict})"))
    summary = "<summary>The figures</summary>"
    how = (
        "order: log2 of the ratio of neighbouring errors; extrapolated: one Richardson step on these exponents, which removes "
        "their 1/N part. Decided when two of them agree to 0.02 next to a whole number."
    )
    return f"<details>{summary}{''.join(parts)}{paragraph(how)}</details>"


def _number(p: float | None) -> str:
    return "" if p is None else f"{p:.3f}"
