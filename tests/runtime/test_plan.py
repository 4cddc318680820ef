"""Plans: nodes kept, rows of the right order, the limits at both ends, correct rounding, per-sample tables, speed."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from itertools import pairwise
from types import SimpleNamespace

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime import LimitError
from runtime.api import Solver
from runtime.grids import GRIDS
from runtime.real import exp, real
from tests.runtime import sample_solver
from tests.runtime.hand_written import flow, variant
from tests.runtime.sample_solver import solver

NODES = [1.0, 0.83, 0.5, 0.21, 0.1 + 0.2 - 0.2, 0.0]


def test_given_nodes_come_back_bit_equal() -> None:
    plan = solver.plan(nodes=NODES)
    assert plan.nodes == tuple(NODES) and plan.steps == 5
    assert [plan.time(i) for i in range(5)] == NODES[:-1]
    assert solver.plan(nodes=torch.tensor(NODES, dtype=torch.float64)).nodes == plan.nodes
    assert solver.plan(nodes=tuple(NODES)).table.equal(plan.table)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_orders_ramp_up_and_drop_at_the_end(steps: int) -> None:
    expected = [min(2, i + 1, steps - i) for i in range(steps)]
    plan = solver.plan(steps=steps)
    assert list(plan.orders) == expected
    assert [row[2] != 0 for row in plan.table] == [order == 2 for order in expected]


def test_table_is_the_exact_value_rounded_once() -> None:
    """Against the same formulas in a 1,000-bit context of their own."""
    wide = mpmath.MPContext()
    wide.prec = 1000

    def alpha_sigma(t: float) -> tuple:
        la = -(wide.mpf(199) / 10 * wide.mpf(t) ** 2 + wide.mpf(t) / 5) / 4
        return wide.exp(la), wide.sqrt(1 - wide.exp(2 * la))

    plan = solver.plan(nodes=NODES)
    lam = [wide.log(a / s) for a, s in map(alpha_sigma, NODES[:-1])]
    for i in (1, 2, 3):
        (a_s, s_s), (a_t, s_t) = alpha_sigma(NODES[i]), alpha_sigma(NODES[i + 1])
        h, before = lam[i + 1] - lam[i], lam[i] - lam[i - 1]
        phi1 = (1 - wide.exp(-h)) / h
        phi2 = (1 - phi1) / h
        b1 = -a_t * h * phi2 * h / before
        expected = (s_t / s_s, a_t * h * phi1 - b1, b1, 1 / a_s, -s_s / a_s)
        assert plan.table[i].tolist() == [float(v) for v in expected]


def test_a_step_to_sigma_zero_is_the_data_estimate() -> None:
    row = solver.plan(steps=7).table[-1].tolist()
    assert row[:3] == [0.0, 1.0, 0.0]


def test_final_keep_in_a_chart_without_a_limit_is_refused_with_the_remedy() -> None:
    keeps = variant(FINAL="keep")
    with pytest.raises(LimitError, match=r"step 4 of 5 .*sigma = 0.*highest: 1.*lower_order"):
        keeps.plan(nodes=NODES)
    assert keeps.plan(nodes=NODES[:-1]).orders == (1, 2, 2, 2)
    assert keeps.plan(nodes=[1.0, 0.0]).orders == (1,)


def test_no_limit_at_all_is_refused() -> None:
    with pytest.raises(LimitError, match=r"no finite limit; end the grid before it"):
        variant(TO_SIGMA_ZERO=()).plan(nodes=NODES)


def test_finite_charts_keep_their_order_at_both_ends() -> None:
    plan = flow().plan(nodes=[1.0, 0.6, 0.3, 0.0])
    assert plan.orders == (1, 2, 2) and bool(torch.isfinite(plan.table).all())
    torch.testing.assert_close(plan.table[2], torch.tensor([1, -0.45, 0.15], dtype=torch.float64), rtol=1e-15, atol=0)


def test_an_infinite_chart_at_alpha_zero_does_not_count_as_history() -> None:
    plan = flow(
        CHART_FINITE={"alpha_zero": False, "sigma_zero": True}, FROM_ALPHA_ZERO=(lambda s, t, h: (1, t.t - s.t, 0),)
    ).plan(nodes=[1.0, 0.8, 0.6, 0.3, 0.1])
    assert plan.orders == (1, 1, 2, 2)
    with pytest.raises(LimitError, match=r"starts at alpha = 0.*t_start"):
        flow(FROM_ALPHA_ZERO=()).plan(nodes=[1.0, 0.5])


def test_one_step_from_alpha_zero_to_sigma_zero() -> None:
    assert flow().plan(steps=1).table.tolist() == [[1.0, -1.0, 0.0]]


def test_a_row_that_divides_by_zero_or_overflows_is_a_limit_error() -> None:
    def bad(s, t, h):  # type: ignore[no-untyped-def]
        return 1 / (s.t - real("1/2")), 0, 0, 1, 1

    def large(s, t, h):  # type: ignore[no-untyped-def]
        return exp(real(100_000)), 0, 0, 1, 1

    for row in (bad, large):
        with pytest.raises(LimitError, match=r"step 0 of 2 \(t = 0.5 to 0.4\).*not finite"):
            variant(ROWS=(row, row)).plan(nodes=[0.5, 0.4, 0.3])


def test_an_infinite_network_time_is_a_limit_error() -> None:
    with pytest.raises(LimitError, match=r"network's time .* infinite at t = 1.0"):
        flow(time=lambda t: 1 / (1 - t), INPUT="log_snr").plan(steps=4)


def test_exact_start_needs_history() -> None:
    exact = variant(START="exact")
    with pytest.raises(ValueError, match="history: got 0; allowed: at least 1"):
        exact.plan(nodes=NODES)
    plan = exact.plan(nodes=NODES, history=1)
    assert plan.steps == 4 and plan.orders == (2, 2, 2, 1) and plan.time(0) == NODES[1]
    assert torch.equal(plan.table, solver.plan(nodes=NODES).table[1:])
    assert exact.plan(steps=4, history=1).steps == 4
    with pytest.raises(ValueError, match="at least 3"):
        exact.plan(nodes=[1.0, 0.5], history=1)


def test_inversion_is_a_direction_of_its_own() -> None:
    rising = flow().plan(nodes=[0.0, 0.3, 0.6, 1.0], direction="inversion")
    assert rising.nodes == (0.0, 0.3, 0.6, 1.0) and rising.table[0].tolist() == [1.0, 0.3, 0.0]
    assert flow().plan(steps=4, direction="inversion").nodes == (0.0, 0.25, 0.5, 0.75, 1.0)
    with pytest.raises(LimitError, match="starts at sigma = 0"):
        solver.plan(steps=4, direction="inversion")
    assert solver.plan(steps=4, t_end=0.01, direction="inversion").nodes[0] == 0.01
    with pytest.raises(ValueError, match=r"direction: got 'inverse'.*did you mean 'inversion'"):
        solver.plan(steps=4, direction="inverse")


def test_per_sample_grids() -> None:
    rows = [NODES, [0.9, 0.8, 0.5, 0.4, 0.2, 0.1], NODES]
    plan = solver.plan(nodes=rows)
    singles = [solver.plan(nodes=row) for row in rows]
    assert plan.nodes == tuple(map(tuple, rows)) and plan.samples == 3
    assert plan.table.shape == (5, 5, 3) and len(plan.grids) == 2
    assert all(torch.equal(plan.table[..., b], singles[b].table) for b in range(3))
    assert plan.time(1).tolist() == [0.83, 0.8, 0.83]
    assert solver.plan(nodes=torch.tensor(rows, dtype=torch.float64)).table.equal(plan.table)
    assert solver.plan(nodes=[NODES]).grid_steps == plan.grid_steps == singles[0].grid_steps == 5
    assert solver.plan(nodes=[NODES], history=2).grid_steps == 3
    with pytest.raises(ValueError, match="every row of one length"):
        solver.plan(nodes=[NODES, NODES[:-1]])


def test_final_denoising_is_one_more_step_and_exact_data_needs_none() -> None:
    denoises = variant(FINAL="denoise")
    plan = denoises.plan(nodes=[1.0, 0.5, 0.2])
    assert plan.steps == 3 and plan.time(2) == 0.2 and plan.orders == (1, 2, 1)
    a, b0, b1, cx, cr = plan.table[2].tolist()
    dx, dr = map(float, sample_solver.coefficients.denoised(sample_solver.coefficients.node(real(0.2))))
    assert (a + b0 * cx, b0 * cr, b1) == (pytest.approx(dx), pytest.approx(dr), 0)
    assert denoises.plan(nodes=[1.0, 0.0]).steps == 1


def test_plans_are_immutable_and_copy() -> None:
    plan = solver.plan(nodes=NODES)
    with pytest.raises(AttributeError):
        plan.nodes = ()  # type: ignore[misc]
    plan.table.zero_()
    assert bool(plan.table.any())
    other = copy.deepcopy(plan)
    assert torch.equal(other.table, plan.table) and other.nodes == plan.nodes
    assert repr(plan) == "Plan(sample_solver: 5 steps, t = 1.0 to 0.0, sampling)"


def test_defaults_come_from_the_spec_and_options_from_the_grid() -> None:
    assert solver.plan().steps == 20
    assert solver.plan(steps=5, variable="rho").nodes == GRIDS["uniform"](solver.coefficients, 5, variable="rho")
    assert solver.plan(5, "karras", exponent=3.0).nodes == GRIDS["karras"](solver.coefficients, 5, exponent=3.0)
    with pytest.raises(ValueError, match="steps: not given"):
        variant(GRID={}).plan()
    with pytest.raises(ValueError, match="did you mean 'exponent'"):
        solver.plan(5, "karras", exponnt=3.0)
    with pytest.raises(ValueError, match="did you mean 'karras'"):
        solver.plan(5, "karas")
    with pytest.raises(TypeError, match="times go to nodes="):
        solver.plan(5, [1.0, 0.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="nodes are given, so steps"):
        solver.plan(5, nodes=NODES)
    with pytest.raises(ValueError, match=r"allowed: 1 to 1000000"):
        solver.plan(10**9)
    with pytest.raises(ValueError, match=r"got 'knots'; allowed: variable, t_start, t_end, final_zero$"):
        solver.plan(5, "uniform", knots=3)
    with pytest.raises(ValueError, match=r"history: got -1; allowed: at least 0"):
        solver.plan(5, history=-1)


def test_input_scale() -> None:
    assert solver.plan(nodes=NODES).input_scale(0) == 1.0


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40, unique=True))
def test_every_strict_grid_has_finite_coefficients_or_a_named_reason(times: list[float]) -> None:
    times = sorted(times, reverse=True)
    gaps = [a - b for a, b in pairwise([*times, 0.0]) if a != b]
    if min(gaps) < 1e-80:  # beyond what 320 bits tell apart
        with contextlib.suppress(LimitError):
            solver.plan(nodes=times)
        return
    plan = solver.plan(nodes=times)
    assert bool(torch.isfinite(plan.table).all()) and plan.steps == len(times) - 1


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_number_of_steps_is_what_was_asked(n: int) -> None:
    plan = solver.plan(steps=n)
    assert plan.steps == n and len(plan.nodes) == n + 1
    assert bool(torch.isfinite(plan.table).all())


def test_table_of_50_steps_is_quick() -> None:
    solver.plan(steps=50)
    start = time.perf_counter()
    solver.plan(steps=50)
    assert time.perf_counter() - start < 0.1  # 6 ms on an idle core; the gate is 20


def test_index_errors() -> None:
    plan = solver.plan(nodes=NODES)
    for index, error in ((5, IndexError), (-1, IndexError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="step index"):
            plan.time(index)  # type: ignore[arg-type]
    assert math.isfinite(plan.time(4))


def test_a_limit_row_that_is_not_finite_is_refused() -> None:
    with pytest.raises(LimitError, match=r"ends at sigma = 0; a coefficient of its limit is not finite"):
        variant(TO_SIGMA_ZERO=(lambda s, t, h: (1 / t.sigma, 0, 0, 1, 1),)).plan(steps=3)


def test_final_denoising_where_the_network_returns_the_integrand() -> None:
    plan = flow(FINAL="denoise").plan(nodes=[1.0, 0.5, 0.25])
    assert plan.table[-1].tolist() == [1.0, -0.25, 0.0] and plan.time(2) == 250.0
    assert plan.phases == ("start_1", "main", "start_1")
    step = SimpleNamespace(STEPS={"main": None}, STEPS_={"main": None}, RING=1, NEEDS={"main": 0}, KEEPS={"main": 0})
    known = vars(flow().coefficients) | {"FINAL": "denoise", "STEPS": 1, "ROWS": flow().coefficients.ROWS[:1]}
    alone = Solver("alone", "nowhere", SimpleNamespace(**known), step)
    assert alone.plan(nodes=[0.75, 0.5, 0.25]).phases == ("main", "main", "main")


def test_final_denoising_keeps_the_input_scale() -> None:
    rows = tuple(lambda s, t, h, f=f: (*f(s, t, h), 1 / (1 + s.t)) for f in sample_solver.coefficients.ROWS)
    columns = (*sample_solver.coefficients.COLUMNS, "cin")
    plan = variant(FINAL="denoise", COLUMNS=columns, ROWS=rows).plan(nodes=[1.0, 0.5, 0.25])
    assert plan.input_scale(2) == pytest.approx(1 / 1.25)
    both = variant(FINAL="denoise", COLUMNS=columns, ROWS=rows).plan(nodes=[[1.0, 0.5, 0.25], [0.9, 0.5, 0.2]])
    assert both.input_scale(0).tolist() == [0.5, 1 / 1.9]


def test_per_sample_grids_that_need_different_numbers_of_evaluations() -> None:
    with pytest.raises(ValueError, match="end them alike"):
        variant(FINAL="denoise").plan(nodes=[[1.0, 0.0], [1.0, 0.5]])


def test_no_data_estimate_and_no_integrand_from_noise_at_alpha_zero() -> None:
    plan = flow(denoised=lambda s: (1 / s.alpha, -s.sigma / s.alpha)).plan(nodes=[1.0, 0.5])
    assert all(map(math.isnan, plan.grids[0].denoised[0]))
    c = sample_solver.coefficients
    pure = variant(
        NOISE_END="alpha_zero", node=lambda t: c.node(t) if t != 1 else c.Node(t, real(0), real(1)), CHART_FINITE={
            "alpha_zero": False, "sigma_zero": False}
    )  # fmt: skip
    with pytest.raises(LimitError, match=r"integrand is not finite at t = 1.0; take history from other nodes"):
        pure.plan(nodes=[1.0, 0.5, 0.2], history=1)
    with pytest.raises(LimitError, match=r"starts at alpha = 0.*data, v, velocity"):
        pure.plan(nodes=[1.0, 0.5, 0.2])


def recorded(**changes):  # type: ignore[no-untyped-def]
    """The sample solver with rows that name their arguments: cx = start, cr = end, cin = the step's span."""
    c = sample_solver.coefficients
    rows = tuple(lambda s, t, h, f=f: (*f(s, t, h)[:3], s.t, t.t, h[0]) for f in c.ROWS)
    span = {"chart": lambda t: t, "span": lambda s, t: 2 * (t.t - s.t)}
    return variant(COLUMNS=(*c.COLUMNS, "cin"), ROWS=rows, **span, **changes)


def test_evaluations_are_read_from_the_first_order_row_that_starts_at_the_node() -> None:
    plan = recorded().plan(nodes=[1.0, 0.875, 0.5, 0.25], history=2)
    assert plan.grids[0].history == ((1.0, 0.875), (0.875, 0.5))
    rows = plan.integrand(torch.zeros(1, dtype=torch.float64))
    assert [[float(v) for v in row] for row in rows] == [[1.0, 0.875], [0.875, 0.5]]


def test_final_denoising_is_evaluated_on_the_way_back_from_the_last_node() -> None:
    plan = recorded(FINAL="denoise", denoised=lambda s: (3, 8)).plan(nodes=[1.0, 0.5, 0.25])
    b0 = 8 / 0.5
    assert plan.table[-1].tolist() == [3 - b0 * 0.25, b0, 0.0, 0.25, 0.5, 0.5]
    assert plan.input_scale(2) == 0.5 and plan.orders == (1, 2, 1)


def test_a_history_node_at_an_end_takes_its_integrand_from_that_end_s_limit() -> None:
    c = sample_solver.coefficients
    limit = (lambda s, t, h: (1, 0, 0, 7, 11), lambda s, t, h: (1, 0, 0, 8, 12))
    both = {"TO_ALPHA_ZERO": (), "FROM_ALPHA_ZERO": limit, "NOISE_END": "alpha_zero"}
    plan = variant(**both, ROWS=c.ROWS).plan(nodes=[1.0, 0.5, 0.25], history=1)
    assert plan.grids[0].history == ((7.0, 11.0),)
    backwards = variant(FINAL="denoise", **both).plan(nodes=[0.5, 0.25])
    assert backwards.table[-1, 3:].tolist() == [float(v) for v in c.ROWS[0](c.node(0.25), c.node(0.5), (1,))[3:]]


def test_final_denoising_without_a_finite_estimate_is_refused() -> None:
    with pytest.raises(LimitError, match=r"final denoising after step 2 is not finite at t = 0.25"):
        variant(FINAL="denoise", denoised=lambda s: (1 / real(0), 1)).plan(nodes=[1.0, 0.5, 0.25])


def test_a_network_that_returns_the_integrand_may_have_an_input_scale() -> None:
    rows = tuple(lambda s, t, h, f=f: (*f(s, t, h), 1 + s.t) for f in flow().coefficients.ROWS)
    plan = flow(COLUMNS=("a", "b0", "b1", "cin"), ROWS=rows, FINAL="denoise").plan(nodes=[0.75, 0.5, 0.25], history=1)
    assert plan.grids[0].history == ((0.0, 1.0),) and plan.input_scale(1) == 1.25
    assert plan.table[-1].tolist() == [1.0, -0.25, 0.0, 1.25]


def test_each_end_takes_its_own_limit() -> None:
    names = ("TO_SIGMA_ZERO", "FROM_SIGMA_ZERO", "FROM_ALPHA_ZERO", "TO_ALPHA_ZERO")
    marks = {name: (lambda s, t, h, k=k: (k, k, k),) * 2 for k, name in enumerate(names, 1)}
    marked = flow(**marks)
    assert marked.plan(nodes=[1.0, 0.5, 0.25, 0.0]).table[:, 0].tolist() == [3.0, 1.0, 1.0]
    assert marked.plan(nodes=[0.0, 0.5, 0.75, 1.0], direction="inversion").table[:, 0].tolist() == [2.0, 1.0, 4.0]
    shown = "starts at alpha = 0"
    with pytest.raises(LimitError, match=f"{shown}; a coefficient of its limit is not finite"):
        flow(FROM_ALPHA_ZERO=(lambda s, t, h: (math.inf, 0, 0),)).plan(nodes=[1.0, 0.5])
    with pytest.raises(LimitError, match=r"ends at alpha = 0.*leave that end out"):
        flow(TO_ALPHA_ZERO=()).plan(nodes=[0.5, 1.0], direction="inversion")


def test_the_chart_is_not_asked_where_it_is_infinite() -> None:
    def span(s, t):  # type: ignore[no-untyped-def]
        if 1 in (s.t, t.t):
            raise AssertionError("the chart is infinite here")
        return t.t - s.t

    infinite = {"alpha_zero": False, "sigma_zero": True}
    plan = flow(CHART_FINITE=infinite, span=span, FROM_ALPHA_ZERO=(lambda s, t, h: (1, h[0] < 0, 0),)).plan(
        nodes=[1.0, 0.8, 0.6]
    )
    assert plan.table[0].tolist() == [1.0, 0.0, 0.0]


def test_orders_count_the_history_and_the_nodes_that_have_a_chart() -> None:
    ways = SimpleNamespace(
        STEPS=dict.fromkeys(("start_1", "start_2", "main")), NEEDS={"start_1": 0, "start_2": 1, "main": 2},
        KEEPS={"start_1": 1, "start_2": 2, "main": 2},
    )  # fmt: skip
    three = variant(ways, STEPS=3, ROWS=(*sample_solver.coefficients.ROWS, sample_solver.coefficients.ROWS[1]))
    nodes = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    plan = three.plan(nodes=nodes)
    assert plan.orders == (1, 2, 3, 2, 1) and plan.places == (0, 1, 2, 3, 4) and plan.grid_steps == 5
    assert plan.phases == ("start_1", "start_2", "main", "start_2", "start_1") and plan.memory == (0, 1, 2, 1, 0, 0)
    assert three.plan(nodes=nodes, history=1).orders == (2, 3, 2, 1)
    assert three.plan(nodes=nodes, history=3).orders == (2, 1)
    assert variant(FINAL="keep").plan(nodes=nodes, history=1).orders == (2, 2, 2, 2)


def test_input_scale_checks_its_index_and_repr_shows_the_ends_per_sample() -> None:
    plan = solver.plan(nodes=[NODES, NODES])
    for read in (plan.time, plan.input_scale):
        with pytest.raises(IndexError, match="step index: got 5; allowed: 0 to 4"):
            read(5)
    assert repr(plan) == "Plan(sample_solver: 5 steps, t = 1.0 to 0.0, 2 samples, sampling)"


def test_the_most_steps_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.planning.MOST_STEPS", 7)
    assert solver.plan(7).grid_steps == solver.plan(nfe=7).grid_steps == 7
    for name in ("steps", "nfe"):
        with pytest.raises(ValueError, match=f"{name}: got 8; allowed: 1 to 7"):
            solver.plan(**{name: 8})


def test_device_copies_have_the_sample_s_shape_and_type() -> None:
    single, pair = solver.plan(nodes=NODES), solver.plan(nodes=[NODES, [0.9, 0.8, 0.5, 0.4, 0.2, 0.1]])
    x = torch.zeros(2, 3, 4, dtype=torch.float32)
    for plan, shape in ((single, ()), (pair, (2, 1, 1))):
        for copies, width in ((plan.coefficients(x), 5), (plan.denoiser(x), 2)):
            assert len(copies) == 5 and {len(row) for row in copies} == {width}
            assert {(v.shape, v.dtype) for row in copies for v in row} == {(torch.Size(shape), torch.float32)}
        assert plan.coefficients(x) is plan.coefficients(x)
        assert (plan.coefficients(x) is plan.coefficients(x[:, 0])) == (plan is single)
        table = torch.stack([torch.stack([v.reshape(-1) for v in row]) for row in plan.coefficients(x)]).squeeze(-1)
        assert torch.equal(table, plan.table.float())
        whole = plan.rows(x)
        assert all(row.is_contiguous() and row.shape == (5, *shape) for row in whole) and plan.rows(x) is whole
        assert torch.equal(torch.stack(whole).reshape(table.shape), table)
        assert plan.times(x, 2).dtype == torch.float32 and plan.times(x.double(), 2).dtype == torch.float64
        assert plan.times(x.double(), 2).shape == (5, 2)
    assert single.times(x.double(), 2).tolist() == [[t, t] for t in NODES[:-1]]
    assert pair.times(x.double(), 2).tolist() == [list(p) for p in zip(NODES[:-1], pair.nodes[1][:-1], strict=True)]
    assert not solver.plan(nodes=NODES).coefficients(x.requires_grad_())[0][0].requires_grad


def test_device_copies_made_in_inference_mode_are_ordinary_tensors() -> None:
    plan = solver.plan(nodes=NODES)
    with torch.inference_mode():
        made = [plan.coefficients(torch.zeros(1))[0][0], plan.times(torch.zeros(1), 1)]
    assert not any(v.is_inference() for v in made)
