"""Stochastic interpolants between Gaussians, where everything is known: x_t ~ N(a m0 + b m1, a^2 C0 + b^2 C1 + gamma^2).

The law of an SDE with an affine drift B x + c obeys m' = B m + c, S' = B S + S B^T + 2 eps: it is integrated, not sampled.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from generated import flow_rk4
from runtime.interpolant import GAMMAS, PATHS, Interpolant
from tests.emitted import emitted

NOT = {("encoding_decoding", "zero"), ("mirror", "zero"), ("trig", "sine_squared")}
PAIRS = [(path, gamma) for path in PATHS for gamma in GAMMAS if (path, gamma) not in NOT]
pairs = pytest.mark.parametrize(("path", "gamma"), PAIRS)
OFTEN = {("linear", "brownian"), ("trig", "quadratic"), ("encoding_decoding", "sine_squared"), ("mirror", "brownian")}
some = pytest.mark.parametrize(
    ("path", "gamma"), [pytest.param(*pair, marks=[] if pair in OFTEN else pytest.mark.slow) for pair in PAIRS]
)
"""All of them; every day one of each path and of each gamma."""
RK4 = "{family: runge_kutta, integrand: velocity, variable: t, tableau: rk4, final: keep}"

M0, M1 = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 3.0], dtype=torch.float64)
C0 = torch.tensor([[1.5, 0.4], [0.4, 0.7]], dtype=torch.float64)
C1 = torch.tensor([[0.3, -0.2], [-0.2, 2.0]], dtype=torch.float64)
ONE = torch.eye(2, dtype=torch.float64)
POINTS = torch.cat([torch.zeros(1, 2, dtype=torch.float64), ONE])
"""Where an affine map shows all it is."""


class Gaussians:
    """The exact fields of independent Gaussian ends; of the mirror both ends are x1."""

    def __init__(self, path: str, gamma: str) -> None:
        self.interpolant = Interpolant(path, gamma)
        self.m0, self.C0 = (M1, C1) if path == "mirror" else (M0, C0)

    @lru_cache(maxsize=1)  # noqa: B019  (lives as long as a test)
    def law(self, t: float) -> tuple[Tensor, Tensor]:
        w = self.interpolant.weights(t)
        return w.a * self.m0 + w.b * M1, w.a**2 * self.C0 + w.b**2 * C1 + w.gamma**2 * ONE

    def score(self, x: Tensor, t: float) -> Tensor:
        mean, spread = self.law(t)
        return -torch.linalg.solve(spread, (x - mean).T).T

    def velocity(self, x: Tensor, t: float) -> Tensor:
        """E[a' x0 + b' x1 | x]: mean + covariance with x times inverse covariance of x."""
        w = self.interpolant.weights(t)
        return w.da * self.m0 + w.db * M1 - self.score(x, t) @ (w.a * w.da * self.C0 + w.b * w.db * C1)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self.interpolant.drift(t, self.velocity(x, t), self.score(x, t))

    def batched(self, x: Tensor, t: Tensor) -> Tensor:
        """The drift as a network: t [B], all equal."""
        return self.drift(x, float(t[0]))


def affine(field: object, t: float) -> tuple[np.ndarray, np.ndarray]:
    """(B, c) of a field B x + c."""
    values = field(POINTS, t).numpy()  # type: ignore[operator]
    return (values[1:] - values[0]).T, values[0]


def carried(field: object, law: tuple[Tensor, Tensor], start: float, stop: float, noise: float) -> np.ndarray:
    """Mean and covariance at ``stop``; noise: 2 eps, of the direction of time."""

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        matrix, constant = affine(field, t)
        spread = y[2:].reshape(2, 2)
        rate = matrix @ spread + spread @ matrix.T + noise * math.copysign(1, stop - start) * np.eye(2)
        return np.concatenate([matrix @ y[:2] + constant, rate.ravel()])

    y = np.concatenate([part.numpy().ravel() for part in law])
    middle = 0.5 if min(start, stop) < 0.5 < max(start, stop) else stop  # where encoding becomes decoding
    for a, b in ((start, middle), (middle, stop)):
        if a != b:
            y = solve_ivp(slope, (a, b), y, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return y


LAWS = [(pair, eps) for pair in PAIRS for eps in (0, 0.5, 2)]
"""Every day each path and each gamma with 2, the linear path with all."""


@pytest.mark.parametrize(
    ("path", "gamma", "eps"),
    [
        pytest.param(*pair, eps, marks=[pytest.mark.slow] * (pair not in OFTEN or (eps != 2 and pair[0] != "linear")))
        for pair, eps in LAWS
    ],
)
def test_the_sde_has_the_law_of_the_interpolant(path: str, gamma: str, eps: float) -> None:
    """Forward from 0 to 0.7 and on to 1, backward from 1 to 0.7 and on to 0, to 1e-10."""
    if gamma == "zero" and eps:
        with pytest.raises(ValueError, match="gamma is 'zero'"):
            Interpolant(path, gamma).forward(ONE, ONE, eps)
        return
    case = Gaussians(path, gamma)
    for start, stop in ((0.0, 0.7), (0.7, 1.0), (1.0, 0.7), (0.7, 0.0)):
        shift = case.interpolant.forward if stop > start else case.interpolant.backward
        field = case.drift if not eps else lambda x, t, s=shift: s(case.drift(x, t), case.score(x, t), eps)
        got = carried(field, case.law(start), start, stop, 2 * eps)
        exact = np.concatenate([part.numpy().ravel() for part in case.law(stop)])
        assert np.abs(got - exact).max() < 1e-10


@some
def test_derived_solvers_carry_one_gaussian_to_the_other(path: str, gamma: str) -> None:
    """The probability-flow ODE by RK4, with ``generated.flow_rk4`` and on the schedule ``interpolant``: order 4, to 5e-6."""
    case, errors = Gaussians(path, gamma), []
    for steps in (40, 80):
        model = Interpolant.network(case.batched)
        got = flow_rk4.solver.sample(model, POINTS, steps=steps)
        again = emitted("interpolant", "velocity", RK4).sample(case.batched, POINTS, steps=steps)
        assert torch.allclose(got, again, rtol=0, atol=1e-13)
        matrix = (got[1:] - got[0]).T
        mean, spread = got[0] + matrix @ case.m0, matrix @ case.C0 @ matrix.T
        errors.append(max(float((mean - M1).abs().max()), float((spread - C1).abs().max())))
    assert errors[1] < 5e-6
    assert errors[0] < 1e-12 or math.log2(errors[0] / errors[1]) > 3.7
    back = flow_rk4.solver.sample(model, got, steps=80, direction="inversion")
    assert torch.allclose(back, POINTS, rtol=0, atol=1e-5)


METHODS = {1: "tableau: euler", 2: 'c: [0, 1], a: [[], [1]], b: ["1/2", "1/2"]'}
"""Euler-Maruyama and stochastic Heun, as ``generated.flow_euler_maruyama`` and ``flow_stochastic_heun`` have them."""


WEAK = [
    ("linear", "brownian", "1/2", (20, 40), 0.15),
    pytest.param("linear", "brownian", "1/2", (40, 80), 0.08, marks=pytest.mark.slow),
    pytest.param("trig", "quadratic", "1/2", (40, 80), 0.08, marks=pytest.mark.slow),
    pytest.param("linear", "quadratic", "2", (40, 80), 0.08, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("order", METHODS)
@pytest.mark.parametrize(("path", "gamma", "strength", "counts", "bound"), WEAK)
def test_derived_solvers_have_their_weak_order_between_gaussians(
    path: str, gamma: str, strength: str, counts: tuple[int, int], bound: float, order: int
) -> None:
    """eps = strength (1 - t). A step is affine in x and z, so the law at t = 1 is known without samples: order 2, and 1."""
    case, errors, scale = Gaussians(path, gamma), [], float(Fraction(strength))
    integrand = f'{{kind: drift, tau: "sqrt({strength}*alpha)"}}'
    method = f"{{family: runge_kutta, integrand: {integrand}, variable: t, {METHODS[order]}, final: keep}}"
    solver = emitted("flow", "velocity", method, f'sde, tau: "sqrt({strength}*alpha)", variance: exact')
    model = Interpolant.network(case.batched, lambda x, t: case.score(x, float(t[0])), scale)
    for steps in counts:
        plan = solver.plan(steps=steps)
        count = sum(plan.draws)
        x, z = (
            torch.zeros(3 + 2 * count, 2, dtype=torch.float64),
            torch.zeros(count, 3 + 2 * count, 2, dtype=torch.float64),
        )
        x[1:3] = ONE
        for draw in range(count):
            z[draw, 3 + 2 * draw : 5 + 2 * draw] = ONE
        ends = solver.sample(model, x, plan=plan, noise=z)
        matrix, noises = (ends[1:3] - ends[0]).T, ends[3:] - ends[0]
        spread = matrix @ case.C0 @ matrix.T + noises.T @ noises
        errors.append(max(float((ends[0] + matrix @ case.m0 - M1).abs().max()), float((spread - C1).abs().max())))
    assert abs(math.log2(errors[0] / errors[1]) - order) < bound
    assert errors[1] < (2e-3 if order == 2 else 0.2)


@pairs
def test_slopes_are_derivatives_and_products_are_finite(path: str, gamma: str) -> None:
    interpolant = Interpolant(path, gamma)
    t = torch.tensor([0.0625, 0.3, 0.49, 0.51, 0.8, 0.99], dtype=torch.float64)
    step = 1e-6
    w, after, before = (interpolant.weights(t + d) for d in (0, step, -step))
    for slope, plus, minus in (
        (w.da, after.a, before.a),
        (w.db, after.b, before.b),
        (w.dgamma, after.gamma, before.gamma),
    ):
        assert torch.allclose(slope, (plus - minus) / (2 * step), rtol=1e-7, atol=1e-8)
    assert torch.allclose(w.product, w.gamma * w.dgamma, rtol=1e-14, atol=0)
    ends = interpolant.weights(torch.tensor([0.0, 1.0]))
    assert torch.equal(ends.gamma, torch.zeros(2, dtype=torch.float64))
    first = 0.0 if path == "mirror" else 1.0
    assert torch.equal(ends.a, torch.tensor([first, 0.0], dtype=torch.float64))
    assert (
        torch.allclose(ends.b, torch.tensor([1 - first, 1.0], dtype=torch.float64), rtol=0, atol=0) or path == "mirror"
    )
    finite = (ends.product, ends.da, ends.db)
    assert all(bool(torch.isfinite(value).all()) for value in finite)
    assert gamma != "brownian" or ends.product.tolist() == [0.5, -0.5]


@pairs
def test_the_law_of_the_state_and_the_targets_are_those_of_its_definition(path: str, gamma: str) -> None:
    """x_t and its targets are linear in (x0, x1, z): their matrices give the law, and regressing on x_t gives v, b and eta."""
    case, t = Gaussians(path, gamma), 0.37
    interpolant = case.interpolant
    inputs = torch.eye(3, dtype=torch.float64)[:, :, None]

    def row(function: object, count: int = 3) -> Tensor:
        return torch.stack([function(*value[:count]) for value in inputs])[:, 0]  # type: ignore[operator]

    at = row(partial(interpolant.at, t))
    blocks = (case.C0, C1, ONE)
    assert torch.allclose(sum(c**2 * block for c, block in zip(at, blocks)), case.law(t)[1], atol=1e-15)
    x = torch.tensor([[0.3, 1.2], [-1.0, 0.4]], dtype=torch.float64)
    score, means = case.score(x, t), (case.m0, M1, torch.zeros(2, dtype=torch.float64))
    eta = interpolant.denoiser(t, score)
    wanted = {
        "velocity": (row(partial(interpolant.velocity_target, t), 2), case.velocity(x, t)),
        "drift": (row(partial(interpolant.drift_target, t)), case.drift(x, t)),
        "eta": (torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), eta),
    }
    for target, field in wanted.values():
        crossed = sum(c * d * block for c, d, block in zip(target, at, blocks))
        exact = sum(c * mean for c, mean in zip(target, means)) - score @ crossed
        assert torch.allclose(field, exact, rtol=0, atol=1e-13)
    assert torch.allclose(interpolant.velocity(t, case.drift(x, t), score), case.velocity(x, t), rtol=0, atol=1e-14)
    if gamma != "zero":
        assert torch.allclose(interpolant.score(t, eta), score, rtol=0, atol=1e-14)


def test_the_trigonometric_path_stays_on_the_sphere() -> None:
    for gamma in ("brownian", "quadratic", "zero"):
        w = Interpolant("trig", gamma).weights(torch.linspace(0, 1, 11))
        assert torch.allclose(w.a**2 + w.b**2 + w.gamma**2, torch.ones(11, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_one_sided_linear_is_the_flow_schedule(prediction: str) -> None:
    """Time the other way round: the same rows bit for bit, with the sign of a velocity."""
    method = "{family: exponential_multistep, steps: 2, integrand: data, variable: lambda}"
    ours, theirs = (emitted(schedule, prediction, method) for schedule in ("interpolant", "flow"))
    nodes = [0.0625, 0.25, 0.375, 0.625, 0.875, 1.0]
    mine, flow = ours.plan(nodes=nodes), theirs.plan(nodes=[1 - t for t in nodes])
    sign = torch.tensor([-1.0 if name == "cr" and prediction == "velocity" else 1.0 for name in mine.columns])
    assert mine.columns == flow.columns and torch.equal(mine.table, flow.table * sign)


@pytest.mark.parametrize(
    ("path", "start", "weights"),
    [
        ("linear", 0, lambda t: (1 - t, t)),
        ("trig", 0, lambda t: (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2))),
        ("encoding_decoding", 0.5, lambda t: (np.sin(np.pi * t) ** 2, np.cos(np.pi * t) ** 2)),
    ],
)
def test_one_sided_paths_are_the_published_ones(path: str, start: float, weights: object) -> None:
    code = emitted(f"{{kind: interpolant, path: {path}}}", "velocity", RK4).coefficients
    assert (start, 1.0) == code.DOMAIN and (code.NOISE_END, code.DATA_END) == ("alpha_zero", "sigma_zero")
    for t in np.linspace(start + 0.01, 0.99, 7):
        sigma, alpha = weights(t)  # type: ignore[operator]
        assert abs(float(code.sigma(t)) - sigma) < 1e-15 and abs(float(code.alpha(t)) - alpha) < 1e-15
        h = 1e-6
        two = Interpolant("linear", "zero").weights(t) if path == "linear" else None
        assert two is None or (float(two.b), float(two.a)) == (alpha, sigma)
        assert (
            abs(float(code.dlambda(t + h, t)) - math.log(weights(t + h)[1] / weights(t + h)[0] * sigma / alpha)) < 1e-12
        )  # type: ignore[operator]


def test_times_are_per_sample_and_the_dtype_stays() -> None:
    interpolant = Interpolant("trig", "quadratic")
    x0, x1, z = torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(1)).unbind(0)
    t = torch.tensor([0.0, 0.2, 0.7, 1.0])
    got = interpolant.at(t, x0, x1, z)
    assert got.dtype == torch.float32 and torch.equal(got[0], x0[0]) and torch.equal(got[3], x1[3])
    assert torch.allclose(got[1], interpolant.at(0.2, x0, x1, z)[1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: Interpolant("linea"),
            "path: got 'linea'; allowed: linear, trig, encoding_decoding, mirror; did you mean",
        ),
        (lambda: Interpolant("linear", "sine"), "gamma: got 'sine'; allowed: brownian, quadratic, sine_squared, zero"),
        (lambda: Interpolant("mirror", "zero"), "got 'zero' with path 'mirror'"),
        (lambda: Interpolant("trig", "sine_squared"), "a kink where gamma = 1"),
        (lambda: Interpolant().weights(1.5), "t: got 1.5 to 1.5; allowed: 0.0 to 1.0"),
        (lambda: Interpolant().forward(ONE, ONE, -1.0), "eps: got -1.0; allowed: a finite number from 0"),
        (lambda: Interpolant.network(torch.mul, torch.mul, 0.0), "strength: got 0.0; allowed: a finite number above 0"),
        (lambda: Interpolant("linear", "zero").score(0.5, ONE), "score: gamma is 'zero'"),
    ],
)
def test_what_is_no_interpolant_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()  # type: ignore[operator]
    assert words in str(caught.value)
