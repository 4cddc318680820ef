"""What bfloat16 costs a solve: the error of a sample against a float64 run of the same solver, ours and diffusers'.

The network is the exact denoiser of a Gaussian mixture, its input and its output rounded to bfloat16. Two errors: `own`
is against a float64 run with the same rounded network, what the solver itself loses; `all` is against a float64 run with
the exact network, in which the network's own rounding is as well, and below which no solver comes. Ours is
``solver.loop`` on bfloat16: a state is kept as two numbers, the value that the network reads and the low part that it
has lost. Beside it two layouts: a plain bfloat16 state in the same kernel, and a float32 state.

    python benchmarks/half_precision.py [--json]

Needs diffusers for the comparison: pip install -c constraints.txt -e ".[bench]".
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.methods import DPM, SPECS, Derived, Method, derived
from benchmarks.rivals import Diffusers, Looped, installed
from benchmarks.timing import RESULTS

DENOISER = {"prediction_type": "sample"}
METHODS = {
    "ddim": Method("DDIM", SPECS / "ddim_denoiser.yaml", "DDIMScheduler", {"clip_sample": False, **DENOISER}),
    "dpmpp_2m": Method("DPM++ 2M", SPECS / "dpmpp_2m_denoiser.yaml", DPM, {"solver_order": 2, **DENOISER}),
    "unipc_2": Method(
        "UniPC-2", SPECS / "unipc_2_denoiser.yaml", "UniPCMultistepScheduler", {"solver_order": 2, **DENOISER}
    ),
}
CASES = (("ddim", 25), ("ddim", 50), ("dpmpp_2m", 25), ("dpmpp_2m", 50), ("unipc_2", 25), ("unipc_2", 50))
ASKED = {("dpmpp_2m", 25): 5.0, ("dpmpp_2m", 50): 10.0, ("unipc_2", 25): 5.0, ("unipc_2", 50): 10.0}
"""How many times smaller than that of diffusers our own error has to be."""
SAMPLES, DIMENSIONS, MODES = 1 << 14, 2, 6

Denoiser = Callable[[torch.Tensor, float, float], torch.Tensor]


def mixture() -> Denoiser:
    """E[x_0 | x] of a mixture of isotropic Gaussians, for x = alpha x_0 + sigma noise; float64."""
    draw = torch.Generator().manual_seed(7)
    means = torch.randn(MODES, DIMENSIONS, generator=draw, dtype=torch.float64)
    scales = 0.1 + 0.4 * torch.rand(MODES, generator=draw, dtype=torch.float64)

    def data(x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        x = x.double()
        variance = alpha**2 * scales**2 + sigma**2
        away = x[:, None] - alpha * means
        logs = -0.5 * (away**2).sum(-1) / variance - 0.5 * DIMENSIONS * variance.log()
        guesses = means + away * (alpha * scales**2 / variance)[:, None]
        return (logs.softmax(-1)[..., None] * guesses).sum(1)

    return data


def solved(runner: Any, made: Derived, plan: Any, data: Denoiser, half: bool) -> torch.Tensor:
    """The sample at the end; half: the network's input and output are bfloat16."""
    sigmas = made.sigmas(plan)
    runner.begin()
    for i in range(runner.calls):
        alpha = made.alphas(plan)[i]
        seen = runner.x.to(torch.bfloat16) if half else runner.x
        answer = data(seen, alpha, alpha * sigmas[i])
        runner.step(answer.to(torch.bfloat16).to(runner.x.dtype) if half else answer)
    return runner.end if isinstance(runner, Ours) else runner.x.double()


class Ours(Looped):
    """The state at the end in both its numbers."""

    @property
    def end(self) -> torch.Tensor:
        return self.loop.result(torch.float64)


class Plain(Ours):
    """The same kernel on a state without its low part."""

    def __init__(self, solver: Any, plan: Any, x: torch.Tensor) -> None:
        super().__init__(solver, plan, x)
        self.step = self.cut

    def cut(self, raw: torch.Tensor) -> None:
        self.loop.step(raw)
        self.loop.low.zero_()


def errors(method: str, steps: int, folder: Path) -> dict[str, Any]:
    """Root mean square errors over that of the sample itself."""
    made, data = derived(METHODS[method], folder), mixture()
    plan = made.plan(steps)
    noise = torch.randn(SAMPLES, DIMENSIONS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = (made.sigma(plan) * noise).bfloat16()

    def ours(x: torch.Tensor) -> Any:
        return Ours(made.solver, plan, x)

    def error(exact: Any, runner: Any) -> dict[str, float]:
        found = solved(runner(start), made, plan, data, half=True)
        against = {
            "own": solved(exact(start.double()), made, plan, data, half=True),
            "all": solved(exact(start.double()), made, plan, data, half=False),
        }
        return {name: float((found - x).norm() / x.norm()) for name, x in against.items()}

    out = {
        "method": method,
        "steps": steps,
        "two numbers": error(ours, ours),
        "plain": error(ours, lambda x: Plain(made.solver, plan, x)),
        "float32": error(ours, lambda x: ours(x.float())),
    }
    if installed("diffusers"):
        out["diffusers"] = error(*[lambda x: Diffusers(made, plan, x)] * 2)
        out["smaller"] = {name: out["diffusers"][name] / out["two numbers"][name] for name in ("own", "all")}
        out["asked"] = ASKED.get((method, steps))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON only, and write no file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [errors(method, steps, Path(folder)) for method, steps in CASES]
    report = {"versions": {"torch": torch.__version__, "diffusers": installed("diffusers")}, "errors": rows}
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        for row in rows:
            print(f"{row['method']}, {row['steps']} steps")
            for name, value in row.items():
                if isinstance(value, dict):
                    print(f"  {name:<12}" + "".join(f"  {kind} {number:8.2g}" for kind, number in value.items()))
        (RESULTS / "half_precision.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0 if all(row["smaller"]["own"] >= (row["asked"] or 0) for row in rows if "diffusers" in row) else 1


if __name__ == "__main__":
    sys.exit(main())
