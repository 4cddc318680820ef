// What every fused step has in common: its loops, the vectors of 16 bytes, the row that says what a call does.
// step_cuda.cu includes this, says how many COLUMNS a row of coefficients and how many buffers the RING has, writes a
// struct phase_NAME for every phase, and ends with EXPORT(NAME) for each and LOOP(..) for all.
//
// Buffers: X the state, RAW the network's output, M + j the entry j of the memory. Storage: f32, f64; f16 and bf16, with
// arithmetic in float, where a state (x, and what keeps a state) is two numbers: its value, which the network reads, and
// the low part that the value has lost. With PROJECTED defined, projection.h stands before every phase.
//
// A phase that loads Z draws standard normals. They are those of philox.h, made where they are used: no memory is moved.

#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "philox.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#else
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#endif

constexpr int X = 0, RAW = 1, Z = 2, M = 3;

using Long = std::int64_t;

// Bytes that the last cache of a CPU is taken to hold.
constexpr Long CACHED = Long(40) << 20;

// What one call works on. state: slots of `stride` elements, the low parts likewise in `low`; row k of `order`: the number
// of the phase, the slot of x, those of the memory; table: [samples, rows, COLUMNS]; counter: the step, a ticket that
// blocks draw, and how many steps there are; times: [rows + 1, batch], of which t is the row of the step. net: `copies`
// times the network's input, x' times scales[sample, step + 1]. noise: the seed, and the number of the first sample, where a
// phase draws; then every sample has its table. On a GPU: `blocks` for each sample.
// PROJECTED: guide: [samples, rows, 4]; limits: [samples, 2], null where nothing is bounded; rule: (k, fraction, most), null
// where the limits are given. Two copies: raw is that of a pair.
struct Run {
    Long n, samples, stride, rows, batch, copies, blocks;
    void *state, *low;
    const void* raw;
    const std::int32_t* order;
    const void* table;
    Long* counter;
    const void* times;
    void *t, *net;
    const void* scales;
    const Long* noise;
#ifdef PROJECTED
    const void* guide;
    void* limits;
    const double* rule;
#endif
};

#ifdef PROJECTED
constexpr int OTHER = 1, PROJECTION = 6;  // the other half of a pair is a buffer, and the row is longer
#else
constexpr int OTHER = 0, PROJECTION = 0;
#endif

namespace {

#ifndef __CUDACC__
// bfloat16 on the CPU: the upper half of a float, rounded to nearest, ties to even.
struct Bfloat16 {
    std::uint16_t bits;
    Bfloat16() = default;
    explicit Bfloat16(float value) {
        std::uint32_t word;
        std::memcpy(&word, &value, 4);
        const std::uint32_t rounded = (word + 0x7fff + (word >> 16 & 1)) >> 16;
        bits = (word & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded;
    }
    operator float() const {
        const std::uint32_t word = std::uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &word, 4);
        return value;
    }
};
#endif

// What arithmetic is done in, and whether a state has a low part.
template <class T>
struct Kind {
    using R = float;
    static constexpr bool LOW = true;
};
template <>
struct Kind<float> {
    using R = float;
    static constexpr bool LOW = false;
};
template <>
struct Kind<double> {
    using R = double;
    static constexpr bool LOW = false;
};

template <class P, class T>
BOTH constexpr bool low_in(int j) {
    return Kind<T>::LOW && (P::STATES >> j & 1);
}
template <class P, class T>
BOTH constexpr bool low_out(int j) {
    return Kind<T>::LOW && (P::NEW_STATES >> j & 1);
}

// Blocks of 256 threads on a multiprocessor, such that all words and their addresses lie in registers.
constexpr int MANY = 32;
constexpr int blocks(int words) {
    return words <= 6 ? 4 : words <= 9 ? 3 : words <= MANY ? 2 : 1;
}

// z: normals in memory, where they are: on a CPU a few that were just made, or the caller's.
template <class T, int RING>
struct Buffers {
    T *at[M + RING + OTHER], *low[M + RING + OTHER];
    const typename Kind<T>::R* z;
};

template <class P>
BOTH constexpr bool draws() {
    for (int j = 0; j < P::LOADS; ++j)
        if (P::load(j) == Z) return true;
    return false;
}

// Which normals a sample takes in a call.
struct Noise {
    std::uint64_t seed;
    philox::Word sample, draw;
};

template <class P>
BOTH Noise noise_of(const Run& run, Long sample, Long step) {
    if (!draws<P>()) return {};
    using philox::Word;
    return {static_cast<std::uint64_t>(run.noise[0]), static_cast<Word>(run.noise[1] + sample), static_cast<Word>(step)};
}

template <class T, int RING>
BOTH Buffers<T, RING> placed(const Run& run, const std::int32_t* order) {
    Buffers<T, RING> b;
    b.at[RAW] = static_cast<T*>(const_cast<void*>(run.raw));
    b.low[RAW] = b.at[Z] = b.low[Z] = nullptr;
    b.z = nullptr;
    for (int j = 0; j <= RING; ++j) {
        const Long first = order[1 + j] * run.stride;
        const int place = j ? M + j - 1 : X;
        b.at[place] = static_cast<T*>(run.state) + first;
        b.low[place] = static_cast<T*>(run.low) + first;
    }
    if (OTHER) b.at[M + RING + OTHER - 1] = b.at[RAW] + run.samples * run.n, b.low[M + RING + OTHER - 1] = nullptr;
    return b;
}

// The low part of what T has lost.
template <class T, class R>
BOTH T lost(R value, T high) {
    return static_cast<T>(value - static_cast<R>(high));
}

#ifdef __CUDACC__
template <class T>
union Word {
    int4 bits;
    T lane[16 / sizeof(T)];
    __device__ Word() {}
};

template <class T>
__device__ int4 fetched(const T* p) {
    return __ldcs(reinterpret_cast<const int4*>(p));  // it is not read again before the next call
}
template <class T>
__device__ void stored(T* p, const Word<T>& w) {
    __stwb(reinterpret_cast<int4*>(p), w.bits);  // an assignment is taken apart into words, and left so
}
#endif

}  // namespace

#ifdef PROJECTED
#include "projection.h"
#endif

namespace {

#ifndef PROJECTED
template <class R>
BOTH void guide(const Run&, Long, Long, R*) {}
#endif

#ifdef __CUDACC__

// One element, the i-th, of its sample the i-th behind `from`: its loads, its lines, its stores.
template <class P, class T, int COPIES, int RING, class R>
__device__ void one(
    const Buffers<T, RING>& b, const R* c, T* net, Long pair, R scale, const Noise& noise, Long from, Long i) {
    R v[P::LOADS], w[P::STORES];
#pragma unroll
    for (int j = 0; j < P::LOADS; ++j) {
        if (P::load(j) == Z) {
            v[j] = philox::normal<R>(noise.seed, noise.sample, i - from, noise.draw, 0);
            continue;
        }
        v[j] = static_cast<R>(b.at[P::load(j)][i]);
        if (low_in<P, T>(j)) v[j] += static_cast<R>(b.low[P::load(j)][i]);
    }
    P::element(v, c, w);
#pragma unroll
    for (int j = 0; j < P::STORES; ++j) {
        const T high = static_cast<T>(w[j]);
        b.at[P::store(j)][i] = high;
        if (low_out<P, T>(j)) b.low[P::store(j)][i] = lost(w[j], high);
    }
    for (int k = 0; k < COPIES; ++k) net[k * pair + i] = static_cast<T>(w[0] * scale);
}

// Elements in 16 bytes, all streams in flight at once.
template <class P, class T, int COPIES, int RING, class R>
__device__ void several(
    const Buffers<T, RING>& b, const R* c, T* net, Long pair, R scale, const Noise& noise, Long from, Long i) {
    constexpr int WIDTH = 16 / sizeof(T), GROUP = WIDTH < 4 ? WIDTH : 4;
    Word<T> v[P::LOADS], u[P::LOADS], w[P::STORES], z[P::STORES], fed;
#pragma unroll
    for (int j = 0; j < P::LOADS; ++j) {
        if (P::load(j) == Z) continue;
        v[j].bits = fetched(b.at[P::load(j)] + i);
        if (low_in<P, T>(j)) u[j].bits = fetched(b.low[P::load(j)] + i);
    }
    R normals[GROUP];
#pragma unroll
    for (int lane = 0; lane < WIDTH; ++lane) {
        R in[P::LOADS], out[P::STORES];
        if (draws<P>() && lane % GROUP == 0)
            philox::normals_from<R>(noise.seed, noise.sample, i - from + lane, noise.draw, 0, normals);
#pragma unroll
        for (int j = 0; j < P::LOADS; ++j) {
            if (P::load(j) == Z) {
                in[j] = normals[lane % GROUP];
                continue;
            }
            in[j] = static_cast<R>(v[j].lane[lane]);
            if (low_in<P, T>(j)) in[j] += static_cast<R>(u[j].lane[lane]);
        }
        P::element(in, c, out);
#pragma unroll
        for (int j = 0; j < P::STORES; ++j) {
            w[j].lane[lane] = static_cast<T>(out[j]);
            if (low_out<P, T>(j)) z[j].lane[lane] = lost(out[j], w[j].lane[lane]);
        }
        if (COPIES) fed.lane[lane] = static_cast<T>(out[0] * scale);
    }
#pragma unroll
    for (int j = 0; j < P::STORES; ++j) {
        stored(b.at[P::store(j)] + i, w[j]);
        if (low_out<P, T>(j)) stored(b.low[P::store(j)] + i, z[j]);
    }
    for (int k = 0; k < COPIES; ++k) stored(net + k * pair + i, fed);
}

// `blocks` blocks take a sample, a thread 16 bytes at a time; by elements where the buffers of the network or of a sample do
// not begin at a multiple of 16 bytes, and at the end.
template <class P, class T, int COPIES, int COLUMNS, int RING>
__device__ void elements(const Run& run, const Buffers<T, RING>& b, Long step) {
    using R = typename Kind<T>::R;
    constexpr int WIDTH = 16 / sizeof(T);
    const unsigned blocks = static_cast<unsigned>(run.blocks);
    const Long sample = blockIdx.x / blocks, block = blockIdx.x % blocks;
    const Long from = sample * run.n, end = from + run.n, pair = run.samples * run.n;
    const R* row = static_cast<const R*>(run.table) + (sample * run.rows + step) * COLUMNS;
    R c[COLUMNS + PROJECTION];
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k) c[k] = row[k];
    guide(run, sample, step, c + COLUMNS);
    const R scale = COPIES ? static_cast<const R*>(run.scales)[sample * (run.rows + 1) + step + 1] : R(1);
    const Noise noise = noise_of<P>(run, sample, step);
    T* net = static_cast<T*>(run.net);
    const bool whole = (from | (COPIES > 1 ? pair : 0)) % WIDTH == 0 &&
                       (reinterpret_cast<std::uintptr_t>(run.raw) | reinterpret_cast<std::uintptr_t>(run.net)) % 16 == 0;
    const Long stride = run.blocks * blockDim.x * WIDTH;
    for (Long i = from + (block * blockDim.x + threadIdx.x) * WIDTH; i < end; i += stride) {
        if (whole && i + WIDTH <= end) {
            several<P, T, COPIES>(b, c, net, pair, scale, noise, from, i);
            continue;
        }
#pragma unroll 1
        for (Long j = i; j < end && j < i + WIDTH; ++j) one<P, T, COPIES>(b, c, net, pair, scale, noise, from, j);
    }
}

// The last block to finish moves the counter on and writes the network's next times.
template <class R>
__device__ void finish(const Run& run, Long step) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicAdd(reinterpret_cast<unsigned long long*>(run.counter + 1), 1ull) == gridDim.x - 1;
    __syncthreads();
    if (!last) return;
    for (Long i = threadIdx.x; i < run.batch; i += blockDim.x)
        static_cast<R*>(run.t)[i] = static_cast<const R*>(run.times)[(step + 1) * run.batch + i];
    if (threadIdx.x == 0) run.counter[0] = step + 1, run.counter[1] = 0;
}
#else
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

// Elements of one sample; no two buffers overlap.
template <class P, class T, int COPIES, int RING, class R>
void span(const Buffers<T, RING>& b, const R* c, T* net, Long pair, R scale, Long n) {
    INDEPENDENT
    for (Long i = 0; i < n; ++i) {
        R v[P::LOADS], w[P::STORES];
        for (int j = 0; j < P::LOADS; ++j) {
            if (P::load(j) == Z) {
                v[j] = b.z[i];
                continue;
            }
            v[j] = static_cast<R>(b.at[P::load(j)][i]);
            if (low_in<P, T>(j)) v[j] += static_cast<R>(b.low[P::load(j)][i]);
        }
        P::element(v, c, w);
        for (int j = 0; j < P::STORES; ++j) {
            const T high = static_cast<T>(w[j]);
            b.at[P::store(j)][i] = high;
            if (low_out<P, T>(j)) b.low[P::store(j)][i] = lost(w[j], high);
        }
        for (int k = 0; k < COPIES; ++k) net[k * pair + i] = static_cast<T>(w[0] * scale);
    }
}

// Whether the phase stores where it has not loaded: a line of such a buffer would be read only to be written.
template <class P>
constexpr bool fresh(int j) {
    for (int k = 0; k < P::LOADS; ++k)
        if (P::load(k) == P::store(j)) return false;
    return true;
}

template <class P>
constexpr bool any_fresh() {
    for (int j = 0; j < P::STORES; ++j)
        if (fresh<P>(j)) return true;
    return false;
}

// Past the caches, 16 bytes at a time.
template <class T>
void past(T* to, const T* from, Long n) {
    Long i = 0;
#ifdef __SSE2__
    constexpr int WIDTH = 16 / sizeof(T);
    if (reinterpret_cast<std::uintptr_t>(to) % 16 == 0)
        for (; i + WIDTH <= n; i += WIDTH)
            _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_load_si128(reinterpret_cast<const __m128i*>(from + i)));
#endif
    std::memcpy(to + i, from + i, (n - i) * sizeof(T));
}

constexpr int PIECE = 512;

// The normals of `count` elements, up to a piece, of a sample from one on that is a multiple of 4; `to` is a whole piece.
template <class R>
void drawn(R* to, const Noise& noise, Long from, Long count) {
    R n[4][PIECE / 4];
    const int groups = static_cast<int>((count + 3) / 4);
    INDEPENDENT
    for (int g = 0; g < groups; ++g) {
        R four[4];
        philox::normals_from<R>(noise.seed, noise.sample, from + 4 * g, noise.draw, 0, four);
        n[0][g] = four[0], n[1][g] = four[1], n[2][g] = four[2], n[3][g] = four[3];
    }
    for (int g = 0; g < groups; ++g)
        for (int j = 0; j < 4; ++j) to[4 * g + j] = n[j][g];
}

template <class T, int RING>
Buffers<T, RING> shifted(Buffers<T, RING> b, Long by) {
    for (int j = 0; j < M + RING + OTHER; ++j) {
        if (b.at[j]) b.at[j] += by;
        if (b.low[j]) b.low[j] += by;
    }
    if (b.z) b.z += by;
    return b;
}

// A sample a piece at a time: where its normals are made first (noise), and where no cache holds it (large). What is fresh
// is then made aside, and written past the caches.
template <class P, class T, int COPIES, int RING, class R>
void pieces(
    const Buffers<T, RING>& b, const R* c, T* net, Long pair, R scale, Long n, bool large, const Noise* noise = nullptr) {
    alignas(64) T high[P::STORES][PIECE], low[P::STORES][PIECE], fed[PIECE];
    alignas(64) R normals[draws<P>() ? PIECE : 1];
    for (Long from = 0; from < n; from += PIECE) {
        const Long count = n - from < PIECE ? n - from : PIECE;
        Buffers<T, RING> d = shifted(b, from);
        if (draws<P>() && noise) {
            drawn(normals, *noise, from, count);
            d.z = normals;
        }
        if (draws<P>() && !large) {
            span<P, T, COPIES>(d, c, COPIES ? net + from : net, pair, scale, count);
            continue;
        }
        for (int j = 0; j < P::STORES; ++j)
            if (fresh<P>(j)) d.at[P::store(j)] = high[j], d.low[P::store(j)] = low[j];
        span<P, T, COPIES != 0>(d, c, fed, 0, scale, count);
        for (int j = 0; j < P::STORES; ++j) {
            if (!fresh<P>(j)) continue;
            past(b.at[P::store(j)] + from, high[j], count);
            if (low_out<P, T>(j)) past(b.low[P::store(j)] + from, low[j], count);
        }
        for (int k = 0; k < COPIES; ++k) past(net + k * pair + from, fed, count);
    }
}

template <class P, class T, int COPIES, int COLUMNS, int RING>
void elements(const Run& run, Buffers<T, RING> b, Long step) {
    using R = typename Kind<T>::R;
    const R* row = static_cast<const R*>(run.table) + step * COLUMNS;
    T* net = static_cast<T*>(run.net);
    const Long pair = run.samples * run.n;
    const bool large =
        (COPIES || any_fresh<P>()) && pair * Long(sizeof(T)) * (P::LOADS + P::STORES + COPIES) > CACHED;
    for (Long k = 0; k < run.samples; ++k, row += run.rows * COLUMNS) {
        const R scale = COPIES ? static_cast<const R*>(run.scales)[k * (run.rows + 1) + step + 1] : R(1);
        R c[COLUMNS + PROJECTION];
        for (int j = 0; j < COLUMNS; ++j) c[j] = row[j];
        guide(run, k, step, c + COLUMNS);
        const Noise noise = noise_of<P>(run, k, step);
        if (draws<P>())
            pieces<P, T, COPIES, RING, R>(b, c, net, pair, scale, run.n, large, &noise);
        else if (large)
            pieces<P, T, COPIES, RING, R>(b, c, net, pair, scale, run.n, large);
        else
            span<P, T, COPIES, RING, R>(b, c, net, pair, scale, run.n);
        b = shifted(b, run.n);
        if (COPIES) net += run.n;
    }
#ifdef __SSE2__
    if (large) _mm_sfence();
#endif
}

template <class R>
void finish(const Run& run, Long step) {
    for (Long i = 0; i < run.batch; ++i)
        static_cast<R*>(run.t)[i] = static_cast<const R*>(run.times)[(step + 1) * run.batch + i];
    run.counter[0] = step + 1;
}

// A phase by itself. a: elements of a sample, samples, the row [COLUMNS, samples], then the buffers; no low parts. Where the
// phase draws and has no normals in memory: seed, number of the first sample, draw, elements of a sample of the noise.
template <class P, class T, int COLUMNS, int RING>
void alone(const Long* a) {
    const Long n = a[0], samples = a[1];
    const bool large = any_fresh<P>() && n * samples * Long(sizeof(T)) * (P::LOADS + P::STORES) > CACHED;
    for (Long k = 0; k < samples; ++k) {
        T c[COLUMNS];
        for (int j = 0; j < COLUMNS; ++j) c[j] = reinterpret_cast<const T*>(a[2])[j * samples + k];
        Buffers<T, RING> b{};
        for (int j = 0; j < M + RING; ++j)
            if (j != Z) b.at[j] = reinterpret_cast<T*>(a[3 + j]) + k * n;
        if (draws<P>() && !a[3 + Z]) {
            const Long *own = a + 3 + M + RING, each = own[3];
            for (Long from = 0; from < n; from += each) {
                const auto sample = static_cast<philox::Word>(own[1] + (k * n + from) / each);
                const Noise noise{static_cast<std::uint64_t>(own[0]), sample, static_cast<philox::Word>(own[2])};
                pieces<P, T, 0, RING, T>(shifted(b, from), c, nullptr, 0, T(1), each, large, &noise);
            }
            continue;
        }
        if (draws<P>()) b.z = reinterpret_cast<const T*>(a[3 + Z]) + k * n;
        if (large)
            pieces<P, T, 0, RING, T>(b, c, nullptr, 0, T(1), n, large);
        else
            span<P, T, 0, RING, T>(b, c, nullptr, 0, T(1), n);
    }
#ifdef __SSE2__
    if (large) _mm_sfence();
#endif
}

// A phase, or its adjoint, from tensors to others. a: elements of a sample, samples, the row [COLUMNS, samples], then what
// is read and what is written, all without gaps; none that is written overlaps another.
template <class T, int COLUMNS, int READS, int WRITES, void (*ELEMENT)(const T*, const T*, T*)>
void apart(const Long* a) {
    const Long n = a[0], samples = a[1];
    const T* from[READS];
    T* to[WRITES];
    for (int j = 0; j < READS; ++j) from[j] = reinterpret_cast<const T*>(a[3 + j]);
    for (int j = 0; j < WRITES; ++j) to[j] = reinterpret_cast<T*>(a[3 + READS + j]);
    for (Long k = 0; k < samples; ++k) {
        T c[COLUMNS];
        for (int j = 0; j < COLUMNS; ++j) c[j] = reinterpret_cast<const T*>(a[2])[j * samples + k];
        INDEPENDENT
        for (Long i = k * n; i < (k + 1) * n; ++i) {
            T v[READS], w[WRITES];
            for (int j = 0; j < READS; ++j) v[j] = from[j][i];
            ELEMENT(v, c, w);
            for (int j = 0; j < WRITES; ++j) to[j][i] = w[j];
        }
    }
}
#endif

// The phase of the row: the number of `Phases` that the order says. After the last row nothing is done, and 1 returned.
template <class... Phases>
struct All {
    // Words of 16 bytes that a thread holds, at most; a projection's numbers in double are as many registers as two more, and
    // what it takes to make normals is one of half precision, four of double, or with many streams more than two blocks have.
    template <class T, int COLUMNS, int RING>
    static constexpr int words() {
        int most = 0;
#ifdef PROJECTED
        for (int n : {count<Projected<Phases, COLUMNS, RING, true, true>, T>()...}) most = n > most ? n : most;
#else
        for (int n : {count<Phases, T>()...}) most = n > most ? n : most;
#endif
        return most + (PROJECTION && sizeof(T) == 8 ? 2 : 0);
    }

    template <class T, int COLUMNS, int RING>
    static BOTH int step(const Run& run) {
        const Long now = run.counter[0];
        if (now >= run.counter[2]) return 1;
        const std::int32_t* order = run.order + now * (2 + RING);
        const Buffers<T, RING> b = placed<T, RING>(run, order);
        int number = 0;
        (void)(... || (order[0] == number++ && (by_copies<Phases, T, COLUMNS>(run, b, now), true)));
        finish<typename Kind<T>::R>(run, now);
        return 0;
    }

private:
    template <class P, class T>
    static constexpr int count() {
        int n = P::LOADS + P::STORES;
        if (draws<P>()) n += sizeof(T) == 8 ? (n > 9 ? MANY : 4) : sizeof(T) == 2 ? 1 : 0;
        for (int j = 0; Kind<T>::LOW && j < P::LOADS; ++j) n += P::STATES >> j & 1;
        for (int j = 0; Kind<T>::LOW && j < P::STORES; ++j) n += P::NEW_STATES >> j & 1;
        return n;
    }

    template <class P, class T, int COLUMNS, int RING>
    static BOTH void by_copies(const Run& run, const Buffers<T, RING>& b, Long now) {
#ifdef PROJECTED
        if (run.copies == 0) return elements<Projected<P, COLUMNS, RING, false, true>, T, 0, COLUMNS>(run, b, now);
        if (run.copies == 1) return elements<Projected<P, COLUMNS, RING, false, true>, T, 1, COLUMNS>(run, b, now);
        if (run.limits) return elements<Projected<P, COLUMNS, RING, true, true>, T, 2, COLUMNS>(run, b, now);
        elements<Projected<P, COLUMNS, RING, true, false>, T, 2, COLUMNS>(run, b, now);
#else
        if (run.copies == 0) return elements<P, T, 0, COLUMNS>(run, b, now);
        if (run.copies == 1) return elements<P, T, 1, COLUMNS>(run, b, now);
        elements<P, T, 2, COLUMNS>(run, b, now);
#endif
    }
};

}  // namespace

#ifdef __CUDACC__
#ifdef PROJECTED
#define SELECT(suffix, T) \
    extern "C" __global__ void __launch_bounds__(1024, 1) select_##suffix(const __grid_constant__ Run run) { \
        select<T, RING>(run); \
    }
#define BEFORE(suffix) \
    if (run->rule && run->n) \
        select_##suffix<<<static_cast<unsigned>(run->samples), 1024, 0, static_cast<cudaStream_t>(stream)>>>(*run);
#else
#define SELECT(suffix, T)
#define BEFORE(suffix)
#endif
#define ENTRIES(phase)
#define ENTRY(suffix, T, ...) \
    SELECT(suffix, T) \
    extern "C" __global__ void \
    __launch_bounds__(256, blocks(__VA_ARGS__::words<T, COLUMNS, RING>())) step_##suffix(const __grid_constant__ Run run) { \
        __VA_ARGS__::step<T, COLUMNS, RING>(run); \
    } \
    extern "C" int loop_##suffix(const Run* run, void* stream) { \
        const auto blocks = static_cast<unsigned>(run->blocks * run->samples); \
        BEFORE(suffix) \
        step_##suffix<<<blocks, 256, 0, static_cast<cudaStream_t>(stream)>>>(*run); \
        return cudaGetLastError(); \
    }
#define LOOP(...) \
    ENTRY(f32, float, __VA_ARGS__) \
    ENTRY(f64, double, __VA_ARGS__) ENTRY(f16, __half, __VA_ARGS__) ENTRY(bf16, __nv_bfloat16, __VA_ARGS__)
#else
#ifdef PROJECTED
#define BEFORE(T) select<T, RING>(*run);
#define ENTRIES(phase)
#else
#define BEFORE(T)
#define ENTRIES(phase) \
    extern "C" void phase##_f32(const Long* a) { alone<phase_##phase, float, COLUMNS, RING>(a); } \
    extern "C" void phase##_f64(const Long* a) { alone<phase_##phase, double, COLUMNS, RING>(a); } \
    APART(phase, f32, float) \
    APART(phase, f64, double)
#define APART(phase, suffix, T) \
    extern "C" void phase##_forward_##suffix(const Long* a) { \
        using P = phase_##phase; \
        apart<T, COLUMNS, P::LOADS, P::STORES, P::element<T>>(a); \
    } \
    extern "C" void phase##_adjoint_##suffix(const Long* a) { \
        using P = phase_##phase; \
        apart<T, COLUMNS, P::STORES, P::LOADS, P::adjoint<T>>(a); \
    }
#endif
#define ENTRY(suffix, T, ...) \
    extern "C" int loop_##suffix(const Run* run) { \
        BEFORE(T) \
        return __VA_ARGS__::step<T, COLUMNS, RING>(*run); \
    }
#define LOOP(...) ENTRY(f32, float, __VA_ARGS__) ENTRY(f64, double, __VA_ARGS__) ENTRY(bf16, Bfloat16, __VA_ARGS__)
#endif

#define EXPORT(phase) \
    extern "C" int phase##_load(int j) { return j < phase_##phase::LOADS ? phase_##phase::load(j) : -1; } \
    extern "C" int phase##_store(int j) { return j < phase_##phase::STORES ? phase_##phase::store(j) : -1; } \
    extern "C" int phase##_after(int j) { return phase_##phase::after(j); } \
    extern "C" int phase##_state(int j) { \
        using P = phase_##phase; \
        return j < P::STORES && P::NEW_STATES >> j & 1 ? P::store(j) : -1; \
    } \
    ENTRIES(phase)
