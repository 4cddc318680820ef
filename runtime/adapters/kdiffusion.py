"""Our solvers as samplers of k-diffusion, whose calling convention ComfyUI's samplers have too.

    x_0 = sampler("dpmpp_2m")(model, x, sigmas, extra_args={..}, callback=.., disable=True)

model(x, sigma, **extra_args) returns the data that it believes in. Its x is x0 + sigma eps, of a model of a flow
(1 - sigma) x0 + sigma eps. The sigmas are the nodes of the solve, bit for bit; nothing is appended and nothing left out.
A stochastic solver takes its normals from ``noise_sampler(sigma, sigma_next)``, as k-diffusion's samplers do, else from
the seed in ``extra_args``, where ComfyUI puts it. Only torch is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from runtime import checks
from runtime.adapters.clock import Timed, level, timed
from runtime.adapters.course import Course, Network
from runtime.adapters.named import named
from runtime.api import Solver
from runtime.noise import Philox, Source, drawn
from runtime.solve import counted

KINDS = ("auto", "eps", "flow")
Sample = Callable[..., torch.Tensor]


def sampler(solver: Solver | str, kind: str = "auto") -> Sample:
    """f(model, x, sigmas, extra_args=None, callback=None, disable=None, ..), the sampler that steps with ``solver``.

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
        eta: float | None = None,
        s_noise: float = 1.0,
        noise_sampler: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """x at the last of ``sigmas`` [N + 1], which fall; x: [B, *S] at the first, not written to.

        callback({"x", "i", "sigma", "sigma_hat", "denoised"}) once for every step, at its first call of the model.
        disable: no bar; None: a bar on a terminal only.
        noise_sampler(sigma, sigma_next): independent standard normals of x's shape for that interval; it is not asked where
        sigma_next is 0. None: those of extra_args["seed"], of one drawn from torch's generator where there is none; the
        same for every batch and device. s_noise: their standard deviation.
        ValueError for an eta that is not the solver's own, and for noise that a deterministic solver does not take.
        """
        levels = sigmas.tolist() if isinstance(sigmas, torch.Tensor) else list(map(float, sigmas))
        if len(levels) < 2:
            return x.clone()
        flow = kind == "flow" or (kind == "auto" and is_flow(model))
        network = Network("flow" if flow else "ve", "sample")
        on = timed(found, network.kind)
        _same_noise(on, eta, s_noise, noise_sampler)
        course = Course(on, levels, network)
        normals = _normals(course, noise_sampler, (extra_args or {}).get("seed"), float(s_noise))
        ones = x.new_ones([x.shape[0]])
        for i in counted(course.calls, "auto" if disable is None else not disable):
            place = course.places[i]
            sigma = level(course.rhos[i], course.network.kind) if place is None else levels[place]
            denoised = model(x, sigma * ones, **(extra_args or {}))
            if callback is not None and (i == 0 or course.plan.closes(i - 1)):
                at = torch.as_tensor(sigma, dtype=ones.dtype, device=x.device)
                step = course.plan.places[i]
                callback({"x": x, "i": step, "sigma": at, "sigma_hat": at, "denoised": denoised})
            x = course.step(i, denoised, x, normals)
        return x

    sample.__name__ = f"sample_{name.replace('.', '_')}"
    return sample


def _same_noise(on: Timed, eta: float | None, s_noise: float, noise_sampler: Any) -> None:
    """ValueError for what a caller says about the noise, and this solver does not do."""
    name, own = on.solver.name, on.eta
    if eta is not None and eta != own:
        known = "None" if own is None else f"None or {own:g}"
        raise ValueError(f"eta: got {eta!r}; allowed: {known} (how much noise {name} adds is said in its spec)")
    if own == 0 and (s_noise != 1 or noise_sampler is not None):
        what = "noise_sampler: given" if noise_sampler is not None else f"s_noise: got {s_noise!r}"
        raise ValueError(f"{what}, but {name} is deterministic; allowed: neither noise_sampler nor s_noise")


def _normals(course: Course, noise_sampler: Any, seed: int | None, s_noise: float) -> Source | None:
    """By call, the normals of its step: of the interval from its level to the next one below."""
    if not any(course.plan.draws):
        return None
    ends = [next((b for b in course.rhos[i + 1 :] if b < a), course.last) for i, a in enumerate(course.rhos)]
    kind = course.network.kind
    drawn_from = Philox(drawn() if seed is None else int(seed) % (1 << 64)) if noise_sampler is None else None

    def normals(call: int, like: torch.Tensor) -> torch.Tensor:
        if ends[call] == 0:
            return torch.zeros_like(like)
        if drawn_from is not None:
            return drawn_from(call, like).mul_(s_noise)
        sigma, sigma_next = (like.new_tensor(level(rho, kind)) for rho in (course.rhos[call], ends[call]))
        return noise_sampler(sigma, sigma_next).to(like.dtype) * s_noise

    return drawn_from if drawn_from is not None and s_noise == 1 else normals


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
