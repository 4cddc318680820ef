"""Stages, predictor-correctors and starters, against the methods written out in NumPy; memory, ends, grids, misuse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime import LimitError, StaleStateError
from runtime.itinerary import visits
from tests.runtime.hand_staged import ab3, dpmpp_2s, unipc_2
from tests.runtime.hand_written import FlowNode, flow

NODES = [0.95, 0.8, 0.72, 0.5, 0.33, 0.2, 0.12]
EVERY = {"2s": dpmpp_2s, "unipc": unipc_2, "unipc-begun": lambda: unipc_2(starter=True), "ab3": ab3}
Array = np.ndarray


def tensor(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def start(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(11))


def curved(x: Any, t: Any) -> Any:
    """A network for tensors and for arrays; t: [B] or a number."""
    if isinstance(x, Tensor):
        return torch.tanh(0.7 * x) + 0.1 * t.reshape(-1, *(1,) * (x.dim() - 1))
    return np.tanh(0.7 * x) + 0.1 * t


def alpha_sigma(t: float) -> tuple[float, float]:
    la = -t * (19.9 * t + 0.2) / 4
    return math.exp(la), math.sqrt(-math.expm1(2 * la))


def lam(t: float) -> float:
    a, s = alpha_sigma(t)
    return math.log(a / s)


def time_of_lambda(value: float) -> float:
    """alpha^2 = 1/(1 + e^{-2 lambda}), and a quadratic for t."""
    log_alpha = -math.log1p(math.exp(-2 * value)) / 2
    return (-0.2 + math.sqrt(0.04 - 4 * 19.9 * 4 * log_alpha)) / (2 * 19.9)


def data(x: Array, t: float) -> Array:
    a, s = alpha_sigma(t)
    return (x - s * curved(x, t)) / a


# The methods written out


def numpy_2s(x: Array, nodes: Sequence[float]) -> Array:
    """arXiv:2211.01095 Algorithm 1 with r = 1/2: D = D_u."""
    for s, t in itertools.pairwise(nodes):
        h = lam(t) - lam(s)
        u = time_of_lambda(lam(s) + h / 2)
        (a_u, s_u), (a_t, s_t), s_s = alpha_sigma(u), alpha_sigma(t), alpha_sigma(s)[1]
        middle = s_u / s_s * x - a_u * math.expm1(-h / 2) * data(x, s)
        x = s_t / s_s * x - a_t * math.expm1(-h) * data(middle, u)
    return x


def exact_weights(thetas: Sequence[float], h: float) -> Array:
    """w with sum w_j theta_j^k = int_0^1 e^{-h (1 - theta)} theta^k dtheta, by Gauss quadrature and a linear system."""
    points, weights = np.polynomial.legendre.leggauss(40)
    theta = (points + 1) / 2
    moments = [np.sum(weights / 2 * np.exp(-h * (1 - theta)) * theta**k) for k in range(len(thetas))]
    return np.linalg.solve(np.vander(thetas, increasing=True).T, moments)


def numpy_unipc(x: Array, nodes: Sequence[float], orders: Sequence[int]) -> Array:
    """arXiv:2302.04867 Algorithm 5: the state shown is the prediction; the last step is not corrected."""
    values: list[Array] = [data(x, nodes[0])]
    for i, order in enumerate(orders):
        s, t = nodes[i], nodes[i + 1]
        h, ratio, c = lam(t) - lam(s), alpha_sigma(t)[1] / alpha_sigma(s)[1], alpha_sigma(t)[0] * (lam(t) - lam(s))
        thetas = [(lam(nodes[i - j]) - lam(s)) / h for j in range(order)]
        known = values[::-1][:order]
        predicted = ratio * x + c * sum(w * f for w, f in zip(exact_weights(thetas, h), known))
        if i == len(orders) - 1:
            return predicted
        values.append(data(predicted, t))
        corrected = [values[-1], *known]
        x = ratio * x + c * sum(w * f for w, f in zip(exact_weights([1.0, *thetas], h), corrected))
    return x


def numpy_ab3(x: Array, nodes: Sequence[float], begun: int = 2, order: int = 3, history: Sequence[Array] = ()) -> Array:
    values: list[Array] = list(history)
    for i, (s, t) in enumerate(itertools.pairwise(nodes[len(history) :])):
        values.append(curved(x, s))
        if i < begun:
            x = x + (t - s) * curved(x + (t - s) / 2 * values[-1], (s + t) / 2)
            continue
        known = nodes[: len(values)][::-1][:order]
        theta = np.array(known) - s
        moments = [(t - s) ** (k + 1) / (k + 1) for k in range(order)]
        weights = np.linalg.solve(np.vander(theta, increasing=True).T, moments)
        x = x + sum(w * f for w, f in zip(weights, values[::-1]))
    return x


# Values


def test_two_stages_are_the_published_algorithm() -> None:
    x = start(5)
    solver = dpmpp_2s(FINAL="keep")
    ours = solver.sample(curved, x, nodes=NODES)
    torch.testing.assert_close(ours, tensor(numpy_2s(x.numpy(), NODES)), rtol=1e-11, atol=1e-11)
    plan = solver.plan(nodes=NODES)
    assert plan.phases == ("stage_1", "main") * 6 and plan.places == tuple(i // 2 for i in range(12))
    assert plan.steps == 12 and plan.grid_steps == 6 and plan.orders == (2,) * 12
    assert plan.time(6) == NODES[3] and plan.time(7) == pytest.approx(time_of_lambda((lam(0.5) + lam(0.33)) / 2))
    assert [plan.closes(i) for i in range(4)] == [False, True, False, True]
    assert repr(plan) == "Plan(dpmpp_2s: 6 steps, 12 evaluations, t = 0.95 to 0.12, sampling)"


@pytest.mark.parametrize("final,orders", [("keep", (1, 2, 2, 2, 2, 2)), ("lower_order", (1, 2, 2, 2, 2, 1))])
def test_a_corrector_is_applied_in_the_next_call(final: str, orders: tuple[int, ...]) -> None:
    x, solver = start(5), unipc_2(FINAL=final)
    ours = solver.sample(curved, x, nodes=NODES)
    torch.testing.assert_close(ours, tensor(numpy_unipc(x.numpy(), NODES, orders)), rtol=1e-11, atol=1e-11)
    plan = solver.plan(nodes=NODES)
    assert plan.steps == plan.grid_steps == 6 and plan.orders == orders
    assert plan.phases == ("start_1", "start_2", "main", "main", "main", "main")
    assert plan.memory == (0, 2, 3, 3, 3, 3, 0)


def test_a_starter_takes_the_first_steps() -> None:
    x, solver = start(5), ab3()
    ours = solver.sample(curved, x, nodes=NODES)
    torch.testing.assert_close(ours, tensor(numpy_ab3(x.numpy(), NODES)), rtol=1e-12, atol=1e-12)
    plan = solver.plan(nodes=NODES)
    assert plan.phases == ("begin_1", "begin_2", "begin_1", "begin_2", "main", "main", "main", "main")
    assert plan.places == (0, 0, 1, 1, 2, 3, 4, 5) and plan.memory == (0, 2, 1, 3, 2, 2, 2, 2, 0)
    assert plan.orders == (3,) * 8
    for count in (1, 2):
        nodes = NODES[: count + 1]
        torch.testing.assert_close(solver.sample(curved, x, nodes=nodes), tensor(numpy_ab3(x.numpy(), nodes)))
        assert solver.plan(nodes=nodes).steps == 2 * count


def test_a_predictor_corrector_enters_with_full_history_after_its_starter() -> None:
    x, solver = start(5), unipc_2(starter=True, FINAL="keep")
    plan = solver.plan(nodes=NODES)
    assert plan.phases == ("begin_1", "begin_2", "enter", "main", "main", "main", "main")
    assert plan.memory == (0, 2, 1, 3, 3, 3, 3, 0) and plan.table[3, 4:8].ne(0).all()
    assert plan.table[2, 4:8].tolist() == [0, 0, 0, 0]
    begun = numpy_2s(x.numpy(), NODES[:2])
    later = unipc_2(FINAL="keep").sample(
        curved, tensor(begun), nodes=NODES, history=[(x, curved(x, tensor([NODES[0]])))]
    )  # the same steps, entered with the first value as history
    torch.testing.assert_close(solver.sample(curved, x, nodes=NODES), later, rtol=1e-12, atol=1e-12)


def gaussian(x: Tensor, t: Tensor) -> Tensor:
    """The exact noise prediction for data N(0, 1/4)."""
    a, s = alpha_sigma(float(t[0]))
    return x * s / (a * a / 4 + s * s)


@pytest.mark.parametrize("make,order", [(dpmpp_2s, 2), (unipc_2, 3), (lambda **o: unipc_2(True, **o), 3)])
def test_convergence(make: Callable, order: int) -> None:
    x, solver = start(4), make(FINAL="keep")
    (a, s), (a_e, s_e) = alpha_sigma(1.0), alpha_sigma(0.05)
    exact = x * math.sqrt((a_e**2 / 4 + s_e**2) / (a**2 / 4 + s**2))
    options = {"variable": "lambda", "t_end": 0.05, "final_zero": False}
    errors = [float((solver.sample(gaussian, x, n, **options) - exact).abs().max()) for n in (40, 80, 160)]
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.2), errors


def test_convergence_after_a_starter() -> None:
    x = start(4)
    ends = {"t_start": 0.9, "t_end": 0.1}
    errors = [
        float((ab3().sample(lambda x, t: x * t.reshape(-1), x, n, **ends) - x * math.exp(-0.4)).abs().max())
        for n in (20, 40, 80)
    ]
    assert math.log2(errors[1] / errors[2]) == pytest.approx(3, abs=0.2), errors


# Both ways to step


@pytest.mark.parametrize("name", EVERY)
def test_the_opened_loop_gradients_and_batches_give_the_same_sample(name: str) -> None:
    solver, x = EVERY[name](), start(3, 4)
    plan = solver.plan(nodes=NODES)
    plain = solver.sample(curved, x, plan=plan)
    state = solver.init(plan, x)
    for i in range(plan.steps):
        t = torch.full((3,), plan.time(i), dtype=torch.float64)
        state = solver.step(plan, i, state, curved(state.x, t))
    assert torch.equal(state.x, plain) and state.index == plan.steps and state.filled == 0
    tracked = solver.sample(curved, x.clone().requires_grad_(), plan=plan)
    torch.testing.assert_close(tracked.detach(), plain, rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.cat([solver.sample(curved, x[b : b + 1], plan=plan) for b in range(3)]), plain)
    torch.testing.assert_close(
        torch.vmap(lambda x: solver.sample(lambda x, t: torch.tanh(x), x, plan=plan, check="off"))(x.reshape(3, 4, 1)),
        solver.sample(lambda x, t: torch.tanh(x), x, plan=plan).reshape(3, 4, 1),
    )
    compiled = solver.sample(curved, x, plan=plan, compile="eager")
    torch.testing.assert_close(compiled, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_gradients_in_float64(name: str) -> None:
    solver, x = EVERY[name](), start(2).requires_grad_()
    plan = solver.plan(nodes=NODES[:5])
    assert torch.autograd.gradcheck(lambda x: solver.sample(lambda x, t: torch.tanh(x), x, plan=plan), (x,))


@pytest.mark.parametrize("name", EVERY)
def test_a_gradient_may_begin_between_the_calls_of_a_step(name: str) -> None:
    solver, x = EVERY[name](), start(3)
    plan = solver.plan(nodes=NODES)
    plain = solver.sample(lambda x, t: torch.tanh(0.5 * x), x, plan=plan)
    for first in range(plan.steps):
        w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        state = solver.init(plan, x)
        for i in range(plan.steps):
            state = solver.step(plan, i, state, torch.tanh(state.x * (w if i >= first else 0.5)))
        torch.testing.assert_close(state.x.detach(), plain, rtol=1e-12, atol=1e-12)
        state.x.sum().backward()
        assert w.grad is not None and w.grad != 0


@pytest.mark.parametrize("name", EVERY)
def test_steady_steps_keep_their_buffers_and_a_stale_state_says_so(name: str) -> None:
    solver = EVERY[name]()
    plan = solver.plan(nodes=NODES)
    state = solver.init(plan, start(50))
    before, addresses = state, set()
    raw = torch.ones(50, dtype=torch.float64)
    for i in range(plan.steps):
        before, state = state, solver.step(plan, i, state, raw)
        addresses.add(frozenset({state.x.data_ptr(), *(m.data_ptr() for m in state.past)}))
        assert raw.eq(1).all()
    assert len(addresses) == 1 and len(next(iter(addresses))) == solver._step.RING + 1
    with pytest.raises(StaleStateError, match="already stepped"):
        _ = before.x


@pytest.mark.parametrize("name", EVERY)
def test_a_network_may_return_its_input_or_a_buffer_of_its_own(name: str) -> None:
    solver, x, buffer, earlier = EVERY[name](), start(3), torch.empty(3, dtype=torch.float64), []

    def last_input(x: Tensor, t: Tensor) -> Tensor:
        earlier.append(x)
        return earlier[-2] if len(earlier) > 1 else x

    def own(x: Tensor, t: Tensor) -> Tensor:
        return buffer.copy_(torch.tanh(x))

    for network, same in (
        (lambda x, t: x, lambda x, t: x.clone()),
        (own, lambda x, t: torch.tanh(x)),
    ):
        assert torch.equal(solver.sample(network, x, nodes=NODES), solver.sample(same, x, nodes=NODES))
    assert bool(torch.isfinite(solver.sample(last_input, x, nodes=NODES)).all())


def test_raw_that_lies_in_the_memory_is_copied_first() -> None:
    """At a stage the network may still hold the step's start and return it: raw shares a buffer with the memory."""
    solver, x = dpmpp_2s(FINAL="keep"), start(3)
    plan = solver.plan(nodes=NODES[:2])
    results = []
    for take in (lambda y: y, torch.clone):
        state = solver.step(plan, 0, solver.init(plan, x), 0.3 * x)
        results.append(solver.step(plan, 1, state, take(state.past[0])).x.clone())
    assert torch.equal(*results)


# Callbacks and hooks


def test_callbacks_see_every_evaluation_and_hooks_every_grid_step() -> None:
    solver, x = dpmpp_2s(), start(2)
    seen: list[tuple] = []
    before: list[float] = []
    after: list[tuple] = []

    def note(x: Tensor, t: Tensor) -> Tensor:
        before.append(t[0].item())
        return x

    def clamp(x: Tensor, i: int, t: Tensor) -> Tensor:
        after.append((i, t[0].item(), x.clone()))
        return x.clamp(-1, 1)

    plan = solver.plan(nodes=[0.9, 0.5, 0.2, 0.0])
    y = solver.sample(
        curved, x, plan=plan, callback=lambda *a: seen.append(a), hooks={"before_eval": note, "after_step": clamp}
    )
    assert plan.phases == ("stage_1", "main", "stage_1", "main", "start_1") and float(y.abs().max()) <= 1
    assert [s[0] for s in seen] == [0, 1, 2, 3, 4] and [s[1] for s in seen] == [plan.time(i) for i in range(5)]
    assert before == [plan.time(i) for i in range(5)] and [a[:2] for a in after] == [(0, 0.9), (1, 0.5), (2, 0.2)]
    dx, dr = plan.grids[0].denoised[1]
    torch.testing.assert_close(seen[1][3], dx * seen[1][2] + dr * curved(seen[1][2], tensor([plan.time(1)])))
    unclamped = dpmpp_2s(FINAL="keep").sample(curved, x, nodes=[0.9, 0.5])
    assert torch.equal(unclamped, after[0][2])


# Ends of the domain


def test_a_staged_method_ends_at_sigma_zero_with_order_one_or_not_at_all() -> None:
    nodes = [0.9, 0.5, 0.0]
    plan = dpmpp_2s().plan(nodes=nodes)
    assert plan.phases == ("stage_1", "main", "start_1") and plan.orders == (2, 2, 1) and plan.places == (0, 0, 1)
    assert plan.table[-1, :3].tolist() == [0, 1, 0]
    with pytest.raises(LimitError, match=r"step 1 of 2 .*ends at sigma = 0.*order 2 .*highest: 1.*lower_order"):
        dpmpp_2s(FINAL="keep").plan(nodes=nodes)
    with pytest.raises(LimitError, match=r"no finite limit; end the grid before it"):
        dpmpp_2s(TO_SIGMA_ZERO=()).plan(nodes=nodes)
    assert dpmpp_2s(FINAL="keep").plan(nodes=nodes[:2]).orders == (2, 2)
    assert dpmpp_2s().plan(nodes=nodes[:2]).phases == ("start_1",)


def test_a_predictor_corrector_goes_into_sigma_zero() -> None:
    x, plan = start(3), unipc_2().plan(nodes=[*NODES, 0.0])
    assert plan.orders == (1, 2, 2, 2, 2, 2, 1) and plan.phases[-1] == "main" and plan.table[-1, 4:8].ne(0).all()
    before = []
    end = unipc_2().sample(curved, x, plan=plan, callback=lambda i, t, x, denoised: before.append(denoised))
    torch.testing.assert_close(end, before[-1])  # a step to sigma = 0 is the estimate of the data
    with pytest.raises(LimitError, match="highest: 1"):
        unipc_2(FINAL="keep").plan(nodes=[0.9, 0.5, 0.0])


@pytest.mark.parametrize("make", [dpmpp_2s, unipc_2], ids=["2s", "unipc"])
def test_final_denoising_is_the_estimate_at_the_state_shown(make: Callable) -> None:
    x, seen = start(3), []
    denoised = make(FINAL="denoise").sample(curved, x, nodes=NODES, callback=lambda *a: seen.append(a))
    shown = make(FINAL="keep").sample(curved, x, nodes=NODES)
    torch.testing.assert_close(denoised, tensor(data(shown.numpy(), NODES[-1])), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(seen[-1][3], denoised)
    plan = make(FINAL="denoise").plan(nodes=NODES)
    assert plan.phases[-1] == "start_1" and plan.places[-1] == plan.grid_steps == 6


def from_alpha_zero(make: Callable, **changes: Any) -> Any:
    """The solver on a schedule that says of t = 1 that alpha = 0 there, with a first-order limit that is exact enough."""
    c = make().coefficients
    limit = lambda s, t, h: c.ROWS[0](s, t, (c.span(s, t),))  # noqa: E731
    return make(NOISE_END="alpha_zero", FROM_ALPHA_ZERO=(limit,), **changes)


def test_leaving_alpha_zero_is_of_order_one_and_not_corrected() -> None:
    nodes = [1.0, 0.9, 0.7, 0.5]
    staged = from_alpha_zero(dpmpp_2s, FINAL="keep").plan(nodes=nodes)
    assert staged.phases == ("start_1", "stage_1", "main", "stage_1", "main")
    solver = from_alpha_zero(unipc_2, FINAL="keep")
    plan, x = solver.plan(nodes=nodes), start(3)
    assert plan.orders == (1, 1, 2) and plan.phases == ("start_1", "start_2", "start_2")
    first = solver.sample(curved, x, nodes=nodes[:2])
    rest = unipc_2(FINAL="keep").sample(curved, first, nodes=nodes[1:])
    torch.testing.assert_close(solver.sample(curved, x, plan=plan), rest, rtol=1e-12, atol=1e-12)
    begun = from_alpha_zero(lambda **o: unipc_2(True, **o), FINAL="keep")
    plan = begun.plan(nodes=nodes)
    assert plan.phases == ("start_1", "begin_1", "begin_2", "enter")
    after = unipc_2(True, FINAL="keep").sample(curved, first, nodes=nodes[1:])
    torch.testing.assert_close(begun.sample(curved, x, plan=plan), after, rtol=1e-12, atol=1e-12)


def test_a_starter_serves_at_an_end_where_the_method_s_own_row_does() -> None:
    plan = ab3().plan(nodes=[1.0, 0.8, 0.0])
    assert plan.phases == ("begin_1", "begin_2") * 2
    special = ab3(FROM_ALPHA_ZERO=(lambda s, t, h: (1, h[0], 0, 0, 0),)).plan(nodes=[1.0, 0.8, 0.6, 0.4])
    assert special.phases[:3] == ("start_1", "begin_1", "begin_2")
    lowered = ab3(FINAL="lower_order").plan(nodes=[1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
    assert lowered.phases == ("begin_1", "begin_2", "begin_1", "begin_2", "main", "start_2", "start_1")
    assert ab3(FINAL="lower_order").plan(nodes=[0.8, 0.6]).phases == ("start_1",)
    assert ab3(FINAL="lower_order").plan(nodes=[0.8, 0.6, 0.4]).phases == ("begin_1", "begin_2", "start_1")


# Number of evaluations, per-sample grids, inversion, history


@pytest.mark.parametrize(
    "make,nfe,steps,calls",
    [
        (dpmpp_2s, 20, 10, 19), (dpmpp_2s, 21, 11, 21), (dpmpp_2s, 1, 1, 1), (unipc_2, 20, 20, 20), (ab3, 12, 10, 12),
        (ab3, 3, 1, 2), (lambda: dpmpp_2s(FINAL="keep", TO_SIGMA_ZERO=()), 7, 3, 6),
        (lambda: unipc_2(FINAL="denoise"), 7, 6, 7),
    ],
)  # fmt: skip
def test_as_many_steps_as_the_evaluations_pay_for(make: Callable, nfe: int, steps: int, calls: int) -> None:
    solver = make()
    ends = {"t_end": 0.05} if solver.coefficients.FINAL != "lower_order" else {}
    plan = solver.plan(nfe=nfe, **ends)
    assert (plan.grid_steps, plan.steps) == (steps, calls)
    assert solver.plan(steps=steps + 1, **ends).steps > nfe
    seen: list[Tensor] = []
    solver.sample(lambda x, t: seen.append(t) or 0.1 * x, start(2), nfe=nfe, **ends)
    assert len(seen) == calls


def test_evaluations_that_pay_for_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^nfe: got 1; allowed: at least 2, the evaluations of a single step"):
        ab3().plan(nfe=1)
    for bad in (0, -3):
        with pytest.raises(ValueError, match=f"^nfe: got {bad}; allowed: at least 1"):
            ab3().plan(nfe=bad)
    for wrong in (2.0, True, "5"):
        with pytest.raises(TypeError, match=r"^nfe: got .*; allowed: int"):
            ab3().plan(nfe=wrong)
    with pytest.raises(TypeError, match=r"plan\(\): give steps .* or nfe .*, not both"):
        ab3().plan(steps=3, nfe=5)
    with pytest.raises(TypeError, match="nodes are given, so nfe cannot be"):
        ab3().plan(nodes=NODES, nfe=5)
    with pytest.raises(TypeError, match="a plan is given"):
        ab3().sample(curved, start(2), plan=ab3().plan(3), nfe=4)


@pytest.mark.parametrize("name", EVERY)
def test_per_sample_grids_equal_separate_runs(name: str) -> None:
    solver, x = EVERY[name](), start(3, 4)
    rows = [NODES, [0.9, 0.8, 0.6, 0.55, 0.3, 0.25, 0.1], [0.99, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]]
    together = solver.sample(curved, x, nodes=rows)
    assert torch.equal(together, torch.cat([solver.sample(curved, x[b : b + 1], nodes=rows[b]) for b in range(3)]))


def test_per_sample_grids_have_to_begin_and_end_alike() -> None:
    with pytest.raises(ValueError, match="different numbers of evaluations at their ends; begin and end them alike"):
        from_alpha_zero(dpmpp_2s, FINAL="keep").plan(nodes=[[1.0, 0.9, 0.5], [0.95, 0.9, 0.5]])
    solver = from_alpha_zero(flow_with_start_at_infinity)
    plan = solver.plan(nodes=[[1.0, 0.9, 0.5, 0.4], [0.95, 0.9, 0.5, 0.4]])
    assert plan.phases == ("start_1", "main", "main")
    x = start(2, 3)
    separate = [solver.sample(curved, x[b : b + 1], nodes=plan.nodes[b]) for b in range(2)]
    assert torch.equal(solver.sample(curved, x, plan=plan), torch.cat(separate))


def test_per_sample_grids_whose_correctors_are_of_different_orders() -> None:
    """One sample leaves alpha = 0 and reaches each order a step later: its missing weights are zero."""
    solver, x = from_alpha_zero(unipc_2, FINAL="keep"), start(2, 3)
    rows = [[1.0, 0.9, 0.7, 0.5, 0.3], [0.95, 0.9, 0.6, 0.4, 0.2]]
    plan = solver.plan(nodes=rows)
    assert [g.phases[2] for g in plan.grids] == ["start_2", "main"] and plan.phases[2] == "main"
    separate = [solver.sample(curved, x[b : b + 1], nodes=rows[b]) for b in range(2)]
    torch.testing.assert_close(solver.sample(curved, x, plan=plan), torch.cat(separate), rtol=1e-14, atol=1e-14)
    begun = from_alpha_zero(lambda **o: unipc_2(True, **o), FINAL="keep")
    with pytest.raises(ValueError, match=r"need different numbers of evaluations at their ends"):
        begun.plan(nodes=[[1.0, 0.9, 0.8], [0.95, 0.9, 0.8]])


def test_per_sample_grids_that_differ_in_kind_at_one_evaluation() -> None:
    """Alike in number only: one sample takes its last step at order 1, in one call, as the other's first."""
    solver = ab3(FROM_ALPHA_ZERO=(lambda s, t, h: (1, h[0], 0, 0, 0),), FINAL="lower_order")
    with pytest.raises(ValueError, match=r"evaluation 0 differently \(begin_1, start_1\)|different numbers"):
        solver.plan(nodes=[[1.0, 0.9, 0.8], [0.95, 0.9, 0.8]])


def flow_with_start_at_infinity(**changes: Any) -> Any:
    return flow(CHART_FINITE={"alpha_zero": False, "sigma_zero": True}, time=lambda t: t, **changes)


@pytest.mark.parametrize("make", [dpmpp_2s, unipc_2], ids=["2s", "unipc"])
def test_inversion_comes_back(make: Callable) -> None:
    solver, x = make(FINAL="keep"), start(4)
    options = {"grid": "uniform", "variable": "lambda", "t_start": 0.8, "t_end": 0.05, "final_zero": False}

    noise = solver.sample(gaussian, x, 200, direction="inversion", **options)
    plan = solver.plan(2, direction="inversion", **options)
    assert plan.nodes[0] == 0.05 and plan.direction == "inversion"
    if make is dpmpp_2s:
        middle = sorted((plan.nodes[0], plan.time(1), plan.nodes[1]))
        assert middle[1] == plan.time(1)
    torch.testing.assert_close(solver.sample(gaussian, noise, 200, **options), x, rtol=2e-3, atol=2e-3)


def test_history_replaces_the_starter() -> None:
    x = start(4)
    values = [curved(x.numpy() + k, t) for k, t in enumerate(NODES[:2])]
    solver = ab3()
    ours = solver.sample(curved, x, nodes=NODES, history=[tensor(v) for v in values])
    expected = numpy_ab3(x.numpy(), NODES, 0, 3, values)
    torch.testing.assert_close(ours, tensor(expected), rtol=1e-12, atol=1e-12)
    assert solver.plan(nodes=NODES, history=2).phases == ("main",) * 4
    assert solver.plan(nodes=NODES, history=1).phases == ("begin_1", "begin_2", "main", "main", "main", "main")
    half = solver.sample(curved, x, nodes=NODES, history=[tensor(values[0])])
    first = numpy_ab3(x.numpy(), NODES[1:3])
    both = [values[0], curved(x.numpy(), NODES[1])]
    torch.testing.assert_close(half, tensor(numpy_ab3(first, NODES, 0, 3, both)), rtol=1e-12, atol=1e-12)


def test_history_of_a_predictor_corrector_needs_the_phase_that_enters() -> None:
    assert unipc_2().plan(nodes=NODES, history=1).phases[:2] == ("enter", "main")
    assert unipc_2().plan(nodes=NODES, history=2).phases[:2] == ("enter", "main")
    with pytest.raises(ValueError, match=r"history: got 1; allowed: 0, since this solver corrects .* phase 'enter'"):
        unipc_2(enter=False).plan(nodes=NODES, history=1)
    assert unipc_2(enter=False).plan(nodes=NODES).phases[0] == "start_1"
    with pytest.raises(ValueError, match="history: got 0; allowed: at least 1, since this solver starts exactly"):
        unipc_2(START="exact").plan(nodes=NODES)
    needy = unipc_2()
    needy._step.NEEDS["enter"] = 2
    with pytest.raises(ValueError, match="history: got 1; allowed: 0 or at least 2, what the first step reads"):
        needy.plan(nodes=NODES, history=1)
    plan = unipc_2().plan(nodes=NODES, history=1)
    with pytest.raises(ValueError, match="history: got 0 values; the plan has 1"):
        unipc_2().init(plan, start(2))


# In other arithmetic


def test_visits_are_exact_in_rational_numbers() -> None:
    """The walk only calls what the module has: here with Fractions, where every quotient is exact."""
    code = ab3(BEGIN_ABSCISSAE=(0, Fraction(1, 2))).coefficients
    points = [FlowNode(Fraction(t, 10), 1 - Fraction(t, 10), Fraction(t, 10)) for t in (9, 7, 6, 4, 3)]
    calls = visits(code, points)
    assert [(v.step, v.order, v.phase) for v in calls] == [
        (0, 3, "begin_1"), (0, 3, "begin_2"), (1, 3, "begin_1"), (1, 3, "begin_2"), (2, 3, "main"), (3, 3, "main"),
    ]  # fmt: skip
    assert calls[3].node.t == Fraction(13, 20) and calls[3].row == (1, 0, 0, 0, Fraction(-1, 10))
    a, b0, b1, b2, d1 = calls[4].row
    assert (a, d1) == (1, 0)
    h, thetas = Fraction(-1, 5), (0, Fraction(1, 10), Fraction(3, 10))
    for k in range(3):
        assert sum(w * theta**k for w, theta in zip((b0, b1, b2), thetas)) == h ** (k + 1) / (k + 1)
    rounded = ab3().plan(nodes=[0.75, 0.5, 0.25, 0.125]).table[4].tolist()
    exact = visits(code, [FlowNode(Fraction(t, 8), 0, 0) for t in (6, 4, 2, 1)])[4].row
    assert rounded == [float(v) for v in exact]


def test_visits_are_told_what_lies_at_the_ends() -> None:
    limit = lambda s, t, h: (1, t.t - s.t, 0, 0, 0)  # noqa: E731
    changes = {"CHART_FINITE": {"alpha_zero": False, "sigma_zero": True}, "FROM_ALPHA_ZERO": (limit,)}
    code = ab3(BEGIN_ABSCISSAE=(0, Fraction(1, 2)), **changes).coefficients
    points = [FlowNode(Fraction(t, 10), 1 - Fraction(t, 10), Fraction(t, 10)) for t in (10, 8, 6, 4, 3, 0)]
    regular = [v.phase for v in visits(code, points)]
    assert regular == ["begin_1", "begin_2", "begin_1", "begin_2", "main", "main", "main"]
    special = visits(code, points, first="alpha_zero", last="sigma_zero")
    assert [v.phase for v in special] == ["start_1", "begin_1", "begin_2", "begin_1", "begin_2", "main", "main"]
    assert special[0].row == (1, Fraction(-1, 5), 0, 0, 0) and special[0].order == 1
    given = visits(code, points, history=2)
    assert [v.step for v in given] == [0, 1, 2] and given[0].row == visits(code, points)[4].row


@pytest.mark.parametrize("name", EVERY)
def test_network_input_scale_is_that_of_the_call(name: str) -> None:
    base = EVERY[name]()
    c = base.coefficients

    def scaled(entry: Any, call: int = 0) -> Any:
        if not callable(entry):
            return tuple(scaled(f, i) for i, f in enumerate(entry))

        def row(s: Any, t: Any, h: tuple, *u: tuple) -> tuple:
            at = u[0][call] if u else s
            return (*entry(s, t, h, *u), 1 / (1 + at.t))

        row.__name__ = entry.__name__
        return row

    changes = {
        "COLUMNS": (*c.COLUMNS, "cin"), "ROWS": tuple(scaled(e) for e in c.ROWS), "BEGIN": scaled(c.BEGIN),
    }  # fmt: skip
    make = {"2s": dpmpp_2s, "unipc": unipc_2, "unipc-begun": lambda **o: unipc_2(True, **o), "ab3": ab3}[name]
    solver = make(FINAL="keep", **changes)
    width = len(c.COLUMNS)
    for table in (solver._step.STEPS, solver._step.STEPS_):
        for phase, f in table.items():
            table[phase] = lambda x, raw, m, c, f=f: f(x, raw, m, c[:width])
    x, plan = start(3, 2), solver.plan(nodes=NODES)
    assert [plan.input_scale(i) for i in range(plan.steps)] == pytest.approx(
        [1 / (1 + plan.time(i)) for i in range(plan.steps)]
    )
    ours = solver.sample(lambda x, t: curved(x * (1 + t.reshape(-1, 1)), t), x, plan=plan)
    torch.testing.assert_close(ours, make(FINAL="keep").sample(curved, x, nodes=NODES))


# Misuse and odd sizes, as for solvers of one call a step


MAKE: dict[str, Callable] = {
    "2s": dpmpp_2s, "unipc": unipc_2, "unipc-begun": lambda **o: unipc_2(True, **o), "ab3": ab3,
}  # fmt: skip


@pytest.mark.parametrize("final", ["keep", "lower_order", "denoise"])
@pytest.mark.parametrize("name", MAKE)
def test_one_to_four_steps_under_every_rule(name: str, final: str) -> None:
    solver, x = MAKE[name](FINAL=final), start(3)
    for n in range(1, 5):
        plan = solver.plan(n, t_end=0.05)
        assert plan.grid_steps == n and plan.closes(plan.steps - 1) and plan.memory[-1] == 0
        ours = solver.sample(lambda x, t: torch.tanh(x), x, plan=plan, check="step")
        tracked = solver.sample(lambda x, t: torch.tanh(x), x.clone().requires_grad_(), plan=plan)
        torch.testing.assert_close(ours, tracked.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_a_network_that_fails_within_a_step_leaves_the_state_as_it_was(name: str) -> None:
    solver, x = EVERY[name](), start(3)
    plan = solver.plan(nodes=NODES)
    for fails in range(plan.steps):
        state = solver.init(plan, x)
        for i in range(fails):
            state = solver.step(plan, i, state, torch.tanh(state.x))
        with pytest.raises(ValueError, match="the model returned shape"):
            solver.step(plan, fails, state, state.x[:1])
        with pytest.raises(ValueError, match=f"this state expects {fails}"):
            solver.step(plan, (fails + 1) % plan.steps, state, state.x)
        for i in range(fails, plan.steps):
            state = solver.step(plan, i, state, torch.tanh(state.x))
        assert torch.equal(state.x, solver.sample(lambda x, t: torch.tanh(x), x, plan=plan))
    if name != "2s":
        later = solver.plan(nodes=NODES, history=2)
        with pytest.raises(ValueError, match=r"step 0 combines [12] past values, the state has 0: init\(\) with this"):
            solver.step(later, 0, solver.init(plan, x), x)


@pytest.mark.parametrize("name", EVERY)
def test_low_precision_meta_tensors_and_empty_batches(name: str) -> None:
    solver = EVERY[name]()
    half = solver.sample(lambda x, t: 0.2 * x, start(8).half(), nodes=NODES)
    whole = solver.sample(lambda x, t: 0.2 * x, start(8).half().double(), nodes=NODES)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.double(), whole, rtol=5e-3, atol=5e-3)
    empty = torch.empty(2, 3, device="meta")
    assert solver.sample(lambda x, t: x * 2, empty, nodes=NODES).device.type == "meta"
    assert solver.sample(curved, start(0, 3), nodes=NODES).shape == (0, 3)
