"""The oracle against textbook numbers: stages, correctors, embedded rows, kernels that are sampled, stage nodes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from derive.analysis.numbers import Oracle
from derive.families import exponential_rk
from derive.pipeline import derive
from derive.spec import read_spec_text
from derive.tableau import Kernel

FLOW = ("kind: flow, shift: 1", "kind: velocity")
VP = ("kind: vp_linear", "kind: noise")
TIMES = [0.25, 0.5, 0.75, 1.0]


def oracle(family: str, method: str, problem: tuple[str, str] = FLOW) -> Oracle:
    schedule, prediction = problem
    text = (
        f"name: tried\nproblem:\n  kind: diffusion\n  schedule: {{{schedule}}}\n  prediction: {{{prediction}}}\n"
        f"method: {{family: {family}, {method}}}\nbackends: [torch]\n"
    )
    derived = derive(read_spec_text(text))
    return Oracle(derived.tableau, derived.problem)


def assert_row(got: dict[str, Any], want: dict[str, Fraction | int]) -> None:
    """Equal to 50 digits; cx, cr aside."""
    found = {name: value for name, value in got.items() if name not in ("cx", "cr")}
    assert set(found) == set(want)
    for name, value in want.items():
        exact = Fraction(value)
        assert abs(found[name] * exact.denominator - exact.numerator) <= 1e-50, name


def test_the_classical_runge_kutta_method() -> None:
    tried = oracle("runge_kutta", "integrand: velocity, variable: t, tableau: rk4")
    h = Fraction(-1, 4)
    rows = tried.calls(tried.tableau.schemes[-1], TIMES)
    assert_row(rows[0], {"a": 1, "b0": h / 2})
    assert_row(rows[1], {"a": 1, "d1": h / 2})
    assert_row(rows[2], {"a": 1, "d2": h})
    assert_row(rows[3], {"a": 1, "b0": h / 6, "d1": h / 3, "d2": h / 3, "d3": h / 6})


def test_adams_moulton_corrects_adams_bashforth() -> None:
    tried = oracle("predictor_corrector", "steps: 2, integrand: velocity, variable: t")
    scheme, h = tried.tableau.schemes[-1], Fraction(-1, 4)
    assert_row(tried.calls(scheme, TIMES)[0], {"a": 1, "b0": h * 3 / 2, "b1": -h / 2})
    assert scheme.corrector is not None
    assert_row(
        tried.corrector(scheme.corrector, TIMES),
        {"ca": 1, "cb0": h * 5 / 12, "cb1": h * 8 / 12, "cb2": -h / 12},
    )


def test_the_error_of_bogacki_and_shampine() -> None:
    tried = oracle("runge_kutta", "integrand: velocity, variable: t, tableau: bogacki_shampine32")
    weights = tried.error(tried.tableau.schemes[-1], TIMES)
    want = [Fraction(2, 9) - Fraction(7, 24), Fraction(1, 3) - Fraction(1, 4), Fraction(4, 9) - Fraction(1, 3)]
    for got, exact in zip(weights, [*want, Fraction(-1, 8)], strict=True):
        assert abs(got * 4 + float(exact)) < 1e-15


@pytest.mark.parametrize("variable", ["lambda", "t"])
def test_a_sampled_kernel_is_lawson_s_method(variable: str) -> None:
    """Explicit midpoint on y = x/alpha: x' = alpha_t (x/alpha_s + h rho'(u)/chi'(u) F(u)), u the node at chi's middle."""
    tried = oracle("runge_kutta", f"integrand: noise, variable: {variable}, tableau: midpoint", VP)
    mp, scheme = tried.mp, tried.tableau.schemes[-1]
    schedule = tried.problem.schedule
    middle = tried.place(scheme.stages[0].end, TIMES)
    chi = [tried.at(tried.problem.chart, x) for x in (*TIMES[:2], middle)]
    assert abs(chi[2] - (chi[0] + chi[1]) / 2) < mp.mpf(10) ** -100
    alpha = tried.at(schedule.alpha, TIMES[0])
    tiny = mp.mpf(10) ** -60
    slopes = [
        (tried.at(f, middle + tiny) - tried.at(f, middle - tiny)) / (2 * tiny)
        for f in (schedule.rho, tried.problem.chart)
    ]
    row = tried.calls(scheme, TIMES)[-1]
    assert abs(row["d1"] - alpha * (chi[0] - chi[1]) * slopes[0] / slopes[1]) < mp.mpf(10) ** -50
    assert row["a"] == alpha / tried.at(schedule.alpha, TIMES[1])


def test_moments_by_quadrature_are_those_of_the_closed_kernel() -> None:
    """The same stages for a kernel that is known by its moments only."""
    nodes = (Fraction(1, 3), Fraction(2, 3))
    closed = oracle("exponential_rk", "nodes: [1/3, 2/3], integrand: noise, variable: lambda", VP)
    general = Kernel(None)
    tableau = exponential_rk.build(general, "last", "exact", "keep", nodes=nodes)
    other = Oracle(tableau, replace(closed.problem, kernel=general, prefactor=None))
    rows = [o.calls(o.tableau.schemes[-1], TIMES) for o in (closed, other)]
    for a, b in zip(*rows, strict=True):
        assert set(a) == set(b)
        assert all(abs(a[name] - b[name]) < 1e-38 for name in a)


def test_the_network_s_scale_belongs_to_each_call() -> None:
    tried = oracle(
        "exponential_rk",
        "integrand: data, variable: lambda, nodes: [1/2]",
        ("kind: edm", "kind: edm, input_scale: edm, input: c_noise"),
    )
    first, second = tried.calls(tried.tableau.schemes[-1], [1.0, 4.0])
    assert abs(first["cin"] * tried.mp.sqrt(tried.mp.mpf(65) / 4) - 1) < 1e-50  # sigma_data = 1/2
    assert abs(second["cin"] * tried.mp.sqrt(tried.mp.mpf(17) / 4) - 1) < 1e-50  # the stage is at sigma = 2


def test_digits_to_spare() -> None:
    """120 more than asked for: nodes whose differences lose 80 of them leave 50."""
    assert oracle("runge_kutta", "integrand: velocity, variable: t, tableau: euler").mp.dps >= 169


def test_a_row_alone_has_no_input_scale() -> None:
    tried = oracle("exponential_multistep", "steps: 1, integrand: data", ("kind: edm", "kind: edm, input_scale: edm"))
    assert "cin" in tried.calls(tried.tableau.schemes[-1], [1.0, 2.0, 3.0])[0]
    assert set(tried.row(tried.tableau.schemes[-1].output, [1.0, 2.0, 3.0])) == {"a", "b0", "cx", "cr"}
