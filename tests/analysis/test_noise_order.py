"""Weak and strong orders: what is known of the solvers, closed forms, and that every change of a coefficient is seen."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import exp, expm1

import pytest
from sympy import QQ

from derive.analysis.noise_order import NoiseLaw, kept_law, local, prove_noise, ratio_series, series_text
from derive.analysis.stationary import Laurent, adams_ratio, kept
from derive.analysis.wiener_series import KAPPA
from derive.symbolic.forms import Form, Step, phi
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row

ONE, HALF = Fraction(1), Fraction(1, 2)
ZERO = QQ(0)
EQUAL = (QQ(1),) * 10


def rate(stochasticity: Fraction):
    return -1 - QQ(stochasticity.numerator, stochasticity.denominator)


def adams(steps: int, q, overrides=None) -> tuple[Scheme, Kernel]:
    return Scheme((), multistep_row(steps, Kernel(q), overrides)), Kernel(q)


def data(steps: int, law: NoiseLaw, overrides=None):
    return prove_noise(*adams(steps, rate(law.stochasticity), overrides), law)


def midpoint(q) -> tuple[Scheme, Kernel]:
    """SEEDS-2: half a step, then a whole one with the value there."""
    half = QQ(1, 2)
    first = Row("stage", (Node("history", 0, ZERO),), (), (), end=half, given=(phi(1, half, half),))
    last = Row("output", (Node("history", 0, ZERO), Node("stage", 1, half)), (), (), given=(Form(), phi(1)))
    return Scheme((first,), last), Kernel(q)


@pytest.mark.parametrize("stochasticity", [HALF, ONE])
@pytest.mark.parametrize("steps, weak", [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_sa_solver(steps, weak, stochasticity):
    """Gaussian increments stop the order: weak 2, strong 1, whatever the number of steps."""
    found = data(steps, NoiseLaw(stochasticity))
    assert (found.weak, found.strong, found.tight) == (weak, 1, True)


def test_both_integrands_have_the_same_orders():
    for steps, weak in ((1, 1), (2, 2), (3, 2)):
        found = prove_noise(*adams(steps, QQ(1)), NoiseLaw(ONE, integrand="noise"))
        assert (found.weak, found.strong, found.tight) == (weak, 1, True)


def test_variants_of_2m():
    m1 = {"midpoint": alphabet().phi[1] / 2, "practical": alphabet().ring(QQ(1, 2))}
    for moment in m1.values():
        found = data(2, NoiseLaw(ONE), {1: moment})
        assert (found.weak, found.strong, found.tight) == (2, 1, True)


@pytest.mark.parametrize("stages, weak", [("coherent", 2), ("independent", 1), ("none", 1)])
def test_seeds_needs_coherent_stages(stages, weak):
    for q, integrand in ((QQ(1), "noise"), (QQ(-2), "data")):
        found = prove_noise(*midpoint(q), NoiseLaw(ONE, stages=stages, integrand=integrand))
        assert (found.weak, found.strong, found.tight) == (weak, 1, True)


@pytest.mark.parametrize("variance", ["eta", "large", "left"])
def test_other_variances_have_order_one(variance):
    found = data(1, NoiseLaw(ONE, variance))
    assert (found.weak, found.strong, found.tight) == (1, 1, True)
    assert data(2, NoiseLaw(HALF, variance)).weak == 1


def test_without_noise_the_order_is_that_of_the_rows():
    for steps in (1, 2, 3, 4):
        found = data(steps, NoiseLaw(Fraction(0)))
        assert (found.weak, found.strong) == (steps, steps)


def test_a_corrector_does_not_pass_the_barrier():
    from derive.symbolic.moments import exact_moments, history_nodes

    q = QQ(-2)
    ab = alphabet()
    for steps in (1, 2):
        thetas = history_nodes(steps)
        nodes = (Node("stage", 1, ab.ring.one), *(Node("history", j, t) for j, t in enumerate(thetas)))
        exact = exact_moments(steps + 2, True)
        corrector = Row("corrector", nodes, exact[: steps + 1], exact)
        scheme = Scheme((), multistep_row(steps, Kernel(q)), corrector)
        found = prove_noise(scheme, Kernel(q), NoiseLaw(ONE))
        assert (found.weak, found.strong, found.tight) == (2, 1, True)


def test_stationary_ratios_of_adams_rows_in_closed_form():
    rows = {
        1: ("2/(z + 2)", (QQ(1),)),
        2: ("(-z - 2)/(z**2 - z - 2)", (QQ(3, 2), QQ(-1, 2))),
        3: (None, (QQ(23, 12), QQ(-4, 3), QQ(5, 12))),
    }
    z = QQ(1, 7)
    published = {
        1: 2 / (2 + z),
        2: -(z + 2) / ((z - 2) * (z + 1)),
        3: -4 * (35 * z**2 - 33 * z - 36) / ((11 * z + 6) * (15 * z**2 - 22 * z + 24)),
    }
    for steps, (text, weights) in rows.items():
        ratio = adams_ratio(weights)
        assert ratio.numer.evaluate(0, z) / ratio.denom.evaluate(0, z) == published[steps]
        assert text is None or str(ratio.as_expr()) == text
    off = adams_ratio((QQ(3, 2) + QQ(1, 1000), QQ(-1, 2)))
    assert off.numer.evaluate(0, z) / off.denom.evaluate(0, z) != published[2]


SERIES = {
    (1, 0): "1 - 1/2 b + 1/4 b^2",
    (2, 0): "1 + 1/2 b^2",
    (3, 0): "1 + 1/12 b^2",
    (4, 0): "1 + 1/12 b^2",
    (1, -2): "1 - 1/2 b + 1/4 b^2",
    (2, -2): "1 + (5/12 a b + 1/2 b^2)",
    (3, -2): "1 + 1/12 b^2",
}


@pytest.mark.parametrize("case", SERIES, ids=str)
def test_series_of_the_stationary_ratio(case):
    steps, q = case[0], QQ(case[1])
    scheme, _ = adams(steps, q)
    law = NoiseLaw(ONE, "exact" if q else "left", integrand="data" if q else "drift")
    assert series_text(ratio_series(scheme.step(EQUAL, q), law, terms=3)) == SERIES[case]


def test_the_kept_law_is_that_of_the_second_order_recursion():
    """y_{n+1} = a y_n + b y_{n-1} + xi has the variance s^2 (1 - b)/((1 + b)((1 - b)^2 - a^2))."""
    q, mu = QQ(-2), QQ(1, 2)
    found = kept_law(adams(2, q)[0].step(EQUAL, q), NoiseLaw(ONE), mu, QQ(0)).ratio
    errors = []
    for h in (0.08, 0.04):
        first, second = -expm1(-2 * h) / (2 * h), (1 + expm1(-2 * h) / (2 * h)) / (2 * h)
        a, b = exp(-2 * h) + 0.5 * h * (first + second), -0.5 * h * second
        noise = -expm1(-4 * h) / 4
        ratio = noise * (1 - b) / ((1 + b) * ((1 - b) ** 2 - a**2)) * 3
        errors.append(abs(ratio - sum(float(found[k]) * h**k for k in range(found.end))))
    assert errors[0] < 1e-4
    assert errors[0] / errors[1] > 2 ** (found.end - 0.5)


def test_a_changed_coefficient_is_seen():
    good = data(2, NoiseLaw(HALF))
    moment = alphabet().phi[2] * QQ(1001, 1000)
    assert data(2, NoiseLaw(HALF), {1: moment}).weak == 1 < good.weak
    q = rate(HALF)
    step = adams(2, q)[0].step(EQUAL, q)
    off = replace(step, b=(step.b[0] * QQ(1001, 1000), step.b[1]))
    flat = adams(2, None)[0].step(EQUAL, ZERO)
    assert local(flat, NoiseLaw(None, integrand=None), kappa=KAPPA).weak == 2
    wrong = replace(flat, b=(flat.b[0], flat.b[1] * QQ(1001, 1000)))
    assert local(wrong, NoiseLaw(None, integrand=None), kappa=KAPPA).weak == 0
    assert local(off, NoiseLaw(HALF)).weak == 0
    assert local(step, NoiseLaw(HALF)).weak == 2


def test_rows_of_another_stochasticity_are_refused():
    with pytest.raises(ValueError, match="rows of rate -2; data with T = 1/2 has rate -3/2"):
        prove_noise(*adams(1, QQ(-2)), NoiseLaw(HALF))


def test_leading_terms_name_what_refutes():
    found = data(2, NoiseLaw(ONE))
    assert dict(found.leading)["square distance"].startswith("1/48 h^2")
    assert dict(found.leading)["variance"].startswith("-1/12 h^2")


def test_second_derivatives_are_asked_for():
    """The mean of N'' is right with the noise of the stage, and only with it."""
    q = QQ(-2)
    scheme, _ = midpoint(q)
    step: Step = scheme.step(EQUAL, q)
    assert local(step, NoiseLaw(ONE)).second
    assert not local(step, NoiseLaw(ONE, stages="none")).second


def test_series_that_are_not_known_are_not_read():
    a = Laurent.of([QQ(0), QQ(2), QQ(1)])
    assert (a.low, a.end) == (1, 3)
    assert (a / a).terms == (1, 0)
    with pytest.raises(IndexError, match="not known"):
        a[3]
    with pytest.raises(ValueError, match="keeps no law"):
        kept([[QQ(1)]], [[QQ(1)]], QQ(1), QQ(0))


@pytest.mark.parametrize("steps, weak", [(1, 1), (2, 2), (3, 2)])
def test_kernels_that_are_known_by_their_moments(steps, weak):
    """Any smooth kernel and any smooth noise: variables other than lambda, tau that moves."""
    found = prove_noise(*adams(steps, None), NoiseLaw(None, integrand=None))
    assert (found.weak, found.strong, found.tight) == (weak, 1, True)


def test_noise_of_the_intensity_at_the_start_has_order_one_for_any_intensity():
    """Euler-Maruyama in any variable; more values do not help, since the variance of a step is O(h^2) off."""
    for steps in (1, 2):
        for rate_ in (None, ZERO):
            found = prove_noise(*adams(steps, rate_), NoiseLaw(None, "left", integrand=None))
            assert (found.weak, found.strong, found.tight) == (1, 1, True)
