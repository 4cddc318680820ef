r"""Weak and strong order of stochastic Runge-Kutta schemes for dx = f(x, t) dt + g dW, by exact Ito-Taylor expansion.

f and g are free: their derivatives at a point are symbols, g has those in x unless the noise is additive. Sizes count h as 1
and W as 1/2. A step of the scheme is a polynomial in h, W and Y = Z/h (Cov(W, Y) = h/2, Var Y = h/3); the exact one is

    sum_w I_w f_w,   I_w the iterated Ito integral of a word in 0 (dt) and 1 (dW),   f_w = L^{w_1} .. L^{w_k} x
    L^0 = d/dt + f d/dx + g^2/2 d^2/dx^2,   L^1 = g d/dx.

Products of words are sums of words by Ito's rule, and words are linearly independent, so the part of every size of the local
error d is 0 or not. If d has size p + 1/2 and its mean size p + 1, the scheme has strong order p; if E (x' - x)^k for k = 1 ..
2p + 1 is exact up to h^p, weak order p (Milstein and Tretyakov, Stochastic Numerics for Mathematical Physics, ch. 1 and 2:
the two convergence theorems). One element stands for a system with diagonal or additive noise and a coupled drift: up to
weak order 2 and strong order 1.5 its terms hold one integral of one W, or one pair whose mean vanishes unless both are one W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import factorial
from typing import Any, Protocol

from sympy import QQ, ring

LIMIT = 6
"""Twice the size that is kept."""
_MOST = 5
"""Derivatives of f and g, of any kind."""
_INDICES = [(i, j) for i in range(_MOST + 1) for j in range(_MOST + 1 - i)]
_RING, *_GENERATORS = ring([*(f"{n}{i}{j}" for n in "fg" for i, j in _INDICES), "u"], QQ)
_F = dict(zip(_INDICES, _GENERATORS))
_G = dict(zip(_INDICES, _GENERATORS[len(_INDICES) :]))
_U = _GENERATORS[-1]

Poly = dict[tuple[int, int, int], Any]
"""Powers of h, W, Y -> coefficient."""
Words = dict[tuple[int, ...], Any]


class Scheme(Protocol):
    """Rows as in ``runtime.sde.Table``."""

    @property
    def drift(self) -> Sequence[Sequence[Fraction]]: ...
    @property
    def path(self) -> Sequence[Sequence[Fraction]]: ...
    @property
    def area(self) -> Sequence[Sequence[Fraction]]: ...
    @property
    def times(self) -> Sequence[Fraction]: ...
    @property
    def noise_times(self) -> Sequence[Fraction]: ...
    @property
    def square(self) -> Fraction: ...


@dataclass(frozen=True, slots=True)
class Orders:
    """What is proved, and what stands against the next: the words of the local error's first part, the powers of moments.

    strong_words: words whose coefficients differ, where the error's own size decides; else those of its mean.
    weak_moments: k of E (x' - x)^k that is not exact at h^{weak + 1}.
    """

    weak: int
    strong: Fraction
    strong_words: tuple[tuple[int, ...], ...]
    weak_moments: tuple[int, ...]


def prove(scheme: Scheme, additive: bool, linear: bool = False) -> Orders:
    """Orders for all smooth f and g. additive: g of t alone; linear: f and g have no second derivative in x."""
    kind = (additive, linear)
    increment = _scheme(scheme, kind)
    exact = _taylor(kind)
    sizes = _strong(increment, exact, kind)
    first = min((size for size, part in sizes.items() if part), default=LIMIT + 1)
    mean = min((s for s, part in sizes.items() if any(not any(w) for w in part)), default=LIMIT + 1)
    strong = min(Fraction(first - 1, 2), Fraction(mean - 2, 2))
    deciding = sizes[first if Fraction(first - 1, 2) == strong else mean] if first <= LIMIT else {}
    weak, wrong = _weak(increment, kind)
    return Orders(weak, strong, tuple(sorted(deciding)), wrong)


# -- the scheme ------------------------------------------------------------------------------------------------


def _times(p: Poly, q: Poly) -> Poly:
    out: Poly = {}
    for (a, b, c), x in p.items():
        for (d, e, f), y in q.items():
            key = (a + d, b + e, c + f)
            if 2 * key[0] + key[1] + key[2] <= LIMIT:
                out[key] = out.get(key, 0) + x * y
    return {k: v for k, v in out.items() if v}


def _plus(*terms: tuple[Any, Poly]) -> Poly:
    out: Poly = {}
    for scale, poly in terms:
        for key, value in poly.items():
            out[key] = out.get(key, 0) + value * scale
    return {k: v for k, v in out.items() if v}


_ONE: Poly = {(0, 0, 0): _RING.one}


def _at(symbols: dict[tuple[int, int], Any], moved: Poly, c: Fraction, kind: tuple[bool, bool]) -> Poly:
    """A function at (x + moved, t + c h)."""
    out: Poly = {}
    power, n = _ONE, 0
    while power:
        for j in range(_MOST + 1 - n):
            time: Poly = {(j, 0, 0): _RING(_q(c) ** j if j else QQ(1))}
            if symbol := _kept(symbols[n, j], kind):
                out = _plus((1, out), (symbol / (factorial(n) * factorial(j)), _times(power, time)))
        power, n = _times(power, moved), n + 1
        if n > _MOST:
            break
    return out


def _scheme(s: Scheme, kind: tuple[bool, bool]) -> Poly:
    """x' - x."""
    h, w, y = ({key: _RING.one} for key in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    noise = [_at(_G, {}, c, kind) for c in s.noise_times]
    slopes: list[Poly] = []
    moved: Poly = {}
    for i, (drift, path, area) in enumerate(zip(s.drift, s.path, s.area, strict=True)):
        moved = _times(h, _plus(*((_q(a), k) for a, k in zip(drift, slopes))))
        for row, variable in ((path, w), (area, y)):
            moved = _plus((1, moved), *((_q(b), _times(variable, g)) for b, g in zip(row, noise)))
        if i < len(s.times):
            slopes.append(_at(_F, moved, s.times[i], kind))
    if s.square:
        product = _kept(_G[0, 0], kind) * _kept(_G[1, 0], kind) * _q(s.square)
        moved = _plus((1, moved), (product, _times(w, w)), (-product, h))
    return moved


# -- the exact path --------------------------------------------------------------------------------------------


def _d(p: Any, x: bool) -> Any:
    """Derivative in x, or in t."""
    total = p.diff(_U) if x else _RING.zero
    for symbols in (_F, _G):
        for (i, j), symbol in symbols.items():
            if slope := p.diff(symbol):
                total = total + slope * symbols[i + x, j + (not x)]
    return total


def _l0(p: Any, kind: tuple[bool, bool]) -> Any:
    first = _d(p, True)
    return _kept(_d(p, False) + _F[0, 0] * first + _G[0, 0] ** 2 / 2 * _d(first, True), kind)


def _l1(p: Any, kind: tuple[bool, bool]) -> Any:
    return _kept(_G[0, 0] * _d(p, True), kind)


@lru_cache(maxsize=8)
def _taylor(kind: tuple[bool, bool]) -> Words:
    """Coefficients of all words up to the limit."""
    out: Words = {(): _U}
    made: Words = {(): _U}
    while made:
        made = {
            (letter, *word): value
            for word, found in made.items()
            for letter, operator in ((0, _l0), (1, _l1))
            if sum(2 - x for x in word) + 2 - letter <= LIMIT and (value := operator(found, kind))
        }
        out.update(made)
    return {word: _at_point(value) for word, value in out.items() if _at_point(value)}


@lru_cache(maxsize=64)
def _dropped(kind: tuple[bool, bool]) -> tuple[Any, ...]:
    additive, linear = kind
    gone = [s for (i, _), s in _F.items() if linear and i > 1]
    return tuple(gone + [s for (i, _), s in _G.items() if (additive and i) or (linear and i > 1)])


def _kept(p: Any, kind: tuple[bool, bool]) -> Any:
    """Without the derivatives that are 0."""
    gone = {_RING.gens.index(s) for s in _dropped(kind)}
    return _RING.from_dict({m: c for m, c in p.items() if not any(m[k] for k in gone)})


def _at_point(p: Any) -> Any:
    """u = 0."""
    return _RING.from_dict({m: c for m, c in p.items() if not m[-1]})


# -- words -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def _shuffled(v: tuple[int, ...], w: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], int], ...]:
    """I_v I_w as a sum of words: Ito's product rule at the last letters."""
    if not v or not w:
        return ((v or w, 1),)
    out: dict[tuple[int, ...], int] = {}
    parts = [(v[:-1], w, v[-1]), (v, w[:-1], w[-1])]
    parts += [(v[:-1], w[:-1], 0)] if v[-1] == w[-1] == 1 else []
    for a, b, last in parts:
        for word, count in _shuffled(a, b):
            out[*word, last] = out.get((*word, last), 0) + count
    return tuple(out.items())


def _product(p: Words, word: tuple[int, ...]) -> Words:
    out: Words = {}
    for own, value in p.items():
        for new, count in _shuffled(own, word):
            out[new] = out.get(new, 0) + value * count
    return out


def _strong(increment: Poly, exact: Words, kind: tuple[bool, bool]) -> dict[int, Words]:
    """By twice the size, the local error times a power of h, as words."""
    out = {}
    for size in range(1, LIMIT):
        part = {k: v for k, v in increment.items() if 2 * k[0] + k[1] + k[2] == size}
        lift = max((c for _, _, c in part), default=0)
        total: Words = {}
        for (a, b, c), value in part.items():
            words: Words = {(): value}
            for letter, times in (((0,), a + lift - c), ((1,), b), ((1, 0), c)):
                for _ in range(times):
                    words = _product(words, letter)
            total = _sum(total, words, 1)
        for word, value in exact.items():
            if word and sum(2 - x for x in word) == size:
                words = {word: value}
                for _ in range(lift):
                    words = _product(words, (0,))
                total = _sum(total, words, -1)
        out[size] = {w: v for w, v in total.items() if v}
    return out


def _sum(p: Words, q: Words, sign: int) -> Words:
    out = dict(p)
    for word, value in q.items():
        out[word] = out.get(word, 0) + value * sign
    return out


# -- moments ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def moment(b: int, c: int) -> Any:
    """E W^b Y^c over h^{(b + c)/2}."""
    if b + c == 0:
        return QQ(1)
    if (b + c) % 2:
        return QQ(0)
    if b:
        return (moment(b - 2, c) * (b - 1) if b > 1 else 0) + (moment(b - 1, c - 1) * c / 2 if c else 0)
    return moment(0, c - 2) * QQ(c - 1, 3)


def _weak(increment: Poly, kind: tuple[bool, bool]) -> tuple[int, tuple[int, ...]]:
    """(order, the moments that are wrong at the next power)."""
    wrong: dict[int, list[int]] = {}
    power = _ONE
    for k in range(1, LIMIT):
        power = _times(power, increment)
        found = dict.fromkeys(range(1, LIMIT // 2 + 1), _RING.zero)
        for (a, b, c), value in power.items():
            if (b + c) % 2 == 0:
                found[a + (b + c) // 2] += value * moment(b, c)
        for n, exact in enumerate(_moments(k, kind), 1):
            if found[n] != exact:
                wrong.setdefault(n, []).append(k)
    first = min(wrong, default=LIMIT // 2 + 1)
    order = min(first - 1, LIMIT // 2 - 1)  # E (x' - x)^k for k up to 2 LIMIT/2 - 1 says no more
    return order, tuple(wrong.get(order + 1, ()))


@lru_cache(maxsize=64)
def _moments(k: int, kind: tuple[bool, bool]) -> tuple[Any, ...]:
    """E (x(h) - x)^k: coefficients of h, h^2, .."""
    out, value = [], _U**k
    for n in range(1, LIMIT // 2 + 1):
        value = _l0(value, kind)
        out.append(_at_point(value) / factorial(n))
    return tuple(out)


def _q(f: Fraction) -> Any:
    return QQ(f.numerator, f.denominator)


__all__ = ["Orders", "Scheme", "moment", "prove"]
