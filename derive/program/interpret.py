"""The interpreter that defines correct: it runs a program on NumPy arrays in float64, one operation after another.

Coefficients come from outside, by name and step, from the tableau itself at 50 digits (:mod:`derive.analysis.numbers`);
every backend is compared with this, never with another backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from derive.program.ir import Combine, Evaluate, Phase, Program, Push

Array = np.ndarray


def run_phase(
    phase: Phase, row: Mapping[str, float], x: Array, history: Sequence[Array], evaluate: Callable[[Array], Array]
) -> tuple[Array, list[Array]]:
    """One step: (new state, new history, newest first). ``evaluate`` is the network at this node."""
    values: dict[str, Array] = {"x": np.asarray(x, dtype=np.float64)}
    values |= {f"m[{j + 1}]": np.asarray(m, dtype=np.float64) for j, m in enumerate(history)}
    kept = list(history)
    for operation in phase.operations:
        if isinstance(operation, Evaluate):
            state = values[operation.state] * (row[operation.scale] if operation.scale else 1.0)
            values[operation.out] = np.asarray(evaluate(state), dtype=np.float64)
        elif isinstance(operation, Combine):
            for line in operation.lines:
                values[line.out] = sum(
                    ((row[c] if c else 1.0) * values[v] for c, v in line.terms), start=np.zeros_like(values["x"])
                )
        elif isinstance(operation, Push):
            kept.insert(0, values[operation.value])
    return values["x'"], kept


def run(
    program: Program,
    phases: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    x: Array,
    model: Callable[[Array, int], Array],
    history: Sequence[Array] = (),
) -> Array:
    """The whole trajectory's last state: step i runs ``phases[i]`` with ``rows[i]``; ``model(x, i)`` is the network at node i."""
    kept = list(history)
    for i, (name, row) in enumerate(zip(phases, rows, strict=True)):

        def network(state: Array, node: int = i) -> Array:
            return model(state, node)

        x, kept = run_phase(program.phase(name), row, x, kept, network)
        kept = kept[: program.history]
    return x
