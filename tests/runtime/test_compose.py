"""Superpositions of networks: AND, OR and averages with one-call solvers and others, stochastic and deterministic."""

from __future__ import annotations

import math

import pytest
import torch

from generated import (
    ddim,
    dpmpp_2m,
    edm_heun,
    sa_solver_2,
    sde_dpmpp_1,
    sde_dpmpp_2m,
    sde_dpmpp_3m,
    unipc_2,
    vp_rho_heun,
)
from runtime.compose import And, Average, Or, superpose
from runtime.ito import PathDensity
from tests.emitted import emitted
from tests.runtime import mixture

METHOD = "{family: exponential_multistep, steps: 1, integrand: data, variable: lambda, weights: exact}"
GRID = {"grid": "uniform", "variable": "lambda", "t_start": 1.0, "t_end": 0.02, "final_zero": False}
X = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def stochastic(k=1, tau="1"):
    """SDE-DPM-Solver++ of k steps; with less noise than the reverse SDE has, made for this test."""
    if tau == "1":
        return {1: sde_dpmpp_1, 2: sde_dpmpp_2m}[k].solver
    return emitted("vp_linear", "noise", METHOD, f"sde, tau: {tau}")


def normal(*mean, width=0.6):
    """The noise prediction of N(mean, width^2)."""
    centre = torch.tensor(mean, dtype=torch.float64)

    def model(x, t):
        alpha, sigma = (v[:, None].to(x.dtype) for v in mixture.vp(t))
        return sigma * (x - alpha * centre.to(x.dtype)) / (alpha**2 * width**2 + sigma**2)

    return model


def coupled(x, t):
    """A network that is no gradient and mixes the elements."""
    return torch.tanh(0.8 * x + 0.3 * x.flip(1)) * (1 + t[:, None])


MODELS = [normal(1.0, 0.0), normal(-0.5, 0.7, width=0.4), coupled]


STOCHASTIC = [(package, 1.0) for package in (sde_dpmpp_1, sde_dpmpp_2m, sde_dpmpp_3m, sa_solver_2)]


@pytest.mark.parametrize(("package", "spread"), [*STOCHASTIC, (sde_dpmpp_1, None)], ids=str)
def test_and_makes_all_increments_equal_in_a_stochastic_step(package, spread):
    x = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    models = [normal(*[1.0, 0.0] * 4), normal(*[-0.5, 0.7] * 4, width=0.4), coupled]
    found = superpose(package.solver, models, x, And(), 20, seed=3, spread=spread, **GRID)
    assert found.kappa.shape == found.increments.shape == (20, 6, 3)
    gap = (found.increments - found.increments[..., :1]).abs()
    assert float((gap / found.increments.abs().clamp(min=1)).max()) < 1e-12
    torch.testing.assert_close(found.kappa.sum(-1), torch.ones(20, 6, dtype=torch.float64), rtol=0, atol=1e-12)
    assert float(found.kappa.std()) > 0.05


def test_a_ridge_holds_weights_back():
    """Three models of two elements: the equations have nearly dependent rows somewhere."""
    free, held = (superpose(stochastic(), MODELS, X, And(ridge), 20, seed=3, **GRID) for ridge in (0.0, 1e-3))
    assert float(held.kappa.abs().max()) < 50 < float(free.kappa.abs().max())
    gap = (held.increments - held.increments[..., :1]).abs()
    assert 1e-9 < float(gap.mean()) < 0.2
    torch.testing.assert_close(held.kappa.sum(-1), torch.ones(20, 6, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", [dpmpp_2m.solver, unipc_2.solver], ids=lambda s: s.name)
def test_and_with_divergences_in_a_deterministic_step(solver):
    found = superpose(solver, MODELS[::2], X, And(), 8, **GRID)
    gap = (found.increments - found.increments[..., :1]).abs()
    assert float((gap / found.increments.abs().clamp(min=1)).max()) < 1e-12


def test_and_takes_a_divergence_for_what_tau_leaves():
    found = superpose(stochastic(1, "1/2"), MODELS[:2], X, And(), 12, seed=1, tau=0.5, **GRID)
    assert float((found.increments[..., 0] - found.increments[..., 1]).abs().max()) < 1e-11
    other = superpose(stochastic(1, "1/2"), MODELS[:2], X, And(), 12, seed=1, **GRID)
    assert float((found.kappa - other.kappa).abs().max()) > 1e-3


def test_increments_are_those_of_the_path_density():
    """Of the states that the solve goes through, with the closed score of one of the models."""
    solver = stochastic(1)
    plan = solver.plan(8, **GRID)
    states = []

    def seen(x, t):
        states.append(x.clone())
        return MODELS[0](x, t)

    found = superpose(solver, [seen, MODELS[1]], X, Or(), plan=plan, seed=2)
    states.append(found.x)
    density = PathDensity(solver, plan)
    for i in range(8):
        alpha, sigma = mixture.vp(plan.nodes[i])
        score = -(states[i] - alpha * torch.tensor([1.0, 0.0], dtype=torch.float64)) / (alpha**2 * 0.36 + sigma**2)
        want = density.increment(i, states[i], states[i + 1], score)
        torch.testing.assert_close(found.increments[i, :, 0], want, rtol=0, atol=1e-10)


def test_log_q_is_the_density_of_each_model_in_the_limit():
    """Average weights (1, 0): log q of the first model is exact up to RMS order 1/2, and the mean error small."""
    solver, sizes = stochastic(1), []
    x = torch.randn(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ends = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for n in (40, 160):
        plan = solver.plan(n, **GRID)
        found = superpose(solver, MODELS[:1], x, Or(), plan=plan, seed=9)
        logs = []
        for at, t in ((x, plan.nodes[0]), (found.x, plan.nodes[-1])):
            alpha, sigma = mixture.vp(t)
            logs.append(
                torch.distributions.Normal(alpha * ends, (alpha**2 * 0.36 + sigma**2).sqrt()).log_prob(at).sum(1)
            )
        sizes.append(float((found.log_q[:, 0] - logs[1] + logs[0]).square().mean().sqrt()))
    assert sizes[1] < 0.2 and abs(math.log2(sizes[0] / sizes[1]) / 2 - 0.5) < 0.1, sizes


def test_or_with_an_infinite_temperature_is_the_largest():
    cold = superpose(stochastic(), MODELS, X, Or(math.inf, (0.0, math.log(2), -math.inf)), 12, seed=5, **GRID)
    log_q = torch.cat([torch.zeros(1, 6, 3, dtype=torch.float64), cold.increments.cumsum(0)])[:-1]
    torch.testing.assert_close(cold.kappa[0], torch.tensor([1 / 3, 2 / 3, 0.0], dtype=torch.float64).expand(6, 3))
    want = torch.nn.functional.one_hot(log_q[..., :2].argmax(-1), 3).double()[1:]
    assert torch.equal(cold.kappa[1:], want) and 0.1 < float(want[..., 0].mean()) < 0.9
    warm = superpose(stochastic(), MODELS, X, Or(1e6, (0.0, math.log(2), -math.inf)), 12, seed=5, **GRID)
    torch.testing.assert_close(warm.kappa[0, :, :2], cold.kappa[0, :, :2])
    torch.testing.assert_close(warm.x, cold.x, rtol=0, atol=1e-9)


def test_or_is_a_softmax_of_what_was_gained():
    found = superpose(stochastic(), MODELS, X, Or(0.7, (0.1, 0.2, 0.3)), 10, seed=5, **GRID)
    log_q = torch.cat([torch.zeros(1, 6, 3, dtype=torch.float64), found.increments.cumsum(0)])[:-1]
    want = torch.softmax(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64) + 0.7 * log_q, -1)
    torch.testing.assert_close(found.kappa, want)
    torch.testing.assert_close(found.log_q, found.increments.sum(0))


def test_or_chooses_the_mode_a_sample_is_near():
    """Two narrow normals: with OR all samples end near one of the two; an average ends between them."""
    far = [normal(2.0, 2.0, width=0.1), normal(-2.0, -2.0, width=0.1)]
    either = superpose(stochastic(), far, X, Or(1.0), 40, seed=5, **GRID)
    between = superpose(stochastic(), far, X, Average((0.5, 0.5)), 40, seed=5, **GRID)
    assert float((either.x.abs() - 2).abs().max()) < 0.8
    assert float(between.x.abs().max()) < 0.8 and between.log_q is None


def single(rule, solver, model, **more):
    if solver is edm_heun.solver:
        grid = {}
    else:
        grid = {"steps": 6, **GRID}
    draws = any(solver.plan(**grid).draws)
    want = solver.sample(model, X, **grid, **({"seed": 7} if draws else {}))
    found = superpose(solver, [model], X, rule, **grid, **({"seed": 7} if draws else {}), **more)
    assert torch.equal(found.x, want)
    assert torch.equal(found.kappa, torch.ones_like(found.kappa))


@pytest.mark.parametrize("rule", [And(), Or(), Average((1.0,))], ids=lambda r: type(r).__name__)
def test_one_model_is_a_plain_solve_bit_for_bit(rule):
    single(rule, stochastic(2), coupled)
    single(rule, dpmpp_2m.solver, coupled)


def test_one_model_with_stages_and_a_scaled_input():
    single(Or(), vp_rho_heun.solver, coupled)
    single(Average((1.0,)), edm_heun.solver, lambda x, t: torch.tanh(x) * t[:, None])


def test_equal_models_get_equal_weights():
    found = superpose(stochastic(), [coupled] * 3, X, And(), 6, seed=1, **GRID)
    torch.testing.assert_close(found.kappa, torch.full_like(found.kappa, 1 / 3), rtol=0, atol=1e-12)


def test_an_average_is_the_solve_of_the_averaged_network():
    found = superpose(dpmpp_2m.solver, MODELS[:2], X, Average((0.25, 0.75)), 8, **GRID)
    mixed = lambda x, t: 0.25 * MODELS[0](x, t) + 0.75 * MODELS[1](x, t)  # noqa: E731
    torch.testing.assert_close(found.x, dpmpp_2m.solver.sample(mixed, X, 8, **GRID), rtol=1e-13, atol=1e-13)


def test_hutchinson_divergences_of_separate_elements_are_exact():
    a, b = (superpose(ddim.solver, MODELS[:2], X, And(), 8, kind=kind, **GRID) for kind in ("exact", "hutchinson"))
    torch.testing.assert_close(a.x, b.x, rtol=1e-9, atol=1e-9)


def test_samples_do_not_depend_on_the_batch():
    solver = stochastic(2)
    whole = superpose(solver, MODELS, X, And(), 8, seed=6, **GRID)
    alone = superpose(solver, MODELS, X[:2], And(), 8, seed=6, **GRID)
    torch.testing.assert_close(alone.x, whole.x[:2], rtol=1e-9, atol=1e-9)


def test_what_is_refused():
    with pytest.raises(ValueError, match="one call a step"):
        superpose(vp_rho_heun.solver, MODELS, X, And(), 4, **GRID)
    with pytest.raises(ValueError, match="sum 1"):
        superpose(ddim.solver, MODELS[:2], X, Average((0.5, 0.6)), 4, **GRID)
    with pytest.raises(ValueError, match="2 numbers"):
        superpose(ddim.solver, MODELS[:2], X, Or(1.0, (0.0,)), 4, **GRID)
    with pytest.raises(ValueError, match="models: got none"):
        superpose(ddim.solver, [], X, And(), 4, **GRID)
    with pytest.raises(TypeError, match="a plan is given"):
        superpose(ddim.solver, MODELS, X, And(), 4, plan=ddim.solver.plan(4))
