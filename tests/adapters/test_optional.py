"""What is there without the libraries that the adapters are for."""

import importlib.util
import sys

import pytest

from runtime.adapters.kdiffusion import sampler


def test_without_diffusers_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    spec = importlib.util.find_spec("runtime.adapters.diffusers")
    with pytest.raises(ImportError) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    text = str(caught.value)
    assert text.startswith("runtime.adapters.diffusers needs diffusers") and "\n" not in text
    assert 'pip install "phiforge[diffusers]"' in text


def test_the_samplers_need_torch_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "k_diffusion", None)
    assert callable(sampler("dpmpp_2m"))
