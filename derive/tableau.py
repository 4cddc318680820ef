r"""The central symbolic type: an exponential general linear method as rows that solve a moment equation.

    x_out = sum_i V_i x_{n-i} + C sum_j w_j F_j,    sum_j w_j theta_j^k = mt_k,    k = 0 .. K-1

F is the integrand, theta the method's variable measured from t_n in units of the step, C the prefactor of the kernel.
A multistep method is one row over history nodes; a Runge-Kutta stage is a row that ends at its own abscissa and whose
nodes are earlier stages; a corrector row has the node theta = 1. Entries are exact (:mod:`derive.symbolic.moments`).

A row that ends at ``end`` is a step of its own, from 0 to ``end``: C carries the factor ``end``, phi_k means
phi_k(end z), and its nodes are measured in units of ``end`` (:attr:`Row.relative`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import factorial
from typing import Any, Literal

from sympy.polys.rings import PolyElement

from derive import blocks
from derive.symbolic.forms import ONE, ZERO, Form, Step, collect, interpolatory, shown
from derive.symbolic.moments import (
    MAX_NODES,
    Weight,
    alphabet,
    exact_moments,
    history_nodes,
    lagrange_weights,
    newton_moments,
)

Start = Literal["ramp", "exact", "singlestep", "pseudo_rk4", "iterated"]
Final = Literal["keep", "lower_order", "denoise"]
Transfer = Literal["exact", "ddim"]
MAX_INTEGRANDS = 8
"""Integrands that a table may switch between."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The normalised kernel kappa(theta) of the step in the method's variable.

    ``rate`` q: kappa = e^{q h (1 - theta)} (0: constant, Adams-Bashforth); None: any smooth kernel, known through its moments.
    """

    rate: Any = None

    @property
    def closed(self) -> bool:
        """Whether the moments are phi functions."""
        return self.rate is not None

    def __str__(self) -> str:
        if self.rate is None:
            return "kernel with moments mu_k"
        return "kernel 1" if self.rate == 0 else f"kernel exp({self.rate}*h*(1 - theta))".replace("1*h", "h")


@dataclass(frozen=True, slots=True)
class Node:
    """Where an integrand value sits: ``history`` value j steps back, or ``stage`` j of this step, at abscissa theta."""

    kind: Literal["history", "stage"]
    index: int
    theta: Any
    """In the tableau ring; an exact number where the row's weights are given."""


@dataclass(frozen=True, slots=True)
class Row:
    """One output: the moments ``mt`` its weights reproduce on its nodes, beside the ``exact`` ones of the kernel.

    end: abscissa where the output lives (1: the step; c_i: a stage). x_history: weights V_i on past states.
    """

    name: str
    nodes: tuple[Node, ...]
    moments: tuple[PolyElement, ...]
    exact: tuple[PolyElement, ...]
    end: Any = ONE
    x_history: tuple[PolyElement, ...] = ()
    given: tuple[Form, ...] = ()
    """Weights typed by hand (a tableau from a paper), w.r.t. C h of the whole step; empty: the moment equation decides."""
    integrand: int = 0
    """Which of the tableau's integrands its values are: Phi, C and the kernel are that one's."""
    back: int = 0
    """The row starts at the state of so many steps ago: ``span`` is that row, its nodes counted from there in the order of
    time, and ``inner`` the one that led from there to x_n; moments and weights are theirs (:mod:`derive.analysis.block`)."""
    span: Row | None = None
    inner: Row | None = None
    transfer: Transfer = "exact"
    """ddim: Phi and C are those of DDIM's step to ``end`` with the combined value (:mod:`derive.families.transfers`)."""

    def __post_init__(self) -> None:
        if self.back:
            if self.span is None or self.inner is None or self.inner.back != self.back - 1:
                raise ValueError(f"row {self.name}: a row that starts earlier follows one that starts there too")
        elif self.given:
            if len(self.given) != len(self.nodes):
                raise ValueError(f"row {self.name}: {len(self.nodes)} nodes and {len(self.given)} weights")
        elif len(self.moments) != len(self.nodes) or len(self.exact) <= len(self.nodes):
            raise ValueError(f"row {self.name}: {len(self.nodes)} nodes need as many moments and one exact moment more")
        elif len(set(self.thetas)) != len(self.nodes):
            raise ValueError(f"row {self.name}: two nodes coincide")

    @property
    def thetas(self) -> tuple[Any, ...]:
        return tuple(node.theta for node in self.nodes)

    @property
    def chosen(self) -> bool:
        """Whether its values of earlier steps are chosen among those there are, not the newest ones."""
        past = [node.index for node in self.nodes if node.kind == "history"]
        return past != list(range(len(past)))

    @property
    def past(self) -> int:
        """How many values of earlier steps it reads."""
        return max((n.index for n in self.nodes if n.kind == "history"), default=0)

    @property
    def relative(self) -> tuple[PolyElement, ...]:
        """Nodes in units of the row's own length."""
        return self.thetas if self.end == 1 else tuple(theta * (1 / self.end) for theta in self.thetas)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """w_j, the solution of V w = mt in the row's own units."""
        return lagrange_weights(self.relative, self.moments)

    def forms(self, ratios: Sequence[Any]) -> tuple[Form, ...]:
        """Weights w.r.t. C h of the whole step at fixed step ratios, for an exponential (or constant) kernel."""
        if self.given:
            return self.given
        thetas = [at_ratios(theta, ratios) for theta in self.relative]
        own = [linear_form(moment, ratios) for moment in self.moments]
        return tuple(w.stretched(self.end) * self.end for w in interpolatory(thetas, own))

    @property
    def newton(self) -> tuple[PolyElement, ...]:
        """M_k, the weights of the divided differences F[theta_0 .. theta_k]: free of cancellation for r_j > 0."""
        return () if self.back else newton_moments(self.relative, self.moments)

    @property
    def interpolatory(self) -> bool:
        """Whether every moment is the exact one."""
        return not self.given and not self.back and self.moments == self.exact[: len(self.moments)]

    def __str__(self) -> str:
        if self.span is not None:
            text, _, _ = str(self.span).partition(" at theta")
            values = ", ".join(f"n-{self.back - n.index}" if n.index < self.back else "n" for n in self.span.nodes)
            return f"{text.replace('Phi x', f'Phi x[n-{self.back}]')}, F at {values}"
        if self.given:
            names = [f"F{n.index}" if n.kind == "history" else f"K{n.index}" for n in self.nodes]
            body = " + ".join(f"({w}) {name}" for w, name in zip(self.given, names))
            return f"{self.name:<8} = Phi x + C [{body}]"
        differences = ["F0", *(f"F[0..{k}]" for k in range(1, len(self.nodes)))]
        body = " + ".join(f"({_named(m)}) {d}" for m, d in zip(self.newton, differences))
        where = f" at theta = {', '.join(map(_shown, self.thetas))}" if self.chosen else ""
        return f"{self.name:<8} = Phi x + C [{body}]{where}"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to take a step: stage rows in order, each followed by an evaluation at its end, then the output row.

    Node("history", j): the value of j steps ago, 0 the newest (at t_n); Node("stage", i): the value at the end of
    ``stages[i - 1]``. corrector: with it the value at t_{n+1} is that at the output (the prediction), and the state is
    then written anew by this row, whose Node("stage", 1) is that value (PEC: one evaluation a step). embedded: the
    output of lower order of an adaptive pair; its Node("stage", len(stages) + 1) is the value at x_{n+1}. digits: the
    numbers are those of an exact method to so many decimal places (None: they are exact).
    """

    stages: tuple[Row, ...]
    output: Row
    corrector: Row | None = None
    embedded: Row | None = None
    digits: int | None = None

    def __post_init__(self) -> None:
        if self.corrector is not None and self.stages:
            raise ValueError("a scheme corrects its output or has stages, not both")
        if len({row.integrand for row in self.rows}) > 1:
            raise ValueError("the rows of a scheme combine values of one integrand")

    @property
    def rows(self) -> tuple[Row, ...]:
        """Stage rows, the output, and where there are such, the corrector and the embedded row."""
        extra = (row for row in (self.corrector, self.embedded) if row is not None)
        return (*self.stages, self.output, *extra)

    @property
    def integrand(self) -> int:
        """Which of the tableau's integrands its rows combine."""
        return self.output.integrand

    @property
    def evaluations(self) -> int:
        """Network calls per step."""
        return 1 + len(self.stages)

    @property
    def abscissae(self) -> tuple[Any, ...]:
        """Where the network is called: 0 and the ends of the stages, in units of the step."""
        return (ZERO, *(row.end for row in self.stages))

    def advances(self, call: int) -> bool:
        """Whether the row of this network call ends later than that of the call before: noise comes in between."""
        ends = (*self.abscissae, self.output.end)
        return bool(ends[call + 1] != ends[call])

    @property
    def past(self) -> int:
        """How many values of earlier steps the rows read."""
        return max((n.index for row in self.rows for n in row.nodes if n.kind == "history"), default=0)

    def step(self, ratios: Sequence[Any], rate: Any) -> Step:
        """The scheme as the proof engines read it, at fixed ratios r_0, r_1, .. (PEC: the predictor is its one stage)."""
        known = 1 + self.past
        rows = [*self.stages, self.output] if self.corrector is None else [self.output, self.corrector]
        thetas = [ZERO]
        for j in range(known - 1):
            thetas.append(thetas[-1] - ratios[j])
        thetas += [row.end for row in rows[:-1]]
        after = 1 if self.embedded is not None else 0

        def weights(row: Row, count: int) -> tuple[Form, ...]:
            out = [Form()] * count
            for node, form in zip(row.nodes, row.forms(ratios), strict=True):
                out[node.index if node.kind == "history" else known - 1 + node.index] = form
            return tuple(out)

        count = len(thetas)
        return Step(
            tuple(thetas),
            known,
            tuple(weights(row, count) for row in rows[:-1]),
            weights(rows[-1], count),
            rate,
            weights(self.embedded, count + after) if self.embedded is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Tableau:
    """The method: schemes by order (``schemes[-1]`` is the method, the others start and end it), kernel, policies.

    start: what is done before the history is full; starter: the one-step scheme that does it, if ``start`` has one;
    final: what is done on the last steps; family: who built it. table: the scheme of every grid step, by its place in
    ``schemes`` (a table of decisions has as many grid steps as entries; ``schemes`` are then in order of first use).
    others: kernels of further integrands, where a table switches between several; names: of all of them, for texts.
    """

    family: str
    kernel: Kernel
    schemes: tuple[Scheme, ...]
    start: Start = "ramp"
    final: Final = "lower_order"
    references: tuple[str, ...] = field(default=())
    starter: Scheme | None = None
    table: tuple[int, ...] = ()
    others: tuple[Kernel, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.schemes:
            raise ValueError("a tableau has at least one scheme")
        if self.table and set(self.table) != set(range(len(self.schemes))):
            raise ValueError("a table uses every scheme, and no other")
        if {scheme.integrand for scheme in self.schemes} != set(self.integrands):
            raise ValueError("every integrand has a kernel, and a scheme that combines it")

    def kernel_of(self, rows: Scheme | Row) -> Kernel:
        """The kernel of the integrand that a scheme, or a row, combines."""
        return (self.kernel, *self.others)[rows.integrand]

    @property
    def repeated(self) -> int:
        """The scheme that a run goes on with: the last one; of a table the one that most results have, the latest of such."""
        return blocks.most_used(self.table, self.back) if self.table else len(self.schemes) - 1

    @property
    def results(self) -> list[int]:
        """Of a table, the steps whose states are results and not stages of a later one."""
        return blocks.results(self.table, self.back)

    @property
    def body(self) -> tuple[int, int]:
        """(first, last) step that a longer table repeats: from the first to the last block of the kind that it uses most."""
        return blocks.body(self.table, self.back)

    @property
    def back(self) -> tuple[int, ...]:
        """Of every scheme, how many steps ago it starts."""
        return tuple(scheme.output.back for scheme in self.schemes)

    @property
    def integrands(self) -> tuple[int, ...]:
        """The places of all integrands, the method's first."""
        return tuple(range(1 + len(self.others)))

    @property
    def kept(self) -> tuple[int, ...]:
        """The integrands whose values at earlier grid points some row reads: what a history consists of."""
        if not self.others:
            return (0,)
        read = {scheme.integrand for scheme in self.schemes if scheme.past or scheme.corrector is not None}
        return tuple(sorted(read))

    @property
    def rows(self) -> tuple[Row, ...]:
        """The output rows, by order."""
        return tuple(scheme.output for scheme in self.schemes)

    @property
    def main(self) -> Row:
        return self.rows[-1]

    @property
    def steps(self) -> int:
        """Grid points whose integrand values a full step combines: 1 for a one-step method."""
        return 1 + max(scheme.past for scheme in self.schemes)

    @property
    def stages(self) -> int:
        """Network calls per step; of a table the most that an entry takes."""
        return max(s.evaluations for s in self.schemes) if self.table else self.schemes[-1].evaluations

    @property
    def corrects(self) -> bool:
        """Whether a step is corrected once the value at its end is known (PEC)."""
        return self.schemes[-1].corrector is not None

    @property
    def transfer(self) -> Transfer:
        """Whose Phi and C the rows have: all rows have the same."""
        return self.main.transfer

    @property
    def exact_for_constants(self) -> bool:
        """Whether a constant integrand is integrated exactly."""
        rows = [row.span or row for row in self.rows]
        return all(row.transfer == "exact" and (row.given or row.moments[0] == row.exact[0]) for row in rows)

    @property
    def kernels(self) -> str:
        """The kernel of every integrand, in words; or the step that stands in for it."""
        if self.transfer == "ddim":
            return "step of DDIM on v"
        named = zip(self.names or ("",), (self.kernel, *self.others), strict=True)
        return "; ".join(f"{name}: {kernel}" if name else str(kernel) for name, kernel in named)

    def __str__(self) -> str:
        head = f"{self.family}, {self.steps} step{'s' if self.steps > 1 else ''}, {self.kernels}; start {self.start}, final {self.final}"
        thetas = history_nodes(self.steps) if self.table else self.main.thetas
        lines = [head, f"  nodes theta: {'  '.join(map(_shown, thetas))}"]
        for scheme in self.schemes:
            of = f" (F: {self.names[scheme.integrand]})" if self.others else ""
            lines += [f"  {row}{of}" for row in scheme.rows]
        return "\n".join(lines)

    def latex(self) -> str:
        """The rows, by scheme: in Newton form, or with the weights that were typed; for GitHub's renderer."""
        lines = []
        for scheme in (*self.schemes, *([self.starter] if self.starter else [])):
            of = rf"^{{\mathrm{{{self.names[scheme.integrand]}}}}}" if self.others else ""
            for i, row in enumerate(scheme.stages, 1):
                lines.append(_latex(row, f"X_{{{i}}}", of))
            predicted = r"\hat x_{n+1}" if scheme.corrector is not None else "x_{n+1}"
            lines.append(_latex(scheme.output, predicted, of))
            if scheme.corrector is not None:
                lines.append(_latex(scheme.corrector, "x_{n+1}", of))
            if scheme.embedded is not None:
                lines.append(_latex(scheme.embedded, r"\tilde x_{n+1}", of))
        return "\n\n".join(f"$$ {line} $$" for line in lines)


def _latex(row: Row, left: str, of: str = "") -> str:
    """``x_{n+1} = Phi x_n + C [...]``; a stage's Phi and C belong to its own abscissa, ``of`` names their integrand."""
    from sympy import latex

    if row.span is not None:
        start = rf"n-{row.back}"
        newest = (
            _latex(row.span, left, of)
            .partition(r",\qquad")[0]
            .replace("x_n", f"x_{{{start}}}")
            .replace(r"\Phi", rf"\Phi_{{{start}}}")
        )
        values = ", ".join(f"t_{{n-{row.back - n.index}}}" if n.index < row.back else "t_n" for n in row.span.nodes)
        span = rf"(\chi-\chi_{{{start}}})/(\chi_{{n+1}}-\chi_{{{start}}})"
        return newest + rf",\qquad \theta = {span} \text{{ at }} {values}"
    at = of + ("" if row.end == 1 else rf"_{{{_shown(row.end)}}}")
    terms = []
    if row.given:
        for node, form in zip(row.nodes, row.given, strict=True):
            name = f"F_{{n-{node.index}}}" if node.index and node.kind == "history" else "F_n"
            terms.append(rf"\left({form.latex()}\right) {name if node.kind == 'history' else f'K_{{{node.index}}}'}")
        return rf"{left} = \Phi{at}\,x_n + C{at}\,\Bigl[" + " + ".join(terms) + r"\Bigr]"
    for k, moment in enumerate(row.newton):
        expr = moment.as_expr()
        text = latex(expr, symbol_names={s: _indexed(s.name) for s in expr.free_symbols})
        last = rf",\ldots,\theta_{k}" if k else ""
        terms.append(rf"\left({text}\right) F{of}[\theta_0{last}]")
    where = rf",\qquad \theta = {', '.join(_latex_theta(x) for x in row.thetas)}" if row.chosen else ""
    return rf"{left} = \Phi{at}\,x_n + C{at}\,\Bigl[" + " + ".join(terms) + r"\Bigr]" + where


def _named(moment: PolyElement) -> str:
    """A moment as a spec writes it."""
    return str(moment.as_expr()).replace("pole", "1/z")


def _latex_theta(theta: Any) -> str:
    """A node in step ratios."""
    from sympy import latex

    expr = theta.as_expr() if hasattr(theta, "as_expr") else theta
    return str(latex(expr, symbol_names={s: _indexed(s.name) for s in getattr(expr, "free_symbols", ())}))


def _indexed(name: str) -> str:
    """A generator's name for LaTeX: phi3 is varphi with the index 3."""
    if name == "pole":
        return r"\tfrac{1}{z}"
    stem = name.rstrip("0123456789")
    letter = {"phi": r"\varphi", "mu": r"\mu"}.get(stem, stem)
    return f"{letter}_{{{name.removeprefix(stem)}}}"


def _shown(theta: Any) -> str:
    return shown(theta.as_expr() if hasattr(theta, "as_expr") else theta)


def at_ratios(element: Any, ratios: Sequence[Any]) -> Any:
    """An element of the ring that holds step ratios only, as a number of their field."""
    if not isinstance(element, PolyElement):
        return element
    total: Any = ZERO
    for monom, coefficient in element.terms():
        if any(monom[MAX_NODES:]):
            raise ValueError(f"{element} holds more than step ratios")
        term: Any = coefficient
        for exponent, value in zip(monom, ratios):
            for _ in range(exponent):
                term = term * value
        total = total + term
    return total


def linear_form(element: PolyElement, ratios: Sequence[Any]) -> Form:
    """A moment as a form in phi_k(z): mu_k is k! phi_{k+1}. ValueError if it is not linear in them."""
    ab = alphabet()
    width, moments = len(ab.r), len(ab.mu)
    terms = []
    for monom, coefficient in element.terms():
        head = at_ratios(element.ring.from_dict({monom[:width] + (0,) * (len(monom) - width): coefficient}), ratios)
        found = [(i, e) for i, e in enumerate(monom[width:]) if e]
        if not found:
            terms.append(((0, ZERO), head))
        elif len(found) == 1 and found[0][1] == 1:
            i = found[0][0]
            if width + i == len(monom) - 1:
                terms.append(((-1, ONE), head))
                continue
            key, scale = ((i + 1, ONE), factorial(i)) if i < moments else ((i - moments, ONE), 1)
            terms.append((key, head * scale))
        else:
            raise ValueError(f"{element.as_expr()} is not linear in moments and phi functions")
    return collect(terms)


def one() -> PolyElement:
    """The unit of the tableau ring."""
    return alphabet().ring.one


def multistep_row(order: int, kernel: Kernel, overrides: dict[int, PolyElement] | None = None) -> Row:
    """The row over the newest ``order`` integrand values, moments exact but for ``overrides``."""
    exact = exact_moments(order + 1, kernel.closed)
    moments = tuple((overrides or {}).get(k, exact[k]) for k in range(order))
    nodes = tuple(Node("history", j, theta) for j, theta in enumerate(history_nodes(order)))
    return Row(f"order {order}", nodes, moments, exact, x_history=(one(),))
