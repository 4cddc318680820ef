"""Imported specs, whatever the number of steps, the spacing and the levels: falling nodes, as many calls as documented, finite
coefficients and times; nodes of a caller keep their bits."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

COSTLY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
FEW = settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=COSTLY)
MANY = settings(FEW, max_examples=250)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = ("linspace", "leading", "trailing")
SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
ZERO = "rescale_betas_zero_snr"


def cases(most):
    """(class, options, number of steps) of methods that do not depend on the number of steps."""
    steps = st.one_of(st.integers(1, most), st.sampled_from([1, 2, most]))
    spacing = st.sampled_from(SPACINGS)
    euler = st.tuples(
        st.sampled_from(["EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"]),
        st.tuples(spacing, st.sampled_from([None, *SIGMAS])).map(
            lambda found: {**SD, "timestep_spacing": found[0]} | ({found[1]: True} if found[1] else {})
        ),
        steps,
    )
    v = {"prediction_type": "v_prediction"}
    ddim = st.tuples(
        st.just("DDIMScheduler"),
        st.tuples(st.sampled_from(["leading", "trailing"]), st.booleans()).map(
            lambda found: {**SD, **v, "timestep_spacing": found[0], "clip_sample": False, ZERO: found[1]}
        ),
        st.sampled_from([n for n in (1, 2, 4, 5, 8, 10, 20, 50, 100, 500) if n <= most]),  # divisors of 1000
    )
    unipc = st.tuples(
        st.just("UniPCMultistepScheduler"), spacing.map(lambda name: {**SD, "timestep_spacing": name}), steps
    )
    shift = st.sampled_from([0.5, 1.0, 3.0, 12.0])
    flow = st.tuples(st.just("FlowMatchEulerDiscreteScheduler"), shift.map(lambda s: {"shift": s}), steps)
    return st.one_of(euler, ddim, unipc, flow)


def falls(values):
    return all(a > b for a, b in pairwise(values))


def check(kind, options, steps, made):
    warped = any(options.get(name) for name in SIGMAS)
    found, solver = made(kind, options, steps)
    own = {name: _plain(value) for name, value in found.spec.grid.parameters.items() if value is not None}
    crowded = steps >= 999 and not warped and "shift" not in options
    try:
        plan = solver.plan(grid=found.spec.grid.kind, **own)
    except ValueError as error:  # a training step comes twice, as in diffusers
        if crowded and "length zero" in str(error):
            return
        raise
    assert len(plan.nodes) == steps + 1 and falls(plan.nodes) and all(map(math.isfinite, plan.nodes))
    calls = 2 * steps - 1 if kind.startswith("Heun") else steps
    assert plan.steps == calls and bool(torch.isfinite(plan.table).all())
    times = [plan.time(i) for i in range(calls)]
    assert all(map(math.isfinite, times)) and all(a >= b for a, b in pairwise(times))
    again = solver.plan(nodes=plan.nodes)
    assert again.nodes == plan.nodes and torch.equal(again.table, plan.table)


def _plain(value):
    return value if isinstance(value, (str, bool, int)) else float(value)


@FEW
@given(case=cases(16))
@example(case=("UniPCMultistepScheduler", {**SD, "timestep_spacing": "trailing"}, 500))
@example(case=("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, 1000))
def test_the_plan_of_a_configuration(case, made):
    check(*case, made)


@pytest.mark.slow
@MANY
@given(case=cases(1000))
def test_the_plan_of_a_configuration_up_to_1000_steps(case, made):
    check(*case, made)


LEVELS = st.lists(st.floats(2**-12, 1, exclude_max=True, width=32), min_size=1, max_size=12, unique=True)


@FEW
@given(levels=LEVELS, noise=st.booleans(), data=st.booleans())
@example(levels=[0.5, 0.49999997, 0.4999999], noise=True, data=True)
def test_nodes_of_a_caller(levels, noise, data, made):
    """Any that fall, of a solver of a flow and of one of Stable Diffusion's; the network is called at them, bit for bit."""
    nodes = [1.0] * noise + sorted(levels, reverse=True) + [0.0] * data
    if len(nodes) == 1:
        return
    _, flow = made("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, 4)
    _, sd = made("UniPCMultistepScheduler", {**SD}, 4)
    for solver, times in ((flow, nodes), (sd, [1000 * t - 1 for t in nodes])):
        plan = solver.plan(nodes=times)
        assert list(plan.nodes) == times and plan.steps == len(times) - 1
        x = solver.sample(lambda x, t: torch.tanh(x + t[:, None] / 1000), torch.tensor([[0.4], [-1.3]]), plan=plan)
        assert bool(torch.isfinite(x).all()) and bool(torch.isfinite(plan.table).all())
