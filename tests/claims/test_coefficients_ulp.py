"""Coefficients to the last bit: emitted rows of order 1 to 6 against 50 digits, for steps from 1e-10 to 50.

Every number is computed with 96 digits and rounded once, so half a unit in the last place (and a little for the
quadratures) is what must come out, also where a formula in float64 would lose everything: tiny steps, ratios of 8 between
neighbours, steps that end at sigma = 0 or begin at alpha = 0. The oracle itself is compared with twice its digits.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from derive.analysis.numbers import Oracle
from derive.check import ULPS, ulp_error, uneven_nodes
from runtime.real import real
from tests.claims.shipped import Shipped, spec_text, written

STEPS = 6


def vp_time(rho: float) -> float:
    """t of the continuous linear VP schedule: rho^2 = expm1(0.1 t + 9.95 t^2)."""
    grown = math.log1p(rho * rho) if rho < 1e150 else 2 * math.log(rho)
    return 2 * grown / (0.1 + math.sqrt(0.01 + 4 * 9.95 * grown))


@dataclass(frozen=True)
class Case:
    """An integrand in a variable on a schedule.

    time: of the variable's value. ends: where a step may end in the variable; largest: its longest step; reach: the
    smallest and the largest value. falls: whether the variable falls while sampling; wide: ends and steps are drawn
    evenly in their logarithm.
    """

    schedule: str
    integrand: str
    variable: str
    time: Callable[[float], float]
    ends: tuple[float, float]
    reach: tuple[float, float]
    largest: float
    falls: bool = True

    def __str__(self) -> str:
        return f"{self.integrand}/{self.variable} on {self.schedule.split(',')[0]}"

    def nodes(self, rng: random.Random) -> list[float]:
        """Times of a step and its history, newest first: steps log-uniform, ratios of neighbours from 1/8 to 8."""
        while True:
            size = self.largest * (1e-10 / self.largest) ** rng.random()
            value = rng.uniform(*self.ends)
            values, back = [value], size if self.falls else -size
            for _ in range(STEPS):
                value += back
                values.append(value)
                back = (size if self.falls else -size) * 8 ** rng.uniform(-1, 1)
            times = [self.time(v) for v in values if self.reach[0] <= v <= self.reach[1]]
            if len(times) == STEPS + 1 and all(x < y for x, y in pairwise(times)):
                return times


def exp_minus(value: float) -> float:
    return math.exp(-value)


def same(value: float) -> float:
    return value


TABLE = "kind: vp_scaled_linear, beta_start: 0.00085, beta_end: 0.012, steps: 1000"
WIDE = "kind: edm, sigma_max: 80, sigma_min: 0"
CLOSED = (
    Case("kind: vp_linear", "data", "lambda", lambda x: vp_time(math.exp(-x)), (-2, 30), (-150, 40), 50, False),
    Case("kind: vp_linear", "noise", "lambda", lambda x: vp_time(math.exp(-x)), (-2, 30), (-150, 40), 50, False),
    Case(WIDE, "data", "lambda", exp_minus, (-4, 60), (-300, 60), 50, False),
    Case("kind: flow, shift: 1", "noise", "lambda", lambda x: 1 / (1 + math.exp(x)), (-3, 40), (-9, 40), 12, False),
    Case("kind: vp_linear", "noise", "rho", vp_time, (0, 3), (1e-9, 1e9), 50),
    Case("kind: ve", "noise", "rho", lambda x: math.log(x * 100) / math.log(5000), (0.01, 3), (0.01, 1e9), 50),
    Case(WIDE, "velocity", "t", same, (0, 5), (0, 1e9), 50),
    Case("kind: flow, shift: 1", "velocity", "t", same, (0, 0.5), (0, 1), 0.5),
    Case("kind: vp_linear", "v", "angle", lambda x: vp_time(math.tan(x)), (0, 1), (1e-9, 1.57), 1),
)
OPEN = (
    Case("kind: vp_linear", "noise", "t", same, (0, 0.5), (0, 1), 0.9),
    Case("kind: vp_linear", "data", "t", same, (1e-3, 0.5), (1e-3, 1), 0.9),
    Case("kind: vp_linear", "v", "lambda", lambda x: vp_time(math.exp(-x)), (-3, 8), (-5, 8), 8, False),
    Case("kind: flow, shift: 1", "noise", "sigma", same, (0, 0.5), (0, 0.999), 0.9),
    Case("kind: flow, shift: 1", "velocity", "lambda", lambda x: 1 / (1 + math.exp(x)), (-3, 8), (-7, 8), 8, False),
    Case(TABLE, "noise", "t", same, (-1, 500), (-1, 999), 900),
)


@cache
def folder(root: Path, case: Case) -> Shipped:
    """The solver with six steps of a case, written once."""
    name = f"ulp_{(*CLOSED, *OPEN).index(case)}"
    method = f"steps: {STEPS}, integrand: {case.integrand}, variable: {case.variable}, final: lower_order"
    return written(spec_text(name, case.schedule, f"kind: {case.integrand}", method), root)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ulp")


def errors(solver: Shipped, case: Case, samples: int, orders: range) -> Iterator[tuple[float, str]]:
    rng = random.Random(str(case))
    for _ in range(samples):
        nodes = case.nodes(rng)
        for order in orders:
            exact = solver.oracle.row(solver.derived.tableau.rows[order - 1], nodes)
            for entry in solver.trial().row(f"order {order}", exact, nodes):
                yield entry.ulp, f"{entry.where} at {nodes}: {entry.got!r}, exact {float(entry.exact)!r}"


@pytest.mark.parametrize("case", CLOSED, ids=str)
def test_closed_kernels(case: Case, root: Path) -> None:
    worst, where = max(errors(folder(root, case), case, 12, range(1, STEPS + 1)))
    assert worst <= ULPS, where


@pytest.mark.parametrize("case", OPEN, ids=str)
def test_kernels_by_quadrature(case: Case, root: Path) -> None:
    worst, where = max(errors(folder(root, case), case, 2, range(1, STEPS + 1, 2)))
    assert worst <= ULPS, where


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CLOSED, *OPEN], ids=str)
def test_many_more_steps(case: Case, root: Path) -> None:
    worst, where = max(errors(folder(root, case), case, 200 if case in CLOSED else 12, range(1, STEPS + 1)))
    assert worst <= ULPS, where


@pytest.mark.parametrize("case", [*CLOSED, *OPEN], ids=str)
def test_rows_at_the_ends_and_everything_else(case: Case, root: Path) -> None:
    """Limits at sigma = 0 and alpha = 0 against a node next to the end; schedule, conversions, time."""
    solver = folder(root, case)
    found = list(solver.trial().entries())
    worst = max(found, key=lambda e: e.ulp)
    assert worst.ulp <= ULPS, worst
    if solver.coefficients.DATA_END == "sigma_zero":
        assert any("to sigma_zero" in e.where for e in found)


@pytest.mark.parametrize("case", CLOSED, ids=str)
def test_limits_exist_where_rows_are_offered_and_not_where_they_are_refused(case: Case, root: Path) -> None:
    """noise in lambda is refused for another reason: its weights stay finite while lambda, so the history, is infinite."""
    solver = folder(root, case)
    module, oracle = solver.coefficients, solver.oracle
    offered = len(module.TO_SIGMA_ZERO) if module.DATA_END == "sigma_zero" else STEPS
    bounded = STEPS if (case.integrand, case.variable) == ("noise", "lambda") else offered
    inside = uneven_nodes(module, STEPS + 1)[::-1]
    for order in range(1, STEPS + 1):
        row = solver.derived.tableau.rows[order - 1]
        near, nearer = (oracle.row(row, [module.DOMAIN[1] + oracle.mp.mpf(10) ** -k, *inside]) for k in (40, 80))
        size = max(map(abs, near.values()))
        moved = max(abs(nearer[name] - near[name]) for name in near) / size
        assert moved < 1e-10 if order <= bounded else moved > 0.1


@pytest.mark.parametrize("schedule", ["kind: flow, shift: 1", "kind: vp_cosine"])
@pytest.mark.parametrize("method", ["integrand: data, variable: lambda", "integrand: v, variable: angle"])
def test_starts_where_alpha_is_zero(schedule: str, method: str, tmp_path: Path) -> None:
    solver = written(spec_text("from_noise", schedule, "kind: v", f"steps: 2, {method}"), tmp_path)
    found = list(solver.trial().entries())
    assert max(e.ulp for e in found) <= ULPS
    assert any("from alpha_zero" in e.where for e in found)
    if "data" in method:
        assert {e.where: e.got for e in found}["order 1 to sigma_zero: b0"] == 1


@pytest.mark.parametrize("schedule", ["vp_linear", "flow", "ve", "edm", "vp_cosine", "subvp", "vp_scaled_linear"])
@pytest.mark.parametrize(("start", "step"), [(0.999, 1e-12), (1e-3, 1e-9), (0.5, 0.4), (0.3, 1e-15)])
def test_differences_of_lambda(schedule: str, start: float, step: float, tmp_path: Path) -> None:
    text = spec_text("differences", f"kind: {schedule}", "kind: data", "steps: 1, integrand: data")
    solver = written(text, tmp_path)
    end = start - step
    got = float(solver.coefficients.dlambda(real(end), real(start)))
    assert ulp_error(got, solver.oracle.dlambda(end, start)) <= ULPS


@pytest.mark.parametrize("case", [*CLOSED, *OPEN[:3]], ids=str)
def test_the_oracle_agrees_with_itself_at_twice_the_digits(case: Case, root: Path) -> None:
    solver, rng = folder(root, case), random.Random(1)
    double = Oracle(solver.derived.tableau, solver.derived.problem, digits=100)
    mp = double.mp
    for _ in range(2 if case in CLOSED else 1):
        nodes = case.nodes(rng)
        row = solver.derived.tableau.rows[-1 if case in CLOSED else 2]
        coarse, fine = solver.oracle.row(row, nodes), double.row(row, nodes)
        for name, value in fine.items():
            assert abs(mp.mpf(coarse[name]) - value) <= abs(value) * mp.mpf(10) ** (-45 if case in CLOSED else -30), (
                name
            )
