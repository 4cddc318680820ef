"""Our solvers as samplers of k-diffusion, whose calling convention ComfyUI's samplers have too.

    x_0 = sampler("dpmpp_2m")(model, x, sigmas, extra_args={..}, callback=.., disable=True)

model(x, sigma, **extra_args) returns the data that it believes in. Its x is x0 + sigma eps, of a model of a flow
(1 - sigma) x0 + sigma eps. The sigmas are the nodes of the solve, bit for bit; nothing is appended and nothing left out.
Only torch is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from runtime import checks
from runtime.adapters.clock import level, timed
from runtime.adapters.course import Course, Network
from runtime.adapters.named import named
from runtime.api import Solver
from runtime.solve import counted

KINDS = ("auto", "eps", "flow")
Sample = Callable[..., torch.Tensor]


def sampler(solver: Solver | str, kind: str = "auto") -> Sample:
    """f(model, x, sigmas, extra_args=None, callback=None, disable=None), the sampler that steps with ``solver``.

    solver: a Solver, or the name of one in ``generated``. kind: "eps": x = x0 + sigma eps; "flow": x = (1 - sigma) x0 +
    sigma eps; "auto": flow where the model's ``model_sampling`` is ComfyUI's CONST, else eps.
    """
    found, name = named(solver)
    checks.choice("kind", kind, KINDS)

    @torch.no_grad()
    def sample(
        model: Any,
        x: torch.Tensor,
        sigmas: torch.Tensor | Sequence[float],
        extra_args: Mapping[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], Any] | None = None,
        disable: bool | None = None,
    ) -> torch.Tensor:
        """x at the last of ``sigmas`` [N + 1], which fall; x: [B, *S] at the first, not written to.

        callback({"x", "i", "sigma", "sigma_hat", "denoised"}) once for every step, at its first call of the model.
        disable: no bar; None: a bar on a terminal only.
        """
        levels = sigmas.tolist() if isinstance(sigmas, torch.Tensor) else list(map(float, sigmas))
        if len(levels) < 2:
            return x.clone()
        flow = kind == "flow" or (kind == "auto" and is_flow(model))
        network = Network("flow" if flow else "ve", "sample")
        course = Course(timed(found, network.kind), levels, network)
        ones = x.new_ones([x.shape[0]])
        for i in counted(course.calls, "auto" if disable is None else not disable):
            place = course.places[i]
            sigma = level(course.rhos[i], course.network.kind) if place is None else levels[place]
            denoised = model(x, sigma * ones, **(extra_args or {}))
            if callback is not None and (i == 0 or course.plan.closes(i - 1)):
                at = torch.as_tensor(sigma, dtype=ones.dtype, device=x.device)
                step = course.plan.places[i]
                callback({"x": x, "i": step, "sigma": at, "sigma_hat": at, "denoised": denoised})
            x = course.step(i, denoised, x)
        return x

    sample.__name__ = f"sample_{name.replace('.', '_')}"
    return sample


def is_flow(model: Any) -> bool:
    """Whether a model is ComfyUI's of a flow: the ``model_sampling`` of the model that it wraps is a CONST."""
    for _ in range(4):
        found = getattr(model, "model_sampling", None)
        if found is not None:
            return any(kind.__name__ == "CONST" for kind in type(found).__mro__)
        model = getattr(model, "inner_model", None)
        if model is None:
            break
    return False


__all__ = ["is_flow", "sampler"]
