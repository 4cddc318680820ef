"""Time grids against the published formulas, written out again here, and their invariants on every schedule."""

from __future__ import annotations

import inspect
import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc, betaincinv
from scipy.stats import beta as beta_distribution

from runtime import grids
from runtime.grids import beta_quantile
from runtime.real import real
from tests.runtime import sample_solver
from tests.runtime.hand_written import edm, flow, scaled_linear

SD = scaled_linear()
VP = sample_solver.coefficients
FLOW = flow().coefficients


def rho(schedule: Any, t: float) -> float:
    return float(schedule.rho(real(t)))


def table() -> np.ndarray:
    """sigma/alpha of Stable Diffusion's 1000 steps, in plain NumPy."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
    cumulative = np.cumprod(1 - betas)
    return np.sqrt((1 - cumulative) / cumulative)


def test_karras_is_the_published_formula() -> None:
    sigmas, n = table(), 20
    ramp = np.linspace(0, 1, n)
    low, high = sigmas[0] ** (1 / 7), sigmas[-1] ** (1 / 7)
    expected = (high + ramp * (low - high)) ** 7
    nodes = grids.karras(SD, n)
    assert len(nodes) == n + 1 and nodes[0] == 999.0 and nodes[-2:] == (0.0, -1.0)
    np.testing.assert_allclose([rho(SD, t) for t in nodes[:-1]], expected, rtol=2e-12)


def test_karras_by_sigma_and_without_the_final_zero() -> None:
    nodes = grids.karras(edm(), 18, sigma_min=0.002, sigma_max=80.0)
    i = np.arange(18)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7  # arXiv:2206.00364 eq. 5
    np.testing.assert_allclose(nodes[:-1], expected, rtol=1e-12)
    assert nodes[-1] == 0
    ends_at_minimum = grids.karras(edm(sigma_min=0.002), 17)
    np.testing.assert_allclose(ends_at_minimum, expected, rtol=1e-12)
    assert ends_at_minimum[-1] == 0.002
    assert grids.karras(edm(), 17, t_end=0.002, final_zero=False) == ends_at_minimum


def test_karras_in_sigma_starts_at_alpha_zero() -> None:
    nodes = grids.karras(FLOW, 10, variable="sigma")
    expected = (1 + np.linspace(0, 1, 10) * (0.001 ** (1 / 7) - 1)) ** 7
    np.testing.assert_allclose(nodes[:-1], expected, rtol=1e-12)
    assert grids.karras(FLOW, 10) == nodes
    np.testing.assert_allclose(grids.exponential(FLOW, 10)[:-1], np.geomspace(1, 0.001, 10), rtol=1e-12)
    with pytest.raises(ValueError, match='variable="sigma"'):
        grids.karras(FLOW, 10, variable="rho")


def test_exponential_is_log_uniform() -> None:
    sigmas, n = table(), 12
    nodes = grids.exponential(SD, n)
    expected = np.exp(np.linspace(math.log(sigmas[-1]), math.log(sigmas[0]), n))
    np.testing.assert_allclose([rho(SD, t) for t in nodes[:-1]], expected, rtol=2e-12)
    np.testing.assert_allclose(nodes, grids.uniform(SD, n, variable="lambda"), rtol=1e-13)


@pytest.mark.parametrize("variable", ["lambda", "rho", "sigma", "alpha", "angle", "log_sigma"])
def test_uniform_is_equidistant_in_its_variable(variable: str) -> None:
    nodes = grids.uniform(VP, 15, variable=variable, t_start=0.9, t_end=0.01, final_zero=False)
    assert len(nodes) == 16 and nodes[0] == 0.9 and nodes[-1] == 0.01
    steps = np.diff([grids._OF_TIME[variable](VP, t) for t in nodes])
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-9)


def test_uniform_in_t_is_correctly_rounded() -> None:
    nodes = grids.uniform(VP, 10)
    assert nodes == tuple((10 - i) / 10 for i in range(11))
    assert grids.uniform(SD, 1000) == tuple(float(i) for i in range(999, -2, -1))


@pytest.mark.parametrize("shift", [3.0, 1.15])
def test_flow_shift_is_applied_once(shift: float) -> None:
    module = flow(WARP="shifted", shifted=lambda u: shift * u / (1 + (shift - 1) * u)).coefficients
    u = np.linspace(1, 0, 11)
    np.testing.assert_allclose(grids.uniform(module, 10), shift * u / (1 + (shift - 1) * u), rtol=1e-15)
    part = grids.uniform(module, 5, t_start=0.8, t_end=0.1)
    assert (part[0], part[-1]) == (0.8, 0.1)
    unshifted = np.array(part) / (shift - (shift - 1) * np.array(part))
    np.testing.assert_allclose(np.diff(unshifted), np.diff(unshifted).mean(), rtol=1e-12)
    assert grids.quadratic(module, 10) == grids.quadratic(FLOW, 10)


@pytest.mark.parametrize("n", [1, 5, 20, 50, 333, 1000])
def test_index_spacings_are_those_of_diffusers(n: int) -> None:
    expected = {
        "linspace": np.linspace(0, 999, n).round()[::-1] if n > 1 else np.array([999.0]),
        "leading": (np.arange(0, n) * (1000 // n)).round()[::-1] + 0,
        "trailing": np.arange(1000, 0, -1000 / n).round()[:n] - 1,
        "simple": np.array([999 - int(i * (1000 / n)) for i in range(n)]),
    }
    for name, indices in expected.items():
        assert grids.GRIDS[name](SD, n) == (*map(float, indices), -1.0), name
    assert grids.leading(SD, 20, steps_offset=1)[:2] == (951.0, 901.0)
    assert grids.linspace(SD, 4, rounded=False)[1] == 666.0


def test_index_spacings_need_a_table() -> None:
    for name in ("linspace", "leading", "trailing", "simple"):
        with pytest.raises(ValueError, match="discrete"):
            grids.GRIDS[name](VP, 10)
        assert len(set(grids.GRIDS[name](SD, 1000))) == 1001  # one node for each row of the table
        for steps in (1001, 2000):
            with pytest.raises(ValueError, match=f"^steps: got {steps}; allowed: up to 1000, the steps of the table"):
                grids.GRIDS[name](SD, steps)
    assert len(set(grids.linspace(SD, 1500, rounded=False))) == 1501


def test_beta_is_the_quantile_grid() -> None:
    n = 14
    quantiles = beta_distribution.ppf(1 - np.linspace(0, 1, n, endpoint=False), 0.6, 0.6)
    np.testing.assert_allclose(grids.beta(SD, n)[:-1], quantiles * 999, rtol=1e-12)
    np.testing.assert_allclose(
        grids.beta(VP, n, alpha=2.0, beta=0.5, t_start=0.9, t_end=0.1, final_zero=False),
        0.1 + 0.8 * beta_distribution.ppf(1 - np.linspace(0, 1, n + 1), 2.0, 0.5), rtol=1e-12,
    )  # fmt: skip


@given(st.floats(0.05, 30), st.floats(0.05, 30), st.floats(1e-6, 1 - 1e-6))
def test_beta_quantile_against_scipy(a: float, b: float, p: float) -> None:
    x = beta_quantile(p, a, b)
    assert x == pytest.approx(betaincinv(a, b, p), rel=1e-9, abs=1e-300)
    assert beta_quantile(0, a, b) == 0 and beta_quantile(1, a, b) == 1


def test_quadratic_and_sgm_uniform() -> None:
    np.testing.assert_allclose(grids.quadratic(VP, 8), np.linspace(1, 0, 9) ** 2, rtol=1e-14)
    np.testing.assert_allclose(
        grids.quadratic(VP, 8, power=3.0, t_start=0.5, t_end=0.1), np.linspace(0.5 ** (1 / 3), 0.1 ** (1 / 3), 9) ** 3
    )
    np.testing.assert_allclose(grids.sgm_uniform(SD, 10), [*np.linspace(999, 0, 11)[:-1], -1], rtol=1e-15)


EVERYWHERE = [("uniform", {"variable": v}) for v in ("t", "lambda", "rho", "sigma", "alpha", "angle", "log_sigma")]
EVERYWHERE += [("karras", {}), ("exponential", {}), ("beta", {}), ("quadratic", {}), ("sgm_uniform", {})]


@pytest.mark.parametrize("steps", [1, 2, 3, 17, 100])
@pytest.mark.parametrize("name,options", EVERYWHERE, ids=lambda v: v if isinstance(v, str) else "-".join(v.values()))
@pytest.mark.parametrize("schedule", [VP, SD, edm(), FLOW], ids=["vp", "sd", "edm", "flow"])
def test_every_grid_has_n_steps_falls_strictly_and_has_exact_ends(
    schedule: SimpleNamespace, name: str, options: dict, steps: int
) -> None:
    constant = options.get("variable") == "alpha" and schedule.DOMAIN[0] == 80.0
    if constant or (options.get("variable") in ("lambda", "rho") and schedule is FLOW):
        with pytest.raises(ValueError, match=r"infinite|constant"):
            grids.GRIDS[name](schedule, steps, **options)
        return
    nodes = grids.GRIDS[name](schedule, steps, **options)
    assert len(nodes) == steps + 1
    assert (nodes[0], nodes[-1]) == schedule.DOMAIN
    assert all(a > b for a, b in itertools.pairwise(nodes))
    assert all(type(t) is float for t in nodes)
    assert nodes == grids.GRIDS[name](schedule, steps, **options)


@given(st.floats(1e-4, 0.999))
def test_time_of_inverts_the_schedule(t: float) -> None:
    assert grids.time_of(VP, "lambda", grids._OF_TIME["lambda"](VP, t)) == pytest.approx(t, rel=1e-13)
    assert grids.time_of(VP, "alpha", grids._OF_TIME["alpha"](VP, t)) == pytest.approx(t, rel=1e-8)


def test_values_outside_the_schedule_and_bad_options() -> None:
    for schedule, option, value, allowed in (
        (edm(), "sigma_max", 100.0, r"above 0, up to 80.0 \(values of rho\)"),
        (edm(sigma_min=0.002), "sigma_min", 0.001, r"0.002 to 80.0 \(values of rho\)"),
        (edm(), "sigma_min", 0.0, "above 0, up to 80.0"),
        (edm(), "sigma_max", math.nan, "above 0, up to 80.0"),
        (FLOW, "sigma_max", math.inf, r"above 0 \(values of rho\)"),
        (FLOW, "sigma_min", -1.0, r"above 0, up to 1.0 \(values of sigma\)"),
    ):
        for grid in (grids.karras, grids.exponential):
            with pytest.raises(ValueError, match=rf"^{option}: got {value!r}; allowed: {allowed}"):
                grid(schedule, 5, **{option: value})
    for schedule in (edm(), SD, VP):
        highest = float(schedule.rho(real(schedule.DOMAIN[0])))
        for value in (
            highest,
            math.nextafter(highest, math.inf),
            math.nextafter(highest, 0.0),
        ):  # an end up to rounding
            assert grids.karras(schedule, 5, sigma_max=value)[0] == pytest.approx(schedule.DOMAIN[0], rel=1e-14)
    for call in (
        lambda: grids.karras(VP, 5, exponent=0.0),
        lambda: grids.karras(VP, 5, variable="t"),
        lambda: grids.karras(VP, 5, sigma_min=0.1, t_end=0.1),
        lambda: grids.beta(VP, 5, alpha=0.0),
        lambda: grids.quadratic(VP, 5, power=-1.0),
        lambda: grids.uniform(VP, 5, variable="x"),
        lambda: grids.uniform(VP, 5, variable="lambda", t_end=0.0),
    ):
        with pytest.raises(ValueError, match=r"allowed|give|infinite"):
            call()


def test_signatures_tell_the_spec_reader_everything() -> None:
    for name, grid in grids.GRIDS.items():
        assert grid.__name__ == name and (grid.__doc__ or "").strip()
        for parameter in list(inspect.signature(grid, eval_str=True).parameters.values())[2:]:
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


ROOTS = {
    "exponential": (lambda t: math.exp(3 * t) - 2, 7),
    "triple": (lambda t: (t - 0.3) ** 3, 53),
    "bend": (lambda t: math.atan(50 * (t - 0.7)), 11),
    "line": (lambda t: 3 * t - 1, 2),
    "jump": (lambda t: 1.0 if t > 1 / 3 else -1.0, 53),
    "infinite": (lambda t: math.log(t) + 5 if t else -math.inf, 13),
}
"""A function on [0, 1] and the evaluations that its root takes (bisection: 53)."""


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize("rising", [True, False])
def test_roots_are_found_to_the_last_bits_in_few_evaluations(name: str, rising: bool) -> None:
    f, most = ROOTS[name]
    asked = []

    def g(t: float) -> float:
        asked.append(t)
        return f(t) if rising else -f(t)

    ends = (g(0.0), g(1.0))
    root = grids._root(g, 0.0, 1.0, *ends)
    assert len(asked) - 2 <= most and len(set(asked)) == len(asked) and all(0 <= t <= 1 for t in asked)
    near = [f(root * (1 + k * 2.0**-51)) for k in (-1, 1)]
    assert near[0] <= 0 <= near[1]
    backwards = grids._root(g, 1.0, 0.0, *reversed(ends))
    assert abs(backwards - root) <= 2.0**-51 * root


def test_values_outside_are_told_with_what_the_schedule_has() -> None:
    with pytest.raises(ValueError, match=r"alpha = 0.5 is outside what the schedule has: 0.75 to 1.0"):
        grids.time_of(FLOW, "alpha", 0.5, 0.25, 0.0)
    with pytest.raises(ValueError, match=r"sigma = 2.0 is outside what the schedule has: 0.0 to 1.0"):
        grids.time_of(FLOW, "sigma", 2.0)
    assert grids.time_of(FLOW, "sigma", 1.0) == 1.0 and grids.time_of(FLOW, "sigma", 0.0) == 0.0
    assert grids.time_of(FLOW, "sigma", 0.25, 0.5, 0.25) == 0.25
    assert grids.log_rho(FLOW, 0.0) == -math.inf and grids.log_rho(FLOW, 1.0) == math.inf


def test_default_last_node_is_a_thousandth_of_the_interval_before_the_data_end() -> None:
    assert grids.sgm_uniform(FLOW, 1) == (1.0, 0.0) and grids.karras(FLOW, 3, final_zero=False)[-1] == 0.001
    assert grids.karras(SD, 3)[-2:] == (0.0, -1.0) and grids.karras(edm(), 3)[-2:] == (0.08, 0.0)
    ends = edm(sigma_min=0.002)
    assert grids.sgm_uniform(ends, 4)[-1] == 0.002 and grids.beta(ends, 4)[-1] == 0.002
    assert grids.karras(FLOW, 1) == (1.0, 0.0) and grids.karras(FLOW, 1, final_zero=False) == (1.0, 0.001)


def test_karras_takes_its_range_from_times_or_values() -> None:
    by_time = grids.karras(edm(), 6, t_start=40.0, t_end=0.5, final_zero=False)
    assert by_time == grids.karras(edm(), 6, sigma_max=40.0, sigma_min=0.5, final_zero=False)
    np.testing.assert_allclose(by_time, np.linspace(40 ** (1 / 7), 0.5 ** (1 / 7), 7) ** 7, rtol=1e-13)
    for clash in ({"t_start": 1.0, "sigma_max": 1.0}, {"t_end": 0.1, "sigma_min": 0.1}):
        with pytest.raises(ValueError, match="give either t_start or sigma_max"):
            grids.karras(edm(), 5, **clash)
    with pytest.raises(ValueError, match=r"sigma: 80.0 to 0.0; a grid in it needs finite values above 0"):
        grids.karras(edm(), 5, t_end=0.0, variable="sigma")
    flow_by_sigma = grids.karras(FLOW, 4, sigma_max=0.5, sigma_min=0.25, variable="sigma", final_zero=False)
    np.testing.assert_allclose(flow_by_sigma, np.linspace(0.5 ** (1 / 7), 0.25 ** (1 / 7), 5) ** 7, rtol=1e-13)
    assert grids.karras(FLOW, 4, sigma_max=1.0, sigma_min=0.5)[0] == 0.5  # rho = t/(1 - t)


@pytest.mark.parametrize("a,b", [(0.6, 0.6), (2.0, 0.5), (30.0, 4.0), (0.05, 7.0), (1.0, 1.0), (400.0, 300.0)])
def test_beta_distribution_function_to_twelve_digits(a: float, b: float) -> None:
    for x in (1e-9, 1e-3, 0.1, 0.37, 0.5, 0.62, 0.9, 0.999):
        assert grids.beta_cdf(x, a, b) == pytest.approx(betainc(a, b, x), rel=2e-12, abs=1e-300)
    assert grids.beta_cdf(0.0, a, b) == grids.beta_cdf(-1.0, a, b) == 0
    assert grids.beta_cdf(1.0, a, b) == grids.beta_cdf(2.0, a, b) == 1
    assert beta_quantile(-0.5, a, b) == 0 and beta_quantile(1.5, a, b) == 1


def test_a_warp_on_an_interval_of_its_own() -> None:
    """t = 1 + 2 u^2 on [1, 3]; the warp is asked inside [0, 1] only."""

    def squared(u: Any) -> Any:
        if not 0 <= u <= 1:
            raise AssertionError(u)
        return u * u

    module = SimpleNamespace(DOMAIN=(3.0, 1.0), DATA_END="sigma_zero", WARP="squared", squared=squared)
    assert grids.uniform(module, 4) == (3.0, 2.125, 1.5, 1.125, 1.0)
    np.testing.assert_allclose(grids.uniform(module, 2, t_start=2.125, t_end=1.125), (2.125, 1.5, 1.125), rtol=1e-15)


def test_options_may_be_any_number_above_zero() -> None:
    np.testing.assert_allclose(grids.karras(edm(), 4, exponent=0.5, t_end=1.0, final_zero=False), np.linspace(
        80**2, 1, 5) ** 0.5, rtol=1e-12)  # fmt: skip
    np.testing.assert_allclose(grids.quadratic(VP, 4, power=0.5), np.linspace(1, 0, 5) ** 0.5, rtol=1e-14)
    assert len(grids.beta(VP, 4, alpha=0.5, beta=0.25)) == 5
    for bad in (0.0, -0.5):
        for call in (
            lambda bad=bad: grids.karras(VP, 4, exponent=bad),
            lambda bad=bad: grids.quadratic(VP, 4, power=bad),
            lambda bad=bad: grids.beta(VP, 4, alpha=bad),
            lambda bad=bad: grids.beta(VP, 4, beta=bad),
        ):
            with pytest.raises(ValueError, match="allowed: above 0"):
                call()
