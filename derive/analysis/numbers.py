r"""Coefficient rows at any precision, straight from the tableau: the oracle that emitted code is compared with.

Nothing here is shared with the lowering: moments are k! phi_{k+1} = 1F1(1; k+2; z)/(k+1) by mpmath, or integrals by mpmath's
own quadrature; weights solve V w = mt by LU. Endpoint limits are taken numerically, never by a formula from the generator.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.problems import SemilinearProblem
from derive.schedules import at_schedule
from derive.symbolic.alphabet import t
from derive.symbolic.evaluate import Mpmath, evaluate
from derive.tableau import Row, Tableau


class Oracle:
    """Rows of one tableau on one problem, in an mpmath context of its own with ``digits`` decimal digits.

    The working precision is far higher (``digits`` + 120), so that differences of nearby nodes keep ``digits`` digits.
    """

    def __init__(self, tableau: Tableau, problem: SemilinearProblem, digits: int = 50) -> None:
        self.tableau, self.problem = tableau, problem
        self.algebra = Mpmath(int((digits + 120) * 3.33))
        self.mp = self.algebra.context
        self.digits = digits
        self._expressions: dict[sp.Expr, sp.Expr] = {}

    def at(self, expr: sp.Expr, time: Any) -> Any:
        """The value of an expression of one grid point (alpha, sigma, ..) at ``time``."""
        if expr not in self._expressions:
            self._expressions[expr] = at_schedule(expr, self.problem.schedule)
        return evaluate(self._expressions[expr], {t: self.mp.mpf(time)}, self.algebra, self.problem.schedule.tables)

    def row(self, row: Row, nodes: Sequence[float]) -> dict[str, Any]:
        """Coefficients {a, b0, .., cx, cr} of a step from nodes[1] to nodes[0] with history nodes[2], nodes[3], ..."""
        mp, problem = self.mp, self.problem
        end, start = mp.mpf(nodes[0]), mp.mpf(nodes[1])
        at_end, at_start = self.at(problem.chart, end), self.at(problem.chart, start)
        h = at_end - at_start
        thetas = [(self.at(problem.chart, mp.mpf(n)) - at_start) / h for n in nodes[1 : len(row.nodes) + 1]]
        ratio, moments = self._moments(row, start, end, h, [(thetas[j] - thetas[j + 1]) for j in range(len(thetas) - 1)])
        vandermonde = mp.matrix([[theta**k if k else mp.one for theta in thetas] for k in range(len(thetas))])
        weights = mp.lu_solve(vandermonde, mp.matrix(moments))
        out = {"a": ratio, **{f"b{j}": weights[j] for j in range(len(thetas))}}
        cx, cr = problem.to_integrand
        return out | {"cx": self.at(cx, start), "cr": self.at(cr, start)}

    def _moments(self, row: Row, start: Any, end: Any, h: Any, ratios: Sequence[Any]) -> tuple[Any, list[Any]]:
        mp, problem = self.mp, self.problem
        values: dict[str, Any] = {f"r{j}": r for j, r in enumerate(ratios)}
        if problem.factor is not None:
            ratio, scale = self.at(problem.factor, end) / self.at(problem.factor, start), self.at(problem.factor, end)
        else:
            ratio, scale = mp.exp(self._integral(lambda u: self.at(problem.drift, u), start, end)), None
        if problem.kernel.closed:
            rate = mp.mpf(int(problem.kernel.rate.numerator)) / int(problem.kernel.rate.denominator)  # type: ignore[attr-defined]
            for k in range(len(row.nodes) + 2):
                values[f"phi{k}"] = mp.hyp1f1(1, k + 1, rate * h) / mp.factorial(k)
            unit = self.at(problem.prefactor, end) * h  # type: ignore[arg-type]
            return ratio, [unit * _value(m, values) for m in row.moments]
        origin = self.at(problem.chart, start)
        for k in range(len(row.nodes)):
            values[f"mu{k}"] = self._integral(lambda u, k=k: self._density(u, end, scale) * ((self.at(problem.chart, u) - origin) / h) ** k, start, end)
        return ratio, [_value(m, values) for m in row.moments]

    def _density(self, u: Any, end: Any, scale: Any) -> Any:
        weight = self.at(self.problem.weight, u)
        if scale is not None:
            return scale * weight
        return weight * self.mp.exp(self._integral(lambda v: self.at(self.problem.drift, v), u, end))

    def _integral(self, f: Any, start: Any, end: Any) -> Any:
        """int_start^end f, in y with u = data +- y^2 (a square root at the data end becomes smooth)."""
        mp = self.mp
        data = mp.mpf(sp.Rational(self.problem.schedule.data).p) / sp.Rational(self.problem.schedule.data).q
        side = 1 if max(start, end) > data else -1
        y0, y1 = mp.sqrt(abs(start - data)), mp.sqrt(abs(end - data))
        with mp.workdps(self.digits + 30):
            return mp.quad(lambda y: f(data + side * y * y) * 2 * side * y, [y0, (y0 + y1) / 2, y1], method="gauss-legendre", maxdegree=9)


def _value(element: PolyElement, values: Mapping[str, Any]) -> Any:
    total: Any = 0
    names = [str(g) for g in element.ring.symbols]
    for monom, coefficient in element.terms():
        term: Any = coefficient.numerator
        for name, exponent in zip(names, monom):
            for _ in range(exponent):
                term = term * values[name]
        total = total + term / coefficient.denominator
    return total
