"""Moments against closed forms: smooth, square root at the data end, kinks, and where there is no answer."""

from __future__ import annotations

import mpmath
import pytest

from runtime.quadrature import QuadratureError, agreement, gauss_legendre, integral, moments
from runtime.real import exp, inf, linear, phis, real, sqrt

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


def test_the_data_end_does_not_lie_inside_a_step() -> None:
    with pytest.raises(ValueError, match=r"the data end 0.0 lies inside the step from -1.0 to 1.0"):
        integral(exp, -1, 1, 0)


def test_panels_are_halved_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """int_0^1 |sqrt(u) - 1/2| du = 1/4 has its corner in the middle: one bisection. What is no number takes all there are."""
    corner, asked = counted(lambda u: abs(sqrt(u) - 0.5))
    assert close(integral(corner, 1, 0, 0), -real("1/4"))
    assert len(asked) == 173 + 2 * 15
    beside, asked = counted(lambda u: abs(sqrt(u) - 0.75))  # in the middle of the step from 1/4 in y = sqrt(u), too
    assert close(integral(beside, real("1/4"), 1, 0), real("3/32"))
    assert len(asked) == 173 + 2 * 15 and all(0.25 < u < 1 for u in asked)
    monkeypatch.setattr("runtime.quadrature._SPLITS", 3)
    many = iter(range(3 * 173))
    with pytest.raises(QuadratureError, match=r"no convergence on the step from t = 1.0 to 0.0"):
        integral(lambda u: next(many) * (inf - inf), 1, 0, 0)


def test_the_agreement_is_stated() -> None:
    assert [agreement(k) for k in (1, 3, 6)] == [real(2) ** -bits for bits in (64, 72, 84)]


def counted(f):  # type: ignore[no-untyped-def]
    """The function, and the list of the times it was asked for."""
    asked = []

    def g(u):  # type: ignore[no-untyped-def]
        asked.append(u)
        return f(u)

    return g, asked


@pytest.mark.parametrize("n", [8, 9, 12, 24, 64, 65])
def test_nodes_are_the_roots_of_the_legendre_polynomial(n: int) -> None:
    """Residual at 1,000 bits; weights 2 (1 - x^2)/(n P_{n-1}(x))^2, NIST DLMF 18.9.18 with 3.5.E22."""
    wide = mpmath.MPContext()
    wide.prec = 1000
    for x, w in gauss_legendre(n):
        before, value = wide.mpf(1), wide.make_mpf(x._mpf_)
        x = value
        for k in range(2, n + 1):
            before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
        slope = n * (before - x * value) / (1 - x * x)
        assert abs(value / slope) < wide.mpf(2) ** -310
        assert abs(2 * (1 - x * x) / (n * before) ** 2 / wide.make_mpf(w._mpf_) - 1) < wide.mpf(2) ** -300


def test_rules_get_finer_until_two_agree_and_then_panels_get_shorter() -> None:
    line, asked = counted(lambda u: 3 + u)
    integral(line, 0, 1, 0)
    assert len(asked) == 7 + 8
    nothing, asked = counted(lambda u: inf - inf)  # not a number agrees with nothing
    with pytest.raises(QuadratureError, match=r"no convergence on the step from t = 1.0 to 0.0"):
        integral(nothing, 1, 0, 0)
    assert len(asked) == 200 * (7 + 8 + 10 + 12 + 16 + 24 + 32 + 64)


def test_panels_end_at_the_knots_inside_the_step_and_at_no_others() -> None:
    for ends in ((0.25, 0.75), (0.75, 0.25)):
        f, asked = counted(lambda u: u)
        integral(f, *ends, data=0, knots=(0.0, 0.25, 0.5, 0.75, 1.0))
        assert len(asked) == 2 * (7 + 8)
        first, second = asked[:15], asked[15:]
        assert all((u < 0.5) == (ends[0] < 0.5) for u in first) and all((u > 0.5) == (ends[0] < 0.5) for u in second)


@pytest.mark.parametrize("exponent", [-200, 200])
def test_the_size_of_the_weight_does_not_matter(exponent: int) -> None:
    factor = real(2) ** exponent
    f, asked = counted(lambda u: exp(3 * u))
    g, again = counted(lambda u: factor * exp(3 * u))
    plain = moments(f, lambda u: u, 1, real("1/8"), 3, 0)
    assert moments(g, lambda u: u, 1, real("1/8"), 3, 0) == tuple(factor * mu for mu in plain)
    assert len(asked) == len(again)


def test_a_step_to_a_data_end_above_it() -> None:
    """int_0^1 sqrt(1 - u) (1 + u) du = 2/3 + 4/15."""
    f, asked = counted(lambda u: sqrt(1 - u) * (1 + u))
    assert close(integral(f, 0, 1, 1), real(14) / 15) and len(asked) == 15
    assert close(integral(lambda u: sqrt(u - 1), 2, 1, 1), -real(2) / 3)
    assert close(integral(lambda u: 1 / sqrt(u - 1), 2, 1, 1), real(-2))


def test_a_weight_that_changes_its_sign_is_measured_by_its_size() -> None:
    """int_{-1}^{1} u du = 0: agreement is relative to the integral of |u|; later panels, to what came before."""
    f, asked = counted(lambda u: u)
    assert abs(integral(f, -1, 1, -1)) < TIGHT and len(asked) == 15
    signs = iter(range(100))
    g, asked = counted(lambda u: 1 if u > 0.25 else real(2) ** -90 * (-1) ** next(signs))
    integral(g, 1, 0, 0, knots=(0.25,))
    assert len(asked) == 2 * 15


def test_one_moment_does_not_ask_for_the_chart() -> None:
    def chart(u):  # type: ignore[no-untyped-def]
        raise ZeroDivisionError

    assert close(moments(lambda u: u, chart, 0, 1, 1, 0)[0], real("1/2"))
    (mu,) = moments(lambda u: u, chart, 0, 1, 1, 0)
    assert mu == integral(lambda u: u, 0, 1, 0)


def test_nothing_integrates_to_nothing() -> None:
    """A weight that is zero agrees with itself: there is no relative error to ask for."""
    zero, one = real(0), real(1)
    assert moments(lambda u: zero * u, lambda u: u, one, real("0.5"), 3, zero) == (0, 0, 0)
    assert integral(lambda u: zero, one, real("0.5"), zero) == 0
