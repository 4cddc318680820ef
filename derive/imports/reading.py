"""A ``scheduler_config.json`` as plain values, read strictly: JSON of bounded size, no key twice, no NaN."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.errors import Fault, SpecError, show
from derive.yamlnodes import decode, read_bounded


@dataclass(frozen=True, slots=True)
class Config:
    """values: the object in the file, keys that begin with ``_`` among them."""

    file: str
    values: Mapping[str, Any]
    text: str = ""

    def fault(self, key: str, message: str) -> Fault:
        """A fault at the key's own place in the file; of a default, at its beginning."""
        found = re.search(rf'"{re.escape(key)}"\s*:', self.text) if key else None
        line, column = place(self.text, found.start()) if found else (1, 1)
        return Fault(message, key, self.file, line, column)


def read_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a file. SpecError with the place of the fault, FileSystemError if there is no such file."""
    name = os.fspath(path)
    name = name if name.isprintable() else ascii(name)[1:-1]
    text = decode(read_bounded(path), name)
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
    except _RefusedValue as error:
        found = text.find(error.at)
        raise SpecError(Fault(str(error), "", name, *place(text, max(found, 0)))) from None
    except json.JSONDecodeError as error:
        raise SpecError(Fault(f"not JSON: {error.msg}", "", name, error.lineno, error.colno)) from None
    except (RecursionError, ValueError) as error:
        raise SpecError(Fault(f"not JSON that is read here: {show(str(error))}", "", name, 1, 1)) from None
    if not isinstance(values, dict):
        raise SpecError(Fault("got no object; allowed: {...} with _class_name", "", name, 1, 1))
    return Config(name, values, text)


class _RefusedValue(Exception):
    """A key or number that is valid for ``json`` and not for us. at: text at which it stands."""

    def __init__(self, message: str, at: str) -> None:
        super().__init__(message)
        self.at = at


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise _RefusedValue(f"the key {show(key)} twice; allowed: once", json.dumps(key))
        out[key] = value
    return out


def _constant(word: str) -> float:
    """``-Infinity`` is what diffusers writes for a bound that there is not."""
    if word == "NaN":
        raise _RefusedValue("got NaN; allowed: numbers", word)
    return float(word.replace("Infinity", "inf"))


def place(text: str, at: int) -> tuple[int, int]:
    """(line, column) of a character, from 1."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


__all__ = ["Config", "place", "read_config"]
