"""Foreign code may throw anything: exceptions that are no Exception, or that throw when they are asked what they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from derive.errors import DeriveError, Fault, SpecError

LONGEST = 160


class Thrown(RuntimeError):
    """What foreign code threw that is no Exception; its message has the name of that."""


def words(error: BaseException) -> str:
    """What an exception says, in a line; "" where it says nothing or cannot."""
    try:
        return " ".join(str(error).split())[:LONGEST]
    except (Exception, SystemExit):
        return ""


def thrown(error: BaseException) -> str:
    """``KeyError: 'order'``: what foreign code threw, in a line."""
    said = words(error)
    if isinstance(error, Thrown):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def tamed() -> Iterator[None]:
    """Foreign code runs in here: whatever leaves it is an Exception, but for the user's interrupt."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Thrown(thrown(error)) from error


@contextmanager
def blamed(key: str, doing: str) -> Iterator[None]:
    """Foreign code is looked at in here: SpecError ``key: doing throws KeyError: ..`` for whatever it throws."""
    try:
        yield
    except (DeriveError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise SpecError(Fault(f"{doing} throws {thrown(error)}", key)) from error


__all__ = ["Thrown", "blamed", "tamed", "thrown", "words"]
