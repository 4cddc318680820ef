"""load(): what the ``__init__.py`` of a generated package calls to become a solver."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from runtime.api import Solver

SCHEMA = 2
"""The generated-code contract that this runtime executes; raised when COLUMNS, rows or phases change meaning."""
_REMEDY = "run: python -m derive regenerate"


class Claims(dict[str, Any]):
    """A dict that refuses every change: TypeError. Equal to, printed and dumped as JSON like the dict it was made of."""

    __slots__ = ()

    def _refuse(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError("claims are read-only; dict(CLAIMS) is a copy that can be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple:
        return Claims, (dict(self),)


def _frozen(value: Any) -> Any:
    """A JSON value with its objects as Claims and its arrays as tuples."""
    if isinstance(value, dict):
        return Claims({k: _frozen(v) for k, v in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def load(path: str, coefficients: ModuleType, step: ModuleType) -> tuple[Solver, str, Claims]:
    """(solver, text of spec.yaml, claims.json read-only) of the generated package in folder ``path``.

    ImportError, one line with the command to run, if the package was generated for another runtime or is incomplete.
    """
    module = coefficients.__name__.rpartition(".")[0] or Path(path).name
    name = Path(path).name
    found = getattr(coefficients, "SCHEMA", None)
    if found != SCHEMA:
        raise ImportError(f"{name}: generated for schema {found}, this runtime has {SCHEMA}; {_REMEDY}", name=module)
    try:
        spec = Path(path, "spec.yaml").read_text(encoding="utf-8")
        claims = _frozen(json.loads(Path(path, "claims.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ImportError(f"{name}: {error}; {_REMEDY}", name=module, path=path) from None
    return Solver(name, module, coefficients, step), spec, claims


__all__ = ["SCHEMA", "Claims", "load"]
