"""Rows of steps that touch an end of the domain, sigma = 0 or alpha = 0: analytic limits, regular rows, or none.

A multistep row that starts at an end has no history, so one order is all there is to say about it; a one-step method
with stages starts there with all of them if everything is regular.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial, inf

import sympy as sp

from derive.problems import SemilinearProblem
from derive.program.coefficients import Assign, Rows
from derive.program.renoise import segment_limits
from derive.program.rows import H0, Lowering, divided, scheme_rows
from derive.schedules import at_schedule
from derive.symbolic.alphabet import alpha, dalpha, dsigma, sigma, t
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from derive.symbolic.moments import exact_moments, newton_moments
from derive.tableau import Row, Scheme, multistep_row

ENDS = {"sigma_zero": {sigma: 0}, "alpha_zero": {alpha: 0}}
STEEPEST = 10**12
"""A slope beyond this, at an end of the domain, is infinite: a zero below it is only rounded to something else."""


def limits(low: Lowering, rows: Rows) -> dict[str, Rows]:
    """``TO_*`` and ``FROM_*`` by order for both ends."""
    if low.tableau.table:
        return _of_table(low, rows)
    if low.problem.noise is not None and low.problem.noise.segment is not None:
        return segment_limits(low)
    problem, schedule = low.problem, low.schedule
    kernel = problem.kernel
    out: dict[str, Rows] = {}
    for end in ENDS:
        arrive, leave = f"TO_{end.upper()}", f"FROM_{end.upper()}"
        departs = _departs(low, end)
        if end not in (schedule.noise_end, schedule.data_end):
            out[arrive] = out[leave] = ()
        elif kernel.closed and kernel.rate != 0:
            if problem.vanishes[end]:
                out[arrive] = _concentrated(low, _plain(low)[:1], end)
            else:
                out[arrive] = (_exhausted(low), *_decaying(low, end))
            out[leave] = (_exhausted(low),) if departs else ()
        else:
            regular = problem.finite[end]
            arriving = (_reaching(low, rows, end) if regular else ()) or (_single(low, rows),)
            possible = regular or not kernel.closed
            alone = low.tableau.steps == 1 and _samples(low, end)
            leaving = rows if regular and alone else (_single(low, rows),)
            out[leave] = leaving if possible and departs else ()
            if problem.vanishes[end]:
                out[arrive] = _concentrated(low, _plain(low)[: len(arriving)], end)
            else:
                out[arrive] = arriving if possible else ()
        if not _smooth(low, end, _arrival(problem)):
            out[arrive] = ()
    if problem.noise is not None:  # a stochastic step has no inverse
        out |= {"FROM_SIGMA_ZERO": (), "TO_ALPHA_ZERO": ()}
        used = {name for found in out.values() for name in found}
        low.functions[:] = [f for f in low.functions if f.name in used or not f.name.startswith(("limit", "to_alpha"))]
    return out


def _single(low: Lowering, rows: Rows) -> str:
    """The row of order 1 in one call; a function of its own where the first scheme has stages."""
    if isinstance(rows[0], str):
        return rows[0]
    if all(f.name != "start_1" for f in low.functions):
        scheme_rows(low, Scheme((), multistep_row(1, low.problem.kernel)), ("start_1",))
    return "start_1"


def _of_table(low: Lowering, rows: Rows) -> dict[str, Rows]:
    """The same for a table, by scheme: limits of steps that combine one value, any row where all is regular, else ()."""
    ends = (low.schedule.noise_end, low.schedule.data_end)
    out: dict[str, Rows] = {}
    for end in ENDS:
        arriving: dict[int, str | tuple[str, ...]] = {}
        leaving: dict[int, str | tuple[str, ...]] = {}
        for integrand in low.tableau.integrands if end in ends else ():
            into, out_of = _at_end(low.of(integrand), rows, end)
            if _smooth(low, end, _arrival(low.problems[integrand])):
                arriving |= into
            leaving |= out_of
        for name, found in ((f"TO_{end.upper()}", arriving), (f"FROM_{end.upper()}", leaving)):
            out[name] = tuple(found.get(k, ()) for k in range(len(rows))) if found else ()
    return out


def _at_end(
    low: Lowering, rows: Rows, end: str
) -> tuple[dict[int, str | tuple[str, ...]], dict[int, str | tuple[str, ...]]]:
    """(arriving, leaving): rows at the end by scheme, of the schemes that combine the integrand at hand."""
    problem, schemes = low.problem, low.tableau.schemes
    places = [k for k, scheme in enumerate(schemes) if scheme.integrand == low.integrand]
    single = [k for k in places if not schemes[k].stages and _only_newest(schemes[k].output)]
    exponential = problem.kernel.closed and problem.kernel.rate != 0
    own = {k: rows[k] for k in (places if problem.finite[end] else single if not problem.kernel.closed else ())}
    departs = _departs(low, end) and all(_determined(low.problems[k], end) for k in low.tableau.kept)
    if exponential:
        own = dict.fromkeys(single, _exhausted(low)) if single and (departs or not problem.vanishes[end]) else {}
    leaving = {k: row for k, row in own.items() if departs and (schemes[k].past == 0 or exponential)}
    if problem.vanishes[end]:
        own = {k: row for row in _concentrated(low, [schemes[k].output for k in single[:1]], end) for k in single}
    elif not (exponential or _evaluated(low, end)):
        own = {k: row for k, row in own.items() if not schemes[k].stages}  # a table has them at the ends of steps
    if not _samples(low, end):
        leaving = {k: row for k, row in leaving.items() if not schemes[k].stages}
    return own, leaving


def _only_newest(row: Row) -> bool:
    """Whether the row combines the value at t_n, exactly, and no other; or none."""
    return not row.nodes or ([(n.kind, n.index) for n in row.nodes] == [("history", 0)] and row.interpolatory)


def _reaching(low: Lowering, rows: Rows, end: str) -> Rows:
    """Rows that may end there: those that call the network at the end itself need F, and the kernel, to be finite there."""
    if _evaluated(low, end):
        return rows
    schemes = low.tableau.schemes
    last = next((k for k, s in enumerate(schemes) if s.stages and s.abscissae[-1] == 1), len(rows))
    return rows[:last]


def _evaluated(low: Lowering, end: str) -> bool:
    """Whether the network may be called at the end in a step that arrives there."""
    return _determined(low.problem, end) and _samples(low, end) and _smooth(low, end, _called(low.problem))


def _departs(low: Lowering, end: str) -> bool:
    """Whether a step can start at the end: G is finite and not 0 there, and so is what the network says about F."""
    return (
        end in (low.schedule.noise_end, low.schedule.data_end)
        and low.problem.departs[end]
        and _determined(low.problem, end)
        and _smooth(low, end, (*low.slopes, *_called(low.problem)))
    )


def _arrival(problem: SemilinearProblem) -> tuple[sp.Expr, ...]:
    """What a row reads of the grid point where it ends; conversions belong to the points where the network is called."""
    return tuple(e for e in (problem.factor, problem.prefactor, problem.mass) if e is not None)


def _called(problem: SemilinearProblem) -> tuple[sp.Expr, ...]:
    """What is read where the network is called, and what its output and the integrand are made of."""
    quantities = (problem.prediction, problem.integrand)
    return (*problem.to_integrand, *(c for quantity in quantities for c in (quantity.c0, quantity.c1)))


def _smooth(low: Lowering, end: str, expressions: Sequence[sp.Expr]) -> bool:
    """Whether the slopes in these are finite at the end: sigma' is not where sigma is a square root."""
    slopes = [x for x in (dalpha, dsigma) if any(e.has(x) for e in expressions)]
    return not slopes or _finite_at(low, end, slopes, lambda *values: max(map(abs, values)) < STEEPEST)


def _samples(low: Lowering, end: str) -> bool:
    """Whether the kernel is finite at the end, or no row takes its values at single points."""
    if not low.samples:
        return True
    return _finite_at(low, end, (low.problem.weight, low.speed), lambda weight, speed: abs(weight / speed) < inf)


def _finite_at(low: Lowering, end: str, expressions: Sequence[sp.Expr], test: Callable[..., bool]) -> bool:
    """Whether ``expressions`` have values at the end that pass the test."""
    schedule = low.schedule
    time = schedule.noise if schedule.noise_end == end else schedule.data
    algebra = mpmath_algebra(100)
    at = {t: algebra.number(time)}
    try:
        return bool(test(*(evaluate(at_schedule(e, schedule), at, algebra, schedule.tables) for e in expressions)))
    except (ZeroDivisionError, ValueError, OverflowError):
        return False


def _determined(problem: SemilinearProblem, end: str) -> bool:
    """Whether the conversion of the network's output to F is finite at the end."""
    values = [c.subs(ENDS[end]) for c in problem.to_integrand]
    return not any(v.has(sp.oo, -sp.oo, sp.zoo, sp.nan) for v in values)


def _plain(low: Lowering) -> list[Row]:
    """Output rows, by order, of the schemes without stages whose weights solve a moment equation."""
    schemes = low.tableau.schemes
    last = next((k for k, s in enumerate(schemes) if s.stages or s.output.given), len(schemes))
    return [scheme.output for scheme in schemes[:last]] or [multistep_row(1, low.problem.kernel)]


def _exhausted(low: Lowering) -> str:
    """Order 1 where the variable is infinite: int e^{-q chi} is (P_t - (G_t/G_s) P_s)/(-q), q the kernel's rate."""
    name = low.called("limit")
    if all(f.name != name for f in low.functions):
        a = _exhausting(low)
        at_t, at_s = (low.node(low.problem.prefactor, w) for w in ("t", "s"))  # type: ignore[arg-type]
        doc = "Order 1 where an end of the step has an infinite variable: the analytic limit."
        weight = (at_t - a * at_s) / -low.rate
        values = {"a": a, "b0": weight if low.problem.noise is None else sp.factor_terms(weight)}
        low.finish(name, doc, [], values | _noise(low))
    return name


def _exhausting(low: Lowering) -> sp.Expr:
    """G_t/G_s where the step of lambda is infinite."""
    noise, factor = low.problem.noise, low.problem.factor
    if noise is None or noise.excess is None:
        forgets = noise is not None and factor is not None and factor.subs(alpha, 0).has(sp.zoo)
        return sp.Integer(0) if forgets and low.schedule.noise_end == "alpha_zero" else low.propagator()[0]
    return low.node(sigma, "t") / low.node(sigma, "s") * sp.sqrt(1 - noise.share)


def _noise(low: Lowering) -> dict[str, sp.Expr]:
    """The column of the noise in a step of infinite length."""
    return {} if low.problem.noise is None else {"s": low.last_spread}


def _decaying(low: Lowering, end: str) -> tuple[str, ...]:
    """Rows of order 2 and up into an infinite variable where the kernel decays: int_0^inf e^{-q x} x^k dx = k!/q^{k+1}.

    The variable is not divided by the (infinite) step: nodes are 0, -h_1, -(h_1 + h_2), .. in its own unit.
    """
    prefactor = low.problem.prefactor
    (vanishing,) = ENDS[end]
    rows = _plain(low)
    if prefactor is None or prefactor.subs(vanishing, 0) != 0 or not all(row.interpolatory for row in rows):
        return ()
    a, _ = low.propagator()
    out = []
    for row in rows[1:]:
        order = len(row.nodes)
        moments = {sp.Symbol(f"mu{k}"): factorial(k) / low.rate**k for k in range(order)}
        body = _ratios(order, sp.Integer(1), "previous steps")
        body.append(Assign(("c",), a * low.node(prefactor, "s") / low.rate))
        newton = newton_moments(row.thetas, exact_moments(order, False))
        values = [m.as_expr().subs(moments) for m in newton]
        out.append(_end_row(low, row, end, "the kernel decays, moments k!", body, a, values))
    return tuple(out)


def _concentrated(low: Lowering, rows: Sequence[Row], end: str) -> tuple[str, ...]:
    """Rows where G vanishes: the kernel concentrates at the end of the step, theta = 1, with total weight ``mass``."""
    mass = low.problem.mass
    if mass is None:
        return ()
    out = []
    for row in rows:
        order = len(row.nodes)
        moments = {sp.Symbol(f"mu{k}"): sp.Integer(1) for k in range(order)}
        moments |= {sp.Symbol(f"phi{k + 1}"): sp.Rational(1, factorial(k)) for k in range(order)}
        body = _ratios(order, H0, "")
        body.append(Assign(("c",), low.node(mass, "t")))
        values = [m.as_expr().subs(moments) for m in row.newton]
        out.append(_end_row(low, row, end, "the integrand extrapolated to it", body, sp.Integer(0), values))
    return tuple(out)


def _ratios(order: int, unit: sp.Expr, comment: str) -> list[Assign]:
    return [Assign((f"r{j}",), sp.Symbol(f"h[{j + 1}]") / unit, comment="" if j else comment) for j in range(order - 1)]


def _end_row(
    low: Lowering, row: Row, end: str, why: str, body: Sequence[Assign], a: sp.Expr, newton: Sequence[sp.Expr]
) -> str:
    order = len(row.nodes)
    weights = [sp.Symbol("c") * w for w in divided(newton, row.relative)]
    values = {"a": a} | {f"b{j}": w for j, w in enumerate(weights)}
    noise = low.problem.noise
    if noise is not None:  # none is left where G vanishes, unless it is that of the start
        vanishes = low.problem.vanishes[end] and noise.variance != "left"
        values["s"] = sp.Integer(0) if vanishes else low.last_spread
    doc = f"Order {order} into {end.replace('_zero', ' = 0')}: {why}."
    return low.finish(low.called(f"to_{end}_{order}"), doc, body, values)


__all__ = ["limits"]
