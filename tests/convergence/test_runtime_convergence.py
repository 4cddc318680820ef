"""The runtime in float64 against the 320-bit execution of the same coefficients, and against known flows."""

from __future__ import annotations

import math
from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from derive.measure.march import Emitted
from derive.measure.order import GRIDS, exact_solution, solve, time_of_lambda
from derive.measure.problems import GMM1D, Gaussian, TanhNetwork
from derive.measure.reference import dop853
from runtime.real import real

from .test_emitted_orders import NAMES, SMOOTH, solver

STARTED = [
    n for n in SMOOTH
    if (solver(n)[0].START != "exact" or solver(n)[0].STEPS == 1) and solver(n)[0].FINAL != "denoise"
    and not getattr(solver(n)[0], "TABLE", ()) and not hasattr(solver(n)[0], "spread")
]  # fmt: skip
"""Solvers that start by themselves and take any number of steps, without noise (tests/claims has those with it)."""


def emitted(package: Any) -> Emitted:
    """The generated code, for other arithmetic."""
    return Emitted(package.coefficients, package.step_torch.STEPS)


def network(package: Any, plan: Any, data: Any) -> Any:
    """``model(x, t)`` whose denoised estimate is ``data(x, alpha, sigma)``, for the nodes of a plan."""
    code, known = package.solver.coefficients, {}
    calls = emitted(package).visits([code.node(real(t)) for t in plan.nodes])
    for i, call in enumerate(calls):
        node = call.node
        values = (node.alpha, node.sigma, *code.denoised(node), plan.input_scale(i))
        known[plan.time(i)] = tuple(map(float, values))

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma, dx, dr, scale = known[t.reshape(-1)[0].item()]
        state = x / scale
        return (data(state, alpha, sigma) - dx * state) / dr

    return model


def nodes_for(package: Any, steps: int, grid: str = "rough") -> list[float]:
    """A grid over lambda in [-1, 1]."""
    return [float(t) for t in GRIDS[grid](time_of_lambda(emitted(package)), steps)]


@pytest.mark.parametrize("name", STARTED)
def test_runtime_agrees_with_wide_arithmetic(name: str) -> None:
    """Plan, table, step and loop in float64 equal the rows in 320 bits to rounding, on a non-linear network."""
    package, net = import_module(f"generated.{name}"), TanhNetwork.random(0)
    code, nodes = package.solver.coefficients, nodes_for(package, 24)
    inner, outer, drift, shift, offset = (
        torch.tensor(np.array(m, dtype=float)) for m in (net.inner, net.outer, net.drift, net.shift, net.offset)
    )

    def data(x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        w, rho = x / alpha, sigma / alpha
        return w - rho * (torch.tanh(w @ inner.T + rho * drift + shift) @ outer.T + offset)

    plan = package.solver.plan(nodes=nodes)
    start = [float(code.alpha(real(nodes[0])) * w) for w in exact_solution(0, code.rho(real(nodes[0])))]
    found = package.solver.sample(network(package, plan, data), torch.tensor([start], dtype=torch.float64), plan=plan)
    want, _ = solve(emitted(package), nodes)
    scale = float(code.alpha(real(nodes[-1])))
    assert [v / scale for v in found[0].tolist()] == pytest.approx([float(w) for w in want], rel=3e-13)


@pytest.mark.parametrize("name", STARTED[::4])
def test_error_on_gaussian_data_falls_with_the_global_order(name: str) -> None:
    problem = Gaussian((Fraction(1, 2), Fraction(-1)), (Fraction(3, 5), Fraction(1, 10)))
    package, (_, claims) = import_module(f"generated.{name}"), solver(name)
    code, errors = package.solver.coefficients, []
    for steps in (64, 128, 256):
        nodes = nodes_for(package, steps)
        plan = package.solver.plan(nodes=nodes)
        (a, s), (b, r) = ((float(code.alpha(real(t))), float(code.sigma(real(t)))) for t in (nodes[0], nodes[-1]))
        x = torch.tensor([[0.3, -0.7], [1.1, 0.4]], dtype=torch.float64)
        found = package.solver.sample(network(package, plan, problem.data), x, plan=plan)
        errors.append((found - problem.flow(x, (a, s), (b, r))).abs().max().item())
    orders = [math.log2(p / q) for p, q in pairwise(errors)]
    assert claims["global_order"] - 0.2 < orders[-1] < claims["global_order"] + 0.6, (errors, orders)


POINTS = np.array([-1.3, -0.4, 0.3, 1.1, 2.0])


@pytest.fixture(scope="module")
def mixture_flow() -> np.ndarray:
    """w = x/alpha at lambda = 1 from POINTS at lambda = -1, for the 1-D mixture."""

    def field(rho: float, y: np.ndarray) -> np.ndarray:
        return np.array([(v - GMM1D.data((float(v),), 1.0, rho)[0]) / rho for v in y])

    return dop853(field, POINTS, math.e, 1 / math.e, 1e-10)


@pytest.mark.parametrize("name", STARTED[1::6])
def test_a_mixture_is_sampled_to_the_reference(name: str, mixture_flow: np.ndarray) -> None:
    """Five starting points, 256 steps: within 1e-3 of DOP853 (1e-2 for one-step solvers)."""
    package = import_module(f"generated.{name}")
    code, nodes = package.solver.coefficients, nodes_for(package, 256, "lambda")
    plan = package.solver.plan(nodes=nodes)
    a, b = (float(code.alpha(real(t))) for t in (nodes[0], nodes[-1]))
    start = torch.tensor(a * POINTS).reshape(-1, 1)
    found = package.solver.sample(network(package, plan, GMM1D.data), start, plan=plan)
    limit = 1e-2 if package.CLAIMS["order"] == 1 else 1e-3
    assert np.allclose(found[:, 0].numpy() / b, mixture_flow, rtol=0, atol=limit)


def test_there_are_solvers_to_test() -> None:
    assert len(NAMES) >= len(SMOOTH) >= len(STARTED) > 5
