"""What nvcc makes of the source, without a GPU: accesses of 16 bytes, one for every stream, no spill, no local memory.

The accesses are those of the PTX; how ptxas orders them within its registers is not looked at here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from derive.backends._kernel import kernels as kernels_of
from runtime.native import HEADER
from tests.backends.sources import program_of, text_of
from tests.claims.shipped import NAMES

NVCC = shutil.which("nvcc")
pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")

KINDS = 4
"""Kernels of a phase: float, double, half, bfloat16."""
WIDE = re.compile(r"\b(ld\.global\.cs|st\.global)\.(v4\.[a-z]32|v2\.[a-z]64)\b")


def compiled(name: str, arch: str, options: Sequence[str], folder: Path) -> tuple[Path, str]:
    """(what nvcc wrote, what it said)."""
    source, out = folder / f"{name}.cu", folder / f"{name}.{arch}"
    source.write_text(text_of(program_of(name)), "utf-8")
    command = [str(NVCC), "-std=c++17", f"-arch={arch}", f"-I{HEADER.parent}", *options, str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "warning" not in done.stdout + done.stderr
    return out, done.stdout + done.stderr


def check_registers(name: str, arch: str, folder: Path) -> None:
    """Four blocks of 256 threads fit a multiprocessor, and nothing leaves the registers."""
    _, said = compiled(name, arch, ["-cubin", "-Xptxas", "-v"], folder)
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said)
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", said)]
    assert len(frames) == len(registers) == KINDS * len(program_of(name).phases)
    assert all(numbers == ("0", "0", "0") for numbers in frames)
    assert max(registers) <= 64


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2"])
def test_nothing_is_spilled(name: str, tmp_path: Path) -> None:
    check_registers(name, "sm_90", tmp_path)


def test_every_stream_moves_in_16_bytes(tmp_path: Path) -> None:
    name = "dpmpp_3m"
    out, _ = compiled(name, "sm_90", ["-ptx"], tmp_path)
    kernels = re.split(r"\.visible \.entry (\w+)\(", out.read_text("utf-8"))[1:]
    found = dict(zip(kernels[::2], kernels[1::2], strict=True))
    made = kernels_of(program_of(name))
    assert len(found) == KINDS * len(made)
    for kernel in made:
        for suffix in ("f32", "f64", "f16", "bf16"):
            wide = [access for access, _ in WIDE.findall(found[f"{kernel.name}_{suffix}"])]
            assert wide.count("ld.global.cs") == len(kernel.loads)
            assert wide.count("st.global") == len(kernel.stores)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_spilled_anywhere(name: str, arch: str, tmp_path: Path) -> None:
    check_registers(name, arch, tmp_path)
