"""What is in memory before every phase: which values, in which order, along every sequence of steps.

A memory is a tuple of roles. A phase finds its named entries in front, and leaves what it keeps in front of the entries
that it did not name. Between two calls of one step ``x`` becomes ``y`` and the newest value ``m0`` or ``k_i``; at the
end of a grid step every integrand grows one step older, ``m[j]`` becoming ``m[j+1]``, and stages are forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from derive.program.ir import Phase, Program

Memory = tuple[str, ...]


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
        memory = integrands(count)
        found: dict[str, set[Memory]] = {name: set() for name in entries}
        wrong: dict[str, None] = {}
        for i in program.table:
            left = _take(program.ways[i], memory, found, wrong)
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
    waiting = [integrands(count) for count in range(program.history + 1)]
    seen = set(waiting)
    while waiting:
        memory = waiting.pop()
        for way in program.ways:
            if not enters(way[0], memory):
                continue
            left = _take(way, memory, entries, faults)
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
    return memory[:count] == phase.memory and all(role.startswith("m[") for role in carried)


def integrands(count: int) -> Memory:
    """``m[1], .., m[count]``."""
    return tuple(f"m[{j}]" for j in range(1, count + 1))


def _take(
    way: tuple[Phase, ...], memory: Memory, entries: dict[str, set[Memory]], faults: dict[str, None]
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
    if past != integrands(len(past)):
        faults[f"phase {way[-1].name}: leaves {', '.join(left)}, which is not a history"] = None
        return None
    return left


def role_in_step(value: str, call: int) -> str:
    """What a kept value is called by the next phase of the same step."""
    newest = f"k{call}" if call else "m0"
    return {"x": "y", "xc": "y", "raw": newest}.get(value, value)


def _older(role: str) -> str:
    if role == "m0":
        return "m[1]"
    return f"m[{int(role[2:-1]) + 1}]" if role.startswith("m[") else role


__all__ = ["Flow", "Memory", "enters", "flow", "integrands", "role_in_step"]
