"""Names that a solver may not have: it becomes a module, a folder and part of C names, and must shadow nothing."""

from __future__ import annotations

import builtins
import keyword
import re
import sys

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)

_C = """
alignas alignof asm atomic auto bool case catch char class compl complex const constexpr default delete do double else
enum explicit export extern false float for friend goto if imaginary inline int long main mutable namespace new noexcept
not nullptr operator or private protected public register requires restrict return short signed sizeof static struct
switch template this throw true typedef typename typeof union unsigned using virtual void volatile while half dim3
"""

_DEPENDENCIES = """
torch numpy sympy mpmath jinja2 markupsafe hypothesis triton yaml scipy sklearn pytest gmpy2 diffusers k_diffusion
comfy cupy jax setuptools pip pkg_resources
"""

_OURS = """
runtime derive generated templates examples tests benchmarks phiforge solver coefficients claims spec derivation step
"""

_DEVICES = ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))

_REASONS: tuple[tuple[str, frozenset[str]], ...] = (
    ("a Python keyword", frozenset([*keyword.kwlist, *keyword.softkwlist])),
    ("a Python builtin", frozenset(dir(builtins))),
    ("a module of the standard library", frozenset(sys.stdlib_module_names)),
    ("a package this project uses", frozenset(_DEPENDENCIES.split())),
    ("a name of this project", frozenset(_OURS.split())),
    ("a C or C++ keyword", frozenset(_C.split())),
    ("a device name on Windows", frozenset(_DEVICES)),
)


def reason(name: str) -> str:
    """Why ``name`` is taken, or the empty string."""
    return next((why for why, words in _REASONS if name in words), "")
