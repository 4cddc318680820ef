r"""The exact coefficient field Q(r, kappa)(h)(E), E = e^{qh}, and its zero test and expansion in h.

h and E are algebraically independent over Q(r), so an identity between rows holds for every step size exactly when its
normal form in this field is zero: a decision, not a measurement (Lindemann-Weierstrass). phi functions are rational in it,

    phi_k(z) = (E - sum_{i<k} z^i/i!) / z^k,   z = q h.

Expansion in h is termwise, phi_k(z) = sum_i z^i/(i+k)!. A kernel that is not an exponential is expanded with abstract
coefficients, kappa(theta) = 1 + kappa_1 (h theta) + kappa_2 (h theta)^2 + .., so what is proved holds for every smooth kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import factorial

from sympy import QQ
from sympy.polys.rings import PolyElement, PolyRing, ring

from derive.symbolic.moments import MAX_NODES, alphabet

TERMS = 10
"""Expansions in h keep this many powers: enough to see the order of any row of up to eight nodes."""


@dataclass(frozen=True, slots=True)
class Series:
    """A truncated series in h with coefficients in Q[r, kappa]: ``coefficients[i]`` belongs to h^(start + i), i < TERMS."""

    coefficients: tuple[PolyElement, ...]
    start: int = 0

    @property
    def valuation(self) -> int:
        """The first power of h that is there; TERMS if none is (zero as far as the expansion goes)."""
        return next((self.start + i for i, c in enumerate(self.coefficients) if c), TERMS)

    @property
    def leading(self) -> PolyElement:
        """The coefficient of that power."""
        return self.coefficients[self.valuation - self.start]

    def times_h(self) -> Series:
        """h times the series."""
        return Series(self.coefficients, self.start + 1)

    def __str__(self) -> str:
        """The first three terms, the way a paper prints them."""
        parts: list[str] = []
        for power, c in enumerate(self.coefficients, self.start):
            if not c:
                continue
            text = str(c.as_expr())
            if len(c) > 1:
                text = f"({text})" if len(c) <= 4 else f"({len(c)} terms)"
            h = "" if power == 0 else ("h" if power == 1 else f"h^{power}")
            if text in ("1", "-1") and h:
                parts.append(text[:-1] + h)
            elif c.is_ground and h:
                value = c.LC
                sign = "-" if value < 0 else ""
                numerator = abs(value.numerator)
                head = h if numerator == 1 else f"{numerator}*{h}"
                parts.append(sign + head + (f"/{value.denominator}" if value.denominator != 1 else ""))
            else:
                parts.append(text + (f"*{h}" if h else ""))
            if len(parts) == 3:
                break
        return " + ".join(parts).replace("+ -", "- ") if parts else "0"


@cache
def series_ring() -> tuple[PolyRing, tuple[PolyElement, ...], tuple[PolyElement, ...]]:
    """Q[r0.., kappa1..]: the coefficients of expansions in h."""
    names = [f"r{j}" for j in range(MAX_NODES)] + [f"kappa{i}" for i in range(1, TERMS)]
    rng, *gens = ring(names, QQ)
    return rng, tuple(gens[:MAX_NODES]), tuple(gens[MAX_NODES:])


def _multiply(a: Sequence[PolyElement], b: Sequence[PolyElement], zero: PolyElement) -> list[PolyElement]:
    out = [zero] * TERMS
    for i, x in enumerate(a):
        if x:
            for j, y in enumerate(b[: TERMS - i]):
                if y:
                    out[i + j] = out[i + j] + x * y
    return out


@cache
def _generators(rate: object) -> tuple[tuple[tuple[PolyElement, ...], ...], tuple[tuple[PolyElement, ...], ...]]:
    """Expansions of mu_0.. and phi_0.. for z = rate*h (``rate`` None: a general kernel, which has no phi)."""
    rng, _, kappa = series_ring()
    ab = alphabet()
    kernel = (rng.one, *kappa)
    mus, phis = [], []
    for k in range(len(ab.mu)):
        if rate is None:
            mus.append(tuple(kernel[i] * QQ(1, i + k + 1) for i in range(TERMS)))
        else:
            mus.append(tuple(rng(QQ(factorial(k), factorial(i + k + 1)) * QQ.convert(rate) ** i) for i in range(TERMS)))
    for k in range(len(ab.phi)):
        if rate is not None:
            phis.append(tuple(rng(QQ(1, factorial(i + k)) * QQ.convert(rate) ** i) for i in range(TERMS)))
    return tuple(mus), tuple(phis)


def expand(element: PolyElement, rate: object) -> Series:
    """The expansion in h of a ring element, for z = ``rate`` * h; ``rate`` None means a general smooth kernel."""
    rng, ratios, _ = series_ring()
    width = len(ratios)
    mus, phis = _generators(rate)
    curves = [*mus, *phis]
    start = -max((monom[-1] for monom in element), default=0)  # poles
    total = [rng.zero] * TERMS
    for monom, coefficient in element.terms():
        head = monom[:width] + (0,) * (TERMS - 1)
        scale = QQ(1) if not monom[-1] else 1 / QQ.convert(rate) ** monom[-1]
        term = [rng.zero] * (-start - monom[-1]) + [rng.from_dict({head: coefficient * scale})]
        term += [rng.zero] * (TERMS - len(term))
        for exponent, curve in zip(monom[width:], curves):
            for _ in range(exponent):
                term = _multiply(term, curve, rng.zero)
        total = [a + b for a, b in zip(total, term)]
    return Series(tuple(total), start)


@cache
def exponential_ring() -> tuple[PolyRing, PolyElement, PolyElement]:
    """Q[r0.., h, E]: numerators of the exact field."""
    rng, *gens = ring([f"r{j}" for j in range(MAX_NODES)] + ["h", "E"], QQ)
    *_, h, big_e = gens
    return rng, h, big_e


def numerator_in_field(element: PolyElement, rate: object) -> PolyElement:
    """The numerator of ``element`` over a power of h in Q[r, h, E], E = e^{rate*h}: zero iff the element is zero for all h."""
    rng, h, big_e = exponential_ring()
    ab = alphabet()
    width, moments = len(ab.r), len(ab.mu)
    z = h * QQ.convert(rate)
    highest = max((_power_of_h(m[width:], moments) for m in element), default=0)
    total = rng.zero
    for monom, coefficient in element.terms():
        term = rng.from_dict({monom[:width] + (0, 0): coefficient})
        term = term * (1 / QQ.convert(rate) ** monom[-1])
        for index, exponent in enumerate(monom[width:-1]):
            k = index + 1 if index < moments else index - moments
            scale = factorial(index) if index < moments else 1
            head = (big_e - sum((z**i * QQ(1, factorial(i)) for i in range(k)), start=rng.zero)) * scale
            term = term * (head * (1 / QQ.convert(rate) ** k)) ** exponent
        total = total + term * h ** (highest - _power_of_h(monom[width:], moments))
    return total


def _power_of_h(tail: Sequence[int], moments: int) -> int:
    return tail[-1] + sum(e * (i + 1 if i < moments else i - moments) for i, e in enumerate(tail[:-1]))


def is_zero(element: PolyElement, rate: object) -> bool:
    """Whether the element vanishes for every h and every ratio: exact. ``rate`` None or 0: moments are independent or rational."""
    if not element:
        return True
    if rate is None:
        return False
    if rate == 0:
        return all(not c for c in expand(element, rate).coefficients)
    return not numerator_in_field(element, rate)
