"""Where one formula of a real function takes over from another, neither may lose bits."""

from __future__ import annotations

import pytest

from runtime.real import PRECISION, chebyshev_slope, expm1, log1p, phis, real

SMALL = real(2) ** -(PRECISION - 4)


@pytest.mark.parametrize("power", [300, 312, 316, 319, 320, 326, 328, 329, 330, 400, 2000])
@pytest.mark.parametrize("sign", [1, -1])
def test_log1p_of_what_is_small(power: int, sign: int) -> None:
    """x - x^2/2 + x^3/3: three terms are exact to 2^-600 here; each is added in exact arithmetic of 320 bits."""
    x = sign * real(2) ** -power
    assert abs(log1p(x) - (x - x * x / 2 + x * x * x / 3)) <= abs(x) * SMALL
    if power < PRECISION - 2:
        assert log1p(x) != x


@pytest.mark.parametrize("power", [22, 23, 24, 25, 26, 40, 160, 1000])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_phis_on_both_sides_of_the_series(power: int, sign: int, n: int) -> None:
    """The defining series in exact fractions of the floats, 16 terms and more."""
    z = sign * real(2) ** -power
    for k, phi in enumerate(phis(n, z), start=1):
        term = real(1)
        for j in range(1, k + 1):
            term = term / j
        exact = term
        for j in range(1, 18):
            term = term * z / (j + k)
            exact = exact + term
        assert abs(phi - exact) <= 8 * SMALL * exact
    assert abs(expm1(z) - z * phis(1, z)[0]) <= 4 * SMALL * abs(z)


def test_the_slope_of_a_constant_and_of_a_line() -> None:
    assert chebyshev_slope((3.5,), 0.0, 2.0, real("1/3")) == 0
    assert chebyshev_slope((3.5, 0.25), 0.0, 2.0, real("1/3")) == real("1/4")
    assert chebyshev_slope((3.5, 0.25, 1.0), 0.0, 2.0, real("3/2")) == real("1/4") + 4 * real("1/2")
