"""Weak and strong orders of every shipped stochastic solver: proved from its tableau, and shown by its emitted steps.

The measurement runs the solver with its own start and last steps on a rough grid; mean, variance and the mean square
distance from the exact path come from second moments in 320 bits, so an order is that of an error and not of samples.
"""

from __future__ import annotations

from functools import partial

import pytest

from derive.analysis.noise_claims import law_of, prove_stochastic
from derive.measure.march import Emitted
from derive.measure.stochastic_emitted import measured_emitted, stochasticity
from derive.measure.stochastic_orders import StochasticOrders
from runtime.real import exp, real
from tests.claims.shipped import FOLDER, STOCHASTIC, shipped, written

CLOSE = 0.05
USUAL = ("sde_dpmpp_2m", "seeds_1")
AGAIN = [n for n in STOCHASTIC if "\n  kind: consistency\n" in (FOLDER / n / "spec.yaml").read_text("utf-8")]
"""They make their noise anew at an earlier time, whatever the length of a step."""
CASES = [pytest.param(n, marks=() if n in USUAL else pytest.mark.slow) for n in STOCHASTIC if n not in AGAIN]


def measured(name: str, solver: Emitted | None = None, **more) -> StochasticOrders:
    integrand = shipped(name).derived.problem.integrand.kind
    return measured_emitted(solver or shipped(name).emitted, integrand, **more)


def test_the_usual_cases_are_shipped():
    assert set(USUAL) <= set(STOCHASTIC)
    assert len(STOCHASTIC) >= 15


@pytest.mark.parametrize("name", CASES)
def test_proved_orders_are_the_measured_ones(name):
    derived = shipped(name).derived
    proved, found = prove_stochastic(derived.tableau, derived.problem), measured(name)
    assert proved is not None and proved.tight
    claims = shipped(name).claims
    assert (claims["weak_order"], claims["strong_order"]) == (proved.weak, proved.strong)
    assert found.decided, f"\n{found.moments}\n{found.distance}"
    assert found.weak == pytest.approx(proved.weak, abs=CLOSE), f"\n{found.moments}"
    assert found.strong == pytest.approx(float(proved.strong), abs=CLOSE), f"\n{found.distance}"


@pytest.mark.parametrize("name", AGAIN)
def test_steps_with_a_law_have_no_order(name):
    derived, claims = shipped(name).derived, shipped(name).claims
    assert prove_stochastic(derived.tableau, derived.problem) is None
    assert claims["law"] and claims["weak_order"] is None and claims["strong_order"] is None


def off(row, column: int, *args):
    """A row function's row with one column 10 % larger."""
    found = list(row(*args))
    found[column] *= 1.1
    return tuple(found)


@pytest.mark.parametrize("column", ["s", "b0", "a"])
def test_a_changed_coefficient_of_the_code_is_seen(column):
    solver = shipped("sde_dpmpp_2m").emitted
    place = solver.code.COLUMNS.index(column)
    rows = tuple(partial(off, row, place) for row in solver.code.ROWS)
    found = measured("sde_dpmpp_2m", solver.changed(ROWS=rows), cap=32)
    assert found.weak < 1
    assert found.strong < 0.5


def test_a_problem_without_noise_has_none():
    derived = shipped("dpmpp_2m").derived
    assert law_of(derived.problem) is None
    assert prove_stochastic(derived.tableau, derived.problem) is None


MOVING = """\
name: moving
problem:
  kind: sde
  schedule: {kind: vp_linear}
  prediction: noise
  tau: "1/(1 + rho)"
method: {family: exponential_multistep, steps: STEPS, integrand: INTEGRAND, variable: lambda}
backends: [torch]
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps, integrand", [(1, "data"), (2, "data"), (2, "noise")])
def test_tau_may_move_along_the_path(steps, integrand, tmp_path):
    """Kernels and noises by quadrature; T is a function of lambda that is typed here a second time."""
    solver = written(MOVING.replace("STEPS", str(steps)).replace("INTEGRAND", integrand), tmp_path)
    proved = prove_stochastic(solver.derived.tableau, solver.derived.problem)
    assert proved is not None and (proved.weak, proved.strong, proved.tight) == (steps, 1, True)
    found = measured_emitted(solver.emitted, integrand, share=lambda lam: 1 / (1 + exp(-lam)) ** 2)
    assert found.decided
    assert found.weak == pytest.approx(steps, abs=CLOSE)
    assert found.strong == pytest.approx(1, abs=CLOSE)


def test_the_module_says_how_tau_moves(tmp_path):
    solver = written(MOVING.replace("STEPS", "1").replace("INTEGRAND", "data"), tmp_path)
    share = stochasticity(solver.emitted)
    assert callable(share)
    for lam in (real("-0.7"), real(0), real("0.9")):
        assert abs(share(lam) - 1 / (1 + exp(-lam)) ** 2) < 1e-30
    assert stochasticity(shipped("sde_dpmpp_1").emitted) == 1
