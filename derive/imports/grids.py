"""The time grid of a configuration."""

from __future__ import annotations

from derive.imports.clock import clock, flow
from derive.imports.draft import Fields
from derive.imports.schedules import SIGMAS, WHOLE, lambdas, levels, preserving
from derive.imports.settings import Settings
from derive.imports.sigmas import dropped, edm, idle, in_levels
from derive.imports.strided import STRIDED, final_zero, strided


def grid(settings: Settings) -> Fields:
    """The spec's grid. SpecError for what no grid here has."""
    if settings.kind.startswith("EDM"):
        return edm(settings)
    if settings.kind == "IPNDMScheduler":
        return {"kind": "uniform", "steps": settings.steps, "variable": "sine_root"}
    if flow(settings):
        return clock(settings)
    settings.only("use_dynamic_shifting", [False], "a shift is of flows")
    settings.only("shift_terminal", [None], "of flows")
    return _spaced(settings)


def _spaced(settings: Settings) -> Fields:
    """Whole training steps."""
    settings.only("interpolation_type", ["linear"], "log_linear makes one level more than there are steps")
    if chosen := levels(settings):
        if not preserving(settings):
            settings.only("sigma_min", [None], "the table's own, but for continuous times of v_prediction with both")
            settings.only("sigma_max", [None], "the table's own, but for continuous times of v_prediction with both")
        return in_levels(settings, chosen)
    if settings.kind in STRIDED and (moving := strided(settings)):
        return moving
    idles, spacing = idle(settings), settings["timestep_spacing"]
    inner, steps = settings.kind in WHOLE or idles, dropped(settings, "final_sigmas_type") if idles else settings.steps
    out: Fields = {"kind": "spaced", "steps": steps, "spacing": spacing, "points": "inner" if inner else "all"}
    if spacing == "linspace" and settings.kind in SIGMAS:
        out["rounded"] = False
    if spacing == "leading" and settings["steps_offset"]:
        out["steps_offset"] = settings["steps_offset"]
    out |= _used(settings)
    if not final_zero(settings):
        out["final_zero"] = False
    return out


def _used(settings: Settings) -> Fields:
    """Training steps that a clipped lambda leaves."""
    least = settings.get("lambda_min_clipped", float("-inf"))
    clipped = sum(value < least for value in lambdas(settings)) if least > float("-inf") else 0
    if not clipped:
        return {}
    if settings["timestep_spacing"] == "trailing":
        settings.refuse("lambda_min_clipped", "-Infinity with timestep_spacing trailing (it would make fewer steps)")
    return {"used": settings["num_train_timesteps"] - clipped}


__all__ = ["grid"]
