"""Stop 8, run in a process of its own: ``python -m derive.check FOLDER`` tries generated code as a user's program would.

It imports the folder as ``generated.NAME``, compares every coefficient row with the tableau at 50 digits, the step with the
interpreter, and the order with the claims on one nonlinear problem. Prints one JSON object; exit 0 if everything holds.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ULPS = 1.0
STEP_BOUND = 1e-13


def ulp_error(got: float, exact: Any) -> float:
    """|got - exact| in units of the last place of the correctly rounded value."""
    return float(abs(got - exact) / math.ulp(float(exact))) if exact else float(abs(got) > 0)


def uneven_nodes(module: ModuleType, count: int) -> list[float]:
    """``count`` falling times well inside the domain, unevenly spaced."""
    noise, data = module.DOMAIN
    pattern = [1.0, 0.55, 1.7, 0.8, 1.25, 0.6, 1.5, 0.9]
    sizes = [pattern[i % 8] for i in range(count - 1)]
    low, high = data + 0.3 * (noise - data), data + 0.7 * (noise - data)
    nodes = [high]
    for size in sizes:
        nodes.append(nodes[-1] - size * (high - low) / sum(sizes))
    return nodes


def emitted_row(module: ModuleType, order: int, nodes: list[float]) -> tuple[float, ...]:
    """The row of ``order`` from nodes[1] to nodes[0], as the runtime would tabulate it."""
    from runtime.real import real

    points = [module.node(real(x)) for x in nodes[: order + 1]]
    h = tuple(module.span(points[j + 1], points[j]) for j in range(order))
    return tuple(float(v) for v in module.ROWS[order - 1](points[1], points[0], h))


def compare_rows(module: ModuleType, derived: Any) -> float:
    """The worst error in ulp over the rows of every order on an uneven grid."""
    from derive.analysis.numbers import Oracle

    oracle = Oracle(derived.tableau, derived.problem)
    nodes = uneven_nodes(module, len(derived.tableau.rows) + 3)[::-1]
    worst = 0.0
    for row in derived.tableau.rows:
        exact = oracle.row(row, nodes)
        got = dict(zip(module.COLUMNS, emitted_row(module, len(row.nodes), nodes)))
        worst = max(worst, *(ulp_error(got[name], exact.get(name, 0)) for name in module.COLUMNS if name != "cin"))
    return worst


def compare_step(module: ModuleType, step: ModuleType, derived: Any) -> float:
    """The worst relative difference between the torch step (both forms) and the interpreter on random inputs, float64."""
    import torch

    from derive.program.interpret import run_phase

    random = np.random.default_rng(7)
    nodes = uneven_nodes(module, len(derived.tableau.rows) + 3)[::-1]
    worst = 0.0
    for order, phase in enumerate(derived.program.phases, start=1):
        values = emitted_row(module, order, nodes)
        row = dict(zip(module.COLUMNS, values))
        x, raw, *past = random.standard_normal((2 + order - 1, 3, 5))
        want, kept = run_phase(phase, row, x, past, lambda _, raw=raw: raw)
        c = tuple(torch.tensor(v, dtype=torch.float64) for v in values)
        tensors = tuple(torch.from_numpy(p.copy()) for p in past)
        got, _ = step.STEPS[order - 1](torch.from_numpy(x), torch.from_numpy(raw), tensors, c)
        state = torch.from_numpy(x.copy())
        ring = tuple(torch.from_numpy(p.copy()) for p in past)
        ring += tuple(torch.empty(3, 5, dtype=torch.float64) for _ in range(module.STEPS - len(ring)))
        ring = step.STEPS_[order - 1](state, torch.from_numpy(raw), ring, c)
        scale = np.abs(want).max()
        worst = max(worst, np.abs(got.numpy() - want).max() / scale, np.abs(state.numpy() - want).max() / scale)
        if module.STEPS > 1:
            worst = max(worst, np.abs(ring[0].numpy() - kept[0]).max() / np.abs(kept[0]).max())
    return float(worst)


def run(folder: Path) -> dict[str, Any]:
    """The report: ok, lines, and the figures."""
    from derive.measure.order import quick_order
    from derive.pipeline import derive
    from derive.spec import read_spec

    sys.path.insert(0, str(folder.parent.parent))
    package = importlib.import_module(f"{folder.parent.name}.{folder.name}")
    module = importlib.import_module(f"{package.__name__}.coefficients")
    step = importlib.import_module(f"{package.__name__}.step_torch")
    derived = derive(read_spec(folder / "spec.yaml"))
    ulps, difference = compare_rows(module, derived), compare_step(module, step, derived)
    measured = quick_order(module)
    order = derived.proof.order
    verdicts = [
        (ulps <= ULPS, f"coefficients within {ulps:.2f} ulp of the tableau at 50 digits"),
        (difference <= STEP_BOUND, f"torch step within {difference:.1e} of the interpreter"),
        (abs(measured - order) < 0.2, f"measured order {measured:.2f} on a nonlinear problem; proved {order}"),
    ]
    return {
        "ok": all(ok for ok, _ in verdicts),
        "lines": [("" if ok else "FAILS: ") + line for ok, line in verdicts],
        "ulp": ulps,
        "step": difference,
        "order": measured,
    }


if __name__ == "__main__":
    report = run(Path(sys.argv[1]))
    print(json.dumps(report))
    sys.exit(0 if report["ok"] else 1)
