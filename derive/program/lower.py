"""The functions of the grid that the coefficient names of a program stand for: one module per solver.

The program is the same for every schedule, prediction and variable: evaluate, convert, combine, keep. What differs is what
the coefficients are worth, and that is written here, once, as named functions of the grid points of a step. Rows are
written in :mod:`derive.program.rows`, those that touch an end of the domain in :mod:`derive.program.ends`.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.problems import SemilinearProblem
from derive.program.coefficients import Assign, CoefficientModule, Function, Rows
from derive.program.ends import limits
from derive.program.ir import Program
from derive.program.phases import begin_names, conversion, names
from derive.program.renoise import segment_functions
from derive.program.rows import CURVES, Lowering, corrector_row, error_row, every_scheme, scheme_rows
from derive.symbolic.alphabet import dalpha, drho, dsigma, expm1, rho, t
from derive.symbolic.forms import as_expr
from derive.tableau import Scheme, Tableau

S_T, T_T = sp.Symbol("s.t"), sp.Symbol("t.t")
MODULE_SCHEMA = 2
"""The contract of generated code that the runtime executes."""


def coefficients(
    tableau: Tableau,
    problem: SemilinearProblem,
    program: Program,
    network_time: sp.Expr,
    network_scale: sp.Expr | None,
    constants: tuple[tuple[str, Any, str], ...],
) -> CoefficientModule:
    """What every coefficient of the program is worth, as the functions of one module (see :class:`CoefficientModule`)."""
    low = Lowering(tableau, problem, program, network_scale)
    _schedule_functions(low)
    _kernel_functions(low)
    if problem.noise is not None and problem.noise.segment is not None:
        segment_functions(low)
    elif problem.noise is not None:
        _noise_functions(low)
    if low.adaptive or any(c not in (0, 1) for scheme in every_scheme(tableau) for c in scheme.abscissae):
        _inner_function(low)
    rows = tuple(scheme_rows(low, scheme, names(k, tableau)) for k, scheme in enumerate(tableau.schemes))
    tuples: dict[str, Rows] = {"ROWS": rows}
    tuples["CORRECTORS"] = tuple(
        corrector_row(low, scheme.corrector, f"correct_{k}")
        for k, scheme in enumerate(tableau.schemes, 1)
        if scheme.corrector
    )
    tuples["BEGIN"] = begin_names(tableau)
    if tableau.starter:
        scheme_rows(low, tableau.starter, begin_names(tableau))
    tuples["ERROR"] = (error_row(low, tableau.schemes[-1]),) if tableau.schemes[-1].embedded else ()
    tuples |= limits(low, rows)
    node = [("alpha", "alpha"), ("sigma", "sigma"), *((str(x), str(x)) for x in low.slopes)]
    dx, dr = (low.node(e, "s") for e in problem.to_data)
    low.functions.append(Function("denoised", ("s",), "x0 = dx*x + dr*raw at a node.", (), (dx, dr)))
    low.define("time", ("t",), "What the network is fed at time t.", network_time)
    if low.schedule.warp is not None:
        low.define("warp", ("u",), "The clock of default grids: a map of [0, 1] onto itself.", low.schedule.warp)
    finite = {end: bool(value) for end, value in sorted(problem.finite.items())}
    fixed = (
        ("SCHEMA", MODULE_SCHEMA, ""),
        ("STEPS", tableau.steps, "grid points whose values a full step combines"),
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
        constants=(*fixed, *_tabled(tableau, program), *constants),
        node=tuple(node),
        functions=tuple(low.functions),
        tuples=tuples,
        numbers={
            "ABSCISSAE": tuple(_abscissae(scheme) for scheme in tableau.schemes),
            "BEGIN_ABSCISSAE": _abscissae(tableau.starter) if tableau.starter else (),
        },
        tables=dict(low.schedule.tables),
    )


def _tabled(tableau: Tableau, program: Program) -> tuple[tuple[str, Any, str], ...]:
    """What a table of decisions adds."""
    if not tableau.table:
        return ()
    reads = tuple(1 if all(row.given for row in scheme.rows) else scheme.past + 1 for scheme in tableau.schemes)
    found: tuple[tuple[str, Any, str], ...] = (
        ("TABLE", tableau.table, "the place in ROWS of every grid step's rows"),
        ("READS", reads, "grid points whose values each of ROWS combines, its corrector too"),
    )
    if any(tableau.back):
        found = (*found, ("BACK", tableau.back, "how many steps ago the rows start: those between are their stages"))
    if not tableau.others:
        return found
    pairs = (conversion(k) for k in tableau.kept)
    kept = tuple(pair if pair[0] in program.columns else () for pair in pairs)
    return (*found, ("KEPT", kept, "columns that make each value kept of a grid point of x and raw; () is raw itself"))


def _schedule_functions(low: Lowering) -> None:
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


def _kernel_functions(low: Lowering) -> None:
    problem = low.problem
    low.define("chart", ("t",), f"chi(t): the variable {problem.variable}.", problem.chart.subs(CURVES))
    if problem.variable == "lambda":
        step = sp.Symbol("dlambda(t.t, s.t)")
    elif problem.chart == t:
        step = T_T - S_T
    else:
        step = sp.Symbol("chart(t.t)") - sp.Symbol("chart(s.t)")
    low.functions.append(
        Function("span", ("s", "t"), "chi(t) - chi(s) of two nodes: one step of the variable.", (), (step,))
    )
    for integrand in low.tableau.integrands:
        _weight_functions(low.of(integrand))
    if low.adaptive:
        _slope_function(low)
    if low.samples:
        low.define("speed", ("t",), f"chi'(t): how fast {problem.variable} moves.", low.speed.subs(CURVES))


def _weight_functions(low: Lowering) -> None:
    """What is integrated of an integrand: its drift and weight, where they have no closed form."""
    problem = low.problem
    of = f" of {low.tableau.names[low.integrand]}" if low.tableau.others else ""
    if problem.factor is None:
        low.define(
            low.called("drift"), ("t",), f"A(t) of x' = A x + B F{of and ', F' + of}.", problem.drift.subs(CURVES)
        )
    if not (problem.kernel.closed or problem.ddim):
        name = "B" if problem.factor is None else "B/G"
        doc = f"{name}: the weight of {of[4:] or 'the integrand'} under the integral."
        low.define(low.called("weight"), ("t",), doc, problem.weight.subs(CURVES))


def _noise_functions(low: Lowering) -> None:
    """``spread(s, t)``: the standard deviation of the noise of a step, in closed form or by quadrature."""
    noise = low.problem.noise
    assert noise is not None
    doc = "The standard deviation of the noise between two nodes."
    low.define("share", ("t",), "T = tau^2: the noise as a share of that of the reverse SDE.", noise.share.subs(CURVES))
    start, end = sp.Symbol("s.t"), sp.Symbol("t.t")
    if noise.variance == "large":
        low.define("growth", ("t", "s"), "log alpha(t) - log alpha(s).", low.schedule.dlog_alpha)
        value = sp.sqrt(-expm1(-2 * sp.Symbol("growth(t.t, s.t)")))
        low.functions.append(Function("spread", ("s", "t"), doc, (), (value,)))
        return
    if noise.closed is not None:
        at_end, at_start, rate = noise.closed
        grown = -expm1(-2 * rate * sp.Symbol("dlambda(t.t, s.t)"))
        value = low.node(at_end, "t") * low.node(at_start, "s") * sp.sqrt(grown)
        low.functions.append(Function("spread", ("s", "t"), doc, (), (value,)))
        return
    low.define("diffusion", ("t",), "g(t)^2 of dx = .. + g dW.", noise.density.subs(CURVES))
    if noise.variance == "left":
        value = sp.sqrt(sp.Symbol("diffusion(s.t)") * (end - start))
        low.functions.append(Function("spread", ("s", "t"), doc, (), (value,)))
        return
    low.define("damping", ("t",), "2 A(t): how what is added decays.", (2 * low.problem.drift).subs(CURVES))
    args = ("diffusion", "damping", "chart", "s.t", "t.t", 1, low.schedule.data, *low.knots)
    body = (Assign(("_", "v"), call="propagated", args=args, comment="int (G_t/G_u)^2 g^2 du"),)
    low.functions.append(Function("spread", ("s", "t"), doc, body, (sp.sqrt(sp.Symbol("v")),)))


def _slope_function(low: Lowering) -> None:
    """``slope(t)``: (p, q) of dx/dchi = p x + q F, for dense output."""
    problem = low.problem
    scale = problem.factor if problem.factor is not None else sp.Integer(1)
    pair = [(e / low.speed).subs(CURVES) for e in (problem.drift, problem.weight * scale)]
    replaced, reduced = sp.cse(pair, symbols=(sp.Symbol(f"q{i}") for i in range(1000)), order="canonical")
    body = tuple(Assign((str(symbol),), value) for symbol, value in replaced)
    low.functions.append(Function("slope", ("t",), "(p, q) of dx/dchi = p x + q F.", body, tuple(reduced)))
    pair = [low.node(e, "s") for e in problem.to_integrand]
    low.functions.append(Function("integrand", ("s",), "F = cx x + cr raw at a node.", (), tuple(pair)))
    if low.scale is not None:
        low.functions.append(
            Function("scaled", ("s",), "The factor of the network's input at a node.", (), (low.node(low.scale, "s"),))
        )


def _inner_function(low: Lowering) -> None:
    """``inner(s, t, c)``: the grid point at fraction c of a step of the variable, where stages call the network."""
    problem, schedule, c = low.problem, low.schedule, sp.Symbol("c")
    doc = "The grid point at fraction c of the step, in the variable."
    args = ("s", "t", "c")
    point = sp.Function("node")
    if problem.chart == t:
        low.functions.append(Function("inner", args, doc, (), (point(S_T + c * (T_T - S_T)),)))
        return
    inverse = schedule.t_of_rho if schedule.inverse is None else schedule.inverse
    level = _between(problem.variable, c) if inverse is not None else None
    if inverse is not None and level is not None:
        time = inverse.subs(rho, sp.Symbol("v"))
        body = (Assign(("v",), level, comment="rho there"),)
        low.functions.append(Function("inner", args, doc, body, (point(time),)))
        return
    target = sp.Symbol("chart(s.t)") + c * sp.Symbol("span(s, t)")
    body = (Assign(("v",), call="solve_for", args=("chart", target, "s.t", "t.t"), comment="its time"),)
    low.functions.append(Function("inner", args, doc, body, (point(sp.Symbol("v")),)))


def _between(variable: str, c: sp.Expr) -> sp.Expr | None:
    """rho at fraction c of a step of the variable, where that is elementary."""
    start, end = sp.Symbol("rho(s.t)"), sp.Symbol("rho(t.t)")
    if variable == "lambda":
        return start * sp.exp(-c * sp.Symbol("dlambda(t.t, s.t)"))
    return start + c * (end - start) if variable == "rho" else None


def _abscissae(scheme: Scheme) -> tuple[sp.Expr, ...]:
    return tuple(map(as_expr, scheme.abscissae))


__all__ = ["coefficients"]
