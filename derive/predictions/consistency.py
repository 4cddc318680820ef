r"""What a network says about f = c_skip x + c_out x0hat, the consistency function of a latent consistency model.

x0hat is what the network's output, noise, data or v, says about the data; c_skip = w^2/((s t)^2 + w^2) and
c_out = s t/sqrt((s t)^2 + w^2) with w = sigma_data and s = timestep_scaling, so that f(x, 0) = x (arXiv:2310.04378, Eq. 9;
the constants are those of diffusers: w = 1/2, s = 10 with t the training step). The data is f: x0hat = (x0 - c_skip x)/c_out
in the output n0 x0hat + n1 epshat gives

    N = q (1 - c_skip alpha) x0 + n1 (alpha/sigma) x0 + (n1 - q c_skip sigma) eps,   q = (n0 - n1 alpha/sigma)/c_out
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy as sp

from derive.parameters import Choice, Number, Parameters
from derive.predictions import COMMON, Prediction, prediction
from derive.symbolic.alphabet import alpha, sigma, t

REFERENCE = "arXiv:2310.04378 (Eq. 9); arXiv:2303.01469 (Eq. 5)"

OUTPUTS: Mapping[str, tuple[sp.Expr, sp.Expr]] = {
    "noise": (sp.Integer(0), sp.Integer(1)),
    "data": (sp.Integer(1), sp.Integer(0)),
    "v": (-sigma, alpha),
}
"""(n0, n1) of what the network was trained to return."""

PARAMETERS: Parameters = {
    "output": Choice(default="noise", options=tuple(OUTPUTS), doc="what the network returns: noise, data or v"),
    "timestep_scaling": Number(
        default=Fraction(10), low=Fraction(0), low_open=True, doc="t times this in c_skip and c_out (t of the schedule)"
    ),
    **COMMON,
}


def scalings(timestep_scaling: Fraction, sigma_data: Fraction) -> tuple[sp.Expr, sp.Expr]:
    """(c_skip, c_out) in t."""
    scaled, width = (sp.Rational(v.numerator, v.denominator) for v in (timestep_scaling, sigma_data))
    square = (scaled * t) ** 2 + width**2
    return width**2 / square, scaled * t / sp.sqrt(square)


def build(
    output: str = "noise",
    timestep_scaling: Fraction = Fraction(10),
    sigma_data: Fraction = Fraction(1, 2),
    **common: Any,
) -> Prediction:
    """The prediction; ``common``: what the network is fed (:data:`COMMON`)."""
    n0, n1 = OUTPUTS[output]
    skip, out = scalings(timestep_scaling, sigma_data)
    share = (n0 - n1 * alpha / sigma) / out
    c0 = share * (1 - skip * alpha) + n1 * alpha / sigma
    return prediction("consistency", c0, n1 - share * skip * sigma, None, sigma_data=sigma_data, **common)
