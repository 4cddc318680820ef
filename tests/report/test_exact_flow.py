"""The exact flows that solvers are compared with: against extrapolation at 320 bits, a closed form, and tighter tolerances."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from derive.measure import compare
from derive.measure.circle import Blurred, clouds, exact_flow
from derive.measure.problems import GMM1D, Empirical, Gaussian, Mixture
from derive.measure.reference import gbs
from runtime.real import real

LEVELS = [((0.5, 3.0), (1.0, 0.05)), ((0.0, 1.0), (1.0, 0.0)), ((1.0, 80.0), (1.0, 0.002))]
"""(alpha, sigma) at the start and the end."""


@pytest.mark.parametrize("start, end", LEVELS)
def test_one_cloud_is_the_closed_form(start, end):
    mean, scale = (Fraction(1, 2), Fraction(-1)), Fraction(3, 10)
    x = torch.tensor([[1.3, -2.0], [0.1, 0.4], [-2.0, 0.7]], dtype=torch.float64) * math.hypot(*start)
    found = exact_flow(Mixture((Fraction(1),), (mean,), (scale,)), x, start, end)
    want = exact_flow(Gaussian(mean, (scale, scale)), x, start, end)
    assert (found - want).abs().max() < 1e-12


def test_the_mixture_against_extrapolation_at_320_bits():
    """dw/drho = epshat(w, rho) with w = x/alpha, order 24, on alpha = 1."""

    def field(w, rho):
        return ((w[0] - GMM1D.data(w, real(1), rho)[0]) / rho,)

    want = gbs(field, (real("7/5"),), real(2), real("1/4"), 40)
    x = torch.tensor([[1.4]], dtype=torch.float64)
    assert abs(exact_flow(GMM1D, x, (1.0, 2.0), (1.0, 0.25)).item() - float(want[0])) < 1e-12


def test_a_blurred_data_set_is_a_mixture():
    points = torch.tensor([[0.5, -1.0], [-0.25, 0.75], [1.0, 0.0]], dtype=torch.float64)
    blurred = Blurred(Empirical(points), 0.25)
    means = tuple(tuple(Fraction(v) for v in row) for row in points.tolist())
    mixture = Mixture((Fraction(1, 3),) * 3, means, (Fraction(1, 4),) * 3)
    x = torch.tensor([[0.3, 0.2], [-1.0, 0.4]], dtype=torch.float64)
    for alpha, sigma in ((0.7, 0.6), (1.0, 0.01), (0.05, 0.99)):
        assert (blurred.data(x, alpha, sigma) - mixture.data(x, alpha, sigma)).abs().max() < 1e-13
    start, end = (0.1, 0.995), (1.0, 0.0)
    assert (exact_flow(blurred, x, start, end) - exact_flow(mixture, x, start, end)).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["mixture", "digits"])
def test_references_hold_twelve_digits(name):
    """At the level of published VP schedules, compared with a quarter of the tolerance."""
    if name == "digits":
        pytest.importorskip("sklearn")
    problem, (x0, eps) = compare.STUDIES[name].problem(), compare._draw(name)
    x = 0.00625 * x0[:4] + eps[:4]
    start, end = (0.00625, 1.0), (1.0, 0.0)
    gap = exact_flow(problem, x, start, end) - exact_flow(problem, x, start, end, 2.5e-14)
    assert gap.abs().max() < 1e-12


def test_the_slope_is_regular_at_both_ends():
    u = torch.tensor([[0.4], [-1.1]], dtype=torch.float64).numpy()
    for phi in (0.0, math.pi / 2):
        assert abs(clouds(GMM1D).slope(phi, u.ravel())).max() < 10


def test_a_problem_without_a_known_flow_is_refused():
    with pytest.raises(TypeError, match="no exact flow is known for Empirical"):
        exact_flow(Empirical(torch.zeros(1, 2)), torch.zeros(1, 2), (0.0, 1.0), (1.0, 0.0))
