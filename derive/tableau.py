r"""The central symbolic type: an exponential general linear method as rows that solve a moment equation.

    x_out = sum_i V_i x_{n-i} + C sum_j w_j F_j,    sum_j w_j theta_j^k = mt_k,    k = 0 .. K-1

F is the integrand, theta the method's variable measured from t_n in units of the step, C the prefactor of the kernel.
A multistep method is one row over history nodes; a Runge-Kutta stage is a row that ends at its own abscissa and whose
nodes are earlier stages; a corrector row has the node theta = 1. Entries are exact (:mod:`derive.symbolic.moments`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sympy.polys.rings import PolyElement

from derive.symbolic.moments import (
    Weight,
    alphabet,
    exact_moments,
    history_nodes,
    lagrange_weights,
    newton_moments,
)

Start = Literal["ramp", "exact"]
Final = Literal["keep", "lower_order", "denoise"]


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
    theta: PolyElement


@dataclass(frozen=True, slots=True)
class Row:
    """One output: the moments ``mt`` its weights reproduce on its nodes, beside the ``exact`` ones of the kernel.

    end: abscissa where the output lives (1: the step; c_i: a stage). x_history: weights V_i on past states.
    """

    name: str
    nodes: tuple[Node, ...]
    moments: tuple[PolyElement, ...]
    exact: tuple[PolyElement, ...]
    end: PolyElement
    x_history: tuple[PolyElement, ...]
    given: tuple[Weight, ...] = ()
    """Weights typed by hand (a tableau from a paper); empty: the solution of the moment equation."""

    def __post_init__(self) -> None:
        if len(self.moments) != len(self.nodes) or len(self.exact) <= len(self.nodes):
            raise ValueError(f"row {self.name}: {len(self.nodes)} nodes need as many moments and one exact moment more")
        if len({n.theta for n in self.nodes}) != len(self.nodes):
            raise ValueError(f"row {self.name}: two nodes coincide")

    @property
    def thetas(self) -> tuple[PolyElement, ...]:
        return tuple(node.theta for node in self.nodes)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """w_j, the solution of V w = mt (or the given ones)."""
        return self.given or lagrange_weights(self.thetas, self.moments)

    @property
    def newton(self) -> tuple[PolyElement, ...]:
        """M_k, the weights of the divided differences F[theta_0 .. theta_k]: free of cancellation for r_j > 0."""
        return newton_moments(self.thetas, self.moments)

    @property
    def interpolatory(self) -> bool:
        """Whether every moment is the exact one."""
        return self.moments == self.exact[: len(self.moments)]

    def __str__(self) -> str:
        differences = ["F0", *(f"F[0..{k}]" for k in range(1, len(self.nodes)))]
        body = " + ".join(f"({m.as_expr()}) {d}" for m, d in zip(self.newton, differences))
        return f"{self.name:<8} = Phi x + C [{body}]"


@dataclass(frozen=True, slots=True)
class Tableau:
    """The method: rows by order 1 .. k (``rows[-1]`` is the method, the others start and end it), kernel, policies.

    start: what is done before the history is full; final: what is done on the last steps; family: who built it.
    """

    family: str
    kernel: Kernel
    rows: tuple[Row, ...]
    start: Start = "ramp"
    final: Final = "lower_order"
    references: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("a tableau has at least one row")

    @property
    def main(self) -> Row:
        return self.rows[-1]

    @property
    def steps(self) -> int:
        """Integrand values that the main row combines."""
        return len(self.main.nodes)

    @property
    def stages(self) -> int:
        """Network calls per step."""
        return 1 + max((n.index for n in self.main.nodes if n.kind == "stage"), default=0)

    @property
    def explicit(self) -> bool:
        """Whether no row reads a value at the point it computes."""
        return all(node.theta != row.end for row in self.rows for node in row.nodes)

    @property
    def exact_for_constants(self) -> bool:
        """Whether a constant integrand is integrated exactly."""
        return all(row.moments[0] == row.exact[0] for row in self.rows)

    def __str__(self) -> str:
        head = f"{self.family}, {self.steps} step{'s' if self.steps > 1 else ''}, {self.kernel}; start {self.start}, final {self.final}"
        thetas = "  ".join(str(t.as_expr()) for t in self.main.thetas)
        return "\n".join([head, f"  nodes theta: {thetas}", *(f"  {row}" for row in self.rows)])

    def latex(self) -> str:
        """The rows in Newton form, for GitHub's renderer."""
        from sympy import latex

        lines = []
        for row in self.rows:
            terms = []
            for k, moment in enumerate(row.newton):
                expr = moment.as_expr()
                text = latex(expr, symbol_names={s: _indexed(s.name) for s in expr.free_symbols})
                last = rf",\ldots,\theta_{k}" if k else ""
                terms.append(rf"\left({text}\right) F[\theta_0{last}]")
            lines.append(r"x_{n+1} = \Phi\,x_n + C\,\Bigl[" + " + ".join(terms) + r"\Bigr]")
        return "\n\n".join(f"$$ {line} $$" for line in lines)


def _indexed(name: str) -> str:
    """A generator's name for LaTeX: phi3 is varphi with the index 3."""
    stem = name.rstrip("0123456789")
    letter = {"phi": r"\varphi", "mu": r"\mu"}.get(stem, stem)
    return f"{letter}_{{{name.removeprefix(stem)}}}"


def one() -> PolyElement:
    """The unit of the tableau ring."""
    return alphabet().ring.one


def multistep_row(order: int, kernel: Kernel, overrides: dict[int, PolyElement] | None = None) -> Row:
    """The row over the newest ``order`` integrand values, moments exact but for ``overrides``."""
    exact = exact_moments(order + 1, kernel.closed)
    moments = tuple((overrides or {}).get(k, exact[k]) for k in range(order))
    nodes = tuple(Node("history", j, theta) for j, theta in enumerate(history_nodes(order)))
    return Row(f"order {order}", nodes, moments, exact, one(), (one(),))
