r"""Zero-stability: the roots of rho(zeta) on fixed and on varying step ratios.

A method x_{n+1} = sum_i V_i x_{n-i} + .. is zero-stable if the roots of zeta^k - sum_i V_i zeta^{k-1-i} lie in the closed
disc, those on the circle simple. Adams, UniPC, DEIS and SA rows have V = (1): the roots are 1 and 0, on every grid. On a
varying grid the products of companion matrices have to stay bounded; the root 1 is split off by passing to differences.
For methods with V other than (1) that is sampled here, not proved (:func:`product_growth`), but for two steps: there the
difference of two states is multiplied by one number, and :func:`ratio_limit` holds on varying grids, too. No family has
such rows, so no claim rests on it. With a fixed ratio
omega the end of stability is a root of a polynomial in omega (BDF2: 1 + sqrt 2; Grigorieff 1983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import QQ
from sympy.polys.rings import ring

from derive.analysis.intervals import EndPoint, first_exit, inside_exactly
from derive.analysis.recurrence import Polynomial
from derive.tableau import Row, at_ratios


@dataclass(frozen=True, slots=True)
class ZeroStability:
    """stable: the root condition; strong: 1 is the only root on the circle; roots: all of them, the largest first."""

    stable: bool
    strong: bool
    roots: tuple[complex, ...]

    def __str__(self) -> str:
        if self.strong:
            return "zero-stable" + (" on every grid (the only root is 1)" if len(self.roots) == 1 else "")
        return "weakly zero-stable (more than one root of modulus 1)" if self.stable else "not zero-stable"


def zero_stability(weights: Sequence[Any]) -> ZeroStability:
    """Of x_{n+1} = sum_i V_i x_{n-i} with rational weights, decided exactly."""
    p = [QQ(1), *(-QQ.convert(v) for v in weights)]
    while len(p) > 1 and not p[-1]:
        p.pop()
    roots = tuple(sorted((complex(r) for r in np.roots([float(c) for c in p])), key=lambda r: -abs(r)))
    if not sum(p) and inside_exactly(_without_root_one(p)):
        return ZeroStability(True, True, roots)
    return ZeroStability(_simple_on_circle(p), False, roots)


def _without_root_one(p: Sequence[Any]) -> list[Any]:
    out = [p[0]]
    for c in p[1:-1]:
        out.append(c + out[-1])
    return out


def _simple_on_circle(p: Sequence[Any]) -> bool:
    """Roots in the closed disc, those on the circle simple: exact multiplicities, moduli to 1e-9."""
    rng, z = ring("z", QQ)
    whole = sum((c * z ** (len(p) - 1 - k) for k, c in enumerate(p)), start=rng.zero)
    for factor, multiplicity in whole.sqf_list()[1]:
        moduli = np.abs(np.roots([float(factor.coeff(z**e if e else 1)) for e in range(factor.degree(), -1, -1)]))
        if np.any(moduli > 1 + 1e-9) or (multiplicity > 1 and np.any(moduli > 1 - 1e-9)):
            return False
    return True


def history_weights(row: Row, ratios: Sequence[Any]) -> tuple[Any, ...]:
    """V_i of a row at fixed step ratios."""
    return tuple(at_ratios(v, ratios) if v.as_expr().free_symbols else v.LC if v else QQ(0) for v in row.x_history)


def parasitic(p: Polynomial) -> Polynomial:
    """p / (zeta - 1) for coefficients in any ring. Raises ValueError if 1 is not a root (the method is not consistent)."""
    if sum(p[1:], start=p[0]):
        raise ValueError("1 is not a root: a constant is not preserved")
    return tuple(_without_root_one(p))


def ratio_limit(p: Polynomial) -> EndPoint | None:
    """Up to which fixed step ratio omega the method is zero-stable; p: coefficients in Q[omega], leading first.

    None if it is not for small omega. Of a method of two steps that holds for ratios that vary: differences of states are
    multiplied by numbers below a bound smaller than 1 while the ratios stay in a closed interval below the limit.
    """
    return first_exit(parasitic(p))


def product_growth(
    weights: Callable[..., Sequence[float]], carried: int, box: tuple[float, float], length: int = 6, points: int = 5
) -> tuple[float, ...]:
    """max |M_n .. M_1| (largest row sum) for n = 1 .. length over step ratios *sampled* from a grid of the box.

    M: the companion matrix of the differences x_{n+1} - x_n. weights(omega_n, omega_{n-1}, ..) returns V for the
    ``carried`` newest ratios. A value above 1 that grows refutes stability; one below 1 is evidence, no proof: ratios
    between the samples are not looked at, and of many products only the largest are followed.
    """
    matrices = {ratios: _differences(weights(*ratios)) for ratios in product(np.linspace(*box, points), repeat=carried)}
    size = next(iter(matrices.values())).shape[0]
    states: dict[tuple[float, ...], list[NDArray]] = {ratios[:-1]: [np.eye(size)] for ratios in matrices}
    out = []
    for _ in range(length):
        following: dict[tuple[float, ...], list[NDArray]] = {}
        for ratios, matrix in matrices.items():
            following.setdefault(ratios[:-1], []).extend(matrix @ m for m in states.get(ratios[1:], []))
        states = {key: _largest(found) for key, found in following.items()}
        out.append(max(_norm(m) for found in states.values() for m in found))
    return tuple(out)


def _differences(weights: Sequence[float]) -> NDArray:
    """Companion matrix of zeta^k - sum V_i zeta^{k-1-i} without its root 1."""
    p = np.array(_without_root_one([1.0, *(-v for v in weights)]))
    count = len(p) - 1
    out = np.eye(count, k=-1)
    out[0] = -p[1:]
    return out


def _norm(m: NDArray) -> float:
    return float(np.abs(m).sum(axis=1).max())


def _largest(found: list[NDArray], keep: int = 256) -> list[NDArray]:
    """The products of largest norm."""
    return sorted(found, key=_norm, reverse=True)[:keep]


__all__ = ["ZeroStability", "history_weights", "parasitic", "product_growth", "ratio_limit", "zero_stability"]
