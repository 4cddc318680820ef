"""What nvcc makes of a source: PTX, registers, and the machine code, read by the disassembler of triton's wheel.

Nothing is run: a machine with nvcc and without a GPU suffices.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.native import HEADER

NVCC = shutil.which("nvcc")
WIDE_PTX = re.compile(r"\b(ld|st)\.global\S*\.(?:v4\.[a-z]32|v2\.[a-z]64)\b")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)\s*([^;]*);")
_REGISTER = re.compile(r"\bR(\d+)\b")
WORD = 4
"""Registers of 16 bytes."""


def disassembler() -> Path | None:
    """nvdisasm: CUDA's own, or the one in triton's wheel; triton itself is not imported."""
    if found := shutil.which("nvdisasm"):
        return Path(found)
    spec = importlib.util.find_spec("triton")
    folders = spec.submodule_search_locations if spec else None
    found_there = [Path(folder, "backends/nvidia/bin/nvdisasm") for folder in folders or ()]
    return next((path for path in found_there if path.is_file()), None)


@dataclass(frozen=True)
class Compiled:
    """By kernel: its PTX, and its machine code (empty without a disassembler); what ptxas said of each."""

    ptx: dict[str, str]
    code: dict[str, str]
    said: dict[str, str]

    def registers(self, kernel: str) -> int:
        """Registers of a thread."""
        return int(re.findall(r"Used (\d+) registers", self.said[kernel])[0])

    def local(self, kernel: str) -> list[int]:
        """Bytes of the stack frame, of spill stores, of spill loads."""
        frame = r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        return [int(n) for n in re.findall(frame, self.said[kernel])[0]]


def compiled(text: str, arch: str, folder: Path, *flags: str) -> Compiled:
    """The source through nvcc, once."""
    source, out = folder / "step.cu", folder / "step.cubin"
    source.write_text(text, "utf-8")
    command = [str(NVCC), "-std=c++17", f"-arch={arch}", f"-I{HEADER.parent}", "-cubin", "-Xptxas", "-v"]
    fused = () if "-fmad=true" in flags else ("-fmad=false",)
    done = _run([*command, *fused, *flags, "-keep", "-keep-dir", str(folder), str(source), "-o", str(out)])
    said = done.stdout + done.stderr
    assert "warning" not in said, said[-2000:]
    (ptx,) = folder.glob("*.ptx")
    tool = disassembler()
    code = _run([str(tool), "-c", str(out)]).stdout if tool else ""
    return Compiled(
        _parts(r"\.visible \.entry (\w+)\(", ptx.read_text("utf-8")),
        _parts(r"\.section\s+\.text\.(\w+)", code),
        _parts(r"Compiling entry function '(\w+)'", said),
    )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def _parts(head: str, text: str) -> dict[str, str]:
    """By name, what follows each heading."""
    parts = re.split(head, text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def instructions(code: str) -> Iterator[tuple[str, str]]:
    """(name, operands)."""
    return ((name, operands) for name, operands in _INSTRUCTION.findall(code))


def wide(code: str) -> tuple[int, int]:
    """Loads and stores of 16 bytes."""
    names = [name for name, _ in instructions(code) if ".128" in name]
    return sum(name.startswith("LDG") for name in names), sum(name.startswith("STG") for name in names)


def behind(code: str) -> int:
    """How many loads come after a store of 16 bytes, before a barrier or a branch: each waits for what it does not need."""
    count, stored = 0, False
    for name, _ in instructions(code):
        if name.startswith(("BAR", "BRA", "BRX", "EXIT")):
            stored = False
        elif ".128" in name and name.startswith("STG"):
            stored = True
        count += stored and name.startswith("LDG")
    return count


def flights(code: str) -> list[int]:
    """How many loads of 16 bytes are in flight at once, group by group.

    A load is in flight until an instruction names a register that it fills; a group ends when the first of its loads is
    waited for.
    """
    groups: list[int] = []
    count, pending = 0, set[int]()
    for name, operands in instructions(code):
        if count and pending & {int(n) for n in _REGISTER.findall(operands)}:
            groups.append(count)
            count, pending = 0, set()
        if name.startswith("LDG") and ".128" in name:
            first = int(_REGISTER.findall(operands)[0])
            pending |= set(range(first, first + WORD))
            count += 1
    return [*groups, count] if count else groups
