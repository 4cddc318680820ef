"""Whatever the number of steps, the spacing and the levels: as many calls as documented, falling levels, finite samples, and
sigmas with the bits that they came with."""

import inspect
import warnings
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, note, settings
from hypothesis import strategies as st

from runtime.adapters.kdiffusion import sampler

COSTLY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
FEW = settings(max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=COSTLY)
MANY = settings(FEW, max_examples=120)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V = {"prediction_type": "v_prediction"}
ONE = ("dpmpp_2m", "dpmpp_3m", "unipc_3")
"""Solvers with one call a step, of data."""
STAGED = ("edm_heun", "res_3s", "dpm_solver_23")
FLOWS = ("flow_ab2", "sd3_dpmpp_2m", "flow_heun")
PLAIN = (
    "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler", "EulerDiscreteScheduler",
    "HeunDiscreteScheduler", "LMSDiscreteScheduler", "DDIMScheduler", "DDPMScheduler",
)  # fmt: skip
SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
ZERO = "rescale_betas_zero_snr"


def grids(most):
    """(solver, schedule, options, number of steps)."""
    spaced = st.fixed_dictionaries({
        "timestep_spacing": st.sampled_from(["linspace", "leading", "trailing"]),
        "steps_offset": st.sampled_from([0, 1]),
        "final_sigmas_type": st.sampled_from(["zero", "sigma_min"]),
        ZERO: st.booleans(),
        "sigmas": st.sampled_from([None, *SIGMAS]),
    })  # fmt: skip
    steps = st.one_of(st.integers(1, most), st.sampled_from([1, 2, 3, most]))
    of_sd = st.tuples(st.sampled_from([*ONE, *STAGED]), st.sampled_from(PLAIN), spaced, steps)
    shift = st.fixed_dictionaries({"shift": st.sampled_from([0.5, 1.0, 3.0, 12.0])})
    dynamic = st.floats(0.25, 4.0, width=16).map(lambda mu: {"use_dynamic_shifting": True, "mu": mu})
    solvers, euler = st.sampled_from([*FLOWS, "dpmpp_3m", "res_3s"]), st.just("FlowMatchEulerDiscreteScheduler")
    matched = st.one_of(euler, st.just("FlowMatchHeunDiscreteScheduler"))
    of_flow = st.tuples(solvers, matched, shift, steps)
    return st.one_of(of_sd, of_sd, of_flow, st.tuples(solvers, euler, dynamic, steps))


def known(kind, options):
    """Those of the options that the class has, and a prediction that says something at alpha = 0."""
    import diffusers

    names = inspect.signature(getattr(diffusers, kind).__init__).parameters
    asked = {k: v for k, v in options.items() if k != "sigmas"} | {"clip_sample": False, **SD}
    if options.get("sigmas"):
        asked[options["sigmas"]] = True
    if options.get(ZERO):
        asked |= V
    return {k: v for k, v in asked.items() if k in names}


def network(x, t):
    return 0.7 * torch.tanh(1.3 * x + torch.sin(torch.as_tensor(t).float() / 150)) + 0.3 * x


def solved(made):
    """(x at the end, how often the network was called); x: two elements."""
    x = torch.tensor([[0.3], [-1.1]]) * made.init_noise_sigma
    calls = 0
    for t in made.timesteps:
        out = network(made.scale_model_input(x, t), t)
        x, calls = made.step(out, t, x).prev_sample, calls + 1
    with pytest.raises(IndexError):
        made.step(x, made.timesteps[-1], x)
    return x, calls


def falls(values):
    return all(a > b for a, b in pairwise(values))


def grid_of_a_scheduler(case):
    import diffusers

    from runtime.adapters.diffusers import scheduler

    solver, kind, options, steps = case
    mu = {"mu": options["mu"]} if "mu" in options else {}  # of the size of a picture
    options = known(kind, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = getattr(diffusers, kind)(**options)
        peer.set_timesteps(steps, **mu)
    made = scheduler(solver, peer)
    tables = not hasattr(peer, "sigmas")
    if tables:
        times = peer.timesteps[peer.timesteps >= 0]  # trailing can go on to -1, by rounding
        if int(times.max()) > 999:  # leading, an offset, and as many steps as the table has
            with pytest.raises(ValueError, match="timesteps: got 1000; allowed: 0 to 999"):
                made.set_timesteps(steps)
            return
        bars = [*peer.alphas_cumprod.double()[times], getattr(peer, "final_alpha_cumprod", torch.tensor(1.0))]
        levels = [float(((1 - b) / b).sqrt().float()) for b in bars]
    else:
        levels = peer.sigmas.tolist()
        levels = [*levels[:1], *levels[1:-1:2], levels[-1]] if "Heun" in kind and steps > 1 else levels
    once = [a for a, b in pairwise(levels) if a != b] + levels[-1:]
    note(f"{len(levels)} levels, {len(once)} different")
    if len(once) < max(2, len(levels) - 1):
        with pytest.raises(ValueError, match=r"length zero|at least"):
            made.set_timesteps(steps)
        return
    assert falls(once)
    if levels[0] == float("inf") and solver in ("edm_heun", "dpm_solver_23"):
        with pytest.raises(ValueError, match="the sample begins at alpha = 0"):
            made.set_timesteps(steps)
        return
    made.set_timesteps(steps, **mu)
    assert made._grid[0].tolist() == once
    if solver in STAGED or solver in ("flow_heun", "res_3s"):
        assert set(once) <= set(made.sigmas.tolist())
        assert len(once) - 1 <= len(made.timesteps) <= made.order * (len(once) - 1)
    else:
        assert made.sigmas.tolist() == once and len(made.timesteps) == len(once) - 1
        if "Heun" not in kind and len(once) == len(levels):
            assert torch.equal(made.timesteps, times if tables else peer.timesteps)
    assert bool(torch.isfinite(made.timesteps.double()).all())
    end, calls = solved(made)
    assert calls == len(made.timesteps) == made.num_inference_steps or made.order > 1
    assert bool(torch.isfinite(end).all()) and float(end.abs().max()) < 1e3


@FEW
@given(grids(16))
@example(("dpmpp_2m", "DPMSolverMultistepScheduler", {"timestep_spacing": "linspace"}, 1000))
@example(("dpmpp_2m", "DDIMScheduler", {"timestep_spacing": "leading", "steps_offset": 1}, 1000))
@example(("dpmpp_2m", "DDIMScheduler", {"timestep_spacing": "trailing"}, 217))
@example(("dpmpp_3m", "DDIMScheduler", {"timestep_spacing": "trailing", ZERO: True}, 1))
@example(("res_3s", "DDIMScheduler", {"timestep_spacing": "trailing", ZERO: True}, 2))
@example(("dpmpp_2m", "DPMSolverMultistepScheduler", {"sigmas": SIGMAS[0], "final_sigmas_type": "sigma_min"}, 20))
def test_the_grid_of_a_scheduler(case):
    pytest.importorskip("diffusers")
    grid_of_a_scheduler(case)


@pytest.mark.slow
@MANY
@given(grids(1000))
def test_the_grid_of_a_scheduler_up_to_1000_steps(case):
    pytest.importorskip("diffusers")
    grid_of_a_scheduler(case)


@FEW
@given(st.sampled_from([*ONE, *STAGED]), st.integers(1, 14), st.floats(0, 1, exclude_max=True), st.booleans())
def test_the_index_of_a_solve(solver, steps, share, looked_up):
    """Begun at any grid point, by index or by its timestep: as many calls as are left, counted in ``timesteps``."""
    pytest.importorskip("diffusers")
    from runtime.adapters.diffusers import scheduler

    made = scheduler(solver, **SD)
    made.set_timesteps(steps)
    opening = [i for i in range(len(made.timesteps)) if made._opens(i)]
    assert len(opening) == steps and [made.index_for_timestep(made.timesteps[i]) for i in opening] == opening
    begin = opening[int(share * steps)]
    assert made.step_index is None and made.begin_index is None
    if not looked_up:
        made.set_begin_index(begin)
    timesteps = made.timesteps[begin:]
    x = torch.tensor([[0.3], [-1.1]])
    for i, t in enumerate(timesteps):
        x = made.step(network(made.scale_model_input(x, t), t), t, x).prev_sample
        assert made.step_index == begin + i + 1
    assert made.begin_index == (None if looked_up else begin) and bool(torch.isfinite(x).all())
    with pytest.raises(IndexError):
        made.step(x, timesteps[-1], x)
    made.set_timesteps(steps)
    assert made.step_index is None and made.begin_index is None


def falling(low, high, most):
    """Levels from high to low, any two of them different floats, with 0 after them or not."""
    values = st.lists(st.floats(low, high, width=32), min_size=2, max_size=most + 1, unique=True)
    return st.tuples(values, st.booleans()).map(lambda found: sorted(found[0], reverse=True) + [0.0] * found[1])


TAKES = (PLAIN[0], "EulerDiscreteScheduler", "HeunDiscreteScheduler", "DDIMScheduler")
"""Of these Euler has a place for a caller's sigmas; DPM-Solver, Euler and Heun have one for timesteps."""


@FEW
@given(st.sampled_from([*ONE, "edm_heun"]), falling(0.0078125, 144.0, 12), st.sampled_from(TAKES))
@example("dpmpp_3m", [1.0, 0.9999999403953552, 0.9999998807907104, 0.5, 0.0], PLAIN[0])
def test_sigmas_of_a_caller(solver, levels, kind):
    """Any that fall, however near to each other."""
    pytest.importorskip("diffusers")
    from runtime.adapters.diffusers import scheduler

    made = scheduler(solver, schedule=kind, **SD)
    made.set_timesteps(sigmas=levels)
    assert made._grid[0].tolist() == levels and set(levels) <= set(made.sigmas.tolist())
    end, calls = solved(made)
    assert len(levels) - 1 <= calls <= made.order * (len(levels) - 1)
    assert bool(torch.isfinite(end).all())


@FEW
@given(st.lists(st.integers(0, 999), min_size=1, max_size=12, unique=True), st.sampled_from(TAKES))
@example([999], "DDIMScheduler")
def test_timesteps_of_a_caller(steps, kind):
    """Of the training table. Their levels have the bits of the class's own, else of alpha_bar's; the last step goes to 0."""
    diffusers = pytest.importorskip("diffusers")
    from runtime.adapters.diffusers import scheduler

    steps = sorted(steps, reverse=True)
    made, peer = scheduler("dpmpp_2m", schedule=kind, **SD), getattr(diffusers, kind)(**SD)
    made.set_timesteps(timesteps=steps)
    bars = peer.alphas_cumprod.double()[steps]
    sigmas = torch.cat([((1 - bars) / bars).sqrt().float(), torch.zeros(1)])
    if kind != "DDIMScheduler":
        peer.set_timesteps(timesteps=steps)
        sigmas = peer.sigmas[[0, *range(1, 2 * len(steps), 2)]] if "Heun" in kind else peer.sigmas
    assert made.timesteps.tolist() == steps and torch.equal(made.sigmas, sigmas) and made.sigmas[-1] == 0
    end, calls = solved(made)
    assert calls == len(steps) and bool(torch.isfinite(end).all())


def follows(name, kind, levels, dtype):
    """The sampler for k-diffusion on any levels; a single step goes to the data."""
    seen = []

    def model(x, sigma):
        assert sigma.dtype == x.dtype == dtype
        seen.append(float(sigma[0]))
        return torch.tanh(x * (0.5 + sigma[:, None] / (1 + sigma[:, None])))

    x = torch.tensor([[0.3], [-1.1]], dtype=dtype) * levels[0]
    sigmas = torch.tensor(levels, dtype=dtype)
    end = sampler(name, kind=kind)(model, x, sigmas, disable=True)
    assert bool(torch.isfinite(end).all()) and end.dtype == dtype
    steps = len(levels) - 1
    if name in (*ONE, "flow_ab2"):
        assert seen == sigmas[:-1].tolist()
    else:
        left = iter(seen)
        assert all(sigma in left for sigma in sigmas[:-1].tolist())
        assert steps <= len(seen) <= 3 * steps and not any(a < b for a, b in pairwise(seen))
    if steps == 1 and levels[-1] == 0:
        assert torch.allclose(end, model(x, sigmas[:1].expand(2)), rtol=1e-5 if dtype == torch.float32 else 1e-12)


TYPES = st.sampled_from([torch.float32, torch.float64])


@FEW
@given(st.sampled_from([*ONE, *STAGED]), falling(0.001953125, 1024.0, 12), TYPES)
@example("edm_heun", [10.0, 0.0], torch.float64)
def test_levels_of_k_diffusion(name, levels, dtype):
    follows(name, "eps", levels, dtype)


@FEW
@given(
    st.sampled_from([*ONE, "res_3s", "flow_ab2", "flow_heun"]),
    falling(0.0009765625, 0.9990234375, 12),
    st.booleans(),
    TYPES,
)
@example("flow_heun", [], True, torch.float32)
@example("res_3s", [0.5], True, torch.float32)
@example("sd21v_dpmpp_2m", [0.5, 0.25], True, torch.float64)
def test_levels_of_a_flow(name, levels, noise, dtype):
    """From pure noise, or from the middle."""
    levels = [1.0] * noise + (levels or [0.0])
    assume(len(levels) > 1)
    follows(name, "flow", levels if len(levels) > 2 or levels[-1] == 0 else [*levels, 0.0], dtype)
