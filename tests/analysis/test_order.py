"""Orders proved from moments: exact rows, published variants, perturbed weights, start and final rules."""

from fractions import Fraction

import pytest
from sympy import QQ, isprime

from derive.analysis.claims import prove, refute
from derive.analysis.order import PROBES, error_function, row_order, uniform_value
from derive.analysis.proof import global_order, prove_scheme
from derive.families.exponential_multistep import build
from derive.symbolic.moments import Weight, alphabet, lagrange_weights
from derive.tableau import Kernel, multistep_row

AB = alphabet()
DATA, NOISE, FLAT, ANY = Kernel(QQ(-1)), Kernel(QQ(1)), Kernel(QQ(0)), Kernel(None)
COST = (1, 4, 2)
KERNELS = [DATA, NOISE, FLAT, ANY, Kernel(QQ(-2))]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("steps", range(1, 7))
def test_exact_rows_have_order_steps_and_not_more(kernel, steps):
    found = row_order(multistep_row(steps, kernel), kernel.rate)
    assert found.order == found.stiff_order == steps
    assert found.limiting.moment == steps and found.limiting.series.valuation == 0
    assert all(r.vanishes for r in found.residuals[:-1])


def test_published_third_order_row_is_second_order():
    """DPM-Solver(++)-3M as public code has it: mt_2 = phi_3 for 2 phi_3."""
    found = row_order(multistep_row(3, DATA, {2: AB.phi[3]}), DATA.rate)
    assert found.order == found.stiff_order == 2
    assert str(found.residuals[2]) == "-h/6 + h^2/24 - h^3/120"
    assert found.limiting.moment == 2 and found.limiting.ratio == Fraction(1, 2)
    assert [(k, uniform_value(c)) for k, c in found.constants] == [(2, Fraction(1, 12))]


@pytest.mark.parametrize(
    ("override", "kernel", "constant"),
    [
        (AB.phi[1] / 2, DATA, Fraction(1, 12)),
        (AB.phi[1] / 2, NOISE, Fraction(-1, 12)),
        (AB.ring(QQ(1, 2)), DATA, Fraction(-1, 6)),
        (AB.ring(QQ(1, 2)), NOISE, Fraction(1, 6)),
    ],
)
def test_relaxed_second_order_rows(override, kernel, constant):
    """exact - numerical = C h^2 [(2 + 3 r0)/12 F'' + c F'] with c = +-1/12 (midpoint, bh2), -+1/6 (bh1)."""
    found = row_order(multistep_row(2, kernel, {1: override}), kernel.rate)
    assert (found.order, found.stiff_order) == (2, 1)
    assert [k for k, _ in found.constants] == [1, 2]
    assert uniform_value(found.constants[0][1]) == constant
    assert str(found.constants[1][1]) == str((2 + 3 * AB.r[0]) / 12)


def test_wrong_zeroth_moment_is_order_zero():
    found = row_order(multistep_row(2, DATA, {0: AB.phi[1] * QQ(1000000001, 1000000000)}), DATA.rate)
    assert found.order == 0 and not found.consistent


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_weight_that_is_off_is_refused(steps, monkeypatch):
    """Multiplying any single weight by 1 + 1e-9 must not pass as a solution of the moment equation."""
    row = multistep_row(steps, DATA)
    for j in range(steps):
        weights = list(lagrange_weights(row.thetas, row.moments))
        weights[j] = Weight(weights[j].numerator * QQ(1000000001, 1000000000), weights[j].differences)
        with monkeypatch.context() as patch:
            patch.setattr("derive.tableau.lagrange_weights", lambda thetas, moments, found=weights: tuple(found))
            with pytest.raises(ValueError, match="do not reproduce moment"):
                row_order(row, DATA.rate)


@pytest.mark.parametrize(
    ("start", "final", "steps", "want"),
    [
        ("exact", "keep", 3, 3), ("ramp", "keep", 3, 2), ("exact", "lower_order", 3, 2), ("exact", "denoise", 4, 4),
        ("ramp", "keep", 1, 1), ("ramp", "lower_order", 2, 2), ("exact", "keep", 1, 1),
    ],
)  # fmt: skip
def test_global_order_with_start_and_final_rules(start, final, steps, want):
    tableau = build(DATA, steps, "exact", start, final)
    proofs = tuple(prove_scheme(scheme, DATA) for scheme in tableau.schemes)
    assert global_order(tableau, proofs, None) == want


def test_claims_are_refuted_with_the_residual():
    import sympy as sp

    published = build(DATA, 3, {2: sp.Symbol("phi3")}, "ramp", "lower_order")
    [fault] = refute(prove(published, COST), {"order": 3})
    assert fault.key == "claims.order"
    assert fault.message == (
        "order 3 is not provable: moment 2 is 1/2 of the exact one (residual -h/6 + h^2/24 - h^3/120); provable order 2"
    )
    assert not refute(prove(published, COST), {"order": 2})
    [fault] = refute(prove(build(DATA, 3, "exact", "ramp", "keep"), COST), {"order": 3, "global_order": 3})
    assert fault.key == "claims.global_order" and "provable 2" in fault.message
    assert (
        "values reproduce moments 0 to 1 only"
        in refute(prove(build(DATA, 2, "exact", "ramp", "keep"), COST), {"order": 3})[0].message
    )


def test_claims_of_the_exact_three_step_method():
    claims = prove(build(DATA, 3, "exact", "ramp", "lower_order"), COST)
    assert (claims.order, claims.global_order, claims.stiff_order) == (3, 2, 3)
    assert claims.main.leading == "3/8 F'''"
    assert claims.main.constant == ("3/8", 0.375)
    assert [proof.order for proof in claims.schemes] == [1, 2, 3]
    r0, r1, *_ = AB.r
    p = AB.phi
    assert error_function(multistep_row(3, DATA)) == 6 * p[4] + 2 * (2 * r0 + r1) * p[3] + r0 * (r0 + r1) * p[2]
    data = claims.as_dict("x", "0" * 64, ("arXiv:2211.01095",))
    assert data["error_constant"]["exact"] == "3/8" and data["cost"] == {"kernels": 1, "reads": 4, "writes": 2}


def test_error_function_is_the_next_newton_moment():
    row = multistep_row(2, NOISE)
    assert error_function(row) == 2 * AB.phi[3] + AB.r[0] * AB.phi[2]


def test_probes_are_distinct_fractions_of_large_primes():
    assert [len(p) for p in PROBES] == [8, 8] and len({x for p in PROBES for x in p}) == 16
    primes = {n for p in PROBES for x in p for n in (x.numerator, x.denominator)}
    assert all(isprime(n) and n > 65000 for n in primes)


def test_a_method_that_is_not_consistent_is_refused():
    import sympy as sp

    [fault] = refute(prove(build(DATA, 1, {0: sp.Rational(1, 2)}, "ramp", "keep"), COST), {})
    assert fault.key == "method.weights" and "order 0" in fault.message and "moment 0" in fault.message
