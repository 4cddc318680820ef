"""Solvers of this project and of others behind one face, so that they can be timed and compared in one process.

A runner: ``begin()`` before a solve; ``x``, where the network is evaluated, in the solver's own coordinates; ``step(raw)``
the network's output in. One step does what a pipeline does around one evaluation of the network, the network left out:
its input is scaled where the method asks for that, its output is taken. diffusers is driven as its pipelines do
(timesteps iterated, ``set_begin_index(0)``, ``scale_model_input``); k-diffusion has samplers only, so whole solves are
timed, and its step is the slope between two numbers of steps.
"""

from __future__ import annotations

import copy
import ctypes
import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib import metadata
from types import ModuleType
from typing import Any

import torch

from benchmarks.methods import Derived

Answer = Callable[[int, torch.Tensor], torch.Tensor]
"""(number of the evaluation, x as we have it) -> the data that the network believes in."""


def installed(package: str) -> str | None:
    """The version of a distribution, None without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def sampling() -> ModuleType:
    """``k_diffusion.sampling`` without the package around it, which imports what no sampler needs (wandb, clip, ..).

    ImportError if k-diffusion, or something that the samplers do need, is not installed. torchvision, of which its
    ``utils`` makes pictures, is put in as an empty module where it is not, and taken out again once that has it.
    """
    empty: list[str] = []
    if "k_diffusion" not in sys.modules:
        found = importlib.util.find_spec("k_diffusion")
        if found is None:
            raise ImportError("k-diffusion is not installed")
        package = ModuleType("k_diffusion")
        package.__path__ = list(found.submodule_search_locations or ())
        if importlib.util.find_spec("torchvision") is None:
            empty = ["torchvision", "torchvision.transforms", "torchvision.transforms.functional"]
            for name in empty:
                sys.modules[name] = ModuleType(name)
            sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]  # type: ignore[attr-defined]
        sys.modules["k_diffusion"] = package
    try:
        return importlib.import_module("k_diffusion.sampling")
    finally:
        for name in empty:
            del sys.modules[name]


class Copy:
    """A memcpy of the bytes of a step, on as much memory: half of ``streams`` of x's shape and type.

    A step in place writes where it has read, and part of its memory may stay in a cache. So it is here: as many buffers
    as the step has, copied round, each to the next; a call goes on where the one before has ended.
    """

    def __init__(self, streams: float, buffers: int, x: torch.Tensor) -> None:
        """streams: read and written together, a multiple of 1/2; buffers: in which they lie."""
        self.memory = [torch.full_like(x, i).view(-1) for i in range(max(2, buffers))]
        whole, part = divmod(streams / 2, 1)
        self.counts = [x.numel()] * int(whole) + [int(part * x.numel())] * (part > 0)
        self.calls, self._at, self._size = 1, 0, x.element_size()
        self._places = [m.data_ptr() for m in self.memory]

    def begin(self) -> None:
        """Nothing to prepare."""

    def step(self, raw: torch.Tensor) -> None:
        places, at = self._places, self._at
        for count in self.counts:
            here, at = at, (at + 1) % len(places)
            if raw.is_cuda:
                self.memory[at][:count].copy_(self.memory[here][:count])
            else:
                ctypes.memmove(places[at], places[here], self._size * count)
        self._at = at


class Ours:
    """``solver.step`` of one of our solvers, in place."""

    def __init__(self, solver: Any, plan: Any, x: torch.Tensor) -> None:
        self.solver, self.plan, self.start, self.calls = solver, plan, x, plan.steps
        self._advance, self._half = solver.step, x.dtype not in (torch.float32, torch.float64)
        self.begin()
        column = plan.columns.index("cin") if "cin" in plan.columns else None
        rows = plan.coefficients(self.state.x)
        self._cin = None if column is None else [row[column] for row in rows]
        self.denoiser = plan.denoiser(self.state.x)

    def begin(self) -> None:
        self.state, self.i = self.solver.init(self.plan, self.start), 0

    @property
    def x(self) -> torch.Tensor:
        return self.state.x

    def step(self, raw: torch.Tensor) -> None:
        if self._cin is not None:
            self.seen = self.state.x * self._cin[self.i]
        if self._half:
            self.seen = self.state.x.to(self.start.dtype)
        self.state = self._advance(self.plan, self.i, self.state, raw)
        self.i += 1

    def raw(self, data: torch.Tensor) -> torch.Tensor:
        """What the network returns if it believes in this data."""
        dx, dr = self.denoiser[self.i]
        return (data - dx * self.x) / dr


class Looped:
    """``solver.loop``: the same on fixed buffers; the step writes the network's next input and time."""

    def __init__(self, solver: Any, plan: Any, x: torch.Tensor, backend: str | None = None) -> None:
        self.loop = solver.loop(plan, x, backend=backend)
        self.plan, self.start, self.calls, self.step = plan, x, plan.steps, self.loop.step
        self.denoiser = plan.denoiser(x.float())

    def begin(self) -> None:
        self.loop.restart(self.plan, self.start)

    @property
    def x(self) -> torch.Tensor:
        """The network's input, its scale taken away; after the last step the sample."""
        now = int(self.loop.counter[0])
        return self.loop.x / self.plan.input_scale(now) if now < self.calls else self.loop.result()

    def raw(self, data: torch.Tensor) -> torch.Tensor:
        dx, dr = self.denoiser[int(self.loop.counter[0])]
        return (data - dx * self.x) / dr


class Diffusers:
    """A scheduler of diffusers on our nodes. compiled: its step through ``torch.compile``, with these options."""

    def __init__(self, made: Derived, plan: Any, x: torch.Tensor, compiled: dict[str, Any] | None = None) -> None:
        method, sigmas = made.method, made.sigmas(plan)
        self.start, self.flow = x, method.scheduler.startswith("Flow")
        self._fresh = scheduler = getattr(importlib.import_module("diffusers"), method.scheduler)(**method.options)
        if self.flow:
            scheduler.set_timesteps(sigmas=sigmas[:-1], device=x.device)
        else:
            scheduler.set_timesteps(len(sigmas) - 1, device=x.device)
            self._ours(scheduler, sigmas)
        self.calls = len(scheduler.timesteps)
        places = list(range(len(sigmas))) if self.calls < len(sigmas) else [(i + 1) // 2 for i in range(self.calls)]
        self.sigmas = [sigmas[place] for place in places]
        self._scales = hasattr(scheduler, "scale_model_input")
        self.unit = method.scheduler.startswith("Heun")
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        self._advance: Callable = _advance if compiled is None else torch.compile(_advance, **compiled)
        self._scaled: Callable = _scaled if compiled is None or not self.unit else torch.compile(_scaled, **compiled)
        self.begin()

    @staticmethod
    def _ours(scheduler: Any, sigmas: list[float]) -> None:
        """Our nodes in the place of the scheduler's own."""
        values = torch.tensor(sigmas, dtype=torch.float64)
        if not hasattr(scheduler, "sigmas"):  # DDIM: alpha_bar by timestep, 1 after the last
            scheduler.alphas_cumprod[scheduler.timesteps.cpu()] = (1 / (1 + values[:-1] ** 2)).float()
            return
        if len(scheduler.timesteps) == len(sigmas) - 1:
            scheduler.sigmas = values.float()
        else:  # Heun: two evaluations a step
            scheduler.sigmas = torch.cat([values[:1], values[1:-1].repeat_interleave(2), values[-1:]]).float()

    def begin(self) -> None:
        self.scheduler = copy.deepcopy(self._fresh)
        self.x, self.i, self._times = self.start, 0, list(self.scheduler.timesteps)

    def step(self, raw: torch.Tensor) -> None:
        t, scheduler = self._times[self.i], self.scheduler
        if self._scales:
            self.seen = self._scaled(scheduler, self.x, t)
        self.x = self._advance(scheduler, raw, t, self.x)
        self.i += 1

    def raw(self, data: torch.Tensor) -> torch.Tensor:
        """Noise prediction, or velocity."""
        sigma = self.sigmas[self.i]
        if self.flow or self.unit:
            return (self.x - data) / sigma
        alpha = (1 + sigma**2) ** -0.5
        return (self.x - alpha * data) / (alpha * sigma)


def _advance(scheduler: Any, raw: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return scheduler.step(raw, t, x, return_dict=False)[0]


def _scaled(scheduler: Any, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return scheduler.scale_model_input(x, t)


class Sampler:
    """A whole solve by k-diffusion, on our nodes; its state is x/alpha."""

    def __init__(self, made: Derived, plan: Any, x: torch.Tensor) -> None:
        self.function = getattr(sampling(), str(made.method.k))
        self.alphas, sigmas = made.alphas(plan), made.sigmas(plan)
        self.sigmas = torch.tensor(sigmas, dtype=torch.float64).to(x.device, torch.float32)
        self.start, self.calls = x / self.alphas[0], plan.steps

    def solve(self, denoised: Callable[..., torch.Tensor]) -> torch.Tensor:
        return self.function(denoised, self.start, self.sigmas, disable=True)

    def trajectory(self, answer: Answer) -> list[torch.Tensor]:
        """x at every evaluation and at the end, in our coordinates."""
        seen: list[torch.Tensor] = []
        scales = (
            self.alphas if self.calls < len(self.alphas) else [self.alphas[(i + 1) // 2] for i in range(self.calls)]
        )

        def denoised(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            seen.append(scales[len(seen)] * x)
            return answer(len(seen) - 1, seen[-1])

        end = self.solve(denoised)
        return [*seen, self.alphas[-1] * end]


def trajectory(runner: Any, answer: Answer) -> list[torch.Tensor]:
    """x at every evaluation and at the end, for a network that believes in the data ``answer(i, x)``."""
    runner.begin()
    seen = []
    for i in range(runner.calls):
        seen.append(runner.x.clone())
        runner.step(runner.raw(answer(i, seen[-1])))
    return [*seen, runner.x]
