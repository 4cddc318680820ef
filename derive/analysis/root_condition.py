r"""The root condition on grids: where all roots of a polynomial lie in the open unit disc.

Schur-Cohn (Jury): with p* the conjugate reversed polynomial, the roots of p of degree n are inside exactly when
|p_n| > |p_0| and those of (conj(p_n) p - p_0 p*)/zeta, of degree n - 1, are. n(n+1) multiplications a point and no
eigenvalue. The grid is the truth; the boundary locus, w at which some root has modulus 1, is an overlay with arcs that
bound nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.analysis.recurrence import (
    Polynomial,
    arithmetic,
    characteristic,
    companion,
    degree_in_w,
    stacked,
)
from derive.symbolic.forms import Step

BLOCK = 1 << 14
"""Points that are treated at once: their coefficients stay in the cache."""


def schur_cohn(coefficients: Sequence[ArrayLike], radius: float = 1.0) -> NDArray[np.bool_]:
    """Whether all roots have modulus < ``radius``. coefficients: leading first, arrays of one shape (or numbers)."""
    if len(coefficients) == 1:
        return np.ones(np.shape(coefficients[0]), dtype=bool)
    arrays = np.broadcast_arrays(*coefficients)
    shape = arrays[0].shape
    flattened = [a.reshape(-1) for a in arrays]
    scale = [radius**-k for k in range(len(arrays))]
    out = np.empty(flattened[0].size, dtype=bool)
    for begin in range(0, out.size, BLOCK):
        part = slice(begin, begin + BLOCK)
        out[part] = _inside([a[part] * s for a, s in zip(flattened, scale)])
    return out.reshape(shape)


def _inside(p: list[NDArray]) -> NDArray[np.bool_]:
    """p: leading first. The reduction is divided by the size of p, so that products neither over- nor underflow."""
    inside = np.ones(p[0].shape, dtype=bool)
    with np.errstate(all="ignore"):
        while len(p) > 1:
            lead, last = p[0], p[-1]
            inside &= np.abs(lead) > np.abs(last)
            if len(p) == 2:
                break
            unit = 1 / np.where(lead == 0, 1, lead)
            ratio = last * unit
            p = [c - ratio * np.conj(d * unit) * lead for c, d in zip(p[:-1], p[:0:-1])]
    return inside


def largest_root(polynomial: Polynomial) -> NDArray[np.floating]:
    """The largest modulus of a root, by batched eigenvalues."""
    if len(polynomial) == 1:
        return np.zeros(np.shape(polynomial[0]))
    return np.abs(np.linalg.eigvals(companion(polynomial))).max(axis=-1)


@dataclass(frozen=True, slots=True)
class StabilityMap:
    """``stable[i, j]``: the root condition at w = real[j] + 1j imag[i], for z fixed; locus: w on the boundary curve(s)."""

    z: complex
    real: NDArray[np.floating]
    imag: NDArray[np.floating]
    stable: NDArray[np.bool_]
    locus: NDArray[np.complexfloating]


def stability_map(
    step: Step,
    *,
    z: complex = 0.0,
    corrected: bool = False,
    window: tuple[float, float, float, float] = (-4.0, 2.0, -3.0, 3.0),
    points: int = 512,
    angles: int = 1024,
) -> StabilityMap:
    """The slice of the stability region at a fixed z = a h, on ``points`` x ``points`` values of w = b h in ``window``."""
    real = np.linspace(window[0], window[1], points)
    imag = np.linspace(window[2], window[3], points)
    polynomial = characteristic(step, arithmetic(step, z), real + 1j * imag[:, None], corrected=corrected)
    return StabilityMap(z, real, imag, schur_cohn(polynomial), boundary_locus(step, z, corrected, angles))


def boundary_locus(step: Step, z: complex, corrected: bool = False, angles: int = 1024) -> NDArray[np.complexfloating]:
    """w with p(e^{i theta}; w) = 0, one row per power of w that the coefficients reach; nan where there is no such w."""
    count = degree_in_w(step) + 1
    samples = np.exp(2j * np.pi * np.arange(count) / count)
    values = stacked(characteristic(step, arithmetic(step, z), samples, corrected=corrected))
    in_w = np.fft.fft(values, axis=1) / count
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, angles))
    powers = circle[:, None] ** np.arange(len(values) - 1, -1, -1)
    polynomials = powers @ in_w
    size = np.abs(polynomials).max(axis=0)
    degree = int(np.flatnonzero(size > 1e-13 * size.max())[-1])
    return _roots(polynomials[:, : degree + 1]) if degree else np.full((1, angles), np.nan + 0j)


def _roots(ascending: NDArray) -> NDArray:
    """Roots of many polynomials, coefficients ascending along the last axis; shape (degree, ...)."""
    degree = ascending.shape[-1] - 1
    lead = ascending[:, -1]
    good = np.abs(lead) > 1e-13 * np.abs(ascending).max(axis=-1)
    monic = ascending[:, ::-1] / np.where(good, lead, 1)[:, None]
    monic[:, 0] = 1  # where the degree drops, too: those roots are not looked at
    roots = np.linalg.eigvals(companion(tuple(monic.T)))
    roots[~good] = np.nan
    return roots.T.reshape(degree, -1)


__all__ = ["StabilityMap", "boundary_locus", "largest_root", "schur_cohn", "stability_map"]
