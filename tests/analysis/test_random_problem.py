"""The random problem of the proofs on jets solves the differential equation that it says it solves."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
import sympy as sp

from derive.analysis import jet_order
from derive.symbolic import alphabet as ab
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, P, PrecisionError

T = ab.t
NOISE, DATA = (sp.Integer(0), sp.Integer(1)), (sp.Integer(1), sp.Integer(0))


def jet(source: random.Random, terms: int) -> Jet:
    return Jet(0, [source.randrange(1, P) for _ in range(terms)])


@pytest.mark.parametrize(("dimension", "modes"), [(1, 1), (2, 2), (3, 2), (2, 4)])
def test_every_component_obeys_the_equation(dimension: int, modes: int) -> None:
    """w' = d E(a w, t), x = a w, E_i = sum_r C_ir exp(A_r . (x - x_0) + B_r tau): to the last term."""
    terms, source = 9, random.Random(5)
    a, d = jet(source, terms), jet(source, terms - 1)
    network = jet_order.Modes.random(dimension, modes, random.Random(11))
    first = [source.randrange(1, P) for _ in range(dimension)]
    x, eps = network.solution(a, d, first, terms)
    assert len(x) == len(eps) == dimension
    assert (len(network.inner), len(network.drift), len(network.outer)) == (modes, modes, dimension)
    assert {len(row) for row in network.inner} == {dimension} and {len(row) for row in network.outer} == {modes}
    algebra, time = JetAlgebra(terms), Jet(0, [0, 1] + [0] * (terms - 2))
    moved = [v - Jet.constant(v[0], terms) for v in x]
    exponentials = []
    for r in range(modes):
        g = sum((moved[i] * network.inner[r][i] for i in range(dimension)), start=time * network.drift[r])
        exponentials.append(algebra.exp(g))
    said = network(algebra, moved, time)
    for i in range(dimension):
        assert x[i].precision == eps[i].precision == terms - 1
        w = x[i] / a
        assert w[0] == first[i]
        assert (w.derivative() - d * eps[i]).is_zero
        model = sum((e * network.outer[i][r] for r, e in enumerate(exponentials)), start=Jet.constant(0, terms))
        assert (model - eps[i]).is_zero and (model - eps[i]).precision == terms - 1
        assert (said[i] - model).is_zero


def test_the_problem_is_as_long_as_its_shortest_part() -> None:
    source = random.Random(2)
    network = jet_order.Modes.random(1, 1, source)
    for lengths, want in (((9, 9), 7), ((5, 9), 5), ((9, 4), 4), ((8, 8), 7)):
        x, eps = network.solution(*(jet(source, n) for n in lengths), [3], 8)
        assert x[0].precision == eps[0].precision == want


def test_names_are_those_of_the_schedule() -> None:
    """lambda = log(alpha/sigma): its slope is alpha'/alpha - sigma'/sigma; rho = sigma/alpha; derivatives in t."""
    problem = jet_order.jet_problem(2 + T, 3 - T**2, terms=12, start=Fraction(1, 2))
    names = problem.names
    a, s = names[ab.alpha], names[ab.sigma]
    assert names[ab.dalpha] == a.derivative() and names[ab.dsigma] == s.derivative() and names[ab.rho] == s / a
    assert (names[ab.lam].derivative() - (a.derivative() / a - s.derivative() / s)).is_zero
    assert names[ab.t][0] == pow(2, -1, P) and names[ab.t][1] == 1


def test_two_components_that_are_not_proportional() -> None:
    """One term in the model would make every component of the noise the same curve."""
    problem = jet_order.jet_problem(2 + T, 3 - T**2, terms=12)
    (x, y), (e, f) = problem.x, problem.eps
    assert not (e * f[0] - f * e[0]).is_zero and not (x * y[0] - y * x[0]).is_zero
    assert problem.names[ab.t][0] == 0
    other = jet_order.jet_problem(2 + T, 3 - T**2, terms=12, seed=1)
    assert other.x[0] != x and jet_order.jet_problem(2 + T, 3 - T**2, terms=12, seed=0).x[0] == x


def test_alpha_and_sigma_are_told_apart() -> None:
    """A chart in alpha is none where alpha is constant."""
    assert jet_order.certify_order(sp.exp(T), sp.Integer(1), NOISE, DATA, ab.alpha, 2).order == 2
    with pytest.raises(PrecisionError):
        jet_order.certify_order(sp.Integer(1), sp.exp(T), NOISE, DATA, ab.alpha, 2)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_moments_by_their_formulas_give_the_same_row(steps: int) -> None:
    """mu_k = k! phi_{k+1}: a moment written out as itself changes nothing, in any chart; a changed one lowers the order."""
    arguments = (2 + T, 3 - T**2, NOISE, DATA, "lambda", steps)
    plain = jet_order.certify_order(*arguments)
    assert plain.order == steps
    for k in range(steps):
        for word, factor in ((f"mu{k}", 1), (f"phi{k + 1}", sp.factorial(k))):
            moments = {k: factor * sp.Symbol(word)}
            assert jet_order.certify_order(*arguments, moments=moments) == plain
            wrong = {k: factor * sp.Symbol(word) * sp.Rational(1000000001, 1000000000)}
            assert jet_order.certify_order(*arguments, moments=wrong).order == k


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("word", ["mu0", "phi1"])
def test_a_moment_by_the_formula_of_another(k: int, word: str) -> None:
    """mu_k = mu_0/(k + 1) up to O(h): in its own power of the span this costs no order at k = 2 of three values."""
    arguments = (2 + T, 3 - T**2, NOISE, DATA, "lambda", k + 1)
    assert jet_order.certify_order(*arguments, moments={k: sp.Symbol(word) / (k + 1)}).order == k + 1
    assert jet_order.certify_order(*arguments, moments={k: sp.Symbol(word) / (k + 2)}).order == k


def test_the_newest_value_is_that_at_the_start_of_the_step() -> None:
    arguments = (2 + T, 3 - T**2, NOISE, DATA, "lambda", 1)
    found = jet_order.certify_order(*arguments)
    assert found == jet_order.certify_order(*arguments, grid=[0])
    assert found != jet_order.certify_order(*arguments, grid=[1]) and found != jet_order.certify_order(
        *arguments, grid=[-1]
    )
