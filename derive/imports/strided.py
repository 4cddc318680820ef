"""Grids of classes that go down by T // N training steps whatever the next timestep is (DDIM, PNDM), and how a grid ends."""

from __future__ import annotations

from derive.imports.draft import Fields
from derive.imports.settings import Settings

STRIDED = ("DDIMScheduler", "PNDMScheduler")


def strided(settings: Settings) -> Fields:
    """The grid without a last step of no length; empty: the usual one. SpecError where the next timestep is not T // N down."""
    spacing, steps, total = settings["timestep_spacing"], settings.steps, settings["num_train_timesteps"]
    if spacing == "linspace" and steps > 1:
        settings.refuse("timestep_spacing", "leading, trailing (the class steps past linspace's own points)")
    if spacing == "trailing" and total % steps:
        settings.refuse(
            "timestep_spacing", f"leading; trailing where --steps divides {total} (the class steps past the points)"
        )
    if final_zero(settings) or spacing == "trailing" or (spacing == "leading" and settings["steps_offset"]):
        return {}
    if moving(settings) == steps or steps == 1:
        settings.refuse("set_alpha_to_one", "true, or steps_offset from 1 (the last step would have no length)")
    settings.notes.append(f"the last of its {steps} steps has no length: this spec has {steps - 1}, one call less")
    return {"kind": "spaced", "steps": steps - 1, "spacing": spacing, "points": "inner", "final_zero": False}


def moving(settings: Settings) -> int:
    """Steps that have a length: the last call of PNDM, at training step 0, leaves the sample where it is by default."""
    last = settings.kind == "PNDMScheduler" and settings["timestep_spacing"] == "leading"
    return settings.steps - (last and not settings["steps_offset"] and not final_zero(settings))


def final_zero(settings: Settings) -> bool:
    """Whether the grid ends at sigma = 0; else at training step 0."""
    if settings.kind in ("DEISMultistepScheduler", "SASolverScheduler"):
        return False
    if "set_alpha_to_one" in settings.values:
        return bool(settings["set_alpha_to_one"])
    return bool(settings.get("final_sigmas_type", "zero") == "zero")


__all__ = ["STRIDED", "final_zero", "moving", "strided"]
