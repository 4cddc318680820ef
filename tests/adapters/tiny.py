"""Pipelines of diffusers with random weights: every class as it is, networks of a few thousand numbers, prompts given as
embeddings."""

from __future__ import annotations

from typing import Any

import torch


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
