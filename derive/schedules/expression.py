"""A schedule written out: ``{alpha: "cos(pi*t/2)", sigma: "sin(pi*t/2)", t: [1, 0]}``, from noise to data.

Differences of log alpha and lambda are factored (expm1, log1p, angle differences) where a rule exists; elsewhere
they are plain differences in 320-bit arithmetic, which leaves 80 digits for t - s = 1e-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from derive.parameters import Expression, Numbers, Parameters
from derive.schedules import PRESERVING, Schedule, rational
from derive.symbolic.alphabet import expm1, rho, t
from derive.symbolic.differences import is_small_rational, log_difference
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from derive.symbolic.path import check_path

REFERENCE = "arXiv:2107.00630 (Sec. 3: any monotone log-SNR)"

PARAMETERS: Parameters = {
    "alpha": Expression(names=("t",), doc="scale of the data"),
    "sigma": Expression(names=("t",), doc="scale of the noise"),
    "t": Numbers(shortest=2, longest=2, doc="[noise, data]: where sampling starts and ends"),
}

_SMALL = 60
"""Operations up to which an identity between alpha and sigma is looked for."""


def build(alpha: sp.Expr, sigma: sp.Expr, t: Sequence[Fraction]) -> Schedule:
    """The schedule of two expressions in time over ``t = [noise, data]``.

    Raises ValueError (one line: what, where, what is allowed) unless alpha and sigma are real, finite and above 0
    inside, with alpha = 0 at most at the noise end, sigma = 0 at most at the data end, and a strictly monotone
    log-SNR.
    """
    if len(t) != 2:
        raise ValueError(f"t has {len(t)} numbers; allowed: 2, [noise, data]")
    noise, data = map(rational, t)
    alpha, sigma = (_unfolded(f, word, noise, data) for word, f in (("alpha", alpha), ("sigma", sigma)))
    noise_end, data_end, how = check_path(alpha, sigma, noise, data)
    alpha, sigma = _vanishing(_uncancelled(alpha), noise), _vanishing(_uncancelled(sigma), data)
    noise_level = _ratio(sigma, alpha)
    return Schedule(
        kind="expression",
        log_alpha=alpha.args[0] if isinstance(alpha, sp.exp) else sp.log(alpha),
        alpha=alpha,
        sigma=sigma,
        rho=noise_level,
        dlambda=-log_difference(noise_level),
        dlog_alpha=log_difference(alpha),
        noise=noise,
        data=data,
        noise_end=noise_end,
        data_end=data_end,
        invariant=_invariant(alpha, sigma, noise, data),
        t_of_rho=_inverse(noise_level),
        notes=(how,),
    )


def _unfolded(expr: sp.Expr, word: str, noise: sp.Rational, data: sp.Rational) -> sp.Expr:
    """|g| (what SymPy makes of sqrt(g**2)) as g or -g: ValueError where g changes its sign."""
    if not expr.has(sp.Abs):
        return expr
    algebra = mpmath_algebra(100)
    signs: dict[sp.Expr, sp.Expr] = {}
    for g in sorted((e.args[0] for e in expr.atoms(sp.Abs)), key=sp.default_sort_key):
        times = (algebra.number(noise + (data - noise) * sp.Rational(i, 256)) for i in range(1, 256))
        seen = {evaluate(g, {t: at}, algebra) > 0 for at in times}
        if len(seen) > 1:
            raise ValueError(f"{word} has a kink: the root of a square changes branch inside; allowed: smooth")
        signs[sp.Abs(g)] = g if True in seen else -g
    return expr.xreplace(signs)


def _uncancelled(expr: sp.Expr) -> sp.Expr:
    """``c - c exp(g)`` as ``-c expm1(g)``, everywhere in the expression."""
    return expr.replace(_is_gap, lambda e: -_constant(e) * expm1(_exponential(e).args[0]))


def _vanishing(expr: sp.Expr, end: sp.Rational) -> sp.Expr:
    """cos(g) that is 0 at ``end`` as -sin(g_end) sin(g - g_end): a zero of wide arithmetic too, not 1e-98."""
    return expr.replace(
        lambda e: isinstance(e, sp.cos) and e.subs(t, end) == 0,
        lambda e: -sp.sin(e.args[0].subs(t, end)) * sp.sin(sp.factor(e.args[0] - e.args[0].subs(t, end))),
    )


def _is_gap(e: sp.Expr) -> bool:
    if not (e.is_Add and len(e.args) == 2):
        return False
    constant, other = _constant(e), _exponential(e)
    return isinstance(other, sp.exp) and constant.is_Rational and e - constant == -constant * other


def _constant(e: sp.Expr) -> sp.Expr:
    return e.as_independent(t, as_Add=True)[0]


def _exponential(e: sp.Expr) -> sp.Expr:
    factors = sp.Mul.make_args(e.as_independent(t, as_Add=True)[1])
    return next((factor for factor in factors if isinstance(factor, sp.exp)), sp.Integer(0))


def _ratio(sigma: sp.Expr, alpha: sp.Expr) -> sp.Expr:
    """sigma/alpha, reduced where both are rational."""
    ratio = sigma / alpha
    return sp.factor(ratio) if is_small_rational(ratio) else ratio


def _invariant(alpha: sp.Expr, sigma: sp.Expr, noise: sp.Rational, data: sp.Rational) -> sp.Expr | None:
    """alpha as a function of rho, if alpha^2 + sigma^2 = 1, alpha + sigma = 1 or alpha = 1."""
    if alpha == 1:
        return sp.Integer(1)
    if _is_one(alpha**2 + sigma**2, noise, data):
        return PRESERVING
    return 1 / (1 + rho) if _is_one(alpha + sigma, noise, data) else None


def _is_one(expr: sp.Expr, noise: sp.Rational, data: sp.Rational) -> bool:
    """Whether the expression is identically 1: at five points to 30 digits, and then by simplification."""
    algebra = mpmath_algebra(100)
    for fifth in range(1, 6):
        at = algebra.number(noise + (data - noise) * sp.Rational(fifth, 6))
        if abs(evaluate(expr, {t: at}, algebra) - 1) > algebra.context.mpf(10) ** -25:
            return False
    if expr.count_ops() > _SMALL:
        return False
    plain = sp.expand(expr.replace(expm1, lambda g: sp.exp(g) - 1))
    return plain == 1 or (plain.has(sp.sin, sp.cos, sp.tan) and sp.trigsimp(plain) == 1)


def _inverse(noise_level: sp.Expr) -> sp.Expr | None:
    """t as a function of rho, where rho is a ratio of linear functions of t."""
    if not is_small_rational(noise_level):
        return None
    above, below = (sp.Poly(p, t) for p in sp.fraction(sp.cancel(noise_level)))
    if max(above.degree(), below.degree()) > 1:
        return None
    (a, b), (c, d) = ((p.coeff_monomial(t), p.coeff_monomial(1)) for p in (above, below))
    return sp.cancel((d * rho - b) / (a - c * rho))
