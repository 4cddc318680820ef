"""The clock of a flow: its shift, which the configuration has or the size of a picture gives, and the grid that it warps."""

from __future__ import annotations

import math

from derive.imports.asked import LEAST_SHIFT, MOST_SHIFT, refuse
from derive.imports.draft import Fields
from derive.imports.settings import Settings

_SHARED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_PASSED = ("FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler")
"""Classes to which a pipeline may pass sigmas."""
_EXPONENTIAL = ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler")
"""Classes whose shift is e^mu."""


def flow(settings: Settings) -> bool:
    """Whether the samples lie on alpha = 1 - t, sigma = t."""
    return settings.kind.startswith("FlowMatch") or bool(settings.get("use_flow_sigmas"))


def shift(settings: Settings) -> float:
    """s of t = s u / (1 + (s - 1) u): the configuration's own, or e^mu (exponential), mu (linear) of a picture."""
    if not settings.get("use_dynamic_shifting"):
        return float(settings.get("flow_shift", settings.get("shift", 1.0)))
    linear = settings["time_shift_type"] == "linear"
    if linear and settings.kind in _EXPONENTIAL:
        settings.refuse("time_shift_type", "exponential (the class takes no other)")
    mu = _mu(settings)
    value = mu if linear else math.exp(min(mu, MOST_SHIFT))
    if not LEAST_SHIFT <= value <= MOST_SHIFT:
        refuse("--mu", f"gives a shift of {value:g}; allowed: a shift from {LEAST_SHIFT:g} to {MOST_SHIFT:g}")
    return value


def _mu(settings: Settings) -> float:
    """diffusers' ``calculate_shift``: a straight line through (base_image_seq_len, base_shift), (max_.., max_shift)."""
    asked, own = settings.asked, "base_shift" in settings.values
    if asked.mu is not None:
        return asked.mu
    if asked.tokens is None or not own:
        how = "--mu X" + (", --image-size WxH or --sequence-length L" if own else "")
        settings.refuse("use_dynamic_shifting", f"false; true with {how} (the shift is that of a picture)")
    first, last = settings["base_image_seq_len"], settings["max_image_seq_len"]
    low, high = settings["base_shift"], settings["max_shift"]
    if first == last:
        settings.refuse("max_image_seq_len", f"another number than base_image_seq_len, {first}")
    slope = (high - low) / (last - first)
    return float(asked.tokens * slope + (low - slope * first))


def asked_for_nothing(settings: Settings) -> None:
    """SpecError for an option of the command that this configuration does not read."""
    asked, dynamic = settings.asked, flow(settings) and settings.get("use_dynamic_shifting")
    option, size = asked.said
    for name, given, text in (("--mu", asked.mu, ""), (option, asked.tokens, size)):
        if given is not None and not dynamic:
            refuse(name, f"got {text or f'{given:g}'}; allowed with use_dynamic_shifting of a flow only")
    if asked.sigmas == "pipeline" and not (flow(settings) and settings.kind in _PASSED):
        refuse("--sigmas", f"got pipeline; allowed: scheduler; pipeline for flows of {', '.join(_PASSED)}")


def clock(settings: Settings) -> Fields:
    """The grid of a flow. SpecError for what no grid here has."""
    settings.only("invert_sigmas", [False], "the network of this flow reads its clock backwards")
    settings.only("stochastic_sampling", [False], "it adds noise at every step")
    if settings.kind.startswith("FlowMatch"):
        return _matched(settings)
    if settings.kind == "UniPCMultistepScheduler":
        return _corrected(settings)
    for key in (*_SHARED, "use_lu_lambdas"):
        settings.only(key, [False], "beside use_flow_sigmas: the class takes levels above 1 for those of a flow")
    least = 1 / settings["num_train_timesteps"]
    out: Fields = {"kind": "clocked", "steps": settings.steps, "points": "inner", "u_start": 1 - least}
    if settings.kind == "DEISMultistepScheduler":  # its last level is taken twice
        return _ending(settings, 1 - least)
    settings.only("final_sigmas_type", ["zero"], "of flows: sigma_min is that of the betas")
    return out


def _ending(settings: Settings, first: float) -> Fields:
    """From the clock's reading ``first`` to its share 1/N, where the grid ends."""
    if settings.steps == 1:
        settings.refuse("use_flow_sigmas", "false for one step (--steps), which would have no length")
    steps, s = settings.steps, shift(settings)
    settings.notes.append(f"the last of its {steps} steps has no length: this spec has {steps - 1}, one call less")
    return {
        "kind": "uniform", "steps": steps - 1, "t_start": _warped(first, s), "t_end": _warped(first / steps, s),
    }  # fmt: skip


def _readings(settings: Settings, least: float) -> Fields:
    """The clock's readings. least: the last one, where the class makes them."""
    if settings.asked.sigmas == "pipeline":
        return {"points": "inner"}
    return {"u_end": least}


def _matched(settings: Settings) -> Fields:
    """FlowMatchEuler, FlowMatchHeun."""
    s, least = shift(settings), 1 / settings["num_train_timesteps"]
    if not settings.get("use_dynamic_shifting"):
        least = _warped(least, s)  # the class shifts the last reading when it is made, and again with the others
    out = {"kind": "clocked", "steps": settings.steps, **_readings(settings, least), **_stretched(settings)}
    chosen = [key for key in _SHARED if settings.get(key)]
    if not chosen:
        return out
    if len(chosen) > 1:
        settings.refuse(chosen[1], f"false beside {chosen[0]}")
    last = _warped(1 / settings.steps if settings.asked.sigmas == "pipeline" else least, s)
    last = last if out.get("t_last") is None else out["t_last"]
    kind = {"use_karras_sigmas": "karras", "use_exponential_sigmas": "exponential", "use_beta_sigmas": "spread"}
    end = last if settings.steps > 1 else least
    return {"kind": kind[chosen[0]], "steps": settings.steps, "variable": "sigma", "t_end": end}


def _warped(u: float, s: float) -> float:
    return s * u / (1 + (s - 1) * u)


def _stretched(settings: Settings) -> Fields:
    """``shift_terminal``: the last level, with which the others are stretched."""
    last = settings.get("shift_terminal")
    if not last:
        return {}
    if last == 1 or settings.steps == 1:
        settings.refuse("shift_terminal", "null; below 1, for 2 or more steps (--steps)")
    return {"t_last": last}


def _corrected(settings: Settings) -> Fields:
    """UniPC; its first level is kept from 1 by 1e-6."""
    settings.only("final_sigmas_type", ["zero"], "of flows: the last call would only correct")
    for key in ("use_exponential_sigmas", "use_beta_sigmas"):
        settings.only(key, [False], "beside use_flow_sigmas: the class takes levels above 1 for those of a flow")
    settings.only("use_karras_sigmas", [False], "beside use_flow_sigmas: its range is that of the betas")
    readings: Fields = {"points": "inner"}
    if settings.asked.sigmas == "scheduler":
        readings["u_end"] = 1 / settings["num_train_timesteps"]
    return {"kind": "clocked", "steps": settings.steps, **readings, "t_start": 0.999999, **_stretched(settings)}


__all__ = ["asked_for_nothing", "clock", "flow", "shift"]
