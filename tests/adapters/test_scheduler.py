"""What a scheduler of diffusers has to do besides its steps: configuration, begin in the middle, noise, types, errors."""

import copy
import json
from pathlib import Path

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

from runtime.adapters import clock  # noqa: E402
from runtime.adapters.diffusers import PhiforgeScheduler, scheduler  # noqa: E402

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def network(x, t):
    return 0.7 * torch.tanh(1.3 * x + torch.sin(t.float() / 150)) + 0.3 * x


def noise(*shape, seed=0):
    return torch.randn(shape or (2, 4, 6, 6), generator=torch.Generator().manual_seed(seed))


def solve(made, x, begin=0):
    for t in made.timesteps[begin:]:
        x = made.step(network(made.scale_model_input(x, t), t), t, x).prev_sample
    return x


def same(a, b):
    a.set_timesteps(7)
    b.set_timesteps(7)
    assert torch.equal(a.sigmas, b.sigmas) and torch.equal(a.timesteps, b.timesteps)
    assert torch.equal(a._course.plan.table, b._course.plan.table)
    assert torch.equal(solve(a, noise()), solve(b, noise()))


@pytest.mark.parametrize("solver, schedule, options", [
    ("sd15_dpmpp_2m", "DPMSolverMultistepScheduler", {**SD, "use_karras_sigmas": True}),
    ("unipc_3", "UniPCMultistepScheduler", SD), ("edm_heun", "HeunDiscreteScheduler", SD),
    ("flow_rk4", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}), ("dpmpp_3m", "DDIMScheduler", {"clip_sample": False}),
])  # fmt: skip
def test_it_is_saved_and_loaded(solver, schedule, options, tmp_path):
    made = scheduler(solver, schedule=schedule, **options)
    made.save_pretrained(tmp_path)
    text = (tmp_path / "scheduler_config.json").read_text()
    stored = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (
        stored["solver"] == solver and stored["schedule"] == schedule and stored["_class_name"] == "PhiforgeScheduler"
    )
    same(made, PhiforgeScheduler.from_pretrained(tmp_path))
    same(made, PhiforgeScheduler.from_config(made.config))
    same(made, copy.deepcopy(made))
    again = scheduler("ddim" if solver != "flow_rk4" else "flow_ab2", made)
    assert again.config.schedule == schedule and again.config.solver != solver


def test_the_plan_of_every_solver_is_the_same_after_loading(tmp_path):
    """Nodes, rows, times and phases, compared as numbers."""
    for name in sorted(p.parent.name for p in Path(__file__).resolve().parents[2].glob("generated/*/__init__.py")):
        flow = name.startswith(("flow_", "flux_", "sd3_"))
        made = scheduler(name, **({"shift": 3.0} if flow else {**SD, "use_karras_sigmas": True}))
        made.save_pretrained(tmp_path / name)
        clock._planned.cache_clear()
        loaded = PhiforgeScheduler.from_pretrained(tmp_path / name)
        plans = []
        for each in (made, loaded):
            clock._planned.cache_clear()
            each.set_timesteps(8 if name.endswith("switch_8") else 10)
            plans.append(each._course.plan)
        first, second = plans
        assert first is not second
        for what in ("solver", "nodes", "columns", "orders", "phases", "places", "memory", "grids"):
            assert getattr(first, what) == getattr(second, what), (name, what)


def test_a_solver_of_another_folder_goes_by_its_module(variants, tmp_path):
    """Its name may be that of a shipped one; a configuration imports nothing but from ``generated``."""
    bh1 = variants(("unipc_2", {"weights: bh2": "weights: bh1"}))
    mine, shipped = scheduler(bh1, **SD), scheduler("unipc_2", **SD)
    assert mine.config.solver == bh1.coefficients.__name__.rpartition(".")[0] != shipped.config.solver == "unipc_2"
    same(mine, PhiforgeScheduler.from_config(mine.config))
    mine.set_timesteps(7)
    shipped.set_timesteps(7)
    assert not torch.equal(mine._course.plan.table, shipped._course.plan.table)
    for name in ("os", "os.path", "../evil", "unipc_22", "tests.runtime.sample_solver"):
        with pytest.raises(ValueError, match="allowed: the name of one in generated/"):
            PhiforgeScheduler.from_config({**mine.config, "solver": name})


def test_the_configuration_of_another_scheduler():
    peer = diffusers.EulerDiscreteScheduler(**SD, use_karras_sigmas=True)
    for made in (
        scheduler("ddim", peer),
        scheduler("ddim", schedule="EulerDiscreteScheduler", **peer.config),
        PhiforgeScheduler.from_config({**peer.config, "_class_name": "EulerDiscreteScheduler"}, solver="ddim"),
    ):
        peer.set_timesteps(9)
        made.set_timesteps(9)
        assert torch.equal(made.sigmas, peer.sigmas) and made.config.use_karras_sigmas
    with pytest.raises(ValueError, match="of a scheduler, but not of which"):
        scheduler("ddim", **peer.config)
    with pytest.raises(ValueError, match="solver: not given"):
        PhiforgeScheduler.from_config({"_class_name": "EulerDiscreteScheduler"})
    with pytest.raises(ValueError, match="did you mean 'HeunDiscreteScheduler'"):
        scheduler("ddim", schedule="HeunDiscretScheduler")
    with pytest.raises(ValueError, match="karras: not options of DPMSolverMultistepScheduler"):
        scheduler("ddim", karras=True)
    with pytest.raises(ValueError, match="stochastic_sampling: got True"):
        scheduler("flow_ab2", stochastic_sampling=True)
    with pytest.raises(ValueError, match="prediction_type: got 'eps'"):
        scheduler("ddim", prediction_type="eps")


@pytest.mark.parametrize(
    "solver", ["dpmpp_2m", "unipc_3", "edm_heun", "res_3s", "dpm_solver_23", "dpmpp_3m_singlestep"]
)
def test_a_solve_begins_in_the_middle(solver):
    """As a solve of its own of the levels from there: by index, and by the timestep that is given first."""
    made = scheduler(solver, **SD)
    made.set_timesteps(6)
    if solver == "dpmpp_3m_singlestep":
        made.set_begin_index(4)
        with pytest.raises(ValueError, match="cannot begin a solve of"):
            made.scale_model_input(noise(), made.timesteps[4])
        return
    begin = 3 * made.order
    timesteps, levels = made.timesteps.clone(), made._grid[0][3:].tolist()
    made.set_begin_index(begin)
    found = solve(made, noise(), begin)
    other = scheduler(solver, **SD)
    other.set_timesteps(6)
    assert other.index_for_timestep(timesteps[begin]) == begin
    assert torch.equal(found, solve(other, noise(), begin))
    alone = scheduler(solver, **SD)
    alone.set_timesteps(sigmas=levels)
    assert alone.sigmas[0] == levels[0] and len(alone.timesteps) == len(timesteps) - begin
    alone.timesteps = timesteps[begin:]  # the network sees the same numbers, of which the interpolated are less round
    assert torch.allclose(found, solve(alone, noise(), 0), rtol=1e-6, atol=1e-7)


def test_noise_is_added_as_the_peer_adds_it():
    peer, x, eps = diffusers.DPMSolverMultistepScheduler(**SD), noise(), noise(seed=1)
    made = scheduler("dpmpp_2m", peer)
    t = torch.tensor([17, 903])
    assert torch.allclose(made.add_noise(x, eps, t), diffusers.DDPMScheduler(**SD).add_noise(x, eps, t), atol=1e-6)
    for each in (peer, made):
        each.set_timesteps(10)
    t = made.timesteps[[2, 7]]
    assert torch.allclose(made.add_noise(x, eps, t), peer.add_noise(x, eps, t), atol=1e-6)
    for each in (peer, made):
        each.set_begin_index(4)
    assert torch.allclose(made.add_noise(x, eps, t), peer.add_noise(x, eps, t), atol=1e-6)
    t = made.timesteps[4]
    for each in (peer, made):
        each.step(eps, t, x)
    assert torch.allclose(
        made.add_noise(x, eps, t[None].repeat(2)), peer.add_noise(x, eps, t[None].repeat(2)), atol=1e-6
    )
    flow = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    ours = scheduler("flow_ab2", flow)
    for each in (flow, ours):
        each.set_timesteps(10)
    t = flow.timesteps[[3, 5]]
    assert torch.allclose(ours.scale_noise(x, t, eps), flow.scale_noise(x, t, eps), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("solver", ["dpmpp_2m", "edm_ab2"])
def test_types(dtype, solver):
    """The sample keeps its type; arithmetic is float32 at least."""
    made, x = scheduler(solver, **SD), noise().to(dtype)
    made.set_timesteps(5)
    kept, t = x.clone(), made.timesteps[0]
    out = made.step(network(x, t), t, x)
    assert out.prev_sample.dtype == dtype and torch.equal(x, kept)
    wide = scheduler(solver, **SD)
    wide.set_timesteps(5)
    expected = wide.step(network(x, t).double(), t, x.double()).prev_sample
    assert torch.allclose(out.prev_sample.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


def test_what_is_returned_stays():
    """Every step returns memory of its own, and reports the data that the network believes in."""
    made, peer = scheduler("dpmpp_2m", **SD), diffusers.DDIMScheduler(**SD)
    made.set_timesteps(4)
    x, t = noise(), made.timesteps[0]
    out = made.step(network(x, t), t, x)
    first = out.prev_sample.clone()
    made.step(network(out.prev_sample, made.timesteps[1]), made.timesteps[1], out.prev_sample)
    assert torch.equal(out.prev_sample, first)
    bar = peer.alphas_cumprod[int(t)]
    assert torch.allclose(
        out.pred_original_sample, (x - (1 - bar) ** 0.5 * network(x, t)) / bar**0.5, rtol=1e-4, atol=1e-4
    )
    assert isinstance(made.step(network(first, t), t, first, return_dict=False), tuple)


def test_thresholding_is_theirs():
    """Of a method whose steps are made of the data; learned variances are left aside."""
    options = {**SD, "thresholding": True, "sample_max_value": 1.5, "variance_type": "learned_range"}
    theirs = diffusers.DPMSolverMultistepScheduler(**options)
    ours = scheduler("dpmpp_2m_midpoint", theirs)
    ends = []
    for each in (theirs, ours):
        each.set_timesteps(8)
        x = noise(2, 3, 6, 6)
        for t in each.timesteps:
            out = network(x, t)
            x = each.step(torch.cat([out, out.square()], 1), t, x, return_dict=False)[0]
        ends.append(x)
    assert float((ends[0] - ends[1]).norm() / ends[0].norm()) < 1e-5


def test_every_shipped_solver_steps():
    """On the grid of Stable Diffusion, those for flows on that of SD3, through all their calls."""
    names = sorted(p.parent.name for p in Path(__file__).resolve().parents[2].glob("generated/*/__init__.py"))
    assert len(names) > 60
    for name in names:
        flow = name.startswith(("flow_", "flux_", "sd3_"))
        made = scheduler(name, **({"shift": 3.0} if flow else SD))
        made.set_timesteps(8 if name.endswith("switch_8") else 10)
        end = solve(made, noise() * made.init_noise_sigma)
        assert bool(torch.isfinite(end).all()) and float(end.abs().max()) < 1e3, name


@pytest.mark.parametrize("steps", [5, 20, 1000])
def test_a_level_that_comes_twice_is_taken_once(steps, variants):
    """Karras sigmas whose last is the least one, and that one again, and 1000 steps in a table of 1000: in diffusers 0.42 a
    step of no length, which at the end changes nothing."""
    options = {**SD, "use_karras_sigmas": steps < 1000, "final_sigmas_type": "sigma_min"}
    peer = diffusers.DPMSolverMultistepScheduler(**options)
    made = scheduler("dpmpp_2m_midpoint", peer)
    for each in (peer, made):
        each.set_timesteps(steps)
    assert len(made.timesteps) == steps - 1 and torch.equal(made.sigmas, peer.sigmas.unique_consecutive())
    assert bool(torch.isfinite(solve(made, noise())).all())
    if steps == 20:  # where they do not lower the order at the end
        theirs = noise()
        for t in peer.timesteps:
            theirs = peer.step(network(theirs, t), t, theirs, return_dict=False)[0]
        keep = scheduler(variants(("dpmpp_2m_midpoint", {"final: lower_order": "final: keep"})), peer)
        keep.set_timesteps(steps)
        assert float((solve(keep, noise()) - theirs).norm() / theirs.norm()) < 1e-5
    with pytest.raises(ValueError, match="a step of length zero is never meaningful"):
        made.set_timesteps(sigmas=[3.0, 1.0, 1.0, 0.0])


def test_misuse():
    made = scheduler("dpmpp_2m", **SD)
    with pytest.raises(ValueError, match=r"call set_timesteps\(\) first"):
        made.step(noise(), 1, noise())
    with pytest.raises(ValueError, match="give num_inference_steps, timesteps or sigmas"):
        made.set_timesteps()
    made.set_timesteps(3)
    with pytest.raises(ValueError, match=r"allowed: one of scheduler\.timesteps"):
        made.step(noise(), 998.5, noise())
    with pytest.raises(ValueError, match=r"mu: got 1\.0"):
        scheduler("edm_heun", schedule="HeunDiscreteScheduler").set_timesteps(4, mu=1.0)
    with pytest.raises(ValueError, match="take a solver of a flow"):
        scheduler("ddim", schedule="FlowMatchEulerDiscreteScheduler").set_timesteps(4)
