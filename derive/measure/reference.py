r"""Reference solutions: Gragg-Bulirsch-Stoer extrapolation in any arithmetic, and DOP853 for float64.

Gragg's modified midpoint rule with n sub-steps has an error expansion in even powers of 1/n (Hairer, Norsett, Wanner
1993, Sec. II.8), so ``columns`` rules with n = 2, 4, 6, .. extrapolate to order ``2 * columns``. The state is a tuple
of numbers of any type with + - * / (``runtime.real.Real``, mpmath, gmpy2, float), so the code is checked against itself
at twice the digits.

A diffusion ODE is integrated in its smooth variable: with w = x/alpha, dw/drho = eps(alpha w, t(rho)) has no schedule
in it at all, so one reference serves every schedule (:mod:`derive.measure.order`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Vector = tuple[Any, ...]
Field = Callable[[Vector, Any], Sequence[Any]]
"""(y, s) -> dy/ds."""


def gbs_step(field: Field, y: Vector, s: Any, width: Any, columns: int = 12) -> Vector:
    """One extrapolated step from s to s + width: Aitken-Neville in (width/n)^2 over n = 2, 4, .., 2 columns."""
    first = tuple(field(y, s))
    table: list[Vector] = []
    for j in range(1, columns + 1):
        current = _midpoint(field, y, first, s, width, 2 * j)
        previous = table
        table = [current]
        for k in range(1, j):
            ratio = j * j - (j - k) * (j - k)
            share = (j - k) * (j - k)
            table.append(tuple(a + (a - b) * share / ratio for a, b in zip(table[-1], previous[k - 1], strict=True)))
    return table[-1]


def _midpoint(field: Field, y: Vector, first: Vector, s: Any, width: Any, n: int) -> Vector:
    """Gragg: an Euler step, then n - 1 leap-frog steps of width/n."""
    sub = width / n
    twice = sub * 2
    old, new = y, tuple(a + sub * f for a, f in zip(y, first, strict=True))
    for i in range(1, n):
        slope = field(new, s + sub * i)
        old, new = new, tuple(a + twice * f for a, f in zip(old, slope, strict=True))
    return new


def gbs(field: Field, y: Vector, s: Any, t: Any, steps: int, columns: int = 12) -> Vector:
    """y(t) from y(s) in ``steps`` equal extrapolated steps of order ``2 * columns``."""
    width = (t - s) / steps
    for i in range(steps):
        y = gbs_step(field, y, s + width * i, width, columns)
    return y


def checked_gbs(field: Field, y: Vector, s: Any, t: Any, steps: int, tolerance: float, columns: int = 12) -> Vector:
    """:func:`gbs` with ``2 steps``; ArithmeticError if ``steps`` gives something else by more than ``tolerance``."""
    coarse = gbs(field, y, s, t, steps, columns)
    fine = gbs(field, y, s, t, 2 * steps, columns)
    gap = max(abs(a - b) for a, b in zip(coarse, fine, strict=True))
    if gap > tolerance:
        raise ArithmeticError(f"reference solutions with {steps} and {2 * steps} steps differ by {float(gap):.1e}")
    return fine


def dop853(field: Callable[[float, Any], Any], y: Any, s: float, t: float, tolerance: float = 1e-13) -> Any:
    """y(t) from y(s) in float64: Dormand-Prince 8(5,3) at relative and absolute ``tolerance``.

    field: (s, y) -> dy/ds on NumPy arrays of shape [d]. ArithmeticError if the integrator gives up.
    """
    from scipy.integrate import solve_ivp

    found = solve_ivp(field, (s, t), y, method="DOP853", rtol=tolerance, atol=tolerance)
    if not found.success:
        raise ArithmeticError(f"DOP853 from {s} to {t}: {found.message}")
    return found.y[:, -1]
