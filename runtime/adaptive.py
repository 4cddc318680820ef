r"""Steps chosen by the error: an embedded pair with a PI controller, every sample of a batch on its own.

    err = rms((x - x_low) / (atol + rtol max(|x_n|, |x|))),     accepted if err <= 1,
    h   <- h clip(0.9 err^(-0.7/q) err_before^(0.4/q), 0.2, 5),   q = 1 + order of the lower output

(Hairer, Norsett, Wanner, Solving ODEs I, II.4; Gustafsson, doi:10.1145/210232.210242). h is measured in the method's own
variable (lambda, rho, t, ..). A sample's steps depend on that sample alone: the network sees the samples that are still
under way, each at its own time. What is returned is differentiable, the estimates of error and stiffness as well
(arXiv:2105.03918 trains on them); the step sizes are not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from runtime import checks
from runtime.errors import LimitError
from runtime.real import inf, real
from runtime.tabulate import end_at

Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
"""The controller's factor, and how much a step may change."""
FIRST = 0.05
"""The first step, as a part of the whole interval of the variable."""
LAST = 1e-9
"""A rest of the interval below this part is not left over."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One accepted step of one sample: variable, state and slope at both ends (dense output)."""

    chi: tuple[float, float]
    x: tuple[torch.Tensor, torch.Tensor]
    slope: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Adaptive:
    """What ``solver.adaptive`` returns.

    x: [B, *S], the sample. accepted, rejected, evaluations: int64 [B], per sample. error: [B], the sum over accepted
    steps of rms(x - x_low); stiffness: [B], the largest |F_b - F_a| / |x_b - x_a| over the last two values of each step,
    per unit of the variable. Both are differentiable. times: for each sample the nodes of its accepted steps.
    """

    x: torch.Tensor
    accepted: torch.Tensor
    rejected: torch.Tensor
    evaluations: torch.Tensor
    error: torch.Tensor
    stiffness: torch.Tensor
    times: tuple[tuple[float, ...], ...]
    _dense: tuple[tuple[Segment, ...], ...] | None = None
    _chart: Callable[[Any], Any] | None = None

    def at(self, t: float) -> torch.Tensor:
        """[B, *S], the samples at time ``t`` inside the interval: cubic Hermite in the variable, error O(h^4).

        ValueError outside of it, or if dense output was not asked for (``dense=True``).
        """
        if self._dense is None or self._chart is None:
            raise ValueError("at(): dense output was not kept; allowed: solver.adaptive(.., dense=True)")
        chi = float(self._chart(real(t)))
        return torch.stack([_hermite(segments, chi, t) for segments in self._dense])


def _hermite(segments: Sequence[Segment], chi: float, t: float) -> torch.Tensor:
    first, last = segments[0].chi[0], segments[-1].chi[1]
    side = 1 if last > first else -1
    if not min(first, last) <= chi <= max(first, last):
        raise ValueError(f"at(): t = {t!r} is outside the interval that was integrated")
    k = min(bisect_left([side * s.chi[1] for s in segments], side * chi), len(segments) - 1)
    (a, b), (x0, x1), (d0, d1) = segments[k].chi, segments[k].x, segments[k].slope
    h = b - a
    u = (chi - a) / h
    return (1 + 2 * u) * (1 - u) ** 2 * x0 + u * u * (3 - 2 * u) * x1 + h * u * (1 - u) * ((1 - u) * d0 - u * d1)


@dataclass(slots=True)
class _Track:
    """One sample under way: where it is, the step it will try, and what it has done."""

    node: Any
    h: float
    before: float = 1.0
    after_rejection: bool = False
    accepted: int = 0
    rejected: int = 0
    evaluations: int = 0
    times: list[float] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The rows of one step that is tried: end, nodes of the calls, (a, b0, d..) per call, error weights."""

    end: Any
    calls: tuple[Any, ...]
    span: float
    rows: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]
    last: bool


class _Pair:
    """The emitted pair: rows of an attempt from one node, in float64."""

    def __init__(self, code: Any) -> None:
        self.code = code
        self.columns = [code.COLUMNS.index("a"), code.COLUMNS.index("b0")]
        self.columns += [i for i, name in enumerate(code.COLUMNS) if name.startswith("d")]
        self.order = int(code.EMBEDDED_ORDER) + 1

    def attempt(self, track: _Track, end: Any) -> _Attempt:
        code = self.code
        rest = code.span(track.node, end)
        part = track.h / abs(float(rest))
        last = part >= 1 - LAST
        t = end if last else code.inner(track.node, end, real(part))
        calls = (track.node, *(code.inner(track.node, t, c) for c in code.ABSCISSAE[-1][1:]))
        h = (code.span(track.node, t),)
        rows = tuple(
            tuple(float(row[i]) for i in self.columns) for row in (f(track.node, t, h, calls) for f in code.ROWS[-1])
        )
        error = tuple(map(float, code.ERROR[0](track.node, t, h, calls)))
        return _Attempt(t, calls, float(h[0]), rows, error, last)


class _Run:
    """All samples of one call."""

    def __init__(
        self, code: Any, model: Model, x: torch.Tensor, rtol: float, atol: float, most: int, dense: bool
    ) -> None:
        self.code, self.pair, self.model = code, _Pair(code), model
        self.rtol, self.atol, self.most, self.dense = rtol, atol, most, dense
        self.x = x
        batch = x.shape[0]
        self.error = x.new_zeros(batch)
        self.stiffness = x.new_zeros(batch)
        self.known: list[torch.Tensor | None] = [None] * batch
        """F at each sample's node, where it is already known."""

    def column(self, values: Sequence[float]) -> torch.Tensor:
        """One number per sample, to be multiplied with [n, *S]."""
        shape = (len(values), *(1,) * (self.x.dim() - 1))
        return torch.tensor(values, dtype=torch.float64).to(self.x.dtype).to(self.x.device).reshape(shape)

    def integrand(self, x: torch.Tensor, nodes: Sequence[Any], tracks: Sequence[_Track]) -> torch.Tensor:
        """F(x, t) of some samples: one call of the network."""
        code = self.code
        for track in tracks:
            track.evaluations += 1
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        times = torch.tensor([float(code.time(n.t)) for n in nodes], dtype=torch.float64).to(dtype).to(x.device)
        seen = x * self.column([float(code.scaled(n)) for n in nodes]) if hasattr(code, "scaled") else x
        raw = checks.model_output(self.model(seen, times), x)
        cx, cr = zip(*(tuple(map(float, code.integrand(n))) for n in nodes), strict=True)
        return self.column(cr) * raw if not any(cx) else self.column(cx) * x + self.column(cr) * raw

    def starting_values(self, active: Sequence[int], tracks: Sequence[_Track]) -> torch.Tensor:
        """F at the node of every active sample; the network is asked for those it is not known for."""
        missing = [b for b in active if self.known[b] is None]
        if missing:
            some = [tracks[b] for b in missing]
            found = self.integrand(self.x[missing], [track.node for track in some], some)
            for b, value in zip(missing, found, strict=True):
                self.known[b] = value
        return torch.stack([self.known[b] for b in active])  # type: ignore[misc]

    def single(self, limits: tuple[Any, ...], start: float, end: float, tracks: Sequence[_Track]) -> None:
        """One step of order 1 that touches an end of the domain, all samples alike."""
        s, t = (self.code.node(real(time)) for time in (start, end))
        row = dict(zip(self.code.COLUMNS, map(float, limits[0](s, t, (inf,))), strict=True))
        value = self.integrand(self.x, [s] * len(tracks), tracks)
        self.x = row["a"] * self.x + row["b0"] * value
        for track in tracks:
            track.accepted += 1
            track.times.append(end)

    def step(self, active: Sequence[int], tracks: Sequence[_Track], end: Any) -> list[int]:
        """Try one step of every active sample; the samples that are not at ``end`` yet."""
        some = [tracks[b] for b in active]
        tries = [self.pair.attempt(track, end) for track in some]
        y = self.x[list(active)]
        values = [self.starting_values(active, tracks)]
        states = [y]
        calls = len(tries[0].rows)
        for i in range(calls):
            a, *weights = zip(*(attempt.rows[i] for attempt in tries), strict=True)
            new = self.column(a) * y
            for weight, value in zip(weights, values, strict=False):
                new = new + self.column(weight) * value
            states.append(new)
            if i + 1 < calls:
                values.append(self.integrand(new, [attempt.calls[i + 1] for attempt in tries], some))
        new = states[-1]
        weights = list(zip(*(attempt.error for attempt in tries), strict=True))
        following = None
        if any(weights[-1]) or self.dense:
            following = self.integrand(new, [attempt.end for attempt in tries], some)
            values.append(following)
        difference = sum(self.column(w) * v for w, v in zip(weights, values, strict=False))
        return self._decided(active, tracks, tries, (y, new, difference, following, states, values))

    def _decided(
        self, active: Sequence[int], tracks: Sequence[_Track], tries: Sequence[_Attempt], found: tuple[Any, ...]
    ) -> list[int]:
        y, new, difference, following, states, values = found
        scale = self.atol + self.rtol * torch.maximum(y.abs(), new.abs())
        local = _rms(difference / scale.detach())
        size = _rms(difference)
        stiff = self._stiffness(states, values, following, tries)
        left, x = [], list(self.x.unbind(0))
        error, stiffness = list(self.error.unbind(0)), list(self.stiffness.unbind(0))
        for j, (b, err) in enumerate(zip(active, local.detach().double().tolist(), strict=True)):
            track, attempt = tracks[b], tries[j]
            if not math.isfinite(err):
                err = math.inf
            if err <= 1:
                if self.dense:
                    track.segments.append(self._segment(attempt, track, y[j], new[j], values[0][j], following[j]))
                track.accepted += 1
                track.times.append(float(attempt.end.t))
                track.node = attempt.end
                x[b] = new[j]
                error[b] = error[b] + size[j]
                stiffness[b] = torch.maximum(stiffness[b], stiff[j])
                self.known[b] = following[j] if following is not None else None
            else:
                track.rejected += 1
            if err > 1 or not attempt.last:
                left.append(b)
            self._control(track, attempt, err)
        self.x, self.error, self.stiffness = torch.stack(x), torch.stack(error), torch.stack(stiffness)
        return left

    def _control(self, track: _Track, attempt: _Attempt, err: float) -> None:
        q = self.pair.order
        taken = abs(attempt.span)
        if err > 1:
            factor = max(SHRINK, SAFETY * err ** (-1 / q)) if err < math.inf else SHRINK
            track.h, track.after_rejection = taken * min(factor, SAFETY), True
        else:
            err = max(err, 1e-10)
            factor = SAFETY * err ** (-0.7 / q) * track.before ** (0.4 / q)
            factor = min(max(factor, SHRINK), 1.0 if track.after_rejection else GROW)
            track.h, track.before, track.after_rejection = taken * factor, err, False
        if track.accepted + track.rejected >= self.most:
            raise RuntimeError(
                f"{self.most} steps were tried and t = {float(track.node.t)!r} is reached; raise most= or the tolerances"
            )
        if track.h <= 1e-14 * abs(taken) or track.h < 1e-300:
            raise RuntimeError(f"the step vanishes near t = {float(track.node.t)!r}: is the model finite there?")

    def _stiffness(self, states: Any, values: Any, following: Any, tries: Sequence[_Attempt]) -> torch.Tensor:
        """|q| |F_b - F_a| / |x_b - x_a| for the last two values of a step, q dx/dchi's weight of F at its end."""
        if following is not None:
            (xa, xb), (fa, fb) = states[-2:], values[-2:]
        else:
            (xa, xb), (fa, fb) = (states[0], states[-2]), (values[0], values[-1])
        weight = self.column([abs(float(self.code.slope(attempt.end.t)[1])) for attempt in tries])
        top, bottom = _norm((fb - fa) * weight), _norm(xb - xa)
        return top / bottom.clamp_min(torch.finfo(bottom.dtype).tiny)

    def _segment(self, attempt: _Attempt, track: _Track, y: Any, new: Any, before: Any, after: Any) -> Segment:
        slopes = []
        for node, x, value in ((track.node, y, before), (attempt.end, new, after)):
            p, q = map(float, self.code.slope(node.t))
            slopes.append(p * x + q * value)
        chi = tuple(float(self.code.chart(node.t)) for node in (track.node, attempt.end))
        return Segment(chi, (y, new), (slopes[0], slopes[1]))  # type: ignore[arg-type]


def _rms(v: torch.Tensor) -> torch.Tensor:
    """Root mean square over everything but the batch."""
    return v.flatten(1).pow(2).mean(1).sqrt() if v.dim() > 1 else v.abs()


def _norm(v: torch.Tensor) -> torch.Tensor:
    return v.flatten(1).norm(dim=1) if v.dim() > 1 else v.abs()


def integrate(
    solver: Any, model: Model, x: torch.Tensor, ends: tuple[float, float] | None, rtol: float, atol: float, most: int,
    first: float | None, dense: bool,
) -> Adaptive:  # fmt: skip
    """The run behind ``Solver.adaptive``. x: [B, *S], B >= 1."""
    code = solver._coefficients
    times = tuple(map(float, solver.plan().nodes if ends is None else ends))
    checks.times((times[0], times[-1]), solver.domain, False)
    run = _Run(code, model, x if x.dtype in (torch.float32, torch.float64) else x.float(), rtol, atol, most, dense)
    inside = _inside(code, times)
    start, end = (code.node(real(t)) for t in (inside[0], inside[-1]))
    whole = abs(float(code.span(start, end)))
    tracks = [_Track(start, FIRST * whole if first is None else first, times=[times[0]]) for _ in range(x.shape[0])]
    if inside[0] != times[0]:
        run.single(code.FROM_ALPHA_ZERO, times[0], inside[0], tracks)
    active = list(range(x.shape[0]))
    while active:
        active = run.step(active, tracks, end)
    if inside[-1] != times[-1]:
        run.single(code.TO_SIGMA_ZERO, inside[-1], times[-1], tracks)

    def counts(name: str) -> torch.Tensor:
        return torch.tensor([getattr(track, name) for track in tracks], dtype=torch.int64)

    return Adaptive(
        run.x.to(x.dtype),
        counts("accepted"),
        counts("rejected"),
        counts("evaluations"),
        run.error,
        run.stiffness,
        tuple(tuple(track.times) for track in tracks),
        tuple(tuple(track.segments) for track in tracks) if dense else None,
        code.chart if dense else None,
    )


def _inside(code: Any, times: tuple[float, ...]) -> tuple[float, ...]:
    """The times without an end of the domain at which the pair itself cannot start or arrive.

    LimitError if nothing is left between them, or no limit of order 1 leads there.
    """
    low, high = 0, len(times)
    first, last = end_at(code, times[0]), end_at(code, times[-1])
    if first and not (code.CHART_FINITE[first] and len(getattr(code, f"FROM_{first.upper()}")) == len(code.ROWS)):
        low = 1
    if last and not (
        code.CHART_FINITE[last]
        and len(getattr(code, f"TO_{last.upper()}")) == len(code.ROWS)
        and _converts(code, code.node(real(times[-1])))
    ):
        high -= 1
    missing = (low and not code.FROM_ALPHA_ZERO) or (high < len(times) and not code.TO_SIGMA_ZERO)
    if high - low < 2 or missing:
        raise LimitError(
            f"span: t = {times[0]!r} to {times[-1]!r}: an end is not finite; allowed: ends inside the domain"
        )
    return times[low:high]


def _converts(code: Any, node: Any) -> bool:
    """Is F a finite combination of x and the network's output there?"""
    try:
        return all(math.isfinite(float(c)) for c in code.integrand(node))
    except (ArithmeticError, ValueError):
        return False


__all__ = ["Adaptive", "integrate"]
