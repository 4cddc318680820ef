r"""Differences f(t) - f(s) and log f(t) - log f(s) that keep their digits for t next to s.

Written as two values subtracted, a difference loses |f| eps / |f(t) - f(s)|. Every rule here moves the small
quantity t - s inside, down to a rational function that is factored exactly:

    exp g:   e^{g_s} expm1(dg)          sin g:  2 cos((g_t + g_s)/2) sin(dg/2)        a b:  da b_t + a_s db
    log f:   log1p(df / f_s)            tan g:  sin(dg)/(cos g_t cos g_s)             sqrt: db/(sqrt b_t + sqrt b_s)

What has no rule (a tabulated curve, a power with a symbolic exponent) stays a plain difference, which is what 320-bit
arithmetic is for.
"""

from __future__ import annotations

import sympy as sp

from derive.symbolic.alphabet import expm1, log1p, s, t

MAX_DEGREE = 24
"""Rational functions up to this degree are factored and reduced; above, exact algebra may take minutes."""

MAX_POWER = 8
"""Powers up to this one of what is not rational are differenced factor by factor."""


def is_small_rational(expr: sp.Expr) -> bool:
    """Whether ``expr`` is a rational function of ``t`` of a degree that exact algebra handles at once."""
    return bool(expr.is_rational_function(t)) and _degree_bound(expr) <= MAX_DEGREE


def _degree_bound(expr: sp.Expr) -> int:
    """An upper bound on the degree of numerator and denominator, read off the tree."""
    if not expr.has(t):
        return 0
    if expr.is_Pow and expr.exp.is_Integer:
        return abs(int(expr.exp)) * _degree_bound(expr.base)
    if expr.is_Add or expr.is_Mul:
        polynomial = expr.is_Add and expr.is_polynomial(t)
        return (max if polynomial else sum)(map(_degree_bound, expr.args))
    return 1


def difference(expr: sp.Expr) -> sp.Expr:
    """``expr(t) - expr(s)`` for an expression in ``t``, as an expression in ``t`` and ``s``."""
    if not expr.has(t):
        return sp.Integer(0)
    if is_small_rational(expr):
        return _factored(expr - _at_s(expr))
    if expr.is_Add:
        return sp.Add(*map(difference, expr.args))
    if expr.is_Mul:
        head, tail = expr.as_two_terms()
        return difference(head) * tail + _at_s(head) * difference(tail)
    if expr.is_Pow and not isinstance(expr, sp.exp):
        return _power_difference(*expr.args)
    rule = _RULES.get(expr.func)
    return rule(*expr.args) if rule else _plain(expr)


def log_difference(expr: sp.Expr) -> sp.Expr:
    """``log(expr(t)/expr(s))`` for an expression that keeps its sign."""
    if not expr.has(t):
        return sp.Integer(0)
    if isinstance(expr, sp.exp):
        return difference(*expr.args)
    if expr.is_Pow and not expr.exp.has(t):
        return expr.exp * log_difference(expr.base)
    if expr.is_Pow and not expr.base.has(t):
        return difference(expr.exp) * sp.log(expr.base)
    if is_small_rational(expr):
        return log1p(_factored(expr / _at_s(expr) - 1))
    if expr.is_Mul:
        return sp.Add(*map(log_difference, expr.args))
    if isinstance(expr, expm1):
        [g] = expr.args
        return log1p(-expm1(difference(g)) / expm1(-_at_s(g)))
    return log1p(difference(expr) / _at_s(expr))


def _at_s(expr: sp.Expr) -> sp.Expr:
    return expr.subs(t, s)


def _factored(expr: sp.Expr) -> sp.Expr:
    """Exact factorisation over Q (and the constants that occur), which pulls out t - s."""
    return sp.factor(sp.together(expr))


def _power_difference(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    if exponent.has(t):
        if base.has(t):
            return _plain(base**exponent)
        return base ** _at_s(exponent) * expm1(difference(exponent) * sp.log(base))
    before = _at_s(base)
    if exponent == sp.Rational(1, 2):
        return difference(base) / (sp.sqrt(base) + sp.sqrt(before))
    if exponent in range(1, MAX_POWER + 1):
        n = int(exponent)
        return difference(base) * sp.Add(*(base**i * before ** (n - 1 - i) for i in range(n)))
    if exponent.is_Rational and exponent.is_negative:
        return -_power_difference(base, -exponent) * base**exponent * before**exponent
    return _plain(base**exponent)


def _plain(expr: sp.Expr) -> sp.Expr:
    return expr - _at_s(expr)


_RULES = {
    sp.exp: lambda g: sp.exp(_at_s(g)) * expm1(difference(g)),
    expm1: lambda g: sp.exp(_at_s(g)) * expm1(difference(g)),
    sp.log: log_difference,
    log1p: lambda g: log_difference(1 + g),
    sp.sin: lambda g: 2 * sp.cos((g + _at_s(g)) / 2) * sp.sin(difference(g) / 2),
    sp.cos: lambda g: -2 * sp.sin((g + _at_s(g)) / 2) * sp.sin(difference(g) / 2),
    sp.tan: lambda g: sp.sin(difference(g)) / (sp.cos(g) * sp.cos(_at_s(g))),
}
