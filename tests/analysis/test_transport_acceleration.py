"""Iteration radii for linear transport: the formula, its maximum, and the iteration carried out in angles."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import sympy as sp

FILE = Path(__file__).resolve().parents[2] / "examples" / "transport_acceleration.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("transport_acceleration", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_factors_are_those_of_the_analysis(example):
    L, c = example.L, example.C
    A = sp.atan(L) / L
    assert sp.simplify(example.SWEPT - c * A) == 0
    assert sp.simplify(example.ACCELERATED - (c * A - c * (1 - c * A) / (L**2 / 3 + 1 - c))) == 0
    assert sp.limit(example.SWEPT, L, 0) == c


@pytest.mark.parametrize("ratio, largest", [(1.0, 0.22467), (0.9, 0.1939), (0.5, 0.0958)])
def test_radius_with_the_correction(example, ratio, largest):
    found, place = example.radius(ratio)
    assert round(found, 5 if ratio == 1 else 4) == largest
    assert found < 0.22467 * ratio or ratio == 1
    for k in range(1, 1000):
        wave = k / 10
        swept = ratio * math.atan(wave) / wave
        assert abs(swept - ratio * (1 - swept) / (wave**2 / 3 + 1 - ratio)) <= found
    assert ratio != 1 or place == pytest.approx(2.529, abs=5e-4)


@pytest.mark.parametrize("ratio", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("wave", [0.3, 1.0, 2.5])
def test_an_iteration_in_angles_has_that_factor(example, ratio, wave):
    at = {example.L: sp.Float(wave), example.C: sp.Float(ratio)}
    assert example.iterated(ratio, wave) == pytest.approx(float(example.ACCELERATED.subs(at)), abs=1e-12)
    assert example.iterated(ratio, wave, accelerated=False) == pytest.approx(float(example.SWEPT.subs(at)), abs=1e-12)
    assert example.iterated(ratio, 1e-8, accelerated=False) == pytest.approx(ratio, abs=1e-12)
