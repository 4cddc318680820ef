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
from runtime.noise import Philox
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
    normals: Philox | None = None,
) -> torch.Tensor:
    """The sample at the end of the plan, in x_T's dtype. No gradient passes; model: as in ``sample``, fixed shapes.

    normals: of a stochastic solver; the seed is no constant of the graph.
    """
    projected = projected or Projection()
    stream = torch.cuda.current_stream(x_T.device) if x_T.is_cuda else None  # what one has queued, another overtakes
    key = (solver, tuple(x_T.shape), x_T.dtype, x_T.device, stream, plan.samples, projected.kind)
    with torch.no_grad():
        known = _known(model)
        found = known.pop(key, None)  # nobody else's before this solve is over: a second thread captures its own
        if found is None or not found[0].holds(plan):
            found = _graph(solver, plan, model, x_T, history, projected)
        loop, replay = found
        loop.restart(plan, x_T, history, **asdict(projected), **(asdict(normals) if normals else {}))
        for _ in range(loop.steps):
            replay()
        out = loop.result()
        known[key] = found
        while len(known) > KEPT:
            known.popitem(last=False)
        return out


def _known(model: Any) -> OrderedDict[tuple[Any, ...], tuple[Loop, Callable[[], None]]]:
    """The graphs of a network that no solve is using."""
    try:
        return _GRAPHS.setdefault(model, OrderedDict())
    except TypeError:  # a callable that cannot be referred to weakly: captured for this call
        return OrderedDict()


def _graph(
    solver: Any, plan: Plan, model: Any, x_T: torch.Tensor, history: Sequence[Any] | None, projected: Projection
) -> tuple[Loop, Callable[[], None]]:
    """A loop, and its captured step."""
    loop = solver.loop(plan, x_T, history, **asdict(projected))
    return loop, captured(lambda: loop.step(model(loop.x, loop.t)), lambda: model(loop.x, loop.t))


def captured(body: Callable[[], Any], warm: Callable[[], Any]) -> Callable[[], None]:
    """``body`` as one CUDA graph; ``warm`` is called before, on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            warm()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may allocate meanwhile
        body()
    return graph.replay


__all__ = ["captured", "sampled"]
