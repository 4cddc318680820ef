"""Exact expressions of tableaus as LaTeX in the alphabet of derivations: phi3 is varphi with the index 3."""

from __future__ import annotations

from typing import Any

import sympy as sp

from derive.symbolic.forms import as_expr

_LETTERS = {"phi": r"\varphi", "mu": r"\mu", "kappa": r"\kappa", "theta": r"\theta"}


def tex(expr: Any) -> str:
    """LaTeX of an expression or an exact number."""
    plain = as_expr(expr)
    return str(sp.latex(plain, symbol_names={s: _indexed(s.name) for s in plain.free_symbols}))


def _indexed(name: str) -> str:
    stem = name.rstrip("0123456789")
    index = name.removeprefix(stem)
    letter = _LETTERS.get(stem, stem)
    return f"{letter}_{{{index}}}" if index else letter
