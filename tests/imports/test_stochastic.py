"""Schedulers that add noise beside the samplers of their specs, on the same normals, state by state in float64."""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

diffusers = pytest.importorskip("diffusers")
from derive.importing import Asked  # noqa: E402
from tests.imports.test_parity import apart, options_of  # noqa: E402
from tests.imports.test_parity_double import SCHEDULES, STEPS, V, network, widen  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

DOUBLE = 1e-10
DPM, ANCESTRAL, DDPM = "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler", "DDPMScheduler"
SA = "SASolverScheduler"
SDE = {"algorithm_type": "sde-dpmsolver++"}
NOISE = {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}
FLOW = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
CASES = {
    "sde 1": (DPM, {**SDE, "solver_order": 1}),
    "sde 2": (DPM, SDE),
    "sde 2, heun": (DPM, {**SDE, "solver_type": "heun"}),
    "sde 2, v, leading": (DPM, {**SDE, **V, "timestep_spacing": "leading", "steps_offset": 1}),
    "sde 2, karras": (DPM, {**SDE, "use_karras_sigmas": True}),
    "sde 2, to sigma_min": (DPM, {**SDE, "final_sigmas_type": "sigma_min", "euler_at_final": True}),
    "sde 2, thresholding": (DPM, {**SDE, "thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}),
    "sde 2, flow": (DPM, {**SDE, **FLOW}),
    "sde 3": (DPM, {**SDE, "solver_order": 3}),
    "sde 3, heun": (DPM, {**SDE, "solver_order": 3, "solver_type": "heun", "lower_order_final": False}),
    "sde noise 1": (DPM, {**NOISE, "solver_order": 1}),
    "sde noise 2": (DPM, NOISE),
    "sde noise 2, heun": (DPM, {**NOISE, "solver_type": "heun"}),
    "ancestral": (ANCESTRAL, {}),
    "ancestral, v": (ANCESTRAL, V),
    "ancestral, leading": (ANCESTRAL, {"timestep_spacing": "leading", "steps_offset": 1}),
    "ancestral, trailing": (ANCESTRAL, {"timestep_spacing": "trailing"}),
    "sa": (SA, {"tau": 1.0}),
    "sa, v, half, leading": (SA, {"tau": 0.5, **V, "timestep_spacing": "leading", "steps_offset": 1}),
    "sa 3, 3": (SA, {"tau": 0.8, "predictor_order": 3, "corrector_order": 3}),
    "sa 1, 3, to the end": (SA, {"tau": 1.0, "predictor_order": 1, "corrector_order": 3, "lower_order_final": False}),
    "sa noise": (SA, {"tau": 1.0, "algorithm_type": "noise_prediction"}),
    "ddpm": (DDPM, {"clip_sample": False}),
    "ddpm, clipped": (DDPM, {}),
    "ddpm, v, trailing": (DDPM, {**V, "clip_sample_range": 0.7, "timestep_spacing": "trailing"}),
    "ddpm, data, linspace": (DDPM, {"prediction_type": "sample", "clip_sample": False, "timestep_spacing": "linspace"}),
    "ddpm, large": (DDPM, {"clip_sample": False, "variance_type": "fixed_large"}),
    "ddpm, large, v, linspace": (DDPM, {**V, "variance_type": "fixed_large", "timestep_spacing": "linspace"}),
    "ddpm, log": (DDPM, {"clip_sample": False, "variance_type": "fixed_small_log"}),
}  # fmt: skip
FAST = {
    "sde 2": (1, 2, 5, 20), "sde 3": (5, 20), "sde noise 2": (5,), "ancestral": (1, 5, 20), "ddpm": (1, 5, 20),
    "ddpm, clipped": (5,), "ddpm, large": (5,), "sa": (5,), "sa 3, 3": (10,),
}  # fmt: skip
"""What runs in every run, on the schedule of Stable Diffusion: case, numbers of steps."""


@contextmanager
def double():
    """float32 of numpy and of torch is float64: what their schedulers round to on the way."""
    with patch.object(np, "float32", np.float64), patch.object(torch, "float32", torch.float64):
        yield


def draw(generator):
    return torch.randn(2, 4, 6, 6, generator=generator, dtype=torch.float64)


def unclamp(scheduler):
    """A last step to sigma = 0 without the noise of variance 1e-20 that DDPM adds there, for its logarithm; 1 in float64."""
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    variance = scheduler._get_variance
    scheduler._get_variance = lambda *at, **more: v if (v := variance(*at, **more)) > 1e-9 else 0 * v


def theirs(kind, options, steps):
    """(start, what the network reads at every call and the end, times). Normals: of a generator with seed 1.

    The times are those of the class as it is, looked up in float32.
    """
    options = dict(options)
    if kind == SA:
        tau = options.pop("tau")
        options["tau_func"] = lambda t: tau
    plain = getattr(diffusers, kind)(**options)
    plain.set_timesteps(steps)
    times = [float(t) for t in plain.timesteps]
    module = __import__(f"diffusers.schedulers.{MODULES[kind]}", fromlist=["randn_tensor"])
    source = torch.Generator().manual_seed(1)
    scheduler = getattr(diffusers, kind)(**options)
    widen(scheduler)
    with double(), patch.object(module, "randn_tensor", lambda *shape, **how: draw(source)):
        scheduler.set_timesteps(steps)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        if kind == DDPM:
            unclamp(scheduler)
        x = draw(torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
        start, seen = x, []
        for t, fed in zip(scheduler.timesteps, times, strict=True):
            seen.append(scheduler.scale_model_input(x, t))
            x = scheduler.step(network(seen[-1], fed), t, x, return_dict=False)[0]
    return start, [*seen, x], times


MODULES = {
    DPM: "scheduling_dpmsolver_multistep", ANCESTRAL: "scheduling_euler_ancestral_discrete", DDPM: "scheduling_ddpm",
    SA: "scheduling_sasolver",
}  # fmt: skip


def ours(found, solver, start, times, kind, plan=None):
    """The same of the imported sampler, and the times that it feeds."""
    plan = plan or solver.plan(**options_of(found))
    source, seen, own = torch.Generator().manual_seed(1), [], []

    def model(x, t):
        seen.append(x.clone())
        own.append(float(torch.as_tensor(t).reshape(-1)[0]))
        return network(x, times[len(seen) - 1])

    alpha = float(solver.coefficients.alpha(plan.nodes[0])) if kind == ANCESTRAL else 1.0
    noise = lambda call, like: draw(source)  # noqa: E731
    end = solver.sample(model, start * alpha, plan=plan, noise=noise, **found.call)
    return [*seen, end], own


def imported(made, kind, options, steps):
    """tau is an option of the command, not of the class."""
    said = {key: value for key, value in options.items() if key != "tau"}
    return made(kind, said, steps, Asked(tau=options.get("tau")))


def distance(made, kind, options, steps):
    found, solver = imported(made, kind, options, steps)
    start, a, times = theirs(kind, options, steps)
    b, own = ours(found, solver, start, times, kind)
    assert own == pytest.approx(times[: len(own)], rel=1e-6, abs=1e-4)
    if len(b) < len(a):  # the last call leaves the sample where it is
        assert torch.allclose(a.pop(), a[-1], rtol=1e-12, atol=0)
    return apart(a, b)


def schedules(case):
    """A flow has none; of Karras on the cosine, roundings of the table decide which whole number is fed."""
    return ("linear",) if "flow" in case else [n for n in SCHEDULES if (n, "karras" in case) != ("cosine", True)]


def cases():
    for case in CASES:
        for name in schedules(case):
            fast = FAST.get(case, ()) if name == "scaled" else ()
            if fast:
                yield pytest.param(case, name, fast, id=f"{case}-{name}")
            rest = tuple(n for n in STEPS if n not in fast)
            yield pytest.param(case, name, rest, id=f"{case}-{name}-all", marks=pytest.mark.slow)


@pytest.mark.parametrize(("case", "schedule", "steps"), [*cases()])
def test_every_state_is_theirs(case, schedule, steps, made):
    kind, options = CASES[case]
    for count in steps:
        assert distance(made, kind, {**options, **SCHEDULES[schedule]}, count) < DOUBLE, count


@pytest.mark.parametrize(
    ("case", "column"), [("sde 2", "s"), ("sde 3", "b2"), ("sa", "cb0"), ("ancestral", "a"), ("ddpm", "s")]
)
def test_a_coefficient_that_is_off_is_seen(case, column, made):
    """A millionth in one coefficient of one call is far beyond the tolerance."""
    kind, options = CASES[case]
    options = {**options, **SCHEDULES["scaled"]}
    found, solver = imported(made, kind, options, 5)
    start, a, times = theirs(kind, options, 5)
    plan = solver.plan(**options_of(found))
    rows = [list(row) for row in plan.grids[0].rows]
    rows[2][plan.columns.index(column)] *= 1 + 1e-6
    spoilt = replace(plan, grids=(replace(plan.grids[0], rows=tuple(map(tuple, rows))),), _cache={})
    assert apart(a, ours(found, solver, start, times, kind, spoilt)[0]) > 100 * DOUBLE
