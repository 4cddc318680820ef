"""Relations that hold whatever the right answer is: no reference, no tolerance chosen by eye.

One network said in six ways, one path on two schedules, one method under several names, a batch and its samples, a line
that has to stay a line. A wrong conversion, weight, kernel, phase or history breaks at least one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch

from derive.check import emitted_row
from derive.measure.problems import OUTPUTS, Gaussian, Mixture, Problem, output, schedule_numbers
from derive.schedules import at_schedule
from runtime.noise import Philox
from tests.claims.shipped import DETERMINISTIC, NAMES, STOCHASTIC, Shipped, shipped, spec_of, spec_text, written

GAUSSIAN = Gaussian((Fraction(1, 2), Fraction(-1)), (Fraction(3, 5), Fraction(1, 10)))
CENTRED = Gaussian((Fraction(0), Fraction(0)), (Fraction(3, 5), Fraction(1, 10)))
MIXTURE = Mixture(
    (Fraction(3, 10), Fraction(7, 10)), ((Fraction(-1), Fraction(2, 5)), (Fraction(4, 5), Fraction(-1, 2))),
    (Fraction(7, 20), Fraction(1, 4)),
)  # fmt: skip
VP, FLOW, EDM = "kind: vp_linear", "kind: flow, shift: 1", "kind: edm, sigma_max: 1000, sigma_min: 0"
NODES = [0.9, 0.83, 0.7, 0.64, 0.5, 0.33, 0.21, 0.1, 0.04]
X = torch.randn((6, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Shipped]:
    """(schedule, prediction, method) -> solver; each is written once."""
    root = tmp_path_factory.mktemp("metamorphic")
    count = iter(range(1000))

    @cache
    def make(schedule: str, prediction: str, method: str) -> Shipped:
        return written(spec_text(f"made_{next(count)}", schedule, f"kind: {prediction}", method), root)

    return make


def solved(solver: Shipped, problem: Problem, kind: str, x: torch.Tensor = X, nodes: Sequence[float] = NODES) -> Any:
    model = problem.model(kind, schedule_numbers(solver.coefficients))
    return solver.solver.sample(model, x, nodes=list(nodes))


def assert_close(got: torch.Tensor, want: torch.Tensor, bound: float = 1e-12) -> None:
    assert float((got - want).abs().max() / want.abs().max()) <= bound


# One network, said differently


@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("schedule", [VP, FLOW])
@pytest.mark.parametrize(
    "method", ["steps: 3, integrand: data, variable: lambda", "steps: 2, integrand: v, variable: rho"]
)
def test_a_network_is_the_same_in_six_predictions(
    made: Callable[..., Shipped], problem: Problem, schedule: str, method: str
) -> None:
    want = solved(made(schedule, "noise", method), problem, "noise")
    for kind in OUTPUTS:
        assert_close(solved(made(schedule, kind, method), problem, kind), want)


@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("method", [
    "steps: 3, integrand: data, variable: lambda", "steps: 3, integrand: noise, variable: lambda",
    "steps: 3, integrand: noise, variable: rho",
])  # fmt: skip
def test_variance_preserving_and_exploding_paths_are_rescalings(
    made: Callable[..., Shipped], problem: Problem, method: str
) -> None:
    preserving, exploding = made(VP, "noise", method), made(EDM, "noise", method)
    oracle = preserving.oracle
    path = [preserving.derived.schedule.rho, preserving.derived.schedule.alpha]
    rho, alpha = ([float(oracle.at(curve, t)) for t in NODES] for curve in path)
    want = solved(preserving, problem, "noise")
    assert_close(solved(exploding, problem, "noise", X / alpha[0], rho) * alpha[-1], want)


@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("method", [
    "steps: 3, integrand: data, variable: lambda", "steps: 2, integrand: noise, variable: rho",
    "steps: 2, integrand: noise, variable: angle",
])  # fmt: skip
def test_another_clock_gives_the_same_trajectory(made: Callable[..., Shipped], problem: Problem, method: str) -> None:
    plain = made('kind: expression, alpha: "1 - t", sigma: "t", t: [1, 0]', "noise", method)
    squared = made('kind: expression, alpha: "1 - t**2", sigma: "t**2", t: [1, 0]', "noise", method)
    want = solved(plain, problem, "noise")
    assert_close(solved(squared, problem, "noise", nodes=[t**0.5 for t in NODES]), want)


# One method under several names


def first_step(solver: Shipped, kind: str, problem: Problem = MIXTURE) -> torch.Tensor:
    return solved(solver, problem, kind, nodes=[0.6, 0.5])


@pytest.mark.parametrize("schedule", [VP, FLOW])
def test_ddim_is_one_step_of_every_integrand_that_is_constant_on_a_line(
    made: Callable[..., Shipped], schedule: str
) -> None:
    names = [
        "integrand: noise, variable: lambda",
        "integrand: data, variable: lambda",
        "integrand: noise, variable: rho",
    ]
    names += ["integrand: noise, variable: t", "integrand: data, variable: angle"]
    names += ["integrand: velocity, variable: t"] * (schedule == FLOW)
    want = first_step(made(schedule, "noise", f"steps: 1, {names[0]}"), "noise")
    for name in names[1:]:
        assert_close(first_step(made(schedule, "noise", f"steps: 1, {name}"), "noise"), want, 1e-14)


def test_midpoint_weights_are_those_of_unip_2_with_bh2(made: Callable[..., Shipped]) -> None:
    method = "steps: 2, integrand: data, variable: lambda, weights: "
    midpoint, bh2 = (made(VP, "noise", method + weights).coefficients for weights in ("midpoint", "bh2"))
    published = shipped("dpmpp_2m_midpoint").coefficients if "dpmpp_2m_midpoint" in NAMES else midpoint
    for order in (1, 2):
        rows = [emitted_row(m, order, NODES[order::-1]) for m in (midpoint, bh2, published)]
        assert rows[0] == rows[1] == rows[2]


ADAMS_BASHFORTH = {
    1: (1,),
    2: (Fraction(3, 2), Fraction(-1, 2)),
    3: (Fraction(23, 12), Fraction(-16, 12), Fraction(5, 12)),
    4: (Fraction(55, 24), Fraction(-59, 24), Fraction(37, 24), Fraction(-9, 24)),
    5: (Fraction(1901, 720), Fraction(-2774, 720), Fraction(2616, 720), Fraction(-1274, 720), Fraction(251, 720)),
    6: tuple(Fraction(n, 1440) for n in (4277, -7923, 9982, -7298, 2877, -475)),
}
"""Hairer, Norsett, Wanner 1993, Sec. III.1."""


@pytest.mark.parametrize("order", ADAMS_BASHFORTH)
def test_equal_steps_give_the_textbook_weights(made: Callable[..., Shipped], order: int) -> None:
    module = made(FLOW, "velocity", "steps: 6, integrand: velocity, variable: t").coefficients
    nodes = [0.25 + j / 16 for j in range(order + 1)]
    want = (1, *(Fraction(-1, 16) * w for w in ADAMS_BASHFORTH[order]))
    assert emitted_row(module, order, nodes)[: order + 1] == tuple(map(float, want))


# Lines, sums and multiples


SPECS = {name: spec_of(name) for name in DETERMINISTIC}
STRAIGHT = {"noise": ("vp_linear", "vp_scaled_linear", "edm", "flow"), "velocity": ("flow",)}
STRAIGHT["data"] = STRAIGHT["noise"]
"""Where an integrand does not change while (x0, eps) does not."""
LINES = [
    name for name, spec in SPECS.items()
    if spec.problem.schedule.kind in STRAIGHT.get(spec.method.parameters["integrand"].kind, ())
]  # fmt: skip
SAMPLED = ["lawson4"]
"""Rows that take the kernel at single points integrate it, and so a constant, to their order only."""
UNSCALED = [name for name, spec in SPECS.items() if spec.problem.prediction.parameters["input_scale"] == "none"]


@pytest.mark.parametrize("name", [name for name in LINES if name not in SAMPLED])
def test_a_straight_line_stays_one(name: str) -> None:
    """x = alpha X0 + sigma E for a network that always sees the same X0 and E, to the end of the domain."""
    solver = shipped(name)
    module = solver.coefficients
    numbers = schedule_numbers(module)
    line, end = solver.nodes(9), module.DOMAIN[1]
    reaches = module.FINAL == "lower_order" or len(module.TO_SIGMA_ZERO) == len(module.ROWS)
    if reaches and not solver.calls_at_the_end and not solver.derived.tableau.table:
        line = [*line, end]
    nodes = line
    data, noise = torch.randn((2, 5, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def at(t: float) -> torch.Tensor:
        return float(solver.oracle.at(solver.derived.schedule.alpha, t)) * data + sigma(t) * noise

    def sigma(t: float) -> float:
        return float(solver.oracle.at(solver.derived.schedule.sigma, t))

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        n = numbers(float(t[0]))
        return output(solver.derived.prediction.kind, n.alpha * data + n.sigma * noise, data, n)

    assert_close(solver.solver.sample(network, at(nodes[0]), nodes=nodes), at(nodes[-1]))


def test_a_curve_is_not_taken_for_a_line() -> None:
    """The list is what the derived integrands say."""
    for name in DETERMINISTIC:
        derived = shipped(name).derived
        pair = (at_schedule(c, derived.schedule) for c in (derived.integrand.c0, derived.integrand.c1))
        assert (name in LINES) == (not any(c.free_symbols for c in pair))


@pytest.mark.parametrize("name", UNSCALED)
def test_a_linear_network_gives_a_linear_solver(name: str) -> None:
    """Twice the noise gives twice the sample, to the bit; and the sum of two is the sum of their samples."""
    solver = shipped(name)
    kind, nodes = solver.derived.prediction.kind, solver.nodes(9)
    other = X.flip(0) * 0.7
    first, second = (solved(solver, CENTRED, kind, x, nodes) for x in (X, other))
    assert torch.equal(solved(solver, CENTRED, kind, 2 * X, nodes), 2 * first)
    assert_close(solved(solver, CENTRED, kind, X + other, nodes), first + second)


def pointwise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A non-linear network of IEEE operations only: its bits do not depend on the batch."""
    shape = (-1, *(1,) * (x.dim() - 1))
    return x / (1 + x * x) + (t / (1 + t * t)).reshape(shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_samples_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    solver = shipped(name)
    x = torch.randn((5, 3, 7), dtype=dtype, generator=torch.Generator().manual_seed(3))
    nodes = solver.nodes(8)
    drawn = name in STOCHASTIC

    def sampled(some: torch.Tensor, first: int = 0) -> torch.Tensor:
        return solver.solver.sample(pointwise, some, nodes=nodes, noise=Philox(3, first) if drawn else None)

    whole = sampled(x)
    assert torch.equal(whole, torch.cat([sampled(one, k) for k, one in enumerate(x.split(1))]))
    if drawn:
        assert not torch.equal(whole, sampled(x, 1))
        return
    order = [3, 0, 4, 1, 2]
    assert torch.equal(sampled(x[order]), whole[order])


# Chained solves


@pytest.mark.parametrize(("prediction", "same"), [("data", True), ("noise", False)])
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_one_long_solve_is_two_with_the_history_handed_over(
    made: Callable[..., Shipped], prediction: str, same: bool, cut: int
) -> None:
    solver = made(VP, prediction, "steps: 3, integrand: data, variable: lambda, start: exact, final: keep")
    inner = MIXTURE.model(prediction, schedule_numbers(solver.coefficients))
    before = [X * 0.5, X * 0.25]
    states: list[tuple[torch.Tensor, torch.Tensor]] = []

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        raw = inner(x, t)
        states.append((x.clone(), raw.clone()))
        return raw

    whole = solver.solver.sample(model, X, nodes=NODES, history=before)
    seen = list(states)
    half = solver.solver.sample(model, X, nodes=NODES[: cut + 3], history=before)
    handed = [*before, *seen][cut : cut + 2]
    rest = solver.solver.sample(model, half, nodes=NODES[cut:], history=handed)
    assert torch.equal(rest, whole) if same else float((rest - whole).abs().max()) <= 1e-14 * float(whole.abs().max())


def test_nodes_used_here_fall() -> None:
    assert all(a > b for a, b in pairwise(NODES))
