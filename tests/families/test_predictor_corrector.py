"""UniPC and its relatives: rows against published code in an exact field, orders of every mode, start and end, refusals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
import sympy as sp
from sympy import QQ

from derive.analysis import trees
from derive.analysis.claims import prove, refute
from derive.analysis.jet_scheme import certify_scheme
from derive.analysis.order import row_order, uniform_value
from derive.analysis.proof import prove_scheme
from derive.families import exponential_multistep
from derive.families.predictor_corrector import PARAMETERS, build
from derive.problems import PoseError
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Row, Scheme, Tableau
from tests.families.exact_field import R0, E, H, K, residuals, series, weights
from tests.families.march import measured
from tests.families.published import deis_log_rho_3, nodes, unipc_bh, unipc_vary_corrector

DATA, NOISE, FLAT, ANY = Kernel(QQ(-1)), Kernel(QQ(1)), Kernel(QQ(0)), Kernel(None)
AB = alphabet()
COST = (1, 1, 1)
PHI = {k: sp.Symbol(f"phi{k}") for k in range(1, 9)}
VARIANTS = list(product(range(1, 5), ("bh1", "bh2"), (False, True), (True, False)))


def unipc(order: int, variant: str, data: bool = True) -> Tableau:
    return build(DATA if data else NOISE, order, "PEC", variant, variant, "ramp", "keep")


def own_weights(order: int, variant: str, corrects: bool, data: bool) -> list[object]:
    """Of the family's row: theta = 0, -r0, .. and last theta = 1."""
    scheme = unipc(order, variant, data).schemes[-1]
    row = scheme.corrector if corrects else scheme.output
    found = weights(row, -1 if data else 1)
    return [*(found["history", j] for j in range(order)), *([found["stage", 1]] if corrects else [])]


# ------------------------------------------------------------------------------------------------ against published code


@pytest.mark.parametrize(("order", "variant", "corrects", "data"), VARIANTS)
def test_rows_are_those_of_the_published_code(order, variant, corrects, data):
    """All 32 variants of UniPC, weight by weight, for every step ratio and every h."""
    assert own_weights(order, variant, corrects, data) == unipc_bh(order, variant, data, corrects)[1]


def test_exactly_24_of_32_variants_are_exact_and_do_not_depend_on_b():
    exact, relaxed = [], {}
    for order, variant, corrects, data in VARIANTS:
        thetas, found = unipc_bh(order, variant, data, corrects)
        left = residuals(thetas, found, -1 if data else 1)
        if any(left):
            relaxed["C" if corrects else "P", order, variant, data] = left
        else:
            exact.append((order, corrects, data, found))
    assert len(exact) == 24 and len(relaxed) == 8
    assert {key[:2] for key in relaxed} == {("P", 2), ("C", 1)}
    for order, corrects, data in {case[:3] for case in exact}:
        [first, second] = [found for *case, found in exact if case == [order, corrects, data]]
        assert first == second  # bh1 and bh2
    for (_, _, variant, data), (zeroth, first) in relaxed.items():
        sign = 1 if data else -1
        want = {"bh1": [0, QQ(sign, 6), QQ(-1, 24)], "bh2": [0, QQ(-sign, 12), QQ(1, 24)]}[variant]
        assert not zeroth and series(first, 3) == [K(c) for c in want]


def test_unip_2_bh2_is_the_midpoint_form_of_dpm_solver_2m():
    assert (
        unipc(2, "bh2").schemes[1].output.moments
        == exponential_multistep.build(DATA, 2, "midpoint", "ramp", "keep").main.moments
    )
    h_phi1 = 1 - 1 / E  # published 2M: D0 - D1/2 terms with phi_1 only
    assert own_weights(2, "bh2", False, True) == [h_phi1 / H * (1 + 1 / (2 * R0)), -h_phi1 / H / (2 * R0)]


def test_deis_in_log_rho_is_unip_3_of_the_noise():
    assert deis_log_rho_3() == own_weights(3, "bh2", False, False)
    assert not any(residuals(nodes(3), deis_log_rho_3(), 1))


def test_the_published_vary_coeff_corrector_is_first_order():
    """Its loop ends one row early: residual_1 = -r0/(3(r0+1)) h + r0/(8(r0+1)) h^2 in units of C h."""
    thetas, found = unipc_vary_corrector(2)
    zeroth, first, _ = residuals(thetas, found, -1)
    assert not zeroth and series(first, 2) == [-R0 / (3 * (R0 + 1)), R0 / (8 * (R0 + 1))]
    for order in (2, 3):
        thetas, whole = unipc_vary_corrector(order, full=True)
        assert whole == own_weights(order, "bh1", True, True) and not any(residuals(thetas, whole, -1))


# ------------------------------------------------------------------------------------------------------------- the rows


@pytest.mark.parametrize("mode", ["PEC", "PECE"])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (3, 3), (2, 4), (4, 2), (6, 6)])
def test_every_scheme_has_its_own_corrector(p, q, mode):
    tableau = build(DATA, p, mode, corrector_steps=q)
    assert tableau.steps == len(tableau.schemes) == max(p, q)
    assert tableau.stages == (1 if mode == "PEC" else 2) and tableau.corrects == (mode == "PEC")
    for order, scheme in enumerate(tableau.schemes, 1):
        predictor, corrector = (scheme.output, scheme.corrector) if mode == "PEC" else (scheme.stages[0], scheme.output)
        assert [n.index for n in predictor.nodes] == list(range(min(order, p))) and predictor.end == 1
        assert [(n.kind, n.index) for n in corrector.nodes] == [
            ("stage", 1), *(("history", j) for j in range(min(order, q)))
        ]  # fmt: skip
        assert corrector.thetas[0] == 1 and predictor.interpolatory and corrector.interpolatory


def test_corrector_moments_in_newton_form():
    """Nodes 0, 1, -r0: N_0 = phi1, N_1 = phi2, N_2 = 2 phi3 - phi2, N_3 = 6 phi4 + 2 (r0 - 1) phi3 - r0 phi2."""
    row = build(DATA, 3).schemes[2].corrector
    ordered = (row.nodes[1], row.nodes[0], *row.nodes[2:])
    p, r0 = AB.phi, AB.r[0]
    assert Row("ordered", ordered, row.moments, row.exact).newton == (
        p[1], p[2], 2 * p[3] - p[2], 6 * p[4] + 2 * (r0 - 1) * p[3] - r0 * p[2],
    )  # fmt: skip


def test_adams_moulton_constants():
    """On equal steps with a constant kernel: -1/12, -1/24, -19/720, -3/160."""
    schemes = build(FLAT, 4).schemes
    constants = [row_order(s.corrector, FLAT.rate).constants for s in schemes]
    assert [uniform_value(c) for [(_, c)] in constants] == [
        Fraction(-1, 12), Fraction(-1, 24), Fraction(-19, 720), Fraction(-3, 160),
    ]  # fmt: skip


def test_names_of_unipc_speak_of_two_nodes_only():
    tableau = build(DATA, 3, "PEC", "bh1", "midpoint")
    half, middle = AB.ring(QQ(1, 2)), AB.phi[1] / 2
    assert [s.output.moments[1:2] for s in tableau.schemes] == [(), (half,), (AB.phi[2],)]
    assert [s.corrector.moments[1] for s in tableau.schemes] == [middle, AB.phi[2], AB.phi[2]]


def test_overrides_by_moment_apply_to_every_row_that_has_it():
    tableau = build(DATA, 3, "PEC", {2: PHI[3]}, {1: PHI[1] / 2})
    assert [s.output.interpolatory for s in tableau.schemes] == [True, True, False]
    assert [s.corrector.moments[1] for s in tableau.schemes] == [AB.phi[1] / 2] * 3


# --------------------------------------------------------------------------------------------------------------- orders


@pytest.mark.parametrize("kernel", [DATA, NOISE, FLAT, ANY], ids=str)
@pytest.mark.parametrize("mode", ["PEC", "PECE"])
@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_order_is_one_more_than_the_predictor(p, mode, kernel):
    tableau = build(kernel, p, mode)
    assert [prove_scheme(s, kernel).order for s in tableau.schemes] == list(range(2, p + 2))
    assert [certify_scheme(s, kernel.rate).order for s in tableau.schemes] == list(range(2, p + 2))


@pytest.mark.parametrize("mode", ["PEC", "PECE"])
@pytest.mark.parametrize(("p", "q"), list(product(range(1, 5), range(1, 5))))
def test_order_is_the_corrector_s_or_the_predictor_s_and_one(p, q, mode):
    """min(q + 1, p + 1): by moments where the mode is PEC, and in any case by trees, which know of no such theorem."""
    scheme = build(DATA, p, mode, corrector_steps=q).schemes[-1]
    ratios = (QQ(3, 2), QQ(2, 3), QQ(5, 7), QQ(11, 13))
    assert trees.order(scheme.step(ratios, DATA.rate)).order == min(p, q) + 1
    assert prove_scheme(scheme, DATA).order == min(p, q) + 1


@pytest.mark.parametrize(
    ("p", "start", "final", "mode", "want"),
    [
        (1, "ramp", "keep", "PEC", 2), (2, "ramp", "keep", "PEC", 3), (3, "ramp", "keep", "PEC", 3),
        (3, "ramp", "lower_order", "PEC", 2), (2, "ramp", "lower_order", "PEC", 2), (3, "exact", "keep", "PEC", 4),
        (3, "singlestep", "keep", "PEC", 4), (4, "singlestep", "keep", "PEC", 5), (3, "singlestep", "lower_order", "PEC", 2),
        (3, "iterated", "keep", "PEC", 4), (3, "pseudo_rk4", "keep", "PEC", 3), (2, "pseudo_rk4", "keep", "PEC", 3),
        (3, "ramp", "keep", "PECE", 3), (3, "singlestep", "keep", "PECE", 4), (3, "ramp", "lower_order", "PECE", 3),
        (1, "ramp", "lower_order", "PECE", 2),
    ],
)  # fmt: skip
def test_global_order_is_proved_and_measured(p, start, final, mode, want):
    tableau = build(DATA, p, mode, "bh2", "bh2", start, final)
    assert prove(tableau, COST).global_order == want
    if (p, start) != (3, "pseudo_rk4"):  # the second-order start costs less than what follows until steps are tiny
        assert abs(measured(tableau, 40) - want) < 0.25


# ------------------------------------------------------------------------------------------------------------- refusals


def step_order(scheme: Scheme, rate: object) -> int:
    return trees.order(scheme.step((QQ(3, 2), QQ(2, 3), QQ(5, 7)), rate)).order


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("harm", ["sign", "factor", "swap", "stage"])
def test_a_wrong_corrector_loses_its_order(p, harm):
    step = build(DATA, p).schemes[-1].step((QQ(3, 2), QQ(2, 3)), DATA.rate)
    b = list(step.b)
    if harm == "sign":
        b[1] = -b[1]
    elif harm == "factor":
        b[1] = b[1] * QQ(1, 2)
    elif harm == "swap":
        b[0], b[1] = b[1], b[0]
    else:
        b[-1], b[0] = b[0], b[-1]
    assert trees.order(step).order == p + 1
    assert trees.order(replace(step, b=tuple(b))).order <= 1


def test_a_wrong_predictor_costs_what_the_theorem_says():
    """A first-order predictor under UniC-3 leaves order 2; one whose weights do not sum to phi_1, order 1."""
    good = build(DATA, 3)
    third = good.schemes[2]
    assert step_order(replace(third, output=good.schemes[0].output), DATA.rate) == 2
    step = third.step((QQ(3, 2), QQ(2, 3)), DATA.rate)
    first, second, *others = step.a[0]
    swapped, halved = (second, first, *others), (first * QQ(1, 2), second, *others)
    assert [trees.order(replace(step, a=(row,))).order for row in (swapped, halved)] == [2, 1]


def test_the_missing_factor_two_is_found_in_the_corrector():
    """mt_2 = phi_3 for 2 phi_3, the mistake of DPM-Solver-3M, in UniC-2: order 2, and claims of 3 are refused with the residual."""
    proved = prove(build(DATA, 2, "PEC", "exact", {2: PHI[3]}), COST)
    assert (proved.order, proved.main.predictor) == (2, 2)
    [fault] = refute(proved, {"order": 3})
    assert fault.key == "claims.order" and "moment 2 is 1/2 of the exact one" in fault.message
    assert "-h/6 + h^2/24 - h^3/120" in fault.message and "provable order 2" in fault.message
    assert not refute(proved, {"order": 2, "global_order": 2})


def test_claims_beyond_the_ends_are_refused():
    published = prove(unipc(3, "bh2"), COST)
    assert (published.order, published.global_order, published.stiff_order) == (4, 3, 4)
    [fault] = refute(published, {"order": 4, "global_order": 4})
    assert fault.key == "claims.global_order" and "start ramp, final keep; provable 3" in fault.message
    assert not refute(prove(build(DATA, 3, start="singlestep", final="keep"), COST), {"order": 4, "global_order": 4})
    limited = prove(build(DATA, 1, corrector_steps=3), COST)
    assert limited.order == 2 and "the predictor has order 1" in limited.main.limiting


def test_refusals_name_the_key():
    for weights_, corrector, key, text in (
        ({2: PHI[3]}, "exact", "method.weights", "moment 2 of a predictor row with 2 nodes; allowed: 0 to 1"),
        ("exact", {3: PHI[4]}, "method.corrector_weights", "moment 3 of a corrector row with 3 nodes; allowed: 0 to 2"),
        ("exact", {-1: PHI[4]}, "method.corrector_weights", "moment -1"),
    ):
        with pytest.raises(PoseError, match=text) as refused:
            build(DATA, 2, "PEC", weights_, corrector)
        assert refused.value.key == key
    with pytest.raises(ValueError, match="phi3 has no meaning"):
        build(ANY, 2, "PEC", "exact", {2: PHI[3]})


def test_what_a_spec_may_write():
    assert list(PARAMETERS) == [
        "steps", "corrector_steps", "mode", "integrand", "variable", "weights", "corrector_weights", "start", "final",
    ]  # fmt: skip
    assert PARAMETERS["corrector_steps"].default is None and PARAMETERS["mode"].options == ("PEC", "PECE")
    assert PARAMETERS["corrector_weights"].highest == 6
