r"""Rows of a tableau as functions of the grid points of one step: what ``coefficients.py`` computes.

A row that ends at abscissa c is a step over [0, c]: its moments are those of that span, its prefactor P(end) c h, and its
nodes are measured in units of it (:mod:`derive.tableau`). So a multistep row, a Runge-Kutta stage and a corrector are
written by the same lines; what differs is where the row starts, where it ends, and which column a weight goes to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import factorial
from typing import Any

import sympy as sp

from derive.problems import SemilinearProblem
from derive.program.coefficients import Assign, Function
from derive.program.ir import Program
from derive.program.newton import divided, newton_body, top_phi
from derive.program.phases import conversion
from derive.program.renoise import renoised
from derive.program.spanned import spanned
from derive.symbolic.alphabet import alpha, dalpha, drho, dsigma, rho, sigma, t
from derive.symbolic.alphabet import h as step
from derive.symbolic.forms import ONE, ZERO, Form, as_expr, shown
from derive.tableau import Node, Row, Scheme, Tableau

H0 = sp.Symbol("h[0]")
LETTERS = "pqvwxyz"
"""phi_k(c z) is printed p1, p2, .. for the first c of a row, q1, q2, .. for the second, and so on."""
CURVES = {x: sp.Symbol(f"{x}(t)") for x in (alpha, sigma, rho, dalpha, dsigma, drho)}
"""Curves of the schedule as calls of the module's own functions."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row ends: the grid point's name in the function, and its abscissa in units of the step."""

    name: str
    abscissa: Any

    @property
    def time(self) -> str:
        return f"{self.name}.t"


END = Place("t", sp.Integer(1))


class Lowering:
    """Collects the functions of one coefficient module. problem: in the integrand of the rows that are being written."""

    def __init__(self, tableau: Tableau, problem: SemilinearProblem, program: Program, scale: sp.Expr | None) -> None:
        self.tableau, self.problem, self.program, self.scale = tableau, problem, program, scale
        self.problems = (problem, *problem.others)
        self.integrand = 0
        self.schedule = problem.schedule
        self.functions: list[Function] = []

    def of(self, integrand: int) -> Lowering:
        """The same module, seen from another integrand."""
        other = copy(self)
        other.problem, other.integrand = self.problems[integrand], integrand
        return other

    def called(self, name: str) -> str:
        """The name of a function that every integrand has of its own."""
        return f"{name}_{self.integrand}" if self.integrand else name

    def node(self, expr: sp.Expr, which: str) -> sp.Expr:
        """The expression at the grid point that the function calls ``which``, in the fields of that Node."""
        fields = {x: sp.Symbol(f"{which}.{x}") for x in (alpha, sigma, dalpha, dsigma)}
        return expr.subs(rho, sigma / alpha).subs(t, sp.Symbol(f"{which}.t")).subs(fields)

    @property
    def slopes(self) -> tuple[sp.Symbol, ...]:
        """The slopes that a Node needs, because an expression at a grid point has them."""
        used: list[sp.Expr] = []
        for p in self.problems:
            used += [*p.to_integrand, *p.to_data, *(e for e in (p.factor, p.prefactor, p.mass) if e is not None)]
        return tuple(x for x in (dalpha, dsigma) if any(e.has(x) for e in used))

    @property
    def knots(self) -> tuple[str, ...]:
        """The name of the times at which the schedule has a kink, if it is a table joined by straight lines."""
        return tuple(
            f"{name.upper()}_KNOTS" for name, table in sorted(self.schedule.tables.items()) if table.kind == "linear"
        )

    @property
    def samples(self) -> bool:
        """Whether a row takes the kernel at single points (a Runge-Kutta method where the kernel is not constant)."""
        rows = [row for scheme in every_scheme(self.tableau) for row in scheme.rows]
        return not self.problem.kernel.closed and any(
            k == 0 and c for row in rows for form in row.given for (k, c), _ in form.terms
        )

    @property
    def adaptive(self) -> bool:
        """Whether the method has an embedded row, so that its steps may be chosen by the error."""
        return self.tableau.schemes[-1].embedded is not None

    @property
    def speed(self) -> sp.Expr:
        """d chi/dt in the alphabet."""
        chart = self.problem.chart
        total = sp.diff(chart, t)
        for symbol, slope in ((alpha, dalpha), (sigma, dsigma), (rho, drho)):
            total += sp.diff(chart, symbol) * slope
        return total

    def read_slopes(self) -> set[sp.Symbol]:
        """The slopes that anything in the module reads."""
        p, inside = self.problem, []
        for each in self.problems:
            inside += [] if each.kernel.closed or each.ddim else [each.weight]
            inside += [each.drift] if each.factor is None else []
        inside += [self.speed] if self.samples or self.adaptive else []
        noise = p.noise
        if noise is not None and noise.closed is None and noise.variance != "large":
            inside += [noise.density, *([p.drift] if noise.variance == "exact" else [])]
        inside += [p.drift, p.weight, p.factor or sp.Integer(1)] if self.adaptive else []
        return set(self.slopes) | {x for x in (dalpha, dsigma, drho) if any(e.has(x) for e in inside)}

    def define(self, name: str, args: tuple[str, ...], doc: str, expr: sp.Expr) -> None:
        """A function of times, with common subexpressions named."""
        replaced, [reduced] = sp.cse(expr, symbols=(sp.Symbol(f"q{i}") for i in range(1000)), order="canonical")
        body = tuple(Assign((str(symbol),), value) for symbol, value in replaced)
        self.functions.append(Function(name, args, doc, body, (reduced,)))

    def propagator(self, place: Place = END) -> tuple[sp.Expr, sp.Expr]:
        """(G_end/G_s, G_end); without a closed factor, what ``propagated`` gives: Phi, and moments that carry it."""
        factor = self.problem.factor
        if factor is None:
            return sp.Symbol("a"), sp.Integer(1)
        if self.excess is not None:
            ratio = self.node(sigma, place.name) / self.node(sigma, "s")
            return ratio * sp.exp(-sp.Symbol("k")), sp.Integer(1)
        at_end, at_s = self.node(factor, place.name), self.node(factor, "s")
        return at_end / at_s, at_end

    def exponent(self, body: list[Assign], place: Place) -> sp.Expr:
        """z: the rate of the kernel times the span; where T is another in every step, of this one."""
        span = place.abscissa * H0
        if self.excess is None:
            return self.rate * span
        body.append(Assign(("k",), self.excess.subs(step, span), comment="T h"))
        return -(span + sp.Symbol("k"))

    def size(self, place: Place) -> sp.Expr:
        """C h: the prefactor of a closed kernel at the end of the span, times its length."""
        length, prefactor = place.abscissa * H0, self.node(self.problem.prefactor, place.name)  # type: ignore[arg-type]
        return prefactor * length if self.excess is None else -prefactor / self.rate * (length + sp.Symbol("k"))

    @property
    def excess(self) -> sp.Expr | None:
        """T h of a step, where T is another in every step."""
        return None if self.problem.noise is None else self.problem.noise.excess

    def spread(self, since: str, place: Place = END) -> sp.Expr:
        """The standard deviation of the noise between two grid points."""
        return sp.Symbol(f"spread({since}, {place.name})")

    @property
    def last_spread(self) -> sp.Expr:
        """The same where a step of lambda is infinite."""
        assert self.problem.noise is not None
        if self.problem.noise.variance == "large":  # only from alpha = 0: 1 - alpha_s^2/alpha_t^2
            return sp.Integer(1)
        if self.problem.noise.variance == "left":
            return self.spread("s")
        if self.problem.noise.closed is None:  # only where G vanishes, and the noise with it
            return sp.Integer(0)
        at_end, at_start, _ = self.problem.noise.closed
        return self.node(at_end, "t") * self.node(at_start, "s")

    @property
    def rate(self) -> sp.Rational:
        rate = self.problem.kernel.rate
        return sp.Rational(int(rate.numerator), int(rate.denominator))  # type: ignore[attr-defined]

    def finish(
        self,
        name: str,
        doc: str,
        body: Sequence[Assign],
        values: Mapping[str, sp.Expr],
        call: str = "s",
        inner: bool = False,
    ) -> str:
        """The row function ``name``: all columns, zero where ``values`` says nothing; ``call``: where the network is called.

        At the start of a step, ``s``, its output becomes part of the history, in every integrand that this keeps.
        """
        known = dict(values)
        for k in sorted({self.integrand, *(self.tableau.kept if call == "s" else ())}):
            pair = zip(conversion(k), self.problems[k].to_integrand, strict=True)
            known |= {column: self.node(e, call) for column, e in pair if column in self.program.columns}
        if self.scale is not None:
            known["cin"] = self.node(self.scale, call)
        columns = self.program.columns
        row = tuple(known.get(column, sp.Integer(0)) for column in columns)
        args = ("s", "t", "h", "u") if inner else ("s", "t", "h")
        self.functions.append(Function(name, args, doc, tuple(body), row))
        return name


def every_scheme(tableau: Tableau) -> tuple[Scheme, ...]:
    """All schemes of the method, the starter last."""
    return (*tableau.schemes, *([tableau.starter] if tableau.starter else []))


def scheme_rows(low: Lowering, scheme: Scheme, names: Sequence[str]) -> str | tuple[str, ...]:
    """The row functions of a scheme, one per network call, called ``names``; one name alone for one call."""
    rows = (*scheme.stages, scheme.output)
    low = low.of(scheme.integrand)
    of = f" of {low.tableau.names[low.integrand]}" if low.tableau.others else ""
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        place = Place(f"u[{i + 1}]", as_expr(row.end)) if i < len(scheme.stages) else END
        call = f"u[{i}]" if i else "s"
        doc = _doc(row, place, i, len(rows), "" if low.tableau.table else "Order ", of)
        body, a, weights = row_body(low, row, place)
        values = {"a": a} | {_column(n): w for n, w in zip(row.nodes, weights, strict=True)}
        if low.problem.noise is not None and scheme.advances(i):
            values["s"] = _noise(low, i, place, a, lasts=i < len(scheme.stages))
        low.finish(name, doc, body, values, call, inner=bool(scheme.stages))
    return names[0] if len(names) == 1 else tuple(names)


def _noise(low: Lowering, call: int, place: Place, a: sp.Expr, lasts: bool) -> sp.Expr:
    """s: the noise from where the row of the call before ends to where this one does, seen from x' or, where a later call
    builds on it, from the start of the step."""
    spread = low.spread(f"u[{call}]" if call else "s", place)
    return spread / a if lasts else spread


def _column(node: Any) -> str:
    return f"{'b' if node.kind == 'history' else 'd'}{node.index}"


def _doc(row: Row, place: Place, i: int, count: int, order: str, of: str = "") -> str:
    terms = "".join(
        f" + {_column(n)} {'F' if n.kind == 'history' else 'K'}{n.index}"
        for n in sorted(row.nodes, key=lambda n: (n.kind, n.index))
    )
    if count == 1:
        count = len(row.nodes)
        values = f"{order}{count}" if order else f"{count or 'No'} value{'s' * (count > 1)}{of}"
        return f"{values}: x' = a x{terms}."
    where = (
        f"stage {i + 1} at theta = {shown(place.abscissa)}" if place is not END else f"the step{of and ', values' + of}"
    )
    return f"Call {i + 1} of {count}, {where}: x' = a {'y' if i else 'x'}{terms}."


def corrector_row(low: Lowering, row: Row, name: str) -> str:
    """The function of a corrector: (ca, cb0, .., cbk) of x_t = ca x_s + cb0 F(t) + cb1 F(s) + ..."""
    low = low.of(row.integrand)
    body, a, weights = row_body(low, row, END)
    values = {_known(n): w for n, w in zip(row.nodes, weights, strict=True)}
    count = sum(column.startswith("cb") for column in low.program.columns)
    returns = (a, *(values.get(j, sp.Integer(0)) for j in range(count)))
    terms = " + ".join(["ca x(s)", "cb0 F(t)", *(f"cb{j} F{j}" for j in sorted(values)[1:])])
    low.functions.append(Function(name, ("s", "t", "h"), f"Corrects x(t) = {terms}.", tuple(body), returns))
    return name


def _known(node: Node) -> int:
    """Which of F(t), F(s), .. a corrector's node is."""
    return 0 if node.kind == "stage" else node.index + 1


def error_row(low: Lowering, scheme: Scheme) -> str:
    """The function ``error``: weights of x_{n+1} minus the embedded output on F0, K1, .., and the value at x_{n+1}."""
    assert scheme.embedded is not None
    nodes = [Node("history", 0, ZERO), *(Node("stage", i, row.end) for i, row in enumerate(scheme.stages, 1))]
    nodes.append(Node("stage", len(nodes), ONE))
    weights = {(n.kind, n.index): Form() for n in nodes}
    for row, sign in ((scheme.output, 1), (scheme.embedded, -1)):
        for node, form in zip(row.nodes, row.forms(()), strict=True):
            weights[node.kind, node.index] += form * sign
    row = Row("error", tuple(nodes), (), (), given=tuple(weights.values()))
    body, _, values = row_body(low, row, END)
    doc = "Weights of the error estimate on F0, K1, .. and the value at the end of the step."
    low.functions.append(Function("error", ("s", "t", "h", "u"), doc, tuple(body), tuple(values)))
    return "error"


def row_body(low: Lowering, row: Row, place: Place) -> tuple[list[Assign], sp.Expr, list[sp.Expr]]:
    """(assignments, a, weight of every node) of a row that starts at ``s`` and ends at ``place``."""
    if row.back:
        return spanned(low, row)
    if not row.nodes:
        return [], low.propagator(place)[0], []
    if low.problem.noise is not None and low.problem.noise.segment is not None:
        return renoised(low)
    if row.transfer == "ddim":
        return _ddim_body(low, row, place)
    past = max((n.index for n in row.nodes if n.kind == "history"), default=0)
    past = 0 if row.given or len(row.nodes) == 1 else past
    body = [
        Assign((f"r{j}",), sp.Symbol(f"h[{j + 1}]") / H0, comment="" if j else "step ratios, newest first")
        for j in range(past)
    ]
    ratio, at_end = low.propagator(place)
    if row.given:
        return _given_body(low, row, place, body, ratio, at_end)
    kernel, z = low.problem.kernel, None
    count = len(row.nodes)
    if not kernel.closed:
        body.append(_integrals(low, place, count))
        c = at_end
    else:
        top = max((top_phi(m) for m in row.moments), default=0)
        if kernel.rate != 0 and top:
            z = low.exponent(body, place)
            body.append(
                Assign(tuple(f"p{k}" for k in range(1, top + 1)), call="phis", args=(top, z), comment="phi_k(z)")
            )
        c = low.size(place)
    body.append(Assign(("c",), c))
    values = newton_body(body, row.newton, kernel.closed and kernel.rate == 0, z)
    return body, ratio, [sp.Symbol("c") * w for w in divided(values, row.relative)]


def _ddim_body(low: Lowering, row: Row, place: Place) -> tuple[list[Assign], sp.Expr, list[sp.Expr]]:
    """alpha_t x0 + sigma_t eps, where x0 and eps are those of x_s and the combined value."""
    assert low.problem.ddim is not None
    path = [low.node(curve, place.name) for curve in (alpha, sigma)]
    a, c = (sum(at * low.node(part, "s") for at, part in zip(path, column)) for column in zip(*low.problem.ddim))
    return [Assign(("c",), c, comment="of DDIM's step")], a, [sp.Symbol("c") * as_expr(q.at_zero) for q in row.given]


def _integrals(low: Lowering, place: Place, count: int) -> Assign:
    """``mu0, .. = moments(..)`` over the row's span, with Phi in front where G has no closed form."""
    names = tuple(f"mu{k}" for k in range(count))
    weight, drift = low.called("weight"), low.called("drift")
    args = ("chart", "s.t", place.time, count, low.schedule.data, *low.knots)
    if low.problem.factor is None:
        return Assign(
            ("a", *names), call="propagated", args=(weight, drift, *args), comment="Phi, int Phi weight theta^k dt"
        )
    return Assign(names, call="moments", args=(weight, *args), comment="int weight theta^k dt")


def _given_body(
    low: Lowering, row: Row, place: Place, body: list[Assign], ratio: sp.Expr, at_end: sp.Expr
) -> tuple[list[Assign], sp.Expr, list[sp.Expr]]:
    kernel = low.problem.kernel
    if kernel.closed:
        c = low.node(low.problem.prefactor, place.name) * H0  # type: ignore[arg-type]
        if kernel.rate == 0:
            numbers = [as_expr(form.at_zero) for form in row.given]
            return body, ratio, [c * q for q in numbers]
        weights = [_phi_form(low, form, body, row) for form in row.given]
        body.append(Assign(("c",), c))
        return body, ratio, [sp.Symbol("c") * w for w in weights]
    top = max((k for form in row.given for (k, c), _ in form.terms if c == row.end), default=0)
    if top or low.problem.factor is None:
        body.append(_integrals(low, place, top))
    weights = [
        _sampled_form(low, form, place, node, row, body) for form, node in zip(row.given, row.nodes, strict=True)
    ]
    return body, ratio, [at_end * w for w in weights]


def _phi_form(low: Lowering, form: Form, body: list[Assign], row: Row) -> sp.Expr:
    """sum q phi_k(c z) with the phi functions named, all functions of one argument in one call."""
    scales: dict[Any, int] = {}
    for other in row.given:
        for (k, c), _ in other.terms:
            if c:
                scales[c] = max(scales.get(c, 0), k)
    letters = dict(zip(scales, LETTERS, strict=False))
    if not any(a.call == "phis" for a in body):
        for c, top in scales.items():
            if top:
                names = tuple(f"{letters[c]}{k}" for k in range(1, top + 1))
                note = "phi_k(z)" if c == 1 else f"phi_k({as_expr(c)} z)"
                body.append(Assign(names, call="phis", args=(top, low.rate * as_expr(c) * H0), comment=note))
    total = sp.Integer(0)
    for (k, c), q in form.terms:
        if not c:
            value = sp.Integer(1)
        elif k:
            value = sp.Symbol(f"{letters[c]}{k}")
        else:
            value = sp.exp(low.rate * as_expr(c) * H0)
        total += as_expr(q) * value
    return total


def _sampled_form(low: Lowering, form: Form, place: Place, node: Any, row: Row, body: list[Assign]) -> sp.Expr:
    """A weight where the kernel is only known by its values and moments (:mod:`derive.tableau` says which forms exist)."""
    at = "s" if node.kind == "history" else f"u[{node.index}]"
    theta = 0 if node.kind == "history" else node.theta
    total = sp.Integer(0)
    for (k, c), q in form.terms:
        if k == 0 and c == row.end - theta:
            carried = sp.Integer(1)
            if low.problem.factor is None and c:  # a node where the row ends: Phi is 1
                carried = sp.Symbol(f"g{node.index}")
                names = (f"g{node.index}",)
                args = ("weight", "drift", "chart", f"{at}.t", place.time, 0, low.schedule.data, *low.knots)
                body.append(Assign(names, call="propagated", args=args, comment="Phi from the node on"))
            total += as_expr(q) * carried * H0 * sp.Symbol(f"weight({at}.t)") / sp.Symbol(f"speed({at}.t)")
        elif k >= 1 and c == row.end:
            total += as_expr(q) * sp.Symbol(f"mu{k - 1}") / factorial(k - 1) / place.abscissa
        else:
            raise ValueError(f"{form} has no meaning for a kernel that is not exponential")
    return total


__all__ = [
    "CURVES",
    "END",
    "H0",
    "Lowering",
    "corrector_row",
    "divided",
    "error_row",
    "every_scheme",
    "newton_body",
    "row_body",
    "scheme_rows",
]
