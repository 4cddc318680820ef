"""PyTorch: per phase one function that returns new tensors and one that works in place (``step_torch.py``).

``x' = sum coefficient * value`` is printed as it is read. In place, the first term of a line is a product into its
buffer and every further term one ``addcmul_``: x' accumulates in x, the newest integrand goes to the free buffer of the
ring, and no step allocates. Values: ``m0`` is the newest integrand, ``m1, m2, ...`` those of 1, 2, ... steps ago.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from derive.backends._coefficients import docstring
from derive.backends._layout import INDENT, statement
from derive.errors import InternalError
from derive.program.ir import Combine, Evaluate, Line, Phase, Program, Push

FILE = "step_torch.py"
TEMPLATE = "torch/step.py.jinja"

_VALUE = re.compile(r"x'?|raw|m0|m\[[1-9][0-9]?\]|[a-z][a-z0-9_]{0,30}")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of a phase that the torch backend executes: lines in order, and what is kept."""

    phase: Phase
    lines: tuple[Line, ...]
    kept: str | None


def context(program: Program) -> dict[str, Any]:
    """What the template lays out: the functions' lines, and the tuples of their names by order."""
    stepping = [p for p in program.phases if p.name != "denoise"]
    bodies = [_body(phase) for phase in stepping]
    return {
        "functions": [_returning(b, program) for b in bodies] + [_in_place(b, program) for b in bodies],
        "in_place": any("torch." in line for b in bodies for line in _in_place(b, program)),
        "names": [b.phase.name for b in bodies],
        "ring": _ring(bodies, program),
    }


def _ring(bodies: list[Body], program: Program) -> int:
    """Buffers that the in-place functions need: the history and one free; none if nothing is kept or converted."""
    uses = any("m[-1]" in line for body in bodies for line in _in_place(body, program))
    return program.history + 1 if uses else program.history


def formulas(phase: Phase) -> str:
    """``x' = a x + b0 m0 + b1 m1, m0 = cx x + cr raw``: the phase on one line, the step first."""
    lines = list(_body(phase).lines)
    lines.sort(key=lambda line: line.out != "x'")
    return ", ".join(f"{line.out} = " + " + ".join(f"{c} {_name(v)}" if c else _name(v) for c, v in line.terms)
                     for line in lines)  # fmt: skip


def _body(phase: Phase) -> Body:
    """Checks that the phase is one evaluation followed by combinations, and takes it apart."""
    lines: list[Line] = []
    kept: str | None = None
    known = {"x", *(f"m[{j}]" for j in range(1, phase.past + 1))}
    for operation in phase.operations:
        if isinstance(operation, Evaluate) and not lines and "raw" not in known:
            known.add(operation.out)
        elif isinstance(operation, Combine):
            for line in operation.lines:
                _check(line, known, phase)
                known.add(line.out)
                lines.append(line)
        elif isinstance(operation, Push) and kept is None and operation.value in known:
            kept = operation.value
        else:
            raise InternalError(f"the torch backend has no place for {str(operation)!a} in phase {phase.name}")
    if sum(line.out == "x'" for line in lines) != 1:
        raise InternalError(f"phase {phase.name} does not write x' exactly once")
    return Body(phase, tuple(lines), kept)


def _check(line: Line, known: set[str], phase: Phase) -> None:
    for value in (line.out, *(value for _, value in line.terms)):
        if not _VALUE.fullmatch(value):
            raise InternalError(f"a value that cannot be printed: {value!a}")
    for name, value in line.terms:
        if value not in known or (name is not None and not _COLUMN.fullmatch(name)):
            raise InternalError(f"phase {phase.name}: {line} reads what is not there")
    if line.out in known or not line.terms:
        raise InternalError(f"phase {phase.name}: {line} is empty or overwrites a value")


def _name(value: str) -> str:
    """The Python name of a value: ``m[1]`` -> ``m1``."""
    return f"m{value[2:-1]}" if value.startswith("m[") else value


def _product(coefficient: str | None, value: str) -> str:
    return f"{coefficient} * {_name(value)}" if coefficient else _name(value)


def _opening(body: Body, program: Program) -> list[str]:
    """Names for the coefficients and the past values that the phase uses."""
    used = set(body.phase.coefficients)
    columns = ", ".join(name if name in used else "_" for name in program.columns)
    lines = [f"{INDENT}{columns}{',' if len(program.columns) == 1 else ''} = c"]
    past = [f"m{j}" for j in range(1, body.phase.past + 1)]
    if past:
        lines.append(f"{INDENT}{', '.join(past)} = m[{f':{len(past)}' if len(past) > 1 else '0'}]")
    return lines


def _returning(body: Body, program: Program) -> list[str]:
    """The function that returns (x', history) and changes nothing."""
    lines = [f"def {body.phase.name}(x, raw, m, c):", *docstring(f"{formulas(body.phase)}.", INDENT)]
    lines += _opening(body, program)
    result = ""
    for line in body.lines:
        text = " + ".join(_product(*term) for term in line.terms)
        if line.out == "x'" and line is body.lines[-1]:
            result = text
        else:
            result = result or ("x_new" if line.out == "x'" else "")
            lines += statement(f"{'x_new' if line.out == chr(120) + chr(39) else _name(line.out)} = ", text, INDENT)
    return [*lines, *statement("return ", f"{result}, {_kept(body, program)}", INDENT)]


def _kept(body: Body, program: Program) -> str:
    """The history after the step, newest first, at most ``program.history`` long."""
    if not program.history or body.kept is None:
        return "()" if not program.history else "m"
    newest = _name(body.kept)
    return f"({newest},)" if program.history == 1 else f"({newest}, *m)[:{program.history}]"


def _in_place(body: Body, program: Program) -> list[str]:
    """The function that overwrites x, fills the ring's free buffer and returns the rotated ring."""
    lines = [f"def {body.phase.name}_(x, raw, m, c):", *docstring(f"{formulas(body.phase)}, in place.", INDENT)]
    lines += _opening(body, program)
    slot = next((line.out for line in body.lines if line.out in ("m0", body.kept) and line.out != "x'"), None)
    finished = False
    for line in body.lines:
        if finished and any(value == "x" for _, value in line.terms):
            raise InternalError(f"phase {body.phase.name}: {line} reads x after it was overwritten")
        if line.out == "x'":
            lines += statement("", _accumulate_in_x(line), INDENT)
            finished = True
        else:
            lines += statement(f"{_name(line.out)} = ", _into(line, "m[-1]" if line.out == slot else None), INDENT)
    return [*lines, f"{INDENT}return {_rotated(body, program, slot)}"]


def _rotated(body: Body, program: Program, slot: str | None) -> str:
    if slot is not None and (slot == body.kept or not program.history):
        return f"({slot}, *m[:-1])"
    if body.kept is not None and program.history:
        return f"(m[-1].copy_({_name(body.kept)}), *m[:-1])"
    return "m"


def _accumulate_in_x(line: Line) -> str:
    """x' in x: ``x.mul_(a).addcmul_(m0, b0)``; without an x term its buffer is simply filled."""
    own = [term for term in line.terms if term[1] == "x"]
    if len(own) > 1:
        raise InternalError(f"{line} holds x twice")
    if not own:
        return _into(line, "x")
    coefficient = own[0][0]
    rest = "".join(_add(*term) for term in line.terms if term[1] != "x")
    if not coefficient and not rest:
        return "x"
    return "x" + (f".mul_({coefficient})" if coefficient else "") + rest


def _into(line: Line, buffer: str | None) -> str:
    """The line's sum written to ``buffer`` (None: a new tensor)."""
    terms = sorted(line.terms, key=lambda term: term[0] is None)
    (coefficient, value), *rest = terms
    if coefficient:
        first = f"torch.mul({_name(value)}, {coefficient}{f', out={buffer}' if buffer else ''})"
    else:
        first = f"{buffer}.copy_({_name(value)})" if buffer else f"{_name(value)}.clone()"
    return first + "".join(_add(*term) for term in rest)


def _add(coefficient: str | None, value: str) -> str:
    return f".addcmul_({_name(value)}, {coefficient})" if coefficient else f".add_({_name(value)})"
