"""What ComfyUI looks for: sampler functions by name, and a node."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

import generated
from runtime.adapters.kdiffusion import sampler

PREFIX = "phiforge_"


def names() -> list[str]:
    """The solvers that are offered: every package in ``generated``."""
    return sorted(item.name for item in pkgutil.iter_modules(generated.__path__) if item.ispkg)


@cache
def function(name: str) -> Callable[..., Any]:
    """``sample(model, x, sigmas, extra_args, callback, disable, **options)`` of a solver, which is imported when it is first run.

    A stochastic one takes its noise from extra_args["seed"], the seed of the node; options: ``noise_sampler``, ``s_noise``.
    """

    def sample(
        model: Any,
        x: Any,
        sigmas: Any,
        extra_args: Any = None,
        callback: Any = None,
        disable: Any = None,
        **options: Any,
    ) -> Any:
        return sampler(name)(model, x, sigmas, extra_args, callback, disable, **options)

    sample.__name__ = f"sample_{PREFIX}{name}"
    return sample


def register() -> None:
    """Each solver into the samplers of the KSampler nodes, once."""
    from comfy import samplers
    from comfy.k_diffusion import sampling

    for name in names():
        setattr(sampling, function(name).__name__, function(name))
        for listed in (samplers.KSampler.SAMPLERS, samplers.SAMPLER_NAMES):
            if PREFIX + name not in listed:
                listed.append(PREFIX + name)


class PhiforgeSampler:
    """A node that gives SamplerCustom a solver."""

    CATEGORY = "sampling/custom_sampling/samplers"
    RETURN_TYPES = ("SAMPLER",)
    FUNCTION = "get_sampler"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"solver": (names(),)}}

    def get_sampler(self, solver: str) -> tuple[Any]:
        from comfy.samplers import KSAMPLER

        return (KSAMPLER(function(solver)),)


NODE_CLASS_MAPPINGS = {"PhiforgeSampler": PhiforgeSampler}
NODE_DISPLAY_NAME_MAPPINGS = {"PhiforgeSampler": "phiforge sampler"}
