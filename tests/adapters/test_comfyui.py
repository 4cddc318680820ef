"""The package for ComfyUI, in a stand-in of the modules of ComfyUI that it touches, called as ComfyUI's KSAMPLER calls."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch

from tests.adapters.test_kdiffusion import model, start

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "comfyui_phiforge"
BUILT_IN = ["euler", "uni_pc"]


class KSAMPLER:
    """The part of comfy.samplers.KSAMPLER that runs a function (v0.3): its arguments, and what it makes of a callback."""

    def __init__(self, sampler_function, extra_options=None):
        self.sampler_function, self.extra_options = sampler_function, extra_options or {}

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, disable_pbar=True):
        total = len(sigmas) - 1
        report = lambda x: callback(x["i"], x["denoised"], x["x"], total)  # noqa: E731
        return self.sampler_function(
            model_wrap,
            noise,
            sigmas,
            extra_args=extra_args,
            callback=report,
            disable=disable_pbar,
            **self.extra_options,
        )


@pytest.fixture
def comfy(monkeypatch):
    """comfy.samplers and comfy.k_diffusion.sampling, and the package loaded as ComfyUI loads a custom node."""
    names = ("comfy", "comfy.samplers", "comfy.k_diffusion", "comfy.k_diffusion.sampling")
    root, samplers, package, sampling = (types.ModuleType(name) for name in names)
    samplers.SAMPLER_NAMES = list(BUILT_IN)
    samplers.KSampler = type("KSampler", (), {"SAMPLERS": samplers.SAMPLER_NAMES})
    samplers.KSAMPLER = KSAMPLER
    root.samplers, root.k_diffusion, package.sampling = samplers, package, sampling
    for name, module in zip(names, (root, samplers, package, sampling)):
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location(
        "custom_nodes_phiforge", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    node = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, node)
    spec.loader.exec_module(node)
    yield types.SimpleNamespace(samplers=samplers, sampling=sampling, node=node)
    sys.modules.pop(f"{spec.name}.samplers")


def test_every_solver_is_in_the_list_once(comfy):
    listed = comfy.samplers.KSampler.SAMPLERS
    ours = listed[len(BUILT_IN) :]
    assert listed[: len(BUILT_IN)] == BUILT_IN and len(ours) == len(set(ours)) > 50
    assert {"phiforge_dpmpp_2m", "phiforge_unipc_3", "phiforge_flow_rk4"} <= {*ours}
    assert all(callable(getattr(comfy.sampling, f"sample_{name}")) for name in ours)
    comfy.node.register()
    assert listed[len(BUILT_IN) :] == ours


def levels(flow, steps):
    """From pure noise to none."""
    if flow:
        return torch.cat([torch.linspace(1, 0.05, steps), torch.zeros(1)])
    return torch.tensor([*(14.6 * (0.03 / 14.6) ** (i / (steps - 1)) for i in range(steps)), 0.0])


def solved(run, flow, steps, seed=5, **options):
    """(x at the end, what the callback was shown)."""
    shown = []
    wrapped = Wrapped((lambda x, sigma: torch.tanh(2 * x)) if flow else model, flow)
    sigmas = levels(flow, steps)
    noise, args = start(float(sigmas[0])), {"cond": 1, "seed": seed}
    return KSAMPLER(run, options).sample(wrapped, sigmas, args, lambda *a: shown.append(a), noise), shown


def stochastic(name):
    return hasattr(importlib.import_module(f"generated.{name}").solver.coefficients, "spread")


def test_every_solver_runs(comfy):
    """With the steps of a KSampler: nearer to the solution than Euler, or all but. Of a flow, solvers for flows.

    The sample of a stochastic one is that of its seed, and not that of another.
    """
    run = lambda name: getattr(comfy.sampling, f"sample_phiforge_{name}")  # noqa: E731
    exact = {False: solved(run("etdrk4"), False, 60)[0], True: solved(run("flow_rk4"), True, 60)[0]}
    euler = {False: solved(run("ddim"), False, 10)[0], True: solved(run("flow_ab2"), True, 3)[0]}
    for listed in comfy.samplers.SAMPLER_NAMES[len(BUILT_IN) :]:
        name = listed.removeprefix("phiforge_")
        flow, steps = name.startswith(("flow_", "flux_", "sd3_")), 8 if name.endswith("switch_8") else 10
        x, shown = solved(run(name), flow, steps)
        if stochastic(name):
            again, other = (solved(run(name), flow, steps, seed)[0] for seed in (5, 6))
            assert (
                bool(torch.isfinite(x).all()) and torch.equal(x, again) and not torch.allclose(x, other, rtol=0.01)
            ), name
            assert [(entry[0], entry[3]) for entry in shown] == [(i, steps) for i in range(steps)], name
            continue
        off = float((x - exact[flow]).norm() / (euler[flow] - exact[flow]).norm())
        assert off < 1.05, (name, off)
        assert [(entry[0], entry[3]) for entry in shown] == [(i, steps) for i in range(steps)], name


class Wrapped:
    """KSamplerX0Inpaint around a guider around a model."""

    def __init__(self, network, flow):
        kind = type("ModelSamplingFlux", (type("CONST", (), {}),), {}) if flow else type("EPS", (), {})
        inner = types.SimpleNamespace(model_sampling=kind())
        self.network, self.inner_model = network, types.SimpleNamespace(inner_model=inner)

    def __call__(self, x, sigma, cond=None, model_options=None, seed=None):
        assert cond == 1
        return self.network(x, sigma)


def test_a_stochastic_solver_takes_the_options_of_a_node(comfy):
    """The extra options of KSAMPLER are arguments of the sampler."""
    run = comfy.sampling.sample_phiforge_sde_dpmpp_2m
    still = lambda sigma, sigma_next: torch.zeros(2, 4, 6, 6)  # noqa: E731
    ends = [solved(run, False, 6, seed, noise_sampler=still)[0] for seed in (5, 6)]
    assert torch.equal(*ends) and not torch.equal(ends[0], solved(run, False, 6)[0])
    assert not torch.equal(solved(run, False, 6, s_noise=1.1)[0], solved(run, False, 6)[0])


def test_the_node_gives_the_same_sampler(comfy):
    node = comfy.node.NODE_CLASS_MAPPINGS["PhiforgeSampler"]
    (names,) = node.INPUT_TYPES()["required"]["solver"]
    assert "dpmpp_2m" in names and node.RETURN_TYPES == ("SAMPLER",)
    (chosen,) = getattr(node(), node.FUNCTION)("dpmpp_2m")
    sigmas = torch.tensor([14.6, 2.0, 0.5, 0.0])
    end = chosen.sample(Wrapped(model, False), sigmas, {"cond": 1}, lambda *a: None, start())
    direct = comfy.sampling.sample_phiforge_dpmpp_2m(model, start(), sigmas, disable=True)
    assert torch.equal(end, direct)
