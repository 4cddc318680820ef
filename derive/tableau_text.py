r"""A coefficient of a tableau as text, and back: ``phi1(z) - 3*phi2(z) + 4*phi3(z)``, ``exp(z/2)/3``, ``(4 - sqrt(6))/10``.

    sum   := term (('+' | '-') term)*          term  := factor (('*' | '/') factor)*
    factor := ('+' | '-') factor | atom ('**' whole number)?
    atom  := number | z | sqrt '(' sum ')' | exp '(' sum ')' | phiK '(' sum ')' | '(' sum ')'

A coefficient is linear in phi_k(c z) and e^{c z}, which is what :class:`derive.symbolic.forms.Form` holds; z stands in their
arguments only. Tokens are those of :mod:`derive.expression`; nothing is ever compiled or given to SymPy as text, and every
number is bounded before it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from sympy import QQ

from derive.errors import near_miss, show
from derive.exact import decimal
from derive.expression import MAX_BITS, MAX_DEPTH, ExpressionError, Token, tokens
from derive.symbolic.forms import Form, constant, phi
from derive.symbolic.surds import Surd, approximation, number_words, rational, square_root

MAX_PHI = 9
MAX_WEIGHT = 10**6
MAX_STRETCH = 16
MAX_POWER = 16
MAX_ROOTS = 16

_PHI = re.compile(r"phi([0-9]{1,3})", re.ASCII)
NAMES = ("z", "sqrt", "exp", "phi1", "phi2", "phi3")


@dataclass(frozen=True, slots=True)
class _Value:
    """A part of a coefficient: a number, a multiple ``slope`` of z, or a form; only one of them is there."""

    column: int
    number: Any = None
    slope: Any = None
    form: Form | None = None

    def __mul__(self, factor: Any) -> _Value:
        if self.form is not None:
            return _Value(self.column, form=self.form * factor)
        if self.slope is not None:
            return _Value(self.column, slope=_bounded(self.slope * factor, self.column))
        return _Value(self.column, _bounded(self.number * factor, self.column))


def parse_entry(text: str, functions: bool = True) -> Form:
    """The coefficient that ``text`` says; without ``functions`` it has to be a number.

    Raises ExpressionError with the column for anything else.
    """
    parser = _Parser(tokens(text), functions)
    try:
        value = parser.sum(0)
        parser.expect_end()
    except RecursionError:
        raise ExpressionError("the expression is too large", 1) from None
    if value.slope is not None:
        raise ExpressionError("z stands in the argument of phi1, phi2, .. or exp only", value.column)
    form = value.form if value.form is not None else constant(value.number)
    for (_, c), q in form.terms:
        if abs(approximation(q, 30)) > MAX_WEIGHT:
            raise ExpressionError(f"a coefficient above {MAX_WEIGHT}", value.column)
        if abs(approximation(c, 30)) > MAX_STRETCH:
            raise ExpressionError(f"an argument above {MAX_STRETCH}*z", value.column)
    return form


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, found: tuple[Token, ...], functions: bool) -> None:
        self.found, self.functions, self.place = found, functions, 0

    @property
    def next(self) -> Token:
        return self.found[self.place]

    def take(self) -> Token:
        self.place += 1
        return self.found[self.place - 1]

    def expect_end(self) -> None:
        if self.next.kind != "end":
            raise ExpressionError(f"got {show(self.next.text)}; allowed here: + - * /", self.next.column)

    def sum(self, depth: int) -> _Value:
        left = self.term(depth)
        while self.next.text in ("+", "-"):
            sign = self.take()
            right = self.term(depth)
            left = _added(left, right if sign.text == "+" else right * -1)
        return left

    def term(self, depth: int) -> _Value:
        left = self.factor(depth)
        while self.next.text in ("*", "/"):
            sign = self.take()
            right = self.factor(depth)
            if sign.text == "/":
                if right.number is None:
                    raise ExpressionError("a quotient by z or a function; write it with phi1, phi2, ..", right.column)
                if not right.number:
                    raise ExpressionError("division by zero", right.column)
                left = left * (1 / right.number)
            elif right.number is not None:
                left = left * right.number
            elif left.number is not None:
                left = replace(right * left.number, column=left.column)
            else:
                what = "a product of functions; a coefficient is linear in phi1, phi2, .. and exp"
                raise ExpressionError(f"{what} (phi1(z/2)*(exp(z/2) - 1) is 2*phi1(z) - 2*phi1(z/2))", right.column)
        return left

    def factor(self, depth: int) -> _Value:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", self.next.column)
        if self.next.text in ("+", "-"):
            sign = self.take()
            inner = self.factor(depth + 1)
            return replace(inner * -1 if sign.text == "-" else inner, column=sign.column)
        base = self.atom(depth)
        if self.next.text != "**":
            return base
        self.take()
        return self._power(base, self.take())

    def _power(self, base: _Value, exponent: Token) -> _Value:
        whole = decimal(exponent.text) if exponent.kind == "number" and len(exponent.text) < 4 else None
        if base.number is None or not isinstance(whole, int) or not 0 <= whole <= MAX_POWER:
            raise ExpressionError(f"powers are those of numbers, with exponents 0 to {MAX_POWER}", exponent.column)
        out: Any = QQ(1)
        for _ in range(whole):
            out = _bounded(out * base.number, base.column)
        return _Value(base.column, out)

    def atom(self, depth: int) -> _Value:
        token = self.take()
        if token.kind == "number":
            return _Value(token.column, _bounded(_number(token), token.column))
        if token.kind == "name":
            return self._call(token, depth) if self.next.text == "(" else self._name(token)
        if token.text == "(":
            inner = self.sum(depth + 1)
            self._close(token)
            return inner
        got = show(token.text) if token.text else ("nothing" if len(self.found) == 1 else "the end")
        raise ExpressionError(f"got {got}; allowed here: {self._allowed}", token.column)

    @property
    def _allowed(self) -> str:
        return "numbers, sqrt(n), phi1(z), phi2(z/2), .., exp(z/2)" if self.functions else "numbers and sqrt(n)"

    def _close(self, opened: Token) -> None:
        if self.next.text != ")":
            raise ExpressionError("a '(' without its ')'", opened.column)
        self.take()

    def _name(self, token: Token) -> _Value:
        if token.text == "z" and self.functions:
            return _Value(token.column, slope=QQ(1))
        if token.text in ("sqrt", "exp") or _PHI.fullmatch(token.text):
            raise ExpressionError(f"{token.text} without its argument: {token.text}(..)", token.column)
        raise self._unknown(token)

    def _unknown(self, token: Token) -> ExpressionError:
        hint = near_miss(token.text, NAMES) if self.functions else ""
        return ExpressionError(f"unknown name {show(token.text)}; allowed: {self._allowed}{hint}", token.column)

    def _call(self, token: Token, depth: int) -> _Value:
        found = _PHI.fullmatch(token.text)
        if not (token.text == "sqrt" or (self.functions and (found or token.text == "exp"))):
            raise self._unknown(token)
        opened = self.take()
        inner = self.sum(depth + 1)
        self._close(opened)
        if token.text == "sqrt":
            return _Value(token.column, _root(inner))
        k = int(found.group(1)) if found else 0
        if k > MAX_PHI or (found and str(k) != found.group(1)):
            raise ExpressionError(f"got {show(token.text)}; allowed phi0 to phi{MAX_PHI}", token.column)
        if not inner.slope:
            raise ExpressionError(f"the argument of {token.text} is a multiple of z, such as z/2", inner.column)
        return _Value(token.column, form=phi(k, inner.slope))


def _added(left: _Value, right: _Value) -> _Value:
    """The sum; a number beside forms is a form."""
    if left.slope is not None and right.slope is not None:
        return _Value(left.column, slope=_bounded(left.slope + right.slope, left.column))
    if left.slope is not None or right.slope is not None:
        column = (left if left.slope is not None else right).column
        raise ExpressionError("z stands in the argument of phi1, phi2, .. or exp only, as a multiple of z", column)
    if left.form is None and right.form is None:
        return _Value(left.column, _bounded(left.number + right.number, left.column))
    forms = [v.form if v.form is not None else constant(v.number) for v in (left, right)]
    return _Value(left.column, form=forms[0] + forms[1])


def _number(token: Token) -> Any:
    try:
        return rational(decimal(re.sub(r"^0+(?=[0-9])", "", token.text)))
    except ValueError as error:
        raise ExpressionError(str(error), token.column) from None


def _root(inner: _Value) -> Any:
    if inner.number is None or isinstance(inner.number, Surd):
        raise ExpressionError("sqrt of a rational number only", inner.column)
    try:
        return square_root(inner.number)
    except ValueError as error:
        raise ExpressionError(str(error), inner.column) from None


def _bounded(value: Any, column: int) -> Any:
    parts = [q for _, q in value.terms] if isinstance(value, Surd) else [value]
    if any(max(int(q.numerator).bit_length(), int(q.denominator).bit_length()) > MAX_BITS for q in parts):
        raise ExpressionError(f"a number of more than {MAX_BITS} bits", column)
    if len(parts) > MAX_ROOTS:
        raise ExpressionError(f"a number with more than {MAX_ROOTS} different roots", column)
    return value


def entry_text(form: Form) -> str:
    """Text that reads back as the same form, terms in the same order."""
    out = ""
    for (k, c), q in form.terms:
        words = number_words(q) if not c else _times(q, f"phi{k}({_times(c, 'z')})" if k else f"exp({_times(c, 'z')})")
        if not out:
            out = words
        elif isinstance(q, Surd) and not c:
            out += f" + ({words})"
        else:
            out += f" - {words[1:]}" if words.startswith("-") else f" + {words}"
    return out or "0"


def _times(q: Any, what: str) -> str:
    """``z/2``, ``-2*z/3``, ``(1 + sqrt(2))*z``."""
    if isinstance(q, Surd):
        return f"({number_words(q)})*{what}"
    p, bottom = int(q.numerator), int(q.denominator)
    head = "-" * (p < 0) + (what if abs(p) == 1 else f"{abs(p)}*{what}")
    return head if bottom == 1 else f"{head}/{bottom}"


__all__ = ["entry_text", "parse_entry"]
