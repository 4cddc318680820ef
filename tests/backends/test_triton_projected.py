"""Guidance, clip and dynamic threshold in Triton: interpreted, against the torch step; and what is made of it for a GPU.

From the same buffers both give the same bits: every product and sum is rounded by itself, in one order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from derive.backends._kernel import X, kernels
from runtime import engines
from runtime.loop import Loop
from runtime.projection import projection
from runtime.triton_loop import SELECTING, Triton, selecting
from tests.backends import sass
from tests.backends.loops import network, noise, plan_of, solver_of, state_of
from tests.backends.sources import program_of
from tests.backends.test_loop_projected import OTHERS, SOLVERS, close, copied, kinds, model_of
from tests.backends.test_triton_ahead import TYPES, built, moved, selection
from tests.backends.tritons import interpreting, module_of, text_of
from tests.claims.shipped import DIFFERENT
from tests.projections import WAYS

every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def interpreted() -> Iterator[None]:
    with interpreting():
        yield


def loop_of(name: str, plan: Any, x: torch.Tensor, options: dict[str, Any]) -> Loop:
    """With the Triton step, on a CPU."""
    solver = solver_of(name)
    return Loop(solver, plan, x, None, None, Triton(name, solver._step), projection(**options))


def assert_alike(name: str, plan: Any, x: torch.Tensor, options: dict[str, Any], calls: int) -> None:
    """Call by call from the same buffers as the torch step: the state, what the network reads, its times, the limits."""
    one, two = loop_of(name, plan, x, options), solver_of(name).loop(plan, x, backend="torch", **options)
    for seed in range(calls):
        raw = 2 * noise(one.x.shape, x.dtype, seed)
        copied(one, two, program_of(name).phase(plan.phases[seed]).memory)
        one.step(raw)
        two.step(raw)
        assert one.limits is None or torch.equal(one.limits, two.limits), seed
        assert torch.equal(state_of(one), state_of(two)), seed
        assert torch.equal(one.x, two.x) and torch.equal(one.t, two.t), seed
        assert one.counter.tolist() == [seed + 1, 0, one.steps]


# Interpreted


@pytest.mark.usefixtures("interpreted")
@every_way
@pytest.mark.parametrize("name", SOLVERS)
def test_the_bits_of_the_torch_step(name: str, way: str) -> None:
    """Of an odd size, with samples that begin anywhere."""
    per_call = way == "guidance and clip"
    options, plan = (OTHERS if per_call else WAYS)[way], plan_of(solver_of(name), 3)
    if per_call:
        options = {**options, "guidance": [1.0 + i for i in range(plan.steps)]}
    dtype = (torch.float64, torch.float32)[(SOLVERS.index(name) + list(WAYS).index(way)) % 2]
    assert_alike(name, plan, 2 * noise((3, 5, 7), dtype), options, 3 - ("threshold" in options))


@pytest.mark.usefixtures("interpreted")
@every_way
def test_states_of_two_numbers(way: str) -> None:
    """Triton's interpreter rounds to float16 as torch does; to bfloat16 it cuts."""
    solver = solver_of("unipc_2")
    assert_alike("unipc_2", plan_of(solver, 4), 2 * noise((2, 77), torch.float16), WAYS[way], 2)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("options", [{"clip": 0.5}, {"guidance": 2.0, "threshold": (0.8, 1e6)}], ids=str)
def test_a_grid_for_every_sample(options: dict[str, Any]) -> None:
    plan = solver_of("unipc_2").plan(nodes=[[1.0, 0.7, 0.4], [0.9, 0.5, 0.2], [0.95, 0.6, 0.1]])
    assert_alike("unipc_2", plan, 2 * noise((3, 2, 5)), options, plan.steps)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 64), (2, 4 * SELECTING), (2, 4 * SELECTING + 77), (3, 2 * SELECTING - 1)]
)
def test_full_blocks_and_what_is_left(shape: tuple[int, ...]) -> None:
    """A block takes 1024 elements of the step, 4096 where it finds a threshold. No bound is the most: each sample has its own."""
    options = {"guidance": 3.0, "threshold": (0.9, 1e6)}
    assert_alike("dpmpp_2m", plan_of(solver_of("dpmpp_2m"), 3), 2 * noise(shape, torch.float32), options, 1)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_limit_is_exact(dtype: torch.dtype) -> None:
    """Two order statistics from a sort, and what lies between them, bit for bit. x0 = dr raw at x = 0, with dr = -1."""
    solver = solver_of("dpmpp_2m")
    plan = plan_of(solver, 3)
    for count in (2, 65):
        x = torch.stack([sample[0] for sample in kinds(count, dtype).values()])
        ordered = x.abs().sort(1).values
        loop = loop_of("dpmpp_2m", plan, torch.zeros_like(x), {"threshold": (0.5, 1e9)})
        for quantile in (0.0, 0.9, 1.0):
            loop.restart(plan, torch.zeros_like(x), threshold=(quantile, 1e9))
            loop.guide[:, 0] = torch.tensor([1.0, 1.0, -1.0, -1.0])
            loop.step(x)
            place = quantile * (count - 1)
            k = min(int(place), count - 1)
            low, high = ordered[:, k], ordered[:, min(k + 1, count - 1)]
            s = (low + (place - k) * (high - low)).clamp(1, 1e9)
            assert torch.equal(loop.limits, torch.stack([s, 1 / s], 1)), (count, quantile)


@pytest.mark.usefixtures("interpreted")
def test_what_is_not_finite_is_left_so() -> None:
    solver = solver_of("dpmpp_2m")
    for options in ({"clip": 0.5}, {"threshold": (0.5, 2.0)}, {"guidance": 2.0}):
        loop = loop_of("dpmpp_2m", plan_of(solver, 3), torch.ones(2, 8), options)
        raw = torch.zeros(loop.x.shape)
        raw[1, 2], raw[1, 3] = float("nan"), float("inf")
        loop.step(raw)
        assert loop.result()[1, 2].isnan() and loop.result()[0].isfinite().all()


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("way", ["guidance and clip", "guidance and threshold"])
def test_whole_solves_with_numbers_that_change(way: str) -> None:
    """In the same buffers, and with a model that returns the buffer that it was given."""
    solver, x = solver_of("unipc_2"), 2 * noise((2, 7))
    plan, model = plan_of(solver, 3), model_of(WAYS[way])
    loop = loop_of("unipc_2", plan, x, WAYS[way])
    assert close(loop.solved(model), solver.sample(model, x, plan=plan, **WAYS[way]), 1e-13)
    loop.restart(plan, x, **OTHERS[way])
    assert close(loop.solved(lambda x, t: x), solver.sample(lambda x, t: x.clone(), x, plan=plan, **OTHERS[way]), 1e-13)
    with pytest.raises(RuntimeError, match="all of its"):
        loop.step(loop.x)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("what", range(6))
def test_a_wrong_number_in_a_row_is_seen(what: int) -> None:
    """g, dx, dr, 1/dr; the bound, the factor."""
    plan, x = plan_of(solver_of("unipc_2"), 5), 2 * noise((3, 11))
    one, two = (loop_of("unipc_2", plan, x, {"guidance": 3, "clip": 30}) for _ in range(2))
    spoilt, place = (one.guide[0, 0], what) if what < 4 else (one.limits[0], what - 4)
    spoilt[place] *= 1 + 1e-6
    for loop in (one, two):
        loop.step(noise((6, 11)))
    assert not close(state_of(one), state_of(two), 1e-9)


@pytest.mark.usefixtures("interpreted")
def test_an_empty_batch_and_a_launch_too_many() -> None:
    """Neither finds a threshold; steps are counted."""
    plan = plan_of(solver_of("unipc_2"), 2)
    empty = loop_of("unipc_2", plan, torch.zeros(0, 4), {"guidance": 2.0, "threshold": (0.9, 2.0)})
    assert empty.solved(network).shape == (0, 4) and empty.counter.tolist() == [2, 0, 2]
    loop = loop_of("unipc_2", plan, noise((2, 4)), {"threshold": (0.9, 2.0)})
    loop.solved(network)
    loop.limits.fill_(7)
    before = loop.state.clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.triton_loop.checked", lambda counter: 0)
        loop.step(100 * noise((2, 4)))
    assert torch.equal(loop.state, before) and bool((loop.limits == 7).all())


@pytest.mark.usefixtures("interpreted")
def test_the_engine_is_one_that_loops_may_ask_for() -> None:
    assert isinstance(engines._made("key", "triton", solver_of("dpmpp_2m"), True), Triton)


# Ahead of time

PROJECTED = ((0, False, True), (2, True, False), (2, True, True))
"""Copies of the network's input, whether it is asked for a pair, whether x0 is bounded."""


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))


def gated(name: str, kind: str, arch: int, folder: Path, copies: int, pair: bool, bounded: bool) -> None:
    """A projection loads the other half of a pair, and x where a phase does without; otherwise as the plain step."""
    program, half = program_of(name), TYPES[kind][2] == 2
    made = built(module_of(text_of(program), folder, f"{name}_ahead"), kind, copies, arch, folder, pair, bounded)
    reads, stores = [], copies * len(program.phases)
    for kernel in kernels(program):
        loads, writes = moved(kernel, kind)
        has_x = any(home == X for _, home in kernel.loads)
        reads.append(loads + pair + (bounded and not has_x) * (1 + half))
        stores += writes
    assert sass.wide(made.code) == (sum(reads), stores), "one access of 16 bytes for every stream"
    assert sorted(sass.flights(made.code)) == sorted(reads), "loads in flight"
    assert sass.behind(made.code) == 0, "loads behind a store"
    assert made.used["REG"] <= 96
    nothing_spilled(made)


def nothing_spilled(made: Any) -> None:
    assert (made.used["STACK"], made.used["LOCAL"]) == (0, 0)
    assert not [found for found, _ in sass.instructions(made.code) if found.startswith(("LDL", "STL"))]
    assert not re.search(r"\bfma\.", made.ptx), "a product and a sum are two roundings"


def gated_selection(kind: str, arch: int, pair: bool, folder: Path) -> None:
    """x, raw, the other half of a pair and the low part: in flight together, 16 bytes a thread; there are 2^16
    registers.
    """
    made = selection(kind, pair, arch, folder)
    reads = 2 + pair + (TYPES[kind][2] == 2)
    assert sass.wide(made.code) == (reads, 0) and sass.flights(made.code) == [reads]
    assert made.used["REG"] * selecting(TYPES[kind][2]) <= 2**16
    nothing_spilled(made)


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize(
    ("name", "kind", "way"), [("dpmpp_2m", "bf16", PROJECTED[2]), ("unipc_2", "f32", PROJECTED[2])]
)
def test_guidance_and_bounds_take_their_streams_and_no_more(name: str, kind: str, way: Any, tmp_path: Path) -> None:
    gated(name, kind, 90, tmp_path, *way)


@pytest.mark.usefixtures("cache_folder")
def test_a_threshold_reads_each_stream_once_a_pass(tmp_path: Path) -> None:
    gated_selection("f32", 90, True, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("arch", [80, 90, 100])
@pytest.mark.parametrize("kind", TYPES)
def test_so_it_does_for_every_type_and_device(kind: str, arch: int, pair: bool, tmp_path: Path) -> None:
    gated_selection(kind, arch, pair, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize("way", PROJECTED, ids=str)
@pytest.mark.parametrize("arch", [80, 90, 100])
@pytest.mark.parametrize("kind", ["bf16", "f32"])
@pytest.mark.parametrize("name", DIFFERENT)
def test_so_they_do_for_every_solver_and_device(name: str, kind: str, arch: int, way: Any, tmp_path: Path) -> None:
    gated(name, kind, arch, tmp_path, *way)


@pytest.mark.slow
@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize("arch", [80, 90, 100])
@pytest.mark.parametrize("kind", ["f16", "f64"])
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2"])
def test_so_they_do_for_every_type(name: str, kind: str, arch: int, tmp_path: Path) -> None:
    for way in PROJECTED:
        gated(name, kind, arch, tmp_path, *way)
