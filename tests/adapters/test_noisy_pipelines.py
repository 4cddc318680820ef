"""Pipelines of diffusers, unmodified, with stochastic solvers: on the pipeline's generator they make what their own make."""

import pytest
import torch

from tests.adapters import tiny

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

from tests.adapters.test_pipelines import SD, SIZE, close, pictures, swapped  # noqa: E402

PEERS = {
    "sde_dpmpp_2m_midpoint": lambda: diffusers.DPMSolverMultistepScheduler(**SD, algorithm_type="sde-dpmsolver++"),
    "euler_ancestral": lambda: diffusers.EulerAncestralDiscreteScheduler(**SD),
    "ddpm": lambda: diffusers.DDPMScheduler(**SD, clip_sample=False),
    "ddim_eta_half": lambda: diffusers.DDIMScheduler(**SD, clip_sample=False),
}
ETA = {"ddim_eta_half": {"eta": 0.5}}


@pytest.mark.parametrize("solver", PEERS)
def test_stable_diffusion(solver):
    call = {**tiny.prompts(), **SIZE, **ETA.get(solver, {}), "num_inference_steps": 6}
    close(*pictures(tiny.stable_diffusion, PEERS[solver](), solver, **call))


@pytest.mark.parametrize("solver", PEERS)
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_stable_diffusion_from_an_image(solver, strength):
    """Begun in the middle of the grid: the generator has made the noise of the start by then."""
    call = {**tiny.prompts(), **ETA.get(solver, {}), "num_inference_steps": 5, "strength": strength}
    call["image"] = tiny.embeds(1, 3, 16, 16).clamp(-1, 1)
    make = lambda s: tiny.stable_diffusion(s, "StableDiffusionImg2ImgPipeline")  # noqa: E731
    close(*pictures(make, PEERS[solver](), solver, **call))


def test_pixels_without_a_prompt():
    """DDPMPipeline, with the data clipped."""
    peer = diffusers.DDPMScheduler()
    make = lambda s: tiny.unconditional(s, "DDPMPipeline")  # noqa: E731
    close(*pictures(make, peer, "ddpm", num_inference_steps=8, output_type="np"), tolerance=1e-4)


@pytest.mark.parametrize("solver", ["sde_dpmpp_2m", "sa_solver_3", "seeds_2", "dpmpp_sde"])
def test_a_generator_for_each_picture(solver):
    """A picture is that of its generator, alone or in a batch; without one it is another every time."""
    pipe = tiny.stable_diffusion(swapped(PEERS["sde_dpmpp_2m_midpoint"](), solver))
    call = {**tiny.prompts(), **SIZE, "num_inference_steps": 4}
    batch = {key: torch.cat([value] * 3) if isinstance(value, torch.Tensor) else value for key, value in call.items()}
    whole = pipe(**batch, generator=[tiny.seeded(seed) for seed in (4, 5, 6)]).images
    for i, seed in enumerate((4, 5, 6)):
        alone = pipe(**call, generator=[tiny.seeded(seed)]).images
        close(whole[i : i + 1], alone)
    assert float((whole[0] - whole[1]).norm() / whole[0].norm()) > 0.1
    assert not torch.allclose(pipe(**call).images, pipe(**call).images, rtol=0.01)
