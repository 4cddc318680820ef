"""What a call of the network depends on besides its arguments: torch's random generators, and autocast.

To make the same call again, both have to be as they were (``torch.utils.checkpoint`` does the same).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch


class Surroundings:
    """What holds where this is made, for the CPU and the devices of ``tensors``."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        self._devices = sorted({t.device for t in tensors if t.device.type not in ("cpu", "meta")}, key=str)
        kinds = sorted({"cpu", *(device.type for device in self._devices)})
        self._autocast = [
            (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
            for kind in kinds
            if torch.amp.is_autocast_available(kind)
        ]

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Autocast as it was. Without its cache: what is cast where no gradient is followed has none."""
        with ExitStack() as stack:
            for kind, dtype, enabled in self._autocast:
                stack.enter_context(torch.autocast(kind, dtype, enabled, cache_enabled=False))
            yield

    def random(self) -> list[torch.Tensor]:
        """The states of the default generators, now."""
        devices = [getattr(torch, d.type).get_rng_state(*_named(d)) for d in self._devices]
        return [torch.get_rng_state(), *devices]

    def draw_from(self, states: list[torch.Tensor]) -> None:
        """Draw on as from there."""
        torch.set_rng_state(states[0])
        for device, state in zip(self._devices, states[1:], strict=True):
            getattr(torch, device.type).set_rng_state(state, *_named(device))


def _named(device: torch.device) -> tuple[torch.device, ...]:
    """The device as its module wants it: that of mps has one generator only."""
    return () if device.type == "mps" else (device,)


__all__ = ["Surroundings"]
