"""DPM-Solver++ (SDE) of k-diffusion, whose two noises of a step are any: with the pair that they are, samples are theirs.

Its step draws a stage's noise and the step's from one Brownian tree in sigma, so their covariance is not that of the SDE;
each has the variance of the SDE's. Ours draws the two parts of one path, so every pair of theirs is one of ours.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from benchmarks.rivals import sampling
from tests.claims.shipped import spec_text, written

SIGMAS = [14.0, 6.5, 3.1, 1.2, 0.6, 0.2]


def network(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Returns x0."""
    return torch.tanh(x / (1 + sigma.reshape(-1, 1) ** 2)) + 0.1


@pytest.mark.parametrize("r", ["1/2", "1/3"])
def test_dpmpp_sde_of_k_diffusion(r: str, tmp_path: Path) -> None:
    try:
        theirs_module = sampling()
    except ImportError as error:
        pytest.skip(str(error))
    method = f"nodes: [{r}], integrand: data, variable: lambda, weights: midpoint, final: keep"
    text = spec_text("ours", "kind: edm", "kind: data, input: sigma", method, family="exponential_rk")
    text = text.replace("kind: diffusion", "kind: sde\n  tau: 1")
    solver = written(text, tmp_path).solver
    part = float(Fraction(r))
    x = 14 * torch.randn((4, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pairs = torch.randn((len(SIGMAS) - 1, 2, 4, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    drawn = iter(pairs.reshape(-1, 4, 5))
    sigmas = torch.tensor(SIGMAS, dtype=torch.float64)
    theirs = theirs_module.sample_dpmpp_sde(
        network, x, sigmas, disable=True, noise_sampler=lambda *_: next(drawn), r=part
    )
    ours = []
    for (first, whole), s, t in zip(pairs, SIGMAS, SIGMAS[1:]):
        u = s ** (1 - part) * t**part
        stage, rest, step = (b * math.sqrt(1 - (b / a) ** 2) for a, b in ((s, u), (u, t), (s, t)))
        ours += [first, (step * whole - (t / u) ** 2 * stage * first) / rest]
    found = solver.sample(network, x, nodes=SIGMAS, noise=ours)
    assert float((found - theirs).abs().max() / theirs.abs().max()) < 1e-12
    ours[3] = ours[3] * (1 + 1e-9)
    found = solver.sample(network, x, nodes=SIGMAS, noise=ours)
    assert float((found - theirs).abs().max() / theirs.abs().max()) > 1e-12
