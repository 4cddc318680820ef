"""Every row of the misuse table: what others turn into a silent wrong tensor is an error here, or simply works."""

from __future__ import annotations

import copy
import itertools
import json
import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime import DeviceError, NonFiniteError, ShapeError, load
from tests.runtime import sample_solver
from tests.runtime.hand_written import ddim, flow, scaled_linear, variant
from tests.runtime.sample_solver import solver

X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
SQUARE = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def model(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(x)


class Counting:
    """A model that counts its calls, and from call ``at`` on returns ``value`` instead."""

    def __init__(self, at: int = 10**9, value: Any = None) -> None:
        self.calls, self.at, self.value = 0, at, value

    def __call__(self, x: Tensor, t: Tensor) -> Any:
        self.calls += 1
        if self.calls <= self.at:
            return torch.tanh(x)
        return self.value(x) if callable(self.value) else self.value


def refused(error: type[Exception], match: str, network: Any = model, x: Any = X, **options: Any) -> None:
    with pytest.raises(error, match=match):
        solver.sample(network, x, **{"steps": 5, **options})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_x_has_nan_or_inf(bad: float) -> None:
    x, network = X.clone(), Counting()
    x[1, 2] = bad
    refused(ValueError, "x_T: 1 of 12 entries are NaN or infinite", network, x)
    assert network.calls == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_model_returns_nan_or_inf_at_call_k(bad: float) -> None:
    network = lambda: Counting(2, lambda x: torch.where(torch.arange(12).reshape(4, 3) < 5, bad, x))  # noqa: E731
    refused(NonFiniteError, r"step 2 of 5, t = 0.6.*: 5 of 12 entries", network(), check="step")
    refused(NonFiniteError, r"after step 4 of 5, .* of 12 entries .*check='step'", network())
    refused(ArithmeticError, "of 12", network())
    assert not bool(torch.isfinite(solver.sample(network(), X, 5, check="off")).all())
    assert network().calls == 0 and solver.sample(model, X, 5, check="step").equal(solver.sample(model, X, 5))


def test_state_that_overflows_is_found_at_its_step() -> None:
    huge = Counting(1, lambda x: torch.full_like(x, -1e308))
    refused(NonFiniteError, r"the sample after step \d of 5", huge, check="step")


def test_model_output_b_1_is_never_broadcast() -> None:
    refused(ShapeError, r"shape \(4, 1\) for x of shape \(4, 3\)", lambda x, t: x[:, :1])


def test_model_output_1_is_never_broadcast() -> None:
    refused(ShapeError, r"shape \(1,\) for x of shape \(4, 3\)", lambda x, t: x[0, :1])
    refused(ShapeError, r"shape \(\) for x", lambda x, t: x.sum())


@pytest.mark.parametrize(
    "output,error,match",
    [
        (lambda x: x.T, ShapeError, r"\(3, 4\) for x of shape \(4, 3\)"),
        (lambda x: (x,), TypeError, r"got tuple; wrap the model: .*\[0\]"),
        (lambda x: None, TypeError, r"got None \(a missing return"),
        (lambda x: SimpleNamespace(sample=x), TypeError, r"SimpleNamespace; wrap the model: .*\.sample"),
        (lambda x: 3.0, TypeError, "got float"),
        (lambda x: x.repeat(1, 2), ShapeError, "twice the channels: a learned variance"),
        (lambda x: x.long(), TypeError, "int64; allowed: a floating dtype"),
        (lambda x: torch.complex(x, x), TypeError, "complex128"),
    ],
    ids=["transposed", "tuple", "none", "dot-sample", "float", "learned-variance", "integer", "complex"],
)
def test_model_output_of_the_wrong_kind(output: Any, error: type[Exception], match: str) -> None:
    refused(error, match, lambda x, t: output(x))


def test_model_returns_float64() -> None:
    ours = solver.sample(lambda x, t: torch.tanh(x).double(), X.float(), 5)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, solver.sample(model, X.float(), 5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_model_returns_float16_or_bfloat16(dtype: torch.dtype) -> None:
    ours = solver.sample(lambda x, t: torch.tanh(x).to(dtype), X.float(), 20)
    assert ours.dtype == torch.float32
    exact = solver.sample(model, X, 20)
    assert float((ours.double() - exact).norm() / exact.norm()) < 0.05


def test_numpy_array_from_the_model() -> None:
    refused(TypeError, r"got ndarray; wrap the model: .*as_tensor", lambda x, t: x.numpy())


def test_times_unsorted() -> None:
    refused(ValueError, r"nodes\[1\] = 0.2 and \[2\] = 0.5 are not in order; times have to fall", steps=None,
            nodes=[1.0, 0.2, 0.5, 0.0])  # fmt: skip


def test_times_duplicated() -> None:
    refused(ValueError, r"nodes\[1\] and \[2\] are both 0.5; a step of length zero", steps=None, nodes=[1, 0.5, 0.5, 0])
    with pytest.raises(ValueError, match=r"nodes\[1\]\[0\] and \[1\] are both"):
        solver.plan(nodes=[[1.0, 0.5], [0.5, 0.5]])


def test_times_reversed() -> None:
    refused(ValueError, "reverse the list, or pass direction='inversion'", steps=None, nodes=[0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="an inversion runs from data to noise"):
        solver.plan(nodes=[1.0, 0.5], direction="inversion")
    assert solver.plan(nodes=[0.1, 0.5, 1.0], direction="inversion").steps == 2


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.0000001, float("inf")])
def test_times_nan_negative_or_out_of_range(bad: float) -> None:
    refused(ValueError, r"nodes\[1\]: got .*; allowed: 0.0 to 1.0", steps=None, nodes=[1.0, bad, 0.0])


@pytest.mark.parametrize("bad", [[1.0, "a"], [1.0, None], [1.0, True], "ab", 3, {1.0: 0.5}])
def test_times_of_the_wrong_type(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"nodes"):
        solver.plan(nodes=bad)


@pytest.mark.parametrize("nodes", [[], [0.5], torch.tensor(0.5), [[]], [[0.5]]])
def test_empty_or_single_time_list(nodes: Any) -> None:
    with pytest.raises(ValueError, match="at least 2 times"):
        solver.plan(nodes=nodes)


def test_zero_one_and_two_steps() -> None:
    for bad in (0, -1):
        refused(ValueError, f"steps: got {bad}; allowed: at least 1", steps=bad)
    for bad in (2.0, True, "5"):
        refused(TypeError, "steps: got .*; allowed: int", steps=bad)
    assert solver.plan(np.int64(3)).steps == 3 and solver.plan(3).time(np.int64(1)) == solver.plan(3).time(1)
    assert solver.plan(1).orders == (1,) and solver.plan(2).orders == (1, 1)
    (raw, a, s) = (model(X, None), *map(float, sample_solver.coefficients.node(solver_time(1.0))[1:]))
    torch.testing.assert_close(solver.sample(model, X, 1), (X - s * raw) / a)
    assert bool(torch.isfinite(solver.sample(model, X, 2)).all())


def solver_time(t: float) -> Any:
    from runtime.real import real

    return real(t)


def test_batch_of_zero() -> None:
    network = Counting()
    ours = solver.sample(network, X[:0], 5)
    assert ours.shape == (0, 3) and ours.dtype == X.dtype and network.calls == 0


def test_non_contiguous_and_expanded_x() -> None:
    wide = SQUARE.T
    torch.testing.assert_close(
        solver.sample(model, wide, 5), solver.sample(model, wide.contiguous(), 5), rtol=0, atol=0
    )
    row = X[:1].clone()
    expanded, before = row.expand(4, 3), row.clone()
    assert torch.equal(solver.sample(model, expanded, 5), solver.sample(model, expanded.contiguous(), 5))
    assert torch.equal(row, before)
    strided = lambda x, t: torch.tanh(x.T.contiguous()).T  # noqa: E731
    assert torch.equal(solver.sample(strided, X, 5), solver.sample(model, X, 5))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integer_x(dtype: torch.dtype) -> None:
    refused(TypeError, f"x_T: got dtype {dtype}", x=torch.ones(2, 3).to(dtype))


def test_complex_x() -> None:
    refused(TypeError, "x_T: got dtype torch.complex128", x=torch.complex(X, X))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_x_of_a_dtype_without_arithmetic(name: str) -> None:
    x = X.to(getattr(torch, name))
    for call in (lambda: solver.sample(model, x, 5), lambda: solver.init(solver.plan(5), x)):
        with pytest.raises(TypeError, match=f"got dtype torch.{name}; allowed: float32, float64, float16, bfloat16$"):
            call()


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:The PyTorch API of nested tensors")
def test_x_that_is_not_dense() -> None:
    for sparse in (X.to_sparse(), X.to_sparse_csr()):
        refused(TypeError, rf"x_T: got layout {sparse.layout}; allowed: layout torch\.strided \(dense\)", x=sparse)
        assert torch.equal(solver.sample(model, sparse.to_dense(), 5), solver.sample(model, X, 5))
    refused(TypeError, "x_T: got a nested tensor; allowed: layout", x=torch.nested.nested_tensor([X[0], X[1, :2]]))


@pytest.mark.parametrize(
    "grid,options,match",
    [
        ("karras", {"exponent": "7"}, r"exponent: got '7' \(str\); allowed: a real number$"),
        ("karras", {"exponent": True}, r"exponent: got True \(bool\); allowed: a real number$"),
        ("karras", {"final_zero": "no"}, r"final_zero: got 'no' \(str\); allowed: True, False$"),
        ("karras", {"final_zero": 0}, r"final_zero: got 0 \(int\); allowed: True, False$"),
        ("karras", {"sigma_max": "80"}, r"sigma_max: got '80' \(str\); allowed: a real number, None$"),
        ("uniform", {"t_start": [1.0]}, r"t_start: got \[1.0\] \(list\); allowed: a real number, None$"),
        ("uniform", {"variable": ["t"]}, r"variable: got \['t'\] \(list\); allowed: t, lambda, .*, angle, sine_root$"),
        ("leading", {"steps_offset": 1.0}, r"steps_offset: got 1.0 \(float\); allowed: an int$"),
        ("linspace", {"rounded": None}, r"rounded: got None \(NoneType\); allowed: True, False$"),
    ],
    ids=lambda v: v if isinstance(v, str) and v.isalpha() else None,
)
def test_grid_options_of_the_wrong_type(grid: str, options: dict[str, Any], match: str) -> None:
    with pytest.raises(TypeError, match=f"^{match}"):
        solver.plan(5, grid, **options)
    refused(TypeError, match, grid=grid, **options)


def test_grid_options_of_every_number_type_and_none() -> None:
    plain = solver.plan(5, "karras", exponent=3.0, final_zero=False).nodes
    for exponent in (3, np.float32(3), np.int64(3)):
        assert solver.plan(5, "karras", exponent=exponent, t_end=None, final_zero=False).nodes == plain
    with pytest.raises(ValueError, match="variable: got 'rhoo'; allowed: auto, rho, sigma; did you mean 'rho'"):
        solver.plan(5, "karras", variable="rhoo")


def test_more_steps_than_the_table_has_or_a_sigma_it_lacks() -> None:
    table = variant(**vars(scaled_linear()))
    for grid in ("trailing", "simple", "leading", "linspace"):
        with pytest.raises(ValueError, match=r"^steps: got 1500; allowed: up to 1000"):
            table.plan(steps=1500, grid=grid)
    with pytest.raises(ValueError, match=r"^sigma_max: got 100.0; allowed: above 0, up to 14\.6"):
        table.plan(steps=5, grid="karras", sigma_max=100)


def test_graph_says_what_it_needs() -> None:
    for graph in (None, False):
        assert torch.equal(solver.sample(model, X, 5, graph=graph), solver.sample(model, X, 5))
    for bad in ("cuda", 2):
        refused(ValueError, f"^graph: got {bad!r}; allowed: True, False, None$", graph=bad)
    refused(DeviceError, r"^graph=True needs x_T on a CUDA device; got cpu$", graph=True)
    refused(ValueError, r"check: got 'step'; allowed: 'end', 'off'$", graph=True, check="step")
    looks = {"callback": print, "hooks": {"before_eval": lambda x, t: x}, "compile": True}
    for name, value in looks.items():
        refused(ValueError, f"so {name} cannot be given", graph=True, **{name: value})


def test_a_plan_excludes_everything_it_settles() -> None:
    plan = solver.plan(nodes=[0.1, 0.5, 1.0], direction="inversion")
    for option in ({"direction": "inversion"}, {"direction": "sampling"}, {"steps": 3}, {"nodes": [1.0, 0.5]}):
        with pytest.raises(
            TypeError, match="a plan is given, so steps, grid, nodes, direction and grid options cannot"
        ):
            solver.sample(model, X, plan=plan, **option)
    by_plan, direct = (
        solver.sample(model, X, **options)
        for options in ({"plan": plan}, {"nodes": [0.1, 0.5, 1.0], "direction": "inversion"})
    )
    assert torch.equal(by_plan, direct)
    refused(ValueError, "direction: got ''; allowed: sampling, inversion", direction="")


def test_x_float16_at_6e4() -> None:
    x = torch.full((2,), 6e4, dtype=torch.float16)
    with pytest.raises(NonFiniteError, match=r"overflows torch.float16: largest entry 120000; pass x_T in float32"):
        flow().sample(lambda x, t: -x, x, nodes=[1.0, 0.0])
    half = flow().sample(lambda x, t: x * 0.5, x, nodes=[1.0, 0.0])
    assert half.tolist() == [30000.0, 30000.0]


def test_x_is_a_list_or_0_dim() -> None:
    for bad in ([1.0, 2.0], 3.0, None, np.ones(3)):
        refused(TypeError, f"x_T: got {type(bad).__name__}; allowed: a torch.Tensor", x=bad)
    seen: list[Tensor] = []
    scalar = solver.sample(lambda x, t: seen.append(t) or torch.tanh(x), X[0, 0], 5)
    assert scalar.shape == () and seen[0].shape == ()
    assert scalar == solver.sample(model, X[:1, 0], 5)[0]


def test_model_raises_at_call_3() -> None:
    def boom(x: Tensor) -> Tensor:
        raise LookupError("weights")

    with pytest.raises(LookupError, match="weights") as caught:
        solver.sample(Counting(2, boom), X, 5)
    assert caught.value.__notes__ == ["raised by the model at step 2 of 5, t = 0.6 of solver sample_solver"]
    plan = solver.plan(5)
    state = solver.step(plan, 0, solver.init(plan, X), model(X, None))
    before = state.x.clone()
    with pytest.raises(ShapeError):
        solver.step(plan, 1, state, state.x[:1])
    assert torch.equal(state.x, before)
    solver.step(plan, 1, state, model(before, None))


def test_reuse_after_failure_and_second_run_without_reset() -> None:
    first = solver.sample(model, X, 5)
    with pytest.raises(TypeError):
        solver.sample(Counting(2, None), X, 5)
    assert torch.equal(solver.sample(model, X, 5), first) and torch.equal(solver.sample(model, X, 5), first)


def test_one_solver_two_threads() -> None:
    expected = [solver.sample(model, X * k, 4 + k) for k in range(4)]
    with ThreadPoolExecutor(2) as pool:
        runs = [(k, pool.submit(solver.sample, model, X * k, 4 + k)) for k in [0, 1, 2, 3] * 10]
        assert all(torch.equal(run.result(), expected[k]) for k, run in runs)


@pytest.mark.parametrize("make", [lambda: solver, flow, ddim], ids=["2m", "flow", "ddim"])
def test_model_reuses_its_output_buffer(make: Any) -> None:
    buffer = torch.empty_like(X)

    def reusing(x: Tensor, t: Tensor) -> Tensor:
        return buffer.copy_(torch.tanh(x))

    assert torch.equal(make().sample(reusing, X, 6), make().sample(model, X, 6))


@pytest.mark.parametrize("make", [lambda: solver, flow, ddim], ids=["2m", "flow", "ddim"])
def test_model_returns_its_input(make: Any) -> None:
    for alias in (lambda x, t: x, lambda x, t: x.view(x.shape)):
        assert torch.equal(make().sample(alias, X, 6), make().sample(lambda x, t: x.clone(), X, 6))


def test_model_changes_x_in_place() -> None:
    refused(RuntimeError, "changed its input in place at step 0 of 5.*clone", lambda x, t: x.mul_(0.5))
    with torch.inference_mode():
        refused(RuntimeError, "changed its input in place", lambda x, t: x.mul_(0.5))


def test_model_changes_t_in_place() -> None:
    assert torch.equal(solver.sample(lambda x, t: torch.tanh(x * t.mul_(2)[0]), X, 5),
                       solver.sample(lambda x, t: torch.tanh(x * (2 * t)[0]), X, 5))  # fmt: skip


def test_keyboard_interrupt() -> None:
    def stop(x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        solver.sample(Counting(1, stop), X, 5)
    assert not hasattr(caught.value, "__notes__")


def test_devices_differ() -> None:
    refused(DeviceError, "a tensor on meta for x on cpu", lambda x, t: x.to("meta"))
    refused(
        DeviceError, "after_step gave a tensor on meta for x on cpu", hooks={"after_step": lambda x, i, t: x.to("meta")}
    )


@pytest.mark.gpu
def test_x_on_a_gpu_and_everything_else_on_the_host() -> None:
    ours = solver.sample(model, X.cuda(), 8)
    torch.testing.assert_close(ours.cpu(), solver.sample(model, X, 8))
    refused(DeviceError, "on cpu for x on cuda", lambda x, t: x.cpu(), X.cuda())
    torch.cuda.set_sync_debug_mode("error")
    try:
        plan = solver.plan(5)
        state = solver.init(plan, X.cuda())
        for i in range(5):
            state = solver.step(plan, i, state, model(state.x, None))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_autograd_on() -> None:
    x = X.clone().requires_grad_()
    y = solver.sample(model, x, 4)
    torch.testing.assert_close(y.detach(), solver.sample(model, X, 4), rtol=1e-13, atol=1e-13)
    y.sum().backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())
    assert torch.autograd.gradcheck(lambda x: solver.sample(model, x, 3), (X[:2].clone().requires_grad_(),))


def test_no_value_travels_to_the_host_in_a_step() -> None:
    """On the meta device any .item() raises."""
    plan, x = solver.plan(5), torch.empty(3, 2, device="meta")
    state = solver.init(plan, x)
    for i in range(5):
        state = solver.step(plan, i, state, state.x * 2)
    assert state.x.shape == (3, 2)


@pytest.mark.slow
def test_torch_compile_of_model_and_step_is_one_graph_with_checks_off() -> None:
    plan = solver.plan(8)
    network = torch.nn.Linear(3, 3, dtype=torch.float64)
    step, graphs = sample_solver.step_torch.main_, []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    @torch.compile(fullgraph=True, backend=backend)
    def body(x: Tensor, past: tuple, row: tuple) -> tuple:
        return step(x, network(x), past, row)

    with torch.no_grad():
        x, past = X.clone(), (torch.zeros_like(X), torch.zeros_like(X))
        for row in plan.coefficients(x)[1:-1]:
            x, past = body(x, past, row)
    assert len(graphs) == 1 and bool(torch.isfinite(x).all())


def test_meta_tensors_check_shapes_only() -> None:
    x = torch.empty(2, 3, device="meta")
    assert solver.sample(lambda x, t: x * 2, x, 4, check="step").device.type == "meta"
    with pytest.raises(ShapeError):
        solver.sample(lambda x, t: x[:1], x, 4)


def test_nothing_touches_cuda_at_import_and_fork_works() -> None:
    code = (
        "import torch\n"
        "from tests.runtime.sample_solver import solver\n"
        "assert not torch.cuda.is_initialized()\n"
        "solver.plan(3)\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=120)


def _planned(steps: int) -> list[float]:
    return solver.plan(steps).table.flatten().tolist()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_worker_plans_the_same_table() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_planned, (6,)).get(60) == _planned(6)


def test_generator_or_noise_of_the_wrong_type() -> None:
    for bad in (0, "cpu", torch.ones(1)):
        refused(TypeError, f"generator: got {type(bad).__name__}", generator=bad)
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    assert torch.equal(solver.sample(model, X, 5, generator=generator), solver.sample(model, X, 5))
    assert torch.equal(generator.get_state(), before)
    for bad in (torch.ones(1), lambda: None, 3):
        refused(TypeError, "noise: got .* deterministic", noise=bad)


def test_other_arguments_of_the_wrong_type() -> None:
    refused(TypeError, "model: got int", 3)
    refused(TypeError, "callback: got int", callback=3)
    refused(TypeError, "hooks: got list", hooks=[])
    refused(TypeError, r"hooks\['after_step'\]: got int", hooks={"after_step": 3})
    refused(ValueError, "hooks: got 'after_stp'.*did you mean 'after_step'", hooks={"after_stp": model})
    refused(ValueError, "check: got 'stop'.*did you mean 'step'", check="stop")
    refused(ValueError, "progress: got 'yes'", progress="yes")
    refused(TypeError, "a plan is given", plan=solver.plan(3))
    refused(TypeError, "hook after_step has to give a torch.Tensor", hooks={"after_step": lambda x, i, t: None})
    refused(ShapeError, "hook before_eval gave shape", hooks={"before_eval": lambda x, t: x[:1]})
    refused(ShapeError, "history gave shape", history=[X[:1]])


def test_a_hook_or_callback_that_raises_is_noted() -> None:
    def bad(*arguments: Any) -> None:
        raise LookupError("mine")

    for options in ({"callback": bad}, {"hooks": {"before_eval": bad}}, {"hooks": {"after_step": bad}}):
        with pytest.raises(LookupError) as caught:
            solver.sample(model, X, 5, **options)
        assert "step 0 of 5" in caught.value.__notes__[0]


def test_generated_module_older_than_the_runtime(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(sample_solver.__path__[0], folder, ignore=shutil.ignore_patterns("__pycache__"))
    code = sample_solver.coefficients
    for schema in (0, None, "1"):
        module = SimpleNamespace(**{**vars(code), "SCHEMA": schema})
        with pytest.raises(
            ImportError, match=r"^old: generated for schema .*; run: python -m derive regenerate$"
        ) as error:
            load(str(folder), module, sample_solver.step_torch)
        assert "\n" not in str(error.value)
    (folder / "claims.json").write_text("{")
    for broken in ("claims.json", "spec.yaml"):
        with pytest.raises(ImportError, match="run: python -m derive regenerate"):
            load(str(folder), code, sample_solver.step_torch)
        (folder / broken).unlink()


def test_claims_are_read_only_all_the_way_down(tmp_path: Path) -> None:
    folder = tmp_path / "nested"
    shutil.copytree(sample_solver.__path__[0], folder, ignore=shutil.ignore_patterns("__pycache__"))
    given = {"order": 2, "error_constant": {"exact": "-5/12", "parts": [1, {"two": 2}]}}
    (folder / "claims.json").write_text(json.dumps(given))
    _, _, claims = load(str(folder), sample_solver.coefficients, sample_solver.step_torch)
    inner = claims["error_constant"]
    for mapping in (claims, inner, inner["parts"][1]):
        for change in (
            lambda m: m.__setitem__("order", 9), lambda m: m.update(order=9), lambda m: m.pop("order", None),
            lambda m: m.setdefault("new", 1), lambda m: m.popitem(), lambda m: m.clear(),
            lambda m: m.__delitem__(next(iter(m))), lambda m: m.__ior__({"order": 9}),
        ):  # fmt: skip
            with pytest.raises(TypeError, match="claims are read-only"):
                change(mapping)
    assert isinstance(inner["parts"], tuple)
    assert json.loads(json.dumps(claims)) == json.loads(json.dumps(dict(claims))) == given
    for twin in (copy.copy(claims), copy.deepcopy(claims)):
        assert twin == claims and type(twin) is type(claims)
    assert dict(claims) | {"order": 3} != claims and claims["order"] == 2


def test_every_start_and_final_rule_survives_one_to_four_steps() -> None:
    for final, n in itertools.product(("keep", "lower_order", "denoise"), range(1, 5)):
        ours = variant(FINAL=final).sample(model, X, n, t_end=0.05)
        assert bool(torch.isfinite(ours).all()), (final, n)
