"""One step of our solvers against the same step of diffusers and k-diffusion, side by side in one process, one thread.

The network returns a fixed tensor and costs nothing. What is timed is what a pipeline does around one evaluation of it:
for us ``solver.step`` (torch in place, through ``torch.compile``, fused) and ``solver.loop``; for diffusers
``scale_model_input`` and ``scheduler.step``, as they are and through ``torch.compile``; for k-diffusion the slope
between two numbers of steps of a sampler, and beside it that of our ``sample``. The floor is a memcpy of the bytes that
the method has to move. Every time is the least of many, taken by turns, so that other jobs disturb all alike; compiling
and the first steps are not counted.

The same run compares the trajectories in float32 and says where one differs, so nobody compares different work.

    python benchmarks/peers.py [--methods ddim,unipc_2] [--dtype bf16] [--device cuda] [--repeat 20] [--json]

Needs diffusers and k-diffusion to measure them: pip install -c constraints.txt -e ".[bench]" and, without what it asks
for besides, pip install --no-deps k-diffusion==0.1.1.post1. What is missing is said and left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import logging
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.methods import METHODS, Derived, derived
from benchmarks.rivals import Copy, Diffusers, Looped, Ours, Sampler, installed, sampling, trajectory
from benchmarks.timing import RESULTS, Figure
from runtime import native

LARGE, TINY = (8, 16, 128, 128), (1, 4, 8, 8)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = 2e-5
"""Largest difference of two float32 trajectories, over the largest entry."""
FEW, MANY = 6, 22
"""Steps of the two solves whose difference is a step of a sampler."""
PACKAGES = ("torch", "diffusers", "k-diffusion", "triton", "numpy")
FASTER = dict.fromkeys(("dpmpp_2m", "dpmpp_3m", "unipc_2", "unipc_3", "deis_3"), 5.0) | {"flow_euler": 1.2}
"""How many times faster than diffusers the fused step has to be, at the large shape in float32."""


# Agreement


def network(i: int, x: torch.Tensor) -> torch.Tensor:
    """The data that a network would believe in; it knows the number of the call."""
    return torch.tanh(x + 0.3 * i)


def agreement(key: str, made: Derived, missing: Mapping[str, str]) -> list[dict[str, Any]]:
    """How far the others' trajectories and ours are apart, in float32 on the CPU: everybody against our torch step."""
    plan = made.plan()
    x = made.sigma(plan) * torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(7))
    others: dict[str, Callable[[], list[torch.Tensor]]] = {}
    if "fused" not in missing:
        others["fused"] = lambda: trajectory(Ours(made.solver.fused(), plan, x), network)
    if "loop" not in missing:
        others["loop"] = lambda: trajectory(Looped(made.solver, plan, x, "cpu"), network)
    if "diffusers" not in missing:
        others["diffusers"] = lambda: trajectory(Diffusers(made, plan, x), network)
    if "k-diffusion" not in missing and made.method.k:
        others["k-diffusion"] = lambda: Sampler(made, plan, x).trajectory(network)
    ours = trajectory(Ours(made.solver, plan, x), network)
    found = {name: apart(run(), ours) for name, run in others.items()}
    return [{"method": key, "who": name, "apart": far, "same": far <= TOLERANCE} for name, far in found.items()]


def apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """The largest difference at an evaluation or at the end, over the largest entry there."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(one, other, strict=True))


# Time


def runners(made: Derived, x: torch.Tensor, missing: Mapping[str, str]) -> dict[str, Any]:
    """Everybody who takes single steps, by name."""
    plan, solver = made.plan(), made.solver
    makers: dict[str, Callable[[], Any]] = {
        "floor": lambda: Copy(made.streams, made.buffers, x),
        "torch": lambda: Ours(solver, plan, x),
        "compiled": lambda: Ours(solver.compiled(), plan, x),
        **{named(b): lambda b=b: Ours(solver.fused(b), plan, x) for b in backends(x.device.type)},
        "loop": lambda: Looped(solver, plan, x, backends(x.device.type)[0]),
        "diffusers": lambda: Diffusers(made, plan, x),
        "diffusers compiled": lambda: Diffusers(made, plan, x, {}),
    }
    return {name: make() for name, make in makers.items() if not missing.keys() & {name, *name.split()}}


def steady(plan: Any) -> range:
    """The calls that a long solve repeats: those between its starting and its closing phases, without the first two."""
    phases = list(plan.phases)
    usual = {phase for phase in phases if phases.count(phase) > 2}
    places = [i for i, phase in enumerate(phases) if phase in usual]
    return range(places[0] + 2, places[-1] + 1)


def warmed(running: Mapping[str, Any], raw: torch.Tensor) -> dict[str, int]:
    """Every runner through two whole solves, which compile; how many graphs that took each that compiles."""
    found = {}
    made = torch._dynamo.utils.counters["stats"]
    for name, runner in running.items():
        before = made["unique_graphs"]
        for _ in range(2):
            runner.begin()
            for _ in range(runner.calls):
                runner.step(raw)
        if name.endswith("compiled"):
            found[name] = made["unique_graphs"] - before
    return found


def steps_taken(running: Mapping[str, Any], raw: torch.Tensor, calls: range, repeat: int) -> dict[str, float]:
    """Seconds a call: on a CPU the mean over ``calls`` of the least of each, on a GPU the least mean."""
    clock = time.perf_counter
    least = {name: [float("inf")] * len(calls) for name in running}
    for _ in range(repeat):
        for name, runner in running.items():
            runner.begin()
            step = runner.step
            for _ in range(calls.start):
                step(raw)
            if raw.is_cuda:
                torch.cuda.synchronize()
                began = clock()
                for _ in calls:
                    step(raw)
                torch.cuda.synchronize()
                took = [(clock() - began) / len(calls)] * len(calls)
            else:
                took = []
                for _ in calls:
                    began = clock()
                    step(raw)
                    took.append(clock() - began)
            least[name] = [min(pair) for pair in zip(least[name], took)]
    return {name: sum(times) / len(times) for name, times in least.items()}


def slopes(
    made: Derived, x: torch.Tensor, raw: torch.Tensor, missing: Mapping[str, str], repeat: int
) -> dict[str, float]:
    """Seconds an evaluation of whole solvers: the slope between FEW and MANY steps."""
    if not made.method.k or missing.keys() & {"k-diffusion", named(backends(x.device.type)[0])}:
        return {}
    whole: dict[tuple[str, int], Callable[[], Any]] = {}
    calls = []
    for steps in (FEW, MANY):
        plan = made.plan(steps)
        calls.append(plan.steps)
        sampler, solver = Sampler(made, plan, x), made.solver.fused(backends(x.device.type)[0])
        whole["k-diffusion", steps] = lambda s=sampler: s.solve(lambda *_: raw)
        whole["sample", steps] = lambda s=solver, p=plan: s.sample(lambda *_: raw, x, plan=p, check="off")
    least = dict.fromkeys(whole, float("inf"))
    for _ in range(repeat + 1):
        for key, run in whole.items():
            began = time.perf_counter()
            run()
            if x.is_cuda:
                torch.cuda.synchronize()
            least[key] = min(least[key], time.perf_counter() - began)
    names = dict.fromkeys(name for name, _ in whole)
    found = {name: (least[name, MANY] - least[name, FEW]) / (calls[1] - calls[0]) for name in names}
    return {name: slope for name, slope in found.items() if slope > 0}  # below: other jobs took more than the steps


def measured(key: str, made: Derived, x: torch.Tensor, missing: Mapping[str, str], repeat: int) -> dict:
    """Microseconds of one evaluation's step of everybody, and what they are of the floor and of the fused step."""
    torch._dynamo.reset()  # what was compiled for another method or shape would be asked first
    raw = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(x)
    running, calls = runners(made, x, missing), steady(made.plan())
    repeat = repeat if x.numel() > 1 << 16 else 30 * repeat
    gc.collect()
    gc.disable()
    try:
        with torch.no_grad(), torch._dynamo.config.patch(recompile_limit=64):
            graphs = warmed(running, raw)
            times = steps_taken(running, raw, calls, repeat)
            times |= slopes(made, x, raw, missing, repeat)
    finally:
        gc.enable()
    fused = times[next((name for name in times if name.startswith("fused")), "torch")]
    others = {name: value for name, value in times.items() if name != "floor"}
    return {
        "method": key,
        "label": made.method.label,
        "scheduler": made.method.scheduler,
        "shape": list(x.shape),
        "streams": made.streams,
        "graphs": graphs,
        "us": {name: round(1e6 * value, 3) for name, value in times.items()},
        "over_floor": {name: round(value / times["floor"], 3) for name, value in others.items()},
        "over_fused": {name: round(value / fused, 3) for name, value in others.items()},
    }


# Targets, and what is printed


def targets(figures: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """What is promised: of the large shape against diffusers, its compiled step and the floor; of the tiny one on the host."""
    found = []
    for f in figures:
        us, method = {name: 1e-6 * value for name, value in f["us"].items()}, f["method"]
        if tuple(f["shape"]) == TINY and {"loop", "diffusers compiled"} <= us.keys():
            name, theirs = f"{f['label']}, loop, host", us["diffusers compiled"]
            found.append(Figure(name, us["loop"], theirs, 4, "faster than its compiled step"))
        if tuple(f["shape"]) != LARGE or "fused" not in us:
            continue
        if method in FASTER and "diffusers" in us:
            found.append(Figure(f["label"], us["fused"], us["diffusers"], FASTER[method], "faster than diffusers"))
        if "diffusers compiled" in us:
            found.append(Figure(f["label"], us["fused"], us["diffusers compiled"], 1 / 1.05, "of its compiled step"))
        best = min(us["fused"], us.get("loop", math.inf))  # the loop scales the network's input in the same pass
        found.append(Figure(f["label"], best, us["floor"], 1 / 1.1, "of the memcpy floor"))
    return found


def absent(made: Derived, device: str, compiling: bool) -> dict[str, str]:
    """Who cannot be measured here, and why, in a line."""
    x = torch.zeros(2, 3, device=device)
    plan, solver = made.plan(), made.solver
    needed: dict[str, Callable[[], object]] = {
        "diffusers": lambda: Diffusers(made, plan, x),
        "k-diffusion": sampling,
        "loop": lambda: Looped(solver, plan, x, backends(device)[0]),
        "matplotlib": lambda: importlib.import_module("matplotlib"),
    }
    for backend in backends(device):
        needed[named(backend)] = lambda backend=backend: fused(solver, backend)
    found = {}
    for name, make in needed.items():
        try:
            make()
        except (ImportError, AttributeError, ValueError, RuntimeError) as error:
            found[name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return found if compiling else {**found, "compiled": "not asked for"}


def backends(device: str) -> tuple[str, ...]:
    return ("cuda", "triton") if device == "cuda" else ("cpu",)


def named(backend: str) -> str:
    return "fused" if backend == "cpu" else f"fused {backend}"


def fused(solver: Any, backend: str) -> Any:
    """The fused solver; RuntimeError where the torch step would be taken instead."""
    found = solver.fused(backend)
    if found is solver:
        raise RuntimeError("it cannot be built here")
    return found


def shown(figure: Mapping[str, Any]) -> str:
    """A method's lines."""
    names, us = [n for n in figure["us"] if n != "floor"], figure["us"]
    head = f"{figure['label']}  {'x'.join(map(str, figure['shape']))}  floor {us['floor']:.2f} us"
    rows = [
        f"  {n:<20}{us[n]:>12.2f} us{figure['over_floor'][n]:>9.2f} x floor{figure['over_fused'][n]:>9.2f} x fused"
        for n in names
    ]
    return "\n".join([head, *rows])


def machine(device: str, load: float) -> dict[str, Any]:
    """Where it was measured. load: other jobs that ran when it began, 0 on a quiet machine."""
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines() if os.path.exists("/proc/cpuinfo") else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(load, 1),
        "system": platform.platform(terse=True),
    }


def versions() -> dict[str, str | None]:
    compiler = native._version(native._compiler()).splitlines()[0]
    return {"python": platform.python_version(), "compiler": compiler, **{name: installed(name) for name in PACKAGES}}


def run(
    keys: Sequence[str], shapes: Sequence[tuple[int, ...]], dtype: str, device: str, repeat: int, compiling: bool = True
) -> dict[str, Any]:
    """The report: agreement, figures and targets of these methods. Prints as it goes."""
    load = os.getloadavg()[0]
    agreed: list[dict[str, Any]] = []
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder, torch.no_grad():
        missing: dict[str, str] = {}
        methods = {key: derived(METHODS[key], Path(folder)) for key in keys}
        for key, one in methods.items():
            lacking = absent(one, device, compiling)
            for name, why in lacking.items():
                if name not in missing:
                    print(f"{one.method.label}, measured without {name}: {why}")
            missing |= lacking
            agreed += (found := agreement(key, one, lacking))
            print(
                f"{one.method.label}: apart by " + ", ".join(f"{f['who']} {f['apart']:.1e}" for f in found), flush=True
            )
            for shape in shapes:
                x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device, DTYPES[dtype])
                figures.append(measured(key, one, x, lacking, repeat))
                print(shown(figures[-1]), flush=True)
    promised = targets(figures) if dtype == "fp32" and device == "cpu" else []
    return {
        "what": "one evaluation's step of the solver, the network left out; least of many, by turns, in one process",
        "machine": machine(device, load),
        "versions": versions(),
        "dtype": dtype,
        "missing": missing,
        "agreement": agreed,
        "figures": figures,
        "targets": [asdict(f) | {"ratio": f.ratio, "holds": f.holds} for f in promised],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0; 1 if a trajectory is another one or a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS), help="which, with commas between them")
    parser.add_argument("--shapes", default="8x16x128x128,1x4x8x8")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--repeat", type=int, default=20, help="turns at a large shape; 30 times as many at a small one"
    )
    parser.add_argument("--no-compile", action="store_true", help="nothing through torch.compile, which takes minutes")
    parser.add_argument(
        "--json", action="store_true", help="write benchmarks/results/peers*.json and the plot beside it"
    )
    options = parser.parse_args(arguments)
    keys = options.methods.split(",")
    if unknown := [key for key in keys if key not in METHODS]:
        parser.error(f"methods: {', '.join(unknown)}; allowed: {', '.join(METHODS)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here")
    torch.set_num_threads(1)
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # what of diffusers does not compile, in a page a step
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes.split(",")]
    report = run(keys, shapes, options.dtype, options.device, options.repeat, not options.no_compile)
    promised = [Figure(**{k: v for k, v in f.items() if k not in ("ratio", "holds")}) for f in report["targets"]]
    print(*promised, sep="\n")
    if options.json:
        name = "_".join(
            [
                "peers",
                *([options.dtype] if options.dtype != "fp32" else []),
                *(["cuda"] if options.device == "cuda" else []),
            ]
        )
        write(report, RESULTS / name)
    return 0 if all(f.holds for f in promised) and all(a["same"] for a in report["agreement"]) else 1


def write(report: Mapping[str, Any], place: Path) -> None:
    """``place.json``, and ``place.svg`` where matplotlib is installed."""
    place.parent.mkdir(exist_ok=True)
    place.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if "matplotlib" not in report["missing"]:
        from benchmarks.peers_plot import drawn
        from derive.report.figures import saved

        place.with_suffix(".svg").write_bytes(saved(drawn(report), "svg"))


if __name__ == "__main__":
    sys.exit(main())
