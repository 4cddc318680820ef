// Brownian paths without a state, on the host and on a GPU: brownian.py says what they are, and gives the same integers,
// as brownian_triton.py does. Flags: those of philox.h.

#pragma once
#include "philox.h"

namespace brownian {

using Quanta = std::int64_t;
using philox::plus;
using philox::times;
using philox::Word;
constexpr Word STREAM = Word(1) << 30, SECOND = Word(1) << 29;
constexpr int SHIFT = 14;

// Brownian's seed, levels and scales; a sample, and an element of it (N = 1), or the group of element / 4 (N = 4).
struct Tree {
    std::uint64_t seed;
    std::int64_t levels, scales[4];
};
struct Place {
    Word sample;
    std::uint64_t at;
};
// Brownian.point of a time.
struct Point {
    std::int64_t tick;
    double part, bulge, width, pull, spread;
};
// W up to the first time and up to the last, in quanta; Z between them, in quanta times ticks.
template <int N>
struct Increment {
    Quanta from[N], to[N];
    double area[N];
};
template <int N>
struct Piece {
    Quanta w[N], g[N];
};
template <int N>
struct Sum {
    Quanta w[N];
    double z[N], length;
};

BOTH Quanta whole(double number) { return static_cast<Quanta>(plus(number, number < 0 ? -0.5 : 0.5)); }
BOTH Quanta scaled(Quanta number, std::int64_t scale, int shift) {
    return (number * scale + (Quanta(1) << (shift - 1))) >> shift;
}
// 2^power
BOTH double size(std::int64_t power) { return static_cast<double>(std::int64_t(1) << power); }
BOTH double area(Quanta w, Quanta g, double ticks) { return times(static_cast<double>(w + g), 0.5 * ticks); }

// The numbers of a node, in units of 2^-24.
template <int N>
BOTH void drawn(const Tree& tree, Place place, std::uint64_t node, Word kind, Quanta (&to)[N]) {
    const Word draw = static_cast<Word>(node), stream = STREAM | kind | static_cast<Word>(node >> 32);
    float n[4];
    if (N == 4)
        philox::normals<float>(tree.seed, place.sample, static_cast<Word>(place.at), draw, stream, n);
    else
        n[0] = philox::normal<float>(tree.seed, place.sample, place.at, draw, stream);
    for (int j = 0; j < N; ++j) {
        const float number = times(n[j], 16777216.0f);
        to[j] = static_cast<std::int32_t>(plus(number, number < 0 ? -0.5f : 0.5f));
    }
}

// A node's halves: the first in ``piece`` and the second in ``other``, or with ``later`` the other way round.
template <int N>
BOTH void halve(const Tree& tree, Place place, int level, std::uint64_t at, bool later, Piece<N>& piece, Piece<N>& other) {
    const bool odd = level & 1; // a choice, and no index: scales stay in registers
    const std::int64_t e_scale = odd ? tree.scales[1] : tree.scales[0], d_scale = odd ? tree.scales[3] : tree.scales[2];
    const int shift = SHIFT + level / 2;
    Quanta e[N], d[N];
    drawn<N>(tree, place, std::uint64_t(1) << level | at, 0, e);
    drawn<N>(tree, place, std::uint64_t(1) << level | at, SECOND, d);
    for (int j = 0; j < N; ++j) {
        const Quanta w = piece.w[j], g = piece.g[j];
        const Quanta w1 = ((2 * w + 3 * g + 2) >> 2) + scaled(e[j], e_scale, shift), w2 = w - w1;
        const Quanta r = 2 * g - (w1 - w2), g1 = (r >> 1) + scaled(d[j], d_scale, shift), g2 = r - g1;
        piece.w[j] = later ? w2 : w1;
        piece.g[j] = later ? g2 : g1;
        other.w[j] = later ? w1 : w2;
        other.g[j] = later ? g1 : g2;
    }
}

// The sum and the next piece.
template <int N>
BOTH void join(Sum<N>& sum, int j, Quanta w, double z, double ticks, bool back) {
    const double first = static_cast<double>(back ? w : sum.w[j]);
    sum.z[j] = plus(plus(sum.z[j], z), times(first, back ? sum.length : ticks));
    sum.w[j] += w;
}

// W and Z from a node's start, or back from its end, over ``full`` ticks and the part of one to the point.
template <int N>
BOTH Sum<N> along(
    const Tree& tree, Place place, Piece<N> piece, int level, std::uint64_t at, std::int64_t full, Point p, bool back) {
    Sum<N> sum = {};
    if (full == std::int64_t(1) << (tree.levels - level)) {
        for (int j = 0; j < N; ++j) join(sum, j, piece.w[j], area(piece.w[j], piece.g[j], size(tree.levels - level)), 0, true);
        return sum;
    }
    while (level < tree.levels && (full || p.part > 0)) {
        Piece<N> other;
        const std::int64_t half = std::int64_t(1) << (tree.levels - level - 1);
        const bool taken = full >= half;
        halve<N>(tree, place, level, at, back != taken, piece, other);
        ++level;
        at = 2 * at + (back != taken);
        if (taken) {
            const double ticks = size(tree.levels - level);
            for (int j = 0; j < N; ++j)
                join(sum, j, other.w[j], area(other.w[j], other.g[j], ticks), ticks, back);
            sum.length += ticks;
            full -= half;
        }
    }
    if (p.part > 0) {
        Quanta e[N], d[N];
        drawn<N>(tree, place, std::uint64_t(1) << level | at, 0, e);
        drawn<N>(tree, place, std::uint64_t(1) << level | at, SECOND, d);
        for (int j = 0; j < N; ++j) {
            const double w = static_cast<double>(piece.w[j]), g = static_cast<double>(piece.g[j]), unit = 1.0 / 16777216;
            const double n = times(static_cast<double>(e[j]), unit), m = times(static_cast<double>(d[j]), unit);
            const Quanta x = whole(plus(plus(times(w, p.part), times(g, p.bulge)), times(n, p.width)));
            const double rest = plus(g, -plus(static_cast<double>(x), -times(w, p.part)));
            const Quanta y = whole(plus(times(rest, p.pull), times(m, p.spread)));
            const double z = area(x, y, p.part);
            const double whole_less = plus(area(piece.w[j], piece.g[j], 1), -z);
            const double later = plus(whole_less, -times(static_cast<double>(x), 1 - p.part));
            join(sum, j, back ? piece.w[j] - x : x, back ? later : z, p.part, back);
        }
    }
    return sum;
}

// From s to t, s before t.
template <int N>
BOTH Increment<N> increment(const Tree& tree, Place place, Point s, Point t) {
    const std::int64_t last = t.part > 0 ? t.tick : t.tick - 1;
    int height = 0;
    for (std::uint64_t differ = s.tick ^ last; differ; differ >>= 1) ++height;
    const int common = static_cast<int>(tree.levels) - height;
    const std::uint64_t at = s.tick >> height;
    Piece<N> piece, other;
    drawn<N>(tree, place, 0, 0, piece.w);
    drawn<N>(tree, place, 0, SECOND, piece.g);
    Quanta base[N] = {};
    for (int j = 0; j < N; ++j) {
        piece.w[j] = scaled(piece.w[j], tree.scales[0], SHIFT - 2);
        piece.g[j] = scaled(piece.g[j], tree.scales[2], SHIFT - 1);
    }
    for (int level = 0; level < common; ++level) {
        const std::uint64_t here = s.tick >> (tree.levels - level);
        const bool later = s.tick >> (tree.levels - level - 1) & 1;
        halve<N>(tree, place, level, here, later, piece, other);
        for (int j = 0; j < N; ++j) base[j] += later ? other.w[j] : 0;
    }
    Increment<N> found;
    const std::int64_t start = static_cast<std::int64_t>(at << height), stop = start + (std::int64_t(1) << height);
    const bool whole = s.tick == start && s.part == 0 && t.tick == stop && t.part == 0;
    if (whole || !height) {
        const bool back = s.part > 0;
        const Sum<N> sum = along<N>(tree, place, piece, common, at, whole ? stop - start : 0, back ? s : t, back);
        for (int j = 0; j < N; ++j) {
            found.from[j] = base[j] + (back ? piece.w[j] - sum.w[j] : 0);
            found.to[j] = base[j] + (back ? piece.w[j] : sum.w[j]);
            found.area[j] = sum.z[j];
        }
        return found;
    }
    halve<N>(tree, place, common, at, false, piece, other);
    const std::int64_t middle = start + (stop - start) / 2, full = t.tick - middle;
    const Sum<N> before = along<N>(tree, place, piece, common + 1, 2 * at, middle - s.tick - (s.part > 0), s, true);
    const Sum<N> after = along<N>(tree, place, other, common + 1, 2 * at + 1, full, t, false);
    const double length = plus(static_cast<double>(full), t.part);
    for (int j = 0; j < N; ++j) {
        found.from[j] = base[j] + piece.w[j] - before.w[j];
        found.to[j] = base[j] + piece.w[j] + after.w[j];
        found.area[j] = plus(plus(before.z[j], after.z[j]), times(static_cast<double>(before.w[j]), length));
    }
    return found;
}

}  // namespace brownian
