"""The posed problem: which kernels are closed, and that a closed kernel is the integral it claims to be."""

import re
from dataclasses import replace

import pytest
import sympy as sp
from sympy import QQ

from derive.analysis.numbers import Oracle
from derive.families.exponential_multistep import build
from derive.lookup import load
from derive.predictions import Prediction
from derive.problems import PoseError
from derive.problems.diffusion import CHARTS, on_path, pose
from derive.symbolic.alphabet import alpha, dalpha, dsigma, lam, rho, sigma, t
from derive.tableau import Kernel, multistep_row


def schedule(kind, **parameters):
    return load("derive.schedules", kind).build(**parameters)


def prediction(kind, **parameters):
    return load("derive.predictions", kind).build(**parameters)


def posed(kind, returns, integrand, variable):
    return pose(schedule(kind), prediction(returns), prediction(integrand), variable)


CLOSED = [
    ("vp_linear", "noise", "lambda", QQ(1), -sigma),
    ("vp_linear", "data", "lambda", QQ(-1), alpha),
    ("vp_linear", "noise", "rho", QQ(0), alpha),
    ("vp_linear", "v", "angle", QQ(0), sp.Integer(1)),
    ("vp_cosine", "v", "angle", QQ(0), sp.Integer(1)),
    ("vp_scaled_linear", "data", "lambda", QQ(-1), alpha),
    ("flow", "velocity", "t", QQ(0), sp.Integer(1)),
    ("flow", "velocity", "sigma", QQ(0), sp.Integer(1)),
    ("flow", "data", "lambda", QQ(-1), alpha),
    ("edm", "noise", "t", QQ(0), sp.Integer(1)),
    ("edm", "noise", "lambda", QQ(1), -sigma),
    ("edm", "score", "lambda", QQ(2), sigma**2),
    ("subvp", "noise", "lambda", QQ(1), -sigma),
]
GENERAL = [
    ("vp_linear", "noise", "t"), ("vp_linear", "data", "t"), ("vp_linear", "v", "lambda"), ("flow", "noise", "sigma"),
    ("subvp", "v", "angle"), ("vp_linear", "velocity", "lambda"), ("vp_linear", "edm", "rho"), ("vp_linear", "score", "lambda"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "integrand", "variable", "rate", "prefactor"), CLOSED)
def test_closed_kernels_are_found(kind, integrand, variable, rate, prefactor):
    problem = posed(kind, integrand, integrand, variable)
    assert problem.kernel == Kernel(rate)
    assert sp.simplify(problem.prefactor - prefactor) == 0


@pytest.mark.parametrize(("kind", "integrand", "variable"), GENERAL)
def test_other_pairs_are_left_to_quadrature(kind, integrand, variable):
    assert posed(kind, integrand, integrand, variable).kernel == Kernel(None)


@pytest.mark.parametrize(("kind", "integrand", "variable", "rate", "prefactor"), CLOSED)
def test_closed_kernels_equal_their_integrals(kind, integrand, variable, rate, prefactor):
    """The same row with phi functions and with mpmath's quadrature of B/G: they share no formula beyond the schedule."""
    problem = posed(kind, integrand, integrand, variable)
    general = replace(problem, kernel=Kernel(None))
    noise, data = float(problem.schedule.noise), float(problem.schedule.data)
    nodes = [data + x * (noise - data) for x in (0.31, 0.42, 0.5, 0.66)]
    digits = 25
    closed = Oracle(build(problem.kernel, 3, "exact", "ramp", "keep"), problem, digits)
    other = Oracle(build(general.kernel, 3, "exact", "ramp", "keep"), general, digits)
    one = closed.row(multistep_row(3, problem.kernel), nodes)
    two = other.row(multistep_row(3, general.kernel), nodes)
    for name, value in one.items():
        assert abs(value - two[name]) <= closed.mp.mpf(10) ** -20 * abs(value), name


def test_an_expression_is_a_variable():
    """atan(2 rho) makes EDM's raw network (sigma_data = 1/2) an Adams-Bashforth problem; -log(rho) is lambda."""
    problem = posed("edm", "edm", "edm", sp.atan(2 * rho))
    assert problem.kernel == Kernel(QQ(0))
    assert posed("vp_linear", "noise", "data", lam).kernel == Kernel(QQ(-1))
    assert posed("vp_linear", "noise", "noise", sigma / alpha).kernel == Kernel(QQ(0))
    assert posed("vp_linear", "noise", "noise", 3 * rho + 1).prefactor == alpha / 3


def test_a_quantity_that_determines_nothing_is_refused():
    state = Prediction("state", alpha, sigma)
    with pytest.raises(PoseError, match="proportional to x"):
        pose(schedule("vp_linear"), prediction("noise"), state, "lambda")


def test_a_quantity_that_is_somewhere_proportional_to_x_is_refused():
    linear = load("derive.predictions", "linear").build(x0=sp.sin(t), eps=sp.Integer(1))
    for returns, integrand, key in (
        (prediction("noise"), linear, "method.integrand"),
        (linear, prediction("noise"), "problem.prediction"),
    ):
        with pytest.raises(PoseError, match=r"near t = 0\.4\d+") as caught:
            pose(schedule("vp_linear"), returns, integrand, "lambda")
        assert caught.value.key == key


@pytest.mark.parametrize(
    ("kind", "variable", "why"),
    [("vp_linear", (t - sp.Rational(1, 2)) ** 2, "near"), ("ve", "alpha", "does not change"),
     ("vp_linear", 1 / (t - sp.Rational(1, 2)), "turns around"),
     ("flow", sp.Integer(3) + 0 * t, "does not change")],
)  # fmt: skip
def test_a_variable_moves_one_way(kind, variable, why):
    with pytest.raises(PoseError, match=why) as caught:
        posed(kind, "noise", "noise", variable)
    assert caught.value.key == "method.variable"


@pytest.mark.parametrize(
    ("integrand", "variable", "finite", "departs", "vanishes"),
    [
        ("data", "lambda", (False, False), (False, True), (True, False)),
        ("noise", "lambda", (False, False), (True, False), (False, True)),
        ("noise", "rho", (True, False), (True, False), (False, True)),
        ("noise", "t", (True, True), (True, False), (False, True)),
        ("v", "angle", (True, True), (True, True), (False, False)),
        ("velocity", "t", (True, True), (True, True), (False, False)),
        ("edm", "t", (True, True), (True, True), (False, False)),
    ],
)
def test_end_points_are_known(integrand, variable, finite, departs, vanishes):
    problem = posed("vp_cosine", "noise", integrand, variable)
    for got, want in ((problem.finite, finite), (problem.departs, departs), (problem.vanishes, vanishes)):
        assert (got["sigma_zero"], got["alpha_zero"]) == want


def test_expressions_are_shortened_on_their_path():
    assert on_path(alpha / (alpha**2 + sigma**2), schedule("vp_linear")) == alpha
    assert on_path(dsigma / (alpha * dsigma - dalpha * sigma), schedule("flow")) == 1
    assert on_path(alpha * sigma, schedule("edm")) == sigma
    assert on_path(alpha / (alpha**2 + sigma**2), schedule("subvp")) == alpha / (alpha**2 + sigma**2)


def test_charts_have_names():
    assert set(CHARTS) == {"lambda", "rho", "angle", "t", "alpha", "sigma"}
    assert str(posed("vp_linear", "noise", "data", "lambda")).startswith(
        "schedule vp_linear; network returns noise; integrand data"
    )
    assert CHARTS["t"] == t


def test_what_vanishes_along_a_vp_path_is_zero():
    """alpha alpha' + sigma sigma' = 0: a velocity needs no state of a network that returns v."""
    assert posed("vp_linear", "v", "velocity", "t").to_integrand[0] == 0
    assert posed("subvp", "v", "velocity", "t").to_integrand[0] != 0


def test_a_quantity_may_know_lambda():
    returns = prediction("linear", x0=sp.Integer(1), eps=-sp.exp(lam / 4))
    problem = pose(schedule("vp_linear"), returns, prediction("data"), "lambda")
    assert not any(e.has(lam) for e in (*problem.to_integrand, *problem.to_data))


@pytest.mark.parametrize(
    ("kind", "parameters", "variable", "what"),
    [
        ("vp_scaled_linear", {"steps": 1000}, sp.sqrt(t), "'sqrt(t)' is not real at t = -0.0"),  # its times end at -1
        ("vp_scaled_linear", {"steps": 1000}, sp.log(t), "'log(t)' is not real at t = -0.0"),
        ("vp_linear", {}, sp.log(1 - t), "'log(1 - t)' is not finite at t = 1"),  # regular there
        ("vp_linear", {}, 1 / (t - 1), "'1/(t - 1)' is not finite at t = 1"),
    ],
)
def test_a_variable_is_a_real_number_up_to_the_ends(kind, parameters, variable, what):
    with pytest.raises(PoseError, match=re.escape(what)) as refused:
        pose(schedule(kind, **parameters), prediction("noise"), prediction("noise"), variable)
    assert refused.value.key == "method.variable"


def test_a_prediction_is_a_real_number_up_to_the_ends():
    network = prediction("linear", x0=sp.sqrt(t), eps=sp.Integer(1))
    with pytest.raises(PoseError, match=r"is not real at t = -0\.0") as refused:
        pose(schedule("vp_scaled_linear", steps=1000), network, prediction("noise"), "lambda")
    assert refused.value.key == "problem.prediction"


@pytest.mark.parametrize(
    ("variable", "sigma_zero", "alpha_zero"),
    [
        (sp.log(t), False, True), (sp.log(1 - t), True, False), (sp.sqrt(t), True, True), (1 / (2 - t), True, True),
        (sp.log(rho + t), False, False), (rho / (1 + rho) + t, True, True), (sp.sqrt(1 - t), True, True),
    ],
)  # fmt: skip
def test_where_a_variable_is_finite(variable, sigma_zero, alpha_zero):
    problem = pose(schedule("flow"), prediction("velocity"), prediction("velocity"), variable)
    assert problem.finite == {"sigma_zero": sigma_zero, "alpha_zero": alpha_zero}
