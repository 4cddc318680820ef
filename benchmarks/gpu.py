"""What the kernels reach on a GPU: one command for a machine that has one. It has not been run on one yet.

    python benchmarks/gpu.py [--seconds 400] [--json]

1. The bandwidth of a copy on the device.
2. Kernels of ``solver.loop`` (CUDA and Triton, float32 and bfloat16) at 2^16 to 2^25 elements: bytes over time, over that
   bandwidth. Bytes are those the kernels move: of half precision with the low part of a state.
3. A tiny state in a CUDA graph: a step over a node that does nothing.
4. Time of all kernels of a step, bfloat16: ours against diffusers as it is, and through torch.compile, with CUDA graphs as
   well (``mode="reduce-overhead"``).
5. ``sample(graph=True)`` with a UNet of random weights over two schedules: the eager run, without a second capture.

Exit 0: all targets met; 1: one is not, or a part failed; 2: no GPU. Part 4 and 5 need the extra ``bench``. What is not done
when the time is over is said, and left out.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.gpu_clock import Gpu
from benchmarks.methods import METHODS, Derived, derived
from benchmarks.peers import steady, versions
from benchmarks.rivals import Diffusers, Looped
from benchmarks.timing import RESULTS
from derive import lookup

BACKENDS = ("cuda", "triton")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
POWERS = (16, 18, 20, 21, 22, 23, 24, 25)
KERNELS = ("ddim", "dpmpp_2m", "unipc_2")
CALLS = 100
"""Steps of the solves whose kernels are timed, all in one graph."""
AGAINST = {"ddim": 4.0, "flow_euler": 4.0, "dpmpp_2m": 6.0, "unipc_2": 20.0}
"""How many times less GPU time than diffusers, at LARGE in bfloat16."""
LARGE = (8, 16, 128, 128)
NARROW, WIDE = 2**22, 2**24
"""Bytes of a tensor from which 0.80 and 0.90 of the bandwidth of a copy are asked for."""

Target = dict[str, Any]


def target(name: str, value: float | None, limit: float, most: bool = False) -> Target:
    """most: the value has to be at most the limit, else at least. None: not measured."""
    met = value is not None and (value <= limit if most else value >= limit)
    return {"name": name, "value": value, "limit": limit, "most": most, "met": met}


# 1, 2: bytes over time


def bandwidth(gpu: Gpu, size: int = 1 << 29) -> float:
    """Bytes a second of a copy on the device, read and written."""
    there, here = (torch.ones(size, dtype=torch.uint8, device=gpu.device) for _ in range(2))
    there.copy_(here)
    return 2 * size / gpu.seconds(lambda: there.copy_(here), lambda: None)


def streams(source: str, phase: str, half: bool) -> int:
    """How many streams an element of a phase moves, as its C++ source says: those of half precision with low parts."""
    found = re.search(rf"struct phase_{phase} \{{\s*enum \{{([^}}]*)\}}", source)
    if found is None:
        raise ValueError(f"the source has no phase {phase}")
    values = {name: int(value, 0) for name, value in re.findall(r"(\w+) = (0b[01]+|\d+)", found[1])}
    low = values["STATES"].bit_count() + values["NEW_STATES"].bit_count()
    return values["LOADS"] + values["STORES"] + low * half


def moved(made: Derived, loop: Any, phases: Sequence[str]) -> int:
    """Bytes of these calls."""
    folder = Path(sys.modules[made.solver._module].__path__[0])
    source = (folder / "step_cuda.cu").read_text(encoding="utf-8")
    copies = 0 if loop.net is None else len(loop.net)
    item = loop.state.element_size()
    return sum(item * loop.elements * (streams(source, phase, item == 2) + copies) for phase in phases)


def kernel(gpu: Gpu, made: Derived, backend: str, dtype: str, elements: int) -> dict[str, Any]:
    """Seconds of a step, and its bytes over them, in a graph of a whole solve."""
    plan = made.plan(CALLS)
    x = torch.randn(elements, device=gpu.device).to(DTYPES[dtype]).view(1, -1)
    raw = torch.randn_like(x)
    loop = made.solver.loop(plan, x, backend=backend)

    def begin() -> None:
        loop.restart(plan, x)

    def solve() -> None:
        for _ in range(plan.steps):
            loop.step(raw)

    replay = gpu.captured(solve, lambda: loop.step(raw))
    took = gpu.seconds(replay, begin)
    if not bool(torch.isfinite(loop.result()).all()):
        raise RuntimeError("the solve is not finite")
    rate = moved(made, loop, plan.phases) / took
    return {"us": 1e6 * took / plan.steps, "bytes_per_second": rate, "bytes_per_tensor": x.numel() * x.element_size()}


def kernels(
    gpu: Gpu, methods: dict[str, Derived], copied: float | None, on: Callable[[], None], powers: Sequence[int]
) -> Iterator[dict]:
    """Every size, type, backend and method."""
    for power in powers:
        for dtype in DTYPES:
            for backend in BACKENDS:
                for key in KERNELS:
                    on()
                    what = {"method": key, "backend": backend, "dtype": dtype, "elements": 1 << power}
                    found, failed = tried(lambda: kernel(gpu, methods[key], backend, dtype, 1 << power))  # noqa: B023
                    if found:
                        found["over_copy"] = found["bytes_per_second"] / copied if copied else None
                    yield {**what, **(found or {"failed": failed})}


def bandwidth_targets(found: Sequence[dict[str, Any]]) -> list[Target]:
    """The worst of each backend and type, of tensors of 2^24 bytes and more, and from 2^22 bytes."""
    made = []
    for backend in BACKENDS:
        for dtype in DTYPES:
            rows = [f for f in found if (f["backend"], f["dtype"]) == (backend, dtype)]
            for low, high, limit in ((NARROW, WIDE, 0.80), (WIDE, math.inf, 0.90)):
                size = {"fp32": 4, "bf16": 2}[dtype]
                inside = [f for f in rows if low <= f["elements"] * size < high]
                values = [f.get("over_copy") for f in inside]
                worst = None if not values or None in values else min(values)
                name = f"{backend} {dtype}, bandwidth over a copy, tensors from {low >> 20} MiB"
                made.append(target(name, worst, limit))
    return made


# 3: a node


def node(gpu: Gpu, made: Derived, backend: str) -> dict[str, float]:
    """Seconds of a step on 1024 elements in a graph, and of a kernel that does nothing."""
    plan = made.plan(CALLS)
    x = torch.randn(1, 1024, device=gpu.device)
    loop, raw = made.solver.loop(plan, x, backend=backend), torch.randn_like(x)

    def solve() -> None:
        for _ in range(plan.steps):
            loop.step(raw)

    def idle() -> None:
        for _ in range(plan.steps):
            gpu.nothing()

    ours, empty = gpu.captured(solve, lambda: loop.step(raw)), gpu.captured(idle, gpu.nothing)
    took = gpu.seconds(ours, lambda: loop.restart(plan, x), 30)
    none = gpu.seconds(empty, lambda: None, 30)
    return {"us": 1e6 * took / plan.steps, "empty_us": 1e6 * none / plan.steps, "over_empty": took / none}


# 4: diffusers


def stepped(gpu: Gpu, runner: Any, raw: torch.Tensor, calls: range) -> float:
    """Seconds of all kernels of a call: the least of three solves, after two."""
    least = math.inf
    for turn in range(5):
        runner.begin()
        for _ in range(calls.start):
            runner.step(raw)
        took = gpu.kernels(lambda: [runner.step(raw) for _ in calls]) / len(calls)
        least = min(least, took) if turn > 1 else least
    return least


def against(gpu: Gpu, made: Derived, shape: tuple[int, ...]) -> dict[str, Any]:
    """Microseconds on the device of a step of everybody; a line where one failed."""
    torch._dynamo.reset()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(gpu.device, torch.bfloat16)
    raw, plan = torch.randn_like(x), made.plan()
    runners: dict[str, Callable[[], Any]] = {
        **{f"loop {b}": lambda b=b: Looped(made.solver, plan, x, b) for b in BACKENDS},
        "diffusers": lambda: Diffusers(made, plan, x),
        "diffusers compiled": lambda: Diffusers(made, plan, x, {}),
        "diffusers reduce-overhead": lambda: Diffusers(made, plan, x, {"mode": "reduce-overhead"}),
    }
    us, failed = {}, {}
    with torch._dynamo.config.patch(recompile_limit=64):
        for name, make in runners.items():
            value, why = tried(lambda: stepped(gpu, make(), raw, steady(plan)))  # noqa: B023
            if value is None:
                failed[name] = why
            else:
                us[name] = 1e6 * value
    return {"us": us, "failed": failed}


def peer_targets(found: dict[str, dict[str, Any]]) -> list[Target]:
    """The better of our kernels against diffusers, and against the best of what torch.compile makes of it."""
    made = []
    for key, least in AGAINST.items():
        us = found.get(key, {}).get("us", {})
        ours = min((v for name, v in us.items() if name.startswith("loop")), default=None)
        compiled = min((us[n] for n in ("diffusers compiled", "diffusers reduce-overhead") if n in us), default=None)
        label = METHODS[key].label
        eager = us["diffusers"] / ours if ours and "diffusers" in us else None
        made.append(target(f"{label}, GPU time of diffusers over ours", eager, least))
        over = ours / compiled if ours and compiled else None
        made.append(target(f"{label}, our GPU time over its compiled step", over, 1.05, most=True))
    return made


# 5: the whole solve as graphs


def unet(gpu: Gpu) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A small UNet2DModel with random weights."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    made = UNet2DModel(
        sample_size=32, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(32, 64), norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    made = made.to(gpu.device).eval()
    return lambda x, t: made(x, 1000 * t).sample


def replayed(gpu: Gpu, made: Derived, model: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    """Two schedules of different lengths through one graph: how far each is from the eager run, and calls of the network.

    calls: of the Python function, in each solve; none in the second, since nothing is captured again.
    """
    calls = 0

    def counted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return model(x, t)

    x = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(2)).to(gpu.device)
    apart, counts = [], []
    for options in (
        {"steps": 12},
        {"steps": 19, "grid": "uniform", "variable": "lambda", "t_end": 0.01, "final_zero": False},
    ):
        before = calls
        ours = made.solver.sample(counted, x, graph=True, **options)
        counts.append(calls - before)
        eager = made.solver.sample(model, x, **options)
        apart.append(float((ours - eager).abs().max() / eager.abs().max()))
    return {"apart": apart, "calls": counts}


def replay_targets(found: dict[str, Any] | None) -> list[Target]:
    apart, calls = (found["apart"], found["calls"]) if found else (None, None)
    return [
        target("graph over two schedules, apart from the eager run", max(apart) if apart else None, 1e-4, most=True),
        target("graph, calls of the network in the second solve", calls[1] if calls else None, 0, most=True),
    ]


# All of it


class LateError(Exception):
    """The time is over."""


def tried(run: Callable[[], Any]) -> tuple[Any, str]:
    """(what it returns, "") or (None, why it failed): one failure does not cost the other figures."""
    try:
        return run(), ""
    except LateError:
        raise
    except Exception as error:
        return None, " ".join(f"{type(error).__name__}: {error}".split())[:300]


def measure(gpu: Gpu, seconds: float, powers: Sequence[int] = POWERS, shape: tuple[int, ...] = LARGE) -> dict[str, Any]:
    """The report."""
    over = time.monotonic() + seconds
    failed: dict[str, str] = {}
    report: dict[str, Any] = {"kernels": [], "node": {}, "against": {}, "replay": None, "failed": failed}

    def on() -> None:
        if time.monotonic() > over:
            raise LateError

    def part(name: str, run: Callable[[], Any]) -> Any:
        on()
        print(f"{name} ...", flush=True)
        found, why = tried(run)
        if why:
            failed[name] = why
            print(f"{name} failed: {why}", flush=True)
        return found

    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder, torch.no_grad():
        try:
            made = {}
            for key in dict.fromkeys((*KERNELS, *AGAINST)):
                made[key] = part(f"deriving {key}", lambda: derived(METHODS[key], Path(folder), all_backends()))  # noqa: B023
            copied = report["copy_bytes_per_second"] = part("copy", lambda: bandwidth(gpu))
            for backend in BACKENDS:
                report["node"][backend] = part(f"{backend} node", lambda: node(gpu, made["dpmpp_2m"], backend))  # noqa: B023
            report["replay"] = part("graph replay", lambda: replayed(gpu, made["dpmpp_2m"], unet(gpu)))
            for found in kernels(gpu, made, copied, on, powers):
                report["kernels"].append(found)
                print(found, flush=True)
            for key in AGAINST:
                report["against"][key] = part(f"diffusers {key}", lambda: against(gpu, made[key], shape)) or {}  # noqa: B023
        except LateError:
            failed["time"] = f"{seconds:g} s were over"
    report["targets"] = targets(report)
    return report


def all_backends() -> tuple[str, ...]:
    return tuple(lookup.names("derive.backends"))


def targets(report: dict[str, Any]) -> list[Target]:
    """What was promised, met or not; what was not measured is not met."""
    nodes = [
        target(f"{b}, tiny step over an empty node", (report["node"].get(b) or {}).get("over_empty"), 1.3, most=True)
        for b in BACKENDS
    ]
    return [
        *bandwidth_targets(report["kernels"]),
        *nodes,
        *peer_targets(report["against"]),
        *replay_targets(report["replay"]),
    ]


def shown(found: Target) -> str:
    """A target's line."""
    value = "not measured" if found["value"] is None else f"{found['value']:.3g}"
    asked = f"asked: at {'most' if found['most'] else 'least'} {found['limit']:g}"
    return f"{'ok  ' if found['met'] else 'FAIL'} {found['name']:<60} {value:>12}  ({asked})"


def main(arguments: Sequence[str] | None = None, gpu: Gpu | None = None) -> int:
    """Exit 0: all targets are met; 1: not all; 2: no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=400, help="after which no further measurement begins")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/gpu.json")
    options = parser.parse_args(arguments)
    if gpu is None and not torch.cuda.is_available():
        print("gpu: no GPU that torch can use; nothing is measured", file=sys.stderr)
        return 2
    gpu = gpu or Gpu()
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    machine = {"device": gpu.name(), "system": platform.platform(terse=True), "cuda": torch.version.cuda}
    report = {"machine": machine, "versions": versions(), **measure(gpu, options.seconds)}
    print(*map(shown, report["targets"]), sep="\n")
    if options.json:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(t["met"] for t in report["targets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
