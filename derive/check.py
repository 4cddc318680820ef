"""Stop 8, in a process of its own: ``python -m derive.check FOLDER`` tries generated code as a user's program would.

It imports the folder as ``generated.NAME``, compares everything that ``coefficients.py`` computes (rows of every call of
every scheme, correctors, starter, error estimate, limit rows, conversions, schedule, time) with the tableau at 50 digits,
the steps with the interpreter, and the order with the proof: of the emitted code on power series over a finite field, and
measured on one nonlinear problem. Prints one JSON object; exit 0 if everything holds.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

ULPS = 0.501
"""Numbers are rounded once, from far more digits: half a unit in the last place, and a little for the quadratures."""
STEP_BOUND = 1e-13
ORDER_BOUND = 0.2
"""What a short measurement has to come to; the order itself is proved, and measured at length by the tests."""
MOST_STEPS = 1024
"""The measurement stops here, decided or not."""
FEW_STEPS = 128
"""The same where every coefficient needs a propagator by quadrature."""
NEGLIGIBLE = 1e-20
"""What is exactly zero in a limit row may be this part of the row's largest entry just before the end."""


class Entry(NamedTuple):
    """One number that the module computes, rounded, and what it should be; an ``exact`` up to ``zero`` means 0."""

    where: str
    got: float
    exact: Any
    zero: Any = 0

    @property
    def ulp(self) -> float:
        return ulp_error(self.got, 0 if abs(self.exact) <= self.zero else self.exact)


def ulp_error(got: float, exact: Any) -> float:
    """|got - exact| in units of the last place of the rounded exact value; infinite if a zero is not exactly zero."""
    if not exact or not math.isfinite(got):
        return math.inf if got or exact else 0.0
    return float(abs(got - exact) / math.ulp(float(exact)))


def uneven_nodes(module: ModuleType, count: int) -> list[float]:
    """``count`` falling times well inside the domain, unevenly spaced."""
    noise, data = module.DOMAIN
    pattern = [1.0, 0.55, 1.7, 0.8, 1.25, 0.6, 1.5, 0.9]
    sizes = [pattern[i % 8] for i in range(count - 1)]
    low, high = data + 0.3 * (noise - data), data + 0.7 * (noise - data)
    nodes = [high]
    for size in sizes:
        nodes.append(nodes[-1] - size * (high - low) / sum(sizes))
    return nodes


def emitted_row(
    module: ModuleType, order: int, nodes: Sequence[float], functions: Sequence[Any] | None = None
) -> tuple[float, ...]:
    """The row of ``order`` from nodes[1] to nodes[0], as the runtime would tabulate it, from ``functions`` or ROWS."""
    (row,) = emitted_calls(module, (functions or module.ROWS)[order - 1], (0,), nodes)
    return row


def emitted_calls(
    module: ModuleType, functions: Any, abscissae: Sequence[Any], nodes: Sequence[float]
) -> list[tuple[float, ...]]:
    """What row functions (one, or one for each call of the step) return for the step from nodes[1] to nodes[0]."""
    from runtime.itinerary import call_nodes, point
    from runtime.real import inf, real

    points = [point(module, real(x)) for x in nodes]
    ends = ((module.DOMAIN[0], module.NOISE_END), (module.DOMAIN[1], module.DATA_END))
    infinite = [at for at, end in ends if end != "regular" and not module.CHART_FINITE[end]]
    apart = [nodes[j] in infinite or nodes[j + 1] in infinite for j in range(len(nodes) - 1)]
    h = tuple(inf if apart[j] else module.span(points[j + 1], points[j]) for j in range(len(apart)))
    args: tuple[Any, ...] = (points[1], points[0], h)
    if callable(functions):
        return [tuple(float(v) for v in functions(*args))]
    args = (*args, tuple(call_nodes(module, points[1], points[0], abscissae)))
    return [tuple(float(v) for v in function(*args)) for function in functions]


@dataclass(frozen=True, slots=True)
class Trial:
    """A generated module, what it was derived from, and the oracle."""

    module: ModuleType
    derived: Any
    oracle: Any

    def entries(self) -> Iterator[Entry]:
        """Every number of the module on an uneven grid inside the domain, and the limit rows at its ends."""
        module, tableau = self.module, self.derived.tableau
        nodes = uneven_nodes(module, max(len(tableau.schemes), tableau.steps) + 3)
        times = nodes[::-1]
        yield from self.curves(times)
        for k, scheme in enumerate(tableau.schemes, 1):
            yield from self.scheme(f"order {k}", scheme, module.ROWS[k - 1], module.ABSCISSAE[k - 1], times)
            yield from self.abscissae(f"order {k}", scheme, module.ABSCISSAE[k - 1], times)
            if scheme.corrector is not None:
                yield from self.corrector(k, scheme.corrector, times)
        if module.BEGIN:
            yield from self.scheme("start", tableau.starter, module.BEGIN, module.BEGIN_ABSCISSAE, times)
            yield from self.abscissae("start", tableau.starter, module.BEGIN_ABSCISSAE, times)
        if module.ERROR:
            yield from self.error(tableau.schemes[-1], times)
        yield from self.limits("sigma_zero", module.DATA_END, module.DOMAIN[1], times)
        yield from self.timed()
        yield from self.limits("alpha_zero", module.NOISE_END, module.DOMAIN[0], nodes)

    def scheme(
        self, where: str, scheme: Any, functions: Any, abscissae: Sequence[Any], times: Sequence[Any], zero: float = 0
    ) -> Iterator[Entry]:
        """The entries of every call of a step from times[1] to times[0]; next to an end of the domain, up to ``zero``."""
        from derive.tableau import multistep_row

        if callable(functions) and scheme.stages:  # where an end of the domain asks for one call
            scheme = type(scheme)((), multistep_row(1, self.derived.tableau.kernel))
        got = emitted_calls(self.module, functions, abscissae, times)
        exact = self.oracle.calls(scheme, self.oracle.inside(times) if zero else times)
        for i, (row, meant) in enumerate(zip(got, exact, strict=True), 1):
            yield from self.compared(where if len(got) == 1 else f"{where}, call {i}", row, meant, zero)

    def abscissae(self, where: str, scheme: Any, got: Sequence[Any], times: Sequence[float]) -> Iterator[Entry]:
        """Where the network is called: as fractions of the step, and as times."""
        from runtime.real import real

        start, end = (self.module.node(real(x)) for x in (times[1], times[0]))
        for i, (c, exact) in enumerate(zip(got, scheme.abscissae, strict=True)):
            yield Entry(f"{where}, call {i + 1}: abscissa", float(c), self.oracle.number(exact))
            if c not in (0, 1):
                place = self.module.inner(start, end, c)
                yield Entry(f"{where}, call {i + 1}: time", float(place.t), self.oracle.place(exact, times))

    def compared(self, where: str, got: Sequence[float], exact: Mapping[str, Any], zero: float = 0) -> Iterator[Entry]:
        """Column by column; what the row does not have is exactly zero."""
        size = zero * max(map(abs, exact.values()))
        for name, value in zip(self.module.COLUMNS, got, strict=True):
            yield Entry(f"{where}: {name}", value, exact.get(name, 0), size)

    def row(
        self, where: str, exact: Mapping[str, Any], nodes: Sequence[Any], functions: Any = None, zero: float = 0
    ) -> Iterator[Entry]:
        """The entries of one row: of the order that ``exact`` has, from nodes[1] to nodes[0]."""
        order = sum(name.startswith("b") for name in exact)
        exact = {**exact, **{k: v for k, v in self.oracle.evaluated(nodes[1]).items() if k == "cin"}}
        yield from self.compared(where, emitted_row(self.module, order, nodes[: order + 1], functions), exact, zero)

    def corrector(self, order: int, row: Any, times: Sequence[float]) -> Iterator[Entry]:
        """The weights of the corrector of a step."""
        exact = self.oracle.corrector(row, times)
        (got,) = emitted_calls(self.module, self.module.CORRECTORS[order - 1], (0,), times)
        for name, value in zip(("ca", *(f"cb{j}" for j in range(len(got)))), got):
            yield Entry(f"corrector {order}: {name}", value, exact.get(name, 0))

    def error(self, scheme: Any, times: Sequence[float]) -> Iterator[Entry]:
        """The weights of the error estimate, and what a run that chooses its steps reads beside them."""
        from runtime.real import real

        module, oracle = self.module, self.oracle
        (got,) = emitted_calls(module, module.ERROR, module.ABSCISSAE[-1], times)
        for i, (value, exact) in enumerate(zip(got, oracle.error(scheme, times), strict=True)):
            yield Entry(f"error: weight {i}", value, exact)
        for name, value in zip(("p", "q"), module.slope(real(times[0]))):
            yield Entry(f"slope: {name}", float(value), oracle.slope(times[0])[name])
        point, exact = module.node(real(times[0])), oracle.evaluated(times[0])
        for name, value in zip(("cx", "cr"), module.integrand(point)):
            yield Entry(f"integrand: {name}", float(value), exact[name])
        if "cin" in exact:
            yield Entry("scaled", float(module.scaled(point)), exact["cin"])

    def curves(self, nodes: Sequence[float]) -> Iterator[Entry]:
        """Functions of one time, of two, and the conversion to data."""
        from sympy import QQ

        from runtime.real import real

        module, oracle = self.module, self.oracle
        for time in nodes[:3]:
            for name, curve in self._named().items():
                if hasattr(module, name):
                    yield Entry(name, float(getattr(module, name)(real(time))), oracle.at(curve, time))
            for name, got, exact in zip(("dx", "dr"), module.denoised(module.node(real(time))), oracle.denoised(time)):
                yield Entry(f"denoised: {name}", float(got), exact)
        end, start = nodes[:2]
        yield Entry("dlambda", float(module.dlambda(real(end), real(start))), oracle.dlambda(end, start))
        span = module.span(module.node(real(start)), module.node(real(end)))
        chart = self.derived.problem.chart
        yield Entry("span", float(span), oracle.at(chart, end) - oracle.at(chart, start))
        if hasattr(module, "inner"):
            place = module.inner(module.node(real(start)), module.node(real(end)), real(1) / 3)
            yield Entry("inner", float(place.t), oracle.place(QQ(1, 3), (end, start)))

    def timed(self) -> Iterator[Entry]:
        """What depends on the time itself, where it does: rows next to the data end, and where segments change."""
        from derive.symbolic.alphabet import t
        from runtime.real import real

        module, problem = self.module, self.derived.problem
        noise, data = module.DOMAIN
        near = [data + (noise - data) * share for share in (5e-4, 1.1e-3)]
        if any(e.has(t) for e in problem.to_data) and not self.derived.tableau.table:
            scheme = self.derived.tableau.schemes[0]
            yield from self.scheme("next to the data", scheme, module.ROWS[0], module.ABSCISSAE[0], near)
            yield from self.limits("sigma_zero", module.DATA_END, data, near)
            found = module.denoised(module.node(real(near[0]))), self.oracle.denoised(near[0])
            yield from (Entry("denoised next to the data", float(v), exact) for v, exact in zip(*found, strict=True))
        if hasattr(module, "segment"):
            slope = float(problem.noise.segment[0].diff(t))
            for time in ((7 / slope if slope else 10.0) * (1 + sign * 1e-10) for sign in (1, -1)):
                yield Entry("segment", float(module.segment(real(time))), self.oracle.begins(time))

    def _named(self) -> dict[str, Any]:
        """The functions of one time that a module may have, by name, as expressions."""
        from derive.predictions import network_time
        from derive.symbolic import alphabet as ab

        problem, schedule = self.derived.problem, self.derived.schedule
        found = {name: getattr(ab, name) for name in ("alpha", "sigma", "rho", "dalpha", "dsigma", "drho")}
        found |= {"log_alpha": schedule.log_alpha, "chart": problem.chart, "drift": problem.drift}
        found["time"] = network_time(self.derived.prediction.network, schedule)
        found["weight"] = problem.weight
        if problem.noise is not None:
            found |= {"share": problem.noise.share, "diffusion": problem.noise.density, "damping": 2 * problem.drift}
        if schedule.warp is not None:
            found["warp"] = schedule.warp.subs(ab.u, ab.t)
        return found

    def limits(self, end: str, has: str, at: float, nodes: Sequence[float]) -> Iterator[Entry]:
        """Limit rows against the value just before the end. nodes: interior times, from ``at`` inwards."""
        if has != end:
            return
        grids = {"TO": [at, *nodes[1:]], "FROM": [nodes[0], at]}
        for what, grid in grids.items():
            functions = getattr(self.module, f"{what}_{end.upper()}")
            for k, function in enumerate(functions):
                if function == ():  # an entry of a table without a limit
                    continue
                scheme, abscissae = self.derived.tableau.schemes[k], self.module.ABSCISSAE[k]
                yield from self.scheme(
                    f"order {k + 1} {what.lower()} {end}", scheme, function, abscissae, grid, NEGLIGIBLE
                )


def entries(module: ModuleType, derived: Any) -> Iterator[Entry]:
    """Everything the module computes, with what it should be."""
    from derive.analysis.numbers import Oracle

    return Trial(module, derived, Oracle(derived.tableau, derived.problem)).entries()


def compare_rows(module: ModuleType, derived: Any) -> tuple[float, str]:
    """The worst error in ulp over everything the module computes, and where it is."""
    worst = max(entries(module, derived), key=lambda entry: entry.ulp)
    return worst.ulp, worst.where


def compare_literals(module: ModuleType, derived: Any) -> list[str]:
    """Names of module-level constants and tables that are not what was derived, to the last bit."""
    from derive.backends.printer import table_names

    schedule = derived.schedule
    meant = {name: value for name, value, _ in derived.module.constants}
    meant |= {"STEPS": derived.tableau.steps, "DOMAIN": (float(schedule.noise), float(schedule.data))}
    for name, table in schedule.tables.items():
        data = (table.knots, table.values) if table.kind == "linear" else (table.values,)
        meant |= dict(zip(table_names(name, table), data, strict=True))
    return [name for name, value in meant.items() if getattr(module, name, None) != value]


def compare_step(module: ModuleType, step: ModuleType, derived: Any) -> float:
    """The worst difference of the torch step, both forms, from the interpreter: every phase, with every memory it can
    find; coefficients and tensors are random, float64, the difference is relative to the sum's largest entry."""
    import torch

    from derive.program.interpret import run_phase
    from derive.program.memory import flow

    random = np.random.default_rng(7)
    entries = flow(derived.program).entries
    worst = 0.0
    for phase in derived.program.phases:
        for count in sorted({len(memory) for memory in entries[phase.name]}):
            row = dict(zip(module.COLUMNS, random.standard_normal(len(module.COLUMNS))))
            x, raw, z, *memory = random.standard_normal((3 + count, 3, 5))
            new, left = run_phase(phase, row, x, memory, _constant(raw), z)
            drawn = (torch.from_numpy(z.copy()),) if phase.draws else ()
            c = tuple(torch.tensor(v, dtype=torch.float64) for v in row.values())
            tensors = [torch.from_numpy(v.copy()) for v in (x, raw, *memory)]
            plain, kept = step.STEPS[phase.name](*tensors[:2], tuple(tensors[2:]), c, *drawn)
            ring = [*tensors[2:], *(torch.empty(3, 5, dtype=torch.float64) for _ in range(step.RING - count))]
            state, ring = step.STEPS_[phase.name](*tensors[:2], tuple(ring), c, *drawn)
            pairs = [(plain, new), (state, new), *zip(kept, left, strict=True), *zip(ring, left), (tensors[1], raw)]
            worst = max(worst, *(float(np.abs(a.numpy() - b).max() / np.abs(b).max()) for a, b in pairs))
    return worst


def _constant(raw: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: raw


def series_verdict(module: ModuleType, step: ModuleType, derived: Any) -> tuple[bool, str]:
    """Whether the emitted code has the proved orders where it runs on power series over a finite field."""
    from derive.analysis.jet_module import certify_global, certify_module
    from derive.measure.march import Emitted
    from derive.symbolic.jets import NotAResidue

    code, proof = Emitted(module, step.STEPS), derived.proof
    if proof.law:
        return True, "not run on power series: there is no order"
    if unrepeated(code):
        return (
            True,
            "not run on power series: no longer table of its shape is made of the same pairs of corrector and predictor",
        )
    try:
        local, whole = certify_module(code).order, certify_global(code)
    except (NotAResidue, TypeError) as error:
        return True, f"not run on power series: {error}"
    ok = local >= proof.order and whole >= proof.global_order
    proved = f"proved {proof.order} and {proof.global_order}"
    return ok, f"emitted code on power series: order {local}, with its start and last steps {whole}; {proved}"


def unrepeated(code: Any) -> bool:
    """Whether the solver has a table of decisions that no longer one can be made of (:mod:`derive.measure.table`)."""
    from derive.measure.table import repeats

    return bool(code.table) and not repeats(code.table, code.steps, bool(code.code.CORRECTORS))


def order_verdict(module: ModuleType, step: ModuleType, derived: Any) -> tuple[bool, str]:
    """Whether the measured order is the proved one; where there are kinks, an order holds between them only."""
    from derive.measure.law import law_verdict
    from derive.measure.march import Emitted
    from derive.measure.order import measured_order

    if derived.proof.law:
        return law_verdict(Emitted(module, step.STEPS))
    if any(table.kind == "linear" for table in derived.schedule.tables.values()):
        return True, "order not measured: the table is joined by straight lines, and the order holds between its kinks"
    code = Emitted(module, step.STEPS)
    if unrepeated(code):
        return (
            True,
            "order not measured: no longer table of its shape is made of the same pairs of corrector and predictor",
        )
    cap = MOST_STEPS if derived.problem.factor is not None else FEW_STEPS
    fit, order = measured_order(code, cap=cap), derived.proof.order
    close = abs(fit.order_estimate - order) <= ORDER_BOUND
    return close, f"measured order {fit.order_estimate:.3f} on a nonlinear problem, uneven grid; proved {order}"


USUAL_STEPS = 20
"""The steps of a default grid that does not say how many."""


def unplanned(solver: Any) -> str:
    """Why no solve can begin on the default grid; empty if one can, or there is none."""
    code = solver._coefficients
    if not code.GRID:
        return ""
    steps = code.GRID.get("steps")
    history = code.STEPS - 1 if code.START == "exact" else 0
    try:
        solver.plan(steps=steps or USUAL_STEPS, history=history)
    except ValueError as error:
        from runtime.errors import LimitError

        return str(error) if steps or isinstance(error, LimitError) else ""
    return ""


def run(folder: Path) -> dict[str, Any]:
    """The report: ok, lines, and the figures; grid: why the default grid cannot be planned, if it cannot."""
    from derive.pipeline import derive
    from derive.spec import read_spec

    sys.path.insert(0, str(folder.parent.parent))
    package = importlib.import_module(f"{folder.parent.name}.{folder.name}")
    module = importlib.import_module(f"{package.__name__}.coefficients")
    step = importlib.import_module(f"{package.__name__}.step_torch")
    derived = derive(read_spec(folder / "spec.yaml"))
    (ulps, where), wrong = compare_rows(module, derived), compare_literals(module, derived)
    difference = compare_step(module, step, derived)
    verdicts = [
        (ulps <= ULPS, f"coefficients within {ulps:.2f} ulp of the tableau at 50 digits (worst: {where})"),
        (not wrong, f"constants and tables as derived{': all but ' + ', '.join(wrong) if wrong else ''}"),
        (difference <= STEP_BOUND, f"torch step within {difference:.1e} of the interpreter"),
        series_verdict(module, step, derived),
        order_verdict(module, step, derived),
    ]
    return {
        "ok": all(ok for ok, _ in verdicts),
        "lines": [("" if ok else "FAILS: ") + line for ok, line in verdicts],
        "ulp": ulps,
        "step": difference,
        "grid": unplanned(package.solver),
    }


if __name__ == "__main__":
    report = run(Path(sys.argv[1]))
    print(json.dumps(report))
    sys.exit(0 if report["ok"] else 1)
