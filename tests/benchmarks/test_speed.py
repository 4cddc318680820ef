"""The speed that is promised, as ratios and budgets of CPU time (least of several runs: other jobs do not count).

The import time beyond torch is gated in tests/architecture.
"""

from __future__ import annotations

import pytest

from benchmarks import derive_speed, table_time


@pytest.mark.parametrize("order", [1, 2, 3])
def test_both_ways_give_the_same_weights(order):
    """A fast derivation of something else would prove nothing."""
    assert derive_speed.disagreement(order) < 1e-40


@pytest.mark.slow
@pytest.mark.parametrize("order", [4, 5])
def test_both_ways_give_the_same_weights_at_high_order(order):
    assert derive_speed.disagreement(order) < 1e-40


def test_weights_are_derived_a_hundred_times_faster_than_by_integration():
    order = derive_speed.HIGHEST
    ours = derive_speed.cpu_seconds(lambda: derive_speed.derived(order), 5, derive_speed.forget)
    theirs = derive_speed.cpu_seconds(lambda: derive_speed.integrated(order), 1, derive_speed.forget)
    assert theirs / ours > 100


def test_table_of_fifty_steps():
    assert table_time.table_seconds() < table_time.TABLE


def test_derivation_of_the_example():
    assert any(table_time.derive_seconds(repeat=1) < table_time.DERIVE for _ in range(3))
