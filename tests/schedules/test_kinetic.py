"""Kinetic-optimal paths: closed forms, the boundary-value problem they solve, and the energy that no other path reaches."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from derive.schedules import Schedule, flow, interpolant, kinetic, vp_cosine, vp_linear
from derive.symbolic.alphabet import s, t
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from tests.emitted import emitted

WIDE = mpmath_algebra(320)
MP = WIDE.context
TIMES = [Fraction(k, 64) for k in (1, 3, 8, 17, 32, 41, 55, 61, 63)]


def gaussian(*variances: str) -> sp.Expr:
    """lambda of N(0, diag(variances)), whose mean variance is 1."""
    c = [sp.Rational(v) for v in variances]
    return sum(v * (s**2 * v / (1 + s**2 * v)) for v in c) / len(c)


SHIFTED = sp.Rational(3, 4) + sp.Rational(1, 16) * s**2 / (1 + s**2 / 4)
"""Mean sqrt(3)/2, standard deviation 1/2."""
HALF = sp.Rational(1, 2) + s**2 / (2 + 2 * s**2)
"""Half of the directions are points far apart, half are normal."""
CASES = {
    "apart": sp.Integer(1),
    "shifted": SHIFTED,
    "half": HALF,
    "wide": gaussian("19/10", "1/10"),
    "plane": gaussian("2", "0"),
    "three": gaussian("2", "9/10", "1/10"),
}
LONG = ("three", "plane")
cases = pytest.mark.parametrize(
    "separation", [pytest.param(e, id=n, marks=[pytest.mark.slow] * (n in LONG)) for n, e in CASES.items()]
)


def value(expr: sp.Expr, path: Schedule, time: Fraction) -> object:
    return evaluate(expr, {t: WIDE.number(time)}, WIDE, path.tables)


def gamma(separation: sp.Expr, theta: object) -> object:
    tangent = MP.tan(theta)
    return 1 - (1 - evaluate(separation, {s: tangent}, WIDE)) / MP.cos(theta) ** 2


def test_without_overlap_it_is_the_straight_path() -> None:
    """lambda = 1: alpha = t, sigma = 1 - t, and their slopes, to 1e-10."""
    path = kinetic.build()
    for time in (Fraction(0), *TIMES, Fraction(1)):
        assert abs(value(path.alpha, path, time) - time) < 1e-10
        assert abs(value(path.sigma, path, time) - (1 - time)) < 1e-10
        assert abs(value(sp.diff(path.alpha, t), path, time) - 1) < 1e-10
    method = "{family: exponential_multistep, steps: 2, integrand: data, variable: lambda}"
    ours, theirs = (emitted(kind, "velocity", method).plan(steps=8).table for kind in ("kinetic", "interpolant"))
    assert float((ours - theirs).abs().max()) < 1e-10 * float(theirs.abs().max())


def test_of_one_gaussian_it_is_optimal_transport() -> None:
    """N(0, 1) to N(m, c^2): alpha = t and (c t)^2 + sigma^2 = (1 - t + c t)^2, the straight line of standard deviations."""
    path = kinetic.build(separation=SHIFTED)
    for time in TIMES:
        assert abs(value(path.alpha, path, time) - time) < 1e-15
        spread = (value(path.alpha, path, time) / 2) ** 2 + value(path.sigma, path, time) ** 2
        assert abs(MP.sqrt(spread) - (1 - WIDE.number(time) / 2)) < 1e-15


@pytest.mark.parametrize(
    "variances",
    [
        pytest.param(("19/10", "1/10"), marks=pytest.mark.slow),
        ("2", "0"),
        pytest.param(("3/2", "1/2"), marks=pytest.mark.slow),
    ],
)
def test_of_two_variances_it_is_optimal_transport(variances: tuple[str, str]) -> None:
    """alpha^2 c_i^2 + sigma^2 = (1 - t + c_i t)^2 for both; the energy is the squared distance of Wasserstein."""
    path = kinetic.build(separation=gaussian(*variances))
    deviations = [MP.sqrt(WIDE.number(Fraction(v))) for v in variances]
    for time in TIMES:
        alpha, sigma = (value(f, path, time) for f in (path.alpha, path.sigma))
        for c in deviations:
            line = 1 - time + c * WIDE.number(time)
            assert abs(MP.sqrt(alpha**2 * c**2 + sigma**2) - line) < 1e-14
    energy = sum((1 - c) ** 2 for c in deviations) / 2
    assert abs(float(path.notes[0].split()[2].rstrip(";")) - energy) < 1e-15


@cases
def test_it_solves_the_boundary_value_problem(separation: sp.Expr) -> None:
    """r^2 = 1 - b t + b t^2 and theta' = sqrt((b - b^2/4)/gamma)/r^2, to 1e-12; the slopes are those of the curve to 1e-8."""
    path = kinetic.build(separation=separation)
    b = WIDE.number(float(path.notes[0].split()[2].rstrip(";")))
    slopes = {f: sp.diff(f, t) for f in (path.alpha, path.sigma)}
    step = Fraction(1, 10**20)
    for time in TIMES:
        a, m = (value(f, path, time) for f in slopes)
        da, dm = (value(f, path, time) for f in slopes.values())
        square = 1 - b * WIDE.number(time * (1 - time))
        assert abs(a**2 + m**2 - square) < 1e-12
        rate = MP.sqrt((b - b**2 / 4) / gamma(separation, MP.atan2(a, m))) / square
        assert abs((da * m - a * dm) / square / rate - 1) < 1e-12
        for f, slope in zip(slopes, (da, dm)):
            change = (value(f, path, time + step) - value(f, path, time - step)) / (2 * WIDE.number(step))
            assert abs(change - slope) < 1e-8
    ends = [(value(path.alpha, path, end), value(path.sigma, path, end)) for end in (Fraction(0), Fraction(1))]
    assert (ends[0][0], ends[1][1]) == (0, 0) and max(abs(ends[0][1] - 1), abs(ends[1][0] - 1)) < 1e-90


def test_shooting_finds_the_same_path() -> None:
    """theta integrated from 0 by another method, and b by bisection, for a gamma that vanishes nowhere."""

    def known(ratio: float) -> float:
        return (1 + 2 * ratio**2) / (2 + 2 * ratio**2)

    def rate(b: float) -> Callable[[float, list[float]], list[float]]:
        def slope(time: float, theta: list[float]) -> list[float]:
            [angle] = theta
            square = math.cos(angle) ** 2
            tangent = math.tan(angle)
            spread = 1 - (1 - known(tangent)) / square if square > 1e-12 else 0.5
            return [math.sqrt((b - b * b / 4) / spread) / (1 - b * time + b * time**2)]

        return slope

    def end(b: float) -> float:
        return solve_ivp(rate(b), (0, 1), [0.0], "DOP853", rtol=1e-13, atol=1e-13).y[0, -1] - math.pi / 2

    path = kinetic.build(separation=HALF)
    b = brentq(end, 0.8, 1.5, xtol=1e-13)
    assert abs(b - float(path.notes[0].split()[2].rstrip(";"))) < 1e-10
    times = [0.1, 0.4, 0.75, 0.95]
    thetas = solve_ivp(rate(b), (0, 1), [0.0], "DOP853", rtol=1e-13, atol=1e-13, t_eval=times).y[0]
    for time, theta in zip(times, thetas):
        ratio = value(path.rho, path, Fraction(time))
        assert abs(float(MP.atan2(1, ratio)) - theta) < 1e-10


def energy(path: Schedule, separation: sp.Expr) -> float:
    """int a'^2 + m'^2 - (a' - a m'/m)^2 (1 - lambda(a/m)) dt by Gauss quadrature, graded to both ends."""
    a, m = path.alpha, path.sigma
    parts = [a, m, sp.diff(a, t), sp.diff(m, t)]
    points, weights = np.polynomial.legendre.leggauss(60)
    angle = (points + 1) * math.pi / 4
    low, high = sorted(float(end) for end in (path.noise, path.data))
    algebra, total = mpmath_algebra(100), 0.0
    for x, w in zip(angle, weights):
        place, slope = math.sin(x) ** 2, math.sin(2 * x) * math.pi / 4  # takes away roots at the ends
        time = {t: algebra.number(low + (high - low) * place)}
        a_t, m_t, da, dm = (evaluate(part, time, algebra, path.tables) for part in parts)
        known = evaluate(separation, {s: a_t / m_t}, algebra)
        density = da**2 + dm**2 - (da - a_t * dm / m_t) ** 2 * (1 - known)
        total += float(density) * w * slope * (high - low)
    return total


@pytest.mark.parametrize("name", ["shifted", "half", "wide"])
def test_no_other_schedule_has_as_little_energy(name: str) -> None:
    separation = CASES[name]
    path = kinetic.build(separation=separation)
    least = float(path.notes[0].split()[2].rstrip(";"))
    assert abs(energy(path, separation) / least - 1) < 1e-9
    for other in (flow.build(), interpolant.build(path="trig"), vp_cosine.build(), vp_linear.build()):
        assert energy(other, separation) > least * 1.001


@pytest.mark.slow
def test_a_wrong_curve_has_more_energy_and_no_small_residual() -> None:
    """The tests can tell: the path of another lambda."""
    path = kinetic.build(separation=gaussian("9/5", "1/5"))
    least = float(kinetic.build(separation=CASES["wide"]).notes[0].split()[2].rstrip(";"))
    assert energy(path, CASES["wide"]) > least * (1 + 1e-6)


@pytest.mark.parametrize(
    ("separation", "words"),
    [
        (sp.Integer(2), "separation is 2.0 at s ="),
        (sp.Rational(1, 2), "separation is 0.5 at s ="),
        pytest.param(s**2 / (1 + s**2), "separation is too close to s^2/(1 + s^2) at s = 0", marks=pytest.mark.slow),
        (1 / (s - s), "separation is not finite at s ="),
        pytest.param(
            1 - 1 / (1 + s**2) * (1 - sp.Rational(1, 2) * (1 - 2 / (1 + s**2)) ** 2),
            "allowed: smooth",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_no_data_have_is_refused(separation: sp.Expr, words: str) -> None:
    """The last: gamma is 0 at s = 1, where the path would stop."""
    with pytest.raises(ValueError) as caught:
        kinetic.build(separation=separation)
    assert words in str(caught.value) and "\n" not in str(caught.value)
