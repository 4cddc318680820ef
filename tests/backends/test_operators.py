"""``phiforge::step`` and its transpose: derivatives of every order and kind, maps, compilation; one kernel each way."""

from __future__ import annotations

import ctypes
import importlib
import shutil
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from derive.program.memory import flow
from runtime import native, operators
from tests.backends.sources import FUSED, program_of, text_of

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler: the torch step is taken"
)

UNSHIPPED = ("deis_tab2", "flow_ssprk3")
"""Built here from their programs: a network's output that is kept, alone, beside the state and beside another."""
OPS = (torch.ops.phiforge.step.default, torch.ops.phiforge.step_adjoint.default)


def solver_of(name: str) -> Any:
    return importlib.import_module(f"generated.{name}").solver


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x) * (1 + t.reshape(-1, *(1,) * (x.dim() - 1)) / 7)


def steps_of(name: str, folder: Path) -> dict[str, Callable[..., Any]]:
    """The functional steps, by phase."""
    return solver_of(name).fused()._step.STEPS if name in FUSED else _built(name, text_of(program_of(name)), folder)


@cache
def _built(name: str, text: str, folder: Path, key: str = "") -> dict[str, Callable[..., Any]]:
    source = folder / (key or f"generated.{name}") / native.SOURCE
    source.parent.mkdir()
    source.write_text(text, "utf-8")
    step = importlib.import_module(f"generated.{name}.step_torch")
    tables = {word: getattr(step, word) for word in ("STEPS", "RING", "NEEDS", "KEEPS")}
    library = ctypes.CDLL(str(native.build(source)))
    return operators.register(SimpleNamespace(__name__=f"{key or f'generated.{name}'}.step_torch", **tables), library)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


def drawn(count: int, shape: Sequence[int], follow: bool = False, dtype: torch.dtype = torch.float64) -> Any:
    return [torch.randn(tuple(shape), dtype=dtype).requires_grad_(follow) for _ in range(count)]


def flat(step: Callable[..., Any], row: Any) -> Callable[..., tuple[torch.Tensor, ...]]:
    """The step as a function of (x, raw, memory..) to all that it leaves."""

    def function(x: torch.Tensor, raw: torch.Tensor, *memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
        new, left = step(x, raw, memory, row)
        return (new, *left)

    return function


def size(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """A number that depends on every element of all of them, otherwise on each."""
    return torch.stack([(i + 1) * v.sin().sum() for i, v in enumerate(values)]).sum()


def phases_of(name: str) -> list[tuple[str, int]]:
    """Every phase with every number of values that it can find."""
    entries = flow(program_of(name)).entries
    return [(phase, count) for phase, found in entries.items() for count in sorted({len(m) for m in found})]


def check_close(found: Any, wanted: Any, bound: float) -> None:
    """Relative to the largest of what is wanted."""
    found, wanted = ([v] if isinstance(v, torch.Tensor) else list(v) for v in (found, wanted))
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() <= bound * b.abs().max(), (a - b).abs().max()


# One phase


@pytest.mark.parametrize("name", [*FUSED, *UNSHIPPED])
def test_every_phase_and_its_gradients(name: str, folder: Path) -> None:
    """Values and gradients against the torch step, with a row for all and one per sample; what is carried passes."""
    torch.manual_seed(1)
    steps = steps_of(name, folder)
    plain = importlib.import_module(f"generated.{name}.step_torch")
    columns = len(solver_of(name).coefficients.COLUMNS)
    for (phase, count), tail in product(phases_of(name), [(), (2, 1)]):
        row = torch.randn(columns, *tail, dtype=torch.float64)
        values = drawn(2 + count, (2, 3), follow=True)
        ours, theirs = flat(steps[phase], row), flat(plain.STEPS[phase], row.unbind(0))
        kept = len(theirs(*values))  # entries that nothing reads again are dropped there
        check_close(ours(*values)[:kept], theirs(*values), 1e-15)
        found, wanted = (
            torch.autograd.grad(size(f(*values)[:kept]), values, materialize_grads=True) for f in (ours, theirs)
        )
        check_close(found, wanted, 1e-15)


@pytest.mark.parametrize(("name", "phase"), [("dpmpp_2m", "main"), ("unipc_2", "start_2"), ("deis_tab2", "main")])
def test_derivatives_of_both_operators(name: str, phase: str, folder: Path) -> None:
    torch.manual_seed(2)
    steps_of(name, folder)
    solver = f"generated.{name}"
    made = operators._PHASES[solver, phase]
    columns = len(solver_of(name).coefficients.COLUMNS)
    for transposed, tail in product((False, True), [(), (2, 1)]):
        row = torch.randn(columns, *tail, dtype=torch.float64)
        values = drawn(len(made.makes if transposed else made.reads), (2, 2), follow=True)
        function = lambda *v: tuple(OPS[transposed](list(v), row, solver, phase))  # noqa: B023, E731
        both = {"check_batched_grad": True, "check_forward_ad": True, "check_batched_forward_grad": True}
        assert torch.autograd.gradcheck(function, values, **both)
        assert torch.autograd.gradgradcheck(function, values, check_fwd_over_rev=True)


@pytest.mark.parametrize("transposed", [False, True], ids=["step", "adjoint"])
def test_the_contract_of_operators(transposed: bool) -> None:
    """Schema, fake tensors, autograd, AOT dispatch; fake tensors on any layout and on those that have no kernel as well."""
    solver_of("dpmpp_2m").fused()
    name, count = "generated.dpmpp_2m", 2 if transposed else 3
    row, rows = torch.randn(5, dtype=torch.float64), torch.randn(5, 2, 1, dtype=torch.float64)
    turned = [v.permute(1, 0) for v in drawn(count, (3, 2), follow=True)]
    halves = [v.detach().half() for v in turned]
    found = torch.library.opcheck(OPS[transposed], (drawn(count, (2, 3), follow=True), rows, name, "main"))
    assert set(found.values()) == {"SUCCESS"} and len(found) == 4
    for values, given in ((turned, row), (halves, row.half())):
        torch.library.opcheck(
            OPS[transposed], (values, given, name, "main"), test_utils=("test_schema", "test_faketensor")
        )


def test_a_wrong_coefficient_in_an_adjoint_is_found(folder: Path) -> None:
    torch.manual_seed(10)
    text = text_of(program_of("dpmpp_2m"))
    wrong = text.replace("d[2] = b1 * g_x_new", "d[2] = b0 * g_x_new")
    assert wrong != text
    row, values = torch.randn(5, dtype=torch.float64), drawn(3, (2, 3), follow=True)
    steps = (solver_of("dpmpp_2m").fused()._step.STEPS, _built("dpmpp_2m", wrong, folder, "wrong"))
    good = [torch.autograd.gradcheck(flat(s["main"], row), values, raise_exception=False) for s in steps]
    assert good == [True, False]


@pytest.mark.parametrize("transposed", [False, True], ids=["step", "adjoint"])
@pytest.mark.parametrize("name", ["unipc_2", "deis_tab2"])
def test_without_a_kernel_the_torch_step_is_taken(name: str, transposed: bool, folder: Path) -> None:
    """Its transpose as well: half precision, another device."""
    torch.manual_seed(11)
    steps_of(name, folder)
    key, phase = (f"generated.{name}", "main"), operators._PHASES[f"generated.{name}", "main"]
    row = torch.randn(len(solver_of(name).coefficients.COLUMNS), dtype=torch.float64)
    values = drawn(len(phase.makes if transposed else phase.reads), (2, 3))
    want = OPS[transposed](values, row, *key)
    check_close(operators._expressed(values, row, *key, transposed), want, 1e-14)
    half = OPS[transposed]([v.bfloat16() for v in values], row.bfloat16(), *key)
    check_close([v.double() for v in half], want, 0.1)
    meta = OPS[transposed]([v.to("meta") for v in values], row.to("meta"), *key)
    assert [v.shape for v in meta] == [v.shape for v in want]


def test_tensors_of_other_kinds() -> None:
    """Parameters, negated views, tensors of zeros, gradients that are expanded."""
    torch.manual_seed(12)
    key, row = ("generated.dpmpp_2m", "main"), torch.randn(5, dtype=torch.float64)
    solver_of("dpmpp_2m").fused()
    x, raw, past = drawn(3, (2, 3))
    want = OPS[0]([x, raw, past], row, *key)
    given = [torch.nn.Parameter(x), torch._neg_view(-raw), past]
    assert all(torch.equal(a, b) for a, b in zip(OPS[0](given, torch._neg_view(-row), *key), want, strict=True))
    zero = torch._efficientzerotensor((2, 3), dtype=torch.float64)
    assert torch.equal(OPS[0]([x, zero, zero], row, *key)[0], OPS[0]([x, 0 * x, 0 * x], row, *key)[0])
    ones = torch.ones((), dtype=torch.float64).expand(2, 3)
    found, wanted = OPS[1]([ones, x.mT.clone().mT], row, *key), OPS[1]([ones.clone(), x], row, *key)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_the_gradient_of_a_row() -> None:
    torch.manual_seed(3)
    plain, fused = (s._step.STEPS["main"] for s in (solver_of("dpmpp_2m"), solver_of("dpmpp_2m").fused()))
    x, raw, past = drawn(3, (2, 3))
    row = torch.randn(5, dtype=torch.float64, requires_grad=True)
    ours = lambda c: size(flat(fused, c)(x, raw, past))  # noqa: E731
    theirs = lambda c: size(flat(plain, c.unbind(0))(x, raw, past))  # noqa: E731
    check_close(torch.autograd.grad(ours(row), row), torch.autograd.grad(theirs(row), row), 1e-15)
    fixed = row.detach()
    for way in (grad, jacrev, jacfwd, hessian):
        check_close(way(ours)(fixed), way(theirs)(fixed), 1e-14)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(fixed, torch.ones(5, dtype=torch.float64))
        check_close(*(forward_ad.unpack_dual(f(dual)).tangent for f in (ours, theirs)), 1e-15)


@pytest.mark.parametrize(
    ("values", "row", "error", "message"),
    [
        ([(2, 3)] * 2, (5,), ValueError, "got 2 tensors; allowed: 3"),
        ([(2, 3), (2, 3), (3, 2)], (5,), ValueError, "one and the same"),
        ([(2, 3)] * 3, (5, 3, 1), ValueError, "got 3 samples"),
    ],
)
def test_arguments_that_an_operator_refuses(values: Any, row: Any, error: Any, message: str) -> None:
    solver_of("dpmpp_2m").fused()
    with pytest.raises(error, match=message):
        OPS[0]([torch.ones(shape) for shape in values], torch.ones(row), "generated.dpmpp_2m", "main")
    mixed = [torch.ones(2), torch.ones(2), torch.ones(2, dtype=torch.float64)]
    with pytest.raises(TypeError, match="one dtype"):
        OPS[0](mixed, torch.ones(5), "generated.dpmpp_2m", "main")


def test_a_solver_that_is_named_by_a_graph_is_found() -> None:
    solver_of("ddim").fused()
    found = operators._PHASES.pop(("generated.ddim", "main"))
    values, row = drawn(len(found.reads), (2, 3)), torch.randn(len(solver_of("ddim").coefficients.COLUMNS)).double()
    (new,) = OPS[0](values, row, "generated.ddim", "main")
    check_close(new, found.step(*values, (), row.unbind(0))[0], 1e-15)


# Maps


@pytest.mark.parametrize("transposed", [False, True], ids=["step", "adjoint"])
@pytest.mark.parametrize(
    ("tail", "row_dim"), [((), None), ((3, 1), None), ((), 0), ((), 1), ((3, 1), 0), ((3, 1), 2)], ids=str
)
def test_a_map_is_a_loop_of_calls(tail: tuple[int, ...], row_dim: int | None, transposed: bool) -> None:
    """The mapped dimension anywhere, some values without one; a row for all, per sample, per call."""
    torch.manual_seed(4)
    solver_of("dpmpp_2m").fused()
    count, name = 2 if transposed else 3, ("generated.dpmpp_2m", "main")
    shape, dims = (3, 2), (1, None, 2)[:count]
    values = [torch.randn(shape if d is None else (*shape[:d], 4, *shape[d:]), dtype=torch.float64) for d in dims]
    full = (5, *tail) if row_dim is None else (*(5, *tail)[:row_dim], 4, *(5, *tail)[row_dim:])
    row = torch.randn(full, dtype=torch.float64)
    wanted = [
        OPS[transposed](
            [v if d is None else v.select(d, i) for v, d in zip(values, dims, strict=True)],
            row if row_dim is None else row.select(row_dim, i),
            *name,
        )
        for i in range(4)
    ]
    for call in (OPS[transposed], lambda *a: operators.linear(*a, transposed=transposed)):
        function = lambda c, *v: tuple(call(list(v), c, *name))  # noqa: B023, E731
        for out, want in zip(vmap(function, (row_dim, *dims))(row, *values), zip(*wanted, strict=True), strict=True):
            assert torch.equal(out, torch.stack(want))


TRANSFORMS: dict[str, Callable[[Callable[..., Any], torch.Tensor], Any]] = {
    "grad": lambda f, x: grad(lambda y: f(y).sum())(x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "jvp": lambda f, x: jvp(f, (x,), (x.cos(),)),
    "hessian": lambda f, x: hessian(lambda y: f(y).square().sum())(x),
    "jacfwd of jacfwd": lambda f, x: jacfwd(jacfwd(lambda y: f(y).square().sum()))(x),
    "vmap": lambda f, x: vmap(f)(x[:, None]),
    "vmap of grad": lambda f, x: vmap(grad(lambda y: f(y).square().sum()))(x[:, None]),
    "grad of vmap": lambda f, x: grad(lambda y: vmap(f)(y).square().sum())(x[:, None]),
    "jvp of vmap": lambda f, x: jvp(vmap(f), (x[:, None],), (x[:, None],)),
}


@pytest.mark.parametrize("way", TRANSFORMS)
def test_transforms_of_a_solve_take_the_kernels(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    x = torch.randn(2, 2, dtype=torch.float64)
    plain, fused = (
        partial(s.sample, network, steps=3, check="off") for s in (solver_of("unipc_2"), solver_of("unipc_2").fused())
    )
    wanted = TRANSFORMS[way](plain, x)
    monkeypatch.setattr(operators, "_expressed", lambda *_: pytest.fail("the torch step is taken"))
    check_close(TRANSFORMS[way](fused, x), wanted, 1e-13)


@pytest.mark.parametrize("transposed", [False, True], ids=["step", "adjoint"])
def test_an_operator_alone_inside_a_transform(transposed: bool) -> None:
    solver_of("dpmpp_2m").fused()
    first, *others = drawn(2 if transposed else 3, (2, 3))
    arguments = torch.randn(5, dtype=torch.float64), "generated.dpmpp_2m", "main"
    alone = lambda v: size(OPS[transposed]([v, *others], *arguments))  # noqa: E731
    wrapped = lambda v: size(operators.linear([v, *others], *arguments, transposed=transposed))  # noqa: E731
    for way in (grad, hessian):
        check_close(way(alone)(first), way(wrapped)(first), 1e-14)


def test_a_plan_that_was_first_used_inside_a_transform() -> None:
    solver, x = solver_of("dpmpp_2m").fused(), torch.randn(2, 3, dtype=torch.float64)
    plan = solver.plan(steps=4)
    grad(lambda y: solver.sample(network, y, plan=plan, check="off").sum())(x)
    assert torch.equal(solver.sample(network, x, plan=plan), solver.sample(network, x, steps=4))


# A whole solve


class Counted(TorchDispatchMode):
    """Every operation of torch that is carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func).removesuffix(".default"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", FUSED)
def test_gradients_of_a_solve(name: str) -> None:
    """With respect to the noise and to a network's weight; on one grid and on a grid per sample."""
    torch.manual_seed(6)
    plain = solver_of(name)
    first, last = plain.domain
    grids = torch.tensor([[0.9, 0.5, 0.3, 0.2], [0.8, 0.7, 0.3, 0.1]], dtype=torch.float64)
    for options in ({"steps": 6}, {"nodes": first + (1 - grids) * (last - first)}):
        x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        weight = torch.eye(3, dtype=torch.float64).mul(0.8).requires_grad_()
        model = lambda y, t, w=weight: network(y @ w, t)  # noqa: E731
        found, wanted = (
            torch.autograd.grad(s.sample(model, x, **options).square().sum(), (x, weight))
            for s in (plain.fused(), plain)
        )
        check_close(found, wanted, 1e-13)


@pytest.mark.parametrize("name", FUSED)
def test_one_kernel_each_way_and_nothing_but_the_row_is_kept(name: str) -> None:
    solver = solver_of(name).fused()
    plan, x = solver.plan(steps=5), torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    raws, rows = drawn(plan.steps, (2, 3), follow=True), plan.rows(x)
    saved: list[torch.Tensor] = []
    state = solver.init(plan, x)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t), Counted() as forward:
        for i in range(plan.steps):
            state = solver.step(plan, i, state, raws[i])
    assert forward.names == ["phiforge.step"] * plan.steps
    assert sum(t.nbytes for t in saved) == plan.steps * len(plan.columns) * 8
    assert [t.data_ptr() for t in saved] == [row.data_ptr() for row in rows]
    gradient = torch.ones(2, 3, dtype=x.dtype)
    with Counted() as backward:
        torch.autograd.grad(state.x, [x, *raws], gradient)
    assert backward.names.count("phiforge.step_adjoint") == plan.steps
    assert "phiforge.step" not in backward.names
    rest = {n.removeprefix("aten.") for n in backward.names} - {"phiforge.step_adjoint"}
    assert rest <= {"zeros_like", "zeros", "new_zeros", "add.Tensor", "add_.Tensor", "detach"}, rest


def test_values_that_are_read_once_need_no_sum() -> None:
    """DPM-Solver++ 2M: backward is the kernels and the zeros with which the last value begins."""
    solver = solver_of("dpmpp_2m").fused()
    plan, x = solver.plan(steps=5), torch.randn(2, 3, requires_grad=True)
    raws, state = drawn(plan.steps, (2, 3), True, torch.float32), solver.init(plan, x)
    for i in range(plan.steps):
        state = solver.step(plan, i, state, raws[i])
    gradient = torch.ones(2, 3, dtype=x.dtype)
    with Counted() as backward:
        torch.autograd.grad(state.x, [x, *raws], gradient)
    assert not any("add" in name for name in backward.names)


def test_float32_and_other_layouts() -> None:
    torch.manual_seed(7)
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    found, wanted = (
        torch.autograd.grad(s.sample(network, x, steps=5).square().sum(), x)
        for s in (solver_of("dpmpp_3m").fused(), solver_of("dpmpp_3m"))
    )
    check_close(found, wanted, 1e-5)
    state = solver_of("dpmpp_3m").fused()
    plan = state.plan(steps=5)
    begun = state.init(plan, x)
    assert state.step(plan, 0, begun, network(x, torch.ones(2))).x.is_contiguous(memory_format=torch.channels_last)


def solved(solver: Any, plan: Any, steps: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def function(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        state = solver.init(plan, x)
        for i in range(steps):
            state = solver.step(plan, i, state, torch.tanh(state.x @ weight))
        return state.x

    return function


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_three_steps_compile_into_one_graph_with_its_gradient(backend: str) -> None:
    torch.manual_seed(8)
    solver = solver_of("dpmpp_2m").fused()
    function = solved(solver, solver.plan(steps=3), 3)
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3), (3, 3))]
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    found, wanted = (torch.autograd.grad(f(*inputs).square().sum(), inputs) for f in (compiled, function))
    check_close(found, wanted, 1e-15)


def test_a_network_of_torch_nn_is_trained_through_the_solve() -> None:
    """functional_call: weights as arguments of a transform."""
    torch.manual_seed(9)
    net = torch.nn.Linear(3, 3).double()
    x, weights = torch.randn(2, 3, dtype=torch.float64), dict(net.named_parameters())

    def loss(weights: dict[str, torch.Tensor], solver: Any) -> torch.Tensor:
        model = lambda y, t: functional_call(net, weights, (y,)).tanh()  # noqa: E731
        return solver.sample(model, x, steps=4, check="off").square().sum()

    found, wanted = (grad(loss)(weights, s) for s in (solver_of("unipc_2").fused(), solver_of("unipc_2")))
    check_close(found.values(), wanted.values(), 1e-13)
