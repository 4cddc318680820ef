r"""Coefficient rows at any precision, straight from the tableau: the oracle that emitted code is compared with.

Nothing here is shared with the lowering: moments are k! phi_{k+1} = 1F1(1; k+2; z)/(k+1) by mpmath, or integrals by
rules of their own (:mod:`derive.analysis.integrals`); weights solve V w = mt by LU; the nodes of stages come from Newton
on the chart in a bracket. Endpoint limits are taken numerically, at a node next to the end, never by a formula from the
generator.

A row is a step from t_n to where it ends, theta = c. Weights that solve a moment equation do so in units of that span
(nodes theta_j/c, moments over [t_n, t_c]); weights that are given are forms with respect to C h of the whole step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.analysis.integrals import SETTLED, Integrals
from derive.predictions import network_scale
from derive.problems import SemilinearProblem
from derive.schedules import at_schedule
from derive.symbolic.alphabet import alpha, rho, sigma, t
from derive.symbolic.evaluate import Mpmath, evaluate
from derive.symbolic.forms import Form
from derive.tableau import Node, Row, Scheme, Tableau

NEAR = {True: 80, False: 50}
"""A limit is taken 10^-NEAR of the domain before the end (sigma is a root there); by quadrature (False) digits cost time."""

Values = dict[str, Any]


class Oracle:
    """Rows of one tableau on one problem, in an mpmath context of its own with ``digits`` decimal digits.

    The working precision is far higher (``digits`` + 120), so that differences of nearby nodes keep ``digits`` digits.
    ``times`` of a step are t_{n+1}, t_n, t_{n-1}, ..: at least as far back as its rows read.
    """

    def __init__(self, tableau: Tableau, problem: SemilinearProblem, digits: int = 50) -> None:
        self.tableau, self.problem = tableau, problem
        self.algebra = Mpmath(int((digits + 120) * 3.33))
        self.mp = self.algebra.context
        self.digits = digits
        knots = [self.mp.mpf(x) for table in problem.schedule.tables.values() for x in table.knots]
        self.integrals = Integrals(self.algebra, *self._ends(), knots)
        self._scale = network_scale(problem.prediction.network)
        self._slope = sp.diff(at_schedule(problem.chart, problem.schedule), t)
        self._expressions: dict[sp.Expr, sp.Expr] = {}
        self._spans: dict[tuple[Any, Any], list[Any]] = {}
        self._curves: dict[tuple[Any, Any], dict[Any, tuple[Any, Any]]] = {}
        self._inverses: dict[tuple[Any, Any, Any], Any] = {}
        self._others: dict[int, Oracle] = {}

    def of(self, integrand: int) -> Oracle:
        """The oracle of the same tableau in another of its integrands."""
        if integrand and integrand not in self._others:
            self._others[integrand] = Oracle(self.tableau, self.problem.of(integrand), self.digits)
        return self._others[integrand] if integrand else self

    # -- steps -----------------------------------------------------------------------------------------------------

    def calls(self, scheme: Scheme, times: Sequence[Any]) -> list[Values]:
        """The rows of one step, one for each call of the network: {a, b0, .., d1, .., cx, cr, cin} without zero columns."""
        rows = (*scheme.stages, scheme.output)
        places = [self.place(c, times) for c in scheme.abscissae]
        found = [self.weights(row, times) for row in rows]
        ends = [*places, self.mp.mpf(times[0])]
        for i, (values, at) in enumerate(zip(found, places, strict=True)):
            if self.problem.noise is not None and scheme.advances(i):
                lasts = i < len(scheme.stages)
                values["s"] = self.spread(at, ends[i + 1]) / (self._factor(ends[0], ends[i + 1]) if lasts else 1)
            for k in sorted({scheme.integrand, *(() if i else self.tableau.kept)}):
                values |= self.evaluated(at, k)
        return found

    def row(self, row: Row, nodes: Sequence[Any]) -> Values:
        """{a, b0, .., d1, .., cx, cr} of a row whose network call is at t_n."""
        found = self.weights(row, nodes) | self.evaluated(nodes[1])
        found.pop("cin", None)
        return found

    def corrector(self, row: Row, times: Sequence[Any]) -> Values:
        """{ca, cb0, cb1, ..} of x_{n+1} = ca x_n + cb0 F(t_{n+1}) + cb1 F_n + cb2 F_{n-1} + ..."""
        found = self.weights(row, times)
        out = {"ca": found["a"]}
        for node in row.nodes:
            stage = node.kind == "stage"
            out["cb0" if stage else f"cb{node.index + 1}"] = found[f"{'d' if stage else 'b'}{node.index}"]
        return out

    def error(self, scheme: Scheme, times: Sequence[Any]) -> list[Any]:
        """Weights of (output - embedded output) on F_n, the stages in order, and the value at x_{n+1}."""
        assert scheme.embedded is not None
        both = (self.weights(row, times) for row in (scheme.output, scheme.embedded))
        names = ["b0", *(f"d{i}" for i in range(1, len(scheme.stages) + 2))]
        output, embedded = both
        return [output.get(name, self.mp.zero) - embedded.get(name, self.mp.zero) for name in names]

    def spread(self, start: Any, end: Any) -> Any:
        """The standard deviation of the noise between two times: int (Phi(end, u) g(u))^2 du, by rules of its own.

        Next to an end of the domain by the antiderivative, in lambda.
        """
        noise = self.problem.noise
        assert noise is not None
        start, end = self.mp.mpf(start), self.mp.mpf(end)
        if noise.segment is not None:
            up = self._up(end)
            return self.mp.sqrt(self.at(sigma, end) ** 2 - (up * self.at(sigma, self.begins(end))) ** 2)
        if noise.variance == "left":
            return self.mp.sqrt(self.at(noise.density, start) * (end - start))
        if noise.variance == "large":  # none in a step to sigma = 0
            clean = self.problem.schedule.data_end == "sigma_zero" and self._touching(end, end, self._ends()[0])
            return self.mp.zero if clean else self.mp.sqrt(1 - (self.at(alpha, start) / self.at(alpha, end)) ** 2)
        length = abs(self._ends()[1] - self._ends()[0])
        if noise.closed is not None and (noise.excess is not None or self._touching(start, end, length)):
            at_end, at_start, rate = noise.closed
            grown = -self.mp.expm1(-2 * self.number(rate) * self.dlambda(end, start))
            return self.at(at_end, end) * self.at(at_start, start) * self.mp.sqrt(grown)
        if self.problem.factor is None:
            damping, added = (partial(self.at, e) for e in (2 * self.problem.drift, noise.density))
            return self.mp.sqrt(self.integrals.propagated(damping, added, lambda u: 0, start, end, 1)[1])
        scale, factor = self.at(self.problem.factor, end), self.problem.factor

        def density(u: Any) -> Any:
            return self.at(noise.density, u) * (scale / self.at(factor, u)) ** 2

        return self.mp.sqrt(self.integrals.integral(density, start, end))

    def begins(self, end: Any) -> Any:
        """u, the time from which a step to ``end`` goes by the forward process; past training step 0 there is no noise."""
        assert self.problem.noise is not None and self.problem.noise.segment is not None
        time, whole = self.problem.noise.segment
        found = evaluate(time, {t: end}, self.algebra)
        return min(self.mp.floor(found), end) if whole else found

    def _up(self, end: Any) -> Any:
        """alpha_t/alpha_u of the forward process to ``end``."""
        return self.at(alpha, end) / self.at(alpha, self.begins(end))

    def _renoised(self, start: Any, end: Any) -> tuple[Any, Any]:
        """(weight of x, weight of x0): to u with the noise of x that x0 leaves, then scaled up."""
        left = self._up(end) * self.at(sigma, self.begins(end)) / self.at(sigma, start)
        return left, self.at(alpha, end) - left * self.at(alpha, start)

    def _touching(self, start: Any, end: Any, length: Any) -> bool:
        return any(abs(x - place) < length * self.mp.mpf(10) ** -20 for x in (start, end) for place in self._ends())

    def evaluated(self, time: Any, integrand: int = 0) -> Values:
        """What belongs to a call of the network at ``time``: cx, cr (of another integrand cx1, cr1, ..) and, where there
        is one, cin."""
        cx, cr = self.problem.of(integrand).to_integrand
        which = integrand or ""
        out = {f"cx{which}": self.at(cx, time), f"cr{which}": self.at(cr, time)}
        return out if self._scale is None else out | {"cin": self.at(self._scale, self.near(time))}

    def limit(self, row: Row, nodes: Sequence[Any]) -> Values:
        """The row of a step whose end nodes[0] or start nodes[1] is an end of the domain: its value just before it.

        Entries are within 1e-22 of the largest one from their limits; one that grows without bound has none.
        """
        return self.row(row, self.inside(nodes))

    def inside(self, nodes: Sequence[Any]) -> list[Any]:
        """The times of a step with its end and its start moved into the domain."""
        return [self.near(x) if j < 2 else x for j, x in enumerate(nodes)]

    def near(self, time: Any) -> Any:
        """``time``, or where it is an end of the domain, a point inside that is as good as there."""
        noise, data = self._ends()
        inwards = {noise: data - noise, data: noise - data}.get(self.mp.mpf(time))
        return time if inwards is None else time + inwards / self.mp.mpf(10) ** NEAR[self._closed]

    @property
    def _closed(self) -> bool:
        return all(self.problem.of(k).kernel.closed for k in range(1 + len(self.problem.others)))

    def place(self, c: Any, times: Sequence[Any]) -> Any:
        """The time at abscissa ``c`` of the step from times[1] to times[0]."""
        if c == 0 or c == 1:
            return times[1] if c == 0 else times[0]
        return self._inverse(self.number(c), self.mp.mpf(times[1]), self.mp.mpf(times[0]))

    # -- curves ----------------------------------------------------------------------------------------------------

    def at(self, expr: sp.Expr, time: Any) -> Any:
        """The value of an expression of one grid point (alpha, sigma, ..) at ``time``."""
        if expr not in self._expressions:
            self._expressions[expr] = at_schedule(expr, self.problem.schedule)
        return evaluate(self._expressions[expr], {t: self.mp.mpf(time)}, self.algebra, self.problem.schedule.tables)

    def speed(self, time: Any) -> Any:
        """d chi/dt."""
        return evaluate(self._slope, {t: self.mp.mpf(time)}, self.algebra, self.problem.schedule.tables)

    def slope(self, time: Any) -> Values:
        """{p, q} of dx/dchi = p x + q F."""
        speed = self.speed(time)
        return {
            "p": self.at(self.problem.drift, time) / speed,
            "q": self._carried(self.mp.mpf(time), self.mp.mpf(time)) / speed,
        }

    def denoised(self, time: Any) -> tuple[Any, Any]:
        """(dx, dr) of x0 = dx x + dr raw at a node."""
        dx, dr = self.problem.to_data
        return self.at(dx, time), self.at(dr, time)

    def dlambda(self, end: Any, start: Any) -> Any:
        """lambda(end) - lambda(start), by subtraction of logarithms with digits to spare."""
        return self.mp.log(self.at(rho, start)) - self.mp.log(self.at(rho, end))

    def number(self, value: Any) -> Any:
        """An exact number, with or without roots, as a number of the context."""
        if isinstance(value, int):
            return self.mp.mpf(value)
        if isinstance(value, PolyElement):
            return self._value(value, {})
        if hasattr(value, "as_expr"):
            return evaluate(value.as_expr(), {}, self.algebra)
        return self.mp.mpf(int(value.numerator)) / int(value.denominator)

    # -- one row ---------------------------------------------------------------------------------------------------

    def weights(self, row: Row, times: Sequence[Any]) -> Values:
        """{a, b0, .., d1, ..}: the factor of x_n and the weights of F_n, F_{n-1}, .. and of the stages."""
        return self.of(row.integrand)._weights(row, times)

    def _weights(self, row: Row, times: Sequence[Any]) -> Values:
        if row.back:
            return self._earlier(row, times)
        mp, problem = self.mp, self.problem
        start, end = mp.mpf(times[1]), mp.mpf(self.place(row.end, times))
        h = self.at(problem.chart, mp.mpf(times[0])) - self.at(problem.chart, start)
        names = [f"{'b' if node.kind == 'history' else 'd'}{node.index}" for node in row.nodes]
        if row.transfer == "ddim":
            kept, whole = self._ddim(start, end)
            return {"a": kept, **{name: whole * self.number(q.at_zero) for name, q in zip(names, row.given)}}
        if problem.noise is not None and problem.noise.segment is not None:
            kept, whole = self._renoised(start, end)
            return {"a": kept, names[0]: whole}
        if row.given:
            values = [self._given(row, j, start, end, h, times) for j in range(len(names))]
        else:
            values = self._solved(row, start, end, h, times)
        return {"a": self._factor(start, end), **dict(zip(names, values, strict=True))}

    def _ddim(self, start: Any, end: Any) -> tuple[Any, Any]:
        """(a, c) of a x + c F: (x0, eps) solves x = alpha x0 + sigma eps, F = c0 x0 + c1 eps at the start, and stays."""
        quantity = self.problem.integrand
        at_start = [[self.at(e, start) for e in pair] for pair in ((alpha, sigma), (quantity.c0, quantity.c1))]
        path = self.mp.matrix([self.at(alpha, end), self.at(sigma, end)])
        kept, whole = self.mp.lu_solve(self.mp.matrix(at_start).T, path)
        return kept, whole

    def _earlier(self, row: Row, times: Sequence[Any]) -> Values:
        """A row that starts at an earlier state, from x_n: less what the row that led to x_n has put into it."""
        assert row.inner is not None
        out = {"a": self._factor(*(self.mp.mpf(times[j]) for j in (1, 0)))}
        out |= {f"b{node.index}": self.mp.zero for node in row.nodes}
        for ago, weight in self._since(row, times).items():
            out[f"b{ago}"] += weight
        for ago, weight in self._since(row.inner, times[1:]).items():
            out[f"b{ago + 1}"] -= out["a"] * weight
        return out

    def _since(self, row: Row, times: Sequence[Any]) -> dict[int, Any]:
        """Weights, by steps ago, of a row from where it starts."""
        mp, chart, own, back = self.mp, self.problem.chart, row.span or row, row.back
        places = [self.at(chart, mp.mpf(x)) for x in times[: 2 + back]]
        length = places[0] - places[-1]
        thetas = [(places[1 + back - node.index] - places[-1]) / length for node in own.nodes]
        values = {f"phi{k}": self._phi(k, length) for k in range(len(thetas) + 2)}
        unit = self.at(self.problem.prefactor, mp.mpf(times[0])) * length  # type: ignore[arg-type]
        vandermonde = mp.matrix([[theta**k if k else mp.one for theta in thetas] for k in range(len(thetas))])
        found = mp.lu_solve(vandermonde, mp.matrix([unit * self._value(m, values) for m in own.moments]))
        return {back - node.index: weight for node, weight in zip(own.nodes, found)}

    def _solved(self, row: Row, start: Any, end: Any, h: Any, times: Sequence[Any]) -> list[Any]:
        """V w = mt in units of the row's own span."""
        if not row.nodes:
            return []
        mp, problem = self.mp, self.problem
        own = self.number(row.end)
        read = 1 + max((node.index for node in row.nodes if node.kind == "history"), default=0)
        past = [(self.at(problem.chart, mp.mpf(x)) - self.at(problem.chart, start)) / h for x in times[1 : read + 1]]
        thetas = [(past[n.index] if n.kind == "history" else self.number(n.theta)) / own for n in row.nodes]
        values: Values = {f"r{j}": past[j] - past[j + 1] for j in range(len(past) - 1)}
        unit = mp.one
        if problem.kernel.closed:
            unit = self.at(problem.prefactor, end) * own * h  # type: ignore[arg-type]
            if problem.noise is not None and problem.noise.excess is not None:
                unit *= self._rate(own * h) / self.number(problem.kernel.rate)
            values |= {f"phi{k}": self._phi(k, own * h) for k in range(len(thetas) + 2)}
            values |= {"pole": 1 / (self._rate(own * h) * own * h)} if problem.kernel.rate != 0 else {}
        else:
            values |= {f"mu{k}": m for k, m in enumerate(self._integrated(start, end, len(thetas))[1:])}
        vandermonde = mp.matrix([[theta**k if k else mp.one for theta in thetas] for k in range(len(thetas))])
        found = mp.lu_solve(vandermonde, mp.matrix([unit * self._value(m, values) for m in row.moments]))
        return list(found)

    def _given(self, row: Row, j: int, start: Any, end: Any, h: Any, times: Sequence[Any]) -> Any:
        """The value of a form: q phi_k(c z) times C h, or what that means for a kernel that is not exponential."""
        node, form = row.nodes[j], row.given[j]
        if self.problem.kernel.closed:
            unit = self.at(self.problem.prefactor, end) * h  # type: ignore[arg-type]
            return unit * self._form(form, h)
        theta = 0 if node.kind == "history" else self.number(node.theta)
        total: Any = self.mp.zero
        for (k, c), q in form.terms:
            if k == 0 and self.number(c) == self.number(row.end) - theta:
                at = self.mp.mpf(times[1] if node.kind == "history" else self.place(abscissa(node), times))
                total += self.number(q) * h * self._carried(at, end) / self.speed(at)
            elif k and c == row.end:
                total += self.number(q) * self._integrated(start, end, k)[k] / self.mp.factorial(k - 1) / self.number(c)
            else:
                raise ValueError(f"row {row.name}: {form} has no meaning for a kernel that is not exponential")
        return total

    def _form(self, form: Form, h: Any) -> Any:
        return sum((self.number(q) * self._phi(k, self.number(c) * h) for (k, c), q in form.terms), self.mp.zero)

    def _phi(self, k: int, span: Any) -> Any:
        """phi_k(q span), q the rate of the kernel."""
        return self.mp.hyp1f1(1, k + 1, self._rate(span) * span) / self.mp.factorial(k)

    def _rate(self, span: Any) -> Any:
        """The rate of the kernel; with DDIM's eta that of this step, whose T is such that its noise is eta^2 of the most."""
        noise = self.problem.noise
        if noise is None or noise.excess is None:
            return self.number(self.problem.kernel.rate)
        kept = 1 - self.number(noise.share) * (1 - self.mp.exp(-2 * span))
        return -1 + self.mp.log(kept) / (2 * span)

    def _factor(self, start: Any, end: Any) -> Any:
        """Phi(end, start)."""
        noise = self.problem.noise
        if noise is not None and noise.excess is not None:
            h = self.dlambda(end, start)
            return self.at(sigma, end) / self.at(sigma, start) * self.mp.exp((self._rate(h) + 1) * h)
        if self.problem.factor is not None:
            return self.at(self.problem.factor, end) / self.at(self.problem.factor, start)
        return self._integrated(start, end, 0)[0]

    def _carried(self, at: Any, end: Any) -> Any:
        """Phi(end, u) B(u)."""
        weight = self.at(self.problem.weight, at)
        if self.problem.factor is not None:
            return self.at(self.problem.factor, end) * weight
        return weight if at == end else self._factor(at, end) * weight

    def _integrated(self, start: Any, end: Any, count: int) -> list[Any]:
        """[Phi, mu_0, .., mu_{count-1}] of the span: mu_k = int Phi(end, u) B(u) theta^k du, remembered."""
        found = self._spans.setdefault((start, end), [])
        if len(found) > count:
            return found
        problem, known = self.problem, self._curves.setdefault((start, end), {})
        widest = max(len(row.nodes) for scheme in self.tableau.schemes for row in scheme.rows)
        origin, top = (self.at(problem.chart, x) for x in (start, end)) if widest > 1 else (0, 1)

        def theta(u: Any) -> Any:
            return (self.at(problem.chart, u) - origin) / (top - origin)

        def weighted(k: int, u: Any) -> Any:
            if u not in known:
                known[u] = self.at(problem.weight, u), theta(u) if widest > 1 else None
            density, ratio = known[u]
            return density * ratio**k if k else density

        if problem.factor is None:
            drift, speed = (partial(self.at, e) for e in (problem.drift, problem.weight))
            found[:] = self.integrals.propagated(drift, speed, theta, start, end, widest)
        else:
            scale = self.at(problem.factor, end)
            found += [] if found else [scale / self.at(problem.factor, start)]
            for k in range(len(found) - 1, count):
                found.append(scale * self.integrals.integral(partial(weighted, k), start, end))
        return found

    def _inverse(self, c: Any, start: Any, end: Any) -> Any:
        """u with chi(u) = chi(start) + c (chi(end) - chi(start)): Newton, halving where it would leave the bracket.

        A Newton step below the root of eps is the last one: its square is less than the noise of those that follow.
        """
        key = c, start, end
        if key not in self._inverses:
            low, high = self.at(self.problem.chart, start), self.at(self.problem.chart, end)
            goal, a, b, u = low + c * (high - low), start, end, start + c * (end - start)
            rising, step, small = high > low, end - start, self.mp.eps ** self.mp.mpf(0.625)
            while abs(step) > abs(u - self._ends()[1]) * self.mp.eps * 16:
                gap = self.at(self.problem.chart, u) - goal
                a, b = (u, b) if (gap < 0) == rising else (a, u)
                slope, before = self.speed(u), step
                step = -gap / slope if slope else end - start
                if abs(step) < abs(u - self._ends()[1]) * small:
                    u += step
                    break
                if not min(a, b) < u + step < max(a, b) or abs(2 * step) > abs(before):
                    step = (a + b) / 2 - u
                if u + step == u:
                    break
                u += step
            self._inverses[key] = u
        return self._inverses[key]

    def _ends(self) -> tuple[Any, Any]:
        schedule = self.problem.schedule
        return self.algebra.number(schedule.noise), self.algebra.number(schedule.data)

    def _value(self, element: PolyElement, values: Mapping[str, Any]) -> Any:
        """An element of the tableau ring at these values of its generators."""
        total = self.mp.zero
        names = [str(g) for g in element.ring.symbols]
        for monom, coefficient in element.terms():
            term = self.number(coefficient)
            for name, exponent in zip(names, monom):
                for _ in range(exponent):
                    term = term * values[name]
            total = total + term
        return total


def abscissa(node: Node) -> Any:
    """Where a stage's value sits, as a number."""
    return node.theta.coeff(1) if isinstance(node.theta, PolyElement) else node.theta


__all__ = ["NEAR", "SETTLED", "Oracle"]
