"""A generated ``coefficients`` module on other numbers: its functions, with the names that they import replaced.

The functions are plain arithmetic on whatever they are given; what ties them to 320 bits is what they import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any


def rebound(module: Any, number: Callable[[Any], Any], names: Mapping[str, Any]) -> SimpleNamespace:
    """The module's names: functions with ``names`` instead of what they import, Reals (abscissae) as ``number`` has them."""
    known: dict[str, Any] = dict(vars(module))
    own: dict[FunctionType, FunctionType] = {}
    for f in functions(tuple(known.values())):
        if f.__module__ == known["__name__"]:
            own[f] = FunctionType(f.__code__, known, f.__name__, f.__defaults__, f.__closure__)
    for name, value in list(known.items()):
        known[name] = _converted(value, own, number)
    known.update({name: value for name, value in names.items() if name in known})
    return SimpleNamespace(**known)


def functions(value: Any) -> list[FunctionType]:
    """Functions in tuples of tuples."""
    if isinstance(value, FunctionType):
        return [value]
    return [f for item in value for f in functions(item)] if type(value) is tuple else []


def _converted(value: Any, own: Mapping[FunctionType, FunctionType], number: Callable[[Any], Any]) -> Any:
    if isinstance(value, FunctionType):
        return own.get(value, value)
    if type(value) is tuple:
        return tuple(_converted(item, own, number) for item in value)
    return number(value) if hasattr(value, "_mpf_") and not isinstance(value, type) else value


__all__ = ["functions", "rebound"]
