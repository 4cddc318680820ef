"""Quadrature at 40 digits against closed forms: roots and poles at an end, kinks, propagators, in either direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from derive.analysis import integrals
from derive.analysis.integrals import Integrals
from derive.symbolic.evaluate import Mpmath

ALGEBRA = Mpmath(560)
MP = ALGEBRA.context
HERE = Integrals(ALGEBRA, MP.one, MP.zero)
SPANS = [(1, "1/4"), ("1/4", 1), ("9/10", "1/10"), ("1/10", "1/1000"), ("1/2", 0), (0, "1/2")]
"""From and to, also onto and off the data end 0."""


def number(text: Any) -> Any:
    top, _, bottom = str(text).partition("/")
    return MP.mpf(top) / int(bottom or 1)


def close(got: Any, want: Any, scale: Any = None) -> bool:
    return bool(abs(got - want) <= MP.mpf(10) ** -38 * abs(want if scale is None else scale))


@pytest.mark.parametrize(("start", "end"), SPANS)
def test_integrals_with_a_root_at_the_data_end(start: Any, end: Any) -> None:
    s, t = number(start), number(end)
    assert close(HERE.integral(lambda u: 1 / MP.sqrt(u), s, t), 2 * (MP.sqrt(t) - MP.sqrt(s)))
    assert close(HERE.integral(MP.exp, s, t), MP.exp(t) - MP.exp(s))


def test_an_integrand_that_grows_towards_the_end() -> None:
    s, t = MP.mpf(1) / 2, MP.mpf(10) ** -30
    assert close(HERE.integral(lambda u: 1 / u, s, t), MP.log(t / s))


@pytest.mark.parametrize(("start", "end"), [("1/2", "1-1e-6"), ("1-1e-6", "1/2")])
def test_an_integrand_that_grows_towards_the_noise_end(start: str, end: str) -> None:
    """The logarithm of the distance to the noise end 1, where the root of the distance to 0 does not settle."""
    s, t = (1 - MP.mpf("1e-6") if x.startswith("1-") else MP.mpf(1) / 2 for x in (start, end))
    assert close(HERE.integral(lambda u: 1 / (1 - u) ** 2, s, t), 1 / (1 - t) - 1 / (1 - s))

    def primitive(u: Any) -> Any:
        return MP.sqrt(u) / (1 - u) - MP.atanh(MP.sqrt(u))

    assert close(HERE.integral(lambda u: MP.sqrt(u) / (1 - u) ** 2, s, t), primitive(t) - primitive(s))


def test_an_integrand_that_grows_towards_the_data_end_from_above_and_below() -> None:
    near, far = MP.mpf("1e-8"), MP.one
    below = Integrals(ALGEBRA, -MP.one, MP.zero)
    assert close(HERE.integral(lambda u: 1 / u**2, far, near), 1 / far - 1 / near)
    assert close(below.integral(lambda u: 1 / u**2, -near, -far), 1 / far - 1 / near)


@pytest.mark.parametrize(("start", "end"), [(1, 3), (3, 2), (2, 1)])
def test_a_domain_that_does_not_end_at_zero(start: int, end: int) -> None:
    """From 3 to the data end 1; and from -1 up to the data end 0."""
    apart, below = Integrals(ALGEBRA, MP.mpf(3), MP.one), Integrals(ALGEBRA, -MP.one, MP.zero)
    s, t = MP.mpf(start), MP.mpf(end)
    assert close(apart.integral(lambda u: 1 / MP.sqrt(u - 1), s, t), 2 * (MP.sqrt(t - 1) - MP.sqrt(s - 1)))
    s, t = (1 - s) / 2, (1 - t) / 2
    assert close(below.integral(lambda u: 1 / MP.sqrt(-u), s, t), 2 * (MP.sqrt(-s) - MP.sqrt(-t)))


def test_the_noise_end_of_a_domain_that_does_not_end_at_zero() -> None:
    apart, s, t = Integrals(ALGEBRA, MP.mpf(3), MP.one), MP.mpf(2), 3 - MP.mpf("1e-6")
    assert close(apart.integral(lambda u: 1 / (3 - u) ** 2, s, t), 1 / (3 - t) - 1 / (3 - s))


@pytest.mark.parametrize(("start", "end"), [(1, "1/5"), ("1/5", 1)])
def test_several_kinks_in_either_direction(start: Any, end: Any) -> None:
    kinks, s, t = (number("1/3"), number("1/2")), number(start), number(end)
    bent = Integrals(ALGEBRA, MP.one, MP.zero, kinks)

    def primitive(u: Any) -> Any:
        return sum((u - k) * abs(u - k) / 2 for k in kinks)

    assert close(bent.integral(lambda u: sum(abs(u - k) for k in kinks), s, t), primitive(t) - primitive(s))


def test_pieces_between_kinks() -> None:
    bent = Integrals(ALGEBRA, MP.one, MP.zero, [number("1/3")])
    assert close(
        bent.integral(lambda u: abs(u - number("1/3")), MP.one, number("1/5")), -(number("4/9") + number("4/225")) / 2
    )


@pytest.mark.parametrize(("start", "end"), SPANS)
def test_a_propagator_in_closed_form(start: Any, end: Any) -> None:
    """A = 1/(1 + u): Phi(t, u) = (1 + t)/(1 + u); speed 1 + u, theta u: mu_k = (1 + t) int u^k du."""
    s, t = number(start), number(end)
    phi, *moments = HERE.propagated(lambda u: 1 / (1 + u), lambda u: 1 + u, lambda u: u, s, t, 4)
    assert close(phi, (1 + t) / (1 + s))
    for k, moment in enumerate(moments):
        assert close(moment, (1 + t) * (t ** (k + 1) - s ** (k + 1)) / (k + 1))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_as_many_moments_as_are_asked_for(count: int) -> None:
    """A = 1/(1 + u), speed 1: mu_k = (1 + t) int u^k/(1 + u) du."""
    s, t = number("1/3"), number("1/4")
    phi, *moments = HERE.propagated(lambda u: 1 / (1 + u), lambda u: MP.one, lambda u: u, s, t, count)
    first = (1 + t) * MP.log((1 + t) / (1 + s))
    exact = [first, (1 + t) * (t - s) - first]
    assert close(phi, (1 + t) / (1 + s)) and len(moments) == count
    assert all(close(moment, value) for moment, value in zip(moments, exact))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("exponent", [-300, 300])
def test_the_size_of_the_speed_does_not_matter(exponent: int, count: int) -> None:
    """A rule is accepted when it agrees with the next to 40 digits of the moment, however small or large that is."""
    s, t, factor = number("1/2"), number("1/3"), MP.mpf(2) ** exponent
    asked: list[Any] = []

    def speed(u: Any) -> Any:
        asked.append(u)
        return MP.exp(8 * MP.sin(3 * u))

    plain = HERE.propagated(lambda u: 1 / (1 + u), speed, lambda u: u - s, s, t, count)
    once = len(asked)
    scaled = HERE.propagated(lambda u: 1 / (1 + u), lambda u: factor * speed(u), lambda u: u - s, s, t, count)
    assert scaled == [plain[0], *(factor * moment for moment in plain[1:])] and len(asked) == 2 * once


def test_nothing_integrates_to_nothing() -> None:
    zero, s, t = MP.zero, number("1/2"), number("1/3")
    assert HERE.integral(lambda u: zero, s, t) == 0
    assert HERE.propagated(lambda u: zero, lambda u: zero, lambda u: u, s, t, 2) == [1, 0, 0]


def test_a_propagator_that_does_not_settle_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrals, "RULES", (3, 4, 5))
    for count in (0, 1):
        with pytest.raises(ArithmeticError, match=r"from t = 1\.0 to 0\.25 does not settle"):
            HERE.propagated(MP.exp, MP.exp, MP.exp, MP.one, number("1/4"), count)


def test_a_propagator_over_kinks() -> None:
    """A = |u - 1/3|, one: Phi alone; and pieces join where they should."""
    bent = Integrals(ALGEBRA, MP.one, MP.zero, [number("1/3")])
    kink, s, t = number("1/3"), MP.one, number("1/5")
    (phi,) = bent.propagated(lambda u: abs(u - kink), lambda u: u, lambda u: u, s, t, 0)
    assert close(phi, MP.exp(-(number("4/9") + number("4/225")) / 2))
    first = bent.propagated(lambda u: abs(u - kink), lambda u: u, lambda u: u, s, kink, 2)
    second = bent.propagated(lambda u: abs(u - kink), lambda u: u, lambda u: u, kink, t, 2)
    whole = bent.propagated(lambda u: abs(u - kink), lambda u: u, lambda u: u, s, t, 2)
    assert close(whole[0], first[0] * second[0])
    for k in (1, 2):
        assert close(whole[k], second[0] * first[k] + second[k])


@pytest.mark.parametrize("what", ["integral", pytest.param("propagated", marks=pytest.mark.slow)])
def test_what_does_not_settle_is_an_error(what: str) -> None:
    def jump(u: Any) -> Any:
        return MP.one if u > number("3/7") else MP.zero

    calls: dict[str, Callable[[], Any]] = {
        "integral": lambda: HERE.integral(jump, MP.one, number("1/5")),
        "propagated": lambda: HERE.propagated(jump, MP.exp, MP.exp, MP.one, number("1/5"), 1),
    }
    with pytest.raises(ArithmeticError, match="does not settle"):
        calls[what]()
