"""The fused step of the CPU: ``step_cuda.cu`` through the system's C++ compiler, one pass over memory a step.

Built once per machine: the library lies in the user's cache folder under a hash of the source and its header, the flags,
the compiler and the CPU, and appears there in one piece. ``PHIFORGE_CACHE`` names another folder, ``CXX`` another compiler.

Flags: -O3 -march=native for vectors. -ffp-contract=off because a step waits for memory, not for arithmetic, so a fused
multiply-add would gain nothing, and without it every CPU and every vector length gives the same bits.
-fno-math-errno and -fno-trapping-math change no number: they let the loop that makes normals be one of vectors.

A step takes a row as one tensor (:meth:`runtime.plan.Plan.rows`), so no number passes through Python, and allocates
nothing where the state, its memory and the network's output are laid out alike.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from struct import Struct
from types import SimpleNamespace
from typing import Any

import torch

from runtime import operators
from runtime.engines import Buffers
from runtime.errors import NoCompilerError
from runtime.noise import Drawn

SOURCE = "step_cuda.cu"
HEADER = Path(__file__).with_name("fused_step.h")
"""What all sources include; where the network's output is projected before the step, with the header beside it."""
NOISE = HEADER.with_name("philox.h")
PROJECTION = HEADER.with_name("projection.h")
PROJECTED = "-DPROJECTED"
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared",
    "-x", "c++",
)  # fmt: skip
GPU_FLAGS = ("-std=c++17", "-O3", "-arch=native", "-fmad=false", "-Xcompiler", "-fPIC", "-shared", "-cudart", "static")
COMPILERS = ("c++", "g++", "clang++")
_TYPES = (torch.Tensor, torch.nn.Parameter)
_LOOPS = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}
_SIZES, _RUN, _POINTER = 7, Struct("@18q"), Struct("@q")
_PROJECTED_RUN = Struct("@21q")
_AT_RAW = 8 * (_SIZES + 2)
"""Where a Run of the header has the network's output, in bytes."""
_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}


def native_steps(step: Any) -> SimpleNamespace:
    """The steps of a generated package as native ones: in place, and (``STEPS``) on new tensors, with derivatives.

    ValueError if the package has no C++ source; NoCompilerError if it cannot be built.
    """
    library, drawing = _library(step, gpu=False), getattr(step, "DRAWS", ())
    return SimpleNamespace(
        STEPS=operators.register(step, library),
        STEPS_={phase: _step(library, phase, phase in drawing) for phase in step.STEPS},
        RING=library.ring(),
        NEEDS=step.NEEDS,
        KEEPS=step.KEEPS,
        DRAWS=drawing,
        WHOLE_ROWS=True,
    )


def _library(step: Any, gpu: bool, projected: bool = False) -> ctypes.CDLL:
    source = Path(step.__file__ or "").with_name(SOURCE)
    if not source.is_file():
        raise ValueError(f"{step.__name__.split('.')[-2]}: no {SOURCE}; add cuda to the spec's backends and regenerate")
    return ctypes.CDLL(str(build(source, gpu, projected)))


class Native:
    """The engine (:mod:`runtime.engines`) of the CPU, or of a GPU: all phases in one function.

    projected: the library in which the network's output is projected before every phase, built when it is asked for.
    """

    def __init__(self, key: str, step: Any, gpu: bool, projected: bool = False) -> None:
        library = _library(step, gpu, projected)
        self.key, self.ring, self._gpu = key, library.ring(), gpu
        self._run = _PROJECTED_RUN if projected else _RUN
        self.numbers = {phase: number for number, phase in enumerate(step.STEPS)}
        self.after = {
            phase: tuple(_place(getattr(library, f"{phase}_after")(j)) for j in range(self.ring + 1))
            for phase in step.STEPS
        }
        stored = {getattr(library, f"{phase}_state")(j) for phase in step.STEPS for j in range(self.ring + 1)}
        fixed = stored <= {0, -1} and all(places[0] == 0 for places in self.after.values())
        self.highest = 0 if fixed else self.ring
        found = {dtype: getattr(library, f"loop_{suffix}", None) for dtype, suffix in _LOOPS.items()}
        self._functions = {dtype: function for dtype, function in found.items() if function is not None}
        for function in self._functions.values():
            function.restype = ctypes.c_int
            function.argtypes = (ctypes.c_void_p, ctypes.c_void_p) if gpu else (ctypes.c_void_p,)

    def prepared(self, buffers: Buffers) -> Callable[[torch.Tensor], None]:
        """The step on these buffers (raw says its size), as a function of raw."""
        state, _, _, _, table, counter, _, t, net, *_ = buffers
        samples, rows, _ = table.shape
        size, copies = buffers.size, 0 if net is None else net.shape[0]
        blocks = self._blocks(state, size) if self._gpu else 1
        pointers = [0 if b is None else b.data_ptr() for b in buffers[: self._run.size // _POINTER.size - _SIZES]]
        run = bytearray(self._run.pack(size, samples, state.shape[1], rows, t.numel(), copies, blocks, *pointers))
        address = ctypes.addressof(ctypes.c_char.from_buffer(run))
        function, put = self._functions[state.dtype], _POINTER.pack_into

        def take(raw: torch.Tensor) -> None:
            put(run, _AT_RAW, raw.data_ptr())
            if function(address):
                raise RuntimeError(f"loop: all of its {int(counter[2])} steps are taken; restart() begins again")

        def launch(raw: torch.Tensor) -> None:
            put(run, _AT_RAW, raw.data_ptr())
            with torch.cuda.device(raw.device):
                error = function(address, torch.cuda.current_stream().cuda_stream)
            if error:
                raise RuntimeError(f"loop: the launch fails with CUDA error {error}")

        return launch if self._gpu else take

    def take(self, buffers: Buffers) -> None:
        """One step."""
        self.prepared(buffers)(buffers.raw.resolve_neg().contiguous())

    @staticmethod
    def _blocks(state: torch.Tensor, size: int) -> int:
        """Blocks for a sample: 16 bytes a thread, up to two waves of the device."""
        most = 8 * torch.cuda.get_device_properties(state.device).multi_processor_count
        return max(1, min(-(-size * state.element_size() // (16 * 256)), most))


def _place(buffer: int) -> int:
    """0 for x, 1 + j for entry j of the memory."""
    return max(buffer - operators.M + 1, 0)


# Building


def build(source: Path, gpu: bool = False, projected: bool = False) -> Path:
    """The shared library of ``source``: the one in the cache, or a new one. NoCompilerError says what went wrong."""
    compiler = _compiler(gpu)
    flags = (*(GPU_FLAGS if gpu else FLAGS), *(PROJECTED,) * projected)
    texts = (file.read_bytes() for file in (source, HEADER, NOISE, *(PROJECTION,) * projected))
    parts = (*texts, " ".join(flags).encode(), _version(compiler).encode(), _processor().encode())
    key = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    folder = _folder()
    library = folder / f"{source.parent.name[:48]}-{key[:32]}.so"
    if not library.exists():
        _compile(compiler, flags, source, library)
    return library


def _compiler(gpu: bool = False) -> str:
    """CXX, or the first compiler on the path; for a GPU NVCC, or nvcc."""
    variable, names = ("NVCC", ("nvcc",)) if gpu else ("CXX", COMPILERS)
    names = (os.environ[variable],) if os.environ.get(variable) else names
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        kind = "CUDA" if gpu else "C++"
        raise NoCompilerError(
            f"no {kind} compiler: none of {', '.join(names)} is on the path; install one or set {variable}"
        )
    return found


@cache
def _version(compiler: str) -> str:
    """What the compiler says of itself."""
    return _run([compiler, "--version"])


@cache
def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    return "\n".join([platform.machine(), platform.processor(), *sorted(named)])


def _folder() -> Path:
    """The cache folder: the user's own, since what lies there is executed."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("PHIFORGE_CACHE") or Path(base, "phiforge"))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise NoCompilerError(f"no place for the built step: {error}; set PHIFORGE_CACHE to a folder") from error
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise NoCompilerError(f"{folder}: others may write there, and what lies there is executed; set PHIFORGE_CACHE")
    return folder


def _compile(compiler: str, flags: Sequence[str], source: Path, library: Path) -> None:
    """Compiled beside its place and moved there, so that nobody ever loads half a library."""
    handle, name = tempfile.mkstemp(suffix=".so", prefix=".building-", dir=library.parent)
    os.close(handle)
    try:
        _run([compiler, *flags, f"-I{HEADER.parent}", str(source), "-o", name])
        Path(name).replace(library)
    finally:
        Path(name).unlink(missing_ok=True)


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompilerError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise NoCompilerError(f"{command[0]} exits with {done.returncode}: {lines[0][:200]}")
    return done.stdout


# Stepping


def named(buffer: Callable[[int], int]) -> list[int]:
    """The buffers that a function of a library names one by one: what a phase loads, what it stores."""
    return list(takewhile(lambda place: place >= 0, map(buffer, count())))


def _step(library: ctypes.CDLL, phase: str, draws: bool) -> Callable[..., Any]:
    """The step in place of a phase: (x, raw, m, c) -> (x, m). Behind c what it draws, a tensor or a ``noise.Drawn``: then
    the kernel makes it.
    """
    ring, columns = library.ring(), library.columns()
    after = [getattr(library, f"{phase}_after")(j) for j in range(ring + 1)]
    functions = {dtype: getattr(library, f"{phase}_{suffix}") for dtype, suffix in _SUFFIX.items()}
    for function in functions.values():
        function.argtypes, function.restype = (ctypes.c_char_p,), None
    pack = Struct(f"@{3 + operators.M + ring + 4 * draws}q").pack
    first, rest = after[0], after[1:]
    written = named(getattr(library, f"{phase}_store"))
    bump = torch.autograd.graph.increment_version  # what autograd has saved of these buffers is no longer there

    def run(tensors: Sequence[torch.Tensor], c: torch.Tensor, drawn: Drawn | None = None) -> None:
        """The kernel on tensors that are laid out alike, without gaps; drawn: instead of the normals among them."""
        samples = c.numel() // columns
        size = tensors[0].numel() // max(samples, 1)
        at = [t.data_ptr() for t in tensors]
        own: tuple[int, ...] = (0, 0, 0, 1) if draws else ()
        if drawn is not None:
            at[operators.Z], own = 0, drawn.numbers(tensors[0])
        functions[c.dtype](pack(size, samples, c.data_ptr(), *at, *own))

    def stepped(x: torch.Tensor, raw: torch.Tensor, m: tuple[torch.Tensor, ...], c: Any, z: Any = None) -> Any:
        if not draws and type(m) is _Ring and m.state is x and _usual(m.kind, raw, c, columns):
            dtype, _, size = m.kind
            at = [t.data_ptr() for t in m]
            functions[dtype](pack(size, 1, c.data_ptr(), x.data_ptr(), raw.data_ptr(), 0, *at))
            tensors = (x, raw, raw, *m)
            bump([tensors[j] for j in written])
            return tensors[first], _Ring([tensors[j] for j in rest]).beside(tensors[first], m.kind)
        return anyhow(x, raw, m, c, z)

    def anyhow(x: torch.Tensor, raw: torch.Tensor, m: tuple[torch.Tensor, ...], c: Any, z: Any) -> Any:
        known = type(m) is _Ring and m.state is x
        if not known and len(m) != ring:
            raise ValueError(f"m: got {len(m)} buffers; allowed: {ring}")
        if draws is (z is None):
            raise ValueError(f"z: got {type(z).__name__}; allowed: normals where a phase draws, and nowhere else")
        drawn = z if isinstance(z, Drawn) else None
        given = raw if z is None or drawn else z  # where there is none, nobody reads it
        tensors = (x, raw, given, *m)
        plain = all(_alike(t, x) for t in (tensors[1:3] if known else tensors)) and _row_fits(c, x, columns)
        if plain:
            run(tensors, c, drawn)
        else:
            tensors = (x, raw, drawn(x) if drawn else given, *m)
            _carefully(run, tensors, _row(tensors, c, columns))
        new, left = tensors[first], [tensors[j] for j in rest]
        if not known and x.is_inference():
            return new, tuple(left)
        bump((x, *m))
        return new, _Ring(left).beside(new, (x.dtype, x.shape, x.numel())) if known or plain else tuple(left)

    return stepped


class _Ring(tuple[torch.Tensor, ...]):
    """The memory that a step left; it and ``state`` are as the kernel takes them, and need no second look.

    kind: dtype, shape and number of elements of them all.
    """

    state: torch.Tensor
    kind: tuple[torch.dtype, torch.Size, int]

    def beside(self, state: torch.Tensor, kind: tuple[torch.dtype, torch.Size, int]) -> _Ring:
        self.state, self.kind = state, kind
        return self


def _usual(kind: tuple[torch.dtype, torch.Size, int], raw: torch.Tensor, c: Any, columns: int) -> bool:
    """Whether the network's output and the row are as the kernel takes them, one row for all."""
    dtype, shape, _ = kind
    if (
        type(c) is not torch.Tensor
        or c.dtype is not dtype
        or not c.is_cpu
        or not c.is_contiguous()
        or c.numel() != columns
    ):
        return False
    if type(raw) not in _TYPES or raw.dtype is not dtype or not raw.is_cpu or not raw.is_contiguous() or raw.is_neg():
        return False
    return raw.shape == shape


def _alike(t: torch.Tensor, x: torch.Tensor) -> bool:
    """Whether it is as the kernel takes it: of x's dtype and shape, contiguous, in the memory of the CPU."""
    if t.dtype is not x.dtype or not t.is_contiguous() or not _ordinary(t) or t.is_neg():
        return False
    return t.shape == x.shape


def _row_fits(c: Any, x: torch.Tensor, columns: int) -> bool:
    """Whether the row is one tensor of x's dtype without gaps, for all or per sample."""
    if type(c) is not torch.Tensor or c.dtype is not x.dtype or c.dtype not in _SUFFIX:
        return False
    if not c.is_cpu or not c.is_contiguous():
        return False
    count = c.numel()
    return count == columns or (x.dim() > 0 and count == columns * x.shape[0] and c.shape[0] == columns)


def _ordinary(tensor: torch.Tensor) -> bool:
    """Whether there are numbers of the CPU behind it, and not a wrapper or another device."""
    return tensor.is_cpu and type(tensor) in _TYPES


def _row(tensors: Sequence[torch.Tensor], c: Any, columns: int) -> torch.Tensor:
    """The row as one tensor [K] or [K, B]. ValueError or TypeError where the kernel cannot take these arguments."""
    x = tensors[0]
    strange = next((t for t in tensors if not isinstance(t, torch.Tensor) or not _ordinary(t)), None)
    if strange is not None:
        where = f" on {strange.device}" if isinstance(strange, torch.Tensor) else ""
        raise TypeError(f"the fused step of the CPU: got {type(strange).__name__}{where}; allowed: a Tensor on cpu")
    if x.dtype not in _SUFFIX or any(t.dtype != x.dtype for t in tensors[operators.M :]):
        raise TypeError(f"the fused step of the CPU: got a state of {x.dtype}; allowed: float32, float64, one of them")
    if any(t.shape != x.shape for t in tensors):
        raise ValueError(f"the fused step: got shapes {[tuple(t.shape) for t in tensors]}; allowed: one and the same")
    if not isinstance(c, torch.Tensor):
        c = torch.stack(torch.broadcast_tensors(*(torch.as_tensor(v, dtype=x.dtype).reshape(-1) for v in c)))
    row = c.detach().to(x.dtype).reshape(len(c), -1).contiguous()
    if len(row) != columns or row.shape[1] not in (1, x.shape[0] if x.dim() else 1):
        raise ValueError(f"c: got shape {tuple(c.shape)}; allowed: {columns} coefficients, each for all or per sample")
    return row


def _carefully(run: Callable[..., None], tensors: Sequence[torch.Tensor], row: torch.Tensor) -> None:
    """The kernel on the tensors in the order in which x lies in memory; what lies otherwise is copied, and copied back."""
    x = tensors[0]
    shared = row.shape[1] == 1
    order = sorted(range(x.dim()), key=lambda d: (shared or d > 0, -x.stride()[d]))
    read = (t.to(x.dtype).resolve_neg() for t in tensors[operators.RAW : operators.M])
    turned = [t.detach().permute(order) for t in (x, *read, *tensors[operators.M :])]
    dense = [t.contiguous() for t in turned]
    run(dense, row)
    for i, (there, here) in enumerate(zip(turned, dense)):
        if i not in (operators.RAW, operators.Z) and here.data_ptr() != there.data_ptr():
            there.copy_(here)


__all__ = ["NoCompilerError", "build", "native_steps"]
