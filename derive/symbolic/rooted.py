r"""Rooted trees in two colours: the elementary differentials of x' = L x + N(x, t), L any matrix.

A black vertex is N with any number of children (its derivatives), a white one is L with at most one. A tree is k >= 0
white vertices on top of a black one, or a chain of k whites alone:

    L^k N[b_1, .., b_m]   or   L^k x,      F(N[b..]) = N^{(m)}(F(b_1), ..),   F(L^k b) = L^k F(b).

With |tau| vertices, density gamma and symmetry sigma, x(t_n + theta h) = sum theta^{|tau|} / (sigma gamma) F(tau) h^{|tau|}.
Without white vertices these are Butcher's trees. There are 2, 4, 11, 34, 117, 421, 1589, 6162 trees of 1, 2, .. vertices
in two colours and 1, 1, 2, 4, 9, 20, 48, 115 in black.

Sources: Butcher, "Numerical Methods for Ordinary Differential Equations" (3rd ed., 2016), chapter 3; Berland, Owren,
Skaflestad, "B-series and order conditions for exponential integrators" (SIAM J. Numer. Anal. 43, 2005).

>>> [len(trees(n)) for n in range(1, 6)]
[2, 4, 11, 34, 117]
>>> [str(tree) for tree in trees(3, white=False)]
['N[N,N]', 'N[N[N]]']
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import factorial, prod
from typing import Any

from sympy import QQ


@dataclass(frozen=True)
class Tree:
    """``whites`` white vertices on top of a black root with ``children``; None: the white vertices alone."""

    whites: int
    children: tuple[Tree, ...] | None

    def __post_init__(self) -> None:
        if self.whites < 0 or (self.children is None and not self.whites):
            raise ValueError("a tree has at least one vertex")

    @cached_property
    def order(self) -> int:
        """|tau|, the number of vertices."""
        return self.whites + (0 if self.children is None else 1 + sum(child.order for child in self.children))

    @cached_property
    def density(self) -> int:
        """gamma: the product of the sizes of all subtrees."""
        top = prod(range(self.order, self.order - self.whites, -1))
        if self.children is None:
            return top
        return top * (self.order - self.whites) * prod(child.density for child in self.children)

    @cached_property
    def symmetry(self) -> int:
        """sigma: the number of ways to permute equal branches."""
        out = 1
        for child, copies in Counter(self.children or ()).items():
            out *= factorial(copies) * child.symmetry**copies
        return out

    def __str__(self) -> str:
        """Brackets hold children: ``N[N,L[N]]``; a chain of whites is ``L[L]``."""
        black = None if self.children is None else "N"
        if self.children:
            black = f"N[{','.join(map(str, self.children))}]"
        names = ["L"] * self.whites + ([black] if black is not None else [])
        return "[".join(names) + "]" * (len(names) - 1)


def read(text: str) -> Tree:
    """The tree of a text in the notation of ``str(tree)``; ValueError if it is none.

    >>> read("L[N[N,N]]").density
    12
    """
    tree, rest = _read(text.replace(" ", ""))
    if rest:
        raise ValueError(f"after the tree {tree}: {rest!r}")
    return tree


def _read(text: str) -> tuple[Tree, str]:
    colour, rest = text[:1], text[1:]
    if colour not in ("N", "L"):
        raise ValueError(f"a vertex is N or L, not {colour!r}")
    children: list[Tree] = []
    if rest.startswith("["):
        while rest and rest[0] in "[,":
            child, rest = _read(rest[1:])
            children.append(child)
        if not rest.startswith("]"):
            raise ValueError(f"']' is missing before {rest!r}")
        rest = rest[1:]
    if colour == "N":
        return Tree(0, tuple(sorted(children, key=_place))), rest
    if len(children) > 1:
        raise ValueError(f"L has one child, not {len(children)}")
    below = children[0] if children else Tree(1, None)
    return (Tree(below.whites + 1, below.children) if children else below), rest


def _place(tree: Tree) -> tuple[Any, ...]:
    """Small trees first; of one size, those with fewer whites on top."""
    return (tree.order, tree.whites, tuple(_place(child) for child in tree.children or ()))


@dataclass(frozen=True, slots=True)
class Forest:
    """A multiset of trees as the forest ``less`` (its number) and one tree ``last`` more; exact: the product of 1/gamma."""

    less: int
    last: int
    exact: Any


@dataclass(frozen=True, slots=True)
class Branch:
    """A tree as its whites over a forest (its number; None: a chain of whites), with exact = 1/gamma."""

    whites: int
    forest: int | None
    exact: Any


class Grove:
    """All trees up to an order, by number, each made of numbered parts: what is computed of a part is computed once.

    ``branches[first[n] : first[n + 1]]`` are the trees of order n, ``forests[size[m] : size[m + 1]]`` the multisets of
    trees with m vertices. The empty forest has number 0. white: whether there are white vertices.
    """

    def __init__(self, highest: int, white: bool) -> None:
        self.highest, self.white = highest, white
        self.branches: list[Branch] = []
        self.forests: list[Forest] = [Forest(-1, -1, QQ(1))]
        self.first, self.size = [0, 0], [0, 1]
        for order in range(1, highest + 1):
            self._grow(order)
            self.first.append(len(self.branches))
            if order < highest:
                self._gather(order)
                self.size.append(len(self.forests))

    def _grow(self, order: int) -> None:
        """The trees of ``order`` vertices from the forests of fewer."""
        for whites in range(order if self.white else 1):
            root = order - whites
            top = prod(range(root, order + 1))
            for number in range(self.size[root - 1], self.size[root]):
                self.branches.append(Branch(whites, number, self.forests[number].exact / top))
        if self.white:
            self.branches.append(Branch(order, None, QQ(1, factorial(order))))

    def _gather(self, vertices: int) -> None:
        """The multisets of trees with ``vertices`` vertices: each once, as a smaller one and its last tree."""
        for order in range(1, vertices + 1):
            rest = vertices - order
            for last in range(self.first[order], self.first[order + 1]):
                exact = self.branches[last].exact
                for less in range(self.size[rest], self.size[rest + 1]):
                    if self.forests[less].last <= last:
                        self.forests.append(Forest(less, last, self.forests[less].exact * exact))

    def tree(self, number: int) -> Tree:
        """The tree of a number."""
        branch = self.branches[number]
        if branch.forest is None:
            return Tree(branch.whites, None)
        children, forest = [], branch.forest
        while forest:
            children.append(self.tree(self.forests[forest].last))
            forest = self.forests[forest].less
        return Tree(branch.whites, tuple(sorted(children, key=_place)))


@lru_cache(maxsize=16)
def grove(highest: int, white: bool = True) -> Grove:
    """All trees with up to ``highest`` vertices."""
    if highest < 1:
        raise ValueError(f"the highest order is at least 1, not {highest}")
    return Grove(highest, white)


def trees(order: int, white: bool = True) -> tuple[Tree, ...]:
    """The trees of ``order`` vertices, in two colours or black."""
    found = grove(order, white)
    return tuple(found.tree(number) for number in range(found.first[order], found.first[order + 1]))


__all__ = ["Branch", "Forest", "Grove", "Tree", "grove", "read", "trees"]
