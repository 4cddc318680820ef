"""The C++ build of the fused step is the program: values against the interpreter, and what the runtime does with it."""

from __future__ import annotations

import importlib
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from derive.program.interpret import run_phase
from derive.program.ir import Phase
from derive.program.memory import flow
from runtime import api, native
from tests.backends.loops import network, plan_of
from tests.backends.sources import EACH, program_of
from tests.claims.test_step_matches_interpreter import relative

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler: the torch step is taken"
)

BOUNDS = {torch.float64: 1e-13, torch.float32: 2e-7}
SHAPES = ((), (1,), (0, 3), (7,), (3, 5), (2, 3, 5, 7), (257, 3), (4099,))


def solver_of(name: str) -> Any:
    return importlib.import_module(f"generated.{name}").solver


def ring_of(x: torch.Tensor, past: Sequence[torch.Tensor], count: int) -> tuple[torch.Tensor, ...]:
    """Memory as a solve has it: live values first, then buffers with anything in them."""
    return (*past, *(torch.full_like(x, 9) for _ in range(count - len(past))))


def differences(
    solver: Any, phase: Phase, tensors: Sequence[torch.Tensor], row: torch.Tensor, whole: bool
) -> list[float]:
    """How far the step in place is from the interpreter, by element, over the sum of its terms' sizes."""
    x, raw, *past = tensors
    numbers = dict(zip(solver.coefficients.COLUMNS, row.double().tolist(), strict=True))
    want, kept = run_phase(phase, numbers, *_arrays(x, past), lambda _: raw.double().numpy())
    sizes = {name: abs(v) for name, v in numbers.items()}
    size, kept_sizes = run_phase(
        phase, sizes, *_arrays(x.abs(), [p.abs() for p in past]), lambda _: raw.abs().double().numpy()
    )
    buffers = (x, *ring_of(x, past, solver._step.RING))
    before, version = raw.clone(), [b._version for b in buffers]
    c = row if whole else tuple(row.unbind(0))
    new, ring = solver._step.STEPS_[phase.name](buffers[0], raw, buffers[1:], c)
    assert torch.equal(raw, before)
    assert all(b._version > v for b, v in zip(buffers, version, strict=True))
    assert sorted(map(id, (new, *ring))) == sorted(map(id, buffers))
    found = [(new, want, size), *zip(ring, kept, kept_sizes)]
    return [relative(got, *rest) for got, *rest in found]


def _arrays(x: torch.Tensor, past: Sequence[torch.Tensor]) -> tuple[np.ndarray, list[np.ndarray]]:
    return x.double().numpy(), [p.double().numpy() for p in past]


def laid_out(shape: tuple[int, ...], way: str, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Random numbers, dense or not."""
    if way == "dense":
        return torch.randn(shape, dtype=dtype, generator=generator)
    if way == "turned":
        return torch.randn(shape[::-1], dtype=dtype, generator=generator).permute(*reversed(range(len(shape))))
    return torch.randn((*shape[:-1], 2 * shape[-1]), dtype=dtype, generator=generator)[..., ::2]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("name", EACH)
def test_every_phase_on_every_shape(name: str, dtype: torch.dtype) -> None:
    """With rows at random. A result is the end of a chain of products and sums: half an eps for each of a long one."""
    solver, generator = solver_of(name).fused(), torch.Generator().manual_seed(5)
    assert solver._step.WHOLE_ROWS
    entries = flow(program_of(name)).entries
    cases = [(shape, "dense", "dense", True) for shape in SHAPES]
    cases += [
        ((5, 3, 4), *ways, False)
        for ways in (("turned", "turned"), ("turned", "dense"), ("dense", "gaps"), ("gaps", "dense"))
    ]
    for phase in program_of(name).phases:
        chain = sum(2 * len(line.terms) - 1 for line in phase.lines)
        bound = max(BOUNDS[dtype], min(chain, 8) * torch.finfo(dtype).eps / 2)
        row = torch.randn(len(solver.coefficients.COLUMNS), dtype=dtype, generator=generator)
        for count in sorted({len(memory) for memory in entries[phase.name]}):
            for shape, way, raw_way, whole in cases:
                x, *past = (laid_out(shape, way, dtype, generator) for _ in range(count + 1))
                raw = laid_out(shape, raw_way, dtype, generator)
                found = differences(solver, phase, (x, raw, *past), row, whole)
                assert max(found) <= bound, (phase.name, shape, way)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("way", ["dense", "turned"])
def test_a_row_per_sample(name: str, way: str) -> None:
    solver, generator = solver_of(name).fused(), torch.Generator().manual_seed(6)
    columns = len(solver.coefficients.COLUMNS)
    rows = torch.randn((columns, 4, 1, 1), dtype=torch.float64, generator=generator)
    for phase in program_of(name).phases:
        count = len(phase.memory)
        x, raw, *past = (laid_out((4, 3, 2), way, torch.float64, generator) for _ in range(count + 2))
        for c in (rows, tuple(rows.unbind(0))):
            state, ring = x.clone(), ring_of(x, [p.clone() for p in past], solver._step.RING)
            new, _ = solver._step.STEPS_[phase.name](state, raw, ring, c)
            for b in range(4):
                numbers = dict(zip(solver.coefficients.COLUMNS, rows[:, b, 0, 0].tolist(), strict=True))
                want, _ = run_phase(
                    phase, numbers, x[b].numpy(), [p[b].numpy() for p in past], lambda _, b=b, r=raw: r[b].numpy()
                )
                assert relative(new[b], want) <= 1e-13


@pytest.mark.parametrize("name", EACH)
def test_whole_solves(name: str) -> None:
    plain, generator = solver_of(name), torch.Generator().manual_seed(7)
    fused = plain.fused()
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 1e-1)):
        x = torch.randn((3, 2, 5), dtype=torch.float64, generator=generator).to(dtype)
        got, want = (s.sample(network, x, plan=plan_of(s)) for s in (fused, plain))
        assert relative(got, want.double().numpy()) <= bound
    seen: list[int] = []
    hooks = {"after_step": lambda x, i, t: x.clone(), "before_eval": lambda x, t: x.clone()}
    x = torch.randn((3, 4, 4), dtype=torch.float64, generator=generator)
    even = torch.linspace(0.1, 0.8, (len(getattr(plain.coefficients, "TABLE", ())) or 3) + 1, dtype=torch.float64)
    first, last = plain.domain
    grids = first + torch.stack((even, even**1.3, even)) * (last - first)
    got, want = (
        s.sample(network, x, nodes=grids, hooks=hooks, callback=lambda i, *_: seen.append(i), check="step")
        for s in (fused, plain)
    )
    assert relative(got, want.numpy()) <= 1e-12
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :] != []


def test_inference_mode_and_its_tensors() -> None:
    plain = solver_of("unipc_2")
    with torch.inference_mode():
        x = torch.randn((2, 3), dtype=torch.float64)
        assert relative(plain.fused().sample(network, x, steps=5), plain.sample(network, x, steps=5).numpy()) <= 1e-12


class Counted(TorchDispatchMode):
    """Every operation of torch that is carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", EACH)
def test_a_step_calls_nothing_of_torch(name: str) -> None:
    """No operation, so no allocation and no number that travels through Python."""
    solver = solver_of(name).fused()
    plan, x = plan_of(solver, 6), torch.randn(2, 33)
    state = solver.step(plan, 0, solver.init(plan, x), torch.randn(2, 33))
    raw = torch.randn(2, 33)
    with torch.no_grad(), Counted() as counted:
        for i in range(1, plan.steps):
            state = solver.step(plan, i, state, raw)
    assert not counted.names


def test_what_autograd_has_saved_is_not_overwritten_in_silence() -> None:
    solver = solver_of("dpmpp_2m").fused()
    plan, w = solver.plan(steps=4), torch.ones(3, requires_grad=True)
    state = solver.step(plan, 0, solver.init(plan, torch.randn(2, 3)), torch.randn(2, 3))
    loss = (state.x * w).sum()  # saves state.x
    solver.step(plan, 1, state, torch.randn(2, 3))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def call(x: Any = None, raw: Any = None, m: Any = None, c: Any = None) -> Any:
    """main of dpmpp_2m with something else for one argument."""
    x, raw, m, c = (
        given if given is not None else own
        for given, own in ((x, torch.ones(2, 3)), (raw, torch.ones(2, 3)), (m, (torch.ones(2, 3),)), (c, torch.ones(5)))
    )
    return solver_of("dpmpp_2m").fused()._step.STEPS_["main"](x, raw, m, c)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"m": ()}, ValueError, "1"),
        ({"m": (torch.ones(2, 3), torch.ones(2, 3))}, ValueError, "1"),
        ({"raw": torch.ones(3, 2)}, ValueError, "shapes"),
        ({"raw": torch.ones(5)}, ValueError, "shapes"),
        ({"m": (torch.ones(4),)}, ValueError, "shapes"),
        ({"m": (torch.ones(2, 3, dtype=torch.float64),)}, TypeError, "float32, float64"),
        ({"x": torch.ones(2, 3).half()}, TypeError, "float16"),
        ({"x": torch.ones(2, 3, device="meta")}, TypeError, "meta"),
        ({"raw": 1.0}, (TypeError, AttributeError), "float"),
        ({"c": torch.ones(4)}, ValueError, "5 coefficients"),
        ({"c": torch.ones(5, 3)}, ValueError, "5 coefficients"),
        ({"c": (1.0,) * 4}, ValueError, "5 coefficients"),
    ],
)
def test_arguments_that_a_kernel_cannot_take(wrong: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(**wrong)


def test_numbers_of_other_types_are_taken() -> None:
    want = call()[0]
    for other in (
        {"raw": torch.ones(2, 3).bfloat16()},
        {"raw": torch.ones(1, 1).expand(2, 3)},
        {"c": (1.0,) * 5},
        {"c": torch.ones(5, dtype=torch.float64)},
        {"c": torch.ones(5, 2, 1)},
        {"raw": -torch._neg_view(torch.ones(2, 3)) * 1},
    ):
        assert torch.equal(call(**other)[0], want)
    assert torch.equal(call(raw=torch._neg_view(torch.ones(2, 3)))[0], call(raw=-torch.ones(2, 3))[0])


# Building


def test_a_solver_without_the_source_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SOURCE", "step_of_another_language.cu")
    with pytest.raises(ValueError, match="add cuda to the spec's backends"):
        api._fused.__wrapped__(solver_of("ddim"))
    with pytest.raises(ValueError, match="allowed"):
        solver_of("ddim").fused("gpu")


def test_fused_once_and_not_compiled_again() -> None:
    fused = solver_of("ddim").fused()
    assert fused is solver_of("ddim").fused() is fused.fused()
    with pytest.raises(ValueError, match="compiled already"):
        fused.compiled()


@pytest.mark.parametrize(
    ("compiler", "message"), [("no-such-compiler", "no C\\+\\+ compiler"), ("false", "exits with 1")]
)
def test_without_a_compiler_the_torch_step_is_taken(
    compiler: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path / "cache"))
    api._fused.cache_clear()
    with pytest.warns(RuntimeWarning, match=message):
        assert solver_of("ddim").fused() is solver_of("ddim")
    api._fused.cache_clear()


def test_a_library_is_built_once_and_in_one_piece(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(solver_of("ddim")._step.__file__).with_name(native.SOURCE)
    monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path / "cache"))
    first = native.build(source)
    assert [first] == list((tmp_path / "cache").iterdir())
    monkeypatch.setattr(native, "_compile", lambda *_: pytest.fail("compiled again"))
    assert native.build(source) == first
    monkeypatch.undo()
    monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, "-fno-such-flag"))
    with pytest.raises(native.NoCompilerError, match="no-such-flag"):
        native.build(source)
    assert [first] == list((tmp_path / "cache").iterdir())


def test_a_cache_that_others_may_write_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(solver_of("ddim")._step.__file__).with_name(native.SOURCE)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("")
    for place, message in (("open", "others may write"), ("file", "no place")):
        monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path / place))
        with pytest.raises(native.NoCompilerError, match=message):
            native.build(source)


def test_nothing_is_built_by_importing_a_solver() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not hasattr(solver_of("ddim")._step, "WHOLE_ROWS")
