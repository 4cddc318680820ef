"""A progress bar on a terminal, and silence elsewhere: tqdm where it is installed, else a line with a counter."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], total: int, label: str, wanted: bool = True) -> Iterator[T]:
    """The items, while a bar on stderr counts them; nothing is shown if ``wanted`` is false or stderr is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield from items
        return
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        yield from _counted(items, total, label)
        return
    yield from tqdm(items, total=total, desc=label, leave=False, dynamic_ncols=True)


def _counted(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    try:
        for number, item in enumerate(items, 1):
            sys.stderr.write(f"\r\033[K{label}: {number}/{total}")
            sys.stderr.flush()
            yield item
    finally:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
