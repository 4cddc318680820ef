"""The sampler of an imported configuration beside its scheduler in diffusers: same grid, same times, same trajectory."""

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

STEPS = (1, 2, 5, 10, 20, 50)
CLOSE = 1e-5
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DPM = "DPMSolverMultistepScheduler"
CASES = {
    "sd 1.5 dpm++ 2m": (DPM, {**SD, "timestep_spacing": "leading", "steps_offset": 1}),
    "sd 1.5 dpm++ 2m heun": (DPM, {**SD, "timestep_spacing": "trailing", "solver_type": "heun"}),
    "sd 1.5 dpm++ 3m": (DPM, {**SD, "solver_order": 3}),
}


def network(x, t):
    """Neither linear nor the same at two times."""
    t = torch.as_tensor(t, dtype=torch.float32)
    t = t.reshape(-1, *(1,) * (x.dim() - 1)) if t.dim() else t
    return 0.7 * torch.tanh(1.3 * x + torch.sin(t / 150)) + 0.3 * x


def theirs(scheduler, steps):
    """(start, [what the network reads at every call, and the sample at the end], timesteps)."""
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
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
    plan = solver.plan(**options_of(found))
    alpha = float(solver.coefficients.alpha(plan.nodes[0])) if scaled else 1.0

    def model(x, t):
        seen.append(x.clone())
        times.append(float(torch.as_tensor(t).reshape(-1)[0]))
        return network(x, t)

    end = solver.sample(model, start * alpha, plan=plan, **found.call)
    return plan, [*seen, end], times


@pytest.mark.parametrize("case", CASES)
def test_the_trajectory_is_theirs(case, made):
    kind, options = CASES[case]
    for steps in STEPS:
        found, solver = made(kind, options, steps)
        scheduler = getattr(diffusers, kind)(**options)
        start, a, their_times = theirs(scheduler, steps)
        plan, b, times = ours(found, solver, start, kind in SCALED)
        assert times == pytest.approx(their_times, rel=1e-6, abs=1e-9), steps
        assert len(a) == len(b)
        assert max(float((p - q).norm() / p.norm()) for p, q in zip(a, b)) < CLOSE, steps


SCALED = ("EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler")
