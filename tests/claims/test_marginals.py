"""With one data point, a solver of the SDE has the exact mean and variance after every step, on every schedule."""

from __future__ import annotations

import pytest
import torch

from runtime.real import real
from tests.emitted import emitted

SCHEDULES = {
    "vp_linear": "{kind: vp_linear}",
    "vp_scaled_linear": "{kind: vp_scaled_linear}",
    "vp_cosine": "{kind: vp_cosine}",
    "subvp": "{kind: subvp}",
    "ve": "{kind: ve}",
    "edm": "{kind: edm}",
    "flow": "{kind: flow}",
    "mean_reverting": "{kind: mean_reverting}",
    "interpolant": "{kind: interpolant, path: trig}",
    "kinetic": "{kind: kinetic}",
}
METHODS = {
    "multistep": "{family: exponential_multistep, steps: 3, integrand: data}",
    "corrector": "{family: predictor_corrector, steps: 2, integrand: data}",
    "stages": "{family: exponential_rk, nodes: [1/2, 2/3], integrand: data}",
}
USUAL = {("vp_linear", "stages"), ("flow", "corrector"), ("kinetic", "multistep")}
CASES = [
    pytest.param(s, m, marks=() if (s, m) in USUAL else pytest.mark.slow, id=f"{s}-{m}")
    for s in SCHEDULES
    for m in METHODS
]
POINT = 0.7


@pytest.mark.parametrize(("schedule", "method"), CASES)
def test_one_data_point_keeps_its_marginal(schedule: str, method: str) -> None:
    """N(alpha x0, sigma^2) from N(alpha x0, sigma^2), by runs on unit vectors: no samples."""
    solver = emitted(SCHEDULES[schedule], "data", METHODS[method], "sde, tau: 1/2")
    code, (first, last) = solver.coefficients, solver.domain
    nodes = [first + (last - first) * p for p in (0.1, 0.3, 0.45, 0.7, 0.85, 0.95)]
    levels = [(float(code.alpha(real(t))), float(code.sigma(real(t)))) for t in nodes]
    plan = solver.plan(nodes=nodes)
    draws = [i for i, draws in enumerate(plan.draws) if draws]
    x = torch.full((2 + len(draws), 1), POINT * levels[0][0], dtype=torch.float64)
    x[1] += levels[0][1]
    unit = torch.eye(2 + len(draws), dtype=torch.float64)
    ends: list[torch.Tensor] = []
    solver.sample(
        lambda x, t: torch.full_like(x, POINT),
        x,
        plan=plan,
        noise=[unit[:, 2 + k : 3 + k] for k in range(len(draws))],
        hooks={"after_step": lambda x, i, t: (ends.append(x.clone()), x)[1]},
    )
    for end, (alpha, sigma) in zip(ends, levels[1:], strict=True):
        assert float(end[0]) == pytest.approx(POINT * alpha, rel=1e-12)
        assert float(((end[1:] - end[0]) ** 2).sum()) == pytest.approx(sigma**2, rel=1e-12)
