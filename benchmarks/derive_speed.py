r"""Deriving weights by the moment equation against symbolic integration.

The weights of an exponential multistep row of order n are, with l_j the Lagrange polynomials of its nodes,

    w_j = int_0^h e^s l_j(s) ds = h e^h \hat w_j,    \hat w_j = int_0^1 e^{-h (1 - theta)} l_j(theta) dtheta,

with symbolic, unevenly spaced nodes. ``sympy.integrate`` is given the left side; the tableau solves the moment equation
in a polynomial ring (derive.symbolic.moments). Both start with empty caches, in one process, orders 1 to 5, and must
agree at rational nodes to 40 digits.

    python benchmarks/derive_speed.py [--json]
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mpmath
import sympy as sp
from sympy.core.cache import clear_cache

from benchmarks.timing import Figure, cpu_seconds, main
from derive.symbolic import moments
from derive.tableau import Kernel, Row, multistep_row

HIGHEST = 5
S, H = sp.symbols("s h", positive=True)
NODES = sp.symbols(f"c1:{HIGHEST}", positive=True)


def integrated(order: int, expanded: bool = False) -> list[sp.Expr]:
    """int_0^h e^s l_j(s) ds for the nodes 0, -c1, -(c1+c2), .. by sympy.integrate.

    expanded: the help a careful user would give: the denominator taken out and the product multiplied out.
    """
    nodes = [-sp.Add(*NODES[:j]) for j in range(order)]
    weights = []
    for j, node in enumerate(nodes):
        others = [*nodes[:j], *nodes[j + 1 :]]
        numerator, denominator = sp.Mul(*(S - o for o in others)), sp.Mul(*(node - o for o in others))
        if expanded:
            weights.append(sp.integrate(sp.expand(numerator * sp.exp(S)), (S, 0, H)) / denominator)
        else:
            weights.append(sp.integrate(sp.exp(S) * numerator / denominator, (S, 0, H)))
    return weights


def derived(order: int) -> tuple[Row, tuple[moments.Weight, ...], tuple[object, ...]]:
    """The row of the tableau, its weights and its Newton moments."""
    row = multistep_row(order, Kernel(-1))
    return row, row.weights, row.newton


def forget() -> None:
    """Empties every cache, as in a new process."""
    clear_cache()
    moments.alphabet.cache_clear()


def disagreement(order: int) -> float:
    """The largest relative difference of the two ways, at h = 3/7 and uneven nodes, in 40 digits."""
    with mpmath.workdps(60):
        h, gaps = sp.Rational(3, 7), [sp.Rational(p, 7) for p in (2, 5, 3, 4)]
        values = {H: h, **dict(zip(NODES, gaps))}
        z = -mpmath.mpf(3) / 7
        phi = [mpmath.exp(z)] + [
            mpmath.quad(lambda t, k=k: mpmath.exp(z * (1 - t)) * t ** (k - 1) / mpmath.factorial(k - 1), [0, 1])
            for k in range(1, HIGHEST + 4)
        ]
        ratios = [Fraction(int(g.p), int(g.q)) / Fraction(3, 7) for g in gaps]
        worst = mpmath.mpf(0)
        for weight, expr in zip(derived(order)[1], integrated(order)):
            top = sum(_value(*term, phi) for term in moments.specialise(weight.numerator, ratios).terms())
            bottom = mpmath.mpf(1)
            for factor in weight.differences:
                constant = moments.specialise(factor, ratios).coeff(1)
                bottom *= mpmath.mpf(int(constant.numerator)) / int(constant.denominator)
            got = mpmath.mpf(3) / 7 * mpmath.exp(-z) * top / bottom
            exact = mpmath.mpf(str(sp.N(expr.subs(values), 50)))
            worst = max(worst, abs(got - exact) / abs(exact))
        return float(worst)


def _value(monom: tuple[int, ...], coefficient: Any, phi: list[mpmath.mpf]) -> mpmath.mpf:
    """A term of a specialised numerator: a rational number times a monomial in the phi functions."""
    value = mpmath.mpf(int(coefficient.numerator)) / int(coefficient.denominator)
    offset = len(moments.alphabet().r) + len(moments.alphabet().mu)
    for index, exponent in enumerate(monom):
        if exponent:
            value *= phi[index - offset] ** exponent
    return value


def measure() -> list[Figure]:
    """Ratios for the weights of all orders up to 5, and for order 5 alone."""
    everything = cpu_seconds(lambda: [derived(n) for n in range(1, HIGHEST + 1)], 5, forget)
    highest = cpu_seconds(lambda: derived(HIGHEST), 5, forget)
    as_written = cpu_seconds(lambda: [integrated(n) for n in range(1, HIGHEST + 1)], 2, forget)
    last = cpu_seconds(lambda: integrated(HIGHEST), 2, forget)
    helped = cpu_seconds(lambda: integrated(HIGHEST, expanded=True), 2, forget)
    return [
        Figure("all weights, orders 1 to 5", everything, as_written, 100, "faster than sympy.integrate"),
        Figure("all weights, order 5", highest, last, 100, "faster than sympy.integrate"),
        Figure("all weights, order 5, integrand expanded", highest, helped, 20, "faster than sympy.integrate"),
    ]


if __name__ == "__main__":
    sys.exit(main("derive_speed", measure, __doc__ or ""))
