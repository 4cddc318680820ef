"""Solvers made for a test: derived from a spec's text, emitted, and imported; nothing is proved or checked besides."""

from __future__ import annotations

import atexit
import importlib
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from derive.emit import render
from derive.pipeline import derive
from derive.spec import read_spec_text
from runtime.api import Solver

_PLACE = "emitted_for_tests"


@lru_cache(maxsize=1)
def _folder() -> Path:
    """A package that lasts as long as the process."""
    root = Path(tempfile.mkdtemp(prefix="phiforge-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    (root / _PLACE).mkdir()
    sys.path.insert(0, str(root))
    return root / _PLACE


@lru_cache(maxsize=64)
def emitted(schedule: str, prediction: str, method: str, kind: str = "diffusion") -> Solver:
    """The solver of these three entries of a spec, as YAML in one line each; made once a process. kind: "sde, tau: 1/2"."""
    name = f"solver_{len(list(_folder().iterdir()))}"
    problem = f"{{kind: {kind}, schedule: {schedule}, prediction: {prediction}}}"
    spec = read_spec_text(f"name: {name}\nproblem: {problem}\nmethod: {method}\n")
    files = render(derive(spec))
    (_folder() / name).mkdir()
    for file, data in files.items():
        (_folder() / name / file).write_bytes(data)
    importlib.invalidate_caches()
    return importlib.import_module(f"{_PLACE}.{name}").solver
