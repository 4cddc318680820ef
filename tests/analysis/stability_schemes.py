"""Schemes and steps written by hand from textbooks and papers, for the tests of stability."""

from __future__ import annotations

from types import SimpleNamespace

import sympy as sp
from sympy import QQ

from derive.symbolic.forms import Form, Step, constant
from derive.symbolic.moments import alphabet, exact_moments, history_nodes
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row, one

AB = alphabet()
DATA, NOISE, FLAT = Kernel(QQ(-1)), Kernel(QQ(1)), Kernel(QQ(0))
EVEN = (QQ(1),) * 8
ANY_ALPHA, ANY_SIGMA = sp.symbols("a s")
KINDS = [(-1, 1, 0, "lambda"), (1, 0, 1, "lambda"), (0, 0, 1, "rho"), (0, 1, 1, "t")]
"""(rate of the kernel, c0, c1, variable)."""


def posed(c0, c1, variable, alpha=ANY_ALPHA, sigma=ANY_SIGMA):
    """What a summary reads of a problem: the integrand c0 x0 + c1 eps in a variable, on a schedule."""
    problem = SimpleNamespace(
        schedule=SimpleNamespace(alpha=alpha, sigma=sigma),
        integrand=SimpleNamespace(c0=sp.Integer(c0), c1=sp.Integer(c1)),
        variable=variable,
    )
    problem.of = [problem].__getitem__
    return problem


def adams(order, kernel=FLAT, overrides=None):
    return Scheme((), multistep_row(order, kernel, overrides))


def midpoint(kernel):
    """2M as published: the first moment is phi_1/2."""
    return adams(2, kernel, {1: AB.phi[1] / 2})


def unipc(order, kernel, pec=True):
    """UniPC of an order with B(h) = e^h - 1: UniP over the newest values, UniC with the value at the end as well."""
    predictor = multistep_row(order, kernel, {1: AB.phi[1] / 2} if order == 2 else {})
    exact = exact_moments(order + 2, kernel.closed)
    moments = (exact[0], AB.phi[1] / 2) if order == 1 else exact[: order + 1]
    history = [Node("history", j, theta) for j, theta in enumerate(history_nodes(order))]
    corrector = Row("corrector", (Node("stage", 1, QQ(1)), *history), moments, exact, x_history=(one(),))
    return Scheme((), predictor, corrector) if pec else Scheme((predictor,), corrector)


def explicit(c, a, b):
    """A classical Runge-Kutta method as a step."""
    count = len(b)

    def row(weights):
        return tuple(constant(QQ.convert(w)) for w in weights) + (Form(),) * (count - len(weights))

    return Step(tuple(QQ.convert(x) for x in c), 1, tuple(row(r) for r in a), row(b), QQ(0))


HALF = QQ(1, 2)
RK2 = explicit([0, HALF], [[HALF]], [0, 1])
RK3 = explicit([0, HALF, 1], [[HALF], [-1, 2]], [QQ(1, 6), QQ(2, 3), QQ(1, 6)])
RK4 = explicit([0, HALF, HALF, 1], [[HALF], [0, HALF], [0, 0, 1]], [QQ(1, 6), QQ(1, 3), QQ(1, 3), QQ(1, 6)])
