r"""The order conditions of a step that is a piece of code, as exact fractions: the step is run on the equations of trees.

A rooted tree whose vertex v has the children c(v) is a system x_v' = prod_{c(v)} x_c, x(0) = 0: one step of length 1 of a
Runge-Kutta method gives Phi(tree) in the component of the root, where the exact solution has 1/gamma(tree). A leaf may as
well be t, which shows a stage that is evaluated at the wrong time. Code that takes fractions in NumPy arrays of objects is
proved so; a float in it that is the double next to p/q (q <= 5000) is taken as p/q.

Source: Butcher (2016), sections 31 and 38 (independence of the elementary differentials).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from derive.audit.exact import DENOMINATOR

HIGHEST = 6
Tree = tuple[Any, ...]
"""The children of the root; "t" is a leaf that is the time."""


class Ratio(Fraction):
    """A fraction that takes floats as fractions."""

    def __neg__(self) -> Ratio:  # type: ignore[override]
        return Ratio(-Fraction(self))


def _ratio(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        near = Fraction(float(value)).limit_denominator(DENOMINATOR)
        return near if float(near) == value else Fraction(float(value))
    return Fraction(int(value)) if isinstance(value, np.integer) else value


def _operation(name: str) -> Callable[[Any, Any], Any]:
    plain = getattr(Fraction, name)

    def found(self: Fraction, other: Any) -> Any:
        out = plain(self, _ratio(other))
        return Ratio(out) if isinstance(out, Fraction) else out

    return found


for _name in ("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv"):
    setattr(Ratio, f"__{_name}__", _operation(f"__{_name}__"))


def trees(order: int) -> list[Tree]:
    """All rooted trees with ``order`` vertices, their leaves x or t (a tree of one vertex has no leaf)."""
    return sorted({tree for plain in _plain(order) for tree in _timed(plain)} - {"t"}, key=str)


def _plain(order: int) -> list[Tree]:
    if order == 1:
        return [()]
    found = set()
    for sizes in _partitions(order - 1):
        for children in itertools.product(*(_plain(size) for size in sizes)):
            found.add(tuple(sorted(children, key=str)))
    return sorted(found, key=str)


def _partitions(total: int, most: int | None = None) -> Iterator[tuple[int, ...]]:
    if total == 0:
        yield ()
    for first in range(min(total, most or total), 0, -1):
        for rest in _partitions(total - first, first):
            yield (first, *rest)


def _timed(tree: Tree, root: bool = True) -> Iterator[Any]:
    if not tree:
        yield from [()] if root else [(), "t"]
        return
    for children in itertools.product(*(list(_timed(child, False)) for child in tree)):
        yield tuple(sorted(children, key=str))


def size(tree: Any) -> int:
    return 1 if tree == "t" else 1 + sum(map(size, tree))


def gamma(tree: Any) -> int:
    """Of the tree: its size times the gammas of its branches."""
    return 1 if tree == "t" else size(tree) * prod(map(gamma, tree))


def shown(tree: Any) -> str:
    """N[N[t]], as in the audits of tables."""
    return "t" if tree == "t" else "N" + (f"[{', '.join(map(shown, tree))}]" if tree else "")


def weight(step: Callable[..., Any], tree: Tree) -> Fraction:
    """Phi(tree). TypeError if what comes back is no fraction."""
    rows: list[list[int | str]] = []

    def number(vertex: Tree) -> int:
        place = len(rows)
        rows.append([])
        rows[place] = ["t" if child == "t" else number(child) for child in vertex]
        return place

    number(tree)

    def field(t: Any, x: Any) -> Any:
        values = [prod((t if child == "t" else x[child] for child in row), start=Ratio(1)) for row in rows]
        return np.array(values, dtype=object)

    found = step(field, Ratio(0), np.array([Ratio(0)] * len(rows), dtype=object), Ratio(1))[0]
    if not isinstance(found, Fraction):
        raise TypeError(f"a {type(found).__name__} among fractions")
    return Fraction(found)


def conditions(step: Callable[..., Any], highest: int) -> tuple[int, int, list[tuple[str, Fraction, Fraction]]]:
    """(order, trees tried, the conditions of the next order that fail: tree, value, exact), up to ``highest``."""
    tried = 0
    for order in range(1, highest + 1):
        wrong = []
        for tree in trees(order):
            tried += 1
            value, exact = weight(step, tree), Fraction(1, gamma(tree))
            if value != exact:
                wrong.append((shown(tree), value, exact))
        if wrong:
            return order - 1, tried, wrong
    return highest, tried, []


__all__ = ["HIGHEST", "conditions", "gamma", "shown", "size", "trees", "weight"]
