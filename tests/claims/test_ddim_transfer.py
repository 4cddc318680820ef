"""Constant weights on v, taken to the step of DDIM (PNDM with v): rows, orders, errors, and what is refused.

The rows are compared with Eq. 11 of Liu et al. (2022) on the noise that x_n and the combined v give, and the proof with
steps along an exact solution.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import mpmath
import pytest
import torch
from sympy import QQ

from derive.analysis.jet_module import certify_global, certify_module
from derive.analysis.jet_scheme import certify_scheme
from derive.analysis.numbers import Oracle
from derive.analysis.proof import prove_scheme
from derive.check import STEP_BOUND, ULPS, compare_rows, compare_step
from derive.errors import SpecError
from derive.measure.march import Emitted
from derive.pipeline import derive
from derive.spec import read_spec_text
from derive.symbolic.forms import constant
from derive.tableau import Scheme
from tests.claims.shipped import Shipped, written
from tests.claims.test_tables_of_decisions import UNEVEN, network, start

mp = mpmath.mp.clone()
mp.dps = 60
FOLDER = Path(mkdtemp(prefix="phiforge-ddim-"))
CIRCLE = '{kind: expression, alpha: "cos(pi*t/2)", sigma: "sin(pi*t/2)", t: [1, 0]}'
FIRST = "{order: 1, corrector: implicit, corrector_weights: midpoint}"
TABLE = f"family: decisions, table: [{FIRST}, {', '.join(f'{{order: {k}, weights: uniform}}' for k in (2, 3, 4, 4))}]"
PLMS = "family: linear_multistep, steps: 4, start: pseudo_rk4, final: keep"
METHODS = {"table": f"{TABLE}, variable: angle", "runge-kutta": f"{PLMS}, variable: t"}


LINEAR = "{kind: vp_linear}"


def text(method: str, schedule: str = LINEAR, integrand: str = "v", transfer: str = ", transfer: ddim") -> str:
    name = f"ddim_{len(list(FOLDER.iterdir()))}"
    problem = f"{{kind: diffusion, schedule: {schedule}, prediction: v}}"
    return f"name: {name}\nproblem: {problem}\nmethod: {{{method}, integrand: {integrand}{transfer}}}\n"


@pytest.fixture(scope="module", params=METHODS)
def solver(request: pytest.FixtureRequest) -> Shipped:
    return written(text(METHODS[request.param]), FOLDER)


def schemes(solver: Shipped) -> list[Scheme]:
    tableau = solver.derived.tableau
    return [*tableau.schemes, *([tableau.starter] if tableau.starter else [])]


def test_every_number_and_the_order_of_the_emitted_code(solver: Shipped) -> None:
    ulps, where = compare_rows(solver.coefficients, solver.derived)
    assert ulps <= ULPS, where
    assert compare_step(solver.coefficients, solver.step, solver.derived) <= STEP_BOUND
    proof = solver.derived.proof
    assert (certify_module(solver.emitted).order, certify_global(solver.emitted)) == (1, 1)
    assert (proof.order, proof.global_order, {p.order for p in proof.schemes}) == (1, 1, {1})


def test_the_rows_are_those_of_the_paper(solver: Shipped) -> None:
    """Eq. 11: x' = sqrt(b/a) x - (b - a) e/(sqrt(a) (sqrt((1 - b) a) + sqrt((1 - a) b))), a, b: alpha^2; e = alpha v + sigma x."""
    oracle = solver.oracle
    times = [mp.mpf(x) for x in (0.31, 0.44, 0.6, 0.7, 0.85)]
    for scheme in schemes(solver):
        for row in (*scheme.stages, scheme.output):
            end = oracle.place(row.end, times)
            a, b = ((mp.mpf(str(oracle.at(solver.derived.schedule.alpha, at)))) ** 2 for at in (times[1], end))
            noise = -(b - a) / (mp.sqrt(a) * (mp.sqrt((1 - b) * a) + mp.sqrt((1 - a) * b)))
            found = oracle.weights(row, times)
            kept = found.pop("a")
            assert abs(kept - mp.sqrt(b / a) - noise * mp.sqrt(1 - a)) < mp.mpf(10) ** -45
            assert abs(sum(found.values()) - noise * mp.sqrt(a)) < mp.mpf(10) ** -45


def test_a_share_that_is_off_is_refuted(solver: Shipped) -> None:
    """By the proof of a scheme, and by the emitted code on power series."""
    for scheme in schemes(solver):
        first, *others = scheme.output.given
        for factor, order in ((1, 1), (QQ(1001, 1000), 0)):
            given = (constant(first.at_zero * factor), *others)
            assert certify_scheme(replace(scheme, output=replace(scheme.output, given=given)), None).order == order
    name = "step_4" if solver.derived.tableau.table else "main"
    column = solver.coefficients.COLUMNS.index("b1")

    def spoilt(x: Any, raw: Any, m: Any, c: Any) -> Any:
        return solver.step.STEPS[name](x, raw, m, (*c[:column], 2 * c[column], *c[column + 1 :]))

    assert certify_module(Emitted(solver.coefficients, {**solver.step.STEPS, name: spoilt})).order == 0


def test_the_leading_error_is_that_of_a_step(solver: Shipped) -> None:
    """x = sin(3 phi + 1), v = 3 cos(3 phi + 1): exact - numerical is h^2 times half of the state, and of v' for one value."""
    derived = derive(read_spec_text(text(METHODS["table"], CIRCLE)))
    oracle = Oracle(derived.tableau, derived.problem)
    n = mp.mpf(2) / 5
    for scheme in schemes(solver)[1:4] if solver.derived.tableau.table else schemes(solver)[:1]:
        proof = prove_scheme(scheme, solver.derived.tableau.kernel)
        slope = proof.leading == "1/2 x + 1/2 v'"
        assert slope == (len(scheme.output.nodes) == 1) and (slope or proof.leading == "1/2 x")
        for h in (mp.mpf(10) ** -8, mp.mpf(10) ** -12):
            angles = [n + h - h * j for j in range(6)]
            row = oracle.weights(scheme.output, [2 * angle / mp.pi for angle in angles])
            found = mp.mpf(str(row.pop("a"))) * mp.sin(3 * n + 1)
            for column, weight in row.items():
                found += mp.mpf(str(weight)) * 3 * mp.cos(3 * angles[1 + int(column[1:])] + 1)
            error = (mp.sin(3 * angles[0] + 1) - found) / h**2
            want = mp.sin(3 * n + 1) / 2 - (9 * mp.sin(3 * n + 1) / 2 if slope else 0)
            assert abs(error - want) < 100 * h


def test_one_value_is_ddim_and_the_variable_is_nothing_to_a_table() -> None:
    single = "family: decisions, table: [{order: 1}, {order: 1}, {order: 1}]"
    one = written(text(f"{single}, variable: angle"), FOLDER)
    data = written(text(single, integrand="data", transfer=""), FOLDER)
    lam, rho = (written(text(f"{TABLE}, variable: {name}"), FOLDER) for name in ("lambda", "rho"))
    angle = written(text(METHODS["table"]), FOLDER)
    for a, b, nodes in ((one, data, UNEVEN[:4]), (lam, angle, UNEVEN[:6]), (rho, angle, (*UNEVEN[:5], 0.0))):
        x, y = (each.solver.sample(network, start(), nodes=nodes) for each in (a, b))
        torch.testing.assert_close(x, y, rtol=1e-13, atol=1e-13)


DECIDED = "family: decisions, table: [{{order: 1}}, {}]"
TWO = "family: decisions, table: [{order: 1, corrector: pseudo}, {order: 1}]"
REFUSED = [
    (METHODS["table"], LINEAR, "noise", "method.transfer", "with integrand noise; allowed: with v"),
    (METHODS["table"], "{kind: flow}", "v", "method.transfer", "on the path of flow; allowed: with v on a variance-"),
    (DECIDED.format("{order: 1, integrand: data}"), LINEAR, "v", "method.transfer", "with integrand v, data; allowed"),
    (DECIDED.format("{order: 2}"), LINEAR, "v", "method.table[1]", "no numbers times that of a constant value"),
    (DECIDED.format("{order: 0}"), LINEAR, "v", "method.table[1]", "a step without values"),
    (
        DECIDED.format("{order: 2, weights: midpoint}"),
        LINEAR,
        "v",
        "method.table[1]",
        "allowed: order 1, uniform weights",
    ),
    (TWO, LINEAR, "v", "method.table[0]", "a pseudo corrector"),
    ("family: linear_multistep, steps: 2, weights: variable", LINEAR, "v", "method.weights", "no numbers times"),
    ("family: linear_multistep, steps: 3, start: singlestep", LINEAR, "v", "method.start", "no numbers times"),
]


@pytest.mark.parametrize(("method", "schedule", "integrand", "key", "why"), REFUSED)
def test_what_is_refused(method: str, schedule: str, integrand: str, key: str, why: str) -> None:
    with pytest.raises(SpecError) as found:
        derive(read_spec_text(text(method, schedule, integrand)))
    assert [fault.key for fault in found.value.faults] == [key] and why in found.value.faults[0].message
