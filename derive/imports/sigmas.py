"""Grids in sigma/alpha: those of ``use_karras_sigmas`` and the like over a table of training steps, and EDM's."""

from __future__ import annotations

from typing import Any, NoReturn

from derive.imports.clock import flow
from derive.imports.draft import Fields
from derive.imports.schedules import SIGMAS, WHOLE, levels, preserving
from derive.imports.settings import Settings
from derive.imports.strided import final_zero
from derive.imports.whole import differing

KINDS = {
    "use_karras_sigmas": "karras", "use_exponential_sigmas": "exponential", "use_lu_lambdas": "exponential",
    "use_beta_sigmas": "spread",
}  # fmt: skip


def idle(settings: Settings) -> bool:
    """Whether the last level is taken twice, so that the last step changes nothing and its call is not needed."""
    if settings.kind.startswith("EDM"):
        return bool(settings["final_sigmas_type"] == "sigma_min")
    if flow(settings):
        return settings.kind == "DEISMultistepScheduler"
    if final_zero(settings) or settings.kind == "DDIMScheduler":
        return False
    if levels(settings):
        return settings.kind not in SIGMAS or _ends(settings).get("t_end", 0) == 0
    return settings.kind in SIGMAS and _ends(settings).get("t_end", 0) == 0


def dropped(settings: Settings, key: str) -> int:
    """The number of steps that are left of a grid whose last step is idle. key: to which it is due."""
    if settings.kind == "UniPCMultistepScheduler":
        settings.refuse(
            key, "false with final_sigmas_type sigma_min: the last step has no length, but its call corrects"
        )
    if settings.steps == 1:
        settings.refuse(key, "another for one step (--steps), which would have no length")
    settings.notes.append(
        f"the last of its {settings.steps} steps has no length: this spec has {settings.steps - 1}, one call less"
    )
    return settings.steps - 1


def in_levels(settings: Settings, chosen: str) -> Fields:
    """The grid of a key of :data:`KINDS`."""
    out: Fields = {"kind": KINDS[chosen], "steps": settings.steps}
    if preserving(settings):
        _ranged(settings)
        settings.only("final_sigmas_type", ["zero"], "with sigma_min and sigma_max: the other end is that of the table")
        return {**out, "variable": "rho", "t_end": settings["sigma_min"]}
    if chosen != "use_beta_sigmas":
        out["variable"] = "rho"
    out["t_end"] = 0
    if settings.kind in SIGMAS:
        if settings["timestep_spacing"] != "linspace" or settings.steps == 1:
            settings.notes.append(
                f"the range of {chosen} depends on the number of steps; this spec is for {settings.steps}: "
                "import again for others"
            )
        out |= _ends(settings)
    if settings.kind in WHOLE:
        out |= _first(settings, chosen)
    if final_zero(settings):
        return out
    if not idle(settings):
        settings.refuse("final_sigmas_type", f"zero; sigma_min with timestep_spacing linspace beside {chosen}")
    return {**out, "steps": dropped(settings, chosen), "final_zero": False}


def _first(settings: Settings, chosen: str) -> Fields:
    """Where single precision cuts off a whole training step for the first place: a grid that begins just below it."""
    wrong, total = differing(settings, chosen), settings["num_train_timesteps"]
    if any(wrong):
        settings.refuse(
            chosen,
            f"false for {settings.steps} steps; another --steps (what the network is fed at step {wrong[-1]} hangs on a "
            "rounding of single precision)",
        )
    if not wrong:
        return {}
    settings.notes.append(
        f"the first place, {total - 1}, comes out below in the single precision of diffusers: the network is fed {total - 2}"
    )
    return {"t_start": total - 1 - _BELOW}


_BELOW = 1e-9


def _ends(settings: Settings) -> Fields:
    """First and last finite training step of the spacing, of which Euler, Heun and LMS take the range."""
    spacing, steps, total = settings["timestep_spacing"], settings.steps, settings["num_train_timesteps"]
    if spacing != "linspace" and steps > total:
        few(settings)
    if spacing == "trailing":
        return {"t_end": round(total - (steps - 1) * (total / steps)) - 1}
    if spacing == "linspace":
        return {"t_end": 0} if steps > 1 else {"t_start": 0, "t_end": 0}
    offset = settings["steps_offset"]
    first = (steps - 1) * (total // steps) + offset
    if first >= total:
        within(settings, first)
    return {"t_start": first, "t_end": offset}


def within(settings: Settings, first: int) -> NoReturn:
    """SpecError for a first training step that the table has not, which an offset makes."""
    offset, total = settings["steps_offset"], settings["num_train_timesteps"]
    most = total - 1 - (first - offset)
    settings.refuse("steps_offset", f"0 to {most} for {settings.steps} steps (--steps) of {total} training steps")


def few(settings: Settings) -> NoReturn:
    """SpecError: there are fewer training steps than steps."""
    settings.refuse(
        "num_train_timesteps", f"more for {settings.steps} steps (--steps), each a training step of its own"
    )


def _ranged(settings: Settings) -> None:
    """SpecError unless sigma_min is below sigma_max."""
    if settings["sigma_min"] >= settings["sigma_max"]:
        settings.refuse("sigma_min", f"below sigma_max, {settings['sigma_max']}")


def edm(settings: Settings) -> Fields:
    """Karras et al.'s grid, or the exponential one, and sigma = 0."""
    for key in ("sigma_min", "sigma_max"):
        if settings[key] is None:
            settings.refuse(key, "a number above 0")
    _ranged(settings)
    kind: Any = settings["sigma_schedule"]
    out: Fields = {"kind": kind, "steps": settings.steps}
    if kind == "karras":
        out["exponent"] = settings["rho"]
    if kind == "exponential" and settings.steps == 1:
        out["t_start"] = settings["sigma_min"]  # the last of its levels, which is the only one
    out["t_end"] = settings["sigma_min"]
    if idle(settings):
        return {**out, "steps": dropped(settings, "final_sigmas_type"), "final_zero": False}
    return out


__all__ = ["dropped", "edm", "few", "idle", "in_levels", "within"]
