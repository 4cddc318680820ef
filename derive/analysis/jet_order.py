r"""Order by jets: one step of the method on truncated series over F_p, against the exact solution of a random problem.

The differential equation is that of a noise network that depends on state and time,

    w' = rho' E(alpha w, t),   x = alpha w,   E(x, t) = sum_r C_r exp(A_r . x + B_r t)      (random C, A, B),

with two or more terms and a state of two components: it separates the elementary differentials, which a scalar or an
autonomous problem does not (a fourth-order condition can vanish on those). Its solution is a power series in
tau = t - t_0, so a grid node t_0 + c h is the substitution tau = c h; the moments
m_k = int Phi(t, u) B(u) (chi(u) - chi_n)^k du are series integrals; the weights solve V w = m over the ring of series.
The history nodes are random multiples of h ("rough" grids).

    order = valuation(numerical - exact) - 1,

where a wrong "order too low" is impossible and a wrong "order too high" has probability below 1e-15
(:mod:`derive.symbolic.jets`). Scaling x and the noise makes alpha(t_0) = sigma(t_0) = 1 no loss of generality; other
values at t_0 work too as long as the square roots that the formulas take exist in F_p (else
:class:`~derive.symbolic.jets.NotAResidue`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import factorial
from operator import mul
from typing import Any

import sympy as sp

from derive.symbolic import alphabet as ab
from derive.symbolic.evaluate import evaluate
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, P

Pair = tuple[sp.Expr, sp.Expr]
Tamper = Callable[[list[Jet]], list[Jet]]

CHARTS: Mapping[str, sp.Expr] = {
    "lambda": ab.lam,
    "rho": ab.rho,
    "t": ab.t,
    "alpha": ab.alpha,
    "sigma": ab.sigma,
    "angle": sp.atan(ab.rho),
}
"""The words a method's ``variable`` may be."""


@dataclass(frozen=True, slots=True)
class JetOrder:
    """order: valuation of the local error minus one; leading: its coefficient in F_p (zero only if ``exact``).

    exact: the error vanishes to the precision of the jets, ``order`` is then a lower bound.
    """

    order: int
    leading: int
    exact: bool = False


@dataclass(frozen=True, slots=True)
class JetProblem:
    """A random problem along its exact solution: everything a power series in tau = t - t_0.

    names: value of each symbol that formulas may use; x, eps: state and noise, one jet per component.
    """

    algebra: JetAlgebra
    names: Mapping[sp.Symbol, Jet]
    x: tuple[Jet, ...]
    eps: tuple[Jet, ...]

    def value(self, expression: sp.Expr) -> Jet:
        """A formula in t, alpha, sigma, rho, lambda, dalpha, dsigma along the solution."""
        return evaluate(expression, self.names, self.algebra)

    def combination(self, pair: Pair) -> tuple[Jet, ...]:
        """``c0 x0 + c1 eps`` for each component."""
        c0, c1 = self.value(pair[0]), self.value(pair[1])
        alpha, sigma = self.names[ab.alpha], self.names[ab.sigma]
        return tuple(c0 * ((x - sigma * e) / alpha) + c1 * e for x, e in zip(self.x, self.eps))


def jet_problem(
    alpha: sp.Expr,
    sigma: sp.Expr,
    *,
    terms: int,
    dimension: int = 2,
    start: Fraction | int = 0,
    tables: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> JetProblem:
    """The schedule as jets about ``start``, and the exact solution of a random problem on it to ``terms`` terms.

    start: t_0, a rational, or any integer as an element of F_p. tables: data curves that the formulas refer to.
    """
    algebra = JetAlgebra(terms, seed)
    names: dict[sp.Symbol, Jet] = {ab.t: Jet.variable(terms, start)}
    a, s = evaluate(alpha, names, algebra, tables), evaluate(sigma, names, algebra, tables)
    rho = s / a
    names |= {ab.alpha: a, ab.sigma: s, ab.rho: rho, ab.dalpha: a.derivative(), ab.dsigma: s.derivative()}
    names[ab.lam] = -algebra.log(rho)
    rng = random.Random(f"jet problem {seed}")
    network = Modes.random(dimension, 2, rng)
    initial = [rng.randrange(1, P) for _ in range(dimension)]
    x, eps = network.solution(a, rho.derivative(), initial, terms)
    return JetProblem(algebra, names, x, eps)


@dataclass(frozen=True, slots=True)
class Modes:
    """The noise network E(x, t) = sum_r C_r exp(A_r . (x - x_0) + B_r (t - t_0)): inner A, drift B, outer C."""

    inner: tuple[tuple[int, ...], ...]
    drift: tuple[int, ...]
    outer: tuple[tuple[int, ...], ...]

    @classmethod
    def random(cls, dimension: int, modes: int, rng: random.Random) -> Modes:
        """Random residues."""

        def draw(count: int) -> tuple[int, ...]:
            return tuple(rng.randrange(1, P) for _ in range(count))

        inner = tuple(draw(dimension) for _ in range(modes))
        return cls(inner, draw(modes), tuple(draw(modes) for _ in range(dimension)))

    def __call__(self, algebra: JetAlgebra, moved: Sequence[Jet], tau: Jet) -> tuple[Jet, ...]:
        """E at x_0 + ``moved``, t_0 + ``tau``: jets without a constant term."""
        values = []
        for weights, slope in zip(self.inner, self.drift, strict=True):
            terms = [m * w for m, w in zip(moved, weights, strict=True)]
            values.append(algebra.exp(sum(terms, start=tau * slope)))
        out = []
        for row in self.outer:
            terms = [v * c for v, c in zip(values, row, strict=True)]
            out.append(sum(terms[1:], start=terms[0]))
        return tuple(out)

    def solution(
        self, alpha: Jet, slope: Jet, start: Sequence[int], terms: int
    ) -> tuple[tuple[Jet, ...], tuple[Jet, ...]]:
        """(x, E) of w' = rho' E(alpha w, t), w(t_0) = ``start``, term by term; ``slope``: rho'.

        A mode y = exp(A . x + B t) = exp(g) obeys k y_k = sum i g_i y_{k-i}.
        """
        axes, modes = range(len(self.outer)), range(len(self.inner))
        a, d = alpha.dense(), slope.dense()
        w = [[value] for value in start]
        x: list[list[int]] = [[] for _ in axes]
        eps: list[list[int]] = [[] for _ in axes]
        rates: list[list[int]] = [[] for _ in modes]
        y: list[list[int]] = [[] for _ in modes]
        for k in range(min(len(a), len(d), terms - 1)):
            for i in axes:
                x[i].append(sum(map(mul, a, w[i][::-1])) % P)
            for r in modes:
                g = sum(self.inner[r][i] * x[i][k] for i in axes) + (self.drift[r] if k == 1 else 0)
                rates[r].append(k * g % P)
                y[r].append(sum(map(mul, rates[r][1:], y[r][::-1])) * pow(k, -1, P) % P if k else 1)
            for i in axes:
                eps[i].append(sum(self.outer[i][r] * y[r][k] for r in modes) % P)
                w[i].append(sum(map(mul, d, eps[i][::-1])) * pow(k + 1, -1, P) % P)
        return tuple(Jet(0, v) for v in x), tuple(Jet(0, v) for v in eps)


def weights(
    problem: JetProblem,
    integrand: Pair,
    chart: sp.Expr,
    nodes: Sequence[int],
    moments: Mapping[int, sp.Expr] | None = None,
) -> tuple[Jet, list[Jet]]:
    """(Phi, weights) of the step from t_0 to t_0 + h with history nodes t_0 + c h, c in ``nodes`` (nodes[0] = 0)."""
    names = problem.names
    p, q = problem.value(integrand[0]), problem.value(integrand[1])
    a, s, rho = names[ab.alpha], names[ab.sigma], names[ab.rho]
    d = a * q - s * p
    growth = (names[ab.dalpha] * q - names[ab.dsigma] * p) / d
    factor = problem.algebra.exp(growth.integral())
    density = a * a * rho.derivative() / d
    chi = problem.value(chart)
    shifted = chi - Jet.constant(chi[0], chi.precision)
    transition = factor  # Phi(t_0 + h, t_0) = G(h)/G(0), G(0) = 1
    raw, power = [], density / factor
    for _ in nodes:
        raw.append(transition * power.integral())
        power = power * shifted
    if moments:
        raw = _overridden(problem, raw, shifted, density / chi.derivative(), moments)
    theta = [shifted.at(c) if c else Jet(shifted.precision, ()) for c in nodes]
    return transition, _interpolatory(theta, raw)


def _overridden(
    problem: JetProblem, raw: list[Jet], span: Jet, prefactor: Jet, moments: Mapping[int, sp.Expr]
) -> list[Jet]:
    """Moments by formulas in mu_k = m_k/(C span^{k+1}), phi_{k+1} = mu_k/k!, C = B/chi' at the end of the step."""
    unit = prefactor * span
    scale = [unit]
    for _ in raw:
        scale.append(scale[-1] * span)
    mu = [m / u for m, u in zip(raw, scale)]
    known = {sp.Symbol(f"mu{k}"): m for k, m in enumerate(mu)}
    known |= {sp.Symbol(f"phi{k + 1}"): m / factorial(k) for k, m in enumerate(mu)}
    plain = {k: _plain(e) for k, e in moments.items()}
    return [scale[k] * evaluate(plain[k], known, problem.algebra) if k in plain else m for k, m in enumerate(raw)]


def _plain(expression: sp.Expr) -> sp.Expr:
    """The expression with symbols that carry no assumptions."""
    return expression.xreplace({x: sp.Symbol(x.name) for x in expression.free_symbols})


def _interpolatory(theta: Sequence[Jet], moments: Sequence[Jet]) -> list[Jet]:
    """V w = m by Lagrange: w_j = (sum_k [theta^k] prod_{i != j} (theta - theta_i) m_k) / prod (theta_j - theta_i)."""
    out = []
    for j, node in enumerate(theta):
        polynomial: list[Jet | int] = [1]
        denominator: Jet | int = 1
        for i, other in enumerate(theta):
            if i != j:
                polynomial = [u - other * v for u, v in zip([0, *polynomial], [*polynomial, 0])]
                denominator = (node - other) * denominator
        terms = [m * c for c, m in zip(polynomial, moments)]
        out.append(sum(terms[1:], start=terms[0]) / denominator)
    return out


def certify_order(
    alpha: sp.Expr,
    sigma: sp.Expr,
    prediction: Pair,
    integrand: Pair,
    chart: sp.Expr | str,
    steps: int,
    *,
    moments: Mapping[int, sp.Expr] | None = None,
    grid: Sequence[int] | None = None,
    dimension: int = 2,
    start: Fraction | int = 0,
    tables: Mapping[str, Any] | None = None,
    terms: int | None = None,
    seed: int = 0,
    tamper: Tamper | None = None,
) -> JetOrder:
    """The order of the ``steps``-step row for schedules ``alpha(t)``, ``sigma(t)``.

    prediction, integrand: (c0, c1) and (p, q): what the network returns and what is interpolated, in the symbols of
        :mod:`derive.symbolic.alphabet`. chart: a word of :data:`CHARTS` or an expression in the same symbols.
    moments: overridden moments by power, in phi1.. and mu0.. (exact: mu_k = k! phi_{k+1}).
    grid: positions of the history nodes in units of h, newest first (0, then negative); random by default.
    tamper: a change of the list of weights (mutation tests).
    """
    problem = jet_problem(
        alpha, sigma, terms=terms or 2 * steps + 6, dimension=dimension, start=start, tables=tables, seed=seed
    )
    rng = random.Random(f"jet grid {seed}")
    nodes = [0, *(rng.randrange(1, P) for _ in range(steps - 1))] if grid is None else list(grid)
    chosen = CHARTS[chart] if isinstance(chart, str) else chart
    transition, row = weights(problem, integrand, chosen, nodes, moments)
    values = _integrand_values(problem, prediction, integrand)
    return _local_error(problem, transition, tamper(row) if tamper else row, values, nodes)


def _integrand_values(problem: JetProblem, prediction: Pair, integrand: Pair) -> tuple[Jet, ...]:
    """F = cx x + cr N as the solver forms it from the network's output."""
    c0, c1 = (problem.value(e) for e in prediction)
    p, q = (problem.value(e) for e in integrand)
    a, s = problem.names[ab.alpha], problem.names[ab.sigma]
    d = a * c1 - s * c0
    cx, cr = (p * c1 - q * c0) / d, (a * q - s * p) / d
    return tuple(cx * x + cr * n for x, n in zip(problem.x, problem.combination(prediction)))


def _local_error(
    problem: JetProblem, transition: Jet, row: Sequence[Jet], values: Sequence[Jet], nodes: Sequence[int]
) -> JetOrder:
    errors = []
    for x, f in zip(problem.x, values):
        step = transition * x[0]
        for w, c in zip(row, nodes, strict=True):
            step = step + w * f.at(c)
        errors.append(step - x)
    worst = min(errors, key=lambda e: e.valuation)
    if worst.is_zero:
        return JetOrder(worst.precision - 1, 0, exact=True)
    return JetOrder(worst.valuation - 1, worst.c[0])
