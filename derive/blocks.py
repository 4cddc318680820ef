r"""Blocks of a table of decisions: steps that start again at an earlier state (singlestep DPM-Solver on the grid's points).

A step with ``back`` b starts at the state of b steps ago and combines values since then; the b steps before it start there
too, and what they find is no result. A table is a tuple of places, ``back`` says it of every place.
"""

from __future__ import annotations

from collections.abc import Sequence

Places = tuple[int, ...]


def results(table: Sequence[int], back: Sequence[int] = ()) -> list[int]:
    """The steps whose states are results: no later step starts before them."""
    behind = {i - j for i, k in enumerate(table) if back for j in range(1, back[k] + 1)}
    return [i for i in range(len(table)) if i not in behind]


def most_used(table: Sequence[int], back: Sequence[int] = ()) -> int:
    """The place that most results have, the latest of such."""
    uses = [table[i] for i in results(table, back)]
    return max(uses, key=lambda k: (uses.count(k), k))


def body(table: Sequence[int], back: Sequence[int] = ()) -> tuple[int, int]:
    """(first, last) step that a longer table repeats: from the first to the last block of the kind that it uses most."""
    chosen = most_used(table, back)
    found = [i for i in results(table, back) if table[i] == chosen]
    return found[0] - (back[chosen] if back else 0), found[-1]


def filled(steps: Sequence[int], room: int, back: Sequence[int]) -> Places:
    """``room`` steps in whole blocks, those of ``steps`` again and again; a rest is made of shorter ones, of order 2 or up
    where there is room."""
    ends = results(steps, back)
    blocks = [tuple(steps[i - back[steps[i]] : i + 1]) for i in ends]
    out: list[Places] = []
    while room - sum(map(len, out)) >= min(map(len, blocks)):
        following = blocks[len(out) % len(blocks)]
        if len(following) > room - sum(map(len, out)):
            break
        out.append(following)
    rest = room - sum(map(len, out))
    longest = max(blocks, key=len)
    if rest == 1 and out and len(out[-1]) > 2:
        long = out.pop()
        out += [long[:-1], longest[:2]]
    elif rest:
        out.append(longest[:rest])
    return tuple(k for block in out for k in block)


__all__ = ["body", "filled", "most_used", "results"]
