"""What executes a generated solver: tabulate the coefficients on the host, combine tensors on the device.

``import runtime`` is cheap: nothing is loaded (torch, mpmath) before it is used.  ``runtime.real``,
``runtime.quadrature``, ``runtime.grids`` and ``runtime.tabulate`` never import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Solver": "api", "Plan": "plan", "State": "state", "load": "loader",
    "DeviceError": "errors", "LimitError": "errors", "NonFiniteError": "errors", "RuntimeFault": "errors",
    "ShapeError": "errors", "StaleStateError": "errors",
}  # fmt: skip
_MODULES = (
    "api", "checks", "errors", "grids", "inverse", "itinerary", "loader", "plan", "planning", "quadrature", "real",
    "solve", "state", "tabulate",
)  # fmt: skip

__all__ = [
    "DeviceError", "LimitError", "NonFiniteError", "Plan", "RuntimeFault", "ShapeError", "Solver", "StaleStateError",
    "State", "errors", "grids", "load", "quadrature", "real",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
