"""Solver: what a generated package exports. plan() on the host, init() and step() on tensors, sample() for all of it.

    x_{n+1} = a x_n + b0 m_n + b1 m_{n-1} + ..,    m_n = cx x_n + cr model(x_n, t_n)

One object serves any number of threads and interleaved requests: everything that changes is in the State that step()
takes and returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, get_type_hints

import torch

from runtime import checks
from runtime.errors import NonFiniteError
from runtime.grids import GRIDS
from runtime.plan import Plan
from runtime.solve import Model, Options, solve
from runtime.state import State, differentiated
from runtime.tabulate import tabulate

MOST_STEPS = 1_000_000


class Solver:
    """A generated solver. Pickles as the name of its module."""

    __slots__ = ("_coefficients", "_module", "_step", "name")

    name: str
    _module: str
    _coefficients: ModuleType
    _step: ModuleType

    def __init__(self, name: str, module: str, coefficients: ModuleType, step: ModuleType) -> None:
        for slot, value in zip(("name", "_module", "_coefficients", "_step"), (name, module, coefficients, step)):
            object.__setattr__(self, slot, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Solver is immutable; cannot set {name!r}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self) -> tuple:
        return _restore, (self._module,)

    def __repr__(self) -> str:
        return f"Solver({self.name}, {self._coefficients.STEPS} steps, t = {self.domain[0]!r} to {self.domain[1]!r})"

    @property
    def domain(self) -> tuple[float, float]:
        """(noise end, data end) of time."""
        return self._coefficients.DOMAIN

    @property
    def coefficients(self) -> ModuleType:
        """The generated ``coefficients`` module: schedule functions and rows."""
        return self._coefficients

    def compiled(self, backend: str = "inductor") -> Solver:
        """The same solver with its steps through ``torch.compile(fullgraph=True)``: one graph per phase, any schedule.

        Coefficients are tensors, so no step and no schedule compiles again. Compiled once per process and backend.
        """
        return _compiled(self, backend)

    # Planning

    def plan(
        self,
        steps: int | None = None,
        grid: str | None = None,
        nodes: Any = None,
        *,
        history: int = 0,
        direction: str = "sampling",
        **options: Any,
    ) -> Plan:
        """The nodes and the coefficient table of a solve: O(N) on the host, a fraction of a millisecond a step.

        steps: number of steps (default: the spec's). grid: a name in ``runtime.grids.GRIDS`` (default: the spec's, else
        uniform in t); ``options`` are that grid's. nodes: instead of these, N + 1 times kept bit for bit, or
        [B, N + 1] for a grid per sample. history: so many of the first nodes lie before the first step; their values go
        to ``init``.
        direction: "sampling" (noise to data) or "inversion" (data to noise: nodes the other way round).

        ValueError (LimitError where a coefficient is infinite), TypeError: the message has what is allowed.
        """
        checks.choice("direction", direction, ("sampling", "inversion"))
        history = checks.count("history", history, 0)
        inversion = direction == "inversion"
        k = self._coefficients.STEPS
        if self._coefficients.START == "exact" and history < k - 1:
            raise ValueError(
                f"history: got {history}; allowed: at least {k - 1}, since this solver starts exactly: give the values "
                f"at the {k - 1} nodes before the first step, or generate it with start: ramp"
            )
        if nodes is None:
            nodes = self._grid(steps, grid, history, options)
            nodes = nodes[::-1] if inversion else nodes
        elif steps is not None or grid is not None or options:
            extra = ["steps"] * (steps is not None) + ["grid"] * (grid is not None) + list(options)
            raise TypeError(f"plan(): nodes are given, so {', '.join(extra)} cannot be")
        return self._tabulated(checks.node_list(nodes), history, direction)

    def _grid(self, steps: int | None, name: str | None, history: int, options: dict[str, Any]) -> tuple[float, ...]:
        default = dict(self._coefficients.GRID)
        kind, planned = default.pop("kind", "uniform"), default.pop("steps", None)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"grid: got {type(name).__name__}; allowed: {', '.join(GRIDS)}; times go to nodes=")
        name = kind if name is None else name
        checks.choice("grid", name, GRIDS)
        steps = planned if steps is None else steps
        if steps is None:
            raise ValueError("steps: not given, and the spec has no default; allowed: at least 1")
        steps = checks.count("steps", steps, 1)
        if steps > MOST_STEPS:
            raise ValueError(f"steps: got {steps}; allowed: 1 to {MOST_STEPS}")
        known = list(inspect.signature(GRIDS[name]).parameters)[2:]
        for option in options:
            checks.choice(f"option of grid {name!r}", option, known)
        hints = get_type_hints(GRIDS[name])
        given = {option: checks.option(option, value, hints[option]) for option, value in options.items()}
        merged = {**(default if name == kind else {}), **given}
        return GRIDS[name](self._coefficients, steps + history, **merged)

    def _tabulated(self, nodes: list[Any], history: int, direction: str) -> Plan:
        domain, inversion = self.domain, direction == "inversion"
        batched = bool(nodes) and isinstance(nodes[0], (list, tuple))
        if batched:
            if any(not isinstance(row, (list, tuple)) or len(row) != len(nodes[0]) for row in nodes):
                raise ValueError("nodes: per-sample grids have to be [B, N+1], every row of one length")
            given = tuple(checks.times(row, domain, inversion, f"[{b}]") for b, row in enumerate(nodes))
        else:
            given = (checks.times(nodes, domain, inversion),)
        if len(given[0]) < history + 2:
            raise ValueError(f"nodes: got {len(given[0])}; allowed: at least {history + 2} ({history} of history)")
        distinct = {row: k for k, row in enumerate(dict.fromkeys(given))}
        grids = tuple(tabulate(self._coefficients, row, history, inversion) for row in distinct)
        if len({len(g.rows) for g in grids}) > 1:
            raise ValueError("nodes: the grids need different numbers of evaluations (final denoising); end them alike")
        return Plan(
            solver=self.name,
            nodes=given if batched else given[0],
            history=history,
            direction=direction,
            columns=tuple(self._coefficients.COLUMNS),
            orders=tuple(map(max, zip(*(g.orders for g in grids)))),
            samples=len(given) if batched else None,
            grids=grids,
            which=tuple(distinct[row] for row in given),
        )

    # Stepping

    def init(self, plan: Plan, x: torch.Tensor, history: Sequence[Any] | None = None) -> State:
        """The state before step 0.

        x: [B, *S] or 0-d, floating; copied, never written to. float16 and bfloat16 become a float32 state.
        history: for each history node of the plan, oldest first, the integrand there ([B, *S]) or the pair (x, raw)
        that it follows from.
        """
        self._own(plan)
        checks.sample(x, "x")
        if plan.samples is not None and (x.dim() == 0 or x.shape[0] != plan.samples):
            raise checks.ShapeError(f"the plan has {plan.samples} grids and x has shape {tuple(x.shape)}")
        dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        follow = differentiated(x)
        with torch.inference_mode(False), torch.set_grad_enabled(follow):
            own = x.to(dtype) if follow else _fresh(x, dtype)
            past = self._past(plan, own, history)
            plan.coefficients(own)
            return State(own, past, len(past), False, [0])

    def _past(self, plan: Plan, x: torch.Tensor, history: Sequence[Any] | None) -> tuple[torch.Tensor, ...]:
        """Past integrands, newest first."""
        given = () if history is None else tuple(history)
        if len(given) != plan.history:
            raise ValueError(f"history: got {len(given)} values; the plan has {plan.history} history nodes")
        out = []
        for value, (cx, cr) in zip(given, plan.integrand(x)):
            if isinstance(value, (tuple, list)) and len(value) == 2:
                at, raw = (checks.same_shape(v, x, "history") for v in value)
                value = cr * raw if "cx" not in plan.columns else cx * at + cr * raw
            out.append(checks.same_shape(value, x, "history").clone())
        return tuple(out[::-1])[: self._coefficients.STEPS - 1]

    def step(self, plan: Plan, i: int, state: State, raw: torch.Tensor) -> State:
        """The state after step ``i``, given ``raw = model(state.x, plan.time(i))``.

        raw: [B, *S] on x's device, any floating dtype. While nothing needs a gradient the step runs in place on the
        state's own buffers (no allocation) and ``state`` becomes stale: use what is returned. Where x or raw needs one,
        it makes new tensors and every state stays valid; the values are the same up to rounding.
        ValueError unless ``i`` is the state's next step, ``state.index``: none is skipped, none is taken twice.
        """
        self._own(plan)
        plan.check_index(i)
        state.check_next(i)
        x = state.x
        raw = checks.model_output(raw, x)
        row = plan.coefficients(x)[i]
        phase, past = plan.orders[i] - 1, state.past
        if state.filled < phase:
            raise ValueError(
                f"step {i} combines {phase} past values, the state has {state.filled}: init() with this plan"
            )
        keep = self._coefficients.STEPS
        if differentiated(x, raw, *past):
            new, past = self._step.STEPS[phase](x, raw, past[: state.filled], row)
            return State(new, past, len(past), False, [0], state.index + 1)
        if not state.owned:
            state, x, past = self._owned(state)
        if _share(raw, x):
            raw = raw.clone()
        past = self._step.STEPS_[phase](x, raw, past, row)
        return state.stepped(past, min(state.filled + 1, keep - 1))

    def _owned(self, state: State) -> tuple[State, torch.Tensor, tuple[torch.Tensor, ...]]:
        """The state with memory of its own: a copy of x and a ring of STEPS buffers, newest first, free ones last."""
        with torch.inference_mode(False), torch.no_grad():
            x = _fresh(state.x, state.x.dtype)
            ring = [_fresh(p, p.dtype) for p in state.past[: state.filled]]
            size = getattr(self._step, "RING", self._coefficients.STEPS)
            ring += [torch.zeros_like(x) for _ in range(size - len(ring))]
        return State(x, tuple(ring), state.filled, True, [0], state.index), x, tuple(ring)

    def _own(self, plan: Plan) -> None:
        if not isinstance(plan, Plan):
            raise TypeError(f"plan: got {type(plan).__name__}; allowed: what solver.plan() returns")
        if plan.solver != self.name:
            raise ValueError(f"plan: made by solver {plan.solver!r}; allowed: a plan of {self.name!r}")

    # All of it

    def sample(
        self,
        model: Model,
        x_T: torch.Tensor,
        steps: int | None = None,
        grid: str | None = None,
        nodes: Any = None,
        *,
        plan: Plan | None = None,
        history: Sequence[Any] | None = None,
        callback: Any = None,
        progress: bool | str = False,
        generator: torch.Generator | None = None,
        noise: Any = None,
        hooks: Any = None,
        check: str = "end",
        compile: bool | str = False,
        graph: bool | None = None,
        direction: str | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """Solve from x_T; returns a new tensor of x_T's shape, dtype and device.

        model: ``model(x, t) -> prediction``. x: [B, *S] of x_T's dtype (do not change it in place). t: [B] (0-d for a
        0-d x), float64 for a float64 x_T, else float32 (indices are exact in it), on x's device; what it holds (time,
        index, sigma, ..) is the spec's. Prediction: x's shape, any floating dtype (cast once; the state is float32 or
        float64 throughout).
        steps, grid, nodes, direction, options: as in ``plan``; or ``plan=`` itself. history: as in ``init``.
        callback(i, t, x, denoised): before step i, with x at its start, t = plan.time(i), and the estimate of the data
        there; copies that the callback may keep. hooks: {"before_eval": f(x, t) -> x, "after_step": f(x, i, t) -> x},
        both replace the sample; the tensors they receive are valid until the next step (clone one to keep it).
        progress: True, False or "auto" (a bar only on a terminal).
        generator: accepted for symmetry, a deterministic solver never draws; noise: None.
        check: NonFiniteError is looked for at the "end" (once), at each "step" (model and sample), or not ("off").
        compile: True or a backend's name: the steps through ``torch.compile`` (compile the model yourself).
        graph: None or False; capturing the solve as a graph is not available in this version.
        Differentiable with respect to x_T and the model where gradients are enabled. ``torch.func.vmap`` (and any
        transform over it) needs check="off", since a look at mapped values is not possible. Batch 0: empty, model not
        called.
        """
        self._check_call(model, x_T, callback, progress, generator, noise, check)
        if graph is not None and graph is not False:
            raise ValueError(f"graph: got {graph!r}; not available in this version; allowed: None, False")
        chosen = Options(callback, progress or False, checks.hooks(hooks), check)
        if plan is None:
            direction = "sampling" if direction is None else direction
            plan = self.plan(steps, grid, nodes, history=len(history or ()), direction=direction, **options)
        elif any(given is not None for given in (steps, grid, nodes, direction)) or options:
            raise TypeError("sample(): a plan is given, so steps, grid, nodes, direction and grid options cannot be")
        if x_T.numel() == 0:
            self._own(plan)
            return x_T.clone()
        if check != "off":
            checks.finite_input(x_T)
        state = self.init(plan, x_T, history)
        solver = self.compiled(*([compile] if isinstance(compile, str) else [])) if compile else self
        x = solve(solver, plan, state, model, x_T.dtype, chosen)
        return _result(x, x_T.dtype, plan, check)

    @staticmethod
    def _check_call(model: Any, x_T: Any, callback: Any, progress: Any, generator: Any, noise: Any, check: str) -> None:
        if not callable(model):
            raise TypeError(f"model: got {type(model).__name__}; allowed: a callable model(x, t)")
        checks.sample(x_T)
        checks.function_or_none("callback", callback)
        checks.choice("check", check, checks.MODES)
        if progress not in (True, False, None, "auto"):
            raise ValueError(f"progress: got {progress!r}; allowed: True, False, 'auto'")
        checks.randomness(generator, noise)


def _result(x: torch.Tensor, dtype: torch.dtype, plan: Plan, check: str) -> torch.Tensor:
    """The last sample in the caller's dtype; NonFiniteError on NaN, infinity, or overflow of the cast."""
    if check != "off":
        hint = "" if check == "step" else "; check='step' finds the first"
        last = plan.steps - 1
        checks.finite(x, f"the sample after step {last} of {plan.steps}, t = {plan.time(last)!r}", hint)
    if x.dtype == dtype:
        return x
    out = x.to(dtype)
    if check != "off" and x.device.type != "meta" and not bool(torch.isfinite(out).all()):
        largest = float(x.abs().max())
        raise NonFiniteError(f"the sample overflows {dtype}: largest entry {largest:.6g}; pass x_T in float32")
    return out


def _fresh(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A dense copy outside autograd, in x's memory format."""
    return torch.empty_like(x, dtype=dtype, requires_grad=False).copy_(x.detach())


def _share(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a is b or a.untyped_storage()._cdata == b.untyped_storage()._cdata


@lru_cache(maxsize=256)
def _compiled(solver: Solver, backend: str) -> Solver:
    step = ModuleType(f"{solver.name}.compiled")
    for name in ("STEPS", "STEPS_"):
        phases = getattr(solver._step, name)
        setattr(step, name, tuple(torch.compile(phase, fullgraph=True, backend=backend) for phase in phases))
    step.RING = getattr(solver._step, "RING", solver._coefficients.STEPS)  # type: ignore[attr-defined]
    return Solver(solver.name, solver._module, solver._coefficients, step)


def _restore(module: str) -> Solver:
    return import_module(module).solver


__all__ = ["Solver"]
