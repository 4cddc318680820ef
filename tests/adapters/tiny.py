"""Pipelines of diffusers with random weights: every class as it is, networks of a few thousand numbers, prompts given as
embeddings."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch


@cache
def unet(channels: int = 4, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        norm_num_groups=4,
        attention_head_dim=4,
        **more,
    )


@cache
def vae() -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=[8, 8],
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        norm_num_groups=4,
        shift_factor=0.0,
    )


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stable_diffusion(scheduler: Any, kind: str = "StableDiffusionPipeline", channels: int = 4) -> Any:
    import diffusers

    parts = {"vae": vae(), "text_encoder": None, "tokenizer": None, "unet": unet(channels), "scheduler": scheduler}
    made = getattr(diffusers, kind)(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    return quiet(made)


def embeds(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prompts() -> dict[str, Any]:
    """What a pipeline with cross attention is given."""
    return {"prompt_embeds": embeds(1, 5, 8), "negative_prompt_embeds": -embeds(1, 5, 8), "output_type": "latent"}


def stable_diffusion_xl(scheduler: Any) -> Any:
    from diffusers import StableDiffusionXLPipeline

    extra = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 56,
    }
    names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    parts = {"vae": vae(), "unet": unet(**extra), "scheduler": scheduler, **dict.fromkeys(names)}
    return quiet(StableDiffusionXLPipeline(**parts, add_watermarker=False))


def stable_diffusion_3(scheduler: Any, kind: str = "StableDiffusion3Pipeline") -> Any:
    import diffusers

    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16, out_channels=4,
    )  # fmt: skip
    with torch.no_grad():  # a fresh transformer returns zeros
        transformer.proj_out.weight.normal_(std=0.5)
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
    parts = {"vae": vae(), "transformer": transformer, "scheduler": scheduler, **dict.fromkeys(names)}
    return quiet(getattr(diffusers, kind)(**parts))


def flux(scheduler: Any) -> Any:
    from diffusers import FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    with torch.no_grad():
        transformer.proj_out.weight.normal_(std=0.5)
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    parts = {"vae": vae(), "transformer": transformer, "scheduler": scheduler, **dict.fromkeys(names)}
    return quiet(FluxPipeline(**parts))


def wan(scheduler: Any) -> Any:
    """Text to video."""
    from diffusers import WanPipeline, WanTransformer3DModel

    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=32, ffn_dim=16, num_layers=1, cross_attn_norm=True, rope_max_seq_len=32,
    )  # fmt: skip
    parts = {"vae": None, "text_encoder": None, "tokenizer": None, "transformer": transformer, "scheduler": scheduler}
    return quiet(WanPipeline(**parts))


def unconditional(scheduler: Any, kind: str) -> Any:
    """DDPMPipeline and DDIMPipeline: pixels, no prompt."""
    import diffusers

    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4, sample_size=8, in_channels=3, out_channels=3,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return quiet(getattr(diffusers, kind)(unet=network, scheduler=scheduler))
