r"""A step on the semilinear test equation: the characteristic polynomial of the recurrence it becomes.

For x' = (a + b) x with a exact (the kernel's rate times a number), z = a h and w = b h, every value of the integrand is
b times the value it was evaluated at, stages are eliminated, and a scheme that reads ``known`` grid values is

    x_{n+1} = sum_j A_j(z, w) x_{n-j},        zeta^known - sum_j A_j zeta^(known-1-j).

A corrected step evaluated once (PEC) carries two sequences, the corrected states x and the predictions y at which the
network was called. With weights a_j of the predictor and b_j, b_* of the corrector (b_* at the prediction):

    (zeta - Phi)(zeta - w a(1/zeta)) - w Phi (b_* zeta + b(1/zeta)) = 0,    a(u) = sum_j a_j u^j.

The same few lines run on NumPy arrays (maps), in mpmath (end points to 30 digits) and in an exact field (closed forms).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import QQ

from derive.analysis.phi_arrays import phis
from derive.symbolic.forms import Form, Step

Polynomial = tuple[Any, ...]
"""Coefficients, the leading one first."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``phi(k, c)`` = phi_k(c z), 1/(c z) for k = -1, and ``number``, from the exact field of the step into the numbers that are used."""

    phi: Callable[[int, Any], Any]
    number: Callable[[Any], Any]

    def __call__(self, form: Form) -> Any:
        return form.value(self.phi, self.number)


def on_arrays(z: ArrayLike, number: Callable[[Any], Any] = float, highest: int = 9) -> Arithmetic:
    """NumPy arithmetic for kernels e^{z (1 - theta)}, z an array of the shape of the map (or a number), up to phi_highest."""
    values = np.asarray(z)
    known: dict[Any, list[NDArray]] = {}

    def phi(k: int, c: Any) -> Any:
        if k <= 0:
            return 1 / (values * number(c)) if k else np.exp(values * number(c))
        if c not in known:
            known[c] = phis(highest, np.atleast_1d(values * number(c)))
        return known[c][k].reshape(values.shape) if values.shape else known[c][k][0]

    return Arithmetic(phi, number)


def highest_phi(step: Step) -> int:
    """The largest k of a phi_k in the weights."""
    return max((k for row in (*step.a, step.b) for form in row for (k, _), _ in form.terms), default=0)


def flat(number: Callable[[Any], Any]) -> Arithmetic:
    """The constant kernel: z = 0."""
    return Arithmetic(lambda k, c: number(QQ(1, factorial(k))), number)


def arithmetic(step: Step, z: ArrayLike) -> Arithmetic:
    """On arrays; real z gives real arrays. Steps with a constant kernel ignore z."""
    if not step.rate:
        return flat(float)
    return on_arrays(np.real_if_close(z), highest=highest_phi(step))


def characteristic(step: Step, arithmetic: Arithmetic, w: Any, *, corrected: bool = False) -> Polynomial:
    """The polynomial in zeta, monic. w: b h, a number or array, or one for each value the step combines.

    corrected: the step's stage is the prediction of a PEC scheme, its output the correction.
    Raises ValueError for implicit rows.
    """
    if not step.explicit:
        raise ValueError("an implicit row has no recurrence")
    shares = list(w) if isinstance(w, (list, tuple)) else [w] * len(step.thetas)
    rows = [[arithmetic(f) * s if f else 0 for f, s in zip(row, shares)] for row in (*step.a, step.b)]
    factors = [_factor(step, arithmetic, c) for c in (*step.thetas[step.known :], QQ(1))]
    if corrected:
        return _pec(step.known, rows[0], rows[1], factors[-1])
    values: list[list[Any]] = [[0] * j + [1] + [0] * (step.known - 1 - j) for j in range(step.known)]
    for row, factor in zip(rows, factors):
        out = [factor, *[0] * (step.known - 1)]
        for weight, value in zip(row, values):
            out = [o + weight * v if _there(weight) and _there(v) else o for o, v in zip(out, value)]
        values.append(out)
    return _trimmed([1, *(-a if _there(a) else 0 for a in values[-1])])


def _factor(step: Step, arithmetic: Arithmetic, c: Any) -> Any:
    """e^{c z}."""
    return arithmetic.phi(0, c) if step.rate and c else 1


def _pec(known: int, predictor: Sequence[Any], corrector: Sequence[Any], factor: Any) -> Polynomial:
    left = [1, *(-a for a in predictor[:known])]
    total = [*left, 0]
    for i, value in enumerate(left):
        total[i + 1] = total[i + 1] - factor * value
    for i, value in enumerate([corrector[known], *corrector[:known]]):
        total[i + 1] = total[i + 1] - factor * value
    return _trimmed(total)


def _there(value: Any) -> bool:
    """Whether a coefficient is more than the number 0 that stands for a term that is not there."""
    return not (isinstance(value, int) and value == 0)


def _trimmed(coefficients: list[Any]) -> Polynomial:
    while len(coefficients) > 1 and not _there(coefficients[-1]):
        coefficients.pop()
    return tuple(coefficients)


def stacked(polynomial: Polynomial) -> NDArray:
    """The coefficients as one array, the degree along the first axis."""
    return np.stack(np.broadcast_arrays(*polynomial))


def companion(polynomial: Polynomial) -> NDArray:
    """Companion matrices, shape (..., n, n), of the recurrence: the newest value first."""
    coefficients = stacked(polynomial)
    count = len(coefficients) - 1
    out = np.zeros((*coefficients.shape[1:], count, count), dtype=np.result_type(coefficients, float))
    out[..., 0, :] = np.moveaxis(-coefficients[1:] / coefficients[0], 0, -1)
    for i in range(1, count):
        out[..., i, i - 1] = 1
    return out


def degree_in_w(step: Step) -> int:
    """A bound for the degree of the coefficients in w."""
    return len(step.a) + 1


__all__ = [
    "Arithmetic",
    "Polynomial",
    "arithmetic",
    "characteristic",
    "companion",
    "degree_in_w",
    "flat",
    "highest_phi",
    "on_arrays",
    "stacked",
]
