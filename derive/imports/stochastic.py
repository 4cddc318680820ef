"""Schedulers that add noise at every step, as reverse-time SDEs: which problem they solve, and by which method.

SDE-DPM-Solver and SDE-DPM-Solver++ are the exponential multistep methods of the reverse SDE, in noise and in data; DDPM and
Euler's ancestral sampler are its exact step of order 1. Their normals are arguments of ``sample`` (seed, noise).
"""

from __future__ import annotations

from derive.imports.asked import refuse
from derive.imports.draft import Fields
from derive.imports.settings import Settings

DDPM, ANCESTRAL, SA = "DDPMScheduler", "EulerAncestralDiscreteScheduler", "SASolverScheduler"
PUBLISHED_3M = {"moments": {2: "phi3 + 1/z"}}
"""The third-order row of SDE-DPM-Solver++ in diffusers has -1/2 for +1/2 in its second moment, and half of it."""
_DPM = {
    "DPMSolverMultistepScheduler": ("sde-dpmsolver", "sde-dpmsolver++"),
    "EDMDPMSolverMultistepScheduler": ("sde-dpmsolver++",),
}


def adds_noise(settings: Settings) -> bool:
    """Whether the class, or its algorithm, solves the reverse SDE."""
    return settings.kind in (DDPM, ANCESTRAL) or settings.get("algorithm_type") in _DPM.get(settings.kind, ())


def problem(settings: Settings) -> Fields:
    """The spec's problem, or nothing for a class that adds no noise."""
    tau = settings.asked.tau
    if settings.kind == SA:
        if tau is None:
            settings.refuse("tau_func", "null with --tau X (by itself it is 1 from training step 200 to 800, else 0)")
        return {"kind": "sde", "tau": tau}
    if tau is not None:
        refuse("--tau", f"got {tau:g}; allowed: with {SA}")
    if not adds_noise(settings):
        return {}
    large = settings.kind == DDPM and settings["variance_type"] == "fixed_large"
    return {"kind": "sde", "tau": 1, **({"variance": "large"} if large else {})}


def third(settings: Settings) -> Fields:
    """Weights of a step of order 3. SpecError where diffusers has none."""
    if settings["solver_order"] == 3 and (settings.kind, settings["algorithm_type"]) != (
        "DPMSolverMultistepScheduler",
        "sde-dpmsolver++",
    ):
        settings.refuse("solver_order", f"1, 2 with algorithm_type {settings['algorithm_type']} (the class fails at 3)")
    return PUBLISHED_3M


def one_step(settings: Settings) -> Fields:
    """Euler ancestral: the exact step of the reverse SDE from the data."""
    settings.only("prediction_type", ["epsilon", "v_prediction"], "of this class")
    return dict(_FIRST)


def ddpm(settings: Settings) -> Fields:
    """DDPM with the variance of the posterior, q(x_s | x_t, x_0), or with the larger one, beta."""
    settings.only("prediction_type", ["epsilon", "sample", "v_prediction"], "of this class")
    why = "learned ones the network returns; the logarithm of the large one is no standard deviation"
    settings.only("variance_type", ["fixed_small", "fixed_small_log", "fixed_large"], why)
    spacing = settings["timestep_spacing"]
    ends_above = spacing == "trailing" or (spacing == "leading" and settings["steps_offset"])
    if settings["variance_type"] == "fixed_large" and ends_above:
        what = "a last step from above training step 0 ends with the noise of beta on the data"
        settings.refuse("variance_type", f"fixed_small with timestep_spacing {spacing} here ({what})")
    return dict(_FIRST)


_FIRST: Fields = {
    "family": "exponential_multistep", "steps": 1, "integrand": "data", "variable": "lambda", "weights": "exact",
    "start": "ramp", "final": "lower_order",
}  # fmt: skip

__all__ = ["ANCESTRAL", "DDPM", "PUBLISHED_3M", "SA", "adds_noise", "ddpm", "one_step", "problem", "third"]
