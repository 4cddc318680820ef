"""Passes, ``Program -> Program``, pure. After :func:`fuse` there is one kernel per network call and every stream moves once."""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Combine, Draw, Keep, Operation, Phase, Program
from derive.program.memory import role_in_step


def prune(program: Program) -> Program:
    """Forget between the calls of a step what no later call of it reads or keeps."""
    phases = {phase.name: phase for phase in program.phases}
    for way in program.ways:
        for call in reversed(range(len(way) - 1)):
            following = phases[way[call + 1].name]
            read = _read(following)
            wanted = tuple(role for role in following.memory if role in read)
            phase = phases[way[call].name]
            phases[following.name] = replace(following, memory=wanted)
            phases[phase.name] = _keeping(phase, wanted, call)
    return replace(program, phases=tuple(phases.values()))


def _read(phase: Phase) -> set[str]:
    """Values that the phase's lines read or that it keeps."""
    return {value for line in phase.lines for _, value in line.terms} | set(phase.keep.values)


def _keeping(phase: Phase, wanted: tuple[str, ...], call: int) -> Phase:
    kept = phase.keep
    values = tuple(value for value in kept.values if role_in_step(value, call) in wanted)
    shorter = Keep(values, kept.most - len(kept.values) + len(values))
    operations = tuple(shorter if isinstance(op, Keep) else op for op in phase.operations)
    return replace(phase, operations=operations)


def fuse(program: Program) -> Program:
    """Merge neighbouring combines into one kernel; a network call or a projection between them keeps them apart.

    What is drawn is drawn first.
    """
    return replace(program, phases=tuple(replace(p, operations=_fused(p.operations)) for p in program.phases))


def _fused(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    out: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Combine) and out and isinstance(out[-1], Combine):
            out[-1] = Combine(out[-1].lines + operation.lines)
        elif isinstance(operation, Draw) and out and isinstance(out[-1], Combine):
            out.insert(-1, operation)
        else:
            out.append(operation)
    return tuple(out)


def optimise(program: Program) -> Program:
    """The passes in order."""
    return fuse(prune(program))


def streams(phase: Phase) -> tuple[int, int]:
    """(reads, writes) of tensor streams in the phase's kernels: what memory sees once registers hold the rest.

    A value computed and read inside one kernel costs nothing; the new state is written, another value is written only if
    it is kept. The network's own output and what was in memory already stay where they are. Normals are made in registers.
    """
    reads: set[str] = set()
    writes: set[str] = set()
    kept = set(phase.keep.values)
    for operation in phase.operations:
        if isinstance(operation, Combine):
            inside: set[str] = set()
            for line in operation.lines:
                reads |= {v for _, v in line.terms if v not in inside and v != "z"}
                inside.add(line.out)
                if line.out == "x'" or line.out in kept:
                    writes.add(line.out)
    return len(reads), len(writes)


__all__ = ["fuse", "optimise", "prune", "streams"]
