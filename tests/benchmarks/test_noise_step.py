"""The bytes of a step that draws, beside those of a peer's step with its Brownian tree."""

from __future__ import annotations

import shutil

import pytest

from benchmarks import noise_step
from benchmarks.rivals import installed
from runtime import native

pytestmark = pytest.mark.skipif(not any(map(shutil.which, native.COMPILERS)), reason="no C++ compiler")


def test_normals_move_no_memory() -> None:
    """x, the network's output and a value of the past are read; x and the newest value are written."""
    assert noise_step.streams() == 5


@pytest.mark.skipif(not (installed("torchsde") and installed("k-diffusion")), reason="no k-diffusion, or no torchsde")
def test_a_step_moves_a_hundredth_of_what_a_brownian_tree_moves() -> None:
    launches, moved = noise_step.peer()
    assert launches > 100
    assert moved >= 100 * noise_step.streams()
