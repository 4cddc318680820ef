"""Weights and error constants of a scheme as functions of h and of the step ratio, in float64, from its exact forms."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import QQ

from derive.analysis.recurrence import Arithmetic, flat, on_arrays
from derive.symbolic.forms import Step
from derive.tableau import Scheme, Tableau

MOST_RATIOS = 16


@dataclass(frozen=True, slots=True)
class Numbers:
    """A scheme at one step ratio (all r_j equal) on an array of h >= 0; ``rate`` None is not possible."""

    scheme: Scheme
    rate: Any

    def step(self, ratio: Fraction) -> Step:
        r = QQ(ratio.numerator, ratio.denominator)
        return self.scheme.step((r,) * MOST_RATIOS, self.rate)

    def arithmetic(self, h: NDArray) -> Arithmetic:
        return on_arrays(float(self.rate) * h) if self.rate else flat(float)

    def rows(self, h: NDArray, ratio: Fraction) -> list[tuple[str, list[tuple[str, NDArray]]]]:
        """(output, [(value, weight)]) of every row that combines values; values are named F_n, F_{n-1}, .., K_1, .."""
        step, number = self.step(ratio), self.arithmetic(h)
        rows = [*zip(self._outputs(step), (*step.a, step.b))]
        values = _values(step, self.scheme.corrector is not None)
        if step.embedded is not None:
            rows.append(("embedded output", step.embedded))
            values.append("F_{n+1}")
        return [
            (name, [(v, np.broadcast_to(number(f), h.shape)) for v, f in zip(values, row) if f]) for name, row in rows
        ]

    def _outputs(self, step: Step) -> list[str]:
        if self.scheme.corrector is not None:
            return ["predictor", "corrector"]
        return [f"stage {i}" for i in range(1, len(step.a) + 1)] + ["output"]

    def defect(self, k: int, h: NDArray, ratio: Fraction) -> NDArray:
        """(m_k - sum_j b_j theta_j^k)/k! with the exact moment m_k = k! phi_{k+1}: what the last row gets wrong."""
        step, number = self.step(ratio), self.arithmetic(h)
        total = factorial(k) * np.broadcast_to(number.phi(k + 1, QQ(1)), h.shape)
        for theta, form in zip(step.thetas, step.b):
            if form:
                total = total - number(form) * (float(theta) ** k if k else 1.0)
        return total / factorial(k)

    def limiting(self) -> int:
        """The first moment that the last row does not reproduce."""
        probe, ratio = np.array([0.7]), Fraction(7, 5)
        return next(k for k in range(12) if abs(self.defect(k, probe, ratio)[0]) > 1e-11)


def _values(step: Step, corrects: bool) -> list[str]:
    past = ["F_n", *(f"F_{{n-{j}}}" for j in range(1, step.known))]
    later = ["F_{n+1}"] if corrects else [f"K_{i}" for i in range(1, len(step.a) + 1)]
    return past + later


def numbers(tableau: Tableau) -> Numbers | None:
    """The method of a tableau; None where the kernel is known by its moments only."""
    return Numbers(tableau.schemes[-1], tableau.kernel.rate) if tableau.kernel.closed else None
