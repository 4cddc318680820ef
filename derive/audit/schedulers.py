r"""diffusers' shape: set_timesteps(n), then step(model_output, t, sample). The grid of the scheduler is replaced by ours.

A scheduler reads its grid from ``sigmas`` (sigma/alpha, or t of a flow); after ``set_timesteps`` that table is written
anew in float64, so any grid can be asked for. What a network returns is formed from the data prediction by the
``prediction_type`` of the configuration. Classes with a grid of another kind have an adapter of their own.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from derive.audit.guard import tamed, words
from derive.audit.sampler import PATHS, Accept, Network
from derive.audit.wide import arithmetic
from derive.errors import Fault, SpecError, near_miss

Order = Callable[[Mapping[str, Any]], int]
CLAIMS: Mapping[str, tuple[Order, str]] = {
    "DDIMScheduler": (lambda c: 1, "the paper"),
    "EulerDiscreteScheduler": (lambda c: 1, "its name"),
    "EDMEulerScheduler": (lambda c: 1, "its name"),
    "FlowMatchEulerDiscreteScheduler": (lambda c: 1, "its name"),
    "HeunDiscreteScheduler": (lambda c: 2, "its name"),
    "FlowMatchHeunDiscreteScheduler": (lambda c: 2, "its name"),
    "KDPM2DiscreteScheduler": (lambda c: 2, "its name"),
    "LMSDiscreteScheduler": (lambda c: 4, "step(order=4)"),
    "IPNDMScheduler": (lambda c: 4, "'a fourth-order Improved Pseudo Linear Multistep scheduler'"),
    "UniPCMultistepScheduler": (
        lambda c: c["solver_order"] + 1,
        "'the effective order of accuracy is solver_order + 1'",
    ),
}
"""What a class says of its order; where it is not here, ``solver_order`` of its configuration."""

CLIPS = ("clip_sample", "thresholding")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that a library logs at every construction."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@dataclass
class Scheduler:
    """A scheduler class with its configuration."""

    target: str
    kind: type
    config: dict[str, Any]
    claimed: int | None = None
    source: str = ""
    grid_points: list[int] = field(default_factory=list)
    """Where accepted states are, if not at every point of the grid."""

    def __post_init__(self) -> None:
        self.known = [name for name in inspect.signature(self.kind).parameters if name != "kwargs"]
        for key in self.config:
            if key not in self.known:
                hint = near_miss(key, self.known)
                raise SpecError(Fault(f"unknown setting of {self.kind.__name__}{hint}", f"audit: --config {key}"))
        scheduler = self._made()
        if not hasattr(scheduler, "sigmas") and type(self) is Scheduler:
            raise SpecError(Fault("its grid is not a table of sigmas, and cannot be replaced", f"audit: {self.target}"))
        self.settings = dict(scheduler.config)
        self.predicts = self.settings.get("prediction_type", "epsilon")
        self.path = self._path(scheduler)
        if self.claimed is None:
            self._claim()

    def _claim(self) -> None:
        found = CLAIMS.get(self.kind.__name__)
        if found is not None:
            self.claimed, self.source = found[0](self.settings), found[1]
        elif isinstance(self.settings.get("solver_order"), int):
            self.claimed, self.source = self.settings["solver_order"], "solver_order"

    def _made(self, **more: Any) -> Any:
        """A scheduler that does not clip: a step that does is not a method of any order."""
        unclipped = {key: False for key in CLIPS if key in self.known}
        try:
            with warnings.catch_warnings(), _quiet():
                warnings.simplefilter("ignore")
                return self.kind(**{**self.config, **unclipped, **more})
        except (TypeError, ValueError, NotImplementedError) as error:
            message = f"{self.kind.__name__} refuses its configuration: {words(error)}"
            raise SpecError(Fault(message, "audit: --config")) from error

    def _path(self, scheduler: Any) -> str:
        """Which schedule its numbers mean."""
        convert = getattr(scheduler, "_sigma_to_alpha_sigma_t", None)
        if convert is not None:
            alpha = float(convert(torch.tensor(0.5, dtype=torch.float64))[0])
            return "flow" if abs(alpha - 0.5) < 1e-6 else "variance exploding" if alpha == 1 else "variance preserving"
        return "flow" if "FlowMatch" in self.kind.__name__ else "variance exploding"

    @property
    def notes(self) -> tuple[str, ...]:
        clips = [key for key in CLIPS if self.settings.get(key) or self.config.get(key)]
        return (f"audited without {' and '.join(clips)}",) if clips else ()

    @property
    def what(self) -> str:
        said = ", ".join(f"{k}={v}" for k, v in self.config.items())
        return f"{self.kind.__name__}({said}), {self.path}, prediction {self.predicts}"

    def scales(self, lam: float) -> tuple[float, float]:
        return PATHS[self.path](lam)

    def entry(self, lam: float) -> float:
        """Of its table of sigmas."""
        alpha, sigma = self.scales(lam)
        return sigma if self.path == "flow" else sigma / alpha

    def output(self, x: torch.Tensor, x0: torch.Tensor, alpha: float, sigma: float, scheduler: Any) -> torch.Tensor:
        """What its network returns, where the data prediction is x0."""
        if hasattr(scheduler, "precondition_outputs"):
            s = torch.tensor(sigma, dtype=x.dtype)
            skip, scale = scheduler.precondition_outputs(x, torch.zeros_like(x), s), torch.ones_like(x)
            return (x0 - skip) / scheduler.precondition_outputs(torch.zeros_like(x), scale, s)
        noise = (x - alpha * x0) / sigma
        if self.path == "variance exploding" and self.predicts == "v_prediction":
            root = (1 + sigma**2) ** 0.5
            return (noise - sigma * x0) / root
        return {
            "epsilon": noise,
            "sample": x0,
            "v_prediction": alpha * noise - sigma * x0,
            "flow_prediction": noise - x0,
        }["flow_prediction" if "FlowMatch" in self.kind.__name__ else self.predicts]

    def run(self, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        """As :class:`derive.audit.sampler.Sampler`."""
        with arithmetic(x), torch.no_grad(), _quiet(), warnings.catch_warnings(), tamed():
            warnings.simplefilter("ignore")
            scheduler = self.ready(lams, x.dtype)
            self.loop(scheduler, network, x, lams, accept)

    def whole_run(self, count: int) -> torch.Tensor:
        """A run on the scheduler's own grid, of a network that returns half of what it is given."""
        return self._own(torch.linspace(-1, 1, 16).reshape(1, 16), count)

    def device_run(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """The same of any state."""
        return self._own(x, count)

    def _own(self, x: torch.Tensor, count: int) -> torch.Tensor:
        scheduler = self._made()
        with _quiet(), warnings.catch_warnings(), torch.no_grad(), tamed():
            warnings.simplefilter("ignore")
            _ask(scheduler, count)
            for t in scheduler.timesteps:
                shown = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
                x = scheduler.step(0.5 * shown, t, x, return_dict=False)[0]
        return x

    def ready(self, lams: Sequence[float], dtype: torch.dtype) -> Any:
        """A fresh scheduler on our grid."""
        scheduler = self._made()
        _ask(scheduler, len(lams) - 1)
        self.place(scheduler, torch.tensor([self.entry(lam) for lam in lams], dtype=dtype))
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        return scheduler

    def place(self, scheduler: Any, sigmas: torch.Tensor) -> None:
        """Writes the grid."""
        scheduler.sigmas = sigmas
        scheduler.timesteps = torch.arange(len(sigmas) - 1.0, 0, -1)

    def loop(self, scheduler: Any, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        """One call a step; a state that is corrected later is accepted when it has been."""
        corrects = hasattr(scheduler, "last_sample")
        accept(x)
        for i, t in enumerate(scheduler.timesteps):
            x = self.stepped(scheduler, network, x, t, lams[i])
            if corrects and i:
                accept(scheduler.last_sample)
            if not corrects or i == len(lams) - 2:
                accept(x)

    def stepped(self, scheduler: Any, network: Network, x: torch.Tensor, t: Any, lam: float) -> torch.Tensor:
        """The network at ``lam`` and one call of ``step``."""
        alpha, sigma = self.scales(lam)
        if hasattr(scheduler, "scale_model_input") and self.path == "variance exploding":
            scheduler.scale_model_input(x, t)
        x0 = network(x, alpha, sigma)
        return scheduler.step(self.output(x, x0, alpha, sigma, scheduler), t, x, return_dict=False)[0]


def _ask(scheduler: Any, count: int) -> None:
    """``set_timesteps``, whatever more it wants."""
    taken = inspect.signature(scheduler.set_timesteps).parameters
    more = {"mu": 1.0} if "mu" in taken and scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(count, **more)


class Heun(Scheduler):
    """Two calls a step: the grid points between the ends stand twice in its tables."""

    def place(self, scheduler: Any, sigmas: torch.Tensor) -> None:
        scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
        if "FlowMatch" not in self.kind.__name__:
            scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:].repeat_interleave(2)])
        scheduler.timesteps = torch.arange(2.0 * (len(sigmas) - 1), 0, -1)
        scheduler._step_index = 0

    def loop(self, scheduler: Any, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        accept(x)
        for i in range(len(lams) - 1):
            for lam in (lams[i], lams[i + 1]):
                t = scheduler.timesteps[min(scheduler._step_index or 0, len(scheduler.timesteps) - 1)]
                x = self.stepped(scheduler, network, x, t, lam)
            accept(x)


class Middle(Scheduler):
    """Two calls a step, the second in the middle of it in log sigma."""

    def place(self, scheduler: Any, sigmas: torch.Tensor) -> None:
        middle = sigmas.log().lerp(sigmas.roll(1).log(), 0.5).exp()
        for name, table in (("sigmas", sigmas), ("sigmas_interpol", middle)):
            setattr(scheduler, name, torch.cat([table[:1], table[1:].repeat_interleave(2), table[-1:]]))
        scheduler.timesteps = torch.arange(2.0 * (len(sigmas) - 1), 0, -1)
        scheduler._step_index = 0

    def loop(self, scheduler: Any, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        accept(x)
        for here, there in itertools.pairwise(lams):
            for lam in (here, (here + there) / 2):
                x = self.stepped(scheduler, network, x, scheduler.timesteps[scheduler._step_index], lam)
            accept(x)


class Ddim(Scheduler):
    """Its grid is its table of alpha^2, every entry of which is a step."""

    def _path(self, scheduler: Any) -> str:
        return "variance preserving"

    def ready(self, lams: Sequence[float], dtype: torch.dtype) -> Any:
        scheduler = self._made(num_train_timesteps=len(lams) - 1)
        _ask(scheduler, len(lams) - 1)
        table = [self.scales(lam)[0] ** 2 for lam in reversed(lams)]
        scheduler.alphas_cumprod = torch.tensor(table, dtype=dtype)
        scheduler.timesteps = torch.arange(len(lams) - 1, 0, -1)
        return scheduler


class Ipndm(Scheduler):
    """Its grid is the pair (alphas, betas) = (alpha, sigma), its network returns v."""

    def _path(self, scheduler: Any) -> str:
        self.predicts = "v_prediction"
        return "variance preserving"

    def place(self, scheduler: Any, sigmas: torch.Tensor) -> None:
        alphas = 1 / (1 + sigmas**2) ** 0.5
        scheduler.alphas, scheduler.betas = alphas, sigmas * alphas
        scheduler.timesteps = torch.arange(len(sigmas) - 1.0, 0, -1)


class Singlestep(Scheduler):
    """A step of order p is p calls, all at grid points: the state is final where the next call has order 1."""

    def loop(self, scheduler: Any, network: Network, x: torch.Tensor, lams: Sequence[float], accept: Accept) -> None:
        self.grid_points = []
        for i, t in enumerate(scheduler.timesteps):
            if scheduler.order_list[i] == 1:
                self.grid_points.append(i)
                accept(x)
            x = self.stepped(scheduler, network, x, t, lams[i])
        self.grid_points.append(len(lams) - 1)
        accept(x)

    def place(self, scheduler: Any, sigmas: torch.Tensor) -> None:
        super().place(scheduler, sigmas)
        scheduler.order_list = scheduler.get_order_list(len(sigmas) - 1)


ADAPTERS: Mapping[str, type[Scheduler]] = {
    "HeunDiscreteScheduler": Heun,
    "FlowMatchHeunDiscreteScheduler": Heun,
    "KDPM2DiscreteScheduler": Middle,
    "DDIMScheduler": Ddim,
    "IPNDMScheduler": Ipndm,
    "DPMSolverSinglestepScheduler": Singlestep,
}


def scheduler_of(target: str, kind: type, config: dict[str, Any], claimed: int | None) -> Scheduler:
    """The adapter that fits the class. SpecError where there is none."""
    return ADAPTERS.get(kind.__name__, Scheduler)(target, kind, config, claimed, "--order" if claimed else "")


__all__ = ["ADAPTERS", "CLAIMS", "Scheduler", "scheduler_of"]
