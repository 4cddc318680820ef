"""Quadrature at 40 digits against closed forms: roots and poles at an end, kinks, propagators, in either direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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
