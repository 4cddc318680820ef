"""From a YAML node to the typed value that a :class:`derive.parameters.Field` declares.

One reader per field type. A reader returns the value, or reports every fault with its place and returns :data:`BAD`;
nothing stops at the first fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from fractions import Fraction
from functools import singledispatch
from itertools import pairwise
from pathlib import Path
from typing import Any

import sympy as sp

from derive import lookup
from derive.errors import Fault, FileSystemError, SpecError, near_miss, show
from derive.exact import decimal, number_text
from derive.expression import ExpressionError, normal_text, parse_expression, parse_number
from derive.parameters import (
    REQUIRED,
    Choice,
    Entries,
    Expression,
    Field,
    Flag,
    Integer,
    Integers,
    Moments,
    Number,
    Numbers,
    Parameters,
    Quantity,
    Records,
    Text,
)  # fmt: skip
from derive.predictions import COMMON
from derive.schema import describe, formula_text, range_text
from derive.symbolic import alphabet
from derive.tableau_text import parse_entry
from derive.yamlnodes import MAX_BYTES, Node, Scalar, Sequence, read_bounded
from derive.yamlnodes import Mapping as MappingNode

BAD: Any = object()
"""The value of a node whose faults have been reported."""

SYMBOLS: Mapping[str, sp.Symbol] = {
    "t": alphabet.t, "s": alphabet.s, "u": alphabet.u, "alpha": alphabet.alpha, "sigma": alphabet.sigma,
    "rho": alphabet.rho, "lambda": alphabet.lam, "dalpha": alphabet.dalpha, "dsigma": alphabet.dsigma,
    "h": alphabet.h, "z": alphabet.z, "theta": alphabet.theta,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """A kind and its parameters, typed and complete (defaults filled in)."""

    kind: str
    parameters: dict[str, Any] = dataclass_field(default_factory=dict)


class Record(dict[str, Any]):
    """One entry of a :class:`derive.parameters.Records`: its values by key."""


@dataclass(slots=True)
class Reader:
    """What is collected while a spec is read: faults, the place of every key path, the text of every formula."""

    file: str
    folder: Path | None = None
    faults: list[Fault] = dataclass_field(default_factory=list)
    where: dict[str, tuple[int, int]] = dataclass_field(default_factory=dict)
    texts: dict[str, str] = dataclass_field(default_factory=dict)
    owner: str = ""
    """Whose fields are being read (``family exponential_multistep``)."""

    def fault(self, node: Node, key: str, message: str, shift: int = 0) -> Any:
        """Reports; ``shift`` moves right from the node's first column. Returns :data:`BAD`."""
        self.faults.append(Fault(message, key, self.file, node.line, node.column + shift))
        return BAD

    def wrong(self, node: Node, key: str, allowed: str, hint: str = "") -> Any:
        """Reports a value that is not ``allowed`` (silent where the node has been reported already)."""
        if isinstance(node, Scalar) and not node.usable:
            return BAD
        owner = f" for {self.owner}" if self.owner else ""
        return self.fault(node, key, f"got {got(node)}; allowed {allowed}{owner}{hint}")


def got(node: Node) -> str:
    """How a message shows what was there."""
    if isinstance(node, MappingNode):
        return "a mapping" + (
            f" with {', '.join(show(k.text) for k, _ in node.entries[:3])}" if node.entries else " {}"
        )
    if isinstance(node, Sequence):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if node.value is None:
        return "null" if node.text else "nothing"
    return show(node.value) if isinstance(node.value, str) else node.text[:60]


def read_fields(
    reader: Reader, node: MappingNode, fields: Parameters, key: str, extra: tuple[str, ...] = (), of: str = ""
) -> dict[str, Any]:
    """The values of ``fields`` in ``node``, in their declared order.

    ``extra``: keys that are read elsewhere. ``of``: whose fields they are, for messages.
    """
    for found, _ in node.entries:
        if found.text not in fields and found.text not in extra:
            known = (*extra, *fields)
            message = f"unknown key{of and f' for {of}'}; allowed: {', '.join(known)}{near_miss(found.text, known)}"
            reader.fault(found, join(key, found.text), message)
    values: dict[str, Any] = {}
    outer, reader.owner = reader.owner, of
    for name, declared in fields.items():
        inner, path = node.get(name), join(key, name)
        if inner is not None:
            reader.where[path] = (inner.line, inner.column)
            values[name] = read_field(declared, reader, inner, path)
        elif declared.default is REQUIRED:
            reader.fault(node, path, f"missing{of and f' for {of}'}; allowed: {describe(declared)}")
        elif declared.default is not None:
            values[name] = _default(declared, reader, node, path)
    reader.owner = outer
    return values


def join(key: str, name: str) -> str:
    """A key path; a name that is not a plain word is shown escaped."""
    shown = name if name.isascii() and name.replace("_", "a").isalnum() and len(name) <= 60 else show(name)
    return f"{key}.{shown}" if key else shown


def _default(declared: Field, reader: Reader, place: Node, key: str) -> Any:
    """The default of a field, through the same reader as a written value."""
    value = declared.default
    if isinstance(value, (list, tuple)):
        items = tuple(_literal(item, place) for item in value)
        return read_field(declared, reader, Sequence(items, place.line, place.column), key)
    return read_field(declared, reader, _literal(value, place), key)


def _literal(value: Any, place: Node) -> Scalar:
    exact = Fraction(str(value)) if isinstance(value, float) else value
    exact = Fraction(int(exact.p), int(exact.q)) if isinstance(exact, sp.Rational) else exact
    return Scalar(exact, str(value), not isinstance(value, str), place.line, place.column)


# ------------------------------------------------------------------------------------------------------- one per field


@singledispatch
def read_field(declared: Field, reader: Reader, node: Node, key: str) -> Any:
    """The typed value of ``node``, or :data:`BAD`."""
    raise TypeError(f"no reader for {type(declared).__name__}")


@read_field.register
def _(declared: Integer, reader: Reader, node: Node, key: str) -> Any:
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, int) or not declared.low <= value <= declared.high:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return reader.wrong(node, key, ("" if whole else "an integer, ") + describe(declared))
    return value


@read_field.register
def _(declared: Integers, reader: Reader, node: Node, key: str) -> Any:
    found = [item.value for item in node.items if isinstance(item, Scalar)] if isinstance(node, Sequence) else []
    values = [value for value in found if isinstance(value, int) and not isinstance(value, bool)]
    if not isinstance(node, Sequence) or not values or len(values) < len(node.items) or len(values) > declared.longest:
        return reader.wrong(node, key, describe(declared))
    if any(a >= b for a, b in pairwise(values)) or not declared.low <= values[0] <= values[-1] <= declared.high:
        return reader.fault(node, key, f"got {values}; allowed {describe(declared)}")
    return tuple(values)


@read_field.register
def _(declared: Number, reader: Reader, node: Node, key: str) -> Any:
    value = _exact(node)
    if value is None or not _within(value, declared):
        return reader.wrong(node, key, describe(declared))
    return value


def _exact(node: Node) -> Fraction | None:
    """The number that a node says: a plain number, or a text such as ``1/3``."""
    if not isinstance(node, Scalar) or not node.usable or node.value is None or isinstance(node.value, bool):
        return None
    if not isinstance(node.value, str):
        return Fraction(node.value)
    try:
        return parse_number(node.value)
    except ExpressionError:
        return None


def _within(value: Fraction, declared: Number | Numbers) -> bool:
    low, high = declared.low, declared.high
    too_low = low is not None and (value <= low if getattr(declared, "low_open", False) else value < low)
    too_high = high is not None and (value >= high if getattr(declared, "high_open", False) else value > high)
    return not (too_low or too_high)


@read_field.register
def _(declared: Choice, reader: Reader, node: Node, key: str) -> Any:
    value = node.value if isinstance(node, Scalar) and node.usable else None
    if value not in declared.options or not isinstance(value, str):
        hint = near_miss(value, declared.options) if isinstance(value, str) else ""
        return reader.wrong(node, key, describe(declared), hint)
    return value


@read_field.register
def _(declared: Flag, reader: Reader, node: Node, key: str) -> Any:
    if not isinstance(node, Scalar) or not isinstance(node.value, bool):
        return reader.wrong(node, key, describe(declared))
    return node.value


@read_field.register
def _(declared: Text, reader: Reader, node: Node, key: str) -> Any:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.usable:
        return reader.wrong(node, key, describe(declared))
    if len(node.value) > declared.limit:
        return reader.fault(node, key, f"got {len(node.value)} characters; allowed {describe(declared)}")
    if "\0" in node.value:
        return reader.fault(node, key, "got the character U+0000; allowed text without it")
    return node.value


@read_field.register
def _(declared: Expression, reader: Reader, node: Node, key: str) -> Any:
    if isinstance(node, Scalar) and node.value in declared.words and isinstance(node.value, str):
        return node.value
    return _formula(reader, node, key, declared.names, declared.words)


def _formula(reader: Reader, node: Node, key: str, names: tuple[str, ...], words: tuple[str, ...] = ()) -> Any:
    """An expression over ``names``; its normal text is kept for the canonical spec."""
    if not isinstance(node, Scalar) or not node.usable or node.value is None or isinstance(node.value, bool):
        return reader.wrong(node, key, formula_text(names, words))
    text = node.value if isinstance(node.value, str) else number_text(node.value)
    try:
        expr = parse_expression(text, {name: SYMBOLS.get(name) or sp.Symbol(name) for name in names})
    except ExpressionError as error:
        shift = error.column - 1 + (not node.plain) if "\n" not in node.text else 0
        message = error.message + (f"; or a word: {', '.join(words)}" + near_miss(text, words) if words else "")
        return reader.fault(node, key, f"in the expression {show(text)}: {message}", shift)
    reader.texts[key] = normal_text(text)
    return expr


@read_field.register
def _(declared: Numbers, reader: Reader, node: Node, key: str) -> Any:
    if isinstance(node, Scalar) and node.value in declared.words and isinstance(node.value, str):
        return node.value
    if declared.file and isinstance(node, Scalar) and node.usable and isinstance(node.value, str):
        return _from_file(declared, reader, node, key)
    if not isinstance(node, Sequence):
        hint = near_miss(node.value, declared.words) if isinstance(node, Scalar) and isinstance(node.value, str) else ""
        return reader.wrong(node, key, describe(declared), hint)
    values = []
    for place, item in enumerate(node.items[: declared.longest + 1]):
        value = _exact(item)
        if value is None or not _within(value, declared):
            value = reader.wrong(item, f"{key}[{place}]", "a finite number" + range_text(declared))
        values.append(value)
    return _checked_length(declared, reader, node, key, values)


def _checked_length(declared: Numbers, reader: Reader, node: Node, key: str, values: list[Any]) -> Any:
    if any(value is BAD for value in values):
        return BAD
    if not declared.shortest <= len(values) <= declared.longest:
        count = len(node.items) if isinstance(node, Sequence) else len(values)
        return reader.fault(node, key, f"got {count} numbers; allowed {describe(declared)}")
    if sum(len(number_text(value)) + 2 for value in values) > MAX_BYTES // 2:
        return reader.fault(node, key, f"the numbers take more than {MAX_BYTES // 2048} kB; allowed: fewer digits")
    return tuple(values)


def _from_file(declared: Numbers, reader: Reader, node: Scalar, key: str) -> Any:
    """A list of numbers in a JSON file in, or below, the folder of the spec."""
    if reader.folder is None:
        return reader.fault(
            node, key, f"got the file {show(node.value)}, but the spec itself is not a file; allowed: a list"
        )
    target = _inside(reader.folder, str(node.value))
    if target is None:
        return reader.fault(
            node, key, f"got the file {show(node.value)}; allowed: a file in or below the folder of the spec"
        )
    try:
        data = json.loads(
            read_bounded(target),
            parse_float=_json_number,
            parse_int=_json_number,
            parse_constant=_json_number,
            object_pairs_hook=tuple,
        )
    except FileSystemError as error:
        raise FileSystemError(str(Fault(str(error), key, reader.file, node.line, node.column))) from None
    except SpecError as error:
        return reader.fault(node, key, f"{show(node.value)}: {error.faults[0].message}")
    except RecursionError:
        return reader.fault(node, key, f"{show(node.value)} is not a JSON list of numbers: nested too deeply")
    except ValueError as error:
        return reader.fault(
            node, key, f"{show(node.value)} is not a JSON list of numbers: {ascii(str(error))[1:-1][:120]}"
        )
    name = key.rpartition(".")[2]
    if isinstance(data, tuple) and [found for found, _ in data] == [name]:
        data = data[0][1]
    if not isinstance(data, list) or not all(isinstance(value, Fraction) for value in data):
        wrong = f"is not a JSON list of numbers: got {_json_got(data)}"
        allowed = f"allowed: a list of numbers, or an object with the one key {name}"
        return reader.fault(node, key, f"{show(node.value)} {wrong}; {allowed}")
    outside = next((i for i, value in enumerate(data) if not _within(value, declared)), None)
    if outside is not None:
        return reader.fault(
            node,
            f"{key}[{outside}]",
            f"got {number_text(data[outside])[:60]}; allowed a finite number{range_text(declared)}",
        )
    return _checked_length(declared, reader, node, key, data)


def _inside(folder: Path, name: str) -> Path | None:
    """The file ``name`` in or below ``folder``, or None if it is, or leads, elsewhere."""
    try:
        target = (folder / name).resolve()
        inside = not Path(name).is_absolute() and target.is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        return None
    return target if inside and "\\" not in name else None


def _json_got(data: Any) -> str:
    """What was read from JSON, in words; an object is the tuple of its pairs."""
    if isinstance(data, list):
        place = next(i for i, value in enumerate(data) if not isinstance(value, Fraction))
        return f"a list whose item {place} is not a number"
    if isinstance(data, tuple):
        keys = ", ".join(show(key) for key, _ in data[:3]) + (", ..." if len(data) > 3 else "")
        return f"an object with {'the key' if len(data) == 1 else 'the keys'} {keys}" if data else "an empty object"
    if isinstance(data, Fraction):
        return f"the number {number_text(data)[:60]}"
    return "null" if data is None else show(data) if isinstance(data, str) else str(data).lower()


def _json_number(text: str) -> Fraction:
    value = decimal(text)
    if value is None:
        raise ValueError(f"got {text}")
    return Fraction(value)


@read_field.register
def _(declared: Moments, reader: Reader, node: Node, key: str) -> Any:
    if isinstance(node, Scalar) and node.value in declared.words and isinstance(node.value, str):
        return node.value
    inner = node.get("moments") if isinstance(node, MappingNode) and len(node.entries) == 1 else None
    if not isinstance(inner, MappingNode) or not inner.entries:
        hint = near_miss(node.value, declared.words) if isinstance(node, Scalar) and isinstance(node.value, str) else ""
        return reader.wrong(node, key, describe(declared), hint)
    overrides = {}
    for name, value in inner.entries:
        path = join(f"{key}.moments", name.text)
        reader.where[path] = (value.line, value.column)
        order = decimal(name.text) if len(name.text) < 4 else None
        if not isinstance(order, int) or not 0 <= order <= declared.highest or str(order) != name.text:
            reader.fault(name, path, f"got the moment {show(name.text)}; allowed 0 to {declared.highest}")
        else:
            overrides[order] = _polynomial(reader, value, path, declared.names)
    return dict(sorted(overrides.items()))


def _polynomial(reader: Reader, node: Node, key: str, names: tuple[str, ...]) -> Any:
    """A formula that is a polynomial in ``names`` with rational coefficients."""
    expr = _formula(reader, node, key, names)
    symbols = [sp.Symbol(name) for name in names]
    if expr is BAD:
        return BAD
    rational = not expr.has(sp.Function, sp.NumberSymbol) and all(p.exp.is_Integer for p in expr.atoms(sp.Pow))
    if not (rational and expr.is_polynomial(*symbols)):
        return reader.wrong(node, key, f"a polynomial in {names[0]}, {names[1]}, .. with rational coefficients")
    return expr


@read_field.register
def _(declared: Entries, reader: Reader, node: Node, key: str) -> Any:
    if not isinstance(node, Sequence) or not 1 <= len(node.items) <= declared.longest:
        return reader.wrong(node, key, describe(declared))
    read = _entry_row if declared.rows else _entry
    values = []
    for place, item in enumerate(node.items):
        path = f"{key}[{place}]"
        reader.where[path] = (item.line, item.column)
        values.append(read(declared, reader, item, path))
    return BAD if any(value is BAD for value in values) else tuple(values)


def _entry_row(declared: Entries, reader: Reader, node: Node, key: str) -> Any:
    if isinstance(node, Sequence) and not node.items:
        return ()
    return read_field(replace(declared, rows=False), reader, node, key)


def _entry(declared: Entries, reader: Reader, node: Node, key: str) -> Any:
    """One coefficient, as a form."""
    if not isinstance(node, Scalar) or not node.usable or node.value is None or isinstance(node.value, bool):
        what = "such as 1/2, phi1(z) - phi2(z) or exp(z/2)" if declared.functions else "such as 1/2 or sqrt(6)/10"
        return reader.wrong(node, key, f"a {'coefficient' if declared.functions else 'number'} {what}")
    text = node.value if isinstance(node.value, str) else number_text(node.value)
    try:
        return parse_entry(text, declared.functions)
    except ExpressionError as error:
        shift = error.column - 1 + (not node.plain) if "\n" not in node.text else 0
        return reader.fault(node, key, f"in the coefficient {show(text)}: {error.message}", shift)


@read_field.register
def _(declared: Records, reader: Reader, node: Node, key: str) -> Any:
    if not isinstance(node, Sequence) or not 1 <= len(node.items) <= declared.longest:
        return reader.wrong(node, key, describe(declared))
    values = []
    for place, item in enumerate(node.items):
        path = f"{key}[{place}]"
        reader.where[path] = (item.line, item.column)
        if isinstance(item, MappingNode):
            values.append(Record(read_fields(reader, item, declared.fields, path, of="an entry")))
        else:
            values.append(reader.wrong(item, path, f"a mapping with the keys {', '.join(declared.fields)}"))
    return BAD if any(value is BAD or BAD in value.values() for value in values) else tuple(values)


@read_field.register
def _(declared: Quantity, reader: Reader, node: Node, key: str) -> Any:
    kinds = Kinds(lookup.names("derive.predictions"), quantity_fields, "linear")
    return read_kind(reader, node, key, kinds)


def quantity_fields(kind: str) -> Parameters:
    """The parameters of a prediction without those of the network: what is left is the quantity itself."""
    fields: Parameters = lookup.load("derive.predictions", kind).PARAMETERS
    return {name: declared for name, declared in fields.items() if name not in COMMON}


def read_chosen(reader: Reader, node: Node, key: str, package: str, written_out: str = "") -> Any:
    """A kind of ``package``: a word, ``{kind: .., ..}``, or without ``kind`` the keys of the kind ``written_out``."""
    return read_kind(
        reader, node, key, Kinds(lookup.names(package), lambda kind: lookup.load(package, kind).PARAMETERS, written_out)
    )


@dataclass(frozen=True, slots=True)
class Kinds:
    """What may be chosen: names, the fields of each, and which one ``{...}`` without ``kind`` means."""

    names: tuple[str, ...]
    fields: Callable[[str], Parameters]
    written_out: str = ""

    def is_written_out(self, node: MappingNode) -> bool:
        """Whether a mapping without ``kind`` has a key of the kind that may be written so."""
        fields = self.fields(self.written_out) if self.written_out in self.names else {}
        return any(key.text in fields for key, _ in node.entries)


def read_kind(reader: Reader, node: Node, key: str, kinds: Kinds) -> Any:
    """:class:`Chosen` from a word or a mapping, or :data:`BAD`."""
    listing = f"{', '.join(kinds.names) or 'none yet'}"
    if isinstance(node, MappingNode) and node.entries:
        chosen = node.get("kind")
        if chosen is None and not kinds.is_written_out(node):
            return reader.fault(node, f"{key}.kind", f"missing; allowed: {listing}")
        word = (
            chosen if chosen is not None else Scalar(kinds.written_out, kinds.written_out, True, node.line, node.column)
        )
        place = f"{key}.kind" if chosen is not None else key
    else:
        word, place = node, key
    if not isinstance(word, Scalar) or not isinstance(word.value, str) or word.value not in kinds.names:
        hint = near_miss(word.value, kinds.names) if isinstance(word, Scalar) and isinstance(word.value, str) else ""
        return reader.wrong(word, place, listing, hint)
    entries = node if isinstance(node, MappingNode) else MappingNode((), node.line, node.column)
    fields = kinds.fields(word.value)
    return Chosen(word.value, read_fields(reader, entries, fields, key, ("kind",), f"kind {word.value}"))
