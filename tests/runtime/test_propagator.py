"""The propagator by series against closed forms, and the moments that carry it against those with a known factor."""

import pytest

from runtime.propagator import propagated, propagator
from runtime.quadrature import QuadratureError, moments
from runtime.real import cos, exp, log, real, sin, sqrt

CLOSE = real(2) ** -78


def near(a, b):
    return abs(a - b) <= CLOSE * abs(b)


@pytest.mark.parametrize(("s", "t"), [("0.9", "0.4"), ("0.4", "0.9"), ("0.02", "0.001"), ("1", "0.999999")])
def test_it_is_the_quotient_of_the_factor(s, t):
    """A = G'/G with G = sqrt(u) e^{sin u}: a square root at the data end u = 0."""

    def factor(u):
        return sqrt(u) * exp(sin(u))

    def drift(u):
        return 1 / (2 * u) + cos(u)

    s, t = real(s), real(t)
    carry = propagator(drift, s, t, real(0))
    for u in (s, (s + 2 * t) / 3, (9 * s + t) / 10, t):
        assert near(carry(u), factor(t) / factor(u))


def test_moments_are_those_of_the_factor():
    s, t, data = real("0.8"), real("0.3"), real(0)
    phi, *mu = propagated(lambda u: 1 + u * u, lambda u: 3 / (1 + u), lambda u: log(1 + u), s, t, 3, data)
    assert near(phi, ((1 + t) / (1 + s)) ** 3)

    def weighted(u):
        return (1 + u * u) * ((1 + t) / (1 + u)) ** 3

    for got, want in zip(mu, moments(weighted, lambda u: log(1 + u), s, t, 3, data), strict=True):
        assert near(got, want)


def test_kinks_end_the_pieces():
    """A = |u - 1/2| + 1 has a corner: with its knot the answer is the exact integral, without it there is none."""

    def drift(u):
        return abs(u - real("0.5")) + 1

    s, t = real("0.9"), real("0.2")
    exact = exp(-(real("0.7") + (real("0.4") ** 2 + real("0.3") ** 2) / 2))
    assert near(propagator(drift, s, t, real(0), (0.5,))(s), exact)
    with pytest.raises(QuadratureError, match="not smooth"):
        propagator(drift, s, t, real(0))


def test_without_moments_it_is_the_exponential_of_the_integral():
    """exp of int_s^t 3u^2 du = e^{t^3 - s^3}, with knots and without."""
    s, t = real("0.8"), real("0.3")
    for knots in ((), (0.5,)):
        (phi,) = propagated(None, lambda u: 3 * u * u, None, s, t, 0, real(0), knots)
        assert near(phi, exp(t**3 - s**3))


def test_later_pieces_are_whole():
    """A = 1, 2, 3, 4 between knots: exact areas from every piece to the end, and knots outside the step do nothing."""
    levels = ((0.25, 1), (0.5, 2), (0.75, 3), (2, 4))

    def drift(u):
        return real(next(value for end, value in levels if u < end))

    carry = propagator(drift, real(1), real("0.125"), real(0), (0.0625, 0.25, 0.5, 0.75, 1.5))
    for u, area in ((1, 2.375), (0.875, 1.875), (0.625, 1), (0.375, 0.375), (0.1875, 0.0625)):
        assert near(carry(real(u)), exp(-real(area)))


def test_a_time_outside_the_step_is_refused():
    carry = propagator(lambda u: u, real("0.9"), real("0.4"), real(0))
    with pytest.raises(ValueError, match="outside the step"):
        carry(real("0.95"))
