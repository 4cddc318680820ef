"""What the coefficient names of a program are worth: named functions of grid nodes, as SymPy expressions with a place to live.

One :class:`CoefficientModule` becomes one ``coefficients.py``. Symbols in a function's expressions are its arguments, its
earlier assignments, ``s.FIELD`` / ``t.FIELD`` (fields of a :class:`Node` argument) and ``h[j]`` (chart steps, newest first).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from derive.schedules import Table


@dataclass(frozen=True, slots=True)
class Assign:
    """``targets = value``. One target: an expression. Several: the call ``call(*args)`` that returns a tuple.

    ``call`` is one of the names that ``runtime.real`` / ``runtime.quadrature`` export: ``phis(n, z)`` -> (phi_1..phi_n),
    ``moments(weight, chart, s, t, count, ...)``. ``comment`` goes behind the line.
    """

    targets: tuple[str, ...]
    value: sp.Expr | None = None
    call: str = ""
    args: tuple[Any, ...] = ()
    """For ``call``: SymPy expressions, ints, or strings (names of functions of this module, or ``"s.t"``)."""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """``def name(args): "doc"; body; return returns`` (one expression, or a tuple)."""

    name: str
    args: tuple[str, ...]
    doc: str
    body: tuple[Assign, ...]
    returns: tuple[sp.Expr, ...]
    bare: bool = True
    """Return the single expression itself rather than a 1-tuple (ignored for several)."""


Numbers = tuple[sp.Expr | tuple[sp.Expr, ...], ...]
Rows = tuple[str | tuple[str, ...], ...]


def flat(rows: Rows) -> tuple[str, ...]:
    """Every function that the tuple names."""
    return tuple(name for entry in rows for name in ((entry,) if isinstance(entry, str) else entry))


@dataclass(frozen=True, slots=True)
class CoefficientModule:
    """Everything ``coefficients.py`` holds, in printing order.

    constants: module-level literals (name, value, comment), e.g. ``("STEPS", 3, "")``: int, float, str, tuple, dict of such.
    tables: data curves that ``tabulated(name, t)`` refers to, printed as literals.
    node: fields of ``class Node`` after ``t``: (name, function of this module that computes it from t).
    functions: schedule functions, ``chart``/``span``, rows, ``time``, ``denoised`` in order.
    numbers: name of a tuple -> exact numbers, nested like ``tuples``.
    tuples: name of a tuple -> names of functions, by order; a scheme with several network calls is a tuple of its own.
    """

    constants: tuple[tuple[str, Any, str], ...]
    node: tuple[tuple[str, str], ...]
    functions: tuple[Function, ...]
    tuples: Mapping[str, Rows]
    numbers: Mapping[str, Numbers]
    tables: Mapping[str, Table] = field(default_factory=dict)
