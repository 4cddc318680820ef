"""The diffusion test: end points to 15 digits and more, closed forms, identities in Q(h, e^h), maps, exact laws."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy import QQ

from derive.analysis.exponential_roots import _solved, brackets, closed_form, exactly, limit, worst
from derive.analysis.gaussian import DiffusionTest, Exact, diffusion_map, without_one
from derive.analysis.gaussian_law import ddim_ratio, exact_std, network_gain, run_factor, w2
from derive.symbolic.forms import Form, phi
from derive.tableau import Node, Row, Scheme
from tests.analysis.stability_schemes import AB, DATA, FLAT, NOISE, adams, midpoint, unipc

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
    assert "h^2" in third.equation and "**" not in third.equation
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


@pytest.mark.parametrize("reach", [1.3, 7.0, 40.0])
def test_brackets_shrink_to_double_precision(reach):
    """2M on data, steps that grow fourfold: a pair of modulus 1 where kappa (1 - e^{-h}) = 1/2, to the tolerance 1e-9."""
    test, kappa = DiffusionTest(midpoint(DATA), X0, QQ(1, 4)), np.linspace(0.73, 0.98, 48)
    exact = -np.log1p(-((1 + 1e-9) ** 2) / (2 * kappa))
    low, high = brackets(test, kappa, "w", reach)
    np.testing.assert_allclose(low, exact, rtol=1e-13)
    np.testing.assert_allclose(high, exact, rtol=1e-13)
    assert (low < high).all() and (high - low < 1e-15).all()
    assert test.stable(low[:, None], kappa[:, None]).all() and not test.stable(high[:, None], kappa[:, None]).any()
    rough = np.subtract(*brackets(test, kappa, "w", reach, 2)[::-1])
    np.testing.assert_allclose(rough, exact * np.log(1e3 * reach) / 191 / 23**2, rtol=0.1)
    assert np.isinf(brackets(test, np.array([0.75, 0.4]), "w")[1]).tolist() == [False, True]


def test_nothing_is_stable_where_the_solution_grows():
    """DDIM at kappa = 3/2 is e^{-h} + 3/2 (1 - e^{-h}) > 1: the first point that is looked at is the limit."""
    test = DiffusionTest(adams(1, DATA), X0)
    for kappa in (1.5, np.array([1.5, 0.5])):
        low, high = brackets(test, kappa, "w")
        assert low[0] == high[0] == 0.001
    for precise in (False, True):
        assert limit(test, 1.5, "w", precise=precise).value == 0.001
    unstable = DiffusionTest(adams(4, DATA), X0, QQ(1, 4))
    for precise in (False, True):
        assert worst(unstable, precise=precise)[0].value == 0.001


@pytest.mark.parametrize("precise", [False, True])
def test_a_method_that_moves_constants_may_grow_by_one_per_cent(precise):
    """Lawson-Euler on data is (1 + kappa h) e^{-h} in w, 1 + kappa h in z."""
    test = DiffusionTest(adams(1, DATA, {0: AB.phi[0]}), X0)
    end = limit(test, 0.5, "z", precise=precise)
    assert (end.value, end.digits) == (pytest.approx(0.02, rel=1e-13), "")
    grown = limit(test, 2, "w", precise=precise)
    assert grown.value == pytest.approx(float(mpmath.findroot(lambda h: (1 + 2 * h) * mpmath.exp(-h) - 1.01, 0.01)))
    assert not worst(test, precise=precise)[0].limited
    noise = DiffusionTest(adams(1, NOISE, {0: AB.phi[0]}), EPS)  # e^h (1 - h) in z: one root, there is no other
    assert not limit(noise, precise=precise).limited
    assert limit(noise, 0, "w", precise=precise).value == 2
    two = DiffusionTest(adams(4, DATA, {0: AB.phi[0]}), X0)
    end, kappa = worst(two, precise=precise)
    assert end.digits == "" and two.amplification(end.value, kappa) == pytest.approx(1.01, rel=1e-9)


def _data_weights(h):
    """b_0, b_1, b_2 of three data steps: int_0^1 h e^{-h(1-s)} of the Lagrange polynomials through 0, -1, -2."""
    phi = [mpmath.hyp1f1(1, k + 1, -h) / mpmath.factorial(k) for k in range(4)]
    return h * (phi[1] + phi[2] * 3 / 2 + phi[3]), -2 * h * (phi[2] + phi[3]), h * (phi[2] / 2 + phi[3])


def test_the_worst_direction_of_three_data_steps_is_where_a_discriminant_vanishes():
    """z^3 + a z^2 + b z + c has a pair on the circle where 1 - b + a c - c^2 = 0, here quadratic in kappa."""
    with mpmath.workdps(50):

        def parts(h):
            b0, b1, b2 = _data_weights(h)
            return b1 + mpmath.exp(-h) * b2, b2 * (b0 - b2)

        h = mpmath.findroot(lambda x: parts(x)[0] ** 2 - 4 * parts(x)[1], 6)
        middle, square = parts(h)
        kappa = -middle / (2 * square)
        end, at = worst(DiffusionTest(adams(3, DATA), X0), precise=True)
        assert end.digits == mpmath.nstr(h, 30)
        assert (end.value, at) == (float(h), float(kappa))


HEUN = DiffusionTest(unipc(1, FLAT, pec=False), RHO)
"""w is multiplied by 1 + y/2 + y (1 + y) e^h/2, y = -(1 - kappa)(1 - e^{-h}): at -1 if y^2 + (1 + u) y + 4 u = 0, u = e^{-h}."""


@pytest.mark.parametrize("reach", [2.7, 8.0, 40.0])
def test_the_worst_direction_of_heun_in_rho(reach):
    """The discriminant vanishes at u = 7 - 4 sqrt 3, which is cosh h = 7; y = -(1 + u)/2 there, kappa = 1 - 1/sqrt 3."""
    with mpmath.workdps(50):
        h, kappa = mpmath.acosh(7), 1 - 1 / mpmath.sqrt(3)
        end, at = worst(HEUN, reach=reach, precise=True)
        assert (end.digits, at) == (mpmath.nstr(h, 30), float(kappa))
    end, at = worst(HEUN, reach=reach)
    assert end.value == pytest.approx(float(h), rel=1e-12)
    assert at == pytest.approx(float(kappa), abs=1e-6) and end.digits == ""
    assert not worst(HEUN, reach=2.6)[0].limited


@pytest.mark.parametrize("ratio", [QQ(13, 14), QQ(1), QQ(10, 9), QQ(5, 4)])
def test_the_quick_search_has_the_worst_direction_to_five_digits(ratio):
    test = DiffusionTest(adams(4, DATA), X0, ratio)
    quick, exact = (worst(test, precise=precise) for precise in (False, True))
    assert quick[0].value == pytest.approx(exact[0].value, rel=1e-10)
    assert quick[1] == pytest.approx(exact[1], abs=1e-5) and 0.5 < exact[1] < 1


def test_a_worst_direction_across_the_data_is_that_of_noise():
    """2M on noise with steps that grow fourfold, e^h = 2; UniPC-1, e^h = 3; both at kappa = 0."""
    for test, exact in ((DiffusionTest(midpoint(NOISE), EPS, QQ(1, 4)), 2), (DiffusionTest(unipc(1, NOISE), EPS), 3)):
        assert worst(test) == (limit(test, 0, "w"), 0) and worst(test)[0].value == pytest.approx(
            math.log(exact), rel=1e-15
        )
        end, kappa = worst(test, precise=True)
        assert (end.exact, end.equation, kappa) == (f"log({exact})", f"exp(h) - {exact} = 0", 0)


def test_a_worst_direction_along_the_data_is_that_of_the_data():
    """2M on data with steps that grow fourfold, e^h = 2; two steps in 1/rho, e^h = 3; both at kappa = 1."""
    for test, exact in (
        (DiffusionTest(midpoint(DATA), X0, QQ(1, 4)), 2),
        (DiffusionTest(adams(2), ("data", "1/rho")), 3),
    ):
        assert worst(test)[0].value == math.log(exact)
        end, kappa = worst(test, precise=True)
        assert (end.exact, end.equation, kappa) == (f"log({exact})", f"exp(h) - {exact} = 0", 1)


def test_closed_forms_for_a_rational_kappa():
    """With (1 - kappa) = 7/8: 105 u^2 + 158 u - 7 = 0."""
    end = limit(HEUN, 0.125, "w", precise=True)
    assert end.equation == "7*exp(2*h) - 158*exp(h) - 105 = 0"
    assert end.exact == "log(79/7 + 8*sqrt(109)/7)"
    other = limit(HEUN, 0.1, "w", precise=True)
    assert (other.exact, other.equation) == ("", "")
    q, h = mpmath.mpf(0.9), mpmath.mpf(other.digits)
    u = mpmath.exp(-h)
    assert abs((q * (1 - u)) ** 2 - q * (1 - u) * (1 + u) + 4 * u) < 1e-14


def test_only_what_is_next_to_a_bracket_is_its_end_point():
    """The other root of 2M is -(e^h - 1)/2: log 3 is no end point for a bracket ten per cent or 5e-4 away."""
    test = DiffusionTest(midpoint(NOISE), EPS)
    with mpmath.workdps(50):
        for away in (0, 1e-8, -2e-5):
            assert mpmath.nstr(exactly(test, math.log(3) + away, 0, "z"), 30) == mpmath.nstr(mpmath.log(3), 30)
    for away in (-0.1, 5e-4, -5e-4):
        with pytest.raises(ValueError, match="no simple root"):
            exactly(test, math.log(3) + away, 0, "z")


def test_a_pair_on_the_circle_has_no_closed_form():
    """2M on data, steps that grow fourfold: 3/4 (1 - e^{-h}) = 1/2 at log 3, where the roots are complex."""
    end = limit(DiffusionTest(midpoint(DATA), X0, QQ(1, 4)), 0.75, "w", precise=True)
    with mpmath.workdps(50):
        assert (end.exact, end.equation, end.digits) == ("", "", mpmath.nstr(mpmath.log(3), 30))


def test_a_closed_form_in_half_steps():
    """The exponential midpoint rule on noise: 1 is a root where e^{h/2} is 1, -1 or (1 + q)/q, q = 1 - kappa."""
    first, half = Node("history", 0, QQ(0)), QQ(1, 2)
    stage = Row("stage", (first,), (), (), half, given=(phi(1, half, half),))
    output = Row("output", (first, Node("stage", 1, half)), (), (), QQ(1), given=(Form(), phi(1)))
    test = DiffusionTest(Scheme((stage,), output), EPS)
    with mpmath.workdps(50):
        exact = 2 * mpmath.log(mpmath.mpf(15) / 7)
        assert mpmath.nstr(exactly(test, float(exact), 0.125, "z"), 30) == mpmath.nstr(exact, 30)
        assert closed_form(test, exact, 0.125, "z", 1) == ("2*log(15/7)", "7*exp(h/2) - 15 = 0")


@pytest.mark.parametrize(
    ("equation", "parts", "near", "text"),
    [
        (lambda h, e: e**2 - e - 1, 1, 0.5, "log(1/2 + sqrt(5)/2)"),
        (lambda h, e: 2*e - 3, 1, 0.4, "log(3/2)"),
        (lambda h, e: e - 3, 2, 2.2, "2*log(3)"),
        (lambda h, e: e**3 - e - 1, 1, 0.3, ""),
        (lambda h, e: 3*e - 2*h - 6, 1, 1.0, "-3 - W_{-1}(-3*exp(-3)/2)"),
        (lambda h, e: e - 8*h + 4, 1, 0.8, "1/2 - W_{0}(-exp(1/2)/8)"),
        (lambda h, e: e - 3*h, 1, 1.5, "- W_{-1}(-1/3)"),
        (lambda h, e: e - 3*h, 1, 0.6, "- W_{0}(-1/3)"),
        (lambda h, e: e - h - 2, 2, 4.0, ""),
        (lambda h, e: h*e - 2*e + 2, 1, 1.6, ""),
        (lambda h, e: e**2 - h - 2, 1, 0.4, ""),
        (lambda h, e: h - 2, 1, 2.0, ""),
    ],
)  # fmt: skip
def test_patterns_of_closed_forms(equation, parts, near, text):
    H, E = sp.symbols("H E")
    poly = sp.Poly(equation(H, E), H, E)
    with mpmath.workdps(40):
        root = mpmath.findroot(lambda h: equation(h, mpmath.exp(h / parts)), near)
        assert _solved(poly, root, parts) == text
        assert _solved(poly, root + mpmath.mpf("1e-20"), parts) == ""


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


def test_exponentials_that_the_field_holds():
    """e^0, e^{h/2} and e^{-h} in Q(h, e^{h/2}); no e^{h/4}, no e^{1/h}, no e^{h^2}."""
    exact = Exact(2)
    h, e = exact.h, exact.e
    assert [exact.exp(x) for x in (0 * h, h / 2, -h)] == [1, e, 1 / e**2]
    assert exact.arithmetic(-1, h, exact.number).phi(3, QQ(1, 2)) == (1 - h / 2 + h**2 / 8 - 1 / e) * 8 / h**3
    for x in (h / 4, exact.field.one, h * h, h + 1):
        with pytest.raises(ValueError, match="an exponential that the field does not hold"):
            exact.exp(x)


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
    assert (drawn.kappa[0], drawn.kappa[-1], drawn.h[0], drawn.h[-1]) == (0, 1, 0.05, 4)
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
