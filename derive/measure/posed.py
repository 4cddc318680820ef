r"""A known denoiser as the network of one solver: its own schedule, its own prediction, its own times.

A solver feeds its network c_in x and a time and expects the prediction N of its spec, from which it takes
x0 = dx x + dr N. With x = alpha x0 + sigma eps that says N = c0 x0 + c1 eps, c0 = (1 - dx alpha)/dr, c1 = -dx sigma/dr:
what the network answers where E[x0 | x] and E[eps | x] are known. At an end where dr = 0 (velocity at sigma = 0) c0 and c1
are taken 2^-80 of the domain before it, in 320 bits. Calls are counted: they are the NFE that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from derive.measure.circle import Level
from derive.measure.problems import Problem, time_of
from runtime.real import real


@dataclass(frozen=True, slots=True)
class Call:
    """What belongs to one time: (alpha, sigma), (c0, c1) of N = c0 x0 + c1 eps, and c_in."""

    level: Level
    output: tuple[float, float]
    scale: float


class Network:
    """``model(x, t)`` for one plan of one solver; ``calls`` counts. x: [B, d] float64, t: [B], equal entries."""

    __slots__ = ("calls", "known", "problem")

    def __init__(self, solver: Any, plan: Any, problem: Problem) -> None:
        self.problem, self.calls = problem, 0
        self.known = calls(solver.coefficients, plan)

    def __call__(self, x: Any, t: Any) -> Any:
        self.calls += 1
        call = self.known[t.reshape(-1)[0].item()]
        (alpha, sigma), (c0, c1), sample = call.level, call.output, x / call.scale
        data = self.problem.data(sample, alpha, sigma)
        return c0 * data + c1 * noise(sample, data, call.level)


def noise(x: Any, data: Any, at: Level) -> Any:
    """E[eps | x]; it is 0 at sigma = 0 for data that has a density."""
    alpha, sigma = at
    return (x - alpha * data) / sigma if sigma else x * 0


def calls(module: ModuleType, plan: Any) -> dict[float, Call]:
    """By what the network is fed: everything that belongs to that time."""
    times = {float(module.time(real(t))): t for t in plan.nodes[plan.history :]}
    found = {}
    for i in range(plan.steps):
        fed = plan.time(i)
        time = times[fed] if fed in times else time_of(module, fed)
        found[fed] = Call(level(module, time), output(module, time), plan.input_scale(i))
    return found


def output(module: ModuleType, time: Any) -> tuple[float, float]:
    """(c0, c1) of what the network returns at a time."""
    at = real(time)
    middle = (real(module.DOMAIN[0]) + real(module.DOMAIN[1])) / 2
    for t in (at, at + (middle - at) * real(2) ** -80):
        try:
            node = module.node(t)
            dx, dr = map(real, module.denoised(node))
            if dr:
                return float((1 - dx * node.alpha) / dr), float(-dx * node.sigma / dr)
        except (ArithmeticError, ValueError):
            continue
    raise ArithmeticError(f"the network's output says nothing about the data at t = {float(at)!r}")


def level(module: ModuleType, time: Any) -> Level:
    """(alpha, sigma) at a time; exact zeros at the ends that have them."""
    node = module.node(real(time))
    return float(node.alpha), float(node.sigma)
