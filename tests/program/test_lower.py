"""What is emitted is what a solver uses, and rows with given weights are the quadratures that they say."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import sympy as sp
from sympy import Rational

from derive.program.rows import every_scheme
from derive.symbolic.alphabet import dalpha, drho, rho
from tests.claims.shipped import NAMES
from tests.program.lowered import function, lowered, lowering, worth
from tests.program.methods import ETDRK3, TABLEAUS

H = sp.Symbol("h[0]")
AB = "family: exponential_multistep, steps: 1"


@pytest.mark.parametrize("name", NAMES)
def test_points_inside_a_step_are_computed_where_a_step_has_some(name: str) -> None:
    """Stages at the ends of a step need none; steps that the error chooses end there."""
    code = import_module(f"generated.{name}.coefficients")
    inside = [c for scheme in (*code.ABSCISSAE, code.BEGIN_ABSCISSAE) for c in scheme if c not in (0, 1)]
    assert hasattr(code, "inner") == bool(inside or code.ERROR)


def test_the_starter_comes_last() -> None:
    assert every_scheme(TABLEAUS["begun"]) == (*TABLEAUS["ab2"].schemes, ETDRK3)
    assert every_scheme(TABLEAUS["ab2"]) == TABLEAUS["ab2"].schemes


@pytest.mark.parametrize(
    "method",
    [
        "family: decisions, table: [{order: 1}, {order: 2}, {order: 1, nodes: [1]}]",
        "family: linear_multistep, steps: 3, weights: uniform",
        "family: exponential_multistep, steps: 3",
    ],
)
def test_a_row_names_what_it_reads(method: str) -> None:
    """A row over one value, or of constant weights, has no step ratios."""
    for row in lowered(method, "data", "data", "lambda").functions:
        for i, assign in enumerate(row.body):
            later = [a.value for a in row.body[i + 1 :] if a.value is not None]
            read = {str(x) for e in (*later, *row.returns) for x in e.free_symbols}
            assert read & set(assign.targets), (row.name, assign)


@pytest.mark.parametrize(
    ("integrand", "variable", "factor", "prefactor", "rate"),
    [
        ("data", "lambda", "sigma", sp.Symbol("{}.alpha"), -1),
        ("noise", "lambda", "alpha", -sp.Symbol("{}.sigma"), 1),
        ("noise", "2*lambda", "alpha", -sp.Symbol("{}.sigma") / 2, Rational(1, 2)),
        ("velocity", "t", "", sp.Integer(1), 0),
    ],
)
def test_lawsons_midpoint_rule(integrand: str, variable: str, factor: str, prefactor: sp.Expr, rate: Any) -> None:
    """x_t = G_t/G_s x + P h e^{rate h/2} F(1/2), with the point inside by half of that rule."""
    module = lowered("family: runge_kutta, tableau: midpoint", integrand, integrand, variable)
    stage, main = (worth(module, name, {}) for name in ("stage_1", "main"))
    carried = H * sp.exp(rate * H / 2)
    for row, column, end, half in ((stage, "b0", "u[1]", Rational(1, 2)), (main, "d1", "t", 1)):
        there = prefactor.subs({x: sp.Symbol(str(x).format(end)) for x in prefactor.free_symbols})
        assert sp.simplify(row[column] - half * there * carried) == 0
        assert row["a"] == (sp.Symbol(f"{end}.{factor}") / sp.Symbol(f"s.{factor}") if factor else 1)
    assert main["b0"] == 0


def test_lawsons_form_of_heuns_method() -> None:
    """x_t = sigma_t/sigma_s x + alpha_t h (e^{-h} F(s) + F(t))/2."""
    main = worth(lowered("family: runge_kutta, tableau: heun2", "data", "data", "lambda"), "main", {})
    prefactor = sp.Symbol("t.alpha") * H
    assert (main["b0"], main["d1"]) == (prefactor * sp.exp(-H) / 2, prefactor / 2)


def test_a_propagator_without_a_closed_form_is_asked_for_no_moments() -> None:
    """x0 + sigma eps on a flow: Phi over the step, and from the node on."""
    module = lowered("family: runge_kutta, tableau: midpoint", "data", "{x0: 1, eps: sigma}", "t")
    step, carried = function(module, "main").body
    assert (step.targets, step.call, step.args) == (
        ("a",), "propagated", ("weight", "drift", "chart", "s.t", "t.t", 0, 0)
    )  # fmt: skip
    assert (carried.targets, carried.call, carried.args) == (
        ("g1",), "propagated", ("weight", "drift", "chart", "u[1].t", "t.t", 0, 0)
    )  # fmt: skip


def test_only_moments_that_are_no_symbols_are_named() -> None:
    names = [
        assign.targets
        for assign in function(
            lowered("family: exponential_multistep, steps: 3", "data", "data", "lambda"), "main"
        ).body
    ]
    assert names == [("r0",), ("r1",), ("p1", "p2", "p3"), ("c",), ("M2",)]


def test_a_kernel_that_is_not_exponential_is_read_at_the_nodes() -> None:
    """Heun: G_t (B/G F/chi' at both ends)/2 times h."""
    module = lowered("family: runge_kutta, tableau: heun2", "noise", "data", "t")
    stage, main = (worth(module, name, {}) for name in ("stage_1", "main"))
    first, second = (sp.Symbol(f"weight({x}.t)") / sp.Symbol(f"speed({x}.t)") for x in ("s", "u[1]"))
    sigma = sp.Symbol("t.sigma")
    assert stage["b0"] == sp.Symbol("u[1].sigma") * H * first
    assert (main["b0"], main["d1"]) == (sigma * H * first / 2, sigma * H * second / 2)
    assert function(module, "stage_1").doc == "Call 1 of 2, stage 1 at theta = 1: x' = a x + b0 F0."
    assert function(module, "main").doc == "Call 2 of 2, the step: x' = a y + b0 F0 + d1 K1."


def test_the_slopes_that_a_module_reads() -> None:
    """B/G of the noise is drho: read where the kernel is not closed; a pair that chooses its steps reads the speed too."""
    path = "{kind: vp_linear}"
    for variable, read in (("lambda", set()), ("rho", set()), ("t", {drho})):
        assert lowering(AB, "noise", "noise", variable, path).read_slopes() == read
    pair = "family: exponential_rk, nodes: ['1/2'], embedded: lower, final: keep"
    low = lowering(pair, "noise", "noise", "lambda", path)
    assert low.adaptive and not lowering(AB, "noise", "noise", "lambda", path).adaptive
    assert low.read_slopes() == {dalpha, drho}
    sampled = lowering("family: runge_kutta, tableau: midpoint", "noise", "noise", "alpha - t", path)
    assert sampled.samples and not sampled.adaptive and sampled.read_slopes() == {dalpha, drho}


@pytest.mark.parametrize(
    ("variable", "speed"), [("t", 1), ("rho", drho), ("lambda", -drho / rho), ("alpha - t", dalpha - 1)]
)
def test_the_speed_of_a_variable(variable: str, speed: sp.Expr) -> None:
    low = lowering(AB, "data", "data", variable, "{kind: vp_linear}")
    assert sp.cancel(low.speed - speed) == 0
