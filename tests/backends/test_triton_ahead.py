"""What triton makes of a step for a GPU, without one: accesses of 16 bytes, one for every stream, all in flight, no spill.

Sizes are no constants of the kernel, so what is seen holds for ragged ones too. Each phase is there twice: for full blocks,
where a stream is one access of 16 bytes, and for the ends of a sample, element by element. Nothing is run.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("triton")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from derive.backends._kernel import STATES, Kernel, Z, kernels
from runtime import fused_step_triton, triton_loop
from runtime.triton_loop import THREADS
from tests.backends import sass
from tests.backends.sources import program_of
from tests.backends.tritons import module_of, text_of
from tests.claims.shipped import NAMES, different

TYPES = {
    "bf16": ("*bf16", "*fp32", 2),
    "f16": ("*fp16", "*fp32", 2),
    "f32": ("*fp32", "*fp32", 4),
    "f64": ("*fp64", "*fp64", 8),
}
"""Pointers to what is stored and to coefficients, bytes of an element."""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))


@dataclass(frozen=True)
class Built:
    """A kernel: its PTX, its machine code, and what cuobjdump says of its registers and memory."""

    ptx: str
    code: str
    used: dict[str, int]


def built(
    module: ModuleType,
    kind: str,
    copies: int,
    arch: int,
    folder: Path,
    pair: bool = False,
    bounded: bool = False,
    drawing: bool = False,
) -> Built:
    """The step as the engine launches it: sizes of any value, pointers at multiples of 16 bytes."""
    stored, number, size = TYPES[kind]
    types = {
        "state": stored,
        "low": stored if size == 2 else None,
        "raw": stored,
        "order": "*i32",
        "table": number,
        "counter": "*i64",
        "times": number,
        "t": number,
        "net": stored if copies else None,
        "twin": stored if copies > 1 else None,
        "scales": number if copies else None,
        "noise": "*i64" if drawing else None,
        "other": stored if pair else None,
        "guide": number if pair or bounded else None,
        "limits": number if bounded else None,
        **dict.fromkeys(("n", "stride", "rows", "batch"), "i64"),
        "blocks": "i32",
    }
    constants: dict[str, Any] = {
        "PHASES": module.phases,
        "RING": module.RING,
        "COLUMNS": module.COLUMNS,
        "BLOCK": 16 * THREADS // size,
        "THREADS": THREADS,
    }
    words = module.WORDS[size == 2] + triton_loop.more(pair, bounded, size == 2)
    options = triton_loop.options(words, pair or bounded, drawing)
    return compiled(fused_step_triton.step, types, constants, options, arch, folder)


def selection(kind: str, pair: bool, arch: int, folder: Path) -> Built:
    """The kernel that finds thresholds, as the engine launches it."""
    stored, number, size = TYPES[kind]
    types = {
        "state": stored,
        "low": stored if size == 2 else None,
        "raw": stored,
        "order": "*i32",
        "counter": "*i64",
        "other": stored if pair else None,
        "guide": number,
        "limits": number,
        "rule": "*fp64",
        **dict.fromkeys(("n", "stride", "rows"), "i64"),
    }
    threads = triton_loop.selecting(size)
    constants = {"RING": 1, "BLOCK": 16 * threads // size, "THREADS": threads}
    return compiled(fused_step_triton.select, types, constants, triton_loop.selection(size), arch, folder)


def compiled(
    kernel: Any,
    types: dict[str, str | None],
    constants: dict[str, Any],
    options: dict[str, Any],
    arch: int,
    folder: Path,
) -> Built:
    """A kernel with arguments of these types; None: an argument that is None."""
    constants = {**constants, **{name: None for name, kind in types.items() if kind is None}}
    signature = {name: types.get(name) or "constexpr" for name in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind.startswith("*")}
    source = ASTSource(kernel, signature, constants, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    file = folder / "step.cubin"
    file.write_bytes(made.asm["cubin"])
    tool = sass.disassembler()
    assert tool, "triton's wheel has nvdisasm"
    said = run(Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump", "-res-usage", file)
    used = {k: int(v) for k, v in re.findall(r"(REG|STACK|LOCAL):(\d+)", said)}
    return Built(made.asm["ptx"], run(tool, "-c", file), used)


def run(*command: Path | str) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def moved(kernel: Kernel, kind: str) -> tuple[int, int]:
    """Streams that are loaded, and stored: of half precision, a state is two; normals are none."""
    half = TYPES[kind][2] == 2
    streams = ([value for value, home in values if home != Z] for values in (kernel.loads, kernel.stores))
    reads, writes = (len(values) + half * sum(value in STATES for value in values) for values in streams)
    return reads, writes


def gated(name: str, kind: str, copies: int, arch: int, folder: Path, text: str | None = None) -> None:
    """All gates on one solver's kernel."""
    program = program_of(name)
    module, drawing = (
        module_of(text or text_of(program), folder, f"{name}_ahead"),
        any(p.draws for p in program.phases),
    )
    made = built(module, kind, copies, arch, folder, drawing=drawing)
    streams = [moved(kernel, kind) for kernel in kernels(program)]
    loads, stores = (sum(counts) for counts in zip(*streams))
    assert (made.used["STACK"], made.used["LOCAL"]) == (0, 0)
    assert not [found for found, _ in sass.instructions(made.code) if found.startswith(("LDL", "STL"))]
    assert made.used["REG"] <= 80 + 32 * drawing
    assert sass.wide(made.code) == (loads, stores + copies * len(streams)), "one access of 16 bytes for every stream"
    assert sorted(sass.flights(made.code)) == sorted(reads for reads, _ in streams), "loads in flight"
    assert sass.behind(made.code) == 0, "loads behind a store"
    assert not re.search(r"\bfma\.", made.ptx), "a product and a sum are two roundings"
    before = made.ptx[made.ptx.rindex("st.global", 0, made.ptx.index("atom.")) : made.ptx.index("atom.")]
    assert "bar.sync" in before, "the step is read by all threads of a block before the block draws its ticket"


@pytest.mark.parametrize(
    ("name", "kind", "copies"), [("dpmpp_2m", "bf16", 0), ("unipc_2", "f32", 2), ("sde_dpmpp_2m", "bf16", 0)]
)
def test_every_stream_moves_once_in_16_bytes_and_nothing_is_spilled(
    name: str, kind: str, copies: int, tmp_path: Path
) -> None:
    gated(name, kind, copies, 90, tmp_path)


def test_another_traffic_is_seen(tmp_path: Path) -> None:
    """A state without its low part."""
    text = text_of(program_of("ddim")).replace("load_state(block, 0)", "load(block, 0)")
    text = text.replace("coefficient, load_raw, load_state", "coefficient, load, load_raw")
    with pytest.raises(AssertionError, match="one access"):
        gated("ddim", "bf16", 0, 90, tmp_path, text)


def test_loads_that_wait_for_each_other_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many registers as ptxas likes: fewer than it takes to have all streams in flight."""
    monkeypatch.setattr(triton_loop, "options", lambda *_: {"num_warps": 8, "enable_fp_fusion": False})
    with pytest.raises(AssertionError, match="loads in flight"):
        gated("unipc_2", "bf16", 2, 90, tmp_path)


def test_a_load_behind_a_store_is_seen() -> None:
    store, load, leave = "STG.E.128 [R2.64], R4", "LDG.E R8, [R2.64+0x8]", "BRA `(.L_x_1)"
    for lines, count in ((load, store, store), 0), ((store, load, store, load), 2), ((store, leave, load), 0):
        assert sass.behind("".join(f"/*0000*/ {line} ;" for line in lines)) == count


@pytest.mark.slow
@pytest.mark.parametrize("arch", [80, 90, 100])
@pytest.mark.parametrize("kind", ["bf16", "f32"])
@pytest.mark.parametrize("name", different(NAMES))
def test_so_it_is_for_every_solver_and_device(name: str, kind: str, arch: int, tmp_path: Path) -> None:
    gated(name, kind, 2, arch, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [0, 1, 2])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ["dpmpp_3m", "exprk5s8"])
def test_so_it_is_for_every_type(name: str, kind: str, copies: int, tmp_path: Path) -> None:
    gated(name, kind, copies, 90, tmp_path)
