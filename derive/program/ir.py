"""Five operations, closed: ``Evaluate``, ``Combine``, ``Draw``, ``Project``, ``Push``.

Coefficients are names here; what they are worth is written beside the program (:mod:`derive.program.coefficients`).
``str(program)`` is the first thing a reviewer reads. Values: ``x`` the state, ``x'`` the new state, ``raw`` the network's
output, ``m0`` the newest integrand, ``m[j]`` the integrand of j steps ago.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evaluate:
    """``out = model(scale * state, time of node)``: the only call of the network; ``scale`` is a coefficient or None."""

    out: str
    state: str
    node: str
    scale: str | None = None

    def __str__(self) -> str:
        scale = f"{self.scale}*" if self.scale else ""
        return f"{self.out:<8} = evaluate {scale}{self.state} @ {self.node}"


@dataclass(frozen=True, slots=True)
class Line:
    """``out = sum coefficient * value``; a coefficient of None is one."""

    out: str
    terms: tuple[tuple[str | None, str], ...]

    def __str__(self) -> str:
        return f"{self.out:<8} = combine " + " + ".join(f"{c}*{v}" if c else v for c, v in self.terms)


@dataclass(frozen=True, slots=True)
class Combine:
    """Ordered lines, one kernel: a line may read what an earlier line of the same operation wrote."""

    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))


@dataclass(frozen=True, slots=True)
class Draw:
    """``out ~ law``: a noise of a named law (stochastic solvers)."""

    out: str
    law: str

    def __str__(self) -> str:
        return f"{self.out:<8} = draw {self.law}"


@dataclass(frozen=True, slots=True)
class Project:
    """``out = hook(out)``: thresholding, guidance, data consistency; the only non-linear operation."""

    out: str
    hook: str

    def __str__(self) -> str:
        return f"{self.out:<8} = project {self.hook}"


@dataclass(frozen=True, slots=True)
class Push:
    """Put ``value`` in front of a history; the oldest entry falls out."""

    history: str
    value: str

    def __str__(self) -> str:
        return f"push {self.history} <- {self.value}"


Operation = Evaluate | Combine | Draw | Project | Push


@dataclass(frozen=True, slots=True)
class Phase:
    """A straight line of operations for one kind of step; ``reads`` past values of the history."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def evaluations(self) -> int:
        """Network calls per step."""
        return sum(isinstance(op, Evaluate) for op in self.operations)

    @property
    def kernels(self) -> int:
        """Combine operations: one kernel each."""
        return sum(isinstance(op, Combine) for op in self.operations)

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names used, in order of first use."""
        seen: dict[str, None] = {}
        for op in self.operations:
            if isinstance(op, Evaluate) and op.scale:
                seen[op.scale] = None
            if isinstance(op, Combine):
                for line in op.lines:
                    seen.update((c, None) for c, _ in line.terms if c)
        return tuple(seen)

    @property
    def past(self) -> int:
        """How many past history entries the phase reads."""
        reads = [v for op in self.operations if isinstance(op, Combine) for ln in op.lines for _, v in ln.terms]
        return max((int(v[2:-1]) for v in reads if v.startswith("m[")), default=0)

    def __str__(self) -> str:
        body = "\n".join(str(op) for op in self.operations)
        return f"  phase {self.name}: node n\n" + "\n".join("    " + line for line in body.splitlines())


@dataclass(frozen=True, slots=True)
class Program:
    """Phases ``start_1 .. start_{k-1}`` (fewer history values), ``main``, ``denoise``; ``columns`` name the table's columns.

    history: how many integrand values the program keeps (0 for one-step methods).
    """

    name: str
    phases: tuple[Phase, ...]
    columns: tuple[str, ...]
    history: int

    def phase(self, name: str) -> Phase:
        return next(p for p in self.phases if p.name == name)

    def __str__(self) -> str:
        head = f"program {self.name}\n  columns {' '.join(self.columns)}; history m[{self.history}]"
        return "\n".join([head, *map(str, self.phases)])
