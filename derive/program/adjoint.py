"""The adjoint of a phase: from the gradients of what it makes to those of what it reads.

A phase is linear in its values, so its adjoint is the transposed map: lines again, over the same coefficients, by reverse
accumulation. ``g_v`` is the gradient of the value v. What comes back from later phases of a value that this phase makes
and reads as well is ``later_v``, a part of ``g_v``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derive.errors import InternalError
from derive.program.ir import Line


@dataclass(frozen=True, slots=True)
class Adjoint:
    """given: the gradients that arrive, one for each value that is made; wanted: one for each value that is read.

    lines: every gradient that is a sum, in the order of computation; what is wanted is one of them or was given.
    """

    given: tuple[str, ...]
    lines: tuple[Line, ...]
    wanted: tuple[str, ...]


def adjoint(lines: Sequence[Line], made: Sequence[str], read: Sequence[str]) -> Adjoint:
    """The transpose of ``lines`` as a map from the values ``read`` to the values ``made``.

    A value in both is passed on as it is. InternalError where nothing that is made depends on a value that is read.
    """
    inside = {value for line in lines for _, value in line.terms}
    given = {value: f"later_{value}" if value in inside else f"g_{value}" for value in made}
    sums: dict[str, list[tuple[str | None, str]]] = {v: [(None, name)] for v, name in given.items() if v in inside}
    out: list[Line] = []

    def total(value: str) -> str:
        """The name of its gradient, after its line where it is a sum."""
        if value in sums:
            out.append(Line(f"g_{value}", tuple(sums[value])))
        elif value not in given:
            raise InternalError(f"nothing depends on {value}")
        return f"g_{value}"

    for line in reversed(lines):
        gradient = total(line.out)
        for coefficient, value in line.terms:
            sums.setdefault(value, []).append((coefficient, gradient))
    wanted = tuple(total(value) for value in read)
    return Adjoint(tuple(given.values()), tuple(out), wanted)


__all__ = ["Adjoint", "adjoint"]
