"""PyTorch: per phase one function that returns new tensors and one that works in place (``step_torch.py``).

``x' = sum coefficient * value`` is printed as it is read. In place, the first term of a line is a product into its
buffer and every further term one ``addcmul_``. The buffer is that of a term which nobody reads afterwards (so x'
accumulates in x), else a free one; no step allocates, and the network's output is never written to. Values: ``m0`` is
the newest integrand, ``m1, m2, ...`` those of 1, 2, ... steps ago, ``y`` and ``k1, k2, ...`` what stages left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from derive.backends._coefficients import constant, docstring
from derive.backends._layout import INDENT, WIDTH, statement
from derive.errors import InternalError
from derive.program.ir import Combine, Draw, Evaluate, Keep, Line, Phase, Program
from derive.program.memory import LETTERS, flow

FILE = "step_torch.py"
TEMPLATE = "torch/step.py.jinja"

_VALUE = re.compile(r"x'?|raw|[a-z]\[[1-9][0-9]?\]|[a-z][a-z0-9_]{0,30}")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of a phase that the torch backend executes: lines in order, and what is kept.

    longest: entries of the memory that it may find.
    """

    phase: Phase
    lines: tuple[Line, ...]
    keep: Keep
    columns: tuple[str, ...]
    longest: int

    @property
    def named(self) -> int:
        """Entries of the memory that it names."""
        return len(self.phase.memory)

    @property
    def carried(self) -> int:
        """Entries behind them that may stay."""
        return min(self.longest - self.named, self.keep.most - len(self.keep.values))

    def reads_later(self, value: str, after: int) -> bool:
        """Whether a line behind the given one reads the value, or it is kept."""
        later = any(value == v for line in self.lines[after + 1 :] for _, v in line.terms)
        return later or value in self.keep.values


def context(program: Program) -> dict[str, Any]:
    """What the template lays out: the functions' lines, and the tables of their names and needs by phase."""
    phases, ring = bodies(program), buffers(program)
    in_place = [_in_place(body, _placed(body), ring) for body in phases]
    return {
        "functions": [*map(_returning, phases), *in_place],
        "in_place": any("torch." in line for lines in in_place for line in lines),
        "tables": [
            *_table("STEPS", phases),
            *_table("STEPS_", phases, "_"),
            *constant("RING", ring, "buffers in m that suffice for every phase"),
            *constant("NEEDS", {b.phase.name: b.named for b in phases}, "entries of m that are read or passed on"),
            *constant("KEEPS", {b.phase.name: len(b.keep.values) for b in phases}, "entries that are left in front"),
            *(constant("DRAWS", drawn, "phases that take normals, z") if (drawn := draws(program)) else ()),
        ],
    }


def _table(name: str, bodies: Sequence[Body], suffix: str = "") -> list[str]:
    """The functions by name of their phase."""
    items = [f'"{b.phase.name}": {b.phase.name}{suffix}' for b in bodies]
    flat = f"{name} = {{{', '.join(items)}}}"
    return [flat] if len(flat) <= WIDTH else [f"{name} = {{", *(f"{INDENT}{item}," for item in items), "}"]


def draws(program: Program) -> tuple[str, ...]:
    """The phases that draw."""
    return tuple(phase.name for phase in program.phases if phase.draws)


def arguments(phase: Phase) -> str:
    """What a function of the phase takes."""
    return "x, raw, m, c, z" if phase.draws else "x, raw, m, c"


def comment(text: str) -> list[str]:
    """The text as the module's docstring."""
    return docstring(text)


def buffers(program: Program) -> int:
    """How many buffers m needs for every phase: those it names, those it carries, and those it takes."""
    return max(_buffers(body, _placed(body)) for body in bodies(program))


def formulas(phase: Phase) -> str:
    """``x' = a x + b0 m0 + b1 m1, m0 = cx x + cr raw``: the phase on one line, the step first."""
    return ", ".join(formula_lines(phase))


def headline(program: Program) -> str:
    """The formula of a step: of its last call, where it takes several."""
    way = program.repeated
    text = formulas(way[-1])
    return text if len(way) == 1 else f"{len(way)} calls, the last one {text}"


def formula_lines(phase: Phase) -> list[str]:
    """The same, a line each."""
    return [
        f"{line.out} = " + " + ".join(f"{c} {value_name(v)}" if c else value_name(v) for c, v in line.terms)
        for line in reversed(list(phase.lines))
    ]


def _doc(phase: Phase, end: str) -> list[str]:
    """The docstring of a function: its formulas on one line, or one line each."""
    flat = f"{formulas(phase)}{end}"
    if len(flat) + len(INDENT) + 6 > WIDTH:
        flat = ",\n".join(formula_lines(phase)) + end
    return docstring(flat, INDENT)


def about(program: Program) -> str:
    """What a reader of the step functions has to know of their arguments."""
    values = {v for phase in program.phases for v in (*phase.memory, *(line.out for line in phase.lines))}
    values |= {"z"} if draws(program) else set()
    more = []
    if "y" in values and "z" in values:
        more.append("y: what the step is built on, with its noise so far")
    elif "y" in values:
        more.append("y: the corrected state of one step ago" if "xc" in values else "y: the state the step began with")
    if stages := sorted(v for v in values if re.fullmatch("k[0-9]+", v)):
        some = ", ".join(stages) if len(stages) < 3 else f"{stages[0]}, .., {stages[-1]}"
        more.append(f"{some}: the integrand at the stage{'s' if len(stages) > 1 else ''}")
    letters = [letter for letter in LETTERS if any(v.startswith(f"{letter}[") for v in values)]
    if letters:
        one = " and ".join(f"{letter}1" for letter in letters)
        more.append(f"{one}: the integrand{'s' * (len(letters) > 1)} of one step ago")
    known = f" ({'; '.join(more)})" if more else ""
    noise = "; z: independent standard normals of x's shape" if "z" in values else ""
    return (
        "x: the state; raw: the network's output there; c: a row in the order of COLUMNS, as scalars or [B, 1, ..., 1]; "
        f"m: what earlier calls left{known}{noise}. Every function returns (x', m). A name with a trailing _ works in place: "
        "m holds RING buffers, free ones last; x' may be another of the buffers than x, and raw is not written to."
    )


def bodies(program: Program) -> list[Body]:
    """The phases, checked and taken apart."""
    found = flow(program)
    return [_body(phase, program.columns, found.longest(phase)) for phase in program.phases]


def _body(phase: Phase, columns: tuple[str, ...], longest: int) -> Body:
    """Checks that the phase is one evaluation followed by combinations, and takes it apart."""
    lines: list[Line] = []
    known = {"x", *phase.memory}
    *operations, keep = phase.operations
    if not isinstance(keep, Keep) or any(v not in known for v in phase.memory):
        raise InternalError(f"phase {phase.name} does not end with what it keeps")
    for operation in operations:
        if isinstance(operation, (Evaluate, Draw)) and not lines and operation.out in {"raw", "z"} - known:
            known.add(operation.out)
        elif isinstance(operation, Combine):
            for line in operation.lines:
                _check(line, known, phase)
                known.add(line.out)
                lines.append(line)
        else:
            raise InternalError(f"the torch backend has no place for {str(operation)!a} in phase {phase.name}")
    if sum(line.out == "x'" for line in lines) != 1 or lines[-1].out != "x'":
        raise InternalError(f"phase {phase.name} does not write x' once, as the last")
    if not set(keep.values) <= known - {"x'"}:
        raise InternalError(f"phase {phase.name} keeps what is not there: {keep}")
    return Body(phase, tuple(lines), keep, columns, max(longest, len(phase.memory)))


def _check(line: Line, known: set[str], phase: Phase) -> None:
    values = [value for _, value in line.terms]
    for value in (line.out, *values):
        if not _VALUE.fullmatch(value):
            raise InternalError(f"a value that cannot be printed: {value!a}")
    for name, value in line.terms:
        if value not in known or (name is not None and not _COLUMN.fullmatch(name)):
            raise InternalError(f"phase {phase.name}: {line} reads what is not there")
    if line.out in known or not line.terms or len(set(values)) < len(values):
        raise InternalError(f"phase {phase.name}: {line} is empty, reads a value twice or overwrites one")


def value_name(value: str) -> str:
    """The Python name of a value: ``m[1]`` -> ``m1``."""
    return f"{value[0]}{value[2:-1]}" if value[1:2] == "[" else value


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


# Both forms


def _opening(body: Body, used: set[str]) -> list[str]:
    """Names for the coefficients of the phase and the entries of the memory that its text uses."""
    lines = _columns(body)
    memory = body.phase.memory
    last = max((i for i, value in enumerate(memory, 1) if value_name(value) in used), default=0)
    if last == 1:
        lines.append(f"{INDENT}{value_name(memory[0])} = m[0]")
    elif last:
        names = ", ".join(value_name(v) if value_name(v) in used else "_" for v in memory[:last])
        lines.append(f"{INDENT}{names} = m[:{last}]")
    return lines


def _columns(body: Body) -> list[str]:
    """Names for the coefficients: of the whole row, or of the parts of it that are read where much is not."""
    read, columns = set(body.phase.coefficients), body.columns
    flat = f"{INDENT}{', '.join(name if name in read else '_' for name in columns)}{',' * (len(columns) == 1)} = c"
    if len(flat) <= WIDTH and "_, _, _, _" not in flat:
        return [flat]
    runs: list[list[int]] = []
    for i in (i for i, name in enumerate(columns) if name in read):
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return [f"{INDENT}{', '.join(columns[i] for i in run)} = c[{_span(run, len(columns))}]" for run in runs]


def _span(run: list[int], count: int) -> str:
    first, last = run[0], run[-1] + 1
    return str(first) if len(run) == 1 else f"{first or ''}:{last if last < count else ''}"


def _used(lines: Sequence[str]) -> set[str]:
    return {word for line in lines for word in re.findall(r"[a-z_][a-z_0-9]*", line)}


def _packed(body: Body, kept: Sequence[str], untouched: bool, stop: str = "") -> tuple[list[str], str]:
    """(what is kept, the slice of m behind it): kept entries that stay where they are become part of the slice."""
    if not untouched:
        return list(kept), ""
    count, start = len(kept), body.named
    while count and start and body.keep.values[count - 1] == body.phase.memory[start - 1]:
        count, start = count - 1, start - 1
    return list(kept[:count]), f"m[{start or ''}:{stop}]" if start or stop else "m"


# New tensors


def _returning(body: Body) -> list[str]:
    """The function that returns (x', memory) and changes nothing."""
    text: list[str] = []
    result = ""
    for line in body.lines:
        total = " + ".join(f"{c} * {value_name(v)}" if c else value_name(v) for c, v in line.terms)
        if line.out == "x'":
            result = total
        else:
            text += statement(f"{value_name(line.out)} = ", total, INDENT)
    items, tail = _packed(body, [value_name(value) for value in body.keep.values], body.carried > 0)
    memory = _tuple([*items, f"*{tail}"]) if items and tail else tail or _tuple(items)
    if body.longest - body.named > body.carried > 0:
        memory += f"[:{body.keep.most}]"
    text += statement("return ", f"{result}, {memory}", INDENT)
    head = [f"def {body.phase.name}({arguments(body.phase)}):", *_doc(body.phase, ".")]
    return [*head, *_opening(body, _used(text)), *text]


# In place


@dataclass(slots=True)
class Places:
    """Where values lie: ``buffers`` by value, in the text's own words; ``free`` in the order of use; ``taken`` from the end.

    made: by line, the buffer it is written to and the term that was there before, if any.
    """

    buffers: dict[str, str]
    free: list[str]
    taken: int = 0
    made: list[tuple[str, str | None]] = field(default_factory=list)

    def take(self) -> str:
        """A free buffer: one whose value is not read again, else the next from the end of m."""
        if self.free:
            return self.free.pop(0)
        self.taken += 1
        return f"m[-{self.taken}]"


def _placed(body: Body) -> Places:
    """A buffer for every line and every kept value."""
    memory = body.phase.memory
    places = Places({"x": "x", **{v: value_name(v) for v in memory}}, [])
    places.free = [places.buffers[v] for v in ("x", *memory) if not body.reads_later(v, -1)]
    for i, line in enumerate(body.lines):
        done = [v for _, v in line.terms if v in places.buffers and not body.reads_later(v, i)]
        if done:
            places.made.append((places.buffers[done[0]], done[0]))
        else:
            places.made.append((places.take(), None))
        places.buffers[line.out] = places.made[-1][0]
        places.free += [places.buffers[v] for v in done[1:]]
    if "raw" in body.keep.values:
        places.buffers["raw"] = places.take()
    return places


def _buffers(body: Body, places: Places) -> int:
    """How many of them one phase needs."""
    return max(body.longest, body.named + max(body.carried, 0) + places.taken)


def _in_place(body: Body, places: Places, ring: int) -> list[str]:
    """The function that works in the buffers it is given, and returns them all."""
    text: list[str] = []
    new = "x"
    for line, (buffer, before) in zip(body.lines, places.made, strict=True):
        name, head = value_name(line.out), f"{value_name(line.out)} = "
        if line.out == "x'":
            new = name = value_name(before) if before else "x" if buffer == "x" else "x_new"
            head = "x_new = " if new == "x_new" else ""
        text += _chained(head, name, _accumulated(line, before) if before else _filled(line, buffer))
    text += statement("return ", f"{new}, {_rotated(body, places, ring)}", INDENT)
    opening = [f"def {body.phase.name}_({arguments(body.phase)}):", *_doc(body.phase, ", in place.")]
    return [*opening, *_opening(body, _used(text)), *text]


def _rotated(body: Body, places: Places, ring: int) -> str:
    """The buffers after the phase: what is kept, what is carried, what is free."""
    kept = [f"{places.buffers[v]}.copy_(raw)" if v == "raw" else value_name(v) for v in body.keep.values]
    returned = [f"m[-{i}]" for i in range(places.taken, 0, -1)]
    free, stop = list(places.free), f"-{places.taken}" if places.taken else ""
    if returned and set(returned) <= set(free):  # only borrowed: they stay where they are
        free, stop = [buffer for buffer in free if buffer not in returned], ""
    untouched = ring > body.named + places.taken or (places.taken > 0 and not stop)
    items, tail = _packed(body, kept, untouched, stop)
    if not items and tail and not free:
        return tail
    return _tuple([*items, *([f"*{tail}"] if tail else []), *free])


def _chained(head: str, name: str, calls: Sequence[str]) -> list[str]:
    """``head first.second.third`` on one line, or going on with ``name.`` on the next."""
    lines = [INDENT + head + calls[0]]
    for call in calls[1:]:
        if len(lines[-1] + call) <= WIDTH:
            lines[-1] += call
        else:
            lines.append(INDENT + name + call)
    return lines


def _accumulated(line: Line, value: str) -> list[str]:
    """The sum in the buffer of one of its terms: ``x.mul_(a).addcmul_(m0, b0)``."""
    (own,) = (c for c, v in line.terms if v == value)
    first = [f".mul_({own})"] if own else []
    calls = first + [_add(c, v) for c, v in line.terms if v != value]
    return [value_name(value) + "".join(calls[:1]), *calls[1:]]


def _filled(line: Line, buffer: str) -> list[str]:
    """The sum written to a free buffer: ``torch.mul(x, cx, out=m[-1]).addcmul_(raw, cr)``."""
    (coefficient, value), *rest = sorted(line.terms, key=lambda term: term[0] is None)
    first = (
        f"torch.mul({value_name(value)}, {coefficient}, out={buffer})"
        if coefficient
        else f"{buffer}.copy_({value_name(value)})"
    )
    return [first, *(_add(*term) for term in rest)]


def _add(coefficient: str | None, value: str) -> str:
    return f".addcmul_({value_name(value)}, {coefficient})" if coefficient else f".add_({value_name(value)})"
