"""Solvers as samplers of k-diffusion and ComfyUI: beside theirs on the same sigmas, and by the convention alone."""

import importlib
import math
import types
from functools import cache

import pytest
import torch

from benchmarks.rivals import installed, sampling
from runtime.adapters.kdiffusion import is_flow, sampler
from runtime.api import Solver
from runtime.real import real
from runtime.rebind import rebound

SIGMAS = {
    "karras": [14.6 ** (1 / 7) + i / 9 * (0.03 ** (1 / 7) - 14.6 ** (1 / 7)) for i in range(10)],
    "uneven": [14.6, 9.0, 3.0, 2.9, 1.0, 0.5, 0.2, 0.03],
}
SIGMAS["karras"] = [value**7 for value in SIGMAS["karras"]]
STEPS = {"karras": torch.tensor([*SIGMAS["karras"], 0.0]), "uneven": torch.tensor([*SIGMAS["uneven"], 0.0])}


def start(sigma=14.6):
    return sigma * torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))


def model(x, sigma, shift=0.1):
    """The mean of data near +-1 given x = x0 + sigma eps, a little displaced; nonlinear and smooth."""
    s = sigma.reshape(-1, 1, 1, 1) ** 2 + 0.25
    return (0.25 * x + (s - 0.25) * torch.tanh(x / s)) / s + shift


@pytest.mark.skipif(installed("k-diffusion") is None, reason="k-diffusion is not installed")
@pytest.mark.parametrize("grid", STEPS)
@pytest.mark.parametrize("ours, theirs", [
    ("ddim", "sample_euler"), ("dpmpp_2m_midpoint", "sample_dpmpp_2m"), ("edm_heun", "sample_heun"),
])  # fmt: skip
def test_the_samples_are_theirs(ours, theirs, grid):
    try:
        rival = getattr(sampling(), theirs)
    except ImportError as error:
        pytest.skip(str(error))
    seen = {ours: [], theirs: []}
    results = []
    for name, function in ((theirs, rival), (ours, sampler(ours))):
        called = lambda x, sigma, name=name, **more: (seen[name].append((x, sigma)), model(x, sigma, **more))[1]  # noqa: E731
        logged = []
        end = function(called, start(), STEPS[grid], {"shift": 0.2}, logged.append, True)
        results.append((end, logged))
    assert len(seen[ours]) == len(seen[theirs])
    for (x, sigma), (y, tau) in zip(seen[theirs], seen[ours]):
        assert torch.equal(sigma, tau)
        assert float((x - y).norm() / x.norm()) < 1e-5
    (end, log), (other, logged) = results
    assert float((end - other).norm() / end.norm()) < 1e-5
    assert [entry["i"] for entry in log] == [entry["i"] for entry in logged]
    for entry, again in zip(log, logged):
        assert entry.keys() == again.keys() and entry["sigma"] == again["sigma"]
        assert float((entry["denoised"] - again["denoised"]).norm() / entry["denoised"].norm()) < 1e-5


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3", "res_3s", "edm_ab3", "dpm_solver_23", "deis_tab3", "lms_4"])
def test_the_sigmas_are_followed_bit_for_bit(name):
    """Of calls at grid points; a stage is between two of them. The state is as the solver's own steps make it."""
    seen = []
    sigmas = STEPS["uneven"]

    def spied(x, sigma):
        seen.append(float(sigma[0]))
        assert sigma.shape == (2,) and bool((sigma == sigma[0]).all())
        return model(x, sigma)

    end = sampler(name)(spied, start(), sigmas, disable=True)
    assert bool(torch.isfinite(end).all())
    left = iter(seen)
    assert all(sigma in left for sigma in sigmas[:-1].tolist())
    assert len(seen) >= len(sigmas) - 1 and max(seen) == float(sigmas[0])


@pytest.mark.parametrize("kind", ["level_index", "level_index_truncated", "time_truncated"])
def test_what_another_network_was_fed_does_not_matter(kind):
    """Whole numbers and places in a table belong to the network that a solver was generated for."""
    for name in ("sd15_dpmpp_2m", "res_3s"):
        shipped = importlib.import_module(f"generated.{name}").solver
        code = rebound(shipped.coefficients, lambda number: number, {"INPUT": kind})
        other = Solver(name, shipped._module, code, shipped._step)
        ends = [sampler(each)(model, start(), STEPS["uneven"], disable=True) for each in (shipped, other)]
        assert torch.equal(*ends)


@cache
def end_of(name, steps):
    """The sample at sigma = 0.2 of a solve from 10, in steps that are equal in log sigma."""
    levels = torch.tensor([10 * 0.02 ** (i / steps) for i in range(steps)] + [0.2], dtype=torch.float64)
    return sampler(name)(model, start(10.0).double(), levels, disable=True)


@pytest.mark.parametrize(
    "name, order", [("dpmpp_2m", 2), ("dpmpp_3m_singlestep", 3), ("edm_heun", 2), ("res_3s", 3), ("etdrk4", 4)]
)
def test_the_order_stays(name, order):
    """On another clock, in another library's coordinates and with another prediction than it was generated with."""
    errors = [float((end_of(name, steps) - end_of("etdrk4", 320)).norm()) for steps in (80, 160)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_a_flow():
    """ComfyUI's CONST: x = (1 - sigma) x0 + sigma eps. The same steps as the solver takes with the velocity."""
    solver = importlib.import_module("generated.flow_ab3").solver
    nodes = [1.0, 0.9, 0.7, 0.5, 0.2, 0.0]
    velocity = lambda x, t: torch.tanh(x) * (1 + t.reshape(-1, 1, 1, 1))  # noqa: E731
    expected = solver.sample(velocity, start(1.0), nodes=nodes)

    class CONST:
        pass

    class ModelSampling(CONST):
        pass

    class Wrapped:
        inner_model = types.SimpleNamespace(inner_model=types.SimpleNamespace(model_sampling=ModelSampling()))

        def __call__(self, x, sigma):
            return x - sigma.reshape(-1, 1, 1, 1) * velocity(x, sigma)

    found = sampler(solver)(Wrapped(), start(1.0), torch.tensor(nodes), disable=True)
    assert is_flow(Wrapped()) and not is_flow(model)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    again = sampler(solver, kind="flow")(Wrapped().__call__, start(1.0), torch.tensor(nodes), disable=True)
    assert torch.equal(found, again)


@pytest.mark.parametrize("name", ["dpmpp_3m", "unipc_3", "res_3s", "dpmpp_2s", "dpm_4m_singlestep"])
def test_a_solver_of_vp_begins_a_flow_at_pure_noise(name):
    """Exact for data that stay as they are, whatever the steps; the first step, of order 1, leaves order 2."""
    x = start(1.0).double()
    nodes = torch.tensor([1.0, 0.95, 0.7, 0.6, 0.2], dtype=torch.float64)
    still = sampler(name, kind="flow")(lambda x, s: torch.full_like(x, 0.3), x, nodes, disable=True)
    assert torch.allclose(still, 0.8 * torch.tensor(0.3, dtype=torch.float64) + 0.2 * x, rtol=1e-12)
    network = lambda x, s: torch.tanh(x * (0.5 + s.reshape(-1, 1, 1, 1)))  # noqa: E731

    def end(which, steps):
        levels = torch.linspace(1, 0.2, steps + 1, dtype=torch.float64)
        return sampler(which, kind="flow")(network, x, levels, disable=True)

    exact = end("flow_rk4", 100)
    errors = [float((end(name, steps) - exact).norm()) for steps in (20, 40)]
    assert math.log2(errors[0] / errors[1]) > 1.7


def test_the_ends():
    x = start()
    assert torch.equal(sampler("dpmpp_2m")(model, x, torch.tensor([1.0])), x)
    one = sampler("etdrk4")(model, x, torch.tensor([14.6, 0.0]), disable=True)
    assert torch.allclose(one, model(x, torch.full((2,), 14.6)), rtol=1e-6)
    half = sampler("dpmpp_2m")(model, x.half(), STEPS["uneven"], disable=True)
    assert half.dtype == torch.float16 and bool(torch.isfinite(half).all())
    with pytest.raises(ValueError, match="both"):
        sampler("dpmpp_2m")(model, x, torch.tensor([2.0, 2.0, 0.0]))
    with pytest.raises(ValueError, match="take a solver of a flow"):
        sampler("ddim", kind="flow")(model, x, torch.tensor([1.0, 0.5, 0.0]))
    with pytest.raises(ValueError, match="allowed: the name of one in generated/"):
        sampler("os.path")
    with pytest.raises(ValueError, match="did you mean 'flow'"):
        sampler("ddim", kind="flw")


def test_one_euler_step_by_hand():
    """x' = x0 + (sigma'/sigma)(x - x0), with numbers of another arithmetic."""
    x = start()
    data = model(x, torch.full((2,), 14.6))
    share = float(real(3.0) / real(float(torch.tensor(14.6))))
    step = sampler("ddim")(model, x, torch.tensor([14.6, 3.0]), disable=True)
    assert torch.allclose(step, data + share * (x - data), rtol=1e-5, atol=1e-5)
