"""Gradients by recomputation against autograd through everything stored; calls, memory, random numbers, what is refused."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from generated.dpmpp_2m import solver as dpmpp_2m
from generated.edm_heun import solver as edm_heun
from generated.flow_ab2 import solver as flow_ab2
from generated.unipc_2 import solver as unipc_2
from runtime.revolve import evaluations
from tests.claims.shipped import STEPS
from tests.runtime.sample_solver import solver

pytestmark = pytest.mark.usefixtures("one_thread")  # tensors are small, and the memory of other threads is not counted

F64 = torch.float64


def start(*shape: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(3))


class Net(torch.nn.Module):
    """A small network of x [B, 3] and t [B]; counts its calls."""

    def __init__(self, dropout: float = 0.0, dtype: torch.dtype = F64) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(4)
            self.inner, self.outer = (torch.nn.Linear(*size, dtype=dtype) for size in ((3, 6), (6, 3)))
        self.dropout, self.calls, self.seen = torch.nn.Dropout(dropout), 0, []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        hidden = self.inner(x)
        self.seen.append(hidden.dtype)
        return self.outer(self.dropout(torch.tanh(hidden + torch.atan(t)[:, None])))


def differentiated(
    of: Any, model: Callable[..., Tensor], x: Tensor, *args: Any, also: Any = (), **kwargs: Any
) -> tuple[Tensor, list[Tensor]]:
    """The sample, and the gradients of a weighted sum of its entries: of x, and of the model's parameters or ``also``."""
    inputs = [v for v in (x, *also) if v.requires_grad]
    inputs += model.parameters() if isinstance(model, torch.nn.Module) else []
    sample = of.sample(model, x, *args, **kwargs)
    weights = torch.linspace(0.5, 2, sample.numel(), dtype=sample.dtype, device=sample.device).view_as(sample)
    return sample.detach(), list(torch.autograd.grad((weights * sample).sum(), inputs))


def distance(found: list[Tensor], wanted: list[Tensor]) -> float:
    """The largest difference, relative to the largest entry of the gradient of one tensor."""
    assert len(found) == len(wanted) > 0
    assert all(bool(w.abs().max() > 0) for w in wanted)
    return max(float((f - w).abs().max() / w.abs().max()) for f, w in zip(found, wanted))


# The same gradients


@pytest.mark.parametrize("name", STEPS)
def test_every_solver_has_the_gradients_of_autograd(name: str) -> None:
    of, net, x = importlib.import_module(f"generated.{name}").solver, Net(), start(2, 3).requires_grad_()
    plan = of.plan(len(getattr(of.coefficients, "TABLE", ())) or 7)
    y, wanted = differentiated(of, net, x, plan=plan, seed=2)
    again, found = differentiated(of, net, x, plan=plan, seed=2, gradient="recomputed", snapshots=3)
    assert distance(found, wanted) <= 1e-12
    torch.testing.assert_close(again, y, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(again, of.sample(net, x, plan=plan, seed=2))


@pytest.mark.parametrize("snapshots", [1, 2, 3, 8])
@pytest.mark.parametrize("steps", [1, 2, 10, 33])
def test_every_number_of_steps_and_snapshots(steps: int, snapshots: int) -> None:
    net, x = Net(), start(2, 3).requires_grad_()
    _, wanted = differentiated(unipc_2, net, x, steps)
    net.calls = 0
    _, found = differentiated(unipc_2, net, x, steps, gradient="recomputed", snapshots=snapshots)
    assert net.calls == evaluations(steps, snapshots)
    assert distance(found, wanted) <= 1e-12


def test_gradcheck_of_noise_and_parameters() -> None:
    x, w = start(2, 3).requires_grad_(), torch.tensor(0.7, dtype=F64, requires_grad=True)

    def run(x: Tensor, w: Tensor) -> Tensor:
        model = lambda x, t: torch.tanh(w * x)  # noqa: E731
        return unipc_2.sample(model, x, 5, gradient="recomputed", snapshots=2, parameters=[w])

    assert torch.autograd.gradcheck(run, (x, w))
    assert torch.autograd.gradcheck(lambda w: run(x.detach(), w), (w,))
    assert torch.autograd.gradcheck(lambda x: run(x, w.detach()), (x,))


@pytest.mark.parametrize("how", [{}, {"gradient": "recomputed", "snapshots": 2}], ids=["stored", "recomputed"])
@pytest.mark.parametrize("of", [dpmpp_2m, flow_ab2], ids=lambda of: of.name)
def test_given_values_have_gradients(of: Any, how: dict[str, Any]) -> None:
    """Pairs and integrands at the nodes before the first step, also where x_T itself needs no gradient."""
    x, value, raw = (start(2, 3) * scale for scale in (1.0, 0.3, -0.6))
    plan = of.plan(nodes=[0.9, 0.8, 0.6, 0.5, 0.2], history=1)

    def run(x: Tensor, *past: Tensor) -> Tensor:
        history = [past if len(past) == 2 else past[0]]
        return of.sample(lambda x, t: torch.tanh(x), x, plan=plan, history=history, **how)

    for given in ((x, value), (x, value, raw)):
        for first in (0, 1):
            inputs = [v.clone().requires_grad_(i >= first) for i, v in enumerate(given)]
            assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("of", [unipc_2, edm_heun, dpmpp_2m], ids=lambda of: of.name)
def test_a_coefficient_that_is_wrong_in_the_backward_is_found(of: Any) -> None:
    """Every row of the table takes part: a part in a million in one of them is a million times the tolerance."""
    net, x = Net(), start(2, 3).requires_grad_()
    plan = of.plan(6)
    _, wanted = differentiated(of, net, x, plan=plan)
    for i in range(plan.steps):
        row = plan.coefficients(x)[i]
        sample = of.sample(net, x, plan=plan, gradient="recomputed", snapshots=3)
        weights = torch.linspace(0.5, 2, 6, dtype=F64).view(2, 3)
        entry = max(row, key=lambda value: abs(float(value)))
        exact = entry.clone()
        entry.mul_(1 + 1e-6)
        found = list(torch.autograd.grad((weights * sample).sum(), [x, *net.parameters()]))
        entry.copy_(exact)
        assert distance(found, wanted) > 1e-9, i
    assert distance(differentiated(of, net, x, plan=plan, gradient="recomputed", snapshots=3)[1], wanted) <= 1e-12


def test_grids_per_sample_and_states_without_a_batch() -> None:
    net, x = Net(), start(2, 3).requires_grad_()
    nodes = [[0.9, 0.5, 0.4, 0.1], [0.8, 0.7, 0.3, 0.2]]
    _, wanted = differentiated(unipc_2, net, x, nodes=nodes)
    assert distance(differentiated(unipc_2, net, x, nodes=nodes, gradient="recomputed")[1], wanted) <= 1e-12
    x = torch.tensor(0.4, dtype=F64, requires_grad=True)
    _, wanted = differentiated(solver, lambda x, t: torch.sin(x) + t, x, 5)
    _, found = differentiated(solver, lambda x, t: torch.sin(x) + t, x, 5, gradient="recomputed", snapshots=2)
    assert distance(found, wanted) <= 1e-12
    empty = start(0, 3).requires_grad_()
    unipc_2.sample(net, empty, 3, gradient="recomputed").sum().backward()
    assert empty.grad is not None and empty.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype,bound", [(torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 4e-2)])
def test_lower_precision(dtype: torch.dtype, bound: float) -> None:
    """The state is float32; gradients come in the dtype of what they belong to. The network is linear: nothing amplifies."""
    x, w = start(4, 3, dtype=dtype).requires_grad_(), torch.tensor([0.5, -0.2, 0.1], requires_grad=True)
    model = lambda x, t: (w * x).to(x.dtype)  # noqa: E731
    y, wanted = differentiated(dpmpp_2m, model, x, 9, also=[w])
    again, found = differentiated(dpmpp_2m, model, x, 9, also=[w], gradient="recomputed", parameters=[w])
    assert [g.dtype for g in found] == [dtype, torch.float32] and again.dtype == dtype
    assert distance(found, wanted) <= bound
    assert distance([again], [y]) <= bound


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no fused step")
def test_fused_steps_and_compiled_ones_have_the_same_gradients() -> None:
    x, net = start(2, 3).requires_grad_(), Net()
    _, wanted = differentiated(unipc_2, net, x, 7)
    for of in (unipc_2.fused(), unipc_2.compiled("aot_eager")):
        assert distance(differentiated(of, net, x, 7, gradient="recomputed", snapshots=2)[1], wanted) <= 1e-12


# What the loop calls besides the network


@pytest.mark.parametrize("of", [unipc_2, edm_heun], ids=lambda of: of.name)
def test_hooks_take_part_and_the_callback_is_called_once(of: Any) -> None:
    net, x, scale = Net(), start(2, 3).requires_grad_(), torch.tensor(0.9, dtype=F64, requires_grad=True)
    known, seen = start(2, 3).flip(0), []

    def before(x: Tensor, t: Tensor) -> Tensor:
        x[:, 0] = 0.5 * x[:, 0] + known[:, 0]  # in place, as in inpainting
        return x

    def after(x: Tensor, i: int, t: Tensor) -> Tensor:
        return x.mul_(scale + 0.01 * i + 0.1 * torch.atan(t)[:, None])

    hooks = {"before_eval": before, "after_step": after}
    plan = of.plan(5)
    inner = x * 1.0  # a leaf cannot be written to
    wanted = torch.autograd.grad(of.sample(net, inner, plan=plan, hooks=hooks).sum(), [x, scale, *net.parameters()])
    sample = of.sample(
        net, x, plan=plan, hooks=hooks, callback=lambda i, t, x, denoised: seen.append(i), check="step",
        gradient="recomputed", snapshots=2, parameters=[scale, *net.parameters()],
    )  # fmt: skip
    found = torch.autograd.grad(sample.sum(), [x, scale, *net.parameters()])
    assert seen == list(range(plan.steps))
    assert distance(list(found), list(wanted)) <= 1e-12


def test_a_model_that_differentiates_within() -> None:
    """Guidance by a classifier, and a network that recomputes its own activations."""
    net, x = Net(), start(2, 3).requires_grad_()

    def model(x: Tensor, t: Tensor) -> Tensor:
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            (guide,) = torch.autograd.grad(torch.sin(inner).sum(), inner)
        return torch.utils.checkpoint.checkpoint(net, x, t, use_reentrant=False) + 0.1 * guide

    also = list(net.parameters())
    _, wanted = differentiated(unipc_2, model, x, 6, also=also)
    found = differentiated(unipc_2, model, x, 6, also=also, gradient="recomputed", parameters=also)[1]
    assert distance(found, wanted) <= 1e-12


def test_dropout_is_drawn_again_alike() -> None:
    x, net = start(2, 3).requires_grad_(), Net(dropout=0.5)
    torch.manual_seed(11)
    y, wanted = differentiated(unipc_2, net, x, 12)
    ahead = torch.rand(4)
    torch.manual_seed(11)
    sample = unipc_2.sample(net, x, 12, gradient="recomputed", snapshots=3)
    torch.testing.assert_close(sample, y, rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.rand(4), ahead)
    torch.manual_seed(12)
    weights = torch.linspace(0.5, 2, 6, dtype=F64).view(2, 3)
    found = torch.autograd.grad((weights * sample).sum(), [x, *net.parameters()])
    assert distance(list(found), wanted) <= 1e-12
    drawn = torch.rand(4)
    torch.manual_seed(12)
    assert torch.equal(torch.rand(4), drawn)  # backward leaves the generator as it was


def test_autocast_is_as_it_was() -> None:
    """The sample is made under autocast, backward runs outside of it, or the other way round."""
    x, net = start(2, 3, dtype=torch.float32).requires_grad_(), Net(dtype=torch.float32)
    for inside, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        forward, after = torch.autocast("cpu", torch.bfloat16, enabled=inside), torch.autocast("cpu", torch.bfloat16)
        net.seen.clear()
        with forward:
            y = dpmpp_2m.sample(net, x, 6, gradient="recomputed", snapshots=2)
            assert all(g is not None for g in torch.autograd.grad(net(x, x[:, 0]).sum(), list(net.parameters())))
        with nullcontext() if inside else after:
            y.sum().backward()
        assert len(net.seen) == evaluations(6, 2) + 1
        assert set(net.seen) == {dtype}


# Autograd's rules


def test_a_second_backward_begins_again() -> None:
    x, net = start(2, 3).requires_grad_(), Net(dropout=0.5)
    sample = unipc_2.sample(net, x, 10, gradient="recomputed", snapshots=2)
    inputs = [x, *net.parameters()]
    first = torch.autograd.grad(sample.sum(), inputs, retain_graph=True)
    second = torch.autograd.grad(sample.sum(), inputs)
    assert all(map(torch.equal, first, second))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(sample.sum(), inputs)


def test_gradients_are_added_to_those_of_the_rest_of_the_graph() -> None:
    """x_T and a parameter that is not a leaf come from elsewhere, and are used elsewhere."""
    z, v = start(2, 3).requires_grad_(), torch.tensor(0.4, dtype=F64, requires_grad=True)
    found = []
    for how in ({}, {"gradient": "recomputed", "snapshots": 2}):
        w = torch.sin(v)
        given = {"parameters": [w, w]} if how else {}
        x = torch.cos(z) * w
        sample = unipc_2.sample(lambda x, t, w=w: torch.tanh(w * x), x, 6, **how, **given)
        found.append(list(torch.autograd.grad((sample * x).sum() + w, [z, v])))
    assert distance(found[1], found[0]) <= 1e-12


def test_saved_tensors_may_lie_elsewhere() -> None:
    x, net = start(2, 3).requires_grad_(), Net()
    _, wanted = differentiated(unipc_2, net, x, 6)
    with torch.autograd.graph.saved_tensors_hooks(lambda v: v.clone(), lambda v: v):
        _, found = differentiated(unipc_2, net, x, 6, gradient="recomputed", snapshots=2)
    assert distance(found, wanted) <= 1e-12


def test_without_gradients_it_is_the_plain_solve() -> None:
    net, x = Net(), start(2, 3)
    frozen = Net().requires_grad_(False)
    assert not unipc_2.sample(frozen, x, 6, gradient="recomputed").requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            net.calls = 0
            y = unipc_2.sample(net, x, 6, gradient="recomputed")
            assert torch.equal(y, unipc_2.sample(net, x, 6)) and net.calls == 12
    with torch.inference_mode():
        noise = start(2, 3)
    y = unipc_2.sample(net, noise, 6, gradient="recomputed")
    assert y.requires_grad
    y.sum().backward()
    assert all(bool(p.grad.abs().max() > 0) for p in net.parameters())


def test_second_derivatives_are_refused() -> None:
    x, net = start(2, 3).requires_grad_(), Net()
    sample = unipc_2.sample(net, x, 3, gradient="recomputed")
    (gradient,) = torch.autograd.grad(sample.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiable once.*gradient='stored'"):
        (gradient**2).sum().backward()


def test_transforms_are_refused() -> None:
    x, v = start(2, 3), start(2, 3).flip(0)

    def run(x: Tensor) -> Tensor:
        return unipc_2.sample(lambda x, t: torch.tanh(x), x, 3, check="off", gradient="recomputed").sum()

    for transformed in (lambda: torch.func.grad(run)(x), lambda: torch.func.jvp(run, (x,), (v,)), lambda: dual(run, x)):
        with pytest.raises(RuntimeError, match="gradient='stored'"):
            transformed()


def dual(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        return run(torch.autograd.forward_ad.make_dual(x, x))


# Nothing is zero in silence


def test_what_the_network_depends_on_has_to_be_known() -> None:
    net, x = Net(), start(2, 3)
    for noise in (x, x.clone().requires_grad_()):
        with pytest.raises(ValueError, match=r"4 tensors.*parameters=net.parameters\(\)"):
            unipc_2.sample(lambda x, t: -net(x, t), noise, 3, gradient="recomputed")
        with pytest.raises(ValueError, match=r"depends on 1 tensors .*shapes \[3\]"):
            unipc_2.sample(net, noise, 3, gradient="recomputed", parameters=[*net.parameters()][:-1])


@pytest.mark.parametrize("where", ["model", "hook"])
def test_what_takes_part_late_has_to_be_known(where: str) -> None:
    """An expert for small t: the first call does not show it."""
    w = torch.ones(3, dtype=F64, requires_grad=True)

    def late(x: Tensor, t: Tensor) -> Tensor:
        return x * w if float(t[0]) < 0.5 else x

    def run(x: Tensor, **more: Any) -> Tensor:
        if where == "hook":
            more["hooks"] = {"before_eval": late}
        model = late if where == "model" else lambda x, t: torch.tanh(x)
        return solver.sample(model, x, nodes=[0.9, 0.7, 0.4, 0.1, 0.05], gradient="recomputed", snapshots=2, **more)

    with pytest.raises(ValueError, match="parameters="):
        run(start(2, 3))
    y = run(start(2, 3).requires_grad_())
    for _ in range(2):
        with pytest.raises(ValueError, match="parameters="):
            y.sum().backward()
    run(start(2, 3), parameters=[w]).sum().backward()
    assert w.grad is not None and bool(w.grad.abs().min() > 0)


def test_a_parameter_that_changes_before_backward_is_found() -> None:
    x, net = start(2, 3).requires_grad_(), Net()
    for tensor in (x, net.inner.weight):
        y = unipc_2.sample(net, x, 3, gradient="recomputed")
        with torch.no_grad():
            tensor.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


@pytest.mark.parametrize(
    "arguments,error,message",
    [
        ({"gradient": "recompute"}, ValueError, "did you mean 'recomputed'"),
        ({"snapshots": 3}, ValueError, "snapshots: given, but gradient='stored'"),
        ({"parameters": []}, ValueError, "parameters: given, but gradient='stored'"),
        ({"gradient": "recomputed", "snapshots": 0}, ValueError, "snapshots: got 0; allowed: at least 1"),
        ({"gradient": "recomputed", "snapshots": 2.0}, TypeError, "snapshots: got float"),
        ({"gradient": "recomputed", "parameters": torch.ones(3)}, TypeError, "parameters: got Tensor"),
        ({"gradient": "recomputed", "parameters": Net()}, TypeError, "parameters: got Net"),
        ({"gradient": "recomputed", "parameters": ["w"]}, TypeError, "parameters: got str"),
    ],
    ids=str,
)
def test_misuse_is_told(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        unipc_2.sample(lambda x, t: x, start(2, 3), 3, **arguments)


def test_hooks_of_parameters_are_refused() -> None:
    """They would see the gradient of every call, and then the sum of what they made of it."""
    x, w = start(2, 3), torch.ones(3, dtype=F64, requires_grad=True)
    hooked, kept = w * 2, w * 2
    hooked.register_hook(lambda g: g)
    kept.retain_grad()
    for tensor in (hooked, kept):
        with pytest.raises(ValueError, match=r"register_hook, retain_grad"):
            unipc_2.sample(lambda x, t, v=tensor: x * v, x, 3, gradient="recomputed", parameters=[tensor])


# Memory


class Alive(TorchDispatchMode):
    """The most bytes of tensors that live at a time, of those made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        torch.utils._pytree.tree_map_only(Tensor, self.count, out)
        return out

    def count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.gone, key, size)

    def gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def peak(steps: int, x: Tensor, model: Callable[..., Tensor], **how: Any) -> float:
    """The most memory of a sample and its gradient, in states."""
    plan = unipc_2.plan(steps)
    plan.coefficients(x), plan.rows(x)
    with Alive() as alive:
        unipc_2.sample(model, x, plan=plan, **how).sum().backward()
    assert alive.peak > 0
    return alive.peak / (x.numel() * x.element_size())


def network() -> tuple[Tensor, Callable[..., Tensor]]:
    """A network that keeps about eight states for its derivative."""
    w = torch.linspace(0.4, 0.6, 8, dtype=F64).requires_grad_()

    def model(x: Tensor, t: Tensor) -> Tensor:
        for weight in w.unbind():
            x = torch.tanh(x * weight)
        return x

    return w, model


WIDE = start(1, 8192)
"""64 KB, so that tables and times do not count."""


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    x, (w, model) = WIDE.clone().requires_grad_(), network()
    few, many = (peak(n, x, model, gradient="recomputed", snapshots=3, parameters=[w]) for n in (10, 100))
    assert abs(many - few) < 0.2
    stored = [peak(n, x, model) for n in (10, 30)]
    assert stored[1] > 2.8 * stored[0]
    assert stored[0] > 2.5 * few


def test_a_snapshot_more_is_a_state_more() -> None:
    """UniPC-2 carries x and three entries of its memory."""
    x, (w, model) = WIDE.clone().requires_grad_(), network()
    sizes = [peak(30, x, model, gradient="recomputed", snapshots=s, parameters=[w]) for s in (2, 3, 5)]
    assert sizes[1] - sizes[0] == pytest.approx(4, abs=0.2)
    assert sizes[2] - sizes[1] == pytest.approx(8, abs=0.3)
