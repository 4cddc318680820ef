r"""One step of a linear stochastic scheme as an exact series in h: what the proof of weak and strong orders compares.

The test problem, in units of the step (theta = 0 at t_n), with free mu_i, nu_i and, where they are not known, g_i, k_i:

    dy = (q y + kappa(t)(mu(t) y + nu(t))) dt + g(t) dW,    mu = sum mu_i t^i/i!,  g^2 = 1 + sum g_i t^i/i!,
    kappa = 1 + sum k_i t^i/i!,

and mu y + nu is what a scheme with the kernel kappa(t) e^{q h (1 - theta)} combines; a kernel known by its moments only has
q = 0. States, exact or numerical, are linear forms: in named variables, and in dW by kernels that are polynomials in theta on
each interval between two nodes of the step, for each Brownian motion. Coefficients are series in h, truncated at TERMS, over
Q[theta, mu_i, nu_i, g_i, k_i, V].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import factorial
from typing import Any

from sympy import QQ
from sympy.polys.rings import PolyElement, ring

from derive.symbolic.forms import Form

TERMS = 6
"""h^0 .. h^5."""
_SMOOTH = [f"{name}{i}" for name in "gk" for i in range(1, TERMS)]
_GENERATORS = ring(
    ["theta", *(f"mu{i}" for i in range(TERMS)), *(f"nu{i}" for i in range(TERMS)), *_SMOOTH, "V", "s2"], QQ
)
RING = _GENERATORS[0]
THETA, VARIANCE, SIGMA = _GENERATORS[1], _GENERATORS[-2], _GENERATORS[-1]
"""SIGMA: sigma^2 at t_n of a variance preserving process."""
MU, NU = _GENERATORS[2 : 2 + TERMS], _GENERATORS[2 + TERMS : 2 + 2 * TERMS]
_FREE = _GENERATORS[2 + 2 * TERMS : -2]
Series = tuple[PolyElement, ...]
Piece = tuple[int, str]
"""An interval between two nodes, and a Brownian motion."""


def constant(q: Any) -> Series:
    """The number (or ring element) q."""
    return (RING(q), *[RING.zero] * (TERMS - 1))


ZERO, ONE = constant(0), constant(1)
H: Series = (RING.zero, RING.one, *[RING.zero] * (TERMS - 2))


def add(a: Series, b: Series) -> Series:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def times(a: Series, b: Series) -> Series:
    """The product, truncated."""
    out = [RING.zero] * TERMS
    for i, x in enumerate(a):
        if x:
            for j in range(TERMS - i):
                if b[j]:
                    out[i + j] = out[i + j] + x * b[j]
    return tuple(out)


def scaled(a: Series, factor: Any) -> Series:
    return tuple(x * factor for x in a)


def exponential(p: Series) -> Series:
    """e^p for p = O(h)."""
    out = [RING.one]
    for k in range(1, TERMS):
        total = RING.zero
        for i in range(1, k + 1):
            total = total + p[i] * out[k - i] * QQ(i)
        out.append(total * QQ(1, k))
    return tuple(out)


def logarithm(a: Series) -> Series:
    """log(1 + a) for a = O(h)."""
    out = [RING.zero]
    for k in range(1, TERMS):
        total = a[k] * QQ(k)
        for i in range(1, k):
            total = total - out[i] * a[k - i] * QQ(i)
        out.append(total * QQ(1, k))
    return tuple(out)


def inverse(a: Series) -> Series:
    """1/a for a series that starts with a number other than 0."""
    head = 1 / a[0].LC
    out = [RING(head)]
    for k in range(1, TERMS):
        total = RING.zero
        for i in range(1, k + 1):
            total = total + a[i] * out[k - i]
        out.append(-total * head)
    return tuple(out)


def root(a: Series) -> Series:
    """sqrt(a) for a series that starts with 1."""
    out = [RING.one]
    for k in range(1, TERMS):
        total = a[k]
        for i in range(1, k):
            total = total - out[i] * out[k - i]
        out.append(total * QQ(1, 2))
    return tuple(out)


def divided(a: Series) -> Series:
    """a/h for a = O(h); the last term is lost (0)."""
    return (*a[1:], RING.zero)


def in_theta(coefficients: Sequence[Any]) -> Series:
    """1 + sum c_i (theta h)^i/i!, i = 1, 2, .."""
    return (RING.one, *(THETA**i * c * QQ(1, factorial(i)) for i, c in enumerate(coefficients[: TERMS - 1], 1)))


SMOOTH, KAPPA = in_theta(_FREE[: TERMS - 1]), in_theta(_FREE[TERMS - 1 :])
"""Any g^2 and any kappa, 1 at t_n."""


def of_form(form: Form, z: Series, kappa: Series = ONE) -> Series:
    """A weight at z = O(h). kappa: of a kernel known by its moments (z = 0), where k! phi_{k+1}(c z) is int kappa(c theta) theta^k."""
    if kappa == ONE:
        total, power = ZERO, ONE
        for c in form.series(TERMS):
            total, power = add(total, scaled(power, c)), times(power, z)
        return total
    total = ZERO
    for (k, c), q in form.terms:
        moment = tuple(x * (c**i if i else QQ(1)) for i, x in enumerate(kappa)) if k else ONE
        weight = THETA ** (k - 1) * QQ(1, factorial(k - 1)) if k else RING.one
        total = add(total, tuple(integral(x * weight, QQ(0), QQ(1)) * q for x in moment))
    return total


def weighed(size: Series, form: Form, z: Series, kappa: Series = ONE) -> Series:
    """size times a weight at z, both O(h); the weight may have a pole, 1/z."""
    poles = [(c, q) for (k, c), q in form.terms if k < 0]
    out = times(size, of_form(Form(tuple(term for term in form.terms if term[0][0] >= 0)), z, kappa))
    if not poles:
        return out
    return add(out, scaled(times(divided(size), inverse(divided(z))), sum((q / c for c, q in poles), start=QQ(0))))


def valuation(a: Series) -> int:
    """The power of the first term; TERMS if there is none."""
    return next((k for k, x in enumerate(a) if x), TERMS)


def at(poly: PolyElement, theta: Any) -> PolyElement:
    """theta replaced by a number."""
    total = RING.zero
    for monom, c in poly.terms():
        total = total + RING.from_dict({(0, *monom[1:]): c * theta ** monom[0] if monom[0] else c})
    return total


def integral(poly: PolyElement, low: Any, high: Any) -> PolyElement:
    """int_low^high poly dtheta."""
    total = RING.zero
    for monom, c in poly.terms():
        power = monom[0] + 1
        total = total + RING.from_dict({(0, *monom[1:]): c * (high**power - low**power) / power})
    return total


def _antiderivative(poly: PolyElement) -> PolyElement:
    """From 0, in theta."""
    return RING.from_dict({(m[0] + 1, *m[1:]): c / (m[0] + 1) for m, c in poly.terms() if c})


@dataclass(frozen=True, slots=True)
class Linear:
    """``sum names[v] v + int kernel g dW`` over the pieces."""

    names: Mapping[str, Series]
    pieces: Mapping[Piece, Series] = field(default_factory=dict)

    def __add__(self, other: Linear) -> Linear:
        return Linear(_merged(self.names, other.names), _merged(self.pieces, other.pieces))

    def times(self, factor: Series) -> Linear:
        """The form times a series."""
        return Linear(
            {v: times(a, factor) for v, a in self.names.items()}, {p: times(a, factor) for p, a in self.pieces.items()}
        )

    def __sub__(self, other: Linear) -> Linear:
        return self + other.times(constant(-1))


def _merged(a: Mapping[Any, Series], b: Mapping[Any, Series]) -> dict[Any, Series]:
    return {key: add(a.get(key, ZERO), b.get(key, ZERO)) for key in (*a, *(k for k in b if k not in a))}


@dataclass(frozen=True, slots=True)
class Axis:
    """The nodes of a step in order; intensity: g^2."""

    nodes: tuple[Any, ...]
    intensity: Series = SMOOTH

    def pieces(self, low: Any, high: Any, path: str) -> Iterable[Piece]:
        """The intervals between low and high."""
        return ((i, path) for i, (a, b) in enumerate(pairwise(self.nodes)) if low <= a and b <= high)

    def noise(self, kernel: Series, low: Any, high: Any, path: str = "") -> Linear:
        """int_low^high kernel g dW."""
        return Linear({}, dict.fromkeys(self.pieces(low, high, path), kernel))

    def covariance(self, a: Linear, b: Linear) -> Series:
        """Of the parts in dW."""
        total = ZERO
        for piece in a.pieces:
            if piece in b.pieces:
                low, high = self.nodes[piece[0]], self.nodes[piece[0] + 1]
                product = times(times(a.pieces[piece], b.pieces[piece]), self.intensity)
                total = add(total, times(H, tuple(integral(x, low, high) for x in product)))
        return total


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact solution with drift rate q + mu, from the node ``start``, where it is the variable "base"."""

    axis: Axis
    rate: Any
    start: Any
    kappa: Series = ONE

    def drift(self) -> Series:
        """h int_0^theta (q + kappa mu)."""
        inner = add(constant(self.rate), times(self.kappa, self._symbols(MU)))
        return times(H, tuple(_antiderivative(x) for x in inner))

    def _symbols(self, symbols: Sequence[Any]) -> Series:
        return tuple(THETA**i * c * QQ(1, factorial(i)) if i else RING(c) for i, c in enumerate(symbols))

    def share(self, theta: Any) -> tuple[Series, Series]:
        """mu and nu at theta."""

        def at_node(symbols: Sequence[Any]) -> Series:
            return tuple(RING(s) * (theta**i if i else QQ(1)) * QQ(1, factorial(i)) for i, s in enumerate(symbols))

        return at_node(MU), at_node(NU)

    def state(self, theta: Any) -> Linear:
        """y(theta)."""
        up = exponential(self.drift())
        down = exponential(scaled(self.drift(), -1))
        reached = tuple(at(x, theta) for x in up)
        base = times(reached, tuple(at(x, self.start) for x in down))
        forcing = times(self.kappa, self._symbols(NU))
        inner = tuple(integral(x, self.start, theta) for x in times(down, forcing))
        noise = self.axis.noise(times(reached, down), self.start, theta)
        return Linear({"base": base, "one": times(H, times(reached, inner))}, noise.pieces)


__all__ = [
    "KAPPA",
    "ONE",
    "RING",
    "SIGMA",
    "SMOOTH",
    "TERMS",
    "THETA",
    "VARIANCE",
    "ZERO",
    "Axis",
    "Exact",
    "H",
    "Linear",
    "Series",
    "add",
    "constant",
    "divided",
    "exponential",
    "inverse", "logarithm",
    "of_form",
    "root",
    "scaled",
    "times",
    "valuation",
    "weighed",
]  # fmt: skip
