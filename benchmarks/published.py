r"""Third-order multistep as published and as it is meant: the error of both against the exact solution.

DPM-Solver++(3M) in diffusers and k-diffusion has half of the second moment, so its order is 2; ``sde-dpmsolver++`` of order 3
in diffusers has -1/2 for +1/2 in the weight of the same difference, so its drift is of order 1. Both are set beside the
exact row on the sigmas of a caller. Data are normal of variance 1/2 around +-0.7, with w = x/alpha, rho = sigma/alpha

    w' = -K (w - x0(w, rho)) in lambda,    x0 = (w/2 + 0.7 rho^2 tanh(0.7 w/s))/s,    s = rho^2 + 1/2:

K = 1 is the probability flow, K = 2 the mean of a step of the reverse SDE, its noise taken as zero. In these coordinates the
schedule does not appear: a grid is a list of rho. The exact solution is DOP853 at 1e-13.

    python benchmarks/published.py [--steps 10,20,40]
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks.methods import SPECS, Method, derived, shipped
from benchmarks.rivals import sampling
from derive.audit.wide import Wide
from derive.measure.reference import dop853
from runtime.adapters.kdiffusion import sampler

VARIANCE, MEAN = 0.5, 0.7
SAMPLES = 64
STEPS = (10, 20, 40, 80)
Solve = Callable[[torch.Tensor, Sequence[float]], torch.Tensor]
"""(w at the first level, levels) -> w at the last; float64."""


def data(w: Any, rho: Any) -> Any:
    """E[x0 | w = x0 + rho eps]. NumPy arrays or tensors."""
    tanh = torch.tanh if isinstance(w, torch.Tensor) else np.tanh
    s = rho * rho + VARIANCE
    return (VARIANCE * w + rho * rho * MEAN * tanh(MEAN * w / s)) / s


def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The denoiser as k-diffusion calls it; x: [B, ..]."""
    return data(x, sigma.reshape(-1, *(1,) * (x.dim() - 1)))


@cache
def start(rho: float) -> torch.Tensor:
    """[SAMPLES, 1] float64, of standard deviation rho."""
    return rho * torch.randn(SAMPLES, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@cache
def exact(rate: int, first: float, last: float) -> torch.Tensor:
    """w at the level ``last`` of the solution from ``start(first)``; rate: K."""
    field = lambda at, w: -rate * (w - data(w, math.exp(-at)))  # noqa: E731
    end = dop853(field, start(first)[:, 0].numpy(), -math.log(first), -math.log(last))
    return torch.from_numpy(end)[:, None]


def even(first: float, last: float) -> Callable[[int], list[float]]:
    """Steps equal in lambda."""
    return lambda n: [first * (last / first) ** (i / n) for i in range(n + 1)]


def karras(first: float, last: float) -> Callable[[int], list[float]]:
    """arXiv:2206.00364, Eq. 5, rho = 7."""
    a, b = first ** (1 / 7), last ** (1 / 7)
    return lambda n: [(a + i / n * (b - a)) ** 7 for i in range(n + 1)]


def table(n: int) -> list[float]:
    """Stable Diffusion's training levels, steps equal in their index, down to rho = 0.03."""
    bars = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    logs = np.log((1 - bars) / bars) / 2
    return np.exp(np.interp(np.linspace(999, 0, n + 1), np.arange(1000), logs)).tolist()


GRIDS: Mapping[str, Callable[[int], list[float]]] = {
    "Stable Diffusion, equal in lambda": even(14.6, 0.03),
    "flow, sigma 0.98 to 0.02, equal in lambda": even(49.0, 1 / 49),
    "EDM, Karras, 80 to 0.002": karras(80.0, 0.002),
    "Stable Diffusion, equal in t": table,
}


def eased(levels: Sequence[float]) -> list[float]:
    """The first step of n cut at 1/n and 2/n of it: steps of order 1 and 2 there leave order 3 as it is."""
    a, b, n = math.log(levels[0]), math.log(levels[1]), len(levels) - 1
    return [levels[0], math.exp(a + (b - a) / n), math.exp(a + 2 * (b - a) / n), *levels[1:]]


def error(solve: Solve, levels: Sequence[float], rate: int) -> float:
    """Of the end, root mean square, relative."""
    wanted = exact(rate, levels[0], levels[-1])
    return float((solve(start(levels[0]), levels) - wanted).norm() / wanted.norm())


# Who solves


def flow(solver: Any) -> Solve:
    """K = 1, by the adapter for k-diffusion."""
    return lambda w, levels: sampler(solver)(model, w, torch.tensor(levels, dtype=torch.float64), disable=True)


def drift(solver: Any) -> Solve:
    """K = 2, by a solver of ``specs/sde_3m.yaml``, its noise zeros: its time is rho."""
    silent = lambda call, like: torch.zeros_like(like)  # noqa: E731
    return lambda w, levels: solver.sample(model, w, nodes=levels, noise=silent)


def of_diffusers(**options: Any) -> Solve:
    """DPMSolverMultistepScheduler with its sigmas replaced, in float64; where it adds noise, zeros."""
    import diffusers

    def solve(w: torch.Tensor, levels: Sequence[float]) -> torch.Tensor:
        given = {"solver_order": 3, "solver_type": "heun", "prediction_type": "sample"}
        given |= {"lower_order_final": False, "final_sigmas_type": "sigma_min"}  # or the last step is of order 1
        theirs = diffusers.DPMSolverMultistepScheduler(**given | options)
        theirs.set_timesteps(len(levels) - 1)
        theirs.sigmas = torch.tensor(levels, dtype=torch.float64)
        theirs.set_begin_index(0)
        x = w / math.hypot(1.0, levels[0])  # alpha w
        for rho, t in zip(levels, theirs.timesteps):
            at = data(x * math.hypot(1.0, rho), rho)
            with Wide():  # or it rounds x to float32
                x = theirs.step(at, t, x, return_dict=False)[0]
        return x * math.hypot(1.0, levels[-1])

    return solve


def of_k_diffusion(eta: float) -> Solve:
    """``sample_dpmpp_3m_sde``, its noise zeros."""

    def solve(w: torch.Tensor, levels: Sequence[float]) -> torch.Tensor:
        sigmas = torch.tensor(levels, dtype=torch.float64)
        silent = lambda sigma, following: torch.zeros_like(w)  # noqa: E731
        return sampling().sample_dpmpp_3m_sde(model, w, sigmas, eta=eta, noise_sampler=silent, disable=True)

    return solve


@dataclass(frozen=True, slots=True)
class Solvers:
    """The rows as they are meant and as they were published: of the probability flow, of the SDE."""

    flow: Any
    flow_halved: Any
    drift: Any
    drift_halved: Any
    drift_turned: Any


KEEP = ("final: lower_order", "final: keep")
HALVED = ("{moments: {2: phi3}}", 2)
"""Weights with half of the second moment, and their order."""
TURNED = ('{moments: {2: "phi3 + 1/z"}}', 1)
"""(phi2 + 1/2)/z: -1/2 for +1/2 in the weight of the second difference, so the moment grows like 1/h."""


@cache
def solvers() -> Solvers:
    """All of them, derived from the shipped ``dpmpp_3m`` and the SDE's spec; none lowers its order at the end."""
    folder, made = Path(tempfile.mkdtemp()), []
    for spec, published in ((shipped("dpmpp_3m"), (HALVED,)), (SPECS / "sde_3m.yaml", (HALVED, TURNED))):
        text = "\n".join(line for line in spec.read_text("utf-8").splitlines() if not line.startswith("#"))
        exact = text.replace(*KEEP)
        changes = [exact]
        for weights, order in published:
            changed = exact.replace("weights: exact", f"weights: {weights}")
            changes.append(changed.replace("{order: 3}", f"{{order: {order}}}"))
        for i, changed in enumerate(changes):
            path = folder / f"{spec.stem}_{i}.yaml"
            path.write_text(changed, encoding="utf-8")
            made.append(derived(Method(path.stem, path, ""), folder, ("torch",)).solver)
    return Solvers(*made)


def columns() -> dict[str, tuple[int, Solve]]:
    """What the table has, with K: theirs by the spec of ours that reproduces it, so no peer is needed."""
    ours = solvers()
    return {
        "ODE, published": (1, flow(ours.flow_halved)),
        "ODE, exact": (1, flow(ours.flow)),
        "SDE, k-diffusion": (2, drift(ours.drift_halved)),
        "SDE, exact": (2, drift(ours.drift)),
        "SDE, diffusers": (2, drift(ours.drift_turned)),
    }


def lines(steps: Sequence[int] = STEPS) -> list[str]:
    """The table in Markdown."""
    found = columns()
    out = [f"| grid | steps | {' | '.join(found)} |", f"|---|{'--:|' * (1 + len(found))}"]
    for name, grid in GRIDS.items():
        for n in steps:
            numbers = [f"{error(solve, grid(n), rate):.1e}" for rate, solve in found.values()]
            out.append(f"| {name} | {n} | {' | '.join(numbers)} |")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", default=",".join(map(str, STEPS)), help="numbers of steps")
    torch.set_num_threads(1)
    print("\n".join(lines([int(n) for n in parser.parse_args().steps.split(",")])))


if __name__ == "__main__":
    main()
