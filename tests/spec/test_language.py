"""The language of specs, as one text: every key of every kind with its type, bounds and default.

What a spec may say changes with intent only: ``--update`` rewrites the text, and the change is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from derive import lookup
from derive.families import _one_step, decisions, tableaux
from derive.parameters import REQUIRED, Field
from derive.spec import CLAIMS

GOLDEN = Path(__file__).parent / "golden" / "language.txt"


def lines(prefix: str, fields: Mapping[str, Field]) -> Iterator[str]:
    for key, declared in fields.items():
        inner = {k: v for k, v in options(declared).items() if isinstance(v, Mapping) and is_table(v)}
        plain = {k: v for k, v in options(declared).items() if k not in inner}
        words = ", ".join(f"{name}={value}" for name, value in plain.items() if not absent(value))
        yield f"{prefix}.{key}: {type(declared).__name__}({words})"
        for value in inner.values():
            yield from lines(f"{prefix}.{key}[]", value)


def options(declared: Field) -> dict[str, Any]:
    found = {f.name: getattr(declared, f.name) for f in dataclasses.fields(declared) if f.name != "doc"}
    default = found.pop("default")
    return found | {"default": "nothing" if default is None else default} if default is not REQUIRED else found


def absent(value: Any) -> bool:
    return value is None or value is False or value in ((), "")


def is_table(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(isinstance(v, Field) for v in value.values())


def language() -> str:
    out = []
    for folder in ("schedules", "predictions", "families", "problems"):
        for name in lookup.names(f"derive.{folder}"):
            out += lines(f"{folder}.{name}", getattr(lookup.load(f"derive.{folder}", name), "PARAMETERS", {}))
    out += lines("claims", CLAIMS)
    out += lines("tableau file", tableaux.FIELDS)
    out.append(f"stages of a tableau: {_one_step.MAX_STAGES}; entries of a table of decisions: {decisions.LONGEST}")
    return "\n".join(out) + "\n"


def test_the_language_is_what_is_written_down(update: bool) -> None:
    text = language()
    if update:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert "object at 0x" not in text
    assert text == GOLDEN.read_text(encoding="utf-8"), f"{GOLDEN.name} differs; --update rewrites it"
