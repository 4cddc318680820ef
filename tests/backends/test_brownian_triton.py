"""Brownian paths in Triton: interpreted, the integers of the torch function; compiled ahead for a GPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from runtime.brownian import Brownian
from tests.backends.brownian_cases import PATHS, integers, numbers, pairs
from tests.backends.tritons import interpreting, module_of

TEXT = '''
import triton
import triton.language as tl
from runtime.brownian_triton import increment


@triton.jit
def fill(w, z, k, c, seed, sample, n, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    """A sample, block by block; w: [2, n]."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if GROUPS:
        at = tl.program_id(0).to(tl.int64) * (BLOCK // 4) + tl.arange(0, BLOCK // 4)
    else:
        at = i
    first, last, area = increment(
        seed, sample, at, tl.load(k), tl.load(k + 1), tl.load(k + 2), tl.load(k + 3), tl.load(k + 4),
        tl.load(k + 5), tl.load(c), tl.load(c + 1), tl.load(c + 2), tl.load(c + 3), tl.load(c + 4),
        tl.load(k + 6), tl.load(c + 5), tl.load(c + 6), tl.load(c + 7), tl.load(c + 8), tl.load(c + 9), GROUPS,
    )
    tl.store(w + i, first, i < n)
    tl.store(w + n + i, last, i < n)
    tl.store(z + i, area, i < n)
'''


ALL = [(path, groups, slice(None)) for path in PATHS for groups in (True, False)]
FEW = [(PATHS[0], True, slice(1, None, 4)), (PATHS[0], False, slice(9, 10)), (PATHS[2], True, slice(13, 14))]


@pytest.mark.parametrize(
    ("path", "groups", "which"), [*FEW, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL)], ids=str
)
def test_the_same_integers(
    path: tuple[int, tuple[float, float], int], groups: bool, which: slice, tmp_path: Path
) -> None:
    """An interpreted pair of times takes a second: the usual tests take some of each kind."""
    seed, path, size = path[0], Brownian(*path), 27
    some = pairs(path)[which]
    assert some
    with interpreting():
        module = module_of(TEXT, tmp_path, "path")
        for a, b in some:
            s, t = path.point(a), path.point(b)
            w, z = torch.zeros(2, size, dtype=torch.int64), torch.zeros(size, dtype=torch.float64)
            module.fill[(2,)](w, z, integers(path, s, t), numbers(s, t), seed, 7, size, GROUPS=groups, BLOCK=16)
            first, last, area = path.quanta(a, b, torch.empty(1, size), 7)
            assert torch.equal(w, torch.cat((first, last))), (a, b)
            assert torch.equal(z.view(torch.int64), area[0].view(torch.int64)), (a, b)


@pytest.mark.parametrize("groups", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["groups", "elements"])
def test_it_is_compiled_and_nothing_contracted(groups: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    function = module_of(TEXT, tmp_path, "path_ahead").fill
    types = {"w": "*i64", "z": "*fp64", "k": "*i64", "c": "*fp64", "seed": "i64", "sample": "i64", "n": "i64"}
    signature = {name: types.get(name, "constexpr") for name in function.arg_names}
    source = ASTSource(function, signature, {"GROUPS": groups, "BLOCK": 512}, {(0,): [["tt.divisibility", 16]]})
    options = {"num_warps": 4, "enable_fp_fusion": False}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert not re.search(r"\bfma\.|\.approx", made.asm["ptx"])
    assert "sqrt.rn" in made.asm["ptx"] and "st.global" in made.asm["ptx"]
