r"""Linear multistep methods as a pair (rho, sigma), with free parameters: interval, order, error constant, sector.

rho(zeta) x = h sigma(zeta) f. The constant is that of rho(e^h) - h sigma(e^h) over sigma(1); -1 is a root at
h lambda = rho(-1)/sigma(-1). Momentum v_{n+1} = (1 - b) v_n + b f_n, x_{n+1} = x_n + h sum c_i v_{n+1-i} is such a pair
(arXiv:2307.11118, Eq. 13-19; c is the product of Adams' series and 1 + ((1-b)/b) nabla, cut off in powers of nabla):

    (zeta - 1)(zeta - (1 - b)) x = h b zeta c(1/zeta) f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial, pi
from typing import Any

import numpy as np
from sympy import QQ
from sympy.polys.fields import field

from derive.analysis.intervals import NOWHERE, EndPoint, first_exit, inside_exactly, parameter_ring

SERIES = 12


@dataclass(frozen=True, slots=True)
class LinearMultistep:
    """rho(zeta) x = h sigma(zeta) f; coefficients leading first, of equal length, in an exact field."""

    rho: tuple[Any, ...]
    sigma: tuple[Any, ...]

    def at_minus_one(self) -> Any:
        """w = h lambda at which -1 is a root: rho(-1)/sigma(-1), the end of the real interval of Adams-type methods."""
        return _alternating(self.rho) / _alternating(self.sigma)

    def error(self) -> tuple[int, Any]:
        """(order, constant): exact - numerical = constant h^(order + 1) x^(order + 1) + ..

        The constant is that of rho(e^h) - h sigma(e^h), divided by sigma(1).
        """
        size = len(self.rho) - 1
        total = sum(self.sigma[1:], start=self.sigma[0])
        for k in range(SERIES):
            value = self.rho[0] * 0
            for i, (r, s) in enumerate(zip(self.rho, self.sigma)):
                power = size - i
                value = value + (r * power**k - (s * (k * power ** (k - 1)) if k else 0)) * QQ(1, factorial(k))
            if value:
                return k - 1, value / total
        raise ValueError("the method is exact beyond every order that is looked at")

    def real_interval(self) -> EndPoint:
        """Exactly, for rational coefficients: as a positive number."""
        rng, w = parameter_ring()
        found = first_exit(_shortest(tuple(rng(r) + w * s for r, s in zip(self.rho, self.sigma))))
        return found or NOWHERE

    def sector_angle(self, points: int = 20001) -> float:
        """alpha of A(alpha)-stability in degrees: the sector |arg(-w)| < alpha is stable; 0 for explicit methods.

        Asked of methods that damp at infinity (sigma has its roots inside the disc); 0 is returned for others.
        """
        if not self.sigma[0] or not inside_exactly(_shortest(self.sigma)):
            return 0.0
        circle = np.exp(1j * np.linspace(1e-3, pi, points))
        locus = np.polyval(np.array(self.rho, float), circle) / np.polyval(np.array(self.sigma, float), circle)
        return float(np.degrees(min(pi / 2, np.abs(np.angle(-locus)).min())))


def _alternating(p: Sequence[Any]) -> Any:
    return sum((c * (-1) ** k for k, c in enumerate(reversed(p))), start=p[0] * 0)


def _shortest(p: Sequence[Any]) -> tuple[Any, ...]:
    """Without roots 0."""
    out = list(p)
    while len(out) > 1 and not out[-1]:
        out.pop()
    return tuple(out)


def adams_series(count: int) -> list[Any]:
    """gamma_j = int_0^1 C(s + j - 1, j) ds of Adams-Bashforth: sum_i gamma_i/(j + 1 - i) = 1."""
    out: list[Any] = []
    for j in range(count):
        out.append(QQ(1) - sum((out[i] * QQ(1, j + 1 - i) for i in range(j)), start=QQ(0)))
    return out


def momentum(order: int, beta: Any = None) -> LinearMultistep:
    """Generalised heavy ball of an order: rho and sigma over Q, or over Q(b) where ``beta`` is None."""
    b = field("b", QQ)[1] if beta is None else QQ.convert(beta)
    gamma = adams_series(order)
    share = (1 - b) / b
    in_nabla = [gamma[j] + (share * gamma[j - 1] if j else 0 * b) for j in range(order)]
    c = [0 * b] * order
    power: list[Any] = [QQ(1)]
    for g in in_nabla:
        c = [v + g * (power[i] if i < len(power) else 0) for i, v in enumerate(c)]
        power = [u - v for u, v in zip([*power, 0], [0, *power])]
    rho = [b * 0 + 1, b - 2, 1 - b]
    sigma = [b * 0, *(b * v for v in c)]
    size = max(len(rho), len(sigma))
    return LinearMultistep(tuple(rho + [b * 0] * (size - 3)), tuple(sigma + [b * 0] * (size - len(sigma))))


__all__ = ["LinearMultistep", "adams_series", "momentum"]
