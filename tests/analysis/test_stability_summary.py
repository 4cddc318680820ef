"""Zero-stability, linear multistep pairs with momentum, and what is said about a tableau."""

import json

import numpy as np
import pytest
import sympy as sp
from sympy import QQ, field

from derive.analysis import stability
from derive.analysis.exponential_roots import limit
from derive.analysis.gaussian import DiffusionTest
from derive.analysis.intervals import NOWHERE, UNLIMITED, EndPoint, inside_exactly, parameter_ring
from derive.analysis.linear_multistep import LinearMultistep, adams_series, momentum
from derive.analysis.stability import pair_of, summary
from derive.analysis.zero_stability import parasitic, product_growth, ratio_limit, zero_stability
from derive.families import exponential_rk, runge_kutta
from derive.families.exponential_multistep import build
from derive.symbolic.alphabet import t
from derive.symbolic.forms import constant
from derive.symbolic.surds import square_root
from derive.tableau import Kernel, Node, Row, Scheme, Tableau
from tests.analysis.stability_schemes import DATA, FLAT, KINDS, NOISE, adams, posed, unipc


def _rationals(*values):
    return tuple(QQ.convert(v) for v in values)


@pytest.mark.parametrize(
    ("weights", "stable", "strong"),
    [
        ([1], True, True), ([1, 0, 0], True, True), ([0, 1], True, False), ([2, -1], False, False),
        ([QQ(4, 3), QQ(-1, 3)], True, True), ([-4, 5], False, False), ([1, 1, -1], False, False),
        ([0, 0, 0, 1], True, False), ([1, QQ(3, 4), -1, QQ(1, 4)], True, False),
    ],
)  # fmt: skip
def test_zero_stability_at_a_fixed_ratio(weights, stable, strong):
    found = zero_stability(weights)
    assert (found.stable, found.strong) == (stable, strong)
    assert ("not zero-stable" in str(found)) is not stable


def test_bdf2_ends_at_one_plus_root_two():
    """(1 + 2w) zeta^2 - (1 + w)^2 zeta + w^2: the other root w^2/(1 + 2w) is below 1 iff w < 1 + sqrt 2."""
    _, w = parameter_ring()
    p = (1 + 2 * w, -((1 + w) ** 2), w**2)
    assert parasitic(p) == (1 + 2 * w, -(w**2))
    end = ratio_limit(p)
    assert end.exact == "1 + sqrt(2)" and end.digits.startswith("2.41421356237309504880168872")


def test_belm_has_the_root_minus_rho_squared():
    rng, w = parameter_ring()
    p = (rng(1), -(1 - w**2), -(w**2))
    assert parasitic(p) == (1, w**2)
    assert ratio_limit(p).exact == "1"
    growth = product_growth(lambda r: (1 - r**2, r**2), 1, (0.5, 1.25))
    np.testing.assert_allclose(growth, [1.25 ** (2 * n) for n in range(1, 7)])


def test_inconsistent_recurrences_are_refused():
    rng, w = parameter_ring()
    with pytest.raises(ValueError, match="1 is not a root"):
        parasitic((rng(1), -w))


def test_products_of_companion_matrices():
    def bdf2(r):
        return (1 + r) ** 2 / (1 + 2 * r), -(r**2) / (1 + 2 * r)

    assert product_growth(bdf2, 1, (0.2, 2.4))[-1] < 1 < product_growth(bdf2, 1, (0.2, 2.45))[0]

    def bdf3(r, q):
        """From the derivative of the interpolant through four points, times 0, .., on ratios r = h_n/h_{n-1}, q."""
        times = np.array([0, -1, -1 - 1 / r, -1 - 1 / r - 1 / (r * q)])
        inverse = np.linalg.inv(np.vander(times, increasing=True))
        slope = inverse[1]
        return tuple(-slope[1:] / slope[0])

    np.testing.assert_allclose(bdf3(1, 1), (18 / 11, -9 / 11, 2 / 11), rtol=1e-12)
    growth = product_growth(bdf3, 2, (0.9, 1.1), length=8, points=3)
    assert growth[-1] < 1 and growth[-1] < growth[3]
    assert product_growth(bdf3, 2, (2.0, 2.2), length=8, points=3)[-1] > 1


MOMENTUM = {
    1: (lambda b: -2 * (2 - b) / b, lambda b: (2 - b) / (2 * b), QQ(-3)),
    2: (lambda b: -(2 - b), lambda b: (6 - b) / (12 * b), QQ(-6, 5)),
    3: (lambda b: -6 * (2 - b) / (12 - b), lambda b: (10 - b) / (24 * b), QQ(-9, 14)),
    4: (lambda b: -3 * (2 - b) / (11 - b), lambda b: (270 - 19 * b) / (720 * b), QQ(-6, 17)),
    5: (lambda b: -90 * (2 - b) / (600 - 49 * b), lambda b: (502 - 27 * b) / (1440 * b), QQ(-135, 701)),
}


@pytest.mark.parametrize("order", MOMENTUM)
def test_momentum_with_its_parameter_symbolic(order):
    interval, constant, at_four_fifths = MOMENTUM[order]
    b = field("b", QQ)[1]
    method = momentum(order)
    assert method.at_minus_one() == interval(b)
    assert method.error() == (order, constant(b))
    fixed = momentum(order, QQ(4, 5))
    assert fixed.at_minus_one() == at_four_fifths
    assert fixed.real_interval().exact == str(-at_four_fifths)
    assert fixed.error() == (order, constant(QQ(4, 5)))


def test_momentum_constant_of_order_two():
    assert momentum(2, QQ(4, 5)).error()[1] == QQ(13, 24)


def test_momentum_one_is_adams_bashforth():
    assert adams_series(5) == [1, QQ(1, 2), QQ(5, 12), QQ(3, 8), QQ(251, 720)]
    assert [momentum(k, 1).real_interval().exact for k in range(1, 6)] == ["2", "1", "6/11", "3/10", "90/551"]
    assert [momentum(k, 1).error()[1] for k in range(1, 5)] == [QQ(1, 2), QQ(5, 12), QQ(3, 8), QQ(251, 720)]


@pytest.mark.parametrize(
    ("rho", "sigma", "angle"),
    [
        ((QQ(3, 2), -2, QQ(1, 2)), (1, 0, 0), 90.0),
        ((QQ(11, 6), -3, QQ(3, 2), QQ(-1, 3)), (1, 0, 0, 0), 86.0324),
        ((QQ(25, 12), -4, 3, QQ(-4, 3), QQ(1, 4)), (1, 0, 0, 0, 0), 73.3517),
        ((1, -1), (QQ(1, 2), QQ(1, 2)), 0.0),
        ((1, -1, 0), (0, QQ(3, 2), QQ(-1, 2)), 0.0),
    ],
    ids=["bdf2", "bdf3", "bdf4", "trapezium", "ab2"],
)
def test_sector_angles(rho, sigma, angle):
    """Hairer-Wanner 1996, Table V.2.1. The trapezium rule is not damped at infinity: nothing is claimed."""
    assert LinearMultistep(_rationals(*rho), _rationals(*sigma)).sector_angle() == pytest.approx(angle, abs=1e-3)


def test_error_constants_of_bdf():
    assert LinearMultistep(_rationals(QQ(3, 2), -2, QQ(1, 2)), _rationals(1, 0, 0)).error() == (2, QQ(-1, 3))


@pytest.mark.parametrize("steps", range(1, 6))
@pytest.mark.parametrize(("rate", "c0", "c1", "variable"), KINDS)
def test_summaries_serialise(steps, rate, c0, c1, variable):
    found = summary(build(Kernel(QQ(rate)), steps, "exact", "ramp", "lower_order"), posed(c0, c1, variable))
    data = found.as_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["zero_stable"] and data["strongly_zero_stable"]
    assert (data["real_interval"] is not None) == (rate == 0)
    assert (data["gaussian"] is not None) == (variable != "t")
    assert "zero-stable on every grid" in str(found)


def test_a_constant_kernel_on_data_in_the_inverse_of_rho():
    """Two steps end at e^h = 3 along the data, and nowhere earlier; explicit methods have no sector."""
    found = summary(build(Kernel(QQ(0)), 2, "exact", "ramp", "keep"), posed(1, 0, "1/rho")).as_dict()
    assert found["sector_angle"] == 0.0
    gaussian = found["gaussian"]
    assert gaussian["data_limit"]["exact"] == gaussian["worst_limit"]["exact"] == "log(3)"
    assert (gaussian["worst_kappa"], gaussian["searched_to"]) == (1.0, 40.0)
    assert summary(build(Kernel(QQ(1)), 2, "exact", "ramp", "keep")).as_dict()["sector_angle"] is None


def test_what_a_summary_says():
    noise = summary(build(Kernel(QQ(1)), 2, "exact", "ramp", "keep"), posed(0, 1, "lambda"))
    assert noise.as_dict()["gaussian"]["noise_limit"] == {
        "value": 1.25643121,
        "exact": "-1/2 - W_{-1}(-exp(-1/2)/2)",
    }
    assert "parasitic noise -1/2 - W_{-1}(-exp(-1/2)/2) = 1.256431; along the data no limit" in str(noise)
    data = summary(build(Kernel(QQ(-1)), 3, "exact", "ramp", "keep"), posed(1, 0, "lambda")).as_dict()["gaussian"]
    assert data["noise_limit"] is None and data["data_limit"] is None
    assert data["worst_limit"]["value"] == pytest.approx(5.9782235, abs=1e-7) and data["worst_kappa"] == 0.8384
    fourth = summary(build(Kernel(QQ(0)), 4, "exact", "ramp", "keep"))
    assert (
        str(fourth).splitlines()[1]
        == "step times eigenvalue: real to -3/10 = 0.3, imaginary to 4*sqrt(65)/75 = 0.4299871"
    )
    assert fourth.gaussian is None
    free = summary(build(Kernel(QQ(-1)), 2, "exact", "ramp", "keep"), posed(1, 0, "lambda"))
    assert str(free.gaussian) == "Gaussian data: no limit for steps in lambda (up to 40)"


def test_summary_of_a_corrected_scheme():
    tableau = Tableau("by_hand", NOISE, (unipc(1, NOISE),))
    found = summary(tableau, posed(0, 1, "lambda")).gaussian
    assert found.noise.exact == "log(2)"


def test_pairs_of_problems():
    assert pair_of(posed(1, 0, "lambda"), QQ(-1)) == ("data", "lambda")
    assert pair_of(posed(1, 0, "exp(lambda)"), QQ(0)) == ("data", "1/rho")
    assert pair_of(posed(1, 0, "rho"), None) is None
    assert pair_of(posed(1, 1, "lambda"), QQ(-1)) is None
    exploding = {"alpha": sp.Integer(1), "sigma": t}
    assert pair_of(posed(0, 1, "sigma", **exploding), QQ(0)) == ("noise", "rho")
    assert pair_of(posed(0, 1, "t", **exploding), QQ(0)) == ("noise", "rho")
    assert pair_of(posed(0, 1, "t"), QQ(0)) is None


def _said(tableau, c0, c1, variable):
    return summary(tableau, posed(c0, c1, variable))


def test_families_that_coincide_have_the_same_end_points():
    """At rate 0 an exponential method is its classical one; typed radicals and rationals take different paths."""
    pairs = [("cfree4", "rk4"), ("etd2rk", "heun2")]
    for exponential, classical in pairs:
        a = _said(exponential_rk.build(FLAT, "last", "exact", "keep", tableau=exponential), 0, 1, "rho")
        b = _said(runge_kutta.build(FLAT, "keep", tableau=classical), 0, 1, "rho")
        assert a.as_dict() == b.as_dict()
        assert a.gaussian.worst.value == pytest.approx({"rk4": 3.811365, "heun2": 2.633916}[classical], rel=1e-6)


def test_lawson_steps_in_lambda_are_the_classical_ones():
    """kappa = 0 in w: the noise row with the kernel at its nodes is exp(-h) times RK4 at -h .. e^h: the same interval."""
    found = _said(runge_kutta.build(NOISE, "keep", tableau="rk4"), 0, 1, "lambda").gaussian
    assert found.kappa == 0 and found.worst.value == pytest.approx(2.785293563405282, rel=1e-12)
    assert not found.noise.limited, "one root has no parasite"


def test_errors_of_lawson_along_the_data_are_not_instability():
    found = _said(runge_kutta.build(DATA, "keep", tableau="dormand_prince54"), 1, 0, "lambda")
    growth = DiffusionTest(found.scheme, ("data", "lambda")).amplification(np.array([0.2]), 1.0)
    assert 1 < growth[0] < 1 + 1e-7
    assert found.gaussian.data.value > 0.5


def test_a_double_root_on_the_circle_is_an_end_point():
    """Three-step PECE on noise: a pair meets at 1."""
    test = DiffusionTest(unipc(3, NOISE, pec=False), ("noise", "lambda"))
    end = limit(test, precise=True)
    assert end.value == pytest.approx(1.5953, abs=1e-4) and len(end.digits) > 25
    assert test.parasitic(end.value - 1e-6) < 1 < test.parasitic(end.value + 1e-6)


@pytest.mark.parametrize(("pair", "rational"), [((0, 1, "rho"), "ralston2"), ((1, 0, "1/rho"), "ralston2")])
def test_nodes_with_radicals(pair, rational):
    """Two stages at c = sqrt(2)/2: every two-stage method of order two has the interval -2."""
    c = square_root(2) / 2
    weight = 1 / (2 * c)
    first = Row("stage 1", (Node("history", 0, QQ(0)),), (), (), end=c, given=(constant(c),))
    last = Row(
        "output",
        (Node("history", 0, QQ(0)), Node("stage", 1, c)),
        (),
        (),
        given=(constant(1 - weight), constant(weight)),
    )
    found = _said(Tableau("by_hand", FLAT, (Scheme((first,), last),)), *pair)
    assert found.real.value == pytest.approx(2, rel=1e-12) and found.imaginary.value == 0
    assert (
        found.gaussian.as_dict().keys()
        == _said(runge_kutta.build(FLAT, "keep", tableau=rational), *pair).gaussian.as_dict().keys()
    )


def test_tables_of_decisions_are_judged_by_what_they_use_most():
    schemes = (adams(1, NOISE), adams(2, NOISE), adams(3, NOISE))
    found = summary(Tableau("by_hand", NOISE, schemes, table=(0, 1, 1, 1, 2)), posed(0, 1, "lambda"))
    assert found.scheme == schemes[1]


def test_values_that_are_not_read_are_no_roots():
    found = zero_stability([QQ(1), QQ(0), QQ(0)])
    assert found.roots == (1,) and "the only root is 1" in str(found)


def test_a_bounded_region_holds_no_sector():
    euler, exponential = (summary(build(kernel, 1, "exact", "ramp", "keep")) for kernel in (FLAT, DATA))
    assert euler.as_dict()["sector_angle"] == 0.0 and exponential.as_dict()["sector_angle"] is None
    assert euler.as_dict()["real_interval"] == {"value": 2.0, "exact": "2"}


def test_the_worst_is_at_the_data_where_nothing_between_is_worse(monkeypatch):
    at = EndPoint
    found = {("z", 0): at(9.0), ("w", 1): at(2.0)}
    monkeypatch.setattr(stability, "limit", lambda test, kappa, frame, precise: found[frame, kappa])
    monkeypatch.setattr(stability, "worst", lambda test: (at(3.0), 0.5))
    tableau = build(DATA, 2, "exact", "ramp", "keep")
    gaussian = summary(tableau, posed(1, 0, "lambda")).gaussian
    assert (gaussian.noise.value, gaussian.data.value, gaussian.worst.value, gaussian.kappa) == (9.0, 2.0, 2.0, 1.0)
    found["w", 1] = at(4.0)
    gaussian = summary(tableau, posed(1, 0, "lambda")).gaussian
    assert (gaussian.worst.value, gaussian.kappa) == (3.0, 0.5)


def test_implicit_methods_are_stable_in_a_half_plane_at_most():
    backward = LinearMultistep(_rationals(1, -1), _rationals(1, 0))
    second = LinearMultistep(_rationals(QQ(3, 2), -2, QQ(1, 2)), _rationals(1, 0, 0))
    assert backward.sector_angle() == 90.0
    np.testing.assert_allclose(second.sector_angle(), 90.0, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_methods_with_momentum_have_coefficients_of_one_length(order):
    method = momentum(order)
    assert len(method.rho) == len(method.sigma) == max(3, order + 1)


def test_a_root_on_the_circle_is_not_inside_and_one_beside_it_is():
    near = QQ(1) - QQ(1, 10**12)
    assert not inside_exactly((QQ(1), QQ(-3, 2), QQ(1, 2)))
    assert inside_exactly((QQ(1), -near - QQ(1, 2), near / 2))
    assert not inside_exactly((QQ(1), 1 / near - QQ(1, 2), -1 / near / 2))


@pytest.mark.parametrize(
    ("end", "shared"),
    [
        (EndPoint(2.0, "2", "2.0", "w - 2 = 0"), (2 / 3, "2/3")),
        (EndPoint(3**0.5, "sqrt(3)"), (3**0.5 / 3, "(sqrt(3))/3")),
        (EndPoint(0.3), (0.3 / 3, "")),
        (UNLIMITED, (np.inf, "no limit")),
        (NOWHERE, (0.0, "0")),
    ],
)
def test_an_end_point_in_units_of_a_third(end, shared):
    found = end.shared(3)
    assert (found.value, found.exact) == (pytest.approx(shared[0], rel=1e-15), shared[1])
    assert end.shared(1) is end and (not found.digits or float(found.digits) == pytest.approx(shared[0], rel=1e-15))
