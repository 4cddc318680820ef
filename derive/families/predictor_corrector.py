r"""Predictor-corrector: a multistep row predicts, the value found there corrects (UniPC; exponential Adams-Bashforth-Moulton).

    predict   x^P_{n+1} = Phi x_n + C sum_j w_j F_{n-j}                     nodes 0, -r_0, ..            (``steps`` values)
    correct   x_{n+1}   = Phi x_n + C (v F(x^P_{n+1}) + sum_j v_j F_{n-j})  nodes 1, 0, -r_0, ..   (``corrector_steps`` + 1)

Both rows solve the moment equation. ``PEC`` keeps the predicted value for the next step: one evaluation a step (UniPC).
``PECE`` evaluates the corrected state again: two. The prediction enters with a factor h, so the order is
min(order of the corrector row, order of the predictor row + 1): p + 1 for p and p steps.

UniP-p, UniC-p and UniPC-p (Zhao et al. 2023, Alg. 5-8) are this with integrand and variable lambda; their B(h) cancels but
where one unknown is left, at two nodes: ``bh1`` and ``bh2`` are mu_1 = 1/2 and phi_1/2 in UniP-2 and in UniC-1, nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.families.exponential_multistep import NAMED_WEIGHTS, ring_element
from derive.families.exponential_multistep import PARAMETERS as MULTISTEP
from derive.families.starters import START, past, span_row, stage, starter
from derive.parameters import Choice, Integer, Moments, Parameters
from derive.problems import PoseError
from derive.symbolic.forms import ONE
from derive.tableau import Kernel, Node, Row, Scheme, Tableau

MAX_STEPS = 6

PARAMETERS: Parameters = {
    "steps": Integer(low=1, high=MAX_STEPS, doc="integrand values the predictor combines; its order"),
    "corrector_steps": Integer(
        default=None,
        low=1,
        high=MAX_STEPS,
        doc="known values the corrector combines beside the predicted one; default: steps",
    ),
    "mode": Choice(
        default="PEC",
        options=("PEC", "PECE"),
        doc="the predicted value is kept (one evaluation a step), or the corrected state is evaluated again (two)",
    ),
    "integrand": MULTISTEP["integrand"],
    "variable": MULTISTEP["variable"],
    "weights": MULTISTEP["weights"],
    "corrector_weights": Moments(
        default="exact",
        words=("exact", "midpoint", "bh1", "bh2"),
        names=MULTISTEP["weights"].names,  # type: ignore[attr-defined]
        highest=MAX_STEPS,
        doc="of the corrector: exact (interpolatory), or moments to override",
    ),
    "start": START,
    "final": MULTISTEP["final"],
}

REFERENCE = "arXiv:2302.04867 (Alg. 5-8); doi:10.1017/S0962492910000048 (Sec. 2.5)"

Weights = str | Mapping[int, sp.Expr]


def build(
    kernel: Kernel,
    steps: int,
    mode: str = "PEC",
    weights: Weights = "exact",
    corrector_weights: Weights = "exact",
    start: str = "ramp",
    final: str = "lower_order",
    corrector_steps: int | None = None,
) -> Tableau:
    """The tableau: schemes of order 1, 2, .. whose predictor and corrector grow together to ``steps`` and ``corrector_steps``.

    Raises PoseError, which knows the key, or ValueError with one line where an override does not apply.
    """
    known = corrector_steps or steps
    predictor = _overrides(weights, steps, "predictor", kernel)
    corrector = _overrides(corrector_weights, known + 1, "corrector", kernel)
    schemes = []
    for order in range(1, max(steps, known) + 1):
        rows = (
            _row(f"predict {min(order, steps)}", past(min(order, steps)), kernel, weights, predictor),
            _row(
                f"correct {min(order, known)}",
                (stage(1, ONE), *past(min(order, known))),
                kernel,
                corrector_weights,
                corrector,
            ),
        )
        schemes.append(Scheme((), rows[0], rows[1]) if mode == "PEC" else Scheme((rows[0],), rows[1]))
    begin = starter(start, min(steps, known), kernel, len(schemes))
    return Tableau("predictor_corrector", kernel, tuple(schemes), start, final, starter=begin)  # type: ignore[arg-type]


def _overrides(weights: Weights, nodes: int, which: str, kernel: Kernel) -> Mapping[int, PolyElement]:
    chosen = NAMED_WEIGHTS[weights] if isinstance(weights, str) else weights
    key = "method.weights" if which == "predictor" else "method.corrector_weights"
    for k in () if isinstance(weights, str) else chosen:
        if not 0 <= k < nodes:
            raise PoseError(key, f"moment {k} of a {which} row with {nodes} nodes; allowed: 0 to {nodes - 1}")
    return {k: ring_element(expr, kernel, key) for k, expr in sorted(chosen.items())}


def _row(
    name: str, nodes: tuple[Node, ...], kernel: Kernel, weights: Weights, overrides: Mapping[int, PolyElement]
) -> Row:
    """A row with the overrides that apply: a name of UniPC's speaks of two nodes only."""
    applies = not isinstance(weights, str) or len(nodes) == 2
    return span_row(name, nodes, kernel, ONE, overrides if applies else {})
