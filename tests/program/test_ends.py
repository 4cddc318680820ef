"""Steps that touch an end of the domain: which rows there are, by hand, and what they are worth, exactly.

Where sigma' is infinite a grid point has no slope, and only conversions elsewhere need one.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import factorial
from pathlib import Path
from typing import Any

import pytest
import torch
from sympy import Rational

from derive import emit, pipeline
from derive.analysis.numbers import Oracle
from derive.check import ULPS, Trial, uneven_nodes
from derive.spec import read_spec_text
from runtime.errors import LimitError
from tests.program.lowered import flow, lowered, worth

SPEC = """\
name: {name}
problem: {{kind: diffusion, schedule: {{kind: vp_linear}}, prediction: {prediction}}}
method: {{family: {family}, {method}, integrand: {integrand}, variable: {variable}}}
"""
METHODS = {
    "multistep": ("exponential_multistep", "steps: 2, final: lower_order"),
    "midpoint": ("exponential_rk", "nodes: ['1/2'], embedded: lower, final: keep"),
    "end": ("exponential_rk", "nodes: ['1'], final: keep"),
}
Make = Callable[..., tuple[Any, Any]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """(derived, solver) of a spec."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(prediction: str, integrand: str, variable: str, method: str = "multistep") -> tuple[Any, Any]:
        name = f"ends_{prediction}_{integrand}_{variable}_{method}"
        family, text = METHODS[method]
        derived = pipeline.derive(read_spec_text(SPEC.format(
            name=name, prediction=prediction, integrand=integrand, variable=variable, family=family, method=text
        )))  # fmt: skip
        (tmp_path / name).mkdir()
        for file, content in emit.render(derived).items():
            (tmp_path / name / file).write_bytes(content)
        return derived, import_module(name).solver

    return make


def path(t: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(alpha, sigma, alpha', sigma') of vp_linear."""
    log, slope = -t * (19.9 * t + 0.2) / 4, -(39.8 * t + 0.2) / 4
    alpha, sigma = log.exp(), (-torch.expm1(2 * log)).sqrt()
    return alpha, sigma, slope * alpha, -slope * alpha**2 / sigma


def model(prediction: str) -> Any:
    """The same network in two forms: its noise is tanh(x) + t."""

    def predicted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma, dalpha, dsigma = path(t)
        noise = torch.tanh(x) + t
        return noise if prediction == "noise" else dalpha * (x - sigma * noise) / alpha + dsigma * noise

    return predicted


@pytest.mark.parametrize("variable", ["lambda", "rho", "t"])
@pytest.mark.parametrize("integrand", ["data", "noise"])
def test_a_velocity_network_arrives_where_the_noise_network_does(made: Make, integrand: str, variable: str) -> None:
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)
    nodes = [0.7, 0.5, 0.3, 0.15, 0.05, 0.0]
    derived, solver = made("velocity", integrand, variable)
    found = solver.sample(model("velocity"), x, nodes=nodes)
    _, other = made("noise", integrand, variable)
    assert found == pytest.approx(other.sample(model("noise"), x, nodes=nodes), rel=1e-11)
    code = solver._coefficients
    assert code.TO_SIGMA_ZERO and not code.FROM_SIGMA_ZERO
    trial = Trial(code, derived, Oracle(derived.tableau, derived.problem))
    entries = list(trial.limits("sigma_zero", code.DATA_END, code.DOMAIN[1], uneven_nodes(code, 5)[::-1]))
    assert entries and max(entry.ulp for entry in entries) <= ULPS


def test_no_step_starts_there(made: Make) -> None:
    _, solver = made("velocity", "noise", "rho")
    with pytest.raises(LimitError, match="starts at sigma = 0, where the solver's coefficients have no finite limit"):
        solver.plan(nodes=[0.0, 0.1, 0.2], direction="inversion")


def test_a_stage_inside_the_step_is_as_regular_as_the_step(made: Make) -> None:
    """In rho, which is finite at sigma = 0."""
    x, nodes = torch.linspace(-2, 2, 5, dtype=torch.float64), [0.3, 0.1, 0.0]
    (_, solver), (_, other) = (made(prediction, "noise", "rho", "midpoint") for prediction in ("velocity", "noise"))
    assert solver.plan(nodes=nodes).steps == 4
    found = solver.sample(model("velocity"), x, nodes=nodes)
    assert found == pytest.approx(other.sample(model("noise"), x, nodes=nodes), rel=1e-11)


def test_no_stage_calls_the_network_there(made: Make) -> None:
    _, solver = made("velocity", "noise", "rho", "end")
    with pytest.raises(LimitError, match="row of order 2 has no finite limit"):
        solver.plan(nodes=[0.3, 0.1, 0.0])
    assert solver.plan(nodes=[0.3, 0.1, 0.05]).steps == 4


def test_steps_chosen_by_the_error_arrive(made: Make) -> None:
    """Two samples and a tolerance that takes a hundred steps: every trial is a quadrature in 320 bits."""
    x = torch.tensor([[-2.0], [1.0]], dtype=torch.float64)
    options = {"rtol": 1e-4, "atol": 1e-4, "span": (0.6, 0.0)}
    for variable in ("rho", "t"):
        _, solver = made("velocity", "noise", variable, "midpoint")
        _, other = made("noise", "noise", variable, "midpoint")

        def columns(prediction: str) -> Any:
            return lambda x, t: model(prediction)(x, t[:, None])

        found = solver.adaptive(columns("velocity"), x, **options)
        assert found.x == pytest.approx(other.adaptive(columns("noise"), x, **options).x, rel=1e-4)
        assert all(times[-1] == 0.0 for times in found.times)


AB2 = "family: exponential_multistep, steps: 2"
KINDS = ["data", "noise", "velocity"]
GONE = {"sigma_zero": "data", "alpha_zero": "noise"}
"""What x is there: G of this integrand vanishes, and a network that returns it says nothing new."""


def ways(module: Any, end: str) -> tuple[Any, Any]:
    """(arriving, leaving) rows."""
    return module.tuples[f"TO_{end.upper()}"], module.tuples[f"FROM_{end.upper()}"]


@pytest.mark.parametrize("integrand", KINDS)
@pytest.mark.parametrize("prediction", KINDS)
def test_a_step_leaves_an_end_where_it_depends_on_the_state_there(prediction: str, integrand: str) -> None:
    """At order 1, where G is not 0 and the network says the other coordinate."""
    module = lowered(AB2, prediction, integrand, "t")
    for end, gone in GONE.items():
        assert len(ways(module, end)[1]) == (gone not in (prediction, integrand))


@pytest.mark.parametrize("variable", ["lambda", "rho", "t"])
@pytest.mark.parametrize("integrand", KINDS)
def test_a_step_arrives_at_both_ends_of_a_flow(integrand: str, variable: str) -> None:
    """At order 2 in a finite variable or under a kernel that decays, else at order 1."""
    module = lowered(AB2, "velocity", integrand, variable)
    for end, other in (("sigma_zero", "noise"), ("alpha_zero", "data")):
        finite = variable == "t" or (variable == "rho" and end == "sigma_zero")
        assert len(ways(module, end)[0]) == (2 if finite or (variable == "lambda" and integrand == other) else 1)


HALF_STAGE, LAST_STAGE = "family: runge_kutta, tableau: midpoint", "family: runge_kutta, tableau: kutta3"
ALL = {HALF_STAGE: ("stage_1", "main"), LAST_STAGE: ("stage_1", "stage_2", "main")}


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(("prediction", "integrand"), [("data", "noise"), ("noise", "noise"), ("data", "velocity")])
def test_a_stage_at_the_end_needs_the_integrand_there(method: str, prediction: str, integrand: str) -> None:
    """In t every kernel of a flow is regular; at sigma = 0 data do not say what the noise is."""
    module = lowered(method, prediction, integrand, "t")
    arriving, leaving = ways(module, "sigma_zero")
    full = ("start_1", ALL[method])
    known = prediction == "noise"
    assert arriving == (full if known or method == HALF_STAGE else ("start_1",))
    assert leaving == (full if known else ())


@pytest.mark.parametrize("method", ALL)
def test_stages_stop_where_the_factor_vanishes_or_the_variable_is_infinite(method: str) -> None:
    assert ways(lowered(method, "data", "data", "t"), "sigma_zero") == (("to_sigma_zero_1",), ())
    assert ways(lowered(method, "data", "noise", "lambda"), "sigma_zero") == (("limit",), ())


TABLE = "family: decisions, table: [{{order: 1{}}}, {{order: 2}}, {{order: 2, integrand: noise}}]"


@pytest.mark.parametrize(
    ("first", "prediction", "variable", "arriving", "leaving"),
    [
        # data vanish at sigma = 0: order 1 is x0 itself; noise does not, and t is finite there
        ("", "velocity", "t", ("to_sigma_zero_1", (), "step_3"), ()),
        (", integrand: noise", "velocity", "t", ("step_1", (), "step_3"), ("step_1", (), ())),
        # data do not say what the noise is
        (", integrand: noise", "data", "t", ("step_1", (), "step_3"), ()),
        # an infinite variable: order 1 alone
        (", integrand: noise", "velocity", "lambda", ("limit_1", (), ()), ("limit_1", (), ())),
        ("", "velocity", "lambda", ("to_sigma_zero_1", (), ()), ()),
        # the corrected state is evaluated at the end of the step: of data, not where they vanish
        (", corrector: implicit", "velocity", "t", ((), (), "step_3"), ()),
        (", integrand: noise, corrector: implicit", "velocity", "t",
         (("step_1_1", "step_1_2"), (), "step_3"), (("step_1_1", "step_1_2"), (), ())),
        (", integrand: noise, corrector: implicit", "data", "t", ((), (), "step_3"), ()),
    ],
)  # fmt: skip
def test_the_steps_of_a_table_that_touch_the_end(
    first: str, prediction: str, variable: str, arriving: Any, leaving: Any
) -> None:
    assert ways(lowered(TABLE.format(first), prediction, "data", variable), "sigma_zero") == (arriving, leaving)


AT = flow(s=Rational(2, 5), t=Rational(0)) | {"h[0]": Rational(1, 3), "h[1]": Rational(3, 7), "h[2]": Rational(5, 11)}


@pytest.mark.parametrize("unit", [1, 2, Rational(1, 3)])
def test_rows_into_an_infinite_variable_are_exact_for_polynomials(unit: Rational) -> None:
    """alpha_t sigma_s/alpha_s int_0^inf e^{-u} u^k du = alpha_t sigma_s/alpha_s k!, whatever the unit of the variable."""
    module = lowered("family: exponential_multistep, steps: 3", "noise", "noise", f"{unit}*lambda")
    names, _ = ways(module, "sigma_zero")
    assert names == ("limit", "to_sigma_zero_2", "to_sigma_zero_3")
    nodes = [0, -AT["h[1]"] / unit, -(AT["h[1]"] + AT["h[2]"]) / unit]
    for order, name in enumerate(names, 1):
        row = worth(module, name, AT)
        assert row["a"] == Rational(5, 3)  # alpha_t / alpha_s
        for k in range(order):
            total = sum(row[f"b{j}"] * (nodes[j] ** k if k else 1) for j in range(3))
            assert total == -Rational(2, 5) / Rational(3, 5) * factorial(k)


@pytest.mark.parametrize("more", ["", ", weights: midpoint"])
def test_rows_into_an_infinite_variable_need_exact_weights(more: str) -> None:
    names, _ = ways(lowered(AB2 + more, "noise", "noise", "lambda"), "sigma_zero")
    assert names == ("limit", *(() if more else ("to_sigma_zero_2",)))


@pytest.mark.parametrize("variable", ["t", "rho"])
def test_rows_into_a_vanishing_factor_extrapolate(variable: str) -> None:
    """x = x0 at sigma = 0: polynomials through the values, read off at the end of the step."""
    module = lowered("family: exponential_multistep, steps: 3", "data", "data", variable)
    names, _ = ways(module, "sigma_zero")
    assert names == ("to_sigma_zero_1", "to_sigma_zero_2", "to_sigma_zero_3")
    nodes = [-AT["h[0]"], -AT["h[0]"] - AT["h[1]"], -AT["h[0]"] - AT["h[1]"] - AT["h[2]"]]
    for order, name in enumerate(names, 1):
        row = worth(module, name, AT)
        assert row["a"] == 0
        for k in range(order):
            assert sum(row[f"b{j}"] * (nodes[j] ** k if k else 1) for j in range(order)) == (0 if k else 1)


def test_the_one_row_of_order_one_is_its_own_limit_where_the_factor_is_regular() -> None:
    """G = 1 of the velocity of a flow; lambda is infinite there."""
    module = lowered("family: exponential_multistep, steps: 1", "velocity", "velocity", "lambda")
    assert ways(module, "sigma_zero") == ways(module, "alpha_zero") == (("main",), ("main",))
