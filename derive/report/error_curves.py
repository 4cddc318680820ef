"""Error against network calls, a panel per problem: what ``compare`` draws."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from derive.report.figures import MUTED, figure, series, styled


def draw(comparison: Any) -> Figure:
    """A figure of a :class:`derive.measure.compare.Comparison`."""
    problems, solvers = comparison.problems, comparison.solvers
    with styled():
        made = figure(max(4.6 * len(problems), 5.6), 4.0 + 0.22 * -(-len(solvers) // 4))
        panels = made.subplots(1, len(problems), squeeze=False)[0]
        for panel, problem in zip(panels, problems):
            for number, solver in enumerate(solvers):
                known = [(p.calls, p.error) for p in comparison.curve(problem, solver) if p.error]
                if known:
                    panel.loglog(*zip(*known), label=solver, **series(number))
            _dress(panel, problem, comparison)
        panels[0].set_ylabel(r"RMS of (x $-$ exact)/$\alpha$")
        handles = {label: h for panel in panels for h, label in zip(*panel.get_legend_handles_labels())}
        made.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 4))
    return made


def _dress(panel: Any, problem: str, comparison: Any) -> None:
    panel.set_title(problem)
    panel.set_xlabel("network calls")
    calls = sorted({p.calls for p in comparison.points if p.error and p.problem == problem})
    budgets = [n for n in comparison.budgets if calls and calls[0] <= n <= calls[-1]] or calls
    panel.set_xticks(budgets, [str(n) for n in budgets])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(length=3, color=MUTED)
