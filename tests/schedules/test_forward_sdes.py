"""The forward SDEs of the score-based models (arXiv:2011.13456, Eq. 29-32): coefficients, laws by Lyapunov's equation, priors.

dx = f x dt + g dW has the variance V' = 2 f V + g^2, and the reverse-time SDE with the score -x/V the same laws backwards.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import sympy as sp
import torch
from scipy.integrate import solve_ivp

from derive.lookup import load
from derive.predictions import data
from derive.problems import sde
from derive.schedules import Schedule, at_schedule
from derive.symbolic.alphabet import expm1, t
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from runtime.density import log_prior

WIDE = mpmath_algebra(320)
BETA = sp.Rational(1, 10) + t * sp.Rational(199, 10)
AREA = t / 10 + t**2 * sp.Rational(199, 20)
"""beta and its integral, 0.1 to 20."""
RATIO = sp.log(5000)
THETA = sp.log(200)
PUBLISHED = {
    "vp_linear": ({}, -BETA / 2, BETA),
    "subvp": ({}, -BETA / 2, -BETA * expm1(-2 * AREA)),
    "ve": ({}, sp.Integer(0), (sp.exp(RATIO * t) / 100) ** 2 * 2 * RATIO),
    "mean_reverting": ({"sigma_inf": Fraction(2, 5)}, -THETA, 2 * THETA * sp.Rational(4, 25)),
}
"""Parameters, f and g^2."""
every = pytest.mark.parametrize("kind", PUBLISHED)


def built(kind: str) -> Schedule:
    return load("derive.schedules", kind).build(**PUBLISHED[kind][0])


def number(expr: sp.Expr, time: float) -> float:
    return float(evaluate(expr, {t: WIDE.number(time)}, WIDE))


def variance(path: Schedule, width: float, time: float) -> float:
    """Of x at a time, for data N(0, width^2)."""
    return (width * number(path.alpha, time)) ** 2 + number(path.sigma, time) ** 2


@every
def test_the_coefficients_are_the_published_ones(kind: str) -> None:
    """f = (log alpha)' and g^2 = (sigma^2)' - 2 f sigma^2; the reverse SDE of ``derive.problems.sde`` has this g^2."""
    path, (_, f, g2) = built(kind), PUBLISHED[kind]
    own = sp.diff(path.sigma**2, t) - 2 * sp.diff(path.log_alpha, t) * path.sigma**2
    posed = sde.pose(path, data.build(), data.build(), "lambda")
    assert posed.noise is not None
    reverse = at_schedule(posed.noise.density, path)
    for time in (Fraction(1, 100), Fraction(1, 3), Fraction(9, 10)):
        at = {t: WIDE.number(time)}
        drift, strength, mine, backwards, slope = (
            evaluate(e, at, WIDE) for e in (f, g2, own, reverse, sp.diff(path.log_alpha, t))
        )
        assert abs(slope - drift) <= 1e-80 * (1 + abs(drift))
        assert abs(mine - strength) <= 1e-80 * abs(strength)
        assert abs(backwards + strength) <= 1e-80 * abs(strength)


@every
@pytest.mark.parametrize(
    "width", [pytest.param(0.0, marks=pytest.mark.slow), 0.7, pytest.param(3.0, marks=pytest.mark.slow)]
)
def test_the_law_is_the_solution_of_lyapunovs_equation(kind: str, width: float) -> None:
    """From t = 0 to 1 with the published coefficients, to 1e-9 of the variance; VE begins with sigma_min^2."""
    path, (_, f, g2) = built(kind), PUBLISHED[kind]
    times = [0.1, 0.5, 1.0]
    found = solve_ivp(
        lambda time, v: 2 * number(f, time) * v + number(g2, time), (0.0, 1.0), [variance(path, width, 0.0)],
        "DOP853", t_eval=times, rtol=1e-12, atol=1e-15,
    ).y[0]  # fmt: skip
    for time, v in zip(times, found):
        assert abs(v / variance(path, width, time) - 1) < 1e-9


@every
@pytest.mark.parametrize(
    "tau", [pytest.param(0.0, marks=pytest.mark.slow), 1.0, pytest.param(2.0, marks=pytest.mark.slow)]
)
def test_the_reverse_sde_has_the_laws_backwards(kind: str, tau: float) -> None:
    """dx = (f x - (1 + tau^2)/2 g^2 score) dt + tau g dW from t = 1 to 0.01, with the score -x/V* of the exact variance V*:

    V' = 2 f V + (1 + tau^2) g^2 V/V* - tau^2 g^2.
    """
    path, (_, f, g2) = built(kind), PUBLISHED[kind]

    def slope(time: float, v: list[float]) -> list[float]:
        strength = number(g2, time)
        pull = (1 + tau**2) * strength / variance(path, 0.7, time)
        return [(2 * number(f, time) + pull) * v[0] - tau**2 * strength]

    found = solve_ivp(slope, (1.0, 0.01), [variance(path, 0.7, 1.0)], "DOP853", rtol=1e-11, atol=1e-14).y[0, -1]
    assert abs(found / variance(path, 0.7, 0.01) - 1) < 1e-8


@pytest.mark.parametrize(("kind", "scale"), [("ve", 50.0), ("vp_linear", 1.0)])
def test_the_prior_is_that_of_the_process(kind: str, scale: float) -> None:
    """VE: N(0, sigma_max^2); VP: N(0, 1). Against torch.distributions."""
    path = built(kind)
    x = 3 * scale * torch.randn(5, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ends = [torch.tensor(number(f, 1.0), dtype=torch.float64) for f in (path.alpha, path.sigma)]
    zero, width = torch.tensor([0.0, scale], dtype=torch.float64)
    exact = torch.distributions.Normal(zero, width).log_prob(x).sum((1, 2))
    assert torch.allclose(log_prior(None, x, ends), exact, rtol=1e-13, atol=0)
    assert math.isclose(float(ends[1]), scale, rel_tol=3e-5)
