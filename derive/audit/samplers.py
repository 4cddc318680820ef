r"""k-diffusion's shape: sample(model, x, sigmas, extra_args=None, callback=None, disable=None, ...), sigma = rho, alpha = 1.

Options that make noise are set to make none: ``eta`` is 0 unless it is given, and a ``noise_sampler`` answers zeros. The
callback shows the state at every grid point; a sampler that does not call it has one call a step, at the state.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from derive.audit.guard import tamed
from derive.audit.sampler import Accept, Network, Unusable, state, variance_exploding
from derive.audit.wide import arithmetic
from derive.errors import Fault, SpecError, near_miss

CLAIMS: Mapping[str, int] = {
    "euler": 1,
    "euler_ancestral": 1,
    "heun": 2,
    "dpm_2": 2,
    "dpm_2_ancestral": 2,
    "dpmpp_sde": 2,
}
"""By name, where the name has no number and letter such as 3m."""
OWN = ("model", "x", "sigmas", "extra_args", "callback", "disable")


def looks_like_one(function: Any) -> bool:
    """Whether a callable takes (model, x, sigmas, ...)."""
    try:
        return list(inspect.signature(function).parameters)[:3] == ["model", "x", "sigmas"]
    except (TypeError, ValueError):
        return False


@dataclass
class KDiffusion:
    """A ``sample_*`` function."""

    target: str
    function: Callable[..., Any]
    config: dict[str, Any]
    claimed: int | None
    source: str = "its name"

    def __post_init__(self) -> None:
        known = [name for name in inspect.signature(self.function).parameters if name not in OWN]
        for key in self.config:
            if key not in known:
                allowed = ", ".join(known) or "none"
                raise SpecError(
                    Fault(f"unknown option; allowed: {allowed}{near_miss(key, known)}", f"audit: --config {key}")
                )
        self.options = dict(self.config)
        if "eta" in known:
            self.options.setdefault("eta", 0.0)
        if "noise_sampler" in known:
            self.options["noise_sampler"] = self._silence
        self.name = str(getattr(self.function, "__name__", self.target))
        if self.claimed is None:
            self.claimed = claim(self.name, self.parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """Options with their defaults."""
        found = inspect.signature(self.function).parameters
        return {name: p.default for name, p in found.items() if name not in OWN} | self.options

    def _silence(self, *_: Any) -> torch.Tensor:
        return torch.zeros_like(self._like)

    @property
    def what(self) -> str:
        said = ", ".join(f"{k}={v}" for k, v in self.config.items())
        return f"sampler {self.name}({said}), variance exploding"

    @property
    def notes(self) -> tuple[str, ...]:
        eta = self.options.get("eta")
        return ("eta = 0: the deterministic part",) if eta == 0.0 and "eta" not in self.config else ()

    def whole_run(self, count: int) -> torch.Tensor:
        """A run that ends at sigma = 0, of a network that returns a quarter of what it is given."""
        return self._own(torch.linspace(-1, 1, 16).reshape(1, 16), count)

    def device_run(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """The same of any state; the grid is where the state is."""
        return self._own(x, count)

    def _own(self, x: torch.Tensor, count: int) -> torch.Tensor:
        roots = [14.6 ** (1 / 7) + i / max(count - 1, 1) * (0.03 ** (1 / 7) - 14.6 ** (1 / 7)) for i in range(count)]
        sigmas = torch.zeros_like(x.reshape(-1)[:1]).repeat(count + 1) + torch.tensor([*(r**7 for r in roots), 0.0]).to(
            x.device
        )
        options = {
            **self.options,
            **({"noise_sampler": lambda *_: torch.zeros_like(x)} if "noise_sampler" in self.options else {}),
        }
        with torch.no_grad(), tamed():
            return self.function(
                lambda y, s, **_: 0.25 * y, 14.6 * x, sigmas, callback=lambda info: None, disable=True, **options
            )

    def scales(self, lam: float) -> tuple[float, float]:
        return variance_exploding(lam)

    def run(self, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        """As :class:`derive.audit.sampler.Sampler`."""
        with arithmetic(x):
            sigmas = torch.tensor([variance_exploding(lam)[1] for lam in lams], dtype=x.dtype)
        accepted = 0

        called: list[torch.Tensor] = []

        def model(x: torch.Tensor, sigma: torch.Tensor, **_: Any) -> torch.Tensor:
            called.append(x.detach().clone())
            return network(x, 1.0, sigma.reshape(-1)[0].item())

        def callback(info: Mapping[str, Any]) -> None:
            nonlocal accepted
            if info["i"] == accepted:
                accept(info["x"])
                accepted += 1

        self._like = x
        with arithmetic(x), torch.no_grad(), tamed():
            end = self.function(model, x, sigmas, callback=callback, disable=True, **self.options)
        if not called:
            raise Unusable("never calls the network")
        state(end)
        if not accepted and len(called) == len(lams) - 1:  # no callback: one call a step is at the state
            for at in called:
                accept(at)
        if accepted == len(lams) - 1 or len(called) == len(lams) - 1:
            accept(end)


def claim(name: str, options: Mapping[str, Any]) -> int | None:
    """The order that a name says: dpmpp_3m_sde is 3, dpmpp_2s 2, lms its option ``order``."""
    short = name.removeprefix("sample_")
    if short in CLAIMS:
        return CLAIMS[short]
    if isinstance(options.get("order"), int):
        return int(options["order"])
    found = re.search(r"(\d)[ms](_|$)", short)
    return int(found.group(1)) if found else None


__all__ = ["KDiffusion", "claim", "looks_like_one"]
