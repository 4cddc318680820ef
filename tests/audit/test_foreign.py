"""Samplers, steps and tables in Python as others write them: which are as claimed, and what is wrong with the rest."""

from __future__ import annotations

from functools import cache

import pytest

from derive.audit.adapters import adapted
from derive.errors import SpecError

HERE = "tests.audit.foreign"


@cache
def audited(name: str):
    return adapted(f"{HERE}:{name}", {}, None)


GOOD = {
    "sample_3m_exact": 3,
    "sample_2m_bh1": 2,
    "sample_2m_swapped": 2,
    "sample_ab3": 3,
    "sample_ab3_floats": 3,
    "sample_pec_3m": 3,
    "sample_heun": 2,
}
RATIOS = "of the exact one, r_j = h_(n-1-j)/h_n"
BAD = {
    "sample_3m_published": (2, "moment 2 is 1/2 of the exact one"),
    "sample_2m_constant": (1, f"moment 1 is r0 {RATIOS}"),
    "sample_plms": (1, f"moment 1 is (31*r0 - 28*r1 + 9*r2)/12 {RATIOS}"),
    "sample_ipndm_v_3m": (2, "moment 1 is off by h*(r0^2 + r0*r1 - r0 - 1)/4"),
    "sample_pec_vary": (1, f"moment 1 is (r0 + 3)/(3*(r0 + 1)) {RATIOS}"),
    "sample_heunpp2": (1, "moment 1 is 0.22313 of the exact one"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_sampler_is_as_claimed(name):
    found = audited(name)
    assert found.holds and found.data["order"] == GOOD[name] == round(found.data["measured_estimate"]), found.lines()


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_sampler_is_found(name):
    order, because = BAD[name]
    found = audited(name)
    assert not found.holds and found.data["order"] == order and because in found.claims[0].because
    assert found.wrong and all(w.got != w.right for w in found.wrong)
    assert found.data["exact"] and found.how.startswith("exact numbers through the code")


def test_exact_numbers_say_where_they_stop():
    found = audited("sample_ab3_floats")
    assert not found.data["exact"] and "float64, since exact numbers stop at float() of an exact number" in found.how


def test_both_arithmetics_see_the_same():
    exact, floats = audited("sample_ab3").data, audited("sample_ab3_floats").data
    for key in ("order", "orders_by_step", "moment_ratios", "integrand"):
        assert exact[key] == floats[key]
    assert exact["order_by_jets"] == 3 and floats["order_by_jets"] is None


def test_errors_that_cancel_are_no_false_alarm():
    claim = audited("sample_2m_swapped").claims[0]
    assert claim.because == (
        f"the errors of neighbouring steps cancel; of one step alone the order is 1: moment 1 is r0^2 {RATIOS}"
    )


def test_the_wrong_moment_stands_beside_the_right_one():
    moment, weight = audited("sample_3m_published").wrong
    assert (moment.where, moment.got, moment.right) == ("moment 2 of the row as h -> 0", "1/6", "1/3")
    assert weight.got != weight.right


def test_the_order_on_equal_steps_is_said_where_it_is_another():
    found = audited("sample_ipndm_v_3m")
    assert {c.name: c.found for c in found.claims}["order on equal steps of lambda"] == 3


def test_what_a_low_order_start_costs_is_said():
    whole = {name: audited(name).claims[1] for name in ("sample_3m_exact", "sample_pec_3m")}
    assert whole["sample_3m_exact"].found == 2 and "the first step has order 1" in whole["sample_3m_exact"].because
    assert whole["sample_pec_3m"].found == 3


def test_a_sampler_that_throws_is_a_finding():
    found = audited("sample_unfinished_2m")
    assert not found.holds and found.claims[0].found is None
    assert found.failures == ("a run throws UnboundLocalError: x_t",)


@pytest.mark.slow
def test_vary_coeff_of_order_4_is_of_order_1():
    found = adapted(f"{HERE}:sample_pec_vary", {"order": 4}, None)
    assert not found.holds and found.data["order"] == 1 == found.data["order_by_jets"]
    assert found.claims[0].because == f"moment 1 is (2*r0 + r1 + 2)/(2*(r0 + 1)*(r0 + r1 + 1)) {RATIOS}"


@pytest.mark.slow
@pytest.mark.parametrize("order", [3, 4])
def test_vary_coeff_with_its_sum_is_as_claimed(order):
    found = adapted(f"{HERE}:sample_pec_vary", {"right": True, "order": order}, None)
    assert found.holds and found.data["order"] == order == found.data["order_by_jets"]


def test_a_table_that_is_left_is_a_finding():
    found = adapted("tests.audit.foreign_schedulers:DDIMScheduler", {}, None)
    assert not found.holds and found.failures[0].startswith("a run throws IndexError: index 25 is out of bounds")
    assert adapted("tests.audit.foreign_schedulers:DDIMScheduler", {"right": True}, None).holds


def test_an_option_is_passed_on():
    assert adapted(f"{HERE}:sample_ab3", {"order": 2}, None).data["order"] == 2


@pytest.mark.parametrize(("name", "order"), [("rk4", 4), ("etd2rk", 2), ("KUTTA3", 3), ("TENSORS", 2)])
def test_right_steps_and_tables(name, order):
    found = audited(name)
    assert found.holds and found.data["order"] == order


def test_a_step_is_proved_by_trees():
    right, late = audited("rk4"), audited("rk4_late")
    assert right.how.startswith("58 rooted trees, exactly")
    assert late.claims[0].because == "order 2 fails at N[t]: 5/12 instead of 1/2"
    assert ("weight of N[t]", "5/12", "1/2") in [(w.where, w.got, w.right) for w in late.wrong]


@pytest.mark.parametrize(("name", "order"), [("rk4_late", 1), ("etd2rk_real", 1), ("KUTTA3_WRONG", 1)])
def test_wrong_steps_and_tables(name, order):
    found = audited(name)
    assert not found.holds and found.data["order"] == order


def test_coefficients_without_their_imaginary_part_are_shown_beside_the_right_ones():
    found = audited("etd2rk_real")
    real, turning = found.claims
    assert real.holds and not turning.holds
    assert found.wrong[0].got == "0.958851+0j" and found.wrong[0].right == "0.958851+0.244835j"


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        (f"{HERE}:NOTHING", {}, "is nothing that can be audited"),
        (f"{HERE}:sample_ab", {}, "did you mean 'sample_ab3'"),
        (f"{HERE}:sample_ab3", {"orders": 2}, "did you mean 'order'"),
        (f"{HERE}:rk4", {"order": 2}, "only schedulers and samplers"),
        ("no_such_module_anywhere:x", {}, "cannot be imported"),
    ],
)
def test_a_target_that_is_none_says_why(target, config, message):
    with pytest.raises(SpecError) as caught:
        adapted(target, config, None)
    assert message in str(caught.value)
