"""States between two noise levels, against the formulas, their law and the trajectory of the ODE."""

from __future__ import annotations

import math

import pytest
import torch

from generated.ddim import coefficients as vp
from runtime.grids import time_of
from runtime.subpath import SubPath

PAIRS = [(0.9, 0.7), (0.5, 0.45), (0.3, 0.05), (1.0, 0.0)]


@pytest.mark.parametrize("times", PAIRS)
def test_the_ends_are_the_two_states(times):
    path = SubPath.between(vp, *times)
    x_s, x_e = torch.randn(2, 3, 5, dtype=torch.float64)
    assert torch.equal(path.state(x_s, x_e, 1), x_s) and path.noise(1) == pytest.approx(path.sigma_s, rel=1e-14)
    scaled = path.alpha_s / path.alpha_e
    assert (path.state(x_s, x_e, 0) - scaled * x_e).abs().max() <= 1e-14
    assert path.noise(0) == pytest.approx(scaled * path.sigma_e, rel=1e-14)
    assert path.time(vp, 1) == pytest.approx(times[0], rel=1e-12)
    assert path.time(vp, 0) == pytest.approx(times[1], rel=1e-12)


@pytest.mark.parametrize("times", PAIRS)
@pytest.mark.parametrize("g", [0.1, 0.5, 0.8])
def test_the_published_noise_and_the_law(times, g):
    """On a variance-preserving path the published formula; the variance of x_g where x_s is x_e with more noise."""
    p = SubPath.between(vp, *times)
    published = (p.sigma_e * p.alpha_s / p.alpha_e) ** 2 + g**2 * (1 - (p.alpha_s / p.alpha_e) ** 2)
    assert p.noise(g) ** 2 == pytest.approx(published, rel=1e-12)
    added = p.sigma_s**2 - (p.scale * p.sigma_e) ** 2
    of_x0 = g * p.alpha_s + (1 - g) * p.scale * p.alpha_e
    of_e, of_more = (g + (1 - g)) * p.scale * p.sigma_e, g * math.sqrt(added)
    assert of_x0 == pytest.approx(p.alpha_s, rel=1e-14)
    assert p.noise(g) ** 2 == pytest.approx(of_e**2 + of_more**2, rel=1e-13)


def exact(w, start, end, width=0.5):
    """x/alpha of Gaussian data along the ODE, in rho."""
    return w * math.sqrt((width**2 + end**2) / (width**2 + start**2))


def test_distance_from_the_trajectory():
    """A step of DDIM from the exact state: O(h^2) at its end, O(h) inside the sub-path."""
    start, width = 1.0, 0.5
    ends, middles = [], []
    for k in range(6, 11):
        rho = start - 2.0**-k
        times = [time_of(vp, "rho", r) for r in (start, rho)]
        path = SubPath.between(vp, *times)
        w = torch.tensor([[1.3]], dtype=torch.float64)
        eps = w * start / (width**2 + start**2)
        x_s, x_e = path.alpha_s * w, path.alpha_e * (w + (rho - start) * eps)
        for g, found in ((0.0, ends), (0.5, middles)):
            at = path.noise(g) / path.alpha_s
            found.append(float((path.state(x_s, x_e, g) / path.alpha_s - exact(w, start, at)).abs()))
    for found, order in ((ends, 2), (middles, 1)):
        assert math.log2(found[-2] / found[-1]) == pytest.approx(order, abs=0.02)


def test_wrong_ones_are_refused():
    with pytest.raises(ValueError, match="falls"):
        SubPath.between(vp, 0.2, 0.4)
    path = SubPath.between(vp, 0.4, 0.2)
    with pytest.raises(ValueError, match="0 to 1"):
        path.noise(1.5)
    with pytest.raises(ValueError, match="x_e"):
        path.state(torch.zeros(2, 3), torch.zeros(3, 2), 0.5)
