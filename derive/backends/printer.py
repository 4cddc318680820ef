"""SymPy -> Python text, for numbers that are :class:`runtime.real.Real` at run time. The only such printer.

What is printed is exact: every rational ``p/q`` becomes ``p * x / q`` with a Real ``x`` in front of the slash, or
``real(p) / q`` where it stands alone, so that Python never divides an int by an int. The order of terms and factors
depends on the expression alone. A node that is not in the tables below is our bug, never a guess.

:func:`read_back` is the inverse: it rebuilds the expression from the written text, for the output gate.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Iterable, Mapping

import sympy as sp
from sympy.core.function import AppliedUndef

from derive.errors import InternalError
from derive.schedules import Table
from derive.symbolic import alphabet

_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4
_SYMBOL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,30}(\[[0-9]{1,2}\])?(\.[a-z][a-z0-9_]{0,30})?")
_CALL = re.compile(r"([a-zA-Z][a-zA-Z0-9_]{0,30})\(([^()]{1,90})\)")
_HUGGED = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*|[0-9]+")
_KEYWORDS = {"lambda": "lam"}

FUNCTIONS: dict[type, str] = {
    sp.exp: "exp", sp.log: "log", sp.sin: "sin", sp.cos: "cos", sp.tan: "tan", sp.atan: "atan",
    sp.sinh: "sinh", sp.cosh: "cosh", sp.tanh: "tanh", alphabet.expm1: "expm1", alphabet.log1p: "log1p",
}  # fmt: skip
"""SymPy function -> name in ``runtime.real``; ``sqrt``, ``real`` and ``pi`` come from powers and numbers."""

REAL_NAMES = frozenset(FUNCTIONS.values()) | {
    "Real", "real", "sqrt", "pi", "phis", "chebyshev", "chebyshev_slope", "linear", "linear_slope", "floor",
}  # fmt: skip
"""Everything the printed text may take from ``runtime.real``."""


def symbol_name(name: str) -> str:
    """The name as it is printed: ``x``, ``s.alpha``, ``h[0]`` or ``u[1].t``, nothing else; raises :class:`InternalError`."""
    name = _KEYWORDS.get(name, name)
    if not _SYMBOL.fullmatch(name) or any(keyword.iskeyword(part) for part in name.split(".")):
        raise InternalError(f"a symbol that cannot be printed: {name!a}")
    return name


def table_names(name: str, table: Table) -> tuple[str, ...]:
    """Module-level names that hold a table's data: ``(NAME,)``, or ``(NAME_KNOTS, NAME_VALUES)`` for straight lines."""
    upper = symbol_name(str(name)).upper()
    return (f"{upper}_KNOTS", f"{upper}_VALUES") if table.kind == "linear" else (upper,)


class Printer:
    """Prints expressions and remembers in ``used`` which names of ``runtime.real`` they need.

    functions: names of the module's own functions, callable from expressions; tables: what ``tabulated`` refers to.
    """

    def __init__(self, functions: Iterable[str] = (), tables: Mapping[str, Table] | None = None) -> None:
        self.functions = frozenset(functions)
        self.tables = dict(tables or {})
        self.used: set[str] = set()

    def __call__(self, expr: sp.Expr | int, *, integer: bool = False) -> str:
        """The text of ``expr``; a bare integer is printed ``real(n)`` unless ``integer`` allows an int."""
        expr = sp.Integer(expr) if type(expr) is int else expr
        if not isinstance(expr, sp.Expr):
            raise InternalError(f"not an expression: {ascii(expr)[:60]}")
        if expr.is_Integer and not integer:
            return self._real(int(expr))
        return self._print(expr)[0]

    def need(self, name: str) -> str:
        """``name``, noted as taken from ``runtime.real``."""
        self.used.add(name)
        return name

    def _symbol(self, name: str) -> str:
        """A name, or the written call of one of the module's functions on names: ``chart(t.t)``."""
        call = _CALL.fullmatch(name)
        if call is None or call[1] not in self.functions:
            return symbol_name(name)
        return f"{call[1]}({', '.join(symbol_name(a) for a in call[2].split(', '))})"

    def _real(self, n: int) -> str:
        return f"{self.need('real')}({n})"

    def _print(self, expr: sp.Expr) -> tuple[str, int]:
        """(text, how tightly it binds)."""
        if expr.is_Symbol:
            return self._symbol(expr.name), _ATOM
        if expr.is_Integer:
            return str(int(expr)), _ATOM if expr >= 0 else _SUM
        for kind, method in self._KINDS.items():
            if isinstance(expr, kind):
                return method(self, expr)
        if expr in (sp.pi, sp.E):
            return (self.need("pi"), _ATOM) if expr == sp.pi else (f"{self.need('exp')}(1)", _ATOM)
        raise InternalError(f"nothing prints {type(expr).__name__} ({ascii(str(expr))[:60]})")

    def _tight(self, expr: sp.Expr, least: int) -> str:
        text, binds = self._print(expr)
        return text if binds >= least else f"({text})"

    def _sum(self, expr: sp.Add) -> tuple[str, int]:
        terms = [_signed(term) for term in _terms(expr)]
        first = next((i for i, (sign, _) in enumerate(terms) if sign > 0), 0)
        terms.insert(0, terms.pop(first))
        text = ("-" if terms[0][0] < 0 else "") + self._tight(terms[0][1], _PRODUCT)
        for sign, term in terms[1:]:
            text += (" - " if sign < 0 else " + ") + self._term(term)
        return text, _SUM

    def _term(self, term: sp.Expr) -> str:
        return str(int(term)) if term.is_Integer else self._tight(term, _PRODUCT)

    def _product(self, expr: sp.Expr) -> tuple[str, int]:
        """``p * x * y / (q * z)`` with the sign in front."""
        sign, expr = _signed(expr)
        number, rest = expr.as_coeff_Mul(rational=True)
        over, under = _fraction(rest)
        for factors in (over, under):
            for i, factor in enumerate(factors):
                if factor.is_Add and all(_signed(term)[0] < 0 for term in factor.args):
                    factors[i], sign = -factor, -sign
        above = [self._tight(f, _POWER) for f in over]
        below = [self._tight(f, _POWER) for f in under]
        if number.q != 1:
            below.insert(0, str(int(number.q)))
        if not above:
            above = [str(int(number.p)) if under else self._real(int(number.p))]
        elif number.p != 1:
            above.insert(0, str(int(number.p)))
        text = " * ".join(above)
        if below:
            text += " / " + (below[0] if len(below) == 1 else f"({' * '.join(below)})")
        return ("-" if sign < 0 else "") + text, _SUM if sign < 0 else _PRODUCT if len(above + below) > 1 else _POWER

    def _power(self, expr: sp.Pow) -> tuple[str, int]:
        base, exponent = expr.args
        if exponent.is_Rational and exponent < 0:
            return self._product(expr)
        if exponent == sp.Rational(1, 2):
            return f"{self.need('sqrt')}({self._print(base)[0]})", _ATOM
        if exponent.is_Rational and exponent.q == 2:
            base, exponent = sp.sqrt(base, evaluate=False), sp.Integer(exponent.p)
        below = self._real(int(base)) if base.is_Integer else self._tight(base, _ATOM)
        above = self._tight(exponent, _ATOM)
        dense = _HUGGED.fullmatch(below) and _HUGGED.fullmatch(above)
        return f"{below}**{above}" if dense else f"{below} ** {above}", _POWER

    def _function(self, expr: sp.Function) -> tuple[str, int]:
        name = FUNCTIONS.get(expr.func)
        if name is None and isinstance(expr, AppliedUndef) and expr.func.__name__ in self.functions:
            return self._call(expr.func.__name__, expr.args), _ATOM
        if name is None:
            raise InternalError(f"nothing prints the function {expr.func.__name__!a}")
        return self._call(self.need(name), expr.args), _ATOM

    def _call(self, name: str, args: Iterable[sp.Expr]) -> str:
        return f"{name}({', '.join(self._print(a)[0] for a in args)})"

    def _table(self, expr: sp.Function) -> tuple[str, int]:
        key = getattr(expr.args[0], "name", str(expr.args[0]))
        if key not in self.tables:
            raise InternalError(f"a table that the schedule does not have: {key!a}")
        table = self.tables[key]
        slope = "_slope" if isinstance(expr, alphabet.tabulated_slope) else ""
        places = table_names(key, table) + ((repr(table.low), repr(table.high)) if table.kind == "chebyshev" else ())
        return f"{self.need(table.kind + slope)}({', '.join(places)}, {self._print(expr.args[1])[0]})", _ATOM

    _KINDS: dict[type, Callable[[Printer, sp.Expr], tuple[str, int]]] = {
        sp.Rational: _product, sp.Add: _sum, sp.Mul: _product, sp.Pow: _power,
        alphabet.tabulated: _table, alphabet.tabulated_slope: _table, sp.Function: _function,
    }  # fmt: skip


def _signed(expr: sp.Expr) -> tuple[int, sp.Expr]:
    """(sign, expression without it): ``-2*x`` -> (-1, 2*x)."""
    number, rest = expr.as_coeff_Mul(rational=True)
    if number == -1:
        return -1, rest
    return (-1, sp.Mul(-number, rest)) if number < 0 else (1, expr)


def _fraction(expr: sp.Expr) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """Factors above and below the line, in a fixed order."""
    over: list[sp.Expr] = []
    under: list[sp.Expr] = []
    for factor in expr.as_ordered_factors():
        if factor.is_Pow and factor.exp.is_Rational and factor.exp < 0:
            under.append(sp.Pow(factor.base, -factor.exp))
        elif factor != 1:
            over.append(factor)
    return sorted(over, key=_rank), sorted(under, key=_rank)


def _rank(factor: sp.Expr) -> int:
    """Numbers, values of nodes, names, named sums (capitals), and the rest; equals keep SymPy's order."""
    base = factor.base if factor.is_Pow else factor
    if not base.is_Symbol:
        return -1 if factor.is_number else 3
    return 0 if "." in base.name else 2 if base.name[0].isupper() else 1


def _terms(expr: sp.Add) -> list[sp.Expr]:
    """A polynomial by falling powers; a sum with fractions, such as ``1 + 1/(2 r0) + M2/(r0 r1)``, by rising size."""
    terms = list(expr.as_ordered_terms())
    return sorted(terms, key=lambda term: int(term.count_ops())) if any(_fraction(t)[1] for t in terms) else terms


_NAMES: dict[str, Callable[..., sp.Expr]] = {name: function for function, name in FUNCTIONS.items()} | {
    "sqrt": sp.sqrt,
    "real": lambda n: n,
}
_OPERATORS: dict[type, Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b, ast.Pow: lambda a, b: a**b,
}  # fmt: skip


def read_back(node: ast.expr) -> sp.Expr:
    """The expression that a piece of printed text means; table and module functions come back undefined."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return _float(node.value) if isinstance(node.value, float) else sp.Integer(node.value)
    if isinstance(node, ast.Name):
        return sp.pi if node.id == "pi" else sp.Symbol(node.id)
    if isinstance(node, (ast.Attribute, ast.Subscript)):
        return sp.Symbol(ast.unparse(node))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -read_back(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](read_back(node.left), read_back(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _NAMES.get(node.func.id) or sp.Function(node.func.id)
        return function(*map(read_back, node.args))
    raise InternalError(f"the output holds what was never printed: {ascii(ast.unparse(node))[:60]}")


def int_quotient(node: ast.BinOp) -> bool:
    """Would Python divide an int by an int here (or raise an int to a power that makes a float)?"""
    return isinstance(node.op, (ast.Div, ast.FloorDiv)) and _is_int(node.left) and _is_int(node.right)


def _is_int(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_int(node.operand)
    if isinstance(node, ast.BinOp):
        return _is_int(node.left) and _is_int(node.right)
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def same_value(written: ast.expr, meant: sp.Expr | int, tables: Mapping[str, Table] | None = None) -> bool:
    """Is the written text the expression that was meant? By structure; failing that to 30 digits at three points.

    Assumptions are dropped on both sides; a curve or a function of the module counts as one unknown value.
    """
    back, plain = read_back(written), _plain(sp.Integer(meant) if isinstance(meant, int) else meant, tables or {})
    if back == plain:
        return True
    back, plain = (e.xreplace({f: sp.Symbol(str(f)) for f in e.atoms(AppliedUndef)}) for e in (back, plain))
    names = sorted(back.free_symbols | plain.free_symbols, key=lambda s: s.name)
    for trial in range(3):
        point = {s: sp.Rational(7 * i + 3 * trial + 11, 10 * i + 31 + trial) for i, s in enumerate(names)}
        a, b = (sp.N(e.subs(point), 40) for e in (back, plain))
        if not abs(a - b) <= 1e-30 * (1 + abs(b)):
            return False
    return True


def _plain(expr: sp.Expr, tables: Mapping[str, Table]) -> sp.Expr:
    """``expr`` as it is read back: printed names without assumptions, curves and written calls as applied functions."""
    plain = expr.xreplace({symbol: _plain_symbol(symbol.name) for symbol in expr.free_symbols})
    curves = (alphabet.tabulated, alphabet.tabulated_slope)
    return plain.replace(lambda e: isinstance(e, curves), lambda e: _plain_curve(e, tables))


def _plain_symbol(name: str) -> sp.Expr:
    call = _CALL.fullmatch(name)
    if call is None:
        return sp.Symbol(symbol_name(name))
    return sp.Function(call[1])(*(sp.Symbol(symbol_name(a)) for a in call[2].split(", ")))


def _plain_curve(curve: sp.Function, tables: Mapping[str, Table]) -> sp.Expr:
    key = getattr(curve.args[0], "name", str(curve.args[0]))
    table = tables[key]
    places = [sp.Symbol(name) for name in table_names(key, table)]
    places += [_float(x) for x in (table.low, table.high)] if table.kind == "chebyshev" else []
    name = table.kind + ("_slope" if isinstance(curve, alphabet.tabulated_slope) else "")
    return sp.Function(name)(*places, curve.args[1])


def _float(value: float) -> sp.Expr:
    """A float stands for itself, bit for bit: a symbol with its digits."""
    return -sp.Symbol(repr(-value)) if value < 0 else sp.Symbol(repr(value))
