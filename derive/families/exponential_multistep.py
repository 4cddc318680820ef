r"""Exponential multistep: interpolate the integrand through past values, integrate it against the exact kernel.

    x_{n+1} = Phi x_n + C sum_j w_j F_{n-j},    sum_j w_j theta_j^k = mu_k    (Hochbruck-Ostermann 2010, Sec. 2.5; Adams 1883)

With (integrand, variable) = (noise, lambda) this is DPM-Solver, DEIS-log-rho and UniP; (data, lambda) is DPM-Solver++;
(noise, rho) is DEIS-rhoAB and the variable-step Adams-Bashforth of LMS; (noise, t) is DEIS-tAB; (velocity, t) is
Adams-Bashforth on a flow. A published variant is the exact row with a moment overridden: ``midpoint`` (2M of DPM-Solver++
and UniPC's bh2: mu_1 = phi_1/2), ``bh1`` (mu_1 = 1/2).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import factorial

import sympy as sp
from sympy import QQ
from sympy.polys.rings import PolyElement

from derive.families.starters import START, starter
from derive.parameters import Choice, Expression, Integer, Moments, Parameters, Quantity
from derive.problems import PoseError
from derive.symbolic.moments import alphabet, exact_moments
from derive.tableau import Kernel, Scheme, Tableau, multistep_row

MAX_STEPS = 6

VARIABLES = ("lambda", "rho", "t", "alpha", "sigma", "angle")


def variable(doc: str, default: str = "lambda") -> Expression:
    """The key ``variable`` of a family."""
    return Expression(default=default, words=VARIABLES, names=("t", "alpha", "sigma", "lambda", "rho"), doc=doc)


PARAMETERS: Parameters = {
    "steps": Integer(low=1, high=MAX_STEPS, doc="integrand values a full step combines; its order"),
    "integrand": Quantity(doc="the quantity that is interpolated: any prediction"),
    "variable": variable("the variable in which it is a polynomial"),
    "weights": Moments(
        default="exact",
        words=("exact", "midpoint", "bh1", "bh2"),
        names=tuple(f"phi{k}" for k in range(1, 9)) + tuple(f"mu{k}" for k in range(6)) + ("z",),
        highest=MAX_STEPS - 1,
        doc="exact (interpolatory), or moments to override",
    ),
    "start": START,
    "final": Choice(
        default="lower_order",
        options=("keep", "lower_order", "denoise"),
        doc="last steps: as all others; orders .., 2, 1; or one more evaluation that returns the data prediction",
    ),
}

REFERENCE = "doi:10.1017/S0962492910000048 (Sec. 2.5); arXiv:2211.01095 (Eq. 12); arXiv:2204.13902 (Eq. 15)"

NAMED_WEIGHTS: Mapping[str, Mapping[int, sp.Expr]] = {
    "exact": {},
    "midpoint": {1: sp.Symbol("mu0") / 2},
    "bh2": {1: sp.Symbol("mu0") / 2},
    "bh1": {1: sp.Rational(1, 2)},
}
"""Overrides that papers have names for. bh1 and bh2 of UniPC differ from the exact row only where one unknown is left, at two steps."""


def build(kernel: Kernel, steps: int, weights: str | Mapping[int, sp.Expr], start: str, final: str) -> Tableau:
    """The tableau of the method: one row per order 1 .. ``steps``.

    kernel: of the posed problem. weights: a name of :data:`NAMED_WEIGHTS` or ``{k: expression in phi and mu}``.
    Raises ValueError with one line where an override does not apply.
    """
    if isinstance(weights, str) and weights != "exact" and steps != 2:
        raise ValueError(f"{weights!r} is defined for 2 steps, got {steps} steps; allowed: exact, or moments")
    chosen = NAMED_WEIGHTS[weights] if isinstance(weights, str) else weights
    for k in chosen:
        if not 0 <= k < steps:
            raise ValueError(f"moment {k} of a row with {steps} nodes; allowed: 0 to {steps - 1}")
    overrides = {k: ring_element(expr, kernel) for k, expr in sorted(chosen.items())}
    schemes = tuple(Scheme((), multistep_row(order, kernel, overrides)) for order in range(1, steps + 1))
    begin = starter(start, max(steps - 1, 1), kernel, steps)
    return Tableau("exponential_multistep", kernel, schemes, start, final, starter=begin)  # type: ignore[arg-type]


def ring_element(expr: sp.Expr, kernel: Kernel, key: str = "method.weights") -> PolyElement:
    """A polynomial in phi_k, mu_k and 1/z (rational coefficients) as an element of the tableau ring.

    PoseError at ``key`` where it has no meaning for the kernel: moments of a kernel that is not exponential have its
    size, so only sums of multiples of them do.
    """
    ab = alphabet()
    table = {f"phi{k}": g for k, g in enumerate(ab.phi)} if kernel.closed else {}
    table |= {f"mu{k}": m for k, m in enumerate(exact_moments(len(ab.mu), kernel.closed))}
    z = sp.Symbol("z", real=True)
    if expr.has(z):
        if not kernel.closed or kernel.rate == 0:
            raise PoseError(key, "1/z has no meaning for a kernel that is not exponential; allowed: mu0, mu1, ..")
        expr = sp.expand(expr).subs(z, 1 / sp.Symbol("pole"))
        table["pole"] = ab.pole
    names = sorted(str(symbol) for symbol in expr.free_symbols)
    for name in names:
        if name not in table:
            raise PoseError(key, f"{name} has no meaning for a kernel that is not exponential; allowed: mu0, mu1, ..")
    if not kernel.closed and any(sum(powers) != 1 for powers in _powers(expr, names)):
        what = f"{expr} has no meaning for a kernel that is not exponential, whose moments are not pure numbers"
        raise PoseError(key, f"{what}; allowed: sums of multiples of mu0, mu1, ..")
    if not names:
        value = sp.Rational(expr)
        return ab.ring(QQ(int(value.p), int(value.q)))
    total = ab.ring.zero
    for monom, coefficient in sp.Poly(expr, *map(sp.Symbol, names)).terms():
        value = sp.Rational(coefficient)
        term = ab.ring(QQ(int(value.p), int(value.q)))
        for name, exponent in zip(names, monom):
            term = term * (table[name] ** exponent if exponent else 1)
        total = total + term
    return _divided(total) if "pole" in names else total


def _divided(total: PolyElement) -> PolyElement:
    """The same with phi_k/z = phi_{k+1} + 1/(k! z), so that an override is linear where it can be."""
    ab = alphabet()
    for k in range(len(ab.phi) - 1):
        product = ab.phi[k] * ab.pole
        while coefficient := total.coeff(product):
            total = total - (product - ab.phi[k + 1] - ab.pole * QQ(1, factorial(k))) * coefficient
    return total


def _powers(expr: sp.Expr, names: list[str]) -> list[tuple[int, ...]]:
    """The exponents of every term; zero has none."""
    return sp.Poly(expr, *map(sp.Symbol, names)).monoms() if names else [()] if expr != 0 else []
