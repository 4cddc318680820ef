"""The proof: the conditions one by one, with the residual of the first that fails."""

from __future__ import annotations

from html import escape
from typing import Any

from derive.report.material import Material, Section, table, tag
from derive.report.prose import formula, html, sections
from derive.report.texts import tex

PLACE = 20
LONGEST = 6
"""Terms of a residual's leading coefficient that are written out."""


def build(material: Material) -> Section:
    found = sections(material.derived.derivation)
    body = html(found.get("The proof", [])) + _conditions(material.derived.proof)
    return Section("proof", "The proof", body, wide=True)


def _conditions(proof: Any) -> str:
    """Every moment, where the proof is by moments."""
    row = getattr(proof.main, "row", None)
    if row is None or proof.law:
        return ""
    rows = []
    for residual in row.residuals:
        needed = max(row.order - residual.moment, 0)
        holds = residual.vanishes or residual.moment + residual.series.valuation > row.order
        verdict = "exact for every h" if residual.vanishes else "holds" if holds else f"refutes order {row.order + 1}"
        shown = formula("0") if residual.vanishes else _leading(residual)
        rows.append((formula(f"k = {residual.moment}"), shown, formula(_size(needed)), escape(verdict)))
    head = ("moment", "residual: reproduced minus exact", f"order {row.order} needs", "verdict")
    return table(
        head, rows, f"The moment conditions of order {row.order}, and the one that refutes order {row.order + 1}"
    )


def _size(power: int) -> str:
    return {0: "O(1)", 1: "O(h)"}.get(power, f"O(h^{{{power}}})")


def _leading(residual: Any) -> str:
    """The first coefficient of the residual's expansion in h."""
    power = residual.series.valuation
    coefficient = residual.series.coefficients[power].as_expr()
    if len(coefficient.as_ordered_terms()) > LONGEST:
        return tag("span", formula(_size(power)))
    bare = tex(coefficient)
    head = rf"\left({bare}\right)" if len(coefficient.as_ordered_terms()) > 1 and power else bare
    unit = ["", r"\,h"][power] if power < 2 else rf"\,h^{{{power}}}"
    return formula(rf"{head}{unit} + \ldots")
