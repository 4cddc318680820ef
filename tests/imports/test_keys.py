"""Every key that a scheduler takes: what changes its steps there changes the spec here, or is refused by name."""

import inspect

import pytest
import torch

from derive.errors import SpecError
from derive.importing import Asked, imported
from derive.imports.classes import DEFAULTS
from derive.imports.reading import Config

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 6
OTHER = {
    "num_train_timesteps": [900], "beta_start": [0.0002], "beta_end": [0.021], "trained_betas": [[0.001] * 1000],
    "beta_schedule": ["scaled_linear", "squaredcos_cap_v2"], "solver_order": [1, 3],
    "prediction_type": ["sample", "v_prediction", "flow_prediction"], "timestep_spacing": ["linspace", "leading", "trailing"],
    "steps_offset": [1], "final_sigmas_type": ["sigma_min"], "dynamic_thresholding_ratio": [0.5],
    "sample_max_value": [1.2], "clip_sample_range": [0.5], "flow_shift": [3.0], "shift": [3.0], "lambda_min_clipped": [-4.0],
    "variance_type": ["learned_range", "fixed_small_log", "fixed_large"],
    "time_shift_type": ["linear"], "sigma_data": [0.7], "sigma_min": [0.1],
    "sigma_max": [12.0], "rho": [5.0], "sigma_schedule": ["exponential"], "interpolation_type": ["log_linear"],
    "timestep_type": ["continuous"], "shift_terminal": [0.2], "base_shift": [0.6], "max_shift": [1.3],
    "base_image_seq_len": [300], "max_image_seq_len": [5000], "disable_corrector": [[1]], "solver_p": [],
    "original_inference_steps": [100], "timestep_scaling": [0.01],
    "algorithm_type": ["dpmsolver", "deis", "sde-dpmsolver++", "sde-dpmsolver", "noise_prediction"],
    "predictor_order": [1, 3], "corrector_order": [3], "tau_func": [], "solver_type": ["heun", "bh1", "logrho"],
}  # fmt: skip
"""Values of keys that are no flags."""
CONTEXTS = {
    "": {},
    "leading": {"timestep_spacing": "leading", "clip_sample": False},
    "flow": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    "karras": {"use_karras_sigmas": True},
    "dynamic": {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "use_dynamic_shifting": True},
    "threshold": {"thresholding": True},
    "clip": {"clip_sample": True},
    "end": {"final_sigmas_type": "sigma_min"},
    "v": {"prediction_type": "v_prediction", "clip_sample": False},
}
FAST = ("", "dynamic")
LONG = ("KDPM2DiscreteScheduler",)
TOKENS, TAU = 1000, 0.7
NO_PART = {
    "variance_type": "says that the network returns a variance beside the prediction, which a wrapper takes off",
    "tau_func": "is a function, of which there is none in a file",
    "solver_p": "is a scheduler, of which there is none in a file",
}
"""Keys that do not change the steps of a class by themselves."""


def values(kind, key):
    default = DEFAULTS[kind][key]
    return [v for v in OTHER[key] if v != default] if key in OTHER else [not default]


def mu_of(options):
    """``calculate_shift`` of the pipelines of diffusers."""
    low, high = options["base_image_seq_len"], options["max_image_seq_len"]
    slope = (options["max_shift"] - options["base_shift"]) / (high - low)
    return TOKENS * slope + options["base_shift"] - slope * low


def theirs(kind, options):
    """The numbers that a network sees and the sample at the end; None where diffusers itself fails."""
    whole = {**DEFAULTS[kind], **options}
    tau = {"tau_func": lambda t: TAU} if kind == "SASolverScheduler" else {}
    try:
        scheduler = getattr(diffusers, kind)(**options, **tau)
        dynamic = whole.get("use_dynamic_shifting")
        scheduler.set_timesteps(STEPS, **({"mu": mu_of(whole) if "base_shift" in whole else 0.7} if dynamic else {}))
        torch.manual_seed(0)
        x, seen = 1.5 * torch.randn(1, 2, 3, 3), []
        for t in scheduler.timesteps:
            read = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(torch.tanh(read + t / 500), t, x, return_dict=False)[0]
            seen += [t.double().reshape(1), x.double().reshape(-1)]
    except (ValueError, NotImplementedError, AssertionError, IndexError, TypeError, RuntimeError, ZeroDivisionError):
        return None
    return torch.cat(seen)


def ours(kind, options):
    """What the spec says and what goes to ``sample``, or the refused keys."""
    whole = {**DEFAULTS[kind], **options}
    dynamic = whole.get("use_dynamic_shifting") and (kind.startswith("FlowMatch") or whole.get("use_flow_sigmas"))
    asked = Asked(tau=TAU if kind == "SASolverScheduler" else None)
    asked = asked if not dynamic else Asked(tokens=TOKENS) if "base_shift" in whole else Asked(mu=0.7)
    try:
        found = imported(Config("c.json", {"_class_name": kind, **options}), STEPS, also=asked)
    except SpecError as error:
        return {fault.key for fault in error.faults}
    return found.spec.canonical(), str(found.call)


def changed(kind, options, key, value):
    """Whether diffusers takes other steps with the key."""
    before, after = theirs(kind, options), theirs(kind, {**options, key: value})
    if before is None or after is None:
        return before is not after
    return before.shape != after.shape or not torch.equal(before, after)


@pytest.mark.parametrize("context", [pytest.param(c, marks=() if c in FAST else pytest.mark.slow) for c in CONTEXTS])
@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow if k in LONG else ()) for k in DEFAULTS])
def test_no_key_is_ignored(kind, context):
    options = {key: value for key, value in CONTEXTS[context].items() if key in DEFAULTS[kind]}
    if context and not options:
        return
    start, silent = ours(kind, options), []
    for key in DEFAULTS[kind]:
        for value in values(kind, key):
            if key in NO_PART or (key in options and value == options[key]):
                continue
            if not changed(kind, options, key, value):
                continue
            now = ours(kind, {**options, key: value})
            if isinstance(now, tuple) and now == start:
                silent.append((key, value))
    assert not silent


@pytest.mark.parametrize("kind", DEFAULTS)
def test_every_key_of_the_class_is_known(kind):
    keys = set(inspect.signature(getattr(diffusers, kind).__init__).parameters) - {"self"}
    assert keys == set(DEFAULTS[kind])
    for key in keys:
        assert key in NO_PART or values(kind, key)
