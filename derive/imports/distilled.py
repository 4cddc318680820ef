"""LCM and TCD: schedulers of distilled networks, with their own training steps and with noise after every step but the last.

Neither reads ``set_alpha_to_one``, ``steps_offset`` and ``timestep_spacing``; TCD clips nothing whatever it is told.
"""

from __future__ import annotations

from fractions import Fraction

from derive.imports.asked import refuse
from derive.imports.draft import Fields
from derive.imports.settings import Settings

LCM, TCD = "LCMScheduler", "TCDScheduler"
DISTILLED = (LCM, TCD)
GAMMA = 0.3
"""``eta`` of TCD's step, if the caller says nothing."""


def problem(settings: Settings) -> Fields:
    """The spec's problem. SpecError: gamma of a class that has none."""
    gamma = settings.asked.gamma
    if settings.kind == TCD:
        if gamma is None:
            settings.notes.append(
                f"gamma is {GAMMA}, what step() takes for eta; --gamma is what a pipeline passes as eta"
            )
        return {"kind": "consistency", "gamma": Fraction(repr(GAMMA if gamma is None else gamma)), "segment": "index"}
    if gamma is not None:
        refuse("--gamma", f"got {gamma}; allowed: with TCDScheduler")
    return {"kind": "consistency" if settings.kind == LCM else "diffusion"}


def prediction(settings: Settings, output: str) -> Fields:
    """What the network says: of LCM about its consistency function."""
    if settings.kind == TCD:
        return {"kind": output}
    settings.only("thresholding", [False], "LCM clips the data before c_skip and c_out, which is no projection here")
    settings.only("clip_sample", [False], "LCM clips the data before c_skip and c_out, which is no projection here")
    return {"kind": "consistency", "output": output, "timestep_scaling": settings["timestep_scaling"]}


def method(settings: Settings) -> Fields:
    """One value, x0, in lambda; what the noise makes of it is the problem's."""
    return {"family": "exponential_multistep", "steps": 1, "integrand": "data", "variable": "lambda", "final": "keep"}


def grid(settings: Settings) -> Fields:
    """Every so many of the training steps that the network was distilled on, then the data, of TCD training step 0."""
    origin, steps, total = (settings["original_inference_steps"], settings.steps, settings["num_train_timesteps"])
    if not steps <= origin <= total:
        settings.refuse("original_inference_steps", f"from {steps} (--steps) to {total} (num_train_timesteps)")
    out: Fields = {"kind": "origin", "steps": steps, "origin_steps": origin}
    if settings.kind == LCM:
        return out
    if steps == origin and total // origin == 1:
        settings.refuse(
            "original_inference_steps", "more than --steps (the last step would go from training step 0 to 0)"
        )
    return {**out, "final_zero": False}


__all__ = ["DISTILLED", "GAMMA", "LCM", "TCD", "grid", "method", "prediction", "problem"]
