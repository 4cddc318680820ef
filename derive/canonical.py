"""The canonical text of a spec: nothing implicit, one order, exact numbers, ASCII; it reads back as the same spec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from derive.exact import number_text
from derive.fields import Chosen, Record
from derive.reserved import NAME
from derive.symbolic.forms import Form
from derive.tableau_text import entry_text

if TYPE_CHECKING:
    from derive.spec import Spec


def canonical_text(spec: Spec) -> str:
    """``spec`` as YAML. The texts of formulas are those of the spec that was read, in normal form."""
    problem, method = spec.problem, spec.method
    lines = [f"name: {spec.name}"]
    if spec.description:
        lines.append(f"description: {quoted(spec.description)}")
    lines += ["problem:", f"  kind: {problem.kind}"]
    lines += [
        f"  {key}: {_text(getattr(problem, key), f'problem.{key}', spec.texts)}" for key in ("schedule", "prediction")
    ]
    lines += [f"  {key}: {_text(value, f'problem.{key}', spec.texts)}" for key, value in problem.parameters.items()]
    lines += ["method:", f"  family: {method.family}"]
    lines += [f"  {key}: {_text(value, f'method.{key}', spec.texts)}" for key, value in method.parameters.items()]
    if spec.claims:
        lines.append("claims: {" + ", ".join(f"{key}: {value}" for key, value in spec.claims.items()) + "}")
    if spec.grid is not None:
        lines.append(f"grid: {_text(spec.grid, 'grid', spec.texts)}")
    lines.append(f"backends: [{', '.join(spec.backends)}]")
    if spec.references:
        lines.append(f"references: [{', '.join(map(quoted, spec.references))}]")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A double-quoted YAML scalar in ASCII, on one line."""
    return '"' + "".join(_ESCAPES.get(char) or (char if " " <= char <= "~" else _escaped(char)) for char in text) + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\U{code:08X}" if code > 0xFFFF else f"\\u{code:04X}"


@singledispatch
def _text(value: Any, key: str, texts: Mapping[str, str]) -> str:
    """A value as canonical YAML; anything not registered below is a formula, whose text is kept under its key."""
    return quoted(texts[key])


@_text.register
def _(value: bool, key: str, texts: Mapping[str, str]) -> str:
    return "true" if value else "false"


@_text.register(int)
@_text.register(Fraction)
def _(value: int | Fraction, key: str, texts: Mapping[str, str]) -> str:
    return number_text(value)


@_text.register
def _(value: str, key: str, texts: Mapping[str, str]) -> str:
    return value if NAME.fullmatch(value) and value not in _QUOTED_WORDS else quoted(value)


_QUOTED_WORDS = frozenset({"true", "false", "null", "y", "n", "yes", "no", "on", "off"})


@_text.register
def _(value: tuple, key: str, texts: Mapping[str, str]) -> str:
    return "[" + ", ".join(_text(item, f"{key}[{i}]", texts) for i, item in enumerate(value)) + "]"


@_text.register
def _(value: Form, key: str, texts: Mapping[str, str]) -> str:
    text = entry_text(value)
    return text if _WHOLE.fullmatch(text) else quoted(text)


_WHOLE = re.compile(r"-?[0-9]{1,9}", re.ASCII)


@_text.register
def _(value: Chosen, key: str, texts: Mapping[str, str]) -> str:
    own = {name: _text(inner, f"{key}.{name}", texts) for name, inner in value.parameters.items()}
    return "{" + ", ".join(f"{k}: {v}" for k, v in ({"kind": value.kind} | own).items()) + "}" if own else value.kind


@_text.register
def _(value: Record, key: str, texts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{k}: {_text(v, f'{key}.{k}', texts)}" for k, v in value.items()) + "}"


@_text.register
def _(value: dict, key: str, texts: Mapping[str, str]) -> str:
    inner = ", ".join(f"{k}: {_text(v, f'{key}.moments.{k}', texts)}" for k, v in value.items())
    return "{moments: {" + inner + "}}"
