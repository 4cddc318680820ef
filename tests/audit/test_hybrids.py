"""Hybrids and multistep methods of RES4LYF: their order as they run, and on equal steps without their slips."""

from __future__ import annotations

import pytest

from derive.audit.judge import audit_sampler
from derive.audit.samplers import KDiffusion
from tests.audit import foreign_hybrids

RATIOS = "of the exact one, r_j = h_(n-1-j)/h_n"
BAD = [
    ("hybrid", {"name": "abnorsett3_2h2s", "order": 3, "sigma": True}, 1, f"moment 1 is 11*r0/6 {RATIOS}"),
    ("abnorsett", {"order": 4}, 1, f"moment 1 is -(5*r0 + r1)/3 {RATIOS}"),
]
MORE_BAD = [
    ("hybrid", {"name": "pec423_2h2s"}, 1, f"moment 1 is (4*r0 + 9)/12 {RATIOS}"),
    ("hybrid", {"name": "pec433_2h3s"}, 1, f"moment 1 is (4*r0 + 9)/12 {RATIOS}"),
    ("hybrid", {"name": "lawson42_1h4s"}, 2, "the error of a step is O(h^3) by jets; the moments alone would allow 3"),
    ("hybrid", {"name": "lawson43_2h4s"}, 2, "moment 1 is off by O(h^1)"),
    ("hybrid", {"name": "lawson44_3h4s"}, 1, f"moment 1 is (3*r0 + r1 + 1439)/1440 {RATIOS}"),
    ("hybrid", {"name": "lawson45_4h4s", "kept": 5}, 1, "moment 1 is 1.00261 of the exact one"),
    ("abnorsett", {"order": 3}, 2, "moment 1 is off by -h*"),
]
EQUAL = {
    "abnorsett3_2h2s": (1, 3),
    "pec423_2h2s": (1, 4),
    "pec433_2h3s": (1, 4),
    "lawson42_1h4s": (4, 4),
    "lawson43_2h4s": (3, 4),
    "lawson44_3h4s": (1, 5),
    "lawson45_4h4s": (1, 5),
}
"""Order of the last row on equal steps of lambda, as it is and without the slips."""


def audited(name, config):
    function = getattr(foreign_hybrids, f"sample_{name}")
    return audit_sampler(KDiffusion(name, function, config, None), beside=False)


def slow(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("name", "config", "order", "because"), [*BAD, *slow(MORE_BAD)])
def test_a_slip_is_found(name, config, order, because):
    found = audited(name, config)
    assert not found.holds and found.data["order"] == order and found.claims[0].because.startswith(because)
    assert found.data["exact"] and found.wrong[0].where.startswith("moment 1") and found.wrong[0].right == "1/2"


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_without_its_slips_it_has_its_order_on_equal_steps(name):
    config = {"name": name, "kept": 5, "order": 3 if name == "abnorsett3_2h2s" else 4}
    for right, order in zip((False, True), EQUAL[name]):
        found = audited("hybrid", {**config, "right": right})
        assert {c.name: c.found for c in found.claims}["order on equal steps of lambda"] == order
        assert not found.holds


def test_a_buffer_that_is_too_short_is_a_finding():
    found = audited("hybrid", {"name": "lawson45_4h4s"})
    assert not found.holds and found.failures == ("a run throws IndexError: list assignment index out of range",)


@pytest.mark.slow
@pytest.mark.parametrize("order", [3, 4])
def test_the_weights_of_past_values_are_as_claimed(order):
    found = audited("abnorsett", {"order": order, "right": True})
    assert found.holds and found.data["order"] == order == found.data["order_by_jets"]
