"""What may happen to the network's output, as arguments of ``sample`` and ``loop``: every kind, and the pairs."""

from __future__ import annotations

from typing import Any

WAYS: dict[str, dict[str, Any]] = {
    "guidance": {"guidance": 2.5},
    "clip": {"clip": 0.4},
    "threshold": {"threshold": (0.8, 1.6)},
    "guidance and clip": {"guidance": 3, "clip": 0.5},
    "guidance and threshold": {"guidance": 5.0, "threshold": (0.9, 3.0)},
}
