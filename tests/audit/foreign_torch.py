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


def sample_heun_clone(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun, its predictor a copy that is stepped in place."""
    for i in range(len(sigmas) - 1):
        callback({"x": x, "i": i})
        dt = sigmas[i + 1] - sigmas[i]
        d = _slope(model, x, sigmas[i])
        y = x.clone()
        y.add_(d * dt)
        if sigmas[i + 1] == 0:
            return y
        e = _slope(model, y, sigmas[i + 1])
        x = x + (d + e) * (dt / 2)
    return x


def sample_heun_in_place(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun; one state from end to end, written over in every step."""
    x = x.to(x.dtype, copy=True)
    for i in range(len(sigmas) - 1):
        callback({"x": x, "i": i})
        dt = sigmas[i + 1] - sigmas[i]
        d = _slope(model, x, sigmas[i])
        y = x.clone()
        y += d * dt
        if sigmas[i + 1] == 0:
            return y
        d += _slope(model, y, sigmas[i + 1])
        d *= dt / 2
        x += d
    return x


def sample_long_runs_lost_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun, but its state is no number after more than 100 steps."""
    x = sample_heun_mean(model, x, sigmas, extra_args, callback, disable)
    return x * float("nan") if len(sigmas) > 101 else x


def sample_without_network_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Forgets its network."""
    return 2 * x


def sample_without_network_shown_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """The same, with its states shown."""
    for i in range(len(sigmas) - 1):
        callback({"x": x, "i": i})
    return x


def sample_without_state_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Forgets to return its state."""
    sample_heun_mean(model, x, sigmas, extra_args, callback, disable)


def sample_without_any_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Forgets its callback as well; two calls a step."""
    sample_heun_mean(model, x, sigmas, extra_args, lambda info: None, disable)


def sample_hidden_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Two calls a step, and no callback."""
    return sample_heun_mean(model, x, sigmas, extra_args, lambda info: None, disable)


def sample_leaves_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Ends the process."""
    raise SystemExit("bye")


def sample_long_runs_throw_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Takes 100 steps at most."""
    assert len(sigmas) < 102, "too long"
    return sample_heun_mean(model, x, sigmas, extra_args, callback, disable)


def step_leaves(f, t, x, h):
    """A step that ends the process."""
    raise SystemExit(3)
