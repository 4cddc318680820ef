r"""The order of *emitted* code, proved on jets: a generated solver runs over F_p.

A generated module is arithmetic on whatever numbers it is given: its functions are called here with jets in h instead
of 320-bit reals, with the names that it imports from ``runtime`` (exp, phis, moments, ..) bound to jet versions, and the
functional steps of its ``step_torch.py`` combine jets. So what is certified is the text that was written, coefficients
and steps and the order in which they are called, not the mathematics that it came from (translation validation):

    order = valuation(result - exact solution) - 1,

of one step from an exact history; of a predictor-corrector, of the states it corrects in a run of several steps, whose
history soon consists of predictions. :func:`certify_global` runs from the solver's own start to its own last step.

The base time t_0 is a random element of F_p and grid nodes are random multiples of h away from it; constants such as
exp(c) are random residues (:mod:`derive.symbolic.jet_algebra`), and where a square root does not exist in F_p, or an
inverse function takes another branch than the schedule, another t_0 is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

from derive.analysis.jet_order import JetOrder, Modes
from derive.analysis.jet_runtime import arithmetic, at_time, rebound, smooth
from derive.measure.march import Departure, Emitted, Vector, cold, emitted, finish, march, warm
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, NotAResidue, P, PrecisionError

TRIES = 64
"""Base times that are tried before giving up: each needs a few constants to be squares."""
LONGEST = 60
"""Terms of a jet; a solver whose error is not seen in as many is exact."""
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Problem:
    """A random problem about one base time, the solver on jets, and the exact solution as series."""

    solver: Emitted
    algebra: JetAlgebra
    base: Jet
    network: Modes
    x: Vector

    @classmethod
    def random(cls, solver: Emitted, terms: int, rng: random.Random, dimension: int) -> Problem:
        base = Jet(0, [rng.randrange(1, P), 1] + [0] * (terms - 2))
        algebra = JetAlgebra(terms, rng.randrange(1 << 30))
        code = rebound(solver.code, algebra, base)
        alpha, rho = (smooth(f(base), base) for f in (code.alpha, code.rho))
        network = Modes.random(dimension, 2, rng)
        start = [rng.randrange(1, P) for _ in range(dimension)]
        x, _ = network.solution(alpha, rho.derivative(), start, terms)
        return cls(Emitted(code, solver.steps), algebra, base, network, x)

    def points(self, places: Sequence[int]) -> list[Any]:
        """Grid points t_0 + c h."""
        first = Jet.constant(self.base[0], self.base.precision)
        return [self.solver.code.node(self.base.at(c) if c else first) for c in places]

    def exact(self, point: Any) -> Vector:
        """The state at a grid point."""
        return tuple(at_time(v, point.t, self.base) for v in self.x)

    def raw(self, x: Vector, point: Any) -> Vector:
        """What the network returns: that which ``denoised`` takes to x0 = (x - sigma E)/alpha."""
        if point.t[0] != self.base[0]:
            raise NotAResidue("an inverse function of the schedule takes another branch modulo p")
        moved = [v - u[0] for v, u in zip(x, self.x, strict=True)]
        eps = self.network(self.algebra, moved, point.t - self.base[0])
        dx, dr = self.solver.code.denoised(point)
        alpha, rho = (smooth(f(point.t), self.base) for f in (self.solver.code.alpha, self.solver.code.rho))
        more = smooth(self.solver.drift(point.t), self.base)
        return tuple((v / alpha - rho * e / more - dx * v) / dr for v, e in zip(x, eps, strict=True))

    def error(self, x: Vector, point: Any) -> Jet:
        """The component of x - exact(point) that vanishes least."""
        return min((a - b for a, b in zip(x, self.exact(point), strict=True)), key=lambda e: e.valuation)


def certify_module(solver: Any, order: int | None = None, *, seed: int = 0, dimension: int = 2) -> JetOrder:
    """The order of the method, or of its rows of a lower ``order``, from an exact history.

    solver: an imported ``coefficients.py`` with its ``step_torch.py`` beside it, or an
    :class:`~derive.measure.march.Emitted`. Raises TypeError for code that is no power series (a schedule that is a
    polygon, an abscissa with a root) and NotAResidue if no base time was found.
    """
    chosen = emitted(solver).kept()
    if order is not None and order < len(chosen.code.ROWS):
        chosen = chosen.lowered(order)
    local = _corrected if chosen.code.CORRECTORS else _stepped
    return _attempted(chosen, seed, dimension, lambda problem, rng: _verdict(local(problem, rng)))


def certify_global(solver: Any, *, seed: int = 0, dimension: int = 2) -> int:
    """The order with the solver's own start and last steps: min(order, valuation of the error after a few steps).

    A scheme of order q that is used O(1) times leaves an error O(h^{q+1}). ``final: denoise`` is left out.
    """
    chosen = emitted(solver)
    if chosen.code.FINAL == "denoise":
        chosen = chosen.kept()
    steps = max(2 * chosen.code.STEPS + 1, len(chosen.table))

    def run(problem: Problem, rng: random.Random) -> int:
        points = problem.points(_places(rng, steps + chosen.code.STEPS))
        start = warm if chosen.code.START == "exact" else _cold
        error = problem.error(
            finish(problem.solver, start(problem.solver, points, problem.exact, problem.raw), problem.raw), points[-1]
        )
        return error.precision if error.is_zero else error.valuation

    return min(certify_module(solver, seed=seed, dimension=dimension).order, _attempted(chosen, seed, dimension, run))


def _cold(solver: Emitted, points: Sequence[Any], exact: Any, network: Any) -> Departure:
    return cold(solver, points, exact)


def _attempted(solver: Emitted, seed: int, dimension: int, run: Callable[[Problem, random.Random], Found]) -> Found:
    """``run`` on a random problem whose constants have the roots that are needed, with jets long enough."""
    terms = 3 * (solver.code.STEPS + bool(solver.code.CORRECTORS)) + 11
    for attempt in range(TRIES):
        rng = random.Random(f"jet module {seed} {attempt}")
        try:
            return run(Problem.random(solver, terms, rng, dimension), rng)
        except NotAResidue:
            continue
        except PrecisionError:
            if terms == LONGEST:
                raise
            terms = min(LONGEST, 2 * terms)
    raise NotAResidue(f"{getattr(solver.code, '__name__', 'solver')}: no square roots at {TRIES} base times")


def _stepped(problem: Problem, rng: random.Random) -> Iterator[Jet]:
    """The error of one step from an exact history; of a table, of the steps that it repeats."""
    more = _places(rng, max(len(problem.solver.body) - 1, 0))
    points = problem.points([*_places(rng, problem.solver.code.STEPS - 1), 0, 1, *more])
    departure = warm(problem.solver, points, problem.exact, problem.raw)
    yield problem.error(finish(problem.solver, departure, problem.raw), points[-1])


def _corrected(problem: Problem, rng: random.Random) -> Iterator[Jet]:
    """The errors of the corrected states in a run that begins with an exact history and goes on until none is left."""
    code = problem.solver.code
    points = problem.points(_places(rng, 2 * code.STEPS + 4 + len(problem.solver.table)))
    departure = warm(problem.solver, points, problem.exact, problem.raw)
    run = zip(departure.calls, march(problem.solver, departure, problem.raw), strict=True)
    for call, (_, memory) in islice(run, 1, None):
        (a,) = problem.solver.based((1,), call.row)
        yield problem.error(tuple(v / a for v in memory[0]), call.node)


def _verdict(errors: Iterator[Jet]) -> JetOrder:
    worst = min(errors, key=lambda e: e.valuation)
    if worst.is_zero:
        return JetOrder(worst.precision - 1, 0, exact=True)
    return JetOrder(worst.valuation - 1, worst.c[0])


def _places(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(1, P) for _ in range(count)]


def broken_identities(module: ModuleType | SimpleNamespace, *, seed: int = 0) -> tuple[str, ...]:
    """Which of the module's curves contradict each other, as identities between series at two times; () if none.

    sigma = alpha rho; alpha = exp(log_alpha); exp(dlambda(t, s)) = rho(s)/rho(t); span = chart(t) - chart(s); and where
    there are stages, chart(inner(s, t, c)) = chart(s) + c span.
    """
    for attempt in range(TRIES):
        try:
            return _broken(module, random.Random(f"jet identities {seed} {attempt}"))
        except NotAResidue:
            continue
    raise NotAResidue(f"{module.__name__}: no square roots at {TRIES} base times")


def _broken(module: ModuleType | SimpleNamespace, rng: random.Random) -> tuple[str, ...]:
    t = Jet(0, [rng.randrange(1, P), 1, *[0] * 10])
    s = t.at(rng.randrange(1, P))
    algebra = JetAlgebra(12, rng.randrange(1 << 30))
    code = rebound(module, algebra, t)
    lifted = arithmetic(algebra, t)
    pairs = {
        "sigma": (code.sigma(t), code.alpha(t) * code.rho(t)),
        "log_alpha": (lifted["exp"](code.log_alpha(t)), code.alpha(t)),
        "dlambda": (lifted["exp"](code.dlambda(t, s)) * code.rho(t), code.rho(s)),
        "span": (code.span(code.node(s), code.node(t)), code.chart(t) - code.chart(s)),
    }
    if hasattr(code, "inner"):
        inside = code.inner(code.node(s), code.node(t), 3).t
        if inside[0] != t[0]:
            raise NotAResidue("an inverse function of the schedule takes another branch modulo p")
        pairs["inner"] = code.chart(inside), code.chart(s) + 3 * (code.chart(t) - code.chart(s))
    return tuple(name for name, (left, right) in pairs.items() if left != right)


__all__ = ["broken_identities", "certify_global", "certify_module"]
