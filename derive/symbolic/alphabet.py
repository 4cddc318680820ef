"""One alphabet: every symbol of the project is declared once, here, with its assumptions.

``t`` is the time that the schedule is written in; ``s`` the start of an interval whose end is ``t``;
``x = alpha x0 + sigma eps`` with ``lam = log(alpha/sigma)`` and ``rho = sigma/alpha``.
"""

from __future__ import annotations

import sympy as sp

t, s, u = sp.symbols("t s u", real=True)
alpha, sigma, rho = sp.symbols("alpha sigma rho", positive=True)
lam = sp.Symbol("lambda", real=True)
dalpha, dsigma = sp.symbols("dalpha dsigma", real=True)
drho = sp.Symbol("drho", real=True)
"""Slopes: alpha'(t), sigma'(t), rho'(t)."""
h = sp.Symbol("h", real=True)
z = sp.Symbol("z", real=True)
theta = sp.Symbol("theta", real=True)


class expm1(sp.Function):  # noqa: N801  (the field's name)
    """``exp(x) - 1`` without cancellation; kept unevaluated so that printers and evaluators see it."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        return x if x.is_zero else None

    def fdiff(self, argindex: int) -> sp.Expr:
        return sp.exp(*self.args)


class log1p(sp.Function):  # noqa: N801
    """``log(1 + x)`` without cancellation; kept unevaluated."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        return x if x.is_zero else None

    def fdiff(self, argindex: int) -> sp.Expr:
        return 1 / sp.Add(1, *self.args)


class phi(sp.Function):  # noqa: N801
    """``phi(k, z)``: phi_0 = exp, phi_{k+1}(z) = (phi_k(z) - 1/k!)/z, phi_k(0) = 1/k! (Hochbruck-Ostermann 2010, Eq. 2.10)."""

    nargs = 2


class tabulated(sp.Function):  # noqa: N801
    """``tabulated(name, t)``: a curve given by data in ``Schedule.tables[name]``; its derivative is ``tabulated_slope``."""

    nargs = 2

    def fdiff(self, argindex: int) -> sp.Expr:
        return tabulated_slope(*self.args)


class tabulated_slope(sp.Function):  # noqa: N801
    """``d/dt`` of :class:`tabulated`."""

    nargs = 2
