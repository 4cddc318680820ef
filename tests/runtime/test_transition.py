"""The density of stochastic steps: torch's normal law, and of whole paths the joint law of a linear problem."""

from __future__ import annotations

import math

import pytest
import torch

from runtime.noise import Philox
from runtime.real import real
from runtime.transition import deviations, log_prob, transition
from tests.emitted import emitted

SPECS = {
    "transition_2m": "{family: exponential_multistep, steps: 2, integrand: data}",
    "transition_pc": "{family: predictor_corrector, steps: 2, integrand: data}",
    "transition_rk": "{family: exponential_rk, nodes: [1/2], integrand: data}",
}
WIDTH = 0.7


@pytest.fixture(scope="module")
def solvers():
    return {name: emitted("{kind: vp_linear}", "noise", method, "sde, tau: 1") for name, method in SPECS.items()}


def network(solver):
    """E[eps | x] of data N(0, WIDTH^2): linear in x."""
    code = solver.coefficients

    def model(x, t):
        a, s = (float(f(real(float(t.reshape(-1)[0])))) for f in (code.alpha, code.sigma))
        return s * x / (a * a * WIDTH**2 + s * s)

    return model


def path(solver, plan, x, source):
    """(state, raw, x') of every call, on states that stay valid."""
    model, found = network(solver), []
    state = solver.init(plan, x.requires_grad_())
    for i in range(plan.steps):
        raw = model(state.x, torch.tensor(plan.time(i)))
        following = solver.step(plan, i, state, raw, source(i, state.x) if plan.draws[i] else None)
        found.append((state, raw, following.x))
        state = following
    return found


def planned(solver):
    return solver.plan(nodes=[1.0, 0.8, 0.55, 0.4, 0.2, 0.1])


@pytest.mark.parametrize("name", SPECS)
def test_each_call_has_torchs_normal_law(solvers, name):
    solver = solvers[name]
    plan = planned(solver)
    x = torch.randn(4, 3, 2, dtype=torch.float64)
    for i, (state, raw, new) in enumerate(path(solver, plan, x, Philox(5))):
        mean, std = transition(solver, plan, i, state, raw)
        want = torch.distributions.Normal(mean, std).log_prob(new).flatten(1).sum(1)
        assert log_prob(solver, plan, i, state, raw, new).sub(want).abs().max() < 1e-12 * want.abs().max()
        assert ((new - mean) / std).sub(Philox(5)(i, new)).abs().max() < 1e-12
        assert float(std) == pytest.approx(float(deviations(solver, plan)[i]), rel=1e-15)


@pytest.mark.parametrize("name", SPECS)
def test_the_densities_of_a_path_are_that_of_its_joint_law(solvers, name):
    """x_1, .., x_K are linear in the normals: the covariance of the whole path from runs on unit vectors."""
    solver = solvers[name]
    plan = planned(solver)
    start = torch.full((1, 1), 0.3, dtype=torch.float64)
    count = plan.steps

    def states(normals):
        source = lambda call, like: normals[call].expand_as(like)  # noqa: E731
        return torch.stack([new.detach()[0, 0] for _, _, new in path(solver, plan, start.clone(), source)])

    zero = torch.zeros(count, dtype=torch.float64)
    mean = states(zero)
    columns = torch.stack([states(unit) - mean for unit in torch.eye(count, dtype=torch.float64)], 1)
    joint = torch.distributions.MultivariateNormal(mean, covariance_matrix=columns @ columns.T)
    made = path(solver, plan, start.clone(), Philox(8))
    total = sum(log_prob(solver, plan, i, *each) for i, each in enumerate(made))
    want = joint.log_prob(torch.stack([new.detach()[0, 0] for _, _, new in made]))
    assert float(total.detach()) == pytest.approx(float(want), rel=1e-9)


def test_the_density_follows_the_model(solvers):
    """The gradient of log p in the network's output, against a difference quotient."""
    solver = solvers["transition_2m"]
    plan = planned(solver)
    state, raw, new = path(solver, plan, torch.randn(2, 3, dtype=torch.float64), Philox(1))[2]
    raw, new = raw.detach().requires_grad_(), new.detach()
    (gradient,) = torch.autograd.grad(log_prob(solver, plan, 2, state, raw, new).sum(), raw)
    step = torch.zeros_like(raw)
    step[1, 2] = 1e-6
    both = [log_prob(solver, plan, 2, state, (raw + d).detach(), new).sum() for d in (step, -step)]
    assert float(gradient[1, 2]) == pytest.approx(float((both[0] - both[1]).detach()) / 2e-6, rel=1e-6)


def test_a_step_without_noise_has_no_density(solvers):
    solver = solvers["transition_2m"]
    plan = solver.plan(steps=2)
    state = solver.init(plan, torch.randn(2, 3, requires_grad=True))
    for i in range(2):
        raw = torch.zeros(2, 3)
        if i == 1:
            assert float(deviations(solver, plan)[1]) == 0
            with pytest.raises(ValueError, match="no density"):
                log_prob(solver, plan, i, state, raw, state.x)
        else:
            assert log_prob(solver, plan, i, state, raw, state.x).dtype == torch.float32
            state = solver.step(plan, i, state, raw, torch.zeros(2, 3))


def test_grids_per_sample_have_their_own_deviation(solvers):
    solver = solvers["transition_2m"]
    nodes = [[1.0, 0.6, 0.2], [0.9, 0.5, 0.3]]
    plan = solver.plan(nodes=nodes)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    raw, new = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    both = log_prob(solver, plan, 0, solver.init(plan, x), raw, new)
    for b, grid in enumerate(nodes):
        own = solver.plan(nodes=grid)
        one = log_prob(solver, own, 0, solver.init(own, x[b : b + 1]), raw[b : b + 1], new[b : b + 1])
        assert float(both[b].detach()) == pytest.approx(float(one.detach()), rel=1e-12)
    assert deviations(solver, plan).shape == (2, 2) and math.isfinite(float(both.sum().detach()))


def test_a_state_without_dimensions(solvers):
    """Its density is a number: that of a batch of one."""
    solver = solvers["transition_2m"]
    plan, x = planned(solver), torch.tensor(0.3, dtype=torch.float64)
    alone, batch = solver.init(plan, x), solver.init(plan, x[None])
    found = log_prob(solver, plan, 0, alone, x, x + 0.1)
    assert found.shape == () and found == log_prob(solver, plan, 0, batch, x[None], x[None] + 0.1)[0]


@pytest.mark.parametrize(("noise", "error"), [(5, TypeError), (torch.tensor(0.0), ValueError)])
def test_noise_that_is_neither_a_function_nor_tensors(solvers, noise, error):
    solver = solvers["transition_2m"]
    with pytest.raises(error, match=r"noise: got .*; allowed: "):
        solver.sample(lambda x, t: x, torch.zeros(1, 2), plan=planned(solver), noise=noise)
