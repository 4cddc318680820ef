"""``phiforge::step`` and its transpose on one phase: values, derivatives of every order and kind, the contract."""

from __future__ import annotations

import importlib
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev

from runtime import native, operators
from tests.backends.functional import (
    OPS,
    built,
    check_close,
    drawn,
    flat,
    phases_of,
    size,
    solver_of,
    steps_of,
)
from tests.backends.sources import EACH, program_of, text_of

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler: the torch step is taken"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.mark.parametrize("name", EACH)
def test_every_phase_and_its_gradients(name: str, folder: Path) -> None:
    """Values and gradients against the torch step, with a row for all and one per sample; what is carried passes."""
    torch.manual_seed(1)
    steps = steps_of(name)
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
    steps_of(name)
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
    steps = (solver_of("dpmpp_2m").fused()._step.STEPS, built("dpmpp_2m", wrong, folder, "wrong"))
    good = [torch.autograd.gradcheck(flat(s["main"], row), values, raise_exception=False) for s in steps]
    assert good == [True, False]


@pytest.mark.parametrize("transposed", [False, True], ids=["step", "adjoint"])
@pytest.mark.parametrize("name", ["unipc_2", "deis_tab2"])
def test_without_a_kernel_the_torch_step_is_taken(name: str, transposed: bool, folder: Path) -> None:
    """Its transpose as well: half precision, another device."""
    torch.manual_seed(11)
    steps_of(name)
    key, phase = (f"generated.{name}", "main"), operators._PHASES[f"generated.{name}", "main"]
    row = torch.randn(len(solver_of(name).coefficients.COLUMNS), dtype=torch.float64)
    values = drawn(len(phase.makes if transposed else phase.reads), (2, 3))
    want = OPS[transposed](values, row, *key)
    check_close(operators._expressed(values, row, *key, transposed), want, 1e-14)
    halves = [v.bfloat16() for v in values]
    found = OPS[transposed](halves, row.bfloat16(), *key)
    assert not {v.data_ptr() for v in halves} & {v.data_ptr() for v in found}
    check_close([v.double() for v in found], want, 0.1)
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
