"""Predictions: what a network returns, as one vector ``N = c0 x0 + c1 eps``. One file each, and one 2x2 solve.

The folder is the registry: ``predictions/<kind>.py`` exports ``PARAMETERS``, ``REFERENCE`` and
``build(**parameters) -> Prediction``. An interpolated quantity (the ``integrand`` of a method) is the same kind of
object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import sympy as sp

from derive.parameters import Choice, Number, Parameters
from derive.symbolic.alphabet import alpha, lam, rho, sigma, t

TABULAR = (
    "level_index", "level_index_rounded", "level_index_truncated", "sigma_index",
)  # fmt: skip
"""Places in a table of training steps, on a straight line in log sigma/alpha (level) or sigma/alpha between its rows."""

COMMON: Parameters = {
    "input": Choice(
        default="default",
        options=("default", "time", "index", "sigma", "log_snr", "c_noise", *TABULAR, "time_truncated"),
        doc="what the network is fed for the time; default: index of a table, sigma where alpha = 1, else time",
    ),
    "inner_input": Choice(
        default=None, options=("index", *TABULAR), doc="what it is fed between grid points, at stages; default: input"
    ),
    "input_scale": Choice(
        default="none", options=("none", "edm", "karras"), doc="what x is multiplied by before the network sees it"
    ),
    "time_scale": Number(
        default=Fraction(1), low=Fraction(0), low_open=True, doc="the network is fed this times `input` (flows: 1000)"
    ),
    "sigma_data": Number(
        default=Fraction(1, 2), low=Fraction(0), low_open=True, doc="standard deviation of the data (edm, consistency)"
    ),
}
"""Parameters that every prediction has: what the network sees."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """What the network is fed: the :data:`COMMON` parameters."""

    input: str = "default"
    input_scale: str = "none"
    time_scale: Fraction = Fraction(1)
    sigma_data: Fraction = Fraction(1, 2)
    inner_input: str | None = None

    def __str__(self) -> str:
        """The parameters as a spec has them."""
        given = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return ", ".join(f"{name}: {value}" for name, value in given if value is not None)


@dataclass(frozen=True, slots=True)
class Prediction:
    """``N = c0 x0 + c1 eps`` with c0, c1 in (alpha, sigma, rho, dalpha, dsigma, lambda, t); see alphabet.

    factor: the integrating factor G (Phi(t, s) = G(t)/G(s)) of ``x' = A x + B N`` in (alpha, sigma, rho), if it is
        elementary; it must satisfy G'/G = A = (alpha' c1 - sigma' c0)/(alpha c1 - sigma c0) identically (THEORY:
        parameterization lemma), which a test checks for abstract alpha(t), sigma(t).
    network: what the network is fed.
    """

    kind: str
    c0: sp.Expr
    c1: sp.Expr
    factor: sp.Expr | None = None
    network: NetworkInput = field(default_factory=NetworkInput)


def prediction(kind: str, c0: sp.Expr, c1: sp.Expr, factor: sp.Expr | None, **common: Any) -> Prediction:
    """A :class:`Prediction` with its :data:`COMMON` parameters."""
    return Prediction(kind, c0, c1, factor, NetworkInput(**common))


def planar(expr: sp.Expr) -> sp.Expr:
    """The expression in (alpha, sigma): rho is sigma/alpha, lambda its logarithm."""
    return expr.subs(lam, -sp.log(rho)).subs(rho, sigma / alpha)


def convert(source: Prediction, target: Prediction) -> tuple[sp.Expr, sp.Expr]:
    """(cx, cr) with ``target = cx x + cr source``: the one 2x2 solve behind every conversion, in the alphabet.

    With source = c0 x0 + c1 eps, target = p x0 + q eps and D = alpha c1 - sigma c0,
    cx = (p c1 - q c0)/D and cr = (alpha q - sigma p)/D, reduced, so removable singularities are gone.
    Raises ValueError if the source is proportional to x (D = 0): it determines nothing else.
    """
    c0, c1, p, q = map(planar, (source.c0, source.c1, target.c0, target.c1))
    determinant = sp.cancel(alpha * c1 - sigma * c0)
    if determinant == 0:
        raise ValueError(f"{source.kind} is proportional to x: alpha*eps - sigma*x0 is 0; allowed: any other quantity")
    return sp.cancel((p * c1 - q * c0) / determinant), sp.cancel((alpha * q - sigma * p) / determinant)


def integrating_factor(c0: sp.Expr, c1: sp.Expr) -> sp.Expr | None:
    """G of ``c0 x0 + c1 eps`` in (alpha, rho) where c0/c1 is a rational function of rho alone, else None.

    With sigma = rho alpha, A dt = dlog alpha - c0/(c1 - rho c0) drho: the schedule only enters through alpha and rho.
    """
    first, second = (c.subs({sigma: rho * alpha, lam: -sp.log(rho)}) for c in (c0, c1))
    gap = sp.cancel(second - rho * first)
    if gap == 0:
        return None
    rate = sp.cancel(first / gap)
    if rate.free_symbols - {rho} or not rate.is_rational_function(rho):
        return None
    primitive = sp.integrate(rate, rho) if rate != 0 else sp.Integer(0)
    if primitive.has(sp.Integral, sp.RootSum, sp.I) or not all(map(_positive, primitive.atoms(sp.log))):
        return None
    return alpha * sp.powsimp(sp.exp(-primitive))


def _positive(logarithm: sp.log) -> bool:
    """Whether the argument is a polynomial without negative coefficients: positive for every rho > 0."""
    argument = logarithm.args[0]
    return argument.is_polynomial(rho) and all(c.is_nonnegative for c in sp.Poly(argument, rho).coeffs())


class Path(Protocol):
    """What the input of a network has to know of a schedule."""

    @property
    def kind(self) -> str:
        """Its name, for messages."""

    @property
    def alpha(self) -> sp.Expr:
        """alpha(t)."""

    @property
    def rho(self) -> sp.Expr:
        """sigma/alpha as a function of t."""

    @property
    def index_steps(self) -> int | None:
        """The length of the table whose index is the time."""


def input_kind(network: NetworkInput, schedule: Path) -> str:
    """The input with ``default`` resolved: index of a table, sigma where alpha = 1, else time."""
    if network.input != "default":
        return network.input
    if schedule.index_steps is not None:
        return "index"
    return "sigma" if schedule.alpha == 1 else "time"


def network_time(network: NetworkInput, schedule: Path) -> sp.Expr:
    """What the network is fed for the time, in ``t``.

    time: t; index: t of a schedule whose time is the table index; sigma: the noise level sigma/alpha;
    level_index and sigma_index: that index between rows; rounded, truncated: to whole numbers (``runtime.fed``).
    log_snr: 2 lambda; c_noise: log(sigma/alpha)/4 (arXiv:2206.00364, Table 1). All of it times ``time_scale``.
    Raises ValueError if there is no index.
    """
    kind = input_kind(network, schedule)
    if (kind in ("index", *TABULAR) or network.inner_input) and schedule.index_steps is None:
        said = f"input is {kind}" if kind in ("index", *TABULAR) else f"inner_input is {network.inner_input}"
        raise ValueError(f"{said}, but {schedule.kind} is continuous; allowed: time, sigma, log_snr, c_noise")
    if network.inner_input and kind not in ("index", *TABULAR):
        raise ValueError(
            f"inner_input is {network.inner_input} beside input {kind}; allowed: an input that is an index"
        )
    scale = sp.Rational(network.time_scale.numerator, network.time_scale.denominator)
    return scale * _INPUTS[kind].subs(rho, schedule.rho)


_INPUTS = {
    **dict.fromkeys(("time", "time_truncated", "index", *TABULAR), t),  # what is cut or looked up, the runtime does
    "sigma": rho,
    "log_snr": -2 * sp.log(rho),
    "c_noise": sp.log(rho) / 4,
}


def network_scale(network: NetworkInput) -> sp.Expr | None:
    """What x is multiplied by before the network sees it, in (alpha, sigma); None: nothing.

    edm: 1/sqrt(sigma_data^2 alpha^2 + sigma^2), unit variance (arXiv:2206.00364, Table 1); karras: the same for
    unit-variance data, as k-diffusion wraps networks that were trained on a variance-preserving path.
    """
    width = {"none": None, "edm": network.sigma_data, "karras": Fraction(1)}[network.input_scale]
    return None if width is None else 1 / sp.sqrt(spread_squared(width))


def spread_squared(sigma_data: Fraction) -> sp.Expr:
    """The variance of x for data of standard deviation ``sigma_data``: (alpha sigma_data)^2 + sigma^2."""
    width = sp.Rational(sigma_data.numerator, sigma_data.denominator)
    return width**2 * alpha**2 + sigma**2
