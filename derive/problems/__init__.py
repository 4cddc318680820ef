"""Problems: each builds the one semilinear form that method families see.

    x(t) = (G(t)/G(s)) x(s) + int_s^t (G(t)/G(u)) w(u) F(u) du

The folder is the registry: ``problems/<kind>.py`` exports ``REFERENCE``, ``PARAMETERS`` (its own keys of the spec) and
``pose(schedule, prediction, integrand, variable, **parameters) -> SemilinearProblem``.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from derive.predictions import Prediction
from derive.schedules import Schedule
from derive.tableau import Kernel


class PoseError(ValueError):
    """A problem that cannot be posed; ``key`` is the place in the spec that says so."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise that a step adds, N(0, s^2) with s^2 = int (G_t/G_u)^2 g^2 du.

    share: T = tau^2, in the alphabet; density: g^2 = 2 T sigma^2 lambda'. closed: (at the end, at the start, rate) with
    s = product of the two sqrt(1 - e^{-2 rate h}), h the step of lambda, where s is that; else by quadrature. excess: T h
    of a step in the symbol h, where T is another in every step. variance: exact; left: g(s)^2 h; large: 1 - alpha_s^2/alpha_t^2,
    on a variance-preserving path. segment: (time u in t, whether it is cut to a whole number)
    where a step to t goes to u first, and by the forward process from there (:mod:`derive.problems.consistency`).
    """

    share: sp.Expr
    density: sp.Expr
    closed: tuple[sp.Expr, sp.Expr, sp.Rational] | None = None
    excess: sp.Expr | None = None
    segment: tuple[sp.Expr, bool] | None = None
    variance: str = "exact"

    def __str__(self) -> str:
        if self.segment is not None:
            time, whole = self.segment
            return f"  noise    = N(0, sigma^2 (1 - (rho_u/rho)^2)), u = {f'floor({time})' if whole else time}"
        if self.variance != "exact":
            law = {"left": f"g^2 |t - s|), g^2 = {self.density} at s", "large": "1 - alpha_s^2/alpha_t^2)"}[
                self.variance
            ]
            return f"  noise    = N(0, {law}"
        if self.closed is None:
            return f"  noise    = N(0, int (G_t/G_u)^2 g^2 du), g^2 = {self.density}"
        end, start, rate = self.closed
        return f"  noise    = N(0, ({end})^2 ({start})^2 (1 - exp(-2*{rate}*h))), the second at the start"


@dataclass(frozen=True, slots=True)
class SemilinearProblem:
    """The variation-of-constants formula in one variable, with everything a step needs besides the method.

    variable: its name; chart: chi(t); factor: G(t) (None: by quadrature of ``drift`` A(t)); weight: B(u)/G(u) (with G = 1 where
    it is None); kernel: closed or not; prefactor: P(t) with m_k = P h mu_k for a closed kernel; mass: the limit of the total
    weight where G vanishes; finite: whether chi is finite at "sigma_zero" / "alpha_zero"; departs: whether a step can start there
    (G finite and non-zero); to_integrand: (cx, cr) with F = cx x + cr N; to_data: the same for x0.
    All expressions are in (t, alpha, sigma, rho, dalpha, dsigma): functions of one grid point. others: the same problem in
    further integrands, for methods that switch between several. ddim: ((dx, df), (ex, ef)) with x0 = dx x + df F and
    eps = ex x + ef F, where the step keeps these two; the kernel is then the problem's, and no row's. noise: what a step adds, of an
    SDE.
    """

    schedule: Schedule
    prediction: Prediction
    integrand: Prediction
    variable: str
    chart: sp.Expr
    factor: sp.Expr | None
    drift: sp.Expr
    weight: sp.Expr
    kernel: Kernel
    prefactor: sp.Expr | None
    mass: sp.Expr | None
    finite: dict[str, bool]
    departs: dict[str, bool]
    vanishes: dict[str, bool]
    to_integrand: tuple[sp.Expr, sp.Expr]
    to_data: tuple[sp.Expr, sp.Expr]
    others: tuple[SemilinearProblem, ...] = ()
    ddim: tuple[tuple[sp.Expr, sp.Expr], tuple[sp.Expr, sp.Expr]] | None = None
    noise: Noise | None = None

    def of(self, integrand: int) -> SemilinearProblem:
        """The problem in the integrand at that place: 0 this one."""
        return (self, *self.others)[integrand]

    @property
    def _step(self) -> str:
        """The kernel, or what a step keeps."""
        if self.ddim is not None:
            kept = (f"{name} = ({a}) x + ({b}) F" for name, (a, b) in zip(("x0", "eps"), self.ddim, strict=True))
            return f"steps keep {', '.join(kept)}"
        return str(self.kernel) + (f", C = {self.prefactor} * h" if self.prefactor is not None else "")

    def __str__(self) -> str:
        factor = self.factor if self.factor is not None else "exp(int A)"
        return "\n".join(
            [
                f"schedule {self.schedule.kind}; network returns {self.prediction.kind}; "
                f"integrand {self.integrand.kind}; variable {self.variable}",
                f"  G        = {factor}",
                f"  weight   = {self.weight}",
                f"  chi      = {self.chart}",
                f"  {self._step}",
                f"  F        = ({self.to_integrand[0]}) x + ({self.to_integrand[1]}) N",
                *([str(self.noise)] if self.noise else []),
                *map(str, self.others),
            ]
        )
