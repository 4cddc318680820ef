"""Log-densities along paths of the reverse SDE and of the ODE, against the exact density of a mixture at every node."""

from __future__ import annotations

import math
from functools import lru_cache

import pytest
import torch

from generated import ddim, dpmpp_2m, etdrk4, flow_rk4, lcm, sa_solver_2, sde_dpmpp_1, sde_dpmpp_2m
from runtime import levels
from runtime.ito import PathDensity, Recorder
from tests.runtime import mixture

LAMBDA = {"grid": "uniform", "variable": "lambda", "t_start": 1.0, "t_end": 0.01, "final_zero": False}
PATHS = 4_000
COUNTS = (100, 400)


@lru_cache(maxsize=6)
def paths(n, tau=1.0):
    """(plan, states, scores, their divergences, log q at the ends) of ``n`` steps of the SDE, whose start is exact in law."""
    plan = dpmpp_2m.solver.plan(n, **LAMBDA)
    alpha, sigma = mixture.vp(plan.nodes)
    numbers = torch.Generator().manual_seed(n)

    def normal():
        return torch.randn(PATHS, dtype=torch.float64, generator=numbers)

    part = torch.multinomial(mixture.WEIGHTS, PATHS, True, generator=numbers)
    x = alpha[0] * (mixture.MEANS[part] + mixture.SCALES[part] * normal()) + sigma[0] * normal()
    states, scores = [x], [mixture.score(x, alpha[0], sigma[0])]
    for i in range(n):
        h = torch.log(alpha[i + 1] * sigma[i] / (sigma[i + 1] * alpha[i]))
        data = (x + sigma[i] ** 2 * scores[-1]) / alpha[i]
        kept = torch.exp(-(tau**2) * h) * sigma[i + 1] / sigma[i]
        wide = sigma[i + 1] * torch.sqrt(-torch.expm1(-2 * tau**2 * h))
        x = kept * x - alpha[i + 1] * torch.expm1(-(1 + tau**2) * h) * data + wide * normal()
        states.append(x)
        scores.append(mixture.score(x, alpha[i + 1], sigma[i + 1]))
    curves = mixture.curvature(torch.stack(states), alpha[:, None], sigma[:, None])
    logs = mixture.log_density(torch.stack((states[0], states[-1])), alpha[[0, -1], None], sigma[[0, -1], None])
    return plan, [s[:, None] for s in states], scores, list(curves), logs


def errors(n, tau=1.0, **rule):
    """(RMS, mean) over paths of the error of the last log q."""
    plan, states, scores, curves, logs = paths(n, tau)
    density = PathDensity(dpmpp_2m.solver, plan, tau=tau, **rule)
    needed = any(map(density.divergences, range(n)))
    found = density.along(states, [s[:, None] for s in scores], curves if needed else None)
    assert found.shape == (n + 1, PATHS)
    error = found[-1] - (logs[-1] - logs[0])
    return float(error.square().mean().sqrt()), float(error.mean())


def slope(values):
    """The order that two errors show, at numbers of steps that differ by a factor of 4."""
    return math.log2(abs(values[0] / values[-1])) / 2


def test_itos_rule_has_rms_order_one_half_and_bias_order_one():
    found = [errors(n, spread=None) for n in COUNTS]
    rms, bias = ([f[k] for f in found] for k in (0, 1))
    assert abs(slope(rms) - 0.5) < 0.06 and abs(slope(bias) - 1) < 0.15, (rms, bias)
    assert rms[0] < 1.0


def test_what_a_normal_law_explains_makes_no_noise():
    """The order is the same, the error a quarter, and the bias a fifth, about what so many paths can tell."""
    found = [errors(n, spread=1.0) for n in COUNTS]
    assert abs(slope([f[0] for f in found]) - 0.5) < 0.06
    for n, (rms, bias) in zip(COUNTS, found):
        plain = errors(n, spread=None)
        assert rms < plain[0] / 4 and abs(bias) < abs(plain[1]) / 5


def test_the_trapezoidal_rule_has_order_one_and_a_smaller_error():
    found = [errors(n, rule="trapezoid") for n in COUNTS]
    rms, bias = ([f[k] for f in found] for k in (0, 1))
    assert abs(slope(rms) - 1) < 0.12 and abs(slope(bias) - 1) < 0.25, (rms, bias)
    assert all(r < 0.25 * errors(n, spread=1.0)[0] for n, r in zip(COUNTS, rms))


@pytest.mark.parametrize("tau", [0.0, pytest.param(0.8, marks=pytest.mark.slow)])
def test_less_noise_asks_for_the_divergence(tau):
    """Along the ODE Ito's rule is Euler's, of order 1; with some noise again 1/2. The trapezoidal rule does not ask for tau."""
    counts = (20, 80) if tau == 0 else COUNTS
    rms = [errors(n, tau)[0] for n in counts]
    assert abs(slope(rms) - (1 if tau == 0 else 0.5)) < 0.15, rms
    rms = [errors(n, tau, rule="trapezoid")[0] for n in counts]
    assert abs(slope(rms) - (2 if tau == 0 else 1)) < 0.2, rms


def test_a_wrong_tau_leaves_an_error():
    plan, states, scores, curves, logs = paths(400)
    right, wrong = (
        PathDensity(dpmpp_2m.solver, plan, spread=None, tau=tau).along(states, [s[:, None] for s in scores], curves)[-1]
        for tau in (1.0, 0.9)
    )
    want = logs[-1] - logs[0]
    assert abs(float((wrong - want).mean())) > 4 * abs(float((right - want).mean())) > 0


def test_the_increments_are_those_of_the_published_formula():
    """d log q = <dx + dt a x, s>/sigma + dt a - dt B s^2/sigma with s = sigma score, a dt = -d log alpha, B dt = sigma d lambda."""
    plan, states, scores, _, _ = paths(400)
    alpha, sigma = mixture.vp(plan.nodes)
    plain = PathDensity(dpmpp_2m.solver, plan, spread=None)
    for i in (5, 150, 380):
        x, y, s = states[i][:, 0], states[i + 1][:, 0], scores[i]
        grown = torch.log(alpha[i + 1] / alpha[i])
        h = grown - torch.log(sigma[i + 1] / sigma[i])
        want = (y - x - grown * x) * s - grown - sigma[i] ** 2 * h * s**2
        found = plain.increment(i, states[i], states[i + 1], s[:, None])
        assert float((found - want).square().mean().sqrt()) < 0.1 * float(want.square().mean().sqrt())


def test_elements_add_up_in_several_dimensions():
    """Independent elements: log q is the sum of theirs."""
    plan, states, scores, curves, _ = paths(100)
    three = [torch.cat([s[:1000], s[1000:2000], s[2000:3000]], 1).reshape(1000, 3, 1) for s in states]
    threes = [torch.stack([s[:1000], s[1000:2000], s[2000:3000]], 1).reshape(1000, 3, 1) for s in scores]
    sums = [c[:1000] + c[1000:2000] + c[2000:3000] for c in curves]
    for rule in ("ito", "trapezoid"):
        density = PathDensity(dpmpp_2m.solver, plan, rule)
        single = density.along(states, [s[:, None] for s in scores], curves)
        want = single[:, :1000] + single[:, 1000:2000] + single[:, 2000:3000]
        torch.testing.assert_close(density.along(three, threes, sums), want, rtol=0, atol=1e-10)


def test_gaussian_data_of_the_given_spread_is_exact():
    """q = N(0, n^2) itself: any states, any step, both rules."""
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    plan = flow_rk4.solver.plan(nodes=[0.95, 0.5, 0.4, 0.01])
    widths = [1.3**2 * (1 - t) ** 2 + t**2 for t in plan.nodes]
    states = [x, x.flip(0) + 0.2, 2 * x, x**2]
    scores = [-s / v for s, v in zip(states, widths)]
    curves = [torch.full((7,), -1 / v, dtype=torch.float64) for v in widths]
    want = [-(s[:, 0] ** 2) / (2 * v) - math.log(v) / 2 for s, v in zip(states, widths)]
    for rule in ("ito", "trapezoid"):
        found = PathDensity(flow_rk4.solver, plan, rule, 1.3).along(states, scores, curves)
        torch.testing.assert_close(found, torch.stack([w - want[0] for w in want]), rtol=0, atol=1e-12)


def test_grids_per_sample():
    nodes = [[0.9, 0.5, 0.1], [0.8, 0.4, 0.05]]
    x = torch.tensor([[0.3], [-0.7]], dtype=torch.float64)
    together = PathDensity(ddim.solver, ddim.solver.plan(nodes=nodes)).increment(1, x, x + 0.1, -x)
    for b, own in enumerate(nodes):
        alone = PathDensity(ddim.solver, ddim.solver.plan(nodes=own)).increment(
            1, *(v[b : b + 1] for v in (x, x + 0.1, -x))
        )
        assert torch.equal(together[b], alone[0])


def test_a_recorder_keeps_what_the_solver_shows():
    plan = ddim.solver.plan(6, **LAMBDA)
    seen = Recorder(ddim.solver, plan)
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = mixture.network("noise", mixture.vp)
    for _ in range(2):
        end = ddim.solver.sample(model, x, plan=plan, callback=seen)
    found = seen.along(end)
    scores = [mixture.score(s, *mixture.vp(t)) for s, t in zip(seen.states, plan.nodes)]
    want = PathDensity(ddim.solver, plan).along([*seen.states, end], scores)
    assert found.shape == (7, 4)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("package", [sde_dpmpp_1, sde_dpmpp_2m, sa_solver_2], ids=lambda p: p.solver.name)
def test_along_the_steps_of_shipped_stochastic_solvers(package):
    """Their own noise, and the states that they show: the error is that of exact paths."""
    plan, states, _, _, _ = paths(100)
    plan = package.solver.plan(nodes=plan.nodes)
    seen = Recorder(package.solver, plan)
    end = package.solver.sample(mixture.network("noise", mixture.vp), states[0], plan=plan, callback=seen, seed=1)
    first, last = (mixture.vp(t) for t in (plan.nodes[0], plan.nodes[-1]))
    want = mixture.log_density(end[:, 0], *last) - mixture.log_density(states[0][:, 0], *first)
    error = seen.along(end)[-1] - want
    assert float(error.square().mean().sqrt()) < 1.25 * errors(100)[0] and abs(float(error.mean())) < 0.06


def test_the_score_of_every_prediction():
    """sx x + sr raw."""
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    for package, kind, path in ((ddim, "noise", mixture.vp), (flow_rk4, "velocity", mixture.flow)):
        plan = package.solver.plan(nodes=[0.9, 0.4, 0.1])
        rows = levels.of_nodes(package.solver.coefficients, plan, levels.score)
        for t, (sx, sr) in zip(plan.nodes, rows):
            raw = mixture.network(kind, path)(x, torch.full((5,), t, dtype=torch.float64))
            torch.testing.assert_close(sx * x + sr * raw, mixture.score(x, *path(t)), rtol=1e-11, atol=1e-11)


def test_what_is_refused():
    solver, plan = ddim.solver, ddim.solver.plan(4, **LAMBDA)
    x = torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="lcm renoises, which is no SDE"):
        Recorder(lcm.solver, lcm.solver.plan(steps=4))
    with pytest.raises(ValueError, match="rule"):
        PathDensity(solver, plan, "euler")
    with pytest.raises(ValueError, match="spread: got -1"):
        PathDensity(solver, plan, spread=-1)
    with pytest.raises(ValueError, match="alpha > 0"):
        PathDensity(flow_rk4.solver, flow_rk4.solver.plan(4))
    with pytest.raises(ValueError, match="divergence: not given"):
        PathDensity(solver, plan, tau=0.5).increment(0, x, x, x)
    with pytest.raises(ValueError, match="next_score: not given"):
        PathDensity(solver, plan, "trapezoid").increment(0, x, x, x, x[:, 0])
    with pytest.raises(ValueError, match="a score"):
        PathDensity(solver, plan, "trapezoid").along([x] * 5, [x] * 4, [x[:, 0]] * 4)
    with pytest.raises(ValueError, match="one call a step"):
        Recorder(etdrk4.solver, etdrk4.solver.plan(4, **LAMBDA))
