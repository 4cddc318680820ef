"""The published table that a wrong one was meant to be, and where the two differ: several slips are seen at once."""

from __future__ import annotations

from collections.abc import Iterator

from derive.audit.finding import Wrong
from derive.audit.table_file import Given, shaped
from derive.families import tableaux
from derive.symbolic.forms import ONE, Form, constant
from derive.tableau_text import entry_text

SHARE = 0.5
"""Of the entries below the diagonal, first columns aside: a table that differs in more is another method."""


def differences(given: Given) -> tuple[str, list[Wrong]]:
    """(name of the nearest published table of this shape, the entries that differ from it); ("", []) if none is near."""
    best: tuple[str, list[Wrong]] = ("", [])
    kind = "exponential" if given.exponential else "classical"
    size = sum(1 for row in (*given.a, given.b) for form in row[1:] if form) or 1
    for name in tableaux.names(kind):
        known = _extended(name, kind, len(given.b))
        if known is None or known.c != given.c:
            continue
        found = list(_different(given, known, name))
        beyond = [w for w in found if not w.where.endswith("[0]")]  # first weights are what the others leave
        if found and len(beyond) <= SHARE * size and (not best[1] or len(found) < len(best[1])):
            best = (known.name, found)
    return best


def _extended(name: str, kind: str, count: int) -> Given | None:
    """The published table; one whose embedded row reads the value at the end has that as a stage more."""
    found = tableaux.load(kind, name)
    if len(found.b) == count:
        return shaped(name, found.a, found.b, found.c, name=found.name)
    if len(found.embedded) == count == len(found.b) + 1:
        rows, b = [*found.a, found.b], [*found.b, Form()]
        return shaped(name, rows, b, [*found.c, constant(ONE)], found.embedded, name=found.name)
    return None


def _different(given: Given, known: Given, name: str) -> Iterator[Wrong]:
    rows = [(f"a[{i}]", ours, theirs) for i, (ours, theirs) in enumerate(zip(given.a, known.a))]
    rows.append(("b", given.b, known.b))
    if given.embedded and len(given.embedded) == len(known.embedded):
        rows.append(("embedded", given.embedded, known.embedded))
    for key, ours, theirs in rows:
        for j, (mine, right) in enumerate(zip(ours, theirs)):
            if mine - right:
                yield Wrong(f"{key}[{j}]", entry_text(mine)[:80], entry_text(right)[:80], f"as in {known.name}")


__all__ = ["differences"]
