"""The page of an audit: one HTML file that needs nothing else, made of the same data as ``--json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import templates


def page(audit: Mapping[str, Any]) -> str:
    """The HTML text; every text of a target is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(templates.__path__[0])),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = Markup(environment.get_template("report/style.css.jinja").render())
    return environment.get_template("report/audit.html.jinja").render(audit=audit, style=style)


__all__ = ["page"]
