"""Stability: the diffusion test on Gaussian data, and for constant kernels the region of the complex plane.

The (kappa, h) map shows the largest amplification of a direction of the data, kappa = c^2/(c^2 + e^{-2 lambda}) = 0
across it and 1 along it; the curve beside it shows what becomes of noise that the method itself makes.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from derive.analysis.gaussian import DiffusionMap, DiffusionTest, diffusion_map
from derive.analysis.recurrence import characteristic
from derive.analysis.root_condition import StabilityMap, arithmetic, largest_root, stability_map
from derive.analysis.stability import StabilitySummary, of_scheme, summary
from derive.report.figures import INK, MUTED, SERIES, figure, styled
from derive.report.material import Material, Section, gallery, picture
from derive.report.prose import inline
from derive.report.step_numbers import heading, taken
from derive.symbolic.forms import ONE, ZERO
from derive.tableau import Tableau

PLACE = 60
LEVELS = (0.0, 0.5, 0.8, 0.95, 1.0 + 1e-9, 1.05, 1.2, 2.0, 1e9)
COLOURS = ("#1d4e89", "#3b7ab8", "#78a9d6", "#b9d3ea", "#fbe3cf", "#f5b98a", "#e38846", "#b4541a")
"""Blue: not amplified; orange: amplified."""
WINDOW = (-8.0, 2.0, -5.0, 5.0)
POINTS = 201


def build(material: Material) -> Section | None:
    tableau, problem = material.derived.tableau, material.derived.problem
    if material.derived.proof.law:
        return None
    found = summary(tableau, problem)
    pictures = [*_diffusion(found), *_plane(found)]
    body = _lines(found) + (gallery(*pictures) if pictures else "")
    if not pictures:
        body += "<p>" + escape(NOTHING if problem.noise is None else NOISY) + "</p>"
    if tableau.table:
        judged = escape(REPEATED.format(taken(tableau, tableau.repeated)))
        body = f"<p>{judged}</p>{body}{_others(tableau, problem)}"
    return Section("stability", "Stability", body, wide=True)


REPEATED = (
    "What follows is about a run that takes one step of the table again and again, the one that the table uses most ({}). "
    "A table as a whole has so many steps and no more, and nothing to be stable."
)


def _lines(found: StabilitySummary) -> str:
    lines = [inline(line[:1].upper() + line[1:] + ".") for line in str(found).splitlines()]
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _others(tableau: Tableau, problem: Any) -> str:
    """The other steps of a table, each as if a run went on with it."""
    parts = [
        f"<h4>{escape(heading(taken(tableau, k)))}</h4>" + _lines(of_scheme(tableau, k, problem))
        for k in range(len(tableau.schemes))
        if k != tableau.repeated
    ]
    if not parts:
        return ""
    return f"<details><summary>The other steps, each as if a run went on with it</summary>{''.join(parts)}</details>"


NOTHING = (
    "In this variable the recurrence on Gaussian data depends on the place of the step in the schedule, and the kernel is not "
    "constant, so there is no map that holds for every schedule. The curves of the Wasserstein error are for this one."
)

NOISY = (
    "The maps of other pages are those of the deterministic step. With noise the question is what variance a run keeps: "
    "the section about noise and the curves of the Wasserstein error, whose law has the noise in it, say that."
)


def _diffusion(found: StabilitySummary) -> list[str]:
    if found.pair is None:
        return []
    limits = [g.value for g in (found.gaussian.noise, found.gaussian.worst) if g.limited] if found.gaussian else []
    reach = float(np.clip(1.5 * max(limits, default=4.0), 2.0, 10.0)) * found.steps
    made = diffusion_map(DiffusionTest(found.scheme, found.pair), reach=reach, points=(81, 161))
    made = replace(made, h=made.h / found.steps)
    steps = "equal steps in lambda" if found.pair[1] == "lambda" else f"steps that are geometric in {found.pair[1]}"
    share = float((made.amplification <= 1 + 1e-9).mean())
    pictures = [
        picture(
            _map(made), "stability-map", "Amplification of Gaussian data",
            f"A map of kappa and h; {100 * share:.0f} percent of it is not amplified.",
            inline(f"Largest amplification $|\\zeta|$ of $x/\\alpha$ a {_taken_at_once(found)}, {steps}. Blue: not amplified; "
                   "black line: 1."),
        )
    ]  # fmt: skip
    if np.shape(made.parasitic) != np.shape(made.h):  # one solution only: a one-step method
        return pictures
    return [
        *pictures,
        picture(
            _curve(made), "stability-noise", "Parasitic noise across the data",
            f"A curve against h; it reaches {made.parasitic.max():.3g} at h = {made.h[-1]:.3g}.",
            inline("Amplification of the method's other solutions relative to $\\sigma$ at $\\kappa = 0$: below 1 noise that the "
                   "method makes dies out, above 1 it outgrows $\\sigma$."),
        ),
    ]  # fmt: skip


def _taken_at_once(found: StabilitySummary) -> str:
    """``step``, or ``block of 3 steps``."""
    return "step" if found.steps == 1 else f"block of {found.steps} steps"


def _map(made: DiffusionMap) -> Figure:
    with styled():
        drawn = figure(5.0, 3.8)
        panel = drawn.subplots()
        colours = ListedColormap(COLOURS)
        norm = BoundaryNorm(LEVELS, len(COLOURS))
        filled = panel.contourf(made.h, made.kappa, made.amplification, LEVELS, cmap=colours, norm=norm)
        if made.amplification.max() > 1 + 1e-9:
            panel.contour(made.h, made.kappa, made.amplification, [1 + 1e-9], colors=["#000000"], linewidths=1.4)
        bar = drawn.colorbar(filled, ax=panel, spacing="uniform", ticks=LEVELS[:-1])
        bar.ax.set_yticklabels([f"{v:g}" if v != LEVELS[4] else "1" for v in LEVELS[:-1]])
        bar.set_label(r"max $|\zeta|$")
        panel.grid(False)
        panel.set_xlabel("h in lambda")
        panel.set_ylabel(r"$\kappa$: 0 across the data, 1 along it")
    return drawn


def _curve(made: DiffusionMap) -> Figure:
    with styled():
        drawn = figure(5.0, 3.8)
        panel = drawn.subplots()
        panel.plot(made.h, np.clip(made.parasitic, 0, 3), color=SERIES[0])
        panel.axhline(1, color=SERIES[1], linestyle="--", linewidth=1.2)
        panel.annotate(
            "1: grows with sigma", (made.h[-1], 1), (-4, 4), textcoords="offset points", ha="right", color=MUTED
        )
        panel.set_ylim(0, min(max(1.3, 1.05 * made.parasitic.max()), 3))
        panel.set_xlabel("h in lambda")
        panel.set_ylabel(r"parasitic $|\zeta|$ at $\kappa = 0$")
    return drawn


def _plane(found: StabilitySummary) -> list[str]:
    """The region of w = step times eigenvalue, where the kernel is constant."""
    if found.rate != 0:
        return []
    step, corrected = found.scheme.step([ONE] * max(1, found.scheme.past), ZERO), found.scheme.corrector is not None
    window = _around(stability_map(step, corrected=corrected, window=WINDOW, points=POINTS))
    real, imag = np.linspace(*window[:2], POINTS), np.linspace(*window[2:], POINTS)
    size = largest_root(characteristic(step, arithmetic(step, 0.0), real + 1j * imag[:, None], corrected=corrected))
    real, imag = real / found.steps, imag / found.steps
    area = float((size <= 1).mean()) * (real[-1] - real[0]) * (imag[-1] - imag[0])
    caption = "Where $|\\zeta| \\le 1$ for $\\dot x = \\mu x$: $w = \\mu h$, the eigenvalue times the step in the method's variable."
    what = f"A region of area {area:.2f}, to the left of the imaginary axis but for small parts."
    drawn = _region(real, imag, size)
    return [picture(drawn, "stability-plane", "Stability region", what, inline(caption))]


def _around(made: StabilityMap) -> tuple[float, float, float, float]:
    """A window around the stable points, square, with a margin."""
    rows, columns = np.nonzero(made.stable)
    if not len(rows):
        return WINDOW
    left, right = float(made.real[columns.min()]), float(made.real[columns.max()])
    high = float(np.abs(made.imag[rows]).max())
    half = 0.6 * max(right - left, 2 * high, 0.4)
    middle = (left + right) / 2
    return (middle - half, middle + half, -half, half)


def _region(real: NDArray, imag: NDArray, size: NDArray) -> Figure:
    with styled():
        drawn = figure(5.0, 4.3)
        panel = drawn.subplots()
        panel.contourf(real, imag, size, [0, 1 + 1e-9], colors=[SERIES[0]], alpha=0.35)
        panel.contour(real, imag, size, [1 + 1e-9], colors=[SERIES[0]], linewidths=1.2)
        panel.axhline(0, color=INK, linewidth=0.7)
        panel.axvline(0, color=INK, linewidth=0.7)
        panel.set_aspect("equal")
        panel.set_xlabel("Re w")
        panel.set_ylabel("Im w")
    return drawn
