r"""The step of DDIM with a combined value, in place of the exact transfer of the integrand: PNDM on v.

    v = sum_j q_j v_{n-j},    x_n = alpha_n x0 + sigma_n eps,  v = alpha_n eps - sigma_n x0,    x_{n+1} = alpha_{n+1} x0 + sigma_{n+1} eps

The combination is taken for the value at t_n; together with x_n it says what data and noise are, and these are kept (Liu et
al. 2022, Eq. 11). For a combined noise, or data, that is the exact transfer of a constant integrand. For v, whose exact
transfer is x_n + phi v with phi the angle of the step, it is x_n cos(phi) + v sin(phi): of order 1, whatever is combined.

A row has a share q_j of each value, so its weights are numbers times the weight of a constant one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derive.parameters import Choice
from derive.problems import PoseError
from derive.symbolic.forms import ONE, Form, constant
from derive.symbolic.moments import alphabet
from derive.tableau import Row, Scheme

TRANSFER = Choice(
    default=None,
    options=("ddim",),
    doc="ddim: the sum is taken for v at t_n, and the step keeps the data and noise it gives; default: exact where F is constant",
)


def carried(scheme: Scheme, key: str) -> Scheme:
    """The scheme with the steps of DDIM. PoseError at ``key`` where a row has other weights than shares, or a PEC corrector."""
    if scheme.corrector is not None or scheme.embedded is not None:
        raise PoseError(key, "a pseudo corrector beside transfer: ddim; allowed: none, implicit")
    return Scheme(tuple(_row(row, key) for row in scheme.stages), _row(scheme.output, key))


def _row(row: Row, key: str) -> Row:
    if row.back or not row.nodes:
        raise PoseError(
            key, "a step without values, or from an earlier state, beside transfer: ddim; allowed: order from 1"
        )
    return replace(row, moments=(), given=tuple(constant(q) for q in _shares(row, key)), transfer="ddim")


def _shares(row: Row, key: str) -> tuple[Any, ...]:
    """q_j: numbers with the sum 1, which no step ratio enters."""
    fixed = bool(row.given) or all(alphabet().ring(theta).is_ground for theta in row.thetas)
    found = tuple(_share(form, row.end) for form in row.forms(())) if fixed else (None,)
    if None in found or sum(found) != ONE:
        what = f"the weights of {row.name} are no numbers times that of a constant value, as transfer: ddim has them"
        raise PoseError(key, f"{what}; allowed: order 1, uniform weights, a mean of two values")
    return found


def _share(form: Form, end: Any) -> Any:
    """q of q phi_1(c z) c, the weight of a constant value to ``end`` = c; None: no such form."""
    [(key, q)] = form.terms if len(form.terms) == 1 else [((0, 0), 0)]
    return q / end if key == (1, end) else None


__all__ = ["TRANSFER", "carried"]
