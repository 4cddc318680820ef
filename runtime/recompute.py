"""Gradients through N calls of the network, with memory that does not grow with N: states are computed again, not stored.

The sample is made without a graph, and at most ``snapshots`` states on the way are kept; backward takes the calls from the
last to the first, comes back to the state before each from the nearest snapshot (:mod:`runtime.revolve`), and
differentiates that one call and its step. A snapshot is everything that the next call finds, x and the live entries of the
memory, whether a method is multistep, has stages or corrects. The derivative is that of the steps as they were taken, so
autograd's up to rounding; no equation is integrated backwards in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile
from typing import Any

import torch

from runtime import checks
from runtime.plan import Plan
from runtime.revolve import Action, schedule
from runtime.solve import Model, Options, Turn, counted
from runtime.solve import solve as solve_plainly
from runtime.state import State, tensors_in, transformed
from runtime.surroundings import Surroundings

SNAPSHOTS = 8
"""Where the caller says nothing: of up to 45 calls none is made more than three times, of up to 165 four, of up to 495 five."""


def solve(
    solver: Any,
    plan: Plan,
    start: tuple[torch.Tensor, Sequence[Any] | None],
    model: Model,
    options: Options,
    snapshots: int | None,
    parameters: Iterable[torch.Tensor] | None,
) -> torch.Tensor:
    """As :func:`runtime.solve.solve`, from ``start`` = (x_T, history); returns the last sample in the state's dtype.

    ValueError, here or in backward, if what requires grad and takes part is none of these nor in ``parameters``.
    """
    snapshots = checks.count("snapshots", SNAPSHOTS if snapshots is None else snapshots, 1)
    named = _parameters(model, parameters)
    if transformed():
        raise RuntimeError(
            "gradient='recomputed' is for torch.autograd's reverse mode; allowed under torch.func and in forward mode: "
            "gradient='stored'"
        )
    x_T, history = start
    with torch.no_grad():
        state = solver.init(plan, x_T, history)
    if not torch.is_grad_enabled():
        return solve_plainly(solver, plan, state, model, x_T.dtype, options)
    inputs = [t.clone() if t.is_inference() else t for t in (x_T, *tensors_in(history))]
    run = _Run(solver, plan, model, options, snapshots, inputs, history or (), named)
    return _Recomputed.apply(run, state, *inputs, *named)


def _parameters(model: Any, wanted: Iterable[torch.Tensor] | None) -> list[torch.Tensor]:
    """The tensors besides x_T and the history whose gradients are wanted, each once."""
    if wanted is None:
        wanted = model.parameters() if isinstance(model, torch.nn.Module) else ()
    if isinstance(wanted, torch.Tensor) or not isinstance(wanted, Iterable):
        raise TypeError(f"parameters: got {type(wanted).__name__}; allowed: several tensors, as of net.parameters()")
    listed = list(wanted)
    for tensor in listed:
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"parameters: got {type(tensor).__name__}; allowed: tensors, as of net.parameters()")
        if tensor._backward_hooks or (tensor.retains_grad and not tensor.is_leaf):
            raise ValueError(
                f"parameters: one of shape {tuple(tensor.shape)} has a hook (register_hook, retain_grad), which would see "
                "the gradient of every call; allowed: register_post_accumulate_grad_hook, or gradient='stored'"
            )
    return list({id(tensor): tensor for tensor in listed if tensor.requires_grad}.values())


class _Recomputed(torch.autograd.Function):
    """(x_T, history, parameters) -> the last sample."""

    @staticmethod
    def forward(ctx: Any, run: _Run, state: State, *tensors: torch.Tensor) -> torch.Tensor:
        ctx.run = run
        ctx.save_for_backward(*tensors)  # so a change in place before backward is found
        x, ctx.kept = run.forward(state)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        tensors, kept = ctx.saved_tensors, ctx.kept
        ctx.kept = None  # is used up: a second backward makes it again
        found = ctx.run.backward(tensors, ctx.needs_input_grad[2:], kept, gradients[0])
        if torch.is_grad_enabled():
            found = [None if g is None else _Once.apply(g.detach().requires_grad_()) for g in found]
        return None, None, *found


class _Once(torch.autograd.Function):
    """A gradient whose own derivatives are not known."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(
            "gradient='recomputed' is differentiable once; allowed for derivatives of derivatives: gradient='stored'"
        )


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """state: that before a call (None: the initial one, which x_T and the history give); random: of the generators."""

    state: State | None
    random: list[torch.Tensor]


class _Run:
    """What the forward and the backward of one solve have in common."""

    def __init__(
        self, solver: Any, plan: Plan, model: Model, options: Options, snapshots: int, inputs: Sequence[torch.Tensor],
        history: Sequence[Any], named: Sequence[torch.Tensor],
    ) -> None:  # fmt: skip
        self.solver, self.plan, self.model, self.options, self.named = solver, plan, model, options, named
        self.snapshots, self.dtype = snapshots, inputs[0].dtype
        self.pairs = [isinstance(value, (tuple, list)) for value in history]
        self.followed = any(tensor.requires_grad for tensor in (*inputs, *named))
        self.surroundings = Surroundings((*inputs, *named))
        self.random = self.surroundings.random()

    def init(self, inputs: Sequence[torch.Tensor]) -> State:
        """The initial state. inputs: x_T, then the tensors of the history."""
        tensors = iter(inputs[1:])
        history = [(next(tensors), next(tensors)) if pair else next(tensors) for pair in self.pairs]
        return self.solver.init(self.plan, inputs[0], history)

    def actions(self) -> Iterable[Action]:
        return schedule(self.plan.steps, self.snapshots)

    def forward(self, state: State) -> tuple[torch.Tensor, dict[int, _Snapshot]]:
        """The last sample; and the snapshots with which backward begins, the state before the last call among them."""
        last, kept = self.plan.steps - 1, {0: _Snapshot(None, self.random)}
        first = takewhile(lambda action: action.name != "reverse", self.actions() if self.followed else ())
        keep = {action.step for action in first if action.name == "keep"} | ({last} if self.followed else set())
        turn, watched = (self.turn(state.x, self.options, watched) for watched in (False, True))
        with self.surroundings.autocast():
            for i in counted(self.plan.steps, self.options.progress):
                if i in keep and i:
                    kept[i] = self.snapshot(state)
                state = (turn if i and self.followed else watched)(state, i)
        return state.x, kept

    def turn(self, x: torch.Tensor, options: Options, watched: bool = False) -> Turn:
        """A call and its step; watched: it is an error if the functions have gradients that are not followed."""
        model = self.model
        if watched:
            model = self.watched(model)
            options = replace(options, hooks={name: self.watched(hook) for name, hook in options.hooks.items()})
        return Turn(self.solver, self.plan, x, model, self.dtype, options)

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function without gradients, but with a look at which it has."""

        def call(*arguments: Any) -> Any:
            with torch.enable_grad():  # what is written to its arguments is written to the state, without a graph
                out = function(*(a.detach() if isinstance(a, torch.Tensor) else a for a in arguments))
            if not isinstance(out, torch.Tensor) or not out.requires_grad:
                return out
            _all_named([out], self.named)
            return out.detach()

        return call

    def snapshot(self, state: State) -> _Snapshot:
        past = tuple(value.clone() for value in state.past[: state.filled])
        copied = State(state.x.clone(), past, state.filled, False, [0], state.index)
        return _Snapshot(copied, self.surroundings.random())

    def backward(
        self,
        tensors: Sequence[torch.Tensor],
        needed: Sequence[bool],
        kept: dict[int, _Snapshot] | None,
        gradient: torch.Tensor,
    ) -> list[torch.Tensor | None]:
        """The gradients of x_T, the history and the parameters; kept: what ``forward`` left, None if it is used up."""
        count = len(tensors) - len(self.named)
        sweep = _Sweep(self, tensors[:count], needed[:count], gradient)
        actions, ambient = self.actions(), self.surroundings.random()
        try:
            with self.surroundings.autocast():
                if kept is None:
                    sweep.kept = {0: _Snapshot(None, self.random)}
                    sweep.restore(0)
                else:
                    sweep.kept = kept
                    sweep.restore(self.plan.steps - 1)
                    actions = dropwhile(lambda action: action.name != "reverse", actions)
                for action in actions:
                    getattr(sweep, action.name)(*action[1:])
        finally:
            self.surroundings.draw_from(ambient)
        return [*sweep.adjoint, *sweep.total]


class _Sweep:
    """The calls in reverse order. adjoint: the gradients of what the call that was reversed last found, None where zero."""

    def __init__(
        self, run: _Run, inputs: Sequence[torch.Tensor], needed: Sequence[bool], gradient: torch.Tensor
    ) -> None:
        self.run, self.inputs, self.needed = run, inputs, needed
        self.kept: dict[int, _Snapshot] = {}
        self.state: State | None = None
        self.adjoint: list[torch.Tensor | None] = [gradient]
        self.total: list[torch.Tensor | None] = [None] * len(run.named)
        wanted = replace(run.options, callback=None, progress=False, check="off")
        self.turn = run.turn(gradient, wanted)

    def keep(self, step: int, stop: int | None = None) -> None:
        if self.state is not None:  # the initial one is kept
            self.kept[step] = self.run.snapshot(self.state)

    def restore(self, step: int, stop: int | None = None) -> None:
        snapshot = self.kept[step]
        self.state = snapshot.state
        self.run.surroundings.draw_from(snapshot.random)

    def advance(self, step: int, stop: int) -> None:
        with torch.no_grad():
            state = self.state or self.run.init(self.inputs)
            state = state if state.owned else self.run.solver._owned(state)[0]
            for i in range(step, stop):
                state = self.turn(state, i)
        self.state = state

    def reverse(self, step: int, stop: int | None = None) -> None:
        """Differentiate a call and its step."""
        found = self.inputs if self.state is None else (self.state.x, *self.state.past[: self.state.filled])
        followed = self.needed if step == 0 else [True] * len(found)
        leaves = [tensor.detach().requires_grad_(wanted) for tensor, wanted in zip(found, followed)]
        self.state = None
        self.kept.pop(step, None)
        with torch.enable_grad():
            x = leaves[0].clone() if self.run.options.hooks else leaves[0]  # a hook may write to it
            start = [x, *leaves[1:]]
            state = State(x, tuple(start[1:]), len(start) - 1, False, [0], step) if step else self.run.init(start)
            state = self.turn(state, step)
            outputs = [state.x, *state.past[: state.filled]]
        self._pull(outputs, leaves)

    def _pull(self, outputs: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor]) -> None:
        """From the gradients of the outputs to those of the leaves and the parameters."""
        pulled = [(out, g) for out, g in zip(outputs, self.adjoint, strict=True) if out.requires_grad and g is not None]
        self.adjoint = [None] * len(leaves)
        if not pulled:
            return
        ends, gradients = zip(*pulled)
        named, wanted = self.run.named, [k for k, leaf in enumerate(leaves) if leaf.requires_grad]
        _all_named(ends, [*leaves, *named])
        found = torch.autograd.grad(ends, [*(leaves[k] for k in wanted), *named], gradients, allow_unused=True)
        for k, g in zip(wanted, found):
            self.adjoint[k] = g
        for k, g in enumerate(found[len(wanted) :]):
            total = self.total[k]
            self.total[k] = total if g is None else g if total is None else total + g


def _all_named(outputs: Sequence[torch.Tensor], named: Sequence[torch.Tensor]) -> None:
    """ValueError if the outputs depend on a leaf that requires grad other than through ``named``."""
    known, leaves = set(_edges(t for t in named if not t.is_leaf)), {id(t) for t in named if t.is_leaf}
    ahead, seen, lost = _edges(outputs), set(), []
    while ahead:
        edge = ahead.pop()
        node = edge[0]
        if node is None or node in seen or edge in known:
            continue
        seen.add(node)
        if following := node.next_functions:
            ahead += following
        elif type(node).__name__ == "AccumulateGrad" and id(node.variable) not in leaves:
            lost.append(node.variable)
    if lost:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in lost[:4]) + ", .." * (len(lost) > 4)
        raise ValueError(
            f"gradient='recomputed': the sample depends on {len(lost)} tensors that require grad and are not known "
            f"(shapes {shapes}); allowed: all of them in parameters=, e.g. parameters=net.parameters() for a function that "
            "calls net; or requires_grad_(False)"
        )


def _edges(tensors: Iterable[torch.Tensor]) -> list[Any]:
    """Where the gradients of those that require grad enter the graph: (node, number of the node's output)."""
    return [tuple(torch.autograd.graph.get_gradient_edge(t))[:2] for t in tensors if t.requires_grad]
