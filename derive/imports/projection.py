"""What a configuration does with the network's belief in the data, which is an argument of ``sample`` and not of the spec."""

from __future__ import annotations

from derive.imports.distilled import DISTILLED
from derive.imports.draft import Fields
from derive.imports.settings import Settings


def projected(settings: Settings) -> Fields:
    """``clip`` or ``threshold`` of ``sample``, of DDIM beside the network's own noise.

    The variance that a network returns is left to its wrapper.
    """
    if str(settings.get("variance_type")).startswith("learned"):
        settings.notes.append(
            "variance_type: the network returns a variance beside the prediction; pass only the prediction"
        )
    if settings.kind in DISTILLED:
        return {}
    kept = {"keep_noise": True} if settings.kind == "DDIMScheduler" else {}
    if settings.get("thresholding"):
        return {"threshold": (settings["dynamic_thresholding_ratio"], settings["sample_max_value"]), **kept}
    if settings.get("clip_sample"):
        return {"clip": settings["clip_sample_range"], **kept}
    return {}


__all__ = ["projected"]
