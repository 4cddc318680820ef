"""Global orders of methods with momentum and of a reversible one, written out here: what the theory says about starts and grids.

GHVB (arXiv:2307.11118, Eq. 13) is of order r, but started with v_0 = f_0 and orders 1, 2, .. it is globally of order 2.
BDIA with gamma = 1 (arXiv:2307.10829) is the leapfrog rule: order 2 on equal steps, 1 on others; below 1, order 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from derive.measure.order import LAMBDA, PATTERN, exact_solution, fit_order
from derive.measure.problems import TanhNetwork
from runtime.real import Real, exp, real, sqrt

SEED = 0
NET = TanhNetwork.random(SEED)
Vector = tuple[Real, ...]
WEIGHTS: dict[int, Callable[[Real], tuple[Real, ...]]] = {
    1: lambda b: (real(1),),
    2: lambda b: ((2 + b) / (2 * b), -(2 - b) / (2 * b)),
    3: lambda b: ((18 + 5 * b) / (12 * b), -(24 - 8 * b) / (12 * b), (6 - b) / (12 * b)),
}
"""c of y_{n+1} = y_n + delta sum_i c_i v_{n+1-i}, as the paper prints them (App. A)."""


def grid(n: int, pattern: Sequence[float]) -> list[Real]:
    """rho from e to 1/e with steps in the proportions of the pattern."""
    share = np.concatenate([[0.0], np.cumsum(np.resize(pattern, n))])
    start, end = exp(-real(LAMBDA[0])), exp(-real(LAMBDA[1]))
    return [start + (end - start) * real(float(u)) / real(float(share[-1])) for u in share]


def plus(y: Vector, *terms: tuple[Real, Vector]) -> Vector:
    return tuple(v + sum((c * f[i] for c, f in terms), real(0)) for i, v in enumerate(y))


def ghvb(rho: Sequence[Real], order: int, beta: Real) -> Vector:
    """v_0 = f_0, and orders 1, 2, .. until there are velocities enough; equal steps."""
    y = exact_solution(SEED, rho[0])
    velocities: list[Vector] = []
    delta = rho[1] - rho[0]
    v = NET(y, rho[0])
    for n in range(len(rho) - 1):
        f = NET(y, rho[n])
        v = tuple((1 - beta) * a + beta * b for a, b in zip(v, f, strict=True))
        velocities = [v, *velocities][:order]
        c = WEIGHTS[min(order, len(velocities))](beta)
        y = plus(y, *((delta * w, u) for w, u in zip(c, velocities, strict=True)))
    return y


def bdia(rho: Sequence[Real], gamma: Real) -> Vector:
    """y_{n+1} = (1 - gamma) y_n + gamma y_{n-1} + (increments from both sides) f_n; exact first step."""
    before, y = exact_solution(SEED, rho[0]), exact_solution(SEED, rho[1])
    for n in range(1, len(rho) - 1):
        f = NET(y, rho[n])
        both = gamma * (rho[n] - rho[n - 1]) + (rho[n + 1] - rho[n])
        mean = tuple((1 - gamma) * a + gamma * b for a, b in zip(y, before, strict=True))
        before, y = y, plus(mean, (both, f))
    return y


def measured(method: Callable[[Sequence[Real]], Vector], pattern: Sequence[float], cap: int = 1024) -> float:
    def error(n: int) -> Real:
        rho = grid(n, pattern)
        found, exact = method(rho), exact_solution(SEED, rho[-1])
        return sqrt(sum(((a - b) ** 2 for a, b in zip(found, exact, strict=True)), real(0)))

    return fit_order(error, cap).order_estimate


@pytest.mark.parametrize("order", [2, 3])
def test_ghvb_from_v0_is_globally_of_order_two(order: int) -> None:
    assert abs(measured(lambda rho: ghvb(rho, order, real("1/2")), (1.0,)) - 2) < 0.05


def test_leapfrog_is_of_order_two_on_equal_steps_and_one_on_others() -> None:
    assert abs(measured(lambda rho: bdia(rho, real(1)), (1.0,)) - 2) < 0.05
    assert abs(measured(lambda rho: bdia(rho, real(1)), PATTERN) - 1) < 0.1


def test_bdia_below_one_is_of_order_one() -> None:
    assert abs(measured(lambda rho: bdia(rho, real("1/2")), (1.0,)) - 1) < 0.05
