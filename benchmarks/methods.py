"""What the benchmarks against other libraries compare: a solver of ours, and who else takes the same steps.

Every method is derived here from a spec of ours with the backend ``cuda`` added, so that each has its fused step. The
other libraries get our nodes: their sigmas are replaced by sigma/alpha at the nodes of our plan (DDIM's table of
alpha_bar likewise), their code stays as it is. So both make the same trajectory, and :func:`agreement` says how far
that holds.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.timing import ROOT
from derive import emit, gate, pipeline
from derive.backends._kernel import kernels
from derive.spec import read_spec
from runtime.real import real

SPECS = Path(__file__).resolve().parent / "specs"
_NUMBERS = itertools.count()
STEPS = 14
"""Of a solve: below 15, where diffusers lowers the order at the end as the papers and we do."""


@dataclass(frozen=True, slots=True)
class Method:
    """label: for people. spec: a file. scheduler, options: of diffusers. grid: options of ``plan``. k: of k-diffusion."""

    label: str
    spec: Path
    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    k: str | None = None


def shipped(name: str) -> Path:
    return ROOT / "generated" / name / "spec.yaml"


DPM = "DPMSolverMultistepScheduler"
METHODS = {
    "ddim": Method("DDIM", shipped("ddim"), "DDIMScheduler", {"clip_sample": False}, k="sample_euler"),
    "dpmpp_2m": Method("DPM++ 2M", shipped("dpmpp_2m_midpoint"), DPM, {"solver_order": 2}, k="sample_dpmpp_2m"),
    "dpmpp_3m": Method("DPM++ 3M", SPECS / "dpmpp_3m_published.yaml", DPM, {"solver_order": 3}),
    "unipc_2": Method("UniPC-2", shipped("unipc_2"), "UniPCMultistepScheduler", {"solver_order": 2}),
    "unipc_3": Method("UniPC-3", shipped("unipc_3"), "UniPCMultistepScheduler", {"solver_order": 3}),
    "deis_3": Method(
        "DEIS-3", shipped("unip_3"), "DEISMultistepScheduler", {"solver_order": 3}, {"t_end": 0.01, "final_zero": False}
    ),
    "heun": Method("Heun (EDM)", shipped("edm_heun"), "HeunDiscreteScheduler", k="sample_heun"),
    "flow_euler": Method("Flow Euler", SPECS / "flow_euler.yaml", "FlowMatchEulerDiscreteScheduler"),
}
"""UniP-3 on the noise prediction is DEIS in log rho, the only DEIS of diffusers; it divides 0 by 0 at sigma = 0, so its
grid ends before that."""


@dataclass(frozen=True, slots=True)
class Derived:
    """solver: ours. streams: how many the method reads and writes for one evaluation of the network; buffers: in how many
    different ones they lie.
    """

    method: Method
    solver: Any
    streams: float
    buffers: int

    def plan(self, steps: int = STEPS) -> Any:
        return self.solver.plan(steps=steps, **self.method.grid)

    def sigmas(self, plan: Any) -> list[float]:
        """sigma/alpha at the nodes; of a flow sigma itself, which is the t of its nodes."""
        code = self.solver.coefficients
        if self.method.scheduler.startswith("Flow"):
            return list(plan.nodes)
        return [float(code.rho(real(t))) for t in plan.nodes]

    def sigma(self, plan: Any) -> float:
        """Of the noise that a solve begins with."""
        return float(self.solver.coefficients.sigma(real(plan.nodes[0])))

    def alphas(self, plan: Any) -> list[float]:
        return [float(self.solver.coefficients.alpha(real(t))) for t in plan.nodes]


def derived(method: Method, folder: Path, backends: tuple[str, ...] = ("torch", "cuda")) -> Derived:
    """The method derived, proved and emitted with these backends into ``folder``, and imported."""
    made = pipeline.derive(read_spec(method.spec).with_backends(backends))
    files = emit.render(made)
    gate.check(files, made)
    package = f"phiforge_benchmarked_{next(_NUMBERS)}"  # a name of its own: modules and engines are kept by name
    place = folder / package / made.spec.name
    place.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    solver = importlib.import_module(f"{package}.{made.spec.name}").solver
    cost = json.loads(files["claims.json"])["cost"]
    scaled = "cin" in solver.coefficients.COLUMNS  # c_in x is one stream more that somebody has to write
    touched = max(len({place for _, place in (*k.loads, *k.stores)}) for k in kernels(made.program))
    streams = (cost["reads"] + cost["writes"]) / cost["kernels"]
    return Derived(method, solver, streams + scaled, touched + scaled)
