"""Counter-based normals, Philox4x32-10 and Box-Muller: functions of (seed, sample, element, draw), without a state.

Philox4x32-10 is a bijection of 128 bits with a key of 64: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
easy as 1, 2, 3" (2011, DOI 10.1145/2063384.2063405). :func:`counter` is the one place that says what its bits mean.
``philox.h`` and ``philox_triton.py`` are the same algorithm for fused steps.

All backends give the same bits: words are integers; uniforms, logarithm, sine and cosine are products and sums of
float32 (or float64), each rounded to nearest by itself, in one order; root and quotient are correctly rounded.
torch.compile sees one operator, ``phiforge::normals``, so it contracts no product and sum into one rounding.

A word w is the uniform u = (w + 1/2) / 2^32, and the angle w / 2^32 turns. float32 is within 5 of its ulps of
sqrt(-2 ln u) cos(angle), and at most 6.8. float64 takes the same words as the upper ones of 53 bits, is within 5 ulps,
too, and at most 8.7: the float32 noise is the float64 noise up to what the lower bits of its words say, which is
2^-33 / (u sqrt(-2 ln u)), and 2^-32 turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
LOWER = 1 << 31
"""Of the counter's last word: set where the words are the lower ones of float64."""

T = TypeVar("T", int, torch.Tensor, Any)

# Minimax polynomials, lowest power first, coefficients rounded to their type, and their largest relative errors:
# -2 ln(1 + f) = -2 f + f^2 p(f) for |f| <= 1/3: 2^-24.9.
_LOG_F32 = (
    0.999998748, -0.666663945, 0.500156343, -0.400223345, 0.328319281, -0.279916495, 0.307770491, -0.280525565,
)  # fmt: skip
# ln(1 + f) = 2 s + s z p(z), s = f / (2 + f), z = s^2, for 1 + f in [sqrt(1/2), sqrt(2)]: 2^-58.9.
_LOG_F64 = (
    0.6666666666666734, 0.3999999999941468, 0.2857142874238745, 0.22222198573136437, 0.18183564330702218,
    0.15314050400217863, 0.14795951460609943,
)  # fmt: skip
# sin(pi/4 x) = x p(x^2) for |x| <= 1: 2^-24.8, 2^-54.1.
_SIN = {
    torch.float32: (0.785398185, -0.0807454363, 0.00249000103, -3.5950452e-05),
    torch.float64: (
        0.7853981633974483, -0.08074551218828054, 0.0024903945701887364, -3.6576204158456224e-05,
        3.133616216629112e-07, -1.7571492936571936e-09, 6.877100654849405e-12,
    ),
}  # fmt: skip
# cos(pi/4 x) = 1 + x^2 p(x^2) for |x| <= 1: 2^-26.4, 2^-55.2.
_COS = {
    torch.float32: (-0.308425128, 0.015854327, -0.000325940084, 3.53033806e-06),
    torch.float64: (
        -0.30842513753404244, 0.015854344243815426, -0.0003259918869267589, 3.590860446058862e-06,
        -2.461136405107054e-08, 1.1500511888360718e-10, -3.8581555623279877e-13,
    ),
}  # fmt: skip
_BITS = {torch.float32: 32, torch.float64: 53}
# Bits of a uniform; integers as wide as the type, bits of its fraction; 2/3 or sqrt(1/2), as a word and as a number.
_LOG_PARTS = {
    torch.float32: (32, torch.int32, 23, 0xAAAAAAAB, 0x3F2AAAAB),
    torch.float64: (53, torch.int64, 52, 0x16A09E667F3BCD, 0x3FE6A09E667F3BCD),
}


def counter(group: Any, sample: Any, draw: Any, stream: Any) -> tuple[Any, Any, Any, Any]:
    """The four words that Philox is given: group = element // 4, sample, draw, stream, each below 2^32.

    Element: the index within the sample, in row-major order; its number is number ``element % 4`` of the group's.
    Sample: the index within everything that is sampled with this seed, so sample 5 is the same in a batch of 8 and
    alone. Draw: which noise of a solve. Stream: what else is drawn with the same seed, below 2^31; bit 31 says LOWER.
    The key is the seed.
    """
    return group, sample, draw, stream


def words(at: Sequence[T], seed: T) -> tuple[T, T, T, T]:
    """Philox4x32-10 of a counter, four words of 32 bits; int64 tensors, or ints of any kind, and what broadcasts.

    Exact in int64: no product has more than 48 bits.
    """
    c0, c1, c2, c3 = at
    k0, k1 = seed & _WORD, seed >> 32 & _WORD
    for _ in range(_ROUNDS):
        high0, low0 = _product(_MULTIPLIERS[0], c0)
        high1, low1 = _product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + _WEYL[0] & _WORD, k1 + _WEYL[1] & _WORD
    return c0, c1, c2, c3


def _product(a: int, b: T) -> tuple[T, T]:
    """The upper and the lower word of a product of two."""
    upper, lower = a * (b >> 16), a * (b & 0xFFFF)
    return upper + (lower >> 16) >> 16, lower + ((upper & 0xFFFF) << 16) & _WORD


def normals(
    seed: int | torch.Tensor,
    sample0: int | torch.Tensor,
    shape: Sequence[int],
    draw: int | torch.Tensor,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    stream: int = 0,
) -> torch.Tensor:
    """Standard normals [B, ...] of the samples sample0, sample0 + 1, ..; float16 and bfloat16: float32, rounded.

    seed: 64 bits, with a sign or without. seed, sample0 and draw may be int64 tensors of one element on the device:
    then nothing of them is a constant of a captured graph, and nothing waits for them; their upper bits are cut off.
    ValueError, TypeError: what is out of range.
    """
    if not shape:
        raise ValueError("shape: got (); allowed: [B, ...], a batch first")
    if not dtype.is_floating_point or dtype.itemsize not in (2, 4, 8):
        raise TypeError(f"dtype: got {dtype}; allowed: float64, float32, float16, bfloat16")
    batch, size = shape[0], math.prod(shape[1:])
    for name, value, most in (
        ("elements of a sample", size, 1 << 34),
        ("sample0", sample0, (1 << 32) - batch),
        ("draw", draw, _WORD),
        ("stream", stream, LOWER - 1),
    ):
        if not isinstance(value, torch.Tensor) and not 0 <= value <= most:
            raise ValueError(f"{name}: got {value}; allowed: 0 to {most}")
    if not isinstance(seed, torch.Tensor) and not -(1 << 63) <= seed < 1 << 64:
        raise ValueError(f"seed: got {seed}; allowed: 64 bits")
    given = (seed - (1 << 64) if not isinstance(seed, torch.Tensor) and seed >= 1 << 63 else seed), sample0, draw
    tensors = [value if isinstance(value, torch.Tensor) else None for value in given]
    numbers = [0 if isinstance(value, torch.Tensor) else value for value in given]
    like = torch.empty(0, dtype=dtype, device=device)
    return torch.ops.phiforge.normals(like, list(shape), numbers, tensors, stream)


def _normals(
    like: torch.Tensor,
    shape: Sequence[int],
    numbers: Sequence[int],
    tensors: Sequence[torch.Tensor | None],
    stream: int,
) -> torch.Tensor:
    """numbers, tensors: seed, sample0, draw, as one or the other; device and dtype: those of ``like``."""
    given: list[Any] = [
        number if tensor is None else tensor.reshape(()).to(torch.int64) for number, tensor in zip(numbers, tensors)
    ]
    seed, sample0, draw = given
    batch, size = shape[0], math.prod(shape[1:])
    groups = -(-size // 4)
    kind = torch.float64 if like.dtype == torch.float64 else torch.float32
    group = torch.arange(groups, device=like.device)
    sample = (torch.arange(batch, device=like.device) + sample0 & _WORD)[:, None]
    four = _four(counter(group, sample, draw & _WORD, stream), seed, kind)
    return four.reshape(batch, 4 * groups)[:, :size].reshape(shape).to(like.dtype).contiguous()


def _four(at: Sequence[Any], seed: Any, dtype: torch.dtype) -> torch.Tensor:
    """The numbers of counters without LOWER, float32 or float64 [..., 4]."""
    drawn = words(at, seed)
    if dtype == torch.float64:
        lower = words((*at[:3], at[3] | LOWER), seed)
        drawn = tuple(high << 21 | low >> 11 for high, low in zip(drawn, lower))
    return torch.stack((*_pair(drawn[0], drawn[1], dtype), *_pair(drawn[2], drawn[3], dtype)), -1)


def _pair(first: torch.Tensor, second: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Two normals of two integers of 32 bits (float32) or 53 (float64), by Box and Muller."""
    bits = _BITS[dtype]
    radius = _root(_minus_two_log(first, dtype))
    eighth = 1 << bits - 3
    turned = second + eighth & (1 << bits) - 1
    quarter = turned >> bits - 2
    x = ((turned & 2 * eighth - 1) - eighth).to(dtype) * (1 / eighth)
    z = x * x
    sine = x * _polynomial(_SIN[dtype], z)
    cosine = 1 + z * _polynomial(_COS[dtype], z)
    even = quarter & 1 == 0
    across, up = torch.where(even, cosine, sine), torch.where(even, sine, cosine)
    across = torch.where(quarter + 1 & 2 == 0, across, -across)
    up = torch.where(quarter & 2 == 0, up, -up)
    return radius * across, radius * up


def _minus_two_log(word: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """-2 ln u, u = (word + 1/2) / 2^bits = 2^k (1 + f). Above 2/3, or sqrt(1/2), f = -(1 - u) is rounded, and not u."""
    bits, kind, fraction, split, least = _LOG_PARTS[dtype]
    near = word >= split
    left = torch.where(near, (1 << bits) - 1 - word, word).to(dtype) * 2.0**-bits + 2.0 ** (-bits - 1)
    pattern = left.view(kind)
    power = pattern - least >> fraction
    f = torch.where(near, -left, (pattern - power * (1 << fraction)).view(dtype) - 1)
    k = torch.where(near, 0, power).to(dtype)
    if dtype == torch.float32:
        return (f * f * _polynomial(_LOG_F32, f) - 2 * f) + k * -1.38629436
    s = f / (2 + f)
    z = s * s
    return -2 * (f - s * (f - z * _polynomial(_LOG_F64, z))) + k * -1.3862943611198906


def _root(value: torch.Tensor) -> torch.Tensor:
    """The square root, to nearest. torch.sqrt may be an ulp off: float32 takes float64's, float64 a Newton step."""
    if value.dtype == torch.float32:
        return torch.sqrt(value.double()).float()
    root = torch.sqrt(value)
    high = (root.view(torch.int64) & -1 << 27).view(torch.float64)
    low = root - high
    return root + (((value - high * high) - 2 * high * low) - low * low) / (2 * root)


def _polynomial(coefficients: Sequence[float], z: torch.Tensor) -> torch.Tensor:
    """By Horner's rule."""
    value: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = value * z + c
    return value


_LIBRARY = torch.library.Library("phiforge", "FRAGMENT")
_LIBRARY.define("normals(Tensor like, SymInt[] shape, SymInt[] numbers, Tensor?[] tensors, int stream) -> Tensor")
_LIBRARY.impl("normals", _normals, "CompositeExplicitAutograd")
torch.library.register_fake("phiforge::normals", lambda like, shape, *_: like.new_empty(shape), lib=_LIBRARY)

__all__ = ["counter", "normals", "words"]
