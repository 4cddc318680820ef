r"""The reverse-time SDE of a diffusion or flow model, with any amount of noise.

With T = tau^2 >= 0 and x' = A x + B F the probability-flow ODE (:mod:`derive.problems.diffusion`),

    dx = (A x + B F - T sigma lambda' eps) dt + sqrt(2 T sigma^2 lambda') dW

has the same marginals for every tau (arXiv:2309.05019, Eq. 8; arXiv:2206.00364, Eq. 6): tau = 0 is the ODE, tau = 1 the
reverse SDE of arXiv:2011.13456. As eps = (alpha F - p x)/D with D = alpha q - sigma p and B = -alpha sigma lambda'/D,

    A_T = A + T sigma p lambda'/D,   B_T = (1 + T) B,   g^2 = 2 T sigma^2 lambda',

so it is semilinear again: in (data, lambda) the kernel decays like e^{-(1+T) h} and x is multiplied by
(sigma_t/sigma_s) e^{-T h}; in (noise, lambda) only the weight of F changes. The noise of a step is exact,
N(0, int (G_t/G_u)^2 g^2 du): sigma_t^2 (1 - e^{-2 T h}) and T alpha_t^2 (rho_s^2 - rho_t^2) in these two. Of the whole drift (integrand
``drift``) A_T = 0 and B_T = 1: Euler-Maruyama. ``variance`` says another law of the noise: g^2 h with g at the start
of the step, or the larger of DDPM's two (arXiv:2006.11239, Sec. 3.2), 1 - alpha_s^2/alpha_t^2.

``eta`` instead of tau is that of DDIM (arXiv:2010.02502, Eq. 16): T h of a step is -log(1 - eta^2 (1 - e^{-2h}))/2, so
that its variance is eta^2 sigma_t^2 (1 - e^{-2h}); eta = 1 is tau = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import Any

import sympy as sp

from derive.parameters import Choice, Expression, Number, Numbers, Parameters
from derive.predictions import Prediction
from derive.problems import Noise, PoseError, SemilinearProblem, diffusion
from derive.schedules import PRESERVING, Schedule, Table, at_schedule
from derive.symbolic.alphabet import alpha, dalpha, dsigma, expm1, h, lam, log1p, rho, sigma, t, tabulated
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from derive.tableau import Kernel

NAME = "tau"
"""Of the table."""

LARGEST = 10**6
"""A change of sign between values of tau beyond this is a pole."""

REFERENCE = "arXiv:2011.13456 (Eq. 6); arXiv:2309.05019 (Eq. 8); arXiv:2211.01095 (App. A)"

PARAMETERS: Parameters = {
    "tau": Expression(
        default=None,
        names=("t", "lambda", "alpha", "sigma", "rho"),
        doc="how much noise: 0 the ODE, 1 (default) the reverse SDE; a number or a formula",
    ),
    "tau_times": Numbers(default=None, longest=256, doc="instead: a table, times from the noise to the data"),
    "tau_values": Numbers(
        default=None, longest=256, low=Fraction(0), doc="with tau_times: tau there, joined by straight lines"
    ),
    "eta": Number(
        default=None, low=Fraction(0), high=Fraction(1), doc="instead: DDIM's eta, of integrand data in lambda"
    ),
    "variance": Choice(
        default="exact",
        options=("exact", "left", "large"),
        doc="of a step's noise: that of the SDE; g^2 at its start times its length; DDPM's beta (variance preserving, tau 1)",
    ),
}


def pose(
    schedule: Schedule,
    prediction: Prediction,
    integrand: Prediction,
    variable: str | sp.Expr,
    tau: sp.Expr | None = None,
    eta: Fraction | None = None,
    tau_times: Sequence[Fraction] | None = None,
    tau_values: Sequence[Fraction] | None = None,
    variance: str = "exact",
) -> SemilinearProblem:
    """The semilinear problem with its noise. Raises PoseError with one line where there is none."""
    said = {"tau": tau, "eta": eta, "tau_times": tau_times}
    keys = [key for key, value in said.items() if value is not None]
    if len(keys) > 1:
        raise PoseError(f"problem.{keys[1]}", f"got {keys[1]} beside {keys[0]}; allowed: one of {', '.join(said)}")
    if tau_times is not None or tau_values is not None:
        schedule, tau = _tabled(schedule, tau_times or (), tau_values or ())
    problem = _posed(schedule, prediction, integrand, variable, tau, eta)
    if variance == "exact" or problem.noise is None:
        return problem
    if problem.noise.excess is not None:
        raise PoseError("problem.variance", f"got {variance} beside eta; allowed: exact, or tau")
    if variance == "large" and (problem.noise.share != 1 or schedule.invariant != PRESERVING):
        what = f"got large with T = {problem.noise.share} on the path of {schedule.kind}"
        raise PoseError("problem.variance", f"{what}; allowed: tau 1 on a variance-preserving path")
    if variance == "large" and (integrand.c0, integrand.c1, problem.variable) != (1, 0, "lambda"):
        what = f"DDPM's larger variance belongs to integrand data in lambda, got {integrand.kind} in {problem.variable}"
        raise PoseError("problem.variance", f"{what}; allowed here: exact, left")
    departs = problem.departs
    if variance == "left" and sp.cancel(problem.noise.density).subs(alpha, 0).has(sp.zoo, sp.oo, sp.nan):
        departs = {**departs, "alpha_zero": False}  # g^2 is infinite where such a step starts
    return replace(problem, departs=departs, noise=replace(problem.noise, variance=variance, closed=None))


def _posed(
    schedule: Schedule,
    prediction: Prediction,
    integrand: Prediction,
    variable: str | sp.Expr,
    tau: sp.Expr | None,
    eta: Fraction | None,
) -> SemilinearProblem:
    problem = diffusion.pose(schedule, prediction, integrand, variable)
    given = sp.Rational(eta.numerator, eta.denominator) if eta is not None else sp.Integer(1) if tau is None else tau
    share = given**2
    if share == 0:
        return problem
    if given.is_number and given.is_negative:
        raise PoseError("problem.tau", f"got {given}; allowed: 0 or more")
    if not share.is_Rational:
        _usable(given, schedule)
        return _by_quadrature(problem, share)
    if eta is not None and (integrand.c0, integrand.c1, problem.variable) != (1, 0, "lambda"):
        what = f"DDIM's eta belongs to integrand data in lambda, got {integrand.kind} in {problem.variable}"
        raise PoseError("problem.eta", f"{what}; allowed here: tau")
    posed = _damped(problem, share)
    return _stepwise(posed, share) if eta is not None and eta != 1 else posed


def _usable(tau: sp.Expr, schedule: Schedule) -> None:
    """Whether the formula has finite real values on the path, no pole inside and none at sigma = 0; else PoseError."""
    if NAME in schedule.tables:
        return
    algebra, formula = mpmath_algebra(100), at_schedule(tau, schedule)

    def value(share: Fraction) -> Any:
        time = schedule.noise + (schedule.data - schedule.noise) * sp.Rational(share.numerator, share.denominator)
        try:
            found = evaluate(formula, {t: algebra.number(time)}, algebra, schedule.tables)
        except (ArithmeticError, ValueError, TypeError):
            found = None
        if found is None or found.imag or not abs(found) < inf:
            what = f"tau has no finite real value at t = {float(time):g}"
            raise PoseError("problem.tau", f"{what}; allowed: a formula that is finite along the path")
        return found.real

    shares = [Fraction(k, 63) for k in range(1, 63)]
    values = [value(share) for share in shares]
    for (a, u), (b, v) in pairwise(zip(shares, values)):
        left, right = (a, u), (b, v)
        for _ in range(40 if u * v < 0 else 0):
            middle = (left[0] + right[0]) / 2
            found = (middle, value(middle))
            left, right = (left, found) if u * found[1] <= 0 else (found, right)
        if abs(left[1]) > LARGEST and abs(right[1]) > LARGEST:
            at = float(schedule.noise + (schedule.data - schedule.noise) * left[0])
            raise PoseError("problem.tau", f"tau is infinite at t = {at:g}; allowed: a finite one")
    near, nearest = (abs(value(1 - Fraction(1, 10**k))) for k in (16, 32))
    if schedule.data_end == "sigma_zero" and nearest > 1 + near * 5 / 4:
        what = f"tau grows without bound to the data, t = {float(schedule.data):g}"
        raise PoseError("problem.tau", f"{what}; allowed: a bounded one, such as a formula over 1 + ..")


def _tabled(schedule: Schedule, times: Sequence[Fraction], values: Sequence[Fraction]) -> tuple[Schedule, sp.Expr]:
    """The schedule with the table beside its own, and tau(t)."""
    if len(times) != len(values):
        got = f"got {len(times)} times and {len(values)} values"
        raise PoseError("problem.tau_values", f"{got}; allowed: as many of both")
    ends = (schedule.noise, schedule.data)
    forwards = len(times) > 1 and all((a - b) * (ends[0] - ends[1]) > 0 for a, b in pairwise(times))
    if not forwards or (times[0], times[-1]) != ends:
        got = f"got {float(times[0]):g} to {float(times[-1]):g}" if forwards else "got times that turn back"
        raise PoseError("problem.tau_times", f"{got}; allowed: one way from {ends[0]} to {ends[1]}, the schedule's own")
    rising = sorted(zip(map(float, times), map(float, values)))
    knots, heights = zip(*rising)
    table = Table("linear", knots[0], knots[-1], heights, knots)
    return replace(schedule, tables={**schedule.tables, NAME: table}), tabulated(sp.Symbol(NAME), t)


def _damped(problem: SemilinearProblem, share: sp.Rational) -> SemilinearProblem:
    """The problem with a constant T."""
    schedule, integrand = problem.schedule, problem.integrand
    p, q = integrand.c0, integrand.c1
    ratio = sp.cancel((sigma * p / (alpha * q - sigma * p)).subs(lam, -sp.log(rho)).subs(sigma, rho * alpha))
    ratio = sp.cancel(diffusion.on_path(ratio, schedule).subs(sigma, rho * alpha))
    if problem.factor is None or ratio.free_symbols - {rho}:
        return _by_quadrature(problem, share)
    damping = sp.powsimp(sp.exp(sp.integrate(sp.apart(-share * ratio / rho, rho), rho)))
    factor = diffusion.on_path(sp.powsimp((problem.factor * damping).subs(rho, sigma / alpha)), schedule)
    chart = diffusion.CHARTS.get(problem.variable, problem.chart)
    speed = alpha * dsigma - sigma * dalpha
    kernel, prefactor = diffusion.closed_kernel(schedule, integrand, factor, chart, speed)
    closed = kernel.closed and kernel.rate != 0
    noise = _noise(problem, share)
    ends = {"sigma_zero": {sigma: 0}, "alpha_zero": {alpha: 0}}
    values = {end: factor.subs(at) for end, at in ends.items()}
    return replace(
        problem,
        factor=factor,
        drift=_drift(problem, share),
        weight=(1 + share) * diffusion.on_path(problem.weight / damping.subs(rho, sigma / alpha), schedule),
        kernel=kernel,
        prefactor=None if prefactor is None else (1 + share) * diffusion.on_path(prefactor, schedule),
        mass=None if problem.mass is None else _mass(problem, share),
        departs={
            end: diffusion.regular(value) or (closed and value.has(sp.zoo, sp.oo)) for end, value in values.items()
        },
        vanishes={end: value == 0 for end, value in values.items()},
        noise=noise,
    )


def _mass(problem: SemilinearProblem, share: sp.Rational) -> sp.Expr | None:
    """-B/A where G vanishes: at sigma = 0 what it was, A and B grow alike; at alpha = 0 A is that of the ODE."""
    return problem.mass if problem.integrand.c1 == 0 else (1 + share) * problem.mass


def _noise(problem: SemilinearProblem, share: sp.Rational) -> Noise:
    """Closed for data and noise, whatever the variable."""
    p, q = problem.integrand.c0, problem.integrand.c1
    density = _density(share)
    if q == 0 and p == 1:
        return Noise(share, density, (sigma, sp.Integer(1), share))
    if p == 0 and q == 1:
        return Noise(share, density, (alpha, sp.sqrt(share) * sigma / alpha, sp.Integer(1)))
    return Noise(share, density)


def _density(share: sp.Expr) -> sp.Expr:
    """g^2 = 2 T sigma^2 lambda'."""
    return 2 * share * sigma * (sigma * dalpha - alpha * dsigma) / alpha


def _drift(problem: SemilinearProblem, share: sp.Expr) -> sp.Expr:
    """A + T sigma p lambda'/D, with lambda' = (sigma alpha' - alpha sigma')/(alpha sigma)."""
    p, q = problem.integrand.c0, problem.integrand.c1
    more = share * p * (sigma * dalpha - alpha * dsigma) / (alpha * (alpha * q - sigma * p))
    return sp.cancel(problem.drift) + more.subs(lam, -sp.log(rho)).subs(rho, sigma / alpha)


def _by_quadrature(problem: SemilinearProblem, share: sp.Expr) -> SemilinearProblem:
    """The problem where G has no closed form: tau moves, or the integrand's share of the noise is no function of rho."""
    share = share.subs(lam, -sp.log(rho)).subs(rho, sigma / alpha)
    p, q = problem.integrand.c0, problem.integrand.c1
    density = diffusion.on_path(_density(share), problem.schedule)
    if p == 0:  # only the weight of F changes
        weight = diffusion.on_path((1 + share) * problem.weight, problem.schedule)
        kernel = Kernel(None)
        return replace(problem, weight=weight, kernel=kernel, prefactor=None, noise=Noise(share, density))
    speed = (alpha * dsigma - sigma * dalpha) / (alpha * q - sigma * p).subs(lam, -sp.log(rho)).subs(rho, sigma / alpha)
    if sp.cancel(_drift(problem, share)) == 0:
        return _undamped(problem, share)
    return replace(
        problem,
        factor=None,
        drift=diffusion.on_path(_drift(problem, share), problem.schedule),
        weight=diffusion.on_path((1 + share) * speed, problem.schedule),
        kernel=Kernel(None),
        prefactor=None,
        departs=dict.fromkeys(problem.departs, False),
        noise=Noise(share, density),
    )


def _undamped(problem: SemilinearProblem, share: sp.Expr) -> SemilinearProblem:
    """The problem of the whole drift: dx = F dt + g dW."""
    schedule, one = problem.schedule, sp.Integer(1)
    density = diffusion.on_path(sp.cancel(_density(share)), schedule)
    kernel, prefactor = diffusion.closed_kernel(schedule, problem.integrand, one, problem.chart, one)
    ends = {"sigma_zero": schedule.data, "alpha_zero": schedule.noise}
    finite = {end: _finite(density, schedule, time) for end, time in ends.items()}
    return replace(
        problem, factor=one, drift=sp.Integer(0), weight=one, kernel=kernel, prefactor=prefactor, mass=None,
        departs=finite, vanishes=dict.fromkeys(ends, False), noise=Noise(share, density),
    )  # fmt: skip


def _finite(density: sp.Expr, schedule: Schedule, time: sp.Expr) -> bool:
    """Whether g^2 is finite at the time."""
    slopes = {dalpha: sp.diff(schedule.alpha, t), dsigma: sp.diff(schedule.sigma, t)}
    value = at_schedule(density.subs(slopes), schedule).subs(t, time)
    return not value.has(sp.oo, -sp.oo, sp.zoo, sp.nan)


def _stepwise(problem: SemilinearProblem, share: sp.Rational) -> SemilinearProblem:
    """DDIM's eta: another T in every step, constant there."""
    excess = -log1p(share * expm1(-2 * h)) / 2
    assert problem.noise is not None
    noise = replace(problem.noise, closed=(sp.sqrt(share) * sigma, sp.Integer(1), sp.Integer(1)), excess=excess)
    return replace(problem, noise=noise)
