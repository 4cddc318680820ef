"""Claims: every published figure of a method follows from its proof, and what is not provable is a fault."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
import sympy as sp
from sympy import QQ

from derive.analysis.claims import prove, refute, switches
from derive.analysis.order import classical_constant, reproduced, row_order, uniform_value
from derive.families import predictor_corrector, runge_kutta
from derive.families.exponential_multistep import build
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Scheme, multistep_row, one

AB = alphabet()
DATA, FLAT = Kernel(QQ(-1)), Kernel(QQ(0))
ADAMS_BASHFORTH = ("1/2", "5/12", "3/8", "251/720", "95/288", "19087/60480")


def claimed(tableau, cost=(1, 1, 1)):
    return prove(tableau, cost)


@pytest.mark.parametrize("steps", range(1, 7))
def test_claims_of_exact_methods(steps):
    """Order and stiff order k, the constant of Adams-Bashforth, k - 1 values kept (Hairer-Norsett-Wanner, III.1)."""
    claims = prove(build(DATA, steps, "exact", "exact", "keep"), (1, 4, 2))
    assert (claims.order, claims.global_order, claims.stiff_order) == (steps,) * 3
    assert Fraction(claims.main.constant[0]) == Fraction(ADAMS_BASHFORTH[steps - 1])
    assert claims.main.constant[1] == float(Fraction(ADAMS_BASHFORTH[steps - 1]))
    assert (claims.history, claims.evaluations_per_step, claims.stability.zero.stable) == (steps - 1, 1, True)
    assert [proof.order for proof in claims.schemes] == list(range(1, steps + 1))
    assert "residual" not in claims.main.because and claims.main.engine == "moments with symbolic step ratios"
    derivative = "F" + "'" * steps if steps <= 3 else f"F^({steps})"
    assert claims.main.leading == f"{ADAMS_BASHFORTH[steps - 1]} {derivative}"


def test_the_published_dictionary_is_complete():
    """SCHEMA 1 of claims.json, in full, for the midpoint variant."""
    claims = prove(build(DATA, 2, "midpoint", "ramp", "lower_order"), (3, 5, 7))
    data = claims.as_dict("name", "ab" * 32, ("arXiv:1",))
    stability = data.pop("stability")
    assert json.loads(json.dumps(data)) == {
        "schema": 1, "name": "name", "spec_sha256": "ab" * 32, "order": 2, "uniform_order": 2, "global_order": 2,
        "stiff_order": 1, "stiff_order_weak": None, "embedded_order": None, "predictor_order": None,
        "strong_order": None, "weak_order": None, "proof": "moments with symbolic step ratios",
        "error_constant": {
            "exact": "5/12", "value": 5 / 12, "leading": "1/12 F' + 5/12 F''",
            "variable_grid": {"F'": "1/12", "F''": "r0/4 + 1/6"},
            "function": "phi2*r0 + 2*phi3",
        },
        "evaluations_per_step": 1, "history": 1, "start": "ramp", "start_order": None, "final": "lower_order",
        "row_orders": [1, 2], "zero_stable": True, "reversible": False,
        "cost": {"kernels": 3, "reads": 5, "writes": 7}, "references": ["arXiv:1"],
    }  # fmt: skip
    assert stability["zero_stable"] and stability["gaussian"] is None and stability["real_interval"] is None
    assert claims.main.because == "moment 1 is not the exact one (residual -h^2/12 + h^3/24 - h^4/80)"


def test_negative_constants_read_as_differences():
    assert claimed(build(DATA, 2, "bh1", "ramp", "keep")).main.leading == "-1/6 F' + 5/12 F''"
    three = build(DATA, 3, {1: sp.Symbol("phi1") / 2, 2: 3 * sp.Symbol("phi3")}, "ramp", "keep")
    assert claimed(three).main.leading == "1/12 F' - 1/12 F''"


def test_zero_stability_needs_one_past_state_of_weight_one():
    tableau = build(DATA, 1, "exact", "exact", "keep")
    two = replace(tableau.main, x_history=(one() * 2, -one()))
    assert claimed(tableau).stability.zero.stable
    assert not claimed(replace(tableau, schemes=(Scheme((), two),))).stability.zero.stable


@pytest.mark.parametrize("key", ["order", "global_order", "stiff_order"])
def test_the_last_provable_claim_holds_and_the_next_is_a_fault(key):
    claims = claimed(build(DATA, 3, {2: sp.Symbol("phi3")}, "exact", "keep"))
    proved = {"order": 2, "global_order": 1 + 1, "stiff_order": 2}[key]
    assert not refute(claims, {key: proved}) and not refute(claims, {})
    [fault] = refute(claims, {key: proved + 1})
    assert fault.key == f"claims.{key}" and f"{key} {proved + 1} is not provable" in fault.message
    assert f"provable {'order ' if key == 'order' else ''}{proved}" in fault.message
    assert ("with start exact, final keep" in fault.message) == (key == "global_order")


def test_reasons():
    [one_step] = refute(claimed(build(DATA, 1, "exact", "ramp", "keep")), {"order": 2})
    assert one_step.message.startswith("order 2 is not provable: 1 value reproduces moment 0 only (residual ")
    [bh1] = refute(claimed(build(DATA, 2, "bh1", "ramp", "keep")), {"order": 3})
    assert "moment 1 is not the exact one" in bh1.message
    assert claimed(build(DATA, 3, {2: sp.Symbol("phi3")}, "ramp", "keep")).main.because == (
        "moment 2 is 1/2 of the exact one (residual -h/6 + h^2/24 - h^3/120)"
    )


def test_a_method_without_that_property_says_so():
    one_step = claimed(runge_kutta.build(FLAT, "keep", tableau="rk4"))
    assert (one_step.order, one_step.stiff_order, one_step.global_order) == (4, None, 4)
    assert one_step.main.engine == "bicoloured trees, exact" and one_step.main.constant[0] == "sqrt(1745)/2880"
    for key in ("stiff_order", "embedded_order"):
        [fault] = refute(one_step, {key: 1})
        assert fault.message == f"{key} 1 is not provable: this method has none"
    pair = claimed(runge_kutta.build(FLAT, "keep", tableau="bogacki_shampine32"))
    assert not refute(pair, {"order": 3, "embedded_order": 2})
    assert [f.key for f in refute(pair, {"order": 4, "embedded_order": 3})] == ["claims.order", "claims.embedded_order"]


def test_a_corrected_method_has_the_terms_of_both_rows():
    """UniPC-2 with exact rows: Adams-Moulton's -1/24, and through J 5/12 of the predictor's 5/12."""
    claims = claimed(predictor_corrector.build(DATA, 2, final="keep"))
    assert (claims.order, claims.main.predictor, claims.stiff_order, claims.global_order) == (3, 2, 3, 3)
    assert claims.main.leading == "-1/24 F''' + 25/144 J F''"
    assert [proof.order for proof in claims.schemes] == [2, 3]


def test_the_start_decides_the_global_order():
    """min(p, q_start + 1, q_last + 1) (zero-stable methods)."""
    for start, final, expected in (
        ("exact", "keep", 4), ("ramp", "keep", 2), ("singlestep", "keep", 4), ("singlestep", "lower_order", 2),
        ("iterated", "keep", 4),
    ):  # fmt: skip
        claims = claimed(build(DATA, 4, "exact", start, final))
        assert (claims.order, claims.global_order) == (4, expected), (start, final)
        assert (claims.starter is None) == (start in ("exact", "ramp"))
    assert claims.starter is not None and claims.starter.order == 3


@pytest.mark.parametrize("steps", [2, 5])
def test_moments_are_recomputed_from_the_weights(steps):
    """A declared moment that the weights do not have is refused at that moment; the next one beyond is given by the nodes."""
    row, wrong = multistep_row(steps, DATA), multistep_row(steps, DATA, {steps - 1: AB.phi[1]})
    for k in range(steps):
        assert reproduced(row, k) == row.exact[k]
    assert [reproduced(wrong, k) for k in range(steps)] == [*row.exact[: steps - 1], AB.phi[1]]
    assert row.weights != wrong.weights
    with pytest.raises(ValueError, match="first moment beyond"):
        reproduced(row, steps + 1)


def test_the_moment_beyond_the_nodes_is_the_interpolated_one():
    """theta^2 through theta = 0, -r0 is -r0 theta, theta^1 through 0 is 0."""
    assert reproduced(multistep_row(2, DATA), 2) == -AB.r[0] * AB.phi[2]
    assert reproduced(multistep_row(1, DATA), 1) == 0


def test_ratios_of_residuals():
    exact = row_order(multistep_row(2, FLAT), FLAT.rate)
    assert [r.ratio for r in exact.residuals[:2]] == [1, 1] and exact.residuals[2].ratio is None
    off = row_order(multistep_row(2, DATA, {1: AB.phi[2] * QQ(3, 4)}), DATA.rate)
    assert off.residuals[1].ratio == Fraction(3, 4) and off.residuals[1].moment == 1 and not off.residuals[1].vanishes
    assert off.order == 1 and off.stiff_order == 1 and off.consistent
    [(k, constant)] = off.constants
    assert (k, uniform_value(constant)) == (1, Fraction(1, 8))
    assert str(exact.limiting) == "(-r0/2 - 1/3)*h"


@pytest.mark.parametrize("steps", range(1, 7))
def test_classical_constants_are_integrals_of_the_nodal_polynomial(steps):
    """int_0^1 theta (theta + 1) .. (theta + k - 1) / k! on a uniform grid."""
    theta = sp.Symbol("theta")
    value = sp.integrate(sp.expand(sp.rf(theta, steps)), (theta, 0, 1)) / sp.factorial(steps)
    assert classical_constant(steps)[1] == Fraction(int(value.p), int(value.q))


def test_abstract_kernels_count_with_kappa_zero():
    found = row_order(multistep_row(2, Kernel(None), {1: AB.mu[0] / 2}), None)
    assert found.order == 2 and found.stiff_order == 1
    assert [(k, uniform_value(c)) for k, c in found.constants] == [(1, 0), (2, Fraction(5, 12))]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("ddddnnnnnn", "0 to 3 data, 4 to 9 noise"),
        ("dnd", "0 data, 1 noise, 2 data"),
        ("nddn", "0 noise, 1 to 2 data, 3 noise"),
    ],
)
def test_which_steps_combine_which_integrand(steps, words):
    schemes = [SimpleNamespace(integrand=0), SimpleNamespace(integrand=1)]
    tableau = SimpleNamespace(
        others=("noise",), names=("data", "noise"), schemes=schemes, table=["dn".index(x) for x in steps]
    )
    assert switches(tableau) == f"integrand by step: {words}"
    tableau.others = ()
    assert switches(tableau) == ""


def test_only_the_first_row_without_an_order_is_a_fault():
    claims = claimed(build(DATA, 3, "exact", "ramp", "keep"))
    bad = replace(claims.schemes[0], order=0, limiting="sum b = 1")
    (fault,) = refute(replace(claims, schemes=(bad, bad, claims.schemes[2])), {})
    assert "give order 0: sum b = 1" in str(fault)
    assert not refute(claims, {})
