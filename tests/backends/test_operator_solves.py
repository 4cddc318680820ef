"""The functional steps under torch.func, in whole solves and compiled: one kernel each way, and nothing else is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from runtime import native, operators
from tests.backends.functional import OPS, check_close, drawn, network, size, solver_of
from tests.backends.loops import plan_of
from tests.backends.sources import EACH

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler: the torch step is taken"
)


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


@pytest.mark.parametrize("place", range(3))
def test_forward_mode_along_one_value(place: int) -> None:
    """The others do not move."""
    solver_of("dpmpp_2m").fused()
    values, row, along = drawn(3, (2, 3)), torch.randn(5, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    moved = [along if i == place else torch.zeros_like(along) for i in range(3)]
    wanted = OPS[0](moved, row, "generated.dpmpp_2m", "main")
    with forward_ad.dual_level():
        given = [forward_ad.make_dual(v, along) if i == place else v for i, v in enumerate(values)]
        found = OPS[0](given, row, "generated.dpmpp_2m", "main")
        check_close([forward_ad.unpack_dual(v).tangent for v in found][:1], wanted[:1], 1e-15)


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


@pytest.mark.parametrize("name", EACH)
def test_gradients_of_a_solve(name: str) -> None:
    """With respect to the noise and to a network's weight; on one grid and on a grid per sample."""
    torch.manual_seed(6)
    plain = solver_of(name)
    first, last = plain.domain
    entries = len(getattr(plain.coefficients, "TABLE", ()))
    ends = ((0.9, 0.2), (0.8, 0.1))
    grids = torch.stack([torch.linspace(*pair, 1 + (entries or 3), dtype=torch.float64) for pair in ends])
    for options in ({"steps": entries or 6}, {"nodes": first + (1 - grids) * (last - first)}):
        x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        weight = torch.eye(3, dtype=torch.float64).mul(0.8).requires_grad_()
        model = lambda y, t, w=weight: network(y @ w, t)  # noqa: E731
        found, wanted = (
            torch.autograd.grad(s.sample(model, x, **options).square().sum(), (x, weight))
            for s in (plain.fused(), plain)
        )
        check_close(found, wanted, 1e-13)


@pytest.mark.parametrize("name", EACH)
def test_one_kernel_each_way_and_nothing_but_the_row_is_kept(name: str) -> None:
    solver = solver_of(name).fused()
    plan, x = plan_of(solver, 5), torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    raws, rows = drawn(plan.steps, (2, 3), follow=True), plan.rows(x)
    saved: list[torch.Tensor] = []
    state = solver.init(plan, x)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t), Counted() as forward:
        for i in range(plan.steps):
            state = solver.step(plan, i, state, raws[i] + state.x)
    assert forward.names == ["aten.add.Tensor", "phiforge.step"] * plan.steps
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
