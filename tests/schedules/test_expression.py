"""Schedules that are written out: the same as the built-in ones, and refused where they are not a noise schedule."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from derive.schedules import expression, flow, vp_linear
from derive.symbolic.alphabet import rho, s, t
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from derive.symbolic.path import CHECKED, PROVED

WIDE = mpmath_algebra(600)
MP = WIDE.context
HALF = sp.Rational(1, 2)


def build(alpha, sigma, noise=1, data=0):
    numbers = (Fraction(noise), Fraction(data))
    return expression.build(alpha + sp.Integer(0), sigma + sp.Integer(0), numbers)


def test_flow_written_out_is_flow():
    path, named = build(1 - t, t), flow.build()
    assert (path.noise_end, path.data_end) == ("alpha_zero", "sigma_zero")
    assert sp.cancel(path.rho - named.rho) == 0
    assert path.invariant == named.invariant
    assert path.t_of_rho == named.t_of_rho
    assert path.notes == (PROVED,)


def test_vp_linear_written_out_is_vp_linear():
    named = vp_linear.build()
    path = build(sp.exp(named.log_alpha), sp.sqrt(1 - sp.exp(2 * named.log_alpha)))
    assert path.sigma == named.sigma  # 1 - exp is turned into expm1
    assert path.invariant == named.invariant
    assert path.log_alpha == named.log_alpha
    assert path.notes == (CHECKED,)


def test_the_root_of_a_square_is_unfolded():
    """SymPy writes sqrt(t**2) as |t|, which has no smooth derivative; on one side of its zero it is t or -t."""
    assert build(1, sp.sqrt(t**2), 80, 0).sigma == t
    assert build(1, sp.sqrt(t**2), -80, 0).sigma == -t
    with pytest.raises(ValueError, match="sigma has a kink"):
        build(1, 1 + t / 4 + sp.sqrt((t - HALF) ** 2) / 8)


@pytest.mark.parametrize(
    "sigma", [t**64 + t, (t + t**2) ** 40, ((1 + t) ** 60 - 1) / (1 + t**3) ** 20, (1 + t + t**2) ** 64]
)
def test_high_degrees_are_not_factored(sigma):
    """Exact algebra on degree 100 would take minutes; the schedule is checked at points and its differences are plain."""
    start = time.process_time()
    path = build(1, sigma)
    assert time.process_time() - start < 5
    assert path.notes == (CHECKED,)
    at = {t: WIDE.number(Fraction(1, 3)), s: WIDE.number(Fraction(1, 2))}
    exact = MP.log(evaluate(sigma.subs(t, s), at, WIDE) / evaluate(sigma, at, WIDE))
    assert abs(evaluate(path.dlambda, at, WIDE) - exact) <= abs(exact) * MP.mpf(2) ** -500


def test_ends_by_exact_substitution():
    """cos(pi/2) is 6e-17 in floats and 1e-98 at 320 bits; it is 0."""
    path = build(sp.cos(sp.pi * t / 2), sp.sin(sp.pi * t / 2))
    assert (path.noise_end, path.data_end) == ("alpha_zero", "sigma_zero")
    assert path.invariant == 1 / sp.sqrt(1 + rho**2)
    almost = build(sp.cos(sp.pi * t / 2), sp.sin(sp.pi * t / 2), Fraction(999, 1000), Fraction(1, 1000))
    assert (almost.noise_end, almost.data_end) == ("regular", "regular")


def test_a_constant_alpha_is_variance_exploding():
    path = build(1, t, 80, 0)
    assert (path.invariant, path.log_alpha, path.dlog_alpha) == (1, 0, 0)


BAD = [
    (1 - t, t, 0, 1, "sigma is 0 at the noise end t = 0; allowed: above 0 (t is [noise, data])"),
    (1 - t, t + 1, 0, 1, "alpha is 0 at the data end t = 1"),
    (1 - 2 * t, t, 1, 0, "alpha is -1 at t = 1; allowed: above 0"),
    (1, (t - HALF) ** 2, 1, 0, "sigma has a zero inside (0, 1)"),
    (1, 1 / (2 * t - 1) ** 2, 1, 0, "sigma has a pole inside (0, 1)"),
    (1, 1 / t, 1, 0, "sigma is not finite at the data end t = 0"),
    (1, 2 + sp.log(t), 1, 0, "sigma is not finite at the data end t = 0"),
    (1, sp.sqrt(t - HALF), 1, 0, "sigma is complex at the data end t = 0; allowed: real"),
    (1, sp.sqrt((t - HALF) * (t - 2 * HALF / 3)) + t, 1, 0, "sigma is complex at t = 0."),
    (1, sp.sin(3 * t), 1, 0, "the log-SNR does not rise before t = 0.9"),
    (1, sp.sin(6 * t) + t, 1, 0, "allowed: above 0"),
    (1, 2 + t * (t - 1), 1, 0, "the log-SNR turns around inside (0, 1)"),
    (1, 1, 1, 0, "alpha/sigma is constant; allowed: strictly monotone"),
    (1, t, 1, 1, "t is [1, 1]; allowed: two different times"),
    (1, 1 / (t + 1), 1, 0, "the log-SNR does not rise from noise (t = 1)"),
    (1, sp.tan(2 * t), 1, 0, "sigma is -2.18504 at t = 1"),
    (1, sp.tan(10 * t) + 10, 1, 0, "sigma is"),
    (sp.exp(-t) - sp.exp(-t), t, 1, 0, "alpha is 0 at the data end"),
]


@pytest.mark.parametrize(("alpha", "sigma", "noise", "data", "message"), BAD)
def test_what_is_not_a_noise_schedule_is_refused(alpha, sigma, noise, data, message):
    with pytest.raises(ValueError) as caught:
        build(alpha, sigma, noise, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dip_between_sample_points_is_seen_by_sturm():
    """sigma/alpha turns around only within 1e-4: 257 points miss it, the derivative's roots do not."""
    centre, width = sp.Rational(5001, 10000), sp.Rational(1, 10**4)
    x = t - centre
    turning = sp.integrate(sp.expand(x**2 - width**2), t)
    with pytest.raises(ValueError, match="turns around"):
        build(1, sp.expand(turning + 1))
    build(1, sp.expand(sp.integrate(sp.expand(x**2), t) + 1))  # touches, does not turn


fractions = st.fractions(min_value=Fraction(1, 8), max_value=4, max_denominator=8)
positive = fractions.map(lambda f: sp.Rational(f.numerator, f.denominator))


@st.composite
def rising(draw, depth: int = 2):
    """A function that is 0 at t = 0 and strictly rising on [0, 1]."""
    if depth == 0:
        return draw(positive) * t ** draw(st.integers(1, 3))
    inner = draw(rising(depth=depth - 1))
    shapes = [
        lambda f: sp.exp(f) - 1, lambda f: sp.log(1 + f), lambda f: f / (1 + f),
        lambda f: sp.sin(sp.pi / 2 * f / (1 + f)), sp.sqrt, sp.atan, lambda f: f + f**2,
    ]  # fmt: skip
    return draw(st.sampled_from(shapes))(inner)


@settings(max_examples=15)
@given(rising(), rising(), st.booleans())
def test_random_schedules_have_exact_differences(up, down, preserving):
    """Any rising sigma over any falling alpha is a schedule; its factored differences equal plain ones at 600 bits."""
    alpha = 1 / (1 + down)
    sigma = up / (1 + up) if preserving else up
    assume(alpha.count_ops() + sigma.count_ops() < 60)
    path = build(alpha, sigma)
    assert path.data_end == "sigma_zero"
    assert path.noise_end == "regular"
    for before, after in ((Fraction(9, 10), Fraction(1, 3)), (Fraction(1, 2), Fraction(1, 2) - Fraction(1, 10**9))):
        at = {t: WIDE.number(after), s: WIDE.number(before)}
        plain = {f: [MP.log(evaluate(f, {t: at[x]}, WIDE)) for x in (t, s)] for f in (path.rho, path.alpha)}
        exact = plain[path.rho][1] - plain[path.rho][0]
        assert abs(evaluate(path.dlambda, at, WIDE) - exact) <= abs(exact) * MP.mpf(2) ** -480
        exact = plain[path.alpha][0] - plain[path.alpha][1]
        assert abs(evaluate(path.dlog_alpha, at, WIDE) - exact) <= abs(exact) * MP.mpf(2) ** -480


@settings(max_examples=15)
@given(rising(), rising())
def test_reversed_time_is_the_same_path(up, down):
    """Metamorphic: t -> 1 - t with the ends exchanged gives the same schedule."""
    alpha = 1 / (1 + down)
    forward = build(alpha, up)
    backward = build(alpha.subs(t, 1 - t), up.subs(t, 1 - t), 0, 1)
    assert (forward.noise_end, forward.data_end) == (backward.noise_end, backward.data_end)
    here, there = Fraction(1, 4), Fraction(2, 5)
    a = evaluate(forward.dlambda, {t: WIDE.number(here), s: WIDE.number(there)}, WIDE)
    b = evaluate(backward.dlambda, {t: WIDE.number(1 - here), s: WIDE.number(1 - there)}, WIDE)
    assert abs(a - b) <= abs(a) * MP.mpf(2) ** -500
