"""Stochastic solvers typed by hand from their papers, in w = x/alpha: none of the project's tableaux, weights or laws is used.

Weights solve the moment equation sum_j w_j theta_j^k = k! phi_{k+1}(z) in 320 bits at every step, z = -(1 + T) h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import factorial

from derive.measure.stochastic import Line, LinearSDE, LinearStep, Noise, Scheme
from runtime.real import Real, exp, phis, real, sqrt

ONE = real(1)


def weights(thetas: Sequence[Real], moments: Sequence[Real]) -> list[Real]:
    """The solution of sum_j w_j theta_j^k = moments[k] by Gaussian elimination."""
    n = len(thetas)
    rows = [[*((theta**k if k else ONE) for theta in thetas), moments[k]] for k in range(n)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(n):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def exact_moments(count: int, z: Real) -> list[Real]:
    return [factorial(k) * f for k, f in enumerate(phis(count, z))]


def exact(problem: LinearSDE) -> Scheme:
    """The solution itself."""

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        noise = Noise(lambda u: problem.transition(t, u), s, t)
        return LinearStep([Line(t, {0: problem.transition(t, s)}, {}, [(ONE, noise)])])

    return step


def sa_solver(
    steps: int,
    stochasticity: Fraction,
    *,
    second: Callable[[Real], Real] | None = None,
    third: Real = ONE,
    weight: Real = ONE,
    noise: Real = ONE,
    path: str = "",
) -> Scheme:
    """SA-Solver's predictor: x0 at ``steps`` grid points, exact Gaussian increments (NeurIPS 2023, Eq. 14).

    second: the first moment as a function of z, where it is not phi_2 (2M: phi_1/2, practical: 1/2); third: factor of
    the second moment (published 3M: 1/2). Defects for tests:
    weight: factor of the newest weight; noise: factor of the increment; path: another Brownian motion.
    """

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        h, strength = t - s, 1 + real(stochasticity)
        moments = exact_moments(steps, -strength * h)
        if second is not None:
            moments[1] = second(-strength * h)
        if steps > 2:
            moments[2] *= third
        found = weights([(real(grid[n - j]) - s) / h for j in range(steps)], moments)
        found[0] *= weight
        values = {-j: strength * h * w for j, w in enumerate(found)}
        xi = Noise(lambda u: exp(-strength * (t - u)), s, t, path)
        return LinearStep([Line(t, {0: exp(-strength * h)}, values, [(noise, xi)])])

    return step


def sa_corrected(steps: int, stochasticity: Fraction) -> Scheme:
    """SA-Solver with its corrector over ``steps`` + 1 values, the one at the prediction first (PEC, the same noise)."""

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        h, strength = t - s, 1 + real(stochasticity)
        thetas = [(real(grid[n - j]) - s) / h for j in range(steps)]
        xi = [(ONE, Noise(lambda u: exp(-strength * (t - u)), s, t))]
        fade = {0: exp(-strength * h)}
        predictor = weights(thetas, exact_moments(steps, -strength * h))
        corrector = weights([ONE, *thetas], exact_moments(steps + 1, -strength * h))
        predicted = Line(t, fade, {-j: strength * h * w for j, w in enumerate(predictor)}, xi)
        values = {1: strength * h * corrector[0]} | {-j: strength * h * w for j, w in enumerate(corrector[1:])}
        return LinearStep([predicted, Line(t, fade, values, xi)], kept=0)

    return step


def seeds2(stochasticity: Fraction, stage: str = "") -> Scheme:
    """SEEDS-2 (arXiv:2305.14267) in w: noise prediction, midpoint in lambda; stage: the path of the stage's noise.

    w_m = w_s - (1 + T) phi_1(h/2) (h/2) e^{-m} E_s + xi_m;  w_t = w_s - (1 + T) h phi_1(h) e^{-t} E_m + xi.
    """

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        h, strength, middle = t - s, 1 + real(stochasticity), (real(grid[n]) + real(grid[n + 1])) / 2
        first = Line(
            middle,
            {0: ONE},
            {0: -strength * (exp(h / 2) - 1) * exp(-middle)},
            [(ONE, Noise(lambda u: ONE, s, middle, stage))],
        )
        last = Line(t, {0: ONE}, {1: -strength * (exp(h) - 1) * exp(-t)}, [(ONE, Noise(lambda u: ONE, s, t))])
        return LinearStep([first, last])

    return step


def ito_taylor(problem: LinearSDE, second: Real = ONE) -> Scheme:
    """Exponential Ito-Taylor step with X0, its derivative along the drift, xi_0 and xi_1 (second: factor of xi_1)."""

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        h, strength, kappa = t - s, 1 + real(problem.stochasticity), problem.kappa(s)
        slope = 2 * kappa * (1 - kappa) - strength * kappa * (1 - kappa)
        first, following = phis(2, -strength * h)
        state = exp(-strength * h) + strength * h * (first * kappa + h * following * slope)
        xi0 = Noise(lambda u: exp(-strength * (t - u)), s, t)
        xi1 = Noise(lambda u: 1 - exp(-strength * (t - u)), s, t)
        return LinearStep([Line(t, {0: state}, {}, [(ONE, xi0), (kappa * second, xi1)])])

    return step


def ddim_eta(eta: Fraction) -> Scheme:
    """DDIM (Song et al. 2021, Eq. 12 and 16): x_t = alpha_t X0 + sqrt(sigma_t^2 - s^2) E + s z, with its own eta."""

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        variance = real(eta) ** 2 * exp(-2 * t) * (1 - exp(-2 * (t - s)))
        left = sqrt(exp(-2 * t) - variance) * exp(s)
        strength = 1 + real(eta) ** 2
        kernel = exp(-2 * t) * (1 - exp(-2 * (strength - 1) * (t - s)))
        xi = Noise(lambda u: exp(-strength * (t - u)), s, t)
        return LinearStep([Line(t, {0: left}, {0: 1 - left}, [(sqrt(variance / kernel), xi)])])

    return step


def euler_maruyama(problem: LinearSDE) -> Scheme:
    """w + h drift + g(s) (W_t - W_s), the increment with the path of the exact solution."""

    def step(grid: Sequence[Fraction], n: int) -> LinearStep:
        s, t = real(grid[n]), real(grid[n + 1])
        noise = Noise(lambda u: sqrt(problem.intensity(s) / problem.intensity(u)), s, t)
        return LinearStep([Line(t, {0: ONE}, {0: t - s}, [(ONE, noise)])])

    return step
