"""revolve: which states of N steps to keep, and which to compute again, when the steps are reversed one by one.

With s snapshots (the initial state is one of them) and r such that C(s + r - 1, s) < N <= C(s + r, s), no schedule takes
fewer than

    t(N, s) = r N - C(s + r, s + 1)

steps forward besides the N that are reversed, and none of these is taken more than r times. Griewank and Walther, Algorithm
799, ACM TOMS 26(1), 2000, doi:10.1145/347837.347846.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Literal, NamedTuple


class Action(NamedTuple):
    """One thing to do.

    "keep": a snapshot of the current state, which is that before ``step``. "restore": make the snapshot of ``step`` the
    current state. "advance": take the steps from ``step`` up to ``stop``, that one not. "reverse": differentiate
    ``step``, before which the current state stands; the state is then lost, and its snapshot, if there is one, not
    needed any more.
    """

    name: Literal["keep", "restore", "advance", "reverse"]
    step: int
    stop: int


def schedule(steps: int, snapshots: int) -> Iterator[Action]:
    """What to do, from the initial state to the reversal of step 0. steps, snapshots: at least 1."""
    at: int | None = 0
    open_ = [(0, steps, snapshots)]  # steps from, up to, and the snapshots that there are for them
    yield Action("keep", 0, 0)
    while open_:
        first, stop, free = open_.pop()
        if at != first:
            yield Action("restore", first, first)
        if stop - first == 1:
            yield Action("reverse", first, stop)
            at = None
            continue
        at = first + _split(stop - first, free)
        yield Action("advance", first, at)
        if stop - at > 1:
            yield Action("keep", at, at)
        open_ += [(first, at, free), (at, stop, free - 1)]


def _split(steps: int, snapshots: int) -> int:
    """How far to advance before the next snapshot: the largest number that is optimal."""
    r = repetitions(steps, snapshots)
    return min(comb(snapshots + r - 1, snapshots), steps - comb(snapshots + r - 2, snapshots - 1))


def repetitions(steps: int, snapshots: int) -> int:
    """The least r with steps <= C(snapshots + r, snapshots): how often a step is taken forward at most."""
    r = 0
    while comb(snapshots + r, snapshots) < steps:
        r += 1
    return r


def evaluations(steps: int, snapshots: int) -> int:
    """Calls of the network for a sample and its gradient: N for the sample, N to differentiate, the rest to come back.

    The state before the last step is at hand when the sample is made, so of the t(N, s) steps forward the first N - 1
    make the sample as well.
    """
    r = repetitions(steps, snapshots)
    return r * steps - comb(snapshots + r, snapshots + 1) + steps + 1


__all__ = ["Action", "evaluations", "repetitions", "schedule"]
