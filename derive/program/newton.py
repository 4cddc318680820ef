"""Weights of a row in Newton form, as expressions of a coefficient function."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.program.coefficients import Assign


def top_phi(element: PolyElement) -> int:
    """The highest phi_k in the element, 0 for none."""
    symbols = {str(x) for x in element.as_expr().free_symbols}
    return max((int(n[3:]) for n in symbols if n.startswith("phi")), default=0)


def newton_body(
    body: list[Assign], newton: tuple[PolyElement, ...], constant_kernel: bool, z: sp.Expr | None = None
) -> list[sp.Expr]:
    """Name the Newton moments M_k; trivial ones (a number, a symbol) stay where they are used. z: what a pole divides by."""
    values: list[sp.Expr] = []
    for k, moment in enumerate(newton):
        expr = moment.as_expr()
        if z is not None:
            expr = expr.subs(sp.Symbol("pole"), 1 / z)
        renamed = {x: sp.Symbol("p" + x.name[3:]) for x in expr.free_symbols if x.name.startswith("phi")}
        if constant_kernel:
            expr = expr.subs({x: sp.Rational(1, factorial(int(x.name[3:]))) for x in renamed})
        else:
            expr = expr.subs(renamed)
        if expr.is_Atom:
            values.append(expr)
        else:
            body.append(Assign((f"M{k}",), expr))
            values.append(sp.Symbol(f"M{k}"))
    return values


def divided(moments: Sequence[sp.Expr], thetas: Sequence[PolyElement]) -> list[sp.Expr]:
    """w_j = sum_{k >= j} M_k / prod_{i <= k, i != j} (theta_j - theta_i); differences of history nodes are sums of ratios."""
    weights = []
    for j, node in enumerate(thetas):
        terms = []
        for k in range(j, len(thetas)):
            denominator = sp.Integer(1)
            for other in (*thetas[:j], *thetas[j + 1 : k + 1]):
                denominator *= (node - other).as_expr()
            terms.append(moments[k] / denominator)
        weights.append(sp.Add(*terms))
    return weights


__all__ = ["divided", "newton_body", "top_phi"]
