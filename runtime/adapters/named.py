"""Solvers by name, as a configuration that is plain JSON has them."""

from __future__ import annotations

from importlib import import_module

from runtime.api import Solver

_GIVEN: dict[str, Solver] = {}
"""Solvers of folders other than ``generated`` that this process was given, by module."""


def named(solver: Solver | str) -> tuple[Solver, str]:
    """A Solver, and the name that brings it back: of one in ``generated`` its own, else its module's.

    No module is imported because a configuration names it, but for those in ``generated``.
    """
    if isinstance(solver, Solver):
        name = solver.name if solver._module == f"generated.{solver.name}" else solver._module
        if name == solver._module:
            _GIVEN[name] = solver
        return solver, name
    if not isinstance(solver, str):
        raise TypeError(f"solver: got {type(solver).__name__}; allowed: a Solver, or the name of one in generated/")
    if solver in _GIVEN:
        return _GIVEN[solver], solver
    module = f"generated.{solver}"
    try:
        if solver.isidentifier():
            return import_module(module).solver, solver
    except ModuleNotFoundError as error:
        if error.name not in (module, "generated"):
            raise
    raise ValueError(f"solver: got {solver!r}; allowed: the name of one in generated/, or a Solver")


__all__ = ["named"]
