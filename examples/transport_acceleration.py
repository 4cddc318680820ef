r"""How fast two iterations for linear transport converge, exactly: source iteration, and with a diffusion correction.

In a slab with scattering ratio c, source iteration solves mu psi' + psi = c phi_old, phi = int psi dmu / 2. An error
e^{i L x} becomes c A(L) times itself, A = int_0^1 dmu/(1 + (L mu)^2) = arctan(L)/L: its radius is c, at L = 0. Diffusion
synthetic acceleration adds the solution of -f''/3 + (1 - c) f = c (phi - phi_old):

    omega(L) = c A - c (1 - c A)/(L^2/3 + 1 - c)

    python examples/transport_acceleration.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from derive.symbolic.evaluate import evaluate, mpmath_algebra

L, C = sp.symbols("L c", positive=True)
SWEPT = C * sp.integrate(1 / (1 + (L * sp.Symbol("mu", positive=True)) ** 2), (sp.Symbol("mu", positive=True), 0, 1))
"""The factor of source iteration."""
ACCELERATED = SWEPT + C * (SWEPT - 1) / (L**2 / 3 + 1 - C)
"""The factor with the diffusion correction: the change of phi is (SWEPT - 1) times the error."""


def radius(ratio: float) -> tuple[float, float]:
    """(max over L of omega, where) of the accelerated iteration, from the zero of its derivative."""
    algebra = mpmath_algebra(100)
    found = ACCELERATED.subs(C, sp.nsimplify(ratio))
    slope = sp.diff(found, L)

    def at(expression: sp.Expr, wave: Any) -> Any:
        return evaluate(expression, {L: wave}, algebra)

    number = algebra.number
    waves = [number(k) / 10 for k in range(1, 500)]
    best = max(waves, key=lambda wave: abs(at(found, wave)))
    low, high = best - number(1) / 10, best + number(1) / 10
    for _ in range(60):  # the slope falls through 0 at the maximum
        middle = (low + high) / 2
        low, high = (middle, high) if at(slope, middle) > 0 else (low, middle)
    return float(abs(at(found, low))), float(low)


def iterated(ratio: float, wave: float, points: int = 64, accelerated: bool = True) -> float:
    """What one iteration makes of the error e^{i L x}, done in angles: a sweep in each, then the correction."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    psi = ratio / (1 + 1j * wave * nodes)
    phi = np.sum(weights * psi) / 2
    correction = ratio * (phi - 1) / (wave**2 / 3 + 1 - ratio) if accelerated else 0.0
    return float((phi + correction).real)


if __name__ == "__main__":
    print("   c   source iteration   accelerated       at L    .22467 c")
    for ratio in (1.0, 0.9, 0.5):
        largest, place = radius(ratio)
        print(f"{ratio:4.1f}   {ratio:16.4f}   {largest:11.5f}   {place:8.3f}   {0.22467 * ratio:9.5f}")
