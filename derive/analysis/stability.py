r"""What is said about the stability of a tableau: the lines of one screen, and the entry of ``claims.json``.

Zero-stability always. A constant kernel has a real and an imaginary interval of h lambda. Where integrand and variable
are a pair of the diffusion test (:mod:`derive.analysis.gaussian`), the largest steps in lambda: relative to sigma at
kappa = 0 (parasitic noise), absolutely at kappa = 1 and at the worst kappa between. All on grids uniform in lambda (or
in the method's variable) and in units of a grid step, of which a block has several; maps, slices and 30 digits are in the
modules this one calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Protocol

from sympy import QQ

from derive.analysis.block import block
from derive.analysis.exponential_roots import REACH, limit, worst
from derive.analysis.gaussian import PAIRS, DiffusionTest, Pair
from derive.analysis.intervals import EndPoint, imaginary_interval, real_interval
from derive.analysis.zero_stability import ZeroStability, history_weights, zero_stability
from derive.tableau import Scheme, Tableau

ROUNDED = 9
"""Significant digits of numbers in claims: below what arithmetic libraries differ by."""


class Posed(Protocol):
    """What is read of a problem: its integrand c0 x0 + c1 eps, the name of its variable, the schedule's alpha and sigma.

    of: the same in another of the integrands that a table switches between.
    """

    def of(self, integrand: int) -> Posed: ...

    @property
    def schedule(self) -> Any: ...

    @property
    def integrand(self) -> Any: ...
    @property
    def variable(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Gaussian:
    """End points of the diffusion test. noise: parasitic noise at kappa = 0; data: kappa = 1; worst: over kappa.

    reach: steps beyond it were not looked at.
    """

    noise: EndPoint
    data: EndPoint
    worst: EndPoint
    kappa: float
    reach: float = REACH

    def as_dict(self) -> dict[str, Any]:
        """No limit is ``null``."""
        return {
            "noise_limit": _entry(self.noise),
            "data_limit": _entry(self.data),
            "worst_limit": _entry(self.worst),
            "worst_kappa": _rounded(self.kappa, 4) if self.worst.limited else None,
            "searched_to": _rounded(self.reach),
        }

    def __str__(self) -> str:
        if not any(end.limited for end in (self.noise, self.data, self.worst)):
            return f"Gaussian data: no limit for steps in lambda (up to {self.reach:.4g})"
        at = f" at kappa = {self.kappa:.3f}" if self.worst.limited else ""
        return (
            f"Gaussian data, largest steps in lambda (up to {self.reach:.4g}): parasitic noise {_shown(self.noise)}; "
            f"along the data {_shown(self.data)}; between {_shown(self.worst)}{at}"
        )


@dataclass(frozen=True)
class StabilitySummary:
    """zero: of the method's rows; the intervals and the diffusion test are computed when they are first read.

    steps: grid steps that the scheme takes at once (a block); limits are those of one of them.
    """

    scheme: Scheme
    rate: Any
    zero: ZeroStability
    pair: Pair | None
    steps: int = 1

    @cached_property
    def real(self) -> EndPoint | None:
        """(-real, 0) of h lambda for a constant kernel."""
        return real_interval(self._step, self._corrected).shared(self.steps) if self.rate == 0 else None

    @cached_property
    def imaginary(self) -> EndPoint | None:
        """(-i imaginary, i imaginary) for a constant kernel."""
        return imaginary_interval(self._step, self._corrected).shared(self.steps) if self.rate == 0 else None

    @cached_property
    def gaussian(self) -> Gaussian | None:
        """None where the recurrence would depend on the step's place."""
        if self.pair is None:
            return None
        test = DiffusionTest(self.scheme, self.pair)
        lowest, kappa = worst(test)
        noise, data = limit(test, 0, "z", precise=True), limit(test, 1, "w", precise=True)
        if data.value <= lowest.value:
            lowest, kappa = data, 1.0
        noise, data, lowest = (end.shared(self.steps) for end in (noise, data, lowest))
        return Gaussian(noise, data, lowest, kappa, REACH / self.steps)

    @property
    def _step(self) -> Any:
        return self.scheme.step([QQ(1)] * max(1, self.scheme.past), QQ(0))

    @property
    def _corrected(self) -> bool:
        return self.scheme.corrector is not None

    def as_dict(self) -> dict[str, Any]:
        """The entry "stability" of claims.json. Explicit methods have bounded regions: sector_angle 0."""
        return {
            "zero_stable": self.zero.stable,
            "strongly_zero_stable": self.zero.strong,
            "real_interval": _entry(self.real),
            "imaginary_interval": _entry(self.imaginary),
            "sector_angle": 0.0 if self.rate == 0 else None,
            "gaussian": self.gaussian.as_dict() if self.gaussian else None,
        }

    def __str__(self) -> str:
        lines = [str(self.zero)]
        if self.real is not None and self.imaginary is not None:
            lines.append(f"step times eigenvalue: real to -{_shown(self.real)}, imaginary to {_shown(self.imaginary)}")
        if self.gaussian is not None:
            lines.append(str(self.gaussian))
        return "\n".join(lines)


def summary(tableau: Tableau, problem: Posed | None = None) -> StabilitySummary:
    """The stability of the method (its last scheme, or the one a table of decisions uses most).

    Without a problem, or where integrand and variable are no pair of the test, there is no diffusion test.
    """
    return of_scheme(tableau, tableau.repeated, problem)


def of_scheme(tableau: Tableau, place: int, problem: Posed | None = None) -> StabilitySummary:
    """The stability of a run that goes on with the scheme at that place."""
    scheme = block(tableau.schemes[place], (QQ(1),) * tableau.steps)
    last = scheme.corrector or scheme.output
    weights = history_weights(last, [QQ(1)] * max(1, scheme.past)) or (QQ(1),)
    integrand = tableau.schemes[place].integrand
    rate = tableau.kernel_of(tableau.schemes[place]).rate
    pair = pair_of(problem.of(integrand), rate) if problem else None
    steps = tableau.back[place] + 1
    if steps > 1 and pair and pair[1] != "lambda":
        pair = None  # its grid is geometric, and the places of a block's stages would depend on h
    return StabilitySummary(scheme, rate, zero_stability(weights), pair, steps)


def pair_of(problem: Posed, rate: Any) -> Pair | None:
    """The pair of the diffusion test that a problem with the kernel of this rate is, if any; an SDE's drift is none."""
    if getattr(problem, "noise", None) is not None:
        return None
    kind = {(1, 0): "data", (0, 1): "noise"}.get((problem.integrand.c0, problem.integrand.c1))
    names = {"exp(lambda)": "1/rho", "exp(-lambda)": "rho"}
    if problem.schedule.alpha == 1:
        names |= {"sigma": "rho", "1/sigma": "1/rho", str(problem.schedule.sigma): "rho"}
    variable = names.get(problem.variable, problem.variable)
    return next((pair for pair, own in PAIRS.items() if pair == (kind, variable) and own == rate), None)


def _shown(end: EndPoint) -> str:
    if not end.limited:
        return "no limit"
    return f"{end.exact} = {end.value:.7g}" if end.exact and not end.exact.isdigit() else f"{end.value:.7g}"


def _entry(end: EndPoint | None) -> dict[str, Any] | None:
    if end is None or not end.limited:
        return None
    return {"value": _rounded(end.value), "exact": end.exact or None}


def _rounded(x: float, digits: int = ROUNDED) -> float:
    return float(f"{x:.{digits}g}") if isfinite(x) else x


__all__ = ["Gaussian", "Posed", "StabilitySummary", "of_scheme", "pair_of", "summary"]
