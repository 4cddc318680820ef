"""The page of an audit: one HTML file that needs nothing else, made of the same data as ``--json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from derive.html import environment


def page(audit: Mapping[str, Any]) -> str:
    """The HTML text; every text of a target is escaped."""
    style = Markup(environment().get_template("report/style.css.jinja").render())
    title = _breakable(str(audit["target"]))
    return environment().get_template("report/audit.html.jinja").render(audit=audit, style=style, title=title)


def _breakable(text: str) -> Markup:
    """A name that may be broken after its separators only, where there is room for these."""
    out = escape(text)
    for mark in "/:_":
        out = out.replace(mark, Markup(f"{mark}<wbr>"))
    return out


__all__ = ["page"]
