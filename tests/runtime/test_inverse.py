"""The inverse of a chart: to the last bits of 320, in few evaluations, whatever the chart looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.inverse import solve_for
from runtime.real import Real, atan, cos, exp, log, pi, real, sqrt
from tests.runtime import sample_solver
from tests.runtime.hand_written import scaled_linear

C = sample_solver.coefficients
TABLE = scaled_linear()


def bent(t: Real) -> Real:
    return t if t < real("1/2") else 1000 * t - real("999/2")


CHARTS: dict[str, tuple[Callable, str, str, int]] = {
    "lambda": (C.chart, "0.9", "0.7", 9),
    "lambda, a whole interval": (C.chart, "1", "0.001", 11),
    "lambda of a table": (lambda t: -log(TABLE.rho(t)), "999", "0", 14),
    "angle": (lambda t: atan(C.rho(t)), "1", "0", 13),
    "root": (sqrt, "1", "0", 7),
    "power": (lambda t: t**9, "1", "0", 14),
    "cosine": (lambda t: cos(pi * t / 2), "0", "1", 12),
    "steep": (lambda t: exp(50 * t), "0", "1", 24),
    "straight": (lambda t: 3 * t - 1, "-1", "2", 3),
    "bent": (bent, "0", "1", 14),
    "nodes 1e-14 apart": (C.chart, "0.5", "0.49999999999999", 9),
}


def counted(f: Callable) -> tuple[Callable, list]:
    asked: list[Real] = []

    def g(t: Real) -> Real:
        asked.append(t)
        return f(t)

    return g, asked


@pytest.mark.parametrize("share", ["1/2", "1/3", "0.9999", "1e-6"])
@pytest.mark.parametrize("name", CHARTS)
def test_the_chart_changes_sign_within_the_last_bits(name: str, share: str) -> None:
    chart, low, high, most = CHARTS[name]
    a, b = real(low), real(high)
    for first, last in ((a, b), (b, a)):
        target = chart(first) + real(share) * (chart(last) - chart(first))
        f, asked = counted(chart)
        t = solve_for(f, target, first, last)
        width = abs(b - a) * real(2) ** -300 + abs(t) * real(2) ** -305
        before, after = (chart(max(min(a, b), min(max(a, b), t + sign * width))) - target for sign in (-1, 1))
        assert before == 0 or after == 0 or (before > 0) != (after > 0)
        assert min(a, b) < t < max(a, b) and len(asked) <= (most if share in ("1/2", "1/3") else 40)


@given(st.floats(0.001, 1), st.floats(0.001, 1), st.floats(0.01, 0.99))
def test_a_point_between_two_random_nodes(s: float, t: float, share: float) -> None:
    if s == t:
        return
    a, b = C.node(real(s)), C.node(real(t))
    inner = solve_for(C.chart, C.chart(a.t) + real(share) * C.span(a, b), a.t, b.t)
    theta = C.span(a, C.node(inner)) / C.span(a, b)
    assert abs(theta - real(share)) < real(2) ** -250


def test_targets_at_and_beyond_the_ends() -> None:
    assert solve_for(lambda t: t * t, 4, real(1), real(2)) == 2
    assert solve_for(lambda t: t * t, 1, real(1), real(2)) == 1
    for target in (0.5, 4.5):
        with pytest.raises(ValueError, match=f"no time between 1.0 and 2.0 where the variable is {target}"):
            solve_for(lambda t: t * t, real(target), real(1), real(2))


def test_a_pole_next_to_the_interval() -> None:
    f, asked = counted(lambda t: 1 / t)
    assert abs(solve_for(f, real(5) * 10**19, real(1), real("1e-20")) * real(5) * 10**19 - 1) < real(2) ** -230
    assert len(asked) < 100


def test_a_jump_is_found_by_halving() -> None:
    def jump(t: Any) -> Any:
        return real(0) if t < real("1/3") else real(1)

    assert abs(solve_for(jump, real("1/2"), real(0), real(1)) - real("1/3")) < real(2) ** -300
