"""Time grids: N + 1 floats from the noise end to the data end.

A grid is a function ``f(schedule, steps, *, options) -> tuple[float, ...]``; a new grid is a new function here.
``schedule`` is a generated ``coefficients`` module (``DOMAIN``, ``rho(t)``, ``DATA_END``, ..). Names, types and
defaults of the options are read from the signature by the spec reader.

Common options. t_start, t_end: first and last node, in the schedule's own time, exact as given; default: the ends of
the schedule. Where the data end has sigma = 0 and the grid does not reach it by itself (lambda, karras, ..), it ends
with two nodes: the last finite one (``t_end``, default one thousandth of the interval before the data end: t = 1e-3
for a continuous schedule on [0, 1], index 0 for a table of 1000), then the data end itself. ``final_zero=False``
leaves that last one out and ends at ``t_end``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from runtime.real import Real, log, real
from runtime.spaced import clocked, origin, spaced, spread

Nodes = tuple[float, ...]
Variable = Literal["t", "lambda", "log_sigma", "rho", "sigma", "alpha", "angle", "sine_root"]


# Schedule quantities as floats, and their inverse


def log_rho(schedule: Any, t: float) -> float:
    """log(sigma/alpha) = -lambda; -inf at sigma = 0, inf at alpha = 0."""
    if t == schedule.DOMAIN[1] and schedule.DATA_END == "sigma_zero":
        return -math.inf
    if t == schedule.DOMAIN[0] and schedule.NOISE_END == "alpha_zero":
        return math.inf
    return float(log(schedule.rho(real(t))))


_OF_TIME: Mapping[str, Callable[[Any, float], float]] = {
    "lambda": lambda c, t: -log_rho(c, t),
    "rho": lambda c, t: math.exp(log_rho(c, t)),
    "sigma": lambda c, t: float(c.sigma(real(t))),
    "log_sigma": lambda c, t: float(log(c.sigma(real(t)))) if float(c.sigma(real(t))) else -math.inf,
    "alpha": lambda c, t: float(c.alpha(real(t))),
    "angle": lambda c, t: math.atan(math.exp(log_rho(c, t))),
    "sine_root": lambda c, t: math.asin(min(float(c.sigma(real(t))), 1.0) ** 0.5),
}


def time_of(schedule: Any, variable: str, value: float, low: float | None = None, high: float | None = None) -> float:
    """The time at which ``variable`` (monotone in t) has ``value``, by a bracketing root search.

    low, high: a bracket (default: the schedule's interval). A value outside is a ValueError.
    """
    a, b = schedule.DOMAIN if low is None or high is None else (low, high)
    of = _OF_TIME[variable]
    fa, fb = of(schedule, a) - value, of(schedule, b) - value
    if fa == 0 or fb == 0:
        return float(a if fa == 0 else b)
    if not fa * fb < 0:
        ends = sorted((fa + value, fb + value))
        raise ValueError(f"{variable} = {value!r} is outside what the schedule has: {ends[0]!r} to {ends[1]!r}")
    return _root(lambda t: of(schedule, t) - value, a, b, fa, fb)


def _root(f: Callable[[float], float], a: float, b: float, fa: float, fb: float) -> float:
    """Chandrupatla's method (Adv. Eng. Softw. 28 (1997) 145) on a bracket; infinite values fall back to bisection."""
    c, fc, share = a, fa, 0.5
    for _ in range(400):
        t = a + share * (b - a)
        if t in (a, b):
            break
        ft = f(t)
        if ft == 0:
            return t
        if (ft > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, b, fc, fb = b, a, fb, fa
        a, fa = t, ft
        best = a if abs(fa) < abs(fb) else b
        tolerance = 2.0**-52 * abs(best) + 5e-324
        limit = tolerance / abs(b - a)
        if limit > 0.5:
            return best
        share = min(max(_inverse_quadratic(a, b, c, fa, fb, fc), limit), 1 - limit)
    return a if abs(fa) < abs(fb) else b


def _inverse_quadratic(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    if not (math.isfinite(fa) and math.isfinite(fb) and math.isfinite(fc)) or c == b or fc in (fa, fb):
        return 0.5
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    if not (phi * phi < xi and (1 - phi) ** 2 < 1 - xi):
        return 0.5
    return fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)


def _start(schedule: Any, t_start: float | None) -> float:
    return float(schedule.DOMAIN[0] if t_start is None else t_start)


def _finite_end(schedule: Any, t_end: float | None) -> float:
    """``t_end``, or one thousandth of the interval before a sigma = 0 end."""
    noise, data = schedule.DOMAIN
    if t_end is not None:
        return float(t_end)
    return float(data + (real(noise) - real(data)) / 1000) if schedule.DATA_END == "sigma_zero" else float(data)


def _appends(schedule: Any, last: float, final_zero: bool) -> bool:
    return final_zero and schedule.DATA_END == "sigma_zero" and last != schedule.DOMAIN[1]


def _finish(schedule: Any, steps: int, last: float, final_zero: bool, inner: Callable[[int], list[float]]) -> Nodes:
    """``inner(n)``: n + 1 finite nodes; one fewer and then the data end where it is appended."""
    if not _appends(schedule, last, final_zero):
        return tuple(inner(steps))
    nodes = inner(steps - 1) if steps > 1 else inner(1)[:1]
    return (*nodes, float(schedule.DOMAIN[1]))


def _spread(first: float, last: float, n: int) -> list[float]:
    """n + 1 equidistant floats, each correctly rounded, both ends exact."""
    a, width = real(first), real(last) - real(first)
    return [first, *(float(a + width * i / n) for i in range(1, n)), last]


def _index_count(schedule: Any, grid: str, steps: int) -> int:
    """Number T of training steps of a discrete schedule (times 0..T-1, data end -1); ``steps`` may not be above it."""
    noise, data = schedule.DOMAIN
    if data != -1 or noise != int(noise):
        raise ValueError(f"grid {grid!r} is for discrete schedules (times T-1..-1); here: {noise!r} to {data!r}")
    if steps > int(noise) + 1:
        raise ValueError(f"steps: got {steps}; allowed: up to {int(noise) + 1}, the steps of the table")
    return int(noise) + 1


def uniform(
    schedule: Any,
    steps: int,
    *,
    variable: Variable = "t",
    t_start: float | None = None,
    t_end: float | None = None,
    final_zero: bool = True,
) -> Nodes:
    """Equidistant in t, lambda = log(alpha/sigma), log_sigma, rho = sigma/alpha, sigma, alpha, angle = atan(rho) or sine_root.

    sine_root: asin(sqrt(sigma)), the levels sin(u)^2 of F-PNDM (diffusers' IPNDM).

    In t the schedule's warp (the flow "shift", arXiv:2403.03206 eq. 23) is applied, once, here and nowhere else.
    lambda: DPM-Solver's logSNR grid (arXiv:2206.00927 section 3.3); t: its time_uniform and DDIM's linear.
    """
    start = _start(schedule, t_start)
    if variable == "t":
        return _uniform_time(schedule, steps, start, float(schedule.DOMAIN[1] if t_end is None else t_end))
    if variable not in _OF_TIME:
        raise ValueError(f"variable: got {variable!r}; allowed: t, {', '.join(_OF_TIME)}")
    infinite = variable in ("lambda", "log_sigma")
    end = _finite_end(schedule, t_end) if infinite else float(schedule.DOMAIN[1] if t_end is None else t_end)
    first, last = (_OF_TIME[variable](schedule, t) for t in (start, end))
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ValueError(f"variable {variable!r} is infinite at an end: {first!r} to {last!r}; give t_start / t_end")
    if first == last:
        raise ValueError(f"variable {variable!r} is constant on this schedule ({first!r}); take another")

    def inner(n: int) -> list[float]:
        values = _spread(first, last, n)[1:-1]
        return [start, *(time_of(schedule, variable, v, start, end) for v in values), end]

    return _finish(schedule, steps, end, final_zero and infinite, inner)


def _uniform_time(schedule: Any, steps: int, start: float, end: float) -> Nodes:
    if schedule.WARP is None:
        return tuple(_spread(start, end, steps))
    warp = getattr(schedule, schedule.WARP)
    noise, data = map(real, schedule.DOMAIN)

    def warped(u: float | Real) -> Real:
        return data + (noise - data) * real(warp(real(u)))

    def unwarped(t: float) -> float:
        if t in schedule.DOMAIN:
            return 1.0 if t == schedule.DOMAIN[0] else 0.0
        f = lambda u: float(warped(u) - real(t))  # noqa: E731
        return _root(f, 0.0, 1.0, f(0.0), f(1.0))

    shares = _spread(unwarped(start), unwarped(end), steps)
    return (start, *(float(warped(u)) for u in shares[1:-1]), end)


def karras(
    schedule: Any,
    steps: int,
    *,
    exponent: float = 7.0,
    variable: Literal["auto", "rho", "sigma"] = "auto",
    t_start: float | None = None,
    t_end: float | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    final_zero: bool = True,
) -> Nodes:
    """v_i^(1/7) equidistant, v = rho = sigma/alpha: arXiv:2206.00364 eq. 5 (there rho is the exponent, 7).

    variable: v; "auto": rho, but sigma where rho starts infinite (alpha = 0: flow), which is what diffusers does there.
    sigma_min, sigma_max: the range of the variable instead of t_end, t_start (k-diffusion's arguments).
    """
    if not exponent > 0:
        raise ValueError(f"exponent: got {exponent!r}; allowed: above 0")
    ends = (t_start, t_end, sigma_min, sigma_max)
    return _between(schedule, steps, variable, ends, final_zero, lambda v: v ** (1 / exponent), lambda p: p**exponent)


def exponential(
    schedule: Any,
    steps: int,
    *,
    variable: Literal["auto", "rho", "sigma"] = "auto",
    t_start: float | None = None,
    t_end: float | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    final_zero: bool = True,
) -> Nodes:
    """log v equidistant (k-diffusion get_sigmas_exponential); options as in :func:`karras`. In rho: uniform lambda."""
    return _between(schedule, steps, variable, (t_start, t_end, sigma_min, sigma_max), final_zero, math.log, math.exp)


def _between(
    schedule: Any, steps: int, variable: str, ends: tuple, final_zero: bool,
    forward: Callable[[float], float], back: Callable[[float], float],
) -> Nodes:  # fmt: skip
    """Nodes equidistant in forward(rho) or forward(sigma)."""
    t_start, t_end, low, high = ends
    if variable not in ("auto", "rho", "sigma"):
        raise ValueError(f"variable: got {variable!r}; allowed: auto, rho, sigma")
    if variable == "auto":
        variable = "sigma" if high is None and log_rho(schedule, _start(schedule, t_start)) == math.inf else "rho"
    if (t_start is not None and high is not None) or (t_end is not None and low is not None):
        raise ValueError("give either t_start or sigma_max, and either t_end or sigma_min")
    start = _start(schedule, t_start) if high is None else _given(schedule, variable, "sigma_max", high)
    end = _finite_end(schedule, t_end) if low is None else _given(schedule, variable, "sigma_min", low)
    first = _value(schedule, variable, start) if high is None else high
    last = _value(schedule, variable, end) if low is None else low
    if not (0 < last < math.inf and 0 < first < math.inf):
        raise ValueError(
            f"{variable}: {first!r} to {last!r}; a grid in it needs finite values above 0: give t_start / t_end"
            + (' (or variable="sigma")' if first == math.inf else "")
        )
    p, q = forward(first), forward(last)

    def inner(n: int) -> list[float]:
        values = [back(v) for v in _spread(p, q, n)[1:-1]]
        return [start, *(_time(schedule, variable, v, start, end) for v in values), end]

    return _finish(schedule, steps, end, final_zero, inner)


def _value(schedule: Any, variable: str, t: float) -> float:
    """rho or sigma at t; inf for rho at alpha = 0."""
    return math.inf if variable == "rho" and log_rho(schedule, t) == math.inf else _OF_TIME[variable](schedule, t)


def _given(schedule: Any, variable: str, name: str, value: float) -> float:
    """The time of sigma_min or sigma_max (an end up to rounding); ValueError with the range where there is none."""
    try:
        return _time(schedule, variable, value if 0 < value < math.inf else math.nan)
    except ValueError:
        finite = [t for t in schedule.DOMAIN if math.isfinite(_value(schedule, variable, t))]
        ends = {float(getattr(schedule, variable)(real(t))): float(t) for t in finite}
        near = [t for v, t in ends.items() if v and math.isclose(v, value, rel_tol=2.0**-50)]
        if near:
            return near[0]
        low, high = sorted([*ends, math.inf])[:2]
        allowed = f"{low!r} to {high!r}" if low else f"above 0{f', up to {high!r}' if high < math.inf else ''}"
        raise ValueError(f"{name}: got {value!r}; allowed: {allowed} (values of {variable})") from None


def _time(schedule: Any, variable: str, value: float, *bracket: float) -> float:
    """:func:`time_of`, on a logarithmic scale, where the root search sees a nearly straight line."""
    logarithm = math.log(value)
    if variable == "rho":
        return time_of(schedule, "lambda", -logarithm, *bracket)
    return time_of(schedule, "log_sigma", logarithm, *bracket)


def beta(
    schedule: Any,
    steps: int,
    *,
    alpha: float = 0.6,
    beta: float = 0.6,
    t_start: float | None = None,
    t_end: float | None = None,
    final_zero: bool = True,
) -> Nodes:
    """Times at the quantiles of Beta(alpha, beta), dense at both ends (arXiv:2407.12173 section 3)."""
    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha, beta: got {alpha!r}, {beta!r}; allowed: above 0")
    start, end = _start(schedule, t_start), _finite_end(schedule, t_end)
    appended = _appends(schedule, end, final_zero)
    inner = [end + (start - end) * beta_quantile(1 - i / steps, alpha, beta) for i in range(1, steps)]
    return (start, *inner, float(schedule.DOMAIN[1]) if appended else end)


def quadratic(
    schedule: Any,
    steps: int,
    *,
    power: float = 2.0,
    t_start: float | None = None,
    t_end: float | None = None,
) -> Nodes:
    """(t - data)^(1/power) equidistant: dense at the data end (DDIM's "quad", arXiv:2010.02502 appendix D.3)."""
    if not power > 0:
        raise ValueError(f"power: got {power!r}; allowed: above 0")
    data = float(schedule.DOMAIN[1])
    start, end = _start(schedule, t_start), float(data if t_end is None else t_end)
    side = math.copysign(1.0, start - data)
    roots = _spread(abs(start - data) ** (1 / power), abs(end - data) ** (1 / power), steps)
    return (start, *(data + side * r**power for r in roots[1:-1]), end)


def linspace(schedule: Any, steps: int, *, rounded: bool = True) -> Nodes:
    """``linspace(T - 1, 0, N)`` of the table's indices, then sigma = 0 (arXiv:2305.08891 table 2)."""
    last = _index_count(schedule, "linspace", steps if rounded else 1) - 1
    inner = _spread(float(last), 0.0, steps - 1) if steps > 1 else [float(last)]
    return (*((float(round(t)) for t in inner) if rounded else inner), -1.0)


def leading(schedule: Any, steps: int, *, steps_offset: int = 0) -> Nodes:
    """Indices ``i (T // N) + steps_offset``, then sigma = 0 (arXiv:2305.08891 table 2; Stable Diffusion: offset 1)."""
    count = _index_count(schedule, "leading", steps)
    return (*(float(i * (count // steps) + steps_offset) for i in reversed(range(steps))), -1.0)


def trailing(schedule: Any, steps: int) -> Nodes:
    """Indices ``round(T - i T/N) - 1``: starts at pure noise (arXiv:2305.08891 table 2), then sigma = 0."""
    count = _index_count(schedule, "trailing", steps)
    return (*(float(round(count - i * (count / steps)) - 1) for i in range(steps)), -1.0)


def simple(schedule: Any, steps: int) -> Nodes:
    """Every (T/N)-th index from the noise end, ``T - 1 - int(i T/N)``, then sigma = 0 (ComfyUI's "simple")."""
    count = _index_count(schedule, "simple", steps)
    return (*(float(count - 1 - int(i * (count / steps))) for i in range(steps)), -1.0)


def sgm_uniform(schedule: Any, steps: int, *, t_start: float | None = None, t_end: float | None = None) -> Nodes:
    """N + 1 equidistant times down to the last finite one, which sigma = 0 replaces (Stability's generative-models)."""
    start, end = _start(schedule, t_start), _finite_end(schedule, t_end)
    nodes = _spread(start, end, steps)
    return (*nodes[:-1], float(schedule.DOMAIN[1]) if schedule.DATA_END == "sigma_zero" else end)


def beta_cdf(x: float, a: float, b: float) -> float:
    """I_x(a, b) by the continued fraction DLMF 8.17.22 (Lentz), on the side where it converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    tiny, c = 1e-300, 1.0
    d = 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return math.exp(front) * fraction / a


def beta_quantile(p: float, a: float, b: float) -> float:
    """x with I_x(a, b) = p, by bisection to the last bit, from the smaller tail so that small values keep digits."""
    if p <= 0 or p >= 1:
        return float(p >= 1)
    if p > beta_cdf(0.5, a, b):
        return 1 - _lower_quantile(1 - p, b, a)
    return _lower_quantile(p, a, b)


def _lower_quantile(p: float, a: float, b: float) -> float:
    low, high = 0.0, 0.5
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return high
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle


GRIDS: Mapping[str, Callable[..., Nodes]] = {
    f.__name__: f
    for f in (
        uniform,
        karras,
        exponential,
        beta,
        quadratic,
        linspace,
        leading,
        trailing,
        simple,
        sgm_uniform,
        spaced,
        clocked,
        spread,
        origin,
    )
}
"""Every grid by name."""

__all__ = [
    "GRIDS", "Nodes", "beta", "beta_cdf", "beta_quantile", "clocked", "exponential", "karras", "leading", "linspace", "log_rho",
    "origin", "quadratic", "sgm_uniform", "simple", "spaced", "spread", "time_of", "trailing", "uniform",
]  # fmt: skip
