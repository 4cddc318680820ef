"""N and 2N steps on one path: strong orders of an SDE with additive noise, on one seed."""

from __future__ import annotations

import math

import torch

from runtime.brownian import Brownian

NOISE, STEPS, FINE = 0.7, (8, 16, 32), 128


def solved(path: Brownian, steps: int, taylor: bool) -> torch.Tensor:
    """dx = sin(x) dt + NOISE dW over [0, 1]: Euler-Maruyama, or the Taylor scheme of strong order 1.5."""
    h, x = 1 / steps, torch.linspace(-2, 2, 300, dtype=torch.float64)[None]
    for k in range(steps):
        w, z = path.joint(k * h, (k + 1) * h, x)
        f, slope = torch.sin(x), torch.cos(x)
        x = x + f * h + NOISE * w
        if taylor:
            x = x + slope * NOISE * z + h * h / 2 * (f * slope - NOISE**2 / 2 * f)
    return x


def test_errors_on_one_path_fall_with_the_strong_order() -> None:
    """The error of N steps against a fine solve of the same seed; another seed is another path."""
    path = Brownian(2026, levels=16)
    exact = solved(path, FINE, True)
    for taylor, order in ((False, 1.0), (True, 1.5)):
        errors = [float((solved(path, n, taylor) - exact).square().mean().sqrt()) for n in STEPS]
        slope = math.log2(errors[0] / errors[-1]) / math.log2(STEPS[-1] / STEPS[0])
        assert abs(slope - order) <= 0.05, (slope, errors)
    assert (solved(Brownian(2027, levels=16), 32, True) - exact).square().mean().sqrt() > 50 * errors[-1]
