"""Pipelines of diffusers, unmodified: with our scheduler they make what they make with their own."""

import importlib

import pytest
import torch

from tests.adapters import tiny

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SIZE = {"height": 16, "width": 16}


def close(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    assert bool(torch.isfinite(a).all()) and float(a.std()) > 0
    assert float((a - b).norm() / a.norm()) < tolerance


def swapped(scheduler, solver):
    from runtime.adapters.diffusers import scheduler as ours

    return ours(solver, scheduler)


def pictures(make, peer, solver, **call):
    """What a pipeline returns with the scheduler that it came with, and with ours."""
    out = []
    for scheduler in (peer, swapped(peer, solver)):
        pipe = make(scheduler)
        assert type(pipe.scheduler) is type(scheduler)
        made = pipe(**call, generator=tiny.seeded())
        out.append(torch.as_tensor(made.frames if hasattr(made, "frames") else made.images))
    return out


def dpm(**options):
    return diffusers.DPMSolverMultistepScheduler(**SD, **options)


@pytest.mark.parametrize("karras", [False, True])
def test_stable_diffusion(karras):
    peer = dpm(solver_type="heun", use_karras_sigmas=karras)
    call = {**tiny.prompts(), **SIZE, "num_inference_steps": 6}
    close(*pictures(tiny.stable_diffusion, peer, "sd15_dpmpp_2m", **call))


@pytest.mark.parametrize("solver, scheduler, options", [
    ("edm_heun", "HeunDiscreteScheduler", {}),
    ("unipc_2", "UniPCMultistepScheduler", {}),
    ("ddim", "EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("ddim", "DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
])  # fmt: skip
@pytest.mark.parametrize("strength", [None, 0.4, 0.75, 1.0])
def test_stable_diffusion_from_an_image(solver, scheduler, options, strength):
    """Begun in the middle of the grid; without an image at its start."""
    peer = getattr(diffusers, scheduler)(**SD, **options)
    call = {**tiny.prompts(), "num_inference_steps": 5}
    if strength is None:
        close(*pictures(tiny.stable_diffusion, peer, solver, **call, **SIZE))
        return
    call |= {"image": tiny.embeds(1, 3, 16, 16).clamp(-1, 1), "strength": strength}
    make = lambda s: tiny.stable_diffusion(s, "StableDiffusionImg2ImgPipeline")  # noqa: E731
    close(*pictures(make, peer, solver, **call))


@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting(channels):
    """With 4 channels the pipeline replaces what is outside the mask after every step, and the step takes that over."""
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    image = tiny.embeds(1, 3, 16, 16).clamp(-1, 1)
    call = {**tiny.prompts(), "num_inference_steps": 5, "strength": 0.8, "image": image, "mask_image": mask, **SIZE}
    make = lambda s: tiny.stable_diffusion(s, "StableDiffusionInpaintPipeline", channels)  # noqa: E731
    close(*pictures(make, dpm(), "dpmpp_2m_midpoint", **call))


def test_stable_diffusion_xl():
    pooled = tiny.embeds(1, 8)
    call = {**tiny.prompts(), "pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": -pooled, **SIZE}
    peer = dpm(solver_type="heun", use_exponential_sigmas=True)
    close(*pictures(tiny.stable_diffusion_xl, peer, "sdxl_dpmpp_2m", **call, num_inference_steps=6))


FLOW = {"prompt_embeds": (1, 5, 16), "pooled_prompt_embeds": (1, 16)}
SD3 = {name: tiny.embeds(*shape) for name, shape in FLOW.items()}
SD3 |= {f"negative_{name}": -value for name, value in SD3.items()} | {"output_type": "latent"}
FLUX = {"prompt_embeds": tiny.embeds(1, 5, 32), "pooled_prompt_embeds": tiny.embeds(1, 32), "output_type": "latent"}
WAN = {
    "prompt_embeds": tiny.embeds(1, 5, 16),
    "negative_prompt_embeds": -tiny.embeds(1, 5, 16),
    "output_type": "latent",
}
WAN |= {"num_frames": 5}


def flow(**options):
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def test_stable_diffusion_3(variants):
    euler = variants(("flow_euler", {}))
    close(*pictures(tiny.stable_diffusion_3, flow(shift=3.0), euler, **SD3, **SIZE, num_inference_steps=6))


def test_stable_diffusion_3_from_an_image(variants):
    call = {**SD3, **SIZE, "image": tiny.embeds(1, 3, 16, 16).clamp(-1, 1), "strength": 0.6, "num_inference_steps": 6}
    make = lambda s: tiny.stable_diffusion_3(s, "StableDiffusion3Img2ImgPipeline")  # noqa: E731
    close(*pictures(make, flow(shift=3.0), variants(("flow_euler", {})), **call))


def test_flux(variants):
    """Its shift follows from the size of the picture, and is applied once: to the sigmas that the pipeline gives."""
    peer = flow(use_dynamic_shifting=True, shift=3.0)
    close(*pictures(tiny.flux, peer, variants(("flow_euler", {})), **FLUX, **SIZE, num_inference_steps=6))


@pytest.mark.parametrize("solver", ["unipc_2", "unipc_3"])
def test_video(solver):
    options = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    peer = diffusers.UniPCMultistepScheduler(**options, solver_order=int(solver[-1]))
    close(*pictures(tiny.wan, peer, solver, **WAN, **SIZE, num_inference_steps=6))


@pytest.mark.parametrize("solver", ["flow_ab2", "flow_heun", "flow_rk4", "sd3_dpmpp_2m"])
@pytest.mark.parametrize("make, call", [
    (tiny.stable_diffusion_3, {**SD3, "guidance_scale": 1.0}), (tiny.flux, FLUX),
    (tiny.wan, {**WAN, "guidance_scale": 1.0}),
], ids=["sd3", "flux", "wan"])  # fmt: skip
def test_the_pipeline_runs_the_solver(make, call, solver):
    """What the network of the pipeline reads is what ``solver.step`` makes of what it returned, stages included."""
    pipe, calls = make(swapped(flow(shift=3.0), solver)), []
    pipe.transformer.register_forward_hook(
        lambda module, args, given, out: calls.append((given["hidden_states"], given["timestep"], out[0].clone())),
        with_kwargs=True,
    )
    out = pipe(**call, **SIZE, num_inference_steps=4, generator=tiny.seeded())
    ours = importlib.import_module(f"generated.{solver}").solver
    plan = ours.plan(nodes=pipe.scheduler._grid[0].tolist())
    assert len(calls) == plan.steps == len(pipe.scheduler.timesteps)
    state = ours.init(plan, calls[0][0])
    for i, (seen, timestep, raw) in enumerate(calls):
        close(seen, state.x)
        scale = 1.0 if make is tiny.flux else 1000.0
        assert float(timestep.flatten()[0]) == pytest.approx(float(pipe.scheduler.sigmas[i]) * scale, rel=1e-6)
        state = ours.step(plan, i, state, raw)
    close(torch.as_tensor(out.frames if hasattr(out, "frames") else out.images), state.x)


def unconditional(kind):
    """DDIMPipeline makes a DDIMScheduler of what its constructor is given; a pipeline takes another afterwards."""

    def make(scheduler):
        pipe = tiny.unconditional(scheduler, kind)
        pipe.scheduler = scheduler
        return pipe

    return make


@pytest.mark.parametrize("kind", ["DDIMPipeline", "DDPMPipeline"])
@pytest.mark.parametrize("clip", [False, True])
def test_pixels(kind, clip):
    """DDIM as its own pipeline runs it, and in that of DDPM; clipped data as ``use_clipped_model_output`` has it."""
    if clip and kind == "DDPMPipeline":
        pytest.skip("that pipeline does not ask for it")
    call = {"use_clipped_model_output": True} if clip else {}
    peer = diffusers.DDIMScheduler(clip_sample=clip)
    close(*pictures(unconditional(kind), peer, "ddim", num_inference_steps=6, output_type="np", **call), 1e-5)
    with pytest.raises(ValueError, match=r"eta: got 0\.5"):
        swapped(peer, "ddim").step(None, None, None, eta=0.5)


def test_the_grid_of_ddpm():
    """A deterministic solver of order 3 in DDPM's pipeline: with more steps nearer to a solution."""
    from runtime.adapters.diffusers import scheduler

    def picture(solver, steps):
        ours = scheduler(solver, diffusers.DDPMScheduler(clip_sample=False))
        pipe = unconditional("DDPMPipeline")(ours)
        return torch.as_tensor(pipe(num_inference_steps=steps, output_type="np", generator=tiny.seeded()).images)

    exact = picture("unipc_3", 250)
    errors = [float((picture("dpmpp_3m", steps) - exact).norm()) for steps in (10, 20, 50)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_a_pipeline_is_saved_and_loaded(tmp_path):
    """The scheduler is loaded by its own class, and given to the pipeline."""
    from runtime.adapters.diffusers import PhiforgeScheduler

    pipe = unconditional("DDPMPipeline")(swapped(diffusers.DDIMScheduler(clip_sample=False), "unipc_2"))
    pipe.save_pretrained(tmp_path)
    loaded = PhiforgeScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    again = tiny.quiet(diffusers.DDPMPipeline.from_pretrained(tmp_path, scheduler=loaded))
    assert again.scheduler is loaded
    call = {"num_inference_steps": 5, "output_type": "np"}
    close(*(torch.as_tensor(p(**call, generator=tiny.seeded()).images) for p in (pipe, again)), 1e-6)
