"""Audits the schedulers of diffusers and the samplers of k-diffusion as they are installed; prints a table in Markdown.

    python examples/audit_installed.py > docs/audit/installed.md

Takes a few minutes. What is not installed is left out.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from derive.audit.adapters import adapted
from derive.audit.finding import Audit
from derive.errors import SpecError

DIFFUSERS: list[tuple[str, dict[str, object]]] = [
    ("DDIMScheduler", {}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun"}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    (
        "DPMSolverMultistepScheduler",
        {"solver_order": 3, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    ("DPMSolverMultistepScheduler", {"solver_order": 2, "algorithm_type": "sde-dpmsolver++"}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"}),
    ("DPMSolverSinglestepScheduler", {"solver_order": 2}),
    ("DPMSolverSinglestepScheduler", {"solver_order": 3}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 2}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3}),
    ("UniPCMultistepScheduler", {"solver_order": 2}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 2}),
    ("DEISMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 4}),
    ("EulerDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    ("IPNDMScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {}),
    ("FlowMatchHeunDiscreteScheduler", {}),
]
K_DIFFUSION: list[tuple[str, dict[str, object]]] = [
    ("sample_euler", {}),
    ("sample_heun", {}),
    ("sample_dpm_2", {}),
    ("sample_lms", {}),
    ("sample_dpmpp_2m", {}),
    ("sample_dpmpp_2m_sde", {"eta": 1.0}),
    ("sample_dpmpp_3m_sde", {"eta": 0.0}),
    ("sample_dpmpp_3m_sde", {"eta": 1.0}),
    ("sample_dpmpp_2s_ancestral", {"eta": 0.0}),
    ("sample_dpmpp_sde", {"eta": 0.0}),
]
HEAD = (
    "| target | claimed | found | because | whole run | measured | float32 digits lost | GPU: launches, syncs a step |"
)


def line(name: str, config: dict[str, object], found: Audit) -> str:
    """One row."""
    said = ", ".join(f"{key}={value}" for key, value in config.items())
    claim, whole = found.claims[:2]
    mark = "**" if not found.holds else ""
    lost = next((note.rsplit("(", 1)[1].split(" of")[0] for note in found.notes if note.startswith("float32")), "")
    cost = next((note for note in found.notes if "launches" in note), "")
    launches = ", ".join(part.split()[0] for part in cost.partition(": ")[2].split(", ")[:2]) if cost else ""
    cells = (f"`{name}` {said}", claim.claimed, f"{mark}{claim.found}{mark}", claim.because, whole.found)
    measured = found.data["measured_estimate"] if found.data["measured_order"] is not None else "not decided"
    return "| " + " | ".join(map(str, (*cells, measured, lost, launches))) + " |"


def table(title: str, module: str, entries: list[tuple[str, dict[str, object]]]) -> list[str]:
    """A table of one package."""
    out = [f"## {title}", "", HEAD, "|---|---|---|---|---|---|---|---|"]
    for name, config in entries:
        try:
            out.append(line(name, config, adapted(f"{module}:{name}", dict(config), None)))
        except SpecError as error:
            out.append(f"| `{name}` | | | {error} | | | | |")
    return [*out, ""]


def main() -> None:
    """Prints the page."""
    print(
        "# Audits of installed packages\n\nWritten by `examples/audit_installed.py`. Bold: lower than what is claimed.\n"
    )
    if find_spec("diffusers"):
        print("\n".join(table(f"diffusers {version('diffusers')}", "diffusers", DIFFUSERS)))
    if find_spec("k_diffusion"):
        print("\n".join(table(f"k-diffusion {version('k-diffusion')}", "k_diffusion.sampling", K_DIFFUSION)))


if __name__ == "__main__":
    main()
