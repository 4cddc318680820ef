r"""Stochastic steps of the papers, written once more in mpmath: what every step of a solve makes of x_T and of each normal.

    data   x_t = sigma_t/sigma_s e^{-T h} x + alpha_t (1 + T) sum_j F_j int e^{-(1+T)(lambda_t - l)} L_j(l) dl,
           variance sigma_t^2 (1 - e^{-2 T h})                                   (arXiv:2309.05019, Eq. 11; arXiv:2211.01095)
    noise  x_t = alpha_t/alpha_s x - (1 + T) alpha_t sum_j F_j int e^{-l} L_j(l) dl,
           variance T alpha_t^2 (rho_s^2 - rho_t^2)                              (arXiv:2305.14267, Eq. 9)

L_j: the Lagrange polynomials of the values that are combined. The integrals are Gauss-Legendre sums at 40 digits: no phi
function, no Newton form, nothing of the package. A state is a list: its mean, and its factors of x_T - E x_T, z_1, z_2, ..
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import mpmath

mp = mpmath.MPContext()
mp.dps = 40
State = list[Any]


@dataclass
class Path:
    """alpha, sigma as functions of time; mean and deviation of the Gaussian data; T, or (T, int T) as functions of lambda;
    the time where lambda has a value."""

    alpha: Callable[[Any], Any]
    sigma: Callable[[Any], Any]
    share: Any
    mean: Any
    deviation: Any
    time: Callable[[Any, Any, Any], Any]

    def level(self, t: Any) -> Any:
        """lambda."""
        return mp.log(self.alpha(t) / self.sigma(t))

    def amount(self, level: Any) -> Any:
        """T at lambda."""
        return self.share[0](level) if isinstance(self.share, tuple) else self.share

    def gathered(self, level: Any) -> Any:
        """int T dlambda up to lambda."""
        return self.share[1](level) if isinstance(self.share, tuple) else self.share * level

    def data(self, x: State, t: Any) -> State:
        """E[x0 | x]."""
        a, v = self.alpha(t), self.deviation**2
        gain = v * a / (a * a * v + self.sigma(t) ** 2)
        return [self.mean * (1 - a * gain) + gain * x[0], *(gain * c for c in x[1:])]

    def noise(self, x: State, t: Any) -> State:
        """(x - alpha x0)/sigma."""
        return combined((1 / self.sigma(t), x), (-self.alpha(t) / self.sigma(t), self.data(x, t)))


def combined(*terms: tuple[Any, State]) -> State:
    """The sum of multiples of states."""
    count = max(len(x) for _, x in terms)
    return [mp.fsum(f * x[i] for f, x in terms if i < len(x)) for i in range(count)]


def drawn(x: State, size: Any) -> State:
    """x and a normal of its own times ``size``."""
    return [*x, size]


@dataclass
class Method:
    """One step of a paper. integrand: data or noise; kept: past (time, value), newest first."""

    path: Path
    integrand: str
    kept: list[tuple[Any, State]] = field(default_factory=list)

    def value(self, x: State, t: Any) -> State:
        return getattr(self.path, self.integrand)(x, t)

    def carried(self, s: Any, t: Any) -> Any:
        """The factor of x."""
        a, g = self.path.alpha, self.path.sigma
        return a(t) / a(s) if self.integrand == "noise" else g(t) / g(s) * mp.exp(-self.gap(s, t))

    def gap(self, s: Any, t: Any) -> Any:
        """int T dlambda of a step."""
        return self.path.gathered(self.path.level(t)) - self.path.gathered(self.path.level(s))

    def size(self, s: Any, t: Any) -> Any:
        """The standard deviation of the noise from s to t."""
        T, a, g = self.path.share, self.path.alpha, self.path.sigma
        if self.integrand == "noise":
            return mp.sqrt(T * ((g(s) / a(s)) ** 2 - (g(t) / a(t)) ** 2)) * a(t)
        return g(t) * mp.sqrt(1 - mp.exp(-2 * self.gap(s, t)))

    def weights(self, s: Any, t: Any, nodes: Sequence[Any], middle: bool = False) -> list[Any]:
        """Of the values at the times ``nodes``; middle: of what they are at the middle of the step, for all of it."""
        start, end = self.path.level(s), self.path.level(t)
        places = [self.path.level(u) for u in nodes]
        path, damped = self.path, end + self.path.gathered(end)

        def kernel(level: Any) -> Any:
            if self.integrand == "noise":
                return -(1 + path.amount(level)) * path.alpha(t) * mp.exp(-level)
            return (1 + path.amount(level)) * path.alpha(t) * mp.exp(level + path.gathered(level) - damped)

        def basis(j: int, level: Any) -> Any:
            return mp.fprod((level - p) / (places[j] - p) for i, p in enumerate(places) if i != j)

        if not middle:
            return [
                mp.quad(lambda level, j=j: kernel(level) * basis(j, level), [start, end]) for j in range(len(places))
            ]
        total = mp.quad(kernel, [start, end])
        return [total * basis(j, (start + end) / 2) for j in range(len(places))]

    def multistep(self, x: State, s: Any, t: Any, order: int, middle: bool = False) -> State:
        """The row over the newest ``order`` values."""
        known = self.kept[:order]
        found = self.weights(s, t, [u for u, _ in known], middle and order == 2)
        return combined((self.carried(s, t), x), *((w, v) for w, (_, v) in zip(found, known)))


def multistep(path: Path, integrand: str, steps: int, middle: bool, nodes: Sequence[Any], x: State) -> list[State]:
    """Ramp start, lower order at the end."""
    method, out = Method(path, integrand), []
    for i, (s, t) in enumerate(pairwise(nodes)):
        method.kept.insert(0, (s, method.value(x, s)))
        order = min(i + 1, steps, len(nodes) - 1 - i)
        x = drawn(method.multistep(x, s, t, order, middle), method.size(s, t))
        out.append(x)
    return out


def corrected(path: Path, steps: int, nodes: Sequence[Any], x: State) -> list[State]:
    """SA-Solver, PEC: the prediction's value corrects its own step, on the noise that the prediction had; no last corrector.

    What is returned are the predictions."""
    method, out, behind = Method(path, "data"), [], None
    for i, (s, t) in enumerate(pairwise(nodes)):
        method.kept.insert(0, (s, method.value(x, s)))
        if behind is not None:
            before, base, order = behind
            known = method.kept[: order + 1]
            found = method.weights(before, s, [u for u, _ in known])
            x = combined((1, base), *((w, v) for w, (_, v) in zip(found, known)))
        order = min(i + 1, steps, len(nodes) - 1 - i)
        base = drawn(combined((method.carried(s, t), x)), method.size(s, t))
        found = method.weights(s, t, [u for u, _ in method.kept[:order]])
        behind = (s, base, order)
        x = combined((1, base), *((w, v) for w, (_, v) in zip(found, method.kept)))
        out.append(x)
    return out


def single(
    path: Path, integrand: str, fractions: Sequence[Any], middle: bool, nodes: Sequence[Any], x: State
) -> list[State]:
    """Stages over {0, previous node}, the output over {0, last}; all noises are pieces of one path. Order 1 at the end."""
    method, out = Method(path, integrand), []
    for i, (s, t) in enumerate(pairwise(nodes)):
        if i == len(nodes) - 2:
            method.kept = [(s, method.value(x, s))]
            out.append(drawn(method.multistep(x, s, t, 1), method.size(s, t)))
            break
        low, high = path.level(s), path.level(t)
        places = [path.time(low + c * (high - low), s, t) for c in fractions]
        first, latest, noise, since = method.value(x, s), None, [mp.zero] * len(x), s
        for u in [*places, t]:
            noise = drawn(combined((method.carried(since, u), noise)), method.size(since, u))
            known = [latest] if middle and latest else [(s, first), *([latest] if latest else [])]
            found = method.weights(s, u, [v for v, _ in known])
            y = combined((method.carried(s, u), x), *((w, v) for w, (_, v) in zip(found, known)), (1, noise))
            latest, since = (u, method.value(y, u)), u
        x = y
        out.append(x)
    return out


def whole_drift(
    drift: Callable[[State, Any], State], size: Callable[[Any, Any], Any], heun: bool, nodes: Sequence[Any], x: State
) -> list[State]:
    """Euler-Maruyama, or Heun with one normal for both of its stages."""
    out = []
    for s, t in pairwise(nodes):
        first, z = drift(x, s), size(s, t)
        y = drawn(combined((1, x), (t - s, first)), z)
        if heun:
            y = combined((1, x), ((t - s) / 2, first), ((t - s) / 2, drift(y, t)))
            y[-1] += z
        x = y
        out.append(x)
    return out
