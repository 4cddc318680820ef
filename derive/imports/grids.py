"""The time grid of a configuration."""

from __future__ import annotations

from typing import Any

from derive.imports.draft import Fields
from derive.imports.schedules import flow, lambdas
from derive.imports.settings import Settings

INNER = ("DPMSolverMultistepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler")
"""Classes whose linspace and leading leave the lowest of N + 1 training steps out."""


def grid(settings: Settings) -> Fields:
    """The spec's grid. SpecError for what no grid here has."""
    if settings.kind.startswith("EDM"):
        return _edm(settings)
    if flow(settings):
        return _flow(settings)
    settings.only("use_dynamic_shifting", [False], "a shift is of flows")
    return _spaced(settings)


def _spaced(settings: Settings) -> Fields:
    """Whole training steps."""
    for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"):
        settings.only(key, [False], "not imported yet")
    inner, spacing = settings.kind in INNER, settings["timestep_spacing"]
    out: Fields = {"kind": "spaced", "steps": settings.steps, "spacing": spacing, "points": "inner" if inner else "all"}
    if spacing == "leading" and settings["steps_offset"]:
        out["steps_offset"] = settings["steps_offset"]
    out |= _used(settings)
    if not final_zero(settings):
        out["final_zero"] = False
    return out


def final_zero(settings: Settings) -> bool:
    """Whether the grid ends at sigma = 0; else at training step 0."""
    if settings.kind == "DEISMultistepScheduler":
        return False
    if "set_alpha_to_one" in settings.values:
        return bool(settings["set_alpha_to_one"])
    return bool(settings.get("final_sigmas_type", "zero") == "zero")


def _used(settings: Settings) -> Fields:
    """Training steps that a clipped lambda leaves."""
    least = settings.get("lambda_min_clipped", float("-inf"))
    clipped = sum(value < least for value in lambdas(settings)) if least > float("-inf") else 0
    if not clipped:
        return {}
    if settings["timestep_spacing"] == "trailing":
        settings.refuse("lambda_min_clipped", "-Infinity with timestep_spacing trailing (it would make fewer steps)")
    return {"used": settings["num_train_timesteps"] - clipped}


def _flow(settings: Settings) -> Fields:
    settings.only(
        "use_dynamic_shifting", [False], "the shift would depend on the size of the picture: set shift or flow_shift"
    )
    for key in (
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "invert_sigmas",
        "stochastic_sampling",
    ):
        settings.only(key, [False], "of flows")
    settings.only("shift_terminal", [None], "the stretched clock of a flow has no place in a spec")
    settings.only("final_sigmas_type", ["zero"], "of flows")
    out: Fields = {"kind": "clocked", "steps": settings.steps}
    least = 1 / settings["num_train_timesteps"]
    if settings.kind.startswith("FlowMatch"):
        shift = settings["shift"]
        return {**out, "u_end": shift * least / (1 + (shift - 1) * least)}
    if settings.kind == "UniPCMultistepScheduler":
        return {**out, "points": "inner", "u_end": least, "t_start": 0.999999}
    if settings.kind == "DEISMultistepScheduler":
        settings.refuse("use_flow_sigmas", "false (this class never reaches sigma = 0 of a flow)")
    return {**out, "points": "inner", "u_start": 1 - least}


def _edm(settings: Settings) -> Fields:
    settings.only("final_sigmas_type", ["zero"], "sigma_min would be taken twice: a last step of no length")
    kind: Any = settings["sigma_schedule"]
    out: Fields = {"kind": kind, "steps": settings.steps}
    if kind == "karras":
        out["exponent"] = settings["rho"]
    return {**out, "t_end": settings["sigma_min"]}


__all__ = ["final_zero", "grid"]
