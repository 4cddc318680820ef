"""The page of an audit: one HTML file that needs nothing else, made of the same data as ``--json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from derive.html import environment


def page(audit: Mapping[str, Any]) -> str:
    """The HTML text; every text of a target is escaped."""
    style = Markup(environment().get_template("report/style.css.jinja").render())
    return environment().get_template("report/audit.html.jinja").render(audit=audit, style=style)


__all__ = ["page"]
