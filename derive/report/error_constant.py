"""The error-constant function: what the method gets wrong in the first moment that it does not reproduce."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from matplotlib.figure import Figure

from derive.report.coefficients import RATIOS, TICKS, WIDEST
from derive.report.figures import figure, series, styled
from derive.report.material import Material, Section, gallery, picture
from derive.report.prose import inline
from derive.report.step_numbers import Numbers, numbers

PLACE = 50
SIZES = (0.0, 0.5, 1.0, 2.0)
SOME = (Fraction(1, 2), Fraction(1), Fraction(2))


def build(material: Material) -> Section | None:
    tableau, proof = material.derived.tableau, material.derived.proof
    if proof.law:
        return None
    method = tableau.schemes[proof.principal]
    found = next((each for each in numbers(tableau) if each.scheme == method), None)
    if found is None:
        return None
    several = found.step(Fraction(1)).known > 1
    panels = [*(["h"] if found.rate else []), *(["r"] if several else [])]
    if not panels:
        return None
    k = found.limiting()
    caption = (
        f"$|m_{k} - \\sum_j w_j\\theta_j^{k}|/{k}!$ with the exact moment $m_{k}$: the factor of ${_term(k)}$ in the local "
        "error, in units of $C$. " + _end(found, k)
    )
    if found.step(Fraction(1)).a and found.scheme.corrector is None:
        caption += " The errors of the stages are not in it."
    if found.label:
        caption = f"Of the weakest of the steps that the table repeats, {found.label}. {caption}"
    where = {
        "h": "the step h" + " at three step ratios" * several,
        "r": "the step ratio" + " at several h" * bool(found.rate),
    }
    pictures = [
        picture(
            _drawn(found, k, kind), f"constant-{kind}", "Error-constant function", f"Error constant against {where[kind]}.",
            inline(f"Against {where[kind]}."),
        )
        for kind in panels
    ]  # fmt: skip
    return Section("constant", "Error constant", f"<p>{inline(caption)}</p>" + gallery(*pictures), wide=True)


def _term(k: int) -> str:
    """h^k F^(k) as it is written."""
    return ("F", "h F'")[k] if k < 2 else f"h^{k} F^{{({k})}}"


def _end(found: Numbers, k: int) -> str:
    value = float(found.defect(k, np.array([0.0]), Fraction(1))[0])
    return (
        f"On equal steps it tends to {abs(value):.6g} as $h$ tends to 0."
        if abs(value) > 1e-14
        else "It vanishes with $h$."
    )


def _drawn(found: Numbers, k: int, kind: str) -> Figure:
    with styled():
        made = figure(5.0, 3.3)
        panel = made.subplots()
        (_against_h if kind == "h" else _against_ratio)(panel, found, k)
        panel.set_ylabel("error constant")
        panel.set_ylim(bottom=0)
        if panel.get_legend_handles_labels()[0]:
            panel.legend()
    return made


def _against_h(panel, found: Numbers, k: int) -> None:  # type: ignore[no-untyped-def]
    h = np.linspace(0, WIDEST, 121)
    ratios = SOME if found.step(Fraction(1)).known > 1 else (Fraction(1),)
    for number, r in enumerate(ratios):
        panel.plot(
            h, abs(found.defect(k, h, r)), label=f"r = {r}" if len(ratios) > 1 else None, markevery=20, **series(number)
        )
    panel.set_xlabel("h")


def _against_ratio(panel, found: Numbers, k: int) -> None:  # type: ignore[no-untyped-def]
    x = [float(r) for r in RATIOS]
    for number, size in enumerate(SIZES if found.rate else SIZES[:1]):
        y = [abs(found.defect(k, np.array([size]), r)[0]) for r in RATIOS]
        panel.plot(x, y, label=f"h = {size:g}" if found.rate else None, markevery=4, **series(number))
    panel.set_xscale("log", base=2)
    panel.set_xticks(TICKS, ["1/4", "1/2", "1", "2", "4"])
    panel.set_xlabel("step ratio r")
