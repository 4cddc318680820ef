"""Moments against closed forms: smooth, square root at the data end, kinks, and where there is no answer."""

from __future__ import annotations

import pytest

from runtime.quadrature import AGREEMENT, QuadratureError, gauss_legendre, integral, moments
from runtime.real import exp, linear, phis, real, sqrt

TIGHT = real(2) ** -75


def close(ours: object, exact: object) -> bool:
    return abs(ours - exact) <= TIGHT * abs(exact)  # type: ignore[operator]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 64])
def test_gauss_legendre_integrates_polynomials_of_degree_2n_minus_1(n: int) -> None:
    rule = gauss_legendre(n)
    for degree in (0, 2 * n - 2, 2 * n - 1):
        exact = real(0) if degree % 2 else 2 / real(degree + 1)
        assert abs(sum(w * x**degree for x, w in rule) - exact) < real(2) ** -300


def test_moments_of_the_exponential_are_phi_functions() -> None:
    """int_0^h e^{-(h-u)} (u/h)^k du = h k! phi_{k+1}(-h)."""
    h = real("3/10")
    ours = moments(lambda u: exp(u - h), lambda u: u, 0, h, 4, data=5)
    for k, (mu, phi, factorial) in enumerate(zip(ours, phis(4, -h), (1, 1, 2, 6), strict=True)):
        assert close(mu, h * factorial * phi), k


@pytest.mark.parametrize("s,t", [(0.5, 0.0), (1.0, 1e-6), (0.0, 0.25), (1e-9, 0.7)])
def test_square_root_singularity_at_the_data_end(s: float, t: float) -> None:
    s, t = real(s), real(t)
    assert close(integral(sqrt, s, t, 0), (t * sqrt(t) - s * sqrt(s)) * 2 / 3)
    if s > 0 and t > 0:
        assert close(integral(lambda u: 1 / sqrt(u), s, t, 0), 2 * (sqrt(t) - sqrt(s)))


def test_data_end_above_and_below() -> None:
    f = lambda u: exp(u) * u  # noqa: E731
    a, b = real("1/4"), real("1/2")
    exact = (b - 1) * exp(b) - (a - 1) * exp(a)
    assert close(integral(f, 0.25, 0.5, 0), exact) and close(integral(f, 0.25, 0.5, 1), exact)
    assert close(integral(f, 0.5, 0.25, 0), -exact)


def test_chart_is_scaled_to_the_step() -> None:
    """theta runs from 0 to 1 whatever the chart: mu_k of dtheta is 1/(k+1)."""
    chart = lambda u: 3 * u * u + 1  # noqa: E731
    width = chart(real(2)) - chart(real(1))
    for k, mu in enumerate(moments(lambda u: 6 * u / width, chart, 1, 2, 4, data=0)):
        assert close(mu, 1 / real(k + 1))


def test_kinks_with_and_without_knots() -> None:
    knots, values = (0.0, 0.3, 0.55, 1.0), (1.0, 2.0, -1.0, 4.0)
    f = lambda u: linear(knots, values, u)  # noqa: E731
    area = sum(
        (real(b) - real(a)) * (real(p) + real(q)) / 2 for a, b, p, q in zip(knots, knots[1:], values, values[1:])
    )
    assert close(integral(f, 1, 0, 0, knots=knots), -area)
    assert abs(integral(f, 1, 0, 0) + area) < real(2) ** -70


def test_what_cannot_be_integrated_says_so() -> None:
    with pytest.raises(QuadratureError, match="no convergence"):
        integral(lambda u: 1 / (u - real("1/3")) ** 2, 1, 0, 0)
    with pytest.raises(ValueError, match="lies inside the step"):
        integral(exp, -1, 1, 0)


def test_the_agreement_is_stated() -> None:
    assert real(2) ** -80 == AGREEMENT
