"""The inverse of a chart where the values at the ends are whole numbers next to the target."""

from __future__ import annotations

import pytest

from runtime.inverse import solve_for
from runtime.real import real


@pytest.mark.parametrize(("low", "high"), [(0, 3), (3, 0), (0, 2), (2, 0), (-5, 2), (-2, 2), (2, -2)])
def test_a_distance_of_one_is_not_none(low: int, high: int) -> None:
    for chart, target in ((lambda t: t, 1), (lambda t: -t, -1), (lambda t: 2 * t, 2)):
        assert solve_for(chart, real(target), real(low), real(high)) == 1


def test_both_ends_are_asked() -> None:
    assert solve_for(lambda t: t * t, 9, real(3), real(5)) == 3 and solve_for(lambda t: t * t, 9, real(5), real(3)) == 3
