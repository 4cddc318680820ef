"""Published tableaux as data: ``classical/<name>.yaml`` and ``exponential/<name>.yaml``, typed from their papers.

A file holds what the paper holds, in the language of :mod:`derive.tableau_text`: abscissae c, stage rows a, output row b,
where the paper has one the embedded row (with a last weight for the value at the new point, if there is one), and ``dense``:
row j lists the coefficients of theta, theta^2, .. in the weight of value j for output inside the step. ``digits``: the
numbers are those of an exact method to so many decimal places, not the method itself. The folder is the registry; a file
is read, and what it says is checked, when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from derive.errors import InternalError
from derive.fields import Reader, read_fields
from derive.parameters import Entries, Integer, Parameters, Text
from derive.symbolic.forms import Form
from derive.yamlnodes import Mapping, compose, decode, read_bounded

FOLDER = Path(__file__).parent

FIELDS: Parameters = {
    "name": Text(limit=80),
    "order": Integer(low=1, high=16),
    "reference": Text(limit=300),
    "note": Text(default="", limit=1000),
    "digits": Integer(default=None, low=40, high=150),
    "c": Entries(functions=False),
    "a": Entries(rows=True),
    "b": Entries(),
    "embedded": Entries(default=None),
    "embedded_order": Integer(default=None, low=1, high=16),
    "dense": Entries(default=None, rows=True, functions=False),
    "dense_order": Integer(default=None, low=1, high=16),
}


@dataclass(frozen=True, slots=True)
class Published:
    """A tableau as its paper prints it; entries are forms, rows may be as short as their last entry."""

    name: str
    order: int
    reference: str
    c: tuple[Form, ...]
    a: tuple[tuple[Form, ...], ...]
    b: tuple[Form, ...]
    note: str = ""
    embedded: tuple[Form, ...] = ()
    embedded_order: int = 0
    dense: tuple[tuple[Form, ...], ...] = ()
    dense_order: int = 0
    digits: int | None = None


def names(kind: str) -> tuple[str, ...]:
    """What ``classical`` or ``exponential`` holds, sorted."""
    return tuple(sorted(file.stem for file in (FOLDER / kind).glob("*.yaml")))


@cache
def load(kind: str, name: str) -> Published:
    """The tableau of a file. Raises InternalError with the place if the file is wrong: it is part of this project."""
    path = FOLDER / kind / f"{name}.yaml"
    reader = Reader(path.name)
    root, found = compose(decode(read_bounded(path), path.name), path.name)
    values: dict[str, Any] = read_fields(reader, root, FIELDS, "") if isinstance(root, Mapping) else {}
    faults = [*found, *reader.faults]
    if faults or not values:
        raise InternalError("; ".join(map(str, faults)) or f"{path.name}: not a mapping")
    return Published(**values)


__all__ = ["FIELDS", "Published", "load", "names"]
