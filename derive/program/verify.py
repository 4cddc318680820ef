"""What must hold for a program before text is made of it; every fault is collected, then raised once."""

from __future__ import annotations

from derive.errors import InternalError
from derive.program.ir import Combine, Draw, Evaluate, Keep, Phase, Program, Project
from derive.program.memory import enters, flow


def verify(program: Program) -> Program:
    """Return the program, or raise InternalError with one line per fault."""
    faults = [f"phase {phase.name}: {fault}" for phase in program.phases for fault in _faults(phase, program)]
    names = [phase.name for phase in program.phases]
    if len(set(names)) != len(names) or not (program.table or "main" in names):
        faults.append(f"phases {names}: names are unique and one is main")
    elif program.steps and sorted(name for way in program.steps for name in way) != sorted(names):
        faults.append(f"phases {names}: each is a call of one way to take a step, got {program.steps}")
    else:
        faults += _sequence(program)
    if faults:
        raise InternalError("\n".join(faults))
    return program


def _faults(phase: Phase, program: Program) -> list[str]:
    known = {"x", *phase.memory}
    faults = [f"finds {v} twice" for v in {v for v in phase.memory if phase.memory.count(v) > 1}]
    for operation in phase.operations:
        if isinstance(operation, Evaluate):
            faults += [] if operation.state in known else [f"evaluates {operation.state}, which is not there"]
            faults += [] if operation.scale in (None, *program.columns) else [f"scale {operation.scale} has no column"]
            known.add(operation.out)
        elif isinstance(operation, Combine):
            for line in operation.lines:
                read = [v for _, v in line.terms]
                faults += [f"{line.out} reads {v}, which is not there" for v in read if v not in known]
                faults += [f"{line.out} reads a value twice"] if len(set(read)) < len(read) else []
                faults += [f"coefficient {c} has no column" for c, _ in line.terms if c and c not in program.columns]
                faults += [f"{line.out} is written twice"] if line.out in known else []
                known.add(line.out)
        elif isinstance(operation, Keep):
            faults += [f"keeps {v}, which is not there" for v in operation.values if v not in known]
            faults += _kept(operation)
        elif isinstance(operation, (Draw, Project)):
            known.add(operation.out)
    if "x'" not in known:
        faults.append("the new state x' is never computed")
    if [isinstance(op, Keep) for op in phase.operations] != [False] * (len(phase.operations) - 1) + [True]:
        faults.append("keep is the last operation, once")
    if phase.evaluations != 1:
        faults.append(f"{phase.evaluations} evaluations; a phase has one")
    if phase.kernels > phase.evaluations + sum(isinstance(o, Project) for o in phase.operations):
        faults.append(f"{phase.kernels} kernels for {phase.evaluations} evaluations: run fuse")
    return faults


def _kept(keep: Keep) -> list[str]:
    faults = [f"keeps {v} twice" for v in {v for v in keep.values if keep.values.count(v) > 1}]
    faults += ["keeps x', which is the state"] if "x'" in keep.values else []
    return faults + ([f"keeps {len(keep.values)} values, at most {keep.most}"] if keep.most < len(keep.values) else [])


def _sequence(program: Program) -> list[str]:
    """Every phase finds what it reads, whatever step came before; the method can go on for ever."""
    found = flow(program)
    faults = list(found.faults)
    main = program.repeated
    if not faults and not program.table and not any(enters(main[0], memory) for memory in found.leaves.get("main", ())):
        faults.append(f"phase main: what it leaves is not enough for {main[0].name} of the next step")
    return faults
