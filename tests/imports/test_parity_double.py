"""Schedulers of diffusers beside the samplers of their specs, state by state: in float32, and in float64 on float64 tables.

The tables of a scheduler are float32 there. In the second comparison they are computed in float64 from the same options, so
what is left are the formulas: 1e-10. Both networks read the times of theirs, which other tests compare.
"""

import inspect
import math
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

diffusers = pytest.importorskip("diffusers")
from tests.imports.test_parity import SCALED, apart, options_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

STEPS = (1, 2, 5, 10, 20, 50)
NEAR, DOUBLE = 1e-5, 1e-10
SCHEDULES = {
    "linear": {},
    "scaled": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained": {"trained_betas": [1e-4 + 0.02 * math.sin(0.0015 * k) ** 2 for k in range(1000)]},
}
V = {"prediction_type": "v_prediction"}
END = {"final_sigmas_type": "sigma_min"}
SINGLE, DDIM = "DPMSolverSinglestepScheduler", "DDIMScheduler"
PNDM, LMS, KDPM2 = "PNDMScheduler", "LMSDiscreteScheduler", "KDPM2DiscreteScheduler"
SKIP = {"skip_prk_steps": True, "steps_offset": 1}
CASES = {
    "pndm": (PNDM, SKIP),
    "pndm, to zero": (PNDM, {**SKIP, "set_alpha_to_one": True}),
    "pndm, idle": (PNDM, {"skip_prk_steps": True}),
    "pndm, trailing": (PNDM, {**SKIP, "timestep_spacing": "trailing"}),
    "pndm, prk": (PNDM, {"steps_offset": 1}),
    "pndm, prk, idle": (PNDM, {}),
    "pndm, v": (PNDM, {**V, **SKIP}),
    "pndm, v, to zero": (PNDM, {**V, **SKIP, "set_alpha_to_one": True}),
    "pndm, v, idle": (PNDM, {**V, "skip_prk_steps": True}),
    "pndm, v, trailing": (PNDM, {**V, **SKIP, "timestep_spacing": "trailing"}),
    "pndm, v, prk": (PNDM, {**V, "steps_offset": 1}),
    "pndm, v, prk, to zero": (PNDM, {**V, "steps_offset": 1, "set_alpha_to_one": True}),
    "pndm, v, prk, idle": (PNDM, V),
    "dpm++ 2s": (SINGLE, {}),
    "dpm++ 2s, v": (SINGLE, V),
    "dpm++ 2s, heun": (SINGLE, {**END, "solver_type": "heun", "lower_order_final": True}),
    "dpm 2s": (SINGLE, {**END, "algorithm_type": "dpmsolver"}),
    "dpm++ 3s": (SINGLE, {"solver_order": 3}),
    "dpm++ 3s, heun, v": (SINGLE, {**V, "solver_order": 3, "solver_type": "heun"}),
    "dpm 3s": (SINGLE, {**END, "solver_order": 3, "algorithm_type": "dpmsolver"}),
    "dpm++ 1s": (SINGLE, {"solver_order": 1}),
    "dpm++ 2s, karras": (SINGLE, {"use_karras_sigmas": True}),
    "dpm++ 2s, thresholding": (SINGLE, {
        "thresholding": True, "dynamic_thresholding_ratio": 0.95, "sample_max_value": 1.5, "lambda_min_clipped": -5.1,
    }),
    "dpm++ 3s, flow": (
        SINGLE,
        {
            "solver_order": 3,
            "use_flow_sigmas": True,
            "flow_shift": 3.0,
            "prediction_type": "flow_prediction",
        },
    ),
    "dpm++ 2s, sample": (SINGLE, {"prediction_type": "sample"}),
    "dpm 2s, v": (SINGLE, {**END, **V, "algorithm_type": "dpmsolver"}),
    "ipndm": ("IPNDMScheduler", {}),
    "ddim, clipped": (DDIM, {}),
    "ddim, v, clipped": (DDIM, {**V, "clip_sample_range": 0.7, "timestep_spacing": "trailing"}),
    "ddim, data, clipped": (DDIM, {"prediction_type": "sample", "clip_sample_range": 0.4}),
    "ddim, thresholding": (DDIM, {"thresholding": True, "dynamic_thresholding_ratio": 0.8, "sample_max_value": 1.5}),
    "kdpm2": (KDPM2, {}),
    "kdpm2, v": (KDPM2, V),
    "kdpm2, leading": (KDPM2, {"timestep_spacing": "leading", "steps_offset": 1}),
    "kdpm2, trailing": (KDPM2, {**V, "timestep_spacing": "trailing"}),
    "kdpm2, karras": (KDPM2, {"use_karras_sigmas": True}),
    "kdpm2, exponential": (KDPM2, {"use_exponential_sigmas": True}),
    "lms": (LMS, {}),
    "lms, v": (LMS, V),
    "lms, sample": (LMS, {"prediction_type": "sample"}),
    "lms, karras": (LMS, {"use_karras_sigmas": True}),
    "lms, leading": (LMS, {"timestep_spacing": "leading", "steps_offset": 1}),
    "lms, trailing": (LMS, {"timestep_spacing": "trailing"}),
}  # fmt: skip
FAST = {
    ("ddim, clipped", "scaled"): (5, 20), ("ddim, v, clipped", "linear"): (1, 10),
    ("pndm", "scaled"): (2, 5, 20), ("dpm++ 2s", "scaled"): (1, 2, 5, 20), ("dpm++ 3s", "scaled"): (5, 20),
    ("pndm, prk", "scaled"): (5, 20), ("kdpm2, v", "scaled"): (5, 20),
    ("lms, v", "scaled"): (5, 20), ("ipndm", "linear"): (2, 5, 20),
}  # fmt: skip
"""What runs in every run: case, schedule, numbers of steps."""
REFUSED = {
    "pndm, prk": (1, 2),
    "pndm, prk, idle": (1, 2),
    "pndm, idle": (1,),
    "pndm, v, prk": (1, 2),
    "pndm, v, prk, to zero": (1, 2),
    "pndm, v, prk, idle": (1, 2),
    "pndm, v, idle": (1,),
    "kdpm2, karras": (1,),
    "ipndm": (1,),
    "lms, karras": (1,),
    "kdpm2, exponential": (1,),
}
"""Numbers of steps that diffusers cannot run, or that leave no step."""


def betas(options):
    """beta_j in float64."""
    count = options.get("num_train_timesteps", 1000)
    if options.get("trained_betas"):
        return np.array(options["trained_betas"])
    if options["beta_schedule"] == "squaredcos_cap_v2":
        bar = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    power = 0.5 if options["beta_schedule"] == "scaled_linear" else 1
    return np.linspace(options["beta_start"] ** power, options["beta_end"] ** power, count) ** (1 / power)


def widen(scheduler):
    """Tables in float64."""
    known = inspect.signature(type(scheduler).__init__).parameters
    options = {name: scheduler.config[name] for name in known if name != "self"}
    bars = torch.cumprod(torch.from_numpy(1 - betas(options)), 0)
    scheduler.alphas_cumprod = bars
    if hasattr(scheduler, "final_alpha_cumprod"):
        scheduler.final_alpha_cumprod = bars.new_tensor(1.0) if scheduler.config.set_alpha_to_one else bars[0]


def network(x, t):
    """Neither linear nor the same at two times; t: a float."""
    return 0.7 * torch.tanh(1.3 * x + math.sin(t / 150)) + 0.3 * x


def theirs(scheduler, steps, dtype):
    """(start, what the network reads at every call and the sample at the end, times)."""
    double = dtype == torch.float64
    if double and hasattr(scheduler, "alphas_cumprod"):
        widen(scheduler)
    with patch.object(np, "float32", np.float64 if double else np.float32):
        scheduler.set_timesteps(steps)
    if double and isinstance(scheduler, diffusers.IPNDMScheduler):  # it makes its levels there
        scheduler.betas = torch.sin(torch.linspace(1, 0, steps + 1, dtype=dtype) * math.pi / 2) ** 2
        scheduler.alphas = (1 - scheduler.betas**2) ** 0.5
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x * scheduler.init_noise_sigma).to(dtype)
    start, seen = x, []
    for t in scheduler.timesteps:
        seen.append(scheduler.scale_model_input(x, t))
        x = scheduler.step(network(seen[-1], float(t)), t, x, return_dict=False)[0]
    return start, [*seen, x], [float(t) for t in scheduler.timesteps]


def ours(found, solver, start, times, scaled):
    """(the same of the imported sampler at the times of theirs, its own times)."""
    plan = solver.plan(**options_of(found))
    alpha = float(solver.coefficients.alpha(plan.nodes[0])) if scaled else 1.0
    seen, own = [], []

    def model(x, t):
        seen.append(x.clone())
        own.append(float(torch.as_tensor(t).reshape(-1)[0]))
        return network(x, times[len(seen) - 1])

    end = solver.sample(model, start * alpha, plan=plan, **found.call)
    return [*seen, end], own


def cases():
    for case in CASES:
        for name in SCHEDULES if "ipndm" not in case else ("linear",):  # it has one schedule of its own
            steps = FAST.get((case, name))
            if steps:
                yield pytest.param(case, name, steps, id=f"{case}-{name}")
            rest = tuple(n for n in STEPS if n not in (steps or ()) and n not in REFUSED.get(case, ()))
            yield pytest.param(case, name, rest, id=f"{case}-{name}-all", marks=pytest.mark.slow)


def distances(made, kind, options, steps):
    """(float32, float64, allowed): the largest relative distance along two solves, and what float32 may make of it.

    Where sigma is in the thousands, float32 leaves less than five digits of x - (x - data): then as much is allowed as
    theirs is from the same solve in float64. Times are compared on the way, in float64 to the rounding of the network's.
    """
    found, solver = made(kind, options, steps)
    solves = []
    for dtype in (torch.float32, torch.float64):
        start, a, times = theirs(getattr(diffusers, kind)(**options), steps, dtype)
        b, own = ours(found, solver, start, times, kind in SCALED)
        if found.spec.grid.parameters["steps"] < steps:  # the last call leaves the sample where it is
            assert torch.allclose(a.pop(), a[-1], rtol=1e-12, atol=0)
        assert own == pytest.approx(times[: len(own)], rel=1e-6, abs=1e-4 if dtype == torch.float64 else 0.1)
        solves.append((start, times, a, b))
    (start, times, a32, b32), (_, _, a64, b64) = solves
    exact, _ = ours(found, solver, start.double(), times, kind in SCALED)
    return apart(a32, b32), apart(a64, b64), max(NEAR, 3 * apart(exact, [x.double() for x in a32]))


@pytest.mark.parametrize(("case", "schedule", "steps"), cases())
def test_every_state_is_theirs(case, schedule, steps, made):
    kind, options = CASES[case]
    for count in steps:
        single, double, allowed = distances(made, kind, {**options, **SCHEDULES[schedule]}, count)
        assert single < allowed, (count, single)
        assert double < max(DOUBLE, allowed * 2**-27), (count, double)


@pytest.mark.parametrize("case", ["pndm", "pndm, prk", "dpm++ 2s", "dpm++ 3s", "kdpm2", "lms"])
def test_a_coefficient_that_is_off_is_seen(case, made):
    """A millionth in one weight of one call is far beyond the tolerance."""
    kind, options = CASES[case]
    options = {**options, **SCHEDULES["scaled"]}
    found, solver = made(kind, options, 5)
    start, a, times = theirs(getattr(diffusers, kind)(**options), 5, torch.float64)
    plan = solver.plan(**options_of(found))
    rows = [list(row) for row in plan.grids[0].rows]
    weight = next(i for i, name in enumerate(plan.columns) if name[0] in "bd" and rows[2][i])
    rows[2][weight] *= 1 + 1e-6
    spoilt = replace(plan, grids=(replace(plan.grids[0], rows=tuple(map(tuple, rows))),), _cache={})
    alpha = float(solver.coefficients.alpha(plan.nodes[0])) if kind in SCALED else 1.0
    seen = []

    def model(x, t):
        seen.append(x.clone())
        return network(x, times[len(seen) - 1])

    end = solver.sample(model, start * alpha, plan=spoilt)
    assert apart(a, [*seen, end]) > 100 * DOUBLE
