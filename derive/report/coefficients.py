"""The weights of every row: against h on a uniform grid, and against the ratio of neighbouring steps."""

from __future__ import annotations

from fractions import Fraction
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from derive.report.figures import MUTED, figure, series, styled
from derive.report.material import Material, Section, gallery, picture
from derive.report.prose import inline
from derive.report.step_numbers import Numbers, heading, numbers

PLACE = 40
WIDEST = 4.0
"""Largest h that is drawn; a step of 4 in lambda multiplies the noise-to-signal ratio by 1/55."""
RATIOS = tuple(Fraction(n, 16) for n in (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64))
"""Step ratios 1/4 to 4."""
TICKS = (0.25, 0.5, 1, 2, 4)
Curve = tuple[str, Any, Any]
"""(name, x, y)."""


def build(material: Material) -> Section | None:
    tableau = material.derived.tableau
    if material.derived.proof.law:
        return None
    found = numbers(tableau)
    body = "".join(_labelled(each, f"{i}-" if len(found) > 1 else "") for i, each in enumerate(found, 1))
    if not all(tableau.kernel_of(scheme).closed for scheme in tableau.schemes):
        body += _along_the_grid(material)
    return Section("coefficients", "Coefficients", body, wide=True)


def _labelled(found: Numbers, place: str) -> str:
    """The weights of a scheme, of a table under a heading that says which steps they are of."""
    head = f"<h3>{escape(heading(found.label))}</h3>" if found.label else ""
    return head + _closed(found, place)


def _closed(found: Numbers, place: str) -> str:
    several = found.step(Fraction(1)).known > 1
    panels = [*(["h"] if found.rate else []), *(["r"] if several else [])]
    if not panels:
        return f"<p>{inline('The weights are numbers: they depend on neither $h$ nor the step ratio.')}</p>" + _numbers(
            found
        )
    count = len(found.rows(np.array([1.0]), Fraction(1)))
    return gallery(*(_picture(found, kind, row, place) for row in range(count) for kind in panels))


def _picture(found: Numbers, kind: str, row: int, place: str) -> str:
    name, curves = _curves(found, kind)[row]
    ratio = "the step ratio $r$ (all ratios equal" + (", $h = 1$)" if found.rate else ")")
    name = "the " * (not name.startswith("stage")) + name
    caption = f"Weights of {name} in units of $C$ against " + ("$h$, on equal steps." if kind == "h" else ratio + ".")
    title = f"Weights of {name} against {'h' if kind == 'h' else 'the step ratio'}"
    described = "; ".join(f"{value} from {y[0]:.3g} to {y[-1]:.3g}" for value, _, y in curves)
    return picture(
        _drawn(curves, kind), f"weights-{place}{row}-{kind}", title, f"Curves: {described}.", inline(caption)
    )


def _numbers(found: Numbers) -> str:
    rows = found.rows(np.array([0.0]), Fraction(1))
    items = [f"{name}: " + ", ".join(f"${value}$: {weight[0]:.6g}" for value, weight in row) for name, row in rows]
    return "<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>"


def _drawn(curves: list[Curve], kind: str) -> Figure:
    with styled():
        made = figure(5.0, 3.3)
        panel = made.subplots()
        for number, (value, x, y) in enumerate(curves):
            panel.plot(x, y, label=f"${value}$", markevery=max(len(x) // 6, 1), **series(number))
        panel.axhline(0, color=MUTED, linewidth=0.8)
        panel.set_xlabel("h" if kind == "h" else "step ratio r")
        panel.set_ylabel("weight")
        if kind == "r":
            panel.set_xscale("log", base=2)
            panel.set_xticks(TICKS, ["1/4", "1/2", "1", "2", "4"])
        panel.legend(ncols=2)
    return made


def _curves(found: Numbers, kind: str) -> list[tuple[str, list[Curve]]]:
    if kind == "h":
        h = np.linspace(0, WIDEST, 121)
        return [(name, [(v, h, w) for v, w in row]) for name, row in found.rows(h, Fraction(1))]
    at = np.array([1.0 if found.rate else 0.0])
    tables = [found.rows(at, r) for r in RATIOS]
    x = np.array([float(r) for r in RATIOS])
    return [
        (name, [(v, x, np.array([t[i][1][j][1][0] for t in tables])) for j, (v, _) in enumerate(row)])
        for i, (name, row) in enumerate(tables[0])
    ]


def _along_the_grid(material: Material) -> str:
    """The kernel has no closed form: the coefficients themselves, call by call on the default grid."""
    plan = material.solver.plan(**({} if "steps" in dict(material.solver.coefficients.GRID) else {"steps": 20}))
    values = plan.table.numpy()
    with styled():
        made = figure(7.0, 3.6)
        panel = made.subplots()
        drawn = [n for n in plan.columns if n[0] in "bde" or n.startswith("cb")]
        for number, name in enumerate(drawn):
            column = values[:, plan.columns.index(name)]
            panel.plot(np.arange(1, len(values) + 1), column, label=name, **series(number))
        panel.set_xlabel("network call")
        panel.legend(ncols=4)
    caption = (
        "The kernel has no closed form in this variable, so the weights depend on the grid: here the solver's own."
    )
    return picture(
        made, "weights", "Coefficients along the default grid", f"Curves of {', '.join(drawn)} by call.", caption
    )
