r"""End points of stability on the diffusion test: roots of exponential polynomials, to 30 digits and in closed form.

The first h at which the root condition fails is bracketed on a grid (every point at once) and the bracket shrunk in
double precision; mpmath then solves for |zeta(h)| = 1 with the critical root carried by Newton's method. Where that root
is 1 or -1 and kappa is rational, p(+-1; h) is an exact element of Q(h, E), E = e^h. Its factor that vanishes there has a
closed form if it is free of h, or linear in both E and h with one product missing:

    E = A  ->  h = log A,          E = A + B h  ->  h = -A/B - W_k(-e^{-A/B}/B)      (Corless et al. 1996, Adv. Comput. Math. 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any, Literal

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy import QQ

from derive.analysis.gaussian import DiffusionTest, Exact, Wide
from derive.analysis.intervals import DIGITS, UNLIMITED, EndPoint
from derive.symbolic.evaluate import evaluate, mpmath_algebra
from derive.symbolic.forms import Step

Frame = Literal["w", "z"]
REACH = 40.0
"""Steps in lambda beyond this are not looked at: a whole trajectory is shorter."""
SCAN, ZOOM = 192, 24
"""Points of the first scan, and of every refinement of a bracket."""
SEARCH = ((33, 1), (13, 4), (9, 11))
"""Of the three searches for the worst kappa: points, and refinements of the brackets there."""
WORKING = DIGITS + 20
"""Digits that are computed with."""
EDGE = 1e-6
"""How close to 0 and 1 kappa is searched."""


def brackets(
    test: DiffusionTest, kappa: Any, frame: Frame, reach: float = REACH, zooms: int = 11
) -> tuple[NDArray, NDArray]:
    """(low, high) with stability at low and none at high; high infinite if stable up to ``reach``.

    kappa: a number or a vector (all its entries at once). zooms: 11 shrink a bracket to double precision.
    """
    column = np.asarray(kappa)[:, None] if np.ndim(kappa) else kappa

    def around(h: NDArray) -> tuple[NDArray, NDArray, Any]:
        holds = np.broadcast_to(test.stable(h, column, frame), (np.size(kappa), h.shape[-1]))
        points, rows, first = np.broadcast_to(h, holds.shape), np.arange(len(holds)), holds.argmin(axis=1)
        return points[rows, (first - 1).clip(0)], points[rows, first], holds.all(axis=1)

    low, high, never = around(np.geomspace(1e-3, reach, SCAN))
    for _ in range(zooms):
        low, high, _ = around(np.linspace(low, high, ZOOM, axis=1))
    return low, np.where(never, np.inf, high)


def limit(
    test: DiffusionTest, kappa: float = 0.0, frame: Frame = "z", *, reach: float = REACH, precise: bool = False
) -> EndPoint:
    """The largest step (in lambda) up to which the scheme is stable at ``kappa``.

    frame: "z" relative to sigma (asked at kappa = 0: parasitic noise; one root has none), "w" absolutely.
    precise: 30 digits and a closed form, where the critical root is simple.
    """
    coefficients = test.polynomial(0.5, 0.5)
    if frame == "z" and kappa == 0 and len(coefficients) <= 2:
        return UNLIMITED
    _, high = brackets(test, kappa, frame, reach)
    return UNLIMITED if np.isinf(high) else _end(test, high.item(), kappa, frame, precise)


def _end(test: DiffusionTest, h: float, kappa: float, frame: Frame, precise: bool) -> EndPoint:
    """The end point next to ``h``; ``h`` itself where roots meet or growth is allowed for."""
    if test.lenient:
        return EndPoint(h)
    try:
        found = exactly(test, h, kappa, frame)
    except (ValueError, ZeroDivisionError):
        return EndPoint(h)
    if not precise:
        return EndPoint(float(found))
    closed, equation = closed_form(test, found, kappa, frame, _side(test, h, kappa, frame))
    return EndPoint(float(found), closed, mpmath.nstr(found, DIGITS), equation)


def worst(test: DiffusionTest, *, reach: float = REACH, precise: bool = False) -> tuple[EndPoint, float]:
    """The smallest limit of |zeta_w| <= 1 over kappa in [0, 1], and that kappa; (no limit, nan) if none was found."""
    ends = EDGE, 1 - EDGE
    for points, zooms in SEARCH:
        grid = np.linspace(*ends, points)
        _, high = brackets(test, grid, "w", reach, zooms)
        if np.isinf(high).all():
            return UNLIMITED, float("nan")
        at = int(high.argmin())
        ends = grid[max(at - 1, 0)], grid[min(at + 1, points - 1)]
    best, kappa = float(high[at]), float(grid[at])
    if kappa in (EDGE, 1 - EDGE):
        kappa = float(round(kappa))
        return limit(test, kappa, "w", reach=reach, precise=precise), kappa
    near = high[at - 1 : at + 2].clip(None, reach)
    if len(near) == 3:
        left, here, right = near
        kappa += float((grid[1] - grid[0]) * (left - right) / (2 * (left - 2 * here + right)))
    if precise and not test.lenient:
        try:
            return _lowest(test, best, kappa)
        except (ValueError, ZeroDivisionError):
            pass  # roots meet
    return _end(test, best, kappa, "w", False), kappa


def _lowest(test: DiffusionTest, h: float, kappa: float) -> tuple[EndPoint, float]:
    """The minimum of the limit over kappa, by the secant method on its central difference."""
    with mpmath.workdps(WORKING):
        gap = mpmath.mpf("1e-12")

        def rise(k: Any) -> Any:
            return exactly(test, h, k + gap, "w") - exactly(test, h, k - gap, "w")

        start = mpmath.mpf(kappa)
        k = mpmath.findroot(rise, (start, start + gap), tol=gap**3)
        least = exactly(test, h, k, "w")
        return EndPoint(float(least), "", mpmath.nstr(least, DIGITS)), float(k)


def _critical(test: DiffusionTest, h: float, kappa: float, frame: Frame) -> complex:
    """The largest root: the one that leaves the disc at ``h``."""
    roots = np.roots([complex(c) for c in test.deflated(h, kappa, frame)])
    return complex(max(roots, key=abs))


def _side(test: DiffusionTest, h: float, kappa: Any, frame: Frame) -> int:
    """1 or -1 if the critical root at the end point ``h`` is that number, else 0. A double root is known to half the digits."""
    root = _critical(test, h, float(kappa), frame)
    return round(root.real) if abs(root - round(root.real)) < 1e-3 else 0


def exactly(test: DiffusionTest, h: float, kappa: Any, frame: Frame) -> Any:
    """The h near the given one at which the critical root has modulus 1, as an mpmath number.

    Raises ValueError where no simple root has it there.
    """
    with mpmath.workdps(WORKING):
        start = mpmath.mpf(h)
        points = (start, start + start * mpmath.mpf("1e-9"))
        found = mpmath.findroot(_beyond_circle(test, h, kappa, frame), points, tol=mpmath.mpf("1e-60"))
        if abs(found - start) < start * mpmath.mpf("1e-4"):
            return found
    raise ValueError(f"no simple root at h = {h}")


def _beyond_circle(test: DiffusionTest, h: float, kappa: Any, frame: Frame) -> Callable[[Any], Any]:
    """|zeta(h)| - 1, zeta carried from one h to the next by Newton's method."""
    root = mpmath.mpc(_critical(test, h, float(kappa), frame))
    share = mpmath.mpf(kappa)

    def gap(at: Any) -> Any:
        nonlocal root
        p = test.deflated(at, share, frame, Wide())
        for _ in range(8):
            value, slope = mpmath.polyval(p, root, derivative=True)
            root = root - value / slope
        return abs(root) - 1

    return gap


def closed_form(test: DiffusionTest, h: Any, kappa: float, frame: Frame, side: int) -> tuple[str, str]:
    """(closed form, equation) of the end point ``h`` at which the root is ``side`` (1 or -1); "" where there is none."""
    if not side:
        return "", ""
    exact = Exact(_parts(test.step))
    share = Fraction(kappa)
    if share.denominator > 1000:
        return "", ""
    try:
        p = test.deflated(exact.h, QQ(share.numerator, share.denominator), frame, exact)
    except (ValueError, sp.polys.polyerrors.CoercionFailed):
        return "", ""
    total = reduce(lambda value, c: value * side + c, p, exact.field.zero)
    H, E = sp.symbols("h E")
    _, factors = sp.factor_list(total.numer.as_expr(H, E, sp.Symbol("kappa")), H, E)
    with mpmath.workdps(DIGITS):
        at = {H: h, E: mpmath.exp(h / exact.parts)}
        factor = min((f for f, _ in factors), key=lambda f: abs(evaluate(f, at, mpmath_algebra())))
    equation = f"{factor.subs(E, sp.exp(H / exact.parts))} = 0".replace("**", "^")
    return _solved(sp.Poly(factor, H, E), h, exact.parts), equation


def _parts(step: Step) -> int:
    """The common denominator of the multiples of z in the phi functions."""
    cs = [c for row in (*step.a, step.b) for f in row for (_, c), _ in f.terms]
    return lcm(1, *(int(c.denominator) for c in [*cs, *step.thetas[step.known :]] if hasattr(c, "denominator")))


def _solved(poly: sp.Poly, h: Any, parts: int) -> str:
    """Text of the closed form, checked to 25 digits; "" if no pattern fits."""
    with mpmath.workdps(DIGITS):
        for text, value in _candidates(poly, parts):
            if abs(value - h) < mpmath.mpf("1e-25"):
                return text
    return ""


def _candidates(poly: sp.Poly, parts: int) -> Iterator[tuple[str, Any]]:
    """(text, value) of the roots h of poly(h, e^{h/parts}) that have a closed form."""
    H, E = poly.gens
    if not poly.degree(H) and poly.degree(E) <= 2:
        times = "" if parts == 1 else f"{parts}*"
        for root in sp.roots(sp.Poly(poly.as_expr(), E)):
            if root.is_positive:
                yield f"{times}log({root})", parts * mpmath.log(_wide(root))
    elif poly.total_degree() == 1 and parts == 1 and poly.degree(E):
        of_e, of_h, rest = (poly.coeff_monomial(m) for m in (E, H, 1))
        a, b = -rest / of_e, -of_h / of_e
        inside = -sp.exp(-a / b) / b
        for branch in (-1, 0):
            text = f"{-a / b if a else ''} - W_{{{branch}}}({inside})".strip()
            yield text, -_wide(a / b) - mpmath.lambertw(_wide(inside), branch).real


def _wide(x: sp.Expr) -> Any:
    return mpmath.mpf(evaluate(x, {}, mpmath_algebra()))


__all__ = ["REACH", "brackets", "closed_form", "exactly", "limit", "worst"]
