"""Longer tables of the same shape, and that the proof and the measurement mean the same body."""

from __future__ import annotations

import pytest
from sympy import QQ

from derive.families.decisions import build
from derive.measure.table import parts, repeats, stretched
from derive.tableau import Kernel


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ((0, 1, 2, 2, 2, 1, 0), ((0, 1), (2, 2, 2), (1, 0))),
        ((0,), ((), (0,), ())),
        ((0, 1, 0, 1, 0), ((), (0, 1, 0, 1, 0), ())),
        ((0, 1, 2), ((0, 1), (2,), ())),
        ((0, 1, 0, 1), ((0,), (1, 0, 1), ())),
    ],
)
def test_parts(table, found):
    assert parts(table) == found
    tableau = build(Kernel(QQ(-1)), [{"order": place + 1} for place in table], "exact")
    if tableau.table == table:
        first, last = tableau.body
        assert table[first : last + 1] == found[1]


def test_stretched():
    table = (0, 1, 2, 2, 2, 1, 0)
    assert stretched(table, 7) == table
    assert stretched(table, 9) == (0, 1, 2, 2, 2, 2, 2, 1, 0) and stretched(table, 5) == (0, 1, 2, 1, 0)
    assert stretched(table, 3) == (0, 1, 2) and stretched(table, 1) == (0,)
    assert stretched((0, 1, 0, 2), 7) == (0, 1, 0, 0, 1, 0, 2)


def test_what_can_be_repeated():
    """A corrected body needs a phase from itself to itself; without correctors, phases follow each other in any order."""
    assert repeats((0, 1, 1), {"step_0_1", "step_1_2", "step_2_2"}, True)
    assert not repeats((0, 1), {"step_0_1", "step_1_2"}, True) and repeats((0, 1), {"step_1", "step_2"}, False)
    assert not repeats((0, 1, 0, 1), {"step_0_1", "step_1_2", "step_2_1"}, True)
