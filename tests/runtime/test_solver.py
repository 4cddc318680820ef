"""Solving: closed forms, the opened loop, gradients, precision, per-sample grids, threads, devices, memory."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import pickle  # noqa: TID251  (the Solver's own reduction is under test; nothing foreign is loaded)
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import runtime
from runtime import StaleStateError
from runtime.real import real
from tests.runtime import sample_solver
from tests.runtime.hand_written import ddim, flow, variant
from tests.runtime.sample_solver import solver

C = sample_solver.coefficients
ROOT = Path(__file__).resolve().parents[2]


def alpha_sigma(t: float | Tensor) -> tuple[Any, Any]:
    la = -t * (19.9 * t + 0.2) / 4
    if isinstance(t, Tensor):
        return torch.exp(la), torch.sqrt(-torch.expm1(2 * la))
    return math.exp(la), math.sqrt(-math.expm1(2 * la))


def column(t: Tensor, x: Tensor) -> Tensor:
    return t.reshape(-1, *(1,) * (x.dim() - 1))


def gaussian(x: Tensor, t: Tensor, spread: float = 0.5) -> Tensor:
    """The exact noise prediction for data N(0, spread^2)."""
    alpha, sigma = alpha_sigma(column(t, x))
    return x * sigma / (alpha**2 * spread**2 + sigma**2)


def curved(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(x * 0.7) + 0.1 * column(t, x)


def start(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(7))


# Values


def test_constant_data_prediction_is_solved_exactly() -> None:
    """A constant data prediction makes every exponential method exact: x = alpha x0 + sigma eps."""
    x0, eps = start(2, 3), start(2, 3).flip(0)
    a, s = alpha_sigma(1.0)

    def model(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = alpha_sigma(column(t, x))
        return (x - alpha * x0) / sigma

    torch.testing.assert_close(solver.sample(model, a * x0 + s * eps, 10), x0, rtol=1e-10, atol=1e-10)
    a, s = alpha_sigma(0.3)
    seen = []
    solver.sample(model, x0 + eps, nodes=[1.0, 0.6, 0.3, 0.1], callback=lambda i, t, x, denoised: seen.append(denoised))
    for denoised in seen:
        torch.testing.assert_close(denoised, x0, rtol=1e-10, atol=1e-10)


def test_ddim_is_exact_for_constant_noise_and_matches_its_closed_form() -> None:
    eps, x = start(4), start(4).flip(0)
    nodes = [1.0, 0.7, 0.4, 0.1]
    ours = ddim().sample(lambda x, t: eps, x, nodes=nodes)
    expected = x
    for s, t in itertools.pairwise(nodes):
        (a_s, s_s), (a_t, s_t) = alpha_sigma(s), alpha_sigma(t)
        expected = a_t * (expected - s_s * eps) / a_s + s_t * eps
    torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)


def test_first_order_phase_is_ddim() -> None:
    x = start(5)
    ours = solver.sample(curved, x, nodes=[0.9, 0.4])
    torch.testing.assert_close(ours, ddim().sample(curved, x, nodes=[0.9, 0.4]), rtol=1e-13, atol=1e-13)


def test_second_order_against_the_published_formula() -> None:
    """DPM-Solver++(2M), arXiv:2211.01095 eq. 16 with exact moments, written out in floats."""
    nodes = [0.9, 0.7, 0.45, 0.2]
    x = expected = start(6)
    lam = [math.log(a / s) for a, s in map(alpha_sigma, nodes)]
    data: list[Tensor] = []
    for i in range(3):
        (a, s), (a_t, s_t) = alpha_sigma(nodes[i]), alpha_sigma(nodes[i + 1])
        data.append((expected - s * curved(expected, torch.tensor([nodes[i]], dtype=torch.float64))) / a)
        h = lam[i + 1] - lam[i]
        slope = (data[i] - data[i - 1]) / (lam[i] - lam[i - 1]) if i else torch.zeros_like(x)
        first, second = -math.expm1(-h), h + math.expm1(-h)
        expected = s_t / s * expected + a_t * (first * data[i] + second * slope)
    torch.testing.assert_close(variant(FINAL="keep").sample(curved, x, nodes=nodes), expected, rtol=1e-12, atol=1e-12)


def test_second_order_convergence() -> None:
    x, spread = start(8), 0.5
    (a, s), (a_e, s_e) = alpha_sigma(1.0), alpha_sigma(0.02)
    exact = x * math.sqrt((a_e**2 * spread**2 + s_e**2) / (a**2 * spread**2 + s**2))
    errors = []
    for n in (40, 80, 160):
        ours = solver.sample(gaussian, x, n, "uniform", variable="lambda", t_end=0.02, final_zero=False)
        errors.append(float((ours - exact).abs().max()))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders[-1] == pytest.approx(2, abs=0.15)


def test_flow_from_alpha_zero_to_sigma_zero_with_a_straight_path() -> None:
    x0, eps = start(3, 2), start(3, 2).flip(1)
    times: list[Tensor] = []

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        times.append(t)
        return eps - x0

    torch.testing.assert_close(flow().sample(velocity, eps, 7), x0, rtol=1e-14, atol=1e-14)
    assert times[0].tolist() == [1000.0] * 3 and times[0].dtype == torch.float64 and len(times) == 7


def test_inversion_goes_back_to_where_sampling_came_from() -> None:
    x = start(3)
    forth = flow().sample(lambda x, t: 0.3 * x, x, 400)
    back = flow().sample(lambda x, t: 0.3 * x, forth, 400, direction="inversion")
    torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-5)


def test_final_denoise_returns_the_data_estimate() -> None:
    x = start(3)
    nodes = [1.0, 0.5, 0.2]
    end = variant(FINAL="keep").sample(curved, x, nodes=nodes)
    a, s = alpha_sigma(0.2)
    expected = (end - s * curved(end, torch.tensor([0.2], dtype=torch.float64))) / a
    torch.testing.assert_close(variant(FINAL="denoise").sample(curved, x, nodes=nodes), expected)


def test_exact_start_from_integrands_or_pairs() -> None:
    exact, x = variant(START="exact"), start(3)
    nodes = [0.9, 0.7, 0.5, 0.3]
    raw = curved(x, torch.tensor([0.9], dtype=torch.float64))
    a, s = alpha_sigma(0.9)
    by_pair = exact.sample(curved, x, nodes=nodes, history=[(x, raw)])
    torch.testing.assert_close(exact.sample(curved, x, nodes=nodes, history=[(x - s * raw) / a]), by_pair)
    long, states = variant(FINAL="lower_order"), []
    plan = long.plan(nodes=nodes)
    state = long.init(plan, x)
    state = long.step(plan, 0, state, raw)
    states.append(state.x.clone())
    torch.testing.assert_close(
        exact.sample(curved, states[0], nodes=nodes, history=[(x, raw)]), long.sample(curved, x, nodes=nodes)
    )
    with pytest.raises(ValueError, match="history: got 0 values; the plan has 1"):
        exact.init(exact.plan(nodes=nodes, history=1), x)


# The opened loop


def test_the_opened_loop_is_sample_bit_for_bit() -> None:
    x = start(2, 3, dtype=torch.float32)
    plan = solver.plan(12, "karras")
    state = solver.init(plan, x)
    for i in range(plan.steps):
        t = torch.full((2,), plan.time(i), dtype=torch.float32)
        state = solver.step(plan, i, state, curved(state.x, t))
    assert torch.equal(state.x, solver.sample(curved, x, plan=plan))
    assert torch.equal(state.x, solver.sample(curved, x, 12, "karras"))


def test_a_stepped_state_is_stale_and_says_so() -> None:
    plan = solver.plan(4)
    state = solver.init(plan, start(2))
    first = solver.step(plan, 0, state, state.x * 0.1)
    second = solver.step(plan, 1, first, first.x * 0.1)
    for use in (lambda: first.x, lambda: solver.step(plan, 1, first, second.x)):
        with pytest.raises(StaleStateError, match="already stepped"):
            use()
    assert bool(torch.isfinite(second.x).all())
    assert "stale" in repr(first) and "stale" not in repr(second)


def test_init_can_be_stepped_from_twice() -> None:
    plan = solver.plan(4)
    state = solver.init(plan, start(2))
    one = solver.step(plan, 0, state, torch.ones(2, dtype=torch.float64)).x.clone()
    assert torch.equal(solver.step(plan, 0, state, torch.ones(2, dtype=torch.float64)).x, one)


def test_steps_out_of_order_and_foreign_plans_are_refused() -> None:
    plan = solver.plan(4)
    state = solver.init(plan, start(2))
    with pytest.raises(ValueError, match="take steps in order"):
        solver.step(plan, 2, state, state.x)
    one = solver.step(plan, 0, state, state.x)
    assert (state.index, one.index) == (0, 1) and "next step 1" in repr(one)
    for i in (0, 2, 3):
        with pytest.raises(ValueError, match=f"^step index: got {i}; this state expects 1: take steps in order"):
            solver.step(plan, i, one, one.x)
    assert bool(torch.isfinite(solver.step(plan, 1, one, one.x).x).all())
    later = solver.plan(nodes=[0.9, 0.7, 0.5, 0.3], history=1)
    with pytest.raises(ValueError, match="step 0 combines 1 past values, the state has 0: init"):
        solver.step(later, 0, state, state.x)
    with pytest.raises(ValueError, match="made by solver 'flow'"):
        solver.init(flow().plan(3), start(2))
    with pytest.raises(TypeError, match=r"what solver\.plan"):
        solver.init([1.0, 0.0], start(2))  # type: ignore[arg-type]


def test_two_interleaved_requests_equal_serial_runs() -> None:
    plan = solver.plan(9)
    xs = [start(2, 3), start(2, 3) * 2]
    serial = [solver.sample(curved, x, plan=plan) for x in xs]
    states = [solver.init(plan, x) for x in xs]
    for i in range(plan.steps):
        t = torch.full((2,), plan.time(i), dtype=torch.float64)
        states = [solver.step(plan, i, s, curved(s.x, t)) for s in states]
    assert all(torch.equal(s.x, y) for s, y in zip(states, serial))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_its_samples_bit_for_bit(dtype: torch.dtype) -> None:
    x = start(5, 3, 7, dtype=dtype)
    together = solver.sample(curved, x, 11)
    assert torch.equal(together, torch.cat([solver.sample(curved, x[b : b + 1], 11) for b in range(5)]))


def test_per_sample_grids_equal_separate_runs_bit_for_bit() -> None:
    x = start(3, 4)
    rows = [[1.0, 0.6, 0.3, 0.0], [0.9, 0.8, 0.4, 0.1], [1.0, 0.5, 0.2, 0.05]]
    together = solver.sample(curved, x, nodes=rows)
    assert torch.equal(together, torch.cat([solver.sample(curved, x[b : b + 1], nodes=rows[b]) for b in range(3)]))
    with pytest.raises(ValueError, match="the plan has 3 grids"):
        solver.sample(curved, start(2, 4), nodes=rows)


# Precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_runs_in_a_float32_state(dtype: torch.dtype) -> None:
    x = start(64, dtype=torch.float32).to(dtype)
    seen = set()

    def model(x: Tensor, t: Tensor) -> Tensor:
        seen.add((x.dtype, t.dtype))
        return (0.2 * x.float()).to(dtype)

    ours = solver.sample(model, x, 100)
    assert ours.dtype == dtype and seen == {(dtype, torch.float32)}
    reference = solver.sample(lambda x, t: 0.2 * x, x.double(), 100)
    error = (ours.double() - reference).norm() / reference.norm()
    assert error < {torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]


def test_state_dtype_never_changes() -> None:
    x = start(4, dtype=torch.float32)
    expected = solver.sample(curved, x, 5)
    assert solver.sample(lambda x, t: curved(x, t).double(), x, 5).dtype == torch.float32
    torch.testing.assert_close(solver.sample(lambda x, t: curved(x, t).double(), x, 5), expected)


def test_discrete_indices_are_exact_in_the_network_time() -> None:
    seen: list[float] = []
    flow(time=lambda t: real(round(999 * float(t)))).sample(
        lambda x, t: seen.append(t[0].item()) or x, start(1, dtype=torch.float32), 333
    )
    assert all(t == int(t) for t in seen) and len(seen) == 333


# Gradients, modes and compilation


def test_values_agree_with_and_without_gradients() -> None:
    x = start(3, 2)
    plain = solver.sample(curved, x, 8)
    tracked = solver.sample(curved, x.clone().requires_grad_(), 8)
    assert tracked.requires_grad and not plain.requires_grad
    torch.testing.assert_close(tracked.detach(), plain, rtol=1e-13, atol=1e-13)
    with torch.no_grad():
        assert torch.equal(solver.sample(curved, x.clone().requires_grad_(), 8), plain)


def test_gradcheck_in_float64_through_x_and_through_the_model() -> None:
    x, w = start(2, 2).requires_grad_(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, w: Tensor) -> Tensor:
        return solver.sample(lambda x, t: torch.tanh(w * x), x, 4)

    assert torch.autograd.gradcheck(run, (x, w))
    assert torch.autograd.gradcheck(lambda w: run(x.detach(), w), (w,))


def test_gradient_may_begin_in_the_middle_of_a_solve() -> None:
    plan, x = solver.plan(4), start(3)
    w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    state = solver.init(plan, x)
    for i in range(4):
        raw = torch.tanh(state.x * (w if i >= 2 else 0.5))
        state = solver.step(plan, i, state, raw)
    (gradient,) = torch.autograd.grad(state.x.sum(), w)
    assert bool(torch.isfinite(gradient)) and gradient != 0
    torch.testing.assert_close(state.x.detach(), solver.sample(lambda x, t: torch.tanh(x * 0.5), x, plan=plan))


def test_inference_mode_and_what_comes_out_of_it() -> None:
    x = start(3)
    plan = solver.plan(5)
    with torch.inference_mode():
        inside = solver.sample(curved, start(3), plan=plan)
    assert torch.equal(inside, solver.sample(curved, x, plan=plan))
    w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    solver.sample(lambda x, t: x * w, x, plan=plan).sum().backward()  # coefficients placed in inference mode still work
    assert w.grad is not None


def test_meta_device_checks_shapes_only() -> None:
    x = torch.empty(2, 3, 8, 8, device="meta", dtype=torch.bfloat16)
    y = solver.sample(lambda x, t: x * 2, x, 5)
    assert y.shape == x.shape and y.device.type == "meta" and y.dtype == torch.bfloat16


def test_vmap_of_the_functional_step() -> None:
    plan, x = solver.plan(3), start(4, 2)
    row = plan.coefficients(x)[0]
    step = solver._step.STEPS["start_1"]
    mapped = torch.vmap(lambda x: step(x, x * 0.1, (), row)[0])(x)
    torch.testing.assert_close(mapped, step(x, x * 0.1, (), row)[0])


def test_forward_mode_and_function_transforms() -> None:
    x, v = start(3), start(3).flip(0)

    def run(x: Tensor) -> Tensor:
        return solver.sample(lambda x, t: torch.tanh(x), x, 4, check="off")

    value, tangent = torch.func.jvp(run, (x,), (v,))
    (gradient,) = torch.autograd.grad(run(y := x.clone().requires_grad_()), y, v)
    torch.testing.assert_close(value, run(x))
    torch.testing.assert_close(tangent, gradient)  # the solve is elementwise, so its Jacobian is diagonal
    with torch.autograd.forward_ad.dual_level():
        dual = run(torch.autograd.forward_ad.make_dual(x, v))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, tangent)
    torch.testing.assert_close(torch.func.grad(lambda x: run(x).sum())(x), gradient / v)
    torch.testing.assert_close(torch.vmap(run)(x.reshape(3, 1)).reshape(3), run(x))
    torch.testing.assert_close(
        torch.func.vmap(torch.func.grad(lambda x: run(x).sum()))(x.reshape(3, 1)).reshape(3), gradient / v
    )
    for check in ("end", "step"):
        with pytest.raises(RuntimeError, match=r"vmap|data-dependent"):
            torch.vmap(lambda x, check=check: solver.sample(lambda x, t: x, x, 4, check=check))(x)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_steps_give_the_same_sample(backend: str) -> None:
    if backend == "inductor" and not shutil.which("g++"):
        pytest.skip("inductor needs a C++ compiler")
    x = start(33, dtype=torch.float32)
    for n, grid in ((6, "uniform"), (9, "karras")):
        compiled = solver.sample(curved, x, n, grid, compile=backend)
        torch.testing.assert_close(compiled, solver.sample(curved, x, n, grid), rtol=1e-5, atol=1e-5)
    assert solver.compiled(backend) is solver.compiled(backend)
    assert torch.equal(solver.sample(curved, x[:0], 5, compile=backend), x[:0])


@pytest.mark.slow
def test_fullgraph_compilation_of_the_phases_once_for_every_step_and_schedule() -> None:
    plan, x = solver.plan(6), start(16)
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    phase = torch.compile(solver._step.STEPS["main"], fullgraph=True, backend=backend)
    for p in (plan, solver.plan(9, "karras")):
        for row in p.coefficients(x)[1:-1]:
            phase(x, x * 0.1, (x * 0.2,), row)
    assert len(graphs) == 1


# Memory and ownership


class Allocations:
    """Counts tensor allocations of a block by PyTorch's own profiler."""

    def __enter__(self) -> Allocations:
        self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)
        self.profiler.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.profiler.__exit__(*error)
        self.bytes = sum(max(e.cpu_memory_usage, 0) for e in self.profiler.events() if e.name != "[memory]")
        self.bytes += sum(max(e.cpu_memory_usage, 0) for e in self.profiler.events() if e.name == "[memory]")


def test_a_steady_step_allocates_nothing_and_keeps_its_addresses() -> None:
    plan = solver.plan(10)
    state = solver.init(plan, start(1000))
    raw = torch.ones(1000, dtype=torch.float64)
    for i in range(3):
        state = solver.step(plan, i, state, raw)
    addresses = {state.x.data_ptr(), *(m.data_ptr() for m in state.past)}
    with Allocations() as count:
        for i in range(3, 9):
            state = solver.step(plan, i, state, raw)
    assert count.bytes == 0
    assert {state.x.data_ptr(), *(m.data_ptr() for m in state.past)} == addresses and len(addresses) == 3
    with Allocations() as control:
        raw + 1
    assert control.bytes > 0


def test_the_callers_tensor_is_never_written() -> None:
    x = start(3, 4)
    before, version = x.clone(), x._version
    solver.sample(curved, x, 6)
    ddim().sample(curved, x, 6)
    assert torch.equal(x, before) and x._version == version


def test_memory_format_is_kept() -> None:
    x = start(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert solver.sample(lambda x, t: x * 0.1, x, 3).is_contiguous(memory_format=torch.channels_last)


# Threads, processes, modules


def test_one_solver_serves_many_threads() -> None:
    xs = [start(4, 3) * (k + 1) for k in range(24)]
    serial = [solver.sample(curved, x, 5 + k % 7, ("karras", "uniform")[k % 2]) for k, x in enumerate(xs)]
    with ThreadPoolExecutor(8) as pool:
        runs = [
            pool.submit(solver.sample, curved, x, 5 + k % 7, ("karras", "uniform")[k % 2]) for k, x in enumerate(xs)
        ]
        assert all(torch.equal(run.result(), y) for run, y in zip(runs, serial))


def test_pickle_is_the_modules_name() -> None:
    data = pickle.dumps(solver)
    assert b"tests.runtime.sample_solver" in data and len(data) < 200
    assert pickle.loads(data) is solver  # noqa: S301
    assert copy.deepcopy(solver) is solver


def test_a_solver_is_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        solver.name = "other"  # type: ignore[misc]
    assert repr(solver) == "Solver(sample_solver, 2 steps, t = 1.0 to 0.0)"
    assert sample_solver.CLAIMS["order"] == 2 and "name" in sample_solver.SPEC


def test_what_a_hook_receives_is_valid_until_the_next_step() -> None:
    x, kept, cloned = start(3), [], []

    def after(x: Tensor, i: int, t: Tensor) -> Tensor:
        kept.append(x)
        cloned.append(x.clone())
        return x

    y = solver.sample(curved, x, 4, hooks={"after_step": after})
    assert torch.equal(cloned[-1], y) and not torch.equal(cloned[0], y)
    assert all(torch.equal(x, y) for x in kept)  # the solve's one buffer, which holds the last sample


def test_hooks_see_every_step_and_replace_the_sample() -> None:
    x, seen = start(3), []

    def before(x: Tensor, t: Tensor) -> Tensor:
        seen.append(("before", t.item() if t.dim() == 0 else t[0].item()))
        return x

    def after(x: Tensor, i: int, t: Tensor) -> Tensor:
        seen.append(("after", i))
        return x.clamp(-1, 1)

    y = solver.sample(curved, x, nodes=[1.0, 0.5, 0.2], hooks={"before_eval": before, "after_step": after})
    assert seen == [("before", 1.0), ("after", 0), ("before", 0.5), ("after", 1)]
    assert float(y.abs().max()) <= 1
    shifted = solver.sample(curved, x, nodes=[1.0, 0.5], hooks={"before_eval": lambda x, t: x + 1})
    assert torch.equal(shifted, solver.sample(curved, x + 1, nodes=[1.0, 0.5]))
    tracked = solver.sample(
        curved, x.clone().requires_grad_(), nodes=[1.0, 0.5], hooks={"before_eval": lambda x, t: x + 1}
    )
    torch.testing.assert_close(tracked.detach(), shifted)


def test_callback_gets_tensors_it_may_keep() -> None:
    kept: list[tuple[int, float, Tensor, Tensor]] = []
    plan, x = solver.plan(4), start(3)
    solver.sample(curved, x, plan=plan, callback=lambda *a: kept.append(a))
    assert [k[0] for k in kept] == [0, 1, 2, 3] and [k[1] for k in kept] == list(plan.nodes[:-1])
    assert torch.equal(kept[0][2], x) and len({k[2].data_ptr() for k in kept}) == 4


def test_progress_is_quiet_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    solver.sample(curved, start(2), 3, progress="auto")
    assert capsys.readouterr() == ("", "")
    solver.sample(curved, start(2), 3, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "3/3" in err


def test_progress_without_tqdm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    solver.sample(curved, start(2), 3, progress=True)
    assert capsys.readouterr().err.endswith("3/3\n")


def test_input_scaling_reaches_the_model_and_only_the_model() -> None:
    rows = tuple(lambda s, t, h, f=f: (*f(s, t, h), 1 / (1 + s.t)) for f in C.ROWS)
    step = sample_solver.step_torch
    cut = lambda f: lambda x, raw, m, c: f(x, raw, m, c[:5])  # noqa: E731
    module = SimpleNamespace(**{**vars(C), "COLUMNS": (*C.COLUMNS, "cin"), "ROWS": rows, "TO_SIGMA_ZERO": ()})
    scaled = runtime.Solver(
        "scaled", "nowhere", module,
        SimpleNamespace(**{**vars(step), **{
            name: {phase: cut(f) for phase, f in getattr(step, name).items()} for name in ("STEPS", "STEPS_")}}),
    )  # fmt: skip
    x, nodes = start(3, 2), [1.0, 0.5, 0.2, 0.1]
    ours = scaled.sample(lambda x, t: curved(x * (1 + column(t, x)), t), x, nodes=nodes)
    torch.testing.assert_close(ours, solver.sample(curved, x, nodes=nodes))
    assert scaled.plan(nodes=nodes).input_scale(1) == pytest.approx(1 / 1.5)


def test_import_is_lazy_and_free_of_the_symbolic_layer() -> None:
    code = (
        "import sys; import runtime; assert 'torch' not in sys.modules and 'mpmath' not in sys.modules\n"
        "import runtime.grids, runtime.quadrature, runtime.tabulate; assert 'torch' not in sys.modules\n"
        "before = set(sys.modules); import torch; torches = set(sys.modules)\n"
        "from tests.runtime.sample_solver import solver\n"
        "solver.sample(lambda x, t: x * 0.1, torch.ones(2, 3), 4)\n"
        "ours = {m.split('.')[0] for m in set(sys.modules) - torches}\n"
        "assert not ours & {'sympy', 'jinja2', 'pydantic', 'derive', 'yaml', 'numpy'}, ours\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_lazy_names() -> None:
    assert {"Solver", "Plan", "State", "load"} <= set(dir(runtime))
    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = runtime.nothing
    importlib.import_module("runtime.loader")
    assert callable(runtime.load)
