r"""Weak and strong orders of stochastic schemes on a linear problem, exactly: covariances, no samples.

Data N(0, c^2) and noise e^{-lambda} of unit variance make w = x/alpha a Gaussian process of variance c^2 + e^{-2 lambda}:

    dw = -(1 + T)(w - X0) dlambda + sqrt(2 T) e^{-lambda} dW,    X0 = kappa w + f,  kappa = c^2/(c^2 + e^{-2 lambda}),

with the same marginals for every T >= 0 (T = tau^2) where f = 0. From s to t, with v(lambda) = c^2 + e^{-2 lambda},

    w_t = Psi(t, s) w_s + int_s^t Psi(t, u)((1 + T) f du + g dW),    Psi(t, s) = (v(t)/v(s))^{(1 + T)/2},   g^2 = 2 T e^{-2u}.

At T = 1 the mean of kappa w given the start is constant, and every row that integrates constants has it exactly: a
forcing f(lambda) shows the order of the mean there too; it leaves the variance as it is.

A scheme is linear in what it has seen and in Wiener integrals int k(u) g(u) dW over parts of the step, so the second
moments of (1, start, exact solution, numerical states and values) have an exact recursion. At the end of the grid they
give the error of the mean given the start, that of the variance (weak), and the mean square distance from the exact path
(strong).
Reals have 320 bits; integrals are Gauss-Legendre sums with errors below 1e-60.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from runtime.quadrature import gauss_legendre
from runtime.real import Real, exp, log, pi, real, sqrt

DIGITS = 60
"""Of the Gauss-Legendre sums; everything else has 96."""
ZERO, ONE = real(0), real(1)
Kernel = Callable[[Real], Real]
Share = Callable[[Real], tuple[Real, Real]]


# -- the problem -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinearSDE:
    """The process above: ``scale`` c; ``stochasticity`` T, a number or a function of lambda; ``forcing`` f (None: 0)."""

    scale: Fraction = Fraction(3, 5)
    stochasticity: Fraction | Kernel = Fraction(1)
    forcing: Kernel | None = None

    def variance(self, lam: Real) -> Real:
        """Var w."""
        return real(self.scale) ** 2 + exp(-2 * lam)

    def kappa(self, lam: Real) -> Real:
        """X0/w."""
        return real(self.scale) ** 2 / self.variance(lam)

    def transition(self, t: Real, s: Real) -> Real:
        """Psi(t, s)."""
        half = log(self.variance(t) / self.variance(s)) / 2
        if isinstance(self.stochasticity, Fraction):
            return exp(half * (1 + real(self.stochasticity)))
        return exp(half - self.integral(lambda u: self.share(u) * (1 - self.kappa(u)), s, t))

    def share(self, lam: Real) -> Real:
        """T."""
        moving = self.stochasticity
        return real(moving) if isinstance(moving, Fraction) else moving(lam)

    @staticmethod
    def integral(f: Kernel, s: Real, t: Real) -> Real:
        """int_s^t f."""
        if t == s:
            return ZERO
        middle, half = (t + s) / 2, (t - s) / 2
        return half * _total(w * f(middle + half * x) for x, w in gauss_legendre(nodes_for(t - s)))

    def intensity(self, u: Real) -> Real:
        """g^2."""
        return 2 * self.share(u) * exp(-2 * u)

    def forced(self, t: Real, s: Real) -> Real:
        """What f adds to w from s to t."""
        forcing = self.forcing
        if forcing is None:
            return ZERO
        return self.integral(lambda u: (1 + self.share(u)) * self.transition(t, u) * forcing(u), s, t)

    def value(self, kind: str) -> Share:
        """Factors of w and 1 in the integrand ``data`` (X0), ``noise`` (E = (w - X0) e^lambda), ``drift``."""

        def data(lam: Real) -> tuple[Real, Real]:
            return self.kappa(lam), self.forcing(lam) if self.forcing else ZERO

        def noise(lam: Real) -> tuple[Real, Real]:
            share, shift = data(lam)
            return (1 - share) * exp(lam), -shift * exp(lam)

        def drift(lam: Real) -> tuple[Real, Real]:
            share, shift = data(lam)
            strength = 1 + self.share(lam)
            return strength * (share - 1), strength * shift

        return {"data": data, "noise": noise, "drift": drift}[kind]


@dataclass(frozen=True, slots=True)
class Noise:
    """int_start^end kernel(u) g(u) dW of one step. path: which Brownian motion; the exact solution has "", others are
    independent of it and of each other."""

    kernel: Kernel
    start: Real
    end: Real
    path: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A state of a step, at lambda = ``end``: sum states[j] w_{n-j} + sum values[j] F_j + sum coefficient noise.

    values: F_0, F_-1, .. of this and earlier steps, F_1, F_2, .. at the earlier lines of this one.
    """

    end: Real
    states: Mapping[int, Real]
    values: Mapping[int, Real]
    noises: Sequence[tuple[Real, Noise]] = ()


@dataclass(frozen=True, slots=True)
class LinearStep:
    """Lines in order, the last is w_{n+1}. kept: the line at whose state F_0 of the next step is taken (PEC: not the last)."""

    lines: Sequence[Line]
    kept: int = -1


Scheme = Callable[[Sequence[Fraction], int], LinearStep]
"""The step from grid[n] to grid[n + 1]."""


# -- covariances -----------------------------------------------------------------------------------------------


def nodes_for(length: Real) -> int:
    """Points of a Gauss rule over ``length``: the nearest singularity of v^p is i pi/2 away from the real line."""
    y = pi / length
    return int(DIGITS * log(10) / (2 * log(y + sqrt(y * y + 1)))) + 7


def gram(noises: Sequence[Noise], intensity: Kernel) -> list[list[Real]]:
    """E[xi_i xi_j] = int k_i k_j g^2 over the common part of their intervals."""
    total = [[ZERO] * len(noises) for _ in noises]
    edges = sorted({edge for noise in noises for edge in (noise.start, noise.end)})
    for low, high in pairwise(edges):
        here = [i for i, noise in enumerate(noises) if noise.start <= low and noise.end >= high]
        for x, weight in gauss_legendre(nodes_for(high - low)):
            u = (low + high) / 2 + x * (high - low) / 2
            at = {i: noises[i].kernel(u) for i in here}
            scale = weight * (high - low) / 2 * intensity(u)
            for i in here:
                for j in here:
                    if i <= j and noises[i].path == noises[j].path:
                        total[i][j] += scale * at[i] * at[j]
    return [[total[min(i, j)][max(i, j)] for j in range(len(noises))] for i in range(len(noises))]


@dataclass(slots=True)
class Joint:
    """The covariance matrix of named variables; new ones are linear forms of known ones and of fresh noises."""

    names: list[str]
    matrix: list[list[Real]]

    def covariance(self, a: Mapping[str, Real], b: Mapping[str, Real]) -> Real:
        place = {name: i for i, name in enumerate(self.names)}
        return _total(p * q * self.matrix[place[x]][place[y]] for x, p in a.items() for y, q in b.items())

    def moved(self, forms: Mapping[str, Mapping[str, Real]]) -> Joint:
        """The joint law of these linear forms."""
        place = {name: i for i, name in enumerate(self.names)}
        rows = [[(place[x], p) for x, p in form.items() if p] for form in forms.values()]
        half = [
            [_total(p * row[j] for p, row in ((p, self.matrix[i]) for i, p in form)) for j in place.values()]
            for form in rows
        ]
        full = [[_total(left[j] * q for j, q in form) for form in rows] for left in half]
        return Joint(list(forms), full)

    def with_noises(self, law: list[list[Real]]) -> Joint:
        """With independent variables ``noise 0``, .. of covariance ``law``."""
        old, new = len(self.names), len(law)
        names = [*self.names, *(f"noise {i}" for i in range(new))]
        matrix = [[*row, *[ZERO] * new] for row in self.matrix]
        matrix += [[*[ZERO] * old, *row] for row in law]
        return Joint(names, matrix)


@dataclass(frozen=True, slots=True)
class Moments:
    """At one grid point: the mean from the start w = 1 and the variance, both exact too, and E (numerical - exact)^2."""

    mean: Real
    variance: Real
    exact_mean: Real
    exact_variance: Real
    distance: Real

    @property
    def ratio(self) -> Real:
        """Variance over the exact one."""
        return self.variance / self.exact_variance


def moments(
    problem: LinearSDE,
    scheme: Scheme,
    grid: Sequence[Fraction],
    *,
    known: int = 1,
    kind: str = "data",
    earlier: int | None = None,
) -> list[Moments]:
    """The law after every step, from the exact law at grid[0]; kind: which value the scheme combines.

    known: grid points up to which the numerical states are the exact ones (a multistep method's exact start); earlier:
    values and states of earlier steps that are kept (default known - 1). Raises ValueError if a scheme asks for others.
    """
    earlier = known - 1 if earlier is None else earlier
    share, points = problem.value(kind), [real(q) for q in grid]
    variance = problem.variance(points[0])
    joint = Joint(
        ["one", "start", "exact", "w 0"], [[ONE, ZERO, ZERO, ZERO], *([ZERO, *[variance] * 3] for _ in range(3))]
    )
    values = [valued({"w 0": ONE}, share(points[0]))]
    out = []
    for n in range(len(points) - 1):
        step = scheme(grid, n) if n + 1 >= known else None
        joint, values = _advance(problem, joint, values, points[n], points[n + 1], step, share, earlier)
        out.append(read(problem, joint, points[n + 1]))
    return out


def _advance(
    problem: LinearSDE,
    joint: Joint,
    values: list[dict[str, Real]],
    s: Real,
    t: Real,
    step: LinearStep | None,
    share: Share,
    earlier: int,
) -> tuple[Joint, list[dict[str, Real]]]:
    """One step; ``values``: F_0, F_-1, .. as linear forms in the variables."""
    noises = [Noise(lambda u: problem.transition(t, u), s, t)]
    exact = {"exact": problem.transition(t, s), "noise 0": ONE, "one": problem.forced(t, s)}
    lines: list[dict[str, Real]] = []
    own = () if step is None else step.lines
    for line in own:
        known = {-j: value for j, value in enumerate(values)}
        known |= {i + 1: valued(form, share(own[i].end)) for i, form in enumerate(lines)}
        parts = [({f"w {j}": ONE}, a) for j, a in line.states.items()]
        parts += [(_at(known, j), b) for j, b in line.values.items()]
        for coefficient, noise in line.noises:
            parts.append(({f"noise {len(noises)}": ONE}, coefficient))
            noises.append(noise)
        lines.append(_sum(parts, joint.names))
    forms = {"one": {"one": ONE}, "start": {"start": ONE}, "exact": exact, "w 0": lines[-1] if lines else exact}
    past = sum(name.startswith("w ") for name in joint.names)
    forms |= {f"w {j + 1}": {f"w {j}": ONE} for j in range(min(past, earlier))}
    forms |= {f"F {j + 1}": value for j, value in enumerate(values[:earlier])}
    newest = valued({"w 0": ONE}, share(t))
    if step is not None and step.kept != -1:
        forms["F 0"], newest = valued(lines[step.kept], share(t)), {"F 0": ONE}
    moved = joint.with_noises(gram(noises, problem.intensity)).moved(forms)
    return moved, [newest, *({f"F {j + 1}": ONE} for j in range(min(len(values), earlier)))]


def _total(terms: Iterable[Real]) -> Real:
    return sum(terms, start=ZERO)


def _at(known: Mapping[int, dict[str, Real]], j: int) -> dict[str, Real]:
    if j not in known:
        raise ValueError(f"the value {j} does not exist at this step; allowed: {sorted(known)}")
    return known[j]


def valued(form: Mapping[str, Real], share: tuple[Real, Real]) -> dict[str, Real]:
    """The integrand at a state."""
    out = {name: share[0] * p for name, p in form.items()}
    return out | {"one": out.get("one", ZERO) + share[1]}


def _sum(parts: Sequence[tuple[Mapping[str, Real], Real]], names: Sequence[str]) -> dict[str, Real]:
    total: dict[str, Real] = {}
    for form, factor in parts:
        for name, p in form.items():
            if not name.startswith("noise") and name not in names:
                raise ValueError(f"the state {name} does not exist at this step")
            total[name] = total.get(name, ZERO) + factor * p
    return total


def read(problem: LinearSDE, joint: Joint, t: Real) -> Moments:
    """Of the variables one, start, exact and w 0."""
    one, first, w, exact = ({name: ONE} for name in ("one", "start", "w 0", "exact"))
    variance, difference = joint.covariance(first, first), {"w 0": ONE, "exact": -ONE}
    centre = joint.covariance(w, one)
    return Moments(
        joint.covariance(w, first) / variance + centre,
        joint.covariance(w, w) - centre * centre,
        joint.covariance(exact, first) / variance + joint.covariance(exact, one),
        problem.variance(t),
        joint.covariance(difference, difference),
    )


__all__ = [
    "ONE", "ZERO", "Joint", "Kernel", "Line", "LinearSDE", "LinearStep", "Moments", "Noise", "Scheme", "gram", "moments",
    "nodes_for", "read", "valued",
]  # fmt: skip
