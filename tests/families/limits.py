"""Methods as a spec says them, for the limits that families state."""

from __future__ import annotations

from typing import Any

from derive.spec import read_spec_text

HEAD = "name: tried\nproblem:\n  kind: diffusion\n  schedule: {kind: vp_linear}\n  prediction: {kind: noise}\nbackends: [torch]\n"


def read(family: str, **method: str) -> Any:
    """The spec of the method; SpecError where a key does not fit."""
    lines = "".join(f"  {key}: {value}\n" for key, value in {"family": family, "integrand": "noise", **method}.items())
    return read_spec_text(f"{HEAD}method:\n{lines}")


def listed(count: int, word: str = "1") -> str:
    """``count`` times the same entry."""
    return "[" + ", ".join([word] * count) + "]"


ROWS = "[" + ", ".join(listed(i, "0") for i in range(16)) + "]"
TYPED = {"c": listed(16, "0"), "a": ROWS, "b": listed(16)}
"""As many stages as may be typed."""
