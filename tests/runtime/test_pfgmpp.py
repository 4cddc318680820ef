"""PFGM++: prior, perturbation and posterior mean against their definitions, and its limit EDM."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp
from torch import Tensor

from generated import edm_heun
from runtime import ShapeError
from runtime.pfgmpp import Pfgmpp
from tests.emitted import emitted

DATA = torch.tensor([[1.0, 0.2, -0.5], [-0.7, 0.9, 0.3], [0.1, -1.1, 0.8], [0.5, 0.5, 0.5]], dtype=torch.float64)
X = 1.5 * torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
SIGMA = 0.8


def plain(x: np.ndarray, sigma: float, dimensions: float) -> np.ndarray:
    """E[y | x] by the formula as it is written, in extended precision."""
    data, r2 = DATA.numpy().astype(np.longdouble), np.longdouble(sigma) ** 2 * np.longdouble(dimensions)
    weights = [((((x - y) ** 2).sum() + r2) / r2) ** (-(np.longdouble(len(x)) + dimensions) / 2) for y in data]
    return sum(w * y for w, y in zip(weights, data)) / sum(weights)


@pytest.mark.parametrize("dimensions", [0.5, 1, 3, 128, 2048])
def test_the_posterior_mean_is_its_formula(dimensions: float) -> None:
    got = Pfgmpp(dimensions).posterior_mean(X, SIGMA, DATA)
    for row, x in zip(got, X.numpy()):
        assert np.abs(row.numpy() - plain(x, SIGMA, dimensions)).max() < 1e-13


def test_it_is_the_field_of_charges_in_all_dimensions() -> None:
    """D = 2: dx/dr = E_x/E_r of point charges in N + 2 dimensions, whose potential is |.|^{-(N + D - 2)}: by autograd."""
    x, r = X.clone().requires_grad_(), torch.full((6, 1), SIGMA * math.sqrt(2), dtype=torch.float64, requires_grad=True)
    distance = ((x[:, None] - DATA) ** 2).sum(-1) + r**2
    along, outward = torch.autograd.grad(distance.pow(-(3 + 2 - 2) / 2).sum(), (x, r))
    mean = Pfgmpp(2).posterior_mean(X, SIGMA, DATA)
    assert torch.allclose(along / outward, (X - mean) / r.detach(), rtol=1e-12, atol=1e-13)


def test_the_limit_is_edm_at_the_rate_one_over_d() -> None:
    """With u = |x - y|^2/sigma^2 the weight is e^{-u/2} (1 - (N u/2 - u^2/4)/D + ..): the constant is a covariance."""
    exact = Pfgmpp(math.inf).posterior_mean(X, SIGMA, DATA)
    u = ((X[:, None] - DATA) ** 2).sum(-1) / SIGMA**2
    w = torch.softmax(-u / 2, 1)
    change = u**2 / 4 - 3 * u / 2
    constant = ((w * change)[..., None] * DATA).sum(1) - (w * change).sum(1, keepdim=True) * (w @ DATA)
    assert torch.allclose(exact, w @ DATA, rtol=0, atol=1e-15)
    sizes = [1e3, 1e4, 1e5, 1e6]
    gaps = [Pfgmpp(d).posterior_mean(X, SIGMA, DATA) - exact for d in sizes]
    largest = [float(gap.abs().max()) for gap in gaps]
    rates = [math.log10(a / b) for a, b in itertools.pairwise(largest)]
    assert all(abs(rate - 1) < 0.01 for rate in rates)
    assert all(abs(rate - 1) < 1e-3 for rate in rates[1:])
    assert torch.allclose(gaps[-1] * 1e6, constant, rtol=0, atol=1e-4 * float(constant.abs().max()))
    assert largest[-1] < 1e-5


def raw(process: Pfgmpp) -> object:
    """The exact network in the form of EDM: F of D = c_skip x + c_out F, fed c_in x and log(sigma)/4, sigma_data = 1/2."""

    def network(seen: Tensor, level: Tensor) -> Tensor:
        sigma = torch.exp(4 * level)
        total = torch.sqrt(sigma**2 + 0.25)[:, None]
        x = seen * total
        return (process.posterior_mean(x, sigma, DATA) - 0.25 / total**2 * x) * total / (0.5 * sigma[:, None])

    return network


@pytest.mark.parametrize("dimensions", [pytest.param(1, marks=pytest.mark.slow), 128])
def test_heun_of_edm_has_order_two_on_the_exact_field(dimensions: float) -> None:
    process, errors = Pfgmpp(dimensions), []
    start, (first, last) = 3 * X[:2], (3.0, 0.3)

    def slope(sigma: float, x: np.ndarray) -> np.ndarray:
        at = torch.from_numpy(x).reshape(2, 3)
        return ((at - process.posterior_mean(at, sigma, DATA)) / sigma).numpy().ravel()

    reference = solve_ivp(slope, (first, last), start.numpy().ravel(), "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    for steps in (40, 80, 160):
        nodes = [(first ** (1 / 7) + i / steps * (last ** (1 / 7) - first ** (1 / 7))) ** 7 for i in range(steps + 1)]
        got = edm_heun.solver.sample(raw(process), start, nodes=nodes)
        errors.append(np.abs(got.numpy().ravel() - reference).max())
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert abs(orders[-1] - 2) < 0.05 and errors[-1] < 1e-3


@pytest.mark.parametrize("dimensions", [8, math.inf])
def test_samples_end_at_the_data(dimensions: float) -> None:
    """From the prior to sigma = 0 with a solver that takes data: every sample is one of the four points, to 1 % of their distances."""
    process = Pfgmpp(dimensions)
    x = process.prior((64, 3), 80.0, torch.Generator().manual_seed(0), dtype=torch.float64)
    method = "{family: exponential_multistep, steps: 2, integrand: data, variable: lambda}"
    solver = emitted("{kind: edm, sigma_max: 80, sigma_min: 0}", "data", method)
    got = solver.sample(process.denoiser(DATA), x, steps=48, grid="karras")
    nearest = torch.cdist(got, DATA).min(1)
    assert (
        float(nearest.values.max()) < 0.015
        and float(nearest.values.median()) < 1e-6
        and len(set(nearest.indices.tolist())) == 4
    )


@pytest.mark.parametrize(
    ("count", "dimensions"),
    [(3, 8.0), pytest.param(48, 128.0, marks=pytest.mark.slow), pytest.param(5, 2.5, marks=pytest.mark.slow)],
)
def test_the_norm_of_the_prior_is_that_of_beta(count: int, dimensions: float) -> None:
    """B = R^2/(R^2 + r^2) ~ Beta(N/2, D/2): four moments within five standard deviations, and Kolmogorov-Smirnov."""
    process, size = Pfgmpp(dimensions), 200_000
    x = process.prior((size, count), 80.0, torch.Generator().manual_seed(9), dtype=torch.float64)
    ratio = x.square().sum(1) / process.radius(80.0) ** 2
    b = (ratio / (1 + ratio)).numpy()
    law = stats.beta(count / 2, dimensions / 2)
    for k in (1, 2, 3, 4):
        spread = math.sqrt((law.moment(2 * k) - law.moment(k) ** 2) / size)
        assert abs((b**k).mean() - law.moment(k)) < 5 * spread
    assert stats.kstest(b, law.cdf).pvalue > 1e-3
    direction = x / x.norm(dim=1, keepdim=True)
    assert float(direction.mean(0).abs().max()) < 5 / math.sqrt(size * count)
    second = direction.T @ direction / size - torch.eye(count, dtype=torch.float64) / count
    assert float(second.abs().max()) < 6 * math.sqrt(2 / size) / count
    correlation = np.corrcoef(b, direction[:, 0].numpy())[0, 1]
    assert abs(correlation) < 5 / math.sqrt(size)


def test_without_end_of_dimensions_the_prior_is_normal() -> None:
    x = Pfgmpp(math.inf).prior((4, 7), 80.0, torch.Generator().manual_seed(1), dtype=torch.float64)
    z = torch.randn(4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(x, 80 * z)
    wide = Pfgmpp(1e6).prior((4, 7), 80.0, torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(wide, x, rtol=0.01, atol=0)


def test_levels_are_per_sample_and_the_dtype_stays() -> None:
    process, levels = Pfgmpp(16), torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    y = torch.zeros(6, 2, 3)
    x = process.perturbed(y, levels, torch.Generator().manual_seed(3))
    one = process.perturbed(y, 1.0, torch.Generator().manual_seed(3))
    assert x.dtype == torch.float32 and torch.allclose(x, one * levels[:, None, None])
    mean = process.posterior_mean(X.float(), levels, DATA.float())
    alone = torch.cat([process.posterior_mean(X[i : i + 1], float(s), DATA) for i, s in enumerate(levels)])
    assert mean.dtype == torch.float32 and torch.allclose(mean.double(), alone, atol=1e-6)


def test_the_mean_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Pfgmpp(4).posterior_mean(X, SIGMA, DATA)
    monkeypatch.setattr("runtime.pfgmpp.CHUNK", 30)
    assert torch.allclose(Pfgmpp(4).posterior_mean(X, SIGMA, DATA), whole, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Pfgmpp(0), "dimensions: got 0; allowed: a number above 0"),
        (lambda: Pfgmpp("128"), "dimensions: got '128'"),
        (lambda: Pfgmpp(math.nan), "dimensions: got nan"),
        (lambda: Pfgmpp(8).perturbed(X, 0.0), "sigma: got 0.0; allowed: above 0"),
        (lambda: Pfgmpp(8).perturbed(X, torch.ones(5)), "sigma: got shape (5,) for a sample of shape (6, 3)"),
        (lambda: Pfgmpp(8).posterior_mean(X, 1.0, DATA[:, :2]), "data: got shape (4, 2) for x of shape (6, 3)"),
    ],
)
def test_what_is_no_process_is_refused(call: object, words: str) -> None:
    with pytest.raises((ValueError, ShapeError)) as caught:
        call()  # type: ignore[operator]
    assert words in str(caught.value)
