"""Samplers that use torch as it is meant: means, copies, steps in place; and some that do not run to the end."""

from __future__ import annotations

import torch


def _slope(model, x, sigma):
    return (x - model(x, sigma * x.new_ones([x.shape[0]]))) / sigma


def sample_heun_mean(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun, its slope the mean of a stack."""
    for i in range(len(sigmas) - 1):
        callback({"x": x, "i": i})
        dt = sigmas[i + 1] - sigmas[i]
        d = _slope(model, x, sigmas[i])
        if sigmas[i + 1] == 0:
            return x + dt * d
        e = _slope(model, x + dt * d, sigmas[i + 1])
        x = x + torch.stack([d, e]).mean(dim=0) * dt
    return x
