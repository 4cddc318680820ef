"""Operations on exact numbers beside torch's own on the same floats, and samplers that are right only if these agree."""

from __future__ import annotations

import mpmath
import pytest
import torch

from derive.audit import side
from derive.audit.exact import Exact, Exactly, entries
from derive.audit.judge import audit_sampler
from derive.audit.probe import STEPS, grid
from derive.audit.samplers import KDiffusion
from tests.audit import foreign_torch

VALUES = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4) / 8 - 1


def exact(values: torch.Tensor) -> Exact:
    return Exact(entries(values))


def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    assert isinstance(found, Exact) and found.array.shape == wanted.shape
    return all(abs(a - b) < 1e-15 for a, b in zip(found.array.reshape(-1), wanted.reshape(-1).tolist()))


@pytest.mark.parametrize("name", ["mean", "sum"])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 0, 1, -1, (0, 2), [1, -1], ()])
def test_a_reduction_is_that_of_torch(name, dim, keepdim):
    with Exactly():
        found = getattr(torch, name)(exact(VALUES), dim=dim, keepdim=keepdim)
    assert same(found, getattr(torch, name)(VALUES, dim=dim, keepdim=keepdim))


def test_a_dimension_may_be_called_axis():
    with Exactly():
        x = exact(VALUES)
        assert same(x.mean(axis=1, keepdims=True), VALUES.mean(axis=1, keepdims=True))
        assert same(torch.cat([x, x], axis=1), torch.cat([VALUES, VALUES], axis=1))
        assert same(x.mean(), VALUES.mean()) and same(x.mean(-1), VALUES.mean(-1))


@pytest.mark.parametrize("dims", [(), (1,), (0, 1), (1, 2), (-2,)])
def test_flatten_keeps_the_dimensions_before_and_after(dims):
    with Exactly():
        assert same(exact(VALUES).flatten(*dims), VALUES.flatten(*dims))
        assert same(torch.flatten(exact(VALUES), *dims), torch.flatten(VALUES, *dims))
        assert same(exact(VALUES[0, 0, 0]).flatten(), VALUES[0, 0, 0].flatten())


@pytest.mark.parametrize("size", [(2, 3), (5, 2, 3), (-1, 3), (4, -1, 3)])
def test_expand_adds_dimensions_in_front(size):
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    with Exactly():
        assert same(exact(x).expand(*size), x.expand(*size))
        assert same(exact(x[:1, 0]).expand(2, 3), x[:1, 0].expand(2, 3))


COPIES = {
    "clone": lambda x: x.clone(),
    "to, by name": lambda x: x.to(torch.float64, copy=True),
    "to, in its place": lambda x: x.to("cpu", torch.float64, False, True),
    "tensor": torch.tensor,
    "flip": lambda x: x.flip(0),
    "nan_to_num": lambda x: x.nan_to_num(),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_one(name):
    with Exactly():
        x = exact(VALUES)
        y = COPIES[name](x)
        y += 1
        y.mul_(2)
        y -= 1
        y /= 3
        assert same(x, VALUES) and same(y, (2 * (COPIES["flip"](VALUES) if name == "flip" else VALUES) + 1) / 3)


def test_a_tensor_of_one_number_is_exact():
    with Exactly():
        value = mpmath.mpf(3) / 7
        for make in (torch.tensor, torch.as_tensor):
            assert make(value).item() == value and make([value, 1.0]).tolist() == [value, 1]


def test_what_torch_does_not_copy_is_the_same_tensor():
    with Exactly():
        x = exact(VALUES)
        for y in (x.to(torch.float64), x.detach(), x.type(torch.float64), x.double()):
            y += 1
        assert same(x, VALUES + 4) and x.type() == VALUES.type()


def test_states_that_are_written_over_are_kept_as_they_were():
    found = []
    for name in ("heun_mean", "heun_in_place"):
        run = KDiffusion(name, getattr(foreign_torch, f"sample_{name}"), {}, 2)
        found.append(side._responses(run, grid(0), torch.float64))
    assert found[1] == pytest.approx(found[0], rel=1e-12) and len(set(found[1])) == len(found[1]) == STEPS


@pytest.mark.parametrize("name", ["heun_mean", "heun_clone", "heun_in_place"])
def test_a_right_sampler_is_as_claimed(name):
    function = getattr(foreign_torch, f"sample_{name}")
    found = audit_sampler(KDiffusion(name, function, {}, 2), beside=False)
    assert found.holds and found.data["order"] == 2 == found.data["order_by_jets"] and found.data["exact"]
