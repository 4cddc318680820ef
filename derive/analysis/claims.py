"""Claims: what was proved about a solver. Written to ``claims.json``; tests and reports read it, nobody types an order twice."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sympy.polys.rings import PolyElement

from derive.analysis.order import RowOrder, error_function, global_order, tableau_orders, uniform_value
from derive.errors import Fault
from derive.tableau import Row, Tableau

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Claims:
    """Proved properties of one tableau with its start and final rules.

    order: classical, on variable grids, from exact start values; global_order: with the declared rules;
    stiff_order: uniformly in z; constants: (k, c_k) with exact - numerical = P h^(order+1) sum_k c_k F^(k) + higher orders,
    P the prefactor of the kernel; history: integrand values kept; kernels, reads, writes: cost of one main step.
    """

    order: int
    global_order: int
    stiff_order: int
    constants: tuple[tuple[int, PolyElement], ...]
    error_function: PolyElement
    evaluations_per_step: int
    history: int
    start: str
    final: str
    zero_stable: bool
    kernels: int
    reads: int
    writes: int
    row_orders: tuple[int, ...]
    limiting: str

    @property
    def error_constant(self) -> Fraction:
        """c_k of the highest derivative, on a uniform grid."""
        return uniform_value(self.constants[-1][1])

    @property
    def leading_error(self) -> str:
        """sum_k c_k F^(k) on a uniform grid: ``1/12 F' + 5/12 F''``."""
        terms = [f"{uniform_value(c)} {_derivative(k)}" for k, c in self.constants]
        return " + ".join(terms).replace("+ -", "- ")

    def as_dict(self, name: str, spec_sha256: str, references: tuple[str, ...]) -> dict[str, Any]:
        """The content of claims.json (schema 1)."""
        return {
            "schema": SCHEMA,
            "name": name,
            "spec_sha256": spec_sha256,
            "order": self.order,
            "global_order": self.global_order,
            "stiff_order": self.stiff_order,
            "strong_order": None,
            "weak_order": None,
            "error_constant": {
                "exact": str(self.error_constant),
                "value": float(self.error_constant),
                "leading": self.leading_error,
                "variable_grid": {_derivative(k): str(c.as_expr()) for k, c in self.constants},
                "function": str(self.error_function.as_expr()),
            },
            "evaluations_per_step": self.evaluations_per_step,
            "history": self.history,
            "start": self.start,
            "final": self.final,
            "row_orders": list(self.row_orders),
            "zero_stable": self.zero_stable,
            "stability": None,
            "reversible": False,
            "cost": {"kernels": self.kernels, "reads": self.reads, "writes": self.writes},
            "references": list(references),
        }

    def __str__(self) -> str:
        on_any = " + ".join(f"({c.as_expr()}) {_derivative(k)}" for k, c in self.constants)
        return "\n".join(
            [
                f"order {self.order} on variable grids (and not {self.order + 1}: {self.limiting})",
                f"global order {self.global_order} with start {self.start}, final {self.final}",
                f"stiff order {self.stiff_order}",
                f"leading error P h^{self.order + 1} [{self.leading_error}] on a uniform grid, [{on_any}] on any",
                "zero-stable on every grid (the only root is 1)" if self.zero_stable else "not zero-stable",
                f"{self.evaluations_per_step} evaluation and {self.kernels} kernel a step, "
                f"{self.reads} reads + {self.writes} writes, history {self.history}",
            ]
        )


def prove(tableau: Tableau, cost: tuple[int, int, int]) -> Claims:
    """Everything that holds for the tableau; ``cost`` is (kernels, reads, writes) of the lowered main phase."""
    orders = tableau_orders(tableau)
    main = orders[-1]
    return Claims(
        order=main.order,
        global_order=global_order(tableau, orders),
        stiff_order=main.stiff_order,
        constants=main.constants,
        error_function=error_function(tableau.main),
        evaluations_per_step=tableau.stages,
        history=tableau.steps - 1,
        start=tableau.start,
        final=tableau.final,
        zero_stable=len(tableau.main.x_history) == 1,
        kernels=cost[0],
        reads=cost[1],
        writes=cost[2],
        row_orders=tuple(o.order for o in orders),
        limiting=_reason(main, tableau.main)
        + ("" if main.limiting.moment >= tableau.steps else f" (residual {main.limiting})"),
    )


def refute(tableau: Tableau, claimed: dict[str, int]) -> list[Fault]:
    """A fault for every claim that is not provable: the first failing condition, with its residual and the provable order."""
    orders = tableau_orders(tableau)
    main = orders[-1]
    faults = [
        Fault(
            f"{len(row.nodes)} value{'s' if len(row.nodes) > 1 else ''} give order 0: {_reason(o, row)}; "
            "allowed: moments that leave order 1",
            "method.weights",
        )
        for row, o in zip(tableau.rows, orders, strict=True)
        if not o.consistent
    ][:1]
    if "order" in claimed and claimed["order"] > main.order:
        faults.append(Fault(_unprovable(claimed["order"], main, tableau), "claims.order"))
    proved = {"global_order": global_order(tableau, orders), "stiff_order": main.stiff_order}
    for key, value in proved.items():
        if key in claimed and claimed[key] > value:
            rules = f" with start {tableau.start}, final {tableau.final}" if key == "global_order" else ""
            faults.append(Fault(f"{key} {claimed[key]} is not provable{rules}; provable {value}", f"claims.{key}"))
    return faults


def _derivative(k: int) -> str:
    return "F" + "'" * k if k <= 3 else f"F^({k})"


def _unprovable(claimed: int, main: RowOrder, tableau: Tableau) -> str:
    reason = _reason(main, tableau.main)
    return f"order {claimed} is not provable: {reason} (residual {main.limiting}); provable order {main.order}"


def _reason(main: RowOrder, row: Row) -> str:
    """Why the order is not one more."""
    bad = main.limiting
    count = len(row.nodes)
    if bad.moment >= count:
        return f"{count} value{'s reproduce moments 0 to' if count > 1 else ' reproduces moment'} {count - 1} only"
    if bad.ratio is not None and bad.ratio != 1:
        return f"moment {bad.moment} is {bad.ratio} of the exact one"
    return f"moment {bad.moment} is not the exact one"
