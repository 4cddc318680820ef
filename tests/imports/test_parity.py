"""The sampler of an imported configuration beside its scheduler in diffusers: same grid, same times, same trajectory."""

import inspect

import pytest
import torch

from derive.importing import Asked, import_config
from derive.imports.classes import DEFAULTS, REFUSED
from runtime.real import real

diffusers = pytest.importorskip("diffusers")

STEPS = (1, 2, 5, 10, 20, 50)
CLOSE = 1e-5
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V = {"prediction_type": "v_prediction"}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing"}
KARRAS = {"use_karras_sigmas": True}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
END = {"final_sigmas_type": "sigma_min"}
DPM, UNIPC, DEIS = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler"
EULER, HEUN, LMS, DDIM = "EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler", "DDIMScheduler"
CASES = {
    "dpm, defaults": (DPM, {}),
    "unipc, defaults": (UNIPC, {}),
    "deis, defaults": (DEIS, {}),
    "euler, defaults": (EULER, {}),
    "heun, defaults": (HEUN, {}),
    "lms, defaults": (LMS, {}),
    "edm euler, defaults": ("EDMEulerScheduler", {}),
    "edm dpm, defaults": ("EDMDPMSolverMultistepScheduler", {}),
    "flow euler, defaults": ("FlowMatchEulerDiscreteScheduler", {}),
    "heun, clipped": (HEUN, {**SD, **TRAILING, "clip_sample": True, "clip_sample_range": 3.0}),
    "flow heun, defaults": ("FlowMatchHeunDiscreteScheduler", {}),
    "sd 1.5": (DPM, {**SD, **LEADING}),
    "sd 1.5, heun, trailing": (DPM, {**SD, **TRAILING, "solver_type": "heun"}),
    "sd 1.5, order 3": (DPM, {**SD, "solver_order": 3}),
    "sd 1.5, order 1": (DPM, {**SD, "solver_order": 1}),
    "sd 1.5, dpm-solver": (DPM, {**SD, **END, "algorithm_type": "dpmsolver"}),
    "sd 1.5, dpm-solver 3": (DPM, {**SD, **END, "algorithm_type": "dpmsolver", "solver_order": 3}),
    "sd 1.5, euler at the end": (DPM, {**SD, **END, "euler_at_final": True, "lower_order_final": False}),
    "sd 1.5, karras": (DPM, {**SD, **KARRAS}),
    "sd 1.5, lu": (DPM, {**SD, "use_lu_lambdas": True}),
    "sd 1.5, ddim": (DDIM, {**SD, "clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}),
    "ddim, defaults": (DDIM, {}),
    "sd 2.1 v": (DPM, {**SD, **V, **LEADING}),
    "sd 2.1 v, ddim, zero snr": (DDIM, {**SD, **V, **TRAILING, "clip_sample": False, "rescale_betas_zero_snr": True}),
    "sdxl": (EULER, {**SD, **LEADING}),
    "sdxl, karras": (EULER, {**SD, **LEADING, **KARRAS}),
    "sdxl turbo": (EULER, {**SD, **TRAILING}),
    "sdxl, exponential": (EULER, {**SD, "use_exponential_sigmas": True}),
    "sdxl, beta": (EULER, {**SD, "use_beta_sigmas": True}),
    "sdxl, zero snr": (DPM, {**SD, **V, **TRAILING, "rescale_betas_zero_snr": True}),
    "sdxl, zero snr, euler": (EULER, {**SD, **V, **TRAILING, "rescale_betas_zero_snr": True}),
    "sd3": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    "sd3, heun": ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}),
    "flux schnell": ("FlowMatchEulerDiscreteScheduler", {"shift": 1.0, "max_shift": 1.15, "base_shift": 0.5}),
    "pixart": (DPM, {"variance_type": None, "lambda_min_clipped": float("-inf")}),
    "hunyuan-dit": (DPM, {**SD, **V, **LEADING, "beta_end": 0.03, "steps_offset": 1}),
    "sana": (DPM, {**FLOW, "flow_shift": 3.0}),
    "wan": (UNIPC, {**FLOW, "flow_shift": 5.0, "solver_order": 2}),
    "deepfloyd if": (DPM, {
        "beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1, "thresholding": True,
        "dynamic_thresholding_ratio": 0.95, "sample_max_value": 1.5,
    }),
    "trained betas": (UNIPC, {"num_train_timesteps": 100, "trained_betas": [0.0003 * (k + 1) for k in range(100)]}),
    "unipc 3, bh1": (UNIPC, {**SD, **END, "solver_order": 3, "solver_type": "bh1"}),
    "unipc 3, noise": (UNIPC, {**SD, **END, "solver_order": 3, "predict_x0": False}),
    "unipc, karras": (UNIPC, {**SD, **KARRAS}),
    "heun, karras": (HEUN, {**SD, **KARRAS}),
    "lms, karras": (LMS, {**SD, **KARRAS}),
    "stable video": (EULER, {**SD, **V, **KARRAS, "timestep_type": "continuous", "sigma_min": 0.002, "sigma_max": 700.0}),
    "continuous, of a table": (EULER, {**SD, **V, **LEADING, "timestep_type": "continuous"}),
    "cosxl": ("EDMEulerScheduler", {**V, "sigma_data": 1.0, "sigma_max": 120.0}),
    "cosxl, dpm": ("EDMDPMSolverMultistepScheduler", {**V, "sigma_data": 1.0, "sigma_max": 120.0, "sigma_schedule": "exponential"}),
    "playground 2.5": ("EDMDPMSolverMultistepScheduler", {"solver_order": 2, "sigma_schedule": "exponential"}),
}  # fmt: skip


def network(x, t):
    """Neither linear nor the same at two times."""
    t = torch.as_tensor(t, dtype=torch.float32)
    t = t.reshape(-1, *(1,) * (x.dim() - 1)) if t.dim() else t
    return 0.7 * torch.tanh(1.3 * x + torch.sin(t / 150)) + 0.3 * x


def theirs(scheduler, steps, **passed):
    """(start, [what the network reads at every call, and the sample at the end], timesteps). passed: to set_timesteps."""
    scheduler.set_timesteps(**(passed or {"num_inference_steps": steps}))
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * getattr(
        scheduler, "init_noise_sigma", 1.0
    )
    start, seen = x, []
    for t in scheduler.timesteps:
        seen.append(scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x)
        x = scheduler.step(network(seen[-1], t), t, x, return_dict=False)[0]
    return start, [*seen, x], [float(t) for t in scheduler.timesteps]


def options_of(found):
    """The grid's own options, as ``plan`` takes them."""
    given = found.spec.grid.parameters
    plain = {k: v if isinstance(v, (str, bool, int)) else float(v) for k, v in given.items() if v is not None}
    return {"grid": found.spec.grid.kind, **plain}


def ours(found, solver, start, scaled):
    """The same of the imported sampler. scaled: whether theirs has its samples over alpha."""
    seen, times = [], []
    nodes = found.call.get("nodes")
    plan = solver.plan(**({"nodes": nodes} if nodes else options_of(found)))
    alpha = float(solver.coefficients.alpha(plan.nodes[0])) if scaled else 1.0

    def model(x, t):
        seen.append(x.clone())
        times.append(float(torch.as_tensor(t).reshape(-1)[0]))
        return network(x, t)

    end = solver.sample(model, start * alpha, plan=plan, **{k: v for k, v in found.call.items() if k != "nodes"})
    return plan, [*seen, end], times


def apart(a, b):
    """The largest relative distance along two solves."""
    assert len(a) == len(b)
    return max(float((p - q).norm() / p.norm()) for p, q in zip(a, b))


def levels(kind, scheduler, steps):
    """(alpha, sigma/alpha) at every point of their grid."""
    if kind == DDIM:
        bars = scheduler.alphas_cumprod.double()[scheduler.timesteps]
        bars = torch.cat([bars, scheduler.final_alpha_cumprod.double().reshape(1)])
        return bars.sqrt(), ((1 - bars) / bars).sqrt()
    sigmas = scheduler.sigmas.double()
    if kind in (HEUN, "FlowMatchHeunDiscreteScheduler"):  # every inner level twice
        sigmas = sigmas[[0, *range(1, 2 * steps, 2)]] if steps > 1 else sigmas
    if kind.startswith("EDM") and scheduler.config.prediction_type == "epsilon":
        return torch.ones_like(sigmas), sigmas
    if kind.startswith("Flow") or scheduler.config.get("use_flow_sigmas"):
        return 1 - sigmas, sigmas / (1 - sigmas)
    return (1 + sigmas**2) ** -0.5, sigmas


def few(case):
    return pytest.param(case, marks=() if case in FAST else pytest.mark.slow)


FAST = (
    "sd 1.5",
    "sd 1.5, order 3",
    "sd 1.5, karras",
    "sd 2.1 v",
    "sdxl",
    "sdxl, zero snr",
    "sd3",
    "wan",
    "deepfloyd if",
)


@pytest.mark.parametrize("case", map(few, CASES))
def test_grid_and_trajectory_are_theirs(case, made):
    kind, options = CASES[case]
    for steps in STEPS:
        scheduler = getattr(diffusers, kind)(**options)
        found, solver = made(kind, options, steps)
        start, a, their_times = theirs(scheduler, steps)
        plan, b, times = ours(found, solver, start, kind in SCALED or case.startswith("cosxl"))
        assert times == pytest.approx(their_times, rel=1e-6, abs=2e-3), steps  # log sigma in float32
        code, here = solver.coefficients, plan.nodes
        alphas, rhos = levels(kind, scheduler, steps)
        assert [float(code.alpha(real(t))) for t in here] == pytest.approx(alphas.tolist(), rel=CLOSE, abs=CLOSE), steps
        wanted = [rho for rho in rhos.tolist() if rho < 1e4]
        got = [float(code.rho(real(t))) for t in here[-len(wanted) :]]
        assert got == pytest.approx(wanted, rel=3e-4, abs=CLOSE), steps  # 1 - alpha_bar in float32 next to the data
        lost = 2**-22 * float(rhos[0]) if kind in (*SCALED, "EDMEulerScheduler") else 0.0
        assert apart(a, b) < max(CLOSE, lost), steps  # lost: theirs is x - (x - data), of size sigma, in float32


SCALED = (EULER, HEUN, LMS, "KDPM2DiscreteScheduler")


def test_a_setting_that_is_off_is_seen(made):
    """The comparison has teeth: another shift, another order, another weight are far beyond its tolerance."""
    for case, other in (
        ("sd3", {"shift": 3.01}),
        ("sd 1.5", {"solver_type": "heun"}),
        ("sd 1.5", {"beta_end": 0.0121}),
    ):
        kind, options = CASES[case]
        start, a, _ = theirs(getattr(diffusers, kind)(**options), 5)
        _, b, _ = ours(*made(kind, {**options, **other}, 5), start, kind in SCALED)
        assert apart(a, b) > 3 * CLOSE, case


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_those_of_the_class(kind):
    known = inspect.signature(getattr(diffusers, kind).__init__).parameters
    theirs = {name: p.default for name, p in known.items() if name != "self"}
    assert {**DEFAULTS[kind]} == theirs


def test_every_deterministic_class_is_imported_or_refused():
    """Classes in diffusers that take part in its exchange of configurations."""
    names = {e.name for e in diffusers.schedulers.KarrasDiffusionSchedulers}
    assert names <= {*DEFAULTS, *REFUSED}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_save_config_writes_is_read(kind, tmp_path):
    options = {DDIM: {"clip_sample": False}, "PNDMScheduler": {"steps_offset": 1}}.get(kind, {})
    getattr(diffusers, kind)(**options).save_config(tmp_path)
    asked = Asked(tau=1.0) if kind == "SASolverScheduler" else None  # its tau_func is no number that a file has
    found = import_config(tmp_path / "scheduler_config.json", 10, also=asked)
    assert found.kind == kind and found.spec.grid.parameters["steps"] == 10
