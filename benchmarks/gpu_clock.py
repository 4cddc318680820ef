"""The few calls of ``gpu.py`` that need a GPU: time on the device, a captured graph, an empty kernel."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


class Gpu:
    """What a GPU is asked; the tests put something else in its place, so that the rest runs without one."""

    device = "cuda"

    def name(self) -> str:
        return torch.cuda.get_device_name()

    def seconds(self, run: Callable[[], object], before: Callable[[], object], repeat: int = 10) -> float:
        """The least time of ``run`` on the device; ``before`` is called first and not counted."""
        least = math.inf
        for _ in range(repeat):
            before()
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            run()
            last.record()
            last.synchronize()
            least = min(least, first.elapsed_time(last) / 1000)
        return least

    def kernels(self, run: Callable[[], object]) -> float:
        """The sum of the times of all kernels and copies that ``run`` launches."""
        from torch.profiler import ProfilerActivity, profile

        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            run()
            torch.cuda.synchronize()
        ours = [e for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA]
        if not ours:
            raise RuntimeError("the profiler sees no kernels here")
        notes = [getattr(e, "is_user_annotation", False) or e.name.startswith("##") for e in ours]
        return sum(e.time_range.elapsed_us() for e, note in zip(ours, notes) if not note) / 1e6

    def captured(self, body: Callable[[], object], warm: Callable[[], object]) -> Callable[[], object]:
        """``body`` as a CUDA graph."""
        from runtime.graph import captured

        return captured(body, warm)

    def nothing(self) -> None:
        """A kernel that does nothing."""
        torch.cuda._sleep(0)
