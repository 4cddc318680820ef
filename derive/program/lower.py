"""Tableau -> Program, and the functions of the grid that its coefficient names stand for.

The program is the same for every schedule, prediction and variable: evaluate, convert, combine, push. What differs is what
the coefficients are worth, and that is written here, once, as named functions of the two grid nodes of a step.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import sympy as sp
from sympy.polys.rings import PolyElement

from derive.problems import SemilinearProblem
from derive.program.coefficients import Assign, CoefficientModule, Function
from derive.program.ir import Combine, Evaluate, Line, Operation, Phase, Program, Push
from derive.symbolic.alphabet import alpha, dalpha, drho, dsigma, expm1, rho, sigma, t
from derive.symbolic.moments import exact_moments, newton_moments
from derive.tableau import Row, Tableau

MODULE_SCHEMA = 1
H0 = sp.Symbol("h[0]")


def lower(tableau: Tableau, problem: SemilinearProblem, name: str, scaled: bool) -> Program:
    """The unfused program: one phase per order, ``start_1 .. start_{k-1}`` and ``main``."""
    converts = problem.to_integrand != (0, 1)
    steps = tableau.steps
    phases = tuple(_phase(order, steps, converts, scaled) for order in range(1, steps + 1))
    columns = ["a", *(f"b{j}" for j in range(steps))] + (["cx", "cr"] if converts else []) + (["cin"] if scaled else [])
    return Program(name, phases, tuple(columns), steps - 1)


def _phase(order: int, steps: int, converts: bool, scaled: bool) -> Phase:
    newest = "m0" if converts else "raw"
    operations: list[Operation] = [Evaluate("raw", "x", "n", "cin" if scaled else None)]
    if converts:
        operations.append(Combine((Line("m0", (("cx", "x"), ("cr", "raw"))),)))
    terms = [("a", "x"), ("b0", newest), *((f"b{j}", f"m[{j}]") for j in range(1, order))]
    operations.append(Combine((Line("x'", tuple(terms)),)))
    operations.append(Push("m", newest))
    return Phase("main" if order == steps else f"start_{order}", tuple(operations))


class _Lowering:
    """Collects the functions of one coefficient module."""

    def __init__(self, tableau: Tableau, problem: SemilinearProblem, program: Program) -> None:
        self.tableau, self.problem, self.program = tableau, problem, program
        self.schedule = problem.schedule
        self.functions: list[Function] = []

    def node(self, expr: sp.Expr, which: str) -> sp.Expr:
        """The expression at the start (``s``) or the end (``t``) of the step, in the fields of that Node."""
        fields = {x: sp.Symbol(f"{which}.{x}") for x in (alpha, sigma, dalpha, dsigma)}
        return expr.subs(rho, sigma / alpha).subs(t, sp.Symbol(f"{which}.t")).subs(fields)

    @property
    def slopes(self) -> tuple[sp.Symbol, ...]:
        """The slopes that a Node needs, because an expression at a grid point has them."""
        p = self.problem
        used = [*p.to_integrand, *p.to_data, *(e for e in (p.factor, p.prefactor, p.mass) if e is not None)]
        return tuple(x for x in (dalpha, dsigma) if any(e.has(x) for e in used))

    @property
    def knots(self) -> tuple[str, ...]:
        """The name of the times at which the schedule has a kink, if it is a table joined by straight lines."""
        return tuple(
            f"{name.upper()}_KNOTS" for name, table in sorted(self.schedule.tables.items()) if table.kind == "linear"
        )

    def read_slopes(self) -> set[sp.Symbol]:
        """The slopes that anything in the module reads."""
        p = self.problem
        inside = [] if p.kernel.closed else [p.weight]
        inside += [p.drift] if p.factor is None else []
        return set(self.slopes) | {x for x in (dalpha, dsigma, drho) if any(e.has(x) for e in inside)}

    def define(self, name: str, args: tuple[str, ...], doc: str, expr: sp.Expr) -> None:
        """A function of times, with common subexpressions named."""
        replaced, [reduced] = sp.cse(expr, symbols=(sp.Symbol(f"q{i}") for i in range(1000)), order="canonical")
        body = tuple(Assign((str(symbol),), value) for symbol, value in replaced)
        self.functions.append(Function(name, args, doc, body, (reduced,)))


def coefficients(
    tableau: Tableau,
    problem: SemilinearProblem,
    program: Program,
    network_time: sp.Expr,
    network_scale: sp.Expr | None,
    constants: tuple[tuple[str, Any, str], ...],
) -> CoefficientModule:
    """What every coefficient of the program is worth, as the functions of one module (see :class:`CoefficientModule`)."""
    low = _Lowering(tableau, problem, program)
    _schedule_functions(low)
    _kernel_functions(low)
    rows = tuple(_row(low, row, network_scale) for row in tableau.rows)
    limits = _limits(low, rows, network_scale)
    node = [("alpha", "alpha"), ("sigma", "sigma"), *((str(x), str(x)) for x in low.slopes)]
    dx, dr = (low.node(e, "s") for e in problem.to_data)
    low.functions.append(Function("denoised", ("s",), "x0 = dx*x + dr*raw at a node.", (), (dx, dr)))
    low.define("time", ("t",), "What the network is fed at time t.", network_time)
    if low.schedule.warp is not None:
        low.define("warp", ("u",), "The clock of default grids: a map of [0, 1] onto itself.", low.schedule.warp)
    finite = {end: bool(value) for end, value in sorted(problem.finite.items())}
    fixed = (
        ("SCHEMA", MODULE_SCHEMA, ""),
        ("STEPS", tableau.steps, "integrand values that a full row combines"),
        ("COLUMNS", program.columns, ""),
        ("DOMAIN", (float(low.schedule.noise), float(low.schedule.data)), "noise end, data end"),
        ("NOISE_END", low.schedule.noise_end, ""),
        ("DATA_END", low.schedule.data_end, ""),
        ("CHART_FINITE", finite, "whether the variable is finite at such an end"),
        ("START", tableau.start, ""),
        ("FINAL", tableau.final, ""),
        ("WARP", "warp" if low.schedule.warp is not None else None, ""),
    )
    return CoefficientModule(
        constants=(*fixed, *constants),
        node=tuple(node),
        functions=tuple(low.functions),
        rows=rows,
        limits=limits,
        tables=dict(low.schedule.tables),
    )


def _schedule_functions(low: _Lowering) -> None:
    """alpha, sigma, rho through log_alpha wherever it shows; slopes only if something reads them."""
    schedule = low.schedule
    short = {schedule.log_alpha: sp.Symbol("log_alpha(t)")} if schedule.log_alpha.has(t) else {}
    low.define("log_alpha", ("t",), "log alpha(t).", schedule.log_alpha)
    low.define("alpha", ("t",), "alpha(t): the weight of the data.", schedule.alpha.subs(short))
    low.define("sigma", ("t",), "sigma(t): the weight of the noise.", schedule.sigma.subs(short))
    low.define("rho", ("t",), "rho = sigma/alpha.", schedule.rho.subs(short))
    low.define(
        "dlambda",
        ("t", "s"),
        "lambda(t) - lambda(s), lambda = log(alpha/sigma), without cancellation.",
        schedule.dlambda,
    )
    read = low.read_slopes()
    for symbol, curve, name in (
        (dalpha, schedule.alpha, "alpha"),
        (dsigma, schedule.sigma, "sigma"),
        (drho, schedule.rho, "rho"),
    ):
        if symbol in read:
            slope = sp.diff(curve, t)
            if symbol == drho:  # rho = sqrt(expm1(x)) with x > 0: one exponential serves both
                slope = sp.factor_terms(
                    slope.xreplace({sp.exp(x): 1 + expm1(x) for (x,) in (f.args for f in slope.atoms(expm1))})
                )
            low.define(f"d{name}", ("t",), f"{name}'(t).", slope.subs(short))


CURVES = {x: sp.Symbol(f"{x}(t)") for x in (alpha, sigma, rho, dalpha, dsigma, drho)}
"""Curves of the schedule as calls of the module's own functions."""


def _kernel_functions(low: _Lowering) -> None:
    problem = low.problem
    s_t, t_t = sp.Symbol("s.t"), sp.Symbol("t.t")
    low.define("chart", ("t",), f"chi(t): the variable {problem.variable}.", problem.chart.subs(CURVES))
    if problem.variable == "lambda":
        step = sp.Symbol("dlambda(t.t, s.t)")
    elif problem.chart == t:
        step = t_t - s_t
    else:
        step = sp.Symbol("chart(t.t)") - sp.Symbol("chart(s.t)")
    low.functions.append(
        Function("span", ("s", "t"), "chi(t) - chi(s) of two nodes: one step of the variable.", (), (step,))
    )
    if problem.factor is None:
        low.define("drift", ("t",), "A(t) of x' = A x + B F.", problem.drift.subs(CURVES))
    if not problem.kernel.closed:
        name = "B" if problem.factor is None else "B/G"
        low.define(
            "weight", ("t",), f"{name}: the weight of the integrand under the integral.", problem.weight.subs(CURVES)
        )


def _propagator(low: _Lowering) -> tuple[sp.Expr, sp.Expr]:
    """(G_t/G_s, G_t); without a closed factor, what ``propagated`` gives for this step: Phi, and moments that carry it."""
    factor = low.problem.factor
    if factor is None:
        return sp.Symbol("a"), sp.Integer(1)
    at_t, at_s = low.node(factor, "t"), low.node(factor, "s")
    return at_t / at_s, at_t


def _row(low: _Lowering, row: Row, scale: sp.Expr | None) -> str:
    """The function of a regular row; returns its name."""
    order = len(row.nodes)
    body = [
        Assign((f"r{j}",), sp.Symbol(f"h[{j + 1}]") / H0, comment="" if j else "step ratios, newest first")
        for j in range(order - 1)
    ]
    ratio, at_end = _propagator(low)
    kernel = low.problem.kernel
    if not kernel.closed:
        names = tuple(f"mu{k}" for k in range(order))
        data = low.schedule.data
        args = ("chart", "s.t", "t.t", order, data, *low.knots)
        if low.problem.factor is None:
            call = Assign(
                ("a", *names),
                call="propagated",
                args=("weight", "drift", *args),
                comment="Phi, int Phi weight theta^k dt",
            )
        else:
            call = Assign(names, call="moments", args=("weight", *args), comment="int weight theta^k dt")
        body.append(call)
        c = at_end
    else:
        top = max((_top_phi(m) for m in row.moments), default=0)
        if kernel.rate != 0 and top:
            z = _rate(low) * H0
            body.append(
                Assign(tuple(f"p{k}" for k in range(1, top + 1)), call="phis", args=(top, z), comment="phi_k(z)")
            )
        c = low.node(low.problem.prefactor, "t") * H0
    body.append(Assign(("c",), c))
    values = _newton_body(body, row.newton, kernel.closed and kernel.rate == 0)
    weights = [sp.Symbol("c") * w for w in _divided(values, order)]
    name = low.program.phases[order - 1].name
    doc = f"Order {order}: x' = a x + b0 F0" + "".join(f" + b{j} F{j}" for j in range(1, order)) + "."
    _finish_row(low, name, doc, body, ratio, weights, scale)
    return name


def _top_phi(element: PolyElement) -> int:
    symbols = {str(x) for x in element.as_expr().free_symbols}
    return max((int(n[3:]) for n in symbols if n.startswith("phi")), default=0)


def _newton_body(body: list[Assign], newton: tuple[PolyElement, ...], constant_kernel: bool) -> list[sp.Expr]:
    """Name the Newton moments M_k; trivial ones (a number, a symbol) stay where they are used."""
    values: list[sp.Expr] = []
    for k, moment in enumerate(newton):
        expr = moment.as_expr()
        renamed = {x: sp.Symbol("p" + x.name[3:]) for x in expr.free_symbols if x.name.startswith("phi")}
        if constant_kernel:
            expr = expr.subs({x: sp.Rational(1, factorial(int(x.name[3:]))) for x in renamed})
        else:
            expr = expr.subs(renamed)
        if expr.is_Atom:
            values.append(expr)
        else:
            body.append(Assign((f"M{k}",), expr))
            values.append(sp.Symbol(f"M{k}"))
    return values


def _divided(moments: list[sp.Expr], order: int) -> list[sp.Expr]:
    """w_j = sum_{k >= j} M_k / prod_{i <= k, i != j} (theta_j - theta_i), with theta_j - theta_i as sums of ratios."""
    r = [sp.Symbol(f"r{j}") for j in range(order - 1)]
    weights = []
    for j in range(order):
        terms = []
        for k in range(j, order):
            denominator = sp.Integer((-1) ** j)
            for i in range(k + 1):
                if i != j:
                    denominator *= sum(r[min(i, j) : max(i, j)], start=sp.Integer(0))
            terms.append(moments[k] / denominator)
        weights.append(sp.Add(*terms))
    return weights


def _finish_row(
    low: _Lowering, name: str, doc: str, body: list[Assign], a: sp.Expr, weights: list[sp.Expr], scale: sp.Expr | None
) -> None:
    steps = low.tableau.steps
    values = [a, *weights, *([sp.Integer(0)] * (steps - len(weights)))]
    if "cx" in low.program.columns:
        values += [low.node(e, "s") for e in low.problem.to_integrand]
    if scale is not None:
        values.append(low.node(scale, "s"))
    low.functions.append(Function(name, ("s", "t", "h"), doc, tuple(body), tuple(values)))


def _limits(low: _Lowering, rows: tuple[str, ...], scale: sp.Expr | None) -> dict[str, tuple[str, ...]]:
    """The rows that exist at sigma = 0 and alpha = 0, by order: analytic limits, rows that are regular there, or none.

    A step that starts at an end of the domain has no history, so one order is all there is to say about it.
    """
    problem, schedule = low.problem, low.schedule
    kernel = problem.kernel
    out: dict[str, tuple[str, ...]] = {}
    for end in ("sigma_zero", "alpha_zero"):
        arrive, leave = f"TO_{end.upper()}", f"FROM_{end.upper()}"
        if end not in (schedule.noise_end, schedule.data_end):
            out[arrive] = out[leave] = ()
        elif kernel.closed and kernel.rate != 0:
            if problem.vanishes[end]:
                out[arrive] = _concentrated(low, 1, end, scale)
            else:
                out[arrive] = (_exhausted(low, scale), *_decaying(low, end, scale))
            out[leave] = (_exhausted(low, scale),) if _departs(problem, end) else ()
        else:
            regular = problem.finite[end]
            usable = rows if regular else rows[:1]
            possible = regular or not kernel.closed
            out[leave] = rows[:1] if possible and _departs(problem, end) else ()
            arriving = usable if possible else ()
            out[arrive] = _concentrated(low, len(usable), end, scale) if problem.vanishes[end] else arriving
    return out


def _departs(problem: SemilinearProblem, end: str) -> bool:
    """Whether a step can start at the end: G is finite and not 0 there, and so is what the network says about F."""
    at = {sigma: 0} if end == "sigma_zero" else {alpha: 0}
    values = [c.subs(at) for c in problem.to_integrand]
    return problem.departs[end] and not any(v.has(sp.oo, -sp.oo, sp.zoo, sp.nan) for v in values)


def _exhausted(low: _Lowering, scale: sp.Expr | None) -> str:
    """Order 1 where the variable is infinite: int e^{-q chi} is (P_t - (G_t/G_s) P_s)/(-q), q the kernel's rate."""
    name = "limit"
    if all(f.name != name for f in low.functions):
        a, _ = _propagator(low)
        at_t, at_s = (low.node(low.problem.prefactor, w) for w in ("t", "s"))
        doc = "Order 1 where an end of the step has an infinite variable: the analytic limit."
        _finish_row(low, name, doc, [], a, [(at_t - a * at_s) / -_rate(low)], scale)
    return name


def _rate(low: _Lowering) -> sp.Rational:
    rate = low.problem.kernel.rate
    return sp.Rational(int(rate.numerator), int(rate.denominator))


def _decaying(low: _Lowering, end: str, scale: sp.Expr | None) -> tuple[str, ...]:
    """Rows of order 2 and up into an infinite variable where the kernel decays: int_0^inf e^{-q x} x^k dx = k!/q^{k+1}.

    The variable is not divided by the (infinite) step: nodes are 0, -h_1, -(h_1 + h_2), .. in its own unit.
    """
    prefactor = low.problem.prefactor
    vanishing = sigma if end == "sigma_zero" else alpha
    if prefactor is None or prefactor.subs(vanishing, 0) != 0 or not all(row.interpolatory for row in low.tableau.rows):
        return ()
    a, _ = _propagator(low)
    names = []
    for row in low.tableau.rows[1:]:
        order = len(row.nodes)
        moments = {sp.Symbol(f"mu{k}"): factorial(k) / _rate(low) ** k for k in range(order)}
        body = [
            Assign((f"r{j}",), sp.Symbol(f"h[{j + 1}]"), comment="" if j else "previous steps")
            for j in range(order - 1)
        ]
        body.append(Assign(("c",), a * low.node(prefactor, "s") / _rate(low)))
        newton = newton_moments(row.thetas, exact_moments(order, False))
        weights = [sp.Symbol("c") * w for w in _divided([m.as_expr().subs(moments) for m in newton], order)]
        names.append(_end_row(low, order, end, "the kernel decays, moments k!", body, a, weights, scale))
    return tuple(names)


def _concentrated(low: _Lowering, count: int, end: str, scale: sp.Expr | None) -> tuple[str, ...]:
    """Rows where G vanishes: the kernel concentrates at the end of the step, theta = 1, with total weight ``mass``."""
    mass = low.problem.mass
    if mass is None:
        return ()
    names = []
    for row in low.tableau.rows[:count]:
        order = len(row.nodes)
        moments = {sp.Symbol(f"mu{k}"): sp.Integer(1) for k in range(order)}
        moments |= {sp.Symbol(f"phi{k + 1}"): sp.Rational(1, factorial(k)) for k in range(order)}
        body = [Assign((f"r{j}",), sp.Symbol(f"h[{j + 1}]") / H0) for j in range(order - 1)]
        body.append(Assign(("c",), low.node(mass, "t")))
        weights = [sp.Symbol("c") * w for w in _divided([m.as_expr().subs(moments) for m in row.newton], order)]
        names.append(_end_row(low, order, end, "the integrand extrapolated to it", body, sp.Integer(0), weights, scale))
    return tuple(names)


def _end_row(
    low: _Lowering,
    order: int,
    end: str,
    why: str,
    body: list[Assign],
    a: sp.Expr,
    weights: list[sp.Expr],
    scale: sp.Expr | None,
) -> str:
    name = f"to_{end}_{order}"
    _finish_row(low, name, f"Order {order} into {end.replace('_zero', ' = 0')}: {why}.", body, a, weights, scale)
    return name


__all__ = ["coefficients", "lower"]
