"""Stochastic solvers in diffusers: the normals are those that its schedulers draw, and the samples are theirs."""

from dataclasses import replace

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

from runtime.adapters.diffusers import PhiforgeScheduler, scheduler  # noqa: E402
from tests.adapters.test_parity import CLOSE, FLOW, SD, STEPS, apart, network  # noqa: E402

DPM, DDIM = "DPMSolverMultistepScheduler", "DDIMScheduler"
SDE = {"algorithm_type": "sde-dpmsolver++"}
PLAIN = {**SD, "clip_sample": False}
CASES = {
    "sde 1": ("sde_dpmpp_1", DPM, {**SD, **SDE, "solver_order": 1}, {}),
    "sde 2m midpoint": ("sde_dpmpp_2m_midpoint", DPM, {**SD, **SDE}, {}),
    "sde 2m heun, karras": ("sde_dpmpp_2m", DPM, {**SD, **SDE, "solver_type": "heun", "use_karras_sigmas": True}, {}),
    "sde 2m v": ("sde_dpmpp_2m_midpoint", DPM, {**SD, **SDE, "prediction_type": "v_prediction"}, {}),
    "sde 2m edm": ("sde_dpmpp_2m_midpoint", "EDMDPMSolverMultistepScheduler", SDE, {}),
    "sde 2m flow": ("sde_dpmpp_2m_midpoint", DPM, {**FLOW, **SDE}, {}),
    "ddpm": ("ddpm", "DDPMScheduler", PLAIN, {}),
    "ddpm, clipped": ("ddpm", "DDPMScheduler", SD, {}),
    "ddim, eta 1": ("ddpm", DDIM, {**PLAIN, "steps_offset": 1}, {"eta": 1.0}),
    "ddim, eta 1/2": ("ddim_eta_half", DDIM, {**PLAIN, "timestep_spacing": "trailing"}, {"eta": 0.5}),
    "euler ancestral": ("euler_ancestral", "EulerAncestralDiscreteScheduler", SD, {}),
    "euler ancestral, v": ("sde_dpmpp_1", "EulerAncestralDiscreteScheduler", {**SD, "prediction_type": "v_prediction"}, {}),
}  # fmt: skip


def solve(made, steps, generator, x=None, **given):
    """What the network reads at every call, and the sample at the end."""
    made.set_timesteps(steps)
    if hasattr(made, "set_begin_index"):
        made.set_begin_index(0)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)) if x is None else x
    x, seen = x * made.init_noise_sigma, []
    for i, t in enumerate(made.timesteps):
        seen.append(made.scale_model_input(x, t))
        now = {key: value[i] if key == "variance_noise" else value for key, value in given.items()}
        x = made.step(network(seen[-1], t), t, x, generator=generator, return_dict=False, **now)[0]
    return [*seen, x]


def seeded(*seeds):
    made = [torch.Generator().manual_seed(seed) for seed in seeds]
    return made if len(made) > 1 else made[0]


@pytest.mark.parametrize("case", CASES)
def test_the_samples_are_theirs_with_one_generator(case):
    solver, schedule, options, given = CASES[case]
    for steps in STEPS:
        theirs = getattr(diffusers, schedule)(**options)
        ours = scheduler(solver, schedule=schedule, **options)
        first, second = solve(theirs, steps, seeded(7), **given), solve(ours, steps, seeded(7), **given)
        assert torch.equal(theirs.timesteps, ours.timesteps)
        assert apart(first, second) < CLOSE, steps


def test_a_standard_deviation_that_is_off_is_seen(monkeypatch):
    """A thousandth of the noise of one step is far beyond the tolerance."""
    theirs = diffusers.DPMSolverMultistepScheduler(**SD, **SDE)
    ours = scheduler("sde_dpmpp_2m_midpoint", theirs)
    set_timesteps = ours.set_timesteps

    def spoilt(steps):
        set_timesteps(steps)
        course = ours._course
        (grid,) = course.plan.grids
        rows = [list(row) for row in grid.rows]
        rows[2][course.plan.columns.index("s")] *= 1.001
        course.plan = replace(course.plan, grids=(replace(grid, rows=tuple(map(tuple, rows))),), _cache={})

    monkeypatch.setattr(ours, "set_timesteps", spoilt)
    assert apart(solve(theirs, 5, seeded(7)), solve(ours, 5, seeded(7))) > 3 * CLOSE


@pytest.mark.parametrize("solver", ["sde_dpmpp_2m", "seeds_2", "sa_solver_3", "dpmpp_sde"])
def test_a_generator_for_each_sample(solver):
    """Sample i depends on generator i alone; one generator makes the same twice, another something else."""
    made = scheduler(solver, diffusers.DPMSolverMultistepScheduler(**SD))
    x = torch.randn(3, 4, 6, 6, generator=seeded(0))
    whole = solve(made, 6, seeded(3, 4, 5), x)[-1]
    for i in range(3):
        alone = solve(made, 6, [seeded(3 + i)], x[i : i + 1])[-1]
        assert torch.allclose(alone, whole[i : i + 1], rtol=1e-5, atol=1e-6)
    again, other = solve(made, 6, seeded(3, 4, 5), x)[-1], solve(made, 6, seeded(3, 4, 6), x)[-1]
    assert torch.equal(whole, again) and torch.equal(whole[:2], other[:2])
    assert not torch.allclose(whole[2], other[2], rtol=0.1)


def test_the_noise_is_the_callers():
    """variance_noise, as DPM-Solver and DDIM take it."""
    noise = torch.randn(6, 2, 4, 6, 6, generator=seeded(9))
    theirs = diffusers.DPMSolverMultistepScheduler(**SD, **SDE)
    ours = scheduler("sde_dpmpp_2m_midpoint", theirs)
    first, second = (solve(each, 6, None, variance_noise=noise) for each in (theirs, ours))
    assert apart(first, second) < CLOSE
    still = solve(ours, 6, None, variance_noise=torch.zeros_like(noise))
    assert apart(still, second) > 0.1
    with pytest.raises(ValueError, match="shape"):
        solve(ours, 6, None, variance_noise=noise[:, :1])


def test_it_is_saved_and_loaded(tmp_path):
    made = scheduler("sde_dpmpp_2m", diffusers.DPMSolverMultistepScheduler(**SD, **SDE))
    made.save_pretrained(tmp_path)
    again = PhiforgeScheduler.from_pretrained(tmp_path)
    assert torch.equal(solve(made, 7, seeded(1))[-1], solve(again, 7, seeded(1))[-1])
    assert made._course.plan.draws == again._course.plan.draws and any(made._course.plan.draws)
    for key in ("nodes", "columns", "grids"):
        assert getattr(made._course.plan, key) == getattr(again._course.plan, key)


def test_eta_is_the_solvers():
    """0 is what pipelines pass unasked; any other number is taken where it is the solver's own."""
    like = diffusers.DDIMScheduler(**PLAIN)
    for solver, wrong, said in (
        ("ddim", 0.5, "allowed: 0, since the solver is deterministic"),
        ("ddim_eta_half", 1.0, "allowed: 0, 0.5"),
        ("sa_solver_3_half", 0.5, "allowed: 0 "),
    ):
        with pytest.raises(ValueError, match=said):
            solve(scheduler(solver, like), 4, seeded(1), eta=wrong)
    a, b = (solve(scheduler("ddim_eta_half", like), 4, seeded(1), eta=eta)[-1] for eta in (0.0, 0.5))
    assert torch.equal(a, b)


@pytest.mark.parametrize("solver", ["sde_dpmpp_2m", "sa_solver_3", "ddim_eta_half", "flow_sde_2m", "ddpm"])
def test_a_flow_begins_at_pure_noise(solver):
    """x = (1 - t) x0 + t eps with data that stay: after every step the mean is (1 - t) x0 and the variance t^2."""
    made = scheduler(solver, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    made.set_timesteps(4)
    assert float(made.sigmas[0]) == 1.0
    mean, variance = 0.0, 1.0
    rows, columns = made._course.plan.grids[0].rows, made._course.plan.columns
    for i, (row, sigma) in enumerate(zip(rows, made.sigmas[1:].double().tolist())):
        values = dict(zip(columns, row))
        before = float(made.sigmas[i])
        data = [values[name] for name in ("b0", "b1", "b2") if name in values]
        mean, variance = values["a"] * mean + sum(data), values["a"] ** 2 * variance + values["s"] ** 2
        assert mean == pytest.approx(1 - sigma, abs=1e-14) and variance == pytest.approx(sigma**2, abs=1e-14), before
    x = solve(made, 4, seeded(1))[-1]
    assert bool(torch.isfinite(x).all())


@pytest.mark.parametrize("options", [{}, {"use_karras_sigmas": True}])
def test_the_grid_of_sa_solver(options, tmp_path):
    """Its levels bit for bit; of Karras the last one once. tau_func is its step's, and is not asked."""
    like = diffusers.SASolverScheduler(**SD, **options)
    made = scheduler("sa_solver_3", like)
    made.save_pretrained(tmp_path)
    again = PhiforgeScheduler.from_pretrained(tmp_path)
    like.set_timesteps(6)
    assert torch.equal(solve(made, 6, seeded(1))[-1], solve(again, 6, seeded(1))[-1])
    assert torch.equal(made.sigmas, like.sigmas[: len(made.sigmas)]) and len(made.timesteps) == 6 - len(options)
