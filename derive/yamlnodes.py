"""YAML, but only the part that means one thing: mappings, lists and scalars, each with its line and column.

The text goes through PyYAML's event parser and becomes our own nodes; nothing is ever constructed. Aliases, anchors,
tags, merge keys, directives and second documents are refused, so a file cannot say more than it shows; size, number of
events and depth are bounded, so it cannot cost more than it weighs. Plain scalars are typed here: decimal numbers
(exact, from their text), ``true``, ``false``, ``null``; what two YAML versions read differently (``yes``, ``010``,
``1_0``, ``1:30``, dates, ``.inf``) is an error that says how to write it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import yaml

from derive.errors import Fault, FileSystemError, SpecError, show
from derive.exact import decimal

MAX_BYTES = 256 * 1024
MAX_EVENTS = 20_000
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf. ``value``: int, Fraction, bool, None or str; ``text``: as written; ``plain``: without quotes.

    ``usable`` is False where a fault has been reported already: nothing more is said about that value.
    """

    value: int | Fraction | bool | str | None
    text: str = ""
    plain: bool = True
    line: int = 0
    column: int = 0
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Mapping:
    """Key (always text) and node, in the order of the file; no key twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int = 0
    column: int = 0

    def get(self, key: str) -> Node | None:
        """The node of ``key``, or None."""
        return next((node for k, node in self.entries if k.text == key), None)


Node = Scalar | Sequence | Mapping


# ------------------------------------------------------------------------------------------------------------- numbers

_AMBIGUOUS = (
    (
        re.compile(r"y|n|yes|no|on|off", re.IGNORECASE),
        "some YAML readers take it for true or false: quote it, or write true or false",
    ),
    (re.compile(r"true|false|null", re.IGNORECASE), "write true, false or null in small letters, or quote it"),
    (re.compile(r"~"), "write null, or quote it"),
    (re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE), "not finite: quote it if it is text; numbers are finite"),
    (
        re.compile(r"[-+]?0[0-9_]+(\.[0-9_]*)?([eE][-+]?[0-9]+)?"),
        "leading zeros (octal for some YAML readers): drop them, or quote it",
    ),
    (re.compile(r"[-+]?0[xob][0-9a-f_]*", re.IGNORECASE), "not decimal: write a decimal number, or quote it"),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9_]+)?|[-+]?\.[0-9][0-9_]*"),
        "underscores in a number: drop them, or quote it",
    ),
    (re.compile(r"[-+]?[0-9]+(:[0-9]+)+(\.[0-9]*)?"), "some YAML readers take it for a base-60 number: quote it"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"), "some YAML readers take it for a date: quote it"),
    (re.compile(r"="), "some YAML readers give it a meaning: quote it"),
)

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "": None}


def _typed(text: str) -> int | Fraction | bool | str | None:
    """The value of a plain scalar. Raises ValueError where it is ambiguous."""
    if text in _WORDS:
        return _WORDS[text]
    number = decimal(text)
    if number is not None:
        return number
    for pattern, advice in _AMBIGUOUS:
        if pattern.fullmatch(text):
            raise ValueError(f"got {show(text)}, which is ambiguous; {advice}")
    return text


# -------------------------------------------------------------------------------------------------------------- reading


def read_bounded(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes.

    Raises FileSystemError for a missing file, a folder, a device or a pipe (which is not waited for), SpecError for a
    larger file.
    """
    name = os.fspath(path)
    shown = _shown_path(name)
    if "\0" in name:
        raise FileSystemError(f"{shown}: not a file name")
    try:
        handle = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        raise FileSystemError(f"{shown}: {getattr(error, 'strerror', None) or 'not a file name'}") from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise FileSystemError(f"{shown}: {kind}; allowed: a regular file")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise FileSystemError(f"{shown}: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(data) > limit:
        raise SpecError(
            Fault(f"the file is larger than {limit // 1024} kB, the most that is read", file=shown, line=1, column=1)
        )
    return data


def _shown_path(name: str) -> str:
    """A path as it may appear in a message: control characters and surrogates escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]


def decode(data: bytes, file: str) -> str:
    """UTF-8 (with or without a byte order mark) to text. Raises SpecError at the place of the first bad byte."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SpecError(Fault("got UTF-16 text; allowed: UTF-8", file=file, line=1, column=1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode("utf-8", "replace"))
        got = f"byte 0x{data[error.start]:02x}"
        raise SpecError(
            Fault(f"got {got}, which is not UTF-8; allowed: UTF-8 text", file=file, line=line, column=column)
        ) from None


_HIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""Control characters, line breaks that editors do not show (U+0085, U+2028), bidi overrides, surrogates, marks."""


def _place(before: str) -> tuple[int, int]:
    """1-based line and column of what follows ``before``."""
    lines = re.split("\r\n|\r|\n", before)
    return len(lines), len(lines[-1]) + 1


def compose(text: str, file: str) -> tuple[Node | None, list[Fault]]:
    """The document of ``text`` as nodes (None if there is none), and what is wrong with single nodes.

    Raises SpecError where no nodes can be made: not YAML, too large, too deep, several documents.
    """
    if len(text) > MAX_BYTES:
        raise SpecError(
            Fault(f"the text is larger than {MAX_BYTES // 1024} kB, the most that is read", file=file, line=1, column=1)
        )
    hidden = _HIDDEN.search(text)
    if hidden:
        line, column = _place(text[: hidden.start()])
        got = f"the hidden character U+{ord(hidden.group()):04X}"
        message = f"got {got}; allowed: visible text (or an escape in double quotes)"
        raise SpecError(Fault(message, file=file, line=line, column=column))
    builder = _Builder(text, file)
    return builder.document(), builder.faults


class _Builder:
    """Events to nodes, by recursive descent of bounded depth."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.events = self._stream(text)

    def _stream(self, text: str) -> Iterator[yaml.Event]:
        place = (1, 1)
        try:
            for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
                place = (event.start_mark.line + 1, event.start_mark.column + 1)
                if count >= MAX_EVENTS:
                    self._stop(f"more than {MAX_EVENTS} keys and values, the most that is read", *place)
                yield event
        except yaml.MarkedYAMLError as error:
            raise _syntax_fault(error, self.file) from None
        except (yaml.YAMLError, ValueError, OverflowError, IndexError, TypeError) as error:
            del error
            self._stop("not YAML from here on: a bad escape or directive", *place)

    def _stop(self, message: str, line: int, column: int, key: str = "") -> None:
        raise SpecError(Fault(message, key, self.file, line, column)) from None

    def _report(self, message: str, event: yaml.Event, key: str) -> None:
        mark = event.start_mark
        self.faults.append(Fault(message, key, self.file, mark.line + 1, mark.column + 1))

    def document(self) -> Node | None:
        root: Node | None = None
        for count, event in enumerate(
            e for e in self.events if not isinstance(e, (yaml.StreamStartEvent, yaml.StreamEndEvent))
        ):
            if isinstance(event, yaml.DocumentStartEvent):
                mark = event.start_mark
                if event.version or event.tags:
                    self._stop("got a directive (%YAML, %TAG); allowed: none", mark.line + 1, mark.column + 1)
                if count:
                    self._stop("got a second document; allowed: one", mark.line + 1, mark.column + 1)
            elif not isinstance(event, yaml.DocumentEndEvent):
                root = self._node(event, "", 0)
        return root

    def _node(self, event: yaml.Event, key: str, depth: int) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if depth > MAX_DEPTH:
            self._stop(f"nested deeper than {MAX_DEPTH} levels, the most that is read", line, column, key)
        if isinstance(event, yaml.AliasEvent):
            self._report(f"got the alias {show('*' + event.anchor)}; allowed: the value itself", event, key)
            return Scalar(None, "", True, line, column, usable=False)
        if event.anchor is not None:
            self._report(f"got the anchor {show('&' + event.anchor)}; allowed: no anchors and aliases", event, key)
        if event.tag is not None:
            self._report(f"got the tag {show(event.tag)}; allowed: no tags", event, key)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, key)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(key, depth, line, column)
        return self._mapping(key, depth, line, column)

    def _scalar(self, event: yaml.ScalarEvent, key: str) -> Scalar:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        text, plain = event.value, event.style is None
        surrogate = next((c for c in text if 0xD800 <= ord(c) < 0xE000), None)
        if surrogate is not None:
            self._report(f"got the lone surrogate U+{ord(surrogate):04X}; allowed: characters", event, key)
            return Scalar("", "", plain, line, column, usable=False)
        try:
            return Scalar(_typed(text) if plain else text, text, plain, line, column, event.tag is None)
        except ValueError as error:
            self._report(str(error), event, key)
            return Scalar(text, text, plain, line, column, usable=False)

    def _sequence(self, key: str, depth: int, line: int, column: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{key}[{len(items)}]", depth + 1))
        return Sequence(tuple(items), line, column)

    def _mapping(self, key: str, depth: int, line: int, column: int) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self._key(event, key)
            inner = f"{key}.{name.text[:60]}".lstrip(".") if name.text.isidentifier() or name.text.isdigit() else key
            node = self._node(next(self.events), inner, depth + 1)
            if name.text in entries:
                first = entries[name.text][0]
                self._report(
                    f"got the key {show(name.text)} twice (first in line {first.line}); allowed: once", event, inner
                )
            else:
                entries[name.text] = (name, node)
        return Mapping(tuple(entries.values()), line, column)

    def _key(self, event: yaml.Event, parent: str) -> Scalar:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
            self._stop("got a key that is not a word; allowed: plain keys", line, column, parent)
        text = event.value
        if text == "<<" and event.style is None:
            self._stop("got a merge key '<<'; allowed: the keys themselves", line, column, parent)
        if any(0xD800 <= ord(c) < 0xE000 for c in text):
            self._stop("got a lone surrogate in a key; allowed: plain keys", line, column, parent)
        return Scalar(text, text, event.style is None, line, column)


_FRIENDLY = (
    ("that cannot start any token", "a value starts with this character: quote it (and indent with blanks, not tabs)"),
    ("could not find expected ':'", "a key without ': ' (colon and blank) behind it"),
    ("mapping values are not allowed here", "a second ': ' on one line: quote the value, or check the indentation"),
    ("found unexpected end of stream", "a quote that is not closed"),
    ("expected ',' or ']'", "a list [ that is not closed, or a missing comma"),
    ("expected ',' or '}'", "a mapping { that is not closed, or a missing comma"),
    ("expected <block end>", "the indentation does not fit the lines above"),
)


def _syntax_fault(error: yaml.MarkedYAMLError, file: str) -> SpecError:
    """A scanner or parser error where the author has to look (for a key without colon: the key's own line)."""
    problem = (error.problem or "syntax error").encode("ascii", "backslashreplace").decode()
    at_start = error.context_mark is not None and (
        error.context == "while scanning a simple key" or "end of stream" in problem or "expected ',' or" in problem
    )
    mark = error.context_mark if at_start else (error.problem_mark or error.context_mark)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    advice = next((text for part, text in _FRIENDLY if part in problem), "")
    return SpecError(Fault(f"not YAML: {problem}" + (f"; {advice}" if advice else ""), "", file, line, column))


def folder_of(path: str | os.PathLike[str]) -> Path:
    """The folder of a file, resolved: where files that a spec names may lie."""
    return Path(path).resolve().parent
