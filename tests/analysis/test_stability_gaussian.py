"""The diffusion test: end points to 15 digits and more, closed forms, identities in Q(h, e^h), maps, exact laws."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from sympy import QQ

from derive.analysis.exponential_roots import limit, worst
from derive.analysis.gaussian import DiffusionTest, Exact, diffusion_map, without_one
from derive.analysis.gaussian_law import ddim_ratio, exact_std, network_gain, run_factor, w2
from tests.analysis.stability_schemes import DATA, FLAT, NOISE, adams, midpoint, unipc

EPS, X0, RHO = ("noise", "lambda"), ("data", "lambda"), ("noise", "rho")


@pytest.mark.parametrize(
    ("scheme", "digits", "exact"),
    [
        (adams(2, NOISE), "1.256431208626169677", "-1/2 - W_{-1}(-exp(-1/2)/2)"),
        (adams(3, NOISE), "0.613007897804464177", ""),
        (adams(4, NOISE), "0.320189735381277181", ""),
        (midpoint(NOISE), "1.098612288668109691", "log(3)"),
        (unipc(1, NOISE), "0.693147180559945309", "log(2)"),
        (unipc(2, NOISE), "0.4517455446", ""),
        (unipc(3, NOISE), "0.2776242537", ""),
    ],
    ids=["ab2", "ab3", "ab4", "2m", "unipc1", "unipc2", "unipc3"],
)
def test_parasitic_noise_ends_where_the_literature_has_it(scheme, digits, exact):
    test = DiffusionTest(scheme, EPS)
    end = limit(test, precise=True)
    with mpmath.workdps(30):
        assert abs(mpmath.mpf(end.digits) - mpmath.mpf(digits)) < mpmath.mpf(10) ** -(len(digits) - 3)
    assert end.exact == exact
    assert limit(test).value == pytest.approx(end.value, rel=1e-14)
    assert test.parasitic(0.999 * end.value) < 1 < test.parasitic(1.001 * end.value)


def test_equations_of_end_points():
    assert limit(DiffusionTest(midpoint(NOISE), EPS), precise=True).equation == "exp(h) - 3 = 0"
    assert limit(DiffusionTest(adams(2, NOISE), EPS), precise=True).equation == "2*h - exp(h) + 1 = 0"
    third = limit(DiffusionTest(adams(3, NOISE), EPS), precise=True)
    with mpmath.workdps(30):
        h = mpmath.mpf(third.digits)
        phi2, phi3 = ((mpmath.hyp1f1(1, k + 1, h) / mpmath.factorial(k)) for k in (2, 3))
        assert abs(h * (phi2 + phi3) - 0.5) < 1e-28


def test_lambert_w_is_the_number():
    with mpmath.workdps(30):
        found = mpmath.mpf(limit(DiffusionTest(adams(2, NOISE), EPS), precise=True).digits)
        assert abs(found - (-0.5 - mpmath.lambertw(-mpmath.exp(-0.5) / 2, -1).real)) < 1e-28


@pytest.mark.parametrize("scheme", [adams(1, NOISE), *(adams(k, DATA) for k in range(1, 5))])
def test_methods_without_a_limit_for_noise(scheme):
    """DDIM has no other root; data rows are exact at kappa = 0."""
    pair = EPS if scheme == adams(1, NOISE) else X0
    test = DiffusionTest(scheme, pair)
    assert not limit(test).limited
    assert test.parasitic(np.linspace(0.1, 30, 7)).max() < 1e-9


@pytest.mark.parametrize(("steps", "h", "kappa"), [(3, "5.978223504", 0.838363), (4, "2.087721057", 0.779)])
def test_worst_direction_of_data_rows(steps, h, kappa):
    test = DiffusionTest(adams(steps, DATA), X0)
    end, at = worst(test, precise=True)
    assert round(end.value, 9) == float(h) and at == pytest.approx(kappa, abs=5e-5)
    quick, near = worst(test)
    assert quick.value == pytest.approx(end.value, rel=1e-8) and near == pytest.approx(at, abs=1e-4)
    assert test.amplification(1.001 * end.value, at) > 1
    inside = test.amplification(0.999 * end.value, np.linspace(0, 1, 101))
    assert inside.max() < 1 + 1e-12


def test_third_order_data_rows_along_the_data():
    assert not limit(DiffusionTest(adams(3, DATA), X0), 1, "w").limited
    assert not worst(DiffusionTest(adams(2, DATA), X0))[0].limited
    assert not worst(DiffusionTest(midpoint(DATA), X0))[0].limited
    assert not worst(DiffusionTest(unipc(2, DATA), X0))[0].limited
    assert limit(DiffusionTest(unipc(3, DATA), X0), 0.8, "w").value == pytest.approx(6.07, abs=0.005)


@pytest.mark.parametrize("ratio", [QQ(1, 4), QQ(1, 2), QQ(1)])
@pytest.mark.parametrize("kappa", [0.2, 0.7, 1.0])
@pytest.mark.parametrize(
    ("row", "bound"),
    [
        (adams(2, DATA), lambda k, h, r: k * (math.exp(-h) - 1 + h) / h <= r),
        (midpoint(DATA), lambda k, h, r: k * (1 - math.exp(-h)) <= 2 * r),
    ],
    ids=["exact", "midpoint"],
)
def test_two_steps_are_stable_exactly_up_to_the_bound(ratio, kappa, row, bound):
    test = DiffusionTest(row, X0, ratio)
    for h in np.geomspace(0.01, 30, 80):
        assert test.stable(h, kappa) == bound(kappa, h, float(ratio)), h


def test_the_product_of_the_roots_is_the_bound():
    """kappa (e^{-h} - 1 + h)/(h r) for r = 1/3, as elements of Q(h, e^h, kappa)."""
    exact = Exact()
    p = DiffusionTest(adams(2, DATA), X0, QQ(1, 3)).polynomial(exact.h, exact.kappa, "w", exact)
    assert p[2] == 3 * exact.kappa * (1 / exact.e - 1 + exact.h) / exact.h
    p = DiffusionTest(midpoint(DATA), X0, QQ(1, 3)).polynomial(exact.h, exact.kappa, "w", exact)
    assert p[2] == 3 * exact.kappa * (1 - 1 / exact.e) / 2


def test_other_root_of_two_steps_in_rho():
    """-(1 - e^{-h})/2, an identity."""
    exact = Exact()
    p = DiffusionTest(adams(2), RHO).polynomial(exact.h, 0 * exact.h, "z", exact)
    assert sum(p[1:], start=p[0]) == 0
    assert without_one(p) == (1, (1 - 1 / exact.e) / 2)


def test_other_root_of_unipc_1():
    """-e^h (e^h - 1)/2, an identity."""
    exact = Exact()
    p = DiffusionTest(unipc(1, NOISE), EPS).polynomial(exact.h, 0 * exact.h, "z", exact)
    assert sum(p[1:], start=p[0]) == 0
    assert without_one(p) == (1, exact.e * (exact.e - 1) / 2)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_steps_in_rho_never_amplify_noise(steps):
    test = DiffusionTest(adams(steps), RHO)
    assert not limit(test).limited and not worst(test)[0].limited
    assert test.parasitic(np.array([60.0])) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("pair", [EPS, X0, RHO, ("data", "1/rho")])
def test_the_recurrence_is_the_solver_on_gaussian_data(pair, steps):
    """x/alpha of a run with frozen kappa, by quadrature weights of its own: Lagrange polynomials integrated by mpmath."""
    h, kappa = 0.4, 0.3
    kernel = {EPS: NOISE, X0: DATA}.get(pair, FLAT)
    p = DiffusionTest(adams(steps, kernel), pair).polynomial(h, kappa, "w")
    weight = _weights(pair, steps, h)
    rho = [math.exp(-h * n) for n in range(24)]  # alpha = 1: x = w
    w = [1.0, 0.7, -0.4][:steps]
    for n in range(steps - 1, 20):
        values = [kappa * w[n - j] if pair[0] == "data" else (1 - kappa) * w[n - j] / rho[n - j] for j in range(steps)]
        a = 1 if pair[0] == "noise" else math.exp(-h)
        scale = rho[n] if pair[0] == "noise" else 1
        w.append(a * w[n] + scale * sum(b * v for b, v in zip(weight, values)))
    for n in range(steps, 20):
        assert abs(sum(c * w[n - k] for k, c in enumerate(p))) < 1e-13


def _weights(pair, steps, h):
    """VE with rho_n = 1 at the start of the step: x' = -e^{-lambda} eps or x' = -x + x0, integrated in lambda."""

    def chi(s):
        return {"lambda": s, "rho": mpmath.exp(-s), "1/rho": mpmath.exp(s)}[pair[1]]

    def kernel(s):
        return -mpmath.exp(-s) if pair[0] == "noise" else mpmath.exp(s - h)

    nodes = [chi(-h * j) for j in range(steps)]
    out = []
    for j in range(steps):

        def basis(s, j=j):
            return mpmath.fprod((chi(s) - nodes[i]) / (nodes[j] - nodes[i]) for i in range(steps) if i != j)

        out.append(float(mpmath.quad(lambda s, basis=basis: kernel(s) * basis(s), [0, h])))
    return out


def test_maps():
    drawn = diffusion_map(DiffusionTest(adams(4, DATA), X0), reach=4, points=(41, 80))
    assert drawn.amplification.shape == (41, 80) and drawn.parasitic.shape == (80,)
    first = drawn.h[(drawn.amplification > 1 + 1e-9).any(axis=0)][0]
    assert first == pytest.approx(2.0877, abs=0.05)
    np.testing.assert_allclose(drawn.amplification[0], np.exp(-drawn.h), rtol=1e-9)


def test_pairs_that_depend_on_the_place_are_refused():
    with pytest.raises(ValueError, match="depends on the place"):
        DiffusionTest(adams(2), ("noise", "t"))
    with pytest.raises(ValueError, match="geometric"):
        DiffusionTest(adams(2), RHO, QQ(2))


def _vp_linear(count):
    for t in mpmath.linspace(1, mpmath.mpf("0.001"), count + 1):
        log_alpha = -(t**2) * mpmath.mpf("19.9") / 4 - t * mpmath.mpf("0.1") / 2
        yield mpmath.exp(log_alpha), mpmath.sqrt(-mpmath.expm1(2 * log_alpha))


def _ddim(curve):
    return [{"a": b[0] / a[0], "b0": b[1] - b[0] * a[1] / a[0]} for a, b in pairwise(curve)]


def test_cosine_law_of_ddim():
    with mpmath.workdps(30):
        for count, want in ((10, "0.88348518367946622283"), (20, "0.94011925062546436294")):
            angles = [mpmath.pi / 2 * i / count for i in range(count + 1)]
            curve = [(mpmath.sin(a), mpmath.cos(a)) for a in angles]
            assert mpmath.nstr(ddim_ratio(curve, 1), 20) == want
        curve = list(_vp_linear(10))
        assert mpmath.nstr(ddim_ratio(curve, mpmath.mpf("0.6")), 20) == "0.77769206448202278207"


def test_distance_of_a_run_is_the_cosine_law():
    with mpmath.workdps(30):
        c, curve = mpmath.mpf("0.6"), list(_vp_linear(10))
        gains = [network_gain(c, *point, 0, 1) for point in curve[:-1]]
        factor = run_factor(_ddim(curve), gains)
        exact = exact_std(c, *curve[-1]) / exact_std(c, *curve[0])
        assert abs(factor / exact - ddim_ratio(curve, c)) < 1e-27
        distance = w2(_ddim(curve), curve, c, [(0, 1)] * 11, dimension=4)
        assert abs(distance - 2 * (1 - ddim_ratio(curve, c)) * exact_std(c, *curve[-1])) < 1e-27


def test_distance_falls_with_the_order_of_the_rows():
    """Two data steps on a grid uniform in lambda: W2 ~ N^-2; converting the network's noise output by cx, cr."""
    found = {}
    for count in (16, 32, 64):
        lam = np.linspace(-4, 3, count + 1)
        alpha = 1 / np.sqrt(1 + np.exp(-2 * lam))
        sigma = np.exp(-lam) * alpha
        h = lam[1] - lam[0]
        rows = []
        for n in range(count):
            e = -math.expm1(-h)
            second = 0 if n == 0 else (h - e) / h
            rows.append(
                {"a": sigma[n + 1] / sigma[n], "b0": alpha[n + 1] * (e + second), "b1": -alpha[n + 1] * second}
                | {"cx": 1 / alpha[n], "cr": -sigma[n] / alpha[n]}
            )
        found[count] = float(w2(rows, list(zip(alpha, sigma)), 0.3, [(0, 1)] * (count + 1)))
    assert 1.8 < math.log2(found[32] / found[64]) < 2.2
