r"""Error against network calls: several generated solvers on problems whose solution is known to 1e-12.

Every solver starts at its own first node from x_T = alpha x0 + sigma eps, the same x0 and eps for all, is run through
its public ``sample`` in float64, and is compared at its own last node with the exact flow there: the error is the root
mean square of (x - exact)/alpha. With ``final: denoise`` what comes back is an estimate of the data, compared with the
exact flow at sigma = 0. What is matched is the number of network calls, and they are counted, not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import torch

from derive.measure.circle import Blurred, Level, exact_flow
from derive.measure.posed import Network, level
from derive.measure.problems import GMM1D, Gaussian, Problem, digits

GAUSSIAN = Gaussian(
    (Fraction(0), Fraction(1, 2), Fraction(-1), Fraction(1)),
    (Fraction(1, 100), Fraction(1, 10), Fraction(1, 2), Fraction(1)),
)
"""Anisotropic: directions across the data (1/100), along it (1), and between."""
BLUR = 0.1
"""Standard deviation of the noise on each pixel of a digit."""
SEED = 20
STOCHASTIC = "stochastic, so its samples are not on the exact flow of x_T; allowed: a deterministic solver, or report for its law"
"""Why a solver that draws has no error here."""
BUDGETS = (5, 10, 20, 40)
Draw = tuple[torch.Tensor, torch.Tensor]
"""(x0, eps), each [B, d] float64."""


@dataclass(frozen=True, slots=True)
class Study:
    """One problem to compare on: what it is, its denoiser, and the same samples for every solver."""

    about: str
    problem: Callable[[], Problem]
    draw: Callable[[torch.Generator], Draw]


@dataclass(frozen=True, slots=True)
class Contender:
    """A generated solver with its claims."""

    name: str
    solver: Any
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One run. error, worst: root mean square and largest |x - exact|/alpha, None where the solver refused (``why``).

    nfe: the calls that were asked for; calls: those that were made; sigma: sigma/alpha where the run ends.
    """

    problem: str
    solver: str
    nfe: int
    calls: int
    error: float | None
    worst: float | None
    sigma: float | None
    why: str = ""


def _gaussian(generator: torch.Generator) -> Draw:
    mean, scale = (torch.tensor([float(v) for v in values]) for values in (GAUSSIAN.mean, GAUSSIAN.scale))
    z, eps = _normal(generator, 64, 4), _normal(generator, 64, 4)
    return mean.double() + scale.double() * z, eps


def _mixture(generator: torch.Generator) -> Draw:
    weights = torch.tensor([float(w) for w in GMM1D.weights])
    which = torch.multinomial(weights, 64, True, generator=generator)
    means = torch.tensor([[float(v) for v in m] for m in GMM1D.means], dtype=torch.float64)
    scales = torch.tensor([float(s) for s in GMM1D.scales], dtype=torch.float64)
    return means[which] + scales[which, None] * _normal(generator, 64, 1), _normal(generator, 64, 1)


def _digits(generator: torch.Generator) -> Draw:
    points = digits().points
    which = torch.randint(len(points), (8,), generator=generator)
    shape = (8, points.shape[1])
    return points[which] + BLUR * _normal(generator, *shape), _normal(generator, *shape)


def _normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


STUDIES: Mapping[str, Study] = {
    "gaussian": Study(
        "Gaussian data in 4 dimensions, standard deviations 1/100 to 1 (exact flow: closed form)",
        lambda: GAUSSIAN,
        _gaussian,
    ),
    "mixture": Study(
        "three Gaussians on a line (exact flow: order 8, tolerance 1e-13)",
        lambda: GMM1D,
        _mixture,
    ),
    "digits": Study(
        "1,797 handwritten digits, 8 x 8 pixels from -1 to 1, plus noise of 1/10 (exact flow: order 8, tolerance 1e-13)",
        lambda: Blurred(digits(), BLUR),
        _digits,
    ),
}


@cache
def _draw(name: str) -> Draw:
    return STUDIES[name].draw(torch.Generator().manual_seed(SEED))


@cache
def _exact(name: str, start: Level, end: Level) -> tuple[torch.Tensor, torch.Tensor]:
    """(x_T, exact x at ``end``)."""
    x0, eps = _draw(name)
    x = start[0] * x0 + start[1] * eps
    return x, exact_flow(STUDIES[name].problem(), x, start, end)


def measure(
    contenders: Sequence[Contender], problems: Sequence[str], budgets: Sequence[int], grid: str | None = None
) -> Iterator[Point]:
    """Every solver with every budget on every problem; ``grid`` None: each solver's own.

    On one thread: the samples are small, and threads that wait for each other cost more than they compute.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for contender, nfe in product(contenders, budgets):
            plan, why = _planned(contender, nfe, grid)
            for problem in problems:
                if plan is None:
                    yield Point(problem, contender.name, nfe, 0, None, None, None, why)
                else:
                    yield _run(contender, plan, problem, nfe)
    finally:
        torch.set_num_threads(threads)


def _planned(contender: Contender, nfe: int, grid: str | None) -> tuple[Any, str]:
    """The plan with the most grid steps that cost at most ``nfe`` calls; or None and why there is none."""
    try:
        return plan_of(contender, nfe, grid), ""
    except (ValueError, TypeError, ArithmeticError) as error:
        return None, str(error)


def plan_of(contender: Contender, nfe: int, grid: str | None = None) -> Any:
    """The solver's plan for a budget of network calls."""
    solver = contender.solver
    if solver.coefficients.START == "exact" and solver.coefficients.STEPS > 1:
        raise ValueError("start: exact needs values from outside; generate it with start: ramp to compare it")
    return solver.plan(nfe=nfe, grid=grid)


def _run(contender: Contender, plan: Any, problem: str, nfe: int) -> Point:
    module = contender.solver.coefficients
    start, end = level(module, plan.nodes[plan.history]), level(module, plan.nodes[-1])
    if module.FINAL == "denoise":
        end = (1.0, 0.0)
    sigma = end[1] / end[0]
    if any(plan.draws):
        return Point(problem, contender.name, nfe, 0, None, None, sigma, STOCHASTIC)
    network = Network(contender.solver, plan, STUDIES[problem].problem())
    x, exact = _exact(problem, start, end)
    try:
        found = contender.solver.sample(network, x, plan=plan)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return Point(problem, contender.name, nfe, network.calls, None, None, sigma, str(error))
    gap = (found - exact).abs() / end[0]
    rms = math.sqrt(float((gap**2).mean()))
    return Point(problem, contender.name, nfe, network.calls, rms, float(gap.max()), sigma)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All points, and how they read."""

    points: tuple[Point, ...]
    contenders: tuple[str, ...] = field(default=())

    def curve(self, problem: str, solver: str) -> tuple[Point, ...]:
        """The points of one solver on one problem, by budget."""
        return tuple(p for p in self.points if (p.problem, p.solver) == (problem, solver))

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.problem for p in self.points))

    @property
    def solvers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.solver for p in self.points))

    @property
    def budgets(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(p.nfe for p in self.points))

    def lines(self) -> list[str]:
        """A table per problem; ``*`` is the smallest error of a column; calls in brackets where they are not the budget."""
        out: list[str] = []
        for problem in self.problems:
            out += [f"{problem}: {STUDIES[problem].about}", *self._table(problem), ""]
        out += ["error: root mean square of (x - exact)/alpha where the solver's grid ends; * smallest of its column"]
        refused: dict[str, str] = {}
        for p in self.points:
            if p.why:
                refused.setdefault(p.solver, p.why)
        return out + [f"no value: {solver}: {why}" for solver, why in refused.items()]

    def _table(self, problem: str) -> list[str]:
        curves = {solver: self.curve(problem, solver) for solver in self.solvers}
        best = [min((p.error for p in column if p.error is not None), default=None) for column in zip(*curves.values())]
        width = max(len("solver"), *map(len, curves))
        head = (
            f"  {'solver':<{width}}  {'ends at':>9}" + "".join(f"  {f'NFE {n}':>13}" for n in self.budgets) + "  slope"
        )
        body = [
            f"  {solver:<{width}}  {_end(curve):>9}"
            + "".join(f"  {_cell(p, p.error == b):>13}" for p, b in zip(curve, best))
            + f"  {_slope(curve):>5}"
            for solver, curve in curves.items()
        ]
        return [head.rstrip(), *body]

    def csv(self) -> str:
        """problem,solver,nfe,calls,error,worst,sigma: a line a run, empty where the solver refused."""
        names = ("problem", "solver", "nfe", "calls", "error", "worst", "sigma")
        rows = [[getattr(p, name) for name in names] for p in self.points]
        return "\n".join([",".join(names), *(",".join("" if v is None else str(v) for v in row) for row in rows), ""])

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        problems = {name: STUDIES[name].about for name in self.problems}
        return {"problems": problems, "solvers": list(self.solvers), "points": [asdict(p) for p in self.points]}


def _end(curve: Sequence[Point]) -> str:
    found = next((p.sigma for p in curve if p.sigma is not None), None)
    return "" if found is None else f"s={found:.2g}"


def _cell(point: Point, best: bool) -> str:
    if point.error is None:
        return "-"
    calls = "" if point.calls == point.nfe else f"({point.calls})"
    return f"{point.error:.2e}{calls}{'*' if best else ' '}"


def _slope(curve: Sequence[Point]) -> str:
    """-d log(error)/d log(calls) over the last two points."""
    known = [(p.calls, p.error) for p in curve if p.error]
    if len(known) < 2 or known[-1][0] == known[-2][0]:
        return ""
    (m, d), (n, e) = known[-2:]
    return f"{math.log(d / e) / math.log(n / m):.2f}"


__all__ = ["BUDGETS", "STUDIES", "Comparison", "Contender", "Point", "measure", "plan_of"]
