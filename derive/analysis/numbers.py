r"""Coefficient rows at any precision, straight from the tableau: the oracle that emitted code is compared with.

Nothing here is shared with the lowering: moments are k! phi_{k+1} = 1F1(1; k+2; z)/(k+1) by mpmath, or integrals by
mpmath's own quadrature; weights solve V w = mt by LU. Endpoint limits are taken numerically, at a node next to the end,
never by a formula from the generator. A quadrature that does not settle to 40 digits is an error, not a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.problems import SemilinearProblem
from derive.schedules import at_schedule
from derive.symbolic.alphabet import rho, t
from derive.symbolic.evaluate import Mpmath, evaluate
from derive.tableau import Row, Tableau

NEAR = {True: 80, False: 50}
"""A limit is taken 10^-NEAR of the domain before the end (sigma is a root there); by quadrature (False) digits cost time."""
SETTLED = 40
"""Digits to which a quadrature has to agree with itself."""


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
        self._steps: dict[tuple[Any, Any], tuple[dict[int, Any], dict[Any, tuple[Any, Any]]]] = {}

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
        ratios = [thetas[j] - thetas[j + 1] for j in range(len(thetas) - 1)]
        ratio, moments = self._moments(row, start, end, h, ratios)
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
        for k in range(len(row.nodes)):
            values[f"mu{k}"] = self._moment(k, start, end, h, scale)
        return ratio, [_value(m, values) for m in row.moments]

    def _moment(self, k: int, start: Any, end: Any, h: Any, scale: Any) -> Any:
        """int weight theta^k over the step; remembered, since rows of every order on one step need it."""
        moments, known = self._steps.setdefault((start, end), ({}, {}))
        origin = self.at(self.problem.chart, start)

        def weighted(u: Any) -> Any:
            if u not in known:
                known[u] = self._density(u, end, scale), (self.at(self.problem.chart, u) - origin) / h
            density, theta = known[u]
            return density * theta**k

        if k not in moments:
            moments[k] = self._integral(weighted, start, end)
        return moments[k]

    def _density(self, u: Any, end: Any, scale: Any) -> Any:
        weight = self.at(self.problem.weight, u)
        if scale is not None:
            return scale * weight
        return weight * self.mp.exp(self._integral(lambda v: self.at(self.problem.drift, v), u, end))

    def limit(self, row: Row, nodes: Sequence[float]) -> dict[str, Any]:
        """The row of a step whose end nodes[0] or start nodes[1] is an end of the domain: its value just before it.

        Entries are within 1e-22 of the largest one from their limits; one that grows without bound has none.
        """
        return self.row(row, [self.near(x) if j < 2 else x for j, x in enumerate(nodes)])

    def near(self, time: Any) -> Any:
        """``time``, or where it is an end of the domain, a point inside that is as good as there."""
        noise, data = self._ends()
        inwards = {noise: data - noise, data: noise - data}.get(self.mp.mpf(time))
        return time if inwards is None else time + inwards / self.mp.mpf(10) ** NEAR[self.problem.kernel.closed]

    def denoised(self, time: Any) -> tuple[Any, Any]:
        """(dx, dr) of x0 = dx x + dr raw at a node."""
        dx, dr = self.problem.to_data
        return self.at(dx, time), self.at(dr, time)

    def dlambda(self, end: Any, start: Any) -> Any:
        """lambda(end) - lambda(start), by subtraction of logarithms with digits to spare."""
        return self.mp.log(self.at(rho, start)) - self.mp.log(self.at(rho, end))

    def _ends(self) -> tuple[Any, Any]:
        schedule = self.problem.schedule
        return self.algebra.number(schedule.noise), self.algebra.number(schedule.data)

    def _integral(self, f: Any, start: Any, end: Any) -> Any:
        """int_start^end f du, in pieces between the kinks of a polygon table."""
        tables = self.problem.schedule.tables.values()
        kinks = {self.mp.mpf(x) for table in tables for x in table.knots if min(start, end) < x < max(start, end)}
        points = [start, *sorted(kinks, reverse=start > end), end]
        return self.mp.fsum(self._smooth_integral(f, a, b) for a, b in pairwise(points))

    def _smooth_integral(self, f: Any, start: Any, end: Any) -> Any:
        """int_start^end f du, u = data +- y^2 (a root at the data end becomes smooth), by two substitutions at most.

        First y itself, measured from the end of the step that is closer to an end of the domain, so that no digit is
        lost there; then the logarithm of the distance to that end: the integrand may grow like 1/distance^2. Raises
        ArithmeticError if neither settles.
        """
        mp, (noise, data) = self.mp, self._ends()
        _, last, edge = min((abs(x - e), j, e) for j, x in enumerate((start, end)) for e in (noise, data) if x != e)
        side = 1 if max(start, end) > data else -1
        roots = [mp.sqrt(abs(x - data)) for x in (start, end)]
        border, close, far = mp.sqrt(abs(edge - data)), roots[last], roots[1 - last]
        sign = 1 if far > border else -1

        def slope(y: Any) -> Any:
            return f(data + side * y * y) * 2 * side * y

        def logarithmic(v: Any) -> Any:
            distance = mp.exp(v)
            return slope(border + sign * distance) * sign * distance

        value = self._settled(
            lambda z: slope(close + z * (far - close)) * (far - close), [0, mp.mpf(1) / 4, mp.mpf(1) / 2, 1]
        )
        if value is None and close != border:
            low, high = mp.log(abs(close - border)), mp.log(abs(far - border))
            count = int((high - low) / 6) + 2
            value = self._settled(logarithmic, [low + (high - low) * j / count for j in range(count + 1)])
        if value is None:
            raise ArithmeticError(f"the quadrature from t = {float(start)!r} to {float(end)!r} does not settle")
        return -value if last else value

    def _settled(self, f: Any, points: list[Any]) -> Any:
        """The integral over the panels between ``points`` if Gauss-Legendre agrees with itself there, else None."""
        mp = self.mp

        def scaled(z: Any) -> Any:
            with mp.workprec(self.algebra.bits):
                return f(z) / size

        size = mp.one
        size = max(abs(scaled((a + b) / mp.mpf(2)) * (b - a)) for a, b in pairwise(points)) or mp.one
        with mp.workdps(SETTLED + 6):
            value, error = mp.quad(scaled, points, method="gauss-legendre", maxdegree=7, error=True)
            return value * size if error <= abs(value) * mp.mpf(10) ** -SETTLED else None


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
