"""Likelihoods along the probability flow: closed forms, orders, Hutchinson's estimate, priors, bits per dimension."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from generated import (
    ddim,
    dpmpp_2m,
    edm_heun,
    etdrk4,
    flow_heun,
    flow_kutta3,
    flow_rk4,
    sd15_dpmpp_2m,
    sde_dpmpp_1,
    unipc_2_pece,
    vp_rho_heun,
    vp_v_ab2,
)
from runtime import ShapeError, divergence, levels
from runtime.density import Flow, log_likelihood, sample
from runtime.itinerary import point
from tests.runtime import mixture

GENERATED = Path(__file__).resolve().parents[2] / "generated"
X = torch.tensor([[-1.3], [-0.4], [0.3], [1.1], [2.0]], dtype=torch.float64)
LAMBDA = {"grid": "uniform", "variable": "lambda", "t_start": 0.7, "t_end": 0.02, "final_zero": False}
CASES = [
    (ddim, "noise", 1),
    (dpmpp_2m, "noise", 2),
    (vp_rho_heun, "noise", 2),
    (vp_v_ab2, "v", 2),
    (unipc_2_pece, "noise", 3),
    (etdrk4, "noise", 4),
]
FLOWS = [(flow_heun, 2), (flow_kutta3, 3), (flow_rk4, 4)]


def order(errors: list[float]) -> float:
    return math.log2(errors[-2] / errors[-1])


def mixture_at(levels):
    """The mixture's own density as a prior."""
    return lambda y: mixture.log_density(y[:, 0], *levels)


def vp_errors(solver, model, counts, direction="inversion"):
    """Largest error of log p at counts of steps; the prior is the mixture's own density there."""
    out = []
    for n in counts:
        plan = solver.plan(n, direction=direction, **LAMBDA)
        noise, data = ((mixture.vp(t)) for t in sorted((plan.nodes[0], plan.nodes[-1]), reverse=True))
        prior = mixture_at(noise)
        if direction == "inversion":
            found, at = log_likelihood(solver, model, X, plan=plan, prior=prior), X
        else:
            found = sample(solver, model, X, plan=plan, prior=prior)
            at = found.x
        out.append(float((found.log_prob - mixture.log_density(at[:, 0], *data)).abs().max()))
    return out


@pytest.mark.parametrize(("package", "kind", "p"), CASES, ids=[c[0].__name__.split(".")[-1] for c in CASES])
def test_the_density_has_the_order_of_the_solver(package, kind, p):
    errors = vp_errors(package.solver, mixture.network(kind, mixture.vp), (20, 40) if p == 4 else (40, 80))
    assert errors[-1] < 0.05 and abs(order(errors) - p) < 0.6, errors


@pytest.mark.parametrize(("package", "p"), FLOWS, ids=[f[0].__name__.split(".")[-1] for f in FLOWS])
def test_a_flow_from_the_data_itself_to_pure_noise(package, p):
    """sigma = 0 and alpha = 0 are nodes; the default prior N(0, 1) is exact."""
    want = mixture.log_density(X[:, 0], 1.0, 0.0)
    errors = [
        float((log_likelihood(package.solver, mixture.velocity, X, n).log_prob - want).abs().max()) for n in (20, 40)
    ]
    assert errors[-1] < 0.02 and abs(order(errors) - p) < 0.5, errors


def test_samples_come_with_their_density():
    errors = vp_errors(dpmpp_2m.solver, mixture.network("noise", mixture.vp), (40, 80), "sampling")
    assert errors[-1] < 0.01 and abs(order(errors) - 2) < 0.3, errors


def test_the_order_is_lost_where_the_coupling_of_the_density_is_wrong(monkeypatch):
    """The same with a ratio vx/vr that is one percent off: no order, and an error that stays."""
    plain = Flow.__init__

    def perturbed(self, *args):
        plain(self, *args)
        self.rows[:, 1] *= 1.01

    monkeypatch.setattr(Flow, "__init__", perturbed)
    errors = vp_errors(etdrk4.solver, mixture.network("noise", mixture.vp), (20, 40))
    assert errors[-1] > 1e-3 and order(errors) < 0.5


# Every shipped deterministic solver


def numbers(code, t):
    """(alpha, sigma, dx, dr) at a time; at an end of the domain their limits."""
    at = levels.inside(code, t)
    return code.alpha(at), code.sigma(at), *code.denoised(point(code, at))


def asked(solver, plan):
    """The mixture's network of whatever prediction, as the plan asks it."""
    rows = levels.of_calls(solver.coefficients, plan, numbers).tolist()
    known = {plan.time(i): (*rows[i], plan.input_scale(i)) for i in range(plan.steps)}

    def model(y, t):
        alpha, sigma, dx, dr, scale = known[float(t[0])]
        x = y / scale
        return ((x + sigma**2 * mixture.score(x, alpha, sigma)) / alpha - dx * x) / dr

    return model


def interval(code):
    """Times with sigma/alpha from about 0.05 to 20, away from the ends."""
    ends = {(1.0, 0.0): (0.9, 0.03), (999.0, -1.0): (700.0, 20.0)}.get(tuple(code.DOMAIN), (20.0, 0.05))
    return {"grid": "uniform", "variable": "lambda", "final_zero": False, **dict(zip(("t_start", "t_end"), ends))}


def shipped(tables):
    """Names of the deterministic solvers with, or without, a table of decisions."""
    folders = sorted(n for n in GENERATED.iterdir() if (n / "claims.json").exists())
    plain = [n for n in folders if "kind: diffusion" in (n / "spec.yaml").read_text()]
    return [n.name for n in plain if ("TABLE = " in (n / "coefficients.py").read_text()) == tables]


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped(False))
def test_the_density_has_the_claimed_order_of_every_shipped_solver(name):
    solver = import_module(f"generated.{name}").solver
    claimed = json.loads((GENERATED / name / "claims.json").read_text())["global_order"]
    errors = []
    for n in (160, 320) if name == "unipc_3_singlestep" else (40, 80):
        plan = solver.plan(n, direction="inversion", **interval(solver.coefficients))
        start, *_, end = levels.of_nodes(solver.coefficients, plan, lambda c, t: (c.alpha(t), c.sigma(t)))
        found = log_likelihood(solver, asked(solver, plan), X, plan=plan, prior=mixture_at(end))
        errors.append(float((found.log_prob - mixture.log_density(X[:, 0], *start)).abs().max()))
    assert errors[-1] < 0.1 and order(errors) > claimed - 0.45, (claimed, errors)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in shipped(True)])
def test_a_table_of_decisions_has_a_density_too(name):
    solver = import_module(f"generated.{name}").solver
    plan = solver.plan(direction="inversion", **interval(solver.coefficients))
    start, *_, end = levels.of_nodes(solver.coefficients, plan, lambda c, t: (c.alpha(t), c.sigma(t)))
    found = log_likelihood(solver, asked(solver, plan), X, plan=plan, prior=mixture_at(end))
    assert float((found.log_prob - mixture.log_density(X[:, 0], *start)).abs().max()) < 0.3


# Gaussian data in several dimensions: N(mean, C), a full covariance, in closed form

ROOT = torch.tensor([[0.9, 0.0, 0.0], [0.4, 0.5, 0.0], [-0.3, 0.2, 1.2]], dtype=torch.float64)
MEAN = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64)
POINTS = MEAN + torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) @ ROOT.T


def law(alpha, sigma):
    cover = alpha**2 * ROOT @ ROOT.T + sigma**2 * torch.eye(3, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(alpha * MEAN, cover)


SQUARES, AXES = torch.linalg.eigh(ROOT @ ROOT.T)


def gaussian(x, t):
    """The noise prediction on the linear VP schedule, in the axes of the covariance."""
    alpha, sigma = (v[:, None].to(x.dtype) for v in mixture.vp(t))
    axes = AXES.to(x.dtype)
    along = (x - alpha * MEAN.to(x.dtype)) @ axes
    return sigma * (along / (alpha**2 * SQUARES.to(x.dtype) + sigma**2)) @ axes.T


def gaussian_likelihood(n, points=POINTS, **options):
    plan = dpmpp_2m.solver.plan(n, direction="inversion", **LAMBDA)
    ends = [mixture.vp(t) for t in (plan.nodes[0], plan.nodes[-1])]
    found = log_likelihood(dpmpp_2m.solver, gaussian, points, plan=plan, prior=law(*ends[1]).log_prob, **options)
    return found, law(*ends[0]).log_prob(points.double())


def test_gaussian_data_with_a_full_covariance():
    errors = []
    for n in (40, 80):
        found, want = gaussian_likelihood(n)
        errors.append(float((found.log_prob - want).abs().max()))
    assert errors[-1] < 0.05 and abs(order(errors) - 2) < 0.2, errors


def test_hutchinson_is_exact_on_average():
    """Its error is that of 64 probes, it says how large that is, and it is reproducible sample by sample."""
    exact, _ = gaussian_likelihood(20)
    found, _ = gaussian_likelihood(20, divergence="hutchinson", probes=64, seed=5)
    assert found.probes.shape == (64, 4)
    assert bool((found.error > 1e-3).all())
    assert bool(((found.log_prob - exact.log_prob).abs() < 4 * found.error).all())
    alone, _ = gaussian_likelihood(20, POINTS[2:3], divergence="hutchinson", probes=64, seed=5, sample0=2)
    torch.testing.assert_close(alone.probes[:, 0], found.probes[:, 2], rtol=0, atol=1e-12)
    other, _ = gaussian_likelihood(20, divergence="hutchinson", probes=64, seed=6)
    assert float((other.log_prob - found.log_prob).abs().min()) > 1e-6


def test_one_element_has_one_divergence():
    """v J v = J where a sample has one element: any probe is exact."""
    model = mixture.network("noise", mixture.vp)
    a, b = (
        log_likelihood(ddim.solver, model, X, 10, divergence=kind, **LAMBDA).log_prob
        for kind in ("exact", "hutchinson")
    )
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_divergence_of_a_field_against_its_jacobian():
    def field(x):
        return torch.tanh(x @ ROOT + 0.3) * x.flip(1)

    want = torch.stack([torch.autograd.functional.jacobian(lambda r: field(r[None])[0], row).trace() for row in POINTS])
    value, found = divergence.exact(field, POINTS)
    torch.testing.assert_close(value, field(POINTS))
    torch.testing.assert_close(found[0], want)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    _, each = divergence.hutchinson(field, POINTS, corners[:, None].expand(8, 4, 3))
    torch.testing.assert_close(each.mean(0), want)


def test_signs_are_independent_of_the_batch_and_balanced():
    signs = divergence.signs(7, (8, 3, 100), 5)
    assert signs.shape == (5, 8, 3, 100) and set(signs.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(divergence.signs(7, (2, 3, 100), 2, sample0=5), signs[:2, 5:7])
    flat = signs.reshape(40, -1)
    assert abs(float(flat.mean())) < 0.05
    products = flat @ flat.T / 300 - torch.eye(40)
    assert float(products.abs().max()) < 0.3 and float(products.square().mean() * 300) == pytest.approx(1, abs=0.2)


def test_the_gradient_of_the_likelihood_is_the_score():
    x = X.clone().requires_grad_()
    plan = etdrk4.solver.plan(20, direction="inversion", **LAMBDA)
    start, end = (mixture.vp(t) for t in (plan.nodes[0], plan.nodes[-1]))
    model = mixture.network("noise", mixture.vp)
    found = log_likelihood(etdrk4.solver, model, x, plan=plan, prior=mixture_at(end))
    (gradient,) = torch.autograd.grad(found.log_prob.sum(), x)
    torch.testing.assert_close(gradient, mixture.score(X, *start), rtol=1e-2, atol=1e-2)


def edm(x, t):
    """F of EDM's preconditioning for the mixture; t = log(sigma)/4, x scaled by c_in."""
    sigma = torch.exp(4 * t)[:, None]
    root = torch.sqrt(sigma**2 + 0.25)
    own = x * root
    data = own + sigma**2 * mixture.score(own, torch.ones_like(sigma), sigma)
    return (data - 0.25 / root**2 * own) * root / (0.5 * sigma)


def test_a_network_with_scaled_input_and_the_prior_of_a_variance_exploding_schedule():
    errors = []
    for n in (40, 80):
        found = log_likelihood(edm_heun.solver, edm, X, n, t_end=0.02, final_zero=False, prior=lambda y: wide(y, 80.0))
        errors.append(float((found.log_prob - mixture.log_density(X[:, 0], 1.0, 0.02)).abs().max()))
    assert errors[-1] < 0.02 and order(errors) > 1.5, errors
    usual = log_likelihood(edm_heun.solver, edm, X, 80, t_end=0.02, final_zero=False)
    want = normal(80.0).log_prob(usual.x[:, 0]) - wide(usual.x, 80.0)
    torch.testing.assert_close(usual.log_prob - found.log_prob, want, rtol=0, atol=1e-12)


def wide(y, sigma):
    return mixture.log_density(y[:, 0], 1.0, sigma)


def normal(width):
    return torch.distributions.Normal(*torch.tensor([0.0, width], dtype=torch.float64))


PRIORS = {
    "vp": (ddim, 1.0, {"t_end": 0.1}),
    "flow": (flow_rk4, 1.0, {}),
    "ve": (edm_heun, 80.0, {"t_end": 0.1, "final_zero": False}),
    "discrete vp": (sd15_dpmpp_2m, 1.0, {"grid": "uniform", "t_end": 1}),
}


@pytest.mark.parametrize("case", PRIORS)
def test_the_prior_is_that_of_the_schedule(case):
    package, width, options = PRIORS[case]
    plan = package.solver.plan(6, direction="inversion", **options)
    found = log_likelihood(package.solver, lambda x, t: 0 * x, X.repeat(1, 3), plan=plan)
    flow = Flow(package.solver, plan, lambda x, t: 0 * x)
    gained = flow(X.repeat(1, 3))[1][0]
    want = normal(width).log_prob(found.x).sum(1)
    torch.testing.assert_close(found.log_prob + gained, want, rtol=1e-12, atol=1e-12)


def test_grids_per_sample_are_those_of_each_alone():
    model = mixture.network("noise", mixture.vp)
    nodes = [[0.02, 0.05, 0.2, 0.5, 0.9], [0.03, 0.1, 0.3, 0.4, 0.8], [0.02, 0.05, 0.2, 0.5, 0.9]]
    together = log_likelihood(dpmpp_2m.solver, model, X[:3], nodes=nodes)
    for b, own in enumerate(nodes):
        alone = log_likelihood(dpmpp_2m.solver, model, X[b : b + 1], nodes=own)
        torch.testing.assert_close(together.log_prob[b], alone.log_prob[0], rtol=0, atol=1e-13)


def test_a_network_in_single_precision_sees_its_own_type():
    seen = []

    def model(x, t):
        seen.append((x.dtype, t.dtype))
        return gaussian(x, t)

    plan = dpmpp_2m.solver.plan(10, direction="inversion", **LAMBDA)
    single = log_likelihood(dpmpp_2m.solver, model, POINTS.float(), plan=plan)
    double = log_likelihood(dpmpp_2m.solver, gaussian, POINTS.float().double(), plan=plan)
    assert set(seen) == {(torch.float32, torch.float32)} and single.log_prob.dtype == torch.float64
    torch.testing.assert_close(single.log_prob, double.log_prob, rtol=1e-4, atol=1e-4)


def test_bits_per_dimension_of_uniform_bytes():
    """A density of 1/2 on [-1, 1]^d is 8 bits a byte; 7 and 8 are the offsets of the two scalings."""
    found = log_likelihood(ddim.solver, gaussian, POINTS, 4, **LAMBDA)
    even = SimpleNamespace(log_prob=torch.tensor([3 * math.log(0.5)], dtype=torch.float64), dim=3)
    bits = type(found).bits_per_dim
    assert float(bits(even)) == pytest.approx(8, abs=1e-14)
    even.log_prob = torch.zeros(1, dtype=torch.float64)
    assert float(bits(even, low=0.0)) == pytest.approx(8, abs=1e-14)
    want = -found.log_prob / (3 * math.log(2)) + 7
    torch.testing.assert_close(found.bits_per_dim(), want, rtol=1e-14, atol=0)
    with pytest.raises(ValueError, match="low < high"):
        found.bits_per_dim(low=1.0)


def test_what_is_refused():
    model = mixture.network("noise", mixture.vp)
    solver = dpmpp_2m.solver
    with pytest.raises(ValueError, match="direction 'sampling'; allowed: 'inversion'"):
        log_likelihood(solver, model, X, plan=solver.plan(5))
    with pytest.raises(TypeError, match="a plan is given"):
        log_likelihood(solver, model, X, 5, plan=solver.plan(5))
    with pytest.raises(ValueError, match="divergence"):
        log_likelihood(solver, model, X, 5, divergence="none", **LAMBDA)
    with pytest.raises(ValueError, match="probes"):
        log_likelihood(solver, model, X, 5, divergence="hutchinson", probes=0, **LAMBDA)
    with pytest.raises(ValueError, match="prior: got -1"):
        log_likelihood(solver, model, X, 5, prior=-1.0, **LAMBDA)
    with pytest.raises(ShapeError, match="prior: returned"):
        log_likelihood(solver, model, X, 5, prior=lambda y: y, **LAMBDA)
    with pytest.raises(ValueError, match="history nodes"):
        log_likelihood(solver, model, X, plan=solver.plan(5, direction="inversion", history=1, **LAMBDA))
    with pytest.raises(ValueError, match="stochastic"):
        log_likelihood(sde_dpmpp_1.solver, model, X, 5, **LAMBDA)
    with pytest.raises(ValueError, match="stochastic"):
        sample(sde_dpmpp_1.solver, model, X, 5, **LAMBDA)
    with pytest.raises(ValueError, match="not empty"):
        log_likelihood(solver, model, torch.tensor(1.0), 5, **LAMBDA)
    with pytest.raises(ValueError, match="starts at sigma = 0"):
        log_likelihood(solver, model, X, 5)
