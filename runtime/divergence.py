"""The divergence of a network's output with respect to its input: exact, or Hutchinson's estimate with signs of Philox.

    div f = sum_j e_j^T J e_j,    E[v^T J v] = div f  for independent signs v (Hutchinson 1990, arXiv:1810.01367)

The exact one takes as many products with the Jacobian as a sample has elements, an estimate one for each probe. Samples
are taken to be independent: sample b of the output depends on sample b of the input alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from runtime import philox
from runtime.errors import ShapeError

STREAM = 1 << 28
"""Of Philox's counter: the signs of probes."""
_MOST = 1 << 20
"""Elements of basis vectors that are multiplied at once."""

Field = Callable[[torch.Tensor], torch.Tensor]


def exact(field: Field, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(f(x), div f [1, B]). x: [B, *S], floating; field: through which ``torch.func`` can differentiate."""
    value, pull = _pulled(field, x)
    size = x[0].numel()
    basis = torch.eye(size, dtype=value.dtype, device=x.device).reshape(size, 1, *x.shape[1:])
    rows = torch.func.vmap(lambda e: pull(e.expand(x.shape))[0] * e, chunk_size=max(1, _MOST // x.numel()))(basis)
    return value, rows.sum(0).reshape(1, x.shape[0], -1).sum(-1)


def hutchinson(field: Field, x: torch.Tensor, probes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(f(x), v^T J v [K, B] of each probe). probes: [K, B, *S]."""
    value, pull = _pulled(field, x)
    products = [(pull(v.to(value.dtype))[0] * v).reshape(x.shape[0], -1).sum(-1) for v in probes]
    return value, torch.stack(products)


def _pulled(field: Field, x: torch.Tensor) -> tuple[torch.Tensor, Callable[..., Any]]:
    value, pull = torch.func.vjp(field, x)[:2]
    if value.shape != x.shape:
        raise ShapeError(f"the field's value: got shape {tuple(value.shape)}; allowed: {tuple(x.shape)}")
    return value, pull


def signs(
    seed: int, shape: Sequence[int], probes: int, device: torch.device | str = "cpu", sample0: int = 0
) -> torch.Tensor:
    """Independent signs +-1, float64 [K, B, *S] for shape [B, *S]: functions of (seed, sample, element, probe) alone.

    One bit each of Philox's words. sample0: the index of the first sample.
    """
    batch = shape[0]
    size = int(torch.Size(shape[1:]).numel())
    group = torch.arange(-(-size // 128), device=device)
    sample = torch.arange(batch, device=device)[:, None] + sample0
    probe = torch.arange(probes, device=device)[:, None, None]
    signed = seed - (1 << 64) if seed >= 1 << 63 else seed
    four = torch.stack(torch.broadcast_tensors(*philox.words(philox.counter(group, sample, probe, STREAM), signed)), -1)
    bits = four[..., None] >> torch.arange(32, device=device) & 1
    return (2.0 * bits.reshape(probes, batch, -1)[..., :size].double() - 1).reshape(probes, *shape)


__all__ = ["exact", "hutchinson", "signs"]
