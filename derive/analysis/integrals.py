r"""Integrals along one step to 40 digits, by other rules and other means than generated code has.

A schedule behaves like a function of sqrt|u - data| at the data end, so a step is integrated in y = sqrt|u - data|,
measured from the end of the step that is closer to an end of the domain: no digit is lost there. If that does not
settle, the logarithm of the distance to that end is tried: an integrand may grow like 1/distance^2. What does not agree
with a finer rule to 40 digits is an error, not a value.

Where the propagator Phi(t, u) = exp(int_u^t A) has no closed form, A is integrated up to every node of a Gauss-Legendre
rule at once: the polynomial through its values at the nodes is integrated term by term in Legendre polynomials,
int_{-1}^x P_m = (P_{m+1}(x) - P_{m-1}(x))/(2m + 1), so a moment costs one quadrature and not one for each node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from derive.symbolic.evaluate import Mpmath

Curve = Callable[[Any], Any]
SETTLED = 40
"""Digits to which a quadrature has to agree with itself."""
RULES = (24, 36, 54, 80, 120, 180)
"""Points of the rules for propagators; a rule is accepted when the next one agrees with it."""


@dataclass(frozen=True, slots=True)
class Route:
    """A variable v that runs through a step: ``point(v)`` = (u, du/dv); panels end at ``marks``; backwards: from t to s."""

    point: Callable[[Any], tuple[Any, Any]]
    marks: tuple[Any, ...]
    backwards: bool


class Integrals:
    """Quadrature in the context of ``algebra`` on a schedule from ``noise`` to ``data`` with kinks at ``knots``."""

    def __init__(self, algebra: Mpmath, noise: Any, data: Any, knots: Sequence[Any] = ()) -> None:
        self.algebra, self.mp = algebra, algebra.context
        self.noise, self.data, self.knots = noise, data, tuple(knots)
        self._close = self.mp.mpf(f"1e-{SETTLED}")
        self._rules: dict[int, tuple[list[Any], list[Any], list[list[Any]]]] = {}

    def integral(self, f: Curve, start: Any, end: Any) -> Any:
        """int_start^end f du, in pieces between the kinks."""
        return self.mp.fsum(self._smooth(f, a, b) for a, b in self._pieces(start, end))

    def propagated(self, drift: Curve, speed: Curve, theta: Curve, start: Any, end: Any, count: int) -> list[Any]:
        """[Phi, mu_0, .., mu_{count-1}]: mu_k = int_start^end Phi(end, u) speed(u) theta(u)^k du."""
        phi, moments = self.mp.one, [self.mp.zero] * count
        for a, b in reversed(self._pieces(start, end)):
            own, *found = self._carried(drift, speed, theta, a, b, count)
            moments = [m + phi * value for m, value in zip(moments, found)]
            phi = phi * own
        return [phi, *moments]

    def _pieces(self, start: Any, end: Any) -> list[tuple[Any, Any]]:
        kinks = {x for x in self.knots if min(start, end) < x < max(start, end)}
        return list(pairwise([start, *sorted(kinks, reverse=start > end), end]))

    def _routes(self, start: Any, end: Any) -> Iterator[Route]:
        """In y, then in the logarithm of the distance to the nearest end of the domain."""
        mp = self.mp
        _, last, edge = min(
            (abs(x - e), j, e) for j, x in enumerate((start, end)) for e in (self.noise, self.data) if x != e
        )
        side = 1 if max(start, end) > self.data else -1
        roots = [mp.sqrt(abs(x - self.data)) for x in (start, end)]
        border, close, far = mp.sqrt(abs(edge - self.data)), roots[last], roots[1 - last]
        sign = 1 if far > border else -1

        def rooted(z: Any) -> tuple[Any, Any]:
            y = close + z * (far - close)
            return self.data + side * y * y, 2 * side * y * (far - close)

        def logarithmic(v: Any) -> tuple[Any, Any]:
            distance = sign * mp.exp(v)
            y = border + distance
            return self.data + side * y * y, 2 * side * y * distance

        yield Route(rooted, (mp.zero, mp.mpf(1) / 4, mp.mpf(1) / 2, mp.one), bool(last))
        if close != border:
            low, high = mp.log(abs(close - border)), mp.log(abs(far - border))
            count = int((high - low) / 6) + 2
            yield Route(logarithmic, tuple(low + (high - low) * j / count for j in range(count + 1)), bool(last))

    def _smooth(self, f: Curve, start: Any, end: Any) -> Any:
        for route in self._routes(start, end):

            def along(v: Any, route: Route = route) -> Any:
                u, slope = route.point(v)
                return f(u) * slope

            value = self._settled(along, route.marks)
            if value is not None:
                return -value if route.backwards else value
        raise self._refusal(start, end)

    def _settled(self, f: Curve, marks: Sequence[Any]) -> Any:
        """The integral over the panels between ``marks`` if Gauss-Legendre agrees with itself there, else None."""
        mp = self.mp

        def scaled(z: Any) -> Any:
            with mp.workprec(self.algebra.bits):
                return f(z) / size

        size = mp.one
        size = max(abs(scaled((a + b) / mp.mpf(2)) * (b - a)) for a, b in pairwise(marks)) or mp.one
        with mp.workdps(SETTLED + 6):
            value, error = mp.quad(scaled, list(marks), method="gauss-legendre", maxdegree=7, error=True)
            return value * size if error <= abs(value) * self._close else None

    def _carried(self, drift: Curve, speed: Curve, theta: Curve, start: Any, end: Any, count: int) -> list[Any]:
        for route in self._routes(start, end):
            before = None
            for n in RULES:
                found = self._by_rule(route, n, drift, speed, theta, count)
                judged = found[1:] or found
                if before and all(abs(a - b) <= self._close * abs(judged[0]) for a, b in zip(before, judged)):
                    return found
                before = judged
        raise self._refusal(start, end)

    def _by_rule(self, route: Route, n: int, drift: Curve, speed: Curve, theta: Curve, count: int) -> list[Any]:
        """Phi and the moments over one smooth piece by the n point rule on every panel."""
        mp, (nodes, weights, upto) = self.mp, self._rule(n)
        below, points, exponents = mp.zero, [], []
        for a, b in pairwise(route.marks):
            middle, half = (a + b) / 2, (b - a) / 2
            here = [route.point(middle + half * x) for x in nodes]
            rates = [drift(u) * slope * half for u, slope in here]
            exponents += [below + mp.fdot(rates, row) for row in upto]
            below += mp.fdot(rates, weights)
            points += [(u, slope * half * w) for (u, slope), w in zip(here, weights)]
        # exponents: from the beginning of the route; towards ``end`` they run backwards where the route begins there
        sign, whole = (-1, mp.zero) if route.backwards else (1, below)
        values = [mp.exp(whole - e) * speed(u) * w * sign for e, (u, w) in zip(exponents, points)]
        ratios = [theta(u) for u, _ in points] if count > 1 else []
        moments = [mp.fsum(values)] if count else []
        for _ in range(1, count):
            values = [v * r for v, r in zip(values, ratios)]
            moments.append(mp.fsum(values))
        return [mp.exp(-below if route.backwards else below), *moments]

    def _rule(self, n: int) -> tuple[list[Any], list[Any], list[list[Any]]]:
        """Nodes and weights of Gauss-Legendre on [-1, 1], and the matrix of int_{-1}^{x_i} of the interpolant."""
        if n not in self._rules:
            mp = self.mp
            nodes = [self._root(n, mp.cos(mp.pi * (4 * i + 3) / (4 * n + 2))) for i in range(n)]
            table = [self._legendre(n, x) for x in nodes]
            weights = [2 * (1 - x * x) / (n * p[n - 1]) ** 2 for x, p in zip(nodes, table)]
            upto = []
            for p in table:
                rise = [p[1] + 1, *((p[m + 1] - p[m - 1]) / (2 * m + 1) for m in range(1, n))]
                share = [(2 * m + 1) * r / 2 for m, r in enumerate(rise)]
                upto.append([w * mp.fdot(share, q[:n]) for w, q in zip(weights, table)])
            self._rules[n] = nodes, weights, upto
        return self._rules[n]

    def _root(self, n: int, x: Any) -> Any:
        """The root of P_n next to x, by Newton: the digits double."""
        for _ in range(12):
            p = self._legendre(n, x)
            step = p[n] * (1 - x * x) / (n * (p[n - 1] - x * p[n]))
            x -= step
            if abs(step) < self.mp.eps:
                break
        return x

    def _legendre(self, n: int, x: Any) -> list[Any]:
        """P_0(x) .. P_n(x)."""
        out = [self.mp.one, x]
        for k in range(2, n + 1):
            out.append(((2 * k - 1) * x * out[-1] - (k - 1) * out[-2]) / k)
        return out

    def _refusal(self, start: Any, end: Any) -> ArithmeticError:
        return ArithmeticError(f"the quadrature from t = {float(start)!r} to {float(end)!r} does not settle")


__all__ = ["SETTLED", "Integrals"]
