"""Exact numbers as text and back: what a spec writes as ``1e-4`` is 1/10000, never the nearest float.

Digits and exponents are bounded before anything is computed, so that no number costs more than its text.
"""

from __future__ import annotations

import re
from fractions import Fraction

from derive.errors import show

MAX_DIGITS = 154
"""Decimal digits of one number (512 bits)."""
MAX_EXPONENT = 300
"""|exponent| of the last digit of one number: its value is a normal float."""

_DECIMAL = re.compile(r"([+-]?)(0|[1-9][0-9]*)?(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)


def decimal(text: str) -> int | Fraction | None:
    """The exact value of a plain decimal number (``2``, ``.5``, ``1e-4``), or None if ``text`` is not one.

    An int if it is written without point and exponent. Raises ValueError for too many digits or too large an exponent.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, part, exponent = match.groups()
    digits = (whole or "") + (part or "")
    if not digits:
        return None
    if len(digits.lstrip("0")) > MAX_DIGITS or len(digits) > 2 * MAX_EXPONENT:
        raise ValueError(f"got a number of {len(digits)} digits; allowed at most {MAX_DIGITS} digits")
    power = exponent or "0"
    if len(power.lstrip("+-0")) > 4 or abs(int(power) - len(part or "")) > MAX_EXPONENT:
        raise ValueError(f"got the number {show(text)}; allowed exponents -{MAX_EXPONENT} to {MAX_EXPONENT}")
    number = int(digits) if sign != "-" else -int(digits)
    if part is None and exponent is None:
        return number
    return Fraction(number) * Fraction(10) ** (int(power) - len(part or ""))


def number_text(value: int | Fraction) -> str:
    """An exact number as text that reads back as itself: an integer, a finite decimal, or ``p/q``."""
    value = Fraction(value)
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator) if rest == 1 else ""
    if rest != 1 or len(digits) - places > MAX_DIGITS + MAX_EXPONENT or (places and len(digits) > MAX_DIGITS):
        return f"{value.numerator}/{value.denominator}"
    return ("-" if value < 0 else "") + _decimal_text(digits, places)


def _decimal_text(digits: str, places: int) -> str:
    """``digits`` times 10**-places, with an exponent where that saves many zeros."""
    zeros = len(digits) - len(digits.rstrip("0"))
    if not places:
        return digits if zeros < 16 and len(digits) <= MAX_DIGITS else f"{digits[:-zeros]}e{zeros}"
    if places > len(digits) + 3:
        return f"{digits}e-{places}"
    padded = digits.rjust(places + 1, "0")
    return f"{padded[:-places]}.{padded[-places:]}"
