"""runtime.real against mpmath at 3,000 bits, at the ends, and under threads."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import real as R

WIDE = mpmath.MPContext()
WIDE.prec = 3000
BOUND = WIDE.mpf(2) ** -300


def wide(x: R.Real) -> mpmath.mpf:
    return WIDE.make_mpf(x._mpf_)


def reference_phis(n: int, z: float) -> list[mpmath.mpf]:
    z, phi, out = WIDE.mpf(z), WIDE.exp(z), []
    for k in range(n):
        phi = (phi - 1 / WIDE.factorial(k)) / z
        out.append(phi)
    return out


signed = st.builds(
    lambda sign, mantissa, exponent: sign * mantissa * 10.0**exponent,
    st.sampled_from([1, -1]), st.floats(1, 10), st.integers(-31, 2),
)  # fmt: skip


@given(signed, st.integers(1, 8))
def test_phis_have_full_precision_across_the_switch(z: float, n: int) -> None:
    for ours, exact in zip(R.phis(n, z), reference_phis(n, z), strict=True):
        assert abs(wide(ours) - exact) <= BOUND * abs(exact)


@pytest.mark.parametrize("z", [2.0**-24, -(2.0**-24), 2.0**-25, 1.0, -1.0, 1e3, -1e3, 1e-30, -1e-30, 1e-80])
def test_phis_at_the_switch_and_far_out(z: float) -> None:
    for ours, exact in zip(R.phis(6, z), reference_phis(6, z), strict=True):
        assert abs(wide(ours) - exact) <= BOUND * abs(exact)


def test_phis_at_zero_and_infinity() -> None:
    assert R.phis(3, 0) == (1, R.real("1/2"), R.real("1/6"))
    assert R.phis(2, -R.inf) == (0, 0)
    assert R.phis(2, R.inf) == (R.inf, R.inf)
    assert all(p != p for p in R.phis(2, R.inf - R.inf))
    assert float(R.phis(2, -1e300)[0] * 1e300) == 1.0


@given(signed)
def test_expm1_and_log1p_do_not_cancel(z: float) -> None:
    assert abs(wide(R.expm1(z)) - (WIDE.exp(WIDE.mpf(z)) - 1)) <= BOUND * abs(wide(R.expm1(z)))
    if z > -1:
        exact = WIDE.log(1 + WIDE.mpf(z))
        assert abs(wide(R.log1p(z)) - exact) <= BOUND * abs(exact)


@pytest.mark.parametrize("tiny", [1e-100, -1e-100, 1e-300, 5e-324])
def test_log1p_and_expm1_of_tiny_arguments(tiny: float) -> None:
    z = WIDE.mpf(tiny)
    for ours, exact in ((R.log1p(tiny), z - z * z / 2 + z**3 / 3), (R.expm1(tiny), z + z * z / 2 + z**3 / 6)):
        assert abs(wide(ours) - exact) <= BOUND * abs(exact)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh"])
def test_elementary_functions(name: str) -> None:
    for x in (1e-30, 0.3, 1.0, 17.25, 900.0):
        exact = getattr(WIDE, name)(WIDE.mpf(x))
        assert abs(wide(getattr(R, name)(x)) - exact) <= BOUND * abs(exact)
    for x in (0.25, -0.75):
        assert abs(wide(R.asin(x)) - WIDE.asin(x)) <= BOUND and abs(wide(R.acos(x)) - WIDE.acos(x)) <= BOUND


def test_domain_errors_are_value_errors() -> None:
    for call in (lambda: R.log(-1), lambda: R.sqrt(-1), lambda: R.asin(2), lambda: R.log1p(-2)):
        with pytest.raises(ValueError):
            call()
    assert R.log(0) == -R.inf and R.log1p(-1) == -R.inf and R.exp(-R.inf) == 0 and R.expm1(-R.inf) == -1


def test_real_is_exact() -> None:
    assert R.real(0.1) == R.real(Fraction(0.1)) and R.real("0.1") != R.real(0.1)
    assert R.real("1/3") * 3 == 1 and R.real("1e-4") == R.real(Fraction(1, 10_000))
    assert R.real(np.float64(0.1)) == R.real(0.1) and R.real(True) == 1
    assert float(R.real(2**60 + 1) - 2**60) == 1.0


def test_rounding_to_float_is_correct() -> None:
    for k in range(1, 200):
        assert float(R.real(Fraction(k, 7))) == float(Fraction(k, 7))


def test_chebyshev_and_its_slope() -> None:
    coefficients = [1.5, -0.25, 3e-3, 7e-9, -1e-14]
    series = np.polynomial.Chebyshev(coefficients, domain=[-1, 999])
    for t in (-1.0, 0.0, 123.456, 999.0):
        assert float(R.chebyshev(coefficients, -1, 999, t)) == pytest.approx(series(t), rel=1e-15)
        assert float(R.chebyshev_slope(coefficients, -1, 999, t)) == pytest.approx(series.deriv()(t), rel=1e-12)
    with_wide = sum(WIDE.mpf(c) * WIDE.chebyt(k, (2 * WIDE.mpf(3.7) - 998) / 1000) for k, c in enumerate(coefficients))
    assert abs(wide(R.chebyshev(coefficients, -1, 999, 3.7)) - with_wide) < BOUND
    assert R.chebyshev_slope([2.0], 0, 1, 0.5) == 0


def test_polygon() -> None:
    knots, values = (0.0, 1.0, 3.0), (0.1, 0.7, -0.2)
    assert [R.linear(knots, values, k) for k in knots] == list(map(R.real, values))
    assert float(R.linear(knots, values, 2.0)) == pytest.approx(0.25)
    assert float(R.linear_slope(knots, values, 1)) == pytest.approx(-0.45)
    assert float(R.linear_slope(knots, values, 3)) == pytest.approx(-0.45)
    assert float(R.linear(knots, values, -1)) == pytest.approx(-0.5)


def test_threads_and_a_foreign_precision_change_nothing() -> None:
    def work(seed: int) -> tuple:
        mpmath.mp.prec = 53 + seed % 7 * 40
        z = -(seed % 50 + 1) / 7
        return R.phis(4, z), R.log(seed + 2), R.pi, R.sin(seed)

    single = [work(k) for k in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(200))) == single
    mpmath.mp.prec = 53
    assert math.isclose(float(R.pi), math.pi, rel_tol=0)


def test_precision_is_320_bits() -> None:
    third = R.real("1/3")
    assert R.PRECISION == 320 and abs(wide(third) - WIDE.mpf(1) / 3) < WIDE.mpf(2) ** -321
    for value in (third, R.pi, R.exp(1), R.log(3), R.phis(1, 1)[0], R.expm1(2), R.log1p(2), third * third):
        assert 312 <= value._mpf_[3] <= 320


def test_numbers_of_other_contexts_and_types_are_taken_as_they_are() -> None:
    assert R.real(WIDE.mpf(3) / 8) == R.real("3/8") and R.exp(WIDE.mpf(1)) == R.exp(1)
    assert R.real(np.float32(0.1)) == R.real(float(np.float32(0.1)))
    assert R.linear((0, 1), (Fraction(1, 3), 1), 0) == R.real("1/3")


@pytest.mark.parametrize("exponent", [-1, -15, -16, -17, -23, -24, -25, -26, -60, -120, -319, -328, -329, -330, -700])
def test_small_arguments_on_both_sides_of_every_change_of_method(exponent: int) -> None:
    """phi, expm1 and log1p keep 319 bits next to the places where the formulas change."""
    for sign in (1, -1):
        x = sign * R.real("11/8") * R.real(2) ** exponent
        z = wide(x)
        for n in (1, 3, 8):
            for k, ours in enumerate(R.phis(n, x), 1):
                exact = sum(z**j / WIDE.factorial(j + k) for j in range(400 if exponent > -15 else 40))
                assert abs(wide(ours) - exact) < abs(exact) * WIDE.mpf(2) ** -319, (n, k)
        exact = sum(z**j / WIDE.factorial(j) for j in range(1, 400 if exponent > -15 else 40))
        assert abs(wide(R.expm1(x)) - exact) < abs(exact) * WIDE.mpf(2) ** -318
        exact = WIDE.log(1 + z)
        assert abs(wide(R.log1p(x)) - exact) < abs(exact) * WIDE.mpf(2) ** -319


@pytest.mark.parametrize("size", [1, 2, 30, 700, 10_000])
def test_phis_of_large_arguments_keep_their_digits(size: int) -> None:
    for x in (R.real(size) / 3, -R.real(size) / 3):
        for k, (ours, exact) in enumerate(zip(R.phis(6, x), reference_phis(6, wide(x)), strict=True)):
            assert abs(wide(ours) - exact) < abs(exact) * WIDE.mpf(2) ** -319, k


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_chebyshev_series_of_every_length_inside_and_outside(n: int) -> None:
    """Against sums of T_k(x) = cos(k arccos x) and their derivatives at 3,000 bits; the fixed point has 480."""
    coefficients = [(-1) ** k * 0.7**k / 3 for k in range(n)]
    for low, high, t in ((-1, 999, 17.25), (0.125, 0.5, 0.3), (0.0, 1.0, 1.25), (-3.0, -1.0, -3.0)):
        x = (2 * WIDE.mpf(t) - low - high) / (WIDE.mpf(high) - low)
        t_k, slope_k = [WIDE.mpf(1), x], [WIDE.mpf(0), WIDE.mpf(1)]
        for k in range(1, n):
            t_k.append(2 * x * t_k[k] - t_k[k - 1])
            slope_k.append(2 * t_k[k] + 2 * x * slope_k[k] - slope_k[k - 1])
        value = sum(c * v for c, v in zip(coefficients, t_k))
        slope = sum(c * v for c, v in zip(coefficients, slope_k)) * 2 / (WIDE.mpf(high) - low)
        assert abs(wide(R.chebyshev(coefficients, low, high, t)) - value) < WIDE.mpf(2) ** -318
        assert abs(wide(R.chebyshev_slope(coefficients, low, high, t)) - slope) < WIDE.mpf(2) ** -318 * (1 + abs(slope))


def test_small_chebyshev_coefficients_count() -> None:
    """Fixed point keeps what lies far below the leading term."""
    small = 2.0**-400
    assert R.chebyshev([0.0, small], -1, 1, 0.5) == R.real(small) / 2
    assert abs(R.chebyshev_slope([0.0, 0.0, small], -1, 1, 0.5) / R.real(small) - 2) < R.real(2) ** -70


def test_polygon_pieces_are_exact_fractions() -> None:
    knots, values = (-1.0, 0.0, 0.5, 3.0), (0.1, 0.7, -0.2, 5.0)
    places = [*knots, -2.0, -0.5, 0.25, 0.5 + 2**-50, 1.7, 4.0]
    for t in places:
        i = max(k for k in range(3) if knots[k] <= t or k == 0)
        slope = Fraction(values[i + 1]) - Fraction(values[i])
        slope /= Fraction(knots[i + 1]) - Fraction(knots[i])
        exact = Fraction(values[i]) + slope * (Fraction(t) - Fraction(knots[i]))
        assert abs(R.linear(knots, values, t) - R.real(exact)) <= abs(R.real(exact)) * R.real(2) ** -310
        assert abs(R.linear_slope(knots, values, t) - R.real(slope)) <= abs(R.real(slope)) * R.real(2) ** -310
