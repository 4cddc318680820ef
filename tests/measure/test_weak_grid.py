"""Weak orders on a non-linear SDE, by a backward recursion: what the linear conditions do not see."""

from __future__ import annotations

from math import exp, expm1, sqrt

import numpy as np
import pytest

from derive.measure.weak_grid import ScalarSDE, between, expectation, expectation_two_step, grid, weak_order

PROBLEM = ScalarSDE()
Q, G = PROBLEM.rate, PROBLEM.noise


def phi1(z: float) -> float:
    return expm1(z) / z


def phi2(z: float) -> float:
    return (phi1(z) - 1) / z


def spread(h: float) -> float:
    """Standard deviation of int e^{q (h - u)} g dW."""
    return G * sqrt(expm1(2 * Q * h) / (2 * Q))


def euler(t, h, y, xi):
    return y + h * (Q * y + PROBLEM.drift(t, y)) + G * sqrt(h) * xi[0]


def exponential_euler(t, h, y, xi):
    return exp(Q * h) * y + h * phi1(Q * h) * PROBLEM.drift(t, y) + spread(h) * xi[0]


def weak_two(t, h, y, xi):
    """Stochastic Heun: the mean of the drift at both ends, the same increment."""
    noise = G * sqrt(h) * xi[0]
    first = Q * y + PROBLEM.drift(t, y)
    end = y + h * first + noise
    return y + h / 2 * (first + Q * end + PROBLEM.drift(t + h, end)) + noise


def midpoint(coherence: float, size: float = 1.0):
    """Half a step with noise of that correlation with the step's (1: what the path has) and of that size."""

    def step(t, h, y, xi):
        half, whole = spread(h / 2), spread(h)
        shared = exp(Q * h / 2) * half**2 / (half * whole) * coherence
        stage = size * half * (shared * xi[0] + sqrt(1 - shared**2) * xi[1])
        middle = exp(Q * h / 2) * y + h / 2 * phi1(Q * h / 2) * PROBLEM.drift(t, y) + stage
        return exp(Q * h) * y + h * phi1(Q * h) * PROBLEM.drift(t + h / 2, middle) + whole * xi[0]

    return step


def adams2(first: float = 1.0):
    def step(t, h, y, before, xi):
        w1 = -phi2(Q * h)
        w0 = phi1(Q * h) - w1
        drift = first * w0 * PROBLEM.drift(t, y) + w1 * PROBLEM.drift(t - h, before)
        return exp(Q * h) * y + h * drift + spread(h) * xi[0]

    return step


def test_local_polynomials_are_exact_to_degree_eleven():
    y = np.linspace(-3.9, 3.9, 57)[None, :]
    assert np.abs(between((grid() / 4)[None, :] ** 11, y) - (y / 4) ** 11).max() < 1e-13
    assert np.abs(between(np.sin(grid())[None, :], y) - np.sin(y)).max() < 1e-13


def test_the_linear_case_has_the_gaussian_mean():
    """N = 0: f = sin(1.3 y + 0.2) + cos y on a Gaussian, which the exponential step has exactly."""

    class Linear(ScalarSDE):
        def drift(self, t, y):
            return 0 * y

    def step(t, h, y, xi):
        return exp(Q * h) * y + spread(h) * xi[0]

    mean, variance = exp(Q) * PROBLEM.start, spread(1.0) ** 2
    exact = np.sin(1.3 * mean + 0.2) * exp(-(1.3**2) * variance / 2) + np.cos(mean) * exp(-variance / 2)
    assert abs(expectation(Linear(), step, 16) - exact) < 1e-12


@pytest.mark.parametrize("step, order", [(euler, 1), (exponential_euler, 1), (weak_two, 2)])
def test_one_step_schemes(step, order):
    assert weak_order(lambda n: expectation(PROBLEM, step, n)) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize(
    "coherence, size, order", [(1.0, 1.0, 2), (0.0, 1.0, 1), pytest.param(1.0, 1.2, 1, marks=pytest.mark.slow)]
)
def test_stage_noise_has_to_be_that_of_the_path(coherence, size, order):
    """Of the same path and of the same size: independent, or larger with the covariance off too, is of order 1."""
    found = weak_order(lambda n: expectation(PROBLEM, midpoint(coherence, size), n, dimension=2, points=9))
    assert found == pytest.approx(order, abs=0.05)


def test_a_stage_of_the_right_covariance_and_the_wrong_size():
    """Linear problems ask for the covariance with the step only; N'' asks for the size."""
    found = weak_order(lambda n: expectation(PROBLEM, midpoint(1 / 2, 2.0), n, dimension=2, points=10), 32, 3)
    assert found == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_two_step_scheme():
    found = weak_order(lambda n: expectation_two_step(PROBLEM, adams2(), weak_two, n, points=12), doublings=3)
    assert found == pytest.approx(2, abs=0.05)


def test_a_changed_weight_of_a_two_step_scheme():
    values = [expectation_two_step(PROBLEM, adams2(w), weak_two, 8, points=12) for w in (1.0, 1.001)]
    assert abs(values[0] - values[1]) > 1e-5
