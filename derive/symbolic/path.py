r"""Whether alpha(t) and sigma(t) are a noise schedule: real, finite, positive, log-SNR strictly rising toward data.

Ends are decided by exact substitution: cos(pi t/2) at t = 1 is 6e-17 in floats and 0 here. Inside, rational
functions are decided by Sturm's theorem (the number of roots of numerator, denominator and of rho' in the
interval); everything else is looked at in 257 points at 30 digits, and said to be.
"""

from __future__ import annotations

from typing import Any, Literal

import sympy as sp
from mpmath import libmp

from derive.symbolic.alphabet import t
from derive.symbolic.differences import is_small_rational
from derive.symbolic.evaluate import evaluate, mpmath_algebra

POINTS = 257
BITS = 100
MAX_STURM_DEGREE = 16
LARGEST = 10**150

PROVED = "alpha, sigma > 0 and strictly monotone log-SNR: proved (Sturm)"
CHECKED = f"alpha, sigma > 0 and strictly monotone log-SNR: checked at {POINTS} points"

End = Literal["regular", "sigma_zero", "alpha_zero"]


def check_path(alpha: sp.Expr, sigma: sp.Expr, noise: sp.Rational, data: sp.Rational) -> tuple[End, End, str]:
    """What happens at (noise, data) and how the inside was checked (:data:`PROVED` or :data:`CHECKED`).

    Raises ValueError with one line that names the function, the place and what is allowed.
    """
    if noise == data:
        raise ValueError(f"t is [{noise}, {data}]; allowed: two different times, noise first")
    noise_end, data_end = _end(alpha, sigma, noise, "noise"), _end(alpha, sigma, data, "data")
    rational = all(is_small_rational(f) and _degree(f) <= MAX_STURM_DEGREE for f in (alpha, sigma))
    (_prove if rational else _sample)(alpha, sigma, noise, data)
    return noise_end, data_end, PROVED if rational else CHECKED


def _end(alpha: sp.Expr, sigma: sp.Expr, time: sp.Rational, name: str) -> End:
    zero = {}
    for word, f in (("alpha", alpha), ("sigma", sigma)):
        value = f.subs(t, time)
        if value.has(sp.zoo, sp.oo, -sp.oo, sp.nan):
            raise ValueError(f"{word} is not finite at the {name} end t = {time}; allowed: a finite value")
        if value.has(sp.I):
            raise ValueError(f"{word} is complex at the {name} end t = {time}; allowed: real")
        zero[word] = _is_zero(value)
        if not zero[word]:
            _positive(word, _number(value, word, time), time)
    vanishing, staying = ("alpha", "sigma") if name == "noise" else ("sigma", "alpha")
    if zero[staying]:
        raise ValueError(f"{staying} is 0 at the {name} end t = {time}; allowed: above 0 (t is [noise, data])")
    if not zero[vanishing]:
        return "regular"
    return "alpha_zero" if vanishing == "alpha" else "sigma_zero"


def _is_zero(value: sp.Expr) -> bool:
    """Exactly zero: by SymPy's own rules, or by its algebraic test where 60 digits cannot tell it from zero."""
    if value.is_zero is not None:
        return bool(value.is_zero)
    number = evaluate(value, {}, mpmath_algebra(200))
    return abs(number) < mpmath_algebra(200).context.mpf(2) ** -180 and bool(value.equals(0))


def _number(f: sp.Expr, word: str, time: Any, at: Any = None) -> Any:
    """f at a point in BITS bits; ValueError where it has no finite real value."""
    algebra = mpmath_algebra(BITS)
    try:
        value = evaluate(f, {} if at is None else {t: at}, algebra)
    except (ZeroDivisionError, OverflowError, libmp.ComplexResult, ValueError):
        raise ValueError(f"{word} is not finite at t = {time}; allowed: finite") from None
    if not isinstance(value, algebra.context.mpf):
        raise ValueError(f"{word} is complex at t = {time}; allowed: real")
    if not algebra.context.isfinite(value):
        raise ValueError(f"{word} is not finite at t = {time}; allowed: finite")
    return value


def _positive(word: str, value: Any, time: Any) -> None:
    if value <= 0:
        raise ValueError(f"{word} is {float(value):.6g} at t = {time}; allowed: above 0")
    if value > LARGEST:
        raise ValueError(f"{word} is above 1e150 at t = {time}; allowed: what fits a float64, squared")


def _sample(alpha: sp.Expr, sigma: sp.Expr, noise: sp.Rational, data: sp.Rational) -> None:
    """The 255 points inside of an even grid of 257, from noise to data."""
    algebra = mpmath_algebra(BITS)
    start, span = algebra.number(noise), algebra.number(data - noise)
    before = None
    for i in range(1, POINTS - 1):
        at = start + span * i / (POINTS - 1)
        place = f"{float(at):.6g}"
        values = [_number(f, word, place, at) for word, f in (("alpha", alpha), ("sigma", sigma))]
        for word, value in zip(("alpha", "sigma"), values):
            _positive(word, value, place)
        ratio = values[1] / values[0]
        if before is not None and ratio >= before:
            raise ValueError(
                f"the log-SNR does not rise before t = {place}, going from noise (t = {noise}) to data (t = {data}); "
                "allowed: strictly monotone alpha/sigma, t is [noise, data]"
            )
        before = ratio


def _degree(f: sp.Expr) -> int:
    """The degree of numerator and denominator, large if the coefficients are not rational."""
    parts = sp.fraction(sp.cancel(f))
    if any(p.free_symbols - {t} or (not sp.Poly(p, t).domain.is_QQ and not sp.Poly(p, t).domain.is_ZZ) for p in parts):
        return MAX_STURM_DEGREE + 1
    return max(sp.Poly(p, t).degree() for p in parts)


def _prove(alpha: sp.Expr, sigma: sp.Expr, noise: sp.Rational, data: sp.Rational) -> None:
    """No root or pole of alpha, sigma inside, no sign change of d(sigma/alpha)/dt, and sigma/alpha falls: else ValueError."""
    low, high = min(noise, data), max(noise, data)
    for word, f in (("alpha", alpha), ("sigma", sigma)):
        above, below = sp.fraction(sp.cancel(f))
        if _roots(above, low, high):
            raise ValueError(f"{word} has a zero inside ({low}, {high}); allowed: above 0")
        if _roots(below, low, high):
            raise ValueError(f"{word} has a pole inside ({low}, {high}); allowed: finite")
    slope = sp.fraction(sp.cancel(sp.diff(sigma / alpha, t)))[0]
    if slope == 0:
        raise ValueError("alpha/sigma is constant; allowed: strictly monotone")
    odd = (factor for factor, power in sp.Poly(slope, t).sqf_list()[1] if power % 2)
    if any(_roots(factor.as_expr(), low, high) for factor in odd):
        raise ValueError(f"the log-SNR turns around inside ({low}, {high}); allowed: strictly monotone alpha/sigma")
    early, late = (sigma.subs(t, x) * alpha.subs(t, y) for x, y in ((noise, data), (data, noise)))
    if early < late:
        raise ValueError(
            f"the log-SNR does not rise from noise (t = {noise}) to data (t = {data}); "
            "allowed: strictly monotone alpha/sigma, t is [noise, data]"
        )


def _roots(f: sp.Expr, low: sp.Rational, high: sp.Rational) -> int:
    """The number of distinct roots in the open interval (Sturm)."""
    poly = sp.Poly(f, t)
    if poly.degree() < 1:
        return 0
    return poly.count_roots(low, high) - sum(poly.eval(end) == 0 for end in (low, high))
