"""Noise without a state: Philox's published values, the same bits in torch and C++, the normal law, any batch."""

from __future__ import annotations

import ctypes
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import stats
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode

from runtime import native, philox
from tests.backends import philox_reference as reference
from tests.backends import sass

NEEDS_COMPILER = pytest.mark.skipif(not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler")
BITS = {torch.float32: 32, torch.float64: 53}
INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}
SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
SOURCE = """#include "philox.h"
extern "C" void words(const std::uint32_t* c, std::uint64_t seed, std::uint32_t* to) {
    const philox::Four four = philox::words(philox::counter(c[0], c[1], c[2], c[3]), seed);
    for (int j = 0; j < 4; ++j) to[j] = four.word[j];
}
template <class R>
void pairs(const std::int64_t* first, const std::int64_t* second, R* to, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
        const philox::Pair<R> two = philox::pair<R>(first[i], second[i]);
        to[2 * i] = two.across;
        to[2 * i + 1] = two.up;
    }
}
template <class R>
void fill(std::uint64_t seed, std::uint32_t sample, std::uint32_t draw, std::uint32_t stream, R* to, std::int64_t n) {
    for (std::int64_t group = 0; group < n / 4; ++group) {
        R four[4];
        philox::normals<R>(seed, sample, group, draw, stream, four);
        for (int j = 0; j < 4; ++j) to[4 * group + j] = four[j];
    }
    for (std::int64_t i = n / 4 * 4; i < n; ++i) to[i] = philox::normal<R>(seed, sample, i, draw, stream);
}
#define TYPE(R, NAME) \\
    extern "C" void pairs_##NAME(const std::int64_t* first, const std::int64_t* second, R* to, std::int64_t n) { \\
        pairs<R>(first, second, to, n); \\
    } \\
    extern "C" void fill_##NAME( \\
        std::uint64_t seed, std::uint32_t sample, std::uint32_t draw, std::uint32_t stream, R* to, std::int64_t n) { \\
        fill<R>(seed, sample, draw, stream, to, n); \\
    } \\
    extern "C" void each_##NAME( \\
        std::uint64_t seed, std::uint32_t sample, std::uint32_t draw, std::uint32_t stream, R* to, std::int64_t n) { \\
        for (std::int64_t i = 0; i < n; ++i) to[i] = philox::normal<R>(seed, sample, i, draw, stream); \\
    }
TYPE(float, f32)
TYPE(double, f64)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """``philox.h`` by the compiler and the flags of the fused step."""
    folder = tmp_path_factory.mktemp("philox")
    (folder / "noise.cc").write_text(SOURCE, "utf-8")
    native._compile(native._compiler(), native.FLAGS, folder / "noise.cc", folder / "noise.so")
    return ctypes.CDLL(str(folder / "noise.so"))


def filled(library: ctypes.CDLL, name: str, seed: int, sample: int, draw: int, stream: int, like: torch.Tensor) -> Any:
    out = torch.empty_like(like)
    word, pointer = ctypes.c_uint32, ctypes.c_void_p
    getattr(library, f"{name}_{SUFFIX[like.dtype]}")(
        *(ctypes.c_uint64(seed % 2**64), word(sample), word(draw), word(stream)), pointer(out.data_ptr()),
        ctypes.c_int64(out.numel()),
    )  # fmt: skip
    return out


def assert_same_bits(got: torch.Tensor, want: torch.Tensor) -> None:
    kind = INTEGERS[want.dtype]
    assert torch.equal(got.contiguous().view(kind), want.contiguous().view(kind))


# Integers


@pytest.mark.parametrize("name", reference.KNOWN)
def test_known_answers(name: str) -> None:
    at, seed, want = reference.KNOWN[name]
    assert reference.words(at, seed) == want
    assert philox.words(at, seed) == want
    tensors = [torch.tensor([word]) for word in at]
    signed = torch.tensor(seed - 2**64 if seed >> 63 else seed)
    assert [int(word) for word in philox.words(tensors, signed)] == [*want]
    assert [int(word) for word in philox.words(tensors, seed)] == [*want]


@NEEDS_COMPILER
@pytest.mark.parametrize("name", reference.KNOWN)
def test_known_answers_in_cpp(name: str, library: ctypes.CDLL) -> None:
    at, seed, want = reference.KNOWN[name]
    to = (ctypes.c_uint32 * 4)()
    library.words((ctypes.c_uint32 * 4)(*at), ctypes.c_uint64(seed), to)
    assert tuple(to) == want


def test_words_are_exact_for_any_counter_and_seed() -> None:
    """Against integers without end; words near 2^32, where a product of 64 bits overflows int64."""
    draw = np.random.default_rng(3)
    top = [0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFF0000, 0xFFFFFFFF]
    counters = [*draw.integers(0, 2**32, (200, 4)).tolist(), *draw.choice(top, (200, 4)).tolist()]
    seeds = [*(int(s) for s in draw.integers(0, 2**64, 396, dtype=np.uint64)), 0, 1, 2**63, 2**64 - 1]
    signed = torch.tensor([s - 2**64 if s >> 63 else s for s in seeds])
    got = torch.stack(philox.words(torch.tensor(counters).unbind(1), signed), 1)
    assert got.tolist() == [[*reference.words(c, s)] for c, s in zip(counters, seeds, strict=True)]


def test_the_layout_of_the_counter() -> None:
    """Element 4 g + j of a sample is number j of the group that (g, sample, draw, stream) gives, in any shape."""
    seed, sample0, draw, stream = 0x0123456789ABCDEF, 2**32 - 5, 2**32 - 3, 2**31 - 1
    got = philox.normals(seed, sample0, (3, 2, 5), draw, torch.float64, stream=stream).reshape(3, 10)
    for b in range(3):
        for i in range(10):
            group = i // 4, sample0 + b, draw
            high = reference.words((*group, stream), seed)
            low = reference.words((*group, stream | 1 << 31), seed)
            both = [h << 21 | w >> 11 for h, w in zip(high, low, strict=True)]
            two = reference.pair(*both[i % 4 // 2 * 2 :][:2], 53)
            assert abs(got[b, i].item() - two[i % 2]) <= 1e-15 * abs(two[i % 2])


# Normals


@pytest.mark.parametrize("dtype", BITS, ids=str)
def test_within_five_ulps_of_forty_digits(dtype: torch.dtype) -> None:
    first, second = reference.integers(BITS[dtype], 2000)
    first, second = first[::3], second[::3]
    got = torch.stack(philox._pair(first, second, dtype), 1)
    kind = np.float32 if dtype == torch.float32 else np.float64
    for row, w, v in zip(got.tolist(), first.tolist(), second.tolist(), strict=True):
        for value, want in zip(row, reference.pair(w, v, BITS[dtype]), strict=True):
            ulp = float(np.spacing(kind(abs(float(want))))) if want else 0
            assert abs(value - want) <= 5 * ulp, (w, v)


def log_f32(c: Sequence[Any], f: Any) -> tuple[Any, Any]:
    return f * f * mp.polyval(c, f) - 2 * f, -2 * mp.log1p(f)


def log_f64(c: Sequence[Any], s: Any) -> tuple[Any, Any]:
    return 2 * s + s**3 * mp.polyval(c, s * s), 2 * mp.atanh(s)


def sine(c: Sequence[Any], x: Any) -> tuple[Any, Any]:
    return x * mp.polyval(c, x * x), mp.sin(mp.pi / 4 * x)


def cosine(c: Sequence[Any], x: Any) -> tuple[Any, Any]:
    return 1 + x * x * mp.polyval(c, x * x), mp.cos(mp.pi / 4 * x)


@pytest.mark.parametrize(
    ("both", "coefficients", "dtype", "end", "bound"),
    [
        (log_f32, philox._LOG_F32, torch.float32, 1 / 3, -24.9),
        (log_f64, philox._LOG_F64, torch.float64, 3 - 8**0.5, -58.9),
        (sine, philox._SIN[torch.float32], torch.float32, 1, -24.8),
        (sine, philox._SIN[torch.float64], torch.float64, 1, -54.1),
        (cosine, philox._COS[torch.float32], torch.float32, 1, -26.4),
        (cosine, philox._COS[torch.float64], torch.float64, 1, -55.2),
    ],
)
def test_polynomials_keep_their_bounds(
    both: Any, coefficients: Sequence[float], dtype: torch.dtype, end: float, bound: float
) -> None:
    """(the approximation, what it is of) in exact arithmetic, with the coefficients as they are rounded."""
    rounded = torch.tensor(coefficients, dtype=dtype).tolist()[::-1]
    with mp.workdps(30):
        values = [both(rounded, mp.mpf(end) * k / 450) for k in range(-450, 451) if k]
        error = max(abs(got / want - 1) for got, want in values)
        assert mp.mpf(2) ** (bound - 0.1) <= error <= mp.mpf(2) ** bound


@pytest.mark.parametrize("name", ["philox.h", "philox_triton.py"])
def test_the_sources_have_the_same_coefficients(name: str) -> None:
    """The last digits of the highest coefficients change no rounded number, so here they are read."""
    text = Path(philox.__file__).with_name(name).read_text("utf-8")
    found = {float(number) for number in re.findall(r"-?\d\.\d{6,}(?:e-\d+)?", text)}
    want = {*philox._LOG_F32, *philox._LOG_F64, -1.38629436, -1.3862943611198906}
    assert found == want.union(*philox._SIN.values(), *philox._COS.values())


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", BITS, ids=str)
def test_cpp_gives_the_same_bits(dtype: torch.dtype, library: ctypes.CDLL) -> None:
    first, second = reference.integers(BITS[dtype], 1 << 19)
    got, pointer = torch.empty(len(first), 2, dtype=dtype), ctypes.c_void_p
    arguments = (pointer(t.data_ptr()) for t in (first, second, got))
    getattr(library, f"pairs_{SUFFIX[dtype]}")(*arguments, ctypes.c_int64(len(first)))
    assert_same_bits(got, torch.stack(philox._pair(first, second, dtype), 1))
    cases = (0, 0, 0, 0, 4096), (-3, 7, 2**32 - 1, 2, 1003), (2**64 - 1, 2**32 - 1, 5, 2**31 - 1, 3)
    for seed, sample, draw, stream, size in cases:
        want = philox.normals(seed, sample, (1, size), draw, dtype, stream=stream)
        for name in ("fill", "each"):
            assert_same_bits(filled(library, name, seed, sample, draw, stream, want), want)


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 6.77), (torch.float64, 8.66)], ids=str)
def test_extreme_words_are_finite(dtype: torch.dtype, most: float) -> None:
    ends = torch.tensor(reference.extremes(BITS[dtype]))
    got = torch.stack(philox._pair(*torch.cartesian_prod(ends, ends).unbind(1), dtype))
    assert torch.isfinite(got).all()
    assert most - 0.01 <= got.abs().max() <= most
    assert (philox._root(philox._minus_two_log(ends, dtype)) > 0).all()


def test_float32_is_float64_up_to_the_lower_bits() -> None:
    one, two = (philox.normals(11, 0, (4, 1 << 16), 3, dtype) for dtype in BITS)
    at = philox.counter(torch.arange(1 << 14), torch.arange(4)[:, None], 3, 0)
    w0, _, w2, _ = philox.words(at, 11)
    u = torch.stack((w0, w0, w2, w2), -1).reshape(4, -1).double() / 2**32
    radius = torch.sqrt(-2 * torch.log(u))
    lower = 2.0**-33 / (u * radius) * 1.01 + radius * (2 * torch.pi * 2**-32)
    assert ((one - two).abs() <= lower + 5 * 2**-23 * two.abs()).all()
    assert not torch.equal(one.double(), two)


def test_half_precision_is_float32_rounded() -> None:
    want = philox.normals(5, 2, (2, 3, 7), 1)
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(philox.normals(5, 2, (2, 3, 7), 1, dtype), want.to(dtype))


# The law


@pytest.mark.parametrize("dtype", BITS, ids=str)
def test_the_normal_law(dtype: torch.dtype) -> None:
    """Moments up to the fourth, Kolmogorov-Smirnov, chi-square of 256 bins of the same probability."""
    found = philox.normals(2024, 0, (8, 1 << 15), 0, dtype).flatten().double().numpy()
    count = found.size
    for power, (mean, deviation) in {1: (0, 1), 2: (1, 2**0.5), 3: (0, 15**0.5), 4: (3, 96**0.5)}.items():
        assert abs((found**power).mean() - mean) <= 4 * deviation / count**0.5, power
    assert stats.kstest(found, "norm").pvalue > 1e-3
    counts = np.bincount(np.searchsorted(stats.norm.ppf(np.arange(1, 256) / 256), found), minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-3
    tail = stats.binomtest(int((np.abs(found) > 3.5).sum()), count, 2 * stats.norm.sf(3.5))
    assert tail.pvalue > 1e-3


def test_numbers_are_independent() -> None:
    """Of neighbours, samples, draws, streams and seeds, values and their squares are uncorrelated."""
    size = 1 << 15
    one = philox.normals(9, 4, (1, size), 6)[0]
    others = {
        "seed": philox.normals(10, 4, (1, size), 6)[0],
        "upper seed": philox.normals(9 + 2**32, 4, (1, size), 6)[0],
        "sample": philox.normals(9, 5, (1, size), 6)[0],
        "draw": philox.normals(9, 4, (1, size), 7)[0],
        "stream": philox.normals(9, 4, (1, size), 6, stream=1)[0],
        **{f"{k} apart": one.roll(k) for k in range(1, 9)},
    }
    for name, other in others.items():
        for a, b in ((one, other), (one**2 - 1, other**2 - 1), (one, other**2 - 1)):
            correlation = float(np.corrcoef(a.double(), b.double())[0, 1])
            assert abs(correlation) * size**0.5 <= 4, name


# How it is asked for


@pytest.mark.parametrize("dtype", BITS, ids=str)
def test_a_sample_is_the_same_in_any_batch(dtype: torch.dtype) -> None:
    whole = philox.normals(1, 10, (8, 3, 5), 4, dtype)
    alone = [philox.normals(1, 10 + b, (1, 3, 5), 4, dtype) for b in range(8)]
    assert torch.equal(whole, torch.cat(alone))
    first, rest = philox.normals(1, 10, (3, 3, 5), 4, dtype), philox.normals(1, 13, (5, 15), 4, dtype)
    assert torch.equal(whole, torch.cat((first, rest.reshape(5, 3, 5))))
    assert torch.equal(whole.reshape(8, 15), philox.normals(1, 10, (8, 22), 4, dtype)[:, :15])
    assert len(whole.flatten().unique()) == whole.numel()


@pytest.mark.parametrize("shape", [(1,), (3,), (0, 5), (2, 0), (2, 3, 5), [4, 4]], ids=str)
def test_shapes(shape: Any) -> None:
    found = philox.normals(0, 0, shape, 0)
    assert found.shape == torch.Size(shape)
    assert found.is_contiguous()
    assert found.dtype == torch.float32


def test_arguments_as_tensors_and_no_state() -> None:
    state = torch.get_rng_state()
    for seed in (7, -7, 2**63 - 1, 2**64 - 7):
        want = philox.normals(seed, 3, (2, 9), 5)
        signed = seed - 2**64 if seed >= 2**63 else seed
        assert torch.equal(want, philox.normals(torch.tensor(signed), torch.tensor([3]), (2, 9), torch.tensor(5)))
        assert torch.equal(want, philox.normals(signed, 3, (2, 9), torch.tensor([[5]])))
    assert torch.equal(philox.normals(-7, 3, (2, 9), 5), philox.normals(2**64 - 7, 3, (2, 9), 5))
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_reads_a_tensor_on_the_host() -> None:
    """On tensors without values, where reading one is an error: the operator's own lines, and what they allocate."""
    with FakeTensorMode():
        like, at = torch.empty(0), [torch.tensor(1), torch.tensor(2), torch.tensor(3)]
        assert philox._normals(like, (2, 9), (0, 0, 0), at, 0).shape == (2, 9)
        assert philox.normals(1, 2, (2, 9), 3, torch.float64, "cuda").device.type == "cuda"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((1, 0, (), 0), ValueError, "shape"),
        ((1, 0, (1 << 33, 1 << 20), 0), ValueError, "sample0"),
        ((1, 0, (1, (1 << 34) + 1), 0), ValueError, "elements of a sample"),
        ((1, -1, (1, 4), 0), ValueError, "sample0"),
        ((1, 2**32 - 1, (2, 4), 0), ValueError, "sample0"),
        ((1, 0, (1, 4), 2**32), ValueError, "draw"),
        ((1, 0, (1, 4), -1), ValueError, "draw"),
        ((2**64, 0, (1, 4), 0), ValueError, "seed"),
        ((-(2**63) - 1, 0, (1, 4), 0), ValueError, "seed"),
        ((1, 0, (1, 4), 0, torch.float32, "cpu", 2**31), ValueError, "stream"),
        ((1, 0, (1, 4), 0, torch.int32), TypeError, "dtype"),
        ((1, 0, (1, 4), 0, torch.complex64), TypeError, "dtype"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        philox.normals(*arguments)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_it_is_one_graph_with_the_same_bits(backend: str) -> None:
    torch._dynamo.reset()
    graphs = CompileCounterWithBackend(backend)

    @torch.compile(fullgraph=True, backend=graphs)
    def drawn(x: torch.Tensor, seed: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        return x + philox.normals(seed, 3, x.shape, draw, x.dtype, x.device)

    x = torch.zeros(2, 9)
    for seed, draw in ((1, 0), (-5, 1), (2**63 - 1, 2)):
        assert_same_bits(drawn(x, torch.tensor(seed), torch.tensor(draw)), philox.normals(seed, 3, (2, 9), draw))
    assert graphs.frame_count == 1
    torch._dynamo.reset()
    as_numbers = torch.compile(philox.normals, fullgraph=True, backend="aot_eager")
    for seed in (1, 2, 2**64 - 1, 2**64 - 2):
        assert_same_bits(as_numbers(seed, 0, (2, 9), seed % 7), philox.normals(seed, 0, (2, 9), seed % 7))
    torch._dynamo.reset()


def test_the_operator_keeps_the_contract_of_torch_library() -> None:
    for dtype, tensors in ((torch.float32, [None] * 3), (torch.float64, [torch.tensor(4), None, torch.tensor(1)])):
        arguments = (torch.empty(0, dtype=dtype), [2, 9], [1, 2, 3], tensors, 0)
        torch.library.opcheck(torch.ops.phiforge.normals.default, arguments)


# On a GPU

KERNELS = """#include "philox.h"
template <class R>
__device__ void fill(R* to, std::uint64_t seed, unsigned sample, unsigned draw, unsigned stream, std::int64_t n) {
    const std::int64_t group = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
    alignas(16) R four[4];
    philox::normals<R>(seed, sample, group, draw, stream, four);
    if (4 * group + 3 < n)
        for (int k = 0; k < int(sizeof(four) / 16); ++k)
            reinterpret_cast<int4*>(to + 4 * group)[k] = reinterpret_cast<int4*>(four)[k];
    else
        for (std::int64_t i = 4 * group; i < n; ++i) to[i] = philox::normal<R>(seed, sample, i, draw, stream);
}
extern "C" __global__ void fill_f32(float* to, std::uint64_t seed, unsigned sample, unsigned draw, std::int64_t n) {
    fill(to, seed, sample, draw, 0, n);
}
extern "C" __global__ void fill_f64(double* to, std::uint64_t seed, unsigned sample, unsigned draw, std::int64_t n) {
    fill(to, seed, sample, draw, 0, n);
}
"""


@pytest.mark.skipif(sass.NVCC is None, reason="nvcc is not installed")
@pytest.mark.parametrize(
    "arch", [pytest.param("sm_80", marks=pytest.mark.slow), "sm_90", pytest.param("sm_100", marks=pytest.mark.slow)]
)
def test_nvcc_spills_nothing_and_contracts_nothing(arch: str, tmp_path: Path) -> None:
    """Contraction is allowed here (-fmad=true): the header forbids it itself."""
    found = sass.compiled(KERNELS, arch, tmp_path, "-fmad=true")
    assert {*found.said} == {"fill_f32", "fill_f64"}
    for kernel, most in (("fill_f32", 32), ("fill_f64", 64)):
        assert found.local(kernel) == [0, 0, 0], (kernel, "stack, spills")
        assert found.registers(kernel) <= most, kernel
        assert "fma." not in found.ptx[kernel]
        assert "sqrt.rn" in found.ptx[kernel]
        names = [name for name, _ in sass.instructions(found.code[kernel])]
        assert not [name for name in names if name.startswith(("LDL", "STL"))]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", BITS, ids=str)
def test_a_gpu_gives_the_same_bits(dtype: torch.dtype) -> None:
    first, second = reference.integers(BITS[dtype], 1 << 19)
    got = torch.stack(philox._pair(first.cuda(), second.cuda(), dtype), 1).cpu()
    assert_same_bits(got, torch.stack(philox._pair(first, second, dtype), 1))


@pytest.mark.gpu
def test_a_captured_draw_follows_its_counter() -> None:
    draw = torch.zeros((), dtype=torch.int64, device="cuda")
    philox.normals(-3, 1, (2, 1003), draw, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = philox.normals(-3, 1, (2, 1003), draw, device="cuda")
        draw += 1
    for k in range(3):
        graph.replay()
        assert_same_bits(found.cpu(), philox.normals(-3, 1, (2, 1003), k))
