"""Every committed solver has the order that its claims state: proved on its own code, and measured with it.

Nobody types an order twice: what is expected comes from ``claims.json``.
"""

from __future__ import annotations

import json
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import pytest

from derive.analysis.jet_module import broken_identities, certify_global, certify_module
from derive.check import unrepeated
from derive.measure.march import Emitted, emitted
from derive.measure.order import GRIDS, measured_global_order, measured_order
from tests.measure.hand_written import module as hand_written
from tests.measure.hand_written import solver as with_steps

GENERATED = Path(__file__).resolve().parents[2] / "generated"
NAMES = sorted(p.parent.name for p in GENERATED.glob("*/claims.json"))
ORDERED = [n for n in NAMES if '"law"' not in (GENERATED / n / "claims.json").read_text(encoding="utf-8")]
SMOOTH = [n for n in ORDERED if " linear(" not in (GENERATED / n / "coefficients.py").read_text(encoding="utf-8")]
"""All but schedules joined by straight lines, which have no order at their knots."""


def solver(name: str) -> tuple[ModuleType, dict]:
    """The coefficients and the claims of a committed solver."""
    claims = json.loads((GENERATED / name / "claims.json").read_text(encoding="utf-8"))
    return import_module(f"generated.{name}.coefficients"), claims


REPEATED = [n for n in SMOOTH if not unrepeated(emitted(solver(n)[0]))]
"""All but tables of decisions that no longer table can be made of."""
SERIES = [n for n in REPEATED if "decimals" not in solver(n)[1]["proof"]]
"""All whose numbers are exact: decimals of an exact method have its order on real numbers only."""
FEW = REPEATED[::8]


@pytest.mark.parametrize("name", SERIES)
def test_emitted_code_is_proved_to_have_its_order(name: str) -> None:
    coefficients, claims = solver(name)
    found = certify_module(coefficients)
    assert found.order == claims["order"] and found.leading


@pytest.mark.parametrize("dimension", [1, 3])
def test_the_proof_does_not_depend_on_the_dimension(dimension: int) -> None:
    coefficients, _ = solver("dpmpp_3m")
    assert certify_module(coefficients, dimension=dimension).order == 3
    assert certify_global(coefficients, dimension=dimension) == 2


@pytest.mark.parametrize("name", SERIES)
def test_emitted_code_is_proved_to_have_its_order_from_its_start_to_its_end(name: str) -> None:
    coefficients, claims = solver(name)
    assert certify_global(coefficients) == claims["global_order"]


@pytest.mark.parametrize("name", [n for n in SERIES if not emitted(solver(n)[0]).table])
def test_rows_of_lower_order_are_proved_to_have_theirs(name: str) -> None:
    coefficients, claims = solver(name)
    orders = [certify_module(coefficients, k).order for k in range(1, len(coefficients.ROWS) + 1)]
    assert orders == claims["row_orders"]


@pytest.mark.parametrize("name", SERIES)
def test_emitted_schedules_do_not_contradict_themselves(name: str) -> None:
    assert broken_identities(solver(name)[0]) == ()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_hand_written_rows(steps: int) -> None:
    code = importable(hand_written(3))
    assert certify_module(with_steps(code), steps).order == steps
    assert certify_module(with_steps(importable(hand_written(3, Fraction(1, 2)))), 3).order == 2


def importable(code: SimpleNamespace) -> SimpleNamespace:
    """The hand-written solver with the names of its module around it, as a generated file has them."""
    return SimpleNamespace(**{**vars(import_module("tests.measure.hand_written")), **vars(code)})


def shapes() -> list[str]:
    """One solver of each shape: stages, a corrector, a starter, quadrature, neither."""
    found: dict[tuple, str] = {}
    for name in SERIES:
        code = solver(name)[0]
        shape = (callable(code.ROWS[-1]), bool(code.CORRECTORS), bool(code.BEGIN), hasattr(code, "weight"))
        if code.STEPS > 1 or not callable(code.ROWS[-1]):
            found.setdefault(shape, name)
    return list(found.values())


CURVES = ("span", "sigma", "alpha", "rho", "denoised")


@pytest.mark.parametrize("name", shapes())
def test_every_constant_of_every_row_matters(name: str) -> None:
    """Each number in the emitted functions, changed by 1 or by 1e-9 of itself, costs the order (or does not run)."""
    coefficients, claims = solver(name)
    last = coefficients.ROWS[-1]
    reached = [last] if callable(last) else [*last, coefficients.inner]
    reached += [*coefficients.CORRECTORS[-1:], *(getattr(coefficients, c) for c in CURVES)]
    tried = 0
    for function in reached:
        for changed in variants(function.__code__, coefficients.DOMAIN[1]):
            tried += 1
            order = certified(mutated(coefficients, function, changed))
            assert order < claims["order"], f"{name}.{function.__name__}: {changed.co_consts}"
    assert tried > 0


def certified(solver: Emitted) -> int:
    """The order on jets; -1 where the code does not run."""
    try:
        return certify_module(solver).order
    except (ArithmeticError, TypeError, ValueError, IndexError, KeyError):
        return -1


STARTED = [n for n in SERIES if solver(n)[0].BEGIN and solver(n)[1]["start_order"] + 1 == solver(n)[1]["global_order"]]


@pytest.mark.parametrize("name", STARTED)
def test_every_constant_of_a_starter_matters(name: str) -> None:
    """A starter is used O(1) times: an error in it costs global order, where it is the start that limits it."""
    coefficients, claims = solver(name)
    for function in coefficients.BEGIN:
        for changed in variants(function.__code__, coefficients.DOMAIN[1]):
            mutant = mutated(coefficients, function, changed)
            try:
                order = certify_global(mutant)
            except (ArithmeticError, TypeError, ValueError, IndexError, KeyError):
                continue
            assert order < claims["global_order"], f"{name}.{function.__name__}: {changed.co_consts}"


@pytest.mark.parametrize("name", shapes())
def test_a_step_that_combines_otherwise_is_seen(name: str) -> None:
    """The last phase with its newest integrand counted twice."""
    coefficients, claims = solver(name)
    good = emitted(coefficients)

    def wrong(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
        new, kept = good.steps["main"](x, raw, m, c)
        return new + c[1] * raw, kept

    assert certified(Emitted(coefficients, {**good.steps, "main": wrong})) < claims["order"]


def variants(code: CodeType, data: float) -> list[CodeType]:
    """The code with one number replaced, but for zeros (columns of other phases) and where an integral is told that the
    data end lies (``data``)."""
    out = []
    integrates = {"moments", "propagated", "integral"} & {*code.co_names}
    for i, value in enumerate(code.co_consts):
        if not value or (integrates and value == data):
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            for changed in (value + 1, value * (1 + Fraction(1, 10**9))):
                if changed != value:
                    out.append(code.replace(co_consts=(*code.co_consts[:i], changed, *code.co_consts[i + 1 :])))
    return out


def mutated(coefficients: ModuleType, function: FunctionType, code: CodeType) -> Emitted:
    """The solver with one function that has other code."""
    replacement = FunctionType(code, function.__globals__, function.__name__)

    def swapped(value: Any) -> Any:
        if value is function:
            return replacement
        return tuple(map(swapped, value)) if type(value) is tuple else value

    names = {name: swapped(value) for name, value in vars(coefficients).items()}
    return Emitted(SimpleNamespace(**names), emitted(coefficients).steps)


@pytest.mark.parametrize("name", FEW)
def test_measured_orders_of_some_solvers(name: str) -> None:
    coefficients, claims = solver(name)
    fit = measured_order(coefficients, cap=4096)
    assert fit.order == claims["order"], str(fit)


@pytest.mark.slow
@pytest.mark.parametrize("grid", tuple(GRIDS))
@pytest.mark.parametrize("name", REPEATED)
def test_measured_orders_of_all_solvers(name: str, grid: str) -> None:
    coefficients, claims = solver(name)
    fit = measured_order(coefficients, grid=grid)
    assert fit.order == claims["order"], str(fit)
    if claims.get("global_order") is not None:
        fit = measured_global_order(coefficients, grid=grid)
        assert fit.order == claims["global_order"], str(fit)
