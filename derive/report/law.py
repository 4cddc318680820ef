"""What a budget buys: the exact Wasserstein error on Gaussian data against network calls, on the solver's own grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from derive.report.figures import figure, series, styled
from derive.report.material import Material, Section, picture, table
from derive.report.prose import inline

PLACE = 80
TICKS = (4, 6, 10, 20, 40, 80)


def build(material: Material) -> Section | None:
    curves = {c: curve for c, curve in material.law.items() if curve}
    if not curves:
        return None
    grid = dict(material.solver.coefficients.GRID).get("kind", "uniform")
    caption = (
        f"Relative 2-Wasserstein error $|s - S|/S$ of the generated law $N(0, s^2)$ on data $N(0, c^2)$, where the true one is "
        f"$N(0, S^2)$: exact, without sampling. Grid: `{grid}`, as the spec has it. Small $c$: directions across the data; "
        "$c = 1$: along it."
    )
    last = "; ".join(f"c = {c}: {curve[-1][1]:.1e} at {curve[-1][0]} calls" for c, curve in curves.items())
    made = picture(
        _drawn(curves), "law", "Wasserstein error against network calls", f"Falling curves. {last}.", inline(caption)
    )
    calls = [str(n) for n, _ in next(iter(curves.values()))]
    rows = [(escape(f"c = {c}"), *(f"{e:.1e}" for _, e in curve)) for c, curve in curves.items()]
    figures = table(("calls", *calls), rows, "Relative Wasserstein error")
    return Section("law", "What a budget buys", made + f"<details><summary>The figures</summary>{figures}</details>")


def _drawn(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    with styled():
        made = figure(5.0, 3.6)
        panel = made.subplots()
        for number, (c, curve) in enumerate(curves.items()):
            panel.loglog(*zip(*[(n, max(e, 1e-16)) for n, e in curve]), label=f"c = {c}", **series(number))
        known = {n for curve in curves.values() for n, _ in curve}
        ticks = [n for n in TICKS if min(known) <= n <= max(known)]
        panel.set_xticks(ticks, [str(n) for n in ticks])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel("network calls")
        panel.set_ylabel(r"$|s - S|/S$")
        panel.legend()
    return made
