r"""Stability intervals of methods with a constant kernel, exactly: where on a ray a root of p(zeta; w) leaves the disc.

For p with coefficients in Q[w], a root reaches |zeta| = 1 only at w where p(1; w) = 0, p(-1; w) = 0, or where the parts
p + p* and p - p* (p* reversed) have a common root u = zeta + 1/zeta: a resultant in Q[w]. Between neighbouring real
roots of these polynomials nothing changes, so one exact Schur-Cohn test per gap decides. The imaginary axis is the same
question for p(zeta; iy) times its conjugate, a polynomial with coefficients in Q[y^2].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import sympy as sp
from sympy import QQ
from sympy.polys.rings import PolyElement, PolyRing, ring

from derive.analysis.recurrence import Polynomial, characteristic, flat
from derive.analysis.root_condition import schur_cohn
from derive.symbolic.forms import Step

DIGITS = 30


@dataclass(frozen=True, slots=True)
class EndPoint:
    """Where stability ends: ``value``, infinite if nowhere; ``exact`` as text if there is a closed form; ``equation``: p(..) = 0."""

    value: float
    exact: str = ""
    digits: str = ""
    equation: str = ""

    @property
    def limited(self) -> bool:
        return self.value != inf

    def shared(self, steps: int) -> EndPoint:
        """In units of one of so many steps that make up this one; without the equation, which is that of all."""
        if steps == 1 or not self.value or not self.limited:
            return self
        digits = str(sp.Float(self.digits, DIGITS) / steps) if self.digits else ""
        try:
            exact = str(Fraction(self.exact) / steps) if self.exact else ""
        except ValueError:
            exact = f"({self.exact})/{steps}"
        return EndPoint(self.value / steps, exact, digits)

    def __str__(self) -> str:
        return "no limit" if not self.limited else self.exact or f"{self.value:.10g}"


UNLIMITED = EndPoint(inf, "no limit")
NOWHERE = EndPoint(0.0, "0", "0")


@cache
def parameter_ring() -> tuple[PolyRing, PolyElement]:
    """Q[w]."""
    rng, w = ring("w", QQ)
    return rng, w


def polynomial_in_w(step: Step, corrected: bool = False) -> Polynomial:
    """p(zeta; w) for the constant kernel; the step's numbers are rational."""
    rng, w = parameter_ring()
    exact = characteristic(step, flat(_itself), w, corrected=corrected)
    return tuple(c if isinstance(c, PolyElement) else rng(c) for c in exact)


def rational(step: Step) -> bool:
    """Whether the weights are over Q (a tableau may hold radicals)."""
    forms = [f for row in (*step.a, step.b) for f in row]
    return all(isinstance(q, QQ.dtype) and isinstance(c, (int, QQ.dtype)) for f in forms for (_, c), q in f.terms)


def _itself(value: Any) -> Any:
    return value


def first_exit(p: Polynomial) -> EndPoint | None:
    """The least positive value of the parameter at which the root condition ends, None if it does not hold right of 0.

    p: coefficients in Q[parameter], leading first; UNLIMITED if it holds for ever.
    Raises ValueError if roots on the circle stay there for every value.
    """
    candidates = _positive_roots(boundary_polynomials(p))
    known = [QQ(0), *(c[0] for c in candidates)]
    last = known[-1] * 2 + 1
    for i, (low, high) in enumerate(pairwise([*known, last])):
        middle = (low + high) / 2
        if not inside_exactly([c.evaluate(0, middle) for c in p]):
            return None if i == 0 else _end_point(*candidates[i - 1])
    return UNLIMITED


def boundary_polynomials(p: Polynomial) -> tuple[PolyElement, ...]:
    """Polynomials in the parameter that vanish wherever a root has modulus 1: also on the way to where the degree drops."""
    rng = p[0].ring
    n = len(p) - 1
    at_one = sum(p, start=rng.zero)
    at_minus_one = sum((c * (-1) ** (n - k) for k, c in enumerate(p)), start=rng.zero)
    palindrome = [a + b for a, b in zip(p, reversed(p))]
    other = [a - b for a, b in zip(p, reversed(p))]
    if n % 2:
        palindrome, other = _divided(palindrome, -1), _divided(other, 1)
    else:
        other = _divided(_divided(other, 1), -1)
    pairs = _resultant(_in_u(palindrome), _in_u(other), rng)
    if not pairs:
        raise ValueError("roots stay on the unit circle for every value of the parameter")
    return tuple(q for q in (at_one, at_minus_one, pairs) if q and not q.is_ground)


def _divided(p: Sequence[Any], root: int) -> list[Any]:
    """p / (zeta - root), p leading first; exact."""
    out = [p[0]]
    for c in p[1:-1]:
        out.append(c + out[-1] * root)
    return out


def _in_u(p: Sequence[Any]) -> list[Any]:
    """A palindromic p of even degree 2m, divided by zeta^m, as coefficients (ascending) in u = zeta + 1/zeta."""
    m = len(p) // 2
    chebyshev = [[2], [0, 1]]
    while len(chebyshev) <= m:
        shifted = [0, *chebyshev[-1]]
        chebyshev.append([a - (chebyshev[-2][i] if i < len(chebyshev[-2]) else 0) for i, a in enumerate(shifted)])
    out = [p[m], *[0] * m]
    for j in range(1, m + 1):
        for i, c in enumerate(chebyshev[j]):
            out[i] = out[i] + p[m - j] * c
    return out


def _resultant(f: Sequence[Any], g: Sequence[Any], rng: PolyRing) -> PolyElement:
    both, u, _ = ring("u,w", QQ)
    lifted = [sum((_lift(c, both) * u**k for k, c in enumerate(q)), start=both.zero) for q in (f, g)]
    return rng.from_dict(dict(lifted[0].resultant(lifted[1])))


def _lift(c: PolyElement, both: PolyRing) -> PolyElement:
    return both.from_dict({(0, e): value for (e,), value in c.items()})


def _positive_roots(polynomials: Sequence[PolyElement]) -> list[tuple[Any, sp.Poly, Any]]:
    """Distinct positive roots, rising: (rational lower bound, its irreducible polynomial, upper bound); bounds equal: exact."""
    w = sp.Symbol("r")
    factors = {
        sp.Poly(factor.as_expr(w), w, domain=QQ).monic() for q in polynomials for factor, _ in q.factor_list()[1]
    }
    roots = []
    for factor in factors:
        if factor.degree() == 1:
            root = -_rational(factor.nth(0)) / _rational(factor.nth(1))
            if root > 0:
                roots.append((root, factor, root))
        else:
            for (low, high), _ in factor.intervals(eps=sp.Rational(1, 10**12), inf=0):
                roots.append((_rational(low), factor, _rational(high)))
    return sorted(roots, key=lambda r: r[0])


def _rational(value: Any) -> Any:
    return QQ(int(value.p), int(value.q))


def _end_point(low: Any, factor: sp.Poly, high: Any) -> EndPoint:
    equation = f"{factor.clear_denoms(convert=True)[1].as_expr()} = 0".replace("**", "^")
    if low == high:
        exact = Fraction(int(low.numerator), int(low.denominator))
        return EndPoint(float(exact), str(exact), str(sp.N(sp.Rational(exact), DIGITS)), equation)
    bounds = (sp.Rational(int(x.numerator), int(x.denominator)) for x in (low, high))
    low, high = factor.refine_root(*bounds, eps=sp.Rational(1, 10**40))
    value = sp.N((low + high) / 2, DIGITS)
    closed = ""
    if factor.degree() == 2:
        closed = str(min(sp.roots(factor), key=lambda r: abs(sp.N(r - value, DIGITS))))
    return EndPoint(float(value), closed, str(value), equation)


def inside_exactly(p: Sequence[Any]) -> bool:
    """Schur-Cohn in exact arithmetic: all roots of a polynomial with rational coefficients have modulus < 1."""
    p = list(p)
    while len(p) > 1:
        lead, last = p[0], p[-1]
        if abs(lead) <= abs(last):
            return False
        p = [lead * c - last * d for c, d in zip(p[:-1], p[:0:-1])]
    return True


def real_interval(step: Step, corrected: bool = False) -> EndPoint:
    """The end of the stable part (w, 0) of the negative real axis, as a positive number; 0 if there is none."""
    if not rational(step):
        return numeric_exit(step, -1.0, corrected)
    w = parameter_ring()[1]
    return first_exit(tuple(c.compose(w, -w) for c in polynomial_in_w(step, corrected))) or NOWHERE


def imaginary_interval(step: Step, corrected: bool = False) -> EndPoint:
    """The largest y with the open interval (-iy, iy) stable: 0 for methods that are unstable next to the origin."""
    if not rational(step):
        return numeric_exit(step, 1.0j, corrected)
    found = first_exit(conjugate_product(polynomial_in_w(step, corrected))) or NOWHERE
    if found in (NOWHERE, UNLIMITED):
        return found
    square = sp.Rational(found.exact) if found.exact and "sqrt" not in found.exact else None
    value = sp.sqrt(square if square is not None else sp.Float(found.digits, DIGITS))
    return EndPoint(
        float(value),
        str(value) if square is not None else "",
        str(sp.N(value, DIGITS)),
        found.equation.replace("r", "y^2"),
    )


def conjugate_product(p: Polynomial) -> Polynomial:
    """p(zeta; iy) times its conjugate polynomial: coefficients in Q[s], s = y^2."""
    rng = p[0].ring
    even, odd = ([_half(c, parity) for c in p] for parity in (0, 1))
    s = rng.gens[0]
    count = len(p)
    out = [rng.zero] * (2 * count - 1)
    for i in range(count):
        for j in range(count):
            out[i + j] = out[i + j] + even[i] * even[j] + s * odd[i] * odd[j]
    return tuple(out)


def _half(c: PolyElement, parity: int) -> PolyElement:
    """e(s) or o(s) of c(iy) = e(y^2) + i y o(y^2)."""
    terms = {(e // 2,): value * (-1) ** (e // 2) for (e,), value in c.items() if e % 2 == parity}
    return c.ring.from_dict(terms)


def numeric_exit(step: Step, direction: complex, corrected: bool = False, reach: float = 64.0) -> EndPoint:
    """The same in double precision, for numbers with radicals: a scan of the ray and bisection."""

    def stable(size: Any) -> Any:
        w: Any = np.asarray(size) * (direction if direction.imag else direction.real)

        return schur_cohn(characteristic(step, flat(float), w, corrected=corrected))

    sizes = np.geomspace(1e-3, reach, 4096)
    holds = stable(sizes)
    if holds.all():
        return UNLIMITED
    first = int(np.argmin(holds))
    if first == 0:
        return NOWHERE
    low, high = sizes[first - 1], sizes[first]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if stable(middle) else (low, middle)
    return EndPoint(float(low))


__all__ = [
    "NOWHERE",
    "UNLIMITED",
    "EndPoint",
    "boundary_polynomials",
    "first_exit",
    "imaginary_interval",
    "inside_exactly",
    "numeric_exit",
    "parameter_ring",
    "polynomial_in_w",
    "rational",
    "real_interval",
]
