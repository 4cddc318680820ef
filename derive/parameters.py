"""What a schedule, prediction, family or grid lets a spec say: typed fields with bounds, as data.

Every kind declares ``PARAMETERS: dict[str, Field]``; the spec reader checks the YAML against it (type, bounds, unknown
keys with the near miss), fills the defaults, and prints the same declaration as JSON Schema for editors.
Numbers stay exact: a :class:`Number` arrives as :class:`fractions.Fraction`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = _Required()
"""The default of a field that the spec has to give."""


@dataclass(frozen=True, slots=True)
class Field:
    """Base: ``default`` (or :data:`REQUIRED`) and a line of documentation."""

    default: Any = REQUIRED
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Integer(Field):
    """An integer in ``[low, high]``; ``2.0``, ``true`` and ``"2"`` are not integers."""

    low: int = 0
    high: int = 1


@dataclass(frozen=True, slots=True)
class Integers(Field):
    """A list of 1 to ``longest`` different integers in ``[low, high]``, rising. It arrives as a tuple."""

    low: int = 0
    high: int = 1
    longest: int = 1


@dataclass(frozen=True, slots=True)
class Number(Field):
    """An exact real number (int, decimal, or a rational such as ``"1/3"``), as a Fraction in ``low..high``."""

    low: Fraction | None = None
    high: Fraction | None = None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class Choice(Field):
    """One of a closed set of words."""

    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag(Field):
    """``true`` or ``false``."""


@dataclass(frozen=True, slots=True)
class Text(Field):
    """Free text, at most ``limit`` characters; it never reaches source code."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class Expression(Field):
    """A formula in the project's expression language over ``names``, parsed to SymPy; or one of ``words``."""

    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbers(Field):
    """A list of exact numbers of bounded length; one of ``words``; with ``file`` also the name of a JSON file that holds one."""

    shortest: int = 2
    longest: int = 4096
    low: Fraction | None = None
    high: Fraction | None = None
    file: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moments(Field):
    """A mapping ``{k: expression}`` over ``names`` (moment overrides), or one of ``words``."""

    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    highest: int = 6


@dataclass(frozen=True, slots=True)
class Entries(Field):
    """Coefficients typed by hand: a list of at most ``longest``, or (``rows``) a list of such lists.

    An entry is a number (rational, with square roots) or, with ``functions``, linear in phi_k(c z) and exp(c z). It
    arrives as a :class:`derive.symbolic.forms.Form`.
    """

    rows: bool = False
    functions: bool = True
    longest: int = 16


@dataclass(frozen=True, slots=True)
class Quantity(Field):
    """A prediction or integrand: a word (``noise``), ``{kind: noise, ...}`` or ``{x0: expression, eps: expression}``."""


@dataclass(frozen=True, slots=True)
class Records(Field):
    """A list of at most ``longest`` mappings, each with the keys of ``fields``. It arrives as a tuple of dictionaries."""

    fields: Any = None
    longest: int = 64


Parameters = dict[str, Field]
"""What ``PARAMETERS`` of a schedule, prediction, family or grid module is."""

__all__ = [
    "REQUIRED",
    "Choice",
    "Entries",
    "Expression",
    "Field",
    "Flag",
    "Integer",
    "Integers",
    "Moments",
    "Number",
    "Numbers",
    "Parameters",
    "Quantity",
    "Records",
    "Text",
]
