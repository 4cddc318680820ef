r"""Runge-Kutta in any variable: a classical tableau, by name or typed, in Lawson's form where the kernel is not constant.

    X_i = Phi x_n + h sum_{j<i} a_ij kappa(c_i, c_j) F_j,    kappa(t, u) = Phi(t, u) B(u)

is the classical method applied to y = x/G, with the kernel sampled where the integrand is (Lawson 1967, Eq. 5). In
(noise, rho) and (velocity, t) kappa is constant: Heun's method of EDM and the rho-RK of DEIS are rows of this family.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from derive.families import _one_step as shared
from derive.families import tableaux
from derive.families.exponential_multistep import variable
from derive.parameters import Choice, Entries, Parameters, Quantity
from derive.problems import PoseError
from derive.symbolic.forms import Form, phi
from derive.tableau import Kernel, Tableau

PARAMETERS: Parameters = {
    "integrand": Quantity(doc="the quantity whose values the weights multiply: any prediction"),
    "variable": variable("the variable in which a step has length h", "t"),
    "tableau": Choice(default=None, options=tableaux.names("classical"), doc="a published table; or c, a, b typed"),
    "c": Entries(default=None, functions=False, longest=shared.MAX_STAGES, doc="abscissae: 0, then numbers up to 1"),
    "a": Entries(
        default=None,
        rows=True,
        functions=False,
        longest=shared.MAX_STAGES,
        doc="a row for each abscissa: [], then 1, 2, .. weights",
    ),
    "b": Entries(default=None, functions=False, longest=shared.MAX_STAGES, doc="the output row"),
    "embedded": Entries(
        default=None,
        functions=False,
        longest=shared.MAX_STAGES + 1,
        doc="output row of lower order, for an error estimate; its last weight may be that of the value at the end",
    ),
    "final": shared.final("keep"),
}

REFERENCE = "doi:10.1137/0704033 (Lawson 1967); arXiv:2206.00364 (Alg. 1); arXiv:2204.13902 (Sec. 4)"


def build(
    kernel: Kernel,
    final: str,
    tableau: str | None = None,
    c: Sequence[Form] | None = None,
    a: Sequence[Sequence[Form]] | None = None,
    b: Sequence[Form] | None = None,
    embedded: Sequence[Form] | None = None,
) -> Tableau:
    """The method over ``kernel``. Raises PoseError where the table is missing, said twice, or not consistent."""
    typed: dict[str, Any] = {"c": c, "a": a, "b": b, "embedded": embedded}
    digits = None
    present = [key for key, value in typed.items() if value is not None]
    if tableau is not None:
        if present:
            raise PoseError(f"method.{present[0]}", f"beside tableau: {tableau}; allowed: one of the two")
        found = tableaux.load("classical", tableau)
        typed = {"c": found.c, "a": found.a, "b": found.b, "embedded": found.embedded}
        digits = found.digits
    for key in ("c", "a", "b"):
        if typed[key] is None:
            what = f"tableau ({', '.join(tableaux.names('classical'))}) or c, a, b"
            raise PoseError(f"method.{key}" if present else "method.tableau", f"missing; allowed: {what}")
    given = shared.table(**typed, prefix="method.")
    shared.check(given, Kernel(0), "method.")
    return shared.one_step("runge_kutta", kernel, shared.scheme(_carried(given, kernel), digits), final)


def _carried(given: shared.Table, kernel: Kernel) -> shared.Table:
    """Every weight times the kernel from its node to the end of its row."""
    if kernel.rate == 0:
        return given

    def row(weights: Sequence[Form], end: Any) -> tuple[Form, ...]:
        return tuple(phi(0, end - node, w.at_zero) for w, node in zip(weights, given.nodes))

    stages = tuple(row(weights, end) for weights, end in zip(given.a, given.c))
    return shared.Table(given.c, stages, row(given.b, given.nodes[-1]), row(given.embedded, given.nodes[-1]))
