"""Brownian paths: their law, derived with SymPy and counted; sums to the last bit; the same integers in torch and C++."""

from __future__ import annotations

import ctypes
import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import torch
from scipy import stats
from torch._dynamo.testing import CompileCounterWithBackend

from runtime import native, philox
from runtime.brownian import SECOND, STREAM, Brownian
from tests.backends import sass
from tests.backends.brownian_cases import PATHS, integers, numbers, pairs

SOURCE = """#include "brownian.h"
using namespace brownian;
template <int N>
BOTH void fill(
    std::uint64_t seed, unsigned sample, const std::int64_t* k, const double* c, std::int64_t i, std::int64_t n,
    std::int64_t* w, double* z) {
    const Tree tree = {seed, k[0], {k[1], k[2], k[3], k[4]}};
    const Point s = {k[5], c[0], c[1], c[2], c[3], c[4]}, t = {k[6], c[5], c[6], c[7], c[8], c[9]};
    const Increment<N> found = increment<N>(tree, {sample, std::uint64_t(i)}, s, t);
    for (int j = 0; j < N; ++j) {
        w[N * i + j] = found.from[j];
        w[n + N * i + j] = found.to[j];
        z[N * i + j] = found.area[j];
    }
}
"""
HOST = """
extern "C" void fill_4(
    std::uint64_t seed, unsigned sample, const std::int64_t* k, const double* c, std::int64_t n, std::int64_t* w, double* z) {
    for (std::int64_t i = 0; i < n / 4; ++i) fill<4>(seed, sample, k, c, i, n, w, z);
}
extern "C" void fill_1(
    std::uint64_t seed, unsigned sample, const std::int64_t* k, const double* c, std::int64_t n, std::int64_t* w, double* z) {
    for (std::int64_t i = 0; i < n; ++i) fill<1>(seed, sample, k, c, i, n, w, z);
}
"""
DEVICE = """
extern "C" __global__ void fill_4(
    std::uint64_t seed, unsigned sample, const std::int64_t* k, const double* c, std::int64_t n, std::int64_t* w, double* z) {
    const std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
    if (i < n / 4) fill<4>(seed, sample, k, c, i, n, w, z);
}
"""
NEEDS_COMPILER = pytest.mark.skipif(not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler")


def like(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype)


# The law


def covariance(times: tuple[Any, Any]) -> sp.Matrix:
    """Of W and its integral from 0 at the first time, then at the second: from E W(a) W(b) = min(a, b)."""
    u, v = sp.symbols("u v", positive=True)

    def least(a: Any, b: Any) -> Any:  # the integral of min(a, u) over u from 0 to b
        return sp.integrate(u, (u, 0, a)) + a * (b - a) if (b - a).is_nonnegative else sp.integrate(u, (u, 0, b))

    def entry(j: int, k: int) -> Any:
        a, b = sorted((j // 2, k // 2))
        a, b, kinds = times[a], times[b], (j % 2, k % 2)
        if kinds == (0, 0):
            return a
        if kinds == (1, 1):
            return sp.integrate(v**2 / 2 + v * (b - v), (v, 0, a))
        point, end = (j, k) if kinds == (0, 1) else (k, j)
        return least(times[point // 2], times[end // 2])

    return sp.Matrix(4, 4, entry)


@pytest.fixture(scope="module")
def conditional() -> tuple[sp.Symbol, sp.Matrix, sp.Matrix]:
    """(theta, the mean's matrix, the covariance) of (W, g) over [0, theta], given those over [0, 1]; g = 2 Z / h - W."""
    share = sp.Symbol("share", positive=True)  # theta = share / (1 + share) is below 1 for SymPy, too
    theta = share / (1 + share)
    to_g = sp.diag(*(sp.Matrix([[1, 0], [-1, 2 / h]]) for h in (theta, sp.Integer(1))))
    joint = sp.simplify(to_g * covariance((theta, sp.Integer(1))) * to_g.T)
    assert joint[2:, 2:] == sp.diag(1, sp.Rational(1, 3))
    mean = joint[:2, 2:] * joint[2:, 2:].inv()
    return share, sp.simplify(mean), sp.simplify(joint[:2, :2] - mean * joint[2:, :2])


def response(step: Any, unit: float) -> torch.Tensor:
    """What (W, g) of the first part are for w, g, e and d of 1, one after the other: [2, 4]."""
    columns = []
    for one in range(4):
        w, g = (torch.tensor([int(unit) * (one == k)]) for k in (0, 1))
        columns.append([float(number) / unit for number in step((w, g), iter([numbers_of(one)]))])
    return torch.tensor(columns, dtype=torch.float64).T


def numbers_of(one: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([(one == 2) << 24]), torch.tensor([(one == 3) << 24])


def assert_the_law(found: torch.Tensor, law: tuple[sp.Symbol, sp.Matrix, sp.Matrix], part: sp.Rational) -> None:
    share, mean, spread = (law[0], *(m.subs(law[0], part / (1 - part)) for m in law[1:]))
    assert share.is_positive
    want = torch.tensor([[float(k) for k in row] for row in mean.tolist()], dtype=torch.float64)
    assert torch.allclose(found[:, :2], want, rtol=0, atol=1e-11)
    want = torch.tensor([[float(k) for k in row] for row in spread.tolist()], dtype=torch.float64)
    assert torch.allclose(found[:, 2:] @ found[:, 2:].T, want, rtol=0, atol=2.0**-32)


@pytest.mark.parametrize("level", [0, 1, 2, 7])
def test_halves_have_the_conditional_law(level: int, conditional: Any) -> None:
    path = Brownian(0, levels=20)

    def step(piece: Any, draws: Any) -> Any:
        left, right = path._halves(piece, level, draws)
        assert left[0] + right[0] == piece[0]
        assert left[1] + right[1] == 2 * piece[1] - (left[0] - right[0])
        return left[0], left[1]

    found = response(step, 1 / path.quantum)
    found[:, 2:] *= 2.0 ** (level / 2)  # deviations of a node of length 2^-level
    assert_the_law(found, conditional, sp.Rational(1, 2))


@pytest.mark.parametrize("part", [sp.Rational(1, 2), sp.Rational(1, 8), sp.Rational(7, 8), sp.Rational(2, 5)])
def test_parts_of_a_tick_have_the_conditional_law(part: sp.Rational, conditional: Any) -> None:
    path = Brownian(0, levels=0)
    point = path.point(float(part))

    def step(piece: Any, draws: Any) -> Any:
        x, z = path._inner(piece, point, draws)
        return x, 2 * z / point.part - x

    assert_the_law(response(step, 1 / path.quantum), conditional, part)


def test_a_tick_is_halved_as_a_node_is() -> None:
    """So a time that a tree has no level for is where a deeper tree has it, up to rounding."""
    deep, flat = Brownian(3, levels=9), Brownian(3, levels=6)
    for b in (2.0**-7, 5 * 2.0**-7):
        got, want = flat.joint(0, b, like(2, 64)), deep.joint(0, b, like(2, 64))
        for one, other in zip(got, want, strict=True):
            assert (one - other).abs().max() <= 2.0**-30


GRIDS = {
    "dyadic": (0.0, 0.25, 0.375, 0.5, 1.0),
    "any": (0.0, 1e-5, 1e-3, 0.1, 1 / 3, 0.334, 1.0),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_the_law_over_many_elements(grid: str) -> None:
    """Mean, variance, covariance of all increments and integrals within five deviations; Kolmogorov-Smirnov."""
    path, count, times = Brownian(2026, levels=20), 4_000, GRIDS[grid]
    columns = []
    for a, b in pairwise(times):
        w, z = path.joint(a, b, like(4, count // 4))
        h = b - a
        columns += [w.flatten() / math.sqrt(h), (2 * z / h - w).flatten() * math.sqrt(3 / h)]
    found = torch.stack(columns)
    assert found.mean(1).abs().max() <= 5 / count**0.5
    second = found @ found.T / count
    off = second - torch.diag(second.diagonal())
    assert (second.diagonal() - 1).abs().max() <= 5 * (2 / count) ** 0.5
    assert off.abs().max() <= 5 / count**0.5
    assert min(stats.kstest(column.numpy(), "norm").pvalue for column in found) > 1e-4


def test_normals_are_increments_over_their_deviation() -> None:
    path, a, b = Brownian(8, (-1.0, 3.0)), 0.3, 0.7
    assert torch.equal(path.normals(a, b, like(2, 9)), path.increment(a, b, like(2, 9)) / math.sqrt(b - a))
    assert path.normals(a, b, like(2, 9, dtype=torch.bfloat16)).dtype == torch.bfloat16


# Sums

TRIPLES = ((0.0, 0.25, 1.0), (0.1, 0.2, 0.7), (1e-6, 1e-3, 1.0), (0.3, 0.3000001, 0.31), (1 / 3, 0.5, 2 / 3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("interval", [(0.0, 1.0), (-2.0, 1.3), (1e-3, 6400.0)], ids=str)
def test_increments_add_up_to_the_last_bit(interval: tuple[float, float], dtype: torch.dtype) -> None:
    path, (start, stop) = Brownian(11, interval, dtype=dtype), interval
    x = like(2, 100, dtype=dtype)
    for parts in TRIPLES:
        s, t, u = (stop if part == 1 else start + part * (stop - start) for part in parts)
        one, two, both = path.increment(s, t, x), path.increment(t, u, x), path.increment(s, u, x)
        assert both.abs().min() > 0 or dtype == torch.float32
        assert torch.equal(one + two, both)
        assert torch.equal(both - one, two)
        exact = Brownian(11, interval).increment(start, u, x.double())
        unit = path.quantum * (1 << 24 if dtype == torch.float32 else 0)
        assert (path.increment(start, u, x).double() - exact).abs().max() <= unit / 2


def test_integrals_add_up_to_rounding() -> None:
    path, x = Brownian(12, (-2.0, 1.3)), like(2, 100)
    for parts in TRIPLES:
        s, t, u = (1.3 if part == 1 else -2 + part * 3.3 for part in parts)
        (w1, z1), (_, z2), (_, z) = path.joint(s, t, x), path.joint(t, u, x), path.joint(s, u, x)
        assert (z1 + z2 + (u - t) * w1 - z).abs().max() <= 2.0**-48 * (u - s) ** 1.5


def test_integrals_of_ticks_add_up_to_the_last_bit() -> None:
    """A tree of few ticks: 53 bits hold every sum."""
    path, x = Brownian(13, levels=5), like(1, 500)
    for s, t, u in ((0, 1, 4), (3, 17, 29), (8, 9, 32)):
        (w1, z1), (_, z2), (_, z) = (
            path.joint(s / 32, t / 32, x),
            path.joint(t / 32, u / 32, x),
            path.joint(s / 32, u / 32, x),
        )
        assert torch.equal(z1 + z2 + (u - t) / 32 * w1, z)


def test_n_and_2n_steps_are_on_one_path() -> None:
    path, x = Brownian(14, (0.0, 3.0)), like(3, 7)
    for n in (1, 5, 20):
        coarse = [path.increment(3 * k / n, 3 * (k + 1) / n, x) for k in range(n)]
        fine = [path.increment(3 * k / (2 * n), 3 * (k + 1) / (2 * n), x) for k in range(2 * n)]
        for k in range(n):
            assert torch.equal(fine[2 * k] + fine[2 * k + 1], coarse[k])


def test_the_lattice_leaves_the_law_as_it_is() -> None:
    """The quantum, and what float32 sums take: figures of the documentation."""
    for interval in ((0.0, 1.0), (0.0, 3.0), (-5.0, 6400.0), (0.0, 1e-9)):
        path, root = Brownian(0, interval, levels=48), math.sqrt(interval[1] - interval[0])
        assert 2.0**-44 < path.quantum / root <= 2.0**-43
        assert math.frexp(path.quantum)[0] == 0.5
        assert path.quantum / math.sqrt(path.tick) <= 2.0**-19
        deviations = [root * d**-0.5 * 2.0 ** (-p / 2) for d in (16, 12) for p in (0, 1)]
        for scale, deviation in zip(path.scales, deviations, strict=True):
            assert abs(scale * 1024 * path.quantum / deviation - 1) <= 2.0**-31


def test_nothing_overflows() -> None:
    """The largest normals, one sign everywhere: within 37 and 16 deviations, which is far below 2^62 quanta."""
    path = Brownian(0, levels=48)
    most = torch.tensor([int(6.8 * 2**24)])
    for signs in range(4):
        e, d = (most * (1 - 2 * (signs >> k & 1)) for k in (0, 1))
        piece, h = (most * path.scales[0] >> 12, most * path.scales[2] >> 13), 1.0
        for level in range(48):
            assert (3 * piece[0].abs() + 3 * piece[1].abs()).item() < 1 << 53
            assert piece[0].abs() * path.quantum <= 37 * h**0.5
            piece, h = path._halves(piece, level, iter([(e, d)]))[0], h / 2


# How it is asked for


def test_a_sample_is_the_same_in_any_batch() -> None:
    path, (a, b) = Brownian(1), (0.1, 0.77)
    whole = path.increment(a, b, like(8, 3, 5), 10)
    assert torch.equal(whole, torch.cat([path.increment(a, b, like(1, 3, 5), 10 + k) for k in range(8)]))
    some = torch.tensor([17, 11, 11])
    assert torch.equal(path.increment(a, b, like(3, 15), some), whole.reshape(8, 15)[[7, 1, 1]])
    assert torch.equal(path.increment(a, b, like(8, 22), 10)[:, :15], whole.reshape(8, 15))
    assert len(whole.flatten().unique()) == whole.numel()
    assert torch.equal(whole.float(), path.increment(a, b, like(8, 3, 5, dtype=torch.float32), 10))


def test_no_state_and_no_order() -> None:
    state, x = torch.get_rng_state(), like(2, 9)
    times = GRIDS["any"]
    forward = {pair: Brownian(4).increment(*pair, x) for pair in pairwise(times)}
    path = Brownian(torch.tensor(4))
    backward = {pair: path.increment(*pair, x) for pair in reversed([*forward])}
    assert all(torch.equal(forward[pair], backward[pair]) for pair in forward)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(Brownian(5).increment(0, 1, x), path.increment(0, 1, x))
    assert torch.equal(Brownian(-5).increment(0, 1, x), Brownian(2**64 - 5).increment(0, 1, x))


def test_compiled_it_is_one_graph_with_the_same_bits() -> None:
    torch._dynamo.reset()
    path, graphs = Brownian(-7, (0.0, 2.0)), CompileCounterWithBackend("aot_eager")

    @torch.compile(fullgraph=True, backend=graphs)
    def drawn(x: torch.Tensor) -> torch.Tensor:
        return x + path.increment(0.1, 0.3, x, 5) + path.joint(0.3, 1.9, x)[1]

    x = torch.zeros(2, 9)
    assert torch.equal(drawn(x), path.increment(0.1, 0.3, x, 5) + path.joint(0.3, 1.9, x)[1])
    assert graphs.frame_count == 1
    torch._dynamo.reset()
    arguments = (torch.empty(2, 9), [1, 2, 20], [None, torch.tensor([5, 6])], [0.0, 1.0, 0.1, 0.7])
    torch.library.opcheck(torch.ops.phiforge.brownian.default, arguments)


def test_chunks_of_nodes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    want = Brownian(6).joint(0.123, 0.456, like(2, 9))
    monkeypatch.setattr("runtime.brownian._MOST", 100)
    got = Brownian(6).joint(0.123, 0.456, like(2, 9))
    assert all(torch.equal(one, other) for one, other in zip(got, want, strict=True))


def test_the_counter_of_a_node() -> None:
    """All of the interval is node 0: two numbers of philox, times their deviations; streams of paths are their own."""
    x = like(2, 10)
    w, z = Brownian(9).joint(0, 1, x)
    e, d = (philox.normals(9, 0, x.shape, 0, stream=STREAM | kind).double() for kind in (0, SECOND))
    assert torch.allclose(w, e, rtol=1e-9, atol=2.0**-24)
    assert torch.allclose(2 * z - w, d / 3**0.5, rtol=1e-9, atol=2.0**-24)
    left, mid = Brownian(9, levels=40).increment(0, 0.5, x), philox.normals(9, 0, x.shape, 1, stream=STREAM)
    assert torch.allclose(left, w / 2 + 3 / 4 * (2 * z - w) + mid / 4, rtol=0, atol=2.0**-23)


def test_levels_are_as_many_as_a_time_needs() -> None:
    path = Brownian(0, levels=32)
    assert path.nodes(0, 1) == 1
    assert path.nodes(0, 0.5) == 2
    assert path.nodes(0.25, 0.75) == 4
    assert path.nodes(1 / 3, 2 / 3) == 2 + 2 * 32
    assert [path.nodes(k / 64, (k + 1) / 64) for k in (0, 31, 63)] == [7, 7, 7]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Brownian(0, (1.0, 1.0)), ValueError, "interval"),
        (lambda: Brownian(0, (0.0, math.inf)), ValueError, "interval"),
        (lambda: Brownian(0, levels=49), ValueError, "levels"),
        (lambda: Brownian(0, dtype=torch.float16), TypeError, "dtype"),
        (lambda: Brownian(2**64), ValueError, "seed"),
        (lambda: Brownian(0).increment(0.5, 1.5, like(1, 4)), ValueError, "time"),
        (lambda: Brownian(0).increment(0.5, 0.2, like(1, 4)), ValueError, "times"),
        (lambda: Brownian(0).increment(0.5, 0.5, like(1, 4)), ValueError, "times"),
        (lambda: Brownian(0).increment(0.3, 0.3 + 1e-12, like(1, 4)), ValueError, "more levels"),
        (lambda: Brownian(0).increment(0, 1, like()), ValueError, "like"),
        (lambda: Brownian(0).increment(0, 1, like(3, 4), torch.tensor([1, 2])), ValueError, "samples"),
    ],
)
def test_what_is_out_of_range_is_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


# In C++


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("brownian")
    (folder / "path.cc").write_text(SOURCE + HOST, "utf-8")
    native._compile(native._compiler(), native.FLAGS, folder / "path.cc", folder / "path.so")
    return ctypes.CDLL(str(folder / "path.so"))


@NEEDS_COMPILER
@pytest.mark.parametrize(("seed", "interval", "levels"), PATHS, ids=str)
def test_cpp_gives_the_same_integers(
    seed: int, interval: tuple[float, float], levels: int, library: ctypes.CDLL
) -> None:
    path, size, pointer = Brownian(seed, interval, levels), 24, ctypes.c_void_p
    assert pairs(path)
    for a, b in pairs(path):
        s, t = path.point(a), path.point(b)
        first, last, area = path.quanta(a, b, like(1, size), 7)
        k, c = integers(path, s, t), numbers(s, t)
        for name in ("fill_4", "fill_1"):
            w, z = torch.zeros(2, size, dtype=torch.int64), like(size)
            getattr(library, name)(
                ctypes.c_uint64(seed % 2**64), ctypes.c_uint32(7),
                *(pointer(tensor.data_ptr()) for tensor in (k, c)), ctypes.c_int64(size),
                *(pointer(tensor.data_ptr()) for tensor in (w, z)),
            )  # fmt: skip
            assert torch.equal(w, torch.cat((first, last))), (a, b)
            assert torch.equal(z.view(torch.int64), area[0].view(torch.int64)), (a, b)


@pytest.mark.skipif(sass.NVCC is None, reason="nvcc is not installed")
def test_nvcc_spills_nothing_and_contracts_nothing(tmp_path: Path) -> None:
    found = sass.compiled(SOURCE + DEVICE, "sm_90", tmp_path, "-fmad=true")
    assert found.local("fill_4") == [0, 0, 0], "stack, spills"
    assert "fma." not in found.ptx["fill_4"]
