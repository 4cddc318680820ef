"""Passes, ``Program -> Program``, pure. After :func:`fuse` there is one kernel per network call and every stream moves once."""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Combine, Evaluate, Operation, Phase, Program, Project, Push


def prune(program: Program) -> Program:
    """Drop pushes nobody reads."""
    if program.history:
        return program
    return replace(
        program,
        phases=tuple(
            replace(p, operations=tuple(o for o in p.operations if not isinstance(o, Push))) for p in program.phases
        ),
    )


def fuse(program: Program) -> Program:
    """Merge neighbouring combines into one kernel; a network call or a projection between them keeps them apart."""
    return replace(program, phases=tuple(replace(p, operations=_fused(p.operations)) for p in program.phases))


def _fused(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    out: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Combine) and out and isinstance(out[-1], Combine):
            out[-1] = Combine(out[-1].lines + operation.lines)
        else:
            out.append(operation)
    return tuple(out)


def optimise(program: Program) -> Program:
    """The passes in order."""
    return fuse(prune(program))


def streams(phase: Phase) -> tuple[int, int]:
    """(reads, writes) of tensor streams in the phase's kernels: what memory sees once registers hold the rest.

    A value computed and read inside one kernel costs nothing; the new state is written, a history value is written only if
    it is not the network's own output.
    """
    reads: set[str] = set()
    writes: set[str] = set()
    kept = {op.value for op in phase.operations if isinstance(op, Push)}
    made: set[str] = set()
    for operation in phase.operations:
        if isinstance(operation, (Evaluate, Project)):
            made.clear()
        if isinstance(operation, Combine):
            inside: set[str] = set()
            for line in operation.lines:
                reads |= {v for _, v in line.terms if v not in inside}
                inside.add(line.out)
                if line.out == "x'" or line.out in kept:
                    writes.add(line.out)
    return len(reads), len(writes)
