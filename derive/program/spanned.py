r"""Rows that start at the state of some steps ago, as rows from x_n: what led to x_n is taken out again.

    x_{n+1} = Phi(n+1, n-b) x_{n-b} + S = Phi(n+1, n) x_n + S - Phi(n+1, n) S',    x_n = Phi(n, n-b) x_{n-b} + S',

S and S' the sums of the rows from t_{n-b} to t_{n+1} and to t_n. So a step reads the state that there is, and no memory of
states is kept. The kernel is e^{q (chi(t_{n+1}) - chi)} times its prefactor P(t_{n+1}) for both, and S and S' are known from
steps of the variable alone.

A row from an earlier point on is the multistep row of its own span H, with ratios r_j = -(length of the j-th step)/H.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy as sp

from derive.program.coefficients import Assign
from derive.program.newton import divided, top_phi
from derive.tableau import Row

if TYPE_CHECKING:
    from derive.program.rows import Lowering


@dataclass(frozen=True, slots=True)
class _Letters:
    """Names of a span's length, ratios, phi functions, Newton moments and prefactor."""

    length: str
    ratio: str
    phi: str
    moment: str
    prefactor: str


_SPAN = _Letters("w", "r", "p", "M", "c")
_LED = _Letters("v", "o", "q", "N", "d")


def spanned(low: Lowering, row: Row) -> tuple[list[Assign], sp.Expr, list[sp.Expr]]:
    """(assignments, a, weight of every node) of a row with ``back``; the kernel is closed."""
    assert row.inner is not None
    body: list[Assign] = []
    weights = dict.fromkeys((node.index for node in row.nodes), sp.Integer(0))
    for ago, weight in _weights(low, row, 0, _SPAN, body).items():
        weights[ago] += weight
    carried = sp.exp(low.rate * sp.Symbol("h[0]"))
    if low.rate != 0:
        body.append(Assign(("e",), carried, comment="of the kernel over the last step"))
    for ago, weight in _weights(low, row.inner, 1, _LED, body).items():
        weights[ago] -= weight * (sp.Symbol("e") if low.rate != 0 else 1)
    return body, low.propagator()[0], [weights[node.index] for node in row.nodes]


def _weights(low: Lowering, row: Row, first: int, letters: _Letters, body: list[Assign]) -> dict[int, sp.Expr]:
    """Weights by steps ago, counted from t_n, of a row that ends ``first`` steps before t_{n+1}."""
    own, last = row.span or row, first + row.back
    steps = [sp.Symbol(f"h[{j}]") for j in range(first, last + 1)]
    length = sp.Symbol(letters.length)
    body.append(Assign((letters.length,), sp.Add(*steps), comment="" if first else "from where the row starts"))
    top = max((top_phi(moment) for moment in own.moments), default=0)
    renamed: dict[sp.Symbol, sp.Expr] = {}
    for j in range(max(node.index for node in own.nodes)):
        body.append(Assign((f"{letters.ratio}{j}",), -steps[-1 - j] / length))
        renamed[sp.Symbol(f"r{j}")] = sp.Symbol(f"{letters.ratio}{j}")
    if low.rate != 0 and top:
        names = tuple(f"{letters.phi}{k}" for k in range(1, top + 1))
        body.append(Assign(names, call="phis", args=(top, low.rate * length), comment="" if first else "phi_k(z)"))
    for k in range(1, top + 1):
        renamed[sp.Symbol(f"phi{k}")] = sp.Symbol(f"{letters.phi}{k}") if low.rate else sp.Rational(1, sp.factorial(k))
    body.append(Assign((letters.prefactor,), low.node(low.problem.prefactor, "t") * length))  # type: ignore[arg-type]
    values = []
    for k, moment in enumerate(own.newton):
        expr = moment.as_expr().subs(renamed)
        if not expr.is_Atom:
            body.append(Assign((f"{letters.moment}{k}",), expr))
            expr = sp.Symbol(f"{letters.moment}{k}")
        values.append(expr)
    found = [sp.Symbol(letters.prefactor) * w.subs(renamed) for w in divided(values, own.relative)]
    return {last - node.index: weight for node, weight in zip(own.nodes, found)}


__all__ = ["spanned"]
