"""Our solvers beside the schedulers of diffusers on the same grid: the network reads the same, the samples are the same."""

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
STEPS = (1, 2, 5, 10, 20, 50)
CLOSE = 1e-5


def network(x, t):
    """Neither linear nor the same at two times."""
    return 0.7 * torch.tanh(1.3 * x + torch.sin(t.float() / 150)) + 0.3 * x


def solve(scheduler, steps, double=False):
    """What the network reads at every call, and the sample at the end."""
    scheduler.set_timesteps(steps)
    if double:  # the same grid, for a scheduler whose formulas lose the digits of float32
        scheduler.sigmas = scheduler.sigmas.double()
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x if double else x.float()) * getattr(scheduler, "init_noise_sigma", 1.0)
    seen = []
    for t in scheduler.timesteps:
        seen.append(scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x)
        x = scheduler.step(network(seen[-1], t), t, x, return_dict=False)[0]
    return [*seen, x]


def apart(theirs, ours):
    """The largest relative distance along two solves."""
    assert len(theirs) == len(ours)
    return max(float((a - b).norm() / a.norm()) for a, b in zip(theirs, ours))


BH1 = {"weights: bh2": "weights: bh1"}
KEEP, LOWER = {"final: lower_order": "final: keep"}, {"final: keep": "final: lower_order"}
DPM, UNIPC = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"
KARRAS = {"use_karras_sigmas": True}
CASES = {
    "ddim": ("ddim", "DDIMScheduler", {**SD, "clip_sample": False, "timestep_spacing": "trailing"}),
    "ddim leading": ("ddim", "DDIMScheduler", {**SD, "clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}),
    "2m midpoint": ("dpmpp_2m_midpoint", DPM, SD),
    "2m heun": ("sd15_dpmpp_2m", DPM, {**SD, "solver_type": "heun"}),
    "2m exponential": ("sdxl_dpmpp_2m", DPM, {**SD, "solver_type": "heun", "use_exponential_sigmas": True}),
    "2m lu": ("sdxl_dpmpp_2m", DPM, {**SD, "solver_type": "heun", "use_lu_lambdas": True}),
    "2m v, zero snr": ("sd21v_dpmpp_2m", DPM, {
        **SD, "solver_type": "heun", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    }),
    "2m flow": ("sd3_dpmpp_2m", DPM, {**FLOW, "solver_type": "heun"}),
    "2m of a vp solver, flow": ("dpmpp_2m_midpoint", DPM, FLOW),
    "2m edm": ("dpmpp_2m_midpoint", "EDMDPMSolverMultistepScheduler", {}),
    "unipc 2 bh2": ("unipc_2", UNIPC, SD),
    "unipc 3 bh2": ("unipc_3", UNIPC, {**SD, "solver_order": 3}),
    "unipc 2 bh1": (("unipc_2", BH1), UNIPC, {**SD, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    "unipc 3 bh1": (("unipc_3", BH1), UNIPC, {**SD, "solver_type": "bh1", "solver_order": 3, "final_sigmas_type": "sigma_min"}),
    "unipc 2 flow": ("unipc_2", UNIPC, FLOW),
    "unipc 3 noise": ("unipc_3_noise", UNIPC, {
        **SD, "predict_x0": False, "solver_order": 3, "final_sigmas_type": "sigma_min",
    }),
    "euler": ("ddim", "EulerDiscreteScheduler", {**SD, **KARRAS}),
    "heun": ("edm_heun", "HeunDiscreteScheduler", SD),
    "heun karras": ("edm_heun", "HeunDiscreteScheduler", {**SD, **KARRAS}),
    "flow euler": (("flow_euler", {}), "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    "flow heun": (("flow_heun", LOWER), "FlowMatchHeunDiscreteScheduler", {"shift": 3.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_samples_are_theirs(case, variants):
    from runtime.adapters.diffusers import scheduler

    what, schedule, options = CASES[case]
    solver = variants(what)
    for steps in STEPS:
        theirs = getattr(diffusers, schedule)(**options)
        ours = scheduler(solver, schedule=schedule, **options)
        first, second = solve(theirs, steps), solve(ours, steps)
        assert torch.equal(theirs.timesteps, ours.timesteps)
        if hasattr(theirs, "sigmas"):
            assert torch.equal(theirs.sigmas, ours.sigmas)
        assert apart(first, second) < CLOSE, steps


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_ddim_with_zero_snr(prediction):
    """Beginning at alpha = 0: solvers of data step as DDIM does from there, and at the end; noise says nothing of the data."""
    from runtime.adapters.diffusers import scheduler

    options = {**SD, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": False}
    theirs = diffusers.DDIMScheduler(**options, prediction_type=prediction)
    for solver in ("dpmpp_2m", "sd21v_dpmpp_2m", "unipc_3", "res_2s"):
        for steps in (1, 2):
            first, second = (solve(each, steps) for each in (theirs, scheduler(solver, theirs)))
            assert apart(first, second) < CLOSE, (solver, steps)
    with pytest.raises(ValueError, match="a prediction of kind epsilon says nothing there of the data"):
        scheduler("dpmpp_2m", diffusers.DDIMScheduler(**options)).set_timesteps(4)


def test_a_coefficient_that_is_off_is_seen(monkeypatch):
    """The comparison has teeth: a thousandth in one weight of one call is far beyond its tolerance."""
    from dataclasses import replace

    from runtime.adapters.diffusers import scheduler

    theirs = diffusers.DPMSolverMultistepScheduler(**SD, solver_type="heun")
    first = solve(theirs, 5)
    ours = scheduler("sd15_dpmpp_2m", theirs)
    set_timesteps = ours.set_timesteps

    def spoilt(steps):
        set_timesteps(steps)
        course = ours._course
        (grid,) = course.plan.grids
        rows = [list(row) for row in grid.rows]
        rows[2][course.plan.columns.index("b1")] *= 1.001
        course.plan = replace(course.plan, grids=(replace(grid, rows=tuple(map(tuple, rows))),), _cache={})

    monkeypatch.setattr(ours, "set_timesteps", spoilt)
    assert apart(first, solve(ours, 5)) > 3 * CLOSE


@pytest.mark.parametrize("solver", ["dpm_2m", "dpm_3m"])
@pytest.mark.parametrize("steps", [2, 5, 10, 14, 20, 50])
def test_deis(solver, steps, variants):
    """DEIS in log rho: ours in float32, theirs in float64 on the same levels, since its formulas cancel (in float32 by up
    to a third at 50 steps of order 3). It lowers the order at the end below 15 steps only."""
    from runtime.adapters.diffusers import scheduler

    options = {**SD, "solver_order": int(solver[4])}
    theirs = diffusers.DEISMultistepScheduler(**options)
    ours = scheduler(solver if steps < 15 else variants((solver, KEEP)), theirs)
    assert apart(solve(theirs, steps, double=True), solve(ours, steps)) < CLOSE
