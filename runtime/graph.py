"""``sample(graph=True)``: the network and the step captured once as a CUDA graph, replayed for every step.

Which step it is, is read on the device (:mod:`runtime.loop`), so the graph of one step serves the whole solve, and with
the same network and shapes every later one: other noise, another grid, another number of steps. Graphs are kept as long
as their network lives, the last few of each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from weakref import WeakKeyDictionary

import torch

from runtime.loop import Loop
from runtime.plan import Plan
from runtime.projection import Projection

KEPT = 4
"""Graphs of one network: each holds the memory that a call of the network takes."""
WARM_UP = 3
"""Calls of the network before the capture: libraries choose their kernels and take their work space."""
_GRAPHS: WeakKeyDictionary[Any, OrderedDict[tuple[Any, ...], tuple[Loop, Callable[[], None]]]] = WeakKeyDictionary()


def sampled(
    solver: Any,
    plan: Plan,
    model: Any,
    x_T: torch.Tensor,
    history: Sequence[Any] | None,
    projected: Projection | None = None,
) -> torch.Tensor:
    """The sample at the end of the plan, in x_T's dtype. No gradient passes; model: as in ``sample``, fixed shapes."""
    with torch.no_grad():
        loop, replay = _graph(solver, plan, model, x_T, history, projected or Projection())
        for _ in range(loop.steps):
            replay()
        return loop.result()


def _graph(
    solver: Any, plan: Plan, model: Any, x_T: torch.Tensor, history: Sequence[Any] | None, projected: Projection
) -> tuple[Loop, Callable[[], None]]:
    """A loop at the beginning of the plan, and its captured step."""
    try:
        known = _GRAPHS.setdefault(model, OrderedDict())
    except TypeError:  # a callable that cannot be referred to weakly: captured for this call
        known = OrderedDict()
    key = (solver, tuple(x_T.shape), x_T.dtype, x_T.device, plan.samples, projected.kind)
    found = known.pop(key, None)
    if found is None or not found[0].holds(plan):
        loop = solver.loop(plan, x_T, history, **asdict(projected))
        found = loop, captured(lambda: loop.step(model(loop.x, loop.t)), lambda: model(loop.x, loop.t))
    found[0].restart(plan, x_T, history, **asdict(projected))
    known[key] = found
    while len(known) > KEPT:
        known.popitem(last=False)
    return found


def captured(body: Callable[[], Any], warm: Callable[[], Any]) -> Callable[[], None]:
    """``body`` as one CUDA graph; ``warm`` is called before, on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            warm()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph.replay


__all__ = ["captured", "sampled"]
