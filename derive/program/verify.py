"""What must hold for a program before text is made of it; every fault is collected, then raised once."""

from __future__ import annotations

from derive.errors import InternalError
from derive.program.ir import Combine, Draw, Evaluate, Phase, Program, Project, Push


def verify(program: Program) -> Program:
    """Return the program, or raise InternalError with one line per fault."""
    faults = [f"phase {phase.name}: {fault}" for phase in program.phases for fault in _faults(phase, program)]
    names = [phase.name for phase in program.phases]
    if len(set(names)) != len(names) or "main" not in names:
        faults.append(f"phases {names}: names are unique and one is main")
    if faults:
        raise InternalError("\n".join(faults))
    return program


def _faults(phase: Phase, program: Program) -> list[str]:
    known = {"x", *(f"m[{j}]" for j in range(1, program.history + 1))}
    faults = []
    for operation in phase.operations:
        if isinstance(operation, Evaluate):
            faults += [] if operation.state in known else [f"evaluates {operation.state}, which is not there"]
            known.add(operation.out)
        elif isinstance(operation, Combine):
            for line in operation.lines:
                faults += [f"{line.out} reads {v}, which is not there" for _, v in line.terms if v not in known]
                faults += [f"coefficient {c} has no column" for c, _ in line.terms if c and c not in program.columns]
                faults += [f"{line.out} is written twice"] if line.out in known else []
                known.add(line.out)
        elif isinstance(operation, Push):
            faults += [] if operation.value in known else [f"keeps {operation.value}, which is not there"]
        elif isinstance(operation, (Draw, Project)):
            known.add(operation.out)
    if "x'" not in known:
        faults.append("the new state x' is never computed")
    if phase.kernels > phase.evaluations + sum(isinstance(o, Project) for o in phase.operations):
        faults.append(f"{phase.kernels} kernels for {phase.evaluations} evaluations: run fuse")
    return faults
