"""The rows: what each scheme combines, where its output ends, and the order that was proved for it."""

from __future__ import annotations

from html import escape
from typing import Any

from derive.report.material import Material, Section, table, tag
from derive.report.prose import formula
from derive.report.step_numbers import taken
from derive.report.texts import tex
from derive.tableau import Row, Scheme, Tableau

PLACE = 30


def build(material: Material) -> Section:
    tableau, proof = material.derived.tableau, material.derived.proof
    rows: list[tuple[str, ...]] = []
    schemes = [
        (_label(tableau, k, 0 if proof.law else p.order), s)
        for k, (p, s) in enumerate(zip(proof.schemes, tableau.schemes))
    ]
    if tableau.starter is not None:
        schemes.append((f"start, order {proof.starter.order}", tableau.starter))
    for label, scheme in schemes:
        rows += _scheme(label, scheme)
    head = ("scheme", "output", "ends at", "combines the values at")
    told = table(head, rows, _caption(tableau))
    listing = tag("pre", escape(str(material.derived.program)), tabindex="0")
    program = f"<details><summary>The program that was generated from them</summary>{listing}</details>"
    return Section("rows", "The rows", told + _grid(material) + program, wide=True)


def _label(tableau: Tableau, place: int, order: int) -> str:
    return f"{taken(tableau, place)}; order {order}" if tableau.table else f"order {order}"


def _caption(tableau: Tableau) -> str:
    kernels = tableau.kernels[:1].upper() + tableau.kernels[1:]
    if not tableau.table:
        return f"Rows by scheme; the last scheme is the method itself. {kernels}."
    return f"The {len(tableau.table)} steps of the table, counted from 0, by scheme. {kernels}."


def _scheme(label: str, scheme: Scheme) -> list[tuple[str, ...]]:
    names = [f"stage {i}" for i in range(1, len(scheme.stages) + 1)] + ["step"]
    if scheme.corrector is not None:
        names = ["predictor", "corrector"]
    names += ["embedded"] * (scheme.embedded is not None)
    return [
        (escape(label if i == 0 else ""), escape(name), formula(_number(row.end)), _nodes(row))
        for i, (name, row) in enumerate(zip(names, scheme.rows))
    ]


def _nodes(row: Row) -> str:
    return ", ".join(formula(_number(node.theta)) for node in row.nodes)


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) else tex(value)


def _grid(material: Material) -> str:
    """The coefficient table of the default grid, to six digits."""
    module = material.solver.coefficients
    try:
        plan = material.solver.plan(**({} if "steps" in dict(module.GRID) else {"steps": 20}))
    except ValueError as error:
        return f"<p>{escape(str(error))}</p>"
    rows = [
        (str(i), f"{plan.time(i):.6g}", str(plan.orders[i]), *(_rounded(v) for v in row))
        for i, row in enumerate(plan.table.tolist())
    ]
    head = ("call", "network time", "order", *plan.columns)
    kind = dict(module.GRID).get("kind", "uniform")
    told = table(
        head, rows, f"Coefficients on the default grid ({kind}, {plan.steps} network calls), six digits of them"
    )
    return f"<details><summary>The coefficients on the default grid</summary>{told}</details>"


def _rounded(value: float) -> str:
    return "0" if value == 0 else f"{value:.6g}"
