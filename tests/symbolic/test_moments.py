"""Newton moments, weights and the zero test against closed forms, mpmath integrals and each other."""

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import QQ

from derive.analysis.order import classical_constant
from derive.symbolic.field import TERMS, expand, is_zero
from derive.symbolic.moments import (
    alphabet,
    exact_moments,
    history_nodes,
    lagrange_weights,
    monomials,
    newton_moments,
    reproduced_moment,
    specialise,
)

AB = alphabet()
RATES = (QQ(1), QQ(-1), QQ(0), None)
PRIMES = tuple(Fraction(p, q) for p, q in ((7, 5), (11, 13), (3, 2), (17, 19), (5, 7), (23, 29), (31, 37), (2, 3)))


def numeric(element, ratios, phi):
    """A ring element at float ratios and phi values, by our own walk over its terms."""
    total = mpmath.mpf(0)
    for monom, coefficient in element.terms():
        term = mpmath.mpf(coefficient.numerator) / coefficient.denominator
        for name, exponent in zip(map(str, element.ring.symbols), monom):
            if exponent:
                value = mpmath.mpf(ratios[int(name[1:])]) if name[0] == "r" else phi[int(name[3:])]
                term *= value**exponent
        total += term
    return total


def phis(z, count):
    return [mpmath.hyp1f1(1, k + 1, z) / mpmath.factorial(k) for k in range(count)]


def test_newton_moments_are_the_published_ones():
    r0, r1, r2, *_ = AB.r
    p = AB.phi
    m = newton_moments(history_nodes(5), exact_moments(5, True))
    nodes = (r0, r0 + r1, r0 + r1 + r2)
    e1 = nodes[0] + nodes[1] + nodes[2]
    e2 = nodes[0] * nodes[1] + nodes[0] * nodes[2] + nodes[1] * nodes[2]
    e3 = nodes[0] * nodes[1] * nodes[2]
    assert m[0] == p[1] and m[1] == p[2]
    assert m[2] == 2 * p[3] + r0 * p[2]
    assert m[3] == 6 * p[4] + 2 * (2 * r0 + r1) * p[3] + r0 * (r0 + r1) * p[2]
    assert m[4] == 24 * p[5] + 6 * e1 * p[4] + 2 * e2 * p[3] + e3 * p[2]


def test_uniform_error_constants_up_to_eight_steps():
    expected = ["1/2", "5/12", "3/8", "251/720", "95/288", "19087/60480", "36799/120960", "1070017/3628800"]
    assert [classical_constant(k)[1] for k in range(1, 9)] == [Fraction(c) for c in expected]


def test_variable_grid_constants():
    r0, r1, *_ = AB.r
    for k, want in ((2, (3 * r0 + 2) / 12), (3, (3 + 4 * (2 * r0 + r1) + 6 * r0 * (r0 + r1)) / 72)):
        assert str(classical_constant(k)[0]) == str(want)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("closed", [True, False])
def test_weights_solve_the_moment_equation_for_all_ratios(steps, closed):
    thetas, mu = history_nodes(steps), exact_moments(steps, closed)
    weights = lagrange_weights(thetas, mu)
    for k in range(steps):
        numerator, denominator = reproduced_moment(thetas, weights, k)
        assert numerator == mu[k] * denominator
    numerator, denominator = reproduced_moment(thetas, weights, steps)
    assert numerator != exact_moments(steps + 1, closed)[steps] * denominator


@given(
    st.integers(1, 5),
    st.lists(st.floats(0.125, 8), min_size=4, max_size=4),
    st.floats(-6, 6).filter(lambda z: abs(z) > 1e-2),
)
def test_weights_are_integrals_of_lagrange_polynomials(steps, ratios, z):
    """w_j = int_0^1 e^{z(1-theta)} l_j(theta) dtheta, by mpmath's quadrature."""
    with mpmath.workdps(30):
        nodes = [mpmath.mpf(0)]
        for r in ratios[: steps - 1]:
            nodes.append(nodes[-1] - mpmath.mpf(r))
        phi = phis(mpmath.mpf(z), len(AB.phi))
        for j, weight in enumerate(lagrange_weights(history_nodes(steps), exact_moments(steps, True))):
            got = numeric(weight.numerator, ratios, phi) / numeric(weight.denominator, ratios, phi)

            def integrand(theta, j=j):
                value = mpmath.exp(mpmath.mpf(z) * (1 - theta))
                for i, node in enumerate(nodes):
                    if i != j:
                        value *= (theta - node) / (nodes[j] - node)
                return value

            want = mpmath.quad(integrand, [0, 1])
            assert abs(got - want) <= mpmath.mpf(10) ** -22 * max(1, abs(want))


@given(st.lists(st.fractions(-3, 3, max_denominator=9), min_size=0, max_size=5), st.fractions(-2, 2, max_denominator=7))
def test_monomials_expand_the_nodal_polynomial(roots, point):
    ring = AB.ring
    coefficients = monomials([ring(QQ(r.numerator, r.denominator)) for r in roots])
    value = sum(
        (c.LC if c else QQ(0)) * QQ(point.numerator, point.denominator) ** i for i, c in enumerate(coefficients)
    )
    want = Fraction(1)
    for r in roots:
        want *= point - r
    assert Fraction(int(QQ(value).numerator), int(QQ(value).denominator)) == want


def test_phi_relations_are_zero_and_false_ones_are_not():
    """z phi_{k+1} = phi_k - 1/k! holds in the field through expansion; a moment equals k! phi_{k+1}."""
    for k in range(1, 6):
        factorial = mpmath.factorial(k)
        assert is_zero(AB.mu[k] - int(factorial) * AB.phi[k + 1], QQ(-1))
        assert not is_zero(AB.mu[k] - int(factorial) * AB.phi[k], QQ(-1))
        assert not is_zero(AB.phi[k] - AB.phi[k + 1], QQ(1))
    assert is_zero(AB.phi[2] - AB.ring(QQ(1, 2)), QQ(0))
    assert not is_zero(AB.phi[2] - AB.ring(QQ(1, 2)), QQ(1))
    assert not is_zero(AB.mu[0], None) and is_zero(AB.ring.zero, None)


@pytest.mark.parametrize("rate", [QQ(1), QQ(-1), QQ(-2), QQ(1, 3)])
def test_expansion_matches_the_phi_function(rate):
    h = mpmath.mpf("0.01")
    q = mpmath.mpf(int(rate.numerator)) / int(rate.denominator)
    with mpmath.workdps(40):
        for k in range(1, 6):
            series = expand(AB.phi[k] * AB.phi[2], rate).coefficients
            value = sum(
                mpmath.mpf(int(c.LC.numerator)) / int(c.LC.denominator) * h**i for i, c in enumerate(series) if c
            )
            want = phis(q * h, 8)[k] * phis(q * h, 8)[2]
            assert abs(value - want) < 100 * h**TERMS


def test_specialise_evaluates_ratios_only():
    element = AB.r[0] ** 2 * AB.phi[3] + 5 * AB.r[1] * AB.mu[0]
    assert specialise(element, PRIMES) == AB.phi[3] * QQ(49, 25) + AB.mu[0] * QQ(55, 13)


def test_series_prints_like_a_paper():
    assert str(expand(-AB.phi[3], QQ(-1)).times_h()) == "-h/6 + h^2/24 - h^3/120"
    assert str(expand(AB.ring.zero, QQ(-1))) == "0"


def test_the_ring_holds_eight_nodes_and_the_moment_beyond():
    """r_0 .. r_7, mu_0 .. mu_8, and phi_0 .. phi_9 for mu_8 = 8! phi_9."""
    assert [str(g) for g in AB.ring.gens] == [
        *(f"r{j}" for j in range(8)), *(f"mu{k}" for k in range(9)), *(f"phi{k}" for k in range(10)), "pole",
    ]  # fmt: skip
    assert (AB.r, AB.mu, AB.phi) == (AB.ring.gens[:8], AB.ring.gens[8:17], AB.ring.gens[17:-1])
    assert exact_moments(9, True)[8] == 40320 * AB.phi[9] and exact_moments(9, False) == AB.mu
    assert history_nodes(4) == (0, -AB.r[0], -AB.r[0] - AB.r[1], -AB.r[0] - AB.r[1] - AB.r[2])
