"""Kinetic-optimal paths (Shaul et al. 2023): the least kinetic energy for lambda(s), t from 0 (noise) to 1 (data).

lambda(s) = E|E[x1 | x]|^2/E|x1|^2 at s = alpha/sigma is how much of the data x = alpha x1 + sigma z tells: from
s^2/(1 + s^2) to 1. lambda = 1 (points far apart) gives alpha = t, sigma = 1 - t. Data of mean m and variance c^2 with
m^2 + c^2 = 1 have lambda = m^2 + c^4 s^2/(1 + c^2 s^2), and alpha = t, sigma^2 = (1 - t)^2 + 2 c t (1 - t).
The path is alpha = r sin(theta), sigma = r cos(theta) with r^2 = 1 - b t (1 - t); log tan(theta) is a Chebyshev series.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from derive.parameters import Expression, Parameters
from derive.schedules import Schedule, Table, rational
from derive.symbolic.alphabet import t, tabulated
from derive.symbolic.differences import log_difference
from derive.symbolic.geodesic import geodesic, variable

REFERENCE = "arXiv:2306.06626 (Eq. 18-29, Thm. 3.1)"

NAME = "g"

PARAMETERS: Parameters = {
    "separation": Expression(
        default=None,
        names=("s",),
        doc="lambda(s), s = alpha/sigma: what x tells of unit-variance data; default: 1, all",
    ),
}


def build(separation: sp.Expr | None = None) -> Schedule:
    """The path of least energy. ValueError unless s^2/(1 + s^2) < separation <= 1, and smooth."""
    found = geodesic(sp.S.One if separation is None else separation)
    curve = tabulated(sp.Symbol(NAME), variable(found.powers, t))
    p0, p1 = found.powers
    up, down = t**p0 * sp.exp(curve / 2), (1 - t) ** p1 * sp.exp(-curve / 2)
    radius = sp.sqrt((1 - rational(Fraction(found.b)) * t * (1 - t)) / (up**2 + down**2))
    level = (1 - t) ** p1 * t**-p0 * sp.exp(-curve)
    return Schedule(
        kind="kinetic",
        log_alpha=sp.log(radius * up),
        alpha=radius * up,
        sigma=radius * down,
        rho=level,
        dlambda=-log_difference(level),
        dlog_alpha=log_difference(radius * up),
        noise=sp.Integer(0),
        data=sp.Integer(1),
        noise_end="alpha_zero",
        data_end="sigma_zero",
        tables={NAME: Table("chebyshev", 0.0, 1.0, found.g)},
        notes=(f"kinetic energy {found.b!r}; {len(found.g)} terms",),
    )
