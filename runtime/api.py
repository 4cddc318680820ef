"""Solver: what a generated package exports. plan() on the host, init() and step() on tensors, sample() for all of it.

    x_{n+1} = a x_n + b0 m_n + b1 m_{n-1} + ..,    m_n = cx x_n + cr model(x_n, t_n)

and likewise for stages within a step and for correctors: one call of step() follows one evaluation of the network.
One object serves any number of threads and interleaved requests: everything that changes is in the State that step()
takes and returns.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from runtime import checks
from runtime.errors import NonFiniteError
from runtime.itinerary import kept
from runtime.noise import Drawn, Philox, Source, source
from runtime.plan import Plan
from runtime.planning import planned
from runtime.projection import projection
from runtime.solve import Model, Options, solve
from runtime.state import State, differentiated, tensors_in

if TYPE_CHECKING:
    from runtime.adaptive import Adaptive
    from runtime.loop import Loop


class Solver:
    """A generated solver. Pickles as the name of its module."""

    __slots__ = ("_coefficients", "_module", "_native", "_step", "name")

    name: str
    _module: str
    _coefficients: ModuleType
    _step: Any
    _native: bool
    """Whether the steps are those of :mod:`runtime.native`, which take a row whole."""

    def __init__(self, name: str, module: str, coefficients: ModuleType, step: Any) -> None:
        native = getattr(step, "WHOLE_ROWS", False)
        slots = ("name", "_module", "_coefficients", "_step", "_native")
        for slot, value in zip(slots, (name, module, coefficients, step, native)):
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

    def fused(self, backend: str = "cpu") -> Solver:
        """The same solver with one pass over memory a step: its C++ source, built at first use for this machine.

        For states in the memory of the CPU, float32 or float64; a step runs in one thread. A gradient takes one more
        kernel a step (:mod:`runtime.operators`).
        Built once per machine (seconds), then loaded from the user's cache folder; ``runtime.native`` says how.
        ValueError if the solver was generated without the backend ``cuda``. Without a working C++ compiler: a
        RuntimeWarning that says what is missing, and this solver itself, whose steps are in place as well.
        """
        checks.choice("backend", backend, ("cpu",))
        return _fused(self)

    # Planning

    def plan(
        self,
        steps: int | None = None,
        grid: str | None = None,
        nodes: Any = None,
        *,
        nfe: int | None = None,
        history: int = 0,
        direction: str = "sampling",
        **options: Any,
    ) -> Plan:
        """The nodes and the coefficient table of a solve: O(N) on the host, a fraction of a millisecond a step.

        steps: number of grid steps (default: the spec's; a solver with a table takes one for each entry, no more and no
        fewer). nfe: instead, how many evaluations of the network they may take; a step with stages takes several.
        grid: a name in ``runtime.grids.GRIDS`` (default: the spec's, else
        uniform in t); ``options`` are that grid's. nodes: instead of these, N + 1 times kept bit for bit, or
        [B, N + 1] for a grid per sample. history: so many of the first nodes lie before the first step; their values go
        to ``init``.
        direction: "sampling" (noise to data) or "inversion" (data to noise: nodes the other way round).

        ValueError (LimitError where a coefficient is infinite), TypeError: the message has what is allowed.
        """
        wanted = {"steps": steps, "nfe": nfe, "grid": grid, "nodes": nodes}
        return planned(self.name, self._coefficients, self._step, wanted, history, direction, options)

    # Stepping

    def init(self, plan: Plan, x: torch.Tensor, history: Sequence[Any] | None = None) -> State:
        """The state before step 0.

        x: [B, *S] or 0-d, floating; copied, never written to. float16 and bfloat16 become a float32 state.
        history: for each history node of the plan, oldest first, the integrand there ([B, *S]) or the pair (x, raw)
        that it follows from; a table of decisions that keeps several integrands takes pairs.
        """
        self._own(plan)
        checks.sample(x, "x")
        if plan.samples is not None and (x.dim() == 0 or x.shape[0] != plan.samples):
            raise checks.ShapeError(f"the plan has {plan.samples} grids and x has shape {tuple(x.shape)}")
        dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        follow, past_too = differentiated(x), differentiated(*tensors_in(history))
        with torch.inference_mode(False), torch.set_grad_enabled(follow or past_too):
            own = x.to(dtype) if follow else _fresh(x, dtype)
            past = self._past(plan, own, history)
            self._rows(plan, own)
            return State(own, past, len(past), False, [0])

    def _past(self, plan: Plan, x: torch.Tensor, history: Sequence[Any] | None) -> tuple[torch.Tensor, ...]:
        """Past integrands, newest first."""
        given = () if history is None else tuple(history)
        if len(given) != plan.history:
            raise ValueError(f"history: got {len(given)} values; the plan has {plan.history} history nodes")
        out = []
        columns = kept(self._coefficients)
        for value, row in zip(given, plan.integrand(x)):
            if isinstance(value, (tuple, list)) and len(value) == 2:
                at, raw = (checks.same_shape(v, x, "history") for v in value)
                pairs = zip(columns, row[::2], row[1::2])
                values = [cx * at + cr * raw if names else cr * raw for names, cx, cr in pairs]
            elif len(columns) > 1:
                raise ValueError(
                    f"history: got one value; allowed: the pair (x, raw), of which {len(columns)} are formed"
                )
            else:
                values = [value]
            out.append([checks.same_shape(v, x, "history").clone() for v in values])
        return tuple(v for values in out[::-1] for v in values)[: plan.memory[0]]

    def step(
        self, plan: Plan, i: int, state: State, raw: torch.Tensor, z: torch.Tensor | Source | None = None
    ) -> State:
        """The state after evaluation ``i``, given ``raw = model(state.x, plan.time(i))``.

        Its x is what evaluation ``i + 1`` is made at: the next node (where ``plan.closes(i)``) or a stage; of a
        predictor-corrector the prediction there, which the call after that corrects.
        raw: [B, *S] on x's device, any floating dtype. z: where ``plan.draws[i]``, independent standard normals of x's
        shape, or what makes them: ``Philox(seed)`` of :mod:`runtime.noise`, whose numbers a fused step in place makes in
        registers. While nothing needs a gradient the step runs in place on the
        state's own buffers (no allocation) and ``state`` becomes stale: use what is returned. Where x or raw needs one,
        it makes new tensors and every state stays valid; the values are the same up to rounding.
        ValueError unless ``i`` is the state's next step, ``state.index``: none is skipped, none is taken twice.
        """
        self._own(plan)
        plan.check_index(i)
        state.check_next(i)
        x = state.x
        raw = checks.model_output(raw, x)
        phase, past = plan.phases[i], state.past
        noise = self._normals(plan, i, x, z)
        alive, after = plan.memory[i : i + 2]
        if state.filled < alive:
            raise ValueError(
                f"step {i} combines {alive} past values, the state has {state.filled}: init() with this plan"
            )
        followed = differentiated(x, raw, *past, *([noise] if isinstance(noise, torch.Tensor) else ()))
        if isinstance(noise, Drawn) and (followed or not self._native):
            noise = noise(x)
        normals = () if noise is None else (noise,)
        if followed:
            new, past = self._step.STEPS[phase](x, raw, past[:alive], self._rows(plan, x)[i], *normals)
            return State(new, past[:after], after, False, [0], state.index + 1)
        if not state.owned:
            state, x, past = self._owned(state)
        if any(_share(raw, buffer) for buffer in (x, *past)):
            raw = raw.clone()
        x, past = self._step.STEPS_[phase](x, raw, past, self._rows(plan, x)[i], *normals)
        return state.stepped(x, past, after)

    def _normals(
        self, plan: Plan, i: int, x: torch.Tensor, z: torch.Tensor | Source | None
    ) -> torch.Tensor | Drawn | None:
        """What the step takes besides: normals of x's type, or which they are; None where it draws none."""
        if not plan.draws[i]:
            if isinstance(z, torch.Tensor):
                raise ValueError(f"z: given, but step {i} of {self.name} draws no normals")
            return None
        if isinstance(z, Philox):
            return Drawn(z.seed, z.first, i)
        if z is None:
            raise ValueError(f"step {i} of {self.name} draws normals; allowed: z=, of shape {tuple(x.shape)}")
        found = z if isinstance(z, torch.Tensor) else z(i, x)
        return checks.same_shape(found, x, "z").to(x.dtype)

    def _owned(self, state: State) -> tuple[State, torch.Tensor, tuple[torch.Tensor, ...]]:
        """The state with memory of its own: a copy of x and a ring of RING buffers, live ones first, free ones last."""
        with torch.inference_mode(False), torch.no_grad():
            x = _fresh(state.x, state.x.dtype)
            ring = [_fresh(p, p.dtype) for p in state.past[: state.filled]]
            ring += [torch.zeros_like(x) for _ in range(self._step.RING - len(ring))]
        return State(x, tuple(ring), state.filled, True, [0], state.index), x, tuple(ring)

    def _rows(self, plan: Plan, x: torch.Tensor) -> tuple[Any, ...]:
        """The rows as the steps take them: number by number, or whole."""
        return plan.rows(x) if self._native else plan.coefficients(x)

    def loop(
        self,
        plan: Plan,
        x_T: torch.Tensor,
        history: Sequence[Any] | None = None,
        *,
        backend: str | None = None,
        storage: torch.dtype | None = None,
        guidance: float | Sequence[float] | None = None,
        clip: float | None = None,
        threshold: tuple[float, float] | None = None,
        keep_noise: bool = False,
        seed: int | None = None,
        first: int = 0,
    ) -> Loop:
        """The body of a solve on fixed buffers: what ``torch.compile`` and CUDA graphs take, one graph for any plan.

        See :mod:`runtime.loop`. x_T, history: as in ``init``. backend: "cpu", "cuda", "triton" or "torch"; None: the
        fastest that there is on x_T's device. storage: the type that states are kept in (None: x_T's); float16 and
        bfloat16 keep a state as two numbers. guidance, clip, threshold, keep_noise: as in ``sample``; with guidance, x, t and what
        ``step`` takes are pairs. seed: of the normals of a stochastic solver, as in ``sample``; first: the number of x_T's first
        sample, of all that are made with this seed. No gradient passes through it.
        ValueError where a backend is not there, NoCompilerError where it cannot be built.
        """
        from runtime.engines import engine
        from runtime.loop import Loop

        self._own(plan)
        checks.sample(x_T, "x")
        projected, kept = projection(guidance, clip, threshold, keep_noise), storage or x_T.dtype
        chosen = engine(self, backend, x_T.device, kept, projected is not None)
        return Loop(self, plan, x_T, history, storage, chosen, projected, seed, first)

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
        nfe: int | None = None,
        plan: Plan | None = None,
        history: Sequence[Any] | None = None,
        callback: Any = None,
        progress: bool | str = False,
        generator: torch.Generator | None = None,
        noise: Any = None,
        seed: int | None = None,
        hooks: Any = None,
        check: str = "end",
        compile: bool | str = False,
        graph: bool | None = None,
        direction: str | None = None,
        gradient: str = "stored",
        snapshots: int | None = None,
        parameters: Iterable[torch.Tensor] | None = None,
        guidance: float | Sequence[float] | None = None,
        clip: float | None = None,
        threshold: tuple[float, float] | None = None,
        keep_noise: bool = False,
        mean: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """Solve from x_T; returns a new tensor of x_T's shape, dtype and device.

        model: ``model(x, t) -> prediction``. x: [B, *S] of x_T's dtype (do not change it in place). t: [B] (0-d for a
        0-d x), float64 for a float64 x_T, else float32 (indices are exact in it), on x's device; what it holds (time,
        index, sigma, ..) is the spec's. Prediction: x's shape, any floating dtype (cast once; the state is float32 or
        float64 throughout).
        steps, nfe, grid, nodes, direction, options: as in ``plan``; or ``plan=`` itself. history: as in ``init``.
        callback(i, t, x, denoised): after evaluation i of the network, those at stages included, with the x it was made
        at, t = plan.time(i), and the estimate of the data there; copies that the callback may keep.
        hooks: {"before_eval": f(x, t) -> x} before every evaluation; {"after_step": f(x, i, t) -> x} once for every grid
        step i, from network time t, with the new state at a node. Both replace the sample; the tensors they receive are
        valid until the next step (clone one to keep it). A predictor-corrector shows (and lets replace) its prediction.
        progress: True, False or "auto" (a bar only on a terminal).
        seed, generator, noise: of a stochastic solver, what its normals are (:mod:`runtime.noise`): those of a seed, the
        same for every batch, device and backend; of a seed drawn from the generator (default: torch's own); or the
        caller's, a function (call, like) -> tensor or one tensor [B, *S] for each call that draws. A deterministic solver
        takes seed and generator for symmetry and never draws.
        check: NonFiniteError is looked for at the "end" (once), at each "step" (model and sample), or not ("off").
        compile: True or a backend's name: the steps through ``torch.compile`` (compile the model yourself).
        graph: True: the network and the step are captured once as a CUDA graph and replayed, for this and for later calls
        with the same network and shapes (:mod:`runtime.graph`). x_T on a GPU, a network that can be captured; without
        gradients, callback and hooks; check is "end" or "off".
        Differentiable with respect to x_T, history and the model where gradients are enabled.
        gradient: "stored": autograd keeps what every call of the network needs for its derivative. "recomputed": memory
        for one call and at most ``snapshots`` states (default 8, x_T among them), however many steps there are; backward
        makes the others again, with the fewest calls (revolve; :mod:`runtime.recompute`). Differentiable once, not under
        torch.func. The model and the hooks have to give the same for the same, random numbers of torch's default
        generators included; callback, progress and check see the sample being made only.
        parameters: of "recomputed": tensors besides x_T and history that the sample depends on. None: those of a model
        that is an nn.Module. ValueError, here or in backward, if one that requires grad is not among them.
        guidance: g, or one for each call of the network, which is then called on pairs, x [2B, *S] and t [2B], and returns
        its output u without the condition in the first half, c with it in the second; u + g (c - u) is taken.
        clip: the bound of the estimate of the data; threshold: instead, (quantile, most) of a dynamic threshold.
        keep_noise: what is bounded goes beside the network's own noise, as in diffusers' DDIM; one call a step only.
        See :mod:`runtime.projection`; callbacks show the estimate as it is taken. A history is taken as it is given.
        mean: a floating tensor that broadcasts to x_T: the process is x - mean (mean-reverting; x_T = mean + sigma z). The
        steps act on x - mean; network, hooks and callback see x. A network that returns the data returns that of x, any
        other prediction is that of x - mean, as noise, score, v and velocity are; so is a history. Not with graph=True.
        ``torch.func.vmap`` (and any transform over it) needs check="off", since a look at mapped values is not possible.
        Batch 0: empty, model not called.
        """
        self._check_call(model, x_T, callback, progress, check)
        checks.gradient(gradient, snapshots, parameters)
        if graph not in (None, False, True):
            raise ValueError(f"graph: got {graph!r}; allowed: True, False, None")
        projected = projection(guidance, clip, threshold, keep_noise)
        centre = None if mean is None else checks.mean(mean, x_T)
        if plan is None:
            direction = "sampling" if direction is None else direction
            plan = self.plan(steps, grid, nodes, nfe=nfe, history=len(history or ()), direction=direction, **options)
        elif any(given is not None for given in (steps, nfe, grid, nodes, direction)) or options:
            raise TypeError("sample(): a plan is given, so steps, grid, nodes, direction and grid options cannot be")
        self._own(plan)
        normals = source(plan.draws, noise, seed, generator)
        chosen = Options(callback, progress or False, checks.hooks(hooks), check, projected, centre, normals)
        if x_T.numel() == 0:
            return x_T.clone()
        if check != "off":
            checks.finite_input(x_T)
            if centre is not None:
                checks.finite_input(centre, "mean")
        if graph:
            from runtime.graph import sampled

            also = {"callback": callback, "hooks": hooks, "compile": compile, "gradient": gradient != "stored"}
            also["mean"] = mean is not None
            own = normals if isinstance(normals, Philox) else None
            also["noise"] = own is not normals
            checks.capturable(x_T, also, check)
            return _result(sampled(self, plan, model, x_T, history, projected, own), x_T.dtype, plan, check)
        solver = self.compiled(*([compile] if isinstance(compile, str) else [])) if compile else self
        start = x_T if centre is None else (x_T - centre).to(x_T.dtype)
        if gradient == "recomputed":
            from runtime import recompute

            x = recompute.solve(solver, plan, (start, history), model, chosen, snapshots, parameters)
        else:
            x = solve(solver, plan, self.init(plan, start, history), model, x_T.dtype, chosen)
        return _result(x if centre is None else x + centre, x_T.dtype, plan, check)

    def adaptive(
        self,
        model: Model,
        x_T: torch.Tensor,
        *,
        rtol: float = 1e-3,
        atol: float = 1e-6,
        span: tuple[float, float] | None = None,
        first: float | None = None,
        most: int = 10_000,
        dense: bool = False,
        check: str = "end",
    ) -> Adaptive:
        """Solve with steps that the error chooses; only for solvers with an embedded output (``embedded_order`` claimed).

        model, x_T: as in ``sample``; x_T: [B, *S], B >= 1. Every sample has its own steps, and depends on no other. The
        state is float32 or float64; a tolerance below about 1e-5 asks for a float64 x_T.
        rtol, atol: a step is accepted if rms((x - x_low)/(atol + rtol max(|x_n|, |x|))) <= 1, x_low the embedded output.
        span: (t_start, t_end), from data to noise as well; default: the ends of the default grid, and where it begins or
        ends with an infinite variable, one step of order 1 to its first or from its last finite node.
        first: the first step, in the method's variable. most: steps that may be tried per sample. dense: keep what
        ``.at(t)`` needs.
        Returns :class:`runtime.dense.Adaptive`. ValueError if the solver has no embedded output (LimitError: an end of
        span is not finite); RuntimeError if ``most`` steps do not suffice, the step vanishes, or the model is not finite.
        """
        from runtime.adaptive import integrate

        self._check_call(model, x_T, None, False, check)
        if not getattr(self._coefficients, "ERROR", ()):
            raise ValueError(f"{self.name} has no embedded output to estimate the error with; allowed: sample()")
        for name, value in (("rtol", rtol), ("atol", atol), ("first", 1.0 if first is None else first)):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: got {value!r}; allowed: a finite number from 0")
        if rtol + atol <= 0 or first == 0:
            raise ValueError("rtol and atol cannot both be 0, nor first")
        most = checks.count("most", most, 1)
        if x_T.dim() == 0 or x_T.numel() == 0:
            raise ValueError(f"x_T: got shape {tuple(x_T.shape)}; allowed: [B, ...] with B >= 1, not empty")
        if check != "off":
            checks.finite_input(x_T)
        found = integrate(self, model, x_T, span, float(rtol), float(atol), most, first, dense)
        if check != "off":
            checks.finite(found.x, "the sample at the end")
        return found

    @staticmethod
    def _check_call(model: Any, x_T: Any, callback: Any, progress: Any, check: str) -> None:
        if not callable(model):
            raise TypeError(f"model: got {type(model).__name__}; allowed: a callable model(x, t)")
        checks.sample(x_T)
        checks.function_or_none("callback", callback)
        checks.choice("check", check, checks.MODES)
        if progress not in (True, False, None, "auto"):
            raise ValueError(f"progress: got {progress!r}; allowed: True, False, 'auto'")


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
def _fused(solver: Solver) -> Solver:
    if solver._native:
        return solver
    from runtime.native import NoCompilerError, native_steps

    try:
        step = native_steps(solver._step)
    except NoCompilerError as error:
        warnings.warn(f"{solver.name}: no fused step, the torch step is taken: {error}", RuntimeWarning, stacklevel=3)
        return solver
    return Solver(solver.name, solver._module, solver._coefficients, step)


@lru_cache(maxsize=256)
def _compiled(solver: Solver, backend: str) -> Solver:
    if solver._native:
        raise ValueError(
            f"{solver.name}: the fused steps are compiled already; allowed: compiled() of the plain solver"
        )
    step = SimpleNamespace(**{name: getattr(solver._step, name) for name in ("RING", "NEEDS", "KEEPS")})
    step.DRAWS = getattr(solver._step, "DRAWS", ())
    for name in ("STEPS", "STEPS_"):
        phases = getattr(solver._step, name).items()
        setattr(step, name, {p: torch.compile(phase, fullgraph=True, backend=backend) for p, phase in phases})
    return Solver(solver.name, solver._module, solver._coefficients, step)


def _restore(module: str) -> Solver:
    return import_module(module).solver


__all__ = ["Solver"]
