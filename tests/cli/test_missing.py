"""Packages that are not installed: one line that names them, exit code 3, and nothing is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT = """\
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""
SPEC = """\
name: tiny_ddim
problem: {kind: diffusion, schedule: flow, prediction: velocity}
method: {family: exponential_multistep, steps: 1, integrand: velocity, variable: t}
"""


@pytest.fixture
def run(tmp_path):
    """run(packages, arguments) -> the finished ``python -m derive`` of an environment without the packages."""
    (tmp_path / "spec.yaml").write_text(SPEC, "utf-8")

    def command(packages, *arguments):
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT.format(packages=packages), "utf-8")
        paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "derive", *arguments],
            capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, check=False,
        )  # fmt: skip

    return command


def test_what_is_derived_without_torch_is_not_written(run, tmp_path):
    done = run({"torch"}, "new-solver", "spec.yaml")
    wanted = 'the check of the generated code needs the package torch, which is not installed: pip install "phiforge[derive]"'
    assert (done.returncode, done.stderr, done.stdout) == (3, wanted + "\n", "")
    assert not (tmp_path / "generated").exists()


def test_what_needs_no_torch(run):
    """Formula, proof and emitted bytes come without it."""
    done = run({"torch"}, "explain", "spec.yaml")
    assert done.returncode == 0 and "Phi x" in done.stdout and not done.stderr


@pytest.mark.parametrize(("packages", "what"), [({"torch"}, " compare"), ({"sympy"}, " explain"), ({"yaml"}, "")])
def test_other_verbs_and_packages(run, packages, what):
    arguments = {" compare": ("compare", "ddim"), " explain": ("explain", "spec.yaml"), "": ("list",)}[what]
    done = run(packages, *arguments)
    (package,) = packages
    wanted = (
        f'python -m derive{what} needs the package {package}, which is not installed: pip install "phiforge[derive]"'
    )
    assert (done.returncode, done.stderr) == (3, wanted + "\n")


def test_a_module_of_ours_is_our_bug(run):
    done = run({"runtime"}, "compare", "ddim")
    assert done.returncode == 4 and done.stderr.startswith("internal error: ModuleNotFoundError")
