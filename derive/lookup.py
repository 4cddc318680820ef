"""The folder is the registry: a kind exists if its file does, and is loaded only when it is asked for."""

from __future__ import annotations

import importlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from derive.errors import Fault, SpecError, near_miss, show

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)

_ENTRY = {"derive.problems": "pose", "derive.backends": "FILE"}
"""What the module of a kind has to define, where it is not ``build``: modules without it are helpers of the folder."""


def folders(package: str) -> tuple[Path, ...]:
    """Where the modules of ``package`` (dotted name) lie."""
    spec = find_spec(package)
    return tuple(Path(place) for place in (spec.submodule_search_locations or ())) if spec else ()


@cache
def names(package: str) -> tuple[str, ...]:
    """The kinds that ``package`` (dotted name, such as ``derive.schedules``) holds, sorted."""
    entry = re.compile(rf"^(def )?{_ENTRY.get(package, 'build')}\b", re.MULTILINE)
    files = (file for folder in folders(package) for file in folder.glob("*.py") if _NAME.fullmatch(file.stem))
    return tuple(sorted({file.stem for file in files if entry.search(file.read_text("utf-8"))}))


def load(package: str, kind: str) -> ModuleType:
    """The module of ``kind``. Raises SpecError (without a place) that lists what exists if there is no such file."""
    known = names(package)
    if kind not in known:
        raise SpecError(Fault(unknown(package, kind)))
    return importlib.import_module(f"{package}.{kind}")


def unknown(package: str, kind: str) -> str:
    """What to say about a kind that does not exist."""
    known = names(package)
    noun = package.rpartition(".")[2].rstrip("s").replace("familie", "family")
    return f"got {show(kind)}; allowed for a {noun}: {', '.join(known) or 'none yet'}" + near_miss(kind, known)


def summary(module: ModuleType) -> str:
    """The first line of a module's docstring: what ``list`` prints."""
    return (module.__doc__ or "").strip().partition("\n")[0]
