"""EDM's churn: algorithm 2 and the peers' samplers with the same noise, exact laws, and no churn bit for bit."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from benchmarks.rivals import installed
from benchmarks.rivals import sampling as rival
from generated import ddim, dpm_2s, dpmpp_2m, edm_heun, euler_ancestral, vp_rho_heun
from runtime.churn import Churn, raised, sample
from runtime.noise import Philox
from runtime.real import real

LEVELS = [60.0, 31.0, 14.0, 5.0, 2.0, 0.7, 0.2, 0.05, 0.0]
CHURN = Churn(3.0, 0.1, 40.0, 1.007)


def network(x, t):
    """Raw output on c_in x, of the noise level's logarithm."""
    return torch.tanh(x) * torch.cos(t)[:, None] + 0.3 * x.roll(1, 1)


def denoised(x, sigma):
    """EDM's D(x; sigma), sigma_data = 1/2."""
    c = 0.25 / (sigma**2 + 0.25)
    level = torch.full((len(x),), math.log(sigma) / 4, dtype=x.dtype)
    raw = network(x / math.sqrt(sigma**2 + 0.25), level)
    return c * x + sigma * 0.5 / math.sqrt(sigma**2 + 0.25) * raw


def start():
    return 60 * torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def algorithm_2(x, churn, normals):
    """As it is printed; (x_0, calls of the network)."""
    calls, n = 0, len(LEVELS) - 1
    for i, (t, following) in enumerate(pairwise(LEVELS)):
        gamma = min(churn.amount / n, math.sqrt(2) - 1) if churn.low <= t <= churn.high else 0.0
        hat = t + gamma * t
        x = x + math.sqrt(hat**2 - t**2) * churn.noise * normals(i, x)
        d = (x - denoised(x, hat)) / hat
        new, calls = x + (following - hat) * d, calls + 1
        if following:
            after, calls = (new - denoised(new, following)) / following, calls + 1
            new = x + (following - hat) * (d + after) / 2
        x = new
    return x, calls


@pytest.mark.parametrize("churn", [CHURN, Churn(40, 0.05, 50, 1.003), Churn(0.1), Churn(3, noise=0.0, high=5.0)])
def test_heun_is_algorithm_2_of_edm(churn):
    """With noise 0 the level is raised without noise, as printed."""
    wanted, calls = algorithm_2(start(), churn, Philox(8))
    made = []

    def counting(x, t):
        made.append(t)
        return network(x, t)

    found = sample(edm_heun.solver, counting, start(), churn, nodes=LEVELS, seed=8)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-12
    assert len(made) == calls == 2 * (len(LEVELS) - 1) - 1


@pytest.mark.skipif(installed("k-diffusion") is None, reason="k-diffusion is not installed")
def test_k_diffusion_has_the_same_samples(monkeypatch):
    sampling = rival()
    count = iter(range(99))
    monkeypatch.setattr(sampling.torch, "randn_like", lambda x: Philox(8)(next(count), x))
    wanted = sampling.sample_heun(
        lambda x, sigma: denoised(x, float(sigma[0])), start(), torch.tensor(LEVELS, dtype=torch.float64), disable=True,
        s_churn=CHURN.amount, s_tmin=CHURN.low, s_tmax=CHURN.high, s_noise=CHURN.noise,
    )  # fmt: skip
    monkeypatch.undo()
    found = sample(edm_heun.solver, network, start(), CHURN, nodes=LEVELS, seed=8)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-12


def test_diffusers_euler_has_the_same_samples_on_a_vp_schedule():
    """EulerDiscreteScheduler acts on x/alpha and rho; fed what the network says at the raised level, which it does not ask."""
    diffusers = pytest.importorskip("diffusers")
    code, times = ddim.solver.coefficients, [0.7, 0.5, 0.3, 0.15, 0.05]
    churn = Churn(0.8, 0.2, 5.0, 1.01)
    ends = [(float(code.alpha(real(t))), float(code.sigma(real(t)))) for t in times]
    scheduler = diffusers.EulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    scheduler.sigmas = torch.tensor([s / a for a, s in ends], dtype=torch.float64)
    scheduler.is_scale_input_called = True

    def eps(x, t):
        return torch.tanh(x) + 0.1 * t[:, None] * x.roll(1, 1)

    x_T = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    drawn = [torch.randn(3, 5, dtype=torch.float64, generator=generator) for _ in range(3)]
    generator.manual_seed(2)
    seen = []
    found = sample(
        ddim.solver, eps, x_T, churn, nodes=times, noise=drawn[: sum(r.added > 0 for r in raised(code, churn, tuple(times)))],
        callback=lambda n, t, x: seen.append((t, x)),
    )  # fmt: skip
    y = x_T / ends[0][0]
    for (t, x), timestep in zip(seen, scheduler.timesteps):
        raw = eps(x, torch.full((3,), t, dtype=torch.float64))
        y = scheduler.step(raw, timestep, y, 0.8, 0.2, 5.0, 1.01, generator).prev_sample
    assert float((found / ends[-1][0] - y).abs().max()) < 2e-6  # it computes in float32
    assert [round(t, 6) != w for (t, _), w in zip(seen, times)].count(True) == 3


@pytest.mark.parametrize("solver", [edm_heun.solver, dpm_2s.solver, vp_rho_heun.solver, ddim.solver])
def test_without_churn_it_is_the_solver_bit_for_bit(solver):
    """Also where levels are out of bounds, step by step."""
    nodes = LEVELS if solver.domain[0] == 80 else [0.9, 0.6, 0.3, 0.1, 0.02]
    calm = solver.sample(network, start(), nodes=nodes)
    seen = []
    for churn, callback in ((Churn(), None), (Churn(3, 1e5, 1e6), lambda *a: seen.append(a))):
        assert torch.equal(sample(solver, network, start(), churn, nodes=nodes, seed=1, callback=callback), calm)
    assert len(seen) == len(nodes) - 1
    assert not torch.equal(sample(solver, network, start(), Churn(3, 0.2, 5), nodes=nodes, seed=1), calm)


@pytest.mark.parametrize("name", ["edm_heun", "ddim"])
def test_raising_the_level_has_the_law_of_the_schedule(name):
    """alpha_hat m, and sigma_hat^2 in all, of x = alpha m + sigma n; rho grows by 1 + gamma."""
    code = {"edm_heun": edm_heun, "ddim": ddim}[name].solver.coefficients
    nodes = (30.0, 4.0, 0.5, 0.01) if name == "edm_heun" else (0.7, 0.4, 0.1, 0.01)
    for t, to in zip(nodes, raised(code, Churn(0.9), nodes)):
        a, s, b, r = (float(f(real(v))) for v in (t, to.time) for f in (code.alpha, code.sigma))
        assert abs(to.kept * a / b - 1) < 1e-14
        assert abs((to.kept * s) ** 2 + to.added**2 - r * r) < 1e-13 * r * r
        assert abs(r / b / (s / a) - 1.3) < 1e-13


def test_a_sample_does_not_depend_on_its_batch():
    found = sample(edm_heun.solver, lambda x, t: torch.tanh(x), start(), CHURN, nodes=LEVELS, seed=8)
    alone = sample(
        edm_heun.solver, lambda x, t: torch.tanh(x), start()[2:], CHURN, nodes=LEVELS, noise=Philox(8, first=2)
    )
    assert torch.equal(found[2:], alone)


@pytest.mark.parametrize(
    "ask, words",
    [
        (lambda: Churn(-1), "from 0"),
        (lambda: Churn(1, 2, 1), "low <= high"),
        (lambda: sample(dpmpp_2m.solver, network, start(), CHURN, steps=4), "step to step"),
        (lambda: sample(euler_ancestral.solver, network, start(), CHURN, steps=4), "of its own"),
        (lambda: sample(edm_heun.solver, network, start(), Churn(3), nodes=[70.0, 1.0]), "outside"),
    ],
)
def test_misuse(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()
