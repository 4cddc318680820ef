"""Solvers with a table of decisions, from the spec to samples: what they are equal to, and what is refused when planning.

USF's tables of DPM-Solver++ and UniPC are compared with the solvers of the families that write those methods as one rule.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch

from derive.errors import SpecError
from runtime.errors import LimitError
from tests.claims.shipped import Shipped, written

FOLDER = Path(mkdtemp(prefix="phiforge-tables-"))
BOUND = 1e-12
UNEVEN = (0.95, 0.84, 0.75, 0.6, 0.51, 0.4, 0.33, 0.2, 0.11)
SCHEDULES = {"vp_linear": "noise", "flow": "velocity", "edm": "data"}
NODES = {"edm": tuple(70 * t**3 for t in UNEVEN)}
MULTISTEP = "family: exponential_multistep, steps: {0}"
UNIPC = "family: predictor_corrector, steps: {0}, weights: {1}, corrector_weights: {1}"


@cache
def made(method: str, integrand: str = "data", variable: str = "lambda", schedule: str = "vp_linear") -> Shipped:
    name = f"table_{len(list(FOLDER.iterdir()))}"
    text = (
        f"name: {name}\nproblem: {{kind: diffusion, schedule: {{kind: {schedule}}}, prediction: {SCHEDULES[schedule]}}}\n"
        f"method: {{{method}, integrand: {integrand}, variable: {variable}}}\n"
    )
    return written(text, FOLDER)


def table(*entries: str) -> str:
    return f"family: decisions, table: [{', '.join(f'{{{entry}}}' for entry in entries)}]"


def orders(count: int, order: int) -> list[int]:
    """1, 2, .., order, .., order, .., 2, 1."""
    return [min(order, i + 1, count - i) for i in range(count)]


def unipc(count: int, order: int, variant: str) -> str:
    """B(h) shows in UniP-2 and in UniC-1 only; the last step is not corrected."""
    entries = []
    for p in orders(count, order):
        weights = f", weights: {variant}" if p == 2 else ""
        corrector = f", corrector_weights: {variant}" if p == 1 else ""
        entries.append(f"order: {p}, corrector: pseudo{weights}{corrector}")
    return table(*entries)


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Bounded, not linear, and it knows the time."""
    t = t.reshape(-1, *[1] * (x.dim() - 1))
    return 0.8 * torch.tanh(x.flip(-1) + t) + 0.1 * torch.sin(3 * x) * t


def start() -> torch.Tensor:
    return torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)


def same(first: Shipped, second: Shipped, nodes: tuple[float, ...]) -> None:
    a, b = (each.solver.sample(network, start(), nodes=nodes) for each in (first, second))
    torch.testing.assert_close(a, b, rtol=BOUND, atol=BOUND)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("order", [2, 3])
def test_the_tables_of_dpm_solver(order: int, schedule: str) -> None:
    entries = [f"order: {p}" + (", weights: midpoint" if order == p == 2 else "") for p in orders(8, order)]
    method = MULTISTEP.format(order) + (", weights: midpoint" if order == 2 else "")
    for integrand in ("data", "noise"):
        pair = made(table(*entries), integrand, schedule=schedule), made(method, integrand, schedule=schedule)
        same(*pair, NODES.get(schedule, UNEVEN))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("order", "variant"), [(2, "bh2"), (3, "bh1")])
def test_the_tables_of_unipc(order: int, variant: str, schedule: str) -> None:
    for integrand in ("data", "noise"):
        first = made(unipc(8, order, variant), integrand, schedule=schedule)
        same(first, made(UNIPC.format(order, variant), integrand, schedule=schedule), NODES.get(schedule, UNEVEN))


def test_default_grids_that_end_at_sigma_zero() -> None:
    """The last entry combines one value, and so has its limit."""
    for first, second in (
        (unipc(8, 2, "bh2"), UNIPC.format(2, "bh2")),
        (table(*["order: 1"] * 8), MULTISTEP.format(1)),
    ):
        options = {"grid": "uniform", "variable": "t", "final_zero": True}
        a = made(first).solver.sample(network, start(), **options)
        b = made(second).solver.sample(network, start(), steps=8, **options)
        torch.testing.assert_close(a, b, rtol=BOUND, atol=BOUND)


@pytest.mark.parametrize("variable", ["rho", "t"])
def test_other_variables(variable: str) -> None:
    """A constant kernel and one known by its moments: Adams-Bashforth of growing order, and with its correctors."""
    plain = table(*(f"order: {p}" for p in (1, 2, 3, 3, 3, 3, 3, 3)))
    same(made(plain, "noise", variable), made(MULTISTEP.format(3) + ", final: keep", "noise", variable), UNEVEN)
    kept = table(*(f"order: {p}, corrector: pseudo" for p in (1, 2, 3, 3, 3, 3, 3, 3)))
    other = "family: predictor_corrector, steps: 3, final: keep"
    same(made(kept, "noise", variable), made(other, "noise", variable), UNEVEN)


def test_steps_that_evaluate_the_corrected_state() -> None:
    """Order 1 then an implicit corrector over two nodes is Heun's method: in rho, written out; mixed with plain steps."""
    heun = "order: 1, corrector: implicit"
    solver = made(table(heun, "order: 1", heun, "order: 2", heun, "order: 2", "order: 1", heun), "noise", "rho").solver
    plan = solver.plan(nodes=UNEVEN)
    assert plan.phases[:4] == ("step_1_1", "step_1_2", "step_2", "step_1_1") and plan.steps == 12
    assert plan.places == (0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7)
    node, before = solver.coefficients.node, None
    points = [node(t) for t in map(_real, UNEVEN)]
    alpha, rho = ([float(v) for v in values] for values in zip(*((p.alpha, p.sigma / p.alpha) for p in points)))
    y = start() / alpha[0]

    def eps(y: torch.Tensor, i: int) -> torch.Tensor:
        return network(alpha[i] * y, torch.tensor([UNEVEN[i]], dtype=torch.float64))

    for i, kind in enumerate("HEHAHAEH"):
        f, h = eps(y, i), rho[i + 1] - rho[i]
        step = f
        if kind == "A":
            assert before is not None
            step = f + (f - before) / (rho[i] - rho[i - 1]) * h / 2
        if kind == "H":
            step = (f + eps(y + h * f, i + 1)) / 2
        y, before = y + h * step, f
    torch.testing.assert_close(solver.sample(network, start(), nodes=UNEVEN), alpha[-1] * y, rtol=BOUND, atol=BOUND)


def _real(t: float) -> Any:
    from runtime.real import real

    return real(t)


def test_history_is_carried_past_steps_that_do_not_read_it() -> None:
    """1, 2, 1, 3: the third step reads one value, the fourth the two before that as well; in rho, written out."""
    solver = made(table("order: 1", "order: 2", "order: 1", "order: 3"), "noise", "rho").solver
    nodes = UNEVEN[:5]
    points = [solver.coefficients.node(_real(t)) for t in nodes]
    alpha, rho = ([float(v) for v in values] for values in zip(*((p.alpha, p.sigma / p.alpha) for p in points)))
    y, f = start() / alpha[0], []
    for i, order in enumerate((1, 2, 1, 3)):
        f.append(network(alpha[i] * y, torch.tensor([nodes[i]], dtype=torch.float64)))
        y = y + sum(
            weight * value
            for weight, value in zip(_adams([rho[i - j] for j in range(order)], rho[i], rho[i + 1]), f[::-1])
        )
    torch.testing.assert_close(solver.sample(network, start(), nodes=nodes), alpha[-1] * y, rtol=BOUND, atol=BOUND)


def _adams(places: list[float], low: float, high: float) -> list[float]:
    """int_low^high of the Lagrange polynomials of at most three places, by Simpson's rule (exact here)."""
    middle = (low + high) / 2

    def lagrange(j: int, x: float) -> float:
        out = 1.0
        for k, place in enumerate(places):
            out *= 1.0 if k == j else (x - place) / (places[j] - place)
        return out

    return [
        (high - low) / 6 * (lagrange(j, low) + 4 * lagrange(j, middle) + lagrange(j, high)) for j in range(len(places))
    ]


def test_a_step_is_taken_by_the_pair_that_it_is() -> None:
    """Of a corrected table, phases are pairs: the corrector on entry, and the predictor."""
    solver = made(unipc(6, 3, "bh2")).solver
    plan = solver.plan(nodes=UNEVEN[:7])
    assert plan.phases == ("step_0_1", "step_1_2", "step_2_3", "step_3_3", "step_3_2", "step_2_1")
    code = solver.coefficients
    assert code.TABLE == (0, 1, 2, 2, 1, 0) and code.READS == (1, 2, 3) and len(code.CORRECTORS) == 3


def test_given_history() -> None:
    """With start: exact the first entry reads values that the caller has."""
    solver = made(table("order: 2", "order: 2") + ", start: exact", "noise", "rho").solver
    points = [solver.coefficients.node(_real(t)) for t in UNEVEN[:4]]
    alpha, rho = ([float(v) for v in values] for values in zip(*((p.alpha, p.sigma / p.alpha) for p in points)))
    first = network(start() * 1.1, torch.tensor([UNEVEN[0]], dtype=torch.float64))
    y, f = start() / alpha[1], [first]
    for i in (1, 2):
        f.append(network(alpha[i] * y, torch.tensor([UNEVEN[i]], dtype=torch.float64)))
        weights = _adams([rho[i], rho[i - 1]], rho[i], rho[i + 1])
        y = y + weights[0] * f[-1] + weights[1] * f[-2]
    for history in ([first], [(start() * 1.1, first)]):
        found = solver.sample(network, start(), nodes=UNEVEN[:4], history=history)
        torch.testing.assert_close(found, alpha[3] * y, rtol=BOUND, atol=BOUND)
    with pytest.raises(ValueError, match="history: got 0; allowed: at least 1"):
        solver.plan(nodes=UNEVEN[:3])


def test_a_table_has_as_many_steps_as_entries() -> None:
    solver = made(unipc(8, 2, "bh2")).solver
    assert solver.plan().grid_steps == solver.plan(8).grid_steps == solver.plan(nfe=30).steps == 8
    for wanted, text in (
        ({"steps": 7}, "steps: got 7; this solver's table has 8 entries"),
        ({"nodes": UNEVEN[:4]}, "nodes: got 4, which are 3 steps; this solver's table has 8 entries"),
        ({"nodes": [UNEVEN[:4]] * 2}, "nodes: got 4, which are 3 steps; this solver's table has 8 entries"),
        ({"nfe": 7}, "nfe: got 7; this solver's table has 8 entries that take 8"),
    ):
        with pytest.raises(ValueError) as found:
            solver.plan(**wanted)
        assert str(found.value) == text
    batched = solver.plan(nodes=[UNEVEN, tuple(t * 0.9 for t in UNEVEN)])
    assert batched.phases == solver.plan(nodes=UNEVEN).phases


def test_an_entry_that_has_no_limit_is_named() -> None:
    long = made(table("order: 1", "order: 2", "order: 2")).solver
    with pytest.raises(LimitError) as found:
        long.plan(nodes=(0.9, 0.5, 0.2, 0.0))
    assert "step 2 of 3 (t = 0.2 to 0.0): entry 2 of the solver's table ends at sigma = 0, where only a step of" in str(
        found.value
    )
    flow = made(table("order: 1", "order: 2"), schedule="flow").solver
    with pytest.raises(
        LimitError, match="entry 1 of the solver's table reads back over 2 grid points, and 1 there has a"
    ):
        flow.plan(nodes=(1.0, 0.5, 0.25))
    assert made(table("order: 1", "order: 1", "order: 2"), schedule="flow").solver.plan(nodes=(1.0, 0.5, 0.25, 0.1))
    regular = made(table("order: 1", "order: 2"), "noise", "rho").solver
    assert regular.plan(nodes=(0.9, 0.5, 0.0)).phases == ("step_1", "step_2")


def test_the_default_grid_has_the_steps_of_the_table() -> None:
    text = (
        "name: wrong\nproblem: {kind: diffusion, schedule: vp_linear, prediction: noise}\n"
        "method: {family: decisions, integrand: data, table: [{order: 1}, {order: 2}]}\ngrid: {kind: uniform, steps: 5}\n"
    )
    with pytest.raises(SpecError) as found:
        written(text, FOLDER)
    (fault,) = found.value.faults
    assert (fault.key, fault.message) == ("grid.steps", "got 5; allowed: 2, the entries of the table")


def test_new_states_and_steps_in_place_agree() -> None:
    for each in (made(unipc(8, 3, "bh1")), made(table("order: 1", "order: 2", "order: 1, corrector: implicit"))):
        nodes = UNEVEN[: len(each.coefficients.TABLE) + 1]
        found = each.solver.sample(network, start().requires_grad_(), nodes=nodes)
        in_place = each.solver.sample(network, start(), nodes=nodes)
        torch.testing.assert_close(found.detach(), in_place, rtol=1e-13, atol=1e-13)
