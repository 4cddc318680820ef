r"""The law that a linear recursion with noise keeps: P with growth P = A P A^T + Q, in an exact field or in power series.

For Adams-Bashforth rows with increments of variance g^2 h on y' = z y/h the ratio to the exact variance g^2 h/(-2 z) is a
rational function of z (:func:`adams_ratio`); with exponentials it is a series in h, whose coefficients are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import QQ
from sympy.polys.fields import field


@dataclass(frozen=True, slots=True)
class Laurent:
    """h^low (terms[0] + terms[1] h + ..) + O(h^{low + len(terms)}); terms[0] != 0, or no term is known to be there."""

    low: int
    terms: tuple[Any, ...]

    @classmethod
    def of(cls, terms: Sequence[Any], low: int = 0) -> Laurent:
        """Without leading zeros."""
        skip = next((k for k, x in enumerate(terms) if x), len(terms))
        return cls(low + skip, tuple(terms[skip:]))

    @property
    def end(self) -> int:
        """The first power that is not known."""
        return self.low + len(self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __getitem__(self, power: int) -> Any:
        if power >= self.end:
            raise IndexError(f"h^{power} is not known, only powers below {self.end}")
        return self.terms[power - self.low] if power >= self.low else QQ(0)

    def __add__(self, other: Laurent) -> Laurent:
        low, end = min(self.low, other.low), min(self.end, other.end)
        return Laurent.of([self[k] + other[k] for k in range(low, end)], low) if low < end else Laurent(end, ())

    def __neg__(self) -> Laurent:
        return Laurent(self.low, tuple(-x for x in self.terms))

    def __sub__(self, other: Laurent) -> Laurent:
        return self + -other

    def __mul__(self, other: Laurent) -> Laurent:
        count = min(len(self.terms), len(other.terms))
        out = [sum((self.terms[i] * other.terms[k - i] for i in range(k + 1)), start=QQ(0)) for k in range(count)]
        return Laurent.of(out, self.low + other.low)

    def __truediv__(self, other: Laurent) -> Laurent:
        count = min(len(self.terms), len(other.terms))
        out: list[Any] = []
        for k in range(count):
            rest = self.terms[k] - sum((other.terms[i] * out[k - i] for i in range(1, k + 1)), start=QQ(0))
            out.append(rest / other.terms[0])
        return Laurent.of(out, self.low - other.low)


def solve(matrix: list[list[Any]], right: list[Any], badness: Callable[[Any], Any] = lambda x: 0) -> list[Any]:
    """Gaussian elimination; badness: pivots with the least are taken. ValueError if there is none."""
    n = len(matrix)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        usable = [r for r in range(i, n) if rows[r][i]]
        if not usable:
            raise ValueError("the recursion keeps no law")
        best = min(usable, key=lambda r: badness(rows[r][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for r in range(i + 1, n):
            if rows[r][i]:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [
                    x - factor * y if k > i else x for k, (x, y) in enumerate(zip(rows[r], rows[i], strict=True))
                ]
    out: list[Any] = [None] * n
    for i in reversed(range(n)):
        rest = rows[i][n]
        for k in range(i + 1, n):
            rest = rest - rows[i][k] * out[k]
        out[i] = rest / rows[i][i]
    return out


def kept(
    transition: list[list[Any]],
    noise: list[list[Any]],
    growth: Any,
    zero: Any,
    badness: Callable[[Any], Any] = lambda x: 0,
) -> list[list[Any]]:
    """P with growth P = A P A^T + Q (symmetric)."""
    d = len(transition)
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    place = {pair: k for k, pair in enumerate(pairs)}
    matrix, right = [], []
    for i, j in pairs:
        row = [zero] * len(pairs)
        row[place[i, j]] = row[place[i, j]] + growth
        for k in range(d):
            for m in range(d):
                if transition[i][k] and transition[j][m]:
                    at = place[min(k, m), max(k, m)]
                    row[at] = row[at] - transition[i][k] * transition[j][m]
        matrix.append(row)
        right.append(noise[i][j])
    found = solve(matrix, right, badness)
    return [[found[place[min(i, j), max(i, j)]] for j in range(d)] for i in range(d)]


def adams_ratio(weights: Sequence[Any]) -> Any:
    """Stationary variance over the exact one of y_{n+1} = y_n + z sum w_j y_{n-j} + noise of variance g^2 h, in Q(z)."""
    names, z = field("z", QQ)
    d = len(weights)
    first = [z * w for w in weights]
    first[0] = first[0] + 1
    shift = [[names(1 if k == i else 0) for k in range(d)] for i in range(d - 1)]
    noise = [[names(1 if i == j == 0 else 0) for j in range(d)] for i in range(d)]
    return kept([first, *shift], noise, names(1), names(0))[0][0] * (-2 * z)


__all__ = ["Laurent", "adams_ratio", "kept", "solve"]
