r"""Exponential Runge-Kutta: rows that integrate an interpolated integrand exactly, on nodes, or a published tableau.

    X_i = Phi x_n + C sum_j a_ij F_j,    sum_j a_ij (c_j/c_i)^k = k! phi_{k+1}(c_i z)    (Hochbruck-Ostermann 2010, Sec. 2.3)

With ``nodes`` stage i interpolates F at 0 and at the previous node, and so does the output (``output: last``), or it uses
all nodes: in (noise, lambda) these are DPM-Solver-2 and -3, in (data, lambda) DPM-Solver++(2S) and (3S) of arXiv:2211.01095.
``weights`` overrides moments of the output row: ``midpoint`` (mu_1 = phi_1/2) is DPM-Solver-2 as it was published.
``embedded: lower`` adds the output without the last value, exact weights: DPM-Solver-12 and -23 (arXiv:2206.00927, App. C).
With ``tableau`` the rows are those of a paper: Cox-Matthews, Krogstad, Hochbruck-Ostermann, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import sympy as sp
from sympy import QQ
from sympy.polys.rings import PolyElement

from derive.families import _one_step as shared
from derive.families import tableaux
from derive.families.exponential_multistep import NAMED_WEIGHTS, ring_element
from derive.families.exponential_multistep import PARAMETERS as MULTISTEP
from derive.families.starters import past, span_row, stage
from derive.parameters import Choice, Moments, Numbers, Parameters
from derive.problems import PoseError
from derive.symbolic.forms import ONE
from derive.tableau import Kernel, Node, Row, Scheme, Tableau

MAX_NODES = 6

PARAMETERS: Parameters = {
    "integrand": MULTISTEP["integrand"],
    "variable": MULTISTEP["variable"],
    "tableau": Choice(default=None, options=tableaux.names("exponential"), doc="a published table; or nodes"),
    "nodes": Numbers(
        default=None,
        shortest=1,
        longest=MAX_NODES,
        low=Fraction(0),
        high=Fraction(1),
        doc="abscissae of the stages; their rows interpolate at 0 and the previous node",
    ),
    "output": Choice(
        default="last",
        options=("last", "all"),
        doc="with nodes: the output interpolates at 0 and the last node, or at all",
    ),
    "weights": Moments(
        default="exact",
        words=("exact", "midpoint", "bh1", "bh2"),
        names=tuple(f"phi{k}" for k in range(1, 9)) + tuple(f"mu{k}" for k in range(6)),
        highest=MAX_NODES,
        doc="with nodes: exact (interpolatory), or moments of the output row to override",
    ),
    "embedded": Choice(
        default="none",
        options=("none", "lower"),
        doc="with nodes: an output without the last stage as well, for steps that the error chooses",
    ),
    "final": shared.final("lower_order"),
}

REFERENCE = "doi:10.1017/S0962492910000048 (Sec. 2.3); arXiv:2206.00927 (Alg. 1, 2); arXiv:2211.01095 (Alg. 1)"


def build(
    kernel: Kernel,
    output: str,
    weights: str | Mapping[int, sp.Expr],
    final: str,
    tableau: str | None = None,
    nodes: Sequence[Fraction] | None = None,
    embedded: str = "none",
) -> Tableau:
    """The method over ``kernel``. Raises PoseError where nodes and tableau are missing, said twice, or do not fit."""
    if (tableau is None) == (nodes is None):
        said = "missing" if tableau is None else f"beside tableau: {tableau}"
        allowed = f"one of tableau ({', '.join(tableaux.names('exponential'))}) and nodes"
        raise PoseError("method.tableau" if tableau is None else "method.nodes", f"{said}; allowed: {allowed}")
    if nodes is not None:
        method = _interpolating(kernel, nodes, output, weights, embedded == "lower")
        return shared.one_step("exponential_rk", kernel, method, final)
    assert tableau is not None
    said_too = (("output", output, "last"), ("weights", weights, "exact"), ("embedded", embedded, "none"))
    for key, value, default in said_too:
        if value != default:
            raise PoseError(
                f"method.{key}", f"{value!r} beside tableau: {tableau}, whose rows are given; allowed {default}"
            )
    found = tableaux.load("exponential", tableau)
    given = shared.table(found.c, found.a, found.b, found.embedded, "method.")
    try:
        shared.check(given, kernel, "method.")
    except PoseError as error:
        raise PoseError("method.tableau", f"{tableau}: {error}") from error
    return shared.one_step("exponential_rk", kernel, shared.scheme(given), final)


def _interpolating(
    kernel: Kernel, nodes: Sequence[Fraction], output: str, weights: str | Mapping[int, sp.Expr], pair: bool
) -> Scheme:
    """Stages over {0, previous node} and the output over {0, last} or all nodes, each with its own moments.

    pair: with an embedded output as if the last stage were not there.
    """
    for i, node in enumerate(nodes):
        if node <= 0:
            raise PoseError(f"method.nodes[{i}]", f"got {node}; allowed: abscissae above 0 up to 1")
    abscissae = [QQ(node.numerator, node.denominator) for node in nodes]
    if output == "all" and len(set(abscissae)) != len(abscissae):
        raise PoseError("method.nodes", "two nodes coincide; allowed with output all: distinct nodes")
    points = [*past(1), *(stage(i, c) for i, c in enumerate(abscissae, 1))]
    stages = [span_row("stage 1", points[:1], kernel, abscissae[0])]
    stages += [span_row(f"stage {i}", (points[0], points[i - 1]), kernel, c) for i, c in enumerate(abscissae[1:], 2)]

    def read(values: list[Node]) -> list[Node]:
        return values if output == "all" else list(dict.fromkeys((values[0], values[-1])))

    used = read(points)
    lower = span_row("embedded", read(points[:-1]), kernel) if pair else None
    last = span_row("output", used, kernel, ONE, _overrides(weights, len(used), kernel))
    return Scheme(tuple(stages), last if last.interpolatory else _without_zeros(last), embedded=lower)


def _without_zeros(row: Row) -> Row:
    """The row without the values whose weight is 0, as typed weights: the midpoint rule does not read F(x_n)."""
    weights = row.forms(())
    used = [(node, form) for node, form in zip(row.nodes, weights, strict=True) if form]
    if len(used) in (0, len(weights)):
        return row
    return Row(row.name, tuple(n for n, _ in used), (), (), row.end, given=tuple(form for _, form in used))


def _overrides(weights: str | Mapping[int, sp.Expr], count: int, kernel: Kernel) -> dict[int, PolyElement]:
    """The moments of the output row that are not exact."""
    if isinstance(weights, str) and weights != "exact" and count != 2:
        what = f"{weights!r} is defined for an output row over 2 values, got {count}"
        raise PoseError("method.weights", f"{what}; allowed: exact, or moments")
    chosen = NAMED_WEIGHTS[weights] if isinstance(weights, str) else weights
    for k in chosen:
        if not 0 <= k < count:
            raise PoseError("method.weights", f"moment {k} of a row over {count} values; allowed: 0 to {count - 1}")
    return {k: ring_element(expr, kernel) for k, expr in sorted(chosen.items())}
