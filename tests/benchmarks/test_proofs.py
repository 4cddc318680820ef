"""The proofs of one-step methods keep their budgets of CPU time."""

from __future__ import annotations

import pytest

from benchmarks import proofs
from derive.analysis import stiff, trees


def test_nothing_is_left_out():
    """A fast proof of fewer conditions would prove nothing."""
    assert sum(count for count, _ in trees.failures(proofs.full_step(), 8)) == 8340
    assert [len(found) for found in stiff.conditions(proofs.published("exprk5s8"))] == [1, 2, 2, 4, 9]


def test_all_trees_of_up_to_eight_vertices():
    assert proofs.tree_seconds() < proofs.TREES


@pytest.mark.parametrize(("name", "budget"), [("exprk5s8", proofs.EIGHT_STAGES), ("krogstad", proofs.FOUR_STAGES)])
def test_stiff_conditions(name, budget):
    assert proofs.stiff_seconds(name) < budget
