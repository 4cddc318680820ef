// Counter-based normals: Philox4x32-10 and Box-Muller, on the host and on a GPU. philox.py says what the counter and
// the numbers are, and gives the same bits, as philox_triton.py does. On the host with -ffp-contract=off; on a GPU
// products and sums are rounded by themselves whatever the flags.

#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#ifndef BOTH
#ifdef __CUDACC__
#define BOTH __host__ __device__ __forceinline__
#else
#define BOTH inline
#endif
#endif

// Loops that are written out, on a CPU for the loop around them: vectors hold several groups.
#if defined(__CUDACC__) || defined(__clang__)
#define PHILOX_UNROLLED _Pragma("unroll")
#else
#define PHILOX_UNROLLED _Pragma("GCC unroll 16")
#endif

namespace philox {

using Word = std::uint32_t;
struct Four {
    Word word[4];
};
constexpr Word LOWER = Word(1) << 31;

// What Philox is given: group = element / 4 within the sample, sample, draw, stream (below 2^31, or with LOWER).
BOTH Four counter(Word group, Word sample, Word draw, Word stream) {
    return {{group, sample, draw, stream}};
}

BOTH Four words(Four c, std::uint64_t seed) {
    Word k0 = static_cast<Word>(seed), k1 = static_cast<Word>(seed >> 32);
PHILOX_UNROLLED
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t first = std::uint64_t(0xD2511F53) * c.word[0];
        const std::uint64_t second = std::uint64_t(0xCD9E8D57) * c.word[2];
        c = {{static_cast<Word>(second >> 32) ^ c.word[1] ^ k0, static_cast<Word>(second),
              static_cast<Word>(first >> 32) ^ c.word[3] ^ k1, static_cast<Word>(first)}};
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    return c;
}

#ifdef __CUDA_ARCH__
BOTH float times(float a, float b) { return __fmul_rn(a, b); }
BOTH double times(double a, double b) { return __dmul_rn(a, b); }
BOTH float plus(float a, float b) { return __fadd_rn(a, b); }
BOTH double plus(double a, double b) { return __dadd_rn(a, b); }
BOTH float root(float a) { return __fsqrt_rn(a); }
BOTH double root(double a) { return __dsqrt_rn(a); }
#else
template <class R>
BOTH R times(R a, R b) {
    return a * b;
}
template <class R>
BOTH R plus(R a, R b) {
    return a + b;
}
template <class R>
BOTH R root(R a) {
    return std::sqrt(a);
}
#endif

template <class To, class From>
BOTH To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "a cast of bits");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

// c[0] + c[1] z + ..
template <int N, class R>
BOTH R polynomial(const R (&c)[N], R z) {
    R value = c[N - 1];
PHILOX_UNROLLED
    for (int i = N - 2; i >= 0; --i) value = plus(times(value, z), c[i]);
    return value;
}

// What float and double differ in: integers of BITS bits; 2/3 or sqrt(1/2), as such an integer and as a number's bits;
// the polynomials.
template <class R>
struct Kind;

template <>
struct Kind<float> {
    using Bits = std::int32_t;
    using Integer = Word;
    static constexpr int BITS = 32, FRACTION = 23;
    static constexpr Integer SPLIT = 0xAAAAAAAB;
    static constexpr Bits LEAST = 0x3F2AAAAB;

    // -2 ln(2^k (1 + f))
    static BOTH float minus_two_log(float k, float f) {
        const float c[] = {0.999998748f,  -0.666663945f, 0.500156343f, -0.400223345f,
                           0.328319281f, -0.279916495f, 0.307770491f, -0.280525565f};
        const float value = plus(times(times(f, f), polynomial(c, f)), -2 * f);
        return plus(value, times(k, -1.38629436f));
    }
    static BOTH float sine(float z) {
        const float c[] = {0.785398185f, -0.0807454363f, 0.00249000103f, -3.5950452e-05f};
        return polynomial(c, z);
    }
    static BOTH float cosine(float z) {
        const float c[] = {-0.308425128f, 0.015854327f, -0.000325940084f, 3.53033806e-06f};
        return polynomial(c, z);
    }
};

template <>
struct Kind<double> {
    using Bits = std::int64_t;
    using Integer = std::uint64_t;
    static constexpr int BITS = 53, FRACTION = 52;
    static constexpr Integer SPLIT = 0x16A09E667F3BCD;
    static constexpr Bits LEAST = 0x3FE6A09E667F3BCD;

    static BOTH double minus_two_log(double k, double f) {
        const double s = f / (2 + f), z = times(s, s);
        const double c[] = {0.6666666666666734,  0.3999999999941468,  0.2857142874238745, 0.22222198573136437,
                            0.18183564330702218, 0.15314050400217863, 0.14795951460609943};
        const double value = plus(f, -times(s, plus(f, -times(z, polynomial(c, z)))));
        return plus(-2 * value, times(k, -1.3862943611198906));
    }
    static BOTH double sine(double z) {
        const double c[] = {0.7853981633974483, -0.08074551218828054, 0.0024903945701887364,
                            -3.6576204158456224e-05, 3.133616216629112e-07, -1.7571492936571936e-09,
                            6.877100654849405e-12};
        return polynomial(c, z);
    }
    static BOTH double cosine(double z) {
        const double c[] = {-0.30842513753404244, 0.015854344243815426, -0.0003259918869267589,
                            3.590860446058862e-06, -2.461136405107054e-08, 1.1500511888360718e-10,
                            -3.8581555623279877e-13};
        return polynomial(c, z);
    }
};

template <class R>
struct Pair {
    R across, up;
};

// sqrt(-2 ln u), u = (word + 1/2) / 2^BITS. From SPLIT on, f = -(1 - u) is rounded, and not u.
template <class R>
BOTH R radius(typename Kind<R>::Integer word) {
    using Integer = typename Kind<R>::Integer;
    using Bits = typename Kind<R>::Bits;
    constexpr Integer ALL = ~Integer(0) >> (8 * sizeof(Integer) - Kind<R>::BITS);
    constexpr R UNIT = R(0.5) / static_cast<R>(ALL / 2 + 1);
    const bool near = word >= Kind<R>::SPLIT;
    const R left = plus(times(static_cast<R>(near ? ALL - word : word), UNIT), UNIT / 2);
    const Bits bits = same_bits<Bits>(left), power = (bits - Kind<R>::LEAST) >> Kind<R>::FRACTION;
    const R f = near ? -left : plus(same_bits<R>(bits - power * (Bits(1) << Kind<R>::FRACTION)), R(-1));
    return root(Kind<R>::minus_two_log(static_cast<R>(near ? 0 : power), f));
}

// Two normals of two integers of BITS bits.
template <class R>
BOTH Pair<R> pair(typename Kind<R>::Integer first, typename Kind<R>::Integer second) {
    using Integer = typename Kind<R>::Integer;
    using Bits = typename Kind<R>::Bits;
    constexpr int BITS = Kind<R>::BITS;
    constexpr Integer EIGHTH = Integer(1) << (BITS - 3), QUARTER = 2 * EIGHTH;
    const Integer turned = second + EIGHTH;
    const int quarter = static_cast<int>(turned >> (BITS - 2));
    const Bits part = static_cast<Bits>(turned % QUARTER) - static_cast<Bits>(EIGHTH);
    const R x = times(static_cast<R>(part), R(1) / static_cast<R>(EIGHTH)), z = times(x, x);
    const R sine = times(x, Kind<R>::sine(z)), cosine = plus(R(1), times(z, Kind<R>::cosine(z)));
    const R across = quarter & 1 ? sine : cosine, up = quarter & 1 ? cosine : sine, r = radius<R>(first);
    return {times(r, (quarter + 1) & 2 ? -across : across), times(r, quarter & 2 ? -up : up)};
}

// Word j of float, and the 53 bits of double.
BOTH Word joined(float, Word high, Word) {
    return high;
}
BOTH std::uint64_t joined(double, Word high, Word low) {
    return std::uint64_t(high) << 21 | low >> 11;
}

// The normals of N elements of a sample, from one on that is a multiple of N, which is 4 or 2.
template <class R, int N>
BOTH void normals_from(std::uint64_t seed, Word sample, std::uint64_t element, Word draw, Word stream, R (&n)[N]) {
    static_assert(N == 4 || N == 2, "a group, or half of one");
    const Word group = static_cast<Word>(element >> 2);
    const Four high = words(counter(group, sample, draw, stream), seed);
    const Four low = sizeof(R) == 8 ? words(counter(group, sample, draw, stream | LOWER), seed) : Four{};
PHILOX_UNROLLED
    for (int j = 0; j < N; j += 2) {
        const bool later = N == 2 ? element & 2 : j;
        const auto first = later ? joined(R(), high.word[2], low.word[2]) : joined(R(), high.word[0], low.word[0]);
        const auto second = later ? joined(R(), high.word[3], low.word[3]) : joined(R(), high.word[1], low.word[1]);
        const Pair<R> two = pair<R>(first, second);
        n[j] = two.across;
        n[j + 1] = two.up;
    }
}

// The four numbers of a group: elements 4 group, .., 4 group + 3 of the sample.
template <class R>
BOTH void normals(std::uint64_t seed, Word sample, Word group, Word draw, Word stream, R (&n)[4]) {
    normals_from(seed, sample, std::uint64_t(group) << 2, draw, stream, n);
}

// One element of the sample, wherever it lies.
template <class R>
BOTH R normal(std::uint64_t seed, Word sample, std::uint64_t element, Word draw, Word stream) {
    const Word group = static_cast<Word>(element >> 2);
    const bool later = element & 2;
    const Four high = words(counter(group, sample, draw, stream), seed);
    const Four low = sizeof(R) == 8 ? words(counter(group, sample, draw, stream | LOWER), seed) : Four{};
    const auto first = later ? joined(R(), high.word[2], low.word[2]) : joined(R(), high.word[0], low.word[0]);
    const auto second = later ? joined(R(), high.word[3], low.word[3]) : joined(R(), high.word[1], low.word[1]);
    const Pair<R> two = pair<R>(first, second);
    return element & 1 ? two.up : two.across;
}

}  // namespace philox
