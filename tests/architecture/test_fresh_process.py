"""What a user's process pays for: sampling imports nothing symbolic, and starts fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, solvers

SYMBOLIC = ("sympy", "jinja2", "yaml", "pydantic", "derive", "scipy")

GUARD = """
import importlib, json, sys
import torch
before = set(sys.modules)
solver = importlib.import_module("generated." + sys.argv[1]).solver
x = torch.ones(2, 3, dtype=torch.float64)
out = solver.sample(lambda x, t: 0.5 * x, x, steps=4)
assert out.shape == x.shape and torch.isfinite(out).all()
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""

START = """
import importlib, json, sys, time
import torch
began = time.process_time()
importlib.import_module("generated." + sys.argv[1])
print(json.dumps(time.process_time() - began))
"""


def fresh(code: str, *arguments: str):
    """The JSON that ``code`` prints as its last line in a new process that sees this tree only."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_solvers_are_shipped():
    assert solvers(), "generated/ holds no solver"


@pytest.mark.parametrize("name", solvers()[:1])
def test_sampling_imports_nothing_symbolic(name):
    loaded = set(fresh(GUARD, name))
    assert "runtime" in loaded and "generated" in loaded
    assert not loaded & {*SYMBOLIC, "triton"}


@pytest.mark.parametrize("name", solvers()[:1])
def test_a_solver_starts_fast(name):
    """Beyond torch: the runtime, wide arithmetic and one solver; CPU time, the best of three where the first is slow."""
    assert any(fresh(START, name) < 0.2 for _ in range(3))


def test_wide_arithmetic_and_grids_need_no_torch():
    loaded = fresh("import json, sys, runtime.real, runtime.grids\nprint(json.dumps(sorted(sys.modules)))")
    assert "runtime.real" in loaded
    assert "torch" not in loaded and "sympy" not in loaded and "numpy" not in loaded
