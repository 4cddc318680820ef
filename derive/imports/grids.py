"""The time grid of a configuration."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

from derive.imports import distilled
from derive.imports.clock import clock, flow
from derive.imports.draft import Fields
from derive.imports.schedules import SIGMAS, WHOLE, lambdas, levels, preserving
from derive.imports.settings import Settings
from derive.imports.sigmas import dropped, edm, few, idle, in_levels, within
from derive.imports.strided import STRIDED, final_zero, strided
from runtime.grids import spaced


def grid(settings: Settings) -> Fields:
    """The spec's grid. SpecError for what no grid here has."""
    if settings.kind.startswith("EDM"):
        return edm(settings)
    if settings.kind in distilled.DISTILLED:
        return distilled.grid(settings)
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
    out = (settings.kind in STRIDED and strided(settings)) or _steps(settings)
    _fits(settings, out)
    return out


def _steps(settings: Settings) -> Fields:
    """The usual grid of every spacing."""
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
    rows = lambdas(settings) if least > float("-inf") else []
    clipped, total = sum(value < least for value in rows), settings["num_train_timesteps"]
    if not clipped:
        return {}
    if clipped == total:
        settings.refuse("lambda_min_clipped", f"at most {rows[0]:.3g}, log(alpha/sigma) of training step 0")
    if settings["timestep_spacing"] == "trailing":
        settings.refuse("lambda_min_clipped", "-Infinity with timestep_spacing trailing (it would make fewer steps)")
    return {"used": total - clipped}


def _fits(settings: Settings, out: Fields) -> None:
    """SpecError unless the training steps of the grid are those of the table and fall, by the key that they come from."""
    if out.get("rounded") is False:  # places between training steps
        return
    total = settings["num_train_timesteps"]
    said = {key: value for key, value in out.items() if key != "kind"}
    nodes = spaced(SimpleNamespace(DOMAIN=(total - 1, -1)), **said)
    if nodes[0] >= total:
        within(settings, int(nodes[0]))
    if all(a > b for a, b in itertools.pairwise(nodes)):
        return
    if "used" in out:
        left = f"{out['used']} of {total} training steps are left for {settings.steps} steps (--steps)"
        settings.refuse("lambda_min_clipped", f"less ({left})")
    few(settings)


__all__ = ["grid"]
