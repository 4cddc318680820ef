"""The spec: what a user types, read strictly, every fault at once, every value exact and with its place in the file.

The keys of ``method``, of a schedule, a prediction and a grid are not known here: each module of ``derive/families``,
``derive/schedules``, ``derive/predictions`` declares its own, and a grid's are the keyword arguments of its function.
``Spec.canonical()`` is the same spec with nothing implicit; reading it back gives an equal Spec.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from derive import lookup
from derive.canonical import canonical_text
from derive.errors import Fault, SpecError, near_miss, show
from derive.fields import (
    BAD,
    Chosen,
    Kinds,
    Reader,
    join,
    quantity_fields,
    read_chosen,
    read_field,
    read_fields,
    read_kind,
)
from derive.parameters import Choice, Field, Flag, Integer, Number, Parameters, Text
from derive.reserved import NAME, reason
from derive.schema import Json, field_schema, kinds_schema, object_schema
from derive.yamlnodes import Mapping as MappingNode
from derive.yamlnodes import Node, Scalar, Sequence, compose, decode, folder_of, read_bounded

MAX_ORDER = 16
MAX_GRID_STEPS = 10_000
MAX_REFERENCES = 32

KEYS = ("name", "description", "problem", "method", "claims", "grid", "backends", "references")

CLAIMS: Parameters = {
    name: Integer(default=None, low=1, high=MAX_ORDER, doc=doc)
    for name, doc in {
        "order": "classical order on variable grids, from exact starting values",
        "global_order": "order with the declared start and final",
        "stiff_order": "order without a bound on the stiff part",
        "embedded_order": "of the output that the error is estimated with",
        "weak_order": "of an SDE: of the moments, with the declared start and final",
    }.items()
} | {
    "strong_order": Number(
        default=None, low=Fraction(1, 2), high=Fraction(MAX_ORDER), doc="of an SDE: of the path; 1/2, 1, 3/2, .."
    )
}
"""What a spec may claim: exactly what is proved."""

DESCRIPTION = Text(default="", limit=2000)
REFERENCE = Text(limit=300)


_PARENT = re.compile(r"(\.?[^.\[]+|\[[^\[]*)$")
"""The last part of a key path: ``.name`` or ``[0]``."""


@dataclass(frozen=True, slots=True)
class ProblemSpec:
    """What is solved: kind (a module of ``derive.problems``) and its parameters, noise schedule, what the network returns."""

    kind: str
    schedule: Chosen
    prediction: Chosen
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method family (a module of ``derive.families``) and its parameters, complete."""

    family: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec without faults. Places, formula texts and the file name do not count for equality."""

    name: str
    problem: ProblemSpec
    method: MethodSpec
    description: str = ""
    claims: dict[str, int | Fraction] = field(default_factory=dict)
    grid: Chosen | None = None
    backends: tuple[str, ...] = ("torch",)
    references: tuple[str, ...] = ()
    file: str = field(default="<spec>", compare=False)
    where: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    texts: Mapping[str, str] = field(default_factory=dict, compare=False)

    def fault(self, key: str, message: str) -> Fault:
        """A fault at the place of ``key``, or of the nearest key above it that the file has."""
        place = key
        while place and place not in self.where:
            place = _PARENT.sub("", place)
        line, column = self.where.get(place, (1, 1))
        return Fault(message, key, self.file, line, column)

    def canonical(self) -> str:
        """The spec as YAML with defaults written out, keys in fixed order, exact numbers; ASCII only."""
        return canonical_text(self)

    @property
    def sha256(self) -> str:
        """Of the canonical text."""
        return hashlib.sha256(self.canonical().encode("ascii")).hexdigest()

    def with_backends(self, backends: tuple[str, ...]) -> Spec:
        """The same spec for other backends. Raises SpecError for one that does not exist."""
        for name in backends:
            if name not in lookup.names("derive.backends"):
                raise SpecError(Fault(lookup.unknown("derive.backends", name), "backends", self.file))
        return replace(self, backends=tuple(dict.fromkeys(backends)))


# -------------------------------------------------------------------------------------------------------------- reading


def read_spec(path: str | os.PathLike[str]) -> Spec:
    """The spec in a file. Raises SpecError with every fault, FileSystemError if there is no such regular file."""
    file = os.fspath(path)
    file = file if file.isprintable() else ascii(file)[1:-1]
    return _read(decode(read_bounded(path), file), Reader(file, folder_of(path)))


def read_spec_text(text: str, file: str = "<spec>") -> Spec:
    """The spec in a text; it cannot name other files. Raises SpecError with every fault."""
    return _read(text.removeprefix("\ufeff"), Reader(file))


def _read(text: str, reader: Reader) -> Spec:
    root, found = compose(text, reader.file)
    reader.faults.extend(found)
    if not isinstance(root, MappingNode):
        got = "nothing" if root is None else "a list" if isinstance(root, Sequence) else "a single value"
        message = f"got {got}; allowed: a mapping with the keys {', '.join(KEYS)}"
        reader.fault(root or Scalar(None, line=1, column=1), "", message)
    spec = _spec(root, reader) if isinstance(root, MappingNode) else None
    if spec is None or reader.faults:
        raise SpecError(*dict.fromkeys(sorted(reader.faults, key=lambda fault: (fault.line, fault.column))))
    return spec


def _spec(root: MappingNode, reader: Reader) -> Spec | None:
    for key, value in root.entries:
        reader.where[join("", key.text)] = (value.line, value.column)
        if key.text not in KEYS:
            reader.fault(key, join("", key.text), f"unknown key; allowed: {', '.join(KEYS)}{near_miss(key.text, KEYS)}")
    name = _required(root, "name", "a name such as my_solver", reader, _name)
    problem = _required(root, "problem", "a mapping with kind, schedule, prediction", reader, _problem)
    method = _required(root, "method", "a mapping with family and its parameters", reader, _method)
    values = {key: read(reader, node) for key, read in _OPTIONAL.items() if (node := root.get(key)) is not None}
    if reader.faults:
        return None
    return Spec(name, problem, method, **values, file=reader.file, where=reader.where, texts=reader.texts)


def _required(root: MappingNode, key: str, allowed: str, reader: Reader, read: Any) -> Any:
    node = root.get(key)
    return reader.fault(root, key, f"missing; allowed: {allowed}") if node is None else read(reader, node)


def _name(reader: Reader, node: Node) -> Any:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not NAME.fullmatch(node.value):
        odd = next((c for c in str(node.value) if not c.isascii()), "") if isinstance(node, Scalar) else ""
        hint = f" (U+{ord(odd):04X} is not one of them)" if odd else ""
        return reader.wrong(node, "name", f"a small letter, then up to 47 small letters a-z, digits and _{hint}")
    taken = reason(node.value)
    if taken:
        return reader.fault(
            node,
            "name",
            f"got {show(node.value)}, which is {taken}; allowed: another name, such as {node.value[:40]}_solver",
        )
    return node.value


def _problem(reader: Reader, node: Node) -> Any:
    if not isinstance(node, MappingNode):
        return reader.wrong(node, "problem", "a mapping with kind, schedule, prediction")
    kinds = lookup.names("derive.problems")
    inner = node.get("kind")
    fields: Parameters = {"kind": Choice(options=kinds)}
    if isinstance(inner, Scalar) and inner.value in kinds:
        fields |= lookup.load("derive.problems", str(inner.value)).PARAMETERS
    values = read_fields(reader, node, fields, "problem", ("schedule", "prediction"))
    parts = {}
    for key, package, written_out in (
        ("schedule", "derive.schedules", "expression"),
        ("prediction", "derive.predictions", "linear"),
    ):
        inner = node.get(key)
        if inner is None:
            parts[key] = reader.fault(node, f"problem.{key}", f"missing; allowed: {', '.join(lookup.names(package))}")
        else:
            reader.where[f"problem.{key}"] = (inner.line, inner.column)
            parts[key] = read_chosen(reader, inner, f"problem.{key}", package, written_out)
    return ProblemSpec(values.pop("kind", BAD), parts["schedule"], parts["prediction"], values)


def _method(reader: Reader, node: Node) -> Any:
    families = lookup.names("derive.families")
    if not isinstance(node, MappingNode):
        return reader.wrong(node, "method", "a mapping with family and its parameters")
    inner = node.get("family")
    if inner is None:
        return reader.fault(node, "method.family", f"missing; allowed: {', '.join(families)}")
    reader.where["method.family"] = (inner.line, inner.column)
    family = read_field(Choice(options=families), reader, inner, "method.family")
    if family is BAD:
        return BAD
    fields = lookup.load("derive.families", family).PARAMETERS
    return MethodSpec(family, read_fields(reader, node, fields, "method", ("family",), f"family {family}"))


def _claims(reader: Reader, node: Node) -> Any:
    if not isinstance(node, MappingNode):
        return reader.wrong(node, "claims", f"a mapping with {', '.join(CLAIMS)}")
    return read_fields(reader, node, CLAIMS, "claims")


def _grid(reader: Reader, node: Node) -> Any:
    grids = _grids()
    return read_kind(reader, node, "grid", Kinds(tuple(sorted(grids)), grids.__getitem__))


def _backends(reader: Reader, node: Node) -> Any:
    known = lookup.names("derive.backends")
    if not isinstance(node, Sequence) or not node.items:
        return reader.wrong(node, "backends", f"a list such as [torch], of {', '.join(known)}")
    return _items(reader, node, "backends", Choice(options=known))


def _references(reader: Reader, node: Node) -> Any:
    if not isinstance(node, Sequence) or len(node.items) > MAX_REFERENCES:
        return reader.wrong(node, "references", f"a list of at most {MAX_REFERENCES} texts")
    for place, item in enumerate(node.items):
        if isinstance(item, Scalar) and not str(item.value).isprintable():
            reader.fault(
                item, f"references[{place}]", "got a line break or control character; allowed: one line of text"
            )
    return _items(reader, node, "references", REFERENCE)


def _items(reader: Reader, node: Sequence, key: str, declared: Field) -> Any:
    values: list[Any] = []
    for place, item in enumerate(node.items):
        reader.where[f"{key}[{place}]"] = (item.line, item.column)
        value = read_field(declared, reader, item, f"{key}[{place}]")
        if value is not BAD and value in values:
            value = reader.fault(item, f"{key}[{place}]", f"got {show(value)} twice; allowed: once")
        values.append(value)
    return tuple(values)


_OPTIONAL: Mapping[str, Any] = {
    "description": lambda reader, node: read_field(DESCRIPTION, reader, node, "description"),
    "claims": _claims,
    "grid": _grid,
    "backends": _backends,
    "references": _references,
}


# ---------------------------------------------------------------------------------------------------------------- grids


@lru_cache(maxsize=1)
def _grids() -> dict[str, Parameters]:
    """The fields of every grid of ``runtime.grids``, from the signatures of its functions."""
    from runtime.grids import GRIDS

    return {name: _grid_fields(function) for name, function in GRIDS.items()}


def _grid_fields(function: Any) -> Parameters:
    hints = typing.get_type_hints(function)
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    steps = Integer(default=None, low=1, high=MAX_GRID_STEPS, doc="number of steps")
    return {"steps": steps, **{p.name: _grid_field(hints[p.name], p.default) for p in own}}


def _grid_field(hint: Any, default: Any) -> Field:
    """A field from an annotation: bool, int, float, or a Literal of words; ``| None`` where it may be left out."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return Choice(default=default, options=options)
    base = next((option for option in options if option is not type(None)), hint)
    if base is int:
        return Integer(default=default, low=-MAX_GRID_STEPS, high=MAX_GRID_STEPS)
    return {bool: Flag, float: Number}[base](default=default)


def schema() -> Json:
    """The JSON Schema of a spec, for editors (``# yaml-language-server: $schema=..``); the reader is stricter."""
    folder = {noun: _kinds_of(f"derive.{noun}") for noun in ("schedules", "predictions", "families")}
    methods = [object_schema(fields, {"family": {"const": name}}) for name, fields in folder["families"].items()]
    parts = {
        "schedule": kinds_schema(folder["schedules"], "expression"),
        "prediction": kinds_schema(folder["predictions"], "linear"),
    }
    problems = [
        object_schema(fields, {"kind": {"const": name}, **parts})
        for name, fields in _kinds_of("derive.problems").items()
    ]
    backends = {"enum": list(lookup.names("derive.backends"))}
    optional = {
        "description": field_schema(DESCRIPTION),
        "claims": object_schema(CLAIMS),
        "grid": kinds_schema(_grids()),
        "backends": {"type": "array", "items": backends, "minItems": 1, "uniqueItems": True},
        "references": {"type": "array", "items": field_schema(REFERENCE), "maxItems": MAX_REFERENCES},
    }
    name = {"type": "string", "pattern": f"^{NAME.pattern}$"}
    document = object_schema({}, {"name": name, "problem": {"anyOf": problems}, "method": {"anyOf": methods}})
    document["properties"] |= optional
    quantities = {kind: quantity_fields(kind) for kind in folder["predictions"]}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "phiforge solver spec"}
    return {**head, **document, "$defs": {"quantity": kinds_schema(quantities, "linear")}}


def _kinds_of(package: str) -> dict[str, Parameters]:
    return {name: lookup.load(package, name).PARAMETERS for name in lookup.names(package)}
