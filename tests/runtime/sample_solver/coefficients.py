"""VP-linear in continuous time (arXiv:2011.13456 eq. 32), noise prediction, data integrand, linear in lambda, 2 steps.

log alpha(t) = -(beta_1 - beta_0) t^2/4 - beta_0 t/2 with beta_0 = 1/10, beta_1 = 20.
"""

from typing import NamedTuple

from runtime.real import Real, exp, expm1, log, log1p, phis, real, sqrt

SCHEMA = 2
STEPS = 2
COLUMNS = ("a", "b0", "b1", "cx", "cr")
DOMAIN = (1.0, 0.0)
NOISE_END, DATA_END = "regular", "sigma_zero"
CHART_FINITE = {"alpha_zero": False, "sigma_zero": False}
START, FINAL = "ramp", "lower_order"
INPUT = "time"
GRID = {"kind": "uniform", "variable": "t", "steps": 20}
WARP = None
SLOPE, OFFSET = real("199/10"), real("1/5")


class Node(NamedTuple):
    """A grid point."""

    t: Real
    alpha: Real
    sigma: Real


def log_alpha(t):
    return -t * (t * SLOPE + OFFSET) / 4


def alpha(t):
    return exp(log_alpha(t))


def sigma(t):
    return sqrt(-expm1(2 * log_alpha(t)))


def rho(t):
    return sigma(t) / alpha(t)


def dlambda(t, s):
    dl = -(t - s) * ((t + s) * SLOPE + OFFSET) / 4
    return dl - log1p(-exp(2 * log_alpha(s)) * expm1(2 * dl) / -expm1(2 * log_alpha(s))) / 2


def node(t):
    return Node(t, alpha(t), sigma(t))


def chart(t):
    return log(alpha(t) / sigma(t))


def span(s, t):
    return dlambda(t.t, s.t)


def start_1(s, t, h):
    (p1,) = phis(1, -h[0])
    return t.sigma / s.sigma, t.alpha * h[0] * p1, 0, 1 / s.alpha, -s.sigma / s.alpha


def main(s, t, h):
    r0 = h[1] / h[0]
    p1, p2 = phis(2, -h[0])
    c = t.alpha * h[0]
    return t.sigma / s.sigma, c * (p1 + p2 / r0), -c * p2 / r0, 1 / s.alpha, -s.sigma / s.alpha


def last(s, t, h):
    return 0, t.alpha, 0, 1 / s.alpha, -s.sigma / s.alpha


def denoised(s):
    return 1 / s.alpha, -s.sigma / s.alpha


def time(t):
    return t


ROWS = (start_1, main)
ABSCISSAE = ((0,), (0,))
BEGIN = ()
BEGIN_ABSCISSAE = ()
CORRECTORS = ()
TO_SIGMA_ZERO = (last,)
FROM_SIGMA_ZERO = ()
FROM_ALPHA_ZERO = ()
TO_ALPHA_ZERO = ()
