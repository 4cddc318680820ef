"""Slips of public samplers: each is found with what is wrong as a fraction or a function of the step ratios; without it,
the same code is as claimed.
"""

from __future__ import annotations

import pytest

from derive.audit.judge import audit_sampler
from derive.audit.samplers import KDiffusion
from tests.audit import foreign_defects

RATIOS = "of the exact one, r_j = h_(n-1-j)/h_n"
GAMMA = (
    "-(3*r0^3 + 6*r0^2*r1 + 3*r0^2 + 3*r0*r1^2 + 3*r0*r1 + 2*r1)/(2*(r0^2 + 2*r0*r1 + r0 + r1^2))"  # 3 c3^3 for 3 c3^2
)
BAD = [
    ("ipndm_v", {"order": 4}, 0, "moment 0 is 526913/793638 of the exact one: no convergence"),
    ("res_3m", {}, 2, f"moment 2 is {GAMMA} {RATIOS}"),
]
MORE_BAD = [
    ("ipndm_v", {"order": 3}, 2, "moment 1 is off by h*(r0^2 + r0*r1 - r0 - 1)/4"),
    ("er_ode", {}, 1, "moment 1 is 9/10 of the exact one"),
    ("deis_sums", {}, 1, "moment 1 is 99/100 of the exact one"),
    ("dpmpp_3m_one_value", {}, 2, "2 values reproduce moments 0 to 1 only"),
    ("abnorsett_3m", {}, 1, f"moment 1 is (11*r0 - 5*r1)/6 {RATIOS}"),
    ("deis_anchored", {}, 2, "moment 1 is off by -h/6"),
    ("deis_anchored", {"order": 4}, 2, "moment 1 is off by -h/6"),
    ("rk4_anchored", {}, 2, "moment 1 is off by -h/6"),
    ("rk4_elsewhere", {}, 2, "moment 0 is off by h^2/12"),
]
GOOD = [("ipndm_v", {"order": 4, "right": True}, 4)]
MORE_GOOD = [("ipndm_v", {"order": 3, "right": True}, 3), ("res_3m", {"right": True}, 3), ("rk4", {}, 4)]


def audited(name, config):
    function = getattr(foreign_defects, f"sample_{name}")
    return audit_sampler(KDiffusion(name, function, config, None), beside=False)


def slow(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("name", "config", "order", "because"), [*BAD, *slow(MORE_BAD)])
def test_a_slip_is_found(name, config, order, because):
    found = audited(name, config)
    assert not found.holds and found.data["order"] == order and found.claims[0].because == because
    assert found.data["exact"] and found.wrong


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "whole"), [(0, 2), (1, 2), (2, 3)])
def test_dpm_fast_has_the_order_that_its_last_step_leaves(calls, whole):
    found = audited("dpm_fast", {"calls": calls})
    assert found.verdict == "nothing claimed" and found.data["order"] == 3
    assert found.claims[1].found == whole == round(found.data["measured_own"])
    assert found.claims[1].because == (
        "start and last steps cost nothing" if calls == 2 else "the last step has order 1"
    )


def test_another_formula_for_small_steps_is_no_false_alarm():
    found = audited("3m_branch", {})
    assert found.holds and found.data["order"] == 3 and "a branch for small steps" in found.how


@pytest.mark.parametrize(("name", "config", "order"), [*GOOD, *slow(MORE_GOOD)])
def test_without_it_the_same_is_as_claimed(name, config, order):
    found = audited(name, config)
    assert found.holds and found.data["order"] == order == found.data["order_by_jets"] and found.data["exact"]
