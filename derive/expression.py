"""The one door from text to mathematics: a small expression language, parsed by hand.

    sum   := term (('+' | '-') term)*          term := factor (('*' | '/') factor)*
    factor := ('+' | '-') factor | power       power := atom ('**' factor)?
    atom  := number | name | function '(' sum ')' | '(' sum ')'

No part of the text is ever compiled, evaluated or given to SymPy as text: tokens come from one regular expression,
names and functions from closed tables, and SymPy objects are built bottom-up by constructors. Decimals and ratios are
exact rationals. Length, depth, digits, exponents, degree and the magnitude of every constant are bounded *before* SymPy
sees them, because its automatic evaluation has no bounds of its own (``sin(exp(10**9))`` does not return).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from derive.errors import Fault, SpecError, near_miss, show
from derive.exact import decimal
from derive.symbolic.alphabet import expm1, log1p

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_POWER = 64
MAX_BITS = 4096
MAX_TERMS = 70
MAX_ARGUMENT = 1e15
MAX_OPERATIONS = 500


class ExpressionError(SpecError):
    """A text is not an expression of the language. ``column`` (1-based) is the place within the text."""

    def __init__(self, message: str, column: int) -> None:
        self.message, self.column = message, column
        super().__init__(Fault(f"column {column}: {message}"))


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one argument: how SymPy builds it and what it is worth in floats."""

    build: Callable[[sp.Expr], sp.Expr]
    value: Callable[[float], float]


FUNCTIONS: Mapping[str, Function] = {
    "exp": Function(sp.exp, math.exp), "log": Function(sp.log, math.log), "sqrt": Function(sp.sqrt, math.sqrt),
    "sin": Function(sp.sin, math.sin), "cos": Function(sp.cos, math.cos), "tan": Function(sp.tan, math.tan),
    "atan": Function(sp.atan, math.atan), "sinh": Function(sp.sinh, math.sinh), "cosh": Function(sp.cosh, math.cosh),
    "tanh": Function(sp.tanh, math.tanh), "expm1": Function(expm1, math.expm1), "log1p": Function(log1p, math.log1p),
}  # fmt: skip
CONSTANTS: Mapping[str, sp.Expr] = {"pi": sp.pi, "e": sp.E}

_HEADS: Mapping[type, Callable[[float], float]] = {
    sp.exp: math.exp, sp.log: math.log, sp.sin: math.sin, sp.cos: math.cos, sp.tan: math.tan, sp.atan: math.atan,
    sp.sinh: math.sinh, sp.cosh: math.cosh, sp.tanh: math.tanh, expm1: math.expm1, log1p: math.log1p,
    sp.cot: lambda v: 1 / math.tan(v), sp.coth: lambda v: 1 / math.tanh(v), sp.Abs: abs,
}  # fmt: skip

_FOREIGN = {"ln": "log", "pow": "**", "arctan": "atan", "log10": "log(x)/log(10)", "square": "x**2"}

_HINTS = {
    "^": "; a power is written **",
    "[": "; brackets are ( )",
    "{": "; brackets are ( )",
    "=": "; write the right-hand side only",
}

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>\*\*|[-+*/(),])",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text: number, name, sign or end; ``column`` is 1-based."""

    kind: str
    text: str
    column: int


@dataclass(frozen=True, slots=True)
class _Value:
    """A parsed part: its expression, a bound of its degree, and where it starts."""

    expr: sp.Expr
    degree: int
    column: int


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of ``text`` without blanks, closed by an ``end`` token. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"got an expression of {len(text)} characters; allowed at most {MAX_LENGTH}", 1)
    found: list[Token] = []
    depth = place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError(_bad_character(text[place]), place + 1)
        kind, piece = match.lastgroup or "", match.group()
        depth += (piece == "(") - (piece == ")")
        if depth > MAX_DEPTH:
            raise ExpressionError(f"brackets nested deeper than {MAX_DEPTH}", place + 1)
        if kind != "blank":
            found.append(Token(kind, piece, place + 1))
        place = match.end()
    if len(found) > 2 * MAX_OPERATIONS:
        raise ExpressionError(f"got {len(found)} numbers, names and signs; allowed at most {2 * MAX_OPERATIONS}", 1)
    return (*found, Token("end", "", len(text) + 1))


def _bad_character(char: str) -> str:
    if not char.isascii():
        return f"got the character U+{ord(char):04X}; allowed: ASCII letters, digits and + - * / ** ( )"
    return f"got {show(char)}; allowed: numbers, names and + - * / ** ( )" + _HINTS.get(char, "")


def normal_text(text: str) -> str:
    """The same expression with its blanks in fixed places: the form in which specs keep it."""
    pieces: list[str] = []
    previous = Token("sign", "(", 0)
    for token in tokens(text)[:-1]:
        binary = token.text in ("+", "-") and (previous.kind != "sign" or previous.text == ")")
        pieces.append(f" {token.text} " if binary else token.text)
        previous = token
    return "".join(pieces)


def parse_expression(text: str, names: Mapping[str, sp.Expr]) -> sp.Expr:
    """The expression that ``text`` says, over ``names`` (and pi, e).

    Raises ExpressionError (a SpecError) with the column for anything outside the language or its bounds.
    """
    parser = _Parser(tokens(text), names)
    try:
        value = parser.sum(0)
        parser.expect_end()
        return _finished(value)
    except (RecursionError, OverflowError, MemoryError, ZeroDivisionError):
        raise ExpressionError("the expression is too large to evaluate", 1) from None


def parse_number(text: str) -> Fraction:
    """``2``, ``0.1``, ``1e-4`` or ``1/3`` as an exact rational. Raises ExpressionError."""
    parts = [part.strip(" ") for part in text.split("/")]
    try:
        values = [decimal(part) for part in parts]
    except ValueError as error:
        raise ExpressionError(str(error), 1) from None
    ratio = len(values) == 2 and all(isinstance(value, int) for value in values)
    if values[0] is None or not (len(values) == 1 or ratio):
        raise ExpressionError(f'got {show(text)}; allowed: a finite number such as 2, 0.1, 1e-4 or "1/3"', 1)
    if values[-1] == 0 and ratio:
        raise ExpressionError(f"got {show(text)}: division by zero", 1)
    return Fraction(values[0]) / Fraction(values[1] if ratio else 1)  # type: ignore[arg-type]


class _Parser:
    """Recursive descent over the tokens; every method returns a value whose constants are within bounds."""

    def __init__(self, found: tuple[Token, ...], names: Mapping[str, sp.Expr]) -> None:
        self.found, self.place = found, 0
        self.names: Mapping[str, sp.Expr] = {**CONSTANTS, **names}
        self.declared = tuple(names)

    @property
    def next(self) -> Token:
        return self.found[self.place]

    def take(self) -> Token:
        self.place += 1
        return self.found[self.place - 1]

    def expect_end(self) -> None:
        if self.next.kind != "end":
            raise ExpressionError(self._stray(self.next), self.next.column)

    def _stray(self, token: Token) -> str:
        before = self.found[self.place - 1] if self.place else token
        if token.text == ")":
            return "a ')' without its '('"
        if token.kind in ("name", "number") or token.text == "(":
            return f"got {show(token.text)} right behind {show(before.text)}; a product is written with *"
        return f"got {show(token.text) if token.text else 'the end'}; allowed here: + - * / **"

    def sum(self, depth: int) -> _Value:
        left = self.term(depth)
        while self.next.text in ("+", "-"):
            sign = self.take()
            right = self.term(depth)
            expr = left.expr + right.expr if sign.text == "+" else left.expr - right.expr
            left = _bounded(expr, max(left.degree, right.degree), left.column)
        return left

    def term(self, depth: int) -> _Value:
        left = self.factor(depth)
        while self.next.text in ("*", "/"):
            sign = self.take()
            right = self.factor(depth)
            if sign.text == "/" and (right.expr == 0 or _constant(right) == 0.0):
                raise ExpressionError("division by zero", right.column)
            expr = left.expr * right.expr if sign.text == "*" else left.expr / right.expr
            left = _bounded(expr, left.degree + right.degree, left.column)
        return left

    def factor(self, depth: int) -> _Value:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", self.next.column)
        if self.next.text in ("+", "-"):
            sign = self.take()
            inner = self.factor(depth + 1)
            return _Value(-inner.expr if sign.text == "-" else inner.expr, inner.degree, sign.column)
        base = self.atom(depth)
        if self.next.text != "**":
            return base
        self.take()
        return _power(base, self.factor(depth + 1))

    def atom(self, depth: int) -> _Value:
        token = self.take()
        if token.kind == "number":
            return _Value(_number(token), 0, token.column)
        if token.kind == "name":
            return self._call(token, depth) if self.next.text == "(" else self._name(token)
        if token.text == "(":
            inner = self.sum(depth + 1)
            self._close(token)
            return _Value(inner.expr, inner.degree, token.column)
        got = show(token.text) if token.text else ("nothing" if len(self.found) == 1 else "the end")
        raise ExpressionError(f"got {got}; allowed here: a number, a name, a function or '('", token.column)

    def _close(self, opened: Token) -> None:
        if self.next.text == ",":
            raise ExpressionError("got ','; a function takes one argument", self.next.column)
        if self.next.kind == "end":
            raise ExpressionError("a '(' without its ')'", opened.column)
        if self.next.text != ")":
            raise ExpressionError(self._stray(self.next), self.next.column)
        self.take()

    def _name(self, token: Token) -> _Value:
        if token.text in FUNCTIONS and token.text not in self.names:
            raise ExpressionError(f"the function {token.text!r} without its argument: {token.text}(...)", token.column)
        if token.text not in self.names:
            raise ExpressionError(self._unknown("name", token, (*self.declared, *CONSTANTS)), token.column)
        return _Value(self.names[token.text], 0 if token.text in CONSTANTS else 1, token.column)

    def _unknown(self, what: str, token: Token, known: tuple[str, ...]) -> str:
        hint = f"; did you mean {_FOREIGN[token.text]!r}?" if token.text in _FOREIGN else ""
        return f"unknown {what} {show(token.text)}; allowed: {', '.join(known)}" + (
            hint or near_miss(token.text, known)
        )

    def _call(self, token: Token, depth: int) -> _Value:
        if token.text not in FUNCTIONS:
            raise ExpressionError(self._unknown("function", token, tuple(FUNCTIONS)), token.column)
        opened = self.take()
        if self.next.text == ")":
            raise ExpressionError(f"{token.text}() takes one argument", opened.column)
        inner = self.sum(depth + 1)
        self._close(opened)
        return _applied(FUNCTIONS[token.text], token, inner)


def _number(token: Token) -> sp.Rational:
    text = re.sub(r"^0+(?=[0-9])", "", token.text)
    try:
        value = Fraction(decimal(text))  # type: ignore[arg-type]
    except ValueError as error:
        raise ExpressionError(str(error), token.column) from None
    return sp.Rational(value.numerator, value.denominator)


def _applied(function: Function, token: Token, inner: _Value) -> _Value:
    """``function(inner)``, after a constant argument has been checked in floats."""
    value = _constant(inner)
    if value is not None:
        if abs(value) > MAX_ARGUMENT:
            raise ExpressionError(
                f"{token.text} of {value:.3g}; allowed arguments up to {MAX_ARGUMENT:.0e}", inner.column
            )
        try:
            function.value(value)
        except ValueError:
            raise ExpressionError(f"{token.text} of {value:.3g} is not a real number", token.column) from None
        except OverflowError:
            raise ExpressionError(f"{token.text} of {value:.3g} is too large", token.column) from None
    return _bounded(function.build(inner.expr), max(1, inner.degree) if value is None else 0, token.column)


def _power(base: _Value, exponent: _Value) -> _Value:
    """``base ** exponent``: a constant exponent is a small rational, a constant under a variable one is positive."""
    power, bottom = exponent.expr, _constant(base)
    if _constant(exponent) is None:
        if bottom is not None and bottom <= 0:
            raise ExpressionError("a variable power of a number that is not positive", base.column)
        return _bounded(base.expr**power, base.degree + exponent.degree, base.column)
    if not power.is_Rational or max(abs(power.p), power.q) > MAX_POWER:
        raise ExpressionError(f"exponents are rationals p/q with p and q up to {MAX_POWER}", exponent.column)
    if bottom is not None:
        _check_constant_power(base, bottom, Fraction(int(power.p), int(power.q)), exponent)
    if base.expr == 0 and power < 0:
        raise ExpressionError("division by zero", base.column)
    degree = base.degree * math.ceil(abs(Fraction(int(power.p), int(power.q))))
    return _bounded(base.expr**power, degree, base.column)


def _check_constant_power(base: _Value, bottom: float, power: Fraction, exponent: _Value) -> None:
    if isinstance(base.expr, sp.Rational) and _bits(base.expr) * abs(power.numerator) > MAX_BITS:
        raise ExpressionError(f"a power of more than {MAX_BITS} bits", exponent.column)
    if bottom == 0 and power < 0:
        raise ExpressionError("division by zero", base.column)
    if bottom < 0 and power.denominator != 1:
        raise ExpressionError("a root of a negative number is not a real number", base.column)
    try:
        bottom ** float(power)
    except (OverflowError, ZeroDivisionError):
        raise ExpressionError("the power is too large", exponent.column) from None


def _bits(value: sp.Rational) -> int:
    return max(int(value.p).bit_length(), int(value.q).bit_length())


_FORBIDDEN = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I)


def _bounded(expr: sp.Expr, degree: int, column: int) -> _Value:
    """The value, if it is within the bounds that hold for every part of an expression."""
    if expr in _FORBIDDEN:
        raise ExpressionError("not a finite real number", column)
    if isinstance(expr, sp.Rational) and _bits(expr) > MAX_BITS:
        raise ExpressionError(f"a number of more than {MAX_BITS} bits", column)
    if degree >= MAX_TERMS:
        raise ExpressionError(f"a polynomial of degree {degree}; allowed below {MAX_TERMS}", column)
    return _Value(expr, degree, column)


def _constant(value: _Value) -> float | None:
    """The value of a part without variables in floats, None for one with.

    Raises ExpressionError if it is not finite and real.
    """
    if isinstance(value.expr, sp.Symbol) or value.expr.free_symbols:
        return None
    try:
        number = _float(value.expr)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError, KeyError):
        number = math.nan
    if not math.isfinite(number):
        raise ExpressionError("a constant that is not a finite real number", value.column)
    return number


def _float(expr: sp.Expr) -> float:
    """A float estimate of a constant expression made of this language, by its own walk (no SymPy evaluation)."""
    if isinstance(expr, sp.Rational):
        return int(expr.p) / int(expr.q)
    if expr is sp.pi or expr is sp.E:
        return math.pi if expr is sp.pi else math.e
    if isinstance(expr, sp.exp):
        return math.exp(_float(expr.args[0]))
    parts = [_float(part) for part in expr.args]
    if isinstance(expr, sp.Add):
        return math.fsum(parts)
    if isinstance(expr, sp.Mul):
        return math.prod(parts)
    if isinstance(expr, sp.Pow):
        value = parts[0] ** parts[1]
        return value if isinstance(value, float) else math.nan
    return _HEADS[type(expr)](parts[0])


_INVERSES: Mapping[type, type] = {sp.cot: sp.tan, sp.coth: sp.tanh}


def _finished(value: _Value) -> sp.Expr:
    """The whole expression in the functions of the language (SymPy writes cot for tan(pi/2 - t))."""
    _constant(value)
    expr = value.expr
    count = len(expr.free_symbols)
    if math.comb(value.degree + count, count) > MAX_TERMS:
        raise ExpressionError(f"degree {value.degree} in {count} names: too large to be expanded", value.column)
    if expr.has(*_FORBIDDEN):
        raise ExpressionError("not a finite real number", value.column)
    for inverse, function in _INVERSES.items():
        if expr.has(inverse):
            expr = expr.replace(inverse, lambda x, f=function: 1 / f(x))
    foreign = sorted(
        type(part).__name__ for part in expr.atoms(sp.Function) if type(part) not in _HEADS or isinstance(part, sp.Abs)
    )
    if foreign:
        raise ExpressionError(
            f"the expression simplifies to {foreign[0]}(...), which is not smooth; write it without", value.column
        )
    return expr
