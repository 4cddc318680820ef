"""The emitted torch step is the program: compared with the interpreter, whose coefficients come from the tableau itself.

Single steps in every phase, functional and in place, on shapes that trip kernels (0-d, empty, odd, transposed); then
whole trajectories, where the table, the phases by order, the rows at the ends and the history all have to be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from derive.check import uneven_nodes
from derive.program.interpret import run, run_phase
from derive.program.ir import Phase
from derive.program.memory import flow
from runtime.noise import Philox
from runtime.real import real
from tests.claims.expected import calls
from tests.claims.shipped import NAMES, STEPS, STOCHASTIC, Shipped, shipped, spec_text, written

SHAPES = ((), (1,), (0, 3), (7,), (3, 5), (1, 31), (2, 3, 5, 7), (257, 3))
BOUNDS = {torch.float64: 1e-13, torch.float32: 1e-6}


def relative(got: torch.Tensor, want: np.ndarray, size: np.ndarray | None = None) -> float:
    """The largest |got - want| over ``size``, by default the largest |want|."""
    scale = np.abs(want).max(initial=0) if size is None else size
    gap = np.abs(got.double().numpy() - want)
    return float(np.max(gap / np.where(scale, scale, 1), initial=0))


def random_row(solver: Shipped, seed: int) -> dict[str, float]:
    """Coefficients of size one, for phases of every kind; what they are worth in a solve, the trajectories show."""
    numbers = np.random.default_rng(seed).standard_normal(len(solver.coefficients.COLUMNS))
    return dict(zip(solver.coefficients.COLUMNS, numbers.tolist()))


def differences(solver: Shipped, phase: Phase, dtype: torch.dtype, tensors: Sequence[torch.Tensor], row: Any) -> list:
    """How far both forms of the step are from the interpreter, by element, over the sum of its terms' sizes."""
    x, raw, z, *past = tensors
    normals = (z,) if phase.draws else ()
    want, kept = run_phase(phase, row, x.numpy(), [p.numpy() for p in past], lambda _: raw.numpy(), z.numpy())
    positive = [np.abs(v.numpy()) for v in tensors]
    sizes = {name: abs(v) for name, v in row.items()}
    size, kept_sizes = run_phase(phase, sizes, positive[0], positive[3:], lambda _: positive[1], positive[2])
    c = tuple(torch.tensor(row[name], dtype=torch.float64).to(dtype) for name in solver.coefficients.COLUMNS)
    new, history = solver.step.STEPS[phase.name](x, raw, tuple(past), c, *normals)
    buffers = [v.clone() for v in (x, *past)] + [torch.full_like(x, 9) for _ in range(solver.step.RING - len(past))]
    state, ring = solver.step.STEPS_[phase.name](buffers[0], raw, tuple(buffers[1:]), c, *normals)
    found = [(new, want, size), (state, want, size)]
    found += [*zip(history, kept, kept_sizes, strict=True), *zip(ring, kept, kept_sizes)]
    assert all(got.dtype == dtype and got.shape == x.shape for got, _, _ in found)
    return [relative(*one) for one in found]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("name", STEPS)
def test_every_phase_on_every_shape(name: str, dtype: torch.dtype) -> None:
    solver, generator = shipped(name), torch.Generator().manual_seed(5)
    entries = flow(solver.derived.program).entries
    for phase in solver.derived.program.phases:
        row = random_row(solver, len(phase.name))
        for count in sorted({len(memory) for memory in entries[phase.name]}):
            for shape in SHAPES:
                tensors = [torch.randn(shape, dtype=dtype, generator=generator) for _ in range(count + 3)]
                assert max(differences(solver, phase, dtype, tensors, row)) <= BOUNDS[dtype], (phase.name, shape)
            tensors = [
                torch.randn((5, 3, 4), dtype=dtype, generator=generator).transpose(0, 2) for _ in range(count + 3)
            ]
            assert max(differences(solver, phase, dtype, tensors, row)) <= BOUNDS[dtype], f"{phase.name}, transposed"


@pytest.mark.parametrize("name", STEPS)
def test_a_row_per_sample(name: str) -> None:
    solver, generator = shipped(name), torch.Generator().manual_seed(6)
    rows = [random_row(solver, b) for b in range(4)]
    c = tuple(
        torch.tensor([r[n] for r in rows], dtype=torch.float64).reshape(4, 1, 1) for n in solver.coefficients.COLUMNS
    )
    for phase in solver.derived.program.phases:
        count = len(phase.memory)
        x, raw, z, *past = (torch.randn((4, 3, 2), dtype=torch.float64, generator=generator) for _ in range(count + 3))
        got, _ = solver.step.STEPS[phase.name](x, raw, tuple(past), c, *((z,) if phase.draws else ()))
        for b, row in enumerate(rows):
            memory = [p[b].numpy() for p in past]
            want, _ = run_phase(phase, row, x[b].numpy(), memory, lambda _, b=b, raw=raw: raw[b].numpy(), z[b].numpy())
            assert relative(got[b], want) <= 1e-13


def network(x: Any, t: Any) -> Any:
    """Non-linear, and the same operations in NumPy and torch."""
    return x / (1 + x * x) + 0.25 * t * x / (3 + t * t) + 0.125


drawn = Philox(11)


def expected(solver: Shipped, nodes: Sequence[float], x: np.ndarray) -> np.ndarray:
    """The last state by the interpreter, every phase and every row by the tableau alone."""
    module, found = solver.coefficients, calls(solver, nodes)
    plan = solver.solver.plan(nodes=list(nodes))
    assert plan.phases[: len(found)] == tuple(call.phase for call in found)
    assert plan.steps == len(found) + (module.FINAL == "denoise")
    times = [float(module.time(real(call.time))) for call in found]
    phases, rows = [call.phase for call in found], [call.row for call in found]
    normals = [drawn(i, torch.as_tensor(x)).numpy() for i in range(len(found))]
    want = run(solver.derived.program, phases, rows, x, lambda state, i: network(state, times[i]), normals=normals)
    if module.FINAL == "denoise":
        dx, dr = map(float, solver.oracle.denoised(nodes[-1]))
        scale = float(solver.oracle.evaluated(nodes[-1]).get("cin", 1))
        want = dx * want + dr * network(want * scale, float(module.time(real(nodes[-1]))))
    return want


def assert_trajectory(solver: Shipped, nodes: Sequence[float], bound: float = 1e-12) -> None:
    x = torch.randn((3, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    want = expected(solver, nodes, x.numpy())
    seed = drawn.seed if solver.name in STOCHASTIC else None
    with torch.no_grad():
        got = solver.solver.sample(lambda x, t: network(x, t.reshape(-1, 1)), x, nodes=list(nodes), seed=seed)
        watched = solver.solver.sample(
            lambda x, t: network(x, t.reshape(-1, 1)), x, nodes=list(nodes), seed=seed, check="step",
            callback=lambda *_: None,
        )  # fmt: skip
    assert relative(got, want) <= bound
    assert torch.equal(got, watched)


def to_the_ends(solver: Shipped) -> list[float]:
    """Uneven times from the noise end to the data end, or just short of an end that has no finite row."""
    module = solver.coefficients
    noise, data = module.DOMAIN
    start = noise if module.NOISE_END == "regular" or module.FROM_ALPHA_ZERO else noise + (data - noise) / 64
    table = solver.derived.tableau.table
    inner = uneven_nodes(module, len(table) - 1 if table else 7)
    last = table[-1] + 1 if table else 1 if module.FINAL == "lower_order" else len(module.ROWS)
    arriving = module.TO_SIGMA_ZERO[last - 1 : last]
    finite = module.DATA_END == "regular" or arriving not in ((), ((),))
    return [start, *inner, data if finite else data + (noise - data) / 64]


@pytest.mark.parametrize("name", NAMES)
def test_whole_trajectories_to_the_ends_of_the_domain(name: str) -> None:
    solver = shipped(name)
    assert_trajectory(solver, to_the_ends(solver))
    assert_trajectory(solver, solver.nodes(2))
    assert_trajectory(solver, solver.nodes(4))


@pytest.mark.parametrize("name", NAMES)
def test_trajectories_with_gradients_take_the_functional_steps(name: str) -> None:
    solver = shipped(name)
    nodes = to_the_ends(solver)
    x = torch.randn((3, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    plain, follow = (
        solver.solver.sample(lambda x, t: network(x, t.reshape(-1, 1)), y, nodes=nodes, seed=1)
        for y in (x, x.clone().requires_grad_())
    )
    assert follow.requires_grad
    assert relative(follow.detach(), plain.numpy()) <= 1e-12


@pytest.mark.parametrize("variable", ["lambda", "rho"])
def test_a_last_evaluation_that_denoises(variable: str, tmp_path: Path) -> None:
    method = f"steps: 3, integrand: data, variable: {variable}, final: denoise"
    solver = written(spec_text("denoised", "kind: vp_linear", "kind: v", method), tmp_path)
    assert_trajectory(solver, [0.9, 0.7, 0.6, 0.4, 0.3, 0.1])


SHAPED = {
    "stages": "exponential_rk, tableau: krogstad, final: keep",
    "corrected": "predictor_corrector, steps: 3",
    "corrected_twice": "predictor_corrector, steps: 2, mode: PECE, start: singlestep",
    "begun": "exponential_multistep, steps: 4, start: singlestep, final: keep",
    "entered": "predictor_corrector, steps: 3, start: singlestep, final: keep",
    "last_denoised": "exponential_rk, tableau: etd2rk, final: denoise",
}


@pytest.mark.parametrize("name", SHAPED)
def test_solvers_of_every_shape(name: str, tmp_path: Path) -> None:
    """Stages, correctors and starters, in place and with gradients, over steps of every kind."""
    text = spec_text(name, "kind: vp_linear", "kind: noise", "integrand: data, variable: lambda")
    solver = written(text.replace("exponential_multistep", SHAPED[name]), tmp_path)
    nodes = [0.9, 0.75, 0.7, 0.55, 0.4, 0.3, 0.25, 0.1]
    assert_trajectory(solver, nodes)
    x = torch.randn((3, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    plain, follow = (
        solver.solver.sample(lambda x, t: network(x, t.reshape(-1, 1)), y, nodes=nodes, seed=1)
        for y in (x, x.clone().requires_grad_())
    )
    assert relative(follow.detach(), plain.numpy()) <= 1e-13
