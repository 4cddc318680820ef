"""Combinations of family, variable, schedule and grid that have no meaning, and those that meet an end of the domain."""

import importlib.util
from pathlib import Path

import pytest

from derive import emit, pipeline
from derive.errors import SpecError
from derive.spec import read_spec_text
from runtime.errors import LimitError
from runtime.tabulate import tabulate

MULTISTEP = "{family: exponential_multistep, steps: 2, integrand: noise, variable: t"
PAIR = "{family: predictor_corrector, steps: 2, integrand: noise, variable: t"
ONE_STEP = "{family: exponential_rk, nodes: [1/2], integrand: noise, variable: t"
TABLE = "{family: decisions, integrand: noise, variable: t, table: [{order: 1}, {order: 2"


def spec(method: str, schedule: str = "{kind: vp_linear}", prediction: str = "noise", more: str = "") -> str:
    return (
        f"name: combined\nproblem:\n  kind: diffusion\n  schedule: {schedule}\n  prediction: {prediction}\n"
        f"method: {method}\n{more}"
    )


def derived(*args: str) -> pipeline.Derived:
    return pipeline.derive(read_spec_text(spec(*args)))


def module(folder: Path, found: pipeline.Derived):
    file = folder / "coefficients.py"
    file.write_bytes(emit.render(found)["coefficients.py"])
    made = importlib.util.module_from_spec(importlib.util.spec_from_file_location("coefficients", file))
    made.__spec__.loader.exec_module(made)
    return made


@pytest.mark.parametrize(
    ("method", "key"),
    [
        (MULTISTEP + ", weights: bh1}", "method.weights"),
        (MULTISTEP + ', weights: {moments: {1: "1/2"}}}', "method.weights"),
        (MULTISTEP + ', weights: {moments: {1: "mu0*mu1"}}}', "method.weights"),
        (MULTISTEP + ', weights: {moments: {1: "mu0/2 + 1/3"}}}', "method.weights"),
        (ONE_STEP + ", weights: bh1, embedded: lower}", "method.weights"),
        (PAIR + ", weights: bh1}", "method.weights"),
        (PAIR + ", corrector_weights: bh1}", "method.corrector_weights"),
        (TABLE + ", weights: bh1}]}", "method.table[1].weights"),
    ],
)
def test_moments_that_are_numbers_have_no_meaning_beside_moments_in_units_of_time(method: str, key: str) -> None:
    with pytest.raises(SpecError) as refused:
        derived(method)
    [fault] = refused.value.faults
    assert fault.key.startswith(key) and "not pure numbers; allowed: sums of multiples of mu0" in fault.message


@pytest.mark.parametrize("moment", ["mu0/2", "(mu0 + mu1)/3", "0"])
def test_sums_of_multiples_of_moments_have_a_meaning_for_every_kernel(moment: str) -> None:
    assert derived(MULTISTEP + f', weights: {{moments: {{1: "{moment}"}}}}}}').proof.order


@pytest.mark.parametrize(
    ("schedule", "grid", "key"),
    [
        ("{kind: flow}", "trailing, steps: 4", "grid.kind"),
        ("{kind: vp_linear}", "leading", "grid.kind"),
        ("{kind: vp_scaled_linear, steps: 10}", "simple, steps: 11", "grid.steps"),
    ],
)
def test_a_default_grid_that_no_solve_could_use_is_refused(schedule: str, grid: str, key: str) -> None:
    with pytest.raises(SpecError) as refused:
        derived(MULTISTEP + "}", schedule, "noise", f"grid: {{kind: {grid}}}\n")
    assert [fault.key for fault in refused.value.faults] == [key]


def test_slopes_that_are_infinite_at_an_end_matter_where_a_step_starts(tmp_path: Path) -> None:
    """sigma' of a variance-preserving table is infinite at sigma = 0, and the velocity is made of it; a step that ends there
    reads neither."""
    method = "{family: exponential_multistep, steps: 2, integrand: data, variable: lambda}"
    code = module(tmp_path, derived(method, "{kind: vp_scaled_linear, steps: 1000}", "velocity"))
    assert code.FROM_SIGMA_ZERO == ()
    with pytest.raises(LimitError, match="starts at sigma = 0"):
        tabulate(code, (-1.0, 400.0, 900.0), 0, True)
    rows = tabulate(code, (900.0, 400.0, -1.0), 0, False).rows
    assert rows[-1][:3] == (0.0, 1.0, 0.0)
    assert len(tabulate(code, (900.0, 400.0, 20.0), 0, False).rows) == 2


def test_a_kernel_that_is_infinite_at_the_first_history_node_is_no_failed_quadrature(tmp_path: Path) -> None:
    method = "{family: exponential_multistep, steps: 2, integrand: noise, variable: angle, start: exact}"
    code = module(tmp_path, derived(method, "{kind: flow, shift: 3}", "data"))
    with pytest.raises(LimitError, match=r"not finite at t = 1\.0"):
        tabulate(code, (1.0, 0.8, 0.6, 0.4), 1, False)


@pytest.mark.parametrize(
    ("schedule", "variable", "what"),
    [
        ('{alpha: "1", sigma: "t**2", t: [5, 0]}', "sqrt(rho)", "Abs cannot be evaluated"),
        ("{kind: table, alphas_cumprod: [0.9, 0.5, 0.1]}", "sqrt(t)", "is not real"),
    ],
)
def test_a_variable_that_is_not_a_real_smooth_function(schedule: str, variable: str, what: str) -> None:
    method = f'{{family: exponential_multistep, steps: 2, integrand: score, variable: "{variable}"}}'
    with pytest.raises(SpecError, match=what):
        derived(method, schedule)
