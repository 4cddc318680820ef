"""One path for any number of steps: its clock against the variance of the steps, and the strong order on one seed."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from generated import lcm
from runtime.paths import Path
from runtime.real import real
from runtime.transition import deviations
from tests.emitted import emitted

SPECS = {
    "path_1": ("vp_linear", "noise", "1", "{family: exponential_multistep, steps: 1, integrand: data}"),
    "path_2m": ("flow", "velocity", "1/2", "{family: exponential_multistep, steps: 2, integrand: data}"),
    "path_pc": ("vp_linear", "v", "1", "{family: predictor_corrector, steps: 2, integrand: data}"),
    "path_rk": ("vp_linear", "noise", "1", "{family: exponential_rk, nodes: [1/2], integrand: data}"),
    "path_noise": ("vp_linear", "noise", "1", "{family: exponential_multistep, steps: 1, integrand: noise}"),
}
WIDTH = 0.7


@pytest.fixture(scope="module")
def solvers():
    return {
        name: emitted(f"{{kind: {schedule}}}", prediction, method, f"sde, tau: {tau}")
        for name, (schedule, prediction, tau, method) in SPECS.items()
    }


def network(solver):
    """Data N(0, WIDTH^2), for any prediction: from x0 = dx x + dr raw."""
    code = solver.coefficients

    def model(x, t):
        node = code.node(real(float(t.reshape(-1)[0])))
        a, s = float(node.alpha), float(node.sigma)
        if a == 0:
            return x  # E[eps - x0 | x] with x = eps, and mean 0
        dx, dr = map(float, code.denoised(node))
        return (a * WIDTH**2 / (a * a * WIDTH**2 + s * s) - dx) / dr * x

    return model


def nodes(solver, n):
    """Equal in lambda between two times inside the domain."""
    code = solver.coefficients
    high, low = (float(code.rho(real(t))) for t in (0.9, 0.1))
    out = []
    for i in range(n + 1):
        goal, (a, b) = high * (low / high) ** (i / n), (0.9, 0.1)
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if float(code.rho(real(middle))) > goal else (a, middle)
        out.append((a + b) / 2)
    return out


@pytest.mark.parametrize("name", SPECS)
def test_the_clock_is_the_variance_of_the_steps(solvers, name):
    """Over a whole step G_t^2 (q_t - q_s) is the square of what the step adds; G_t/G_s is its ``a``."""
    solver = solvers[name]
    plan = solver.plan(nodes=[0.9, 0.6, 0.4, 0.15])
    path = Path(solver, plan, 0)
    clocks, spread = path._clocks(plan), solver.coefficients.spread
    grown = [math.sqrt(clocks[i][1] - clocks[i][0]) for i in range(plan.steps)]
    ends = [clocks[i][1] for i in range(plan.steps) if plan.closes(i)]
    assert all(a < b for a, b in clocks) and [b for _, b in clocks[:-1]] == [a for a, _ in clocks[1:]]
    start = [solver.coefficients.node(real(t)) for t in plan.nodes]
    sizes = [float(spread(s, t)) for s, t in pairwise(start)]
    ratios = [size / math.sqrt(b - a) for size, a, b in zip(sizes, [clocks[0][0], *ends], ends)]  # G at the ends
    for (s, t, u), (g, h) in zip(zip(start, start[1:], start[2:]), pairwise(ratios)):
        both = float(spread(s, u)) ** 2
        assert both == pytest.approx(float(spread(t, u)) ** 2 + (h / g * float(spread(s, t))) ** 2, rel=1e-11)
    assert min(grown) > 0


FAST = ("path_2m",)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SPECS])
def test_n_and_2n_steps_on_one_path_have_the_strong_order(solvers, name):
    """1 for additive noise without iterated integrals; other noise is another path."""
    solver, model = solvers[name], network(solvers[name])
    plans = [solver.plan(nodes=nodes(solver, n)) for n in (16, 32, 64)]
    path = Path(solver, plans[-1], seed=3)
    x = torch.randn(512, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ends = [solver.sample(model, x, plan=plan, noise=path.of(plan)) for plan in plans]
    gaps = [float((a - b).square().mean().sqrt()) for a, b in pairwise(ends)]
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(1, abs=0.2)
    other = [solver.sample(model, x, plan=plan, seed=3) for plan in plans[-2:]]
    assert float((other[0] - other[1]).square().mean().sqrt()) > 3 * gaps[-1]


def test_a_sample_of_a_path_does_not_depend_on_its_batch(solvers):
    solver = solvers["path_rk"]
    plan = solver.plan(nodes=[0.9, 0.5, 0.2])
    x = torch.randn(8, 5, dtype=torch.float64)
    whole = solver.sample(network(solver), x, plan=plan, noise=Path(solver, plan, 7).of(plan))
    alone = solver.sample(network(solver), x[5:6], plan=plan, noise=Path(solver, plan, 7, samples=5).of(plan))
    assert torch.equal(whole[5:6], alone)


@pytest.mark.parametrize("name", ["path_1", "path_2m"])
def test_a_path_goes_from_end_to_end(solvers, name):
    """From alpha = 0 (flow) into sigma = 0, where the noise is gone."""
    solver = solvers[name]
    plan = solver.plan(steps=6)
    path = Path(solver, plan, 1)
    assert float(deviations(solver, plan)[-1]) == 0 and not math.isfinite(path._clocks(plan)[-1][1])
    x = torch.randn(2, 3, dtype=torch.float64)
    assert torch.isfinite(solver.sample(network(solver), x, plan=plan, noise=path.of(plan))).all()


def test_what_is_not_on_the_path_is_refused(solvers):
    solver = solvers["path_1"]
    path = Path(solver, solver.plan(nodes=[0.9, 0.5, 0.2]), 1)
    with pytest.raises(ValueError, match="call 1 is not between"):
        path.of(solver.plan(nodes=[0.9, 0.5, 0.1]))
    with pytest.raises(ValueError, match="one grid"):
        path.of(solver.plan(nodes=[[0.9, 0.5], [0.8, 0.5]]))


def test_a_consistency_model_has_no_path():
    with pytest.raises(ValueError, match="lcm makes its noise anew in every step; allowed: a solver of an SDE"):
        Path(lcm.solver, lcm.solver.plan(steps=4), 0)


def test_a_bounded_estimate_beside_its_noise_is_for_steps_that_add_none(solvers):
    solver, x = solvers["path_1"], torch.zeros(1, 2)
    with pytest.raises(ValueError, match="keep_noise: got a method that adds noise; allowed: one without, like ddim"):
        solver.sample(lambda x, t: x, x, nodes=[0.9, 0.5, 0.2], clip=1.0, keep_noise=True, seed=0)
