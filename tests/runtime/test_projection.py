"""Guidance, clip and dynamic threshold in ``sample``: against their plain formulas around the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from generated import ddim, dpmpp_2m, dpmpp_3s, edm_heun, flow_ab3, unipc_2, vp_v_ab2
from runtime import NonFiniteError, ShapeError
from runtime.projection import Projected, Projection, limit, projection
from tests.backends.loops import NEEDS_COMPILER
from tests.projections import WAYS
from tests.runtime import sample_solver
from tests.runtime.hand_written import flow, variant

X = 2 * torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def column(t: Tensor, x: Tensor) -> Tensor:
    return t.reshape(-1, *(1,) * (x.dim() - 1))


def vp(t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha, sigma of the linear schedule."""
    log_alpha = -t * (19.9 * t + 0.2) / 4
    return torch.exp(log_alpha), torch.sqrt(-torch.expm1(2 * log_alpha))


def straight(t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha, sigma of flow matching."""
    return 1 - t, t


def without(x: Tensor, t: Tensor) -> Tensor:
    """A network that knows no condition, not linear."""
    return 2 * torch.tanh(0.7 * x) * (1 + 1 / (1 + column(t, x) ** 2))


def given(x: Tensor, t: Tensor) -> Tensor:
    """The same with a condition."""
    return without(x, t) + 0.3 * torch.cos(2 * x)


def pairs(x: Tensor, t: Tensor) -> Tensor:
    """Both, as they are called with guidance."""
    (u, c), (tu, tc) = x.chunk(2), t.chunk(2)
    return torch.cat([without(u, tu), given(c, tc)])


@dataclass(frozen=True)
class Case:
    """A solver; x0 from (what the network reads, t, raw), and raw from (.., x0)."""

    solver: Any
    data: Callable[[Tensor, Tensor, Tensor], Tensor]
    raw: Callable[[Tensor, Tensor, Tensor], Tensor]


def noise_case(solver: Any) -> Case:
    return Case(
        solver,
        lambda x, t, raw: (x - vp(t)[1] * raw) / vp(t)[0],
        lambda x, t, x0: (x - vp(t)[0] * x0) / vp(t)[1],
    )


def data_solver() -> Any:
    """The sample solver with a network that returns the data itself."""

    def renamed(row: Any) -> Any:
        return lambda s, t, h: (*row(s, t, h)[:3], 0, 1)

    c = sample_solver.coefficients
    rows = {name: tuple(map(renamed, getattr(c, name))) for name in ("ROWS", "TO_SIGMA_ZERO")}
    return variant(denoised=lambda s: (0, 1), **rows)


def edm_data(x: Tensor, t: Tensor, raw: Tensor) -> Tensor:
    """arXiv:2206.00364, table 1, sigma_data = 1/2; x is c_in times the state, t a quarter of log sigma."""
    sigma = torch.exp(4 * t)
    state = x * torch.sqrt(sigma**2 + 0.25)
    return 0.25 / (sigma**2 + 0.25) * state + 0.5 * sigma / torch.sqrt(sigma**2 + 0.25) * raw


CASES = {
    "noise": noise_case(dpmpp_2m.solver),
    "predictor-corrector": noise_case(unipc_2.solver),
    "stages": noise_case(dpmpp_3s.solver),
    "data": Case(data_solver(), lambda x, t, raw: raw, lambda x, t, x0: x0),
    "v": Case(
        vp_v_ab2.solver,
        lambda x, t, raw: vp(t)[0] * x - vp(t)[1] * raw,
        lambda x, t, x0: (vp(t)[0] * x - x0) / vp(t)[1],
    ),
    "flow": Case(flow_ab3.solver, lambda x, t, raw: x - t * raw, lambda x, t, x0: (x - x0) / t),
    "input scale": Case(
        edm_heun.solver,
        edm_data,
        lambda x, t, x0: (x0 - edm_data(x, t, torch.zeros_like(x))) / edm_data(0 * x, t, torch.ones_like(x)),
    ),
}


def around(case: Case, guidance: Any = None, clip: Any = None, threshold: Any = None) -> Callable[..., Tensor]:
    """The network with the plain formulas around it, in float64."""

    def model(x: Tensor, t: Tensor) -> Tensor:
        at = column(t, x)
        raw = given(x, t) if guidance is None else without(x, t) + guidance * (given(x, t) - without(x, t))
        x0 = case.data(x, at, raw)
        if clip:
            x0 = x0.clip(-clip, clip)
        if threshold:
            s = torch.quantile(x0.abs().flatten(1), threshold[0], dim=1).clip(1, threshold[1])
            s = column(s, x)
            x0 = torch.maximum(torch.minimum(x0, s), -s) / s
        return case.raw(x, at, x0)

    return model


def network(options: dict[str, Any]) -> Callable[..., Tensor]:
    return pairs if "guidance" in options else given


def close(got: Tensor, want: Tensor, bound: float = 1e-11) -> bool:
    return float((got - want).abs().max()) <= bound * float(want.abs().max())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_plain_formula(name: str, way: str) -> None:
    case, options = CASES[name], WAYS[way]
    found = case.solver.sample(network(options), X, steps=6, **options)
    assert close(found, case.solver.sample(around(case, **options), X, steps=6))
    assert not close(found, case.solver.sample(given, X, steps=6), 1e-3)  # it does something


def test_a_number_for_each_call() -> None:
    solver, scales = dpmpp_2m.solver, [1.5, 4.0, 0.5, 2.0]
    left = iter(scales)

    def model(x: Tensor, t: Tensor) -> Tensor:
        return without(x, t) + next(left) * (given(x, t) - without(x, t))

    want = solver.sample(model, X, steps=4)
    for form in (scales, tuple(scales), torch.tensor(scales, dtype=torch.float64)):
        assert close(solver.sample(pairs, X, steps=4, guidance=form), want, 1e-13)
    with pytest.raises(ValueError, match="guidance: got 4 numbers; allowed: one, or 5, one for each call"):
        solver.sample(pairs, X, steps=5, guidance=scales)


def test_a_grid_for_every_sample() -> None:
    solver = unipc_2.solver
    grids = [[1.0, 0.7, 0.4, 0.1], [0.9, 0.5, 0.3, 0.2], [0.95, 0.6, 0.2, 0.05]]
    for options in WAYS.values():
        found = solver.sample(network(options), X, nodes=grids, **options)
        alone = [solver.sample(network(options), X[b : b + 1], nodes=grids[b], **options) for b in range(3)]
        assert close(found, torch.cat(alone), 1e-13)


@pytest.mark.parametrize("name", CASES)
def test_0_is_the_network_without_and_1_that_with_the_condition(name: str) -> None:
    solver = CASES[name].solver
    assert torch.equal(solver.sample(pairs, X, steps=6, guidance=0), solver.sample(without, X, steps=6))
    assert close(solver.sample(pairs, X, steps=6, guidance=1), solver.sample(given, X, steps=6), 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_changed_is_bit_for_bit_as_before(name: str) -> None:
    """A bound beyond all values; a threshold at its least, where all of x0 is within 1."""
    solver = CASES[name].solver
    assert torch.equal(solver.sample(given, X, steps=6, clip=1e6), solver.sample(given, X, steps=6))
    seen: list[float] = []
    small = lambda x, t: 0.05 * torch.sin(x)  # noqa: E731
    plan = solver.plan(nodes=[0.03, 0.02, 0.01])
    plain = solver.sample(small, X / 16, plan=plan, callback=lambda i, t, x, x0: seen.append(float(x0.abs().max())))
    assert max(seen) < 1
    assert torch.equal(solver.sample(small, X / 16, plan=plan, threshold=(1.0, 9.0)), plain)


def test_elements_within_the_bound_keep_the_output_of_the_network() -> None:
    plan = dpmpp_2m.solver.plan(steps=4)
    dx, dr = plan.estimates[1].tolist()
    raw, bound = torch.tanh(X), 0.5
    inside = (dx * X + dr * raw).abs() <= bound
    assert 0 < inside.sum() < X.numel()
    found = Projected(Projection(clip=bound), plan, X)(1, X, raw)
    assert torch.equal(found[inside], raw[inside])
    assert close((dx * X + dr * found)[~inside].abs(), torch.full_like(X, bound)[~inside], 1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_limit_is_the_quantile(dtype: torch.dtype) -> None:
    for count in (1, 2, 3, 7, 64, 1000):
        sizes = torch.rand(4, count, dtype=dtype, generator=torch.Generator().manual_seed(count)) * 3
        sizes[:, count // 2 :] = sizes[:, :1]  # many that are equal
        for quantile in (0.0, 0.3, 0.5, 0.95, 0.995, 1.0):
            rule = Projection(threshold=(quantile, 2.5)).rule(count)
            want = torch.quantile(sizes.double(), quantile, dim=1).clamp(1, 2.5)
            assert close(limit(sizes, rule), want, 1e-13 if dtype == torch.float64 else 2e-7), (count, quantile)


def test_shapes_and_types() -> None:
    """Without a batch; one number a sample; half precision, in which the network is called on pairs as well."""
    solver, threshold = dpmpp_2m.solver, (0.9, 1.5)
    one, many = X[0, 0, 0], X[0, 0]
    scalar = solver.sample(lambda x, t: 2 * torch.tanh(x), one, steps=4, threshold=threshold)
    assert scalar.shape == () and abs(float(scalar)) <= 1 + 1e-12
    flat = solver.sample(lambda x, t: 2 * torch.tanh(x), many, steps=4, threshold=threshold)
    assert close(flat[0], scalar, 1e-13)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        seen: list[Any] = []

        def model(x: Tensor, t: Tensor, seen: list[Any] = seen) -> Tensor:
            seen.append((x.dtype, tuple(x.shape), t.dtype, tuple(t.shape)))
            assert all(torch.equal(*v.chunk(2)) for v in (x, t))
            return pairs(x.float(), t)

        found = solver.sample(model, X.to(dtype), steps=4, guidance=2.0)
        assert found.dtype == dtype and {*seen} == {(dtype, (6, 4, 5), torch.float32, (6,))}
        alone = lambda x, t: 2 * given(x.float(), t) - without(x.float(), t)  # noqa: E731
        want = solver.sample(alone, X.to(dtype), steps=4)
        assert close(found.double(), want.double(), max(torch.finfo(dtype).eps, 1e-6))


def test_callbacks_and_hooks() -> None:
    """A callback sees the estimate that is taken; hooks see one sample and not the pair."""
    seen: list[Any] = []
    hooks = {"before_eval": lambda x, t: seen.append((x.shape, t.shape)) or x}
    bounds: list[float] = []
    dpmpp_2m.solver.sample(
        pairs, X, steps=4, guidance=4.0, clip=0.25, hooks=hooks, check="step",
        callback=lambda i, t, x, x0: bounds.append(float(x0.abs().max())),
    )  # fmt: skip
    assert {*seen} == {(X.shape, X.shape[:1])}
    assert len(bounds) == 4 and max(abs(b - 0.25) for b in bounds) < 1e-12


# Gradients


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["noise", "predictor-corrector", "input scale"])
def test_gradients(name: str, way: str) -> None:
    solver, options = CASES[name].solver, WAYS[way]
    model, x = network(options), X[:2, :2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: solver.sample(model, x, steps=3, **options), x)
    stored = torch.autograd.grad(solver.sample(model, x, steps=7, **options).sin().sum(), x)[0]
    again = solver.sample(model, x, steps=7, gradient="recomputed", snapshots=2, **options)
    assert close(torch.autograd.grad(again.sin().sum(), x)[0], stored, 1e-12)


def test_transforms_and_compiled_steps() -> None:
    solver, options = dpmpp_2m.solver, {"guidance": 2.0, "threshold": (0.8, 1.6)}
    run = lambda x: solver.sample(pairs, x, steps=3, check="off", **options)  # noqa: E731
    x = X[:2, :2, :3]
    jacobian = torch.autograd.functional.jacobian(run, x)
    assert close(torch.func.jacrev(run)(x), jacobian, 1e-12)
    assert close(torch.func.jacfwd(run)(x), jacobian, 1e-12)
    stacked = torch.stack([x, 2 * x])
    assert close(torch.func.vmap(run)(stacked), torch.stack([run(x), run(2 * x)]), 1e-12)
    assert close(solver.sample(pairs, x, steps=3, compile="eager", **options), run(x), 1e-12)


# What cannot be


def test_where_the_data_are_not_known_nothing_is_changed() -> None:
    """Noise at alpha = 0; the data at sigma = 0, whatever the network says."""
    solver = flow(denoised=lambda s: (1 / s.alpha, -s.sigma / s.alpha))
    plan = solver.plan(nodes=[1.0, 0.5, 0.0])
    assert plan.estimates[0].isnan().all()
    rows = Projection(clip=1.0).rows(plan)
    assert rows[0].tolist() == [1, 0, 0, 0] and rows[1].tolist() == [1, 2, -1, -1]
    assert Projection(clip=1.0).rows(flow().plan(nodes=[0.0, 0.5], direction="inversion"))[0].tolist() == [1, 0, 0, 0]
    infinite = SimpleNamespace(steps=1, estimates=torch.tensor([[float("inf"), -float("inf")]], dtype=torch.float64))
    assert Projection(clip=1.0).rows(infinite).tolist() == [[1, 0, 0, 0]]
    start = torch.full((2, 3), 0.25, dtype=torch.float64)
    first = lambda x, t: 0.1 * torch.ones_like(x)  # noqa: E731
    assert torch.isfinite(solver.sample(first, start, plan=plan, clip=0.5)).all()


def test_what_is_not_finite_is_found() -> None:
    def broken(x: Tensor, t: Tensor) -> Tensor:
        return given(x, t).masked_fill(x > 3, float("nan"))

    for options in ({"clip": 0.5}, {"threshold": (0.9, 2.0)}):
        with pytest.raises(NonFiniteError, match="the sample after step"):
            dpmpp_2m.solver.sample(broken, 2 * X, steps=4, **options)
        with pytest.raises(NonFiniteError, match="the model's output, step 0"):
            dpmpp_2m.solver.sample(broken, 2 * X, steps=4, check="step", **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"clip": 1.0, "threshold": (0.9, 2.0)}, ValueError, "clip and threshold: got both; allowed: one of them"),
        ({"clip": 0}, ValueError, "clip: got 0; allowed: a finite bound above 0"),
        ({"clip": -1.0}, ValueError, "clip: got -1.0; allowed: a finite bound above 0"),
        ({"clip": float("inf")}, ValueError, "clip: got inf; allowed: a finite bound above 0"),
        ({"clip": True}, TypeError, r"clip: got True \(bool\); allowed: a finite bound above 0"),
        ({"clip": "1"}, TypeError, r"clip: got '1' \(str\)"),
        ({"threshold": 0.995}, TypeError, r"threshold: got 0.995; allowed: a pair \(quantile, most\)"),
        ({"threshold": (0.9, 2.0, 3.0)}, TypeError, r"allowed: a pair \(quantile, most\)"),
        ({"threshold": (1.5, 2.0)}, ValueError, "threshold: quantile: got 1.5; allowed: a number from 0 to 1"),
        ({"threshold": (float("nan"), 2.0)}, ValueError, "threshold: quantile: got nan"),
        ({"threshold": (0.9, 0.5)}, ValueError, "threshold: most: got 0.5; allowed: a number from 1, or infinity"),
        ({"threshold": (0.9, None)}, TypeError, r"threshold: most: got None \(NoneType\)"),
        ({"guidance": "strong"}, TypeError, r"guidance: got 'strong' \(str\); allowed: a finite number, or one for each"),
        ({"guidance": float("nan")}, ValueError, "guidance: got nan; allowed: a finite number"),
        ({"guidance": [1.0, float("inf")]}, ValueError, r"guidance\[1\]: got inf; allowed: a finite number"),
        ({"guidance": [1.0, None]}, TypeError, r"guidance\[1\]: got None"),
    ],
)  # fmt: skip
def test_misuse(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dpmpp_2m.solver.sample(given, X, steps=4, **options)


def test_misuse_of_pairs() -> None:
    solver = dpmpp_2m.solver
    with pytest.raises(ShapeError, match=r"guidance: x_T is 0-d; allowed: \[B, \.\.\.\]"):
        solver.sample(lambda x, t: x, X[0, 0, 0], steps=4, guidance=2.0)
    with pytest.raises(ShapeError, match=r"returned shape \(3, 4, 5\) for x of shape \(6, 4, 5\)"):
        solver.sample(lambda x, t: x.chunk(2)[0], X, steps=4, guidance=2.0)


def test_nothing_is_wanted() -> None:
    assert projection() is None
    assert projection(clip=2) == Projection(clip=2.0)
    assert projection(2, None, (0.9, float("inf"))) == Projection(2.0, None, (0.9, float("inf")))
    assert projection(guidance=[1, 2]).kind == (True, False, False)


@pytest.mark.parametrize("way", ["clip", "threshold", "guidance and clip", "guidance and threshold"])
def test_keep_noise_by_hand(way: str) -> None:
    """alpha' x0' + sigma' eps, eps the network's own; what a callback sees is x0'."""
    plan, options = ddim.solver.plan(steps=6, grid="uniform"), WAYS[way]
    x, want, shown, seen = X, [], [], []
    for t, after in zip(plan.nodes, plan.nodes[1:]):
        at, later = (torch.tensor([v], dtype=torch.float64) for v in (t, after))
        u, c = without(x, at), given(x, at)
        eps = u + options["guidance"] * (c - u) if "guidance" in options else u
        (alpha, sigma), (alpha_after, sigma_after) = vp(at), vp(later)
        x0 = (x - sigma * eps) / alpha
        if "clip" in options:
            x0 = x0.clamp(-options["clip"], options["clip"])
        else:
            s = limit(x0.abs().reshape(3, -1), Projection(**options).rule(20)).reshape(3, 1, 1)
            x0 = x0.clamp(-s, s) / s
        x = alpha_after * x0 + sigma_after * eps
        want.append(x)
        shown.append(x0)
    hooks = {"after_step": lambda x, i, t: (seen.append(x.clone()), x)[1]}
    given_data = []
    ddim.solver.sample(
        pairs if "guidance" in options else without, X, plan=plan, keep_noise=True, hooks=hooks,
        callback=lambda i, t, x, denoised: given_data.append(denoised), **options,
    )  # fmt: skip
    assert len(seen) == 6
    for got, by_hand in zip([*seen, *given_data], [*want, *shown]):
        assert torch.allclose(got, by_hand, rtol=1e-11, atol=1e-12)
    other = ddim.solver.sample(pairs if "guidance" in options else without, X, plan=plan, **options)
    assert not torch.allclose(other, want[-1], rtol=1e-3)


@pytest.mark.parametrize("way", ["clip", "guidance and threshold"])
@pytest.mark.parametrize("engine", ["torch", pytest.param("cpu", marks=NEEDS_COMPILER)])
def test_keep_noise_in_the_loop(way: str, engine: str) -> None:
    model, options = pairs if "guidance" in WAYS[way] else without, {**WAYS[way], "keep_noise": True}
    plan = ddim.solver.plan(steps=7)
    want = ddim.solver.sample(model, X, plan=plan, **options)
    loop = ddim.solver.loop(plan, X, backend=engine, **options)
    assert torch.allclose(loop.solved(model), want, rtol=1e-12, atol=1e-13)
    loop.restart(plan, X, **WAYS[way])
    assert torch.allclose(
        loop.solved(model), ddim.solver.sample(model, X, plan=plan, **WAYS[way]), rtol=1e-12, atol=1e-13
    )


def test_keep_noise_changes_nothing_within_the_bound() -> None:
    plain = ddim.solver.sample(without, X, steps=5)
    assert torch.equal(ddim.solver.sample(without, X, steps=5, clip=1e3, keep_noise=True), plain)


@pytest.mark.parametrize("solver", [dpmpp_2m.solver, edm_heun.solver, dpmpp_3s.solver, unipc_2.solver])
def test_keep_noise_is_for_one_call_a_step(solver: Any) -> None:
    with pytest.raises(
        ValueError, match="keep_noise: got a method with stages or earlier values; allowed: one call a step"
    ):
        solver.sample(without, X, steps=4, clip=1.0, keep_noise=True)


def test_keep_noise_alone() -> None:
    with pytest.raises(ValueError, match="keep_noise: got True; allowed with clip or threshold"):
        ddim.solver.sample(without, X, steps=4, keep_noise=True)
    with pytest.raises(TypeError, match="keep_noise: got 1; allowed: True, False"):
        ddim.solver.sample(without, X, steps=4, clip=1.0, keep_noise=1)
