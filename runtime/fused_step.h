// What every fused step has in common: its loops, the vectors of 16 bytes, the coefficient table. step_cuda.cu includes
// this, says how many COLUMNS a row and how many buffers the RING has, writes a struct phase_NAME for every phase, and
// ends with EXPORT(NAME) for each.
//
// Buffers: X the state, RAW the network's output, M + j the entry j of the memory.

#pragma once
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define BOTH __host__ __device__ __forceinline__
#else
#define BOTH inline
#endif

constexpr int X = 0, RAW = 1, M = 2;

#ifdef __CUDACC__
namespace {

template <int RING>
struct Buffers {
    void* at[M + RING];
};

template <class T>
struct Arithmetic {
    using type = float;
};
template <>
struct Arithmetic<double> {
    using type = double;
};

// One element: its loads, its lines, its stores.
template <class P, class T, class R, int RING>
__device__ void one(const Buffers<RING>& b, const R* c, std::int64_t i) {
    R v[P::LOADS], w[P::STORES];
#pragma unroll
    for (int j = 0; j < P::LOADS; ++j) v[j] = static_cast<R>(static_cast<const T*>(b.at[P::load(j)])[i]);
    P::element(v, c, w);
#pragma unroll
    for (int j = 0; j < P::STORES; ++j) static_cast<T*>(b.at[P::store(j)])[i] = static_cast<T>(w[j]);
}

// Elements in 16 bytes, all streams in flight at once; what is loaded is not read again, x' is what the network reads next.
template <class P, class T, class R, int RING>
__device__ void several(const Buffers<RING>& b, const R* c, std::int64_t i) {
    constexpr int WIDTH = 16 / sizeof(T);
    union Word {
        int4 bits;
        T lane[WIDTH];
        __device__ Word() {}
    };
    Word v[P::LOADS], w[P::STORES];
#pragma unroll
    for (int j = 0; j < P::LOADS; ++j)
        v[j].bits = __ldcs(reinterpret_cast<const int4*>(static_cast<const T*>(b.at[P::load(j)]) + i));
#pragma unroll
    for (int lane = 0; lane < WIDTH; ++lane) {
        R in[P::LOADS], out[P::STORES];
#pragma unroll
        for (int j = 0; j < P::LOADS; ++j) in[j] = static_cast<R>(v[j].lane[lane]);
        P::element(in, c, out);
#pragma unroll
        for (int j = 0; j < P::STORES; ++j) w[j].lane[lane] = static_cast<T>(out[j]);
    }
#pragma unroll
    for (int j = 0; j < P::STORES; ++j) *reinterpret_cast<int4*>(static_cast<T*>(b.at[P::store(j)]) + i) = w[j].bits;
}

// Thread (i, sample): 16 bytes of n elements. table: [samples, rows, COLUMNS]; row: the step, a counter on the device.
// whole: every buffer and every sample begins at a multiple of 16 bytes; else each thread goes by elements.
template <class P, class T, int COLUMNS, int RING, class R = typename Arithmetic<T>::type>
__device__ void device(const Buffers<RING>& b, const R* table, const std::int64_t* row, int rows, std::int64_t n, bool whole) {
    constexpr int WIDTH = 16 / sizeof(T);
    const std::int64_t sample = blockIdx.y, first = (std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * WIDTH;
    const R* c = table + (sample * rows + *row) * COLUMNS;
    if (whole && first + WIDTH <= n) return several<P, T, R>(b, c, sample * n + first);
    for (std::int64_t i = first; i < n && i < first + WIDTH; ++i) one<P, T, R>(b, c, sample * n + i);
}

}  // namespace

#define KERNEL(phase, suffix, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) phase##_##suffix( \
        Buffers<RING> b, const Arithmetic<T>::type* table, const std::int64_t* row, int rows, std::int64_t n, bool whole) { \
        device<phase_##phase, T, COLUMNS, RING>(b, table, row, rows, n, whole); \
    }
#define ENTRIES(phase) \
    KERNEL(phase, f32, float) KERNEL(phase, f64, double) KERNEL(phase, f16, __half) KERNEL(phase, bf16, __nv_bfloat16)
#else
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace {

// a: elements of a sample, samples, the row [COLUMNS, samples], then the buffers; no two buffers overlap.
template <class P, class T, int COLUMNS, int RING>
void host(const std::int64_t* a) {
    const std::int64_t n = a[0], samples = a[1];
    for (std::int64_t sample = 0; sample < samples; ++sample) {
        T c[COLUMNS], *b[M + RING];
        for (int k = 0; k < COLUMNS; ++k) c[k] = reinterpret_cast<const T*>(a[2])[k * samples + sample];
        for (int j = 0; j < M + RING; ++j) b[j] = reinterpret_cast<T*>(a[3 + j]) + sample * n;
        INDEPENDENT
        for (std::int64_t i = 0; i < n; ++i) {
            T v[P::LOADS], w[P::STORES];
            for (int j = 0; j < P::LOADS; ++j) v[j] = b[P::load(j)][i];
            P::element(v, c, w);
            for (int j = 0; j < P::STORES; ++j) b[P::store(j)][i] = w[j];
        }
    }
}

}  // namespace

#define ENTRIES(phase) \
    extern "C" void phase##_f32(const std::int64_t* a) { host<phase_##phase, float, COLUMNS, RING>(a); } \
    extern "C" void phase##_f64(const std::int64_t* a) { host<phase_##phase, double, COLUMNS, RING>(a); }
#endif

#define EXPORT(phase) \
    extern "C" int phase##_after(int j) { return phase_##phase::after(j); } \
    ENTRIES(phase)
