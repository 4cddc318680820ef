"""The exact field: expansions against integrals of polynomials, numerators against numbers, and the zero test."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from sympy import QQ

from derive.symbolic.field import TERMS, expand, exponential_ring, is_zero, numerator_in_field, series_ring
from derive.symbolic.moments import alphabet

AB = alphabet()
RATES = ["1", "-1", "-2", "3/5"]
names = [*map(str, AB.ring.symbols)]


def sums(factors):
    """Terms of sums of products of so many generators."""
    monomials = st.lists(st.sampled_from(factors), min_size=0, max_size=3)
    return st.lists(st.tuples(st.fractions(-3, 3, max_denominator=5), monomials), min_size=1, max_size=3)


elements = sums(names[:2] + names[8:-1])


def element(terms):
    """sum of coefficient times product of the named generators."""
    by_name = dict(zip(names, AB.ring.gens))
    total = AB.ring.zero
    for c, factors in terms:
        term = AB.ring(QQ(c.numerator, c.denominator))
        for name in factors:
            term = term * by_name[name]
        total = total + term
    return total


def value(name, rate, h):
    """The generator as a number: phi_k(rate h) or mu_k = k! phi_{k+1}, from Kummer's function; 1/(rate h)."""
    if name == "pole":
        return 1 / (rate * h)
    if name[0] == "r":
        return mpmath.mpf(3 + int(name[1:])) / 7
    k = int(name.removeprefix("mu").removeprefix("phi"))
    order, factor = (k, 1) if name.startswith("phi") else (k + 1, mpmath.factorial(k))
    return factor * mpmath.hyp1f1(1, order + 1, rate * h) / mpmath.factorial(order)


def weigh(name):
    """The power of h under phi_k(qh) as a fraction: k, k + 1 under mu_k, 1 under the pole."""
    if name == "pole":
        return 1
    return 0 if name[0] == "r" else int(name.removeprefix("mu").removeprefix("phi")) + name.startswith("mu")


def rational(text):
    f = Fraction(text)
    return QQ(f.numerator, f.denominator), f.numerator / mpmath.mpf(f.denominator)


@pytest.mark.parametrize("text", [*RATES, "0"])
def test_expansions_are_termwise_integrals(text):
    """mu_k = int theta^k e^{q h (1-theta)}: coefficient i of h is q^i/i! int theta^k (1-theta)^i."""
    rate, q = rational(text)[0], sp.Rational(text)
    for k, mu in enumerate(AB.mu):
        found = expand(mu, rate).coefficients
        assert len(found) == 10 == TERMS
        for i in (0, 1, 2, 9):
            integral = sum(sp.binomial(i, j) * (-1) ** j / sp.Integer(k + j + 1) for j in range(i + 1))
            assert sp.Rational(str(found[i].as_expr())) == q**i / sp.factorial(i) * integral
    for k, phi in enumerate(AB.phi):
        taylor = [q**i / sp.factorial(i + k) for i in range(TERMS)]
        assert [sp.Rational(str(c.as_expr())) for c in expand(phi, rate).coefficients] == taylor


def test_expansions_of_a_general_kernel_are_integrals_of_its_taylor_polynomial():
    """int theta^k (1 + kappa_1 (h theta) + ..): coefficient i is kappa_i/(i + k + 1)."""
    rng, ratios, kappa = series_ring()
    assert [*map(str, ratios)] == [f"r{j}" for j in range(8)]
    assert [*map(str, kappa)] == [f"kappa{i}" for i in range(1, 10)]
    for k, mu in enumerate(AB.mu):
        assert list(expand(mu, None).coefficients) == [c * QQ(1, i + k + 1) for i, c in enumerate((rng.one, *kappa))]


@given(elements, elements, st.sampled_from([QQ(1), QQ(-2), QQ(0)]))
def test_expansion_is_a_ring_homomorphism(a, b, rate):
    """Of products: the Cauchy product of the expansions; of sums: the sum."""
    x, y = (expand(element(e), rate).coefficients for e in (a, b))
    product, total = (
        expand(element(a) * element(b), rate).coefficients,
        expand(element(a) + element(b), rate).coefficients,
    )
    for i in range(10):
        assert product[i] == sum((x[j] * y[i - j] for j in range(i + 1)), start=x[0].ring.zero)
        assert total[i] == x[i] + y[i]
    assert len(product) == len(total) == 10


def test_ratios_keep_their_names_and_powers():
    rng, ratios, _ = series_ring()
    series = expand(AB.r[0] ** 2 * AB.r[7] * AB.phi[0] * 3, QQ(-1)).coefficients
    assert series[0] == 3 * ratios[0] ** 2 * ratios[7] and series[1] == -series[0]
    assert expand(AB.r[2], None).coefficients == (ratios[2], *[rng.zero] * 9)


def test_valuation_and_multiplication_by_h():
    series = expand(AB.phi[0] - AB.phi[1], QQ(2))  # e^z - (e^z - 1)/z = z/2 + z^2/3 + ..
    assert series.valuation == 1 and series.times_h().valuation == 2
    assert (series.times_h().coefficients, series.times_h().start) == (series.coefficients, 1)
    assert series.leading == series.times_h().leading == 1
    assert expand(AB.ring.zero, QQ(2)).valuation == 10
    assert expand(AB.ring.one, QQ(2)).valuation == 0


@given(sums(names[:2] + names[8:]), st.sampled_from(RATES))
def test_numerators_are_the_element_times_a_power_of_h(terms, text):
    """N(r, h, e^{qh}) = element h^p with p the highest power of h under a term, in numbers of 60 digits."""
    target = element(terms)
    with mpmath.workdps(60):
        rate, q = rational(text)
        h = mpmath.mpf(11) / 13
        _, h_symbol, e_symbol = exponential_ring()
        assert (str(h_symbol), str(e_symbol)) == ("h", "E")
        at = [*((mpmath.mpf(3 + j) / 7) for j in range(8)), h, mpmath.exp(q * h)]
        got = sum(
            mpmath.mpf(int(c.numerator)) / int(c.denominator) * mpmath.fprod(x**e for x, e in zip(at, m))
            for m, c in numerator_in_field(target, rate).terms()
        )
        want, highest = mpmath.mpf(0), 0
        for m, c in target.terms():
            want += (
                mpmath.mpf(int(c.numerator))
                / int(c.denominator)
                * mpmath.fprod(value(n, q, h) ** e for n, e in zip(names, m) if e)
            )
            highest = max(highest, sum(weigh(n) * e for n, e in zip(names, m) if e))
        assert abs(got - want * h**highest) < mpmath.mpf(10) ** -45


@pytest.mark.parametrize("text", RATES)
def test_identities_of_phi_are_zero_for_all_h(text):
    """phi_1 (phi_0 - 1) = z phi_1^2 without z: phi_0 phi_2 + .. eliminates it, and each is false when scaled by 1e-9."""
    rate = rational(text)[0]
    p, one = AB.phi, AB.ring.one
    # z = (phi_0 - 1)/phi_1, so z phi_{k+1} = phi_k - 1/k! becomes (phi_0 - 1) phi_{k+1} = phi_1 (phi_k - 1/k!).
    for k in range(1, 5):
        left, right = (p[0] - one) * p[k + 1], p[1] * (p[k] - one * QQ(1, int(sp.factorial(k))))
        assert is_zero(left - right, rate)
        assert not is_zero(left - right * QQ(1000000001, 1000000000), rate)
        assert not is_zero(AB.r[0] * left - right, rate)


def test_rate_zero_is_decided_by_values_at_zero():
    assert is_zero(AB.phi[3] * 6 - AB.phi[0], QQ(0))
    assert is_zero(AB.mu[2] * 3 - AB.ring.one, QQ(0))
    assert not is_zero(AB.mu[2] * 3 - AB.r[0], QQ(0))
    assert is_zero(AB.ring.zero, QQ(0)) and is_zero(AB.ring.zero, QQ(1))
    assert not is_zero(AB.mu[0] - AB.mu[1], None)
