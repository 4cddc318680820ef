r"""What generated code imports from ``runtime``, on jets over F_p: a module's functions rebound to other numbers.

Times are jets t_0 + tau(h); ``base`` is t_0 + tau as a series in tau itself, so a curve of the schedule is a series in
tau, an integral a primitive, and an inverse function the reversion of a series.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import comb
from types import SimpleNamespace
from typing import Any

from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, NotAResidue
from runtime import rebind

LARGEST = 10**6
"""Denominators of the rationals that numbers of a module (abscissae) are taken for."""
_ELEMENTARY = (
    "acos", "asin", "atan", "cos", "cosh", "exp", "expm1", "log", "log1p", "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip


def rebound(module: Any, algebra: JetAlgebra, base: Jet) -> SimpleNamespace:
    """The module's names with its functions in jet arithmetic; ``base``: the time t_0 + tau as a series in tau."""
    return rebind.rebound(module, rational, arithmetic(algebra, base))


def rational(value: Any) -> Fraction:
    """The simple fraction that a Real was rounded from; else, the binary one that it stores.

    TypeError for a Real that fills its mantissa and is no simple fraction: a root, which F_p may not have.
    """
    sign, mantissa, exponent, _ = value._mpf_
    stored = (-1) ** sign * int(mantissa) * Fraction(2) ** exponent
    simple = stored.limit_denominator(LARGEST)
    if simple == stored or type(value)(simple.numerator) / simple.denominator == value:
        return simple
    if int(mantissa).bit_length() > 200:
        raise TypeError(f"a number that is not rational: {float(value)!r}")
    return stored


def arithmetic(algebra: JetAlgebra, base: Jet) -> dict[str, Any]:
    """Jet versions of what ``runtime.real``, ``quadrature``, ``propagator`` and ``inverse`` export.

    spread: the noise of a step, no power series in h, is left out.
    """

    def lifted(function: Callable[[Jet], Jet]) -> Callable[[Any], Jet]:
        return lambda x: function(x if isinstance(x, Jet) else algebra.number(x))

    return {
        **{n: lifted(getattr(algebra, n)) for n in _ELEMENTARY}, "pi": algebra.pi(), "real": _real,
        "phis": algebra.phis, "chebyshev": algebra.chebyshev, "chebyshev_slope": algebra.chebyshev_slope,
        "linear": _polygon, "linear_slope": _polygon, "solve_for": partial(_solve_for, base, {}),
        "integral": partial(_integral, base), "moments": partial(_moments, base),
        "propagated": partial(_propagated, base, algebra), "spread": lambda s, t: 0,
    }  # fmt: skip


def at_time(series: Jet, time: Any, base: Jet) -> Jet:
    """A series in tau at a time t_0 + tau(h); NotAResidue for a time about another point than t_0."""
    tau = time - base[0] if isinstance(time, Jet) else Jet.constant(0, series.precision)
    if tau.is_zero:
        return Jet.constant(series[0], series.precision)
    if tau.valuation < 1:
        raise NotAResidue("an inverse function of the schedule takes another branch modulo p")
    straight = tau.valuation == 1 and not any(tau.c[1:])
    return series.at(tau[1]) if straight else series.compose(tau)


def smooth(value: Any, base: Jet) -> Jet:
    """A value of a curve at ``base`` as a series, also where it is a number."""
    return value if isinstance(value, Jet) else Jet.constant(value, base.precision)


def _real(x: Any) -> Any:
    return x if isinstance(x, Jet) else Fraction(x)


def _solve_for(base: Jet, known: dict[Any, Jet], chart: Callable[[Jet], Any], target: Any, *_: Any) -> Jet:
    """The time at which the chart has a value: the reversion of its series."""
    series = smooth(chart(base), base)
    if chart not in known:
        known[chart] = (series - series[0]).inverse()
    return known[chart].compose(target - series[0]) + base[0]


def _integral(base: Jet, f: Callable[[Jet], Any], s: Any, t: Jet, *_: Any) -> Jet:
    """int f from ``s`` to ``t``; a start that is a number becomes t_0 (another constant of integration)."""
    primitive = smooth(f(base), base).integral()
    value = at_time(primitive, t, base)
    return value - at_time(primitive, s, base) if isinstance(s, Jet) else value


def _moments(
    base: Jet, weight: Callable[[Jet], Any], chart: Callable[[Jet], Any], s: Jet, t: Jet, count: int, *_: Any
) -> tuple[Jet, ...]:
    return _weighted(base, smooth(weight(base), base), chart, s, t, count)


def _propagated(
    base: Jet,
    algebra: JetAlgebra,
    speed: Callable[[Jet], Any],
    drift: Callable[[Jet], Any],
    chart: Callable[[Jet], Any],
    s: Jet,
    t: Jet,
    count: int,
    *_: Any,
) -> tuple[Jet, ...]:
    """(Phi(t, s), int Phi(t, u) B(u) theta^k du): Phi(t, u) = exp(I(t) - I(u)), I a primitive of the drift."""
    primitive = smooth(drift(base), base).integral()
    growth = algebra.exp(primitive)
    found = _weighted(base, smooth(speed(base), base) / growth, chart, s, t, count)
    at_s, at_t = (at_time(growth, x, base) for x in (s, t))
    return at_t / at_s, *(at_t * mu for mu in found)


def _weighted(base: Jet, weight: Jet, chart: Callable[[Jet], Any], s: Jet, t: Jet, count: int) -> tuple[Jet, ...]:
    """int weight theta^k = sum_j C(k, j) (-chi_s)^{k-j} int weight chi^j / span^k, chi measured from t_0."""
    chi = smooth(chart(base), base)
    chi = chi - Jet.constant(chi[0], chi.precision)
    power, raw = weight, []
    for _k in range(count):
        primitive = power.integral()
        raw.append(at_time(primitive, t, base) - at_time(primitive, s, base))
        power = power * chi
    first = at_time(chi, s, base)
    span = at_time(chi, t, base) - first
    shifted = ([raw[j] * (-first) ** (k - j) * comb(k, j) for j in range(k + 1)] for k in range(count))
    return tuple(sum(terms[1:], start=terms[0]) / span**k for k, terms in enumerate(shifted))


def _polygon(*arguments: Any) -> Jet:
    raise TypeError("a schedule joined by straight lines is not smooth: no series, no order")


__all__ = ["arithmetic", "at_time", "rational", "rebound", "smooth"]
