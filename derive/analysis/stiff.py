r"""Stiff order of a step: the order that holds uniformly in the linear part, proved by identities of phi functions.

For x' = L x + N(x, t) with stiff L the expansion in z = hL is not used. The defects of a row,

    psi_m,i(z) = sum_j a_ij(z) theta_j^{m-1}/(m-1)! - c_i^m phi_m(c_i z)        (output: b_j, c = 1),

travel through the later rows, J, K, .. being derivatives of N at theta_j, about which nothing is known but that they are
bounded. The errors of order m in the stages are

    G_m = {psi_m} + {a theta^q J g : g in G_{m-1-q}, m-1-q >= 2},

and order p asks psi_p = 0 (p = 2: and psi_1,i = 0), b theta^q J g = 0 for g in G_{p-1-q}, and for p = 5 also
b B(psi_2, psi_2) = 0: 1, 2, 2, 4, 9 conditions for p = 1 .. 5. J separates the arguments, so each factor has a z of its
own; a product of forms is an element of a tensor product, and since distinct phi_k(c z) are linearly independent it
vanishes exactly if all its coefficients do. Nothing is expanded and nothing is rounded.

Weak order p: the conditions of lower order in full, and those of order p with b(0) in place of b(z).

Values of earlier steps are exact, so they have no defect; the same conditions cover multistep rows.

Sources: Hochbruck, Ostermann, SIAM J. Numer. Anal. 43 (2005) and Acta Numerica 19 (2010); Luan, Ostermann, SIAM J.
Numer. Anal. 51 (2013) for order 5 and J. Comput. Appl. Math. 256 (2014) for the recursion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

from sympy import QQ

from derive.symbolic.forms import ONE, Form, Key, Step, collect, phi

HIGHEST = 5
"""The conditions are complete up to here."""

Tensor = dict[tuple[Key, ...], Any]
"""A sum of products of phi functions, each factor in a variable of its own; no zeros."""


@dataclass(frozen=True, slots=True)
class StiffCondition:
    """A condition of ``order`` that fails; weakly: with b(0) for b(z) as well."""

    order: int
    name: str
    weakly: bool

    def __str__(self) -> str:
        return f"stiff order {self.order} fails at {self.name} = 0" + ("" if self.weakly else " (holds weakly)")


@dataclass(frozen=True, slots=True)
class StiffOrder:
    """``strong``: order uniform in z; ``weak``: the same or one more.

    violated: the conditions of order strong + 1 that fail; if there are none, ``strong`` is the highest that was tried.
    """

    strong: int
    weak: int
    violated: tuple[StiffCondition, ...]

    def __str__(self) -> str:
        first = sorted(self.violated, key=lambda condition: not condition.weakly)[:1]
        return f"stiff order {self.strong}, weakly {self.weak}" + "".join(f"; {condition}" for condition in first)


@dataclass(frozen=True, slots=True)
class _Defect:
    """g in G_m: one tensor per value."""

    name: str
    values: tuple[Tensor, ...]


def stiff_order(step: Step, highest: int = HIGHEST) -> StiffOrder:
    """Prove the strong and the weak stiff order of ``step`` up to ``highest`` <= 5.

    Raises ValueError for an implicit step, a constant kernel and one that is known by its moments only (no z).

    >>> print(stiff_order(Step((QQ(0),), 1, (), (phi(1),), ONE)))
    stiff order 1, weakly 1; stiff order 2 fails at psi_2 = 0
    """
    if not step.explicit:
        raise ValueError("stiff conditions are for explicit steps")
    if step.rate is None or not step.rate:
        raise ValueError("stiff order is for exponential kernels: there is no linear part")
    if not 1 <= highest <= HIGHEST:
        raise ValueError(f"stiff conditions are known for orders 1 to {HIGHEST}, not {highest}")
    for order, found in enumerate(failures(step, highest)):
        if found:
            weak = order if any(condition.weakly for condition in found) else order + 1
            return StiffOrder(order, weak, found)
    return StiffOrder(highest, highest, ())


def failures(step: Step, highest: int = HIGHEST) -> Iterator[tuple[StiffCondition, ...]]:
    """By order 1 .. highest, the conditions that fail."""
    for order, found in enumerate(conditions(step, highest), start=1):
        yield tuple(
            StiffCondition(order, name, bool(weak)) for name, strong, weak in found if strong
        )  # what vanishes in z vanishes at 0


def conditions(step: Step, highest: int = HIGHEST) -> Iterator[tuple[tuple[str, Any, Any], ...]]:
    """By order 1 .. highest: name, left side and left side with b(0) of every condition (falsy: it holds)."""
    grown: dict[int, tuple[_Defect, ...]] = {1: (), 0: ()}
    weights = [_tensor(form) for form in step.b], [_number(form) for form in step.b]
    for order in range(1, highest + 1):
        own = _defect(step.b, step.thetas, ONE, order)
        found: list[tuple[str, Any, Any]] = [(f"psi_{order}", own, _at_zero(own))]
        if order == 2:
            first = _stages(step, 1)
            found.append((first.name, _any(first), _any(first)))
        for q in range(order - 2):
            for g in grown[order - 1 - q]:
                sums = [_through(b, step.thetas, q, g) for b in weights]
                found.append((f"b {_power(q)}J {g.name}", sums[0], sums[1]))
        if order == 5:
            [g] = grown[2]
            pair = _Defect("", tuple(_times(v, v) for v in g.values))
            sums = [_through(b, step.thetas, 0, pair) for b in weights]
            found.append((f"b B({g.name}, {g.name})", sums[0], sums[1]))
        yield tuple(found)
        if order >= 2:
            grown[order] = tuple(_next(step, order, grown))


def _next(step: Step, order: int, grown: dict[int, tuple[_Defect, ...]]) -> Iterator[_Defect]:
    """G_order from those before."""
    yield _stages(step, order)
    rows = [[_tensor(form) for form in row] for row in step.a]
    for q in range(order - 2):
        for g in grown[order - 1 - q]:
            values = tuple(_through(row, step.thetas, q, g) for row in rows)
            yield _Defect(f"a {_power(q)}J {g.name}", (*({} for _ in range(step.known)), *values))


def _stages(step: Step, m: int) -> _Defect:
    """psi_m,i of all values; those of earlier steps have none."""
    ends = step.thetas[step.known :]
    values = (_tensor(_defect(row, step.thetas, end, m)) for row, end in zip(step.a, ends))
    return _Defect(f"psi_{m},i", (*({} for _ in range(step.known)), *values))


def _defect(row: Sequence[Form], thetas: Sequence[Any], end: Any, m: int) -> Form:
    """sum_j a_j theta_j^{m-1}/(m-1)! - end^m phi_m(end z)."""
    terms = [
        (key, q * _to(theta, m - 1) * QQ(1, factorial(m - 1)))
        for form, theta in zip(row, thetas)
        for key, q in form.terms
    ]
    return collect(terms) - phi(m, end, _to(end, m))


def _through(row: Sequence[Tensor], thetas: Sequence[Any], q: int, g: _Defect) -> Tensor:
    """sum_j w_j theta_j^q J g_j."""
    total: Tensor = {}
    for weight, theta, value in zip(row, thetas, g.values):
        if weight and value:
            power = _to(theta, q)
            if power:
                for keys, amount in _times(weight, value).items():
                    amount = amount * power
                    total[keys] = total[keys] + amount if keys in total else amount
    return {keys: amount for keys, amount in total.items() if amount}


def _times(left: Tensor, right: Tensor) -> Tensor:
    """The product, the factors in variables of their own."""
    return {a + b: u * v for a, u in left.items() for b, v in right.items()}


def _tensor(form: Form) -> Tensor:
    return {(key,): q for key, q in form.terms}


def _at_zero(form: Form) -> Any:
    return form.series(1)[0]


def _number(form: Form) -> Tensor:
    """The value at z = 0, which depends on nothing."""
    value = _at_zero(form)
    return {(): value} if value else {}


def _any(defect: _Defect) -> bool:
    return any(map(bool, defect.values))


def _to(base: Any, exponent: int) -> Any:
    out = ONE
    for _ in range(exponent):
        out = out * base
    return out


def _power(q: int) -> str:
    return {0: "", 1: "c "}.get(q, f"c^{q} ")


__all__ = ["HIGHEST", "StiffCondition", "StiffOrder", "conditions", "failures", "stiff_order"]
