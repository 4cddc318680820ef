r"""The diffusion test: Gaussian data N(0, c^2), where the exact denoiser is linear and every amplification factor explicit.

With lambda = log(alpha/sigma), w = x/alpha, z = x/sigma and kappa = c^2/(c^2 + e^{-2 lambda}) frozen in (0, 1),

    x0 = kappa w,  eps = (1 - kappa) z;      w' = -w + kappa w (data),   z' = z - (1 - kappa) z (noise).

kappa = 0 is a direction normal to the data (exactly, z is constant), kappa = 1 one along it (w is). Two notions:
|zeta_w| <= 1 (the sample does not grow), and |zeta_z| <= 1 at kappa = 0 (parasitic noise does not outgrow sigma).
Grids are uniform in lambda, or have a fixed ratio of steps; in rho or 1/rho such a grid is geometric, and a constant
kernel meets the factor rho_n/rho(theta) = 1/(1 + theta m), m = e^{-+h} - 1. These four pairs of integrand and variable
are the ones whose recurrence does not depend on the step's place, whatever the schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import factorial
from typing import Any, Literal, Protocol

import mpmath
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import QQ
from sympy.polys.fields import FracElement, field

from derive.analysis.recurrence import Arithmetic, Polynomial, characteristic, flat, highest_phi, on_arrays
from derive.analysis.root_condition import largest_root, schur_cohn
from derive.symbolic.forms import Step
from derive.symbolic.surds import Surd
from derive.tableau import Scheme

Pair = tuple[Literal["data", "noise"], Literal["lambda", "rho", "1/rho"]]
PAIRS: dict[Pair, int] = {("data", "lambda"): -1, ("noise", "lambda"): 1, ("noise", "rho"): 0, ("data", "1/rho"): 0}
"""The rate of the kernel."""

SHRINK = field("u", QQ)[1]
"""u = e^{-h} in Q(u): a grid that is geometric in rho has the step ratio 1/u, one in 1/rho has u."""


class Numbers(Protocol):
    """What the test is evaluated in: arrays, mpmath numbers, or an exact field."""

    def exp(self, x: Any) -> Any: ...
    def number(self, q: Any) -> Any: ...
    def arithmetic(self, sign: int, h: Any, number: Callable[[Any], Any]) -> Arithmetic: ...


@dataclass(frozen=True, slots=True)
class Arrays:
    """Double precision, of the shape of h; phi functions up to ``highest``."""

    highest: int = 9
    exp = staticmethod(np.exp)
    number = staticmethod(float)

    def arithmetic(self, sign: int, h: Any, number: Callable[[Any], Any]) -> Arithmetic:
        return on_arrays(sign * np.asarray(h), number, self.highest)


class Wide:
    """mpmath with guard digits for the cancellation of the explicit formula of phi_k."""

    exp = staticmethod(mpmath.exp)

    @staticmethod
    def number(q: Any) -> Any:
        if isinstance(q, Surd):
            return mpmath.fsum(Wide.number(own) * mpmath.sqrt(n) for n, own in q.terms)
        return mpmath.mpf(int(q.numerator)) / int(q.denominator)

    def arithmetic(self, sign: int, h: Any, number: Callable[[Any], Any]) -> Arithmetic:
        def phi(k: int, c: Any) -> Any:
            with mpmath.extradps(40):
                z = number(c) * (sign * h)
                if k < 0:
                    return 1 / z
                rest = mpmath.exp(z) - mpmath.fsum(z**j / mpmath.factorial(j) for j in range(k))
                return rest / z**k

        return Arithmetic(phi, number)


class Exact:
    """The field Q(h, E), E = e^{h/parts}: h and E are algebraically independent, so equality is decided."""

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts
        self.field, self.h, self.e, self.kappa = field("h,E,kappa", QQ)

    def exp(self, x: Any) -> Any:
        """e^{c h}."""
        power = x / self.h * self.parts
        if power.denom.is_ground and power.numer.is_ground:
            exponent = power.numer.LC / power.denom.LC if power else QQ(0)
            if exponent.denominator == 1:
                return self.e ** int(exponent)
        raise ValueError("an exponential that the field does not hold")

    def number(self, q: Any) -> Any:
        return self.field(QQ.convert(q))

    def arithmetic(self, sign: int, h: Any, number: Callable[[Any], Any]) -> Arithmetic:
        def phi(k: int, c: Any) -> Any:
            z = number(c) * (sign * h)
            if k < 0:
                return self.field.one / z
            total, power = self.exp(z), self.field.one
            for j in range(k):
                total = total - power / factorial(j)
                power = power * z
            return total / power

        return Arithmetic(phi, number)


@dataclass(frozen=True)
class DiffusionTest:
    """A scheme on the test. ratio: previous step over this one, in lambda (an exact number)."""

    scheme: Scheme
    pair: Pair
    ratio: Any = 1

    def __post_init__(self) -> None:
        if self.pair not in PAIRS:
            raise ValueError(f"the test depends on the place for {self.pair}; allowed: {', '.join(map(str, PAIRS))}")
        if self.geometric and self.ratio != 1:
            raise ValueError("in this variable the grid is geometric: ratio 1")

    @property
    def geometric(self) -> bool:
        return self.pair[1] != "lambda"

    @property
    def corrected(self) -> bool:
        return self.scheme.corrector is not None

    @cached_property
    def step(self) -> Step:
        """With symbolic ratios on a geometric grid."""
        ratio = {"lambda": self.ratio, "rho": 1 / SHRINK, "1/rho": SHRINK}[self.pair[1]]
        ratios = [ratio ** (j + 1) for j in range(self.scheme.past)]
        return self.scheme.step(ratios, QQ(PAIRS[self.pair]))

    @cached_property
    def _gauge(self) -> tuple[Any, ...]:
        """m/(1 + theta m) at the values of a step, in Q(u): 1 + theta m is never a difference of rounded numbers."""
        m = SHRINK - 1 if self.pair[1] == "rho" else 1 / SHRINK - 1
        return tuple(None if isinstance(theta, Surd) else m / (1 + theta * m) for theta in self.step.thetas)

    def _shares(self, u: Any, number: Callable[[Any], Any]) -> list[Any]:
        """The gauge in numbers; u = e^{-h}."""
        rising = self.pair[1] == "1/rho"
        out = []
        for exact, theta in zip(self._gauge, self.step.thetas):
            if exact is not None:
                out.append(number(exact))
            else:
                start, end = number(1 - theta), number(theta)
                out.append((1 - u) / (start * u + end) if rising else (u - 1) / (start + end * u))
        return out

    @property
    def tolerance(self) -> float:
        """By how much |zeta| may exceed 1: rounding, or 1 % a step for methods whose error moves constants (Lawson)."""
        return 0.01 if self.lenient else 1e-9

    @property
    def lenient(self) -> bool:
        """Whether the method's error moves constants: nothing is said about |zeta| = 1 then."""
        return not self._one["w"]

    def polynomial(
        self, h: Any, kappa: Any, frame: Literal["w", "z"] = "w", numbers: Numbers | None = None
    ) -> Polynomial:
        """The characteristic polynomial of x/alpha ("w") or x/sigma ("z"); h, kappa: arrays that broadcast, or numbers."""
        numbers = numbers or Arrays(highest_phi(self.step))
        data, sign = self.pair[0] == "data", PAIRS[self.pair]
        share = kappa if data else 1 - kappa
        own = "w" if self.pair in (("data", "lambda"), ("noise", "rho")) else "z"
        if self.geometric:
            u = numbers.exp(-h)
            number = _at_shrink(u, numbers.number)
            shares = [share * f for f in self._shares(u, number)]
            p = characteristic(self.step, flat(number), shares, corrected=self.corrected)
        else:
            arithmetic = numbers.arithmetic(sign, h, numbers.number)
            p = characteristic(self.step, arithmetic, -sign * share * h, corrected=self.corrected)
        if frame == own:
            return p
        scale = numbers.exp(h if frame == "z" else -h)
        return tuple(c * scale**k for k, c in enumerate(p))

    def deflated(self, h: Any, kappa: Any, frame: Literal["w", "z"], numbers: Numbers | None = None) -> Polynomial:
        """Without the root 1 where the exact factor is 1 (kappa = 0 in z, kappa = 1 in w) and the method has it too."""
        p = self.polynomial(h, kappa, frame, numbers)
        return without_one(p) if self._keeps(kappa, frame) else p

    def _keeps(self, kappa: Any, frame: str) -> bool:
        if np.ndim(kappa) or kappa != (0 if frame == "z" else 1):
            return False
        return self._one[frame]

    @cached_property
    def _one(self) -> dict[str, bool]:
        """Whether the method has the root 1 where the exact factor is 1."""
        return {f: bool(abs(sum(self.polynomial(0.5, k, f))) < 1e-12) for f, k in (("z", 0.0), ("w", 1.0))}  # type: ignore[arg-type]

    def stable(self, h: ArrayLike, kappa: ArrayLike, frame: Literal["w", "z"] = "w") -> NDArray[np.bool_]:
        """The root condition; roots on the circle, to :attr:`tolerance`, count as inside."""
        return schur_cohn(self.deflated(np.asarray(h, float), kappa, frame), 1 + self.tolerance)

    def amplification(self, h: ArrayLike, kappa: ArrayLike, frame: Literal["w", "z"] = "w") -> NDArray[np.floating]:
        """max |zeta|: what a (kappa, h) map shows."""
        return largest_root(self.polynomial(np.asarray(h, float), np.asarray(kappa, float), frame))

    def parasitic(self, h: ArrayLike) -> NDArray[np.floating]:
        """The largest modulus of the other roots in z at kappa = 0, beside the exact root 1."""
        return largest_root(self.deflated(np.asarray(h, float), 0, "z"))


@dataclass(frozen=True, slots=True)
class DiffusionMap:
    """``amplification[i, j]`` = max |zeta_w| at kappa[i], h[j]; parasitic[j]: the other roots in z at kappa = 0."""

    kappa: NDArray[np.floating]
    h: NDArray[np.floating]
    amplification: NDArray[np.floating]
    parasitic: NDArray[np.floating]


def diffusion_map(test: DiffusionTest, *, reach: float = 8.0, points: tuple[int, int] = (64, 128)) -> DiffusionMap:
    """The two pictures a practitioner wants, on ``points`` = (kappa, h)."""
    kappa, h = np.linspace(0, 1, points[0]), np.linspace(reach / points[1], reach, points[1])
    return DiffusionMap(kappa, h, test.amplification(h, kappa[:, None]), test.parasitic(h))


def without_one(p: Polynomial) -> Polynomial:
    """p / (zeta - 1), from the low end: the large coefficient next to the leading one is never subtracted from."""
    out: list[Any] = []
    running: Any = 0
    for c in p[:1:-1]:
        running = running - c
        out.append(running)
    return (1, *out[::-1])


def _at_shrink(value: Any, number: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """From Q(u) into the numbers: u becomes ``value``."""

    def polynomial(p: Any) -> Any:
        return sum(number(c) * value**e for (e,), c in p.terms())

    def at(q: Any) -> Any:
        if not isinstance(q, FracElement):
            return number(q)
        return polynomial(q.numer) / polynomial(q.denom)

    return at


__all__ = ["PAIRS", "DiffusionMap", "DiffusionTest", "Exact", "Numbers", "Pair", "Wide", "diffusion_map", "without_one"]
