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
    """A scheme at one step ratio (all r_j equal) on an array of h >= 0; ``rate`` None is not possible.

    label: which grid steps of a table it takes, in words; nothing where the scheme is the method.
    """

    scheme: Scheme
    rate: Any
    label: str = ""

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


def numbers(tableau: Tableau) -> tuple[Numbers, ...]:
    """The method of a tableau, of a table every scheme, in order of first use; none where the kernel is known by its
    moments only."""
    chosen = range(len(tableau.schemes)) if tableau.table else [tableau.repeated]
    schemes = [(k, tableau.schemes[k], tableau.kernel_of(tableau.schemes[k])) for k in chosen]
    return tuple(Numbers(s, kernel.rate, taken(tableau, k)) for k, s, kernel in schemes if kernel.closed)


def taken(tableau: Tableau, place: int) -> str:
    """``steps 2 to 5 and 7: 3 values of data``: what a table does with the scheme at that place."""
    if not tableau.table:
        return ""
    runs: list[list[int]] = []
    for i, k in enumerate(tableau.table):
        if k == place and runs and runs[-1][1] == i - 1:
            runs[-1][1] = i
        elif k == place:
            runs.append([i, i])
    *most, last = [f"{a} to {b}" if b > a else str(a) for a, b in runs]
    scheme = tableau.schemes[place]
    ago = [node.index for node in scheme.output.nodes if node.kind == "history"]
    count = len(ago)
    of = f" of {tableau.names[scheme.integrand]}" if tableau.others else ""
    of += f" ({', '.join(map(str, ago))} steps ago)" if scheme.output.chosen else ""
    steps = "step" if len(runs) == 1 and runs[0][0] == runs[0][1] else "steps"
    where = f"{', '.join(most)} and {last}" if most else last
    return f"{steps} {where}: {count} value{'s' * (count > 1)}{of}{_corrected(scheme)}"


def heading(text: str) -> str:
    """The same at the start of a line."""
    return text[:1].upper() + text[1:]


def _corrected(scheme: Scheme) -> str:
    if scheme.corrector is not None:
        return ", corrected"
    return ", corrected and evaluated again" if scheme.stages else ""
