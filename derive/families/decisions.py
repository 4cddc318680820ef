r"""A table of decisions: every grid step has its own row, order, weights and corrector (USF; Liu et al. 2023).

    table: [{order: 1}, {order: 2, weights: bh2, corrector: pseudo}, {order: 3, corrector: pseudo}, ..]

An entry is a step over the newest ``order`` values. ``taylor`` n keeps the derivatives up to n - 1 of the interpolant (as
many as there are values, unless it says less): moments n, n + 1, .. of the row are then 0. ``weights`` relaxes what is
left: midpoint and bh2 are mu_1 = mu_0/2, bh1 is mu_1 = 1/2, a linear relaxation 1 + c h of the first derivative is
{moments: {1: "phi2 + c*(phi1 - 1)"}} where the kernel is e^{h (1 - theta)}. uniform are the weights of Adams-Bashforth on
equal steps times mu_0, as in :mod:`derive.families.linear_multistep` (PNDM, iPNDM). ``corrector``: none; pseudo, with the
predicted value kept (PEC); implicit, with the corrected state evaluated again (PECE); over the predicted and
``corrector_order`` known values. The last step needs no pseudo corrector and none is applied to it.

``nodes`` says which values an entry combines, 0 the newest, j that of j steps ago: a subset of those there are, with the
weights that reproduce the same moments on them. ``integrand`` is the quantity that the entry takes for a polynomial: with
F = p x0 + q eps any two of them differ by a multiple of the state, so a step in another one is another exact formula, with
its own Phi, C and kernel. The values at a grid point are formed from state and output when the network is called, in every
integrand whose past some entry reads; so every step finds its own values, and rows and coefficients are those of a table
in one integrand.

``transfer: ddim`` takes uniform weights, and means of two values, to the step of DDIM (:mod:`derive.families.transfers`).

``back`` is the start point of a step among earlier states, x_{n-back} for x_n, with the values since then: the steps
between started there too and are its stages (DPM-Solver's singlestep methods on the grid's own points).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.families.exponential_multistep import MAX_STEPS, NAMED_WEIGHTS, ring_element
from derive.families.exponential_multistep import PARAMETERS as MULTISTEP
from derive.families.linear_multistep import adams, constant_row
from derive.families.starters import past, span_row, stage
from derive.families.transfers import TRANSFER, carried
from derive.parameters import Choice, Integer, Integers, Moments, Parameters, Quantity, Records
from derive.problems import PoseError
from derive.symbolic.forms import ONE
from derive.symbolic.moments import alphabet
from derive.tableau import MAX_INTEGRANDS, Kernel, Node, Row, Scheme, Tableau

LONGEST = 64
NAMES = MULTISTEP["weights"].names  # type: ignore[attr-defined]
WORDS = tuple(NAMED_WEIGHTS)
UNIFORM = "uniform"
"""Adams-Bashforth weights of equal steps."""

ENTRY: Parameters = {
    "order": Integer(
        low=0, high=MAX_STEPS, doc="integrand values the step combines; 0: it carries the state on, x' = Phi x"
    ),
    "nodes": Integers(
        default=None, high=MAX_STEPS - 1, longest=MAX_STEPS, doc="which values, 0 the newest; default: the newest"
    ),
    "integrand": Quantity(default=None, doc="the quantity that the entry interpolates; default: the method's"),
    "back": Integer(
        default=None,
        low=1,
        high=MAX_STEPS - 1,
        doc="the step starts at the state of so many steps ago; default: the last",
    ),
    "taylor": Integer(default=None, low=1, high=MAX_STEPS, doc="derivatives kept and the value; default: order"),
    "weights": Moments(default="exact", words=(*WORDS, UNIFORM), names=NAMES, highest=MAX_STEPS - 1, doc="of the step"),
    "corrector": Choice(default="none", options=("none", "pseudo", "implicit"), doc="none, PEC or PECE"),
    "corrector_order": Integer(default=None, low=1, high=MAX_STEPS, doc="known values it combines; default: order"),
    "corrector_nodes": Integers(
        default=None, high=MAX_STEPS - 1, longest=MAX_STEPS, doc="which known values; default: nodes, or the newest"
    ),
    "corrector_weights": Moments(default="exact", words=WORDS, names=NAMES, highest=MAX_STEPS, doc="of the corrector"),
}

PARAMETERS: Parameters = {
    "table": Records(fields=ENTRY, longest=LONGEST, doc="one entry for every grid step"),
    "integrand": MULTISTEP["integrand"],
    "variable": MULTISTEP["variable"],
    "transfer": TRANSFER,
    "start": Choice(
        default="ramp",
        options=("ramp", "exact"),
        doc="the first entries use what values there are; or history is given",
    ),
}

REFERENCE = "arXiv:2312.07243 (Sec. 3); arXiv:2302.04867 (Alg. 5-8)"


def build(
    kernel: Kernel,
    table: Sequence[Mapping[str, Any]],
    start: str = "ramp",
    kernels: Mapping[str, Kernel] | None = None,
    transfer: str | None = None,
) -> Tableau:
    """The tableau: distinct schemes in order of first use, and which of them every step takes. PoseError names the entry.

    kernels: those of all integrands by name, ``kernel`` first; an entry's ``integrand`` is its place among them.
    """
    entries = [dict(entry) for entry in table]
    _check(entries, start)
    if any(entry.get("corrector") == "pseudo" for entry in entries):  # all but the last are then, by _check
        entries[-1]["corrector"] = "pseudo"
    every = tuple(kernels.values()) if kernels else (kernel,)
    if len(every) > MAX_INTEGRANDS:
        raise PoseError(
            "method.table", f"got {len(every)} integrands; allowed: at most {MAX_INTEGRANDS} different ones"
        )
    found: list[Scheme] = []
    places: list[int] = []
    for i, entry in enumerate(entries):
        integrand = entry.get("integrand", 0)
        scheme = _scheme(entry, f"method.table[{i}]", every[integrand], integrand)
        if entry.get("back"):
            before = found[places[-1]] if places else None
            scheme = _earlier(scheme, entry, f"method.table[{i}]", before, every[integrand])
        if transfer:
            scheme = carried(scheme, f"method.table[{i}]")
        if scheme not in found:
            found.append(scheme)
        places.append(found.index(scheme))
    return Tableau(
        "decisions",
        kernel,
        tuple(found),
        start,  # type: ignore[arg-type]
        "keep",
        table=tuple(places),
        others=every[1:],
        names=tuple(kernels) if kernels and len(kernels) > 1 else (),
    )


def _check(entries: Sequence[Mapping[str, Any]], start: str) -> None:
    """Values that do not exist yet are not read; steps with kept predictions do not mix with others."""
    kinds = [entry.get("corrector", "none") for entry in entries]
    others = kinds[:-1] if kinds[-1] == "none" else kinds
    for i, entry in enumerate(entries):
        _check_counts(entry, f"method.table[{i}]", i + 1 if start == "ramp" else None)
        if entry.get("taylor") and entry["taylor"] > entry["order"]:
            raise PoseError(
                f"method.table[{i}].taylor",
                f"got {entry['taylor']}; allowed: 1 to {entry['order']}, the values there are",
            )
        if "pseudo" in others and kinds[i] != "pseudo" and i < len(others):
            raise PoseError(
                f"method.table[{i}].corrector",
                f"got {kinds[i]}; allowed beside pseudo correctors: pseudo (last step: none)",
            )


def _check_counts(entry: Mapping[str, Any], key: str, known: int | None) -> None:
    """Values are there (``known`` of them; None: any), and as many as the entry says."""
    for counted, chosen in (("order", "nodes"), ("corrector_order", "corrector_nodes")):
        count, nodes = entry.get(counted), entry.get(chosen)
        read, where = (1 + nodes[-1], chosen) if nodes else (count, counted)
        if nodes and count and len(nodes) != count:
            raise PoseError(f"{key}.{chosen}", f"got {len(nodes)} nodes; allowed: {count}, the {counted} of the entry")
        if read and known is not None and read > known:
            there = f"{known} value{'s are' if known > 1 else ' is'} known"
            raise PoseError(f"{key}.{where}", f"got {_listed(entry[where])}, but {there} at this step")
    corrector = _corrector_nodes(entry)
    if entry.get("corrector") == "pseudo" and corrector[0] != 0:
        where = "corrector_nodes" if entry.get("corrector_nodes") else "nodes"
        wanted = "corrector_nodes with 0, the value at the start of the step"
        raise PoseError(f"{key}.{where}", f"got {_listed(corrector)} for a pseudo corrector; allowed: {wanted}")


def _listed(value: int | Sequence[int]) -> str:
    return str(value) if isinstance(value, int) else str(list(value))


def _corrector_nodes(entry: Mapping[str, Any]) -> tuple[int, ...]:
    """The known values that the corrector combines: as it says, else those of the step."""
    if entry.get("corrector_nodes"):
        return tuple(entry["corrector_nodes"])
    if entry.get("corrector_order"):
        return tuple(range(entry["corrector_order"]))
    return tuple(entry.get("nodes") or range(entry["order"]))


def _scheme(entry: Mapping[str, Any], key: str, kernel: Kernel, integrand: int) -> Scheme:
    order = entry["order"]
    if not order:
        return Scheme((), replace(_idle(entry, key, kernel), integrand=integrand))
    dropped = {k: alphabet().ring.zero for k in range(entry.get("taylor") or order, order)}
    weights, nodes = entry.get("weights", "exact"), _values(entry.get("nodes") or range(order))
    step = _row("predict", nodes, kernel, "exact" if weights == UNIFORM else weights, f"{key}.weights", dropped)
    if weights == UNIFORM and order > 1:
        step = _uniform(step, kernel, key, dropped)
    step = replace(step, integrand=integrand)
    kind = entry.get("corrector", "none")
    if kind == "none":
        return Scheme((), step)
    nodes = (stage(1, ONE), *_values(_corrector_nodes(entry)))
    again = _row("correct", nodes, kernel, entry.get("corrector_weights", "exact"), f"{key}.corrector_weights", {})
    again = replace(again, integrand=integrand)
    return Scheme((), step, again) if kind == "pseudo" else Scheme((step,), again)


def _earlier(scheme: Scheme, entry: Mapping[str, Any], key: str, before: Scheme | None, kernel: Kernel) -> Scheme:
    """The step from an earlier state; ``before``: the step before it, which has to start there too."""
    back, step = entry["back"], scheme.output
    if scheme.corrector or scheme.stages or step.given:
        raise PoseError(f"{key}.back", f"got {back} beside a corrector or uniform weights; allowed: a plain step")
    if not kernel.closed:
        raise PoseError(f"{key}.back", f"got {back}; allowed with a kernel that is exponential or constant only")
    last = max(node.index for node in step.nodes)
    if last > back:
        raise PoseError(f"{key}.nodes", f"got a value of {last} steps ago; allowed: 0 to {back}, those since the start")
    inner = before.output if before is not None and not (before.stages or before.corrector) else None
    stage_of = inner is not None and bool(inner.nodes) and not inner.given and inner.integrand == step.integrand
    if inner is None or not stage_of or inner.back != back - 1 or inner.past > inner.back:
        what = f"back {back - 1} and values since then" if back > 1 else "order 1 and no corrector"
        raise PoseError(f"{key}.back", f"got {back}; allowed after a step in the same integrand with {what}")
    points, nodes = past(back + 1), [back - node.index for node in reversed(step.nodes)]
    moments = dict(enumerate(step.moments))
    span = span_row(step.name, [points[j] for j in nodes], kernel, ONE, moments)
    row = replace(step, nodes=points, moments=(), exact=(), back=back, span=span, inner=inner)
    return Scheme((), row)


def _idle(entry: Mapping[str, Any], key: str, kernel: Kernel) -> Row:
    """The row that combines no value: of order 0."""
    said = [name for name in ("nodes", "back", "taylor") if entry.get(name)]
    said += ["corrector"] if entry.get("corrector", "none") != "none" else []
    said += ["weights"] if entry.get("weights", "exact") != "exact" else []
    if said:
        raise PoseError(f"{key}.{said[0]}", "beside order: 0, which combines no value; allowed: order from 1")
    return span_row("carry", (), kernel)


def _uniform(step: Row, kernel: Kernel, key: str, dropped: Mapping[int, PolyElement]) -> Row:
    """The row with the weights of equal steps; they are those of the newest values, all derivatives kept."""
    if step.chosen or dropped:
        raise PoseError(
            f"{key}.weights", f"got {UNIFORM} beside {'nodes' if step.chosen else 'taylor'}; allowed: exact"
        )
    return constant_row(step, adams(len(step.nodes)), kernel)


def _values(chosen: Sequence[int]) -> tuple[Node, ...]:
    """The values of so many steps ago."""
    there = past(1 + max(chosen))
    return tuple(there[j] for j in chosen)


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
    overrides = {k: ring_element(expr, kernel, key) for k, expr in chosen.items()}
    return span_row(f"{name} {len(nodes)}", nodes, kernel, ONE, {**overrides, **dropped})
