"""Stochastic solvers as samplers of k-diffusion: on one noise_sampler they are theirs, and a seed is enough."""

import itertools

import pytest
import torch

from benchmarks.rivals import installed, sampling
from runtime.adapters.clock import timed
from runtime.adapters.kdiffusion import sampler
from runtime.adapters.named import named
from runtime.noise import Philox
from tests.adapters.test_kdiffusion import STEPS, model, start

HALVED = {
    "weights: exact": "weights: {moments: {2: phi3}}", "claims: {order: 3}": "claims: {order: 2}",
    "final: lower_order": "final: keep",
}  # fmt: skip
PAIRS = [
    ("euler_ancestral", "sample_euler_ancestral", {}),
    ("sde_dpmpp_1", "sample_euler_ancestral", {}),
    ("sde_dpmpp_2m_midpoint", "sample_dpmpp_2m_sde", {"solver_type": "midpoint"}),
    ("sde_dpmpp_2m", "sample_dpmpp_2m_sde", {"solver_type": "heun"}),
    (("sde_dpmpp_3m", HALVED), "sample_dpmpp_3m_sde", {}),
]


def noise(asked=None):
    """Normals that are a function of the interval, in float64."""

    def sampled(sigma, sigma_next):
        assert sigma.dim() == sigma_next.dim() == 0 and 0 < sigma_next < sigma
        if asked is not None:
            asked.append((float(sigma), float(sigma_next)))
        seed = int(1e6 * float(sigma)) % 2**31
        return torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    return sampled


@pytest.mark.skipif(installed("k-diffusion") is None, reason="k-diffusion is not installed")
@pytest.mark.parametrize("grid", STEPS)
@pytest.mark.parametrize("ours, theirs, more", PAIRS)
def test_the_samples_are_theirs(ours, theirs, more, grid, variants):
    """In float64, with noise of a tenth more; both ask for the same intervals, bit for bit."""
    try:
        rival = getattr(sampling(), theirs)
    except ImportError as error:
        pytest.skip(str(error))
    sigmas, ours = STEPS[grid].double(), variants(ours)
    intervals = [], []
    first = rival(model, start().double(), sigmas, disable=True, noise_sampler=noise(intervals[0]), s_noise=1.1, **more)
    second = sampler(ours)(
        model, start().double(), sigmas, disable=True, noise_sampler=noise(intervals[1]), s_noise=1.1
    )
    assert intervals[0] == intervals[1] and len(intervals[0]) == len(sigmas) - 2
    assert float((first - second).norm() / first.norm()) < 1e-12
    third = sampler(ours)(model, start().double(), sigmas, disable=True, noise_sampler=noise(), s_noise=1.1001)
    assert float((first - third).norm() / first.norm()) > 1e-7


def seen(x, sigma, seed=None):
    """A model that is given the seed too, as ComfyUI gives it."""
    return model(x, sigma)


@pytest.mark.parametrize("name", ["sde_dpmpp_2m", "seeds_3", "sa_solver_3_half", "euler_ancestral", "dpmpp_sde"])
def test_a_seed_is_enough(name):
    """extra_args["seed"]: the same sample again, for any batch; another seed makes another; without one torch's own."""
    solve = lambda x, **seed: sampler(name)(seen, x, STEPS["uneven"], seed, disable=True)  # noqa: E731
    x = start()
    whole = solve(x, seed=7)
    assert torch.equal(whole, solve(x, seed=7)) and torch.equal(whole[:1], solve(x[:1], seed=7))
    assert not torch.allclose(whole, solve(x, seed=8), rtol=0.01)
    torch.manual_seed(3)
    one = solve(x)
    torch.manual_seed(3)
    assert torch.equal(one, solve(x)) and not torch.equal(one, solve(x))


def test_the_seed_is_that_of_philox():
    """The normals of sample() with that seed."""
    philox, levels = Philox(7), []

    def counted(sigma, sigma_next):
        levels.append(sigma)
        return philox(len(levels) - 1, start())

    sigmas = STEPS["karras"]
    given = sampler("sde_dpmpp_2m")(seen, start(), sigmas, disable=True, noise_sampler=counted)
    own = sampler("sde_dpmpp_2m")(seen, start(), sigmas, {"seed": 7}, disable=True)
    assert torch.equal(given, own)


@pytest.mark.parametrize("name", ["seeds_2", "seeds_3", "dpmpp_sde"])
def test_intervals_of_stages_do_not_overlap(name):
    """A Brownian tree gives independent normals to the stages of a step: their intervals lie end to end."""
    asked = []
    sampler(name)(model, start().double(), STEPS["uneven"], disable=True, noise_sampler=noise(asked))
    assert len(asked) > len(STEPS["uneven"]) - 2
    assert all(b[0] == pytest.approx(a[1], rel=1e-12) for a, b in itertools.pairwise(asked))


def test_what_is_refused():
    x, sigmas = start(), STEPS["karras"]
    for name, more, said in (
        ("sde_dpmpp_2m", {"eta": 0.5}, "eta: got 0.5; allowed: None or 1"),
        ("sa_solver_3_half", {"eta": 0.5}, "eta: got 0.5; allowed: None .how much"),
        ("ddim", {"eta": 1.0}, "eta: got 1.0; allowed: None or 0"),
        ("ddim", {"s_noise": 1.1}, "s_noise: got 1.1, but ddim is deterministic"),
        ("ddim", {"noise_sampler": noise()}, "noise_sampler: given, but ddim is deterministic"),
    ):
        with pytest.raises(ValueError, match=said):
            sampler(name)(model, x, sigmas, disable=True, **more)
    own = sampler("sde_dpmpp_2m")(model, x, sigmas, disable=True, eta=1.0, noise_sampler=noise())
    assert bool(torch.isfinite(own).all())


def test_noise_that_is_of_time_keeps_its_clock(variants):
    """tau as a function of alpha and sigma is the same on every clock; one of t, and TCD's segment, are the schedule's."""
    of_time = variants(("sde_dpmpp_1", {'tau: "1"': 'tau: "t"'}))
    for solver, own in ((of_time, True), ("tcd", True), ("sa_solver_2_window", False), ("sde_dpmpp_1", False)):
        assert timed(named(solver)[0]).own is own
    intervals = []
    end = sampler(of_time)(model, start().double(), STEPS["uneven"], disable=True, noise_sampler=noise(intervals))
    assert bool(torch.isfinite(end).all()) and len(intervals) == len(STEPS["uneven"]) - 2
