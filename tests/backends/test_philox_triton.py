"""Noise in Triton: interpreted, the bits of the torch function; compiled ahead, nothing spilled, nothing contracted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from runtime import philox
from tests.backends import philox_reference as reference
from tests.backends import sass
from tests.backends.tritons import interpreting, module_of

TYPES = {torch.float32: (tl.float32, torch.int32), torch.float64: (tl.float64, torch.int64)}
TEXT = '''
import triton
import triton.language as tl
from runtime.philox_triton import block, normal, pair, words


@triton.jit
def fill(to, seed, sample, draw, stream, n, dtype: tl.constexpr, BLOCK: tl.constexpr):
    """A sample, block by block of groups."""
    group = tl.program_id(0).to(tl.int64) * (BLOCK // 4) + tl.arange(0, BLOCK // 4)
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(to + i, block(seed, sample, group, draw, stream, dtype), i < n)


@triton.jit
def each(to, seed, sample, draw, stream, n, dtype: tl.constexpr, BLOCK: tl.constexpr):
    """A sample, element by element."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(to + i, normal(seed, sample, i, draw, stream, dtype), i < n)


@triton.jit
def pairs(first, second, to, n, dtype: tl.constexpr, BLOCK: tl.constexpr):
    """Numbers of integers; ``to``: [n, 2]."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    integer: tl.constexpr = tl.uint64 if dtype == tl.float64 else tl.uint32
    a, b = tl.load(first + i, i < n, 0).to(integer), tl.load(second + i, i < n, 0).to(integer)
    across, up = pair(a, b, dtype)
    tl.store(to + 2 * i, across, i < n)
    tl.store(to + 2 * i + 1, up, i < n)


@triton.jit
def known(at, to, seed):
    """One counter's words."""
    c0, c1 = tl.load(at).to(tl.uint32), tl.load(at + 1).to(tl.uint32)
    c2, c3 = tl.load(at + 2).to(tl.uint32), tl.load(at + 3).to(tl.uint32)
    w0, w1, w2, w3 = words(c0, c1, c2, c3, seed)
    tl.store(to, w0.to(tl.int64))
    tl.store(to + 1, w1.to(tl.int64))
    tl.store(to + 2, w2.to(tl.int64))
    tl.store(to + 3, w3.to(tl.int64))
'''


@pytest.fixture
def interpreted(tmp_path: Path) -> Iterator[ModuleType]:
    with interpreting():
        yield module_of(TEXT, tmp_path, "noise")


def assert_same_bits(got: torch.Tensor, want: torch.Tensor) -> None:
    kind = TYPES[want.dtype][1]
    assert torch.equal(got.view(kind), want.contiguous().view(kind))


@pytest.mark.parametrize("name", reference.KNOWN)
def test_known_answers(name: str, interpreted: ModuleType) -> None:
    at, seed, want = reference.KNOWN[name]
    to = torch.zeros(4, dtype=torch.int64)
    interpreted.known[(1,)](torch.tensor(at), to, seed)
    assert tuple(to.tolist()) == want


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_same_bits_for_any_integers(dtype: torch.dtype, interpreted: ModuleType) -> None:
    first, second = reference.integers(53 if dtype == torch.float64 else 32, 1 << 14)
    got, count = torch.empty(len(first), 2, dtype=dtype), len(first)
    interpreted.pairs[(-(-count // 4096),)](first, second, got, count, dtype=TYPES[dtype][0], BLOCK=4096)
    assert_same_bits(got, torch.stack(philox._pair(first, second, dtype), 1))


CASES = (0, 0, 0, 0, 4096), (-3, 7, 2**32 - 1, 2, 1003), (2**64 - 1, 2**32 - 1, 5, 2**31 - 1, 2051)


@pytest.mark.parametrize("kernel", ["fill", "each"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_same_bits_for_any_element(dtype: torch.dtype, kernel: str, interpreted: ModuleType) -> None:
    for seed, sample, draw, stream, size in CASES:
        got = torch.full((size + 1,), 9, dtype=dtype)
        launched = getattr(interpreted, kernel)[(-(-size // 1024),)]
        launched(got, seed, sample, draw, stream, size, dtype=TYPES[dtype][0], BLOCK=1024)
        assert_same_bits(got[:size], philox.normals(seed, sample, (1, size), draw, dtype, stream=stream)[0])
        assert got[size] == 9


# Ahead of time, for a GPU that is not there


def compiled(module: ModuleType, kernel: str, dtype: torch.dtype, arch: int, parts: int = 1) -> Any:
    """256 threads with ``parts`` times 16 bytes each, the flags of the fused step."""
    kind = "fp32" if dtype == torch.float32 else "fp64"
    types = {"to": f"*{kind}", "seed": "i64", "sample": "i64", "draw": "i64", "stream": "i32", "n": "i64"}
    constants = {"dtype": TYPES[dtype][0], "BLOCK": 256 * 16 * parts // dtype.itemsize}
    function = getattr(module, kernel)
    signature = {name: types.get(name, "constexpr") for name in function.arg_names}
    source = ASTSource(function, signature, constants, {(0,): [["tt.divisibility", 16]]})
    options = {"num_warps": 8, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def instructions(made: Any, folder: Path) -> list[str]:
    """Names of the instructions of the machine code."""
    file, tool = folder / "noise.cubin", sass.disassembler()
    file.write_bytes(made.asm["cubin"])
    assert tool, "triton's wheel has nvdisasm"
    done = subprocess.run([str(tool), "-c", str(file)], capture_output=True, text=True, check=True)
    return [name for name, _ in sass.instructions(done.stdout)]


def coefficients(dtype: torch.dtype) -> set[int]:
    """Bits of all coefficients of the polynomials, without their signs: a - c x is also a + (-c) x."""
    logarithm = philox._LOG_F32 if dtype == torch.float32 else philox._LOG_F64
    numbers = torch.tensor([*logarithm, *philox._SIN[dtype], *philox._COS[dtype]], dtype=dtype)
    return set(numbers.abs().view(TYPES[dtype][1]).tolist())


@pytest.mark.parametrize(
    ("kernel", "dtype", "arch"),
    [
        ("fill", torch.float32, 90),
        ("each", torch.float64, 90),
        *(
            pytest.param(kernel, dtype, arch, marks=pytest.mark.slow)
            for kernel in ("fill", "each")
            for dtype in TYPES
            for arch in (80, 90, 100)
        ),
    ],
    ids=str,
)
def test_nothing_is_spilled_and_nothing_contracted(
    kernel: str, dtype: torch.dtype, arch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    made = compiled(module_of(TEXT, tmp_path, "noise_ahead"), kernel, dtype, arch)
    ptx = made.asm["ptx"]
    assert not re.search(r"\bfma\.|\.approx", ptx)
    assert "sqrt.rn" in ptx
    width = {torch.float32: 8, torch.float64: 16}[dtype]
    words = (int(word, 16) for word in re.findall(rf"\b0[fd]([0-9A-F]{{{width}}})\b", ptx))
    assert coefficients(dtype) <= {word % (1 << 4 * width - 1) for word in words}, "all of their digits arrive"
    names = instructions(made, tmp_path)
    assert names
    assert not [name for name in names if name.startswith(("LDL", "STL"))]


def test_an_element_takes_54_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What four more elements of a thread take, in float32: 48 an element with triton 3.9, 54 with 3.7."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    module = module_of(TEXT, tmp_path, "noise_counted")
    four, eight = (len(instructions(compiled(module, "fill", torch.float32, 90, parts), tmp_path)) for parts in (1, 2))
    assert 0 < eight - four <= 54 * 4


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["fill", "each"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_gpu_gives_the_same_bits(dtype: torch.dtype, kernel: str, tmp_path: Path) -> None:
    module = module_of(TEXT, tmp_path, "noise_gpu")
    for seed, sample, draw, stream, size in CASES:
        got = torch.empty(size, dtype=dtype, device="cuda")
        launched = getattr(module, kernel)[(-(-size // 1024),)]
        launched(got, seed, sample, draw, stream, size, dtype=TYPES[dtype][0], BLOCK=1024, enable_fp_fusion=False)
        assert_same_bits(got.cpu(), philox.normals(seed, sample, (1, size), draw, dtype, stream=stream)[0])
