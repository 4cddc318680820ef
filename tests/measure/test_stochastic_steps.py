"""Rows with noise as linear steps: the same numbers as schemes typed by hand, and orders equal to the proved ones."""

from __future__ import annotations

from fractions import Fraction

import pytest
from sympy import QQ

from derive.analysis.noise_order import NoiseLaw, prove_noise
from derive.measure.stochastic import LinearSDE, moments
from derive.measure.stochastic_orders import measured_orders, rough
from derive.measure.stochastic_steps import Noisy, cached
from derive.symbolic.forms import Form, phi
from derive.symbolic.moments import alphabet, exact_moments, history_nodes
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row
from runtime.real import real, sin
from tests.measure.stochastic_schemes import ddim_eta, sa_corrected, sa_solver, seeds2

HALF, ONE = Fraction(1, 2), Fraction(1)
ZERO = QQ(0)
RATES = {"data": lambda T: -1 - QQ(T.numerator, T.denominator), "noise": lambda T: QQ(1), "drift": lambda T: ZERO}


def adams(steps: int, q, moment=None) -> Scheme:
    return Scheme((), multistep_row(steps, Kernel(q), {1: moment} if moment is not None else None))


def corrected(steps: int, q) -> Scheme:
    nodes = (
        Node("stage", 1, alphabet().ring.one),
        *(Node("history", j, t) for j, t in enumerate(history_nodes(steps))),
    )
    exact = exact_moments(steps + 2, True)
    return Scheme((), multistep_row(steps, Kernel(q)), Row("corrector", nodes, exact[: steps + 1], exact))


def midpoint(q) -> Scheme:
    half = QQ(1, 2)
    first = Row("stage", (Node("history", 0, ZERO),), (), (), end=half, given=(phi(1, half, half),))
    nodes = (Node("history", 0, ZERO), Node("stage", 1, half))
    return Scheme((first,), Row("output", nodes, (), (), given=(Form(), phi(1))))


def noisy(scheme: Scheme, law: NoiseLaw) -> Noisy:
    q = RATES[law.integrand](law.stochasticity)
    return Noisy(
        cached(lambda ratios: scheme.step(ratios, q)),
        law.stochasticity,
        law.integrand,
        law.variance,
        law.stages,
        scheme.corrector is not None,
    )


SAME = {
    "SA-2": (sa_solver(2, HALF), adams(2, QQ(-3, 2)), NoiseLaw(HALF), 2),
    "SA-3": (sa_solver(3, ONE), adams(3, QQ(-2)), NoiseLaw(ONE), 3),
    "SA-2 practical": (
        sa_solver(2, ONE, second=lambda z: real("0.5")),
        adams(2, QQ(-2), alphabet().ring(QQ(1, 2))),
        NoiseLaw(ONE),
        2,
    ),
    "SA-2 with corrector": (sa_corrected(2, ONE), corrected(2, QQ(-2)), NoiseLaw(ONE), 2),
    "SEEDS-2": (seeds2(ONE), midpoint(QQ(1)), NoiseLaw(ONE, integrand="noise"), 1),
    "SEEDS-2, independent": (
        seeds2(ONE, "b"),
        midpoint(QQ(1)),
        NoiseLaw(ONE, stages="independent", integrand="noise"),
        1,
    ),
    "DDIM with eta 3/4": (ddim_eta(Fraction(3, 4)), adams(1, QQ(-25, 16)), NoiseLaw(Fraction(9, 16), "eta"), 1),
}


@pytest.mark.parametrize("typed, scheme, law, known", SAME.values(), ids=SAME)
def test_rows_are_the_schemes_of_the_papers(typed, scheme, law, known):
    sde = LinearSDE(Fraction(3, 5), law.stochasticity, sin)
    how = {"known": known, "kind": law.integrand}
    for a, b in zip(
        moments(sde, typed, rough(12), **how), moments(sde, noisy(scheme, law), rough(12), **how), strict=True
    ):
        for name in ("mean", "variance", "distance"):
            assert abs(getattr(a, name) - getattr(b, name)) < 1e-60


PROVED = {
    "two rows": (adams(2, QQ(-3, 2)), NoiseLaw(HALF), 2),
    "eta": (adams(1, QQ(-3, 2)), NoiseLaw(HALF, "eta"), 1),
    "Euler-Maruyama": (adams(1, ZERO), NoiseLaw(ONE, "left", integrand="drift"), 1),
}
SLOW = {
    "no noise in the stage": (midpoint(QQ(-3, 2)), NoiseLaw(HALF, stages="none"), 1),
    "E, two rows": (adams(2, QQ(1)), NoiseLaw(ONE, integrand="noise"), 2),
    "large": (adams(1, QQ(-2)), NoiseLaw(ONE, "large"), 1),
    "corrected": (corrected(1, QQ(-2)), NoiseLaw(ONE), 1),
    "independent": (midpoint(QQ(-2)), NoiseLaw(ONE, stages="independent"), 1),
    "E, one row": (adams(1, QQ(1)), NoiseLaw(HALF, integrand="noise"), 1),
    "one row": (adams(1, QQ(-2)), NoiseLaw(ONE), 1),
    "three rows": (adams(3, QQ(-2)), NoiseLaw(ONE), 3),
    "four rows": (adams(4, QQ(-2)), NoiseLaw(ONE), 4),
    "E, three rows": (adams(3, QQ(1)), NoiseLaw(ONE, integrand="noise"), 3),
    "midpoint": (midpoint(QQ(-2)), NoiseLaw(ONE), 1),
    "corrected, two rows": (corrected(2, QQ(-3, 2)), NoiseLaw(HALF), 2),
}
CASES = [pytest.param(*case, id=name) for name, case in PROVED.items()]
CASES += [pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in SLOW.items()]


@pytest.mark.parametrize("scheme, law, known", CASES)
def test_proved_orders_are_the_measured_ones(scheme, law, known):
    proved = prove_noise(scheme, Kernel(RATES[law.integrand](law.stochasticity)), law)
    assert proved.tight
    sde = LinearSDE(Fraction(3, 5), law.stochasticity, sin)
    found = measured_orders(sde, noisy(scheme, law), known=known, kind=law.integrand, first=8, tolerance=0.05)
    assert found.decided
    assert found.weak == pytest.approx(proved.weak, abs=0.05)
    assert found.strong == pytest.approx(float(proved.strong), abs=0.05)
