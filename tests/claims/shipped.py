"""Every solver in the generated folder, and solvers that a test writes by itself.

The folder is the list: a solver that is added is tested. Modules are imported as they lie there; what they are compared
with is derived again from the spec beside them.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from derive import emit
from derive.analysis.numbers import Oracle
from derive.check import Trial, uneven_nodes
from derive.measure.march import Emitted
from derive.pipeline import Derived, derive
from derive.spec import Spec, read_spec, read_spec_text
from runtime import load

FOLDER = Path(__file__).resolve().parents[2] / "generated"
NAMES = tuple(sorted(p.parent.name for p in FOLDER.glob("*/spec.yaml")))


def different(names: Sequence[str]) -> tuple[str, ...]:
    """Of solvers whose steps are the same text, the first."""
    text = {name: (FOLDER / name / "step_torch.py").read_text("utf-8").split('"""', 2)[2] for name in names}
    return tuple(name for i, name in enumerate(names) if text[name] not in map(text.get, names[:i]))


DIFFERENT = different(NAMES)
STOCHASTIC = tuple(name for name in NAMES if "\nDRAWS = " in (FOLDER / name / "step_torch.py").read_text("utf-8"))
DETERMINISTIC = tuple(name for name in NAMES if name not in STOCHASTIC)
STEPS = [pytest.param(name, marks=() if name in DIFFERENT else pytest.mark.slow) for name in NAMES]
"""Every solver, for tests of the step alone: of those whose steps are the same text one is usual, the others are slow."""


class Remembering(Oracle):
    """An oracle that computes each number once: mutants of one module are compared with the same numbers."""

    def __init__(self, derived: Derived) -> None:
        super().__init__(derived.tableau, derived.problem)
        self._known: dict[tuple[Any, ...], Any] = {}

    def weights(self, row: Any, times: Sequence[Any]) -> dict[str, Any]:
        return dict(self._once(("weights", row, *times), lambda: super(Remembering, self).weights(row, times)))

    def at(self, expr: Any, time: Any) -> Any:
        return self._once(("at", expr, time), lambda: super(Remembering, self).at(expr, time))

    def _once(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


@dataclass(frozen=True)
class Shipped:
    """A solver: its modules as imported, and what its spec derives to."""

    name: str
    folder: Path
    coefficients: ModuleType
    step: ModuleType
    solver: Any
    derived: Derived
    oracle: Remembering

    @property
    def claims(self) -> dict[str, Any]:
        return json.loads((self.folder / "claims.json").read_text())

    @property
    def emitted(self) -> Emitted:
        """Its code, to be executed on any numbers."""
        return Emitted(self.coefficients, self.step.STEPS)

    def nodes(self, count: int) -> list[float]:
        """``count`` uneven times inside the domain; of a table of decisions as many as it has."""
        table = self.derived.tableau.table
        return uneven_nodes(self.coefficients, len(table) + 1 if table else count)

    @property
    def calls_at_the_end(self) -> bool:
        """Whether a step calls the network at the very grid point that it ends at."""
        return any(1 in scheme.abscissae for scheme in self.derived.tableau.schemes)

    @property
    def smooth(self) -> bool:
        """Whether its schedule has no kinks: with kinks an order holds between them only."""
        return all(table.kind != "linear" for table in self.derived.schedule.tables.values())

    @property
    def rational(self) -> bool:
        """Whether its numbers are exact ones, rather than decimals of a method whose numbers have no short form."""
        return all(scheme.digits is None for scheme in self.derived.tableau.schemes)

    def trial(self, module: Any = None) -> Trial:
        """The exactness check, of this solver's coefficients or of something that stands in for them."""
        return Trial(module or self.coefficients, self.derived, self.oracle)


@cache
def spec_of(name: str) -> Spec:
    """The spec of a solver in the generated folder."""
    return read_spec(FOLDER / name / "spec.yaml")


@cache
def shipped(name: str) -> Shipped:
    """The solver of that name in the generated folder."""
    package = importlib.import_module(f"generated.{name}")
    derived = derive(spec_of(name))
    return Shipped(
        name, FOLDER / name, package.coefficients, package.step_torch, package.solver, derived, Remembering(derived)
    )


def spec_text(
    name: str, schedule: str, prediction: str, method: str, more: str = "", family: str = "exponential_multistep"
) -> str:
    """A spec; schedule, prediction and method are the inside of flow mappings such as ``kind: vp_linear``."""
    return (
        f"name: {name}\nproblem:\n  kind: diffusion\n  schedule: {{{schedule}}}\n  prediction: {{{prediction}}}\n"
        f"method: {{family: {family}, {method}}}\nbackends: [torch]\n{more}"
    )


def written(text: str, folder: Path) -> Shipped:
    """The solver that a spec's text gives, written into ``folder`` and imported from there."""
    derived = derive(read_spec_text(text))
    name = derived.spec.name
    for file, data in emit.render(derived).items():
        target = folder / name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    coefficients, step = (imported(folder / name / f"{part}.py") for part in ("coefficients", "step_torch"))
    solver = load(str(folder / name), coefficients, step)[0]
    return Shipped(name, folder / name, coefficients, step, solver, derived, Remembering(derived))


def imported(path: Path) -> ModuleType:
    """The module in a file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
