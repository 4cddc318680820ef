"""What is there without the libraries that the adapters are for."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runtime.adapters.kdiffusion import sampler

ROOT = Path(__file__).resolve().parents[2]


def test_without_diffusers_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    spec = importlib.util.find_spec("runtime.adapters.diffusers")
    with pytest.raises(ImportError) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    text = str(caught.value)
    assert text.startswith("runtime.adapters.diffusers needs diffusers") and "\n" not in text
    assert 'pip install "phiforge[diffusers]"' in text


def test_a_diffusers_that_does_not_load_is_one_line_too(monkeypatch, tmp_path):
    (tmp_path / "diffusers.py").write_text("raise ImportError('no part\\n  of it\\n')", encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "diffusers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("runtime.adapters.diffusers")
    with pytest.raises(ImportError) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    sys.modules.pop("diffusers", None)
    assert str(caught.value).endswith('pip install "phiforge[diffusers]" (no part of it)')


def test_the_samplers_need_torch_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "k_diffusion", None)
    assert callable(sampler("dpmpp_2m"))


FRESH = """
import sys
for name in ("diffusers", "k_diffusion", "comfy"):
    sys.modules[name] = None
{code}
"""


@pytest.mark.parametrize(
    ("code", "last"),
    [
        (
            "import runtime.adapters.diffusers",
            'ImportError: runtime.adapters.diffusers needs diffusers: pip install "phiforge[diffusers]" (import of '
            "diffusers halted; None in sys.modules)",
        ),
        (
            "from derive.cli import main; sys.exit(main(['audit', 'diffusers:DDIMScheduler']))",
            "audit: 'diffusers': cannot be imported: import of diffusers halted; None in sys.modules",
        ),
        ("import runtime.adapters, runtime, generated.ddim; from runtime.adapters.kdiffusion import sampler", ""),
    ],
    ids=["adapter", "audit", "the rest"],
)
def test_a_fresh_process_says_one_line(code, last):
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(code=code)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    lines = done.stderr.strip().splitlines()
    assert (lines[-1] if lines else "") == last
    assert "During handling" not in done.stderr and (done.returncode == 0) == (not last)


def test_the_extras_are_declared():
    """What the line says to install is there, and is no part of what everybody installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"diffusers", "kdiffusion"} <= project["optional-dependencies"].keys()
    assert not any("diffus" in requirement for requirement in project["dependencies"])
