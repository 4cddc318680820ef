"""Other laws of a step's noise at the ends of the domain, and where they are refused."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from derive.errors import SpecError
from derive.pipeline import derive, new_solver
from derive.spec import read_spec_text

SPEC = """
name: NAME
problem: {kind: sde, schedule: SCHEDULE, prediction: v, tau: 1, variance: VARIANCE}
method: {family: exponential_multistep, steps: 1, integrand: INTEGRAND}
"""


def spec(name, schedule, variance, integrand="data"):
    parts = {"NAME": name, "SCHEDULE": schedule, "VARIANCE": variance, "INTEGRAND": integrand}
    text = SPEC
    for key, value in parts.items():
        text = text.replace(key, value)
    return text


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The solver of a spec, generated and checked."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, *parts):
        (tmp_path / "spec.yaml").write_text(spec(name, *parts))
        new_solver(tmp_path / "spec.yaml", tmp_path / "of_variance")
        return importlib.import_module(f"of_variance.{name}").solver

    yield make
    for name in [name for name in sys.modules if name.startswith("of_variance")]:
        del sys.modules[name]


def column(solver, nodes):
    return [row[solver.coefficients.COLUMNS.index("s")].item() for row in solver.plan(nodes=nodes).table]


def test_the_larger_variance_begins_with_no_signal(made):
    """1 - alpha_s^2/alpha_t^2 is 1 from alpha = 0; no noise in the step to the data."""
    solver = made("large_from_zero", "vp_cosine", "large")
    noise, data = solver.domain
    first, last = column(solver, [noise, (noise + data) / 2, data])
    assert (first, last) == (1.0, 0.0)


def test_the_variance_at_the_start_goes_to_the_data_and_not_from_alpha_zero(made):
    """On the flow g^2 = 2 t/(1 - t): infinite at t = 1, and what a step from 1/2 to 0 adds has variance 2 (1/2)."""
    solver = made("left_to_zero", "flow", "left")
    assert column(solver, [0.75, 0.5, 0.0]) == pytest.approx([1.5**0.5, 1.0], rel=1e-15)
    with pytest.raises(ValueError, match="start the grid after it"):
        solver.plan(nodes=[1.0, 0.5, 0.0])


def test_the_larger_variance_is_that_of_data_in_lambda():
    with pytest.raises(SpecError, match="got noise in lambda; allowed here: exact, left"):
        derive(read_spec_text(spec("large_of_noise", "vp_cosine", "large", "noise")))


@pytest.mark.parametrize(
    ("tau", "message"),
    [
        ("1/(1 - alpha)", "tau has no finite real value at t = 1e-32"),
        ("log(t)", "tau grows without bound to the data, t = 0; allowed: a bounded one"),
        ("lambda", "tau grows without bound to the data"),
        ("1/(t - 1/2)", "tau has no finite real value at t = 0.5; allowed: "),
        ("1/lambda", "tau is infinite at t = 0.2"),
        ("sqrt(alpha - 1/2)", "tau has no finite real value at t = "),
    ],
)
def test_a_tau_without_a_step_is_refused(tau, message):
    text = spec("bad_tau", "vp_linear", "exact").replace("tau: 1", f"tau: '{tau}'")
    with pytest.raises(SpecError, match=re.escape(message)):
        derive(read_spec_text(text))


@pytest.mark.parametrize("tau", ["sqrt(t)", "t - 1/2", "exp(-lambda**2)", "1/(1 + sigma)"])
def test_a_bounded_tau_is_taken(tau):
    text = spec("good_tau", "vp_linear", "exact").replace("tau: 1", f"tau: '{tau}'")
    assert derive(read_spec_text(text)).problem.noise.closed is None


def test_a_tableau_with_an_error_estimate_says_what_is_taken():
    text = spec("heun", "flow", "exact").replace("exponential_multistep, steps: 1", "runge_kutta, tableau: heun2")
    text = text.replace("integrand: data", "integrand: {kind: drift, tau: 1}, variable: t")
    with pytest.raises(SpecError, match="no error estimate; allowed with sde: tables without, such as c, a, b"):
        derive(read_spec_text(text))
