"""Errors, sorted by who has to act: the author of the spec, the machine, or us.

Library code raises these and never prints or exits; :mod:`derive.cli` turns them into one line per fault and an exit
code (0 done, 1 differs or refused, 2 spec or usage, 3 file system or a missing package, 4 our bug).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

_SHOWN = 60
OURS = frozenset({"derive", "runtime", "generated", "templates"})


def show(value: object) -> str:
    """``ascii(value)``, cut at 60 characters: the only way a user's value reaches a message."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def near_miss(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest of ``known``, or the empty string."""
    close = get_close_matches(str(word)[:80], sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, at one place: ``file:line:column: key.path: what was got; what is allowed``."""

    message: str
    key: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else (f"{self.file}: " if self.file else "")
        return place + (f"{self.key}: " if self.key else "") + self.message


class DeriveError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 4


class SpecError(DeriveError):
    """The spec, or a claim in it, or the command line is wrong. The author of the spec fixes it."""

    exit_code = 2

    def __init__(self, *faults: Fault) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(map(str, faults)))


class ClaimError(SpecError):
    """A claim in the spec is not provable; the fault names the first failing condition with its residual."""


class RefusedError(DeriveError):
    """Output differs, or is edited or foreign and would be overwritten. ``--force`` decides."""

    exit_code = 1


class FileSystemError(DeriveError):
    """The machine refused: no permission, no space, a folder where a file should be."""

    exit_code = 3


class PackageError(DeriveError):
    """A package is not installed that the command needs."""

    exit_code = 3

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f'{what} needs the package {package}, which is not installed: pip install "phiforge[derive]"')


def package_missing(name: str | None) -> str | None:
    """The package of somebody else's that a module which cannot be found belongs to; of our own, None."""
    top = (name or "").partition(".")[0]
    return top if top and top not in OURS else None


class InternalError(DeriveError):
    """Our bug: an invariant of this package does not hold."""

    exit_code = 4
