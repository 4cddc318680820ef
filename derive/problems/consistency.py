r"""Sampling with a consistency model: to an earlier time without noise, then back up with fresh noise.

A step from s to t goes to a time u(t) with less noise than t, x_u = alpha_u x0 + sigma_u eps with what the network says at
s, and from there by the forward process to t, x_t = (alpha_t/alpha_u) x_u + (..) z (arXiv:2402.19159, Algorithm 4;
arXiv:2303.01469, Algorithm 1). With e^{-k} = rho_u/rho_t and h the step of lambda, that is the step of
:mod:`derive.problems.sde` whose T h is k:

    x_t = (sigma_t/sigma_s) e^{-k} x_s + alpha_t (1 - e^{-(h+k)}) x0 + sigma_t sqrt(1 - e^{-2k}) z

and as k does not vanish with h it solves neither the ODE nor an SDE. What holds is the law: the weights keep the mean
alpha_t x0 and the variance sigma_t^2 of x_t given x0, and if x_u has the law of its time, x_t has that of its own. A network
that is the flow map from s to u, or for u with sigma = 0 a consistency function, makes every marginal exact, for any steps.

``gamma`` says where u is: u = e + (1 - gamma)(t - e), e the data end, or the training step below (1 - gamma) t, e = 0.
gamma = 0 is DDIM; gamma = 1 to sigma = 0 is k infinite, x_t = alpha_t x0 + sigma_t z, the sampler of a latent consistency model.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import sympy as sp

from derive.parameters import Choice, Number, Parameters
from derive.predictions import Prediction
from derive.problems import Noise, PoseError, SemilinearProblem, diffusion
from derive.schedules import Schedule
from derive.symbolic.alphabet import t

REFERENCE = "arXiv:2402.19159 (Alg. 4); arXiv:2310.04378 (Alg. 3); arXiv:2303.01469 (Alg. 1)"

PARAMETERS: Parameters = {
    "gamma": Number(
        default=Fraction(1),
        low=Fraction(0),
        high=Fraction(1),
        doc="how far below the end of the step its noise begins: 0 DDIM, 1 the data end",
    ),
    "segment": Choice(
        default="data",
        options=("data", "index"),
        doc="data: times between t and the data end; index: whole training steps, rounded down, to 0 (TCD)",
    ),
}


def pose(
    schedule: Schedule,
    prediction: Prediction,
    integrand: Prediction,
    variable: str | sp.Expr,
    gamma: Fraction = Fraction(1),
    segment: str = "data",
) -> SemilinearProblem:
    """The semilinear problem with the noise of a step. Raises PoseError with one line where there is none."""
    problem = diffusion.pose(schedule, prediction, integrand, variable)
    if gamma == 0:
        return problem
    if (integrand.c0, integrand.c1, problem.variable) != (1, 0, "lambda"):
        what = f"got {integrand.kind} in {problem.variable}"
        raise PoseError("method.integrand", f"{what}; allowed with consistency: data in lambda")
    if segment == "index" and schedule.index_steps is None:
        what = f"index: {schedule.kind} is continuous and has no training steps"
        raise PoseError("problem.segment", f"{what}; allowed here: data")
    if segment == "data" and schedule.data_end != "sigma_zero":
        what = f"data: {schedule.kind} does not end at sigma = 0"
        raise PoseError("problem.segment", f"{what}; allowed: a schedule that does, or index")
    left = 1 - sp.Rational(gamma.numerator, gamma.denominator)
    end = schedule.data if segment == "data" else sp.Integer(0)
    return replace(
        problem, noise=Noise(sp.Integer(0), sp.Integer(0), segment=(end + left * (t - end), segment == "index"))
    )
