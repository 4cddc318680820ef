r"""Classical order of a step, proved by rooted trees: every order condition is an identity between exact numbers.

For x' = L x + N(x, t) with any matrix L that need not commute with N', a stage and the exact solution are B-series over
the trees of :mod:`derive.symbolic.rooted`. With a_ij(z) = sum_k a_ij^{(k)} z^k the coefficients Y_i of stage i are

    Y_i(L^k N[b_1 .. b_m]) = sum_j a_ij^{(k)} Y_j(b_1) .. Y_j(b_m),      Y_i(L^k x) = c_i^k / k!,

a value of an earlier step at theta carries the exact theta^{|tau|} / gamma(tau), and the step has order p exactly when the
same sum with the output's weights is 1/gamma(tau) for all trees of up to p vertices and fails for one of p + 1. A predictor
that is corrected is a stage at theta = 1; an embedded output sees x_{n+1} as one stage more (:func:`embedded`).

If the kernel is constant (rate 0) there is no L and the trees are Butcher's. A kernel known by its moments only (rate
None) is proved with L: weights are linear in the kernel, and its Taylor coefficients play the part of the powers of L.

Decimals: numbers that are those of an exact method to N places leave residuals near 10^-N; with a ``tolerance`` a
condition is met below it. That such a method is there is not shown here.

Numbers: rationals, algebraic numbers or rational functions of free parameters (:func:`conditions` then says for which
values the order is reached). The product over the branches of a tree is computed once for every tree that contains it:
all 8340 trees up to order 8 take milliseconds.

Sources: Berland, Owren, Skaflestad, SIAM J. Numer. Anal. 43 (2005); Butcher (2016), chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sympy import QQ
from sympy.polys.fields import FracElement
from sympy.polys.rings import PolyElement

from derive.symbolic.forms import ONE, ZERO, Form, Step, shown
from derive.symbolic.rooted import Branch, Grove, Tree, grove

HIGHEST = 8
"""Order up to which trees are tried unless told otherwise."""
GUARD = 10
"""Decimal places that a residual may lose of those of the numbers."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An order condition that fails: ``value`` (from the weights) for ``exact`` = 1/gamma(tree)."""

    tree: Tree
    value: Any
    exact: Any

    @property
    def residual(self) -> Any:
        return self.value - self.exact

    @property
    def error(self) -> Any:
        """The coefficient of F(tree) h^order in exact - numerical."""
        return -self.residual * QQ(1, self.tree.symmetry)

    def __str__(self) -> str:
        return f"order {self.tree.order} fails at {self.tree}: {shown(self.value)} instead of {self.exact}"


@dataclass(frozen=True, slots=True)
class TreeOrder:
    """``order`` is proved and, if there are ``violated`` conditions, order + 1 is refuted by them.

    checked: how many trees were tried; coloured: whether there were white vertices (False: a constant kernel).
    """

    order: int
    violated: tuple[Condition, ...]
    checked: int
    coloured: bool

    @property
    def exact(self) -> bool:
        """Whether the order is no higher; False: every tree that was tried holds."""
        return bool(self.violated)

    @property
    def principal(self) -> tuple[tuple[Tree, Any], ...]:
        """exact - numerical = h^{order+1} sum coefficient F(tree) + higher."""
        return tuple((condition.tree, condition.error) for condition in self.violated)

    def __str__(self) -> str:
        kind = "bicoloured" if self.coloured else "black"
        head = f"order {self.order} ({self.checked} {kind} trees)"
        if not self.violated:
            return f"{head}, no failing tree"
        more = len(self.violated) - 1
        return f"{head}; {self.violated[0]}" + (f" (and {more} more)" if more else "")


class _Values:
    """The values Y_j(tree) and the products over forests of one step, grown order by order."""

    def __init__(self, step: Step, trees: Grove) -> None:
        if not step.explicit:
            raise ValueError("the trees of an implicit step are not computed: a stage uses itself or a later one")
        self.step, self.trees = step, trees
        self.rows = [_expanded(row, trees.highest) for row in step.a]
        self.output = _expanded(step.b, trees.highest)
        self.values: list[list[Any]] = []
        self.products: list[list[Any]] = [[ONE] * len(step.thetas)]
        self.powers = [[ONE] * len(step.thetas)]

    def grow(self, order: int) -> Iterator[tuple[int, Any]]:
        """Number and output weight of every tree of ``order``; those below have been grown before."""
        trees = self.trees
        for number in range(len(self.values), trees.first[order]):
            self.values.append(self._stages(trees.branches[number], order - 1))
        for number in range(len(self.products), trees.size[order]):
            forest = trees.forests[number]
            last = self.values[forest.last]
            self.products.append([u * v for u, v in zip(self.products[forest.less], last)])
        self.powers.append([u * theta for u, theta in zip(self.powers[-1], self.step.thetas)])
        for number in range(trees.first[order], trees.first[order + 1]):
            branch = trees.branches[number]
            if branch.forest is None:
                continue  # e^z is exact
            product = self.products[branch.forest]
            total = ZERO
            for j, weight in self.output[branch.whites]:
                total = total + weight * product[j]
            yield number, total

    def _stages(self, branch: Branch, order: int) -> list[Any]:
        """Y_j of a tree, j over all values: exact for those that are known, the stage row's sum for the others."""
        known, power = self.step.known, self.powers[order]
        if branch.forest is None:
            return [p * branch.exact for p in power]
        product = self.products[branch.forest]
        out = [p * branch.exact for p in power[:known]]
        for row in self.rows:
            total = ZERO
            for j, weight in row[branch.whites]:
                total = total + weight * product[j]
            out.append(total)
        return out


def _expanded(row: tuple[Form, ...], count: int) -> list[list[tuple[int, Any]]]:
    """By power k of z, the non-zero a_j^{(k)} with their j."""
    series = [form.series(count) if form else () for form in row]
    return [[(j, s[k]) for j, s in enumerate(series) if s and s[k]] for k in range(count)]


def coloured(step: Step) -> bool:
    """Whether the trees of the step have white vertices: not if the kernel is constant."""
    return step.rate is None or bool(step.rate)


def bound(digits: int | None) -> Any:
    """Of the residual of a condition that counts as met: 0, but for decimals to ``digits`` places."""
    return ZERO if digits is None else ONE / 10 ** (digits - GUARD)


def failures(step: Step, highest: int, tolerance: Any = ZERO) -> Iterator[tuple[int, tuple[Condition, ...]]]:
    """By order 1 .. highest: the number of trees of it, and the conditions that fail: by more than ``tolerance``."""
    trees = grove(highest, coloured(step))
    values = _Values(step, trees)
    for order in range(1, highest + 1):
        wrong = []
        for number, value in values.grow(order):
            exact = trees.branches[number].exact
            if abs(value - exact) > tolerance if tolerance else value - exact:
                wrong.append(Condition(trees.tree(number), value, exact))
        yield trees.first[order + 1] - trees.first[order], tuple(wrong)


def order(step: Step, highest: int = HIGHEST, tolerance: Any = ZERO) -> TreeOrder:
    """Prove the order of ``step`` and refute the next; trees of more than ``highest`` vertices are not tried.

    tolerance: a condition is met up to this, for decimals of an exact method (:func:`bound`).

    >>> from derive.symbolic.forms import phi
    >>> print(order(Step((ZERO,), 1, (), (phi(1),), ONE)))
    order 1 (6 bicoloured trees); order 2 fails at N[N]: 0 instead of 1/2 (and 1 more)
    """
    checked = 0
    for proved, (count, wrong) in enumerate(failures(step, highest, tolerance)):
        checked += count
        if wrong:
            return TreeOrder(proved, wrong, checked, coloured(step))
    return TreeOrder(highest, (), checked, coloured(step))


def embedded(step: Step) -> Step:
    """The step whose output is the embedded one; the value at x_{n+1}, where it is used, becomes its last stage."""
    if step.embedded is None:
        raise ValueError("the step has no embedded output")
    count = len(step.thetas)
    if len(step.embedded) == count:
        return Step(step.thetas, step.known, step.a, step.embedded, step.rate)
    rows = tuple((*row, Form()) for row in (*step.a, step.b))
    return Step((*step.thetas, ONE), step.known, rows, step.embedded, step.rate)


def conditions(step: Step, order: int) -> tuple[PolyElement, ...]:
    """Polynomials in the free parameters that must vanish for ``order``: () if it holds for all, (1,) if for none.

    Factors that cannot vanish because the step divides by them, repeated factors and multiples of other conditions are
    left out. ValueError if the step has no free parameters.

    DPM-Solver-3 with its two free abscissae has order 3 only for r2 = 2/3:

    >>> from derive.symbolic.forms import phi
    >>> field = QQ.frac_field("r1", "r2")
    >>> r1, r2 = field.gens
    >>> a32, b3 = phi(2, r2, r2**2 / r1), phi(2, ONE, 1 / r2)
    >>> none = Form()
    >>> rows = (phi(1, r1, r1), none, none), (phi(1, r2, r2) - a32, a32, none)
    >>> conditions(Step((ZERO, r1, r2), 1, rows, (phi(1) - b3, none, b3), ONE), 3)
    (3*r2 - 2,)
    """
    ring, divisors = _parameters(step)
    found: list[PolyElement] = []
    for _, wrong in failures(step, order):
        for condition in wrong:
            residual = condition.residual
            numerator = residual.numer.set_ring(ring) if isinstance(residual, FracElement) else ring(residual)
            found.append(_essential(numerator, divisors))
    return _without_multiples(found)


def _parameters(step: Step) -> tuple[Any, tuple[PolyElement, ...]]:
    """The ring of the free parameters, and what the numbers of the step are divided by."""
    elements = [x for x in _numbers(step) if isinstance(x, FracElement)]
    if not elements:
        raise ValueError("the step has no free parameters")
    ring = elements[0].field.ring
    divisors = {factor for x in elements for factor, _ in x.denom.factor_list()[1]}
    return ring, tuple(sorted(divisors, key=str))


def _numbers(step: Step) -> Iterator[Any]:
    yield from step.thetas
    for form in (*(w for row in step.a for w in row), *step.b):
        for (_, c), q in form.terms:
            yield c
            yield q


def _essential(polynomial: PolyElement, divisors: Iterable[PolyElement]) -> PolyElement:
    """The product of the distinct factors that are no divisors."""
    out = polynomial.ring.one
    for factor, _ in polynomial.factor_list()[1]:
        if factor not in divisors:
            out = out * factor
    return out


def _without_multiples(found: list[PolyElement]) -> tuple[PolyElement, ...]:
    kept: list[PolyElement] = []
    for candidate in sorted(set(found), key=lambda p: (sum(p.degrees()), len(p), str(p))):
        if all(candidate.rem(other) for other in kept):
            kept.append(candidate)
    return tuple(kept)


__all__ = [
    "HIGHEST",
    "Condition",
    "TreeOrder",
    "bound",
    "coloured",
    "conditions",
    "embedded",
    "failures",
    "order",
]
