r"""Steps chosen by the error: an embedded pair with a PI controller, every sample of a batch on its own.

    err = rms((x - x_low) / (atol + rtol max(|x_n|, |x|))),     accepted if err <= 1,
    h   <- h clip(0.9 err^(-0.7/q) err_before^(0.4/q), 0.2, 5),   q = 1 + order of the lower output

(Hairer, Norsett, Wanner, Solving ODEs I, II.4; Gustafsson, doi:10.1145/210232.210242); after a rejection h does not grow.
h is measured in the method's own variable (lambda, rho, t, ..). A sample's steps depend on that sample alone: the network
sees the samples that are still under way, each at its own time. What is returned is differentiable, the estimates of error
and stiffness as well (arXiv:2105.03918 trains on them); the step sizes are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from runtime import checks, interval
from runtime.dense import Adaptive, Segment
from runtime.itinerary import point
from runtime.pair import Pair, Point, Trial
from runtime.real import inf, real
from runtime.tabulate import end_at

Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
"""The controller's factor, and how much a step may change."""
FIRST = 0.05
"""The first step, as a part of the whole interval of the variable."""
LEAST = 1e-14
"""A step below this part of the whole interval is lost in the rounding of x."""


@dataclass(slots=True)
class _Track:
    """One sample under way: where it is, the step it will try, and what it has done. known: whether F there is."""

    sample: int
    point: Point
    h: float
    times: list[float]
    before: float = 1.0
    after_rejection: bool = False
    known: bool = False
    accepted: int = 0
    rejected: int = 0
    evaluations: int = 0
    segments: list[Segment] = field(default_factory=list)

    def arrive(self, point: Point, known: bool) -> None:
        self.accepted += 1
        self.point, self.known = point, known
        self.times.append(point.time)

    def control(self, taken: float, err: float, order: int) -> None:
        """The next step after one of length ``taken`` with the error ``err`` (infinite: not a number)."""
        if err > 1:
            self.rejected += 1
            self.h, self.after_rejection = taken * max(SHRINK, SAFETY * err ** (-1 / order)), True
            return
        err = max(err, 1e-10)
        factor = SAFETY * err ** (-0.7 / order) * self.before ** (0.4 / order)
        self.h = taken * min(max(factor, SHRINK), 1.0 if self.after_rejection else GROW)
        self.before, self.after_rejection = err, False


@dataclass(frozen=True, slots=True)
class _Found:
    """What a trial gave, row by row: the state, F there (if it was computed), err, rms(x - x_low), stiffness."""

    new: torch.Tensor
    following: torch.Tensor | None
    local: torch.Tensor
    size: torch.Tensor
    stiffness: torch.Tensor


@dataclass(slots=True)
class _Rows:
    """Samples side by side: state, F there (rows whose track knows it), and the sums. All [n, ..]."""

    tracks: list[_Track]
    x: torch.Tensor
    f: torch.Tensor
    error: torch.Tensor
    stiffness: torch.Tensor

    def take(self, rows: Sequence[int]) -> _Rows:
        tensors = (_take(v, rows) for v in (self.x, self.f, self.error, self.stiffness))
        return _Rows([self.tracks[j] for j in rows], *tensors)


@dataclass(frozen=True, slots=True)
class _Options:
    """What the caller wants; whole: the length of the interval, in the variable."""

    rtol: float
    atol: float
    most: int
    dense: bool
    whole: float


class _Run:
    """All samples of one call."""

    def __init__(self, code: Any, model: Model, dtype: torch.dtype, options: _Options) -> None:
        self.pair, self.model, self.dtype, self.options = Pair(code), model, dtype, options
        self.converts = "cx" in code.COLUMNS
        self.reuses = False

    def integrand(self, x: torch.Tensor, numbers: torch.Tensor, tracks: Sequence[_Track]) -> torch.Tensor:
        """F of some samples, one call of the network. numbers: float64 [n, 4], as ``Pair.call`` has them."""
        for track in tracks:
            track.evaluations += 1
        times = numbers[:, 0].to(torch.float64 if self.dtype == torch.float64 else torch.float32)
        seen = x * _column(numbers[:, 3], x) if self.pair.scales else x
        version = None if x.is_inference() else x._version
        raw = self.model(seen.to(self.dtype), times)
        if version is not None and x._version != version:
            raise RuntimeError("the model changed its input in place; the step needs it: clone x in the model first")
        raw = checks.model_output(raw, x)
        if not self.converts:
            return raw.clone()  # a model may write its next output into the same memory
        return _column(numbers[:, 1], x) * x + _column(numbers[:, 2], x) * raw

    def refresh(self, now: _Rows) -> None:
        """F where it is not known yet."""
        rows = [j for j, track in enumerate(now.tracks) if not track.known]
        if rows:
            tracks = [now.tracks[j] for j in rows]
            numbers = _host([self.pair.call(track.point) for track in tracks], now.x)
            now.f = _put(now.f, rows, self.integrand(_take(now.x, rows), numbers, tracks), range(len(rows)))
            for track in tracks:
                track.known = True

    def single(self, now: _Rows, limit: Any, start: float, end: float) -> None:
        """One step of order 1 that touches an end of the domain, all samples alike."""
        code, arrival = self.pair.wide.code, Point(end)
        s, t = (at.node(self.pair.wide) for at in (now.tracks[0].point, arrival))
        finite = all(code.CHART_FINITE.get(end_at(code, time), True) for time in (start, end))
        row = dict(zip(code.COLUMNS, map(float, limit(s, t, (code.span(s, t) if finite else inf,))), strict=True))
        self.refresh(now)
        now.x = row["a"] * now.x + row["b0"] * now.f
        for track in now.tracks:
            track.arrive(arrival, False)

    def attempt(self, now: _Rows, trials: Sequence[Trial]) -> _Found:
        """One step of every row."""
        rows, calls, errors, speeds = (
            _host([getattr(t, name) for t in trials], now.x) for name in ("rows", "calls", "error", "speed")
        )
        states, values = [now.x], [now.f]
        for i in range(rows.shape[1]):
            new = _column(rows[:, i, 0], now.x) * now.x
            for j, value in enumerate(values):
                new = new + _column(rows[:, i, j + 1], now.x) * value
            states.append(new)
            if i < calls.shape[1]:
                values.append(self.integrand(new, calls[:, i], now.tracks))
        new, o = states[-1], self.options
        difference = _column(errors[:, 0], now.x) * now.f
        for j, value in enumerate(values[1:], 1):
            difference = difference + _column(errors[:, j], now.x) * value
        scale = o.atol + o.rtol * torch.maximum(now.x.detach().abs(), new.detach().abs())
        scale = scale.clamp_min(torch.finfo(scale.dtype).tiny)
        (xa, xb), fa = (states[-2:], values[-2]) if self.reuses else ((states[0], states[-2]), values[0])
        gap = _norm(xb - xa).clamp_min(torch.finfo(new.dtype).tiny)
        stiffness = speeds.to(new.dtype) * _norm(values[-1] - fa) / gap
        size = math.sqrt(max(1, new[0].numel()))
        local = _norm(difference.detach() / scale) / size
        return _Found(new, values[-1] if self.reuses else None, local, _norm(difference) / size, stiffness)

    def step(self, now: _Rows, end: Point) -> tuple[_Rows, _Rows]:
        """Try one step of every row: (rows still under way, rows that arrived)."""
        self.refresh(now)
        trials = [self.pair.trial(track.point, track.h, end, self.reuses) for track in now.tracks]
        found, rows = self.attempt(now, trials), list(range(len(trials)))
        errs = [err if math.isfinite(err) else math.inf for err in found.local.double().tolist()]
        good = [j for j in rows if errs[j] < math.inf]
        if len(good) < len(rows):
            self.look(now, [j for j in rows if errs[j] == math.inf])
            if found.new.requires_grad and good:  # 0 times infinity: no gradient may pass a row that is not finite
                found, rows = self.attempt(now.take(good), [trials[j] for j in good]), good
        accepted, starts, (x, f) = [j for j in rows if errs[j] <= 1], [t.point for t in now.tracks], (now.x, now.f)
        self.accept(now, found, rows, accepted, trials)
        for track, trial, err in zip(now.tracks, trials, errs, strict=True):
            track.control(abs(trial.span), err, self.pair.order)
        if self.options.dense:
            self.refresh(now)
            for j in accepted:
                now.tracks[j].segments.append(self.segment(now, j, starts[j], (x[j], f[j])))
        arrived = {j for j in accepted if trials[j].last}
        left = [j for j in range(len(trials)) if j not in arrived]
        self.limit(now, left, errs)
        return now.take(left), now.take(sorted(arrived))

    def accept(
        self, now: _Rows, found: _Found, rows: Sequence[int], accepted: Sequence[int], trials: Sequence[Trial]
    ) -> None:
        """Move the accepted rows; row ``rows[k]`` is the k-th of what was found."""
        place = {j: k for k, j in enumerate(rows)}
        source = [place[j] for j in accepted]
        now.x = _put(now.x, accepted, found.new, source)
        if found.following is not None:
            now.f = _put(now.f, accepted, found.following, source)
        now.error = _put(now.error, accepted, _take(now.error, rows) + found.size, source)
        largest = torch.maximum(_take(now.stiffness, rows), found.stiffness)
        now.stiffness = _put(now.stiffness, accepted, largest, source)
        for j in accepted:
            now.tracks[j].arrive(trials[j].end, found.following is not None)

    def segment(self, now: _Rows, j: int, start: Point, before: tuple[torch.Tensor, torch.Tensor]) -> Segment:
        """The step of row j from ``start``, with the state and F that it had there."""
        wide, chart = self.pair.wide, self.pair.wide.code.chart
        s, t = (point.node(wide) for point in (start, now.tracks[j].point))
        (p0, q0), (p1, q1) = self.pair.slope(wide, s, t), self.pair.slope(wide, t, s)
        (x0, f0), (x1, f1) = before, (now.x[j], now.f[j])
        return Segment((float(chart(s.t)), float(chart(t.t))), (x0, x1), (p0 * x0 + q0 * f0, p1 * x1 + q1 * f1))

    @staticmethod
    def look(now: _Rows, rows: Sequence[int]) -> None:
        """RuntimeError if the model is not finite where a step starts: no shorter step helps."""
        finite = torch.isfinite(_take(now.f, rows)).reshape(len(rows), -1).all(1).tolist()
        for j, fine in zip(rows, finite, strict=True):
            if not fine:
                track = now.tracks[j]
                raise RuntimeError(
                    f"the model's output is not finite at t = {track.point.time!r} (sample {track.sample})"
                )

    def limit(self, now: _Rows, rows: Sequence[int], errs: Sequence[float]) -> None:
        """RuntimeError if a sample that is under way has used up its steps, or its step vanishes."""
        for j in rows:
            track = now.tracks[j]
            at = f"t = {track.point.time!r} (sample {track.sample})"
            if track.accepted + track.rejected >= self.options.most:
                raise RuntimeError(
                    f"{self.options.most} steps were tried and {at} is reached; raise most= or the tolerances"
                )
            if track.h < LEAST * self.options.whole:
                why = "finite" if errs[j] == math.inf else "smooth, and not beyond the rounding of x,"
                raise RuntimeError(f"the step vanishes near {at}: is the model {why} there?")


def _host(numbers: Sequence[Any], like: torch.Tensor) -> torch.Tensor:
    """Numbers of every row, float64 on the device of ``like``."""
    return torch.tensor(numbers, dtype=torch.float64).to(like.device, non_blocking=True)


def _column(numbers: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """[n] as [n, 1, ..], to be multiplied with x [n, *S]."""
    return numbers.to(x.dtype).reshape(-1, *(1,) * (x.dim() - 1))


def _norm(v: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of every row, computed alike whatever the other rows are; its gradient at 0 is 0."""
    return v.reshape(v.shape[0], -1).norm(dim=1)


def _take(v: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """Some rows; ``v`` itself for all of them in order."""
    return v if list(rows) == list(range(v.shape[0])) else v.index_select(0, _index(rows, v))


def _put(old: torch.Tensor, to: Sequence[int], new: torch.Tensor, source: Sequence[int]) -> torch.Tensor:
    """``old`` with rows ``to`` replaced by rows ``source`` of ``new``."""
    if not to:
        return old
    rows = _take(new, source)
    return rows if len(to) == old.shape[0] else old.index_copy(0, _index(to, old), rows)


def _index(rows: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64, device=like.device)


def integrate(
    solver: Any, model: Model, x: torch.Tensor, ends: tuple[float, float] | None, rtol: float, atol: float, most: int,
    first: float | None, dense: bool,
) -> Adaptive:  # fmt: skip
    """The run behind ``Solver.adaptive``. x: [B, *S], B >= 1."""
    code = solver._coefficients
    times = interval.default(code) if ends is None else interval.checked(ends, solver.domain)
    inside = interval.inside(code, times)
    start, end = Point(inside[0]), Point(inside[-1])
    whole = abs(float(code.span(*(point(code, real(at.time)) for at in (start, end)))))
    run = _Run(code, model, x.dtype, _Options(rtol, atol, most, dense, whole))
    run.reuses = run.pair.reuses(start, end)
    state = x if x.dtype in (torch.float32, torch.float64) else x.float()
    tracks = [_Track(b, Point(times[0]), first or FIRST * whole, [times[0]]) for b in range(x.shape[0])]
    now = _Rows(tracks, state, torch.zeros_like(state), state.new_zeros(len(tracks)), state.new_zeros(len(tracks)))
    if inside[0] != times[0]:
        run.single(now, interval.limit(code, times[0], True), times[0], inside[0])
    arrived: list[_Rows] = []
    while now.tracks:
        now, done = run.step(now, end)
        arrived += [done] if done.tracks else []
    now = _together(arrived)
    if inside[-1] != times[-1]:
        run.single(now, interval.limit(code, times[-1], False), inside[-1], times[-1])
    accepted, rejected, evaluations = (
        torch.tensor([getattr(track, name) for track in now.tracks]) for name in ("accepted", "rejected", "evaluations")
    )
    nodes = tuple(tuple(track.times) for track in now.tracks)
    kept = tuple(tuple(track.segments) for track in now.tracks) if dense else None
    chart = code.chart if dense else None
    return Adaptive(now.x.to(x.dtype), accepted, rejected, evaluations, now.error, now.stiffness, nodes, kept, chart)


def _together(parts: Sequence[_Rows]) -> _Rows:
    """All samples, in their order."""
    tracks = [track for part in parts for track in part.tracks]
    tensors = (torch.cat([getattr(part, name) for part in parts]) for name in ("x", "f", "error", "stiffness"))
    return _Rows(tracks, *tensors).take(sorted(range(len(tracks)), key=lambda j: tracks[j].sample))


__all__ = ["Adaptive", "integrate"]
