r"""The exact 2-Wasserstein error of a solver on Gaussian data N(0, c^2), against network calls.

The denoiser of N(0, c^2) is linear, so a deterministic solver multiplies x by a number: started from the true law it ends
in N(0, s^2) with s = |x_N|/|x_0| s_0, while the true end has S = sqrt(c^2 alpha^2 + sigma^2), and W2 = |s - S|. What a
stochastic solver draws is multiplied by numbers too: s^2 is the sum of their squares and of the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch

from derive.measure.compare import Contender, plan_of
from derive.measure.posed import Network, level
from derive.measure.problems import Gaussian

WIDTHS = (Fraction(1, 100), Fraction(1, 10), Fraction(1))
BUDGETS = (4, 6, 8, 10, 14, 20, 28, 40, 60, 80)
Curve = list[tuple[int, float]]
"""(network calls, W2/S)."""


def w2_curves(contender: Contender, budgets: Sequence[int] = BUDGETS) -> tuple[dict[str, Curve], list[str]]:
    """By c as text: the curve on the solver's own grid; and what the solver refused, a line each."""
    curves: dict[str, Curve] = {_shown(c): [] for c in WIDTHS}
    refused: dict[str, None] = {}
    for nfe in budgets:
        try:
            calls, errors = relative_w2(contender, nfe)
        except (ValueError, TypeError, ArithmeticError) as error:
            refused[str(error)] = None
            continue
        for curve, gap in zip(curves.values(), errors):
            if not curve or curve[-1][0] != calls:
                curve.append((calls, gap))
    return curves, list(refused)


def relative_w2(contender: Contender, nfe: int) -> tuple[int, list[float]]:
    """(calls, W2/S for every width) with at most ``nfe`` calls."""
    problem = Gaussian((Fraction(0),) * len(WIDTHS), WIDTHS)
    solver, plan = contender.solver, plan_of(contender, nfe)
    module = solver.coefficients
    start, end = level(module, plan.nodes[plan.history]), level(module, plan.nodes[-1])
    if module.FINAL == "denoise":
        end = (1.0, 0.0)
    spreads = [[math.hypot(float(c) * a, s) for c in WIDTHS] for a, s in (start, end)]
    network, draws = Network(solver, plan, problem), sum(plan.draws)
    x = torch.zeros((1 + draws, len(WIDTHS)), dtype=torch.float64)
    x[0] = torch.tensor(spreads[0], dtype=torch.float64)
    unit = [torch.zeros_like(x) for _ in range(draws)]
    for k, normals in enumerate(unit, 1):
        normals[k] = 1
    found = solver.sample(network, x, plan=plan, noise=unit or None)
    law = found.square().sum(0).sqrt() if draws else found[0].abs()
    return network.calls, [abs(s / S - 1) for s, S in zip(law.tolist(), spreads[1])]


def _shown(c: Fraction) -> str:
    return f"{float(c):g}"
