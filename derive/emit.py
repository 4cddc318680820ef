"""Stop 7: a derived solver as bytes, one per file, and those bytes on disk.

``render`` computes every file before ``write`` touches the disk. A value reaches a template only through a typed
filter; one that did not is our bug and raises. The bytes depend on the spec and on nothing else.
"""

from __future__ import annotations

import functools
import importlib
import json
import keyword
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import jinja2

import templates
from derive.backends import _coefficients as coefficients
from derive.backends import torch as torch_backend
from derive.errors import InternalError
from derive.program.coefficients import CoefficientModule
from derive.program.ir import Program
from derive.store import compare, seal, write

_IDENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_COLUMNS = 112


class Spec(Protocol):
    """What emission needs of a spec."""

    @property
    def name(self) -> str: ...
    @property
    def backends(self) -> tuple[str, ...]: ...
    @property
    def references(self) -> tuple[str, ...]: ...
    @property
    def sha256(self) -> str: ...
    def canonical(self) -> str: ...


class Derived(Protocol):
    """What emission needs of a derivation: see :mod:`derive.pipeline`."""

    @property
    def spec(self) -> Spec: ...
    @property
    def claims(self) -> Mapping[str, Any]: ...
    @property
    def program(self) -> Program: ...
    @property
    def module(self) -> CoefficientModule: ...
    @property
    def derivation(self) -> Sequence[str]: ...


class _Filtered(str):
    """Text that passed a typed filter: the only thing a template may print."""


def _finalize(value: object) -> object:
    if not isinstance(value, _Filtered):
        raise InternalError(f"a template prints a value that passed no filter: {ascii(value)[:60]}")
    return value


def _line(text: str) -> str:
    """One line of code that our printers wrote."""
    if not isinstance(text, str) or not text.isascii() or (text and not text.isprintable()):
        raise InternalError(f"not a line of code: {ascii(text)[:60]}")
    return _Filtered(text)


def _lines(lines: Iterable[str]) -> str:
    return _Filtered("\n".join(_line(line) for line in lines))


def _ident(name: str) -> str:
    if not _IDENT.fullmatch(name) or keyword.iskeyword(name):
        raise InternalError(f"not an identifier: {name!a}")
    return _Filtered(name)


def _number(value: int) -> str:
    if type(value) is not int:
        raise InternalError(f"not an int: {ascii(value)[:60]}")
    return _Filtered(value)


def _names(names: Sequence[str], suffix: str = "") -> str:
    """The inside of a tuple of names."""
    return _Filtered(", ".join(_ident(name + suffix) for name in names) + ("," if len(names) == 1 else ""))


def _prose(text: str) -> str:
    """One line of text in a file that nothing executes."""
    if not isinstance(text, str) or (text and not text.isprintable()):
        raise InternalError(f"not a line of text: {ascii(text)[:60]}")
    return _Filtered(text)


@functools.cache
def environment() -> jinja2.Environment:
    """The only Jinja environment: our own templates, no undefined values, nothing unfiltered."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(templates.__path__[0])),
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # nothing here is HTML; the filters below decide what is printed
    )
    env.filters = {"line": _line, "lines": _lines, "ident": _ident, "names": _names, "number": _number, "prose": _prose}
    return env


def render(derived: Derived) -> dict[str, bytes]:
    """Every file of ``generated/<name>/``: name -> bytes, each with its seal."""
    spec = derived.spec
    texts = {"spec.yaml": spec.canonical()}
    texts[coefficients.FILE] = _render(
        coefficients.TEMPLATE, doc=_coefficients_doc(derived), **coefficients.context(derived.module)
    )
    steps = {}
    for name in dict.fromkeys(("torch", *spec.backends)):  # gradients go through the torch step
        backend = importlib.import_module(f"derive.backends.{_ident(name)}")
        doc = backend.comment(_step_doc(derived, backend.about(derived.program)))
        steps[backend.FILE] = _render(backend.TEMPLATE, doc=doc, **backend.context(derived.program))
    torch_step = Path(torch_backend.FILE).stem  # others are imported when they are asked for
    texts["__init__.py"] = _render("init.py.jinja", doc=_package_doc(derived), step=torch_step)
    texts |= steps
    texts["claims.json"] = _json(derived)
    texts["derivation.md"] = _render("derivation.md.jinja", lines=_text_lines(derived.derivation))
    return {name: seal(name, text, spec.sha256) for name, text in texts.items()}


def _render(template: str, **values: Any) -> str:
    return environment().get_template(template).render(**values)


def _json(derived: Derived) -> str:
    return json.dumps(dict(derived.claims), indent=2, ensure_ascii=True, default=exact, allow_nan=False) + "\n"


def exact(value: object) -> Any:
    """JSON of what is not JSON: exact numbers as text; anything else is our bug."""
    if isinstance(value, Fraction):
        return str(value)
    raise InternalError(f"claims.json cannot hold {type(value).__name__} {ascii(value)[:60]}")


def _text_lines(text: str | Iterable[str]) -> list[str]:
    parts = [text] if isinstance(text, str) else text
    return [line for part in parts for line in (part.splitlines() or [""])]


def _doc(*paragraphs: str) -> list[str]:
    """A module docstring's lines."""
    return coefficients.docstring(_wrapped(*paragraphs))


def _wrapped(*paragraphs: str) -> str:
    """Paragraphs over several lines; free text keeps only what cannot end a docstring or a comment."""
    lines: list[str] = []
    for paragraph in filter(None, paragraphs):
        safe = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "?" for c in paragraph)
        lines += ["", *textwrap.wrap(safe, _COLUMNS, break_long_words=False)]
    return "\n".join(lines[1:])


def _promise(derived: Derived) -> str:
    """``Proved: order 2 ...; built on ...``: one line from the claims."""
    found = derived.claims
    words = {
        "order": "order {}",
        "global_order": "with the declared start and last step {}",
        "stiff_order": "stiff order {}",
    }
    if found.get("weak_order") is not None:
        words = {"weak_order": "weak order {}", "strong_order": "strong order {}", "order": "its mean has order {}"}
    proved = [text.format(found[key]) for key, text in words.items() if found.get(key) is not None]
    if "law" in found:
        proved = [found["law"]]
    proof = f"Proved: {'; '.join(proved)}. " if proved else ""
    sources = ", ".join(derived.spec.references)
    return proof + (f"Reference: {sources}." if sources else "")


def _formula(derived: Derived) -> str:
    return torch_backend.headline(derived.program)


def _package_doc(derived: Derived) -> list[str]:
    return _doc(f"{derived.spec.name}: {_formula(derived)}.", _promise(derived), "The derivation is in derivation.md.")


def _coefficients_doc(derived: Derived) -> list[str]:
    calls = any("u" in function.args for function in derived.module.functions)
    within = ", and where the step has stages the grid points u of its network calls" if calls else ""
    return _doc(
        f"Coefficients of {derived.spec.name}: {_formula(derived)}.",
        _promise(derived),
        "A row function takes the step's start s and end t and the steps h of the interpolation variable, newest "
        f"first{within}; it returns a row in the order of COLUMNS. All numbers are Real until a whole row is rounded once.",
    )


def _step_doc(derived: Derived, about: str) -> str:
    return _wrapped(f"The step of {derived.spec.name}: {_formula(derived)}.", _promise(derived), about)


__all__ = ["compare", "environment", "exact", "render", "write"]
