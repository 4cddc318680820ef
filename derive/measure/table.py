"""Tables of decisions on finer grids: a longer table of the same shape.

A table has a fixed number of steps, and so no limit h -> 0. What its order speaks of is a longer table that repeats its
body, the steps from the first to the last use of the rows that it uses most; what stands before and after is used once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import cycle, islice

from derive.blocks import body as repeated
from derive.blocks import filled

Table = tuple[int, ...]


def parts(table: Sequence[int], back: Sequence[int] = ()) -> tuple[Table, Table, Table]:
    """(before, body, after). back: of every place, how many steps ago it starts."""
    first, last = repeated(table, back)
    return tuple(table[:first]), tuple(table[first : last + 1]), tuple(table[last + 1 :])


def stretched(table: Sequence[int], count: int, back: Sequence[int] = ()) -> Table:
    """``count`` entries of the same shape; where there is no room for a body, the first ones."""
    before, body, after = parts(table, back)
    room = count - len(before) - len(after)
    if any(back):
        return (*before, *filled(body, room, back), *after) if room > 0 else filled(body, count, back)
    if room < 1:
        return (*before, *islice(cycle(body), count))[:count]
    return (*before, *islice(cycle(body), room), *after)


def repeats(table: Sequence[int], phases: Collection[str], corrects: bool) -> bool:
    """Whether the solver has every phase that a longer table needs: a corrected body goes on as it began."""
    _, body, _ = parts(table)
    return not corrects or (len({*body}) == 1 and f"step_{body[0] + 1}_{body[0] + 1}" in phases)


__all__ = ["parts", "repeats", "stretched"]
