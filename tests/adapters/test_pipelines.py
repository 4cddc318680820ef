"""Pipelines of diffusers, unmodified: with our scheduler they make what they make with their own."""

import pytest

from tests.adapters import tiny

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def close(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    assert float((a - b).norm() / a.norm()) < tolerance


def swapped(scheduler, solver):
    from runtime.adapters.diffusers import scheduler as ours

    return ours(solver, scheduler)


@pytest.mark.parametrize("karras", [False, True])
def test_stable_diffusion(karras):
    peer = diffusers.DPMSolverMultistepScheduler(**SD, solver_type="heun", use_karras_sigmas=karras)
    images = [
        tiny.stable_diffusion(s)(**tiny.prompts(), num_inference_steps=6, height=16, width=16, generator=tiny.seeded())
        for s in (peer, swapped(peer, "sd15_dpmpp_2m"))
    ]
    close(*(image.images for image in images))
