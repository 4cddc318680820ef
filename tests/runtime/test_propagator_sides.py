"""The propagator on either side of a data end that is not at time 0, and next to it."""

from __future__ import annotations

import pytest

from runtime.propagator import propagated, propagator
from runtime.real import exp, real


@pytest.mark.parametrize("data", ["1", "-1", "3", "0", "-7/2"])
@pytest.mark.parametrize("gap", ["1/5", "1e-7", "1e-12", "4"])
@pytest.mark.parametrize("side", [1, -1])
def test_a_constant_drift_is_an_exponential(data: str, gap: str, side: int) -> None:
    """Phi(t, u) = e^{c (t - u)} up to the data end and away from it; mu_0 with B = c is Phi - 1."""
    end, width, c = real(data), side * real(gap), real("-3/7")
    for s, t in ((end + width, end), (end + width, end + width / 2), (end, end + width)):
        carry = propagator(lambda u: c, s, t, end)
        for share in ("0", "1/3", "1"):
            u = s + (t - s) * real(share)
            assert abs(carry(u) - exp(c * (t - u))) < real(2) ** -80
        phi, mu = propagated(lambda u: c, lambda u: c, lambda u: u, s, t, 1, end)
        assert abs(phi - exp(c * (t - s))) < real(2) ** -80 and abs(mu - (phi - 1)) < abs(t - s) * real(2) ** -58


@pytest.mark.parametrize("side", [1, -1])
def test_a_drift_that_is_not_constant(side: int) -> None:
    """exp of the integral of 1 + 2u is e^{u + u^2}."""
    s, t, end = real(1) + side * real("3/4"), real(1) + side * real("1/4"), real(1)
    carry = propagator(lambda u: 1 + 2 * u, s, t, end)
    assert abs(carry(s) - exp(t + t * t - s - s * s)) < real(2) ** -80
