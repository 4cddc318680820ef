r"""phi functions of complex arrays to nearly machine precision: what stability regions are drawn with.

.. math:: \varphi_k(2z) = 2^{-k}\Bigl[e^z\varphi_k(z) + \sum_{j=1}^{k} \varphi_j(z)/(k-j)!\Bigr]

The highest function is a Taylor sum at z/2^s with modulus at most 1, the others follow by phi_{k-1} = z phi_k + 1/(k-1)!,
and s doublings lead back. On the real line every term is positive, so nothing cancels; (exp(z) - 1)/z is never formed
(Skaflestad-Wright 2009, Appl. Numer. Math. 59, Sec. 2).
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

TERMS = 19
"""Terms of the Taylor sum: 1/19! is below one unit in the last place."""


def phis(highest: int, z: NDArray[np.complexfloating] | NDArray[np.floating]) -> list[NDArray]:
    """phi_0(z) .. phi_highest(z), each of the shape of ``z`` (real for real z). Finite for |z| < 700."""
    z = np.asarray(z)
    z = z.astype(np.result_type(z, float))
    modulus = np.abs(z)
    halvings = np.where(modulus > 1, np.ceil(np.log2(np.maximum(modulus, 1))), 0).astype(int)
    small = z * np.ldexp(1.0, -halvings)
    out = _near_zero(highest, small)
    for level in range(int(halvings.max(initial=0)), 0, -1):
        here = halvings >= level
        doubled = _doubled([p[here] for p in out], np.exp(np.ldexp(1.0, 1 - level) * z[here]))
        for p, d in zip(out, doubled):
            p[here] = d
    return out


def _near_zero(highest: int, z: NDArray) -> list[NDArray]:
    """|z| <= 1."""
    total = np.full_like(z, 1 / factorial(highest + TERMS))
    for n in range(TERMS - 1, -1, -1):
        total = total * z + 1 / factorial(highest + n)
    out = [total]
    for k in range(highest - 1, -1, -1):
        out.append(z * out[-1] + 1 / factorial(k))
    return out[::-1]


def _doubled(phi: list[NDArray], exponential: NDArray) -> list[NDArray]:
    """The functions at 2z from those at z; ``exponential``: e^{2z}, which repeated squaring would blur."""
    out = [exponential]
    for k in range(1, len(phi)):
        total = phi[0] * phi[k]
        for j in range(1, k + 1):
            total = total + phi[j] * (1 / factorial(k - j))
        out.append(total * 0.5**k)
    return out


__all__ = ["phis"]
