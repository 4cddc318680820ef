"""The schedule of snapshots: carried out on paper, and its number of steps against a search over all schedules."""

from __future__ import annotations

from functools import cache
from math import comb

import pytest

from runtime.revolve import Action, evaluations, repetitions, schedule


@cache
def fewest(steps: int, snapshots: int) -> int:
    """Steps forward that reversing takes at least: over all places of the next snapshot."""
    if steps == 1:
        return 0
    if snapshots == 1:
        return steps * (steps - 1) // 2
    return min(k + fewest(k, snapshots) + fewest(steps - k, snapshots - 1) for k in range(1, steps))


def carried_out(steps: int, snapshots: int) -> tuple[list[int], int]:
    """How often each step is taken forward, and the most snapshots at a time; every action has to be possible."""
    kept: set[int] = set()
    taken, at, most, left = [0] * steps, 0, 0, steps
    for name, step, stop in schedule(steps, snapshots):
        if name == "restore":
            assert step in kept
            at = step
        assert at == step
        if name == "keep":
            assert step not in kept
            kept.add(step)
        if name == "advance":
            assert step < stop <= left
            for i in range(step, stop):
                taken[i] += 1
            at = stop
        if name == "reverse":
            assert step == left - 1
            kept.discard(step)
            at, left = -1, step
        most = max(most, len(kept))
    assert left == 0
    assert not kept
    return taken, most


@pytest.mark.parametrize("snapshots", [1, 2, 3, 4, 5, 8, 13])
def test_no_schedule_takes_fewer_steps(snapshots: int) -> None:
    for steps in range(1, 70):
        taken, most = carried_out(steps, snapshots)
        r = repetitions(steps, snapshots)
        assert most <= snapshots
        assert sum(taken) == fewest(steps, snapshots) == r * steps - comb(snapshots + r, snapshots + 1)
        assert max(taken) == r
        assert evaluations(steps, snapshots) == sum(taken) + steps + 1


def test_known_numbers() -> None:
    """With s snapshots and r repetitions C(s + r, s) steps: 3 and 3 reverse 20, 8 and 2 reverse 45 (C(10, 2))."""
    assert (repetitions(20, 3), repetitions(21, 3)) == (3, 4)
    assert [repetitions(n, 8) for n in (1, 9, 10, 45, 46, 165, 166, 495)] == [0, 1, 2, 2, 3, 3, 4, 4]
    assert [evaluations(n, 1) for n in (1, 2, 3, 4)] == [2, 4, 7, 11]
    assert [evaluations(n, 100) for n in (1, 2, 50, 101)] == [2, 4, 100, 202]


def test_the_shortest_schedules() -> None:
    assert list(schedule(1, 4)) == [Action("keep", 0, 0), Action("reverse", 0, 1)]
    assert list(schedule(2, 1)) == [
        Action("keep", 0, 0), Action("advance", 0, 1), Action("reverse", 1, 2), Action("restore", 0, 0),
        Action("reverse", 0, 1),
    ]  # fmt: skip


def test_many_steps_are_listed_without_recursion() -> None:
    """More snapshots than Python allows calls within calls."""
    assert repetitions(100_000, 8) == 12
    assert sum(1 for action in schedule(20_000, 20_000) if action.name == "keep") == 19_999
    taken, most = carried_out(3000, 40)
    assert most == 40
    assert max(taken) == repetitions(3000, 40) == 3
