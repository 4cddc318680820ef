"""The parts of the proofs on jets against closed forms: integrals and moments of powers, exact numbers, the verdict."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import sympy as sp

from derive.analysis import jet_order, jet_runtime
from derive.symbolic import alphabet as ab
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, NotAResidue, P
from runtime.real import real, sqrt

TERMS = 14
BASE = Jet(0, [123_456_789, 1] + [0] * (TERMS - 2))
PLACES = ((2, 5), (7, 1), (3, -4))


def cube(u: Jet) -> Jet:
    return u * u * u


@pytest.mark.parametrize("value", [0.1, -0.375, 3.0, 2.0**-40, -(2.0**60)])
def test_a_real_is_taken_as_the_binary_fraction_that_it_stores(value: float) -> None:
    assert jet_runtime.rational(real(value)) == Fraction(value)


@pytest.mark.parametrize("start,end", PLACES)
def test_integrals_of_powers(start: int, end: int) -> None:
    """int 3 u^2 du = t^3 - s^3; from a number: from t_0."""
    s, t = BASE.at(start), BASE.at(end)
    assert jet_runtime._integral(BASE, lambda u: u * u * 3, s, t) == cube(t) - cube(s)
    first = Jet.constant(pow(BASE[0], 3, P), TERMS)
    assert jet_runtime._integral(BASE, lambda u: u * u * 3, real(0), t, 0) == cube(t) - first


@pytest.mark.parametrize("start,end", PLACES)
def test_moments_of_a_chart_in_its_own_measure(start: int, end: int) -> None:
    """int theta^k chi' du = (chi(t) - chi(s))/(k + 1), theta = (chi - chi(s))/(chi(t) - chi(s)); here chi = u^3."""
    s, t = BASE.at(start), BASE.at(end)
    moments = jet_runtime._moments(BASE, lambda u: u * u * 3, cube, s, t, 4, 0)
    for k, mu in enumerate(moments):
        assert (mu * (k + 1) - (cube(t) - cube(s))).is_zero, k
    assert len(moments) == 4


@pytest.mark.parametrize("value", ["1/3", "-7/300", "355/113"])
def test_a_rounded_simple_fraction_is_taken_as_the_fraction(value: str) -> None:
    assert jet_runtime.rational(real(value)) == Fraction(value)


def test_a_root_is_not_taken_for_a_fraction() -> None:
    with pytest.raises(TypeError, match=r"not rational: 2\.449"):
        jet_runtime.rational(sqrt(6))


@pytest.mark.parametrize("c", [2, 7])
def test_the_time_at_which_a_chart_has_a_value(c: int) -> None:
    """chi = u^3: the value c of the way from u = s to u = t."""
    s, t = BASE.at(3), BASE.at(5)
    target = cube(s) + c * (cube(t) - cube(s))
    found = jet_runtime._solve_for(BASE, {}, cube, target, s, t)
    assert cube(found) == target
    assert found[0] == BASE[0] and any(found.c[2:])


def test_a_series_at_a_time_that_bends() -> None:
    """(tau + 1)^2 at tau = h + h^2."""
    one_and_tau = Jet(0, [1, 1] + [0] * (TERMS - 2))
    time = Jet(0, [BASE[0], 1, 1] + [0] * (TERMS - 3))
    inner = Jet(0, [1, 1, 1] + [0] * (TERMS - 3))
    assert jet_runtime.at_time(one_and_tau * one_and_tau, time, BASE) == inner * inner


def test_a_time_on_another_branch_asks_for_other_constants() -> None:
    """An inverse function of the schedule has a root in it, and F_p does not say which."""
    with pytest.raises(NotAResidue, match="another branch"):
        jet_runtime.at_time(cube(BASE), BASE + 1, BASE)


@pytest.mark.parametrize("start,end", PLACES)
def test_propagators(start: int, end: int) -> None:
    """A = 1/u: Phi = t/s; speed u, chart u: int (t/u) u theta^k du = t (t - s)/(k + 1)."""
    s, t = BASE.at(start), BASE.at(end)
    algebra = JetAlgebra(TERMS)
    phi, *moments = jet_runtime._propagated(BASE, algebra, lambda u: u, lambda u: 1 / u, lambda u: u, s, t, 3, 0)
    assert phi == t / s
    assert all(mu * (k + 1) == t * (t - s) for k, mu in enumerate(moments))


def problem(*series: Jet) -> Any:
    return SimpleNamespace(x=series)


def test_the_order_is_the_valuation_of_the_local_error_less_one() -> None:
    one, zero = Jet.constant(1, 6), Jet.constant(0, 6)
    third, fourth = Jet(0, [1, 0, 0, 5, 0, 0]), Jet(0, [1, 0, 0, 0, 7, 0])
    verdict = jet_order._local_error(problem(fourth, third), one, [zero], [zero, zero], [0])
    assert (verdict.order, verdict.leading % P, verdict.exact) == (2, -5 % P, False)
    verdict = jet_order._local_error(problem(fourth), one, [zero], [zero], [0])
    assert (verdict.order, verdict.leading % P) == (3, -7 % P)


def test_an_error_without_terms_is_exact_to_the_precision_of_the_series() -> None:
    one, zero = Jet.constant(1, 6), Jet.constant(0, 6)
    verdict = jet_order._local_error(problem(one), one, [zero], [zero], [0])
    assert (verdict.order, verdict.leading, verdict.exact) == (5, 0, True)


def test_weights_times_values_enter_the_step_at_their_nodes() -> None:
    """x = 1 + h + h^2/2: w_0 F(0) + w_1 F(-h) with F = 1 + tau, w = (3h/2, -h/2) is exact."""
    h = Jet(0, [0, 1, 0, 0, 0, 0])
    half = pow(2, -1, P)
    x, f = Jet(0, [1, 1, half, 0, 0, 0]), Jet(0, [1, 1, 0, 0, 0, 0])
    row = [h * (3 * half), h * (-half)]
    verdict = jet_order._local_error(problem(x), Jet.constant(1, 6), row, [f], [0, -1])
    assert verdict.exact
    off = jet_order._local_error(problem(x), Jet.constant(1, 6), row, [f], [0, -2])
    assert (off.order, off.leading % P) == (1, half % P)


def test_the_newest_history_node_is_where_the_step_starts() -> None:
    noise = (sp.Integer(0), sp.Integer(1))
    schedule = (1 - ab.t, ab.t)
    found = [
        jet_order.certify_order(*schedule, noise, noise, "rho", 1, grid=grid, start=5) for grid in (None, [0], [1])
    ]
    assert found[0] == found[1] != found[2] and found[0].order == 1
