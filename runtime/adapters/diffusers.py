"""Our solvers as schedulers of diffusers: in a pipeline, in the place of the scheduler that it came with.

    from runtime.adapters.diffusers import scheduler
    pipe.scheduler = scheduler(sd15_dpmpp_2m.solver, pipe.scheduler)

The noise levels, the timesteps and what the network predicts are those of the scheduler that was there, or that the
configuration names (``schedule``); the step is the solver's. The sample is alpha x0 + sigma eps with the weights that the
network was trained with, whatever the solver has, so that a pipeline need not scale it (EDM's c_in apart). A stochastic
solver draws its normals from the generators of the pipeline, in the place and shape in which a scheduler of diffusers does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from runtime.adapters import peers
from runtime.adapters.clock import Timed, level, timed, weights
from runtime.adapters.course import Course, Network
from runtime.adapters.named import named
from runtime.api import Solver

try:
    import diffusers
    from diffusers.configuration_utils import ConfigMixin
    from diffusers.schedulers.scheduling_utils import SchedulerMixin
    from diffusers.utils import BaseOutput
    from diffusers.utils.torch_utils import randn_tensor
except ImportError as error:
    why = " ".join(str(error).split())  # diffusers' own are of several lines where a part of it does not load
    raise ImportError(
        f'runtime.adapters.diffusers needs diffusers: pip install "phiforge[diffusers]" ({why})'
    ) from None

_DEFAULT = {
    "vp": "DPMSolverMultistepScheduler",
    "ve": "DPMSolverMultistepScheduler",
    "flow": "FlowMatchEulerDiscreteScheduler",
}


def scheduler(solver: Solver | str, like: SchedulerMixin | None = None, /, **config: Any) -> PhiforgeScheduler:
    """A scheduler of diffusers that steps with ``solver``.

    solver: a Solver, or the name of one in ``generated``. like: the scheduler whose noise levels and timesteps are to be
    followed. config: ``schedule``, the name of its class (default: DPMSolverMultistepScheduler, of a solver of a flow
    FlowMatchEulerDiscreteScheduler), and options of that class; beside ``like`` what is to be other than there.
    ValueError for an option that would be ignored, and for a schedule or solver that there is not.
    """
    if like is None:
        return PhiforgeScheduler.from_config(config, solver=solver)
    return PhiforgeScheduler.from_config({**like.config, "_class_name": type(like).__name__}, solver=solver, **config)


@dataclass
class PhiforgeSchedulerOutput(BaseOutput):
    """prev_sample: the sample after the step. pred_original_sample: the data that the network believes in."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor


class PhiforgeScheduler(SchedulerMixin, ConfigMixin):
    """What :func:`scheduler` returns; one solve at a time, as with every scheduler of diffusers.

    timesteps: one for every call of the network. sigmas: [calls + 1] float32, the level of every call and of the end.
    order: calls of the network in a full step.
    """

    _compatibles = list(peers.SCHEDULES)

    def __init__(self, solver: Solver | str, schedule: str | None = None, **config: Any) -> None:
        found, name = named(solver)
        schedule = schedule or _DEFAULT[timed(found).kind]
        peer = peers.built(diffusers, schedule, config)
        self._timed: Timed = timed(found, "flow" if peers.begins_at_noise(peer) else peers.network(peer).kind)
        self.register_to_config(**_plain({**config, **peer.config}), solver=name, schedule=schedule)
        self._grid: tuple[torch.Tensor, torch.Tensor] | None = None
        self._course: Course | None = None
        self._start: float | None = None
        self._begin_index: int | None = None
        self._step_index: int | None = None
        self._offset = 0
        self.num_inference_steps: int | None = None
        self.timesteps = peer.timesteps
        self.sigmas = getattr(peer, "sigmas", None)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], return_unused_kwargs: bool = False, **kwargs: Any) -> Any:  # type: ignore[override]
        """From the configuration of one of these, or of a scheduler of diffusers (then with ``solver=``).

        ValueError for an option that would be ignored, other than by that scheduler.
        """
        if not isinstance(config, Mapping):
            raise TypeError(f"config: got {type(config).__name__}; allowed: a mapping, e.g. pipe.scheduler.config")
        values = {key: value for key, value in config.items() if not key.startswith("_")}
        of = config.get("_class_name")
        if of not in (None, cls.__name__):  # such a configuration carries along what other classes were given
            known = peers.known_to(diffusers, of)
            values = {"schedule": of} | {key: value for key, value in values.items() if key in known}
        elif of is None and "_use_default_values" in config and not config.keys() & {"solver", "schedule"}:
            raise ValueError(
                "config: of a scheduler, but not of which; allowed: scheduler(solver, pipe.scheduler), or schedule="
            )
        values |= kwargs
        if "solver" not in values:
            raise ValueError(
                f"solver: not given, and not in the configuration of a {of}; allowed: a Solver or its name"
            )
        made = cls(**values)
        return (made, {}) if return_unused_kwargs else made

    # What pipelines ask

    @property
    def order(self) -> int:
        """Calls of the network in a full step."""
        full = self._timed.solver.coefficients.ROWS[-1]
        return 1 if callable(full) else len(full)

    @property
    def init_noise_sigma(self) -> float:
        """The standard deviation of the sample that a solve begins with."""
        if self._start is not None:
            return self._start
        peer = self._peer()
        return peers.starting(peer, peers.widest(peer))

    @property
    def step_index(self) -> int | None:
        """The call that comes next, None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The call that a solve begins with, None where its timestep says it."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """The place in ``timesteps`` where the solve begins: of image to image, where its strength says."""
        self._begin_index = begin_index

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    # The grid

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | None = None,
    ) -> None:
        """The grid of the next solve, as ``schedule`` makes it of these arguments.

        sigmas, timesteps: instead of a number of steps, where the class takes them; where it does not, sigmas are all
        levels, the last the end, and timesteps whole numbers, after which sigma is 0.
        ValueError where the solver has no step between two of the levels.
        """
        given = {"num_inference_steps": num_inference_steps, "timesteps": timesteps, "sigmas": sigmas, "mu": mu}
        peer = self._peer()
        found = peers.laid(peer, given, device)
        course = self._course_of(found.sigmas.tolist(), peers.network(peer))
        self._grid, self._course = (found.sigmas, found.timesteps), course
        self._start = peers.starting(peer, float(found.sigmas[0]))
        self.num_inference_steps = len(found.timesteps)
        self.sigmas, self.timesteps = _by_call(course, found, peer)
        self._begin_index = self._step_index = None

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """What the network reads: c_in x of EDM's preconditioning, else the sample. sample: [B, *S] of any batch."""
        course, i = self._at(timestep)
        scale = course.network.input_scale(course.rhos[i])
        return sample if scale == 1.0 else sample * scale

    def index_for_timestep(self, timestep: Any, schedule_timesteps: torch.Tensor | None = None) -> int:
        """The first place in ``timesteps`` that has this one and opens a step. ValueError where there is none."""
        known = self.timesteps if schedule_timesteps is None else schedule_timesteps
        places = (known == torch.as_tensor(timestep).to(known.device)).nonzero().flatten().tolist()
        opening = [i for i in places if self._course is None or self._opens(i)]
        if not places:
            raise ValueError(f"timestep: got {timestep!r}; allowed: one of scheduler.timesteps")
        return (opening or places)[0]

    def _opens(self, i: int) -> bool:
        course = self._course
        return course is not None and (i == 0 or course.plan.closes(i - 1))

    # The step

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
        eta: float = 0.0,
        use_clipped_model_output: bool | None = None,
        variance_noise: torch.Tensor | None = None,
    ) -> PhiforgeSchedulerOutput | tuple[torch.Tensor, ...]:
        """The sample after one call of the network.

        model_output: what the network returned, [B, *S] (twice the channels of a learned variance: the first half).
        timestep: of this call; only the first of a solve is looked up, and it not where ``set_begin_index`` was called.
        sample: [B, *S]; not written to. generator: one, or one for each sample, that a stochastic solver draws its
        normals from, as the class ``schedule`` does; of a deterministic one it is left alone. variance_noise: the
        normals themselves, of the sample's shape. eta, use_clipped_model_output: what DDIM's pipelines pass; of clipped data
        the noise is always made anew.
        ValueError for an eta that is neither 0, which pipelines pass unasked, nor the solver's own.
        """
        course, i = self._at(timestep)
        own = self._timed.eta
        if eta and eta != own:
            known = "0, since the solver is deterministic" if own == 0 else f"0, {own:g}" if own else "0"
            raise ValueError(f"eta: got {eta!r}; allowed: {known} (how much noise there is says the solver)")
        offset = self._offset
        if str(self.config.get("variance_type")).startswith("learned") and model_output.shape[1] == 2 * sample.shape[1]:
            model_output = model_output[:, : sample.shape[1]]
        if self.config.get("thresholding") or self.config.get("clip_sample"):
            data = _clipped(course.denoised(i, model_output, sample), self.config)
            model_output = course.output(i, data, sample)
        z = self._normals(model_output, generator, variance_noise) if course.draws(i) else None
        new = course.step(i, model_output, sample, z)
        self._step_index = offset + i + 1
        if not return_dict:
            return (new,)
        return PhiforgeSchedulerOutput(new, course.denoised(i, model_output, sample))

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """alpha x0 + sigma noise at timesteps [B]."""
        kind = peers.network(self._peer()).kind if self._course is None else self._course.network.kind
        alphas, sigmas = zip(*(weights(rho, kind) for rho in self._levels(timesteps)))
        shape = (-1, *(1,) * (original_samples.dim() - 1))
        alpha, sigma = (torch.tensor(values).to(original_samples).reshape(shape) for values in (alphas, sigmas))
        return alpha * original_samples + sigma * noise

    def scale_noise(self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """:meth:`add_noise` by the name that pipelines of flows use."""
        return self.add_noise(sample, noise, timestep)

    # What is behind it

    def _normals(self, like: torch.Tensor, generator: Any, given: torch.Tensor | None) -> torch.Tensor:
        """The normals of a step: the caller's, or the ones that the class ``schedule`` would draw."""
        if given is not None:
            return given.to(like.device)
        dtype = torch.float32 if self.config.schedule in peers.DRAW_FLOAT32 else like.dtype
        return randn_tensor(like.shape, generator=generator, device=like.device, dtype=dtype)

    def _peer(self) -> Any:
        """The scheduler whose grid is followed; pipelines change its options in the configuration."""
        options = {k: v for k, v in self.config.items() if not k.startswith("_") and k not in ("solver", "schedule")}
        return peers.built(diffusers, self.config.schedule, options)

    def _course_of(self, sigmas: Sequence[float], network: Network) -> Course:
        return Course(self._timed, sigmas, network)

    def _at(self, timestep: Any) -> tuple[Course, int]:
        """The course under way, begun where it has not been, and its call that comes next."""
        if self._grid is None or self._course is None:
            raise ValueError(f"{type(self).__name__}: call set_timesteps() first")
        if self._step_index is None:
            self._begin(self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index)
        assert self._step_index is not None
        return self._course, self._step_index - self._offset

    def _begin(self, i: int) -> None:
        """Begin with call ``i`` of the grid that was set: in its middle, with a course of the levels from there."""
        assert self._course is not None and self._grid is not None
        whole, offset = self._course, i
        if i:
            place = whole.places[i] if 0 <= i < whole.calls and self._opens(i) else None
            sigmas = self._grid[0].tolist()
            course = None if place is None else self._course_of(sigmas[place:], whole.network)
            if course is None or course.calls != whole.calls - i:
                raise ValueError(
                    f"begin index: got {i}; {self._timed.solver.name} cannot begin a solve of {whole.calls} calls there"
                )
            self._course = course
        self._step_index, self._offset = i, offset

    def _levels(self, timesteps: torch.Tensor) -> list[float]:
        """sigma/alpha of every timestep: of a solve under way, of the call that comes next."""
        count = timesteps.numel()
        course = self._course
        if course is None or self._grid is None:
            bars = self._peer().alphas_cumprod.double()[timesteps.flatten().long().cpu()]
            return ((1 - bars) / bars).sqrt().tolist()
        if self._step_index is not None:
            return [(*course.rhos, course.last)[self._step_index - self._offset]] * count
        if self._begin_index is not None:
            return [course.rhos[self._begin_index]] * count
        return [course.rhos[self.index_for_timestep(t)] for t in timesteps.flatten()]


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without the options of a step and those that JSON has no number for: infinite bounds, which bound nothing."""
    infinite = [key for key, value in config.items() if isinstance(value, float) and math.isinf(value)]
    left = (*peers.METHODS, *infinite)
    return {key: value for key, value in config.items() if key not in left and not key.startswith("_")}


def _by_call(course: Course, found: peers.Laid, peer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """sigmas [calls + 1] and timesteps [calls]: the grid's at its points, between them those that belong to the level."""
    if course.places == list(range(len(found.timesteps))):
        return found.sigmas, found.timesteps
    sigmas, times = [], []
    levels, steps = found.sigmas.tolist(), found.timesteps.tolist()
    for place, rho in zip(course.places, course.rhos):
        sigma = levels[place] if place is not None else level(rho, course.network.kind)
        sigmas.append(sigma)
        times.append(steps[place] if place is not None else peers.timestep(peer, sigma))
    exact = all(place is not None for place in course.places)
    dtype = found.timesteps.dtype if exact else torch.promote_types(found.timesteps.dtype, torch.float32)
    return torch.tensor([*sigmas, levels[-1]]), torch.tensor(times, dtype=dtype).to(found.timesteps.device)


def _clipped(data: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """x0 cut off as the configuration says: at a fixed size, or at a quantile of its own sample (arXiv:2205.11487)."""
    if not config.get("thresholding"):
        bound = config.get("clip_sample_range", 1.0)
        return data.clamp(-bound, bound)
    flat = data.float().flatten(1)
    bound = torch.quantile(flat.abs(), config["dynamic_thresholding_ratio"], dim=1, keepdim=True)
    bound = bound.clamp(1, config["sample_max_value"])
    return (flat.clamp(-bound, bound) / bound).reshape(data.shape).to(data.dtype)


__all__ = ["PhiforgeScheduler", "PhiforgeSchedulerOutput", "scheduler"]
