"""How every plot of this project looks, and its bytes: a function of the data, not of the day or the machine.

Colours are the Okabe-Ito palette (readable with any colour vision); every series has a marker of its own as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1c2128", "#5f6b7a", "#d9dee5", "#fefefe"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7d4cdb", "#6b6b6b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
STYLE = {
    "svg.hashsalt": "phiforge",
    "svg.fonttype": "path",
    "path.simplify": True,
    "font.size": 10.0,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "mathtext.fontset": "dejavusans",
    "savefig.transparent": False,
    "figure.constrained_layout.use": True,
}
_FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "png": {"metadata": {"Software": None}, "dpi": 160},
}

_METADATA = re.compile(rb" *<metadata>.*?</metadata>\n", re.DOTALL)
"""Says who drew it and in which vocabulary that is said; nothing that is seen."""


@contextmanager
def styled() -> Iterator[None]:
    """Everything drawn or saved inside has the style of this project, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that no window system knows of."""
    made = Figure(figsize=(width, height))
    FigureCanvasAgg(made)
    return made


def saved(made: Figure, kind: str) -> bytes:
    """The figure as svg, png or pdf: the same bytes every time."""
    target = io.BytesIO()
    with styled():
        made.savefig(target, format=kind, **_FORMATS[kind])
    data = target.getvalue()
    return _METADATA.sub(b"", data) if kind == "svg" else data


def series(number: int) -> dict[str, Any]:
    """Colour and marker of the n-th curve."""
    dashes = ("-", "--", ":")[number // len(SERIES) % 3]
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)], "linestyle": dashes}
