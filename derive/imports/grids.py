"""The time grid of a configuration."""

from __future__ import annotations

from typing import Any

from derive.imports.draft import Fields
from derive.imports.schedules import SIGMAS, WHOLE, flow, lambdas, levels
from derive.imports.settings import Settings
from derive.imports.strided import STRIDED, final_zero, strided


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
    for key, allowed, why in _FIXED:
        settings.only(key, allowed, why)
    if chosen := levels(settings):
        return _levels(settings, chosen)
    if settings.kind in STRIDED and (moving := strided(settings)):
        return moving
    inner, spacing = settings.kind in WHOLE, settings["timestep_spacing"]
    out: Fields = {"kind": "spaced", "steps": settings.steps, "spacing": spacing, "points": "inner" if inner else "all"}
    if not inner and spacing == "linspace" and settings.kind in SIGMAS:
        out["rounded"] = False
    if spacing == "leading" and settings["steps_offset"]:
        out["steps_offset"] = settings["steps_offset"]
    out |= _used(settings)
    if not final_zero(settings):
        out["final_zero"] = False
    return out


_FIXED = (
    ("interpolation_type", ["linear"], "log_linear makes one level more than there are steps"),
    ("timestep_type", ["discrete"], "of a table of training steps"),
    ("sigma_min", [None], "the table's own"),
    ("sigma_max", [None], "the table's own"),
)


def _levels(settings: Settings, chosen: str) -> Fields:
    """A grid in sigma/alpha over the whole table."""
    if not final_zero(settings):
        settings.refuse(
            chosen, "false where the grid ends at sigma_min (it would be taken twice: a last step of no length)"
        )
    if settings.kind in WHOLE and chosen in ("use_exponential_sigmas", "use_beta_sigmas"):
        why = "its timesteps are cut off to whole numbers after a rounding in float32, so the first one is chance"
        settings.refuse(chosen, f"false; {why}; use_karras_sigmas and use_lu_lambdas are followed")
    ends = _ends(settings, chosen)
    if chosen == "use_beta_sigmas":
        return {"kind": "spread", "steps": settings.steps, **ends}
    kind = "karras" if chosen == "use_karras_sigmas" else "exponential"
    return {"kind": kind, "steps": settings.steps, "variable": "rho", **({"t_end": 0} | ends)}


def _ends(settings: Settings, chosen: str) -> Fields:
    """First and last finite time, where they are those of the steps and not of the table."""
    if settings.kind not in SIGMAS:
        return {}
    spacing, steps, total = settings["timestep_spacing"], settings.steps, settings["num_train_timesteps"]
    if steps == 1:
        settings.refuse(chosen, f"false for one step (--steps), of which {settings.kind} makes a range of no width")
    if spacing == "linspace":
        return {}
    settings.notes.append(
        f"the range of {chosen} depends on the number of steps; this spec is for {steps}: import again for others"
    )
    if spacing == "trailing":
        return {"t_end": round(total - (steps - 1) * (total / steps)) - 1}
    offset = settings["steps_offset"]
    return {"t_start": (steps - 1) * (total // steps) + offset, "t_end": offset}


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
    for key in ("sigma_min", "sigma_max"):
        if settings[key] is None:
            settings.refuse(key, "a number above 0")
    kind: Any = settings["sigma_schedule"]
    if kind == "exponential" and settings.steps == 1:
        settings.refuse("sigma_schedule", "karras for one step (--steps): exponential would begin at sigma_min")
    out: Fields = {"kind": kind, "steps": settings.steps}
    if kind == "karras":
        out["exponent"] = settings["rho"]
    return {**out, "t_end": settings["sigma_min"]}


__all__ = ["grid"]
