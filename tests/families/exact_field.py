"""Q(r0, r1, r2)(h, E), E = e^h, and rows of a tableau as its elements: identities with published code are decided there."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any

from sympy import QQ, field
from sympy.polys.rings import PolyElement

from derive.symbolic.moments import alphabet
from derive.tableau import Row

K, R0, R1, R2, H, E = field("r0,r1,r2,h,E", QQ)
RATIOS = (R0, R1, R2)


def phi(k: int, sign: int) -> Any:
    """phi_k(sign h)."""
    value = E if sign > 0 else 1 / E
    for j in range(k):
        value = (value - K(QQ(1, factorial(j)))) / (sign * H)
    return value


def element(poly: PolyElement, sign: int) -> Any:
    """A ring element in ratios and phi functions of z = sign h."""
    ab = alphabet()
    values = dict(zip(ab.r, RATIOS)) | dict.fromkeys(ab.phi)
    total = K.zero
    for monom, coefficient in poly.terms():
        term = K(coefficient)
        for gen, exponent in zip(poly.ring.gens, monom):
            if exponent:
                name = str(gen)
                value = values[gen] if gen in values and values[gen] is not None else phi(int(name[3:]), sign)
                term = term * value**exponent
        total = total + term
    return total


def weights(row: Row, sign: int) -> dict[tuple[str, int], Any]:
    """The weights of a row w.r.t. C h, by node."""
    return {
        (node.kind, node.index): element(w.numerator, sign) / element(w.denominator, sign)
        for node, w in zip(row.nodes, row.weights, strict=True)
    }


def moments(thetas: Sequence[Any], found: Sequence[Any]) -> list[Any]:
    """sum_j w_j theta_j^k, k = 0 .. number of nodes - 1."""
    return [
        sum((w * theta**k if k else w for w, theta in zip(found, thetas)), start=K.zero) for k in range(len(thetas))
    ]


def residuals(thetas: Sequence[Any], found: Sequence[Any], sign: int) -> list[Any]:
    """mt_k - k! phi_{k+1}(sign h)."""
    return [m - factorial(k) * phi(k + 1, sign) for k, m in enumerate(moments(thetas, found))]


def series(value: Any, count: int) -> list[Any]:
    """The first ``count`` coefficients of an element's expansion in h (E = e^h), as elements of Q(r)."""
    top, bottom = (_polynomial(part, count) for part in (value.numer, value.denom))
    while not top[0] and not bottom[0] and len(bottom) > 1:
        top, bottom = top[1:], bottom[1:]
    assert bottom[0], "a pole at h = 0"
    out: list[Any] = []
    for n in range(count):
        rest = top[n] - sum((out[i] * bottom[n - i] for i in range(n)), start=K.zero)
        out.append(rest / bottom[0])
    return out


def _polynomial(part: PolyElement, count: int) -> list[Any]:
    depth = count + 12
    out = [K.zero] * depth
    for (*ratios, power, exponent), coefficient in part.terms():
        head = K(coefficient)
        for r, e in zip(RATIOS, ratios):
            head = head * r**e if e else head
        for n in range(depth - power):
            out[power + n] = out[power + n] + head * K(QQ(exponent**n if n or exponent else 1, factorial(n)))
    return out


def solve(matrix: Sequence[Sequence[Any]], right: Sequence[Any]) -> list[Any]:
    """Gauss in the field."""
    rows = [[*map(K, row), K(value)] for row, value in zip(matrix, right, strict=True)]
    n = len(rows)
    for i in range(n):
        pivot = next(j for j in range(i, n) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for j in range(n):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i])]
    return [row[-1] for row in rows]


__all__ = [
    "R0",
    "R1",
    "R2",
    "RATIOS",
    "E",
    "H",
    "K",
    "element",
    "moments",
    "phi",
    "residuals",
    "series",
    "solve",
    "weights",
]
