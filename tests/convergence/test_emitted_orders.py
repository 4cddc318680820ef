"""Every committed solver has the order that its claims state: proved on its own code, and measured with it.

Nobody types an order twice: what is expected comes from ``claims.json``.
"""

from __future__ import annotations

import json
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType, SimpleNamespace

import pytest

from derive.analysis.jet_module import broken_identities, certify_module
from derive.measure.order import GRIDS, measured_global_order, measured_order
from tests.measure.hand_written import module as hand_written

GENERATED = Path(__file__).resolve().parents[2] / "generated"
NAMES = sorted(p.parent.name for p in GENERATED.glob("*/claims.json"))
SMOOTH = [n for n in NAMES if " linear(" not in (GENERATED / n / "coefficients.py").read_text(encoding="utf-8")]
"""All but schedules joined by straight lines, which have no order at their knots."""
FEW = SMOOTH[::6]


def solver(name: str) -> tuple[ModuleType, dict]:
    """The coefficients and the claims of a committed solver."""
    claims = json.loads((GENERATED / name / "claims.json").read_text(encoding="utf-8"))
    return import_module(f"generated.{name}.coefficients"), claims


@pytest.mark.parametrize("name", SMOOTH)
def test_emitted_rows_are_proved_to_have_their_order(name: str) -> None:
    coefficients, claims = solver(name)
    found = certify_module(coefficients)
    assert found.order == claims["order"] and found.leading


@pytest.mark.parametrize("name", SMOOTH)
def test_emitted_schedules_do_not_contradict_themselves(name: str) -> None:
    assert broken_identities(solver(name)[0]) == ()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_hand_written_rows(steps: int) -> None:
    code = importable(hand_written(3))
    assert certify_module(code, steps).order == steps
    assert certify_module(importable(hand_written(3, Fraction(1, 2))), 3).order == 2


def importable(code: SimpleNamespace) -> SimpleNamespace:
    """The hand-written solver with the names of its module around it, as a generated file has them."""
    return SimpleNamespace(**{**vars(import_module("tests.measure.hand_written")), **vars(code)})


def test_every_constant_of_every_row_matters() -> None:
    """Each number in the emitted functions, changed by 1 or by 1e-9 of itself, costs the order (or does not run)."""
    names = [n for n in SMOOTH if solver(n)[0].STEPS > 1][:4]
    for name in names:
        coefficients, claims = solver(name)
        reached = [coefficients.ROWS[-1].__name__, "span", "sigma", "alpha", "rho", "denoised"]
        for function in reached:
            for changed in variants(getattr(coefficients, function).__code__):
                mutant = mutated(coefficients, function, changed)
                try:
                    order = certify_module(mutant).order
                except (ArithmeticError, TypeError, ValueError, IndexError, KeyError):
                    continue
                assert order < claims["order"], f"{name}.{function}: {changed.co_consts}"


def variants(code: CodeType) -> list[CodeType]:
    """The code with one numeric constant replaced."""
    out = []
    for i, value in enumerate(code.co_consts):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            for changed in (value + 1, value * (1 + Fraction(1, 10**9))):
                if changed != value:
                    out.append(code.replace(co_consts=(*code.co_consts[:i], changed, *code.co_consts[i + 1 :])))
    return out


def mutated(coefficients: ModuleType, function: str, code: CodeType) -> SimpleNamespace:
    """A copy of the module in which one function has other code."""
    original = getattr(coefficients, function)
    replacement = FunctionType(code, original.__globals__, function)
    names = dict(vars(coefficients)) | {function: replacement}
    names["ROWS"] = tuple(replacement if f is original else f for f in coefficients.ROWS)
    return SimpleNamespace(**names)


@pytest.mark.parametrize("name", FEW)
def test_measured_orders_of_some_solvers(name: str) -> None:
    coefficients, claims = solver(name)
    fit = measured_order(coefficients)
    assert fit.order == claims["order"], str(fit)


@pytest.mark.slow
@pytest.mark.parametrize("grid", tuple(GRIDS))
@pytest.mark.parametrize("name", SMOOTH)
def test_measured_orders_of_all_solvers(name: str, grid: str) -> None:
    coefficients, claims = solver(name)
    fit = measured_order(coefficients, grid=grid)
    assert fit.order == claims["order"], str(fit)
    if claims.get("global_order") is not None:
        fit = measured_global_order(coefficients, grid=grid)
        assert fit.order == claims["global_order"], str(fit)
