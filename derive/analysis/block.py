r"""A block of a table of decisions as a step of a one-step method: what its order and its stability are.

A step that starts ``back`` steps ago has the steps since then for its stages, at abscissae that the grid decides:

    x_{n+1} = Phi(n+1, n-b) x_{n-b} + C sum_j w_j F_{n-j},    C and the moments those of the span from t_{n-b} to t_{n+1}.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from derive.symbolic.forms import ONE
from derive.symbolic.moments import alphabet
from derive.tableau import Node, Row, Scheme


def block(scheme: Scheme, ratios: Sequence[Any]) -> Scheme:
    """The one-step scheme of a step that starts ``back`` steps ago, at step ratios r_0, r_1, ..; another one as it is."""
    row = scheme.output
    if not row.back:
        return scheme
    ends = list(accumulate(reversed([ONE, *ratios[: row.back]])))
    places = [end / ends[-1] for end in ends[:-1]]
    inner, step = [], row.inner
    while step is not None:
        inner.append(step)
        step = step.inner
    stages = [_row(f"stage {i}", own, places, places[i - 1]) for i, own in enumerate(reversed(inner), 1)]
    return Scheme(tuple(stages), _row("output", row, places, ONE))


def _row(name: str, row: Row, places: Sequence[Any], end: Any) -> Row:
    """A row of the block: its own moments over its own values, from the block's start to ``end``."""
    ring, own = alphabet().ring, row.span or row
    nodes = [
        Node("stage", n.index, ring(places[n.index - 1])) if n.index else Node("history", 0, ring.zero)
        for n in own.nodes
    ]
    return Row(name, tuple(nodes), own.moments, own.exact, end, row.x_history)


__all__ = ["block"]
