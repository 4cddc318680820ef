r"""Diffusion problems whose denoiser is known in closed form: the networks of an order study, without a network.

The denoiser x0hat(x) = E[x0 | x = alpha x0 + sigma eps] determines every prediction: with
epshat = (x - alpha x0hat)/sigma the network of kind (c0, c1) returns c0 x0hat + c1 epshat. :data:`OUTPUTS` lists
(c0, c1) independently of ``derive.predictions``: a measurement must not share the formulas that it checks.

States are torch tensors ``[..., d]`` or tuples of d numbers of any real type (``runtime.real.Real``, mpmath, float);
alpha and sigma are numbers of the same kind (for tensors: floats, or tensors that broadcast against ``[..., d]``).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from runtime.real import Real, real, tanh

Vector = tuple[Real, ...]
State = Any
"""A tensor ``[..., d]`` or a tuple of d numbers."""


class Numbers(NamedTuple):
    """The schedule at one time: alpha, sigma and their derivatives with respect to t."""

    alpha: Any
    sigma: Any
    dalpha: Any
    dsigma: Any


def _edm(n: Numbers, spread: float) -> tuple[Any, Any]:
    root = _root(spread**2 * n.alpha**2 + n.sigma**2)
    return n.sigma / (spread * root), -spread * n.alpha / root


OUTPUTS: Mapping[str, Callable[[Numbers, float], tuple[Any, Any]]] = {
    "noise": lambda n, spread: (0, 1),
    "data": lambda n, spread: (1, 0),
    "v": lambda n, spread: (-n.sigma, n.alpha),
    "velocity": lambda n, spread: (n.dalpha, n.dsigma),
    "score": lambda n, spread: (0, -1 / n.sigma),
    "edm": _edm,
}
"""(c0, c1) by kind; the second argument is sigma_data, which only ``edm`` reads."""


def output(kind: str, x: State, x0: State, numbers: Numbers, sigma_data: float = 0.5) -> State:
    """What a network of ``kind`` returns at x if its denoised estimate is x0."""
    c0, c1 = OUTPUTS[kind](numbers, sigma_data)
    return _each(lambda a, b: c0 * b + c1 * ((a - numbers.alpha * b) / numbers.sigma), x, x0)


class Problem:
    """Base: subclasses give ``data``; a network of any kind follows."""

    __slots__ = ()

    def data(self, x: State, alpha: Any, sigma: Any) -> State:
        """E[x0 | x], of x's shape."""
        raise NotImplementedError

    def model(
        self, kind: str, numbers: Callable[[float], Numbers], sigma_data: float = 0.5
    ) -> Callable[[State, Any], State]:
        """``model(x, t)`` of a kind in :data:`OUTPUTS`; numbers: from what the solver feeds to the schedule."""

        def network(x: State, t: Any) -> State:
            n = _schedule_at(numbers, t, x)
            return output(kind, x, self.data(x, n.alpha, n.sigma), n, sigma_data)

        return network


@dataclass(frozen=True, slots=True)
class Gaussian(Problem):
    """x0 ~ N(mean, diag(scale^2)): along the flow x - alpha mean is proportional to sqrt(scale^2 alpha^2 + sigma^2)."""

    mean: tuple[Fraction, ...]
    scale: tuple[Fraction, ...]

    def data(self, x: State, alpha: Any, sigma: Any) -> State:
        """(alpha c^2 x + sigma^2 mean)/(alpha^2 c^2 + sigma^2), component by component."""
        return _each(
            lambda a, m, c: (alpha * c**2 * a + sigma**2 * m) / (alpha**2 * c**2 + sigma**2),
            x,
            _like(x, self.mean),
            _like(x, self.scale),
        )

    def flow(self, x: State, start: tuple[Any, Any], end: tuple[Any, Any]) -> State:
        """The exact solution: from x at (alpha, sigma) = ``start`` to ``end``."""
        (a, s), (b, r) = start, end
        return _each(
            lambda v, m, c: b * m + (v - a * m) * _root((c**2 * b**2 + r**2) / (c**2 * a**2 + s**2)),
            x,
            _like(x, self.mean),
            _like(x, self.scale),
        )


@dataclass(frozen=True, slots=True)
class Mixture(Problem):
    """x0 ~ sum_k weight_k N(mean_k, scale_k^2 I): non-linear, with an exact denoiser. means: K tuples of length d."""

    weights: tuple[Fraction, ...]
    means: tuple[tuple[Fraction, ...], ...]
    scales: tuple[Fraction, ...]

    def data(self, x: State, alpha: Any, sigma: Any) -> State:
        """Posterior mean: responsibilities r_k ~ weight_k N(x; alpha mean_k, alpha^2 scale_k^2 + sigma^2)."""
        zero = _zero(x)
        scales = [_fraction(zero, s) for s in self.scales]
        spreads = [alpha**2 * s**2 + sigma**2 for s in scales]
        centres = [_like(x, m) for m in self.means]
        logs = [
            _log(_fraction(zero, w))
            - _log(v + zero) * len(m) / 2
            - _total(_each(lambda a, b: (a - alpha * b) ** 2, x, m)) / (2 * v)
            for w, m, v in zip(self.weights, centres, spreads, strict=True)
        ]
        shares = _softmax(logs)
        guesses = [
            _each(lambda a, b, s=s, v=v: b + (a - alpha * b) * (alpha * s**2 / v), x, m)
            for m, s, v in zip(centres, scales, spreads, strict=True)
        ]
        return _each(lambda *g: sum(r * e for r, e in zip(shares[1:], g[1:])) + shares[0] * g[0], *guesses)


GMM1D = Mixture(
    weights=(Fraction(3, 10), Fraction(1, 2), Fraction(1, 5)),
    means=((Fraction(-1),), (Fraction(3, 5),), (Fraction(9, 5),)),
    scales=(Fraction(7, 20), Fraction(1, 4), Fraction(2, 5)),
)
"""The toy problem of the order tables: three components on a line."""


@dataclass(frozen=True, slots=True)
class Empirical(Problem):
    """x0 uniform on the rows of ``points`` (float64 tensor [n, d]): the exact denoiser is a softmax over the data.

    Computed in float64 whatever x is: near sigma = 0 the logits are differences of 1e2/sigma^2.
    """

    points: Any

    def data(self, x: Any, alpha: Any, sigma: Any) -> Any:
        """x: [B, *S] with d elements a sample; alpha, sigma: floats or [B, 1, ..]. The nearest point as sigma -> 0."""
        import torch

        points = self.points.to(x.device)
        flat = x.reshape(x.shape[0], -1).to(torch.float64)
        a, s = (torch.as_tensor(v, dtype=torch.float64, device=x.device).reshape(-1, 1) for v in (alpha, sigma))
        logits = a * (flat @ points.T) - a**2 * (points**2).sum(1) / 2
        gaps = logits - logits.amax(1, keepdim=True)
        shares = torch.softmax(gaps / torch.clamp(s**2, min=1e-290), dim=1)
        return (shares @ points).reshape(x.shape).to(x.dtype)


@lru_cache(maxsize=1)
def digits() -> Empirical:
    """scikit-learn's 1,797 hand-written digits, 8 x 8 pixels scaled to [-1, 1]."""
    import torch
    from sklearn.datasets import load_digits

    return Empirical(torch.from_numpy(np.asarray(load_digits().data, dtype=np.float64) / 8 - 1))


PROBLEMS: Mapping[str, Callable[..., Problem]] = {"gaussian": Gaussian, "mixture": Mixture, "digits": digits}
"""What ``list problems`` shows: each is called for a problem."""
REFERENCE = "arXiv:2206.00364 (Eqs. 2, 3: the ideal denoiser; of a data set: Appendix B.3)"


@dataclass(frozen=True, slots=True)
class TanhNetwork:
    """E_i(w, rho) = d_i + sum_r c_ir tanh(a_r . w + b_r rho + e_r): smooth, coupled, non-linear, depends on time."""

    inner: tuple[tuple[Real, ...], ...]
    drift: tuple[Real, ...]
    shift: tuple[Real, ...]
    outer: tuple[tuple[Real, ...], ...]
    offset: tuple[Real, ...]
    initial: Vector

    @classmethod
    def random(cls, seed: int = 0, dimension: int = 2, units: int = 2) -> TanhNetwork:
        """Coefficients k/97 of size 1/2 to 1 with random signs."""
        rng = random.Random(f"tanh network {seed}")

        def draw(count: int) -> tuple[Real, ...]:
            return tuple(real(Fraction(rng.randint(48, 97) * rng.choice((-1, 1)), 97)) for _ in range(count))

        return cls(
            tuple(draw(dimension) for _ in range(units)),
            draw(units),
            draw(units),
            tuple(draw(units) for _ in range(dimension)),
            draw(dimension),
            draw(dimension),
        )

    def __call__(self, w: Vector, rho: Real) -> Vector:
        """eps at w = x/alpha and rho = sigma/alpha."""
        t = [
            tanh(sum(map(_times, a, w), b * rho + e))
            for a, b, e in zip(self.inner, self.drift, self.shift, strict=True)
        ]
        return tuple(sum(map(_times, c, t), d) for c, d in zip(self.outer, self.offset, strict=True))


def _times(a: Real, b: Real) -> Real:
    return a * b


# -- the schedule of a generated solver ------------------------------------------------------------------------


def schedule_numbers(module: ModuleType, exact: bool = False) -> Callable[[float], Numbers]:
    """The schedule of a generated ``coefficients`` module as a function of what the network is fed.

    The derivatives are central differences in 320 bits (error 1e-48). The time is found from the fed value by bisection
    where the module feeds something else than t. exact: Reals instead of floats.
    """
    width = real(2) ** -80

    @lru_cache(maxsize=4096)
    def numbers(fed: float) -> Numbers:
        t = real(_time_of(module, fed))
        at = [(f(t), (f(t + width) - f(t - width)) / (2 * width)) for f in (module.alpha, module.sigma)]
        found = Numbers(at[0][0], at[1][0], at[0][1], at[1][1])
        return found if exact else Numbers(*map(float, found))

    return numbers


def _time_of(module: ModuleType, fed: float) -> Any:
    """t with module.time(t) = fed."""
    return fed if module.INPUT == "time" else time_of(module, fed)


def time_of(module: ModuleType, fed: float) -> Any:
    """t with ``module.time(t) = fed``, by bisection to 2^-100 of the domain."""
    low, high = (real(t) for t in module.DOMAIN)
    rising = module.time(high) > module.time(low)
    for _ in range(100):
        middle = (low + high) / 2
        if (module.time(middle) < fed) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _schedule_at(numbers: Callable[[float], Numbers], t: Any, x: State) -> Numbers:
    if not hasattr(t, "reshape"):
        return numbers(t)
    fed = t.reshape(-1).tolist()
    if len(set(fed)) <= 1:
        return numbers(fed[0])
    import torch

    shape = (-1, *(1,) * (x.dim() - 1))
    columns = zip(*(numbers(v) for v in fed), strict=True)
    return Numbers(*(torch.tensor(c, dtype=x.dtype, device=x.device).reshape(shape) for c in columns))


# -- one formula for tensors and for tuples of numbers ---------------------------------------------------------


def _is_tensor(x: Any) -> bool:
    return hasattr(x, "dim")


def _each(f: Callable[..., Any], *values: Any) -> Any:
    return f(*values) if _is_tensor(values[0]) else tuple(f(*v) for v in zip(*values, strict=True))


def _fraction(like: Any, value: Fraction) -> Any:
    """``value`` as a number of like's type, correctly rounded there."""
    return (like * 0 + value.numerator) / value.denominator


def _zero(x: State) -> Any:
    return x[..., :1] * 0 if _is_tensor(x) else x[0] * 0


def _like(x: State, values: Sequence[Fraction]) -> Any:
    if _is_tensor(x):
        return x.new_tensor([float(v) for v in values])
    return tuple(_fraction(x[0], v) for v in values)


def _total(x: Any) -> Any:
    return x.sum(-1, keepdim=True) if _is_tensor(x) else sum(x[1:], start=x[0])


def _elementary(name: str, x: Any) -> Any:
    if _is_tensor(x):
        return getattr(x, name)()
    if hasattr(x, "context"):  # an mpmath number of whatever context
        return getattr(x.context, name)(x)
    return getattr(math, name)(x)


def _root(x: Any) -> Any:
    return _elementary("sqrt", x)


def _log(x: Any) -> Any:
    return _elementary("log", x)


def _softmax(logs: Sequence[Any]) -> list[Any]:
    if _is_tensor(logs[0]):
        import torch

        return list(torch.softmax(torch.stack(list(logs)), dim=0))
    top = max(logs)
    shares = [_elementary("exp", v - top) for v in logs]
    total = sum(shares[1:], start=shares[0])
    return [v / total for v in shares]
