"""Where solvers are: a name or a path on the command line -> a folder or a spec file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from derive.errors import Fault, SpecError, near_miss, show


def roots() -> list[Path]:
    """Folders of generated solvers: the one here, then the one that ships with this package."""
    return list(dict.fromkeys(p.resolve() for p in (Path("generated"), Path(__file__).parent.parent / "generated")))


def solver_folders(places: Sequence[Path]) -> list[Path]:
    """Every folder with a spec, by name; the first root wins."""
    found: dict[str, Path] = {}
    for root in places:
        if root.is_dir():
            for folder in sorted(root.iterdir()):
                if (folder / "spec.yaml").is_file():
                    found.setdefault(folder.name, folder)
    return [found[name] for name in sorted(found)]


def solver_folder(target: str) -> Path:
    """A generated solver by path or by name."""
    if Path(target).is_dir() and (Path(target) / "spec.yaml").exists():
        return Path(os.path.abspath(target))
    known = {folder.name: folder for folder in solver_folders(roots())}
    if target in known:
        return known[target]
    raise SpecError(
        Fault(
            f"no generated solver: got {show(target)}; known: {', '.join(known) or 'none'}" + near_miss(target, known)
        )
    )


def spec_file(target: str) -> Path:
    """A spec by path, or that of a generated solver."""
    path = Path(target)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path
    return solver_folder(target) / "spec.yaml"
