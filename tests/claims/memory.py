"""Functions of ``coefficients.py`` that compute each value once, in all the tuples that name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from types import ModuleType
from typing import Any

TUPLES = (
    "ROWS", "BEGIN", "CORRECTORS", "ERROR", "TO_SIGMA_ZERO", "FROM_SIGMA_ZERO", "TO_ALPHA_ZERO", "FROM_ALPHA_ZERO",
)  # fmt: skip
"""Names of a module that hold functions which return rows, in tuples of tuples."""


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a memory: it never returns None."""
    known: dict[tuple, Any] = {}

    @wraps(function)
    def row(*args: Any) -> Any:
        found = known.get(args)
        if found is None:
            found = known[args] = function(*args)
        return found

    return row


def named(value: Any) -> Iterator[Callable[..., Any]]:
    """The functions in tuples of tuples."""
    if isinstance(value, tuple):
        for item in value:
            yield from named(item)
    elif callable(value):
        yield value


def replaced(value: Any, table: Mapping[str, Any]) -> Any:
    """The tuples with the functions of ``table`` by name."""
    if isinstance(value, tuple):
        return tuple(replaced(item, table) for item in value)
    return table.get(value.__name__, value) if callable(value) else value


def remembering(module: ModuleType) -> dict[str, Any]:
    """Names of the module whose values are computed once: grid points, and the tuples of its rows."""
    table = {f.__name__: remembered(f) for name in TUPLES for f in named(getattr(module, name))}
    found = {name: replaced(getattr(module, name), table) for name in TUPLES}
    return found | {name: remembered(getattr(module, name)) for name in ("node", "inner") if hasattr(module, name)}
