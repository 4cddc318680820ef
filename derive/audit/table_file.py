"""A tableau that somebody wrote: from a YAML or JSON file, or from the attribute of a Python module.

The file has the keys of a published table of this project (name, order, c, a, b, embedded, embedded_order) and may leave
out all but a and b; rows may be full, so implicit tables can be said. ``order`` is what is claimed. ``digits`` says that
the numbers are decimals to so many places: a condition is then met up to 10 10^-digits. Floats of a module have 13.
"""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from derive.errors import Fault, SpecError, show
from derive.fields import Reader, read_fields
from derive.parameters import Entries, Integer, Parameters, Text
from derive.symbolic.forms import ONE, ZERO, Form, Step, constant
from derive.symbolic.surds import rational
from derive.yamlnodes import Mapping, compose, decode, read_bounded

FLOAT_DIGITS = 13
MAX_STAGES = 40
FIELDS: Parameters = {
    "name": Text(default="", limit=120),
    "order": Integer(default=None, low=1, high=16),
    "stiff_order": Integer(default=None, low=0, high=5),
    "embedded_order": Integer(default=None, low=1, high=16),
    "digits": Integer(default=None, low=4, high=150),
    "reference": Text(default="", limit=300),
    "note": Text(default="", limit=1000),
    "c": Entries(default=None, functions=False, longest=MAX_STAGES),
    "a": Entries(rows=True, longest=MAX_STAGES),
    "b": Entries(longest=MAX_STAGES),
    "embedded": Entries(default=None, longest=MAX_STAGES + 1),
    "dense": Entries(default=None, rows=True, functions=False, longest=MAX_STAGES + 1),
    "dense_order": Integer(default=None, low=1, high=16),
}
"""What is said of output inside the step is read, and not audited."""


@dataclass(frozen=True, slots=True)
class Given:
    """A table as it was found: forms, full rows; c from the row sums where it was left out."""

    name: str
    c: tuple[Any, ...]
    a: tuple[tuple[Form, ...], ...]
    b: tuple[Form, ...]
    embedded: tuple[Form, ...] = ()
    order: int | None = None
    stiff_order: int | None = None
    embedded_order: int | None = None
    digits: int | None = None
    reference: str = ""

    @property
    def exponential(self) -> bool:
        """Whether some weight depends on z."""
        rows = (*self.a, self.b, self.embedded)
        return any(argument for row in rows for form in row for (_, argument), _ in form.terms)

    @property
    def explicit(self) -> bool:
        return all(not w for i, row in enumerate(self.a) for w in row[i:])

    @property
    def tolerance(self) -> Any:
        """Up to where a condition counts as met."""
        return ZERO if self.digits is None else ONE * 10 / 10**self.digits

    def step(self, stages: int | None = None) -> Step:
        """As the engines read it. An explicit table with c_1 = 0 has its first value given, as they prefer it."""
        rate = ONE if self.exponential else ZERO
        if self.explicit and self.c and not self.c[0]:
            return Step(self.c, 1, self.a[1:], self.b, rate, self.embedded or None)
        return Unordered(self.c, 0, self.a, self.b, rate, self.embedded or None)


class Unordered(Step):
    """A step whose stages may use each other: trees are grown by order, so their values exist in any order of stages."""

    __slots__ = ()

    @property
    def explicit(self) -> bool:
        return True


def read_table(path: Path) -> Given:
    """The table of a YAML or JSON file. SpecError with line and column for whatever is wrong with it."""
    reader = Reader(path.name)
    root, found = compose(decode(read_bounded(path), path.name), path.name)
    if not isinstance(root, Mapping):
        raise SpecError(*found, Fault("got no mapping; allowed: a tableau with a and b", "", path.name))
    values = read_fields(reader, root, FIELDS, "")
    faults = [*found, *reader.faults]
    if faults:
        raise SpecError(*faults)
    for key in ("note", "dense", "dense_order"):
        values.pop(key, None)
    return shaped(path.name, **values)


def table_of(value: Any, place: str) -> Given | None:
    """The table that a Python object holds as keys or attributes (A, b, c in either case), or None if it holds none."""

    def part(*names: str) -> Any:
        for name in names:
            found = value.get(name) if isinstance(value, AnyMapping) else getattr(value, name, None)
            if found is not None:
                return found
        return None

    a, b, c = part("a", "A", "a_lower"), part("b", "B", "b_sol"), part("c", "C")
    if (a is None or b is None) and isinstance(value, tuple) and len(value) == 3:
        a, b, c = value
    if not (_listed(a) and _listed(b)):
        return None
    embedded, order, embedded_order = (
        part("b_hat", "embedded", "bhat", "b_embedded"),
        part("order"),
        part("embedded_order"),
    )
    rows = [[_form(x, f"{place}.a") for x in _items(row)] for row in _items(a)]
    weights = [_form(x, f"{place}.b") for x in _items(b)]
    known = [_form(x, f"{place}.c") for x in _items(c)] if _listed(c) else None
    other = [_form(x, f"{place}.embedded") for x in _items(embedded)] if _listed(embedded) else None
    floats = any(isinstance(x, float) for row in (*map(_items, _items(a)), _items(b)) for x in row)
    return shaped(
        place, a=rows, b=weights, c=known, embedded=other, digits=FLOAT_DIGITS if floats else None,
        order=order if isinstance(order, int) else None, embedded_order=embedded_order if isinstance(embedded_order, int) else None,
    )  # fmt: skip


def _listed(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, AnyMapping))


def _items(value: Any) -> list[Any]:
    return list(value.tolist() if hasattr(value, "tolist") else value)


def _form(value: Any, key: str) -> Form:
    if isinstance(value, str):
        from derive.tableau_text import parse_entry

        return parse_entry(value)
    if isinstance(value, (int, float, Fraction)) and abs(float(value)) < 10**6:
        return constant(rational(Fraction(value)))
    raise SpecError(Fault(f"got {show(value)}; allowed: numbers, fractions, or text such as phi1(z/2)/2", key))


def shaped(
    place: str,
    a: Sequence[Sequence[Form]],
    b: Sequence[Form],
    c: Sequence[Form] | None = None,
    embedded: Sequence[Form] | None = None,
    name: str = "",
    **more: Any,
) -> Given:
    """The table with full rows. A first row may be left out: [] in front is added where rows are one less than weights."""
    rows, count = [tuple(row) for row in a], len(b)
    if len(rows) == count - 1 and len(rows[0]) == 1:
        rows = [(), *rows]
    if len(rows) != count:
        raise SpecError(Fault(f"got {len(rows)} rows for {count} weights; allowed: a row for each", "a", place))
    for i, row in enumerate(rows):
        if len(row) > count:
            raise SpecError(Fault(f"got {len(row)} weights; allowed: up to {count}", f"a[{i}]", place))
    full = tuple((*row, *[Form()] * (count - len(row))) for row in rows)
    if c is not None and len(c) != count:
        raise SpecError(Fault(f"got {len(c)} abscissae for {count} weights; allowed: one for each", "c", place))
    if embedded and len(embedded) not in (count, count + 1):
        raise SpecError(Fault(f"got {len(embedded)} weights; allowed: {count} or {count + 1}", "embedded", place))
    abscissae = tuple(form.at_zero for form in c) if c is not None else tuple(map(total, full))
    return Given(name or place, abscissae, full, tuple(b), tuple(embedded or ()), **more)


def total(row: Sequence[Form]) -> Any:
    """The sum of the weights of a row at z = 0."""
    return sum((form.at_zero for form in row), start=ZERO)


__all__ = ["FIELDS", "Given", "Unordered", "read_table", "shaped", "table_of", "total"]
