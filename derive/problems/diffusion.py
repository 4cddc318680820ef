r"""The probability-flow ODE of a diffusion or flow model, in any integrand and any variable.

With x = alpha x0 + sigma eps and an integrand F = p x0 + q eps, D = alpha q - sigma p,

    x' = A x + B F,   A = (alpha' q - sigma' p)/D,   B = (alpha sigma' - sigma alpha')/D,   G'/G = A       (arXiv:2011.13456, Eq. 13)

and the network output N = c0 x0 + c1 eps becomes F by one 2x2 solve. In rho = sigma/alpha the weight of F is
B/G dt = alpha / ((q - rho p) G) drho, so a variable chi has the closed kernel P e^{a (chi - chi_t)} exactly when
d log f/d chi is a rational number a, f = alpha / ((q - rho p) G chi'(rho)): that is decided symbolically, and every other
pair of integrand and variable gets its moments by quadrature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import sympy as sp
from sympy import QQ

from derive.errors import show
from derive.parameters import Parameters
from derive.predictions import Prediction, convert
from derive.problems import PoseError, SemilinearProblem
from derive.schedules import PRESERVING, Schedule, at_schedule
from derive.symbolic.alphabet import alpha, dalpha, drho, dsigma, lam, rho, sigma, t
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from derive.tableau import Kernel

PARAMETERS: Parameters = {}

REFERENCE = "arXiv:2011.13456 (Eq. 13); arXiv:2206.00927 (Prop. 3.1)"

CHARTS: dict[str, sp.Expr] = {
    "lambda": -sp.log(rho),
    "rho": rho,
    "angle": sp.atan(rho),
    "t": t,
    "alpha": alpha,
    "sigma": sigma,
}
"""The variables that have a name, in the alphabet; angle = atan2(sigma, alpha) is the arc length of a VP path."""

MONOTONE = {"lambda", "rho", "angle", "t"}
"""Charts that move one way on every schedule: the log-SNR does, and time."""

REGULAR = {"angle": 2 * sp.atan(sigma / (alpha + sp.sqrt(alpha**2 + sigma**2)))}
"""Charts in a form that is finite where alpha = 0."""

DATA = Prediction("data", sp.Integer(1), sp.Integer(0), sigma)
NOISE = Prediction("noise", sp.Integer(0), sp.Integer(1), alpha)


def pose(
    schedule: Schedule, prediction: Prediction, integrand: Prediction, variable: str | sp.Expr
) -> SemilinearProblem:
    """The semilinear problem of ``integrand`` in ``variable`` (a name of :data:`CHARTS` or an expression).

    Raises PoseError with one line if the integrand does not determine x0 and eps together with x, or if the variable does
    not move one way.
    """
    name = variable if isinstance(variable, str) else str(variable)
    chart = CHARTS[variable] if isinstance(variable, str) else variable.subs(lam, -sp.log(rho))
    p, q = integrand.c0, integrand.c1
    determinant = sp.cancel(_planar(alpha * q - sigma * p))
    if determinant == 0:
        raise PoseError("method.integrand", f"{integrand.kind} is proportional to x: alpha*q - sigma*p vanishes")
    _check_determined("method.integrand", integrand, schedule)
    _check_determined("problem.prediction", prediction, schedule)
    if name not in MONOTONE:
        _check_monotone(name, chart, schedule)
    drift = sp.cancel(_planar(dalpha * q - dsigma * p) / determinant)
    speed = sp.cancel(_planar(alpha * dsigma - sigma * dalpha) / determinant)
    factor = None if integrand.factor is None else _normal_factor(integrand.factor)
    kernel, prefactor = closed_kernel(schedule, integrand, factor, chart, speed)
    weight = _weight(p, q, speed, factor)
    ends = {"sigma_zero": {sigma: 0}, "alpha_zero": {alpha: 0}}
    convert_to = tuple(on_path(c, schedule) for c in convert(prediction, integrand))
    return SemilinearProblem(
        schedule=schedule,
        prediction=prediction,
        integrand=integrand,
        variable=name,
        chart=on_path(REGULAR.get(name, chart), schedule),
        factor=None if factor is None else on_path(factor, schedule),
        drift=drift,
        weight=on_path(weight, schedule),
        kernel=kernel,
        prefactor=None if prefactor is None else on_path(prefactor, schedule),
        mass=None if _mass(p, q) is None else on_path(_mass(p, q), schedule),
        finite={end: _finite(chart, schedule, end) for end in ends},
        departs={end: factor is not None and regular(factor.subs(at)) for end, at in ends.items()},
        vanishes={end: factor is not None and factor.subs(at) == 0 for end, at in ends.items()},
        to_integrand=(convert_to[0], convert_to[1]),
        to_data=tuple(on_path(c, schedule) for c in convert(prediction, DATA)),  # type: ignore[arg-type]
    )


def ddim(problem: SemilinearProblem) -> SemilinearProblem:
    """The problem with steps that keep the data and the noise of x and F; Phi of F itself is 1.

    PoseError unless F is v on a path of unit variance: for data and noise it is the exact transfer, and others have none.
    """
    schedule, integrand = problem.schedule, problem.integrand
    circle = schedule.invariant == PRESERVING
    if problem.others or not circle or (integrand.c0, integrand.c1) != (-sigma, alpha):
        kinds = ", ".join(posed.integrand.kind for posed in (problem, *problem.others))
        path = "" if circle else f" on the path of {schedule.kind}"
        what = f"got ddim with integrand {kinds}{path}; allowed: with v on a variance-preserving path"
        raise PoseError("method.transfer", f"{what} (for noise and data the exact transfer is that of DDIM)")
    data, noise = (tuple(on_path(c, schedule) for c in convert(integrand, end)) for end in (DATA, NOISE))
    return replace(problem, kernel=Kernel(None), prefactor=None, ddim=(data, noise))  # type: ignore[arg-type]


def _check_determined(key: str, quantity: Prediction, schedule: Schedule) -> None:
    """PoseError if alpha c1 - sigma c0 changes sign inside the interval: there, the quantity does not determine x0 and eps.

    Quantities with a closed integrating factor cannot: G'/G would have a pole.
    """
    if quantity.factor is not None:
        return
    for time, before, after in _sampled(key, alpha * quantity.c1 - sigma * quantity.c0, schedule):
        if not before * after > 0:
            what = f"{quantity.kind} does not determine x0 and eps near t = {time:.4g}"
            raise PoseError(
                key, f"{what}: alpha*eps - sigma*x0 is 0; allowed: a quantity that is never proportional to x"
            )


def _check_monotone(name: str, chart: sp.Expr, schedule: Schedule) -> None:
    """PoseError unless chi moves one way through the whole interval."""
    sign = 0
    for time, before, after in _sampled("method.variable", chart, schedule):
        step = (after > before) - (after < before)
        if step == 0 or step == -sign:
            what = "does not change" if step == 0 else "turns around"
            raise PoseError(
                "method.variable",
                f"{show(name)} {what} near t = {time:.4g}; allowed: a strictly monotone function of t",
            )
        sign = step


def _sampled(key: str, expr: sp.Expr, schedule: Schedule) -> Iterator[tuple[float, Any, Any]]:
    """(time, value before, value) at 256 points inside the interval, from noise to data, in 100 bits.

    PoseError at ``key`` where a value is not finite or not real, there, at 64 points more that approach the ends, or at an
    end that is regular.
    """
    algebra = mpmath_algebra(100)
    curve = at_schedule(expr, schedule)
    noise, data = (algebra.number(end) for end in (schedule.noise, schedule.data))

    def value(part: Any) -> tuple[float, Any]:
        time = noise + (data - noise) * part
        try:
            found = evaluate(curve, {t: time}, algebra, schedule.tables)
        except (ZeroDivisionError, ValueError):
            raise PoseError(key, f"{show(str(expr))} is not finite at t = {float(time):.4g}; allowed: finite") from None
        except TypeError as error:  # a function that SymPy has put in, as in sqrt(t**2)
            raise PoseError(key, f"{show(str(expr))} on this schedule: {error}; allowed: smooth functions") from None
        if not algebra.context.isfinite(found):
            raise PoseError(key, f"{show(str(expr))} is not finite at t = {float(time):.4g}; allowed: finite")
        if algebra.context.im(found) != 0:
            raise PoseError(key, f"{show(str(expr))} is not real at t = {float(time):.4g}; allowed: a real function")
        return float(time), found

    near = [algebra.number(Fraction(1, 2**k)) for k in range(9, 41)]
    ends = [part for part, end in ((0, schedule.noise_end), (1, schedule.data_end)) if end == "regular"]
    for part in (*near, *(1 - part for part in near), *ends):
        value(part)
    before = None
    for k in range(1, 257):
        time, found = value(algebra.number(Fraction(k, 257)))
        if before is not None:
            yield time, before, found
        before = found


def _weight(p: sp.Expr, q: sp.Expr, speed: sp.Expr, factor: sp.Expr | None) -> sp.Expr:
    """B/G in t: alpha/((q - rho p) G) rho' where the integrand knows no slopes, B/G as it stands where it does."""
    if factor is None or (p.free_symbols | q.free_symbols) & {dalpha, dsigma}:
        return speed if factor is None else sp.cancel(speed / factor)
    return sp.cancel(_planar(alpha / sp.cancel(_planar(q - rho * p)))) / factor * drho


def on_path(expr: sp.Expr, schedule: Schedule) -> sp.Expr:
    """The expression of one grid point, shortened by what always holds on this schedule's path.

    alpha^2 + sigma^2 = 1 (VP), alpha + sigma = 1 (flow), alpha = 1 (VE); slopes that are numbers; on a VP path
    alpha alpha' + sigma sigma' = 0.
    """
    constants = {
        symbol: value
        for symbol, value in (
            (alpha, schedule.alpha),
            (dalpha, sp.diff(schedule.alpha, t)),
            (dsigma, sp.diff(schedule.sigma, t)),
        )
        if value.is_Rational
    }
    expr = expr.subs(constants)
    if expr.has(dsigma) and schedule.invariant == 1 / sp.sqrt(1 + rho**2):
        expr = sp.Integer(0) if sp.cancel(expr.subs(dsigma, -alpha * dalpha / sigma)) == 0 else expr
    for whole, path in ((alpha**2 + sigma**2, 1 / sp.sqrt(1 + rho**2)), (alpha + sigma, 1 / (1 + rho))):
        if schedule.invariant == path:
            rational = expr.is_rational_function(alpha, sigma)
            expr = sp.cancel(sp.factor(expr).subs(whole, 1)) if rational else expr.subs(whole, 1)
    return expr


def _planar(expr: sp.Expr) -> sp.Expr:
    """The expression in (alpha, sigma), rho and lambda eliminated."""
    return expr.subs(lam, -sp.log(rho)).subs(rho, sigma / alpha)


def _normal_factor(factor: sp.Expr) -> sp.Expr:
    """G as the root of an expanded square, so that its value where alpha or sigma is zero can be read off."""
    squared = sp.expand(sp.cancel(_planar(factor) ** 2))
    return sp.sqrt(squared) if squared.is_polynomial(alpha, sigma) else _planar(factor)


def regular(value: sp.Expr) -> bool:
    return value != 0 and not value.has(sp.oo, sp.zoo, sp.nan, -sp.oo)


def _finite(chart: sp.Expr, schedule: Schedule, end: str) -> bool:
    """Whether chi is finite where sigma = 0 (rho = 0) or alpha = 0 (rho = infinite)."""
    if end == "sigma_zero":
        value = chart.subs({sigma: 0, rho: 0, t: schedule.data})
    else:
        value = chart.subs({alpha: 0, t: schedule.noise})
        value = sp.limit(value, rho, sp.oo) if value.has(rho) else value
    return not value.has(sp.oo, sp.zoo, sp.nan, -sp.oo)


def _mass(p: sp.Expr, q: sp.Expr) -> sp.Expr | None:
    """-B/A where G vanishes: alpha/p at sigma = 0 (x = alpha x0), sigma/q at alpha = 0."""
    if p == 1 and q == 0:
        return alpha
    if p == 0 and q == 1:
        return sigma
    return None


def closed_kernel(
    schedule: Schedule, integrand: Prediction, factor: sp.Expr | None, chart: sp.Expr, speed: sp.Expr
) -> tuple[Kernel, sp.Expr | None]:
    """The exponential kernel in this chart and its prefactor, or the general kernel."""
    if factor is None:
        return Kernel(None), None
    if speed == 1 and factor == 1:
        slope = sp.diff(at_schedule(chart, schedule), t)
        if slope.is_Rational and slope != 0:
            return Kernel(QQ(0)), 1 / slope
    chi = _in_rho(chart, schedule)
    if chi is None:
        return Kernel(None), None
    p, q = (c.subs(sigma, rho * alpha) for c in (integrand.c0, integrand.c1))
    gap = sp.cancel(q - rho * p)
    density = sp.cancel(alpha / gap) / factor.subs(sigma, rho * alpha) / sp.diff(chi, rho)
    if schedule.invariant is not None:
        density = sp.powsimp(density.subs(alpha, schedule.invariant))
    if density.free_symbols - {rho}:
        return Kernel(None), None
    rate = sp.cancel(sp.together(sp.diff(density, rho) / density / sp.diff(chi, rho)))
    rate = sp.cancel(sp.powsimp(rate))
    if not rate.is_Rational:
        return Kernel(None), None
    prefactor = sp.cancel(_planar(sp.cancel(alpha / (gap * sp.diff(chi, rho)))))
    return Kernel(-QQ(int(rate.p), int(rate.q))), prefactor


def _in_rho(chart: sp.Expr, schedule: Schedule) -> sp.Expr | None:
    """chi as a function of rho alone, using the schedule's invariant where it has one."""
    table: dict[sp.Expr, sp.Expr] = {}
    if schedule.invariant is not None:
        table |= {alpha: schedule.invariant, sigma: rho * schedule.invariant}
    if schedule.t_of_rho is not None:
        table[t] = schedule.t_of_rho
    chi = sp.cancel(chart.subs(table)) if table else chart
    return chi if chi.free_symbols == {rho} else None
