"""What a field allows: as a phrase for messages, and as JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from derive import lookup
from derive.exact import number_text
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


def formula_text(names: tuple[str, ...], words: tuple[str, ...] = ()) -> str:
    """``lambda, rho or an expression in t``."""
    said = f"an expression in {', '.join(names)}" if names else "a constant expression"
    return f"{', '.join(words)} or {said}" if words else said


def range_text(declared: Number | Numbers) -> str:
    """`` above 0 up to 1``, or nothing."""
    parts = []
    if declared.low is not None:
        parts.append(("above " if getattr(declared, "low_open", False) else "from ") + number_text(declared.low))
    if declared.high is not None:
        parts.append(("below " if getattr(declared, "high_open", False) else "up to ") + number_text(declared.high))
    return " " + " ".join(parts) if parts else ""


@singledispatch
def describe(declared: Field) -> str:
    """What a field allows, for messages."""
    return declared.doc


describe.register(Integer, lambda f: f"{f.low} to {f.high}" if f.low != f.high else str(f.low))
describe.register(Integers, lambda f: f"a list of 1 to {f.longest} different integers from {f.low} to {f.high}, rising")
describe.register(Number, lambda f: f'a number{range_text(f)} (such as 2, 0.1 or "1/3")')
describe.register(Choice, lambda f: ", ".join(f.options))
describe.register(Flag, lambda f: "true, false")
describe.register(Text, lambda f: f"text of at most {f.limit} characters")
describe.register(Expression, lambda f: formula_text(f.names, f.words))
describe.register(
    Numbers,
    lambda f: (
        "".join(f"{word}, " for word in f.words)
        + ("or " if f.words else "")
        + f"a list of {f.shortest} to {f.longest} numbers{range_text(f)}"
        + (" or a JSON file" if f.file else "")
    ),
)
describe.register(
    Moments, lambda f: ", ".join(f.words) + ' or {moments: {k: "expression in ' + ", ".join(f.names[:3]) + ', .."}}'
)
describe.register(Quantity, lambda f: f"{', '.join(lookup.names('derive.predictions'))} or {{x0: .., eps: ..}}")


def _entries_text(declared: Entries) -> str:
    said = "coefficients such as 1/2, phi1(z) - phi2(z) or exp(z/2)" if declared.functions else "numbers such as 1/2"
    one = f"a list of 1 to {declared.longest} {said}"
    return f"a list of 1 to {declared.longest} rows, each {one.replace('1 to', 'at most')}" if declared.rows else one


describe.register(Entries, _entries_text)
describe.register(Records, lambda f: f"a list of 1 to {f.longest} mappings with the keys {', '.join(f.fields)}")


# ---------------------------------------------------------------------------------------------------------- JSON Schema

Json = dict[str, Any]

_RATIO = {"type": "string", "pattern": "^[+-]?[0-9.]+([eE][+-]?[0-9]+)?( */ *[0-9]+)?$"}
_FORMULA: Json = {"anyOf": [{"type": "string", "maxLength": 2000}, {"type": "number"}]}


@singledispatch
def field_schema(declared: Field) -> Json:
    """The JSON Schema of one field (what it allows; not its documentation)."""
    raise TypeError(f"no schema for {type(declared).__name__}")


def _number_schema(declared: Number | Numbers) -> Json:
    low, high = (None if v is None else float(v) for v in (declared.low, declared.high))
    lower = "exclusiveMinimum" if getattr(declared, "low_open", False) else "minimum"
    upper = "exclusiveMaximum" if getattr(declared, "high_open", False) else "maximum"
    bounds = {key: value for key, value in ((lower, low), (upper, high)) if value is not None}
    return {"anyOf": [{"type": "number", **bounds}, _RATIO]}


def _numbers_schema(declared: Numbers) -> Json:
    items = {"type": "array", "items": _number_schema(declared), "minItems": declared.shortest}
    items["maxItems"] = declared.longest
    others: list[Json] = [{"enum": list(declared.words)}] if declared.words else []
    others += [{"type": "string", "pattern": "\\.json$"}] if declared.file else []
    return {"anyOf": [items, *others]} if others else items


def _entries_schema(declared: Entries) -> Json:
    row = {"type": "array", "items": _FORMULA, "maxItems": declared.longest}
    whole = {"type": "array", "items": row, "maxItems": declared.longest} if declared.rows else row
    return {**whole, "minItems": 1}


def _moments_schema(declared: Moments) -> Json:
    keys = {str(k): _FORMULA for k in range(declared.highest + 1)}
    inner = {"type": "object", "properties": keys, "additionalProperties": False, "minProperties": 1}
    written = {
        "type": "object",
        "properties": {"moments": inner},
        "required": ["moments"],
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": list(declared.words)}, written]}


field_schema.register(Integer, lambda f: {"type": "integer", "minimum": f.low, "maximum": f.high})
field_schema.register(
    Integers,
    lambda f: {
        "type": "array",
        "items": {"type": "integer", "minimum": f.low, "maximum": f.high},
        "minItems": 1,
        "maxItems": f.longest,
        "uniqueItems": True,
    },
)
field_schema.register(Number, _number_schema)
field_schema.register(Choice, lambda f: {"enum": list(f.options)})
field_schema.register(Flag, lambda f: {"type": "boolean"})
field_schema.register(Text, lambda f: {"type": "string", "maxLength": f.limit})
field_schema.register(
    Expression, lambda f: {"anyOf": [{"enum": list(f.words)}, *_FORMULA["anyOf"]]} if f.words else _FORMULA
)
field_schema.register(Numbers, _numbers_schema)
field_schema.register(Moments, _moments_schema)
field_schema.register(Entries, _entries_schema)
field_schema.register(Quantity, lambda f: {"$ref": "#/$defs/quantity"})


def _records_schema(declared: Records) -> Json:
    return {"type": "array", "items": object_schema(declared.fields), "minItems": 1, "maxItems": declared.longest}


field_schema.register(Records, _records_schema)


def object_schema(fields: Parameters, extra: Mapping[str, Json] | None = None) -> Json:
    """A mapping with these fields (after the ``extra`` ones, which are required) and no others."""
    properties = {**(extra or {}), **{name: _documented(field) for name, field in fields.items()}}
    required = [*(extra or {}), *(name for name, field in fields.items() if field.default is REQUIRED)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _documented(declared: Field) -> Json:
    own = field_schema(declared)
    if declared.doc:
        own = {"description": declared.doc, **own}
    default = declared.default
    if default is REQUIRED or default is None:
        return own
    plain = isinstance(default, (bool, int, str, list, tuple))
    return {**own, "default": default if plain else float(default)}


def kinds_schema(kinds: Mapping[str, Parameters], written_out: str = "") -> Json:
    """A word, ``{kind: .., ..}``, or the fields of ``written_out`` without ``kind``."""
    whole = [name for name, fields in kinds.items() if all(f.default is not REQUIRED for f in fields.values())]
    forms = [object_schema(fields, {"kind": {"const": name}}) for name, fields in kinds.items()]
    if written_out in kinds:
        forms.append(object_schema(kinds[written_out]))
    return {"anyOf": [{"enum": whole}, *forms]}
