"""sample(graph=True) without a GPU: in the place of a captured graph stands the body itself, which has to serve any plan."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from generated import dpmpp_2m, dpmpp_3s, edm_heun
from runtime import graph
from runtime.projection import projection

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SOLVERS = (dpmpp_2m.solver, dpmpp_3s.solver, edm_heun.solver)


class Captures:
    """How often a body was captured, and how often replayed. A graph does not hold on to its network, so nor may this."""

    def __init__(self) -> None:
        self.made = self.played = 0
        self.plays = True

    def __call__(self, body: Callable[[], Any], warm: Callable[[], Any]) -> Callable[[], None]:
        self.made += 1
        warm()
        if not self.plays:
            return lambda: None

        def replay() -> None:
            self.played += 1
            body()

        return replay


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Captures:
    seen = Captures()
    monkeypatch.setattr(graph, "captured", seen)
    return seen


class Network(torch.nn.Module):
    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) * torch.cos(t)[:, None]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
def test_one_capture_serves_every_plan(solver: Any, captures: Captures) -> None:
    network, calls = Network(), 0
    for plan in (
        solver.plan(steps=6),
        solver.plan(steps=11),
        solver.plan(steps=6, grid="karras"),
        solver.plan(steps=6),
    ):
        found = graph.sampled(solver, plan, network, X, None)
        expected = solver.sample(network, X, plan=plan)
        assert torch.allclose(found, expected, rtol=1e-13, atol=1e-13 * float(expected.abs().max()))
        calls += plan.steps
    assert (captures.made, captures.played) == (1, calls)


def test_other_shapes_types_networks_and_long_plans_are_captured_anew(captures: Captures) -> None:
    solver, network = dpmpp_2m.solver, Network()
    short, long = solver.plan(steps=5), solver.plan(steps=300)
    for plan, x, model in (
        (short, X, network), (short, X[:2], network), (short, X.float(), network), (short, X, Network()), (long, X, network),
    ):  # fmt: skip
        before = captures.made
        found = graph.sampled(solver, plan, model, x, None)
        assert captures.made == before + 1
        assert torch.equal(found, solver.loop(plan, x).solved(model))


def test_the_last_few_graphs_are_kept_and_none_longer_than_the_network(captures: Captures) -> None:
    solver, plan, network = dpmpp_2m.solver, dpmpp_2m.solver.plan(steps=4), Network()
    captures.plays = False
    shapes = [torch.zeros(n, 2, dtype=torch.float64) for n in range(1, graph.KEPT + 2)]
    for x in (*shapes, shapes[-1], shapes[1]):
        graph.sampled(solver, plan, network, x, None)
    assert captures.made == len(shapes)
    graph.sampled(solver, plan, network, shapes[0], None)
    assert captures.made == len(shapes) + 1
    assert len(graph._GRAPHS[network]) == graph.KEPT
    count = len(graph._GRAPHS)
    del network
    gc.collect()
    assert len(graph._GRAPHS) == count - 1


def test_a_network_that_cannot_be_referred_to_is_captured_for_its_call(captures: Captures) -> None:
    class Slotted:
        __slots__ = ()

        def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return x * t[:, None]

    solver, network = dpmpp_2m.solver, Slotted()
    plan = solver.plan(steps=4)
    for _ in range(2):
        assert torch.isfinite(graph.sampled(solver, plan, network, X, None)).all()
    assert captures.made == 2


def test_values_before_the_first_step_are_taken(captures: Captures) -> None:
    solver, network = dpmpp_2m.solver, Network()
    plan = solver.plan(nodes=[1.0, 0.8, 0.5, 0.2], history=1)
    for value in (X, 2 * X):
        found = graph.sampled(solver, plan, network, X, [value])
        assert torch.allclose(found, solver.sample(network, X, plan=plan, history=[value]), rtol=1e-13, atol=1e-13)
    assert captures.made == 1


def pairs(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Without the condition, then with it."""
    u, c = x.chunk(2)
    return torch.cat([torch.tanh(u), torch.tanh(c) + torch.cos(c)])


def test_another_guidance_or_bound_is_no_other_graph(captures: Captures) -> None:
    solver = dpmpp_2m.solver
    plans = solver.plan(steps=6), solver.plan(steps=4)
    for options in ({"guidance": 2.0, "clip": 0.5}, {"guidance": 3.0}, {"guidance": 1.5, "threshold": (0.9, 2.0)}):
        before = captures.made
        for plan in plans:
            for scale in (1.0, 2.0):
                given = {**options, "guidance": [scale * options["guidance"]] * plan.steps}
                found = graph.sampled(solver, plan, pairs, X, None, projection(**given))
                expected = solver.sample(pairs, X, plan=plan, **given)
                assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert captures.made == before + 1
