"""Rectified flow: after one reflow between Gaussians a single Euler step is exact; a solve may start in the middle."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from generated import ddim, flow_dopri5
from runtime.interpolant import Interpolant
from tests.emitted import emitted
from tests.runtime.test_interpolant import C1, M1, ONE, POINTS, Gaussians

EULER = "{family: runge_kutta, tableau: euler, integrand: velocity, variable: t, final: keep}"
X = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def bent(matrix: Tensor, case: Gaussians, t: float) -> float:
    """E|x1 - x0 - v|^2 at t of the coupling x1 = A x0 + c, with v = E[x1 - x0 | x_t]: 0 where x0 follows from x_t."""
    change, state = matrix - ONE, (1 - t) * ONE + t * matrix
    gain = change @ case.C0 @ state.T @ torch.linalg.inv(state @ case.C0 @ state.T)
    left = change - gain @ state
    return float(torch.trace(left @ case.C0 @ left.T))


def test_after_one_reflow_one_euler_step_is_exact() -> None:
    """arXiv:2209.03003, Sec. 3: the pairs of the ODE are an affine map, and its straight lines do not cross. To 1e-8."""
    case = Gaussians("linear", "zero")
    ends = flow_dopri5.solver.sample(Interpolant.network(case.batched), POINTS, steps=60)
    matrix, shift = (ends[1:] - ends[0]).T, ends[0]

    def reflowed(x: Tensor, t: Tensor) -> Tensor:
        """E[x1 - x0 | x_t] of the pairs: x0 follows from x_t = ((1 - t) 1 + t A) x0 + t c."""
        time = float(t[0])
        start = torch.linalg.solve((1 - time) * ONE + time * matrix, (x - time * shift).T).T
        return start @ (matrix - ONE).T + shift

    exact = flow_dopri5.solver.sample(Interpolant.network(case.batched), X, steps=60)
    euler = emitted("flow", "velocity", EULER)
    once = euler.sample(Interpolant.network(reflowed), X, steps=1)
    assert float((once - exact).abs().max()) < 1e-8
    before = euler.sample(Interpolant.network(case.batched), X, steps=1)
    assert float((before - exact).abs().max()) > 0.1
    assert torch.allclose(matrix @ case.m0 + shift, M1, rtol=0, atol=1e-9)


def test_straightness_falls_to_zero() -> None:
    """Independent ends: the integrand is the conditional variance of x1 - x0; after the reflow none is left."""
    case = Gaussians("linear", "zero")
    ends = flow_dopri5.solver.sample(Interpolant.network(case.batched), POINTS, steps=60)
    matrix = (ends[1:] - ends[0]).T
    for t in (0.25, 0.5, 0.75):
        _, spread = case.law(t)
        w = case.interpolant.weights(t)
        crossed = w.b * w.db * C1 + w.a * w.da * case.C0
        total = case.C0 + C1
        independent = float(torch.trace(total - crossed @ torch.linalg.solve(spread, crossed.T)))
        assert independent > 0.1 and abs(bent(matrix, case, t)) < 1e-12


@pytest.mark.parametrize("first", [1, 4, 9])
def test_a_solve_that_starts_in_the_middle_is_the_end_of_the_whole(first: int) -> None:
    """From a state of a one-step solver at a node, over the nodes that are left: bit for bit."""
    solver, seen = ddim.solver, []
    nodes = solver.plan(steps=10).nodes

    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x + t[:, None])

    keep = {"after_step": lambda x, i, t: seen.append(x.clone()) or x}
    end = solver.sample(network, X, nodes=nodes, hooks=keep)
    assert torch.equal(solver.sample(network, seen[first - 1], nodes=nodes[first:]), end)
