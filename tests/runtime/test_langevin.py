"""Langevin steps and predictor-corrector: exact Gaussian laws without samples, the paper's code, limits, determinism."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from generated import ddim, ddpm, dpmpp_2m, edm_heun, euler_ancestral, flow_euler_maruyama
from runtime import langevin
from runtime.langevin import Langevin, predictor_corrector
from runtime.noise import Philox
from runtime.real import real

WIDTH = 0.6
GRIDS = {"ddim": [0.9, 0.6, 0.3, 0.1, 0.0], "ddpm": [900.0, 600.0, 300.0, 50.0]}
SOLVERS = {"ddim": ddim.solver, "ddpm": ddpm.solver}


def ends(solver, nodes):
    code = solver.coefficients
    return [(float(code.alpha(real(t))), float(code.sigma(real(t)))) for t in nodes]


def gaussian(solver):
    """E[eps | x] of data N(0, WIDTH^2)."""

    def model(x, t):
        ((a, s),) = ends(solver, [float(t[0])])
        return s / (a * a * WIDTH**2 + s * s) * x

    return model


def forms(first=0):
    """Normals that are one of a batch each: call n is sample 1 + n - first."""

    def normals(call, like):
        z = torch.zeros_like(like)
        z[1 + call - first] = 1
        return z

    return normals


# -- laws ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.02, 0.3])
def test_plain_langevin_has_its_closed_law(eps):
    """Variances of two elements after 150 steps, at the stationary v/(1 - eps/(2 v)) or on the way, to 1e-12."""
    v, start = torch.tensor([0.5, 2.0], dtype=torch.float64), torch.tensor([3.0, 0.1], dtype=torch.float64)
    x = torch.zeros(151, 2, dtype=torch.float64)
    x[0] = start.sqrt()
    found = langevin.sample(lambda x: -x / v, x, Langevin(eps=eps, steps=150), noise=forms()).square().sum(0)
    end = v / (1 - eps / (2 * v))
    wanted = end + (1 - eps / v) ** 300 * (start - end)
    assert float((found / wanted - 1).abs().max()) < 1e-12
    assert abs(float(found[0] / end[0]) - 1) < 1e-4 and float(found[0]) > 0.5 * (1 + eps / 4 / 0.5)


@pytest.mark.parametrize("first", ["predictor", "corrector"])
@pytest.mark.parametrize("name", SOLVERS)
def test_variances_are_those_of_the_recursion(name, first):
    """Predictor R^2 v + s^2, corrector (1 - eps/V)^2 v + 2 eps twice, at the nodes of either order, to 1e-12."""
    solver, nodes, eps = SOLVERS[name], GRIDS[name], 0.05
    levels = ends(solver, nodes)
    count = (len(nodes) - 1) + 2 * len(nodes)
    x = torch.zeros(1 + count, 1, dtype=torch.float64)
    x[0] = 1.3
    found = predictor_corrector(
        solver, gaussian(solver), x, Langevin(eps=eps, steps=2), nodes=nodes, first=first, noise=forms()
    )
    v = 1.3**2
    total = [a * a * WIDTH**2 + s * s for a, s in levels]

    def corrected(v, n):
        for _ in range(2 if levels[n][1] else 0):
            v = (1 - eps / total[n]) ** 2 * v + 2 * eps
        return v

    for n, ((a, s), (b, r)) in enumerate(pairwise(levels)):
        v = corrected(v, n) if first == "corrector" else v
        spread = (r / s) ** 2 * (1 - (a / b) ** 2) if name == "ddpm" else 0.0
        rate = (b * a * WIDTH**2 + math.sqrt(r * r - spread) * s) / total[n]
        v = rate**2 * v + spread
        v = corrected(v, n + 1) if first == "predictor" else v
    assert abs(float(found.square().sum()) / v - 1) < 1e-12


def test_annealed_dynamics_has_the_law_of_its_levels():
    """x + (e_i/2) score + sqrt(e_i) z, e_i = e sigma_i^2/sigma_L^2, three times at each of four levels, to 1e-12."""
    solver, nodes, e = edm_heun.solver, [8.0, 4.0, 2.0, 1.0], 0.04

    def model(x, t):
        """F of EDM, for c_in x and log(sigma)/4, so that D has the mean of data N(0, WIDTH^2)."""
        s2 = float((8 * t[0]).exp())
        raw = (WIDTH**2 / (WIDTH**2 + s2) - 0.25 / (s2 + 0.25)) * math.sqrt(s2 + 0.25) / (0.5 * math.sqrt(s2))
        return raw * math.sqrt(s2 + 0.25) * x

    x = torch.zeros(13, 1, dtype=torch.float64)
    x[0] = 8.0
    rule = Langevin(eps=e / 2, steps=3, scale=[s * s for s in nodes])
    first = solver.plan(nodes=nodes).steps
    found = langevin.annealed(solver, model, x, rule, nodes=nodes, noise=forms(first)).square().sum()
    v = 64.0
    for s in nodes:
        for _ in range(3):
            v = (1 - e * s * s / 2 / (WIDTH**2 + s * s)) ** 2 * v + e * s * s
    assert abs(float(found) / v - 1) < 1e-12


# -- the paper's code ------------------------------------------------------------------------------------------


def network(x, t):
    return torch.tanh(x) * torch.cos(t)[:, None] + 0.2 * x.roll(1, 1)


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("first", ["predictor", "corrector"])
def test_steps_are_those_of_the_code_of_score_sde(first, mean):
    """A loop as theirs: norms (averaged over the batch there), 2 a (snr |z|/|s|)^2 with a of each node, DDIM between."""
    solver, nodes, snr, a = ddim.solver, [0.9, 0.6, 0.3, 0.1], 0.16, [0.7, 0.8, 0.9, 0.95]
    levels = ends(solver, nodes)
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rule = Langevin(snr, steps=2, scale=a, batch_mean=mean)
    found = predictor_corrector(solver, network, x, rule, nodes=nodes, first=first, seed=5)

    def corrected(x, n):
        t = torch.full((4,), nodes[n], dtype=torch.float64)
        for k in range(2):
            grad, noise = -network(x, t) / levels[n][1], Philox(5)(3 + 2 * n + k, x)
            up, down = (torch.norm(v.reshape(4, -1), dim=-1) for v in (noise, grad))
            size = (snr * (up.mean() / down.mean() if mean else up / down)) ** 2 * 2 * a[n]
            size = size if mean else size[:, None]
            x = x + size * grad + torch.sqrt(size * 2) * noise
        return x

    for n, ((b, s), (c, r)) in enumerate(pairwise(levels)):
        x = corrected(x, n) if first == "corrector" else x
        x = c / b * x + (r - c / b * s) * network(x, torch.full((4,), nodes[n], dtype=torch.float64))
        x = corrected(x, n + 1) if first == "predictor" else x
    assert float((found - x).abs().max()) < 1e-12


@pytest.mark.parametrize("solver", [ddim.solver, dpmpp_2m.solver, euler_ancestral.solver, edm_heun.solver])
def test_without_steps_it_is_the_predictor(solver):
    """Bit for bit; with them every solver runs, those with stages, memory or noise too."""
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    calm = solver.sample(network, x, steps=5, seed=3)
    for first in langevin.ORDERS:
        assert torch.equal(
            predictor_corrector(solver, network, x, Langevin(0.1, steps=0), 5, first=first, seed=3), calm
        )
        found = predictor_corrector(solver, network, x, Langevin(0.1), 5, first=first, seed=3)
        assert bool(torch.isfinite(found).all()) and not torch.equal(found, calm)


@pytest.mark.parametrize("solver", [edm_heun.solver, flow_euler_maruyama.solver, ddpm.solver])
def test_the_score_at_a_node_is_that_of_the_data(solver):
    """Of Gaussian data -x/(alpha^2 c^2 + sigma^2), whatever the network predicts and however its input is scaled."""
    nodes = {80.0: [40.0, 3.0, 0.2], 1.0: [0.9, 0.5, 0.1]}.get(solver.domain[0], [900.0, 400.0, 10.0])
    plan, further = solver.plan(nodes=nodes), [*nodes, nodes[-1] / 2]
    seen = []

    def model(x, t):
        """From x0 = dx x + dr raw at the node whose time this is; x is the scaled input."""
        n = len(seen)
        (a, s), point = ends(solver, nodes)[n], solver.plan(nodes=further[n : n + 2])
        seen.append(t)
        dx, dr = point.estimates[0].tolist()
        x = x / point.input_scale(0)
        return (a * WIDTH**2 / (a * a * WIDTH**2 + s * s) - dx) / dr * x

    corrector = langevin.Corrector(solver, plan, model, Langevin(eps=0.01), lambda n, x: 0 * x, torch.float64)
    for n, (a, s) in enumerate(ends(solver, nodes)):
        x = torch.ones(2, 3, dtype=torch.float64)
        assert float((corrector(n, x) - (1 - 0.01 / (a * a * WIDTH**2 + s * s))).abs().max()) < 1e-13
        assert float(seen[n][0]) == solver.plan(nodes=further[n:]).time(0)


def test_the_input_scale_at_the_schedules_end():
    """Where no step begins: c_in = 1/sqrt(sigma^2 + sigma_data^2)."""
    solver = euler_ancestral.solver
    corrector = langevin.Corrector(
        solver, solver.plan(nodes=[1.0, 0.002]), network, Langevin(0.1), lambda n, x: x, torch.float64
    )
    assert abs(corrector._numbers(1)[1] * math.sqrt(0.002**2 + solver_data(solver)) - 1) < 1e-14


def solver_data(solver):
    """sigma_data^2, from c_in at another time."""
    return solver.plan(nodes=[1.0, 0.5]).input_scale(0) ** -2 - 1


def test_a_sample_does_not_depend_on_its_batch_unless_norms_are_averaged():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    own = lambda x, t: torch.tanh(x)  # noqa: E731
    for mean in (False, True):
        rule = Langevin(0.2, batch_mean=mean)
        found = predictor_corrector(ddim.solver, own, x, rule, 4, noise=Philox(5))
        alone = predictor_corrector(ddim.solver, own, x[2:3], rule, 4, noise=Philox(5, first=2))
        assert torch.equal(found[2:3], alone) is not mean and found.dtype == torch.float32


@pytest.mark.parametrize(
    "ask, error, words",
    [
        (Langevin, ValueError, "one of them"),
        (lambda: Langevin(0.1, eps=0.1), ValueError, "one of them"),
        (lambda: Langevin(-0.1), ValueError, "from 0"),
        (lambda: Langevin(0.1, steps=-1), ValueError, "at least 0"),
        (lambda: predictor_corrector(ddim.solver, network, torch.zeros(2, 2), Langevin(0.1, scale=[1.0]), 4), ValueError, "5"),
        (lambda: predictor_corrector(ddim.solver, network, torch.zeros(2, 2), Langevin(0.1), 4, first="x"), ValueError, "corr"),
        (lambda: langevin.sample(torch.sin, torch.zeros(2), Langevin(0.1), seed=1, noise=Philox(1)), TypeError, "both"),
    ],
)  # fmt: skip
def test_misuse(ask, error, words):
    with pytest.raises(error, match=words):
        ask()
