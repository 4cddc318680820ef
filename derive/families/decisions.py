r"""A table of decisions: every grid step has its own row, order, weights and corrector (USF; Liu et al. 2023).

    table: [{order: 1}, {order: 2, weights: bh2, corrector: pseudo}, {order: 3, corrector: pseudo}, ..]

An entry is a step over the newest ``order`` values. ``taylor`` n keeps the derivatives up to n - 1 of the interpolant (as
many as there are values, unless it says less): moments n, n + 1, .. of the row are then 0. ``weights`` relaxes what is
left: midpoint and bh2 are mu_1 = mu_0/2, bh1 is mu_1 = 1/2, a linear relaxation 1 + c h of the first derivative is
{moments: {1: "phi2 + c*(phi1 - 1)"}} where the kernel is e^{h (1 - theta)}. ``corrector``: none; pseudo, with the
predicted value kept (PEC); implicit, with the corrected state evaluated again (PECE); over the predicted and
``corrector_order`` known values. The last step needs no pseudo corrector and none is applied to it.

What USF decides beyond this: the start point of a step among earlier states (a row with x_{n-j} for x_n), arbitrary
subsets of values for each derivative (their moments are the remainders of theta^k by the subset's nodal polynomial), and
the prediction of every step. That one needs no other rows, but another history: with F = p x0 + q eps, a value kept in one
integrand becomes another one with the state at which it was found, F_B = u x + v F_A, so the memory of a step that
changes the integrand holds (x, F) pairs and its columns one factor u_j, v_j for each value that is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.families.exponential_multistep import MAX_STEPS, NAMED_WEIGHTS, ring_element
from derive.families.exponential_multistep import PARAMETERS as MULTISTEP
from derive.families.starters import past, span_row, stage
from derive.parameters import Choice, Integer, Moments, Parameters, Records
from derive.problems import PoseError
from derive.symbolic.forms import ONE
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Node, Row, Scheme, Tableau

LONGEST = 64
NAMES = MULTISTEP["weights"].names  # type: ignore[attr-defined]
WORDS = tuple(NAMED_WEIGHTS)

ENTRY: Parameters = {
    "order": Integer(low=1, high=MAX_STEPS, doc="integrand values the step combines"),
    "taylor": Integer(default=None, low=1, high=MAX_STEPS, doc="derivatives kept and the value; default: order"),
    "weights": Moments(default="exact", words=WORDS, names=NAMES, highest=MAX_STEPS - 1, doc="of the step"),
    "corrector": Choice(default="none", options=("none", "pseudo", "implicit"), doc="none, PEC or PECE"),
    "corrector_order": Integer(default=None, low=1, high=MAX_STEPS, doc="known values it combines; default: order"),
    "corrector_weights": Moments(default="exact", words=WORDS, names=NAMES, highest=MAX_STEPS, doc="of the corrector"),
}

PARAMETERS: Parameters = {
    "table": Records(fields=ENTRY, longest=LONGEST, doc="one entry for every grid step"),
    "integrand": MULTISTEP["integrand"],
    "variable": MULTISTEP["variable"],
    "start": Choice(
        default="ramp",
        options=("ramp", "exact"),
        doc="the first entries use what values there are; or history is given",
    ),
}

REFERENCE = "arXiv:2312.07243 (Sec. 3); arXiv:2302.04867 (Alg. 5-8)"


def build(kernel: Kernel, table: Sequence[Mapping[str, Any]], start: str = "ramp") -> Tableau:
    """The tableau: distinct schemes in order of first use, and which of them every step takes. PoseError names the entry."""
    entries = [dict(entry) for entry in table]
    _check(entries, start)
    if len(entries) > 1 and entries[-2].get("corrector") == "pseudo" and entries[-1].get("corrector", "none") == "none":
        entries[-1]["corrector"] = "pseudo"
    found: list[Scheme] = []
    places = []
    for i, entry in enumerate(entries):
        scheme = _scheme(entry, f"method.table[{i}]", kernel)
        if scheme not in found:
            found.append(scheme)
        places.append(found.index(scheme))
    return Tableau("decisions", kernel, tuple(found), start, "keep", table=tuple(places))  # type: ignore[arg-type]


def _check(entries: Sequence[Mapping[str, Any]], start: str) -> None:
    """Values that do not exist yet are not read; steps with kept predictions do not mix with others."""
    kinds = [entry.get("corrector", "none") for entry in entries]
    for i, entry in enumerate(entries):
        for key in ("order", "corrector_order"):
            if start == "ramp" and (entry.get(key) or 1) > i + 1:
                known = f"{i + 1} value{'s are' if i else ' is'} known"
                raise PoseError(f"method.table[{i}].{key}", f"got {entry[key]}, but {known} at this step")
        if entry.get("taylor") and entry["taylor"] > entry["order"]:
            raise PoseError(
                f"method.table[{i}].taylor",
                f"got {entry['taylor']}; allowed: 1 to {entry['order']}, the values there are",
            )
        others = kinds[:-1] if kinds[-1] == "none" and len(kinds) > 1 else kinds
        if "pseudo" in others and kinds[i] != "pseudo" and i < len(others):
            raise PoseError(
                f"method.table[{i}].corrector",
                f"got {kinds[i]}; allowed beside pseudo correctors: pseudo (last step: none)",
            )


def _scheme(entry: Mapping[str, Any], key: str, kernel: Kernel) -> Scheme:
    order = entry["order"]
    dropped = {k: alphabet().ring.zero for k in range(entry.get("taylor") or order, order)}
    step = _row("predict", past(order), kernel, entry.get("weights", "exact"), f"{key}.weights", dropped)
    kind = entry.get("corrector", "none")
    if kind == "none":
        return Scheme((), step)
    nodes = (stage(1, ONE), *past(entry.get("corrector_order") or order))
    again = _row("correct", nodes, kernel, entry.get("corrector_weights", "exact"), f"{key}.corrector_weights", {})
    return Scheme((), step, again) if kind == "pseudo" else Scheme((step,), again)


def _row(
    name: str,
    nodes: tuple[Node, ...],
    kernel: Kernel,
    weights: str | Mapping[int, sp.Expr],
    key: str,
    dropped: Mapping[int, PolyElement],
) -> Row:
    """The row with its relaxed moments; a named weight that needs a moment the row has not is the exact one."""
    chosen = NAMED_WEIGHTS[weights] if isinstance(weights, str) else weights
    if not isinstance(weights, str):
        for k in chosen:
            if not 0 <= k < len(nodes):
                raise PoseError(key, f"moment {k} of a row with {len(nodes)} nodes; allowed: 0 to {len(nodes) - 1}")
    overrides = {k: ring_element(expr, kernel, key) for k, expr in chosen.items() if k < len(nodes)}
    return span_row(f"{name} {len(nodes)}", nodes, kernel, ONE, {**overrides, **dropped})
