r"""Schemes that fill the history of a multistep method: one step each, of the order that the method needs.

A method of order p needs a start of order p - 1, used O(1) times (local error h^p). With stages X_i = x(t_n + c_i h) the
rows of a starter solve the moment equation of their own span, so it holds for every kernel, closed or known by its moments:

    a stage is accurate to h^{q+1} if the quadrature on its nodes has order q and the values it reads are accurate to h^q.

``singlestep``, the cheapest kind: blocks of stages, block L accurate to h^{L+1}. {0} and block L - 1 are L nodes on
which the quadrature to the first stage of block L has order L (2/3; 1/2, 1; ..), one more than interpolation gives; every
other stage of the block also reads those computed before it. Orders 1 .. 6 cost 1, 2, 3, 5, 8, 12 evaluations: for order 2
the midpoint c = 1/2, for order 3 c = 1/3, 2/3 (Heun; ETD3RK and DPM-Solver-3 have these nodes).

``iterated``: collocation on equal nodes up to 1, swept again and again; a sweep adds one order (Picard, block start).

``pseudo_rk4``: the stages of a classical method, each a DDIM step (Liu et al. 2022, Eq. 12): Kutta's four, order 4 where
the kernel is constant and 2 where it is not; for a method of two steps (S-PNDM) the improved Euler method, order 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympy import QQ
from sympy.polys.rings import PolyElement

from derive.parameters import Choice
from derive.symbolic.forms import ONE, phi
from derive.symbolic.moments import alphabet, exact_moments, history_nodes
from derive.tableau import Kernel, Node, Row, Scheme, one

STARTS = ("ramp", "exact", "singlestep", "pseudo_rk4", "iterated")

START = Choice(
    default="ramp",
    options=STARTS,
    doc="before the history is full: orders 1, 2, ..; history is given; one-step schemes of the order that is needed: "
    "the cheapest, PNDM's pseudo Runge-Kutta, iterated collocation",
)

BLOCKS: Mapping[int, tuple[tuple[object, ...], ...]] = {
    1: (),
    2: ((QQ(1, 2),),),
    3: ((QQ(1, 3),), (QQ(2, 3),)),
    4: ((QQ(1, 3),), (QQ(2, 3),), (QQ(1), QQ(1, 2))),
    5: ((QQ(4, 15),), (QQ(8, 15),), (QQ(4, 5), QQ(1, 4)), (QQ(1), QQ(3, 4), QQ(3, 10))),
    6: (
        (QQ(52, 225),),
        (QQ(104, 225),),
        (QQ(52, 75), QQ(13, 60)),
        (QQ(13, 15), QQ(2, 3), QQ(1, 3)),
        (QQ(1), QQ(3, 4), QQ(1, 2), QQ(1, 4)),
    ),
}
"""Abscissae by order: {0} and a block are the nodes of the next block's first stage, the last block those of the step."""

CELLS: Mapping[int, int] = {1: 0, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4}
"""Equal parts of the step whose ends give a quadrature of the order: trapezium, Simpson, Boole."""


def starter(kind: str, order: int, kernel: Kernel, steps: int) -> Scheme | None:
    """The scheme that takes the first ``steps`` - 1 steps, at least of ``order`` if its kind has orders; None: no scheme does.

    ValueError where the order is not to be had.
    """
    if kind in ("ramp", "exact") or steps == 1:
        return None
    if kind == "pseudo_rk4":
        return pseudo_rk4(kernel) if steps > 2 else pseudo_heun(kernel)
    if not 1 <= order <= max(BLOCKS):
        raise ValueError(f"start {kind} of order {order}; allowed: 1 to {max(BLOCKS)}")
    return singlestep(order, kernel) if kind == "singlestep" else iterated(order, kernel)


def span_row(
    name: str,
    nodes: Sequence[Node],
    kernel: Kernel,
    end: object = ONE,
    overrides: Mapping[int, PolyElement] | None = None,
) -> Row:
    """The row from 0 to ``end`` over ``nodes``: moments exact but for ``overrides``."""
    exact = exact_moments(len(nodes) + 1, kernel.closed)
    moments = tuple((overrides or {}).get(k, exact[k]) for k in range(len(nodes)))
    return Row(name, tuple(nodes), moments, exact, end, (one(),))


def past(count: int) -> tuple[Node, ...]:
    """The newest ``count`` values of earlier steps, the one at t_n first."""
    return tuple(Node("history", j, theta) for j, theta in enumerate(history_nodes(count)))


def stage(index: int, abscissa: object) -> Node:
    """The value at the end of the ``index``-th stage."""
    return Node("stage", index, alphabet().ring(abscissa))


class _Stages:
    """Stage rows in the order of their evaluation; every row reads x_n's value and some earlier stages."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.rows: list[Row] = []

    def add(self, abscissa: object, nodes: Sequence[Node]) -> Node:
        self.rows.append(span_row(f"stage {len(self.rows) + 1}", [*past(1), *nodes], self.kernel, abscissa))
        return stage(len(self.rows), abscissa)

    def scheme(self, nodes: Sequence[Node], order: int) -> Scheme:
        return Scheme(tuple(self.rows), span_row(f"start {order}", [*past(1), *nodes], self.kernel))


def singlestep(order: int, kernel: Kernel) -> Scheme:
    """The cheapest one-step scheme of ``order`` whose rows are interpolatory, blocks of :data:`BLOCKS`."""
    stages = _Stages(kernel)
    before: list[Node] = []
    for block in BLOCKS[order]:
        done: list[Node] = []
        for abscissa in block:
            reused = before if not done else before[: len(before) - len(done) + 1]
            done.append(stages.add(abscissa, [*done, *reused]))
        before = done
    return stages.scheme(before, order)


def iterated(order: int, kernel: Kernel) -> Scheme:
    """Collocation at 0, 1/m .. 1 by sweeps: the first builds up the nodes one by one, each later one uses all of them."""
    cells = CELLS[order]
    stages = _Stages(kernel)
    values: list[Node] = []
    accuracy: list[int] = []
    for j in range(1, cells + 1):
        accuracy.append(1 + min([len(values) + 1, *accuracy]))
        values.append(stages.add(QQ(j, cells), values))
    while accuracy and min(accuracy) < order:
        for j in range(cells):
            reached = 1 + min(cells + 1, *accuracy)
            if reached > accuracy[j]:
                values[j] = stages.add(QQ(j + 1, cells), values)
                accuracy[j] = reached
    return stages.scheme(values, order)


def pseudo_rk4(kernel: Kernel) -> Scheme:
    """e_1 at x_n; e_2, e_3 at DDIM steps to 1/2 with e_1, e_2; e_4 at the step with e_3; the step with (e_1+2e_2+2e_3+e_4)/6."""
    half = QQ(1, 2)
    (start,) = past(1)
    first, second, third = stage(1, half), stage(2, half), stage(3, ONE)
    rows = (
        span_row("stage 1", [start], kernel, half),
        span_row("stage 2", [first], kernel, half),
        span_row("stage 3", [second], kernel, ONE),
    )
    weights = (QQ(1, 6), QQ(1, 3), QQ(1, 3), QQ(1, 6))
    return Scheme(rows, _mean("start 4", (start, first, second, third), weights))


def pseudo_heun(kernel: Kernel) -> Scheme:
    """e_1 at x_n, e_2 at the DDIM step with it; the step with (e_1 + e_2)/2."""
    (start,) = past(1)
    rows = (span_row("stage 1", [start], kernel, ONE),)
    return Scheme(rows, _mean("start 2", (start, stage(1, ONE)), (QQ(1, 2), QQ(1, 2))))


def _mean(name: str, nodes: tuple[Node, ...], weights: Sequence[object]) -> Row:
    """The exact transfer of a weighted mean: weights q_j phi_1(z)."""
    return Row(name, nodes, (), (), ONE, (one(),), tuple(phi(1, ONE, q) for q in weights))


__all__ = [
    "START",
    "STARTS",
    "iterated",
    "past",
    "pseudo_heun",
    "pseudo_rk4",
    "singlestep",
    "span_row",
    "stage",
    "starter",
]
