"""Grids at the edges of what they allow: every number of steps, brackets of a few floats, zero, one interval of time."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import grids
from tests.runtime.hand_written import edm, flow, scaled_linear

SD, FLOW = scaled_linear(), flow().coefficients
UNIT = 2.0**-52
"""One unit in the last place above 1."""


@pytest.mark.parametrize("count", [1000, 999, 64])
def test_indices_of_every_number_of_steps(count: int) -> None:
    """round (half to even) and int() of i T/N exactly as diffusers and ComfyUI take them, for all N."""
    module = SimpleNamespace(DOMAIN=(count - 1.0, -1.0))
    for n in range(1, count + 1):
        trailing = np.array([count - i * (count / n) for i in range(n)]).round() - 1
        assert grids.trailing(module, n) == (*trailing, -1.0), n
        simple = [float(count - 1 - int(i * (count / n))) for i in range(n)]
        assert grids.simple(module, n) == (*simple, -1.0), n


@pytest.mark.parametrize("rounded", [True, False])
def test_linspace_of_one_two_and_three_steps(rounded: bool) -> None:
    assert grids.linspace(SD, 1, rounded=rounded) == (999.0, -1.0)
    assert grids.linspace(SD, 2, rounded=rounded) == (999.0, 0.0, -1.0)
    assert grids.linspace(SD, 3, rounded=rounded) == (999.0, 500.0 if rounded else 499.5, 0.0, -1.0)


def test_linspace_above_the_table_is_refused_only_where_it_is_rounded() -> None:
    module = SimpleNamespace(DOMAIN=(0.0, -1.0))
    assert grids.linspace(module, 1) == (0.0, -1.0)
    with pytest.raises(ValueError, match="steps: got 2; allowed: up to 1"):
        grids.linspace(module, 2)
    assert grids.linspace(module, 2, rounded=False) == (0.0, 0.0, -1.0)


@pytest.mark.parametrize("high,low", [(3.0, 1.0), (-1.0, 1.0), (5.0, 2.0)])
def test_quadratic_is_measured_from_the_data_end_wherever_it_lies(high: float, low: float) -> None:
    """(t - data)^(1/2) equidistant: t = data +- (width)(1 - i/N)^2."""
    module = SimpleNamespace(DOMAIN=(high, low))
    shares = (1 - np.arange(5) / 4) ** 2
    np.testing.assert_allclose(grids.quadratic(module, 4), low + (high - low) * shares, rtol=1e-14)
    half = grids.quadratic(module, 2, t_start=low + (high - low) * 0.81, t_end=low + (high - low) * 0.25)
    np.testing.assert_allclose(half[1], low + (high - low) * 0.49, rtol=1e-14)


def test_quadratic_keeps_its_last_bits() -> None:
    module = SimpleNamespace(DOMAIN=(1e6, 0.0))
    np.testing.assert_allclose(grids.quadratic(module, 10, power=3.0), 1e6 * (1 - np.arange(11) / 10) ** 3, rtol=1e-13)


def test_one_step_with_a_finite_last_node_takes_no_inner_one() -> None:
    for grid in (grids.karras, grids.exponential):
        assert grid(edm(), 1) == (80.0, 0.0)
        assert grid(edm(), 2) == (80.0, 0.08, 0.0)
        assert grid(edm(), 1, final_zero=False) == (80.0, 0.08)
    assert grids.uniform(edm(), 1, variable="lambda") == (80.0, 0.0)
    assert grids.uniform(edm(), 2, variable="lambda") == (80.0, 0.08, 0.0)


def test_the_inner_nodes_are_asked_for_as_many_steps_as_are_left() -> None:
    """The grid of one step that ends with sigma = 0 is the first node of a grid of one finite step, and nothing else."""
    asked: list[int] = []

    def inner(n: int) -> list[float]:
        asked.append(n)
        return [10.0 * (n - i) for i in range(n + 1)]

    module = SimpleNamespace(DOMAIN=(30.0, -1.0), DATA_END="sigma_zero")
    assert grids._finish(module, 1, 0.0, True, inner) == (10.0, -1.0)
    assert grids._finish(module, 2, 0.0, True, inner) == (10.0, 0.0, -1.0)
    assert grids._finish(module, 3, 0.0, True, inner) == (20.0, 10.0, 0.0, -1.0)
    assert grids._finish(module, 3, 0.0, False, inner) == (30.0, 20.0, 10.0, 0.0)
    assert grids._finish(module, 3, -1.0, True, inner) == (30.0, 20.0, 10.0, 0.0)
    assert asked == [1, 1, 2, 3, 3]


def test_the_data_end_is_appended_where_the_grid_does_not_reach_it() -> None:
    """Told by the last time, not by the first: a schedule of one interval whose noise end is the last node asked for."""
    module = SimpleNamespace(DOMAIN=(1.0, 0.0), DATA_END="sigma_zero")
    assert grids._appends(module, 1.0, True) and grids._appends(module, 0.5, True)
    assert not grids._appends(module, 0.0, True) and not grids._appends(module, 0.5, False)
    assert not grids._appends(SimpleNamespace(DOMAIN=(1.0, 0.0), DATA_END="regular"), 0.5, True)


@pytest.mark.parametrize("bracket", [(0.75, None), (None, 0.25), (None, None)])
def test_half_a_bracket_is_none(bracket: tuple[float | None, float | None]) -> None:
    """With one end only, the schedule's interval is searched."""
    assert grids.time_of(FLOW, "sigma", 0.125, *bracket) == 0.125
    assert grids.time_of(FLOW, "sigma", 0.875, *bracket) == 0.875


def test_ranges_must_lie_above_zero() -> None:
    for options in ({"t_end": 0.0}, {"sigma_min": 0.0}, {"sigma_min": -1.0}):
        with pytest.raises(ValueError, match="above 0"):
            grids.karras(edm(), 4, **options)
    with pytest.raises(ValueError, match=r"0\.0 to 0\.0; a grid in it needs finite values above 0"):
        grids.karras(edm(), 4, t_start=0.0, t_end=0.0, variable="sigma")
    with pytest.raises(ValueError, match=r"0\.0 to 1\.0; a grid in it needs finite values above 0"):
        grids.karras(edm(), 4, t_start=0.0, t_end=1.0, variable="sigma")
    with pytest.raises(ValueError, match=r"sigma_max: got 0\.0; allowed: above 0, up to 80\.0"):
        grids.karras(edm(), 4, sigma_max=0.0)


@pytest.mark.parametrize("value", [-0.5, -0.9, 0.0])
def test_a_value_that_is_not_above_zero_is_refused_before_its_logarithm(value: float) -> None:
    with pytest.raises(ValueError, match=rf"sigma_max: got {value!r}; allowed: above 0, up to 1\.0"):
        grids.exponential(FLOW, 4, sigma_max=value, variable="sigma")


def test_a_warped_grid_between_inner_times() -> None:
    """The warp is inverted on [0, 1]: a part of the interval is equidistant in the unwarped time."""
    module = SimpleNamespace(DOMAIN=(1.0, 0.0), DATA_END="sigma_zero", WARP="cube", cube=lambda u: u * u * u)
    np.testing.assert_allclose(grids.uniform(module, 2, t_start=0.729, t_end=0.001), (0.729, 0.125, 0.001), rtol=1e-14)
    np.testing.assert_allclose(grids.uniform(module, 4), (1, 0.75**3, 0.125, 0.25**3, 0), rtol=1e-14)


def test_a_warp_is_inverted_at_its_own_end() -> None:
    """t_start one unit below the noise end: the share is next to 1, and the warp is never asked beyond it."""

    def warp(u: Any) -> Any:
        assert 0 <= u <= 1
        return u

    module = SimpleNamespace(DOMAIN=(1.0, 0.0), DATA_END="sigma_zero", WARP="warp", warp=warp)
    assert grids.uniform(module, 2, t_start=1 - 2.0**-30) == (1 - 2.0**-30, (1 - 2.0**-30) / 2, 0.0)
    assert grids.uniform(module, 2, t_end=2.0**-30) == (1.0, (1 + 2.0**-30) / 2, 2.0**-30)


def test_a_warp_is_asked_for_no_time_twice() -> None:
    """Its ends, then the middle of them, and on from there."""
    asked: list[float] = []

    def warp(u: Any) -> Any:
        asked.append(float(u))
        return u * (3 - u) / 2

    module = SimpleNamespace(DOMAIN=(1.0, 0.0), DATA_END="sigma_zero", WARP="warp", warp=warp)
    assert grids.uniform(module, 1, t_start=0.3) == (0.3, 0.0)
    assert asked[:3] == [0.0, 1.0, 0.5] and len(set(asked)) == len(asked) < 12


def known(values: dict[float, float]) -> tuple[Any, list[float]]:
    """A function that is known at these places only, and the list of those that were asked for."""
    asked: list[float] = []

    def f(t: float) -> float:
        asked.append(t)
        return values[t]

    return f, asked


def test_between_neighbouring_floats_the_better_one_is_the_root() -> None:
    a, b = 1.0, 1.0 + UNIT
    for fa, fb, want in ((-1.0, 9.0, a), (-9.0, 1.0, b), (9.0, -1.0, b), (1.0, -9.0, a)):
        f, asked = known({})
        assert grids._root(f, a, b, fa, fb) == want and asked == []


def test_of_a_bracket_of_one_unit_the_better_end_is_the_root() -> None:
    a, b = 1.0, 1.0 + 2 * UNIT
    for middle, fb, want in ((-9.0, 1.0, b), (-1.0, 9.0, 1.0 + UNIT), (9.0, 99.0, a), (1.0, 99.0, 1.0 + UNIT)):
        f, asked = known({1.0 + UNIT: middle})
        assert grids._root(f, a, b, -2.0, fb) == want and asked == [1.0 + UNIT]


def test_a_bracket_of_two_units_below_a_power_of_two_is_refined() -> None:
    """Half of it is the tolerance at 1: the middle may be the better one, and is looked at."""
    f, asked = known({1.0 + UNIT: 1.0, 1.0 + 2 * UNIT: 5.0})
    assert grids._root(f, 1.0, 1.0 + 4 * UNIT, -3.0, 9.0) == 1.0 + UNIT
    assert asked == [1.0 + 2 * UNIT, 1.0 + UNIT]


@pytest.mark.parametrize("p", [1e-300, 1e-12, 0.3, 0.5, 0.7, 1 - 1e-12])
def test_quantiles_of_the_uniform_distribution(p: float) -> None:
    assert grids.beta_quantile(p, 1.0, 1.0) == pytest.approx(p, rel=1e-15)
    assert math.isclose(grids.beta_cdf(p, 1.0, 1.0), p, rel_tol=1e-12)
