"""Schedulers as other projects write them, in the shape of diffusers."""

from __future__ import annotations

import torch


class DDIMScheduler:
    """The first-order method of the PNDM repository: alpha^2 of time t is read at t + 1, in a table of as many times.

    A step that begins at the last time leaves the table; ``right``: it is read at t.
    """

    def __init__(self, num_train_timesteps=1000, right=False):
        self.config = {"prediction_type": "epsilon", "num_train_timesteps": num_train_timesteps}
        self.right = right
        betas = torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64)
        self.alphas_cumprod = torch.cumprod(1 - betas, 0)

    def set_timesteps(self, count):
        total = self.config["num_train_timesteps"]
        self.width = total // count
        self.timesteps = torch.arange(0, total, self.width).flip(0)

    def step(self, noise, t, x, return_dict=True):
        place = int(t) + (0 if self.right else 1)
        here, there = self.alphas_cumprod[place], self._before(place)
        scale = here.sqrt() * (here.sqrt() + there.sqrt())
        both = here.sqrt() * (((1 - there) * here).sqrt() + ((1 - here) * there).sqrt())
        return (x + (there - here) * (x / scale - noise / both),)

    def _before(self, place):
        """The table at the next time, which is -1 after 0."""
        return self.alphas_cumprod[max(place - self.width, 0)]
