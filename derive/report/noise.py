"""The noise of a stochastic solver: its proved orders, what refutes the next, and maps of variance and bias on Gaussian data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from derive.analysis.noise_claims import law_of, prove_stochastic
from derive.analysis.noise_order import NoiseProof
from derive.analysis.variance_map import GaussianRun, VarianceMap, variance_map
from derive.report.figures import figure, styled
from derive.report.material import Material, Section, gallery, picture
from derive.report.prose import inline
from derive.symbolic.forms import ONE

PLACE = 65
TAUS = np.linspace(0, 1.5, 25)
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 32)
TICKS = (0.125, 0.25, 0.5, 1.0, 2.0)
RATIOS = (0.0, 0.5, 0.8, 0.9, 0.98, 1.02, 1.1, 1.25, 2.0, 1e9)
BIASES = (-1e9, -0.5, -0.2, -0.1, -0.02, 0.02, 0.1, 0.2, 0.5, 1e9)
COLOURS = ("#1d4e89", "#3b7ab8", "#78a9d6", "#b9d3ea", "#ffffff", "#fbe3cf", "#f5b98a", "#e38846", "#b4541a")
"""Blue: too small; white: within 2 percent; orange: too large."""


def build(material: Material) -> Section | None:
    """None for solvers that draw nothing, and for steps that have no order."""
    derived = material.derived
    proof = prove_stochastic(derived.tableau, derived.problem)
    if proof is None:
        return None
    lines = "".join(f"<li>{inline(line)}</li>" for line in _lines(proof))
    run = gaussian_run(material)
    pictures = [] if run is None else _pictures(variance_map(run, TAUS, COUNTS), run.integrand)
    return Section("noise", "Noise", f"<ul>{lines}</ul>" + (gallery(*pictures) if pictures else ""), wide=True)


def _lines(proof: NoiseProof) -> list[str]:
    lines = [f"Weak order {proof.weak}, strong order {proof.strong}, with the declared start and last steps."]
    if proof.leading:
        told = "; ".join(f"{name}: `{text}`" for name, text in proof.leading)
        lines.append(
            f"No more on a linear problem with constant coefficients: first terms of what the scheme keeps. {told}."
        )
    if proof.ratio:
        lines.append(
            f"Stationary variance over the exact one: `{proof.ratio} + ..`, $a$ the part of the drift times h that the step "
            "has exactly, $b$ the part that it combines."
        )
    return lines


def gaussian_run(material: Material) -> GaussianRun | None:
    """The method at equal steps on Gaussian data; None: not x0 or eps in lambda, or a table of decisions."""
    tableau, law = material.derived.tableau, law_of(material.derived.problem)
    scheme = tableau.schemes[-1]
    if law is None or law.integrand not in ("data", "noise") or tableau.table or not tableau.kernel.rate:
        return None
    step = scheme.step((ONE,) * max(1, scheme.past), tableau.kernel.rate)
    return GaussianRun(step, law.integrand, corrected=scheme.corrector is not None)


def _pictures(made: VarianceMap, integrand: str) -> list[str]:
    worst = float(np.abs(made.ratio[:, -1] - 1).max())
    moved = float(np.abs(made.bias[:, -1]).max())
    still = " At $\\tau = 1$ the mean of $x_0$ is constant, and there is no bias." if integrand == "data" else ""
    where = (
        "Data $N(0, 0.6^2)$, $\\lambda$ from -2 to 2 in equal steps h, exact weights for every $\\tau$ and exact start."
    )
    return [
        picture(
            _map(made, made.ratio, RATIOS, "variance / exact"), "noise-variance", "Variance at the end",
            f"A map of tau and h; at the smallest h the variance is at most {100 * worst:.1f} percent off.",
            inline(f"Variance at the end over the exact one. {where} White: within 2 percent."),
        ),
        picture(
            _map(made, made.bias, BIASES, "mean / exact - 1"), "noise-bias", "Bias of the mean",
            f"A map of tau and h; at the smallest h the mean is at most {100 * moved:.1f} percent off.",
            inline(f"Mean at the end, from a given start, over the exact one, less 1.{still}"),
        ),
    ]  # fmt: skip


def _map(made: VarianceMap, values: NDArray, levels: Sequence[float], label: str) -> Figure:
    with styled():
        drawn = figure(5.0, 3.8)
        panel = drawn.subplots()
        colours, norm = ListedColormap(COLOURS), BoundaryNorm(levels, len(COLOURS))
        filled = panel.contourf(made.h, made.tau, values, levels, cmap=colours, norm=norm)
        bar = drawn.colorbar(filled, ax=panel, spacing="uniform", ticks=levels[1:-1])
        bar.ax.set_yticklabels([f"{v:g}" for v in levels[1:-1]])
        bar.set_label(label)
        panel.grid(False)
        panel.set_xscale("log")
        panel.set_xticks(TICKS, [f"{h:g}" for h in TICKS])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xlabel("h in lambda")
        panel.set_ylabel(r"$\tau$")
    return drawn
