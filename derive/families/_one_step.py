r"""One-step tables (c, a, b): their shape, their row sums, and the rows they become.

Consistency is what a table shows by itself: explicit, abscissae in (0, 1], and every row exact for a constant integrand,

    sum_j a_ij(z) = c_i phi_1(c_i z),    sum_j b_j(z) = phi_1(z)        (Hochbruck-Ostermann 2010, Eq. 2.23),

identically in z; a Lawson table, whose weights are numbers times e^{(c_i - c_j) z}, is so at z = 0 only. The order is
proved elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from derive.parameters import Choice
from derive.problems import PoseError
from derive.symbolic.forms import ONE, ZERO, Form, constant, phi
from derive.symbolic.surds import number_words, sign
from derive.tableau import Kernel, Node, Row, Scheme, Tableau, multistep_row
from derive.tableau_text import entry_text

MAX_STAGES = 16
SHOWN = 120
"""Characters of a residual that a message shows."""


def final(default: str) -> Choice:
    """The key ``final`` of a one-step family."""
    return Choice(
        default=default,
        options=("keep", "lower_order", "denoise"),
        doc="last step: as all others; order 1; or one more evaluation that returns the data prediction",
    )


@dataclass(frozen=True, slots=True)
class Table:
    """c: numbers, c[0] = 0; a[i]: the i weights of stage i + 1; b, embedded: one weight per value (embedded: or one more)."""

    c: tuple[Any, ...]
    a: tuple[tuple[Form, ...], ...]
    b: tuple[Form, ...]
    embedded: tuple[Form, ...] = ()

    @property
    def rows(self) -> list[tuple[str, str, Any, tuple[Form, ...]]]:
        """(key, what it is, where it ends, weights) of every row that says something."""
        stages = [(f"a[{i}]", f"row {i + 1} of a", self.c[i], row) for i, row in enumerate(self.a) if i]
        last = [("embedded", "the embedded row", ONE, self.embedded)] if self.embedded else []
        return [*stages, ("b", "b", ONE, self.b), *last]

    @property
    def nodes(self) -> tuple[Any, ...]:
        """Where the values of a row sit: c, and the end of the step."""
        return (*self.c, ONE)


def table(
    c: Sequence[Form], a: Sequence[Sequence[Form]], b: Sequence[Form], embedded: Sequence[Form] | None, prefix: str
) -> Table:
    """The table with rows cut to their values. Raises PoseError at ``prefix`` + key where it is not an explicit table."""
    abscissae = tuple(form.at_zero for form in c)
    count = len(abscissae)
    if sign(abscissae[0]):
        raise PoseError(f"{prefix}c[0]", f"got {number_words(abscissae[0])}; allowed 0: the step starts with F(x_n)")
    for i, value in enumerate(abscissae[1:], 1):
        if sign(value) <= 0 or sign(value - ONE) > 0:
            raise PoseError(f"{prefix}c[{i}]", f"got {number_words(value)}; allowed: abscissae above 0 up to 1")
    if len(a) != count:
        raise PoseError(f"{prefix}a", f"got {len(a)} rows for {count} abscissae; allowed: a row for each, the first []")
    if len(b) != count:
        raise PoseError(f"{prefix}b", f"got {len(b)} weights for {count} abscissae; allowed: one for each")
    if embedded and len(embedded) not in (count, count + 1):
        allowed = f"{count}, or {count + 1} with that of the value at the end of the step"
        raise PoseError(f"{prefix}embedded", f"got {len(embedded)} weights; allowed {allowed}")
    rows = tuple(_explicit(row, i, count, f"{prefix}a[{i}]") for i, row in enumerate(a))
    return Table(abscissae, rows, tuple(b), tuple(embedded or ()))


def _explicit(row: Sequence[Form], i: int, count: int, key: str) -> tuple[Form, ...]:
    if len(row) not in (i, count):
        allowed = f"{i} (below the diagonal) or {count}"
        raise PoseError(key, f"got {len(row)} weights in row {i + 1}; allowed {allowed}")
    late = next((j for j in range(i, len(row)) if row[j]), None)
    if late is not None:
        what = f"row {i + 1} uses value {late + 1}, which is not there yet: {entry_text(row[late])}"
        raise PoseError(f"{key}[{late}]", f"{what}; allowed: explicit tables")
    return tuple(row[:i])


def check(given: Table, kernel: Kernel, prefix: str) -> None:
    """PoseError where a row is not exact for constants, or has no meaning for ``kernel``."""
    forms = [form for _, _, _, row in given.rows for form in row]
    keys = [key for form in forms for key, _ in form.terms]
    if kernel.rate != 0 and not any(c for _, c in keys):
        what = "weights that are numbers belong to a constant kernel"
        raise PoseError(f"{prefix}b", f"{what}; allowed here: weights in phi1(z), .., exp(z), or family runge_kutta")
    lawson = kernel.rate != 0 and not any(k for k, _ in keys)
    for key, name, end, row in given.rows:
        if lawson:
            _check_lawson(given, key, name, end, row, prefix)
        if kernel.rate is None:
            _check_sampled(given, key, end, row, prefix)
        _check_sum(key, name, end, row, prefix, at_zero=lawson or kernel.rate == 0)


def _check_sum(key: str, name: str, end: Any, row: tuple[Form, ...], prefix: str, at_zero: bool) -> None:
    total = Form()
    for form in row:
        total = total + form
    exact = phi(1, end, end)
    if at_zero:
        total, exact = constant(total.at_zero), constant(end)
    residual = total - exact
    if residual:
        text = entry_text(residual)
        text = text if len(text) <= SHOWN else text[:SHOWN] + ".."
        what = f"row sums: {name} does not add up to {entry_text(exact)}"
        raise PoseError(prefix + key, f"{what}; residual {text}")


def _check_lawson(given: Table, key: str, name: str, end: Any, row: tuple[Form, ...], prefix: str) -> None:
    """A table with exponentials only is Lawson's: a number times e^{(end - node) z} at every node."""
    for j, (form, node) in enumerate(zip(row, given.nodes)):
        if any(c != end - node for (_, c), _ in form.terms):
            exponential = entry_text(phi(0, end - node))
            what = f"{name} has {entry_text(form)} at c = {number_words(node)}, in a table without phi functions"
            raise PoseError(f"{prefix}{key}[{j}]", f"{what}; allowed: a number times {exponential}")


def _check_sampled(given: Table, key: str, end: Any, row: tuple[Form, ...], prefix: str) -> None:
    """A kernel that is not exponential has moments of a row's own span, and values at its nodes."""
    for j, (form, node) in enumerate(zip(row, given.nodes)):
        for (k, c), _ in form.terms:
            if c != (end if k else end - node):
                own = entry_text(phi(1, end))
                allowed = f"{own.replace('phi1', 'phi_k')}, or a number times {entry_text(phi(0, end - node))}"
                what = f"{entry_text(phi(k, c))} has no meaning in a variable whose kernel is not exponential"
                raise PoseError(f"{prefix}{key}[{j}]", f"{what}; allowed at this place: {allowed}")


def _row(name: str, given: Table, end: Any, weights: Sequence[Form]) -> Row:
    nodes = [Node("history", 0, ZERO)]
    nodes += [Node("stage", j, theta) for j, theta in enumerate(given.nodes[1:], 1)]
    used = [(node, form) for node, form in zip(nodes, weights) if form]
    return Row(name, tuple(n for n, _ in used), (), (), end, given=tuple(f for _, f in used))


def scheme(given: Table, digits: int | None = None) -> Scheme:
    """Stage rows, the output row and, where there is one, the embedded row; ``digits``: those of :class:`Scheme`."""
    stages = tuple(_row(f"stage {i}", given, given.c[i], row) for i, row in enumerate(given.a) if i)
    embedded = _row("embedded", given, ONE, given.embedded) if given.embedded else None
    return Scheme(stages, _row("output", given, ONE, given.b), embedded=embedded, digits=digits)


def one_step(family: str, kernel: Kernel, method: Scheme, final: str) -> Tableau:
    """The tableau of a one-step method: the exact row over one value, and the method."""
    euler = Scheme((), multistep_row(1, kernel))
    schemes = (euler, method) if method.stages else (method,)
    return Tableau(family, kernel, schemes, "exact", final)  # type: ignore[arg-type]
