"""What a page is made of: a derivation, the solver that came of it, what was measured, and the pieces of the page.

A file of this folder that defines ``build(material) -> Section | None`` is a section; ``PLACE`` orders them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from matplotlib.figure import Figure

from derive.report.svg import inline


@dataclass(frozen=True, slots=True)
class Material:
    """What sections read.

    derived: a :class:`derive.pipeline.Derived`; solver: its runtime.Solver; orders: label -> (fit, proved order) where an
    order was measured; law: c -> points (calls, relative W2 error) on data N(0, c^2); checks: what holds of the files.
    """

    derived: Any
    solver: Any
    orders: Mapping[str, tuple[Any, int]]
    law: Mapping[str, Sequence[tuple[int, float]]]
    checks: Sequence[str]
    notes: Sequence[str] = field(default=())

    @property
    def claims(self) -> Mapping[str, Any]:
        return self.derived.claims  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; body: HTML; wide: it takes the whole width where there are two columns."""

    name: str
    title: str
    body: str
    wide: bool = False


def tag(name: str, *children: str, **attributes: str | None) -> str:
    """An element around HTML; attribute values are escaped, ``_`` in their names is ``-``, None leaves one out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(children)}</{name}>"


def paragraph(text: str, kind: str | None = None) -> str:
    """A paragraph of plain text."""
    return tag("p", escape(text), class_=kind)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table of HTML cells in a box that scrolls by itself; the first cell of a row is its heading."""
    top = tag("tr", *(tag("th", escape(cell), scope="col") for cell in head))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    inside = tag("caption", escape(caption)) + tag("thead", top) + tag("tbody", *body)
    return tag("div", tag("table", inside), class_="scroll", tabindex="0")


def picture(figure: Figure, name: str, title: str, description: str, caption: str) -> str:
    """A figure with its caption (HTML); title and description are its alternative text."""
    return tag("figure", inline(figure, name, title, description), tag("figcaption", caption))


def gallery(*pictures: str) -> str:
    """Pictures side by side where there is room, one below the other on a phone."""
    return tag("div", *pictures, class_="gallery")


def claim(key: str, value: object) -> str:
    """A number of claims.json, marked with its key."""
    shown = "yes" if value is True else "no" if value is False else "none" if value is None else str(value)
    return tag("span", escape(shown), data_claim=key)
