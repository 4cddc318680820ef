"""What is in memory before every phase: which values, in which order, along every sequence of steps.

A memory is a tuple of roles. A phase finds its named entries in front, and leaves what it keeps in front of the entries
that it did not name. Between two calls of one step ``x`` becomes ``y`` and the newest value ``m0`` or ``k_i``; at the
end of a grid step every integrand grows one step older, ``m[j]`` becoming ``m[j+1]``, and stages are forgotten.

Where a table switches between integrands, each has a letter (:data:`LETTERS`: ``m0``, ``m[j]`` of the first, ``n0``, ``n[j]``
of the second), and a history holds the values of each grid point in all that are kept: ``m[1], n[1], m[2], n[2], ..``.
"""

from __future__ import annotations

from dataclasses import dataclass

from derive.program.ir import Phase, Program

Memory = tuple[str, ...]
LETTERS = "mnpqrsuv"
"""What values of the first integrand, the second, .. are called."""


@dataclass(frozen=True, slots=True)
class Flow:
    """entries: by phase, every memory that it can be called with; leaves: by last phase of a step, what the next finds.

    faults: where a phase finds something else than it reads.
    """

    entries: dict[str, frozenset[Memory]]
    leaves: dict[str, frozenset[Memory]]
    faults: tuple[str, ...]

    def longest(self, phase: Phase) -> int:
        """The most entries that the phase can find."""
        return max(map(len, self.entries.get(phase.name, ())), default=len(phase.memory))


def flow(program: Program) -> Flow:
    """Follow every way to take a step from an empty memory, and from one that a caller filled with past integrands.

    A table is followed as it is, from as many integrands as it can begin with.
    """
    entries: dict[str, set[Memory]] = {phase.name: set() for phase in program.phases}
    leaves: dict[str, set[Memory]] = {}
    faults: dict[str, None] = {}
    if program.table:
        _along(program, entries, leaves, faults)
    else:
        _everywhere(program, entries, leaves, faults)
    for way in program.ways:
        if not entries[way[0].name]:
            faults[f"phase {way[0].name}: no step leaves {', '.join(way[0].memory)} for it"] = None
    return Flow(
        {name: frozenset(found) for name, found in entries.items()},
        {name: frozenset(found) for name, found in leaves.items()},
        tuple(faults),
    )


def _along(
    program: Program, entries: dict[str, set[Memory]], leaves: dict[str, set[Memory]], faults: dict[str, None]
) -> None:
    """From the fullest history, which has to do, to the shortest that still does."""
    for count in range(program.history, -1, -1):
        memory = integrands(count, program.kept)
        found: dict[str, set[Memory]] = {name: set() for name in entries}
        wrong: dict[str, None] = {}
        for i in program.table:
            left = _take(program, program.ways[i], memory, found, wrong)
            if left is None:
                break
            memory = left
            leaves.setdefault(program.ways[i][-1].name, set()).add(left)
        if wrong:
            faults.update(wrong if count == program.history else {})
            return
        for name, memories in found.items():
            entries[name] |= memories


def _everywhere(
    program: Program, entries: dict[str, set[Memory]], leaves: dict[str, set[Memory]], faults: dict[str, None]
) -> None:
    waiting = [integrands(count, program.kept) for count in range(program.history + 1)]
    seen = set(waiting)
    while waiting:
        memory = waiting.pop()
        for way in program.ways:
            if not enters(way[0], memory):
                continue
            left = _take(program, way, memory, entries, faults)
            if left is None:
                continue
            leaves.setdefault(way[-1].name, set()).add(left)
            if left not in seen:
                seen.add(left)
                waiting.append(left)


def enters(phase: Phase, memory: Memory) -> bool:
    """Whether a step may begin with the phase: its values are there, and what it would carry along is history."""
    count = len(phase.memory)
    carried = memory[count : count + phase.keep.most - len(phase.keep.values)]
    return memory[:count] == phase.memory and all(role[1:2] == "[" for role in carried)


def integrands(count: int, letters: str = "m") -> Memory:
    """``m[1], .., m[count]``; of several integrands ``m[1], n[1], m[2], ..``."""
    return tuple(f"{letter}[{j}]" for j in range(1, count + 1) for letter in letters)


def newest(integrand: int) -> str:
    """``m0``, ``n0``, ..: the value at t_n in the first integrand, the second, .."""
    return f"{LETTERS[integrand]}0"


def _take(
    program: Program,
    way: tuple[Phase, ...],
    memory: Memory,
    entries: dict[str, set[Memory]],
    faults: dict[str, None],
) -> Memory | None:
    """The memory after the step; None if it cannot be taken to its end."""
    for call, phase in enumerate(way):
        count = len(phase.memory)
        if memory[:count] != phase.memory:
            faults[f"phase {phase.name}: reads {', '.join(phase.memory)}, finds {', '.join(memory) or 'nothing'}"] = (
                None
            )
            return None
        entries[phase.name].add(memory)
        memory = tuple(role_in_step(value, call) for value in phase.keep.values) + memory[count:]
        memory = memory[: phase.keep.most]
    left = tuple(_older(role) for role in memory)
    past = left[1:] if left[:1] == ("y",) else left
    if past != integrands(len(past), program.kept)[: len(past)] or len(past) % max(len(program.kept), 1):
        faults[f"phase {way[-1].name}: leaves {', '.join(left)}, which is not a history"] = None
        return None
    return left


def role_in_step(value: str, call: int) -> str:
    """What a kept value is called by the next phase of the same step."""
    return {"x": "y", "xc": "y", "yn": "y", "raw": f"k{call}" if call else newest(0)}.get(value, value)


def _older(role: str) -> str:
    letter, place = role[:1], role[1:]
    if place == "0":
        return f"{letter}[1]"
    return f"{letter}[{int(place[1:-1]) + 1}]" if place.startswith("[") else role


__all__ = ["LETTERS", "Flow", "Memory", "enters", "flow", "integrands", "newest", "role_in_step"]
