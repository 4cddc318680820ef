"""Plan: the nodes of a solve and its coefficient table; immutable, shared by threads, requests and devices."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from runtime import checks
from runtime.tabulate import Tabulated


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What ``solver.plan`` returns.

    nodes: the N + 1 times exactly as given (per-sample grids: B tuples); ``history`` of them lie before the first step.
    steps: model evaluations, i.e. calls of ``solver.step``: one for each grid step, more where steps have stages, one
    more with ``final: denoise``. grid_steps: N - history.
    phases, orders, places: by call, the phase of the step module, the order of the rows that are used (their place in
    ROWS), and the grid step that the call belongs to (a final denoising: grid_steps).
    columns: names of the table's columns. direction: "sampling" or "inversion".
    """

    solver: str
    nodes: tuple[Any, ...]
    history: int
    direction: str
    columns: tuple[str, ...]
    orders: tuple[int, ...]
    phases: tuple[str, ...]
    places: tuple[int, ...]
    memory: tuple[int, ...]
    """Entries of State.past that are alive before each call, and after the last (none)."""
    samples: int | None
    """None, or the batch size B of per-sample grids."""
    grids: tuple[Tabulated, ...]
    """One, or the distinct ones of per-sample grids."""
    which: tuple[int, ...]
    """Per-sample: sample -> index in ``grids``."""
    draws: tuple[bool, ...] = ()
    """By call, whether its step takes normals."""
    _cache: dict = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of model evaluations."""
        return len(self.phases)

    @property
    def grid_steps(self) -> int:
        """Number of steps between nodes, history not counted."""
        return len(self.nodes if self.samples is None else self.nodes[0]) - 1 - self.history

    def closes(self, i: int) -> bool:
        """Whether call ``i`` is the last of its grid step: the state after it is at a node."""
        return i + 1 == self.steps or self.places[i + 1] != self.places[i]

    @property
    def table(self) -> torch.Tensor:
        """Float64 [steps, K], a row per call, per-sample [steps, K, B]; a fresh copy. Each entry is the exact value, rounded once."""
        return self._stack(lambda g: g.rows)

    @property
    def estimates(self) -> torch.Tensor:
        """Float64 [steps, 2], per-sample [steps, 2, B]: (dx, dr) of every call, x0 = dx x + dr raw; NaN where x0 is unknown."""
        return self._stack(lambda g: g.denoised[: self.steps])

    @property
    def alphas(self) -> torch.Tensor:
        """Float64 [steps], per-sample [steps, B]: alpha where the grid step of every call ends."""
        return self._stack(lambda g: g.alphas)

    def time(self, i: int) -> float | torch.Tensor:
        """What the network is fed before step ``i``: a float, per-sample a float64 tensor [B]."""
        self.check_index(i)
        return self._each(lambda g: g.times[i])

    def input_scale(self, i: int) -> float | torch.Tensor:
        """The factor c_in of the network's input, ``model(c_in x, t)``, before step ``i``; 1.0 where there is none."""
        self.check_index(i)
        if "cin" not in self.columns:
            return 1.0
        column = self.columns.index("cin")
        return self._each(lambda g: g.rows[i][column])

    def check_index(self, i: int) -> None:
        """TypeError or IndexError unless ``i`` is an int in 0..steps-1."""
        if checks.integer(i) is None:
            raise TypeError(f"step index: got {type(i).__name__}; allowed: int from 0 to {self.steps - 1}")
        if not 0 <= i < self.steps:
            raise IndexError(f"step index: got {i}; allowed: 0 to {self.steps - 1}")

    def _each(self, what: Any) -> Any:
        """``what`` of the grid, a float; per-sample of each sample's, a float64 tensor [B]."""
        if self.samples is None:
            (grid,) = self.grids
            return what(grid)
        return torch.tensor([what(self.grids[w]) for w in self.which], dtype=torch.float64)

    def _stack(self, what: Any) -> torch.Tensor:
        tables = [torch.tensor(what(g), dtype=torch.float64) for g in self.grids]
        if self.samples is None:
            (table,) = tables
            return table
        return torch.stack([tables[w] for w in self.which], -1)

    # Device copies: made once per (device, dtype, rank), as ordinary tensors even under inference_mode and torch.func.

    def coefficients(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], ...]:
        """Row of each step as tensors of x's dtype and device: 0-d, per-sample [B, 1, .., 1]."""
        return self._placed("rows", lambda g: g.rows, x)

    def rows(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Row of each step likewise as one tensor without gaps: [K], per-sample [K, B, 1, .., 1]."""
        return self._placed("whole rows", lambda g: g.rows, x, whole=True)

    def denoiser(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], ...]:
        """(dx, dr) of each step likewise: x0 = dx x + dr raw."""
        return self._placed("denoised", lambda g: g.denoised[: self.steps], x)

    def integrand(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], ...]:
        """(cx, cr) of each history node likewise; of several integrands that are kept one pair after the other."""
        return self._placed("history", lambda g: g.history, x)

    def _placed(self, name: str, what: Any, x: torch.Tensor, whole: bool = False) -> tuple[Any, ...]:
        key = (name, x.device, x.dtype, x.dim() if self.samples is not None else 0)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self.placed(lambda: self._stack(what), x, whole)
        return found

    def placed(self, table: Callable[[], torch.Tensor], x: torch.Tensor, whole: bool = False) -> tuple[Any, ...]:
        """The rows of a table, [rows, K] or per-sample [rows, K, B], likewise: number by number, or whole."""
        with torch.inference_mode(False), torch.no_grad(), _untransformed():
            made = table().to(x.dtype).to(x.device)
            if self.samples is not None:
                made = made.reshape(*made.shape, *(1,) * (x.dim() - 1))
            return tuple(row if whole else tuple(row.unbind(0)) for row in made.unbind(0))

    def times(self, x: torch.Tensor, batch: int) -> torch.Tensor:
        """[steps, batch] network times on x's device: float64 for a float64 x, else float32."""
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        with torch.inference_mode(False), torch.no_grad():
            times = self._stack(lambda g: g.times[: self.steps]).to(dtype).to(x.device)
            return times if self.samples is not None else times.unsqueeze(1).repeat(1, batch)

    def __reduce__(self) -> tuple:
        names = [n for n in self.__dataclass_fields__ if n != "_cache"]
        return Plan, tuple(getattr(self, n) for n in names)

    def __repr__(self) -> str:
        ends = self.nodes if self.samples is None else self.nodes[0]
        per = "" if self.samples is None else f", {self.samples} samples"
        calls = "" if self.steps == self.grid_steps else f", {self.steps} evaluations"
        return f"Plan({self.solver}: {self.grid_steps} steps{calls}, t = {ends[0]!r} to {ends[-1]!r}{per}, {self.direction})"


def _untransformed() -> AbstractContextManager[Any]:
    """Where torch.func does not wrap what is made: a wrapper would not outlive its transform."""
    inside = not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
    return torch._C._DisableFuncTorch() if inside else nullcontext()
