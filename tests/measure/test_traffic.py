"""The counter against counts by hand: launches, bytes, allocations and waits of code whose operations are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from derive.measure.device import DEVICE, DeviceTensor
from derive.measure.traffic import Traffic, counted, placed, summed

N = 512
SIZE = 4 * N
"""Bytes of a state."""


def state() -> DeviceTensor:
    return placed(torch.linspace(-1, 1, N).reshape(2, -1))


def number(value: float = 2.0) -> DeviceTensor:
    return placed(torch.tensor(value))


def of(code: Callable[[], Any]) -> Traffic:
    with counted(N) as counter:
        code()
    return counter.traffic


def figures(traffic: Traffic) -> tuple[int, float, int, int]:
    """(launches, bytes in units of a state, allocations, syncs)."""
    return traffic.launches, traffic.moved / SIZE, traffic.allocations, traffic.syncs


def test_a_sum_of_three_products() -> None:
    """Three products and two sums: 5 launches, 3 x 2 + 2 x 3 = 12 units, 5 new tensors."""
    x, m, h = state(), state(), state()
    traffic = of(lambda: 2.0 * x + 3.0 * m + 4.0 * h)
    assert figures(traffic) == (5, 12, 5, 0)
    assert (traffic.read, traffic.written, traffic.small) == (7 * SIZE, 5 * SIZE, 0)
    assert [op.name for op in traffic.where] == ["mul", "mul", "add", "mul", "add"]


def test_numbers_on_the_device_are_read() -> None:
    x, m, a, b = state(), state(), number(), number(3.0)
    traffic = of(lambda: x.mul_(a).addcmul_(m, b))
    assert figures(traffic) == (2, 5 + 2 * 4 / SIZE, 0, 0)


def test_ddim_as_it_is_usually_written() -> None:
    """Six launches on the state, 14 units: 3 products and a quotient of 2, two sums of 3; the rest is on numbers."""
    x, eps = state(), state()
    alpha, before = number(0.5), number(0.75)

    def step() -> torch.Tensor:
        data = (x - (1 - alpha) ** 0.5 * eps) / alpha**0.5
        return before**0.5 * data + (1 - before) ** 0.5 * eps

    traffic = of(step)
    assert (traffic.launches - traffic.small, traffic.small) == (6, 6)
    assert summed(op for op in traffic.where if not op.small).moved == 14 * SIZE + 4 * 4


@pytest.mark.parametrize(
    ("code", "want"),
    [
        (lambda x: x.view(-1)[3:].reshape(-1, 1).t().detach(), (0, 0, 0, 0)),
        (lambda x: x.unsqueeze_(0).squeeze_(0), (0, 0, 0, 0)),
        (torch.empty_like, (0, 0, 1, 0)),
        (torch.zeros_like, (1, 1, 1, 0)),
        (lambda x: x.new_full(x.shape, 2.0), (1, 1, 1, 0)),
        (lambda x: torch.mul(x, 2, out=torch.empty_like(x)), (1, 2, 1, 0)),
        (lambda x: x.clone().copy_(x), (2, 4, 1, 0)),
        (lambda x: x.fill_(1).zero_().normal_(), (3, 3, 0, 0)),
        (lambda x: x * x, (1, 2, 1, 0)),
        (lambda x: x + x[:1].expand_as(x), (1, 2.5, 1, 0)),
        (lambda x: torch.cat(x.chunk(2)), (1, 2, 1, 0)),
        (lambda x: x.t().contiguous(), (1, 2, 1, 0)),
        (lambda x: x.double(), (1, 3, 1, 0)),
        (lambda x: x.bfloat16().float(), (2, 3, 2, 0)),
        (lambda x: x.to(DEVICE).float(), (0, 0, 0, 0)),
        (lambda x: torch.randn(x.shape, device=x.device), (1, 1, 1, 0)),
        (lambda x: torch._foreach_add_([x, x.clone()], 1.0), (2, 6, 1, 0)),
        (lambda x: torch.tensor(3.0) * x, (1, 2, 1, 0)),
        (lambda x: x[0].mul_(2), (1, 1, 0, 0)),
        (lambda x: x[:0] * 2, (0, 0, 1, 0)),
        (lambda x: torch.tensor([], device=x.device), (0, 0, 1, 0)),
    ],
)
def test_launches_bytes_allocations(code: Callable, want: tuple) -> None:
    x = state()
    assert figures(of(lambda: code(x))) == want


@pytest.mark.parametrize(
    ("code", "syncs"),
    [
        (lambda x, i: x[0, 0].item(), 1),
        (lambda x, i: float(x[0, 0]) + int(i), 2),
        (lambda x, i: bool((x > 0).all()), 1),
        (lambda x, i: 1 if i > 1 else 0, 1),
        (lambda x, i: x[i], 1),
        (lambda x, i: x[i : i + 1], 2),
        (lambda x, i: x[placed(torch.tensor([1, 0]))], 0),
        (lambda x, i: x[torch.tensor([1, 0])], 1),
        (lambda x, i: x[x > 0], 1),
        (lambda x, i: x.masked_fill_(x > 0, 0.0), 0),
        (lambda x, i: x.__setitem__(x > 0, 0.0), 0),
        (lambda x, i: x.__setitem__(x > 0, x[x > 0]), 2),
        (lambda x, i: (x == 0).nonzero(), 1),
        (lambda x, i: torch.equal(x, x), 1),
        (lambda x, i: x.cpu(), 1),
        (lambda x, i: x.to("cpu", torch.float64), 1),
        (lambda x, i: x.tolist(), 1),
        (lambda x, i: torch.zeros(2, N // 2).copy_(x), 1),
        (lambda x, i: torch.tensor([1.0, 2.0], device=x.device), 1),
        (lambda x, i: torch.as_tensor(1.0, device="cuda"), 1),
        (lambda x, i: x.new_tensor([1.0]), 1),
        (lambda x, i: torch.ones(3).to(x), 1),
        (lambda x, i: torch.ones(3).cuda(), 1),
        (lambda x, i: torch.ones(3).to(x.device, non_blocking=True), 0),
        (lambda x, i: x.copy_(torch.ones(2, N // 2)), 1),
        (lambda x, i: x.copy_(torch.ones(2, N // 2), non_blocking=True), 0),
        (lambda x, i: torch.linalg.solve(torch.eye(3, device=x.device), torch.ones(3, device=x.device)), 1),
        (lambda x, i: x.abs().amax() * 2 + torch.full((1,), 3.0, device=x.device), 0),
        (lambda x, i: torch.quantile(x, 0.9, dim=1), 0),
    ],
)
def test_where_the_host_waits(code: Callable, syncs: int) -> None:
    x, i = state(), placed(torch.tensor(1))
    traffic = of(lambda: code(x, i))
    assert traffic.syncs == syncs
    assert {op.place.rpartition(":")[0] for op in traffic.where} <= {"measure/test_traffic.py"}


def test_copies_cross_once() -> None:
    """From the host a launch that writes, to the host a read; neither is both."""
    x = state()
    up, down = of(lambda: torch.ones(2, N // 2).to(x.device)), of(x.cpu)
    assert (figures(up), up.read) == ((1, 1, 1, 1), 0)
    assert (figures(down), down.written) == ((0, 1, 0, 1), 0)


def test_work_of_the_host_costs_nothing() -> None:
    x = state()
    assert figures(of(lambda: (torch.ones(7) * 2).sum().item() + torch.zeros_like(x, device="cpu").numel())) == (0,) * 4


def test_values_are_those_of_the_host() -> None:
    host = torch.randn(3, 5)

    def code(x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros_like(x).add_(x, alpha=2)
        y[x > 0] = 0.0
        scale = torch.tensor([1.0, 2.0, 3.0], device=x.device)[:, None]
        return (y * scale + torch.arange(5, device=x.device)).clamp(-1, 2) @ x.mT

    with counted():
        got = code(placed(host))
        assert isinstance(got, DeviceTensor) and got.device == DEVICE and got.is_cuda and not got.is_cpu
        assert torch.equal(got.cpu(), code(host))


def test_views_share_memory_and_others_do_not() -> None:
    with counted():
        x = state()
        y = x.view(-1)
        y.zero_()
        assert x.untyped_storage()._cdata == y.untyped_storage()._cdata != state().untyped_storage()._cdata
        assert not bool(x.any())


def test_gradients_and_inference_mode() -> None:
    with counted() as counter:
        x = placed(torch.ones(3).requires_grad_())
        (slope,) = torch.autograd.grad((x * x).sum(), x)
        assert slope.tolist() == [2.0] * 3 and counter.traffic.launches >= 4
    y = state()
    with torch.inference_mode(), counted():
        y.view(-1)[:2].mul_(2)
        assert (y * 1).is_inference()


@pytest.mark.parametrize("code", [lambda x: torch.ones(2, N // 2) * x, lambda x: torch.ones(()).mul_(x[0, 0])])
def test_what_a_device_refuses(code: Callable) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        of(lambda: code(state()))


def test_a_tensor_of_the_device_is_no_array() -> None:
    for read in (torch.Tensor.numpy, DeviceTensor.numpy, DeviceTensor.__array__):
        with pytest.raises((TypeError, RuntimeError)):
            read(state())
    with pytest.raises(NotImplementedError, match="sparse"):
        placed(torch.eye(2).to_sparse())


def test_blocks_count_what_is_theirs() -> None:
    x = state()
    with counted(N) as counter:
        x + 1
        first = counter.traffic
        counter.restart()
        x.sum(1)
        with pytest.raises(RuntimeError, match="one block"), counted():
            pass
    x + 1
    assert (first.launches, first.small) == (1, 0)
    assert counter.traffic.launches == 1 and counter.traffic.where[0].name == "sum"
    with counted(N + 1) as counter:
        x + 1
    assert counter.traffic.small == counter.traffic.launches == 1
