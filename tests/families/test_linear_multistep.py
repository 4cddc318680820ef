"""Constant weights on exact transfers, and variable ones: PLMS, iPNDM, LMS; what published variable weights get wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest
from sympy import QQ

from derive.analysis.claims import prove, refute
from derive.analysis.jet_scheme import certify_scheme
from derive.analysis.order import row_order, uniform_order
from derive.analysis.proof import prove_scheme
from derive.errors import SpecError
from derive.families import exponential_multistep
from derive.families.linear_multistep import PARAMETERS, adams, build
from derive.problems import PoseError
from derive.spec import read_spec_text
from derive.symbolic.forms import phi
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Row, Scheme, Tableau
from tests.families.limits import listed, read
from tests.families.march import measured
from tests.families.published import ipndm_v

DATA, NOISE, FLAT, ANY = Kernel(QQ(-1)), Kernel(QQ(1)), Kernel(QQ(0)), Kernel(None)
KERNELS = [DATA, NOISE, FLAT, ANY]
AB = alphabet()
COST = (1, 1, 1)
EQUAL = (QQ(1),)

PLMS4 = tuple(QQ(q, 24) for q in (55, -59, 37, -9))
WEIGHTS = {
    1: ((1,), 1),
    2: ((3, -1), 2),
    3: ((23, -16, 5), 12),
    4: ((55, -59, 37, -9), 24),
    5: ((1901, -2774, 2616, -1274, 251), 720),
    6: ((4277, -7923, 9982, -7298, 2877, -475), 1440),
}
"""Adams-Bashforth on equal steps (Hairer-Norsett-Wanner, Table III.1.1)."""


@pytest.mark.parametrize("count", WEIGHTS)
def test_uniform_weights_are_those_of_adams_and_bashforth(count):
    numerators, denominator = WEIGHTS[count]
    assert adams(count) == tuple(QQ(n, denominator) for n in numerators)
    row = build(NOISE, 6).rows[count - 1]
    assert row.given == tuple(phi(1, q=QQ(n, denominator)) for n in numerators)
    assert row.given == row.forms(())


def test_plms_4_has_the_order_of_its_grid():
    """Any steps 1; equal steps in t (any kernel) 2, in lambda (e^{+-h(1-theta)}) 2, in rho (constant kernel) 4."""
    rows = {kernel: build(kernel, 4).main for kernel in KERNELS}
    assert [row_order(rows[k], k.rate).order for k in KERNELS] == [1, 1, 1, 1]
    assert [uniform_order(rows[k], k.rate) for k in (ANY, DATA, NOISE, FLAT)] == [2, 2, 2, 4]
    assert [prove_scheme(Scheme((), rows[k]), k).order for k in KERNELS] == [1, 1, 1, 1]
    assert [certify_scheme(Scheme((), rows[k]), k.rate).order for k in KERNELS] == [1, 1, 1, 1]


@pytest.mark.parametrize("steps", range(1, 7))
def test_uniform_weights_have_full_order_on_equal_steps_of_a_constant_kernel(steps):
    assert uniform_order(build(FLAT, steps).main, FLAT.rate) == steps
    assert uniform_order(build(NOISE, steps).main, NOISE.rate) == min(steps, 2)
    assert uniform_order(build(NOISE, steps, "variable").main, NOISE.rate) == steps


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("steps", range(1, 7))
def test_variable_weights_are_the_interpolatory_ones(steps, kernel):
    tableau = build(kernel, steps, "variable")
    assert tableau.schemes == exponential_multistep.build(kernel, steps, "exact", "ramp", "lower_order").schemes
    assert prove_scheme(tableau.schemes[-1], kernel).order == steps


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_given_weights_and_moments_say_the_same(kernel):
    """mt_k = mu_0 sum_j q_j theta_j^k, recomputed from the weights; a moment that is off is refused."""
    from dataclasses import replace

    row = build(kernel, 3).main
    first = row.exact[0]
    assert row.moments[0] == first and row.moments[1] == first * (16 * AB.r[0] - 5 * (AB.r[0] + AB.r[1])) * QQ(1, 12)
    row_order(row, kernel.rate)
    off = replace(row, moments=(row.moments[0], row.moments[1] + first, row.moments[2]))
    with pytest.raises(ValueError, match="do not reproduce moment 1"):
        row_order(off, kernel.rate)
    swapped = replace(row, given=(row.given[1], row.given[0], row.given[2]))
    with pytest.raises(ValueError, match="do not reproduce moment 1"):
        row_order(swapped, kernel.rate)


@pytest.mark.parametrize("harm", ["sign", "factor", "swap"])
def test_wrong_constant_weights_lose_their_order(harm):
    good = list(PLMS4)
    harmed = {
        "sign": [good[0], good[1], -good[2], good[3]],
        "factor": [good[0], good[1], good[2] * 2, good[3]],
        "swap": [good[1], good[0], good[2], good[3]],
    }[harm]
    values = tuple(Fraction(int(q.numerator), int(q.denominator)) for q in harmed)
    if harm == "swap":
        assert uniform_order(build(FLAT, 4, weights=values).main, FLAT.rate) == 1
    else:
        with pytest.raises(PoseError, match="a constant integrand would not be exact") as refused:
            build(FLAT, 4, weights=values)
        assert refused.value.key == "method.weights"


def test_a_list_of_weights_is_the_full_row():
    values = (Fraction(2), Fraction(-1))
    tableau = build(NOISE, 2, values)
    assert tableau.main.given == (phi(1, q=QQ(2)), phi(1, q=QQ(-1))) and tableau.rows[0].given == (phi(1),)
    typed = tuple(Fraction(n, 24) for n in (55, -59, 37, -9))
    assert build(NOISE, 4, typed) == build(NOISE, 4)
    assert uniform_order(tableau.main, NOISE.rate) == 1


def test_refusals():
    half = (Fraction(1, 2), Fraction(1, 2))
    for arguments, text in (
        ({"steps": 3, "weights": half}, "got 2 weights for 3 steps; allowed: one for each"),
        ({"steps": 2, "weights": (Fraction(1), Fraction(1))}, "sum to 2"),
    ):
        with pytest.raises(PoseError, match=text):
            build(NOISE, **arguments)
    [fault] = refute(prove(build(NOISE, 4), COST), {"order": 4})
    assert (
        fault.key == "claims.order"
        and "moment 1 is not the exact one" in fault.message
        and "provable order 1" in fault.message
    )


# ---------------------------------------------------------------------------------------------------- published iPNDM_v


def moments(weights: list[Fraction], lengths: tuple[Fraction, ...]) -> list[Fraction]:
    thetas = [Fraction(0)]
    for length in lengths[: len(weights) - 1]:
        thetas.append(thetas[-1] - length)
    return [sum(w * theta**k for w, theta in zip(weights, thetas)) - Fraction(1, k + 1) for k in range(len(weights))]


@pytest.mark.parametrize(
    ("r0", "r1"), [(2, 3), (Fraction(1, 2), Fraction(7, 3)), (1, 1), (Fraction(13, 10), Fraction(9, 7))]
)
def test_published_ipndm_v_3_misplaces_a_parenthesis(r0, r1):
    """residual_2 = (r0^2 + r0 r1 - r0 - 1)/2: order 2 but where it vanishes (equal steps: r0 = r1 = 1)."""
    lengths = (Fraction(r0), Fraction(r1), Fraction(1))
    zeroth, first, second = moments(ipndm_v(3, lengths), lengths)
    assert (zeroth, first) == (0, 0) and second == (lengths[0] ** 2 + lengths[0] * lengths[1] - lengths[0] - 1) / 2


def test_published_ipndm_v_4_is_inconsistent():
    equal = (Fraction(1),) * 3
    assert ipndm_v(4, equal) == [Fraction(n, 24) for n in (57, -65, 43, -11)]
    assert moments(ipndm_v(4, equal), equal) == [0, 0, 0, Fraction(1, 2)]
    rough = (Fraction(2), Fraction(3), Fraction(5))
    assert moments(ipndm_v(4, rough), rough)[0] == Fraction(-101, 43200)


@pytest.mark.parametrize("lengths", [(1, 1, 1), (2, 3, 5), (Fraction(1, 3), Fraction(4, 7), Fraction(9, 5))])
def test_the_weights_that_ipndm_v_means(lengths):
    """Those of the family reproduce every moment, in exact numbers."""
    found = [
        Fraction(int(q.numerator), int(q.denominator))
        for q in (
            form.series(1)[0] for form in build(FLAT, 4, "variable").main.forms([QQ(1) * Fraction(x) for x in lengths])
        )
    ]
    assert moments(found, tuple(map(Fraction, lengths))) == [0, 0, 0, 0]


def test_published_ipndm_v_rows_are_refuted_as_tableaus():
    """As rows with the moments they reproduce: order 2 instead of 3, with the residual in the message."""
    r0, r1, *_ = AB.r
    good = build(FLAT, 3, "variable").main
    published = Row(
        "published",
        good.nodes,
        (*good.moments[:2], good.moments[2] + AB.phi[1] * (r0**2 + r0 * r1 - r0 - 1) * QQ(1, 2)),
        good.exact,
        x_history=good.x_history,
    )
    tableau = Tableau("published", FLAT, (Scheme((), published),), "exact", "keep")
    assert row_order(published, FLAT.rate).order == 2 and uniform_order(published, FLAT.rate) == 3
    [fault] = refute(prove(tableau, COST), {"order": 3})
    assert "moment 2 is not the exact one" in fault.message and "r0**2/2 + r0*r1/2" in fault.message


# ------------------------------------------------------------------------------------------------------------- measured


@pytest.mark.parametrize(
    ("kernel", "weights", "start", "pattern", "want"),
    [
        (NOISE, "uniform", "pseudo_rk4", None, 1), (NOISE, "uniform", "pseudo_rk4", EQUAL, 2),
        (FLAT, "uniform", "pseudo_rk4", EQUAL, 4), (FLAT, "uniform", "ramp", EQUAL, 2),
        (FLAT, "variable", "ramp", None, 2), (FLAT, "variable", "singlestep", None, 4),
        (FLAT, "variable", "pseudo_rk4", None, 4), (NOISE, "variable", "exact", None, 4),
    ],
)  # fmt: skip
def test_orders_are_measured_on_equal_and_on_unequal_steps(kernel, weights, start, pattern, want):
    tableau = build(kernel, 4, weights, start, "keep")
    found = measured(tableau, 40) if pattern is None else measured(tableau, 40, pattern)
    assert abs(found - want) < 0.25


def test_what_a_spec_may_write():
    assert list(PARAMETERS) == ["steps", "integrand", "variable", "weights", "transfer", "start", "final"]
    assert PARAMETERS["weights"].words == ("uniform", "variable")
    assert (PARAMETERS["steps"].low, PARAMETERS["steps"].high) == (1, 6)


SPEC = """
name: typed
problem: {{kind: diffusion, schedule: vp_linear, prediction: noise}}
method: {{family: linear_multistep, steps: 2, integrand: noise, weights: {weights}}}
"""


@pytest.mark.parametrize(
    ("weights", "read"),
    [("uniform", "uniform"), ("variable", "variable"), ('["3/2", -0.5]', (Fraction(3, 2), Fraction(-1, 2)))],
)
def test_weights_in_a_spec_are_a_word_or_numbers(weights, read):
    spec = read_spec_text(SPEC.format(weights=weights))
    assert spec.method.parameters["weights"] == read
    assert read_spec_text(spec.canonical()).method == spec.method


def test_other_words_are_refused_with_the_near_miss():
    with pytest.raises(SpecError) as found:
        read_spec_text(SPEC.format(weights="unifrom"))
    [fault] = found.value.faults
    assert fault.key == "method.weights" and "allowed uniform, variable, or a list of 1 to 6 numbers" in fault.message
    assert "uniform" in fault.message.partition("numbers")[2]


def test_from_one_to_six_weights():
    for count in (1, 6):
        assert read("linear_multistep", steps=str(count), weights=listed(count, f"1/{count}")).method.parameters
    for weights in ("[]", listed(7, "1/7")):
        with pytest.raises(SpecError, match=r"method\.weights"):
            read("linear_multistep", steps="6", weights=weights)
