"""Lines of at most 120 columns, broken where the project's own formatter would break them.

Works on text that :mod:`derive.backends.printer` wrote: operators have blanks around them, brackets match, and there
are no strings inside. ``x = <long>`` becomes ``x = (``, one term per line with its sign in front, ``)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

WIDTH = 120
INDENT = "    "


def statement(head: str, text: str, indent: str, comment: str = "") -> list[str]:
    """``head + text`` as one line, or in brackets over several; the comment stands behind the first."""
    tail = f"  # {comment}" if comment else ""
    if len(indent + head + text) <= WIDTH:
        line = indent + head + text + tail
        return [line] if len(line) <= WIDTH else [f"{indent}# {comment}", indent + head + text]
    if not _splits(text) and "(" in text:
        return [*([f"{indent}# {comment}"] if comment else []), *_in_brackets(head + text, indent)]
    return [indent + head + "(" + tail, *_broken(text, indent + INDENT), indent + ")"]


def sequence(head: str, items: Sequence[str], indent: str, names: Sequence[str] = ()) -> list[str]:
    """``head a, b, c`` as one line, or one item per line with its name behind it."""
    flat = indent + head + ", ".join(items)
    if len(flat) <= WIDTH:
        return [flat]
    lines = [indent + head + "("]
    for i, item in enumerate(items):
        name = f"  # {names[i]}" if names else ""
        inner = indent + INDENT
        if len(inner + item + "," + name) <= WIDTH:
            lines.append(inner + item + "," + name)
        else:
            lines += [inner + "(" + name, *_broken(item, inner + INDENT), inner + "),"]
    return [*lines, indent + ")"]


def _splits(text: str) -> bool:
    return any(len(_split(text, signs)) > 1 for signs in ((" + ", " - "), (" * ", " / ")))


def _broken(text: str, indent: str) -> list[str]:
    """``text`` over several lines, each at most 120 columns where brackets and operators allow it."""
    if len(indent + text) <= WIDTH:
        return [indent + text]
    for signs in ((" + ", " - "), (" * ", " / ")):
        pieces = _split(text, signs)
        if len(pieces) > 1:
            return [line for piece in pieces for line in _piece(piece, indent)]
    return _in_brackets(text, indent)


def _piece(text: str, indent: str) -> list[str]:
    """One term: opened at its one long bracket, or broken between its factors."""
    longest = max((end - start for start, end in _brackets(text)), default=0)
    return _in_brackets(text, indent) if 2 * longest > len(text) else _broken(text, indent)


def _in_brackets(text: str, indent: str) -> list[str]:
    """A piece that is still too long is opened at its longest outermost bracket, and what follows it as well."""
    spans = list(_brackets(text))
    if len(indent + text) <= WIDTH or not spans:
        return [indent + text]
    start, end = max(spans, key=lambda span: span[1] - span[0])
    arguments = _split(text[start + 1 : end], (", ",))
    if len(arguments) > 1:
        inner = [line for a in arguments for line in _closed(_broken(a.removeprefix(", "), indent + INDENT))]
    else:
        inner = _broken(text[start + 1 : end], indent + INDENT)
    return [indent + text[: start + 1], *inner, *_in_brackets(text[end:], indent)]


def _closed(lines: list[str]) -> list[str]:
    return [*lines[:-1], lines[-1] + ","]


def _brackets(text: str) -> Iterator[tuple[int, int]]:
    depth = start = 0
    for i, char in enumerate(text):
        if char == "(":
            start = i if depth == 0 else start
            depth += 1
        elif char == ")" and depth:
            depth -= 1
            if depth == 0 and i > start:
                yield start, i


def _split(text: str, signs: tuple[str, ...]) -> list[str]:
    """Pieces between the operators outside brackets, each with its operator in front."""
    pieces, depth, last = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if depth == 0 and i and text.startswith(signs, i):
            pieces.append(text[last:i].strip())
            last = i
    return [*pieces, text[last:].strip()]
