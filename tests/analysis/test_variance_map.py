"""The (tau, h) map: exact where it is known, and of the proved orders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sympy import QQ

from derive.analysis.variance_map import GaussianRun, variance_map
from derive.symbolic.forms import Form, Step, phi
from derive.tableau import Kernel, Scheme, multistep_row


def adams(steps: int, rate: int = -1) -> Step:
    """The weights are functions of z: the rate of the kernel enters nowhere else."""
    return Scheme((), multistep_row(steps, Kernel(QQ(rate)))).step((QQ(1),) * 8, QQ(rate))


MIDPOINT = Step((QQ(0), QQ(1, 2)), 1, ((phi(1, QQ(1, 2), QQ(1, 2)), Form()),), (Form(), phi(1)), QQ(1))


def test_without_noise_one_step_is_the_cosine_law():
    """DDIM on data N(0, 1), VP: the standard deviation is multiplied by the cosine of the angle between the noise levels."""
    angles = np.arctan(np.exp(-np.linspace(-2, 2, 11)))
    ratio, bias = GaussianRun(adams(1), scale=1.0)([0.0], 10)
    law = np.prod(np.cos(np.diff(angles)))
    assert ratio[0] == pytest.approx(law**2, rel=1e-12)
    assert bias[0] == pytest.approx(law - 1, rel=1e-12)


@pytest.mark.parametrize("integrand, rate", [("data", -1), ("noise", 1)])
@pytest.mark.parametrize("steps, order", [(1, 1), (2, 2), (3, 2)])
def test_the_variance_has_the_weak_order(steps, order, integrand, rate):
    run = GaussianRun(adams(steps, rate), integrand, lambdas=(-1.0, 1.0))
    found = variance_map(run, [0.5, 1.0], (256, 512))
    errors = np.abs(found.ratio - 1)
    assert np.log2(errors[:, 0] / errors[:, 1]) == pytest.approx(order, abs=0.25)
    assert found.h == pytest.approx([2 / 256, 2 / 512])


def test_the_mean_has_no_bias_at_tau_one():
    found = variance_map(GaussianRun(adams(1)), [0.0, 0.5, 1.0, 1.5], (4, 8, 16))
    assert np.abs(found.bias[2]).max() < 1e-13
    assert (np.abs(found.bias[[0, 1, 3]]) > 1e-4).all()


def test_stages_share_the_path():
    """Weak order 2 with the noise of the path in the stage, 1 without."""
    for stages, order in (("coherent", 2), ("none", 1)):
        run = GaussianRun(MIDPOINT, "noise", lambdas=(-1.0, 1.0), stages=stages)
        error = [abs(run([1.0], n)[0][0] - 1) for n in (64, 128)]
        assert np.log2(error[0] / error[1]) == pytest.approx(order, abs=0.1)


def test_the_map_is_that_of_the_wide_recursion():
    """The same numbers as the 320-bit recursion, on a grid of both."""
    from fractions import Fraction

    from derive.measure.stochastic import LinearSDE, moments
    from derive.measure.stochastic_orders import uniform
    from tests.measure.stochastic_schemes import sa_solver

    grid = uniform(8)
    for steps in (1, 2, 3):
        earlier = [grid[0] - Fraction(j, 4) for j in range(steps - 1, 0, -1)]
        wide = moments(LinearSDE(), sa_solver(steps, Fraction(1)), [*earlier, *grid], known=steps)[-1]
        ratio, _ = GaussianRun(adams(steps), lambdas=(-1.0, 1.0))([1.0], 8)
        assert ratio[0] == pytest.approx(float(wide.ratio), rel=1e-12)


def test_a_changed_weight_is_seen():
    step = adams(2)
    off = replace(step, b=(step.b[0] * QQ(1001, 1000), step.b[1]))
    good, bad = (GaussianRun(s)([1.0], 64)[0][0] for s in (step, off))
    assert abs(good - bad) > 1e-4
