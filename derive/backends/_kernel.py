"""One kernel per phase, in any language: what it loads, its lines, what it stores and into which buffer.

An element is loaded from every stream before one of its results is stored, so a buffer whose value dies in the phase
takes a result of the same phase: x' lies where x lay, the newest integrand where the oldest did. Buffers that the phase
has read come first: another one's lines a CPU would read only to write them. What is stored is x' and every kept value
that a line makes; a kept value that was in memory stays in its buffer, and roles rotate instead. A kept network output is
copied, because its buffer is the network's: one write more than :func:`derive.program.passes.streams`.

Buffers are numbered: X the state's, RAW the network's output, Z the normals', M + j the entry j of the memory. Normals are
loaded last; they move no memory where the kernel makes them itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from derive.backends.torch import Body, bodies
from derive.program.adjoint import Adjoint, adjoint
from derive.program.ir import Line, Program

X, RAW, Z, M = 0, 1, 2, 3
STATES = frozenset(("x", "x'", "xc", "y", "yn"))
"""Values that are states; all others are integrands."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """loads, stores: (value, buffer) in order, x' the first of the stores.

    after: where x' lies after the phase, then every entry of the memory: what is kept, what is carried, what is free.
    """

    body: Body
    loads: tuple[tuple[str, int], ...]
    stores: tuple[tuple[str, int], ...]
    after: tuple[int, ...]

    @property
    def name(self) -> str:
        """That of the phase."""
        return self.body.phase.name

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is computed, in order."""
        return self.body.lines

    @property
    def adjoint(self) -> Adjoint:
        """From the gradients of what is stored to those of what is loaded, each in its order."""
        return adjoint(self.lines, [value for value, _ in self.stores], [value for value, _ in self.loads])


def kernels(program: Program) -> tuple[Kernel, ...]:
    """The kernel of every phase, over one and the same number of buffers."""
    ring = buffers(program)
    return tuple(_kernel(body, ring) for body in bodies(program))


def buffers(program: Program) -> int:
    """How many entries the memory needs: in every phase those it names, those it carries and those it takes."""
    return max(max(b.longest, b.named + max(b.carried, 0) + _taken(b)) for b in bodies(program))


def _made(body: Body) -> list[str]:
    """What is stored: x', and what is kept and was not in memory."""
    kept = body.keep.values
    inside = {"x", *body.phase.memory}
    return ["x'", *(value for value in kept if value not in inside)]


def _dead(body: Body) -> list[int]:
    """Buffers whose value nobody needs after the phase: x's, then those of the memory."""
    homes = {"x": X, **{value: M + j for j, value in enumerate(body.phase.memory)}}
    return [home for value, home in homes.items() if value not in body.keep.values]


def _taken(body: Body) -> int:
    """Free buffers that the phase needs besides those that die in it."""
    return max(len(_made(body)) - len(_dead(body)), 0)


def _kernel(body: Body, ring: int) -> Kernel:
    memory, kept = body.phase.memory, body.keep.values
    homes = {"x": X, "raw": RAW, **{value: M + j for j, value in enumerate(memory)}, "z": Z}
    wanted = {value for line in body.lines for _, value in line.terms} | ({"raw"} & set(kept))
    loads = tuple((value, home) for value, home in homes.items() if value in wanted)
    taken, read = _taken(body), {home for _, home in loads}
    places = [*sorted(_dead(body), key=lambda home: home not in read), *range(M + ring - taken, M + ring)]
    stores = tuple(zip(_made(body), places, strict=False))
    homes |= dict(stores)
    behind = [*range(M + body.named, M + ring - taken), *places[len(stores) :]]
    return Kernel(body, loads, stores, (homes["x'"], *(homes[value] for value in kept), *behind))


__all__ = ["RAW", "STATES", "Kernel", "M", "X", "Z", "buffers", "kernels"]
