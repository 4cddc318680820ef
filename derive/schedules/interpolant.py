"""One-sided stochastic interpolants (Albergo et al. 2023): x_t = sigma(t) z + alpha(t) x1, t from 0 (noise) to 1 (data).

linear: sigma = 1 - t, alpha = t, which is the flow schedule with time the other way round. trig: sigma = cos(pi t/2),
alpha = sin(pi t/2). encoding_decoding: the second half, t from 1/2 to 1, sigma = sin^2(pi t), alpha = cos^2(pi t).
Two-sided interpolants are in ``runtime.interpolant``.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from derive.parameters import Choice, Parameters
from derive.schedules import PRESERVING, End, Schedule
from derive.symbolic.alphabet import rho, t
from derive.symbolic.differences import log_difference

REFERENCE = "arXiv:2303.08797 (Sec. 3.2, 4); linear: arXiv:2209.15571"

PARAMETERS: Parameters = {
    "path": Choice(
        default="linear", options=("linear", "trig", "encoding_decoding"), doc="the weights alpha and sigma"
    ),
}

_SINE = {"trig": (sp.pi / 2, 0, 1), "encoding_decoding": (sp.pi, sp.Rational(1, 2), 2)}
"""(c, start, power): alpha = sin(c (t - start))^power, sigma = sin(c (1 - t))^power: both ends are exact zeros."""


def build(path: str = "linear") -> Schedule:
    """The schedule of a path. ValueError if there is none of that name."""
    if path == "linear":
        return replace(_schedule(t, 1 - t, sp.Integer(0), 1 / (1 + rho)), t_of_rho=1 / (1 + rho))
    if path not in _SINE:
        raise ValueError(f"path is {path}; allowed: linear, {', '.join(_SINE)}")
    c, start, power = _SINE[path]
    alpha, sigma = (sp.sin(c * distance) ** power for distance in (t - start, 1 - t))
    return _schedule(alpha, sigma, sp.Rational(start), PRESERVING if power == 1 else 1 / (1 + rho))


def _schedule(alpha: sp.Expr, sigma: sp.Expr, noise: sp.Rational, invariant: sp.Expr) -> Schedule:
    ends: tuple[End, End] = ("alpha_zero", "sigma_zero")
    return Schedule(
        kind="interpolant",
        log_alpha=sp.log(alpha),
        alpha=alpha,
        sigma=sigma,
        rho=sigma / alpha,
        dlambda=-log_difference(sigma / alpha),
        dlog_alpha=log_difference(alpha),
        noise=noise,
        data=sp.Integer(1),
        noise_end=ends[0],
        data_end=ends[1],
        invariant=invariant,
    )
