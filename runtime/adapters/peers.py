"""The noise levels and timesteps of diffusers' own schedulers, made by them, for any solver to follow.

``schedule`` is the name of a scheduler class of diffusers; it is built with the configuration at hand and asked for its
grid, so each option of it (betas, spacing, karras, flow shift, ..) means here what it means there. Its step is not used.
"""

from __future__ import annotations

import inspect
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from runtime import checks
from runtime.adapters.course import Network

_PLAIN = (
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler", "EDMEulerScheduler",
    "EDMDPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler", "SASolverScheduler",
)  # fmt: skip
_TWICE = ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
"""These list every inner level twice: once for each call of the network."""
_TABLES = ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler")
"""These have timesteps only; sigmas follow from the table of alpha_bar."""
_SCALED = (
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler", "HeunDiscreteScheduler"
)  # fmt: skip
"""Their samples are x_net/alpha, and scaled back for the network."""
SCHEDULES = (*_PLAIN, *_TWICE, *_TABLES)
DRAW_FLOAT32 = ("DPMSolverMultistepScheduler",)
"""This one draws its normals in float32 whatever the network returns, the others in the type of that."""

METHODS = frozenset({
    "algorithm_type", "disable_corrector", "euler_at_final", "interpolation_type", "lower_order_final", "predict_x0",
    "skip_prk_steps", "solver_order", "solver_p", "solver_type", "use_noise_sampler", "predictor_order", "corrector_order",
    "tau_func",
})  # fmt: skip
"""Options of a scheduler's step, which is ours here: they change nothing, wherever they come from."""
_REFUSED = ("stochastic_sampling", "invert_sigmas")


@dataclass(frozen=True, slots=True)
class Laid:
    """sigmas: [N + 1] float32 on the CPU, as the peer has them. timesteps: [N] of the peer's type, on its device."""

    sigmas: torch.Tensor
    timesteps: torch.Tensor


def known_to(library: Any, name: str) -> set[str]:
    """The options of the scheduler ``name`` of diffusers. ValueError unless it is one of SCHEDULES."""
    checks.choice("schedule", name, SCHEDULES)
    return set(inspect.signature(getattr(library, name).__init__).parameters) - {"self", "kwargs"}


def built(library: Any, name: str, options: Mapping[str, Any]) -> Any:
    """The scheduler ``name`` of diffusers with these options. ValueError with what is allowed.

    An option that the class does not know is left out where it is off (None, False) or about a step; else it is refused.
    """
    known = known_to(library, name)
    strange = {key: value for key, value in options.items() if key not in known and key not in METHODS}
    wrong = sorted(key for key, value in strange.items() if value not in (None, False))
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not options of {name}; allowed: {', '.join(sorted(known))}")
    for key in _REFUSED:
        if options.get(key):
            raise ValueError(
                f"{key}: got {options[key]!r}; allowed: False, since the solver is deterministic, noise to data"
            )
    given = {key: value for key, value in options.items() if key in known}
    if name == "PNDMScheduler":
        given["skip_prk_steps"] = True  # the timesteps of its start are no grid
    return getattr(library, name)(**given)


def network(peer: Any) -> Network:
    """What the network that this scheduler is for was trained as, and returns."""
    config, name = peer.config, type(peer).__name__
    prediction = config.get("prediction_type", "epsilon")
    if name.startswith("FlowMatch"):
        return Network("flow", "flow_prediction")
    if name.startswith("EDM"):
        return Network("ve", prediction, config.sigma_data)
    flow = bool(config.get("use_flow_sigmas")) or prediction == "flow_prediction"
    return Network("flow" if flow else "vp", prediction)


def laid(peer: Any, given: Mapping[str, Any], device: Any) -> Laid:
    """The peer's grid. given: num_inference_steps, timesteps, sigmas, mu, None where not given.

    Sigmas that the class does not take itself are the grid as they are, the last the end of it; timesteps likewise, with
    sigma = 0 after the last. A level that the class itself makes twice is taken once: a step there goes nowhere.
    """
    given = {key: value for key, value in given.items() if value is not None}
    if not given.keys() & {"num_inference_steps", "timesteps", "sigmas"}:
        raise ValueError("set_timesteps(): give num_inference_steps, timesteps or sigmas")
    taken = inspect.signature(peer.set_timesteps).parameters
    if given.keys() & {"timesteps", "sigmas"} and not given.keys() <= taken.keys():
        return _own(peer, given, device)
    if "mu" in given and "mu" not in taken:
        raise ValueError(f"mu: got {given['mu']!r}; {type(peer).__name__} has no dynamic shift")
    peer.set_timesteps(**given, device=device)
    name, timesteps = type(peer).__name__, peer.timesteps
    if name in _TABLES:
        timesteps = torch.unique_consecutive(timesteps)
        timesteps = timesteps[
            timesteps >= 0
        ]  # trailing, 217 steps: arange goes on to -1, which is the table's other end
        return _once(Laid(_sigmas(peer, timesteps), timesteps))
    sigmas = peer.sigmas.detach().cpu().to(torch.float32)
    if name in _TWICE:
        steps = (len(timesteps) + 1) // 2
        keep = [0, *range(1, 2 * steps - 1, 2)][:steps]
        timesteps, sigmas = timesteps[keep], torch.cat([sigmas[keep], sigmas[-1:]])
    found = Laid(sigmas, timesteps)
    return found if given.keys() & {"timesteps", "sigmas"} else _once(found)


def _once(found: Laid) -> Laid:
    """Without the one step that has no length; more of them are left, to be refused, and so is the only step."""
    still = (found.sigmas[1:] == found.sigmas[:-1]).nonzero().flatten().tolist()
    if len(still) != 1 or len(found.timesteps) == 1:
        return found
    (k,) = still
    timesteps = found.timesteps
    return Laid(torch.cat([found.sigmas[:k], found.sigmas[k + 1 :]]), torch.cat([timesteps[:k], timesteps[k + 1 :]]))


def _own(peer: Any, given: Mapping[str, Any], device: Any) -> Laid:
    """The grid of a caller whose sigmas or timesteps the peer's class has no place for."""
    if "sigmas" in given:
        sigmas = torch.as_tensor(given["sigmas"], dtype=torch.float32).cpu()
        return Laid(sigmas, torch.tensor([timestep(peer, s) for s in sigmas[:-1].tolist()]).to(device))
    timesteps = torch.as_tensor(given["timesteps"])
    return Laid(_sigmas(peer, timesteps, final=1.0), timesteps.to(device))


def _sigmas(peer: Any, timesteps: torch.Tensor, final: float | None = None) -> torch.Tensor:
    """sigma/alpha at integer timesteps, and after the last: alpha_bar there ``final``, or what the peer ends with."""
    table = peer.alphas_cumprod.double().cpu()
    outside = [t for t in timesteps.tolist() if not 0 <= t < len(table)]
    if outside:
        raise ValueError(
            f"timesteps: got {outside[0]}; allowed: 0 to {len(table) - 1}, what the network was trained on"
        )
    last = getattr(peer, "final_alpha_cumprod", 1.0) if final is None else final
    bars = torch.cat([table[timesteps.long().cpu()], torch.as_tensor(last, dtype=torch.float64).reshape(1)])
    return ((1 - bars) / bars).sqrt().float()


def begins_at_noise(peer: Any) -> bool:
    """Whether alpha is 0 at the first training step: of tables with zero SNR, which the classes with sigmas replace by 2^-12."""
    return type(peer).__name__ in _TABLES and float(peer.alphas_cumprod[-1]) == 0.0


def timestep(peer: Any, sigma: float) -> float:
    """What the network is told at a sigma between the peer's: sigma T of a flow, c_noise of EDM, else where in the table
    of log sigma it lies."""
    config = peer.config
    net = network(peer)
    if net.kind == "flow":
        return sigma * config.num_train_timesteps
    if net.sigma_data is not None or config.get("timestep_type") == "continuous":
        return 0.25 * math.log(sigma)
    table = _log_sigmas(peer)
    place = bisect_right(table, math.log(max(sigma, 1e-10)))
    low = min(max(place - 1, 0), len(table) - 2)
    share = (math.log(max(sigma, 1e-10)) - table[low]) / (table[low + 1] - table[low])
    return low + min(max(share, 0.0), 1.0)


@lru_cache(maxsize=4)
def _log_sigmas(peer: Any) -> Sequence[float]:
    bars = peer.alphas_cumprod.double().cpu()
    return (((1 - bars) / bars).log() / 2).tolist()


def widest(peer: Any) -> float:
    """The largest sigma of the peer's whole grid."""
    if type(peer).__name__ in _TABLES:
        return math.exp(_log_sigmas(peer)[-1])
    return float(peer.sigmas.max())


def starting(peer: Any, sigma: float) -> float:
    """The standard deviation of x_net at the peer's first level, ``sigma``: 1, or what its scaling makes of its own start."""
    noise = float(getattr(peer, "init_noise_sigma", 1.0))
    return noise / math.hypot(1.0, sigma) if type(peer).__name__ in _SCALED else noise


__all__ = [
    "DRAW_FLOAT32",
    "METHODS",
    "SCHEDULES",
    "Laid",
    "begins_at_noise",
    "built",
    "laid",
    "network",
    "starting",
    "timestep",
    "widest",
]
