"""PNDM of v beside the class of diffusers, state by state, both of its starts: its step run in extended precision.

Its formula goes through the noise, and divides by alpha: with the cosine schedule it loses five digits of float64 at the first
level. So the class is given arrays of long double, which it takes as it takes tensors, and the sampler runs in float64: 1e-12.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

diffusers = pytest.importorskip("diffusers")
from tests.imports.test_parity import apart, options_of  # noqa: E402
from tests.imports.test_parity_double import SCHEDULES, SKIP, STEPS, V, betas, network  # noqa: E402

pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).eps > 2**-60, reason="long double is float64 here")
SAME = 1e-12
CASES = {
    "plms": SKIP,
    "plms, to zero": {**SKIP, "set_alpha_to_one": True},
    "plms, idle": {"skip_prk_steps": True},
    "plms, trailing": {**SKIP, "timestep_spacing": "trailing"},
    "prk": {"steps_offset": 1},
    "prk, to zero": {"set_alpha_to_one": True},
    "prk, idle": {},
    "prk, trailing": {"timestep_spacing": "trailing"},
}
FAST = {("plms", "scaled"): (1, 2, 5, 20), ("prk", "scaled"): (5, 10, 20, 50), ("plms, trailing", "cosine"): (5,)}
REFUSED = {"prk": (1, 2), "prk, to zero": (1, 2), "prk, idle": (1, 2), "prk, trailing": (1, 2), "plms, idle": (1,)}
"""Numbers of steps that the class cannot run, or that leave no step."""


def wide(options, steps):
    """(start, what the network reads at every call and the sample at the end, times) of the class in long double."""
    scheduler = diffusers.PNDMScheduler(**options)
    known = {
        name: scheduler.config[name] for name in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
    }
    beta = betas({**known, "trained_betas": scheduler.config.trained_betas}).astype(np.longdouble)
    scheduler.alphas_cumprod = np.cumprod(1 - beta)
    one = scheduler.config.set_alpha_to_one
    scheduler.final_alpha_cumprod = np.longdouble(1) if one else scheduler.alphas_cumprod[0]
    scheduler.set_timesteps(steps)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    x = x.astype(np.longdouble)
    start, seen = torch.from_numpy(x.astype(np.float64)), []
    for t in scheduler.timesteps.tolist():
        seen.append(x)
        value = 0.7 * np.tanh(np.longdouble("1.3") * x + math.sin(t / 150)) + np.longdouble("0.3") * x
        x = scheduler.step(value, t, x, return_dict=False)[0]
    return start, [torch.from_numpy(v.astype(np.float64)) for v in (*seen, x)], scheduler.timesteps.tolist()


def ours(solver, plan, start, times):
    """The same of the imported sampler; its own times are theirs."""
    seen = []

    def model(x, t):
        assert float(torch.as_tensor(t).reshape(-1)[0]) == times[len(seen)]
        seen.append(x.clone())
        return network(x, times[len(seen) - 1])

    end = solver.sample(model, start, plan=plan)
    return [*seen, end]


def cases():
    for case in CASES:
        for name in SCHEDULES:
            few = FAST.get((case, name), ())
            if few:
                yield pytest.param(case, name, few, id=f"{case}-{name}")
            rest = tuple(n for n in STEPS if n not in (*few, *REFUSED.get(case, ())))
            yield pytest.param(case, name, rest, id=f"{case}-{name}-all", marks=pytest.mark.slow)


def pair(made, case, schedule, steps, spoil=lambda plan: plan):
    """The largest distance along the two solves."""
    options = {**V, **CASES[case], **SCHEDULES[schedule]}
    found, solver = made("PNDMScheduler", options, steps)
    start, theirs, times = wide(options, steps)
    plan = spoil(solver.plan(**options_of(found)))
    if found.spec.grid.parameters["steps"] < steps:  # the last call leaves the sample where it is
        assert torch.equal(theirs.pop(), theirs[-1])
    return apart(theirs, ours(solver, plan, start, times))


@pytest.mark.parametrize(("case", "schedule", "steps"), tuple(cases()))
def test_every_state_is_theirs_in_double_precision(case, schedule, steps, made):
    for count in steps:
        assert pair(made, case, schedule, count) <= SAME, count


@pytest.mark.parametrize(
    ("case", "row", "columns"), [("plms", 0, "a"), ("plms", 2, "b"), ("prk", 3, "d"), ("prk", 13, "b")]
)
def test_a_coefficient_that_is_off_is_seen(case, row, columns, made):
    """1e-10 of one number of one call."""

    def spoil(plan):
        rows = [list(row) for row in plan.grids[0].rows]
        place = next(i for i, name in enumerate(plan.columns) if name[0] in columns and rows[row][i])
        rows[row][place] *= 1 + 1e-10
        return replace(plan, grids=(replace(plan.grids[0], rows=tuple(map(tuple, rows))),), _cache={})

    assert pair(made, case, "scaled", 5) <= SAME < pair(made, case, "scaled", 5, spoil)
