"""Steps into sigma = 0 where sigma' is infinite: a grid point there has no slope, and only conversions elsewhere need one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from derive import emit, pipeline
from derive.analysis.numbers import Oracle
from derive.check import ULPS, Trial, uneven_nodes
from derive.spec import read_spec_text
from runtime.errors import LimitError

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
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    options = {"rtol": 1e-6, "atol": 1e-6, "span": (0.6, 0.0)}
    for variable in ("rho", "t"):
        _, solver = made("velocity", "noise", variable, "midpoint")
        _, other = made("noise", "noise", variable, "midpoint")

        def columns(prediction: str) -> Any:
            return lambda x, t: model(prediction)(x, t[:, None])

        found = solver.adaptive(columns("velocity"), x, **options)
        assert found.x == pytest.approx(other.adaptive(columns("noise"), x, **options).x, rel=1e-4)
        assert all(times[-1] == 0.0 for times in found.times)
