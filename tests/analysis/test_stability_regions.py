"""Regions and intervals of the semilinear test equation: phi on arrays, Schur-Cohn, exact end points."""

import mpmath
import numpy as np
import pytest
from sympy import QQ

from derive.analysis.intervals import (
    UNLIMITED,
    conjugate_product,
    first_exit,
    imaginary_interval,
    numeric_exit,
    parameter_ring,
    polynomial_in_w,
    real_interval,
)
from derive.analysis.phi_arrays import phis
from derive.analysis.recurrence import arithmetic, characteristic, on_arrays
from derive.analysis.root_condition import largest_root, schur_cohn, stability_map
from tests.analysis.stability_schemes import EVEN, FLAT, NOISE, RK2, RK3, RK4, adams, unipc


def test_phi_of_arrays_agrees_with_fifty_digits():
    rng = np.random.default_rng(5)
    spread = rng.normal(size=40) * 10.0 ** rng.uniform(-12, 1.6, 40)
    z = np.concatenate(
        [spread + 1j * spread[::-1], -np.geomspace(1e-12, 100, 12), 1j * np.geomspace(1e-12, 60, 12), [0]]
    )
    got = phis(9, z)
    with mpmath.workdps(50):
        for k in range(10):
            for value, at in zip(got[k], z):
                exact = mpmath.hyp1f1(1, k + 1, mpmath.mpc(at)) / mpmath.factorial(k)
                assert abs(mpmath.mpc(value) - exact) < 3e-14 * abs(exact)


def test_phi_of_real_arrays_is_real_and_sharp():
    z = np.array([[-80.0, -8.0, -1.5], [1e-9, 0.7, 30.0]])
    for k, values in enumerate(phis(6, z)):
        assert values.dtype == float and values.shape == z.shape
        with mpmath.workdps(50):
            exact = [float(mpmath.hyp1f1(1, k + 1, mpmath.mpf(x)) / mpmath.factorial(k)) for x in z.ravel()]
        np.testing.assert_allclose(values.ravel(), exact, rtol=2e-15)


@pytest.mark.parametrize("degree", range(1, 9))
@pytest.mark.parametrize("kind", [float, complex])
def test_schur_cohn_agrees_with_eigenvalues(degree, kind):
    rng = np.random.default_rng(degree)
    p = [rng.normal(size=(64, 64)) for _ in range(degree + 1)]
    if kind is complex:
        p = [c + 1j * rng.normal(size=c.shape) for c in p]
    p = [c * 2.0**-k for k, c in enumerate(p)]
    np.testing.assert_array_equal(schur_cohn(p), largest_root(tuple(p)) < 1)
    np.testing.assert_array_equal(schur_cohn(p, 0.8), largest_root(tuple(p)) < 0.8)
    assert 0.001 < schur_cohn(p).mean() < 0.999


@pytest.mark.parametrize("z", [0, -0.5, -2, -8, 2j])
@pytest.mark.parametrize("steps", [2, 3, 4, 6])
def test_slices_agree_with_eigenvalues(steps, z):
    step = adams(steps, NOISE).step(EVEN, QQ(1))
    drawn = stability_map(step, z=z, points=65, window=(-6, 3, -4, 4))
    w = drawn.real + 1j * drawn.imag[:, None]
    np.testing.assert_array_equal(drawn.stable, largest_root(characteristic(step, arithmetic(step, z), w)) < 1)


@pytest.mark.parametrize("scheme", [adams(3), unipc(2, NOISE), unipc(2, NOISE, pec=False)], ids=["ab3", "pec", "pece"])
@pytest.mark.parametrize("z", [0.0, -0.5, 2j])
def test_a_recurrence_is_the_scheme(scheme, z):
    """Running the scheme with any starting values obeys the polynomial."""
    step = scheme.step(EVEN, QQ(1))
    w, arith = -0.4 + 0.1j, on_arrays(z)
    p = characteristic(step, arith, w, corrected=scheme.corrector is not None)
    rng = np.random.default_rng(1)
    x, past = rng.normal() + 0j, list(rng.normal(size=step.known) + 0j)
    series = []
    for _ in range(12):
        if scheme.corrector is None:
            past[0] = x
        values = list(past)
        for row, c in zip((*step.a, step.b), (*step.thetas[step.known :], QQ(1))):
            out = arith.phi(0, c) * x
            for weight, value in zip(row, values):
                out += arith(weight) * w * value if weight else 0
            values.append(out)
        x = values[-1]
        past = [values[-2] if scheme.corrector is not None else x, *past[:-1]]
        series.append(x)
    degree = len(p) - 1
    for i in range(degree + 2, 12):
        assert abs(sum(c * series[i - k] for k, c in enumerate(p))) < 1e-12 * max(map(abs, series))


def test_the_locus_holds_the_boundary():
    """On the locus some root has modulus 1; forward Euler's is the circle around -1."""
    locus = stability_map(adams(1).step(EVEN, QQ(0)), points=8).locus
    np.testing.assert_allclose(np.abs(locus + 1), 1, atol=1e-12)
    for step, corrected in ((RK4, False), (unipc(2, NOISE).step(EVEN, QQ(1)), True)):
        curve = stability_map(step, z=-0.5, corrected=corrected, points=8, angles=64).locus
        p = characteristic(step, arithmetic(step, -0.5), curve, corrected=corrected)
        moduli = np.abs(
            np.stack([np.roots([np.ravel(np.broadcast_to(c, curve.shape))[i] for c in p]) for i in range(curve.size)])
        )
        assert np.abs(moduli - 1).min(axis=1).max() < 1e-6


@pytest.mark.parametrize(("order", "exact"), [(1, "2"), (2, "1"), (3, "6/11"), (4, "3/10"), (5, "90/551"), (6, "5/57")])
def test_real_intervals_of_adams_bashforth_are_rational(order, exact):
    found = real_interval(adams(order).step(EVEN, QQ(0)))
    assert found.exact == exact
    assert abs(numeric_exit(adams(order).step(EVEN, QQ(0)), -1.0).value - found.value) < 1e-12


def test_imaginary_intervals_of_adams_bashforth():
    found = [imaginary_interval(adams(k).step(EVEN, QQ(0))) for k in range(1, 6)]
    assert [f.exact for f in found] == ["0", "0", "12*sqrt(11)/55", "4*sqrt(65)/75", "0"]
    assert found[2].digits.startswith("0.7236272269866326943523489607")


def test_intervals_of_runge_kutta():
    assert real_interval(RK2).exact == "2" and imaginary_interval(RK2).value == 0
    assert imaginary_interval(RK3).exact == "sqrt(3)"
    end = real_interval(RK4)
    assert end.digits.startswith("2.78529356340528162352975918")
    assert end.equation == "r^3 - 4*r^2 + 12*r - 24 = 0"
    assert imaginary_interval(RK4).exact == "2*sqrt(2)"


def test_intervals_of_predictor_corrector_modes():
    """AB1-AM2 (Heun) evaluated twice has RK2's interval; evaluated once it is shorter."""
    twice = real_interval(unipc(1, FLAT, pec=False).step(EVEN, QQ(0)))
    once = real_interval(unipc(1, FLAT).step(EVEN, QQ(0)), corrected=True)
    assert twice.exact == "2"
    assert once.value == pytest.approx(numeric_exit(unipc(1, FLAT).step(EVEN, QQ(0)), -1.0, True).value, abs=1e-12)


def test_unequal_steps_shorten_the_interval():
    """AB2 with r = h_old/h_new: weights 1 + 1/(2r), -1/(2r); -1 is a root at w = -2r/(1 + r)."""
    for r in (QQ(1, 3), QQ(1), QQ(5)):
        found = real_interval(adams(2).step([r], QQ(0)))
        assert found.exact == str(min(2 * r / (1 + r), 2 * r))


def test_thirty_digits_of_end_points():
    with mpmath.workdps(50):
        found = mpmath.findroot(lambda r: ((r - 4) * r + 12) * r - 24, 2.8)
        assert real_interval(RK4).digits == mpmath.nstr(found, 30)
        assert imaginary_interval(RK4).digits == mpmath.nstr(2 * mpmath.sqrt(2), 30)
    assert real_interval(adams(3).step(EVEN, QQ(0))).digits == "0." + "54" * 14 + "55"


@pytest.mark.parametrize(
    ("root", "exact"),
    [
        (lambda w: 1 - (w - 5) * (w - 6) / 100, 5),  # above 1 between 5 and 6, and below -1 from 19.65 on
        (lambda w: 1 - (w - 2) ** 2 * (6 - w) / 64, 6),  # 1 at 2, where nothing ends
        (lambda w: -(w**2) - QQ(1, 2), 0.5**0.5),
        (lambda w: 1 - w * (w**2 + 4 * w + 2) / 4, 1.0739475361924602),  # w^3 + 4 w^2 + 2 w = 8; also 1 at -2 + sqrt 2
        (lambda w: (1 - w) / 2, 3),
        (lambda w: 1 - 10 * w, 0.2),
    ],
)
def test_the_first_exit_of_a_single_root(root, exact):
    rng, w = parameter_ring()
    end = first_exit((rng(1), -root(w)))
    assert end.value == pytest.approx(exact, rel=1e-15)
    assert abs(abs(root(end.value)) - 1) < 1e-13


def test_a_root_that_stays_inside_has_no_exit():
    """1/(1 + w) is below 1 for every w > 0; 1 + w is above at once; 1/(2 - w) is 1 before the degree drops at 2."""
    rng, w = parameter_ring()
    assert first_exit((1 + w, rng(-1))) == UNLIMITED
    assert first_exit((rng(1), -1 - w)) is None
    end = first_exit((2 - w, rng(-1)))
    assert end.exact == "1" and end.digits == "1." + "0" * 29


def test_roots_that_never_leave_the_circle_are_an_error():
    rng, w = parameter_ring()
    with pytest.raises(ValueError, match="stay on the unit circle"):
        first_exit((rng(1), -w, rng(1)))


def test_conjugate_product_is_the_squared_modulus():
    p = polynomial_in_w(adams(3).step(EVEN, QQ(0)))
    square = conjugate_product(p)
    y, zeta = 0.3, 1.7
    left = sum(float(c.evaluate(0, QQ(9, 100))) * zeta ** (len(square) - 1 - k) for k, c in enumerate(square))
    right = (
        abs(
            sum(
                complex(c.coeff(1)) * zeta ** (3 - k) + 1j * y * complex(c.coeff(c.ring.gens[0])) * zeta ** (3 - k)
                for k, c in enumerate(p)
            )
        )
        ** 2
    )
    assert left == pytest.approx(right, rel=1e-12)
