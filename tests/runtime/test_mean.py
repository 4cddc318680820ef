"""``sample(mean=)``: a mean-reverting step, of ODE or SDE, is a variance-preserving one on x - mean; others see x.

The VP solver is derived from a schedule written out, and the published step (arXiv:2502.07856) is written out with its own
terms in the mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from runtime import ShapeError
from tests.emitted import emitted

SCALE = 0.4
"""sigma_inf."""
MR = "{kind: mean_reverting, sigma_inf: 2/5}"
VP = '{kind: expression, alpha: "exp(-t*log(200))", sigma: "sqrt(1 - exp(-2*t*log(200)))", t: [1, 0]}'
V = '{kind: linear, x0: "-sigma/(2/5)", eps: "alpha*(2/5)"}'
"""v of a path of the stationary scale 2/5: alpha sigma_inf eps - (sigma/sigma_inf) (x0 - mean)."""
PREDICTIONS = {"data": "data", "noise": "noise", V: "v", "velocity": "velocity"}
NODES = [0.9, 0.62, 0.5, 0.31]
MEAN = torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(1, 6)
START = MEAN + SCALE * torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def method(order: int, integrand: str) -> str:
    return f"{{family: exponential_multistep, steps: {order}, integrand: {integrand}, variable: lambda, final: keep}}"


def path(t: float) -> tuple[float, float]:
    """alpha, sigma of the mean-reverting path."""
    alpha = 200.0**-t
    return alpha, SCALE * math.sqrt(-math.expm1(-2 * t * math.log(200)))


def network(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(1.3 * x) * (1 + t.reshape(-1, *(1,) * (x.dim() - 1)))


def scaled(prediction: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The same network as one of z = (x - mean)/sigma_inf on the VP path."""

    def call(z: Tensor, t: Tensor) -> Tensor:
        raw = network(MEAN + SCALE * z, t)
        return {"data": (raw - MEAN) / SCALE, "noise": raw}.get(prediction, raw / SCALE)

    return call


def cases() -> list[Any]:
    """Orders, integrands, predictions, ODE and SDE; every day order 3 for all predictions, the others for one."""
    own = ("data", "noise")
    every = [*itertools.product((1, 2, 3), own, PREDICTIONS, ("diffusion", "sde"))]
    often = [(n == 3 and (kind == "diffusion" or p in own)) or p == f for n, f, p, kind in every]
    return [pytest.param(*case, marks=[] if daily else pytest.mark.slow) for case, daily in zip(every, often)]


@pytest.mark.parametrize(("order", "integrand", "prediction", "kind"), cases())
def test_a_step_is_the_vp_step_of_what_is_left_of_the_mean(
    order: int, integrand: str, prediction: str, kind: str
) -> None:
    """Bound: 1e-14 of the largest number in the step, after every step of 1, 2 and 3 values; of SDEs with one seed."""
    ours = emitted(MR, prediction, method(order, integrand), kind)
    theirs = emitted(VP, PREDICTIONS[prediction], method(order, integrand), kind)
    assert ours.plan(nodes=NODES).orders == tuple(min(i, order) for i in (1, 2, 3))
    seen: list[Tensor] = []
    keep = {"after_step": lambda x, i, t: seen.append(x.clone()) or x}
    ours.sample(network, START, nodes=NODES, mean=MEAN, hooks=keep, seed=5)
    theirs.sample(scaled(PREDICTIONS[prediction]), (START - MEAN) / SCALE, nodes=NODES, hooks=keep, seed=5)
    for x, z in zip(seen[:3], seen[3:], strict=True):
        assert float((x - MEAN - SCALE * z).abs().max()) <= 1e-14 * float(x.abs().max())
        assert float(x.abs().max()) < 50


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", ["data", "noise"])
def test_the_published_step_with_its_terms_in_the_mean(kind: str, order: int) -> None:
    """x_t = (sigma_t/sigma_s) x_s + mu (1 - sigma_t/sigma_s + sigma_t alpha_s/sigma_s - alpha_t) + .., likewise for noise."""
    got = emitted(MR, kind, method(order, kind)).sample(network, START, nodes=NODES[: order + 1], mean=MEAN)
    x, past, before = START, None, 1.0
    for s, t in itertools.pairwise(NODES[: order + 1]):
        (a_s, s_s), (a_t, s_t) = path(s), path(t)
        h = math.log(a_t / s_t) - math.log(a_s / s_s)
        value = network(x, torch.full((4,), s, dtype=torch.float64))
        slope = torch.zeros_like(value) if past is None else (value - past) * (h / before)
        if kind == "data":
            first, second = -math.expm1(-h), 1 + math.expm1(-h) / h
            centre = MEAN * (1 - s_t / s_s + s_t * a_s / s_s - a_t)
            x = s_t / s_s * x + centre + a_t * (first * value + second * slope)
        else:
            first, second = math.expm1(h), math.expm1(h) / h - 1
            x = a_t / a_s * x + MEAN * (1 - a_t / a_s) - s_t * (first * value + second * slope)
        past, before = value, h
    assert torch.allclose(got, x, rtol=0, atol=2e-14)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", ["data", "noise"])
def test_the_published_step_with_noise_and_its_terms_in_the_mean(kind: str, order: int) -> None:
    """SDE-d-1, -2 and SDE-n-1, -2 of the paper, with the noise that both are given."""
    normals = torch.randn(order, *START.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    solver = emitted(MR, kind, method(order, kind), "sde")
    got = solver.sample(network, START, nodes=NODES[: order + 1], mean=MEAN, noise=normals)
    x, past, before = START, None, 1.0
    for s, t, z in zip(NODES[:order], NODES[1:], normals):
        (a_s, s_s), (a_t, s_t) = path(s), path(t)
        h = math.log(a_t / s_t) - math.log(a_s / s_s)
        value = network(x, torch.full((4,), s, dtype=torch.float64))
        slope = torch.zeros_like(value) if past is None else (value - past) * (h / before)
        if kind == "data":
            lost = -math.expm1(-2 * h)
            centre = MEAN * (1 - a_t / a_s * math.exp(-2 * h) - a_t * lost)
            x = s_t / s_s * math.exp(-h) * x + centre + a_t * (lost * value + (1 - lost / (2 * h)) * slope)
            x = x + s_t * math.sqrt(lost) * z
        else:
            rise = math.expm1(h)
            x = a_t / a_s * x + MEAN * (1 - a_t / a_s) - 2 * s_t * (rise * value + (rise / h - 1) * slope)
            x = x + s_t * math.sqrt(math.expm1(2 * h)) * z
        past, before = value, h
    assert torch.allclose(got, x, rtol=0, atol=2e-14)


def test_exact_data_come_back_from_the_prior() -> None:
    """All data in one point: the network that knows it ends there from mean + sigma_inf z."""
    point = torch.tensor([[0.3, -2.0, 5.0, 0.0, 1.0, 7.0]], dtype=torch.float64)
    solver = emitted(MR, "data", method(1, "data"))
    got = solver.sample(lambda x, t: point.expand_as(x), START, steps=5, mean=MEAN)
    assert torch.allclose(got, point.expand_as(got), rtol=0, atol=1e-14)


@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_others_see_x_and_the_data(prediction: str) -> None:
    """Callback: x0 of x = alpha x0 + (1 - alpha) mean + sigma eps."""
    solver, seen = emitted(MR, prediction, method(2, "data")), []
    solver.sample(network, START, nodes=NODES, mean=MEAN, callback=lambda i, t, x, data: seen.append((t, x, data)))
    assert torch.equal(seen[0][1], START - MEAN + MEAN)
    for t, x, data in seen:
        raw = network(x, torch.full((4,), t, dtype=torch.float64))
        alpha, sigma = path(t)
        exact = raw if prediction == "data" else (x - (1 - alpha) * MEAN - sigma * raw) / alpha
        assert torch.allclose(data, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_a_clip_bounds_the_data_and_guidance_mixes_them(prediction: str) -> None:
    solver = emitted(MR, prediction, method(1, "data"))
    shown: list[Tensor] = []
    alpha, sigma = path(NODES[0])
    bound = 4.0 if prediction == "data" else 60.0

    def pairs(x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([network(x, t)[:4], 2 * network(x, t)[:4]])

    solver.sample(
        pairs, START, nodes=NODES[:2], mean=MEAN, guidance=1.5, clip=bound,
        callback=lambda i, t, x, data: shown.append(data),
    )  # fmt: skip
    raw = 2.5 * network(START, torch.full((4,), NODES[0], dtype=torch.float64))
    data = raw if prediction == "data" else (START - (1 - alpha) * MEAN - sigma * raw) / alpha
    assert torch.allclose(shown[0], data.clamp(-bound, bound), rtol=0, atol=1e-12)
    assert 0 < int((data.abs() > bound).sum()) < data.numel()


def test_a_mean_of_zero_changes_no_bit() -> None:
    for prediction in ("data", "noise"):
        solver = emitted(MR, prediction, method(3, "data"))
        plain = solver.sample(network, START, nodes=NODES)
        assert torch.equal(solver.sample(network, START, nodes=NODES, mean=torch.zeros(1, dtype=torch.float64)), plain)


@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_gradients_of_the_mean_are_those_of_a_difference(prediction: str) -> None:
    solver = emitted(MR, prediction, method(2, "data"))

    def loss(mean: Tensor, **how: object) -> Tensor:
        return solver.sample(network, START, nodes=NODES, mean=mean, **how).square().sum()

    found = []
    for how in ({}, {"gradient": "recomputed", "snapshots": 1}):
        mean = MEAN.clone().requires_grad_()
        more = {"parameters": [mean]} if how else {}
        found.append(torch.autograd.grad(loss(mean, **how, **more), mean)[0])
    step = torch.zeros_like(MEAN)
    step[0, 2] = 1e-6
    numeric = (loss(MEAN + step) - loss(MEAN - step)) / 2e-6
    assert torch.allclose(found[0], found[1], rtol=1e-12, atol=1e-12)
    assert abs(float(found[0][0, 2] - numeric)) <= 1e-6 * float(found[0].abs().max())


def test_per_sample_grids_and_half_precision() -> None:
    solver = emitted(MR, "data", method(2, "data"))
    rows = [NODES, [0.8, 0.6, 0.45, 0.3]] * 2
    got = solver.sample(network, START, nodes=rows, mean=MEAN)
    for b in range(4):
        alone = solver.sample(network, START[b : b + 1], nodes=rows[b], mean=MEAN)
        assert torch.allclose(got[b : b + 1], alone, rtol=0, atol=1e-13)
    half = solver.sample(network, START.to(torch.bfloat16), nodes=NODES, mean=MEAN)
    assert half.dtype == torch.bfloat16
    exact = solver.sample(network, START, nodes=NODES, mean=MEAN)
    assert torch.allclose(half.double(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("mean", "error", "words"),
    [
        (0.5, TypeError, "mean: got float; allowed: a torch.Tensor"),
        (torch.zeros(6, dtype=torch.int64), TypeError, "mean: got dtype torch.int64"),
        (torch.zeros(5), ShapeError, "mean: got shape (5,) for x_T of shape (4, 6); allowed: a shape that broadcasts"),
        (torch.zeros(2, 4, 6), ShapeError, "allowed: a shape that broadcasts to it"),
        (torch.full((6,), torch.nan), ValueError, "mean: 24 of 24 entries are NaN or infinite"),
    ],
)
def test_what_is_no_mean_is_refused(mean: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        emitted(MR, "data", method(2, "data")).sample(network, START, nodes=NODES, mean=mean)
    assert words in str(caught.value)


def test_a_graph_has_no_mean() -> None:
    with pytest.raises(ValueError, match="graph=True replays the whole solve, so mean cannot be given"):
        emitted(MR, "data", method(2, "data")).sample(network, START, nodes=NODES, mean=MEAN, graph=True)
