r"""What is proved of a step of a consistency model (:mod:`derive.problems.consistency`): not an order, but the law.

In the symbols alpha, sigma at s, u and t the weights a, b of x and x0 and the standard deviation s of the noise satisfy

    a alpha_s + b = alpha_t,   a^2 sigma_s^2 + s^2 = sigma_t^2,   a x + b x0 = (alpha_t/alpha_u) (alpha_u x0 + sigma_u eps):

given x0, x_t has the mean and the variance of its time whatever those of x_s were made of; and it is the forward process
from u, so its law is that of t where the law at u is that of u. That is so for any length of step, which is why there is no
order: where the network is a denoiser, the error of the whole run does not fall with the number of steps.
"""

from __future__ import annotations

import sympy as sp

from derive.errors import InternalError

LAW = "exact marginals, for any steps, where the network is the flow map from s to u; mean and variance given x0 always"
"""In claims.json."""


def weights(
    start: tuple[sp.Expr, sp.Expr], begin: tuple[sp.Expr, sp.Expr], end: tuple[sp.Expr, sp.Expr]
) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(a, b, s^2) of the step between points (alpha, sigma); begin: u."""
    (alpha_s, sigma_s), (alpha_u, sigma_u), (alpha_t, sigma_t) = start, begin, end
    kept = sigma_u * alpha_t / (alpha_u * sigma_t)
    a = sigma_t / sigma_s * kept
    return a, alpha_t * (1 - kept * sigma_t * alpha_s / (alpha_t * sigma_s)), sigma_t**2 * (1 - kept**2)


def prove_law() -> str:
    """:data:`LAW`, with every identity reduced to 0. InternalError where one is not."""
    start, begin, end = (sp.symbols(f"alpha_{x} sigma_{x}", positive=True) for x in "sut")
    x0, eps = sp.symbols("x0 eps")
    a, b, variance = weights(start, begin, end)
    x = start[0] * x0 + start[1] * eps
    identities = {
        "mean": a * start[0] + b - end[0],
        "variance": a**2 * start[1] ** 2 + variance - end[1] ** 2,
        "path": a * x + b * x0 - end[0] / begin[0] * (begin[0] * x0 + begin[1] * eps),
    }
    for name, expression in identities.items():
        if sp.cancel(sp.expand(expression)) != 0:
            raise InternalError(f"the {name} of a step of a consistency model is not kept: {sp.cancel(expression)}")
    return LAW


__all__ = ["LAW", "prove_law", "weights"]
