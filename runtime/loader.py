"""load(): what the ``__init__.py`` of a generated package calls to become a solver."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from runtime.api import Solver

SCHEMA = 1
"""The generated-code contract that this runtime executes; raised when COLUMNS, rows or phases change meaning."""
_REMEDY = "run: python -m derive regenerate"


def load(path: str, coefficients: ModuleType, step: ModuleType) -> tuple[Solver, str, dict[str, Any]]:
    """(solver, text of spec.yaml, claims.json) of the generated package in folder ``path``.

    ImportError, one line with the command to run, if the package was generated for another runtime or is incomplete.
    """
    module = coefficients.__name__.rpartition(".")[0] or Path(path).name
    name = Path(path).name
    found = getattr(coefficients, "SCHEMA", None)
    if found != SCHEMA:
        raise ImportError(f"{name}: generated for schema {found}, this runtime has {SCHEMA}; {_REMEDY}", name=module)
    try:
        spec = Path(path, "spec.yaml").read_text(encoding="utf-8")
        claims = json.loads(Path(path, "claims.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImportError(f"{name}: {error}; {_REMEDY}", name=module, path=path) from None
    return Solver(name, module, coefficients, step), spec, claims


__all__ = ["SCHEMA", "load"]
