"""A step of a stochastic solver beside its peer's, which draws from torchsde's Brownian tree: bytes, and time on one thread.

SDE-DPM-Solver++(2M), 20 steps of float32. The fused step makes its normals in registers: its bytes are the streams that its
source says, as a step without noise has them. Those of k-diffusion's ``sample_dpmpp_2m_sde`` are counted as
``derive.measure.traffic`` counts, the network's own left out, and so are its launches. Times are ratios of the least of
many, taken by turns: to a memcpy of the step's bytes, to the step with normals that are given, to an increment of the tree.

    PYTHONPATH=PEERS python benchmarks/noise_step.py [--json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rivals import Copy, installed, sampling
from benchmarks.step_time import taken
from benchmarks.timing import RESULTS
from derive.measure.traffic import Traffic, counted, placed
from generated import sde_dpmpp_2m
from runtime import native
from runtime.noise import Philox
from runtime.operators import Z

STEPS, SIZES, COUNTED = 20, (1 << 16, 1 << 20), (2, 4096)
SIGMAS = (14.6, 0.03)


def streams() -> int:
    """That the fused step of a full history reads and writes; normals are none."""
    library = native._library(sde_dpmpp_2m.solver._step, gpu=False)
    found = [place for way in ("load", "store") for place in native.named(getattr(library, f"main_{way}"))]
    return len([place for place in found if place != Z])


def levels(device: Any = "cpu") -> torch.Tensor:
    """Of k-diffusion: Karras' grid, and 0."""
    return sampling().get_sigmas_karras(STEPS, SIGMAS[1], SIGMAS[0], device=device)


def peer() -> tuple[float, float]:
    """(launches, tensors of the state's size that are moved) of a step in the middle of a solve of k-diffusion."""
    sampler, marks, like = sampling(), list[Traffic](), placed(torch.randn(COUNTED))

    def model(x: torch.Tensor, sigma: torch.Tensor, **_: Any) -> torch.Tensor:
        marks.append(counter.traffic)
        return answer

    def drawn(size: Any, dtype: torch.dtype, device: torch.device, seed: Any) -> torch.Tensor:
        """A draw of the tree: one launch, and what it writes; its generator would need CUDA."""
        return torch.empty(size, dtype=dtype, device=device).normal_()

    sigmas = levels()
    interval = importlib.import_module("torchsde._brownian.brownian_interval")
    with mock.patch.object(interval, "_randn", drawn), torch.no_grad(), counted(like.numel()) as counter:
        answer = like * 0.5
        tree = sampler.BrownianTreeNoiseSampler(like, sigmas[sigmas > 0].min(), sigmas.max(), seed=1)
        sampler.sample_dpmpp_2m_sde(model, like, placed(sigmas), noise_sampler=tree, disable=True)
    first, last = marks[2], marks[-2]
    calls, size = len(marks) - 4, like.numel() * like.element_size()
    return (last.launches - first.launches) / calls, (last.moved - first.moved) / calls / size


def stepping(elements: int, z: Any) -> Callable[[], object]:
    """A fused step in place, on memory that goes round as in a solve."""
    solver = sde_dpmpp_2m.solver.fused()
    plan, x = solver.plan(steps=STEPS), torch.randn(4, elements // 4)
    held = SimpleNamespace(state=solver.init(plan, x), raw=torch.randn_like(x), i=0)

    def once() -> None:
        if held.i == STEPS:
            held.state, held.i = solver.init(plan, x), 0
        held.state = solver.step(plan, held.i, held.state, held.raw, z)
        held.i += 1

    return once


def incremented(elements: int) -> Callable[[], object]:
    """An increment of the tree of a solve of k-diffusion, and nothing else of its step."""
    x, sigmas = torch.randn(4, elements // 4), levels()
    tree = sampling().BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=1)
    held = SimpleNamespace(i=0)

    def once() -> None:
        i = held.i % (STEPS - 1)
        tree(sigmas[i], sigmas[i + 1])
        held.i += 1

    return once


def measure(elements: int) -> dict[str, Any]:
    """Nanoseconds an element, the least of many."""
    copy = Copy(streams(), sde_dpmpp_2m.solver._step.RING + 2, torch.zeros(elements))
    given = torch.randn(4, elements // 4)
    runs = [lambda: copy.step(given), stepping(elements, given), stepping(elements, Philox(1))]
    runs += [incremented(elements)] if installed("torchsde") else []
    found = [1e9 * min(times) / elements for times in taken(runs, elements)]
    names = ("memcpy", "normals given", "normals drawn", "an increment of the tree")
    return {"elements": elements} | {name: round(value, 3) for name, value in zip(names, found)}


def main() -> int:
    """Prints the figures, writes ``benchmarks/results/noise_step.json`` with ``--json``; 1 if the bytes are not a hundredth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/noise_step.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours = streams()
    report: dict[str, Any] = {"step": {"launches": 1, "streams": ours}, "nanoseconds an element": []}
    if installed("torchsde"):
        launches, moved = peer()
        report["k-diffusion"] = {"launches": round(launches, 1), "streams": round(moved, 1)}
        report["fewer bytes"] = round(moved / ours, 1)
    report["nanoseconds an element"] = [measure(elements) for elements in SIZES]
    print(json.dumps(report, indent=1))
    if options.json:
        packages = {name: installed(name) for name in ("k-diffusion", "torchsde", "torch")}
        compiler = native._version(native._compiler()).splitlines()[0]
        machine = {"processor": platform.machine(), "cores": os.cpu_count(), "compiler": compiler}
        report = {"machine": machine | {"load": round(os.getloadavg()[0], 1)} | packages, **report}
        (RESULTS / "noise_step.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(report.get("fewer bytes", 100) < 100)


if __name__ == "__main__":
    sys.exit(main())
