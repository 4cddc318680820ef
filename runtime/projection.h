// What may happen to the network's output before a phase takes it; fused_step.h includes this where PROJECTED is defined.
//
//   raw = u + g (c - u)        of a pair: u without, c with the condition, one behind the other
//   x0 = dx x + dr raw         the estimate of the data
//   x0' = clip(x0, -s, s) f    (s, f) a clip's (bound, 1), or (s, 1/s) of a dynamic threshold, found before the step
//   raw' = raw + ir (x0' - x0)
//
// Each product and sum is rounded by itself, in this order, as in projection.py.

#pragma once

namespace {

// A phase behind it. Its loads: the phase's, the other half of a pair, and x where the phase does without. Its row: the
// phase's COLUMNS, then g, dx, dr, ir, s, f.
template <class P, int COLUMNS, int RING, bool PAIR, bool CLIPS>
struct Projected {
    static BOTH constexpr int find(int buffer) {
        for (int j = 0; j < P::LOADS; ++j)
            if (P::load(j) == buffer) return j;
        return -1;
    }
    enum { PLACE = find(RAW), HAS_X = find(X) >= 0, MORE = CLIPS && !HAS_X };
    enum { AT_X = HAS_X ? find(X) : P::LOADS + PAIR, LOADS = P::LOADS + PAIR + MORE, STORES = P::STORES };
    enum { STATES = P::STATES | MORE << (P::LOADS + PAIR), NEW_STATES = P::NEW_STATES };
    static_assert(PLACE >= 0, "every phase takes the network's output");
    static BOTH constexpr int load(int j) {
        return j < P::LOADS ? P::load(j) : PAIR && j == P::LOADS ? M + RING : X;
    }
    static BOTH constexpr int store(int j) { return P::store(j); }
    template <class R>
    static BOTH void element(const R* v, const R* c, R* w) {
        R in[P::LOADS];
        for (int j = 0; j < P::LOADS; ++j) in[j] = v[j];
        const R* p = c + COLUMNS;
        const R raw = PAIR ? v[PLACE] + p[0] * (v[P::LOADS * PAIR] - v[PLACE]) : v[PLACE];
        in[PLACE] = raw;
        if (CLIPS) {
            const R x0 = p[1] * v[AT_X] + p[2] * raw;
            const R within = x0 < -p[4] ? -p[4] : x0 > p[4] ? p[4] : x0;
            in[PLACE] = raw + p[3] * (within * p[5] - x0);
        }
        P::element(in, c, w);
    }
};

// The numbers of a call behind the row of its phase.
template <class R>
BOTH void guide(const Run& run, Long sample, Long step, R* c) {
    const R* row = static_cast<const R*>(run.guide) + (sample * run.rows + step) * 4;
    for (int j = 0; j < 4; ++j) c[j] = row[j];
    const R* limits = static_cast<const R*>(run.limits);
    for (int j = 0; j < 2; ++j) c[4 + j] = limits ? limits[2 * sample + j] : R(1);
}

// The threshold of a sample: s = min(max(q, 1), most), where q lies `fraction` of the way from the k-th smallest |x0| to the
// next. Numbers that are not negative order as their bits do, so both are found digit by digit from the highest: in a
// histogram of a digit over the numbers that begin as the k-th does. Nothing is sorted, and nothing kept.
constexpr int DIGIT = 11, BINS = 1 << DIGIT;

template <class R>
struct Bits;
template <>
struct Bits<float> {
    using U = std::uint32_t;
    static constexpr int TOP = 2 * DIGIT;
};
template <>
struct Bits<double> {
    using U = std::uint64_t;
    static constexpr int TOP = 5 * DIGIT;
};

// The bits of |x0|, and the number of such bits.
template <class R>
BOTH typename Bits<R>::U size_of(R raw, R other, R x, const R* p, bool pair) {
    const R taken = pair ? raw + p[0] * (other - raw) : raw;
    const R x0 = p[1] * x + p[2] * taken;
    typename Bits<R>::U bits;
    std::memcpy(&bits, &x0, sizeof(R));
    return bits & ~typename Bits<R>::U(0) >> 1;
}
template <class R>
BOTH R number(typename Bits<R>::U bits) {
    R out;
    std::memcpy(&out, &bits, sizeof(R));
    return out;
}

// What is read for the threshold of a sample; low: null where a state is one number.
template <class T, class R>
struct Sized {
    const T *raw, *other, *x, *low;
    R p[6];

    BOTH typename Bits<R>::U operator()(Long i) const {
        R at = static_cast<R>(x[i]);
        if (low) at += static_cast<R>(low[i]);
        return size_of(static_cast<R>(raw[i]), static_cast<R>(other[i]), at, p, other != raw);
    }
};

template <class T, int RING>
BOTH Sized<T, typename Kind<T>::R> sized(const Run& run, Long now, Long sample) {
    const auto b = placed<T, RING>(run, run.order + now * (2 + RING));
    const Long from = sample * run.n;
    Sized<T, typename Kind<T>::R> out;
    out.raw = b.at[RAW] + from;
    out.other = (run.copies == 2 ? b.at[M + RING] : b.at[RAW]) + from;
    out.x = b.at[X] + from;
    out.low = Kind<T>::LOW ? b.low[X] + from : nullptr;
    guide(run, sample, now, out.p);
    return out;
}

template <class R>
BOTH void limited(const Run& run, Long sample, typename Bits<R>::U k_th, typename Bits<R>::U next) {
    const R low = number<R>(k_th), q = low + static_cast<R>(run.rule[1]) * (number<R>(next) - low);
    const R most = static_cast<R>(run.rule[2]), s = q < R(1) ? R(1) : q > most ? most : q;
    R* limits = static_cast<R*>(run.limits) + 2 * sample;
    limits[0] = s, limits[1] = R(1) / s;
}

#ifdef __CUDACC__
// Four streams of 16 bytes at once, element by element where they do not begin at a multiple of it, and at the end. Read
// again for the next digit, and by the step: they may stay in the cache.
template <class T, class R, class F>
__device__ void each_size(const Sized<T, R>& of, Long n, F visit) {
    constexpr int WIDTH = 16 / sizeof(T);
    const auto address = [](const T* p) { return reinterpret_cast<std::uintptr_t>(p); };
    const bool whole = (address(of.raw) | address(of.other) | address(of.x) | address(of.low)) % 16 == 0;
    const auto read = [](const T* p) { return __ldca(reinterpret_cast<const int4*>(p)); };
#pragma unroll 1
    for (Long i = Long(threadIdx.x) * WIDTH; i < n; i += Long(blockDim.x) * WIDTH) {
        if (whole && i + WIDTH <= n) {
            Word<T> raw, other, x, low;
            raw.bits = read(of.raw + i), other.bits = read(of.other + i), x.bits = read(of.x + i);
            if (Kind<T>::LOW) low.bits = read(of.low + i);
#pragma unroll
            for (int lane = 0; lane < WIDTH; ++lane) {
                R at = static_cast<R>(x.lane[lane]);
                if (Kind<T>::LOW) at += static_cast<R>(low.lane[lane]);
                visit(size_of(static_cast<R>(raw.lane[lane]), static_cast<R>(other.lane[lane]), at, of.p, of.other != of.raw));
            }
            continue;
        }
#pragma unroll 1
        for (Long j = i; j < n && j < i + WIDTH; ++j) visit(of(j));
    }
}

// The sum over this thread and those before it. sums: one for each warp.
__device__ inline unsigned scanned(unsigned own, unsigned* sums) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const auto within = [lane](unsigned v) {
#pragma unroll
        for (int d = 1; d < 32; d *= 2) {
            const unsigned before = __shfl_up_sync(~0u, v, d);
            if (lane >= d) v += before;
        }
        return v;
    };
    const unsigned v = within(own);
    if (lane == 31) sums[warp] = v;
    __syncthreads();
    if (warp == 0) sums[lane] = within(sums[lane]);
    __syncthreads();
    return v + (warp ? sums[warp - 1] : 0);
}

// A block of 1024 threads for a sample, of which each has two bins.
template <class T, int RING>
__device__ void select(const Run& run) {
    using R = typename Kind<T>::R;
    using U = typename Bits<R>::U;
    using Atomic = std::conditional_t<sizeof(U) == 8, unsigned long long, unsigned>;
    __shared__ unsigned count[BINS], sums[32], digit, rank, inside, next;
    __shared__ Atomic above;
    const Long now = run.counter[0];
    if (now >= run.counter[2]) return;
    const Sized<T, R> of = sized<T, RING>(run, now, blockIdx.x);
    const unsigned k = static_cast<unsigned>(run.rule[0]), mine = 2 * threadIdx.x;
    if (threadIdx.x == 0) rank = k, above = ~Atomic(0), next = BINS;
    U prefix = 0;
#pragma unroll 1
    for (int shift = Bits<R>::TOP; shift >= 0; shift -= DIGIT) {
        count[mine] = count[mine + 1] = 0;
        __syncthreads();
        U least = ~U(0);
        each_size(of, run.n, [&](U bits) {
            const U head = bits >> shift >> DIGIT;
            if (head == prefix) atomicAdd(count + (bits >> shift & (BINS - 1)), 1u);
            if (head > prefix && bits < least) least = bits;
        });
        if (shift == 0 && least != ~U(0)) atomicMin(&above, static_cast<Atomic>(least));
        __syncthreads();
        const unsigned first = count[mine], second = count[mine + 1], wanted = rank;
        const unsigned end = scanned(first + second, sums), start = end - first - second;
        if (start <= wanted && wanted < end) {
            const bool later = wanted >= start + first;
            digit = mine + later, rank = wanted - start - (later ? first : 0), inside = later ? second : first;
        }
        __syncthreads();
        prefix = prefix << DIGIT | digit;
    }
    if (count[mine] && mine > digit) atomicMin(&next, mine);
    if (count[mine + 1] && mine + 1 > digit) atomicMin(&next, mine + 1);
    __syncthreads();
    if (threadIdx.x) return;
    const bool same = rank + 1 < inside || k + 1 >= run.n;
    const U other = next < BINS ? (prefix & ~U(BINS - 1)) | next : static_cast<U>(above);
    limited<R>(run, blockIdx.x, prefix, same ? prefix : other);
}
#else
template <class T, int RING>
void threshold(const Run& run, Long now, Long sample) {
    using R = typename Kind<T>::R;
    using U = typename Bits<R>::U;
    const auto of = sized<T, RING>(run, now, sample);
    const Long k = static_cast<Long>(run.rule[0]);
    Long rank = k, digit = 0, count[BINS];
    U prefix = 0, above = ~U(0);
    for (int shift = Bits<R>::TOP; shift >= 0; shift -= DIGIT) {
        std::memset(count, 0, sizeof count);
        for (Long i = 0; i < run.n; ++i) {
            const U bits = of(i), head = bits >> shift >> DIGIT;
            if (head == prefix) ++count[bits >> shift & (BINS - 1)];
            if (shift == 0 && head > prefix && bits < above) above = bits;
        }
        for (digit = 0; rank >= count[digit]; ++digit) rank -= count[digit];
        prefix = prefix << DIGIT | U(digit);
    }
    U next = prefix;
    if (rank + 1 >= count[digit] && k + 1 < run.n) {
        do ++digit;
        while (digit < BINS && !count[digit]);
        next = digit < BINS ? (prefix & ~U(BINS - 1)) | U(digit) : above;
    }
    limited<R>(run, sample, prefix, next);
}

// The thresholds of all samples before the step, where there are.
template <class T, int RING>
void select(const Run& run) {
    if (!run.rule || !run.n || run.counter[0] >= run.counter[2]) return;
    for (Long k = 0; k < run.samples; ++k) threshold<T, RING>(run, run.counter[0], k);
}
#endif

}  // namespace
