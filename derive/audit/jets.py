r"""The order of a sampler by jets: exact numbers through the whole code, on a network that couples its stages.

    dw/drho = K E(w, rho),   E a polynomial of w in R^2 and of rho;   steps c_n h, h = 10^-PLACES, before and after them c_n h^4

The short steps leave errors of h^8 only, whatever they do, so the error at the end is C h^{p+1} of the steps between, and the
exponent is read off: no fit. The exact solution is its Taylor series in rho.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import torch

from derive.audit.exact import Exact, Exactly, entries, number
from derive.audit.sampler import Sampler, kept

PLACES = 16
SHORT, MAIN, LAST = 12, 8, 4
SIZES = ("1", "7/10", "13/10", "17/20", "23/20", "3/5", "7/5", "9/10", "5/4", "4/5", "6/5")
TERMS = 12
START = ("1/2", "-1/3")


def jet_order(sampler: Sampler, rate: Any) -> int | None:
    """p (0: no convergence), or None where the error is no power of h or smaller than that of the short steps.

    rate: K. Inexact if the code leaves exact numbers.
    """
    with Exactly(), torch.no_grad():
        lams = grid()
        error = _error(sampler, number(rate), lams)
        if error < mpmath.mpf(10) ** (-7 * PLACES):
            return None
        exponent = float(-mpmath.log10(error) / PLACES)
    if exponent < 1.3:
        return 0
    return round(exponent) - 1 if abs(exponent - round(exponent)) < 0.3 else None


def grid() -> list[Any]:
    """Half log SNRs about 0."""
    h = mpmath.mpf(10) ** -PLACES
    sizes = [_fraction(SIZES[i % len(SIZES)]) * h for i in range(SHORT + MAIN + LAST)]
    lams = [mpmath.mpf(0)]
    for i, size in enumerate(sizes):
        lams.append(lams[-1] + (size if SHORT <= i < SHORT + MAIN else size * h**3))
    return lams


def _fraction(text: str) -> Any:
    top, _, bottom = text.partition("/")
    return mpmath.mpf(int(top)) / int(bottom or 1)


def _error(sampler: Sampler, rate: Any, lams: Sequence[Any]) -> Any:
    start = [_fraction(text) for text in START]
    alpha, _ = sampler.scales(lams[0])
    states: list[torch.Tensor] = []
    sampler.run(_data, Exact(np.array([[alpha * w for w in start]], dtype=object)), lams, kept(states))
    alpha, _ = sampler.scales(lams[-1])
    rho = mpmath.exp(-lams[0])
    exact = _taylor(start, rho, rate, mpmath.exp(-lams[-1]) - rho)
    return max(abs(x / alpha - w) for x, w in zip(entries(states[-1]).reshape(-1), exact))


def _noise(w: Sequence[Any], rho: Any, times: Any) -> list[Any]:
    """E, of numbers or of series: ``times`` multiplies."""
    a, b = w
    s = times(rho, rho)
    return [
        _sum((times(a, b), 2), (times(rho, a), -4), (b, 3)),
        _sum((times(a, a), -3), (times(rho, b), 3), (s, 7)),
    ]


def _sum(*parts: tuple[Any, int]) -> Any:
    """sum of part/n."""
    return sum((part / n for part, n in parts[1:]), parts[0][0] / parts[0][1])


def _data(x: torch.Tensor, alpha: Any, sigma: Any) -> torch.Tensor:
    rho = sigma / alpha
    w = entries(x).reshape(-1) / alpha
    found = [v - rho * e for v, e in zip(w, _noise(w, rho, lambda u, v: u * v))]
    return Exact(np.array(found, dtype=object).reshape(1, 2))


def _taylor(start: Sequence[Any], rho: Any, rate: Any, step: Any) -> list[Any]:
    """w after ``step``: coefficients by Picard iteration on series, one more of them right with every pass."""
    zero = mpmath.mpf(0)

    def times(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.array([sum((u[i] * v[n - i] for i in range(n + 1)), zero) for n in range(TERMS)], dtype=object)

    time = np.array([rho, mpmath.mpf(1), *[zero] * (TERMS - 2)], dtype=object)
    w = [np.array([value, *[zero] * (TERMS - 1)], dtype=object) for value in start]
    for _ in range(TERMS):
        slopes = _noise(w, time, times)
        w = [
            np.array([v, *(rate * slope[n] / (n + 1) for n in range(TERMS - 1))], dtype=object)
            for v, slope in zip(start, slopes)
        ]
    return [sum((c * step**n for n, c in enumerate(series)), zero) for series in w]


__all__ = ["grid", "jet_order"]
