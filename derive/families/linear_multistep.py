r"""Linear multistep: Adams weights on the increment of the exact transfer (PLMS of PNDM, iPNDM, LMS).

    x_{n+1} = Phi x_n + C mu_0 sum_j q_j F_{n-j},       sum_j q_j = 1,

Phi x + C mu_0 F the step that is exact for a constant integrand (DDIM). ``uniform`` weights are those of Adams-Bashforth on
equal steps, q = (3, -1)/2, (23, -16, 5)/12, (55, -59, 37, -9)/24, ..: order 2 on smooth grids, 1 on others, and the
number of steps where the kernel is constant and the steps are equal in the variable. ``variable`` weights are the
interpolatory ones of the variable, on any grid: LMS of k-diffusion (variable sigma or rho), and what iPNDM_v means.
A list gives q_0, q_1, .. themselves.

Before the history is full, and at the end, the uniform (or variable) weights of fewer values are used. ``transfer: ddim``
takes them to the step of DDIM (:mod:`derive.families.transfers`): PNDM of a network that returns v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from sympy import QQ

from derive.families.exponential_multistep import MAX_STEPS
from derive.families.exponential_multistep import PARAMETERS as MULTISTEP
from derive.families.starters import START, starter
from derive.families.transfers import TRANSFER, carried
from derive.parameters import Integer, Numbers, Parameters
from derive.problems import PoseError
from derive.symbolic.forms import ONE, phi
from derive.symbolic.moments import exact_moments
from derive.tableau import Kernel, Row, Scheme, Tableau, multistep_row

PARAMETERS: Parameters = {
    "steps": Integer(low=1, high=MAX_STEPS, doc="integrand values a full step combines"),
    "integrand": MULTISTEP["integrand"],
    "variable": MULTISTEP["variable"],
    "weights": Numbers(
        default="uniform",
        shortest=1,
        longest=MAX_STEPS,
        words=("uniform", "variable"),
        doc="Adams-Bashforth on equal steps times the exact transfer; interpolatory on any steps; constant weights, sum 1",
    ),
    "transfer": TRANSFER,
    "start": START,
    "final": MULTISTEP["final"],
}

REFERENCE = "arXiv:2202.09778 (Eq. 11-14); arXiv:2204.13902 (iPNDM); doi:10.1007/978-3-540-78862-1 (III.1)"


def build(
    kernel: Kernel,
    steps: int,
    weights: str | Sequence[Fraction] = "uniform",
    start: str = "ramp",
    final: str = "lower_order",
    transfer: str | None = None,
) -> Tableau:
    """The tableau: one row per number of values; a list of ``weights`` is that of the full one. PoseError: they do not fit."""
    rows = [multistep_row(count, kernel) for count in range(1, steps + 1)]
    if weights != "variable":
        lists = [adams(count) for count in range(1, steps + 1)]
        if not isinstance(weights, str):
            lists[-1] = _checked(weights, steps)
        rows = [constant_row(row, own, kernel) for row, own in zip(rows, lists, strict=True)]
    begin = starter(start, max(steps - 1, 1), kernel, steps)
    schemes = tuple(Scheme((), row) for row in rows)
    if transfer:
        schemes = tuple(carried(scheme, "method.weights") for scheme in schemes)
        begin = begin and carried(begin, "method.start")
    return Tableau("linear_multistep", kernel, schemes, start, final, starter=begin)  # type: ignore[arg-type]


def _checked(weights: Sequence[Fraction], steps: int) -> tuple[object, ...]:
    """The weights as numbers of the tableau's field. Raises PoseError where they are not a row of ``steps`` values."""
    if len(weights) != steps:
        raise PoseError("method.weights", f"got {len(weights)} weights for {steps} steps; allowed: one for each")
    if sum(weights) != 1:
        text = f"the weights sum to {sum(weights)}: a constant integrand would not be exact; allowed: sum 1"
        raise PoseError("method.weights", text)
    return tuple(QQ(Fraction(q).numerator, Fraction(q).denominator) for q in weights)


def adams(count: int) -> tuple[object, ...]:
    """The Adams-Bashforth weights on equal steps: 1; 3/2, -1/2; 23/12, -16/12, 5/12; .."""
    return tuple(form.at_zero for form in multistep_row(count, Kernel(QQ(0))).forms((ONE,) * count))


def constant_row(row: Row, weights: Sequence[object], kernel: Kernel) -> Row:
    """The row with weights q_j mu_0: given, beside the moments mu_0 sum_j q_j theta_j^k that they reproduce."""
    first = exact_moments(1, kernel.closed)[0]
    moments = [
        sum((first * q * (node.theta**k if k else 1) for q, node in zip(weights, row.nodes)), start=first.ring.zero)
        for k in range(len(row.nodes))
    ]
    return replace(row, moments=tuple(moments), given=tuple(phi(1, ONE, q) for q in weights))
