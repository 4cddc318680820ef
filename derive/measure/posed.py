r"""A known denoiser as the network of one solver: its own schedule, its own prediction, its own times.

A solver feeds its network c_in x and a time and expects the prediction N of its spec, from which it takes
x0 = dx x + dr N. So the network that knows E[x0 | x] answers N = (x0 - dx x)/dr at whatever level (alpha, sigma) the
solver asks for. Calls are counted: they are the NFE that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from derive.measure.circle import Level
from derive.measure.problems import Problem
from runtime.real import real


@dataclass(frozen=True, slots=True)
class Call:
    """What belongs to one time: the level, (dx, dr) of x0 = dx x + dr N, and c_in."""

    level: Level
    denoised: tuple[float, float]
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
        sample = x / call.scale
        dx, dr = call.denoised
        alpha, sigma = call.level
        return (self.problem.data(sample, alpha, sigma) - dx * sample) / dr


def calls(module: ModuleType, plan: Any) -> dict[float, Call]:
    """By what the network is fed: everything that belongs to that time."""
    times = {float(module.time(real(t))): t for t in plan.nodes[plan.history :]}
    found = {}
    for i in range(plan.steps):
        fed = plan.time(i)
        time = times[fed] if fed in times else time_of(module, fed)
        dx, dr = map(float, module.denoised(module.node(real(time))))
        found[fed] = Call(level(module, time), (dx, dr), plan.input_scale(i))
    return found


def level(module: ModuleType, time: Any) -> Level:
    """(alpha, sigma) at a time; exact zeros at the ends that have them."""
    node = module.node(real(time))
    return float(node.alpha), float(node.sigma)


def time_of(module: ModuleType, fed: float) -> Any:
    """t with ``module.time(t) = fed``, by bisection to 2^-100 of the domain."""
    low, high = (real(t) for t in module.DOMAIN)
    rising = module.time(high) > module.time(low)
    for _ in range(100):
        middle = (low + high) / 2
        if (module.time(middle) < fed) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2
