"""Five operations, closed: ``Evaluate``, ``Combine``, ``Draw``, ``Project``, ``Keep``.

A phase is what happens between two calls of the network: it evaluates, combines, and keeps what the next phase needs.
Coefficients are names here; what they are worth is written beside the program (:mod:`derive.program.coefficients`).
``str(program)`` is the first thing a reviewer reads.

Values: ``x`` the state that is evaluated, ``raw`` the network's output there, ``x'`` the next state to evaluate; ``m0``
the integrand at t_n, ``m[j]`` that of j grid steps ago; ``k1, k2, ..`` the integrands of the stages; ``y`` the state at
t_n, kept while stages are evaluated; ``xc`` a corrected state. Of an SDE ``z`` are the normals that a phase draws, and
``yn`` the next ``y``, with the noise of the step so far. Where the network returns the integrand itself, ``raw``
stands in the place of the newest of them. Where a table switches between integrands, ``n0``, ``n[j]`` are those of the
second, and so on (:mod:`derive.program.memory`).
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """``out ~ law``: ``normal``, independent standard normals for every element; they come from where the step runs."""

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
class Keep:
    """What the next phase finds: ``values`` in order, then what was found and not named, ``most`` entries in all."""

    values: tuple[str, ...]
    most: int

    def __str__(self) -> str:
        more = self.most - len(self.values)
        carried = (f"up to {more} of what is left",) if more > 0 else ()
        return f"keep {', '.join((*self.values, *carried)) or 'nothing'}"


Operation = Evaluate | Combine | Draw | Project | Keep


@dataclass(frozen=True, slots=True)
class Phase:
    """A straight line of operations around one call of the network; ``memory`` names the values it finds, in order.

    Entries of the memory beyond those named are not touched: they stay behind what the phase keeps.
    """

    name: str
    memory: tuple[str, ...]
    operations: tuple[Operation, ...]

    @property
    def evaluations(self) -> int:
        """Network calls."""
        return sum(isinstance(op, Evaluate) for op in self.operations)

    @property
    def kernels(self) -> int:
        """Combine operations: one kernel each."""
        return sum(isinstance(op, Combine) for op in self.operations)

    @property
    def draws(self) -> bool:
        """Whether it takes normals, ``z``."""
        return any(isinstance(op, Draw) for op in self.operations)

    @property
    def lines(self) -> Iterator[Line]:
        """The lines of all combines, in order."""
        return (line for op in self.operations if isinstance(op, Combine) for line in op.lines)

    @property
    def keep(self) -> Keep:
        """What it leaves."""
        return next((op for op in self.operations if isinstance(op, Keep)), Keep((), 0))

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
    def node(self) -> str:
        """Where the network is called."""
        return next((op.node for op in self.operations if isinstance(op, Evaluate)), "n")

    def __str__(self) -> str:
        finds = f"; finds {', '.join(self.memory)}" if self.memory else ""
        body = "\n".join(str(op) for op in self.operations)
        return f"  phase {self.name}: node {self.node}{finds}\n" + "\n".join(
            "    " + line for line in body.splitlines()
        )


@dataclass(frozen=True, slots=True)
class Program:
    """Phases, the columns of the table that holds their coefficients, and how phases follow each other.

    history: how many integrand values of past grid points are kept between grid steps (0: none).
    steps: the ways to take a grid step, each the names of its phases by call; empty: every phase is a step.
    table: of a method whose grid steps are fixed in advance, the way of each of them, by its place in ``steps``.
    kept: the letters of the integrands that the history holds of each grid point.
    results: of a table, the steps whose states are no stages of a later one (empty: all).
    """

    name: str
    phases: tuple[Phase, ...]
    columns: tuple[str, ...]
    history: int
    steps: tuple[tuple[str, ...], ...] = ()
    table: tuple[int, ...] = ()
    kept: str = "m"
    results: tuple[int, ...] = ()

    def phase(self, name: str) -> Phase:
        """The phase of that name."""
        return next(p for p in self.phases if p.name == name)

    @property
    def ways(self) -> tuple[tuple[Phase, ...], ...]:
        """The ways to take a grid step."""
        if not self.steps:
            return tuple((phase,) for phase in self.phases)
        return tuple(tuple(map(self.phase, names)) for names in self.steps)

    @property
    def repeated(self) -> tuple[Phase, ...]:
        """The way that the method goes on with; of a table the one that most of its results have (the latest of such)."""
        if self.table:
            uses = [self.table[i] for i in self.results] or self.table
            return self.ways[max(uses, key=lambda way: (uses.count(way), way))]
        return next(way for way in self.ways if way[-1].name == "main")

    def __str__(self) -> str:
        past = ", ".join(f"{letter}[{self.history}]" for letter in self.kept) or "none"
        head = f"program {self.name}\n  columns {' '.join(self.columns)}; history {past}"
        return "\n".join([head, *map(str, self.phases)])
