"""The interpreter that defines correct: it runs a program on NumPy arrays in float64, one operation after another.

Coefficients come from outside, by name and call, from the tableau itself at 50 digits (:mod:`derive.analysis.numbers`);
every backend is compared with this, never with another backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from derive.program.ir import Combine, Draw, Evaluate, Keep, Phase, Program

Array = np.ndarray


def run_phase(
    phase: Phase,
    row: Mapping[str, float],
    x: Array,
    memory: Sequence[Array],
    evaluate: Callable[[Array], Array],
    normals: Array | None = None,
) -> tuple[Array, list[Array]]:
    """One call: (next state to evaluate, what is then in memory). ``evaluate`` is the network at this node; normals: what
    the phase draws, of x's shape."""
    found = [np.asarray(m, dtype=np.float64) for m in memory]
    if len(found) < len(phase.memory):
        raise ValueError(f"phase {phase.name} reads {', '.join(phase.memory)}; the memory holds {len(found)} values")
    values: dict[str, Array] = {"x": np.asarray(x, dtype=np.float64), **dict(zip(phase.memory, found))}
    left = found
    for operation in phase.operations:
        if isinstance(operation, Evaluate):
            state = values[operation.state] * (row[operation.scale] if operation.scale else 1.0)
            values[operation.out] = np.asarray(evaluate(state), dtype=np.float64)
        elif isinstance(operation, Combine):
            for line in operation.lines:
                values[line.out] = sum(
                    ((row[c] if c else 1.0) * values[v] for c, v in line.terms), start=np.zeros_like(values["x"])
                )
        elif isinstance(operation, Draw):
            if normals is None:
                raise ValueError(f"phase {phase.name} draws {operation.out}, and there is none")
            values[operation.out] = np.asarray(normals, dtype=np.float64)
        elif isinstance(operation, Keep):
            left = [*(values[v] for v in operation.values), *found[len(phase.memory) :]][: operation.most]
    return values["x'"], left


def run(
    program: Program,
    phases: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    x: Array,
    model: Callable[[Array, int], Array],
    memory: Sequence[Array] = (),
    normals: Sequence[Array] = (),
) -> Array:
    """The last state: call i runs ``phases[i]`` with ``rows[i]``; ``model(x, i)`` is the network at the node of call i.

    memory: what the first call finds, past integrands newest first. normals: what each call draws.
    """
    kept = list(memory)
    for i, (name, row) in enumerate(zip(phases, rows, strict=True)):

        def network(state: Array, call: int = i) -> Array:
            return model(state, call)

        x, kept = run_phase(program.phase(name), row, x, kept, network, normals[i] if len(normals) else None)
    return x
