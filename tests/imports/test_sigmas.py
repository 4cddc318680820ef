"""Levels between training steps: exponential and beta sigmas cut to whole steps, last steps of no length, ranges of one step."""

from unittest.mock import patch

import numpy as np
import pytest
import torch

from runtime.real import real

diffusers = pytest.importorskip("diffusers")
from tests.imports.test_parity import (  # noqa: E402
    DEIS,
    DPM,
    EULER,
    FLOW,
    HEUN,
    LEADING,
    LMS,
    SD,
    STEPS,
    TRAILING,
    UNIPC,
    V,
    apart,
    options_of,
)  # fmt: skip
from tests.imports.test_parity_double import network, widen  # noqa: E402

EXACT = 1e-10

EXP, BETA, KARRAS = {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}, {"use_karras_sigmas": True}
END = {"final_sigmas_type": "sigma_min"}
EDM, EDM_DPM = "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"
FOLLOWED = {
    "dpm, exponential": (DPM, {**SD, **EXP}),
    "dpm, beta": (DPM, {**SD, **BETA}),
    "dpm, zero snr, exponential": (DPM, {**SD, **V, **EXP, "rescale_betas_zero_snr": True}),
    "dpm, default betas, exponential": (DPM, EXP),
    "unipc, exponential": (UNIPC, {**SD, **EXP}),
    "unipc, beta": (UNIPC, {**SD, **BETA, "solver_order": 3}),
}  # fmt: skip
IDLE = {
    "dpm, karras": (DPM, {**SD, **KARRAS, **END}),
    "dpm, lu, order 3": (DPM, {**SD, **END, "use_lu_lambdas": True, "solver_order": 3}),
    "dpm, beta, dpm-solver": (DPM, {**SD, **BETA, **END, "algorithm_type": "dpmsolver"}),
    "dpm, karras, euler at the end": (DPM, {**SD, **KARRAS, **END, "euler_at_final": True}),
    "deis, karras": (DEIS, {**SD, **KARRAS}),
    "deis 3, exponential": (DEIS, {**SD, **EXP, "solver_order": 3}),
    "deis, beta": (DEIS, {**SD, **BETA}),
    "deis, flow": (DEIS, {**FLOW, "flow_shift": 3.0}),
    "euler": (EULER, {**SD, **END}),
    "euler, leading": (EULER, {**SD, **END, "timestep_spacing": "leading"}),
    "euler, karras": (EULER, {**SD, **END, **KARRAS}),
    "edm euler": (EDM, END),
    "edm dpm": (EDM_DPM, {**END, "sigma_schedule": "exponential"}),
}  # fmt: skip
ONE = {
    "euler, karras": (EULER, {**SD, **KARRAS}),
    "euler, beta, trailing": (EULER, {**SD, **TRAILING, **BETA}),
    "heun, exponential, leading": (HEUN, {**SD, **LEADING, **EXP}),
    "lms, karras": (LMS, {**SD, **KARRAS}),
    "edm dpm, exponential": (EDM_DPM, {"sigma_schedule": "exponential"}),
}
FAST = ("dpm, beta", "unipc, exponential", "dpm, karras", "deis 3, exponential", "euler", "lms, karras")


@pytest.fixture(autouse=True)
def single():
    yield
    torch.set_default_dtype(torch.float32)


def params(cases):
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in cases]


def compared(kind, options, steps, made, idle):
    """Times as they are; levels and every state in float64, where only formulas can differ. idle: the last step is left out."""
    single = getattr(diffusers, kind)(**options)
    single.set_timesteps(steps)
    times = [float(t) for t in single.timesteps]
    samples, seen, sigmas = doubled(kind, options, steps, times)
    start = samples[0]
    if idle:
        assert apart(samples[-1:], samples[-2:-1]) < EXACT
        seen, times, sigmas = [*seen[:-2], seen[-1]], times[:-1], sigmas[:-1]
    found, solver = made(kind, options, steps)
    nodes = found.call.get("nodes")
    plan = solver.plan(**({"nodes": nodes} if nodes else options_of(found)))
    assert [plan.time(i) for i in range(plan.steps)] == pytest.approx(times, rel=1e-6, abs=2e-3), steps
    here, alphas = [], [float(solver.coefficients.alpha(real(t))) for t in plan.nodes]
    scaled = kind in (EULER, HEUN, LMS)

    def model(x, t):
        here.append(x.clone())
        return network(x, times[len(here) - 1])

    here.append(solver.sample(model, start * alphas[0] if scaled else start, plan=plan))
    if scaled:
        here[-1] = here[-1] / alphas[-1]
    if kind != HEUN:
        levels = sigmas / (1 - sigmas) if options.get("use_flow_sigmas") else sigmas
        rho = [float(solver.coefficients.rho(real(t))) for t in plan.nodes]
        assert rho == pytest.approx(levels.tolist(), rel=1e-8, abs=1e-12), steps
    assert apart(seen, here) < (1e-8 if "rescale_betas_zero_snr" in options else EXACT), steps


def doubled(kind, options, steps, times):
    """(samples, inputs of all calls and the sample at the end, levels) in float64; the network reads the given times."""
    scheduler = getattr(diffusers, kind)(**options)
    if hasattr(scheduler, "alphas_cumprod"):
        widen(scheduler)
        if scheduler.config.get("rescale_betas_zero_snr"):
            roots = scheduler.alphas_cumprod.sqrt()
            scheduler.alphas_cumprod = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
            scheduler.alphas_cumprod[-1] = 2**-24
    torch.set_default_dtype(torch.float64)
    with patch.object(np, "float32", np.float64), patch.object(torch, "float32", torch.float64):
        scheduler.set_timesteps(steps)
        scheduler.set_begin_index(0)
        x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x = x * float(scheduler.init_noise_sigma)
        seen, samples = [], [x]
        for i, t in enumerate(scheduler.timesteps):
            seen.append(scheduler.scale_model_input(x, t))
            x = scheduler.step(network(seen[-1], times[i]), t, x, return_dict=False)[0]
            samples.append(x)
    torch.set_default_dtype(torch.float32)
    return samples, [*seen, x], scheduler.sigmas.double()


@pytest.mark.parametrize("name", params(FOLLOWED))
def test_levels_that_are_cut_to_whole_steps(name, made):
    for steps in STEPS:
        compared(*FOLLOWED[name], steps, made, idle=False)


@pytest.mark.parametrize("name", params(IDLE))
def test_a_last_step_of_no_length_is_left_out(name, made):
    for steps in STEPS[1:]:
        compared(*IDLE[name], steps, made, idle=True)


@pytest.mark.parametrize("name", params(ONE))
def test_one_step_of_a_range_of_no_width(name, made):
    compared(*ONE[name], 1, made, idle=False)
