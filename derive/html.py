"""The Jinja environment of pages: our own templates, every text escaped that is not said to be markup."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

import templates


@functools.cache
def environment() -> jinja2.Environment:
    """Names without a value are errors. What is code, not a page, has :func:`derive.emit.environment`."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(templates.__path__[0])),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


__all__ = ["environment"]
