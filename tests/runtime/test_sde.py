"""General Ito SDEs: orders from exact moments and on one seed, the kinds of stable neural SDEs, limits, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from derive.measure import weak_grid
from runtime import sde
from runtime.brownian import Brownian
from runtime.interpolant import Interpolant
from runtime.noise import Philox
from runtime.sde import METHODS, SDE, integrate
from tests.analysis.test_ito_taylor import THEIRS

MU, SIGMA = 0.3, 0.4
ADDITIVE = ("euler_maruyama", "heun", "sra1", "sra3")


def grid(n):
    return [k / n for k in range(n + 1)]


def slope(errors):
    """Of errors at steps that double, from the last two."""
    return math.log2(errors[-2] / errors[-1])


def forms(n, dtype=torch.float64):
    """A batch of the state and of the 2 n normals: sample 0 has no noise, sample 1 + 2k + j the one normal j of step k."""

    def increments(k, a, b, like):
        h, w, z = b - a, torch.zeros_like(like), torch.zeros_like(like)
        w[1 + 2 * k], z[1 + 2 * k], z[2 + 2 * k] = math.sqrt(h), math.sqrt(h) * h / 2, math.sqrt(h**3 / 12)
        return w, z

    return torch.zeros(1 + 2 * n, dtype=dtype), increments


def remembered(path):
    """(W, Z) of a path for one shape, each made once."""
    known = {}

    def increments(n, a, b, like):
        if (a, b) not in known:
            known[a, b] = path.joint(a, b, like)
        return known[a, b]

    return increments


# -- Ornstein-Uhlenbeck, without samples -----------------------------------------------------------------------


def linear_errors(method, n):
    """(of the mean, of the variance, strong) of dx = -x dt + dW on [0, 1], x_0 = 1, by exact linear forms."""
    zero, noise = forms(n)
    problem = SDE(lambda z, t: -z, lambda z, t: torch.ones_like(z), additive=True)
    found = integrate(problem, zero, grid(n), method, noise=noise)[1:].reshape(n, 2)
    mean = integrate(problem, zero[:1] + 1, grid(n), method, noise=lambda k, a, b, x: (0 * x, 0 * x))
    h = 1 / n
    left = torch.exp(torch.arange(n - 1, -1, -1, dtype=torch.float64) * -h)[:, None]
    w = -math.expm1(-h) / math.sqrt(h)
    z = (1 - (1 + h) * math.exp(-h) + h / 2 * math.expm1(-h)) / math.sqrt(h**3 / 12)
    rest = -math.expm1(-2 * h) / 2 - w * w - z * z
    strong = ((found - left * torch.tensor([w, z], dtype=torch.float64)).square().sum() + (left**2).sum() * rest).sqrt()
    variance = float(found.square().sum()) + math.expm1(-2) / 2
    return abs(float(mean) - math.exp(-1)), abs(variance), float(strong)


@pytest.mark.parametrize(
    "method, mean, variance, strong",
    [("euler_maruyama", 1, 1, 1), ("heun", 2, 2, 1), ("sra1", 2, 2, 2), ("sra3", 3, 2, 2)],
)
def test_orders_on_ornstein_uhlenbeck(method, mean, variance, strong):
    errors = [linear_errors(method, n) for n in (32, 64)]
    for k, order in enumerate((mean, variance, strong)):
        assert abs(slope([e[k] for e in errors]) - order) <= 0.05, (k, errors)


# -- geometric Brownian motion ---------------------------------------------------------------------------------


def gbm_error(method, n):
    """RMS distance from the exact path at 1, from exact second moments: one factor a step."""
    h = 1 / n
    own = (1 + MU * h) ** 2 + SIGMA**2 * h
    both = 1 + MU * h + SIGMA**2 * h
    if method == "milstein":
        own, both = own + SIGMA**4 * h * h / 2, both + SIGMA**4 * h * h / 2
    exact = math.exp((2 * MU + SIGMA**2) * h)
    return math.sqrt(exact**n - 2 * (both * math.exp(MU * h)) ** n + own**n)


def test_strong_orders_on_one_path_of_geometric_motion():
    """Against the closed form on the same W: the RMS error, its slope; and the slope of the exact one far out."""
    z = torch.ones(1, 2500, dtype=torch.float64)
    path = remembered(Brownian(2026, levels=6))
    problem = sde.geometric(lambda z, t: MU * torch.ones_like(z), lambda t: t[:, None] * 0 + SIGMA)
    exact = torch.exp((MU - SIGMA**2 / 2) + SIGMA * path(0, 0.0, 1.0, z)[0])
    for method, order in (("euler_maruyama", 0.5), ("milstein", 1.0)):
        errors = []
        for n in (16, 64):
            found = integrate(problem, z, grid(n), method, noise=path)
            squares = (found - exact).square()
            errors.append(float(squares.mean().sqrt()))
            assert abs(errors[-1] ** 2 - gbm_error(method, n) ** 2) < 4 * float(squares.std()) / math.sqrt(z.numel())
        assert abs(slope([gbm_error(method, n) for n in (2048, 4096)]) - order) <= 0.01
        assert abs(slope(errors) / 2 - order) <= 0.05, errors


def test_milstein_takes_a_given_derivative_and_finds_one():
    z, noise = torch.linspace(0.5, 2, 8, dtype=torch.float64).reshape(2, 4), Philox(3)
    drift, diffusion = (lambda z, t: z.sin()), (lambda z, t: 0.4 * z.square())
    given = SDE(drift, diffusion, derivative=lambda z, t: 0.8 * z)
    a, b = (integrate(p, z, grid(4), "milstein", noise=noise) for p in (given, SDE(drift, diffusion)))
    wrong = SDE(drift, diffusion, derivative=lambda z, t: 0.9 * z)
    assert float((a - b).abs().max()) < 1e-15
    assert float((a - integrate(wrong, z, grid(4), "milstein", noise=noise)).abs().max()) > 1e-3


# -- a non-linear drift ----------------------------------------------------------------------------------------


def bent():
    """Weakly bent, so that the terms of order 1.5 are not hidden by those of order 2."""

    def noise(z, t):
        return (1 + 0.1 * t)[:, None].expand_as(z)

    return SDE(lambda z, t: -0.2 * torch.cos(z / 2), noise, additive=True)


def test_strong_orders_on_one_path_of_a_non_linear_sde():
    """Noise additive and of time: 1, 1, 1.5, 1.5 against a fine solve on the same path."""
    z, path = torch.linspace(-0.5, 0.5, 1500, dtype=torch.float64)[None], remembered(Brownian(11, levels=7))
    fine = integrate(bent(), z, grid(128), "sra3", noise=path)
    for method, order in zip(ADDITIVE, (1.0, 1.0, 1.5, 1.5)):
        found = [integrate(bent(), z, grid(n), method, noise=path) for n in (8, 32)]
        errors = [float((x - fine).square().mean().sqrt()) for x in found]
        assert abs(slope(errors) / 2 - order) <= 0.05, (method, errors)


@pytest.mark.parametrize(
    "method, bent_noise, order",
    [("euler_maruyama", 0.2, 1), ("milstein", 0.2, 1), ("heun", 0, 2), ("sra1", 0, 2), ("sra3", 0, 2), (THEIRS, 0, 1)],
)
def test_weak_orders_on_a_non_linear_sde(method, bent_noise, order):
    """By backward recursion on a grid with Gauss-Hermite points: no samples."""
    problem, table = weak_grid.ScalarSDE(), method if isinstance(method, sde.Table) else METHODS[method]

    def diffusion(z, t):
        return 0.5 + bent_noise * torch.sin(z)

    def drift(z, t):
        return -z + torch.as_tensor(problem.drift(t.reshape(-1, *(1,) * (z.dim() - 1)).numpy(), z.numpy()))

    own = SDE(drift, diffusion, not bent_noise, lambda z, t: bent_noise * torch.cos(z))

    def one(t, h, y, xi):
        shape = np.broadcast_shapes(y.shape, *(x.shape for x in xi))
        z, w, *rest = (torch.as_tensor(np.broadcast_to(v, shape).copy()) for v in (y, *xi))
        w = math.sqrt(h) * w
        area = h / 2 * w + math.sqrt(h**3 / 12) * rest[0] if rest else 0 * w
        return sde.step(own, table, z, t, t + h, w, area).numpy()

    size = {"dimension": 2, "points": 9} if table.areas else {}
    found = weak_grid.weak_order(lambda n: weak_grid.expectation(problem, one, n, **size), 8 if order == 2 else 16, 3)
    assert found == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_without_noise_it_is_the_deterministic_method(method):
    """Bit for bit: Euler, Heun, and the Runge-Kutta methods of the drift rows, with noise that is multiplied by 0."""
    z, t = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4), 0.0
    problem = SDE(
        lambda z, t: torch.sin(z) + t[:, None], lambda z, t: torch.zeros_like(z), additive=METHODS[method].additive
    )
    found = integrate(problem, z, grid(4), method, seed=1)
    f, h = problem.drift, 0.25
    for _ in range(4):
        at = [torch.full((3,), t + c * h, dtype=torch.float64) for c in (0.0, 0.5, 0.75, 1.0)]
        k1 = f(z, at[0])
        if method == "heun":
            new = z + h * (0.5 * k1 + 0.5 * f(z + h * k1, at[3]))
        elif method == "sra1":
            new = z + h * (1 / 3 * k1 + 2 / 3 * f(z + h * (0.75 * k1), at[2]))
        elif method == "sra3":
            k2 = f(z + h * k1, at[3])
            new = z + h * (1 / 6 * k1 + 1 / 6 * k2 + 2 / 3 * f(z + h * (0.25 * k1 + 0.25 * k2), at[1]))
        else:
            new = z + h * k1
        z, t = new, t + h
    assert torch.equal(found, z)


# -- kinds of stable neural SDEs -------------------------------------------------------------------------------


def test_kinds_are_their_equations():
    """One Euler step of each, written out, and its additive or diagonal noise."""
    z, t = torch.tensor([[0.5, 2.0]], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
    w, h = torch.tensor([[0.3, -0.2]], dtype=torch.float64), 0.125
    gamma, sigma = (lambda z, t: torch.tanh(z) + t[:, None]), (lambda t: (1 + t)[:, None])
    table = METHODS["euler_maruyama"]

    def one(problem, z):
        return sde.step(problem, table, z, 0.25, 0.25 + h, w, 0 * w)

    cases = [
        (sde.langevin_type(torch.tanh, sigma), z + torch.tanh(z) * h + 1.25 * w),
        (sde.linear_noise(gamma, sigma), z + gamma(z, t) * h + 1.25 * z * w),
        (sde.geometric(gamma, sigma), z + z * gamma(z, t) * h + 1.25 * z * w),
    ]
    for problem, wanted in cases:
        assert float((one(problem, z) - wanted).abs().max()) < 1e-15
    log = one(sde.geometric_log(gamma, sigma), z.log())
    assert float((log - (z.log() + (gamma(z, t) - 1.25**2 / 2) * h + 1.25 * w)).abs().max()) < 1e-15


def test_geometric_motion_in_log_form_is_exact_and_stays_positive():
    """Steps of 1/4 with noise 3: Euler of z crosses 0, in log z it does not; with a constant rate it is the exact path."""
    rate, noise = (lambda z, t: MU * torch.ones_like(z)), (lambda t: t[:, None] * 0 + 3.0)
    z, path = torch.ones(4, 200, dtype=torch.float64), Brownian(5, levels=4)
    plain = integrate(sde.geometric(rate, noise), z, grid(4), noise=path)
    kept = integrate(sde.geometric_log(rate, noise), z.log(), grid(4), noise=path).exp()
    exact = torch.exp(MU - 4.5 + 3 * path.increment(0.0, 1.0, z))
    assert bool((plain < 0).any()) and bool((kept > 0).all())
    assert float((kept / exact - 1).abs().max()) < 1e-13


def test_gradients_reach_networks():
    net = torch.nn.Linear(3, 3).double()
    problem = sde.linear_noise(lambda z, t: torch.tanh(net(z)), lambda t: 0.2 + 0 * t[:, None])
    z = torch.ones(2, 3, dtype=torch.float64)

    def loss():
        return integrate(problem, z, grid(3), "milstein", seed=4).square().sum()

    loss().backward()
    slope = net.bias.grad[1].item()
    with torch.no_grad():
        net.bias[1] += 1e-6
        up = loss().item()
        net.bias[1] -= 2e-6
        assert abs((up - loss().item()) / 2e-6 / slope - 1) < 1e-6


# -- noise -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_is_the_same_in_any_batch(dtype):
    z = torch.linspace(-1, 1, 32, dtype=dtype).reshape(8, 4)
    path = Brownian(3, levels=6)
    for one, all_ in (
        (Philox(9, first=5), Philox(9)),
        (sde.along(path, 5), path),
    ):
        alone = integrate(bent(), z[5:6], grid(5), "sra1", noise=one)
        assert torch.equal(alone, integrate(bent(), z, grid(5), "sra1", noise=all_)[5:6]) and alone.dtype == dtype
    assert not torch.equal(*(integrate(bent(), z, grid(5), seed=s) for s in (0, 1)))


def test_fresh_increments_have_the_law_of_w_and_z():
    w, z = sde.fresh(Philox(1))(3, 0.5, 1.0, torch.zeros(1, 20_000, dtype=torch.float64))
    found = torch.cov(torch.stack((w[0], z[0])))
    wanted = torch.tensor([[0.5, 0.125], [0.125, 0.125 / 3]], dtype=torch.float64)
    assert float((found / wanted - 1).abs().max()) < 0.04


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"method": "sra2"}, ValueError, "allowed: euler_maruyama"),
        ({"method": "heun"}, ValueError, "additive"),
        ({"times": [0.0, 0.0]}, ValueError, "rise"),
        ({"times": [0.0]}, ValueError, "rise"),
        ({"z": torch.zeros(2, 2).half()}, TypeError, "float32"),
        ({"z": torch.zeros(())}, ValueError, "batch"),
        ({"noise": 3}, TypeError, "Brownian"),
        ({"noise": Philox(1), "seed": 1}, TypeError, "both"),
        ({"noise": lambda n, a, b, x: (x[:1], x)}, ValueError, "noise"),
    ],
)
def test_misuse(change, error, words):
    asked = {"z": torch.zeros(2, 2), "times": [0.0, 1.0]} | change
    with pytest.raises(error, match=words):
        integrate(sde.linear_noise(lambda z, t: z, lambda t: t[:, None]), **asked)


# -- stochastic interpolants -----------------------------------------------------------------------------------


def interpolant(eps=1.0, s0=0.8, s1=0.5):
    """The SDE between N(0, s0^2) and N(0, s1^2), whose score is linear."""
    path = Interpolant("linear", "brownian")

    def drift(x, t):
        w = path.weights(t)
        variance = (w.a * s0) ** 2 + (w.b * s1) ** 2 + w.gamma**2
        score = -x / variance
        velocity = (w.a * w.da * s0**2 + w.b * w.db * s1**2) / variance * x
        return path.forward(path.drift(t, velocity, score), score, eps)

    return SDE(drift, lambda z, t: torch.full_like(z, math.sqrt(2 * eps)), additive=True)


def test_weak_order_2_on_an_interpolant_where_noise_first_has_1():
    """Variance at t = 1 from exact linear forms, no samples."""
    errors = {}
    for name, method in (("em", "euler_maruyama"), ("heun", "heun"), ("theirs", THEIRS)):
        found = []
        for n in (64, 128):
            zero, noise = forms(n)
            zero = torch.cat([zero, torch.full((1,), 0.8, dtype=torch.float64)])
            out = integrate(interpolant(), zero, grid(n), method, noise=noise)
            found.append(abs(float(out.square().sum()) - 0.25))
        errors[name] = found
    assert [round(slope(e), 1) for e in errors.values()] == [1.0, 2.0, 1.0], errors
    assert abs(slope(errors["heun"]) - 2) <= 0.05 and abs(slope(errors["theirs"]) - 1) <= 0.05
    assert errors["theirs"][1] > 1.5 * errors["em"][1]
