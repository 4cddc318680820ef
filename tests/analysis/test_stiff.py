"""Stiff orders: how many conditions there are, the published methods, multistep rows, and changed weights."""

import doctest
from dataclasses import replace

import pytest
from sympy import QQ

from derive.analysis import stiff as module
from derive.analysis.stiff import conditions, failures, stiff_order
from derive.symbolic.forms import ONE, ZERO, Form, Step, constant, exact_moments, interpolatory, phi
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Scheme, multistep_row
from tests.analysis.steps import RK4, TABLE, dpm_2s, expk5s8, krogstad, one_step, runge_kutta, summing

ALPHABET = alphabet()
RATIOS = tuple(QQ(p, q) for p, q in ((3, 2), (5, 7), (11, 4), (2, 9), (8, 5)))


def test_as_many_conditions_as_in_the_papers():
    found = list(conditions(expk5s8()))
    assert [len(some) for some in found] == [1, 2, 2, 4, 9]
    assert [name for name, _, _ in found[3]] == ["psi_4", "b J psi_3,i", "b J a J psi_2,i", "b c J psi_2,i"]


@pytest.mark.parametrize("name", TABLE)
def test_published_methods(name):
    build, _, strong, weak = TABLE[name]
    found = stiff_order(build())
    assert (found.strong, found.weak) == (strong, weak)
    assert {condition.order for condition in found.violated} == {strong + 1}
    assert any(condition.weakly for condition in found.violated) == (strong == weak)


def test_messages():
    assert str(stiff_order(dpm_2s(False))) == "stiff order 1, weakly 2; stiff order 2 fails at psi_2 = 0 (holds weakly)"
    assert str(stiff_order(krogstad())) == "stiff order 3, weakly 3; stiff order 4 fails at b J psi_3,i = 0"


def test_trying_fewer_orders():
    found = stiff_order(krogstad(), highest=2)
    assert (found.strong, found.weak, found.violated) == (2, 2, ())
    assert [len(some) for some in failures(krogstad(), 3)] == [0, 0, 0]


@pytest.mark.parametrize("rate", [QQ(1), QQ(-1), QQ(-2)])
@pytest.mark.parametrize("steps", range(1, 6))
def test_exact_multistep_rows_have_stiff_order_of_their_steps(steps, rate):
    step = Scheme((), multistep_row(steps, Kernel(rate))).step(RATIOS, rate)
    found = stiff_order(step)
    assert found.strong == steps
    assert steps == 5 or found.violated[0].name == f"psi_{steps + 1}"


@pytest.mark.parametrize("override", [ALPHABET.phi[1] / 2, ALPHABET.ring(QQ(1, 2))])
def test_relaxed_second_order_rows(override):
    """2M midpoint (bh2) and bh1 are of order 2, stiff order 1, weakly 2."""
    found = stiff_order(Scheme((), multistep_row(2, Kernel(ONE), {1: override})).step(RATIOS, ONE))
    assert (found.strong, found.weak) == (1, 2)


def test_constant_weights_on_exact_transfers():
    """PLMS: Adams-Bashforth numbers on the exponential increment keep stiff order 1."""
    weights = [phi(1, ONE, q) for q in (QQ(55, 24), QQ(-59, 24), QQ(37, 24), QQ(-9, 24))]
    step = Step((ZERO, QQ(-1), QQ(-2), QQ(-3)), 4, (), tuple(weights), ONE)
    assert stiff_order(step).strong == 1


def test_predictor_corrector():
    """A corrector over theta = 1, 0, -r0 is exact for quadratics; its defect at theta = 1 is the predictor's."""
    thetas = (ZERO, QQ(-3, 2), ONE)
    predictor = (*interpolatory(thetas[:2], exact_moments(ONE, 2)), Form())
    step = Step(thetas, 2, (predictor,), interpolatory(thetas, exact_moments(ONE, 3)), ONE)
    assert (stiff_order(step).strong, stiff_order(step).weak) == (3, 3)


def test_symbolic_abscissae():
    """phi_2/c2 has stiff order 2 for every c2; the identity is decided in Q(c2)."""
    c = QQ.frac_field("c2").gens[0]
    assert stiff_order(one_step((ZERO, c), [summing(c)], summing(ONE, phi(2, ONE, 1 / c)))).strong == 2


@pytest.mark.parametrize("name", [name for name in TABLE if name != "Lawson4"])
def test_changed_weights_are_refused(name):
    """Any number of any weight, changed by one part in 10^9."""
    build, _, strong, weak = TABLE[name]
    step, nudge = build(), QQ(10**9 + 1, 10**9)

    def changed(row: tuple[Form, ...]):
        for j, form in enumerate(row):
            for i, (key, q) in enumerate(form.terms):
                terms = (*form.terms[:i], (key, q * nudge), *form.terms[i + 1 :])
                yield (*row[:j], Form(terms), *row[j + 1 :])

    mutants = [replace(step, b=row) for row in changed(step.b)]
    for i, old in enumerate(step.a):
        mutants += [replace(step, a=(*step.a[:i], row, *step.a[i + 1 :])) for row in changed(old)]
    for mutant in mutants:
        found = stiff_order(mutant)
        assert (found.strong, found.weak) < (strong, weak)


def test_what_has_no_stiff_order_is_refused():
    with pytest.raises(ValueError, match="exponential kernels"):
        stiff_order(runge_kutta(*RK4))
    with pytest.raises(ValueError, match="exponential kernels"):
        stiff_order(replace(krogstad(), rate=None))
    with pytest.raises(ValueError, match="1 to 5"):
        stiff_order(krogstad(), highest=6)
    implicit = Step((ZERO, ONE), 1, ((Form(), phi(1)),), (phi(1), constant(ZERO)), ONE)
    with pytest.raises(ValueError, match="explicit"):
        stiff_order(implicit)


def test_examples_in_the_docstrings():
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
