"""The only time loop.

    x = before_eval(x, t_i);  raw = model(x, t_i);  callback;  x = step(x, raw, past, z);  x = after_step(x, n, t_n)

once for every call i of the network, whose output may be projected (:mod:`runtime.projection`); after_step once for every
step n of the grid. With a mean the steps act on x - mean, and everybody else sees x. Everything is decided before the loop:
coefficients and times lie on the device, so a step is one linear combination of tensors and no value travels back to the
host (but for check="step" and what the caller's functions do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from runtime import checks
from runtime.noise import Source
from runtime.plan import Plan
from runtime.projection import Projected, Projection
from runtime.state import State, differentiated

Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller wants besides the solution.

    mean: of the state's shape and dtype; the state is that of x - mean.
    """

    callback: Callable[..., Any] | None = None
    progress: bool | str = False
    hooks: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    check: str = "end"
    projection: Projection | None = None
    mean: torch.Tensor | None = None
    noise: Source | None = None


def solve(solver: Any, plan: Plan, state: State, model: Model, dtype: torch.dtype, options: Options) -> torch.Tensor:
    """Run the plan from ``state``; returns the last sample, still in the state's dtype.

    dtype: what the model is given (the caller's x_T.dtype). Errors of the model pass through with a note.
    """
    turn = Turn(solver, plan, state.x, model, dtype, options)
    for i in counted(plan.steps, options.progress):
        state = turn(state, i)
    return state.x


class Turn:
    """One turn of the loop: the state before call ``i`` of the network -> the state after its step.

    x: a tensor like the state's. The turns may be taken in any order, each from the state that belongs to it.
    """

    def __init__(
        self, solver: Any, plan: Plan, x: torch.Tensor, model: Model, dtype: torch.dtype, options: Options
    ) -> None:
        self.solver, self.plan, self.model, self.dtype, self.options = solver, plan, model, dtype, options
        times = plan.times(x, x.shape[0] if x.dim() else 1)
        self.times = times if x.dim() else times[:, 0]
        self.before, self.after = options.hooks.get("before_eval"), options.hooks.get("after_step")
        self.denoiser = plan.denoiser(x) if options.callback else ()
        self.projected = Projected(options.projection, plan, x, options.mean) if options.projection else None
        self.offset = _offset(plan, options)
        self.firsts = _firsts(plan) if self.after else ()

    def __call__(self, state: State, i: int) -> State:
        plan, options, t, mean = self.plan, self.options, self.times[i], self.options.mean
        if self.before:
            with _noted("the hook before_eval", plan, i):
                state = _replaced(state, self.before(_seen(state.x, mean), t), "hook before_eval", mean)
        raw = _evaluate(self.model, state, t, self.dtype, plan, i, options)
        if options.check == "step":
            checks.finite(raw, f"the model's output, {_place(plan, i)}")
        raw = raw if self.offset is None else raw - self.offset
        if self.projected:
            raw = self.projected(i, state.x, raw)
        if options.callback:
            dx, dr = self.denoiser[i]
            kept = self.projected.shown if self.projected else None
            data = dx * state.x + dr * raw if kept is None else kept
            _call_back(options.callback, plan, i, _seen(state.x, mean), _seen(data, mean))
        state = self.solver.step(plan, i, state, raw, options.noise)
        if self.after and plan.closes(i):
            with _noted("the hook after_step", plan, i):
                start = self.times[self.firsts[i]]
                state = _replaced(
                    state, self.after(_seen(state.x, mean), plan.places[i], start), "hook after_step", mean
                )
        if options.check == "step":
            checks.finite(state.x, f"the sample after {_place(plan, i)}")
        return state


def _firsts(plan: Plan) -> list[int]:
    """By call, the first call of its grid step."""
    out: list[int] = []
    for i in range(plan.steps):
        out.append(i if i == 0 or plan.closes(i - 1) else out[-1])
    return out


def _seen(x: torch.Tensor, mean: torch.Tensor | None) -> torch.Tensor:
    """What others see of the state, or of the data that belong to it."""
    return x if mean is None else x + mean


def _offset(plan: Plan, options: Options) -> torch.Tensor | None:
    """What the network's output has too much of: the mean where it is the data itself, of pairs [2B, *S].

    Noise, score, v and velocity are those of x - mean already.
    """
    mean = options.mean
    dx, dr = plan.estimates.unbind(1)
    if mean is None or not bool(((dx == 0) & (dr == 1)).all()):
        return None
    return torch.cat([mean, mean]) if options.projection and options.projection.pairs else mean


def _evaluate(
    model: Model, state: State, t: torch.Tensor, dtype: torch.dtype, plan: Plan, i: int, options: Options
) -> torch.Tensor:
    """One call of the network, on c_in x where the prediction asks for it; x itself must come back as it was.

    [B, *S] of x's dtype; of pairs, which lie one behind the other, [2B, *S].
    """
    x = state.x
    like = _seen(x, options.mean)
    if "cin" in plan.columns:
        like = like * plan.coefficients(x)[i][plan.columns.index("cin")]
    if options.projection and options.projection.pairs:
        like, t = torch.cat([like, like]), torch.cat([t, t])
    seen = like if like.dtype == dtype else like.to(dtype)
    version = None if x.is_inference() else x._version
    with _noted("the model", plan, i):
        raw = model(seen, t)
    if version is not None and x._version != version:
        raise RuntimeError(
            f"the model changed its input in place at {_place(plan, i)}; the step needs it: clone x in the model first"
        )
    return checks.model_output(raw, like)


def _call_back(callback: Callable, plan: Plan, i: int, x: torch.Tensor, denoised: torch.Tensor) -> None:
    """callback(i, t, x, denoised) with tensors that stay valid."""
    with _noted("the callback", plan, i):
        callback(i, plan.time(i), x.detach().clone(), denoised.detach())


def _replaced(state: State, x: Any, name: str, mean: torch.Tensor | None) -> State:
    """The state with the hook's x: into the buffer where the state owns it."""
    old = state.x
    if x is old:
        return state
    x = checks.same_shape(x, old, name)
    x = x if mean is None else x - mean
    if state.owned and not differentiated(x):
        old.copy_(x)
        return state
    return State(x, state.past[: state.filled], state.filled, False, [0], state.index)


def _place(plan: Plan, i: int) -> str:
    t = plan.time(i)
    shown = f"t = {t!r}" if isinstance(t, float) else f"t = {t.min().item()!r} .. {t.max().item()!r}"
    return f"step {i} of {plan.steps}, {shown}"


@contextmanager
def _noted(who: str, plan: Plan, i: int) -> Iterator[None]:
    """Let an Exception pass with a note of where the solve was; KeyboardInterrupt and the like pass untouched."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised by {who} at {_place(plan, i)} of solver {plan.solver}")
        raise


def counted(steps: int, wanted: bool | str) -> Iterator[int]:
    """The step indices, with a bar: tqdm where installed, else a plain counter; "auto": only on a terminal."""
    import sys

    if wanted is False or (wanted == "auto" and not sys.stderr.isatty()):
        yield from range(steps)
        return
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        for i in range(steps):
            sys.stderr.write(f"\r{i}/{steps}")
            sys.stderr.flush()
            yield i
        sys.stderr.write(f"\r{steps}/{steps}\n")
        return
    yield from tqdm(range(steps))
