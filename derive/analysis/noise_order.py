r"""Weak and strong order of a scheme with additive noise: proved from below, and refuted from above, by exact series in h.

Below. On the linear problem of :mod:`derive.analysis.wiener_series` the step is taken from the exact path. Let d be what it
misses. If the mean of d and the defect of the variance of y_{n+1} are O(h^{p+1}), and the defects of its covariances with
y_n, y_{n-1}, .. (which enter the next steps with a factor h) O(h^p), the recursion of second moments gives weak order p. If
the mean of d is O(h^{p+1}) and its part in dW has kernels O(h^p), the global error is a sum of Wiener integrals over the
single intervals, and of smooth terms: strong order p. Second derivatives of the drift ask for one more condition,
sum_j b_j Var(noise in value j) = 1/2 h; with it a scheme of linear weak order 2 has weak order 2 for every smooth drift
with additive noise, and strong order 1.5 if the linear one is above; without it 1. Nothing above is claimed with noise.

Above. With constant mu, equal steps and the law that the scheme keeps, its variance over the exact one, and its mean square
distance from the exact path, are series in h, from one exact linear system; a coefficient that is not 0 refutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from sympy import QQ

from derive.analysis.order import PROBES
from derive.analysis.proof import prove_scheme
from derive.analysis.stationary import Laurent, kept, solve
from derive.analysis.wiener_series import (
    KAPPA,
    ONE,
    RING,
    SIGMA,
    SMOOTH,
    TERMS,
    THETA,
    VARIANCE,
    ZERO,
    Axis,
    Exact,
    H,
    Linear,
    Series,
    add,
    constant,
    divided,
    exponential,
    inverse,
    logarithm,
    of_form,
    root,
    scaled,
    times,
    valuation,
    weighed,
)
from derive.symbolic.forms import Step
from derive.tableau import Kernel, Scheme

Integrand = Literal["data", "noise", "drift"]
GAMMA: Mapping[str, Any] = {"data": QQ(-2), "noise": QQ(0), "drift": QQ(-2)}
"""g^2 ~ e^{gamma lambda} in the frame of the rows: w = x/alpha for data and drift, x/sigma for noise."""
PART = (QQ(1, 2), QQ(1, 3), QQ(3, 4))
"""Where in the range of Gaussian data the refutation is tried: (q + mu) = gamma/2 - T part."""


@dataclass(frozen=True, slots=True)
class NoiseLaw:
    """The noise of a scheme on dw = -(1 + T)(w - X0) dlambda + sqrt(2 T) e^{-lambda} dW.

    stochasticity: T, or None for any smooth one. variance: of the step's noise; exact, or eta (DDIM's, eta^2 = T, with its
    transfer), left (g^2 h at the start), large (beta of the step, for a variance preserving process and T = 1). stages: the
    noise of stages: the same path up to there, an independent one of the same variance, or none. integrand: what the rows
    combine (None: another); rates are -(1 + T), 1 and 0 for data, noise and drift.
    """

    stochasticity: Fraction | None
    variance: Literal["exact", "eta", "left", "large"] = "exact"
    stages: Literal["coherent", "independent", "none"] = "coherent"
    integrand: Integrand | None = "data"


@dataclass(frozen=True, slots=True)
class NoiseProof:
    """``weak`` and ``strong``: proved, and refuted where ``tight``. leading: what refutes, by name.

    ratio: stationary variance over the exact one, as a series in h, for constant mu and g (a = q h exact, b = mu h).
    linear: (weak, strong) on linear problems.
    """

    weak: int
    strong: Fraction
    tight: bool
    leading: tuple[tuple[str, str], ...]
    ratio: str
    linear: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A step from known values: lines (stages, output) and the values that were combined."""

    lines: tuple[Linear, ...]
    values: tuple[Linear, ...]


def _q(f: Fraction) -> Any:
    return QQ(f.numerator, f.denominator)


def _exponent(law: NoiseLaw, rate: Any, high: Any) -> Series:
    """log of the factor of y to ``high``: DDIM's eta has another T in every step, T h = -log(1 - eta^2 (1 - e^{-2h}))/2."""
    if law.variance != "eta" or law.stochasticity is None:
        return scaled(H, rate * high)
    fall = add(ONE, scaled(exponential(scaled(H, QQ(-2) * high)), QQ(-1)))
    return add(scaled(H, -high), scaled(logarithm(scaled(fall, -_q(law.stochasticity))), QQ(1, 2)))


def _size(law: NoiseLaw, rate: Any, intensity: Series, high: Any) -> Series:
    """By what the kernel's noise is multiplied to have the law's variance."""
    if law.variance == "exact":
        return ONE
    fall = add(ONE, scaled(exponential(scaled(H, QQ(-2) * high)), QQ(-1)))
    laws: dict[str, Callable[[], Series]] = {
        "eta": lambda: scaled(times(exponential(scaled(H, QQ(-2) * high)), fall), QQ(1, 2)),
        "left": lambda: scaled(H, high),
        "large": lambda: scaled(times(fall, add(ONE, scaled(fall, -SIGMA))), QQ(1, 2)),
    }
    meant = laws[law.variance]()
    if law.integrand == "noise" and law.variance != "left":
        meant = times(meant, exponential(scaled(H, QQ(2) * high)))
    own = Axis((QQ(0), high), intensity)
    noise = own.noise(_kernel(rate, high), QQ(0), high)
    return root(times(divided(meant), inverse(divided(own.covariance(noise, noise)))))


def _kernel(rate: Any, end: Any) -> Series:
    """e^{q h (end - theta)}."""
    return exponential(scaled(H, (end - THETA) * rate))


def take(
    step: Step,
    law: NoiseLaw,
    axis: Axis,
    start: Linear,
    known: tuple[Linear, ...],
    share: Callable[[Any], tuple[Series, Series]],
    kappa: Series = ONE,
) -> _Taken:
    """The step on linear forms. known: states at which the given values sit; share: mu and nu at a node."""
    values = [_value(state, share(theta)) for state, theta in zip(known, step.thetas)]
    lines: list[Linear] = []
    for i, row in enumerate((*step.a, step.b)):
        last = i == len(step.a)
        end = QQ(1) if last else step.thetas[step.known + i]
        exponent = _exponent(law, step.rate, end)
        line, size = start.times(exponential(exponent)), H
        if law.variance == "eta":
            size = scaled(exponent, 1 / (step.rate * end))
        for value, form in zip(values, row):
            line = line + value.times(weighed(size, form, scaled(exponent, 1 / end), kappa))
        if end == 1 or law.stages != "none":
            path = "" if end == 1 or law.stages == "coherent" else f"stage {i}"
            kernel = times(_size(law, step.rate, axis.intensity, end), _kernel(step.rate, end))
            line = line + axis.noise(kernel, QQ(0), end, path)
        lines.append(line)
        if not last:
            values.append(_value(line, share(end)))
    return _Taken(tuple(lines), tuple(values))


def _value(state: Linear, share: tuple[Series, Series]) -> Linear:
    return state.times(share[0]) + Linear({"one": share[1]})


@dataclass(frozen=True, slots=True)
class _Local:
    """Powers of h: of the mean of the defect, of that of the variance, of covariances with the past, of the kernels."""

    mean: int
    variance: int
    past: int
    kernels: int
    second: bool

    @property
    def weak(self) -> int:
        return min(self.mean - 1, self.variance - 1, self.past)

    @property
    def strong(self) -> int:
        return min(self.mean - 1, self.kernels)


def local(step: Step, law: NoiseLaw, corrected: bool = False, kappa: Series = ONE) -> _Local:
    """The defects of one step from the exact path, at the step ratios of ``step``; for every smooth g unless its law is eta or large."""
    nodes = tuple(sorted({*step.thetas, QQ(0), QQ(1)}))
    known = exponential(scaled(H, THETA * GAMMA.get(law.integrand or "", QQ(0))))
    axis = Axis(nodes, SMOOTH if law.variance in ("exact", "left") else known)
    exact = Exact(axis, step.rate, nodes[0], kappa)
    known = tuple(exact.state(theta) for theta in step.thetas[: step.known])
    end = exact.state(QQ(1))
    taken = take(step, law, axis, exact.state(QQ(0)), known, exact.share, kappa)
    found = taken.lines[-1]
    defect = found - end
    mean = min(valuation(defect.names[v]) for v in defect.names)
    variance = valuation(_second(axis, found, found, end, end))
    past = [valuation(_second(axis, defect, state)) for state in known] if step.known > 1 or corrected else []
    if corrected:
        predicted = taken.lines[0] - end
        past += [valuation(_second(axis, predicted, state)) for state in (*known, end)]
        past += [min(valuation(predicted.names[v]) for v in predicted.names)]
    kernels = min((valuation(kernel) for kernel in defect.pieces.values()), default=TERMS)
    return _Local(mean, variance, min(past, default=TERMS), kernels, _second_derivative(step, taken, axis, kappa))


def _second(axis: Axis, a: Linear, b: Linear, c: Linear | None = None, d: Linear | None = None) -> Series:
    """Cov(a, b) [- Cov(c, d)], the variance at the oldest node V."""
    total = add(times(times(a.names["base"], b.names["base"]), constant(VARIANCE)), axis.covariance(a, b))
    return total if c is None or d is None else add(total, scaled(_second(axis, c, d), QQ(-1)))


def _second_derivative(step: Step, taken: _Taken, axis: Axis, kappa: Series) -> bool:
    """Whether sum_j b_j Var(noise of state j) is that of the exact path to leading order; not where a b_j has a pole."""
    if _has_pole(step):
        return False
    oldest = axis.nodes[0]
    total = RING.zero
    states = [theta - oldest for theta in step.thetas[: step.known]]
    for i in range(len(step.a)):
        states.append(axis.covariance(taken.lines[i], taken.lines[i])[1])
    for form, state in zip(step.b, states):
        total = total + RING(state) * of_form(form, scaled(H, step.rate), kappa)[0]
    return not total - (QQ(1, 2) - oldest)


def _has_pole(step: Step) -> bool:
    return any(k < 0 for form in step.b for (k, _), _ in form.terms)


# -- refutation ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """With constant mu and equal steps: variance over the exact one, and mean square distance over the exact variance."""

    ratio: Laurent
    distance: Laurent


def kept_law(step: Step, law: NoiseLaw, mu: Any, gamma: Any, corrected: bool = False) -> Kept:
    """The law that the scheme keeps beside the exact solution; ``step`` at equal steps. ValueError if there is none."""
    total = step.rate + mu
    axis = Axis(
        tuple(sorted({*(theta for theta in step.thetas if theta >= 0), QQ(0), QQ(1)})),
        exponential(scaled(H, THETA * gamma)),
    )
    own = "p" if corrected else "y"
    states = tuple(Linear({f"{own}{j}": ONE}) for j in range(step.known))
    share = (constant(mu), ZERO)
    taken = take(step, law, axis, Linear({"y0": ONE}), states, lambda theta: share)
    exact = Linear({"e": exponential(scaled(H, total))}) + axis.noise(_kernel(total, QQ(1)), QQ(0), QQ(1))
    moves = {"e": exact, "y0": taken.lines[-1]} | ({"p0": taken.lines[0]} if corrected else {})
    moves |= {f"{own}{j + 1}": Linear({f"{own}{j}": ONE}) for j in range(step.known - 1)}
    names = list(moves)
    transition = [[_laurent(form.names.get(v, ZERO)) for v in names] for form in moves.values()]
    noise = [[_laurent(axis.covariance(a, b)) for b in moves.values()] for a in moves.values()]
    growth, zero = _laurent(exponential(scaled(H, gamma))), Laurent(TERMS, ())
    found = kept(transition, noise, growth, zero, badness=lambda x: x.low)
    exact_variance = found[0][0]
    return Kept(found[1][1] / exact_variance, (found[0][0] + found[1][1] - found[0][1] - found[0][1]) / exact_variance)


def _laurent(a: Series) -> Laurent:
    """With sigma^2 = 1/2 where it stands."""
    return Laurent.of([_rational(x) for x in a])


def _rational(x: Any) -> Any:
    total = QQ(0)
    for monom, c in x.terms():
        if any(monom[:-1]):
            raise ValueError("a series with symbols has no law in numbers")
        total += c * QQ(1, 2) ** monom[-1] if monom[-1] else c
    return total


def ratio_series(step: Step, law: NoiseLaw, corrected: bool = False, terms: int = 4) -> tuple[tuple[Any, ...], ...]:
    """Stationary variance over the exact one for constant mu and g: of h^k, the coefficients of a^{k-i} b^i, i = 0 .. k.

    a = q h is what the rows have exactly (0 for the drift), b = mu h what they combine; ``step`` at equal steps. Found at
    k + 1 values of mu and checked at another. ValueError if the coefficients are no polynomials.
    """
    rate = step.rate or QQ(1)
    points = [QQ(k + 2, 3) if step.rate else QQ(-k - 1) for k in range(terms + 1)]
    values = [kept_law(step, law, mu * rate if step.rate else mu, QQ(0), corrected).ratio for mu in points]
    out = []
    for k in range(terms):
        if not step.rate:
            out.append((*[QQ(0)] * k, values[0][k] / points[0] ** k))
            continue
        matrix = [[mu**i if i else QQ(1) for i in range(k + 1)] for mu in points[: k + 1]]
        out.append(tuple(solve(matrix, [v[k] / rate**k for v in values[: k + 1]])))
    for mu, value in zip(points, values, strict=True):
        for k, row in enumerate(out):
            if value[k] != sum(c * (mu**i if i else QQ(1)) for i, c in enumerate(row)) * rate**k:
                raise ValueError("the stationary variance is no series in a and b")
    return tuple(out)


def series_text(rows: tuple[tuple[Any, ...], ...]) -> str:
    """``1 + (5/12 a b + 1/2 b^2)``, by powers of h."""
    parts = []
    for k, row in enumerate(rows):
        names = [_power("a", k - i) + _power("b", i) for i in range(k + 1)]
        terms = [f"{c} {name.strip()}".strip() for c, name in zip(row, names, strict=True) if c]
        if terms:
            text = " + ".join(terms).replace("+ -", "- ")
            parts.append(f"({text})" if len(terms) > 1 else text)
    return " + ".join(parts).replace("+ -", "- ")


def _power(name: str, power: int) -> str:
    return "" if not power else f" {name}" if power == 1 else f" {name}^{power}"


# -- the orders ------------------------------------------------------------------------------------------------


def prove_noise(scheme: Scheme, kernel: Kernel, law: NoiseLaw) -> NoiseProof:
    """Weak and strong order on steps of any ratios; without noise both are the order of the rows.

    ValueError if the rate of the rows is not that of the law.
    """
    plain = prove_scheme(scheme, kernel).order
    if law.stochasticity == 0:
        return NoiseProof(plain, Fraction(plain), True, (), "1", (plain, plain))
    rate, kappa = (QQ(0), KAPPA) if kernel.rate is None else (QQ.convert(kernel.rate), ONE)
    if rate and law.integrand and law.stochasticity is not None:
        own = {"data": -1 - _q(law.stochasticity), "noise": QQ(1), "drift": QQ(0)}[law.integrand]
        if rate != own:
            raise ValueError(f"rows of rate {rate}; {law.integrand} with T = {law.stochasticity} has rate {own}")
    corrected = scheme.corrector is not None
    probes = [tuple(_q(f) for f in probe) for probe in PROBES]
    equal = (QQ(1),) * len(probes[0])
    found = [local(scheme.step(ratios, rate), law, corrected, kappa) for ratios in (*probes, equal)]
    weak, strong = (min(getattr(one, name) for one in found) for name in ("weak", "strong"))
    second = all(one.second for one in found)
    step = scheme.step(equal, rate)
    above, leading = _refuted(step, law, corrected)
    mean = min(one.mean for one in found) - 1
    proved = min(weak, plain, 2 if second else 1)
    path = min(Fraction(strong), Fraction(plain), Fraction(3, 2) if second else Fraction(1))
    tight = proved == min(mean, above[0], plain, weak if second else 1) and path == min(above[1], mean, plain)
    known = law.variance in ("exact", "left") and not _has_pole(step)  # a pole leaves a power of b/a
    ratio = series_text(ratio_series(step, law, corrected)) if known else ""
    return NoiseProof(proved, path, tight, leading, ratio, (weak, strong))


def _refuted(step: Step, law: NoiseLaw, corrected: bool) -> tuple[tuple[int, Fraction], tuple[tuple[str, str], ...]]:
    """Orders (weak by the variance, strong) that the kept law allows at most, and the coefficients that say so."""
    usual = QQ(-2) if law.variance == "left" else QQ(0)
    gamma, amount = GAMMA.get(law.integrand or "", usual), _q(law.stochasticity or Fraction(1))
    best: dict[str, tuple[int, str]] = {}
    for part in PART:
        mu = gamma / 2 - amount * part - step.rate
        law_kept = kept_law(step, law, mu, gamma, corrected)
        one = Laurent.of([QQ(1), *[QQ(0)] * TERMS])
        for name, series in (("variance", law_kept.ratio - one), ("square distance", law_kept.distance)):
            head = f"{series.terms[0]} h^{series.low}" if series else f"O(h^{series.low})"
            text = f"{head} of the variance, at q = {step.rate}, mu = {mu}, gamma = {gamma}"
            if name not in best or series.low < best[name][0]:
                best[name] = (series.low, text)
    orders = best["variance"][0], Fraction(best["square distance"][0], 2)
    return orders, tuple((name, text) for name, (_, text) in best.items())


__all__ = ["GAMMA", "Kept", "NoiseLaw", "NoiseProof", "kept_law", "local", "prove_noise", "ratio_series", "series_text"]
