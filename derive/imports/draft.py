"""A spec as it is being written: plain values by key, and the text of the file."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from derive.canonical import quoted
from derive.exact import number_text

Fields = dict[str, Any]
_WIDTH = 110
_COMMENT = 160


@dataclass(slots=True)
class Draft:
    """What a spec says. notes: for the caller of the sampler; call: arguments of ``sample`` that the spec has no place for."""

    name: str
    description: str
    schedule: Fields
    prediction: Fields
    method: Fields
    grid: Fields
    references: Sequence[str]
    notes: list[str] = field(default_factory=list)
    call: Fields = field(default_factory=dict)
    problem: Fields = field(default_factory=lambda: {"kind": "diffusion"})

    def text(self) -> str:
        """The file: comments with the notes, then the spec."""
        lines = [f"# {line}" for line in self.notes]
        lines += [f"name: {self.name}", f"description: {quoted(self.description)}", "problem:"]
        lines += [f"  {key}: {value(entry)}" for key, entry in self.problem.items()]
        lines += [f"  schedule: {value(self.schedule)}", f"  prediction: {value(self.prediction)}", "method:"]
        lines += [f"  {key}: {value(entry)}" for key, entry in self.method.items() if key != "table"]
        if "table" in self.method:
            lines += ["  table:", *(f"    - {value(entry)}" for entry in self.method["table"])]
        lines += [f"grid: {value(self.grid)}", f"references: [{', '.join(map(quoted, self.references))}]"]
        return "\n".join(line for long in lines for line in _wrapped(long)) + "\n"


def value(thing: Any) -> str:
    """A value in flow style."""
    if isinstance(thing, Mapping):
        return "{" + ", ".join(f"{key}: {value(entry)}" for key, entry in thing.items()) + "}"
    if isinstance(thing, (list, tuple)):
        return "[" + ", ".join(map(value, thing)) + "]"
    if isinstance(thing, bool):
        return "true" if thing else "false"
    if isinstance(thing, float):
        return number_text(Fraction(repr(thing)))
    if isinstance(thing, (int, Fraction)):
        return number_text(thing)
    return str(thing)


def _wrapped(line: str) -> list[str]:
    """The line, a long list in several."""
    if line.startswith("#"):
        return textwrap.wrap(line, _COMMENT, subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False)
    if len(line) <= _WIDTH or "[" not in line:
        return [line]
    out, rest = [], line
    while len(rest) > _WIDTH and ", " in rest[20:_WIDTH]:
        cut = rest.rindex(", ", 20, _WIDTH) + 1
        out.append(rest[:cut])
        rest = "      " + rest[cut + 1 :]
    return [*out, rest]


__all__ = ["Draft", "Fields", "value"]
