"""What nvcc makes of the source, without a GPU: accesses of 16 bytes, one for every stream, all loads in flight, no spill.

One kernel a storage type, with a branch for every phase, each for 0, 1 and 2 copies of the network's input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from derive.backends._kernel import STATES, Kernel, X, Z, kernels
from runtime.native import PROJECTED
from tests.backends import sass
from tests.backends.sources import program_of, text_of
from tests.claims.shipped import DIFFERENT

pytestmark = pytest.mark.skipif(sass.NVCC is None, reason="nvcc is not installed")

HALF = {"f32": False, "f64": False, "f16": True, "bf16": True}
COPIES = (0, 1, 2)
WAYS = ((0, False, True), (1, False, True), (2, True, True), (2, True, False))
"""Of a projected step: copies of the network's input, whether it is asked for a pair, whether x0 is bounded."""


def moved(kernel: Kernel, half: bool) -> tuple[int, int]:
    """Streams that are loaded, and stored: of half precision, a state is two; normals are none."""
    streams = ([value for value, home in values if home != Z] for values in (kernel.loads, kernel.stores))
    return tuple(len(values) + half * sum(value in STATES for value in values) for values in streams)


def most(made: Sequence[Kernel], suffix: str) -> int:
    """Registers that a thread may have: two blocks on a multiprocessor, one of a step of double that draws."""
    return 255 if suffix == "f64" and any(home == Z for one in made for _, home in one.loads) else 128


def gated(name: str, arch: str, folder: Path) -> None:
    """All gates on one solver's source."""
    made = kernels(program_of(name))
    found = sass.compiled(text_of(program_of(name)), arch, folder)
    assert {*found.ptx} == {*found.said} == {f"step_{suffix}" for suffix in HALF}
    for suffix, half in HALF.items():
        kernel, streams = f"step_{suffix}", [moved(one, half) for one in made]
        loads = len(COPIES) * sum(reads for reads, _ in streams)
        stores = sum(writes + copies for _, writes in streams for copies in COPIES)
        assert found.local(kernel) == [0, 0, 0], (kernel, "stack, spills")
        assert found.registers(kernel) <= most(made, suffix), kernel
        assert Counter(sass.WIDE_PTX.findall(found.ptx[kernel])) == {"ld": loads, "st": stores}, kernel
        if found.code:
            assert sass.wide(found.code[kernel]) == (loads, stores), kernel
            flights = sorted(sass.flights(found.code[kernel]))
            assert flights == sorted(reads for reads, _ in streams for _ in COPIES), (kernel, "loads in flight")


def more(kernel: Kernel, half: bool, pair: bool, bounds: bool) -> int:
    """Streams that a projection loads besides: the other half of a pair, and x (a state) where the phase does without."""
    has_x = any(home == X for _, home in kernel.loads)
    return pair + (bounds and not has_x) * (1 + half)


def gated_projected(name: str, arch: str, folder: Path) -> None:
    """All gates on the step behind a projection, and on the kernel that finds a dynamic threshold."""
    made = kernels(program_of(name))
    found = sass.compiled(text_of(program_of(name)), arch, folder, PROJECTED)
    assert {*found.ptx} == {*found.said} == {f"{part}_{suffix}" for suffix in HALF for part in ("step", "select")}
    for suffix, half in HALF.items():
        streams = [(one, *moved(one, half)) for one in made]
        loads = [reads + more(one, half, *how) for one, reads, _ in streams for _, *how in WAYS]
        stores = sum(writes + copies for _, _, writes in streams for copies, *_ in WAYS)
        for kernel, flights, written in ((f"step_{suffix}", loads, stores), (f"select_{suffix}", [3 + half], 0)):
            assert found.local(kernel) == [0, 0, 0], (kernel, "stack, spills")
            assert found.registers(kernel) <= (most(made, suffix) if written else 64), kernel
            counts = Counter(sass.WIDE_PTX.findall(found.ptx[kernel]))
            assert (counts["ld"], counts["st"]) == (sum(flights), written), kernel
            if found.code:
                assert sass.wide(found.code[kernel]) == (sum(flights), written), kernel
                assert sorted(sass.flights(found.code[kernel])) == sorted(flights), (kernel, "loads in flight")


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2", pytest.param("sde_dpmpp_2m", marks=pytest.mark.slow)])
def test_every_stream_moves_once_in_16_bytes_and_nothing_is_spilled(name: str, tmp_path: Path) -> None:
    gated(name, "sm_90", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("name", DIFFERENT)
def test_so_it_is_for_every_solver_and_device(name: str, arch: str, tmp_path: Path) -> None:
    gated(name, arch, tmp_path)


@pytest.mark.parametrize("name", ["flow_ssprk3", pytest.param("sde_dpmpp_2m", marks=pytest.mark.slow)])
def test_guidance_and_bounds_take_their_streams_and_no_more(name: str, tmp_path: Path) -> None:
    """Of a solver whose stages do without x, and of one that draws."""
    gated_projected(name, "sm_90", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("name", DIFFERENT)
def test_so_they_do_for_every_solver_and_device(name: str, arch: str, tmp_path: Path) -> None:
    gated_projected(name, arch, tmp_path)


def instruction(text: str) -> str:
    return f"        /*0000*/                   {text} ;\n"


def test_loads_that_wait_for_one_another_are_told_apart() -> None:
    """Two loads and their sum, then a third load: three streams, of which two are in flight at once."""
    together = [
        "LDG.E.EF.128 R4, desc[UR4][R2.64]",
        "@P0 LDG.E.EF.128 R8, desc[UR4][R2.64+0x10]",
        "LDG.E.EF.128 R12, desc[UR4][R12.64]",
        "FADD R4, R4, R8",
        "STG.E.128 desc[UR4][R2.64], R4",
    ]
    assert sass.flights("".join(map(instruction, together))) == [3]
    one_later = [*together[:2], together[3], together[2], together[4]]
    assert sass.flights("".join(map(instruction, one_later))) == [2, 1]
    assert sass.flights(instruction("LDG.E R4, desc[UR4][R2.64]")) == []
    assert sass.wide("".join(map(instruction, together))) == (3, 1)
