"""Philox4x32-10 on Python's integers, and Box-Muller in 40 digits: what the backends are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import mpmath as mp
import torch

KNOWN = {
    "zeros": ((0,) * 4, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((0xFFFFFFFF,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0_A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}
"""Counter, key and result: kat_vectors of Random123, philox4x32 10."""


def words(at: Sequence[int], key: int) -> tuple[int, ...]:
    """The definition: a product of two words is one integer of 64 bits."""
    c, k = list(at), [key % 2**32, key >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 % 2**32, p0 >> 32 ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return tuple(c)


def pair(first: int, second: int, bits: int) -> tuple[mp.mpf, mp.mpf]:
    """sqrt(-2 ln u) of cos and sin, u = (first + 1/2) / 2^bits, the angle second / 2^bits turns."""
    with mp.workdps(40):
        radius = mp.sqrt(-2 * mp.log((2 * first + 1) / mp.mpf(2) ** (bits + 1)))
        turns = 2 * second / mp.mpf(2) ** bits
        return radius * mp.cospi(turns), radius * mp.sinpi(turns)


def extremes(bits: int) -> list[int]:
    """Integers where something changes: ends, quadrants and octants, and where the logarithm is taken of 1 - u."""
    split = 0xAAAAAAAB if bits == 32 else 0x16A09E667F3BCD
    whole = 1 << bits
    edges = [0, split, *(k * whole // 8 for k in range(1, 8)), whole]
    return sorted({e + d for e in edges for d in (-2, -1, 0, 1) if 0 <= e + d < whole})


def integers(bits: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs: all extremes with each other, and random ones of every size, int64."""
    draw = torch.Generator().manual_seed(bits)
    ends = torch.tensor(extremes(bits))
    both = torch.cartesian_prod(ends, ends)
    size = torch.randint(0, bits, (2, count), generator=draw) * (torch.arange(count) % 3 == 0)
    some = torch.randint(0, 1 << bits, (2, count), generator=draw) >> size
    some[0] = torch.where(torch.arange(count) % 2 == 0, some[0], (1 << bits) - 1 - some[0])
    return torch.cat((both[:, 0], some[0])), torch.cat((both[:, 1], some[1]))
