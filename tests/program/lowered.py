"""Coefficient modules of small specs, without proof and emission, and the exact values of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sympy as sp

from derive.pipeline import pose, resolve, tabulate
from derive.program.coefficients import CoefficientModule, Function
from derive.program.ir import Program
from derive.program.lower import coefficients
from derive.program.passes import optimise
from derive.program.phases import lower
from derive.program.rows import Lowering
from derive.spec import read_spec_text

SPEC = """\
name: lowered
problem: {{kind: diffusion, schedule: {schedule}, prediction: {prediction}}}
method: {{{method}, integrand: {integrand}, variable: {variable}}}
"""
FLOW = "{kind: flow}"


@cache
def lowering(method: str, prediction: str, integrand: str, variable: str, schedule: str = FLOW) -> Lowering:
    """What is known before the first function is written."""
    spec = read_spec_text(SPEC.format(
        method=method, prediction=prediction, integrand=integrand, variable=variable, schedule=schedule
    ))  # fmt: skip
    path, quantity, integrands = resolve(spec)
    problem = pose(spec, path, quantity, integrands)
    tableau = tabulate(spec, problem, integrands)
    program: Program = optimise(lower(tableau, problem, spec.name, False))
    return Lowering(tableau, problem, program, None)


def lowered(method: str, prediction: str, integrand: str, variable: str, schedule: str = FLOW) -> CoefficientModule:
    """The module of the method, fed with t."""
    low = lowering(method, prediction, integrand, variable, schedule)
    return coefficients(low.tableau, low.problem, low.program, sp.Symbol("t"), None, ())


def function(module: CoefficientModule, name: str) -> Function:
    """The function of that name."""
    (found,) = (f for f in module.functions if f.name == name)
    return found


def worth(module: CoefficientModule, name: str, at: Mapping[str, Any]) -> dict[str, sp.Expr]:
    """The columns of a row that calls nothing, as functions of the symbols that ``at`` has no value for."""
    row = function(module, name)
    (columns,) = (value for key, value, _ in module.constants if key == "COLUMNS")
    known = {sp.Symbol(key): value for key, value in at.items()}
    for assign in row.body:
        assert assign.value is not None and not assign.call
        known[sp.Symbol(assign.targets[0])] = assign.value.subs(known)
    return {column: value.subs(known) for column, value in zip(columns, row.returns, strict=True)}


def flow(**times: sp.Rational) -> dict[str, sp.Rational]:
    """alpha = 1 - t and sigma = t at the named grid points."""
    return {f"{name}.alpha": 1 - time for name, time in times.items()} | {
        f"{name}.sigma": t for name, t in times.items()
    }
