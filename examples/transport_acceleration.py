r"""How fast two iterations for linear transport converge, exactly: source iteration, and with a diffusion correction.

In a slab with scattering ratio c, source iteration solves mu psi' + psi = c phi_old, phi = int psi dmu / 2. An error
e^{i L x} becomes c A(L) times itself, A = int_0^1 dmu/(1 + (L mu)^2) = arctan(L)/L: its radius is c, at L = 0. Diffusion
synthetic acceleration adds the solution of -f''/3 + (1 - c) f = c (phi - phi_old):

    omega(L) = c A - c (1 - c A)/(L^2/3 + 1 - c)

    python examples/transport_acceleration.py
"""

from __future__ import annotations

import mpmath
import numpy as np
import sympy as sp

L, C = sp.symbols("L c", positive=True)
SWEPT = C * sp.integrate(1 / (1 + (L * sp.Symbol("mu", positive=True)) ** 2), (sp.Symbol("mu", positive=True), 0, 1))
"""The factor of source iteration."""
ACCELERATED = SWEPT + C * (SWEPT - 1) / (L**2 / 3 + 1 - C)
"""The factor with the diffusion correction: the change of phi is (SWEPT - 1) times the error."""


def radius(ratio: float) -> tuple[float, float]:
    """(max over L of omega, where) of the accelerated iteration, from the zero of its derivative."""
    with mpmath.workdps(30):
        factor = sp.lambdify(L, ACCELERATED.subs(C, sp.nsimplify(ratio)), "mpmath")
        slope = sp.lambdify(L, sp.diff(ACCELERATED.subs(C, sp.nsimplify(ratio)), L), "mpmath")
        grid = [mpmath.mpf(k) / 50 for k in range(5, 2000)]
        best = max(grid, key=lambda at: abs(factor(at)))
        place = mpmath.findroot(slope, (best - mpmath.mpf(1) / 50, best + mpmath.mpf(1) / 50), solver="anderson")
        return float(abs(factor(place))), float(place)


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
