r"""The order of *emitted* code, proved on jets: the functions of a generated ``coefficients.py`` run over F_p.

A generated module is arithmetic on whatever numbers it is given: its functions are called here with jets in h instead
of 320-bit reals, with the names that it imports from ``runtime`` (exp, phis, moments, ..) bound to jet versions. So
what is certified is the text that was written, not the mathematics that it came from (translation validation):

    order = valuation(row applied to the exact history of a random problem - exact solution) - 1.

The base time t_0 is a random element of F_p; constants such as exp(c) are random residues
(:mod:`derive.symbolic.jet_algebra`), and where a square root does not exist in F_p another t_0 is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from math import comb
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from derive.analysis.jet_order import JetOrder, exact_solution
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, NotAResidue, P

TRIES = 64
"""Base times that are tried before giving up: each needs a few constants to be squares."""
_ELEMENTARY = (
    "acos", "asin", "atan", "cos", "cosh", "exp", "expm1", "log", "log1p", "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip


def certify_module(module: ModuleType, order: int | None = None, *, seed: int = 0, dimension: int = 2) -> JetOrder:
    """The order of the regular row ``ROWS[order - 1]`` (default: the full one) of an imported ``coefficients.py``.

    The history nodes are random multiples of h. Raises TypeError for a schedule that is a polygon (it has no order) and
    NotAResidue if no base time was found.
    """
    chosen = order or module.STEPS
    for attempt in range(TRIES):
        try:
            return _certified(module, chosen, random.Random(f"jet module {seed} {attempt}"), dimension)
        except NotAResidue:
            continue
    raise NotAResidue(f"{module.__name__}: no square roots at {TRIES} base times")


def _certified(module: ModuleType, order: int, rng: random.Random, dimension: int) -> JetOrder:
    terms = 3 * order + 8
    base = Jet(0, [rng.randrange(1, P), 1] + [0] * (terms - 2))
    code = rebound(module, JetAlgebra(terms, rng.randrange(1 << 30)), base)
    alpha, rho = (_smooth(f(base), base) for f in (code.alpha, code.rho))
    x, eps = exact_solution(alpha, rho.derivative(), dimension, 2, terms, rng)
    clean = tuple(v / alpha - rho * e for v, e in zip(x, eps))
    places = [1, 0, *(rng.randrange(1, P) for _ in range(order - 1))]
    nodes = [code.node(base.at(c) if c else Jet.constant(base[0], terms)) for c in places]
    spans = tuple(code.span(nodes[j + 1], nodes[j]) for j in range(order))
    row = dict(zip(module.COLUMNS, code.ROWS[order - 1](nodes[1], nodes[0], spans), strict=True))
    errors = [row["a"] * v.at(0) - v for v in x]
    for j, c in enumerate(places[1:]):
        following = code.ROWS[0](nodes[j + 1], nodes[j], (spans[j],))
        value = _integrand(code, dict(zip(module.COLUMNS, following, strict=True)), nodes[j + 1], c, x, clean)
        errors = [e + f * row[f"b{j}"] for e, f in zip(errors, value)]
    worst = min(errors, key=lambda e: e.valuation)
    if worst.is_zero:
        return JetOrder(worst.precision - 1, 0, exact=True)
    return JetOrder(worst.valuation - 1, worst.c[0])


def broken_identities(module: ModuleType, *, seed: int = 0) -> tuple[str, ...]:
    """Which of the module's curves contradict each other, as identities between series at two times; () if none.

    sigma = alpha rho; alpha = exp(log_alpha); exp(dlambda(t, s)) = rho(s)/rho(t); span = chart(t) - chart(s).
    """
    for attempt in range(TRIES):
        try:
            return _broken(module, random.Random(f"jet identities {seed} {attempt}"))
        except NotAResidue:
            continue
    raise NotAResidue(f"{module.__name__}: no square roots at {TRIES} base times")


def _broken(module: ModuleType, rng: random.Random) -> tuple[str, ...]:
    t = Jet(0, [rng.randrange(1, P), 1, *[0] * 10])
    s = t.at(rng.randrange(1, P))
    algebra = JetAlgebra(12, rng.randrange(1 << 30))
    code = rebound(module, algebra, t)
    lifted = _arithmetic(algebra, t)
    pairs = {
        "sigma": (code.sigma(t), code.alpha(t) * code.rho(t)),
        "log_alpha": (lifted["exp"](code.log_alpha(t)), code.alpha(t)),
        "dlambda": (lifted["exp"](code.dlambda(t, s)) * code.rho(t), code.rho(s)),
        "span": (code.span(code.node(s), code.node(t)), code.chart(t) - code.chart(s)),
    }
    return tuple(name for name, (left, right) in pairs.items() if left != right)


def _integrand(
    code: SimpleNamespace, row: Mapping[str, Any], node: Any, place: int, x: Sequence[Jet], clean: Sequence[Jet]
) -> list[Jet]:
    """F at a node, as the solver forms it from the network's output; that is what ``denoised`` takes to x0."""
    dx, dr = code.denoised(node)
    states = [v.at(place) for v in x]
    raw = [(v.at(place) - s * dx) / dr for v, s in zip(clean, states)]
    if "cx" not in row:
        return raw
    return [s * row["cx"] + r * row["cr"] for s, r in zip(states, raw)]


def rebound(module: ModuleType, algebra: JetAlgebra, base: Jet) -> SimpleNamespace:
    """The module's names with its functions in jet arithmetic; ``base``: the time t_0 + tau as a series in tau."""
    names: dict[str, Any] = dict(vars(module))
    held = [f for v in names.values() for f in (v if isinstance(v, tuple) else (v,)) if isinstance(f, FunctionType)]
    own = {
        f: FunctionType(f.__code__, names, f.__name__, f.__defaults__, f.__closure__)
        for f in held
        if f.__module__ == module.__name__
    }
    for name, value in list(names.items()):
        if isinstance(value, FunctionType):
            names[name] = own.get(value, value)
        elif type(value) is tuple:
            names[name] = tuple(own.get(f, f) if isinstance(f, FunctionType) else f for f in value)
        elif hasattr(value, "_mpf_") and not isinstance(value, type):
            names[name] = _exact(value)
    replacements = _arithmetic(algebra, base)
    names.update({n: f for n, f in replacements.items() if n in names})
    return SimpleNamespace(**names)


def _exact(value: Any) -> Fraction:
    """The binary rational that a Real stores."""
    sign, mantissa, exponent, _ = value._mpf_
    return (-1) ** sign * int(mantissa) * Fraction(2) ** exponent


def _arithmetic(algebra: JetAlgebra, base: Jet) -> dict[str, Any]:
    """Jet versions of what ``runtime.real`` and ``runtime.quadrature`` export."""

    def lifted(function: Callable[[Jet], Jet]) -> Callable[[Any], Jet]:
        return lambda x: function(x if isinstance(x, Jet) else algebra.number(x))

    return {
        **{n: lifted(getattr(algebra, n)) for n in _ELEMENTARY}, "pi": algebra.pi(), "real": _real,
        "phis": algebra.phis, "chebyshev": algebra.chebyshev, "chebyshev_slope": algebra.chebyshev_slope,
        "linear": _polygon, "linear_slope": _polygon,
        "integral": partial(_integral, base), "moments": partial(_moments, base),
    }  # fmt: skip


def _real(x: Any) -> Any:
    return x if isinstance(x, Jet) else Fraction(x)


def _integral(base: Jet, f: Callable[[Jet], Any], s: Any, t: Jet, *_: Any) -> Jet:
    """int f from ``s`` to ``t``; a start that is a number becomes t_0 (another constant of integration)."""
    primitive = _smooth(f(base), base).integral()
    value = primitive.at(t[1])
    return value - primitive.at(s[1]) if isinstance(s, Jet) else value


def _moments(
    base: Jet, weight: Callable[[Jet], Any], chart: Callable[[Jet], Any], s: Jet, t: Jet, count: int, *_: Any
) -> tuple[Jet, ...]:
    """int weight theta^k = sum_j C(k, j) (-chi_s)^{k-j} int weight chi^j / span^k, chi measured from t_0."""
    chi = _smooth(chart(base), base)
    chi = chi - Jet.constant(chi[0], chi.precision)
    power, raw = _smooth(weight(base), base), []
    for _k in range(count):
        primitive = power.integral()
        raw.append(primitive.at(t[1]) - primitive.at(s[1]))
        power = power * chi
    first = chi.at(s[1])
    span = chi.at(t[1]) - first
    shifted = ([raw[j] * (-first) ** (k - j) * comb(k, j) for j in range(k + 1)] for k in range(count))
    return tuple(sum(terms[1:], start=terms[0]) / span**k for k, terms in enumerate(shifted))


def _smooth(value: Any, base: Jet) -> Jet:
    return value if isinstance(value, Jet) else Jet.constant(value, base.precision)


def _polygon(*arguments: Any) -> Jet:
    raise TypeError("a schedule joined by straight lines is not smooth: no series, no order")


__all__ = ["broken_identities", "certify_module", "rebound"]
