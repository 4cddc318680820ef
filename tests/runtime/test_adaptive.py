"""Steps chosen by the error: tolerance against exact solutions, samples on their own, what is counted, estimates, misuse."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import ndtr
from torch import Tensor

from derive import emit, pipeline
from derive.measure.problems import GMM1D
from derive.spec import read_spec_text
from runtime import LimitError, ShapeError, pair
from runtime.adaptive import GROW, SHRINK, _Track
from runtime.api import Solver
from runtime.real import real
from runtime.rebind import rebound

WEIGHTS, MEANS, SCALES = (
    np.array([float(v) for v in values]) for values in (GMM1D.weights, [m[0] for m in GMM1D.means], GMM1D.scales)
)
STAGES = {"flow_dopri5": 6, "flow_tsit5": 6, "flow_bs3": 3, "dpm_solver_12": 2, "dpm_solver_23": 3, "dpmpp_23": 3}
REUSES = {"flow_dopri5", "flow_tsit5", "flow_bs3"}
pytestmark = pytest.mark.usefixtures("one_thread")
LOWER = {"flow_dopri5": 4, "flow_tsit5": 4, "flow_bs3": 2, "dpm_solver_12": 1, "dpm_solver_23": 2, "dpmpp_23": 2}
SPEC = """\
name: {name}
problem: {{kind: diffusion, schedule: {{kind: vp_linear}}, prediction: noise}}
method:
  family: {family}
  integrand: noise
  variable: {variable}
  {method}
  final: keep
grid: {{kind: uniform, steps: 20, variable: t, final_zero: true}}
"""


def solver(name: str) -> Any:
    return import_module(f"generated.{name}").solver


def path(name: str, t: Any) -> tuple[Any, Any]:
    """(alpha, sigma) at t, a tensor or a number."""
    if name.startswith("flow"):
        return 1 - t, t
    log = -t * (19.9 * t + 0.2) / 4
    if isinstance(t, Tensor):
        return log.exp(), (-torch.expm1(2 * log)).sqrt()
    return math.exp(log), math.sqrt(-math.expm1(2 * log))


def span(name: str) -> tuple[float, float]:
    return (0.95, 0.05) if name.startswith("flow") else (0.7, 0.05)


def mixture(name: str) -> Any:
    """The exact network of the Gaussian mixture GMM1D for the solver's prediction, all components at once."""
    weights, means, scales = (torch.from_numpy(v) for v in (WEIGHTS, MEANS, SCALES))

    def model(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (v[:, None] for v in path(name, t))
        variance, away = (alpha * scales) ** 2 + sigma**2, x - alpha * means
        part = weights * torch.exp(-(away**2) / (2 * variance)) / variance.sqrt()
        data = (part * (means + alpha * scales**2 * away / variance)).sum(1, True) / part.sum(1, True)
        noise = (x - alpha * data) / sigma
        return noise - data if name.startswith("flow") else noise

    return model


def test_the_mixture_is_that_of_the_problem():
    x, t = torch.linspace(-3, 3, 41, dtype=torch.float64)[:, None], torch.tensor([0.3], dtype=torch.float64)
    alpha, sigma = (v[:, None] for v in path("flow", t))
    data = GMM1D.data(x, alpha, sigma)
    assert mixture("flow")(x, t) == pytest.approx((x - alpha * data) / sigma - data, rel=1e-12)


def exact(name: str, x: Tensor, start: float, end: float) -> np.ndarray:
    """On a line the flow keeps the quantile: F_end(x_end) = F_start(x_start), F the distribution of the mixture."""

    def cdf(y: float, t: float) -> float:
        alpha, sigma = path(name, t)
        return float(WEIGHTS @ ndtr((y - alpha * MEANS) / np.sqrt((alpha * SCALES) ** 2 + sigma**2)))

    return np.array(
        [brentq(lambda y, v=v: cdf(y, end) - cdf(v, start), -8, 8, xtol=1e-15) for v in x.flatten().tolist()]
    )


def tame(x: Tensor, t: Tensor) -> Tensor:
    """Pointwise and smooth."""
    return torch.tanh(x) + t.reshape(-1, *(1,) * (x.dim() - 1))


class Counting:
    """A model that counts the rows it sees."""

    def __init__(self, model: Any = tame) -> None:
        self.model, self.rows, self.dtypes = model, 0, set()

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == x.shape[:1]
        self.rows += len(x)
        self.dtypes.add((x.dtype, t.dtype))
        return self.model(x, t)


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(5))


def same(a: Any, b: Any, row: int) -> None:
    """Sample ``row`` of b is the one sample of a, bit for bit."""
    for name in ("x", "accepted", "rejected", "evaluations", "error", "stiffness"):
        assert torch.equal(getattr(a, name)[0], getattr(b, name)[row]), name
    assert a.times[0] == b.times[row]


STARTS = torch.linspace(-1.8, 1.8, 5, dtype=torch.float64)[:, None]
"""Across the distribution: of one start alone the slope is anything from 0.8 to 1.2."""
DEAR = {"dpm_solver_12": 6, "dpm_solver_23": 8, "dpmpp_23": 8}
"""Digits to which the usual tests go: of the lower output's order 1, 1e-9 takes 37,000 steps."""


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        *((name, 9) for name in STAGES if name not in DEAR),
        *DEAR.items(),
        *(pytest.param(name, 9, marks=pytest.mark.slow) for name in DEAR),
    ],
)
def test_the_error_follows_the_tolerance(name, digits):
    """Slope 1 over 1e-3 .. 1e-9 (some slowly), of the rms error; and the work grows as the order of the lower output says."""
    reference = exact(name, STARTS, *span(name))
    tolerances = [10.0**-k for k in range(3, digits + 1)]
    options = {"span": span(name), "most": 10**6}
    found = [solver(name).adaptive(mixture(name), STARTS, rtol=tol, atol=tol, **options) for tol in tolerances]
    errors = [np.sqrt(np.mean((r.x[:, 0].numpy() - reference) ** 2)) for r in found]
    slope = np.polyfit(np.log10(tolerances), np.log10(errors), 1)[0]
    assert 0.85 < slope < 1.15, (slope, errors)
    assert errors[-1] < 3 * tolerances[-1]
    growth = float(found[-1].accepted.sum()) / float(found[-3].accepted.sum())
    assert growth == pytest.approx(100 ** (1 / (LOWER[name] + 1)), rel=0.2)
    assert sum(int(r.rejected.sum()) for r in found) > 0


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("first", [None, 1.0])
def test_coefficients_in_float64_take_the_steps_of_those_in_320_bits(name, first, monkeypatch):
    options = {"rtol": 1e-5, "atol": 1e-5, "span": span(name), "first": first}
    found = solver(name).adaptive(mixture(name), STARTS, **options)
    monkeypatch.setattr(pair, "near", lambda code: None)
    wide = solver(name).adaptive(mixture(name), STARTS, **options)
    for what in ("accepted", "rejected", "evaluations"):
        assert torch.equal(getattr(found, what), getattr(wide, what))
    for what in ("x", "error", "stiffness"):
        assert getattr(found, what) == pytest.approx(getattr(wide, what), rel=1e-9)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("dense", [False, True])
def test_what_the_network_saw_is_counted(name, dense):
    start, end = span(name)
    kick = 0.3 * start + 0.7 * end

    def model(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x) + 30 * torch.exp(-(((t[:, None] - kick) / 0.05) ** 2))

    model = Counting(model)
    found = solver(name).adaptive(model, normal(3, 2), rtol=1e-3, atol=1e-3, span=(start, end), dense=dense)
    assert model.rows == int(found.evaluations.sum())
    assert int(found.rejected.min()) > 0
    tried = found.accepted + found.rejected
    if name in REUSES:  # the last value of a step is the first of the next
        expected = 1 + STAGES[name] * tried
    else:  # the first value outlives a rejection
        expected = (STAGES[name] - 1) * tried + found.accepted + dense
    assert torch.equal(found.evaluations, expected)
    assert [len(t) - 1 for t in found.times] == found.accepted.tolist()
    assert all(t[0] == start and t[-1] == end and list(t) == sorted(t, reverse=True) for t in found.times)


@pytest.mark.parametrize(
    ("name", "shape"),
    [(n, s) for n in ("flow_dopri5", "dpm_solver_23") for s in ((), (3,), (2, 3, 2))] + [("flow_bs3", (40_000,))],
)
def test_a_sample_alone_is_the_sample_in_a_batch(name, shape):
    x = normal(4, *shape) * torch.tensor([0.1, 1, 3, 0.5], dtype=torch.float64).reshape(4, *(1,) * len(shape))
    options = {"rtol": 1e-3, "atol": 1e-3, "span": span(name), "first": 0.4}
    batch = solver(name).adaptive(tame, x, **options)
    assert batch.x.shape == x.shape
    for row in (0, 2):
        same(solver(name).adaptive(tame, x[row : row + 1], **options), batch, row)


def test_a_hard_sample_does_not_slow_the_others_down():
    def model(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x) + 30 * torch.sin(20 * x) * (x.abs() > 50)

    easy, hard = normal(2, 3), torch.full((1, 3), 60.0, dtype=torch.float64)
    options = {"rtol": 1e-5, "atol": 1e-5, "span": (0.95, 0.05)}
    calm = solver("flow_bs3").adaptive(model, easy, **options)
    mixed = solver("flow_bs3").adaptive(model, torch.cat([easy[:1], hard, easy[1:]]), **options)
    same(solver("flow_bs3").adaptive(model, easy[:1], **options), mixed, 0)
    assert torch.equal(mixed.x[[0, 2]], calm.x)
    assert mixed.accepted[1] > 10 * mixed.accepted[0]
    assert mixed.rejected[1] > 0


def test_after_a_rejection_the_step_does_not_grow():
    track = _Track(0, None, 1.0, [])
    track.control(1.0, 1e-9, 3)
    assert track.h == GROW
    track.control(1.0, 8.0, 3)
    assert track.h == pytest.approx(0.45) and track.rejected == 1
    track.control(0.45, 1e-9, 3)
    assert track.h == 0.45
    track.control(0.45, 1e-9, 3)
    assert track.h == 0.45 * GROW
    track.control(1.0, math.inf, 3)
    assert track.h == SHRINK


# Estimates


@pytest.mark.parametrize("name", STAGES)
def test_the_error_estimate_scales_with_the_order_of_the_lower_output(name):
    t = span(name)[0] * 0.8
    x = normal(1, 4)
    sizes = [0.04 / 2**k for k in range(4)]
    found = [solver(name).adaptive(tame, x, rtol=1e6, span=(t, t - h), first=100.0) for h in sizes]
    assert all(r.accepted.tolist() == [1] for r in found)
    errors = [float(r.error) for r in found]
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(LOWER[name] + 1, abs=0.15)


@pytest.mark.parametrize("name", ["flow_dopri5", "flow_tsit5"])
@pytest.mark.parametrize("rate", [-30.0, 0.7, 5.0])
@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
def test_stiffness_of_a_linear_problem_is_its_rate(name, rate, shape):
    found = solver(name).adaptive(lambda x, t: rate * x, normal(*shape), rtol=1e-6, atol=1e-6, span=(0.9, 0.4))
    assert found.stiffness == pytest.approx(torch.full((3,), abs(rate)).double(), rel=1e-6)


@pytest.mark.parametrize("name", ["flow_dopri5", "dpm_solver_23", "flow_bs3"])
@pytest.mark.parametrize("what", ["error", "stiffness", "x"])
def test_gradients_are_those_of_finite_differences(name, what):
    """A huge tolerance: the steps grow by the same factor whatever the model is."""
    x = normal(2, 3)

    def value(theta: Tensor) -> Tensor:
        def model(x: Tensor, t: Tensor) -> Tensor:
            return torch.tanh(theta[0] * x) + theta[1] * t[:, None] * x**2

        found = solver(name).adaptive(model, x, rtol=1e15, span=span(name), first=0.05)
        return getattr(found, what).square().sum()

    theta = torch.tensor([1.3, 0.4], dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(value(theta), theta)
    for i in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[i] = 1e-5
        with torch.no_grad():
            difference = (value(theta + step) - value(theta - step)) / 2e-5
        assert float(gradient[i]) == pytest.approx(float(difference), rel=1e-6)


def test_gradients_do_not_pass_through_a_failed_trial():
    """The first trial of the second sample leaves the domain of the square root; nothing of it is in the gradient."""
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def model(x: Tensor, t: Tensor) -> Tensor:
        return -weight * torch.sqrt(1 - x)

    counted = Counting(model)
    x = torch.tensor([[-0.5], [0.4]], dtype=torch.float64)
    found = solver("flow_bs3").adaptive(counted, x, rtol=1e-8, atol=1e-8, span=(0.9, 0.1), first=3.0)
    smooth = solver("flow_bs3").adaptive(model, x, rtol=1e-8, atol=1e-8, span=(0.9, 0.1), first=0.01)
    a, b = (torch.autograd.grad(r.x.sum(), weight)[0] for r in (found, smooth))
    assert float(a) == pytest.approx(float(b), rel=1e-5)
    assert counted.rows == int(found.evaluations.sum())


def test_an_estimate_of_zero_has_a_gradient():
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    found = solver("flow_dopri5").adaptive(lambda x, t: 0 * x * weight, normal(2, 3), span=(0.9, 0.1))
    (found.error.sum() + found.stiffness.sum()).backward()
    assert weight.grad == 0


# Dense output, dtypes, ends


@pytest.mark.parametrize("name", ["flow_dopri5", "dpm_solver_23"])
def test_dense_output_is_of_fourth_order(name):
    t = 0.6
    x = torch.tensor([[-0.4], [0.9]], dtype=torch.float64)
    errors = []
    for h in (0.08, 0.04, 0.02):
        options = {"rtol": 1e6, "span": (t, t - h), "first": 100.0}
        found = solver(name).adaptive(mixture(name), x, dense=True, **options)
        plain = solver(name).adaptive(mixture(name), x, **options)
        assert torch.equal(found.at(t), x) and torch.equal(found.at(t - h), found.x)
        for what in ("x", "error", "stiffness"):
            assert torch.equal(getattr(found, what), getattr(plain, what))
        errors.append(np.abs(found.at(t - h / 2)[:, 0].numpy() - exact(name, x, t, t - h / 2)).max())
    assert math.log2(errors[1] / errors[2]) == pytest.approx(4, abs=0.4)


def test_dense_output_is_continuous_and_inside_the_interval_only():
    found = solver("dpm_solver_23").adaptive(mixture("dpm_solver_23"), normal(2, 1), span=(0.7, 0.05), dense=True)
    for t in found.times[0]:
        assert (found.at(t - 1e-9 if t > 0.05 else t) - found.at(t)).abs().max() < 1e-6
    for t in (0.71, 0.04, -3.0, math.nan):
        with pytest.raises(ValueError, match="outside the interval"):
            found.at(t)
    with pytest.raises(ValueError, match="dense=True"):
        solver("flow_bs3").adaptive(tame, normal(1, 1)).at(0.5)


@pytest.mark.parametrize(
    ("dtype", "times"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_the_network_sees_the_callers_dtype(dtype, times):
    model = Counting()
    x = normal(2, 3).to(dtype)
    found = solver("flow_dopri5").adaptive(model, x, rtol=1e-2, atol=1e-2, dense=True)
    assert model.dtypes == {(dtype, times)}
    assert found.x.dtype == found.at(0.5).dtype == dtype
    assert found.error.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    wide = solver("flow_dopri5").adaptive(tame, x.double(), rtol=1e-9, atol=1e-9)
    assert (found.x.double() - wide.x).abs().max() < 3e-2


def test_float32_reaches_a_tolerance_of_1e_5():
    x = normal(3, 4, dtype=torch.float32)
    found = solver("flow_tsit5").adaptive(tame, x, rtol=1e-5, atol=1e-5)
    wide = solver("flow_tsit5").adaptive(tame, x.double(), rtol=1e-10, atol=1e-10)
    assert (found.x - wide.x).abs().max() < 3e-5
    assert found.rejected.max() < 3


def test_where_the_domain_ends():
    whole = solver("flow_dopri5").adaptive(Counting(), normal(2, 2))
    assert all((t[0], t[-1]) == (1.0, 0.0) for t in whole.times)
    model = Counting()
    found = solver("dpm_solver_12").adaptive(model, normal(2, 2), dense=True)  # lambda is infinite at t = 0
    assert all(t[-1] == 0.0 and t[-2] == pytest.approx(0.05) for t in found.times)
    assert model.rows == int(found.evaluations.sum())
    by_hand = solver("dpm_solver_12").sample(tame, found.at(found.times[0][-2]), nodes=[found.times[0][-2], 0.0])
    assert found.x == pytest.approx(by_hand, rel=1e-12)


def test_a_network_that_is_fed_the_logarithm_is_not_asked_at_sigma_0():
    """EDM's c_noise = log(sigma)/4: the pair stops at the grid's last node before, a step of order 1 follows."""
    edm, x, seen = solver("edm_heun"), 80 * normal(2, 2), []

    def model(x, t):
        seen.extend(t.tolist())
        return torch.tanh(x)

    found = edm.adaptive(model, x, rtol=1e-2, atol=1e-2)
    assert all((t[0], t[-2], t[-1]) == (80.0, 0.002, 0.0) for t in found.times)
    assert min(seen) == pytest.approx(math.log(0.002) / 4, rel=1e-12)
    inside = edm.adaptive(model, x, rtol=1e-2, atol=1e-2, span=(80.0, 0.002))
    assert found.x == pytest.approx(edm.sample(model, inside.x, nodes=[0.002, 0.0]), rel=1e-12)


def test_back_to_the_noise():
    x = normal(3, 2)
    there = solver("flow_dopri5").adaptive(tame, x, rtol=1e-9, atol=1e-9, span=(0.9, 0.1))
    back = solver("flow_dopri5").adaptive(tame, there.x, rtol=1e-9, atol=1e-9, span=(0.1, 0.9))
    assert (back.x - x).abs().max() < 1e-8


@pytest.mark.parametrize(
    ("family", "variable", "method"),
    [
        ("runge_kutta", "t", "tableau: dormand_prince54"),  # the kernel is sampled, at the end of the step as well
        ("exponential_rk", "t", 'nodes: ["1/2"]\n  embedded: lower'),  # moments by quadrature
        ("runge_kutta", "rho", "tableau: bogacki_shampine32"),  # drho/dt is infinite where sigma is 0
    ],
)
def test_pairs_in_other_variables(family, variable, method, tmp_path, monkeypatch):
    name = f"pair_{family}_{variable}"
    text = SPEC.format(name=name, family=family, variable=variable, method=method)
    made = derived(name, text, tmp_path, monkeypatch)
    x = torch.tensor([[-0.4], [1.1]], dtype=torch.float64)
    found = made.adaptive(mixture("vp"), x, rtol=1e-3, atol=1e-3, span=(0.3, 0.1))
    assert np.abs(found.x[:, 0].numpy() - exact("vp", x, 0.3, 0.1)).max() < 3e-3
    if "dormand" in method:
        with pytest.raises(LimitError, match=r"cannot touch t = 0\.0"):
            made.adaptive(tame, x, span=(0.6, 0.0))
        return
    into_zero = made.adaptive(tame, x, rtol=1e-1, atol=1e-1, span=(0.1, 0.0), dense=variable == "rho")
    assert all(torch.isfinite(v).all() for v in (into_zero.x, into_zero.error, into_zero.stiffness))


@pytest.mark.parametrize("light", [True, False], ids=["float64", "320 bits"])
def test_times_that_are_cut_or_looked_up(light, tmp_path, monkeypatch):
    """As a plan has them: of the training table, found by NumPy; t itself is no whole number at these nodes."""
    text = SPEC.format(
        name="table_pair", family="exponential_rk", variable="lambda", method='nodes: ["1/2"]\n  embedded: lower'
    )
    text = text.replace("kind: vp_linear", "kind: vp_scaled_linear, beta_start: 0.00085, beta_end: 0.012, steps: 1000")
    made = derived("table_pair", text, tmp_path, monkeypatch)
    if not light:
        monkeypatch.setattr(pair, "near", lambda code: None)
    bars = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    sigmas = np.sqrt((1 - bars) / bars)
    for kind, expected in {
        "level_index": lambda rho: np.interp(np.log(rho), np.log(sigmas), np.arange(1000)),
        "level_index_rounded": lambda rho: np.round(np.interp(np.log(rho), np.log(sigmas), np.arange(1000))),
        "level_index_truncated": lambda rho: np.floor(np.interp(np.log(rho), np.log(sigmas), np.arange(1000))),
        "sigma_index": lambda rho: np.interp(rho, sigmas, np.arange(1000)),
        "index": None,
        "time_truncated": None,
    }.items():
        code: Any = rebound(made.coefficients, lambda number: number, {"INPUT": kind})
        seen: list[float] = []

        def model(x: Tensor, t: Tensor, seen: list[float] = seen) -> Tensor:
            seen.extend(t.tolist())
            return torch.tanh(x)

        cut = Solver(made.name, made._module, code, made._step)
        found = cut.adaptive(model, normal(1, 4), rtol=1e-3, atol=1e-3, span=(900.3, 20.7))
        nodes = np.array(found.times[0])
        rhos = [float(code.rho(real(t))) for t in nodes]
        whole = kind.endswith("ed")
        wanted = nodes if expected is None else expected(rhos)
        wanted = np.floor(nodes) if kind == "time_truncated" else wanted
        assert len(nodes) > 5 and not any(float(t).is_integer() for t in nodes)
        # the call at a node is the first of a step: in between lie those inside a step, and of steps that were rejected
        left = iter(seen)
        assert all(any(abs(t - want) <= (0 if whole else 1e-7) for t in left) for want in wanted[:-1]), kind
        assert not whole or all(t.is_integer() for t in seen)
        assert seen[0] == cut.plan(nodes=list(nodes)).time(0)


def derived(name: str, text: str, folder: Any, monkeypatch: Any) -> Any:
    """The solver of a spec that is not shipped."""
    (folder / name).mkdir()
    for file, content in emit.render(pipeline.derive(read_spec_text(text))).items():
        (folder / name / file).write_bytes(content)
    monkeypatch.syspath_prepend(folder)
    return import_module(name).solver


def test_a_finite_variable_and_an_integrand_that_is_not(tmp_path, monkeypatch):
    """rho is finite at sigma = 0, the noise that follows from a data prediction is not: the last step is the data."""
    text = SPEC.format(name="data_rho", family="runge_kutta", variable="rho", method="tableau: bogacki_shampine32")
    made = derived("data_rho", text.replace("prediction: noise", "prediction: data"), tmp_path, monkeypatch)
    found = made.adaptive(lambda x, t: 0 * x + 0.7, normal(2, 3))
    assert found.x == pytest.approx(torch.full((2, 3), 0.7, dtype=torch.float64), rel=1e-12)


def test_a_model_may_reuse_its_memory():
    memory = torch.empty(2, 3, dtype=torch.float64)
    found = solver("flow_dopri5").adaptive(lambda x, t: memory.copy_(tame(x, t)), normal(2, 3)[:1].repeat(2, 1))
    assert torch.equal(found.x, solver("flow_dopri5").adaptive(tame, normal(2, 3)[:1].repeat(2, 1)).x)


# Misuse


def changes(x: Tensor, t: Tensor) -> Tensor:
    return x.mul_(2)


def breaks(x: Tensor, t: Tensor) -> Tensor:
    return torch.where(t[:, None] > 0.7, x, torch.nan)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": "dpmpp_2m"}, ValueError, "no embedded output to estimate the error with; allowed: sample"),
        ({"rtol": -1.0}, ValueError, "rtol: got -1.0; allowed: a finite number from 0"),
        ({"atol": math.inf}, ValueError, "atol: got inf"),
        ({"rtol": None}, ValueError, "rtol: got None"),
        ({"rtol": True}, ValueError, "rtol: got True"),
        ({"rtol": 0, "atol": 0}, ValueError, "cannot both be 0"),
        ({"first": 0.0}, ValueError, "nor first"),
        ({"first": -0.1}, ValueError, "first: got -0.1"),
        ({"most": 0}, ValueError, "most: got 0; allowed: at least 1"),
        ({"most": 3, "rtol": 1e-8, "atol": 1e-8}, RuntimeError, r"3 steps were tried and t = 0\.\d+ \(sample 0\)"),
        ({"model": lambda x, t: x * torch.nan}, RuntimeError, r"output is not finite at t = 1.0 \(sample 0\)"),
        ({"model": breaks}, RuntimeError, r"the step vanishes near t = 0\.7\d* \(sample 0\): is the model finite"),
        ({"model": changes}, RuntimeError, "changed its input in place"),
        ({"model": lambda x, t: x[:1]}, ShapeError, "the model returned shape"),
        ({"model": None}, TypeError, "a callable model"),
        ({"span": (1.5, 0.0)}, ValueError, r"span: got 1.5; allowed: 0.0 to 1.0"),
        ({"span": (math.nan, 0.0)}, ValueError, "span: got nan"),
        ({"span": (0.5, 0.5)}, ValueError, "two different times"),
        ({"span": (0.9, 0.5, 0.1)}, TypeError, r"allowed: \(t_start, t_end\)"),
        ({"span": "ab"}, TypeError, "two numbers"),
        ({"name": "dpm_solver_12", "span": (1.0, 0.0)}, LimitError, "cannot touch t = 0.0"),
        ({"x": torch.zeros(0, 3)}, ValueError, r"got shape \(0, 3\); allowed: \[B, ...\] with B >= 1"),
        ({"x": torch.zeros(2, 0)}, ValueError, "not empty"),
        ({"x": torch.tensor(1.0)}, ValueError, r"got shape \(\)"),
        ({"x": torch.full((1, 2), torch.inf)}, ValueError, "2 of 2 entries are NaN or infinite"),
    ],
)  # fmt: skip
def test_misuse_is_told_what_is_allowed(options, error, words):
    options = {"name": "flow_dopri5", "model": tame, "x": normal(2, 3)} | options
    name, model, x = (options.pop(key) for key in ("name", "model", "x"))
    with pytest.raises(error, match=words):
        solver(name).adaptive(model, x, **options)


def test_most_counts_every_trial_and_the_last_one_may_arrive():
    options = {"rtol": 1e-6, "atol": 1e-6}
    found = solver("flow_bs3").adaptive(tame, normal(1, 3), **options)
    tried = int(found.accepted + found.rejected)
    again = solver("flow_bs3").adaptive(tame, normal(1, 3), most=tried, **options)
    assert torch.equal(again.x, found.x)
    with pytest.raises(RuntimeError, match="raise most="):
        solver("flow_bs3").adaptive(tame, normal(1, 3), most=tried - 1, **options)
