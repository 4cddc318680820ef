"""What the schedulers of diffusers are configured with: every key with its default, by class (diffusers 0.42.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_BETAS = {
    "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "trained_betas": None,
}  # fmt: skip
_THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
_LEVELS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_FLOW = {"use_flow_sigmas": False, "flow_shift": 1.0, "use_dynamic_shifting": False, "time_shift_type": "exponential"}
_SPACING = {"timestep_spacing": "linspace", "steps_offset": 0}
_NOISE = {"prediction_type": "epsilon"}
_DPM = {
    **_BETAS, **_NOISE, **_THRESHOLD, **_LEVELS, **_FLOW, "solver_order": 2, "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint", "lambda_min_clipped": -math.inf, "variance_type": None, "final_sigmas_type": "zero",
}  # fmt: skip
_WIDER = {"beta_start": 0.00085, "beta_end": 0.012}
_EDM = {
    "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "sigma_schedule": "karras", "num_train_timesteps": 1000,
    "prediction_type": "epsilon", "rho": 7.0, "final_sigmas_type": "zero",
}  # fmt: skip
_DISTILLED = {
    **_BETAS, **_WIDER, **_NOISE, **_THRESHOLD, "beta_schedule": "scaled_linear", "original_inference_steps": 50,
    "clip_sample": False, "clip_sample_range": 1.0, "set_alpha_to_one": True, "steps_offset": 0,
    "timestep_spacing": "leading", "timestep_scaling": 10.0, "rescale_betas_zero_snr": False,
}  # fmt: skip
_MULTISTEP = {**_SPACING, "lower_order_final": True}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "DPMSolverMultistepScheduler": {
        **_DPM, **_MULTISTEP, "euler_at_final": False, "use_lu_lambdas": False, "rescale_betas_zero_snr": False,
    },
    "DPMSolverSinglestepScheduler": {**_DPM, "lower_order_final": False},
    "DEISMultistepScheduler": {
        **_BETAS, **_NOISE, **_THRESHOLD, **_LEVELS, **_FLOW, **_MULTISTEP, "solver_order": 2, "algorithm_type": "deis",
        "solver_type": "logrho",
    },
    "SASolverScheduler": {
        **_BETAS, **_NOISE, **_THRESHOLD, **_LEVELS, **_SPACING, "predictor_order": 2, "corrector_order": 2, "tau_func": None,
        "algorithm_type": "data_prediction", "lower_order_final": True, "use_flow_sigmas": False, "flow_shift": 1.0,
        "lambda_min_clipped": -math.inf, "variance_type": None,
    },
    "UniPCMultistepScheduler": {
        **_BETAS, **_NOISE, **_THRESHOLD, **_LEVELS, **_FLOW, **_MULTISTEP, "solver_order": 2, "predict_x0": True,
        "solver_type": "bh2", "disable_corrector": [], "solver_p": None, "final_sigmas_type": "zero",
        "rescale_betas_zero_snr": False, "sigma_min": None, "sigma_max": None, "shift_terminal": None,
    },
    "DDIMScheduler": {
        **_BETAS, **_NOISE, **_THRESHOLD, "clip_sample": True, "set_alpha_to_one": True, "steps_offset": 0,
        "clip_sample_range": 1.0, "timestep_spacing": "leading", "rescale_betas_zero_snr": False,
    },
    "EulerDiscreteScheduler": {
        **_BETAS, **_NOISE, **_LEVELS, **_SPACING, "interpolation_type": "linear", "sigma_min": None, "sigma_max": None,
        "timestep_type": "discrete", "rescale_betas_zero_snr": False, "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": {**_BETAS, **_NOISE, **_SPACING, "rescale_betas_zero_snr": False},
    "DDPMScheduler": {
        **_BETAS, **_NOISE, **_THRESHOLD, "variance_type": "fixed_small", "clip_sample": True, "clip_sample_range": 1.0,
        "timestep_spacing": "leading", "steps_offset": 0, "rescale_betas_zero_snr": False,
    },
    "HeunDiscreteScheduler": {
        **_BETAS, **_WIDER, **_NOISE, **_LEVELS, **_SPACING, "clip_sample": False, "clip_sample_range": 1.0,
    },
    "KDPM2DiscreteScheduler": {**_BETAS, **_WIDER, **_LEVELS, **_NOISE, **_SPACING},
    "LMSDiscreteScheduler": {**_BETAS, **_LEVELS, **_NOISE, **_SPACING},
    "IPNDMScheduler": {"num_train_timesteps": 1000, "trained_betas": None},
    "PNDMScheduler": {
        **_BETAS, **_NOISE, "skip_prk_steps": False, "set_alpha_to_one": False, "timestep_spacing": "leading",
        "steps_offset": 0,
    },
    "EDMEulerScheduler": _EDM,
    "EDMDPMSolverMultistepScheduler": {
        **_EDM, **_THRESHOLD, "solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint",
        "lower_order_final": True, "euler_at_final": False,
    },
    "FlowMatchEulerDiscreteScheduler": {
        **_LEVELS, "num_train_timesteps": 1000, "shift": 1.0, "use_dynamic_shifting": False, "base_shift": 0.5,
        "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096, "invert_sigmas": False,
        "shift_terminal": None, "time_shift_type": "exponential", "stochastic_sampling": False,
    },
    "LCMScheduler": _DISTILLED,
    "TCDScheduler": _DISTILLED,
    "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": 1000, "shift": 1.0},
}  # fmt: skip
"""The classes that are imported. A key that only another of these has is not read by the class, as in diffusers."""

IMPLIED: Mapping[str, Mapping[str, Any]] = {
    "DPMSolverSinglestepScheduler": {"timestep_spacing": "linspace", "steps_offset": 0},
}
"""What a class does that has no key for it."""

_INVERSE = "it runs from data to noise; import the sampler itself and plan with direction='inversion'"
REFUSED: Mapping[str, str] = {
    "KDPM2AncestralDiscreteScheduler": (
        "its stage lies on the way to a lower level, from which the noise brings it back: no step of the SDE; import "
        "EulerAncestralDiscreteScheduler, or take seeds_2"
    ),
    "DPMSolverSDEScheduler": (
        "the noises of its stage and of its step have not the covariance of one path; take dpmpp_sde, whose have"
    ),
    "CosineDPMSolverMultistepScheduler": "its levels are those of a cosine in log sigma; take sde_dpmpp_2m_midpoint",
    "DDIMInverseScheduler": _INVERSE,
    "DPMSolverMultistepInverseScheduler": _INVERSE,
}
"""Classes of diffusers that are known and not imported, with the reason."""

FOREIGN = frozenset({
    "clamp", "use_noise_sampler", "noise_sampler_seed", "s_noise", "upscale_mode", "stages",
    "stage_range", "gamma",
})  # fmt: skip
"""Keys that only classes have that are not imported; the configuration of another class may carry them along."""


def known_keys() -> frozenset[str]:
    """Every key that some scheduler class has."""
    return FOREIGN.union(*DEFAULTS.values())


__all__ = ["DEFAULTS", "FOREIGN", "IMPLIED", "REFUSED", "known_keys"]
