"""What exists, for ``list``: a line each of schedules, families, grids, solvers, .. and the names other libraries have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from derive.errors import DeriveError
from derive.places import roots, solver_folders

FOLDERS: Mapping[str, str] = {
    "schedules": "derive.schedules",
    "parameterizations": "derive.predictions",
    "families": "derive.families",
    "problems": "derive.problems",
    "backends": "derive.backends",
}
"""What ``list`` knows as a folder of modules; grids are functions, and solvers are folders of generated files."""
SECTIONS = ("schedules", "parameterizations", "families", "grids", "problems", "solvers", "backends")


def entry_line(entry: Mapping[str, Any]) -> str:
    reference = f"  [{entry['reference']}]" if entry.get("reference") else ""
    return f"  {entry['name']:<22} {entry['summary']}{reference}"


def section(name: str) -> list[dict[str, Any]]:
    from derive import lookup

    if name == "solvers":
        return [_solver_entry(folder) for folder in solver_folders(roots())]
    if name == "grids":
        from runtime.grids import GRIDS

        return [{"name": kind, "summary": _first_line(GRIDS[kind]), "reference": ""} for kind in sorted(GRIDS)]
    package = FOLDERS[name]
    entries = [_module_entry(kind, lookup.load(package, kind)) for kind in lookup.names(package)]
    return entries + (_measuring() if name == "problems" else [])


def _measuring() -> list[dict[str, Any]]:
    """The problems that solvers are measured on: from Python, not as ``problem.kind`` of a spec."""
    from derive.measure.problems import PROBLEMS, REFERENCE

    return [
        {"name": kind, "summary": f"(to measure on) {_first_line(made)}", "reference": REFERENCE}
        for kind, made in PROBLEMS.items()
    ]


def _module_entry(kind: str, module: ModuleType) -> dict[str, Any]:
    return {"name": kind, "summary": _first_line(module), "reference": getattr(module, "REFERENCE", "")}


def _first_line(thing: object) -> str:
    """The first line of a docstring in plain words: ``:func:`name` `` is name."""
    line = (thing.__doc__ or "").strip().partition("\n")[0]
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", line).replace("``", "")


def _solver_entry(folder: Path) -> dict[str, Any]:
    from derive import catalogue

    try:
        found = catalogue.entry(folder)
        references = ", ".join(map(str, found.claims.get("references", ())))
        return {"name": folder.name, "summary": found.summary, "reference": references}
    except (DeriveError, OSError, ValueError, LookupError, TypeError, AttributeError):
        remedy = f"its spec.yaml or claims.json cannot be read; try: python -m derive verify {folder.name}"
        return {"name": folder.name, "summary": remedy, "reference": ""}


LIBRARIES = {"diffusers": "diffusers", "a1111": "A1111", "comfyui": "ComfyUI", "kdiffusion": "k-diffusion"}
"""Keys of the name map, and what they are called."""


def aliases() -> list[dict[str, Any]]:
    """The name map: solver here, its order, calls of the network a step, its names elsewhere, where they differ."""
    text = (Path(__file__).resolve().parent / "imports" / "aliases.yaml").read_text(encoding="utf-8")
    return [{**dict.fromkeys((*LIBRARIES, "note"), ""), **entry} for entry in yaml.safe_load(text)]


def alias_lines() -> list[str]:
    """The name map as text: a line for each solver, its names elsewhere beside it."""
    lines = [f"{'here':<20} order calls  elsewhere"]
    for entry in aliases():
        names = [f"{said}: {entry[key]}" for key, said in LIBRARIES.items() if entry[key]]
        note = [f"({entry['note']})"] if entry["note"] else []
        lines.append(
            f"{entry['here']:<20} {entry['order']:>5} {entry['calls']:>5}  {'; '.join(names)} {''.join(note)}".rstrip()
        )
    return lines


__all__ = ["SECTIONS", "alias_lines", "aliases", "entry_line", "section"]
