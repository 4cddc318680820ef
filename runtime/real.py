r"""Real numbers of 320 bits, for coefficients that are rounded once.

A coefficient such as :math:`h\varphi_2(-h)/r` loses digits to cancellation in float64 (phi_3 by its recurrence in
float32: 42 % wrong at h = 0.001).  Here every coefficient is computed with 96 decimal digits and rounded to float64 at
the very end, so no formula has to be rearranged for accuracy; it only has to be right.

``Real`` is the ``mpf`` type of a private mpmath context whose precision is set here and never again.  mpmath's own
``expm1``, ``quad``, ``findroot`` and everything under ``workprec`` change the precision of the context while they run
and are therefore not safe with threads.  Nothing here calls them: each function is one call into ``mpmath.libmp``,
whose functions are pure (precision is an argument).  Their only shared state is a cache of constants, filled below
beyond what 320-bit work asks for.

Accuracy: every function has a relative error below 2^-300 for arguments of size 1e-30 to 1e3 (given exactly).
Arguments may be ``Real``, ``int``, ``float`` (exact), ``Fraction`` or ``str``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from mpmath import libmp
from mpmath.ctx_mp import MPContext

PRECISION = 320
"""Bits of every Real."""
_ROUND = "n"
_CONTEXT = MPContext()
_CONTEXT.prec = PRECISION

if TYPE_CHECKING:
    Real: TypeAlias = Any
else:
    Real = _CONTEXT.mpf
"""The number type; supports + - * / ** comparison, float(), int()."""

_make = _CONTEXT.make_mpf
_ONE = libmp.fone
_MPZ = libmp.MPZ

for _warm in (libmp.mpf_pi, libmp.mpf_ln2):  # the constants' cache is not thread-safe while it grows: grow it now
    _warm(8192, _ROUND)


def real(x: Any) -> Real:
    """``x`` as a Real: int and float exactly, Fraction and str ("1/3", "0.1", "1e-4") rounded to 320 bits."""
    kind = type(x)
    if kind is Real:
        return x
    if kind is float:
        return _make(libmp.from_float(x))
    if isinstance(x, int):
        return _make(libmp.from_int(int(x)))
    if isinstance(x, str):
        x = Fraction(x)
    if isinstance(x, Fraction):
        return _make(libmp.from_rational(x.numerator, x.denominator, PRECISION, _ROUND))
    if hasattr(x, "_mpf_"):
        return _make(x._mpf_)
    return _make(libmp.from_float(float(x)))


def _raw(x: Any) -> tuple:
    return x._mpf_ if type(x) is Real else real(x)._mpf_


def total(values: Sequence[Any]) -> Real:
    """The sum of Reals, rounded once."""
    return _make(libmp.mpf_sum([x._mpf_ for x in values], PRECISION, _ROUND))


pi: Real = _make(libmp.mpf_pi(PRECISION, _ROUND))
"""The constant, to 320 bits."""
inf: Real = _make(libmp.finf)
"""Positive infinity: the chart step of an end whose chart is infinite."""


def exp(x: Any) -> Real:
    """e^x; exp(-inf) = 0."""
    return _make(libmp.mpf_exp(_raw(x), PRECISION, _ROUND))


def log(x: Any) -> Real:
    """Natural logarithm; log(0) = -inf. ValueError for x < 0."""
    return _make(libmp.mpf_log(_raw(x), PRECISION, _ROUND))


def sqrt(x: Any) -> Real:
    """Square root. ValueError for x < 0."""
    return _make(libmp.mpf_sqrt(_raw(x), PRECISION, _ROUND))


def floor(x: Any) -> Real:
    """The largest whole number that is not above ``x``."""
    return _make(libmp.mpf_floor(_raw(x)))


def sin(x: Any) -> Real:
    """Sine."""
    return _make(libmp.mpf_sin(_raw(x), PRECISION, _ROUND))


def cos(x: Any) -> Real:
    """Cosine."""
    return _make(libmp.mpf_cos(_raw(x), PRECISION, _ROUND))


def tan(x: Any) -> Real:
    """Tangent."""
    return _make(libmp.mpf_tan(_raw(x), PRECISION, _ROUND))


def asin(x: Any) -> Real:
    """Inverse sine, in [-pi/2, pi/2]. ValueError for |x| > 1."""
    return _make(libmp.mpf_asin(_raw(x), PRECISION, _ROUND))


def acos(x: Any) -> Real:
    """Inverse cosine, in [0, pi]. ValueError for |x| > 1."""
    return _make(libmp.mpf_acos(_raw(x), PRECISION, _ROUND))


def atan(x: Any) -> Real:
    """Inverse tangent, in [-pi/2, pi/2]; atan(inf) = pi/2."""
    return _make(libmp.mpf_atan(_raw(x), PRECISION, _ROUND))


def sinh(x: Any) -> Real:
    """Hyperbolic sine."""
    return _make(libmp.mpf_sinh(_raw(x), PRECISION, _ROUND))


def cosh(x: Any) -> Real:
    """Hyperbolic cosine."""
    return _make(libmp.mpf_cosh(_raw(x), PRECISION, _ROUND))


def tanh(x: Any) -> Real:
    """Hyperbolic tangent."""
    return _make(libmp.mpf_tanh(_raw(x), PRECISION, _ROUND))


def log1p(x: Any) -> Real:
    """log(1 + x) without cancellation: 1 + x is formed exactly and libmp's log widens itself next to 1."""
    z = _raw(x)
    if z[1] and z[2] + z[3] < -PRECISION - 8:  # log(1+x) = x (1 - x/2 + ..): x, to a relative error of 2^-329
        return _make(z)
    return _make(libmp.mpf_log(libmp.mpf_add(_ONE, z), PRECISION, _ROUND))


def expm1(x: Any) -> Real:
    """e^x - 1 without cancellation (``x phi_1(x)`` for small x)."""
    z = _raw(x)
    if z[1]:
        magnitude = z[2] + z[3]
        if magnitude < _SERIES:
            return _make(libmp.mpf_mul(z, _phi_series(1, z)[0], PRECISION, _ROUND))
        e = libmp.mpf_exp(z, PRECISION + 8 + max(0, -magnitude), _ROUND)
        return _make(libmp.mpf_sub(e, _ONE, PRECISION, _ROUND))
    return _make(libmp.mpf_sub(libmp.mpf_exp(z, PRECISION, _ROUND), _ONE, PRECISION, _ROUND))


_SERIES = -24
"""|z| < 2^-24: Taylor series, at most 15 terms; else the recurrence with 24 n spare bits: both cost about one exp."""


def phis(n: int, z: Any) -> tuple[Real, ...]:
    r"""(phi_1(z), .., phi_n(z)), with phi_0 = e^z and phi_{k+1} = (phi_k - 1/k!)/z; phi_k(0) = 1/k!.

    Each step up the recurrence cancels at most log2(1/|z|) + log2(k + 2) bits, so it starts from an exponential with
    that many spare bits; below 2^-24 the highest phi comes from its series and the rest from the recurrence downwards,
    which is stable there.  phi_k(-inf) = 0, phi_k(inf) = inf.  Relative error < 2^-310 for all finite z.
    """
    x = _raw(z)
    if not x[1]:
        if x == libmp.fninf:
            return (_make(libmp.fzero),) * n
        if x == libmp.finf:
            return (inf,) * n
        return tuple(real(f) for f in _inverse_factorials(n)[1:]) if x == libmp.fzero else (_make(libmp.fnan),) * n
    magnitude = x[2] + x[3]
    if magnitude < _SERIES:
        return tuple(map(_make, _phi_series(n, x)))
    bits = PRECISION + 16 + n * (max(0, -magnitude) + 5)
    phi = libmp.mpf_exp(x, bits, _ROUND)
    out = []
    for inverse in _inverse_factorials_raw(n, bits):
        phi = libmp.mpf_div(libmp.mpf_sub(phi, inverse, bits, _ROUND), x, bits, _ROUND)
        out.append(_make(libmp.mpf_pos(phi, PRECISION, _ROUND)))
    return tuple(out)


@lru_cache(maxsize=64)
def _inverse_factorials(n: int) -> tuple[Fraction, ...]:
    out = [Fraction(1)]
    for k in range(1, n + 1):
        out.append(out[-1] / k)
    return tuple(out)


@lru_cache(maxsize=4096)
def _inverse_factorials_raw(n: int, bits: int) -> tuple[tuple, ...]:
    return tuple(libmp.from_rational(f.numerator, f.denominator, bits, _ROUND) for f in _inverse_factorials(n)[:n])


def _phi_series(n: int, x: tuple) -> list[tuple]:
    """phi_1..phi_n for 0 < |x| < 2^-24: fixed-point Horner of sum x^j/(j+n)!, then phi_k = x phi_{k+1} + 1/k! down."""
    bits = PRECISION + 24
    z = libmp.to_fixed(x, bits)
    magnitude = -(x[2] + x[3])
    one = _MPZ(1) << bits
    total = one
    for j in range(n + bits // magnitude + 1, n, -1):  # 1 + z/(n+1) (1 + z/(n+2) (1 + ..))
        total = one + ((z * total) >> bits) // j
    factorial = _inverse_factorials(n)[n].denominator
    phi = libmp.from_man_exp(total, -bits, bits, _ROUND)
    phi = libmp.mpf_div(phi, libmp.from_int(factorial), bits, _ROUND)
    out = [phi]
    inverses = _inverse_factorials_raw(n, bits)
    for k in range(n - 1, 0, -1):
        phi = libmp.mpf_add(libmp.mpf_mul(x, phi, bits, _ROUND), inverses[k], bits, _ROUND)
        out.append(phi)
    return [libmp.mpf_pos(p, PRECISION, _ROUND) for p in reversed(out)]


# Curves that are data: Chebyshev series and polygons. Their floats are exact rationals and *are* the definition.

_FIXED = 480
"""Fractional bits of the fixed-point Clenshaw sums: exact for coefficients down to 2^-428."""


@lru_cache(maxsize=256)
def _fixed_series(coefficients: tuple[float, ...], low: float, high: float) -> tuple[list, Any, Any]:
    """Coefficients, low + high and high - low as fixed-point integers."""
    to = [libmp.to_fixed(libmp.from_float(float(c)), _FIXED) for c in (*coefficients, low, high)]
    return to[:-2], to[-2] + to[-1], to[-1] - to[-2]


@lru_cache(maxsize=256)
def _fixed_slope(coefficients: tuple[float, ...], low: float, high: float) -> tuple[list, Any, Any]:
    """The same for the derivative: c'_{k-1} = c'_{k+1} + 2 k c_k (c'_0 halved), times 2/(high - low)."""
    c, total, width = _fixed_series(coefficients, low, high)
    n = len(c)
    slope = [_MPZ(0)] * (n + 1)
    for k in range(n - 1, 0, -1):
        slope[k - 1] = slope[k + 1] + 2 * k * c[k]
    slope[0] >>= 1
    return [(s << (_FIXED + 1)) // width for s in slope[: max(n - 1, 1)]], total, width


def _clenshaw(series: tuple[list, Any, Any], t: Any) -> Real:
    """sum c_k T_k(x), x = (2t - low - high)/(high - low): b_k = c_k + 2 x b_{k+1} - b_{k+2}."""
    c, total, width = series
    x = (((libmp.to_fixed(_raw(t), _FIXED) << 1) - total) << _FIXED) // width
    b1 = b2 = _MPZ(0)
    shift = _FIXED - 1
    for k in range(len(c) - 1, 0, -1):
        b1, b2 = c[k] + (x * b1 >> shift) - b2, b1
    return _make(libmp.from_man_exp(c[0] + (x * b1 >> _FIXED) - b2, -_FIXED, PRECISION, _ROUND))


def chebyshev(coefficients: Sequence[float], low: float, high: float, t: Any) -> Real:
    """The Chebyshev series ``sum c_k T_k`` on [low, high] at ``t`` (outside: its continuation). Error below 2^-460."""
    return _clenshaw(_fixed_series(tuple(coefficients), low, high), t)


def chebyshev_slope(coefficients: Sequence[float], low: float, high: float, t: Any) -> Real:
    """d/dt of :func:`chebyshev`."""
    return _clenshaw(_fixed_slope(tuple(coefficients), low, high), t)


def _piece(knots: Sequence[float], t: Any) -> tuple[Real, int]:
    """``t`` as Real and the index of the piece [knots[i], knots[i+1]] it lies in (the end pieces continue)."""
    t = real(t)
    return t, min(max(bisect_right(knots, t) - 1, 0), len(knots) - 2)


def linear(knots: Sequence[float], values: Sequence[float], t: Any) -> Real:
    """The polygon through (knots[i], values[i]) at ``t``; exact at the knots; knots rise."""
    t, i = _piece(knots, t)
    left = real(knots[i])
    return real(values[i]) + (real(values[i + 1]) - real(values[i])) * (t - left) / (real(knots[i + 1]) - left)


def linear_slope(knots: Sequence[float], values: Sequence[float], t: Any) -> Real:
    """Slope of :func:`linear`; at a knot, of the piece to its right."""
    _, i = _piece(knots, t)
    return (real(values[i + 1]) - real(values[i])) / (real(knots[i + 1]) - real(knots[i]))


__all__ = [
    "PRECISION", "Real", "acos", "asin", "atan", "chebyshev", "chebyshev_slope", "cos", "cosh", "exp", "expm1", "floor",
    "inf", "linear", "linear_slope", "log", "log1p", "phis", "pi", "real", "sin", "sinh", "sqrt", "tan", "tanh", "total",
]  # fmt: skip
