"""Denoisers against their definition, flow maps against the differential equation, the cosine law of DDIM."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mpmath.ctx_mp import MPContext

from derive.measure.problems import GMM1D, OUTPUTS, Gaussian, Mixture, Numbers, digits, output, schedule_numbers
from derive.measure.reference import checked_gbs, dop853, gbs
from runtime.real import real

from . import hand_written

GAUSSIAN = Gaussian((Fraction(1, 2), Fraction(-1)), (Fraction(3, 5), Fraction(1, 10)))
FLOW = Numbers(0.3, 0.7, -1.0, 1.0)


def by_quadrature(problem: Mixture, x: float, alpha: float, sigma: float) -> float:
    """E[x0 | x] by the trapezoidal rule on the posterior (spectrally accurate)."""
    u = np.linspace(-6, 6, 20001)
    prior = sum(
        float(w) / float(s) * np.exp(-((u - float(m[0])) ** 2) / (2 * float(s) ** 2))
        for w, m, s in zip(problem.weights, problem.means, problem.scales)
    )
    posterior = prior * np.exp(-((x - alpha * u) ** 2) / (2 * sigma**2))
    return float((u * posterior).sum() / posterior.sum())


@pytest.mark.parametrize("x", [-1.3, -0.4, 0.3, 1.1, 2.0])
def test_mixture_denoiser_is_the_posterior_mean(x: float) -> None:
    for alpha, sigma in ((0.8, 0.6), (0.2, 0.9), (1.0, 0.05)):
        want = by_quadrature(GMM1D, x, alpha, sigma)
        assert GMM1D.data((x,), alpha, sigma)[0] == pytest.approx(want, abs=1e-12)
        tensor = torch.tensor([[x]], dtype=torch.float64)
        assert GMM1D.data(tensor, alpha, sigma).item() == pytest.approx(want, abs=1e-12)


def test_one_component_is_a_gaussian() -> None:
    one = Mixture((Fraction(1),), (GAUSSIAN.mean,), (Fraction(3, 5),))
    ball = Gaussian(GAUSSIAN.mean, (Fraction(3, 5), Fraction(3, 5)))
    x = (real("0.7"), real("-0.2"))
    for a, b in zip(one.data(x, real("0.8"), real("0.5")), ball.data(x, real("0.8"), real("0.5"))):
        assert abs(a - b) < 1e-90


def test_a_private_context_of_any_precision_is_kept() -> None:
    context = MPContext()
    context.prec = 500
    x = GMM1D.data((context.mpf(1) / 3,), context.mpf(1) / 2, context.mpf(3) / 4)
    assert abs(x[0] - GMM1D.data((real("1/3"),), real("1/2"), real("3/4"))[0]) < 1e-90
    assert type(x[0]) is context.mpf


@pytest.mark.parametrize("tool", ["real", "float"])
def test_flow_map_solves_the_differential_equation(tool: str) -> None:
    """w = x/alpha, dw/drho = epshat, on alpha = 1 (any schedule is a change of variable)."""

    def field(w, rho):
        x0 = GAUSSIAN.data(tuple(w), 1, rho)
        return tuple((a - b) / rho for a, b in zip(w, x0))

    if tool == "real":
        start, low, high = (real("0.3"), real(2)), real("1/5"), real(3)
        found = checked_gbs(field, start, high, low, 60, 1e-25)
        want = GAUSSIAN.flow(start, (real(1), high), (real(1), low))
        assert max(abs(a - b) for a, b in zip(found, want)) < 1e-25
    else:
        found = dop853(lambda s, w: np.array(field(w, s)), [0.3, 2.0], 3.0, 0.2)
        want = GAUSSIAN.flow((0.3, 2.0), (1.0, 3.0), (1.0, 0.2))
        assert np.allclose(found, want, rtol=0, atol=1e-11)


def test_the_reference_agrees_with_itself_at_twice_the_digits() -> None:
    """The same extrapolation in 320 and in 640 bits: what is left is rounding, far below what is measured with it."""
    context = MPContext()
    context.prec = 640

    def field(w, rho):
        return tuple((a - b) / rho for a, b in zip(w, GAUSSIAN.data(tuple(w), 1, rho)))

    wide = gbs(field, (context.mpf(3) / 10, context.mpf(2)), context.mpf(3), context.mpf(1) / 5, 40)
    found = gbs(field, (real("3/10"), real(2)), real(3), real("1/5"), 40)
    assert max(abs(context.mpf(a) - b) for a, b in zip(found, wide)) < 1e-85


def test_a_reference_that_is_not_resolved_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="differ by"):
        checked_gbs(lambda y, s: (1 / (s * s + real("1/1000000")),), (real(0),), real(-1), real(1), 2, 1e-20)


@pytest.mark.parametrize("kind", tuple(OUTPUTS))
def test_every_network_is_consistent_with_x(kind: str) -> None:
    """(x0, eps) recovered from (x, N) by the 2x2 solve are those it was made from; tensors and tuples agree."""
    x, x0 = (0.4, -1.1), (0.2, 0.6)
    n = output(kind, x, x0, FLOW)
    c0, c1 = OUTPUTS[kind](FLOW, 0.5)
    determinant = FLOW.alpha * c1 - FLOW.sigma * c0
    for a, b, v in zip(x, x0, n):
        assert (c1 * a - FLOW.sigma * v) / determinant == pytest.approx(b, abs=1e-14)
    tensor = output(kind, torch.tensor(x, dtype=torch.float64), torch.tensor(x0, dtype=torch.float64), FLOW)
    assert torch.allclose(tensor, torch.tensor(n, dtype=torch.float64), rtol=0, atol=1e-15)


def test_edm_output_is_the_preconditioned_network() -> None:
    """D = c_skip x + c_out F of EDM, Table 1, at alpha = 1."""
    numbers, x, x0, spread = Numbers(1.0, 0.8, 0.0, 1.0), 0.3, -0.4, 0.5
    f = output("edm", (x,), (x0,), numbers, spread)[0]
    skip = spread**2 / (numbers.sigma**2 + spread**2)
    out = numbers.sigma * spread / math.sqrt(numbers.sigma**2 + spread**2)
    assert skip * x + out * f == pytest.approx(x0, abs=1e-15)


def test_digits_denoiser_at_its_limits() -> None:
    problem = digits()
    points = problem.points
    x = points[[3, 100, 1796]].reshape(3, 1, 8, 8)
    for sigma in (0.0, 1e-12, 1e-3):
        assert torch.equal(problem.data(x, 1.0, sigma), x)
    mean = points.mean(0).reshape(1, 8, 8)
    assert torch.allclose(problem.data(x, 0.0, 1.0), mean.expand(3, 1, 8, 8), atol=1e-12)
    assert torch.isfinite(problem.data(1e6 * torch.randn(2, 64, dtype=torch.float32), 1e-9, 1e-9)).all()


def test_digits_denoiser_is_the_softmax_over_all_images() -> None:
    problem = digits()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 64, generator=generator, dtype=torch.float64)
    alpha, sigma = 0.6, 0.8
    weights = torch.exp(-((x[:, None] - alpha * problem.points) ** 2).sum(-1) / (2 * sigma**2))
    want = (weights @ problem.points) / weights.sum(1, keepdim=True)
    assert torch.allclose(problem.data(x, alpha, sigma), want, atol=1e-12)
    single = problem.data(x.float(), alpha, sigma)
    assert single.dtype == torch.float32 and torch.allclose(single.double(), want, atol=1e-4)


def test_schedule_numbers_of_a_module() -> None:
    n = schedule_numbers(hand_written.module(1))(0.5)
    log_alpha = -0.5 * (0.5 * 19.9 + 0.2) / 4
    assert n.alpha == pytest.approx(math.exp(log_alpha), rel=1e-15)
    assert n.dalpha == pytest.approx(-math.exp(log_alpha) * (0.1 + 19.9 * 0.5) / 2, rel=1e-14)
    assert n.alpha * n.dalpha + n.sigma * n.dsigma == pytest.approx(0, abs=1e-15)


def test_schedule_numbers_from_an_index() -> None:
    base = vars(hand_written.module(1))
    indexed = SimpleNamespace(**{**base, "INPUT": "index", "time": lambda t: 1000 * t - 1})
    a, b = schedule_numbers(indexed)(499.0), schedule_numbers(hand_written.module(1))(0.5)
    assert a == pytest.approx(b, rel=1e-14)


def test_ddim_under_dispersion_is_a_product_of_cosines() -> None:
    """std(numerical)/std(exact) of DDIM on N(0, c^2): prod cos(theta_{i+1} - theta_i) = 0.7776920644820227821 here."""
    module = hand_written.module(1)
    nodes = [real(Fraction(1) - Fraction(i, 10) * Fraction(999, 1000)) for i in range(11)]
    problem = Gaussian((Fraction(0),), (Fraction(3, 5),))
    x = start = (real(1),)
    for s, t in pairwise(nodes):
        a, b, s0, s1 = module.alpha(s), module.alpha(t), module.sigma(s), module.sigma(t)
        row = module.ROWS[0](module.node(s), module.node(t), (module.span(module.node(s), module.node(t)),))
        raw = output("noise", x, problem.data(x, a, s0), Numbers(a, s0, 0, 0))
        x = (row[0] * x[0] + row[1] * (row[2] * x[0] + row[3] * raw[0]),)
        assert b**2 + s1**2 == pytest.approx(1)
    ends = [(module.alpha(t), module.sigma(t)) for t in (nodes[0], nodes[-1])]
    ratio = x[0] / problem.flow(start, *ends)[0]
    assert abs(ratio - real("0.77769206448202278207")) < 1e-20
