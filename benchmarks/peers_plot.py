"""The picture of ``peers.py``: a dot for everybody, a row for every method, a panel for every shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from derive.report.figures import GRID, MUTED, SERIES, figure, styled

WHO = {
    "loop": (0, "D"),
    "fused": (0, "o"),
    "fused cuda": (0, "o"),
    "fused triton": (5, "o"),
    "compiled": (2, "^"),
    "torch": (2, "s"),
    "sample": (5, "P"),
    "diffusers compiled": (4, "v"),
    "diffusers": (1, "X"),
    "k-diffusion": (3, "<"),
}
"""Colour and marker: ours are blue and green, filled; what it is compared with has warm colours."""
NAMES = {
    "loop": "ours, loop",
    "fused": "ours, fused",
    "fused cuda": "ours, fused (CUDA)",
    "fused triton": "ours, fused (Triton)",
    "compiled": "ours, torch.compile",
    "torch": "ours, torch in place",
    "sample": "ours, all of sample()",
    "diffusers compiled": "diffusers, torch.compile",
    "diffusers": "diffusers",
    "k-diffusion": "k-diffusion",
}
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def drawn(report: Mapping[str, Any]) -> Figure:
    """A panel for each shape: time over the memcpy floor where there is much to move, over the fused step where not."""
    shapes = list(dict.fromkeys(tuple(f["shape"]) for f in report["figures"]))
    labels = list(dict.fromkeys(f["label"] for f in report["figures"]))
    with styled():
        made = figure(max(5.0 * len(shapes), 6.0), 1.9 + 0.36 * len(labels))
        panels = made.subplots(1, len(shapes), squeeze=False, sharey=True)[0]
        for panel, shape in zip(panels, shapes):
            _panel(panel, [f for f in report["figures"] if tuple(f["shape"]) == shape], labels, report["dtype"])
        handles = {label: h for panel in panels for h, label in zip(*panel.get_legend_handles_labels())}
        order = [name for name in NAMES.values() if name in handles]
        made.legend([handles[n] for n in order], order, loc="outside lower center", ncols=min(4, len(order)))
    return made


def _panel(panel: Any, figures: list[Mapping[str, Any]], labels: list[str], dtype: str) -> None:
    shape = figures[0]["shape"]
    elements = 1
    for size in shape:
        elements *= size
    large = elements > 1 << 16
    values = {who: [] for who in WHO}  # type: dict[str, list[tuple[float, int]]]
    for f in figures:
        row, seen = labels.index(f["label"]), f["over_floor" if large else "over_fused"]
        panel.plot([min(seen.values()), max(seen.values())], [row, row], color=GRID, lw=3, solid_capstyle="round")
        for who, value in seen.items():
            values[who].append((value, row))
    for who, points in values.items():
        if points:
            colour, marker = WHO[who]
            panel.plot(*zip(*points), linestyle="", marker=marker, ms=6.5, color=SERIES[colour], label=NAMES[who])
    panel.set_xscale("log")
    panel.axvline(1, color=MUTED, lw=1.0)
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(FixedLocator([t for t in TICKS if low <= t <= high]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.grid(axis="y", visible=False)
    panel.tick_params(length=3, color=MUTED)
    panel.tick_params(axis="y", length=0)
    panel.set_title(f"{' x '.join(map(str, shape))}, {dtype}")
    panel.set_xlabel("time over a memcpy of the method's bytes" if large else "time over the fused step")
