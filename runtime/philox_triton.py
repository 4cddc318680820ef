"""Counter-based normals in Triton: the functions of ``philox.h`` for kernels, and the same bits.

:mod:`runtime.philox` says what the counter and the numbers are. Kernels that call this are compiled with
``enable_fp_fusion=False``, as the fused step is. No libdevice is used, so triton's interpreter runs them, too.
``dtype``: tl.float32 or tl.float64.

Imported when a kernel is asked for, never before: it needs triton.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOWER: tl.constexpr = tl.constexpr(1 << 31)


@triton.jit
def counter(group, sample, draw, stream):
    """What Philox is given: group = element // 4 of the sample, sample, draw, stream (below 2^31, or with LOWER)."""
    return tl.cast(group, tl.uint32), tl.cast(sample, tl.uint32), tl.cast(draw, tl.uint32), tl.cast(stream, tl.uint32)


@triton.jit
def words(c0, c1, c2, c3, seed):
    """Philox4x32-10: four words of uint32."""
    key = tl.cast(seed, tl.uint64)
    k0, k1 = key.to(tl.uint32), (key >> 32).to(tl.uint32)
    for _ in tl.static_range(10):
        first, second = c0.to(tl.uint64) * 0xD2511F53, c2.to(tl.uint64) * 0xCD9E8D57
        c0, c2 = (second >> 32).to(tl.uint32) ^ c1 ^ k0, (first >> 32).to(tl.uint32) ^ c3 ^ k1
        c1, c3 = second.to(tl.uint32), first.to(tl.uint32)
        k0, k1 = tl.add(k0, 0x9E3779B9, sanitize_overflow=False), tl.add(k1, 0xBB67AE85, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def normals(seed, sample, group, draw, stream, dtype: tl.constexpr):
    """The four numbers of a group: elements 4 group, .., 4 group + 3 of the sample."""
    w0, w1, w2, w3 = _drawn(seed, sample, group, draw, stream, dtype)
    n0, n1 = pair(w0, w1, dtype)
    n2, n3 = pair(w2, w3, dtype)
    return n0, n1, n2, n3


@triton.jit
def block(seed, sample, group, draw, stream, dtype: tl.constexpr):
    """The numbers of a block of groups that follow one another, in the order of their elements."""
    n0, n1, n2, n3 = normals(seed, sample, group, draw, stream, dtype)
    four = tl.join(tl.join(n0, n2), tl.join(n1, n3))
    return tl.reshape(four, [4 * n0.shape[0]])


@triton.jit
def eights(seed, sample, number, draw, stream, dtype: tl.constexpr):
    """The same of pairs of groups, 2 number and 2 number + 1: a thread has 8 elements that follow one another."""
    a0, a1, a2, a3 = normals(seed, sample, 2 * number, draw, stream, dtype)
    b0, b1, b2, b3 = normals(seed, sample, 2 * number + 1, draw, stream, dtype)
    even, odd = tl.join(tl.join(a0, b0), tl.join(a2, b2)), tl.join(tl.join(a1, b1), tl.join(a3, b3))
    return tl.reshape(tl.join(even, odd), [8 * a0.shape[0]])


@triton.jit
def pairs(seed, sample, number, draw, stream, dtype: tl.constexpr):
    """The numbers of a block of pairs that follow one another: elements 2 number and 2 number + 1."""
    w0, w1, w2, w3 = _drawn(seed, sample, number >> 1, draw, stream, dtype)
    later = number & 1 != 0
    across, up = pair(tl.where(later, w2, w0), tl.where(later, w3, w1), dtype)
    return tl.reshape(tl.join(across, up), [2 * across.shape[0]])


@triton.jit
def normal(seed, sample, element, draw, stream, dtype: tl.constexpr):
    """One element of the sample, wherever it lies."""
    w0, w1, w2, w3 = _drawn(seed, sample, element >> 2, draw, stream, dtype)
    later = element & 2 != 0
    across, up = pair(tl.where(later, w2, w0), tl.where(later, w3, w1), dtype)
    return tl.where(element & 1 != 0, up, across)


@triton.jit
def _drawn(seed, sample, group, draw, stream, dtype: tl.constexpr):
    """Integers of 32 bits for float32, of 53 for float64."""
    c0, c1, c2, c3 = counter(group, sample, draw, stream)
    w0, w1, w2, w3 = words(c0, c1, c2, c3, seed)
    if dtype == tl.float64:
        v0, v1, v2, v3 = words(c0, c1, c2, c3 | LOWER, seed)
        return _joined(w0, v0), _joined(w1, v1), _joined(w2, v2), _joined(w3, v3)
    else:
        return w0, w1, w2, w3


@triton.jit
def _joined(high, low):
    return (high.to(tl.uint64) << 21) | (low >> 11).to(tl.uint64)


@triton.jit
def pair(first, second, dtype: tl.constexpr):
    """Two normals of two integers, by Box and Muller."""
    BITS: tl.constexpr = 53 if dtype == tl.float64 else 32
    EIGHTH: tl.constexpr = 1 << (BITS - 3)
    SIGNED: tl.constexpr = tl.int64 if dtype == tl.float64 else tl.int32
    turned = tl.add(second, EIGHTH, sanitize_overflow=False)
    quarter = (turned >> (BITS - 2)).to(tl.int32)
    x = ((turned & (2 * EIGHTH - 1)).to(SIGNED) - EIGHTH).to(dtype) * (1 / EIGHTH)
    z = x * x
    if dtype == tl.float64:
        p = 6.877100654849405e-12 * z + -1.7571492936571936e-09
        p = (p * z + 3.133616216629112e-07) * z + -3.6576204158456224e-05
        p = ((p * z + 0.0024903945701887364) * z + -0.08074551218828054) * z + 0.7853981633974483
        q = -3.8581555623279877e-13 * z + 1.1500511888360718e-10
        q = (q * z + -2.461136405107054e-08) * z + 3.590860446058862e-06
        q = ((q * z + -0.0003259918869267589) * z + 0.015854344243815426) * z + -0.30842513753404244
    else:
        p = ((-3.5950452e-05 * z + 0.00249000103) * z + -0.0807454363) * z + 0.785398185
        q = ((3.53033806e-06 * z + -0.000325940084) * z + 0.015854327) * z + -0.308425128
    sine, cosine = x * p, 1.0 + z * q
    even = quarter & 1 == 0
    across, up = tl.where(even, cosine, sine), tl.where(even, sine, cosine)
    across = tl.where((quarter + 1) & 2 == 0, across, across * -1.0)  # -x is 0 - x here, and loses the sign of a zero
    up = tl.where(quarter & 2 == 0, up, up * -1.0)
    r = _radius(first, dtype)
    return r * across, r * up


@triton.jit
def _radius(word, dtype: tl.constexpr):
    """sqrt(-2 ln u), u = (word + 1/2) / 2^bits. From 2/3, or sqrt(1/2), on f = -(1 - u) is rounded, and not u."""
    if dtype == tl.float64:
        near = word >= 0x16A09E667F3BCD
        left = tl.where(near, 0x1FFFFFFFFFFFFF - word, word).to(tl.float64) * 2.0**-53 + 2.0**-54
        bits = left.to(tl.int64, bitcast=True)
        power = (bits - 0x3FE6A09E667F3BCD) >> 52
        f = tl.where(near, left * -1.0, (bits - power * (1 << 52)).to(tl.float64, bitcast=True) - 1.0)
        k = tl.where(near, 0, power).to(tl.float64)
        s = f / (2.0 + f)
        z = s * s
        p = 0.14795951460609943 * z + 0.15314050400217863
        p = (p * z + 0.18183564330702218) * z + 0.22222198573136437
        p = ((p * z + 0.2857142874238745) * z + 0.3999999999941468) * z + 0.6666666666666734
        return tl.sqrt(-2.0 * (f - s * (f - z * p)) + k * -1.3862943611198906)
    else:
        near = word >= 0xAAAAAAAB
        left = tl.where(near, word ^ 0xFFFFFFFF, word).to(tl.float32) * 2.0**-32 + 2.0**-33
        bits = left.to(tl.int32, bitcast=True)
        power = (bits - 0x3F2AAAAB) >> 23
        f = tl.where(near, left * -1.0, (bits - power * (1 << 23)).to(tl.float32, bitcast=True) - 1.0)
        k = tl.where(near, 0, power).to(tl.float32)
        p = (-0.280525565 * f + 0.307770491) * f + -0.279916495
        p = ((p * f + 0.328319281) * f + -0.400223345) * f + 0.500156343
        p = (p * f + -0.666663945) * f + 0.999998748
        return tl.sqrt_rn((f * f * p - 2.0 * f) + k * -1.38629436)


__all__ = ["LOWER", "block", "counter", "eights", "normal", "normals", "pair", "pairs", "words"]
