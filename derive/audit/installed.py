"""Whole packages: the schedulers of diffusers and the samplers of k-diffusion as they are installed, each a row of a table."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from derive.audit.adapters import adapted
from derive.audit.finding import Audit
from derive.errors import Fault, SpecError

Entry = tuple[str, Mapping[str, object]]
SDE = {"algorithm_type": "sde-dpmsolver++"}
NOISE = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
DIFFUSERS: tuple[Entry, ...] = (
    ("DDIMScheduler", {}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun"}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3, **NOISE}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2, **SDE}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3, **SDE}),
    (
        "DPMSolverMultistepScheduler",
        {"solver_order": 3, "algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    ("DPMSolverMultistepInverseScheduler", {"solver_order": 3}),
    ("DPMSolverSinglestepScheduler", {"solver_order": 2}),
    ("DPMSolverSinglestepScheduler", {"solver_order": 3}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 2}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3, **SDE}),
    ("CosineDPMSolverMultistepScheduler", {"solver_order": 2}),
    ("UniPCMultistepScheduler", {"solver_order": 2}),
    ("UniPCMultistepScheduler", {"solver_order": 2, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 2}),
    ("DEISMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 4}),
    ("SASolverScheduler", {}),
    ("SASolverScheduler", {"predictor_order": 3, "corrector_order": 3}),
    ("EulerDiscreteScheduler", {}),
    ("EDMEulerScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    ("IPNDMScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {}),
    ("FlowMatchHeunDiscreteScheduler", {}),
)
K_DIFFUSION: tuple[Entry, ...] = (
    ("sample_euler", {}),
    ("sample_euler_ancestral", {"eta": 0.0}),
    ("sample_heun", {}),
    ("sample_dpm_2", {}),
    ("sample_dpm_2_ancestral", {"eta": 0.0}),
    ("sample_lms", {}),
    ("sample_dpmpp_2m", {}),
    ("sample_dpmpp_2m_sde", {"eta": 0.0, "solver_type": "heun"}),
    ("sample_dpmpp_2m_sde", {"eta": 1.0}),
    ("sample_dpmpp_3m_sde", {"eta": 0.0}),
    ("sample_dpmpp_3m_sde", {"eta": 1.0}),
    ("sample_dpmpp_2s_ancestral", {"eta": 0.0}),
    ("sample_dpmpp_sde", {"eta": 0.0}),
)


@dataclass(frozen=True, slots=True)
class Package:
    """name: of its distribution; module: where its targets are; ending: of the names that are targets, at either end."""

    name: str
    module: str
    shown: str
    entries: tuple[Entry, ...]
    ending: str


PACKAGES = {
    "diffusers": Package("diffusers", "diffusers", "diffusers", DIFFUSERS, "Scheduler"),
    "k-diffusion": Package("k-diffusion", "k_diffusion.sampling", "k-diffusion", K_DIFFUSION, "sample_"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A target with its configuration, and its audit or why there is none."""

    target: str
    config: Mapping[str, object]
    found: Audit | None
    refused: str = ""

    @property
    def arguments(self) -> str:
        """What follows ``python -m derive audit``."""
        return " ".join((self.target, *(f"--config {key}={value}" for key, value in self.config.items())))


def package(name: str) -> Package:
    """SpecError for a name that is none, or a package that is not installed."""
    found = PACKAGES.get(name)
    if found is None:
        raise SpecError(Fault(f"got {name!r}; allowed: {', '.join(PACKAGES)}", "audit: --all"))
    if find_spec(found.module.split(".")[0]) is None:
        raise SpecError(Fault(f"{found.name} is not installed", "audit: --all"))
    return found


def rows(chosen: Package, said: Callable[[str], None] = lambda text: None) -> Iterator[Row]:
    """Every entry, audited."""
    for name, config in chosen.entries:
        target = f"{chosen.module}:{name}"
        said(f"auditing {target} ...")
        try:
            yield Row(target, config, adapted(target, dict(config), None))
        except SpecError as error:
            yield Row(target, config, None, str(error))


def left_out(chosen: Package) -> list[str]:
    """Targets of the package that are not among its entries."""
    module = importlib.import_module(chosen.module)
    known = {name for name, _ in chosen.entries}
    names = [n for n in dir(module) if n.endswith(chosen.ending) or n.startswith(chosen.ending)]
    return [n for n in names if n not in known and (inspect.isfunction(getattr(module, n)) or _steps(module, n))]


def _steps(module: Any, name: str) -> bool:
    value = getattr(module, name)
    return inspect.isclass(value) and hasattr(value, "set_timesteps") and hasattr(value, "step")


HEAD = "| target | claimed | found | because | whole run | measured | exact | float32 digits lost | GPU: launches, syncs a step |"


def markdown(chosen: Package, found: Sequence[Row]) -> list[str]:
    """The published table of a package."""
    out = [f"## {chosen.shown} {version(chosen.name)}", "", HEAD, "|" + "---|" * HEAD.count("|", 1)]
    out += [_line(row) for row in found]
    others = left_out(chosen)
    if others:
        out += [
            "",
            "Not audited (no order is claimed, or the grid cannot be replaced): "
            + ", ".join(f"`{n}`" for n in others)
            + ".",
        ]
    return [*out, ""]


def _line(row: Row) -> str:
    found = row.found
    if found is None:
        return f"| `{row.arguments}` | | | {row.refused} | | | | | |"
    claim = found.claims[0]
    whole = next((str(c.found) for c in found.claims if c.name == "order of a whole run"), "")
    mark = "" if claim.holds else "**"
    lost = next((note.rsplit("(", 1)[1].split(" of")[0] for note in found.notes if note.startswith("float32")), "")
    cost = next((note for note in found.notes if "launches" in note), "")
    launches = ", ".join(part.split()[0] for part in cost.partition(": ")[2].split(", ")[:2]) if cost else ""
    measured = "" if "measured_order" not in found.data else "not decided"
    if found.data.get("measured_order") is not None:
        measured = str(found.data["measured_estimate"])
    claimed = "-" if claim.claimed is None else claim.claimed
    order = "does not run" if claim.found is None else claim.found
    because = found.failures[0] if claim.found is None and found.failures else claim.because
    exact = ("yes" if found.data["exact"] else "no") if "exact" in found.data else ""
    cells = (f"`{row.arguments}`", claimed, f"{mark}{order}{mark}", because, whole, measured, exact, lost, launches)
    return "| " + " | ".join(map(str, cells)) + " |"


def screen(chosen: Package, found: Sequence[Row]) -> list[str]:
    """A line a target."""
    cells = [("target", "verdict", "claimed", "found", "because")]
    for row in found:
        claim = row.found.claims[0] if row.found else None
        if row.found is None or claim is None:
            cells.append((row.arguments, "not audited", "-", "-", row.refused))
            continue
        said = "-" if claim.claimed is None else str(claim.claimed)
        cells.append((row.arguments, row.found.verdict, said, str(claim.found), claim.because))
    widths = [max(len(line[j]) for line in cells) for j in range(4)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(line, widths)), line[4]]).rstrip() for line in cells]
    return [f"{chosen.shown} {version(chosen.name)}", *lines]


__all__ = ["PACKAGES", "Package", "Row", "left_out", "markdown", "package", "rows", "screen"]
